/* SPDX-License-Identifier: Apache-2.0 */
/* The JSON that passes between two stages is hostile to the second. */
#include "identify.h"
#include "jsonin.h"
#include "synth.h"

static const char good[] =
	"{\"method\": \"cfar\", \"width\": 100, \"height\": 90, \"bands\": 3, \"more\": {\"a\": [1, {\"b\": "
	"null}], "
	"\"c\": \"x\\\"y\"}, \"candidates\": [\n"
	"{\"box\": [10, 20, 30, 40], \"x\": 19.5, \"y\": 29.5, \"area_px\": 77, \"length_px\": 20.1, "
	"\"width_px\": 4, "
	"\"brightness\": 1e2, \"contrast\": 30, \"peak_sigma\": 12.5, \"touching\": 0.1, \"cloud_near\": 0, "
	"\"land_near\": 0.5, \"crop\": [2, 12], \"background\": [60, 75, 70], \"sigma\": [2, 2.5, 3], "
	"\"new\": true},\n"
	"{\"box\": [0, 80, 9, 90], \"crop\": [0, 72], \"background\": [1, 1, 1], \"sigma\": [1, 1, 1]}\n]}\n";

static struct eo_candidate c[EO_CANDIDATES_MAX];

static int read_json(const char *text, size_t len)
{
	char reason[EO_REASON_BYTES] = "";
	/* An exact copy, so that a sanitizer sees a read past the end. */
	char *copy = malloc(len ? len : 1);
	uint32_t bands;
	int n;

	assert_non_null(copy);
	memcpy(copy, text, len);
	n = eo_candidates_read(copy, len, c, &bands, reason);
	free(copy);
	assert_true((n < 0) == (reason[0] != 0));
	return n;
}

static void test_good(void **unused)
{
	assert_int_equal(read_json(good, strlen(good)), 2);
	assert_true(c[0].x0 == 10 && c[0].y0 == 20 && c[0].x1 == 30 && c[0].y1 == 40);
	assert_true(c[0].x == 19.5 && c[0].area == 77 && c[0].brightness == 100 && c[0].peak_sigma == 12.5);
	assert_true(c[0].crop_x == 2 && c[0].crop_y == 12 && c[0].background[1] == 75 && c[0].sigma[2] == 3);
	assert_false(c[0].at_border_x || c[0].at_border_y);
	assert_true(c[1].at_border_x && c[1].at_border_y);
}

static void test_cut_anywhere(void **unused)
{
	/* All but the white space at the end is needed. */
	for (size_t len = 0; len + 1 < strlen(good); len++)
		assert_int_equal(read_json(good, len), -1);
}

static void test_flipped_bits(void **unused)
{
	char text[sizeof(good)];

	for (size_t bit = 0; bit < 8 * strlen(good); bit++) {
		memcpy(text, good, sizeof(good));
		text[bit / 8] ^= (char)(1 << bit % 8);
		if (read_json(text, strlen(good)) > 0)
			assert_true(c[0].x0 < c[0].x1 && c[0].x1 <= PAM_SIDE_MAX && c[0].crop_x <= c[0].x0);
	}
}

static void test_mistakes(void **unused)
{
	static const char *const bad[] = {
		"",
		"null",
		"[]",
		"{}",
		"{\"bands\": 3}",
		"{\"bands\": 3, \"candidates\": []} x",
		"{\"bands\": 4, \"candidates\": []}",
		"{\"bands\": 3, \"candidates\": [1]}",
		"{\"bands\": 3, \"candidates\": [{}]}",
		"{\"bands\": 3, \"candidates\": [{\"box\": [5, 5, 5, 6]}]}",
		"{\"bands\": 3, \"width\": 9, \"height\": 9, \"candidates\": [{\"box\": [0, 0, 5, 6, 7]}]}",
		"{\"bands\": 3, \"width\": 9, \"height\": 9, \"candidates\": [{\"box\": [0, 0, 5, -6]}]}",
		"{\"bands\": 3, \"width\": 9, \"height\": 9, \"candidates\": [{\"box\": [0, 0, 5, 6.5]}]}",
		"{\"bands\": 3, \"width\": 9, \"height\": 9, \"candidates\": [{\"box\": [0, 0, 5, 99]}]}",
		"{\"bands\": 3, \"width\": 9, \"height\": 9, \"candidates\": [{\"box\": [0, 0, 5, 6], \"x\": "
		"1e999}]}",
		"{\"bands\": 3, \"candidates\": [], \"a_key_that_is_longer_than_any_key_of_ours\": 1}",
		"{\"bands\": 3, \"candidates\": [], \"x\": [[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]}",
	};
	static char many[300 * 40];
	size_t n;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (read_json(bad[i], strlen(bad[i])) != -1)
			fail_msg("taken: %s", bad[i]);
	n = (size_t)sprintf(many, "{\"bands\": 3, \"width\": 9, \"height\": 9, \"candidates\": [");
	for (int i = 0; i < EO_CANDIDATES_MAX + 1; i++)
		n += (size_t)sprintf(many + n, "%s{\"box\": [0, 0, 5, 6]}", i ? "," : "");
	n += (size_t)sprintf(many + n, "]}");
	assert_int_equal(read_json(many, n), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_cut_anywhere),
		cmocka_unit_test(test_flipped_bits),
		cmocka_unit_test(test_mistakes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
