/* SPDX-License-Identifier: Apache-2.0 */
#include "core/complain.h"
#include "helpers.h"

static struct complaints c;

static int setup(void **state)
{
	return complaints_init(&c, "a.yaml");
}

static int teardown(void **state)
{
	complaints_finish(&c);
	return 0;
}

static const char *printed(void)
{
	static char text[16384];

	FILE *f = fmemopen(text, sizeof(text), "w");
	assert_non_null(f);
	complaints_print(&c, f);
	fputc('\0', f);
	fclose(f);
	return text;
}

static void form(void **state)
{
	assert_string_equal(printed(), "");
	complain(&c, 14, 16, "memory: expected a size such as 64MiB, found \"%s\"", "64 megs");
	complain(&c, 0, 0, "cannot be read");
	assert_int_equal(c.n, 2);
	assert_int_equal(c.total, 2);
	assert_string_equal(printed(),
		"a.yaml:14:16: memory: expected a size such as 64MiB, found \"64 megs\"\n"
		"a.yaml: cannot be read\n");
}

static void hostile_texts_are_escaped(void **state)
{
	complain(&c, 1, 2, "found \"%s\"", "\x1b[2J\nfake.yaml:1:1: fine\xff");
	assert_string_equal(printed(), "a.yaml:1:2: found \"\\x1b[2J\\x0afake.yaml:1:1: fine\\xff\"\n");
}

static void long_texts_are_cut(void **state)
{
	static char big[5000];

	memset(big, 'x', sizeof(big) - 1);
	complain(&c, 1, 1, "%s", big);
	assert_in_range(strlen(c.item[0].text), 900, 1024);
}

static void too_many_are_counted(void **state)
{
	for (int i = 0; i < COMPLAINTS_MAX + 3; i++)
		complain(&c, i + 1, 1, "no %d", i);
	assert_int_equal(c.n, COMPLAINTS_MAX);
	assert_int_equal(c.total, COMPLAINTS_MAX + 3);
	assert_non_null(strstr(printed(), "a.yaml:64:1: no 63\na.yaml: and 3 more\n"));
}

static void warnings_are_told_apart_and_never_hide_a_mistake(void **state)
{
	for (int i = 0; i < COMPLAINTS_MAX; i++)
		complain_warning(&c, i + 1, 1, "look %d", i);
	assert_int_equal(c.total, 0);
	assert_int_equal(c.n, COMPLAINTS_MAX / 2);
	complain(&c, 100, 1, "wrong");
	assert_int_equal(c.total, 1);
	assert_int_equal(c.warnings, COMPLAINTS_MAX);
	assert_non_null(strstr(printed(), "a.yaml:32:1: warning: look 31\na.yaml:100:1: wrong\n"
					  "a.yaml: and 32 more\n"));
	cJSON *json = complaints_json(&c);
	assert_true(cJSON_IsTrue(cJSON_GetObjectItem(cJSON_GetArrayItem(json, 0), "warning")));
	assert_null(cJSON_GetObjectItem(cJSON_GetArrayItem(json, COMPLAINTS_MAX / 2), "warning"));
	cJSON_Delete(json);
}

static void as_json(void **state)
{
	complain(&c, 3, 4, "a \"quoted\" thing");
	complain(&c, 0, 0, "whole");
	cJSON *json = complaints_json(&c);
	char *text = cJSON_PrintUnformatted(json);
	assert_string_equal(text,
		"[{\"file\":\"a.yaml\",\"line\":3,\"column\":4,\"text\":\"a \\\"quoted\\\" thing\"},"
		"{\"file\":\"a.yaml\",\"line\":0,\"column\":0,\"text\":\"whole\"}]");
	free(text);
	cJSON_Delete(json);
}

static void empty_json(void **state)
{
	cJSON *json = complaints_json(&c);
	assert_true(cJSON_IsArray(json) && cJSON_GetArraySize(json) == 0);
	cJSON_Delete(json);
}

/* Each allocation in turn fails: NULL, and nothing leaks or crashes. */
static int allocations_left;

static void *failing_malloc(size_t n)
{
	return allocations_left-- > 0 ? malloc(n) : NULL;
}

static void json_out_of_memory(void **state)
{
	cJSON_Hooks failing = {failing_malloc, free};
	cJSON *json = NULL;
	int n = 0;

	complain(&c, 1, 1, "x");
	cJSON_InitHooks(&failing);
	for (; !json && n < 100; n++) {
		allocations_left = n;
		json = complaints_json(&c);
	}
	cJSON_InitHooks(NULL);
	assert_non_null(json);
	assert_true(n > 5);
	cJSON_Delete(json);
}

static void nearest(void **state)
{
	static const char *const known[] = {"memory", "image", "inputs", "outputs", "cpus", "if"};
	size_t n = ARRAY_LEN(known);

	assert_string_equal(nearest_name("memroy", known, n), "memory"); /* two swapped */
	assert_string_equal(nearest_name("memor", known, n), "memory");
	assert_string_equal(
		nearest_name("memoryes", known, n), "memory"); /* three of eight would be too far */
	assert_string_equal(nearest_name("imagee", known, n), "image");
	assert_string_equal(nearest_name("input", known, n), "inputs");
	assert_string_equal(nearest_name("cpu", known, n), "cpus");
	assert_string_equal(nearest_name("cpus", known, n), "cpus");
	assert_null(nearest_name("xy", known, n)); /* a third of two letters is none */
	assert_null(nearest_name("colour", known, n));
	assert_null(nearest_name("", known, n));
	assert_null(nearest_name("memory", known, 0));
	assert_null(nearest_name("memory", NULL, 0));

	char big[200];
	memset(big, 'm', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	assert_null(nearest_name(big, known, n));
	const char *const big_known[] = {big};
	assert_null(nearest_name("m", big_known, 1));
	big[64] = '\0';
	assert_ptr_equal(nearest_name(big, big_known, 1), big);
}

#define WITH_COMPLAINTS(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_COMPLAINTS(form),
		WITH_COMPLAINTS(hostile_texts_are_escaped),
		WITH_COMPLAINTS(long_texts_are_cut),
		WITH_COMPLAINTS(too_many_are_counted),
		WITH_COMPLAINTS(warnings_are_told_apart_and_never_hide_a_mistake),
		WITH_COMPLAINTS(as_json),
		WITH_COMPLAINTS(empty_json),
		WITH_COMPLAINTS(json_out_of_memory),
		cmocka_unit_test(nearest),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
