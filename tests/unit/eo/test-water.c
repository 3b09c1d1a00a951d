/* SPDX-License-Identifier: Apache-2.0 */
/* Water in three bands: smooth and wide is water, rough or warm or small is not. */
#include "synth.h"
#include "water.h"

static double water_part(const struct synth *s, uint32_t x0, uint32_t y0, uint32_t x1, uint32_t y1)
{
	uint8_t *water = malloc((size_t)s->w * s->h);
	char reason[EO_REASON_BYTES];
	struct eo_image im;
	uint32_t n = 0;

	assert_int_equal(eo_image_parse(s->file, s->len, &im, reason), 0);
	assert_int_equal(eo_water_visible(&im, water), 0);
	for (uint32_t y = y0; y < y1; y++)
		for (uint32_t x = x0; x < x1; x++)
			n += water[(size_t)y * s->w + x];
	free(water);
	return (double)n / ((x1 - x0) * (y1 - y0));
}

static void test_sea(void **unused)
{
	/* From black water to bright green shallows, calm and ruffled. */
	const double seas[][3] = {{12, 18, 25}, {60, 75, 70}, {79, 92, 75}, {100, 130, 125}};

	for (size_t i = 0; i < ARRAY_LEN(seas); i++)
		for (double sigma = 0.5; sigma < 5; sigma += 2) {
			struct synth s = synth_new(160, 144, 3);

			synth_fill(&s, seas[i], sigma);
			assert_true(water_part(&s, 0, 0, 160, 144) > 0.98);
			synth_free(&s);
		}
}

static void test_land(void **unused)
{
	const double soil[3] = {140, 110, 80}, town[3] = {110, 110, 105};
	struct synth s = synth_new(160, 144, 3);

	synth_fill(&s, soil, 2); /* smooth, but warm */
	assert_true(water_part(&s, 0, 0, 160, 144) == 0);
	synth_fill(&s, town, 30); /* rough */
	assert_true(water_part(&s, 0, 0, 160, 144) == 0);
	synth_box(&s, 80, 70, 40, 30, 0, SEA3, 2); /* a smooth roof is no water: it is not wide */
	assert_true(water_part(&s, 0, 0, 160, 144) == 0);
	synth_free(&s);
}

static void test_shore(void **unused)
{
	const double town[3] = {130, 128, 120};
	struct synth s = synth_new(256, 256, 3);

	synth_fill(&s, SEA3, 2.5);
	for (uint32_t y = 0; y < 256; y++)
		for (uint32_t x = 140; x < 256; x++)
			synth_set(&s, x, y, town, 25);
	assert_true(water_part(&s, 0, 0, 136, 256) > 0.98);
	assert_true(water_part(&s, 146, 0, 256, 256) < 0.02);
	synth_free(&s);
}

static void test_shade_is_water_still(void **unused)
{
	const double shade[3] = {38, 52, 47};
	struct synth s = synth_new(256, 256, 3);

	synth_fill(&s, SEA3, 2.5);
	synth_box(&s, 128, 128, 90, 70, 30, shade, 2.5);
	assert_true(water_part(&s, 0, 0, 256, 256) > 0.97);
	synth_free(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sea),
		cmocka_unit_test(test_land),
		cmocka_unit_test(test_shore),
		cmocka_unit_test(test_shade_is_water_still),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
