/* SPDX-License-Identifier: Apache-2.0 */
/* Morphology and percentiles against their definitions. */
#include "planes.h"
#include "synth.h"

enum { W = 37, H = 23, N = W * H };

static uint64_t state = 7;

static uint32_t random_below(uint32_t n)
{
	state = state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(state >> 33) % n;
}

static void random_plane(uint8_t *p, uint32_t one_in)
{
	for (int i = 0; i < N; i++)
		p[i] = random_below(one_in) == 0;
}

/* By definition: any (all) of the square's pixels inside the plane. */
static bool in_square(const uint8_t *p, int x, int y, int r, bool all)
{
	for (int v = y - r; v <= y + r; v++)
		for (int u = x - r; u <= x + r; u++)
			if (u >= 0 && v >= 0 && u < W && v < H && (p[v * W + u] != 0) != all)
				return !all;
	return all;
}

static void test_dilate_erode(void **unused)
{
	uint8_t before[N], plane[N];

	for (int round = 0; round < 40; round++) {
		uint32_t r = random_below(5);

		random_plane(before, 2 + random_below(30));
		memcpy(plane, before, N);
		assert_int_equal(eo_dilate(plane, W, H, r), 0);
		for (int i = 0; i < N; i++)
			assert_int_equal(plane[i], in_square(before, i % W, i / W, (int)r, false));
		for (int i = 0; i < N; i++)
			before[i] = !before[i];
		memcpy(plane, before, N);
		assert_int_equal(eo_erode(plane, W, H, r), 0);
		for (int i = 0; i < N; i++)
			assert_int_equal(plane[i], in_square(before, i % W, i / W, (int)r, true));
	}
}

static void test_open_drops_what_is_narrow(void **unused)
{
	uint8_t plane[N] = {0};

	for (int y = 5; y < 10; y++)
		for (int x = 5; x < 12; x++)
			plane[y * W + x] = 1;
	for (int x = 12; x < 30; x++)
		plane[7 * W + x] = 1;
	assert_int_equal(eo_open(plane, W, H, 1), 0);
	for (int i = 0; i < N; i++)
		assert_int_equal(plane[i], i % W >= 5 && i % W < 12 && i / W >= 5 && i / W < 10);
}

static void test_grow_goes_one_pixel_a_step(void **unused)
{
	uint8_t seed[N] = {0}, through[N] = {0};

	/* A corridor along a row, and a pixel behind a wall. */
	for (int x = 0; x < W; x++)
		through[10 * W + x] = 1;
	through[13 * W + 4] = 1;
	seed[10 * W + 4] = 1;
	eo_grow(seed, through, W, H, 6);
	for (int i = 0; i < N; i++)
		assert_int_equal(seed[i], i / W == 10 && i % W <= 10);
}

static void test_percentile(void **unused)
{
	uint32_t h[10] = {0, 0, 5, 0, 3, 2};

	assert_int_equal(eo_percentile(h, 10, 0), 2);
	assert_int_equal(eo_percentile(h, 10, 0.5), 2);
	assert_int_equal(eo_percentile(h, 10, 0.51), 4);
	assert_int_equal(eo_percentile(h, 10, 1), 5);
	memset(h, 0, sizeof(h));
	assert_int_equal(eo_percentile(h, 10, 0.5), 0);
}

static void test_grid_interpolates(void **unused)
{
	struct eo_grid g = eo_grid_of(33, 16, 16);
	const float v[3] = {0, 16, 32};
	uint32_t a, b;
	float weight;

	assert_int_equal(g.cols, 3);
	assert_int_equal(g.rows, 1);
	for (uint32_t x = 8; x < 24; x++) {
		eo_grid_axis(x, g.cell, g.cols, &a, &b, &weight);
		assert_true(
			fabsf(eo_grid_at(v, 1, g.cols, a, b, weight, 0, 0, 0) - ((float)x - 7.5f)) < 1e-4f);
	}
	eo_grid_axis(0, g.cell, g.cols, &a, &b, &weight);
	assert_true(a == 0 && weight == 0);
	eo_grid_axis(32, g.cell, g.cols, &a, &b, &weight);
	assert_true(b <= 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_dilate_erode),
		cmocka_unit_test(test_open_drops_what_is_narrow),
		cmocka_unit_test(test_grow_goes_one_pixel_a_step),
		cmocka_unit_test(test_percentile),
		cmocka_unit_test(test_grid_interpolates),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
