/* SPDX-License-Identifier: Apache-2.0 */
/* Rendered scenes: the same from the same seed, and their truth is in the pixels. */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "core/file.h"
#include "core/json.h"
#include "scene-parts.h"
#include "scene.h"

struct shot {
	struct scene_spec spec;
	struct scene_truth truth;
	uint8_t *data, *mask;
	size_t bytes;
};

static struct scene_spec spec_of(uint64_t index, bool rgb)
{
	return (struct scene_spec){.seed = 42,
		.index = index,
		.width = 256,
		.height = 224,
		.gsd_m = rgb ? 3 : 10,
		.rgb = rgb,
		.exposure = 1,
		.gain = 1};
}

static struct shot take(struct scene_spec spec)
{
	struct pam form = scene_form(&spec);
	struct shot s = {.spec = spec, .bytes = (size_t)pam_data_bytes(&form)};

	s.data = malloc(s.bytes);
	s.mask = malloc((size_t)spec.width * spec.height);
	assert_int_equal(scene_render(&spec, s.data, s.mask, &s.truth), 0);
	return s;
}

static void drop(struct shot *s)
{
	free(s->data);
	free(s->mask);
}

static unsigned dn(const struct shot *s, size_t pixel, int band)
{
	const uint8_t *at = s->data + 12 * pixel + 2 * (size_t)band;

	return (unsigned)at[0] << 8 | at[1];
}

static void test_same_again(void **state)
{
	for (int rgb = 0; rgb < 2; rgb++) {
		struct shot a = take(spec_of(3, rgb)), b = take(spec_of(3, rgb)), c = take(spec_of(4, rgb));
		assert_memory_equal(a.data, b.data, a.bytes);
		assert_memory_equal(a.mask, b.mask, 256 * 224);
		assert_int_equal(a.truth.n_ships, b.truth.n_ships);
		assert_true(memcmp(a.data, c.data, a.bytes) != 0);
		struct scene_spec other = spec_of(3, rgb);
		other.seed = 43;
		struct shot d = take(other);
		assert_true(memcmp(a.data, d.data, a.bytes) != 0);
		drop(&a), drop(&b), drop(&c), drop(&d);
	}
}

/* Any four in a row: an overcast sky, a clear one, sea and coast. */
static void test_variety(void **state)
{
	for (uint64_t block = 0; block < 50; block++) {
		unsigned overcast = 0, clear = 0, kinds = 0;
		for (uint64_t i = 0; i < 4; i++) {
			struct scene_spec spec = spec_of(block * 4 + i, block % 2);
			struct scene_truth truth;
			double target;
			scene_plan(&spec, &truth, &target);
			overcast += target > 0.75;
			clear += target < 0.25;
			kinds |= 1u << truth.kind;
		}
		assert_int_equal(overcast, 1);
		assert_int_equal(clear, 2);
		assert_int_equal(kinds & 3, 3);
	}
}

static void test_truth_counts(void **state)
{
	for (uint64_t i = 0; i < 8; i++) {
		struct shot s = take(spec_of(i, i % 3 == 0));
		size_t n = (size_t)s.spec.width * s.spec.height, cloud = 0, known = 0;
		double target;
		struct scene_truth plan;
		for (size_t p = 0; p < n; p++) {
			cloud += s.mask[p] == SCENE_CLASS_CLOUD;
			known += s.mask[p] >= SCENE_CLASS_WATER && s.mask[p] <= SCENE_CLASS_CLOUD;
		}
		assert_int_equal(known, n);
		assert_true(fabs((double)cloud / (double)n - s.truth.cloud_fraction) < 1e-9);
		scene_plan(&s.spec, &plan, &target);
		assert_int_equal(plan.kind, s.truth.kind);
		assert_true(fabs(s.truth.cloud_fraction - target) < 0.02);
		if (s.truth.kind == SCENE_LAND)
			assert_int_equal(s.truth.n_ships, 0);
		drop(&s);
	}
}

/* Means of the classes, as published cloud tests expect them: water dark in the infrared, clouds bright, flat
 * in the visible and high in the SWIR, shadows darker than what lies beside them. */
static void test_spectra(void **state)
{
	double sum[5][SCENE_BANDS] = {{0}};
	size_t count[5] = {0};

	for (uint64_t i = 0; i < 12; i++) {
		struct shot s = take(spec_of(i, false));
		for (size_t p = 0; p < (size_t)s.spec.width * s.spec.height; p++) {
			count[s.mask[p]]++;
			for (int b = 0; b < SCENE_BANDS; b++)
				sum[s.mask[p]][b] += dn(&s, p, b);
		}
		drop(&s);
	}
	for (int k = 1; k <= 4; k++) {
		assert_true(count[k] > 1000);
		for (int b = 0; b < SCENE_BANDS; b++)
			sum[k][b] /= (double)count[k];
	}
	const double *water = sum[SCENE_CLASS_WATER], *land = sum[SCENE_CLASS_LAND],
		     *cloud = sum[SCENE_CLASS_CLOUD];
	assert_true(water[NIR] < 500 && water[SWIR16] < 300 && water[SWIR22] < 250);
	assert_true(water[BLUE] > water[RED] && water[RED] > water[SWIR16]);
	assert_true(land[NIR] > 1500 && land[NIR] > 1.5 * land[RED] && land[SWIR16] > 1000);
	assert_true(cloud[BLUE] > 2500 && cloud[NIR] > 2500 && cloud[SWIR22] > 1000);
	assert_true(fabs(cloud[RED] / cloud[BLUE] - 1) < 0.15);
	assert_true(cloud[SWIR16] > 10 * water[SWIR16]);
	assert_true(sum[SCENE_CLASS_SHADOW][NIR] < 0.75 * land[NIR]);
}

/* Every ship that no cloud covers stands out from the water around it, inside its box. */
static void test_ships_in_the_picture(void **state)
{
	size_t seen = 0;

	for (uint64_t i = 0; i < 14; i++) {
		struct scene_spec spec = spec_of(i, false);
		spec.width = spec.height = 512;
		struct shot s = take(spec);
		for (size_t k = 0; k < s.truth.n_ships; k++) {
			const struct scene_ship *h = &s.truth.ships[k];
			assert_true(h->x0 >= 0 && h->y0 >= 0 && h->x1 < 512 && h->y1 < 512);
			assert_true(h->x0 <= h->x1 && h->y0 <= h->y1);
			assert_true(h->x >= h->x0 - 1 && h->x <= h->x1 + 2 && h->y >= h->y0 - 1 &&
				    h->y <= h->y1 + 2);
			double side = hypot(h->x1 - h->x0 + 1, h->y1 - h->y0 + 1) * spec.gsd_m;
			assert_true(side > h->length_m * 0.6 && side < h->length_m * 1.3 + 40);
			if (h->cloud > 0.02)
				continue;
			unsigned inside = 0;
			double around = 0;
			size_t n = 0;
			for (int y = h->y0 - 6; y <= h->y1 + 6; y++) {
				for (int x = h->x0 - 6; x <= h->x1 + 6; x++) {
					if (x < 0 || y < 0 || x > 511 || y > 511)
						continue;
					unsigned v = dn(&s, (size_t)y * 512 + (size_t)x, NIR);
					if (x >= h->x0 && x <= h->x1 && y >= h->y0 && y <= h->y1) {
						inside = v > inside ? v : inside;
					} else {
						around += v;
						n++;
					}
				}
			}
			assert_true(inside > 1.8 * around / (double)n);
			seen++;
		}
		drop(&s);
	}
	assert_true(seen > 15);
}

static void test_exposure_and_gain(void **state)
{
	struct scene_spec spec = spec_of(1, false);
	double mean[4] = {0};
	struct shot plain = take(spec);
	spec.exposure = 0.5;
	struct shot shorter = take(spec);
	spec.exposure = 1;
	spec.gain = 2;
	struct shot more_gain = take(spec);
	spec.gain = 1;
	spec.exposure = 40;
	struct shot burnt = take(spec);
	const struct shot *all[] = {&plain, &shorter, &more_gain, &burnt};
	size_t n = 256 * 224, full = 0;

	for (size_t p = 0; p < n; p++) {
		for (int k = 0; k < 4; k++)
			mean[k] += (double)dn(all[k], p, GREEN) / (double)n;
		full += dn(&burnt, p, GREEN) == 16000;
	}
	assert_true(fabs(mean[1] / mean[0] - 0.5) < 0.03);
	assert_true(fabs(mean[2] / mean[0] - 2) < 0.03);
	assert_true(full > n * 9 / 10); /* the sensor is full, and gives no more */
	drop(&plain), drop(&shorter), drop(&more_gain), drop(&burnt);
}

static void test_refused(void **state)
{
	struct scene_spec spec = spec_of(0, false);
	uint8_t byte = 0;

	spec.width = SCENE_SIDE_MIN - 1;
	assert_int_equal(scene_render(&spec, &byte, NULL, NULL), -EINVAL);
	spec = spec_of(0, false);
	spec.height = SCENE_SIDE_MAX + 1;
	assert_int_equal(scene_render(&spec, &byte, NULL, NULL), -EINVAL);
	spec = spec_of(0, false);
	spec.gain = NAN;
	assert_int_equal(scene_render(&spec, &byte, NULL, NULL), -EINVAL);
	spec = spec_of(0, false);
	spec.exposure = 0;
	assert_int_equal(scene_render(&spec, &byte, NULL, NULL), -EINVAL);
}

static void test_small_sizes(void **state)
{
	for (uint32_t side = SCENE_SIDE_MIN; side < 80; side += 7) {
		for (uint64_t i = 0; i < 4; i++) {
			struct scene_spec spec = spec_of(i, side % 2);
			spec.width = side;
			spec.height = 100 - side;
			if (spec.height < SCENE_SIDE_MIN)
				spec.height = SCENE_SIDE_MIN;
			struct shot s = take(spec);
			drop(&s);
		}
	}
}

static void test_written_truth(void **state)
{
	char dir[] = "/tmp/perigee-scene-XXXXXX", path[256];
	struct shot s = take(spec_of(2, false));
	CLEAN_JSON cJSON *json = NULL;
	CLEAN_FREE char *pgm = NULL;
	size_t len = 0;
	struct pam form;

	assert_non_null(mkdtemp(dir));
	assert_int_equal(scene_truth_write(dir, &s.spec, &s.truth, s.mask, "cam0-42-000003"), 0);
	(void)snprintf(path, sizeof(path), "%s/cam0-42-000003.json", dir);
	assert_int_equal(json_load(path, 1 << 20, &json), 0);
	assert_string_equal(json_str(json, "frame_id"), "cam0-42-000003");
	assert_string_equal(json_str(json, "scene"), scene_name(&s.spec));
	assert_true(fabs(json_num(json, "cloud_fraction", -1) - s.truth.cloud_fraction) < 1e-4);
	assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(json, "ships")), s.truth.n_ships);
	(void)snprintf(path, sizeof(path), "%s/cam0-42-000003_mask.pgm", dir);
	assert_int_equal(file_read(path, 1 << 20, &pgm, &len), 0);
	int head = pam_parse(pgm, len, &form);
	assert_true(head > 0);
	assert_int_equal(form.width, 256);
	assert_int_equal(form.height, 224);
	assert_memory_equal(pgm + head, s.mask, 256 * 224);
	assert_int_equal(dir_remove(dir), 0);
	drop(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same_again),
		cmocka_unit_test(test_variety),
		cmocka_unit_test(test_truth_counts),
		cmocka_unit_test(test_spectra),
		cmocka_unit_test(test_ships_in_the_picture),
		cmocka_unit_test(test_exposure_and_gain),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_small_sizes),
		cmocka_unit_test(test_written_truth),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
