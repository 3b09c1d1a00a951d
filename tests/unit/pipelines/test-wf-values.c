/* SPDX-License-Identifier: Apache-2.0 */
/* What a workflow file leaves open: parameters of a run, references in params, args and env. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/json.h"
#include "members.h"
#include "wf-values.h"

static const char text[] = "perigee: v1\nworkflow: w\npayload: p\n"
			   "params:\n"
			   "  limit: {type: number, default: 0.7, min: 0, max: 1}\n"
			   "  mode: {type: text, default: fast, one_of: [fast, careful]}\n"
			   "  night: false\n"
			   "  tiles: [1, 2]\n"
			   "  must: {type: text}\n"
			   "stages:\n  a: {image: i, outputs: {o: 1KiB}}\n";

static struct workflow *w;

static int setup(void **state)
{
	static const struct workflow_limits no_limits;
	struct complaints c;

	if (complaints_init(&c, "f.yaml") < 0)
		return -1;
	int r = workflow_parse(text, strlen(text), &no_limits, &c, &w);
	complaints_print(&c, stderr);
	complaints_finish(&c);
	return r;
}

static int teardown(void **state)
{
	workflow_destroy(w);
	return 0;
}

static void test_defaults_and_what_is_given(void **state)
{
	static const struct {
		const char *given, *made; /* or the reason */
		int r;
	} cases[] = {
		{"{\"must\": \"x\"}",
			"{\"limit\":0.7,\"mode\":\"fast\",\"night\":false,\"tiles\":[1,2],\"must\":\"x\"}",
			0},
		{"{\"must\": \"x\", \"limit\": 1, \"night\": true, \"tiles\": []}",
			"{\"limit\":1,\"mode\":\"fast\",\"night\":true,\"tiles\":[],\"must\":\"x\"}", 0},
		{"{}", "must: has no default, so a run must give it", ERR_CHECKED},
		{"{\"must\": 1}", "must: expected a text, found a number", ERR_CHECKED},
		{"{\"must\": null}", "must: expected a text, found nothing", ERR_CHECKED},
		{"{\"must\": \"x\", \"limit\": 2}", "limit: expected a number from 0 to 1, found 2",
			ERR_CHECKED},
		{"{\"must\": \"x\", \"limit\": \"0.5\"}", "limit: expected a number, found a text",
			ERR_CHECKED},
		{"{\"must\": \"x\", \"night\": 0}", "night: expected true or false, found a number",
			ERR_CHECKED},
		{"{\"must\": \"x\", \"tiles\": {}}", "tiles: expected a list, found an object", ERR_CHECKED},
		{"{\"must\": \"x\", \"mode\": \"fst\"}", "did you mean \"fast\"?", ERR_CHECKED},
		{"{\"must\": \"x\", \"limti\": 0}", "no parameter \"limti\"; did you mean \"limit\"?",
			ERR_CHECKED},
		{"{\"must\": \"x\", \"Limit\": 0}", "no parameter \"Limit\"", ERR_CHECKED},
		{"[1]", "expected parameters by their names, found a list", ERR_CHECKED},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		CLEAN_JSON cJSON *given = cJSON_Parse(cases[i].given);
		CLEAN_JSON cJSON *made = NULL;
		char reason[WF_REASON_BYTES] = "";

		assert_non_null(given);
		assert_int_equal(wf_params_make(w, given, &made, reason), cases[i].r);
		CLEAN_FREE char *printed = made ? cJSON_PrintUnformatted(made) : NULL;
		if (printed ? strcmp(printed, cases[i].made) != 0 : !strstr(reason, cases[i].made))
			fail_msg("%s: %s %s", cases[i].given, printed, reason);
	}
}

static void test_limits_of_what_is_given(void **state)
{
	CLEAN_JSON cJSON *given = cJSON_CreateObject();
	CLEAN_JSON cJSON *made = NULL;
	static char long_text[WF_TEXT_BYTES_MAX + 2];
	char reason[WF_REASON_BYTES] = "";

	memset(long_text, 'x', sizeof(long_text) - 1);
	cJSON_AddStringToObject(given, "must", long_text);
	assert_int_equal(wf_params_make(w, given, &made, reason), ERR_CHECKED);
	assert_string_equal(reason, "must: expected a text of at most 4096 bytes, found 4097");
	cJSON_ReplaceItemInObject(given, "must", cJSON_CreateString("x"));
	cJSON *list = cJSON_AddArrayToObject(given, "tiles");
	for (int i = 0; i < WF_ITEMS_MAX + 1; i++)
		cJSON_AddItemToArray(list, cJSON_CreateNull());
	assert_int_equal(wf_params_make(w, given, &made, reason), ERR_CHECKED);
	assert_string_equal(reason, "tiles: expected at most 10000 elements, found 10001");
}

static void test_what_a_person_types(void **state)
{
	static const struct {
		size_t param;
		const char *typed, *value; /* NULL: refused */
	} cases[] = {
		{0, "0.5", "0.5"},
		{0, "half", NULL},
		{1, "0.5", "\"0.5\""},
		{1, "", "\"\""},
		{2, "true", "true"},
		{2, "yes", NULL},
		{3, "[1, {\"a\": 2}]", "[1,{\"a\":2}]"},
		{3, "1,2", NULL},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		CLEAN_JSON cJSON *v = NULL;
		char reason[WF_REASON_BYTES];
		int r = wf_param_read(&w->params[cases[i].param], cases[i].typed, &v, reason);
		CLEAN_FREE char *printed = v ? cJSON_PrintUnformatted(v) : NULL;

		assert_int_equal(r, cases[i].value ? 0 : ERR_CHECKED);
		if (cases[i].value)
			assert_string_equal(printed, cases[i].value);
	}
}

static const char scope_text[] =
	"{\"params\": {\"limit\": 0.5, \"mode\": \"a b\", \"night\": true, \"tiles\": [1, 2],"
	" \"none\": null}, \"item\": {\"area\": 7, \"parts\": [{\"x\": \"bow\"}]}}";

static void test_filling_json(void **state)
{
	static const struct {
		const char *in, *out; /* or the reason */
		int r;
	} cases[] = {
		{"{\"a\": 1, \"b\": \"x\", \"c\": [true, null]}", "{\"a\":1,\"b\":\"x\",\"c\":[true,null]}",
			0},
		{"{\"a\": \"$params.limit\", \"b\": {\"c\": [\"$params.tiles\"]}}",
			"{\"a\":0.5,\"b\":{\"c\":[[1,2]]}}", 0},
		{"\"$item\"", "{\"area\":7,\"parts\":[{\"x\":\"bow\"}]}", 0},
		{"\"$item.parts[0].x\"", "\"bow\"", 0},
		{"\"$index\"", "4", 0},
		{"\"$params.none\"", "null", 0},
		{"\"$$params.limit\"", "\"$params.limit\"", 0},
		{"\"cost: $5\"", "\"cost: $5\"", 0},
		{"\"$item.parts[1]\"", "no such member", ERR_CHECKED},
		{"\"$params.gone\"", "has no value", ERR_CHECKED},
		{"\"$HOME\"", "refers to nothing", ERR_CHECKED},
		{"[\"$\"]", "refers to nothing", ERR_CHECKED},
	};
	CLEAN_JSON cJSON *all = cJSON_Parse(scope_text);
	struct wf_scope scope = {.params = cJSON_GetObjectItem(all, "params"),
		.item = cJSON_GetObjectItem(all, "item"),
		.index = 4};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		CLEAN_JSON cJSON *in = cJSON_Parse(cases[i].in);
		CLEAN_JSON cJSON *out = NULL;
		char reason[WF_REASON_BYTES];
		int r = wf_fill_json(in, &scope, &out, reason);
		CLEAN_FREE char *printed = out ? cJSON_PrintUnformatted(out) : NULL;

		if (r != cases[i].r ||
			(out ? strcmp(printed, cases[i].out) != 0 : !strstr(reason, cases[i].out)))
			fail_msg("%s: %d %s %s", cases[i].in, r, printed, reason);
	}
	scope.item = NULL;
	CLEAN_JSON cJSON *in = cJSON_Parse("[\"$index\"]"), *out = NULL;
	char reason[WF_REASON_BYTES];
	assert_int_equal(wf_fill_json(in, &scope, &out, reason), ERR_CHECKED);
}

static void test_filling_words(void **state)
{
	static const char *const in[] = {"--fast", "$params.mode", "--limit=$params.limit",
		"NIGHT=$params.night", "--part=$item.parts[0].x", "$index", "$$HOME", "--price=$$5",
		"a=b=$params.mode", NULL};
	static const char *const out[] = {"--fast", "a b", "--limit=0.5", "NIGHT=true", "--part=bow", "4",
		"$HOME", "--price=$5", "a=b=$params.mode", NULL};
	static const char *const bad[][2] = {{"--x=$params.tiles", "a list or an object"},
		{"$params.none", "null"}, {"--x=$item", "a list or an object"},
		{"--x=$HOME", "refers to nothing"}, {"$item.gone", "no such member"}};
	CLEAN_JSON cJSON *all = cJSON_Parse(scope_text);
	const struct wf_scope scope = {.params = cJSON_GetObjectItem(all, "params"),
		.item = cJSON_GetObjectItem(all, "item"),
		.index = 4};
	char reason[WF_REASON_BYTES];
	const char **words = NULL;

	assert_int_equal(wf_fill_words(in, &scope, &words, reason), 0);
	for (size_t i = 0; i < ARRAY_LEN(out); i++)
		if (out[i])
			assert_string_equal(words[i], out[i]);
		else
			assert_null(words[i]);
	free(words);
	assert_int_equal(wf_fill_words(NULL, &scope, &words, reason), 0);
	assert_null(words);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		const char *const one[] = {"good", bad[i][0], NULL};
		assert_int_equal(wf_fill_words(one, &scope, &words, reason), ERR_CHECKED);
		if (!strstr(reason, bad[i][1]))
			fail_msg("%s: %s", bad[i][0], reason);
	}
}

static void test_ways_into_json(void **state)
{
	static const struct {
		const char *way;
		bool valid;
		int upto; /* of what is missing; -1: there */
	} cases[] = {
		{"", true, -1},
		{".a", true, -1},
		{".a[0].b-c", true, -1},
		{".a[1]", true, 5},
		{".x.y", true, 2},
		{"[0]", true, 3},
		{".a[99999999999999999999]", true, 24},
		{".", false, 1},
		{"a", false, 1},
		{".a[", false, 3},
		{".a[-1]", false, 6},
		{"..a", false, 3},
		{".a.0", false, 4},
		{".a[0]x", false, 6},
	};
	CLEAN_JSON cJSON *j = cJSON_Parse("{\"a\": [{\"b-c\": 1}]}");

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		size_t upto = 999;

		assert_int_equal(members_valid(cases[i].way), cases[i].valid);
		const cJSON *found = members_walk(j, cases[i].way, &upto);
		if ((found == NULL) != (cases[i].upto >= 0) || (!found && (int)upto != cases[i].upto))
			fail_msg("%s: %zu", cases[i].way, upto);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults_and_what_is_given),
		cmocka_unit_test(test_limits_of_what_is_given),
		cmocka_unit_test(test_what_a_person_types),
		cmocka_unit_test(test_filling_json),
		cmocka_unit_test(test_filling_words),
		cmocka_unit_test(test_ways_into_json),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
