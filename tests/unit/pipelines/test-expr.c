/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/json.h"
#include "expr.h"

static int resolve(void *user, const char *stage, const char *output, size_t *ret_stage, size_t *ret_output,
	char ret_reason[EXPR_REASON_BYTES])
{
	if (strcmp(stage, "cloud") && strcmp(stage, "cloud-2")) {
		snprintf(ret_reason, EXPR_REASON_BYTES, "no stage %s", stage);
		return ERR_UNKNOWN;
	}
	assert_string_equal(output, "report");
	*ret_stage = 7;
	*ret_output = 3;
	return 0;
}

static cJSON *report;

static const cJSON *value(void *user, size_t stage, size_t output)
{
	assert_int_equal(stage, 7);
	assert_int_equal(output, 3);
	return report;
}

static int setup(void **state)
{
	report = cJSON_Parse("{\"f\": 0.25, \"n\": 3, \"name\": \"bay\", \"ok\": true, \"none\": null,"
			     " \"list\": [1, {\"x\": 5}], \"a-b\": 1}");
	return report ? 0 : -1;
}

static int teardown(void **state)
{
	cJSON_Delete(report);
	return 0;
}

static void test_truth(void **state)
{
	static const struct {
		const char *text;
		int truth;
	} cases[] = {
		{"cloud.report.f < 0.7", 1},
		{"cloud.report.f>=0.7", 0},
		{"cloud-2.report.n == 3", 1},
		{"1 + 2 * 3 == 7", 1},
		{"(1 + 2) * 3 == 7", 0},
		{"8 / 4 / 2 == 1", 1},
		{"5 - 2 - 1 == 2", 1},
		{"-cloud.report.n < 0", 1},
		{"- -3 == 3", 1},
		{"1 < 2 and 3 < 2", 0},
		{"1 < 2 or 3 < 2", 1},
		{"false and true or true", 1},
		{"true or true and false", 1},
		{"not 1 == 2", 1},
		{"!(1 == 1)", 0},
		{"not not true", 1},
		{"1 == 1 && 2 == 2", 1},
		{"false || false", 0},
		{"cloud.report.name == 'bay'", 1},
		{"cloud.report.name != \"bay\"", 0},
		{"'a' < 'b'", 1},
		{"cloud.report.ok", 1},
		{"cloud.report.ok == false", 0},
		{"cloud.report.none == cloud.report.none", 1},
		{"cloud.report.n == cloud.report.none", 0},
		{"cloud.report.n != cloud.report.none", 1},
		{"cloud.report.list[0] == 1", 1},
		{"cloud.report.list[1].x == 5", 1},
		{"cloud.report.a-b == 1", 1},
		{"cloud.report.n -1 == 2", 1},
		/* decided by the left side: the mistake on the right is not met */
		{"false and cloud.report.missing", 0},
		{"true or cloud.report.missing", 1},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char why[EXPR_REASON_BYTES];
		struct expr *e;
		size_t at;
		int r = expr_parse(cases[i].text, resolve, NULL, &e, why, &at);
		if (r < 0)
			fail_msg("%s: %s", cases[i].text, why);
		r = expr_truth(e, value, NULL, why);
		if (r != cases[i].truth)
			fail_msg("%s: %d, %s", cases[i].text, r, why);
		expr_destroy(e);
	}
}

static void test_mistakes_of_writing_have_a_place(void **state)
{
	static const struct {
		const char *text;
		size_t at;
		const char *why;
	} cases[] = {
		{"", 0, "the end"},
		{"1 <", 3, "the end"},
		{"1 < < 2", 4, "found \"<\""},
		{"(1 < 2", 6, "\")\""},
		{"1 2", 2, "operator"},
		{"clod.report.f < 1", 0, "no stage clod"},
		{"cloud < 1", 0, "STAGE.OUTPUT"},
		{"1 < 'a", 4, "found"},
		{"1 & 2", 2, "found \"&\""},
		{"and", 0, "found \"and\""},
		{"3x < 1", 0, "found"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char why[EXPR_REASON_BYTES];
		struct expr *e;
		size_t at;
		assert_int_equal(expr_parse(cases[i].text, resolve, NULL, &e, why, &at), ERR_FORMAT);
		if (at != cases[i].at || !strstr(why, cases[i].why))
			fail_msg("%s: at %zu: %s", cases[i].text, at, why);
	}
}

static void test_mistakes_of_meaning_have_a_reason(void **state)
{
	static const struct {
		const char *text, *why;
	} cases[] = {
		{"cloud.report.missing < 1", "cloud.report.missing: there is no such member"},
		{"cloud.report.list < 1", "a list or an object"},
		{"cloud.report.list[9] == 1", "no such member"},
		{"cloud.report.name < 1", "different types"},
		{"cloud.report.ok < true", "different types"},
		{"cloud.report.name + 1 == 2", "only numbers"},
		{"cloud.report.n / 0 == 1", "division by zero"},
		{"cloud.report.n and true", "need true or false"},
		{"cloud.report.n", "expected true or false"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char why[EXPR_REASON_BYTES];
		struct expr *e;
		size_t at;
		assert_int_equal(expr_parse(cases[i].text, resolve, NULL, &e, why, &at), 0);
		assert_int_equal(expr_truth(e, value, NULL, why), ERR_FORMAT);
		if (!strstr(why, cases[i].why))
			fail_msg("%s: %s", cases[i].text, why);
		expr_destroy(e);
	}
}

static void test_says_what_the_values_were(void **state)
{
	char why[EXPR_REASON_BYTES];
	struct expr *e;
	size_t at;

	assert_int_equal(expr_parse("cloud.report.f > 0.7", resolve, NULL, &e, why, &at), 0);
	assert_int_equal(expr_truth(e, value, NULL, why), 0);
	assert_string_equal(why, "cloud.report.f is 0.25");
	expr_destroy(e);
}

static void test_limits(void **state)
{
	char why[EXPR_REASON_BYTES], text[EXPR_BYTES_MAX + 2];
	struct expr *e;
	size_t at;

	memset(text, '(', sizeof(text));
	text[1000] = '\0';
	assert_int_equal(expr_parse(text, resolve, NULL, &e, why, &at), ERR_FORMAT);
	assert_non_null(strstr(why, "deeper"));
	memset(text, '-', 1000);
	assert_int_equal(expr_parse(text, resolve, NULL, &e, why, &at), ERR_FORMAT);
	for (size_t i = 0; i + 4 < sizeof(text); i += 4)
		memcpy(text + i, "not ", 5);
	assert_int_equal(expr_parse(text, resolve, NULL, &e, why, &at), ERR_FORMAT);
	for (size_t i = 0; i + 2 < 1000; i += 2)
		memcpy(text + i, "1+", 3);
	assert_int_equal(expr_parse(text, resolve, NULL, &e, why, &at), ERR_FORMAT);
	assert_non_null(strstr(why, "at most"));
	memset(text, ' ', EXPR_BYTES_MAX + 1);
	text[EXPR_BYTES_MAX + 1] = '\0';
	assert_int_equal(expr_parse(text, resolve, NULL, &e, why, &at), ERR_FORMAT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_truth),
		cmocka_unit_test(test_mistakes_of_writing_have_a_place),
		cmocka_unit_test(test_mistakes_of_meaning_have_a_reason),
		cmocka_unit_test(test_says_what_the_values_were),
		cmocka_unit_test(test_limits),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
