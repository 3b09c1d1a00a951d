/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "core/json.h"
#include "helpers.h"

static cJSON *good(const char *text)
{
	size_t len = strlen(text);
	char *exact = malloc(len + !len);
	cJSON *json = NULL;

	assert_non_null(exact);
	memcpy(exact, text, len);
	assert_int_equal(json_parse(exact, len, len, &json, NULL, NULL), 0);
	free(exact);
	assert_non_null(json);
	return json;
}

static void bad_n(const char *text, size_t len, int line, int column)
{
	char *exact = malloc(len + !len);
	cJSON *json = NULL;
	int at_line = 0, at_column = 0;

	assert_non_null(exact);
	memcpy(exact, text, len);
	if (json_parse(exact, len, len, &json, &at_line, &at_column) != ERR_FORMAT)
		fail_msg("taken: %s", text);
	free(exact);
	assert_null(json);
	if (at_line != line || at_column != column)
		fail_msg("%s: at %d:%d, expected %d:%d", text, at_line, at_column, line, column);
}

static void bad(const char *text, int line, int column)
{
	bad_n(text, strlen(text), line, column);
}

static void values(void **state)
{
	static const char *const texts[] = {"{}", "[]", "0", "-0", "-1.5e+3", "1E5", "true", "false", "null",
		"\"\"", " [ 1 , 2 ] ", "{\"a\":{\"b\":[true,null]}}",
		"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\ud83d\\ude80\"", "\"\xf0\x9f\x9a\x80\"", "\t\r\n1\n"};

	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		cJSON_Delete(good(texts[i]));
	cJSON *json = good("\"\\u00e9\\ud83d\\ude80\"");
	assert_string_equal(cJSON_GetStringValue(json), "\xc3\xa9\xf0\x9f\x9a\x80");
	cJSON_Delete(json);
}

static void mistakes_and_their_places(void **state)
{
	bad("", 1, 1);
	bad("  ", 1, 3);
	bad("{", 1, 2);
	bad("[1,]", 1, 4);
	bad("{\"a\":1,}", 1, 8);
	bad("{\"a\" 1}", 1, 6);
	bad("{a:1}", 1, 2);
	bad("[1 2]", 1, 4);
	bad("{\n  \"a\": 1,\n  \"b\": x\n}", 3, 8);
	bad("[\"\xc3\xa9\", x]", 1, 7); /* characters, not bytes */
	bad("1 2", 1, 3);
	bad("{} x", 1, 4);
	bad("[1]]", 1, 4);
	bad("01", 1, 2);
	bad("+1", 1, 1);
	bad("-", 1, 2);
	bad("1.", 1, 3);
	bad(".5", 1, 1);
	bad("1e", 1, 3);
	bad("0x10", 1, 2);
	bad("NaN", 1, 1);
	bad("Infinity", 1, 1);
	bad("tru", 1, 4);
	bad("truE", 1, 4);
	bad("nul", 1, 4);
	bad("'a'", 1, 1);
	bad("/* c */ 1", 1, 1);
	bad("\xef\xbb\xbf{}", 1, 1); /* a byte order mark: RFC 8259 section 8.1 */
	bad_n("1\0", 2, 1, 2);
	bad_n("\0", 1, 1, 1);
}

static void bad_strings(void **state)
{
	bad("\"abc", 1, 5);
	bad("\"a\nb\"", 1, 3);
	bad("\"a\\x\"", 1, 4);
	bad("\"a\\", 1, 4);
	bad("\"\\u12g4\"", 1, 6);
	bad("\"\\u12", 1, 6);
	bad("\"\\u0000\"", 1, 2); /* would end the string where C reads it */
	bad("\"\\ud83d\"", 1, 2);
	bad("\"\\ud83d\\n\"", 1, 2);
	bad("\"\\ud83d\\u0041\"", 1, 2);
	bad("\"\\ude80\"", 1, 2);
	bad("\"\xff\"", 1, 2);
	bad("\"\xed\xa0\x80\"", 1, 2);
	bad("\"\xc3\"", 1, 2);
	bad_n("\"a\0b\"", 5, 1, 3);
}

static void long_numbers(void **state)
{
	char text[80];

	memset(text, '1', sizeof(text));
	text[63] = '\0';
	cJSON_Delete(good(text));
	text[63] = '1';
	text[64] = '\0';
	bad(text, 1, 1);
}

static void limits(void **state)
{
	char text[200] = "";
	cJSON *json = NULL;

	assert_int_equal(json_parse("[1]", 3, 2, &json, NULL, NULL), ERR_LIMIT);
	memset(text, '[', JSON_DEPTH_MAX);
	memset(text + JSON_DEPTH_MAX, ']', JSON_DEPTH_MAX);
	cJSON_Delete(good(text));
	memset(text, '[', JSON_DEPTH_MAX + 1);
	memset(text + JSON_DEPTH_MAX + 1, ']', JSON_DEPTH_MAX + 1);
	assert_int_equal(json_parse(text, strlen(text), 1000, &json, NULL, NULL), ERR_LIMIT);

	/* Depth is what is open at once, not what there is. */
	char *wide = malloc(30001);
	assert_non_null(wide);
	wide[0] = '\0';
	strcat(wide, "[");
	for (size_t i = 0; i < 9999; i++)
		memcpy(wide + 1 + i * 3, "[],", 3);
	memcpy(wide + 1 + 9999 * 3, "1]", 3);
	cJSON_Delete(good(wide));
	/* And a hostile depth does not eat the stack. */
	memset(wide, '[', 30000);
	assert_int_equal(json_parse(wide, 30000, 30000, &json, NULL, NULL), ERR_LIMIT);
	free(wide);
	assert_null(json);
}

static void members(void **state)
{
	cJSON *json = good(
		"{\"s\":\"text\",\"n\":1.5,\"i\":-7,\"big\":9007199254740992,\"bigger\":9007199254740994,"
		"\"huge\":1e999,\"S\":1,\"b\":true,\"l\":[1]}");

	assert_string_equal(json_str(json, "s"), "text");
	assert_null(json_str(json, "n"));
	assert_null(json_str(json, "none"));
	assert_true(json_num(json, "n", 0) == 1.5);
	assert_true(json_num(json, "s", 9) == 9);
	assert_true(json_num(json, "S", 9) == 1); /* case matters */
	assert_true(json_num(json, "b", 9) == 9);
	assert_true(json_num(json, "huge", 9) == 9);
	assert_true(json_int(json, "i", 0) == -7);
	assert_true(json_int(json, "n", 3) == 3);
	assert_true(json_int(json, "big", 3) == INT64_C(9007199254740992));
	assert_true(json_int(json, "bigger", 3) == 3);
	assert_true(json_int(json, "huge", 3) == 3);
	assert_true(json_int(json, "l", 3) == 3);
	assert_true(json_int(NULL, "l", 3) == 3);
	assert_null(json_str(NULL, "s"));
	cJSON_Delete(json);
}

static void files(void **state)
{
	char path[64];
	cJSON *json = NULL;

	snprintf(path, sizeof(path), "%s/f", (char *)*state);
	assert_int_equal(json_load(path, 100, &json), -ENOENT);
	assert_int_equal(file_replace(path, "{\"a\":1}\n", 8, 0600), 0);
	assert_int_equal(json_load(path, 7, &json), ERR_LIMIT);
	assert_int_equal(json_load(path, 8, &json), 0);
	assert_true(json_int(json, "a", 0) == 1);
	cJSON_Delete(json);
	json = NULL;
	assert_int_equal(file_replace(path, "{\"a\":1", 6, 0600), 0);
	assert_int_equal(json_load(path, 8, &json), ERR_FORMAT);
	assert_null(json);
}

/* Cut and flipped at every place: what is taken, cJSON takes; the rest says where within the text. */
static void damaged_everywhere(void **state)
{
	static const char text[] = "{\"a\":[1,-2.5e3,\"x\\u00e9\\n\"],\n\"b\":{\"c\":null,\"d\":true}}";
	size_t len = sizeof(text) - 1;

	for (size_t i = 0; i < len * 9; i++) {
		char copy[sizeof(text)];
		size_t n = len;
		memcpy(copy, text, len);
		if (i < len)
			n = i;
		else
			copy[(i - len) / 8] ^= (char)(1 << (i - len) % 8);
		char *exact = malloc(n + !n);
		assert_non_null(exact);
		memcpy(exact, copy, n);
		cJSON *json = NULL;
		int line = 0, column = 0;
		int r = json_parse(exact, n, n, &json, &line, &column);
		assert_true(r == 0 || r == ERR_FORMAT);
		assert_true(r == 0 ? json && !line : !json && line >= 1 && line <= 4 && column >= 1);
		if (i < len)
			assert_int_equal(r, ERR_FORMAT);
		cJSON_Delete(json);
		free(exact);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values),
		cmocka_unit_test(mistakes_and_their_places),
		cmocka_unit_test(bad_strings),
		cmocka_unit_test(long_numbers),
		cmocka_unit_test(limits),
		cmocka_unit_test(members),
		cmocka_unit_test_setup_teardown(files, setup_dir, teardown_dir),
		cmocka_unit_test(damaged_everywhere),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
