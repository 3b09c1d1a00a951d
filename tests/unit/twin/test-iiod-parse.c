/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "iiod-parse.h"

static int parse(const char *line, struct iiod_command *ret)
{
	return iiod_parse(line, strlen(line), ret);
}

static void test_commands(void **state)
{
	struct iiod_command c;

	assert_int_equal(parse("", &c), 0);
	assert_int_equal(c.verb, IIOD_EMPTY);
	assert_int_equal(parse(" \t ", &c), 0);
	assert_int_equal(c.verb, IIOD_EMPTY);
	assert_int_equal(parse("VERSION", &c), 0);
	assert_int_equal(c.verb, IIOD_VERSION);
	assert_int_equal(parse("quit", &c), 0);
	assert_int_equal(c.verb, IIOD_EXIT);
	assert_int_equal(parse("TIMEOUT 2500", &c), 0);
	assert_int_equal(c.number, 2500);
	assert_int_equal(parse("OPEN iio:device0 262144 0000003f", &c), 0);
	assert_int_equal(c.verb, IIOD_OPEN);
	assert_string_equal(c.device, "iio:device0");
	assert_int_equal(c.number, 262144);
	assert_int_equal(c.mask, 0x3f);
	assert_int_equal(c.mask_words, 1);
	assert_false(c.cyclic);
	assert_int_equal(parse("OPEN cam0 1 000000000000003f CYCLIC", &c), 0);
	assert_int_equal(c.mask_words, 2);
	assert_int_equal(c.mask, 0x3f);
	assert_true(c.cyclic);
	assert_int_equal(parse("SET cam0 BUFFERS_COUNT 4", &c), 0);
	assert_int_equal(c.verb, IIOD_SET_BUFFERS);
	assert_int_equal(c.number, 4);
}

static void test_attributes(void **state)
{
	struct iiod_command c;

	assert_int_equal(parse("READ cam0 gain", &c), 0);
	assert_int_equal(c.scope, IIOD_OF_DEVICE);
	assert_string_equal(c.attr, "gain");
	assert_int_equal(parse("READ cam0 ", &c), 0); /* as libiio asks for all */
	assert_string_equal(c.attr, "");
	assert_int_equal(parse("READ cam0 DEBUG x", &c), 0);
	assert_int_equal(c.scope, IIOD_OF_DEBUG);
	assert_int_equal(parse("READ cam0 INPUT intensity_blue scale", &c), 0);
	assert_int_equal(c.scope, IIOD_OF_INPUT);
	assert_string_equal(c.channel, "intensity_blue");
	assert_string_equal(c.attr, "scale");
	assert_int_equal(parse("WRITE cam0 gain 6", &c), 0);
	assert_string_equal(c.attr, "gain");
	assert_int_equal(c.number, 6);
	assert_int_equal(parse("WRITE cam0 12", &c), 0);
	assert_string_equal(c.attr, "");
	assert_int_equal(parse("WRITE cam0 OUTPUT v raw 3", &c), 0);
	assert_int_equal(c.scope, IIOD_OF_OUTPUT);
}

static void test_refused(void **state)
{
	static const char *const lines[] = {"NOPE", "ZPRINT", "Version", "VERSION 1", "OPEN cam0",
		"OPEN cam0 1 3f", "OPEN cam0 1 0000003g", "OPEN cam0 -1 0000003f",
		"OPEN cam0 1 0000003f TWICE", "OPEN cam0 1 800000000000003f",
		"OPEN cam0 9999999999999999999 0000003f", "READ", "WRITE cam0", "WRITE cam0 gain",
		"WRITE cam0 gain x", "READBUF cam0", "READBUF cam0 1e3", "READ cam0 INPUT", "READ cam0 a b",
		"SET cam0 GAIN 4", "READ cam0 a/b", "READ cam0 \xff", "TIMEOUT", "1 2 3 4 5 6 7 8 9 10"};
	struct iiod_command c;
	char line[IIOD_WORD_BYTES + 16];

	for (size_t i = 0; i < ARRAY_LEN(lines); i++)
		if (parse(lines[i], &c) != -EINVAL)
			fail_msg("taken: %s", lines[i]);
	assert_int_equal(iiod_parse("READ cam0 a\0b", 13, &c), -EINVAL);
	memset(line, 'a', sizeof(line));
	memcpy(line, "READ ", 5);
	assert_int_equal(iiod_parse(line, sizeof(line), &c), -EINVAL); /* a name that is too long */
}

/* Whatever is cut or flipped: refused, or a command with all its texts terminated. */
static void test_damaged(void **state)
{
	static const char *const lines[] = {"OPEN iio:device0 262144 0000003f CYCLIC",
		"WRITE cam0 INPUT red scale 7", "SET cam0 BUFFERS_COUNT 4", "READBUF cam0 3145728"};
	struct iiod_command c;
	char line[64];

	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		size_t len = strlen(lines[i]);
		for (size_t cut = 0; cut <= len; cut++) {
			char *exact = malloc(cut ? cut : 1); /* the sanitizer sees a byte too far */
			memcpy(exact, lines[i], cut);
			if (iiod_parse(exact, cut, &c) == 0)
				assert_true(c.verb < IIOD_VERB_MAX);
			free(exact);
		}
		for (size_t bit = 0; bit < len * 8; bit++) {
			memcpy(line, lines[i], len);
			line[bit / 8] = (char)(line[bit / 8] ^ 1 << bit % 8);
			if (iiod_parse(line, len, &c) == 0) {
				assert_true(strlen(c.device) < IIOD_WORD_BYTES);
				assert_true(strlen(c.channel) < IIOD_WORD_BYTES);
				assert_true(strlen(c.attr) < IIOD_WORD_BYTES);
			}
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_commands),
		cmocka_unit_test(test_attributes),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_damaged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
