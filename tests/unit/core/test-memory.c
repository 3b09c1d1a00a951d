/* SPDX-License-Identifier: Apache-2.0 */
#include "core/artifact.h"
#include "core/memory.h"
#include "core/yaml.h"
#include "helpers.h"

static long resident_pages(void)
{
	char *text;
	size_t len;

	assert_int_equal(file_read("/proc/self/statm", 4096, &text, &len), 0);
	long total, resident;
	assert_int_equal(sscanf(text, "%ld %ld", &total, &resident), 2);
	free(text);
	return resident;
}

/* Something that touches the program, its libraries and its data. */
static void work(void)
{
	struct complaints c;
	struct digest d;
	char text[DIGEST_TEXT_BYTES];

	assert_int_equal(complaints_init(&c, "f"), 0);
	struct ynode *root = yaml_parse("a: {b: 1}\n", 10, &c);
	assert_non_null(root);
	yaml_destroy(root);
	complaints_finish(&c);
	digest_data("abc", 3, &d);
	digest_format(&d, text);
	assert_string_equal(text, "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319");
}

static void all_works_as_before_and_takes_less(void **state)
{
	work();
	long before = resident_pages();
	memory_give_back();
	long after = resident_pages();
	work();
	memory_give_back();
	memory_give_back();
	work();
#if !defined(__SANITIZE_ADDRESS__)
	assert_true(after < before);
#else
	(void)before;
	(void)after;
#endif
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_works_as_before_and_takes_less),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
