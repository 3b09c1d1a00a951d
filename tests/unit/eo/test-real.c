/* SPDX-License-Identifier: Apache-2.0 */
/* The figures that the sample payload must reach on real scenes; skipped where these are absent. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "eo_data.h"

static const char *data;

static const char *path_of(const char *name, const char *end)
{
	static char path[1024];

	snprintf(path, sizeof(path), "%s/imagery/%s%s", data, name, end);
	return path;
}

static int count_of(struct eo_run_of *run)
{
	static struct data_box found[EO_DATA_BOXES_MAX];

	return eo_data_ships(run->ships.data, run->ships.len, found);
}

static void land_scene(const char *name)
{
	struct raster scene = {0}, truth = {0};
	struct eo_run_of run;

	assert_int_equal(eo_data_bsq6(path_of(name, "_6x512x512_u16le.bsq"), 512, &scene), 0);
	assert_int_equal(eo_data_gray(path_of(name, "_mask.png"), &truth), 0);
	assert_int_equal(truth.len, 512 * 512);
	assert_int_equal(eo_data_run(&scene, &run), 0);
	assert_true(eo_data_kappa(eo_data_classes(&run.mask, truth.len), truth.data, truth.len, EO_CLOUD) >=
		    0.80);
	assert_int_equal(count_of(&run), 0);
	eo_run_finish(&run);
	raster_finish(&scene);
	/* The same place in three bands. */
	assert_int_equal(eo_data_rgb(path_of(name, "_rgb.png"), &scene), 0);
	assert_int_equal(eo_data_run(&scene, &run), 0);
	assert_int_equal(count_of(&run), 0);
	eo_run_finish(&run);
	raster_finish(&scene);
	raster_finish(&truth);
}

static void test_sentinel2(void **state)
{
	land_scene("sentinel2");
}

static void test_landsat5(void **state)
{
	land_scene("landsat5");
}

static void test_ships_bay(void **state)
{
	static struct data_box truth[EO_DATA_BOXES_MAX], found[EO_DATA_BOXES_MAX];
	struct raster scene = {0};
	struct eo_run_of run;
	struct data_score score;
	int n;

	assert_int_equal(eo_data_boxes(path_of("ships_bay_1", "_boxes.csv"), truth), 10);
	assert_int_equal(eo_data_rgb(path_of("ships_bay_1", ".png"), &scene), 0);
	assert_int_equal(eo_data_run(&scene, &run), 0);
	n = eo_data_ships(run.ships.data, run.ships.len, found);
	assert_int_equal(n, 10);
	score = eo_data_match(found, n, truth, 10, 0.3);
	assert_int_equal(score.hits, 10);
	assert_int_equal(score.missed, 0);
	assert_int_equal(score.extra, 0);
	eo_run_finish(&run);
	raster_finish(&scene);
}

/* The same bay turned by a half, a quarter, and brighter and darker: none of it may matter. */
static void test_ships_bay_transformed(void **state)
{
	static const struct {
		bool turn_half, transpose;
		double gain, offset;
	} ways[] = {
		{true, false, 1, 0}, {false, true, 1, 0}, {false, false, 0.8, 0}, {false, false, 1.2, -15}};
	static struct data_box truth[EO_DATA_BOXES_MAX], found[EO_DATA_BOXES_MAX];
	struct raster scene = {0};
	int n = eo_data_boxes(path_of("ships_bay_1", "_boxes.csv"), truth);

	assert_int_equal(n, 10);
	assert_int_equal(eo_data_rgb(path_of("ships_bay_1", ".png"), &scene), 0);
	for (size_t k = 0; k < sizeof(ways) / sizeof(ways[0]); k++) {
		uint32_t w = ways[k].transpose ? scene.height : scene.width;
		uint32_t h = ways[k].transpose ? scene.width : scene.height;
		size_t pixels = (size_t)w * h;
		const uint8_t *from = scene.data + scene.len - 3 * pixels;
		struct raster turned = {.data = malloc(64 + 3 * pixels), .width = w, .height = h};
		struct data_box boxes[10];
		struct data_score score;
		struct eo_run_of run;
		uint8_t *to;

		assert_non_null(turned.data);
		to = turned.data + sprintf((char *)turned.data, "P6\n%u %u\n255\n", w, h);
		turned.len = (size_t)(to - turned.data) + 3 * pixels;
		for (size_t i = 0; i < pixels; i++) {
			size_t x = i % w, y = i / w, at = ways[k].transpose ? x * scene.width + y : i;

			if (ways[k].turn_half)
				at = pixels - 1 - i;
			for (int b = 0; b < 3; b++) {
				double v = from[3 * at + (size_t)b] * ways[k].gain + ways[k].offset;

				*to++ = (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v + 0.5);
			}
		}
		for (int i = 0; i < 10; i++) {
			const struct data_box *t = &truth[i];

			boxes[i] = *t;
			if (ways[k].transpose)
				boxes[i] = (struct data_box){t->y0, t->x0, t->y1, t->x1};
			if (ways[k].turn_half)
				boxes[i] = (struct data_box){w - t->x1, h - t->y1, w - t->x0, h - t->y0};
		}
		assert_int_equal(eo_data_run(&turned, &run), 0);
		n = eo_data_ships(run.ships.data, run.ships.len, found);
		score = eo_data_match(found, n, boxes, 10, 0.3);
		if (score.missed || score.extra)
			fail_msg("way %zu: %d missed, %d extra", k, score.missed, score.extra);
		eo_run_finish(&run);
		raster_finish(&turned);
	}
	raster_finish(&scene);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sentinel2),
		cmocka_unit_test(test_landsat5),
		cmocka_unit_test(test_ships_bay),
		cmocka_unit_test(test_ships_bay_transformed),
	};
	FILE *f;

	data = argc > 1 ? argv[1] : "../shared/data";
	f = fopen(path_of("sentinel2", "_mask.png"), "rb");
	if (!f) {
		printf("left out: there is no %s\n", path_of("sentinel2", "_mask.png"));
		return 77;
	}
	fclose(f);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
