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

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sentinel2),
		cmocka_unit_test(test_landsat5),
		cmocka_unit_test(test_ships_bay),
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
