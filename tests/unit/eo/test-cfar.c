/* SPDX-License-Identifier: Apache-2.0 */
/* Constant false alarm rate on constructed seas. */
#include "cfar.h"
#include "synth.h"

static struct eo_image image_of(const struct synth *s)
{
	struct eo_image im;
	char reason[EO_REASON_BYTES];

	assert_int_equal(eo_image_parse(s->file, s->len, &im, reason), 0);
	return im;
}

static uint8_t *all_water(const struct synth *s)
{
	uint8_t *classes = malloc((size_t)s->w * s->h);

	assert_non_null(classes);
	memset(classes, EO_WATER, (size_t)s->w * s->h);
	return classes;
}

static void test_background_and_false_alarms(void **unused)
{
	for (double sigma = 3; sigma <= 9; sigma += 3) {
		struct synth s = synth_new(300, 260, 3);
		float mean[EO_CHANNELS_MAX], dev[EO_CHANNELS_MAX];
		uint8_t *classes = all_water(&s);
		struct eo_cfar c;
		struct eo_image im;
		size_t above = 0;

		synth_fill(&s, SEA3, sigma);
		im = image_of(&s);
		assert_int_equal(eo_cfar_run(&im, classes, &c), 0);
		eo_cfar_background(&c, 150, 130, mean, dev);
		for (int k = 0; k < 3; k++) {
			assert_true(fabs(mean[k] - SEA3[k]) < 0.4);
			assert_true(fabs(dev[k] - sigma) < 0.1 * sigma);
		}
		/* The rate at 3.5 deviations is the same whatever the noise: this noise is of four uniform
		 * parts. */
		for (size_t i = 0; i < 300 * 260; i++)
			above += c.z[i] >= 14;
		assert_true(above < 300 * 260 / 1000);
		eo_cfar_finish(&c);
		free(classes);
		synth_free(&s);
	}
}

static void test_ship_does_not_hide_itself(void **unused)
{
	struct synth s = synth_new(300, 260, 3);
	uint8_t *classes = all_water(&s);
	float mean[EO_CHANNELS_MAX], dev[EO_CHANNELS_MAX];
	struct eo_cfar c;
	struct eo_image im;

	/* Larger than the guard, so only leaving out what stands out keeps the statistics clean. */
	synth_fill(&s, SEA3, 3);
	synth_box(&s, 150, 130, 110, 20, 30, DECK3, 3);
	im = image_of(&s);
	assert_int_equal(eo_cfar_run(&im, classes, &c), 0);
	eo_cfar_background(&c, 150, 130, mean, dev);
	assert_true(fabs(mean[0] - SEA3[0]) < 1.5);
	assert_true(dev[0] < 4.5);
	assert_true(c.z[130 * 300 + 150] > 20 * EO_Z_SCALE);
	assert_true(c.z[20 * 300 + 20] < 5 * EO_Z_SCALE);
	eo_cfar_finish(&c);
	free(classes);
	synth_free(&s);
}

static void test_only_water_counts(void **unused)
{
	struct synth s = synth_new(128, 128, 6);
	uint8_t *classes = all_water(&s);
	float mean[EO_CHANNELS_MAX], dev[EO_CHANNELS_MAX];
	struct eo_cfar c;
	struct eo_image im;

	synth_fill(&s, SEA6, 20);
	synth_box(&s, 96, 64, 128, 64, 0, FOREST6, 100);
	for (int i = 0; i < 128 * 128; i++)
		if (i % 128 >= 64)
			classes[i] = EO_LAND;
	im = image_of(&s);
	assert_int_equal(eo_cfar_run(&im, classes, &c), 0);
	eo_cfar_background(&c, 60, 64, mean, dev);
	assert_true(fabs(mean[2] - SEA6[EO_NIR]) < 10); /* channels: green, red, NIR, SWIR 1.6 */
	for (int i = 0; i < 128 * 128; i++)
		if (i % 128 >= 64)
			assert_int_equal(c.z[i], 0);
	eo_cfar_finish(&c);
	/* And where there is hardly any water, nothing is said. */
	memset(classes, EO_LAND, 128 * 128);
	memset(classes, EO_WATER, 100);
	assert_int_equal(eo_cfar_run(&im, classes, &c), 0);
	for (int i = 0; i < 128 * 128; i++)
		assert_int_equal(c.z[i], 0);
	eo_cfar_finish(&c);
	free(classes);
	synth_free(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_background_and_false_alarms),
		cmocka_unit_test(test_ship_does_not_hide_itself),
		cmocka_unit_test(test_only_water_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
