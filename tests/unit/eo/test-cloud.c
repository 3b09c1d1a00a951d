/* SPDX-License-Identifier: Apache-2.0 */
/* The cloud stage on constructed scenes: what each surface becomes. */
#include "synth.h"

static void assert_class(
	const struct synth *s, const struct synth_run *r, uint32_t x, uint32_t y, enum eo_class class)
{
	if (r->classes[(size_t)y * s->w + x] != class)
		fail_msg("pixel %u,%u is %u, expected %u", x, y, r->classes[(size_t)y * s->w + x], class);
}

static void test_six_bands(void **unused)
{
	struct synth s = synth_new(256, 256, 6);
	const double none[6] = {0}, sand[6] = {2400, 3100, 4000, 4800, 5600, 5200},
		     shade[6] = {850, 600, 330, 900, 450, 200};
	struct synth_run r;

	synth_fill(&s, FOREST6, 40);
	synth_box(&s, 40, 200, 60, 60, 0, SEA6, 15);
	synth_box(&s, 60, 60, 40, 50, 10, CLOUD6, 60);
	synth_box(&s, 84, 76, 40, 50, 10, shade, 15);
	synth_box(&s, 60, 60, 40, 50, 10, CLOUD6, 60);
	synth_box(&s, 200, 60, 50, 50, 0, SNOW6, 60);
	synth_box(&s, 200, 200, 50, 50, 0, sand, 60);
	synth_box(&s, 130, 220, 20, 50, 0, SOIL6, 60);
	synth_box(&s, 128, 4, 7, 256, 0, none, 0);
	synth_run(&s, &r);
	assert_class(&s, &r, 60, 60, EO_CLOUD);
	assert_class(&s, &r, 40, 200, EO_WATER);
	assert_class(&s, &r, 96, 84, EO_SHADOW);
	assert_class(&s, &r, 200, 60, EO_LAND);  /* snow */
	assert_class(&s, &r, 200, 200, EO_LAND); /* sand */
	assert_class(&s, &r, 130, 220, EO_LAND); /* soil */
	assert_class(&s, &r, 130, 130, EO_LAND); /* forest */
	assert_class(&s, &r, 128, 3, EO_NODATA);
	assert_non_null(strstr((char *)r.cloud.data, "\"method\": \"spectral\""));
	assert_true(fabs(synth_number(&r.cloud, "cloud_fraction") - 2091.0 / (256 * 249)) < 0.006);
	assert_true(fabs(synth_number(&r.cloud, "water_fraction") - 3721.0 / (256 * 249)) < 0.006);
	assert_true(fabs(synth_number(&r.cloud, "nodata_fraction") - 7.0 / 256) < 1e-3);
	assert_true(synth_number(&r.cloud, "shadow_fraction") > 0.01);
	synth_run_free(&r);
	synth_free(&s);
}

static void test_overcast(void **unused)
{
	for (uint32_t depth = 3; depth <= 6; depth += 3) {
		struct synth s = synth_new(200, 200, depth);
		struct synth_run r;

		synth_fill(&s, depth == 3 ? WHITE3 : CLOUD6, depth == 3 ? 4 : 150);
		synth_run(&s, &r);
		assert_true(synth_number(&r.cloud, "cloud_fraction") > 0.98);
		assert_true(synth_number(&r.ships, "count") == 0);
		synth_run_free(&r);
		synth_free(&s);
	}
}

static void test_clear(void **unused)
{
	const double *grounds[] = {SEA6, FOREST6, SOIL6, SNOW6};

	for (size_t i = 0; i < ARRAY_LEN(grounds); i++) {
		struct synth s = synth_new(200, 200, 6);
		struct synth_run r;

		synth_fill(&s, grounds[i], 25);
		synth_run(&s, &r);
		assert_true(synth_number(&r.cloud, "cloud_fraction") == 0);
		assert_true(synth_number(&r.cloud, "shadow_fraction") < 0.001);
		assert_true((synth_number(&r.cloud, "water_fraction") > 0.99) == (i == 0));
		synth_run_free(&r);
		synth_free(&s);
	}
}

static void test_clouds_in_three_bands(void **unused)
{
	struct synth s = synth_new(256, 256, 3);
	const double sand[3] = {235, 210, 175}, none[3] = {0};
	struct synth_run r;

	synth_fill(&s, SEA3, 2.5);
	synth_box(&s, 60, 60, 50, 60, 20, WHITE3, 5);
	synth_box(&s, 200, 200, 80, 50, 0, sand, 5);
	synth_box(&s, 128, 250, 11, 256, 0, none, 0);
	synth_run(&s, &r);
	assert_class(&s, &r, 60, 60, EO_CLOUD);
	assert_class(&s, &r, 200, 200, EO_LAND);
	assert_class(&s, &r, 128, 128, EO_WATER);
	assert_class(&s, &r, 128, 253, EO_NODATA);
	assert_non_null(strstr((char *)r.cloud.data, "\"method\": \"brightness\""));
	assert_true(fabs(synth_number(&r.cloud, "cloud_fraction") - 3000.0 / (256 * 245)) < 0.01);
	synth_run_free(&r);
	synth_free(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_six_bands),
		cmocka_unit_test(test_overcast),
		cmocka_unit_test(test_clear),
		cmocka_unit_test(test_clouds_in_three_bands),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
