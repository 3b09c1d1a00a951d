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

/* Parameters by their types: number, mode (a text), flag, tiles (a list). */
static int param(void *user, const char *name, enum expr_type *ret_type, char ret_reason[EXPR_REASON_BYTES])
{
	static const char *const names[] = {
		[EXPR_NUMBER] = "limit", [EXPR_TEXT] = "mode", [EXPR_BOOL] = "flag", [EXPR_LIST] = "tiles"};

	for (int i = EXPR_NUMBER; i <= EXPR_LIST; i++)
		if (!strcmp(names[i], name)) {
			*ret_type = (enum expr_type)i;
			return 0;
		}
	snprintf(ret_reason, EXPR_REASON_BYTES, "no parameter %s", name);
	return ERR_UNKNOWN;
}

static const struct expr_names names = {.output = resolve, .param = param, .item = true};
static cJSON *report, *params, *item;

static const cJSON *value(void *user, size_t stage, size_t output)
{
	assert_int_equal(stage, 7);
	assert_int_equal(output, 3);
	return report;
}

static int truth_of(const struct expr *e, char why[EXPR_REASON_BYTES])
{
	return expr_truth(
		e, &(struct expr_scope){.value = value, .params = params, .item = item, .index = 3}, why);
}

static int setup(void **state)
{
	params = cJSON_Parse("{\"limit\": 0.5, \"mode\": \"fast\", \"flag\": true, \"tiles\": []}");
	item = cJSON_Parse("{\"area\": 120, \"parts\": [{\"kind\": \"bow\"}]}");
	report = cJSON_Parse("{\"f\": 0.25, \"n\": 3, \"name\": \"bay\", \"ok\": true, \"none\": null,"
			     " \"list\": [1, {\"x\": 5}], \"a-b\": 1}");
	return report && params && item ? 0 : -1;
}

static int teardown(void **state)
{
	cJSON_Delete(report);
	cJSON_Delete(params);
	cJSON_Delete(item);
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
		{"cloud.report.f < params.limit", 1},
		{"params.mode == 'fast' and params.flag", 1},
		{"item.area > 100", 1},
		{"item.parts[0].kind == 'bow'", 1},
		{"index == 3", 1},
		{"index / 2 > 1", 1},
		/* decided by the left side: the mistake on the right is not met */
		{"false and cloud.report.missing", 0},
		{"true or cloud.report.missing", 1},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char why[EXPR_REASON_BYTES];
		struct expr *e;
		size_t at;
		int r = expr_parse(cases[i].text, &names, &e, why, &at);
		if (r < 0)
			fail_msg("%s: %s", cases[i].text, why);
		r = truth_of(e, why);
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
		{"params.limt < 1", 0, "no parameter limt"},
		{"params.limit.x < 1", 0, "params.NAME"},
		{"params < 1", 0, "STAGE.OUTPUT"},
		{"index.x < 1", 0, "no members"},
		/* types that are known before anything runs */
		{"1 < 2 and params.limit", 10, "expected true or false, this is a number"},
		{"params.limit < 'a'", 13, "a number and a text cannot be compared"},
		{"params.mode == 1", 12, "cannot be compared"},
		{"params.flag < true", 12, "no order"},
		{"not params.mode", 4, "expected true or false, this is a text"},
		{"1 + params.mode == 2", 4, "expected a number, this is a text"},
		{"-params.flag == 2", 1, "expected a number"},
		{"index", 0, "expected true or false"},
		{"params.limit", 0, "expected true or false"},
		{"params.tiles == 1", 0, "is a list"},
		{"cloud.report.n / 0 == 1", 15, "division by zero"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char why[EXPR_REASON_BYTES];
		struct expr *e;
		size_t at;
		assert_int_equal(expr_parse(cases[i].text, &names, &e, why, &at), ERR_FORMAT);
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
		{"cloud.report.ok < cloud.report.ok", "different types"},
		{"item.missing == 1", "item.missing: there is no such member"},
		{"item.parts[9].kind == 'a'", "item.parts[9]: there is no such member"},
		{"item.parts[99999999999999999999] == 1", "no such member"},
		{"item == 1", "a list or an object"},
		{"cloud.report.name + 1 == 2", "only numbers"},
		{"cloud.report.n / (index - 3) == 1", "division by zero"},
		{"cloud.report.n and true", "need true or false"},
		{"cloud.report.n", "expected true or false"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char why[EXPR_REASON_BYTES];
		struct expr *e;
		size_t at;
		assert_int_equal(expr_parse(cases[i].text, &names, &e, why, &at), 0);
		assert_int_equal(truth_of(e, why), ERR_FORMAT);
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

	assert_int_equal(expr_parse("cloud.report.f > 0.7", &names, &e, why, &at), 0);
	assert_int_equal(truth_of(e, why), 0);
	assert_string_equal(why, "cloud.report.f is 0.25");
	expr_destroy(e);
}

static void test_an_element_is_known_only_where_there_is_one(void **state)
{
	const struct expr_names without = {.output = resolve, .param = param};
	char why[EXPR_REASON_BYTES];
	struct expr *e;
	size_t at;

	assert_int_equal(expr_parse("1 < item.area", &without, &e, why, &at), ERR_FORMAT);
	assert_int_equal(at, 4);
	assert_non_null(strstr(why, "no foreach"));
	assert_int_equal(expr_parse("index == 0", &without, &e, why, &at), ERR_FORMAT);
	assert_int_equal(expr_parse("item.area > 1", &names, &e, why, &at), 0);
	assert_true(expr_reads_item(e));
	expr_destroy(e);
	assert_int_equal(expr_parse("params.limit > 1", &names, &e, why, &at), 0);
	assert_false(expr_reads_item(e));
	expr_destroy(e);
}

static void test_limits(void **state)
{
	char why[EXPR_REASON_BYTES], text[EXPR_BYTES_MAX + 2];
	struct expr *e;
	size_t at;

	memset(text, '(', sizeof(text));
	text[1000] = '\0';
	assert_int_equal(expr_parse(text, &names, &e, why, &at), ERR_FORMAT);
	assert_non_null(strstr(why, "deeper"));
	memset(text, '-', 1000);
	assert_int_equal(expr_parse(text, &names, &e, why, &at), ERR_FORMAT);
	for (size_t i = 0; i + 4 < sizeof(text); i += 4)
		memcpy(text + i, "not ", 5);
	assert_int_equal(expr_parse(text, &names, &e, why, &at), ERR_FORMAT);
	for (size_t i = 0; i + 2 < 1000; i += 2)
		memcpy(text + i, "1+", 3);
	assert_int_equal(expr_parse(text, &names, &e, why, &at), ERR_FORMAT);
	assert_non_null(strstr(why, "at most"));
	memset(text, ' ', EXPR_BYTES_MAX + 1);
	text[EXPR_BYTES_MAX + 1] = '\0';
	assert_int_equal(expr_parse(text, &names, &e, why, &at), ERR_FORMAT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_truth),
		cmocka_unit_test(test_mistakes_of_writing_have_a_place),
		cmocka_unit_test(test_mistakes_of_meaning_have_a_reason),
		cmocka_unit_test(test_says_what_the_values_were),
		cmocka_unit_test(test_an_element_is_known_only_where_there_is_one),
		cmocka_unit_test(test_limits),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
