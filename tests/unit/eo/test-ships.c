/* SPDX-License-Identifier: Apache-2.0 */
/* Counting on constructed scenes whose truth is known: what is a ship, and what is none. */
#include "synth.h"

static int count(const struct synth *s)
{
	struct synth_run r;
	int n;

	synth_run(s, &r);
	n = (int)synth_number(&r.ships, "count");
	synth_run_free(&r);
	return n;
}

static void test_one_ship_at_every_angle(void **unused)
{
	for (int angle = 0; angle < 180; angle += 20) {
		struct synth s = synth_new(320, 256, 3);
		struct synth_run r;
		double heading, off;

		synth_fill(&s, SEA3, 2.5);
		synth_box(&s, 170, 120, 60, 11, angle, DECK3, 6);
		synth_run(&s, &r);
		assert_int_equal(synth_number(&r.ships, "count"), 1);
		assert_true(fabs(synth_number(&r.ships, "\"x") - 170) < 2);
		assert_true(fabs(synth_number(&r.ships, "\"y") - 120) < 2);
		assert_true(fabs(synth_number(&r.ships, "length_px") - 60) < 4);
		assert_true(fabs(synth_number(&r.ships, "width_px") - 11) < 3);
		assert_true(fabs(synth_number(&r.ships, "length_m") - 180) < 12);
		heading = synth_number(&r.ships, "heading_deg");
		assert_true(heading >= 0 && heading < 180);
		off = fabs(heading - angle);
		assert_true(fmin(off, 180 - off) < 3);
		assert_true(synth_number(&r.ships, "confidence") > 0.7);
		synth_run_free(&r);
		synth_free(&s);
	}
}

static void test_several_ships(void **unused)
{
	for (uint32_t depth = 3; depth <= 6; depth += 3) {
		struct synth s = synth_new(400, 400, depth);
		const double *deck = depth == 3 ? DECK3 : DECK6;
		double noise = depth == 3 ? 3 : 25, length = depth == 3 ? 50 : 20;

		synth_fill(&s, depth == 3 ? SEA3 : SEA6, noise);
		assert_int_equal(count(&s), 0);
		for (int i = 0; i < 9; i++)
			synth_box(&s, 70 + 130 * (i % 3), 70 + 130 * (i / 3), length, length / 6, 37 * i,
				deck, noise);
		assert_int_equal(count(&s), 9);
		synth_free(&s);
	}
}

static void test_brightness_does_not_matter(void **unused)
{
	for (double gain = 0.6; gain < 1.5; gain += 0.2)
		for (double offset = -20; offset <= 20; offset += 20) {
			struct synth s = synth_new(256, 256, 3);

			synth_fill(&s, SEA3, 2.5);
			synth_box(&s, 80, 120, 50, 9, 20, DECK3, 5);
			synth_box(&s, 180, 120, 44, 8, 140, WHITE3, 5);
			for (size_t i = 0; i < (size_t)256 * 256 * 3; i++) {
				double v = s.px[i] * gain + offset;

				s.px[i] = (uint8_t)(v < 1 ? 1 : v > 255 ? 255 : v);
			}
			assert_int_equal(count(&s), 2);
			synth_free(&s);
		}
}

static void test_what_is_no_ship(void **unused)
{
	const double rock[3] = {120, 115, 100}, town[3] = {140, 135, 125}, foam[3] = {85, 98, 92};
	struct synth s = synth_new(400, 400, 3);

	/* An islet, a buoy, a breakwater, a square raft, a streak of foam. */
	synth_fill(&s, SEA3, 2.5);
	synth_box(&s, 80, 80, 60, 50, 20, rock, 15);
	synth_box(&s, 200, 60, 4, 4, 0, WHITE3, 3);
	synth_box(&s, 250, 300, 200, 6, 60, rock, 10);
	synth_box(&s, 320, 100, 14, 14, 10, rock, 4);
	synth_box(&s, 100, 300, 120, 2, 100, foam, 2);
	assert_int_equal(count(&s), 0);
	/* A town with its pier: the pier is long and bright, but it hangs on the land. */
	synth_fill(&s, SEA3, 2.5);
	for (uint32_t y = 0; y < 400; y++)
		for (uint32_t x = 250; x < 400; x++)
			synth_set(&s, x, y, town, 35);
	synth_box(&s, 230, 200, 60, 9, 90, town, 5);
	assert_int_equal(count(&s), 0);
	/* And a ship beside it does not. */
	synth_box(&s, 100, 200, 60, 10, 0, DECK3, 5);
	assert_int_equal(count(&s), 1);
	synth_free(&s);
}

/* Soft round bright things over the sea. */
static void test_small_clouds_are_no_ships(void **unused)
{
	struct synth s = synth_new(320, 320, 6);

	synth_fill(&s, SEA6, 20);
	for (int k = 0; k < 6; k++) {
		double cx = 50 + 100 * (k % 3), cy = 80 + 150 * (k / 3), r = 4 + 2 * k;

		for (uint32_t y = 0; y < s.h; y++)
			for (uint32_t x = 0; x < s.w; x++) {
				double d = hypot((x - cx) / 1.5, y - cy) / r, a = d < 2 ? exp(-d * d) : 0,
				       v[6];

				if (a <= 0)
					continue;
				for (int b = 0; b < 6; b++)
					v[b] = SEA6[b] + a * (CLOUD6[b] - SEA6[b]);
				synth_set(&s, x, y, v, 20);
			}
	}
	assert_int_equal(count(&s), 0);
	synth_free(&s);
}

static void test_wake_does_not_hide_the_ship(void **unused)
{
	struct synth s = synth_new(400, 300, 3);
	struct synth_run r;

	synth_fill(&s, SEA3, 2.5);
	/* A wake three times as long as the ship, fading. */
	for (int k = 0; k < 15; k++) {
		const double foam[3] = {130 - 4 * k, 142 - 4 * k, 138 - 4 * k};

		synth_box(&s, 180 - 10 * k, 150, 5, 10, 0, foam, 3);
		synth_box(&s, 180 - 10 * k - 5, 150, 5, 10, 0, foam, 3);
	}
	synth_box(&s, 210, 150, 50, 10, 90, WHITE3, 4);
	synth_run(&s, &r);
	assert_int_equal(synth_number(&r.ships, "count"), 1);
	assert_true(fabs(synth_number(&r.ships, "\"y") - 150) < 3);
	assert_true(synth_number(&r.ships, "length_px") < 90);
	synth_run_free(&r);
	synth_free(&s);
}

static void test_border_cuts(void **unused)
{
	struct synth s = synth_new(256, 256, 3);

	synth_fill(&s, SEA3, 2.5);
	synth_box(&s, 128, 0, 60, 11, 90, DECK3, 4); /* along the border, half outside: cannot be told */
	assert_int_equal(count(&s), 0);
	synth_box(&s, 60, 235, 60, 11, 0, DECK3, 4); /* most of it is inside */
	assert_int_equal(count(&s), 1);
	synth_free(&s);
}

static void test_many_objects_are_bounded(void **unused)
{
	struct synth s = synth_new(1000, 1000, 3);
	struct synth_run r;

	synth_fill(&s, SEA3, 2.5);
	for (int i = 0; i < 400; i++)
		synth_box(&s, 25 + 50 * (i % 20), 25 + 50 * (i / 20), 30, 6, 17 * i, DECK3, 4);
	synth_run(&s, &r);
	assert_int_equal(synth_number(&r.ships, "candidates"), 256);
	assert_true(strstr((const char *)r.candidates.data, "\"left_out\": 144") != NULL);
	assert_true(r.crops.len < 4 << 20);
	synth_run_free(&r);
	synth_free(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_ship_at_every_angle),
		cmocka_unit_test(test_several_ships),
		cmocka_unit_test(test_brightness_does_not_matter),
		cmocka_unit_test(test_what_is_no_ship),
		cmocka_unit_test(test_small_clouds_are_no_ships),
		cmocka_unit_test(test_wake_does_not_hide_the_ship),
		cmocka_unit_test(test_border_cuts),
		cmocka_unit_test(test_many_objects_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
