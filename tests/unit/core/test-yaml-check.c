/* SPDX-License-Identifier: Apache-2.0 */
/* The readers that complain, and the quantities. */
#include <math.h>

#include "core/yaml.h"
#include "helpers.h"

static struct complaints c;
static struct ynode *root;
static int value_column;

static int setup(void **state)
{
	root = NULL;
	return complaints_init(&c, "ship-count.yaml");
}

static int teardown(void **state)
{
	yaml_destroy(root);
	complaints_finish(&c);
	return 0;
}

/* The value of k in a file with `k: VALUE`. */
static struct ynode *value(const char *text)
{
	char file[512];

	teardown(NULL);
	assert_int_equal(setup(NULL), 0);
	snprintf(file, sizeof(file), "k: %s\n", text);
	value_column = *text ? 4 : 3; /* nothing is right behind the colon */
	root = yaml_parse(file, strlen(file), &c);
	assert_non_null(root);
	return y_get(root, "k");
}

/* The only complaint since the last value(). */
static const char *complaint(void)
{
	assert_int_equal(c.total, 1);
	assert_int_equal(c.item[0].line, 1);
	assert_int_equal(c.item[0].column, value_column);
	return c.item[0].text;
}

static void the_form_of_a_complaint(void **state)
{
	const char *file = "\n\n\n\n\n\n\n\n\n\n\n\nstages:\n       memory: 64 megs\n";
	char text[256] = "";
	uint64_t v;

	root = yaml_parse(file, strlen(file), &c);
	assert_false(y_size(&c, y_get(y_get(root, "stages"), "memory"), UINT64_MAX, &v));
	FILE *f = fmemopen(text, sizeof(text), "w");
	complaints_print(&c, f);
	fclose(f);
	assert_string_equal(
		text, "ship-count.yaml:14:16: memory: expected a size such as 64MiB, found \"64 megs\"\n");
}

static void a_missing_node_is_silent(void **state)
{
	const char *text = "t";
	int64_t i = 1;
	uint64_t u = 2;
	double d = 3;
	bool b = true;

	assert_false(y_is(&c, NULL, YNODE_MAP));
	assert_false(y_text(&c, NULL, &text));
	assert_false(y_name(&c, NULL, &text));
	assert_false(y_file_name(&c, NULL, &text));
	assert_false(y_int(&c, NULL, 0, 1, &i));
	assert_false(y_number(&c, NULL, 0, 1, &d));
	assert_false(y_bool(&c, NULL, &b));
	assert_false(y_size(&c, NULL, 1, &u));
	assert_false(y_duration(&c, NULL, 1, &i));
	assert_false(y_energy(&c, NULL, 1, &d));
	assert_null(y_get(NULL, "k"));
	assert_null(y_need(&c, NULL, "k"));
	y_no_others(&c, NULL, NULL, 0);
	assert_int_equal(c.total, 0);
	assert_true(strcmp(text, "t") == 0 && i == 1 && u == 2 && d == 3 && b);
}

static void need(void **state)
{
	struct ynode *n = value("{a: 1}");

	assert_non_null(y_need(&c, n, "a"));
	assert_int_equal(c.total, 0);
	assert_null(y_need(&c, n, "image"));
	assert_string_equal(complaint(), "k: expected the key \"image\", found none");
	n = value("[a]");
	assert_null(y_need(&c, n, "image"));
	assert_string_equal(complaint(), "k: expected a mapping, found a list");
	assert_null(y_get(n, "a"));
}

static void no_others(void **state)
{
	static const char *const known[] = {"image", "memory", "retry"};
	struct ynode *n = value("{image: a, memroy: b, zzz: c, retry: d}");

	assert_non_null(y_get(n, "image"));
	y_no_others(&c, n, known, ARRAY_LEN(known));
	assert_int_equal(c.total, 3);
	assert_string_equal(c.item[0].text, "memroy: not a known key, did you mean \"memory\"?");
	assert_int_equal(c.item[0].column, 15); /* the key, not the value */
	assert_string_equal(c.item[1].text, "zzz: not a known key");
	assert_string_equal(c.item[2].text, "retry: not expected here");
	y_no_others(&c, n->first, known, ARRAY_LEN(known)); /* not a mapping: nothing to say */
	assert_int_equal(c.total, 3);
}

static void kinds(void **state)
{
	assert_true(y_is(&c, value("x"), YNODE_SCALAR));
	assert_false(y_is(&c, root, YNODE_SEQ));
	assert_string_equal(c.item[0].text, "expected a list, found a mapping");
	assert_false(y_is(&c, value("x"), YNODE_MAP));
	assert_string_equal(complaint(), "k: expected a mapping, found \"x\"");
	assert_false(y_is(&c, value(""), YNODE_MAP));
	assert_string_equal(complaint(), "k: expected a mapping, found nothing");
	assert_false(y_is(&c, value("{}"), YNODE_SCALAR));
	assert_string_equal(complaint(), "k: expected a single value, found a mapping");
}

static void texts(void **state)
{
	const char *text;

	assert_true(y_text(&c, value("hello world"), &text));
	assert_string_equal(text, "hello world");
	assert_true(y_text(&c, value("''"), &text));
	assert_string_equal(text, "");
	assert_false(y_text(&c, value(""), &text));
	assert_string_equal(complaint(), "k: expected a text, found nothing");
	assert_false(y_text(&c, value("[]"), &text));
	assert_string_equal(complaint(), "k: expected a text, found a list");
	/* What is found is cut, between characters. */
	char many[200] = "'";
	for (int i = 0; i < 31; i++)
		strcat(many, "\xe2\x82\xac");
	strcat(many, "'");
	assert_false(y_name(&c, value(many), &text));
	const char *end = strstr(complaint(), "\xe2\x82\xac...\"");
	assert_non_null(end);
	assert_string_equal(end, "\xe2\x82\xac...\"");
}

static void names(void **state)
{
	static const char *const good[] = {"a", "ship-count", "cam0", "a-",
		"a23456789012345678901234567890123456789012345678901234567890123"};
	static const char *const bad[] = {"", "''", "A", "0a", "-a", "a_b", "a.b", "a/b", "'a b'", "\xc3\xa9",
		"[a]", "a234567890123456789012345678901234567890123456789012345678901234"};
	const char *text;

	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		assert_true(y_name(&c, value(good[i]), &text));
		assert_string_equal(text, good[i]);
		assert_int_equal(c.total, 0);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_false(y_name(&c, value(bad[i]), &text));
		assert_non_null(strstr(complaint(), "k: expected a name ("));
	}
}

static void file_names(void **state)
{
	static const char *const good[] = {"a", "A", "0", "mask.pam", "a_b-c.tar.gz", "a..b",
		"a23456789012345678901234567890123456789012345678901234567890123"};
	static const char *const bad[] = {"", "'.'", "'..'", "'.a'", "'-a'", "_a", "a/b", "'a b'", "'a\\n'",
		"{}", "\"a\\n\"", "a234567890123456789012345678901234567890123456789012345678901234"};
	const char *text;

	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		assert_true(y_file_name(&c, value(good[i]), &text));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_false(y_file_name(&c, value(bad[i]), &text));
		assert_non_null(strstr(complaint(), "k: expected a file name ("));
	}
}

static void integers(void **state)
{
	static const char *const bad[] = {"", "x", "1.0", "1e3", "+1", "010", "0x10", "-x", "--1", "1 2",
		"'1'", "256", "-1", "99999999999999999999", "-99999999999999999999", "[1]", "1_000"};
	int64_t v;

	assert_true(y_int(&c, value("160"), 0, 255, &v) && v == 160);
	assert_true(y_int(&c, value("0"), 0, 255, &v) && v == 0);
	assert_true(y_int(&c, value("255"), 0, 255, &v) && v == 255);
	assert_true(y_int(&c, value("-7"), -7, 0, &v) && v == -7);
	assert_true(y_int(&c, value("9223372036854775807"), INT64_MIN, INT64_MAX, &v) && v == INT64_MAX);
	assert_true(y_int(&c, value("-9223372036854775808"), INT64_MIN, INT64_MAX, &v) && v == INT64_MIN);
	assert_false(y_int(&c, value("9223372036854775808"), INT64_MIN, INT64_MAX, &v));
	v = 42;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_false(y_int(&c, value(bad[i]), 0, 255, &v));
		assert_non_null(strstr(complaint(), "k: expected a whole number from 0 to 255, found "));
		assert_true(v == 42);
	}
}

static void numbers(void **state)
{
	static const char *const bad[] = {"", "x", ".5", "1.", "nan", ".nan", "inf", ".inf", "1e", "0x1p3",
		"1.1", "-0.1", "'0.5'", "1e999", "0,5"};
	double v;

	assert_true(y_number(&c, value("0.25"), 0, 1, &v) && v == 0.25);
	assert_true(y_number(&c, value("1"), 0, 1, &v) && v == 1);
	assert_true(y_number(&c, value("5e-1"), 0, 1, &v) && v == 0.5);
	assert_true(y_number(&c, value("-2.5E+1"), -100, 1, &v) && v == -25);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_false(y_number(&c, value(bad[i]), 0, 1, &v));
		assert_non_null(strstr(complaint(), "k: expected a number from 0 to 1, found "));
	}
}

static void booleans(void **state)
{
	static const char *const bad[] = {"", "yes", "no", "on", "True", "1", "'true'", "[true]"};
	bool v = false;

	assert_true(y_bool(&c, value("true"), &v) && v);
	assert_true(y_bool(&c, value("false"), &v) && !v);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_false(y_bool(&c, value(bad[i]), &v));
		assert_non_null(strstr(complaint(), "k: expected true or false, found "));
	}
}

static void sizes(void **state)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} good[] = {
		{"0B", 0},
		{"512B", 512},
		{"4KiB", 4096},
		{"64MiB", 64u << 20},
		{"1GiB", 1u << 30},
		{"2TiB", UINT64_C(2) << 40},
		{"2MB", 2000000},
		{"3kB", 3000},
		{"1GB", 1000000000},
		{"1TB", UINT64_C(1000000000000)},
		{"1.5KiB", 1536},
		{"0.25MiB", 262144},
		{"9223372036854775807B", INT64_MAX},
	};
	static const char *const bad[] = {"", "64", "MiB", "64 MiB", "64 megs", "64MiBs", "64mib", "64KB",
		"64K", "-1B", "+1B", "1.B", ".5KiB", "0.5B", "1.0000000001KiB", "1e3B", "0x10B",
		"9223372036854775808B", "18446744073709551617B", "99999999999999999999999B", "8388608TiB",
		"64MiB ", " 64MiB", "1,5KiB"};
	uint64_t v;

	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		assert_int_equal(parse_size(good[i].text, &v), 0);
		assert_true(v == good[i].bytes);
	}
	v = 42;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(parse_size(bad[i], &v), ERR_FORMAT);
	assert_true(v == 42);

	assert_true(y_size(&c, value("64MiB"), 64u << 20, &v) && v == 64u << 20);
	assert_false(y_size(&c, value("65MiB"), 64u << 20, &v));
	assert_string_equal(complaint(), "k: expected at most 64MiB, found \"65MiB\"");
	assert_false(y_size(&c, value("2KiB"), 1000, &v));
	assert_string_equal(complaint(), "k: expected at most 1000B, found \"2KiB\"");
	assert_false(y_size(&c, value("1B"), 0, &v));
	assert_string_equal(complaint(), "k: expected at most 0B, found \"1B\"");
	assert_false(y_size(&c, value("{max: 4KiB}"), 1000, &v));
	assert_string_equal(complaint(), "k: expected a size such as 64MiB, found a mapping");
	assert_true(v == 64u << 20);
}

static void durations(void **state)
{
	static const struct {
		const char *text;
		int64_t ns;
	} good[] = {
		{"0s", 0},
		{"1ns", 1},
		{"2us", 2000},
		{"250ms", 250000000},
		{"30s", INT64_C(30000000000)},
		{"1.5s", INT64_C(1500000000)},
		{"20m", INT64_C(1200000000000)},
		{"2h", INT64_C(7200000000000)},
		{"7d", INT64_C(604800000000000)},
	};
	static const char *const bad[] = {
		"", "30", "s", "30 s", "30sec", "30S", "-1s", "1.5ns", "106752d", "1m30s"};
	int64_t v;

	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		assert_int_equal(parse_duration(good[i].text, &v), 0);
		assert_true(v == good[i].ns);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(parse_duration(bad[i], &v), ERR_FORMAT);
	assert_true(y_duration(&c, value("20m"), INT64_C(1200000000000), &v));
	assert_false(y_duration(&c, value("21m"), INT64_C(1200000000000), &v));
	assert_string_equal(complaint(), "k: expected at most 20m, found \"21m\"");
	assert_false(y_duration(&c, value("soon"), INT64_MAX, &v));
	assert_string_equal(complaint(), "k: expected a duration such as 30s, found \"soon\"");
}

static void energies(void **state)
{
	static const char *const bad[] = {"", "60", "J", "60 J", "60j", "-1J", "1e3J", "60Wh", "nanJ"};
	double v;

	assert_int_equal(parse_energy("60J", &v), 0);
	assert_true(v == 60);
	assert_int_equal(parse_energy("1.5kJ", &v), 0);
	assert_true(v == 1500);
	assert_int_equal(parse_energy("250mJ", &v), 0);
	assert_true(v == 0.25);
	assert_int_equal(parse_energy("2MJ", &v), 0);
	assert_true(v == 2e6);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(parse_energy(bad[i], &v), ERR_FORMAT);
	assert_true(y_energy(&c, value("60J"), 60, &v) && v == 60);
	assert_false(y_energy(&c, value("61J"), 60, &v));
	assert_string_equal(complaint(), "k: expected at most 60J, found \"61J\"");
	assert_false(y_energy(&c, value("much"), 60, &v));
	assert_string_equal(complaint(), "k: expected an energy such as 60J, found \"much\"");
}

#define WITH_COMPLAINTS(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_COMPLAINTS(the_form_of_a_complaint),
		WITH_COMPLAINTS(a_missing_node_is_silent),
		WITH_COMPLAINTS(need),
		WITH_COMPLAINTS(no_others),
		WITH_COMPLAINTS(kinds),
		WITH_COMPLAINTS(texts),
		WITH_COMPLAINTS(names),
		WITH_COMPLAINTS(file_names),
		WITH_COMPLAINTS(integers),
		WITH_COMPLAINTS(numbers),
		WITH_COMPLAINTS(booleans),
		WITH_COMPLAINTS(sizes),
		WITH_COMPLAINTS(durations),
		WITH_COMPLAINTS(energies),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
