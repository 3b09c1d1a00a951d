/* SPDX-License-Identifier: Apache-2.0 */
#include "data.h"

#include "core/json.h"
#include "results.h"

static char out[PATH_MAX];

static int setup(void **state)
{
	struct results r;
	folder_make(out);
	assert_int_equal(results_open(out, &r), 0);
	results_finish(&r);
	return 0;
}

static int teardown(void **state)
{
	folder_remove(out);
	return 0;
}

/* The item made of a run whose frame has these attributes. */
static cJSON *item_of(const char *attrs)
{
	char text[2048], path[PATH_MAX];
	cJSON *item = NULL;
	snprintf(text, sizeof(text),
		"{\"run\":3,\"spacecraft\":\"SAT\",\"mission\":\"demo\",\"received\":\"2026-01-02T03:04:"
		"05Z\",\"products\":[],"
		"\"batches\":[\"SAT-000001\"],\"provenance\":{\"event\":{\"device\":\"cam0\",\"attrs\":%s}}}",
		attrs);
	CLEAN_JSON cJSON *run = cJSON_Parse(text);
	assert_non_null(run);
	assert_int_equal(stac_item(out, "3", run), 0);
	assert_true(path_format(path, sizeof(path), "%s/stac/SAT-run-3.json", out) >= 0);
	assert_int_equal(json_load(path, 1 << 20, &item), 0);
	return item;
}

static double nth(const cJSON *list, int i)
{
	return cJSON_GetArrayItem(list, i)->valuedouble;
}

static void test_footprint(void **state)
{
	CLEAN_JSON cJSON *item =
		item_of("{\"frame_latitude\":60,\"frame_longitude\":\"10\",\"frame_gsd_m\":\"10\","
			"\"frame_width\":1000,\"frame_height\":\"2000\"}");
	const cJSON *bbox = cJSON_GetObjectItem(item, "bbox"), *g = cJSON_GetObjectItem(item, "geometry");
	/* 10 km wide and 20 km high; at 60 degrees a degree of longitude is half as long. */
	double width = nth(bbox, 2) - nth(bbox, 0), height = nth(bbox, 3) - nth(bbox, 1);
	assert_true(width > 0.1796 && width < 0.1797);
	assert_true(height > 0.1796 && height < 0.1797);
	assert_true(nth(bbox, 1) < 60 && nth(bbox, 3) > 60 && nth(bbox, 0) < 10 && nth(bbox, 2) > 10);
	assert_string_equal(json_str(g, "type"), "Polygon");
	const cJSON *ring = cJSON_GetArrayItem(cJSON_GetObjectItem(g, "coordinates"), 0);
	assert_int_equal(cJSON_GetArraySize(ring), 5);
	assert_true(cJSON_Compare(cJSON_GetArrayItem(ring, 0), cJSON_GetArrayItem(ring, 4), true));
	double area = 0; /* counter-clockwise: RFC 7946 */
	for (int i = 0; i < 4; i++) {
		const cJSON *a = cJSON_GetArrayItem(ring, i), *b = cJSON_GetArrayItem(ring, i + 1);
		area += nth(a, 0) * nth(b, 1) - nth(b, 0) * nth(a, 1);
	}
	assert_true(area > 0);
	/* Without a time of the event, the time of receipt stands in. */
	assert_string_equal(
		json_str(cJSON_GetObjectItem(item, "properties"), "datetime"), "2026-01-02T03:04:05Z");
}

static void test_antimeridian(void **state)
{
	CLEAN_JSON cJSON *item =
		item_of("{\"frame_latitude\":0,\"frame_longitude\":179.99,\"frame_gsd_m\":10,"
			"\"frame_width\":1000,\"frame_height\":1000}");
	const cJSON *bbox = cJSON_GetObjectItem(item, "bbox"), *g = cJSON_GetObjectItem(item, "geometry");
	assert_string_equal(json_str(g, "type"), "MultiPolygon");
	assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(g, "coordinates")), 2);
	assert_true(nth(bbox, 0) > 179 && nth(bbox, 2) < -179);
}

static void test_pole(void **state)
{
	CLEAN_JSON cJSON *item = item_of("{\"frame_latitude\":90,\"frame_longitude\":0,\"frame_gsd_m\":10,"
					 "\"frame_width\":1000,\"frame_height\":1000}");
	const cJSON *bbox = cJSON_GetObjectItem(item, "bbox");
	assert_true(nth(bbox, 0) == -180 && nth(bbox, 2) == 180 && nth(bbox, 3) == 90);
}

/* A place that is not known, or nonsense: no geometry, no bbox, and still an item. */
static void test_nowhere(void **state)
{
	static const char *const attrs[] = {
		"{}",
		"null",
		"{\"frame_latitude\":\"nan\",\"frame_longitude\":0,\"frame_gsd_m\":1,\"frame_width\":1,"
		"\"frame_height\":1}",
		"{\"frame_latitude\":91,\"frame_longitude\":0,\"frame_gsd_m\":1,\"frame_width\":1,\"frame_"
		"height\":1}",
		"{\"frame_latitude\":\"1 "
		"N\",\"frame_longitude\":0,\"frame_gsd_m\":1,\"frame_width\":1,\"frame_height\":1}",
		"{\"frame_latitude\":\"\",\"frame_longitude\":0,\"frame_gsd_m\":1,\"frame_width\":1,\"frame_"
		"height\":1}",
		"{\"frame_latitude\":1,\"frame_longitude\":0,\"frame_gsd_m\":0,\"frame_width\":1,\"frame_"
		"height\":1}",
	};
	for (size_t i = 0; i < ARRAY_LEN(attrs); i++) {
		CLEAN_JSON cJSON *item = item_of(attrs[i]);
		assert_true(cJSON_IsNull(cJSON_GetObjectItem(item, "geometry")));
		assert_null(cJSON_GetObjectItem(item, "bbox"));
		assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(item, "stac_extensions")), 2);
		assert_null(cJSON_GetObjectItem(cJSON_GetObjectItem(item, "properties"), "eo:cloud_cover"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_footprint, setup, teardown),
		cmocka_unit_test_setup_teardown(test_antimeridian, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pole, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nowhere, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
