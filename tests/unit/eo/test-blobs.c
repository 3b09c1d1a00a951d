/* SPDX-License-Identifier: Apache-2.0 */
/* Connected components against a flood fill, and shapes of known rectangles. */
#include "blobs.h"
#include "synth.h"

enum { W = 61, H = 43, N = W * H };

static void flood(const uint8_t *plane, int *label, int x, int y, int number)
{
	if (x < 0 || y < 0 || x >= W || y >= H || !plane[y * W + x] || label[y * W + x])
		return;
	label[y * W + x] = number;
	for (int v = -1; v <= 1; v++)
		for (int u = -1; u <= 1; u++)
			flood(plane, label, x + u, y + v, number);
}

static void check_against_flood(const uint8_t *plane)
{
	static int label[N];
	struct eo_blobs b;
	size_t area = 0;
	int n = 0;

	memset(label, 0, sizeof(label));
	for (int i = 0; i < N; i++)
		if (plane[i] && !label[i])
			flood(plane, label, i % W, i / W, ++n);
	assert_int_equal(eo_blobs_find(plane, W, H, 1, 255, &b), 0);
	assert_int_equal(b.n_blobs, n);
	for (size_t k = 0; k < b.n_blobs; k++) {
		const struct eo_blob *o = &b.blobs[k];
		uint32_t seen = 0, x0 = W, y0 = H, x1 = 0, y1 = 0;

		for (uint32_t i = o->first; i != EO_NONE; i = b.runs[i].next) {
			const struct eo_run *r = &b.runs[i];

			assert_int_equal(r->blob, k);
			for (uint32_t x = r->x0; x <= r->x1; x++) {
				/* Numbered in reading order, as the flood fill does. */
				assert_int_equal(label[r->y * W + x], k + 1);
				seen++;
				x0 = x < x0 ? x : x0;
				x1 = x + 1 > x1 ? x + 1 : x1;
				y0 = r->y < y0 ? r->y : y0;
				y1 = r->y + 1u > y1 ? r->y + 1u : y1;
			}
		}
		assert_int_equal(seen, o->area);
		assert_true(o->x0 == x0 && o->x1 == x1 && o->y0 == y0 && o->y1 == y1);
		area += seen;
	}
	for (int i = 0; i < N; i++)
		area -= plane[i] != 0;
	assert_int_equal(area, 0);
	eo_blobs_finish(&b);
}

static void test_components(void **unused)
{
	static uint8_t plane[N];
	struct synth s = {.state = 3};

	check_against_flood(plane); /* nothing at all */
	for (int round = 0; round < 200; round++) {
		uint32_t density = 1 + synth_random(&s) % 99;

		for (int i = 0; i < N; i++)
			plane[i] = synth_random(&s) % 100 < density ? 9 : 0;
		check_against_flood(plane);
	}
	memset(plane, 1, N);
	check_against_flood(plane);
	/* A spiral: one component whose runs meet late. */
	memset(plane, 0, N);
	for (int r = 0; r < 10; r++)
		for (int k = 2 * r; k < W - 2 * r; k++)
			plane[2 * r * W + k] = plane[(H - 1 - 2 * r) * W + k] = 1;
	for (int r = 0; r < 10; r++)
		for (int y = 2 * r; y < H - 2 * r; y++)
			plane[y * W + W - 1 - 2 * r] = plane[(y + (y + 2 < H)) * W + 2 * r] = 1;
	check_against_flood(plane);
}

static void test_range_of_values(void **unused)
{
	static uint8_t plane[N];
	struct eo_blobs b;

	plane[5] = 3;
	plane[6] = 4;
	plane[7] = 5;
	assert_int_equal(eo_blobs_find(plane, W, H, 4, 4, &b), 0);
	assert_int_equal(b.n_blobs, 1);
	assert_int_equal(b.blobs[0].area, 1);
	eo_blob_paint(&b, 0, plane, W, 9);
	assert_int_equal(plane[6], 9);
	assert_int_equal(plane[5], 3);
	eo_blobs_finish(&b);
}

static void test_shape_of_turned_rectangles(void **unused)
{
	for (int angle = 0; angle < 180; angle += 15) {
		struct synth s = synth_new(200, 200, 3);
		const double on[3] = {255, 255, 255}, off[3] = {0};
		uint8_t *plane = malloc(200 * 200);
		struct eo_shape shape;
		struct eo_blobs b;
		double across;

		synth_fill(&s, off, 0);
		synth_box(&s, 101, 97, 90, 18, angle, on, 0);
		for (int i = 0; i < 200 * 200; i++)
			plane[i] = s.px[3 * i];
		assert_int_equal(eo_blobs_find(plane, 200, 200, 1, 255, &b), 0);
		assert_int_equal(b.n_blobs, 1);
		eo_blob_shape(&b, 0, &shape);
		assert_true(fabs(shape.cx - 101) < 0.5 && fabs(shape.cy - 97) < 0.5);
		assert_true(fabs(shape.length - 90) < 2);
		assert_true(fabs(shape.width - 18) < 2);
		assert_true(fabs(shape.extent_long - 90) < 3 && fabs(shape.extent_short - 18) < 3);
		across = shape.ax * -cos(angle * M_PI / 180) - shape.ay * sin(angle * M_PI / 180);
		assert_true(fabs(across) < 0.02);
		eo_blobs_finish(&b);
		free(plane);
		synth_free(&s);
	}
}

static void test_shape_of_one_pixel(void **unused)
{
	uint8_t plane[9] = {0, 0, 0, 0, 1, 0, 0, 0, 0};
	struct eo_shape shape;
	struct eo_blobs b;

	assert_int_equal(eo_blobs_find(plane, 3, 3, 1, 1, &b), 0);
	eo_blob_shape(&b, 0, &shape);
	assert_true(fabs(shape.length - 1) < 1e-9 && fabs(shape.width - 1) < 1e-9);
	assert_true(fabs(shape.ax * shape.ax + shape.ay * shape.ay - 1) < 1e-9);
	eo_blobs_finish(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_components),
		cmocka_unit_test(test_range_of_values),
		cmocka_unit_test(test_shape_of_turned_rectangles),
		cmocka_unit_test(test_shape_of_one_pixel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
