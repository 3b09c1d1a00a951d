/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>

#include "core/clock.h"
#include "core/log.h"
#include "escape.h"
#include "helpers.h"

/* Standard error becomes a packet socket for the time of a test: one write is one packet. */
static int saved_stderr, packets;

static int setup(void **state)
{
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, fds) < 0)
		return -1;
	saved_stderr = dup(STDERR_FILENO);
	dup2(fds[1], STDERR_FILENO);
	close(fds[1]);
	packets = fds[0];
	struct utc_time t;
	if (utc_parse("2026-11-25T10:00:00.123Z", &t) < 0)
		return -1;
	clock_set_fake((struct mono_time){0}, t);
	log_init("perigeed", LOG_LEVEL_INFO);
	return 0;
}

static int teardown(void **state)
{
	dup2(saved_stderr, STDERR_FILENO);
	close(saved_stderr);
	close(packets);
	clock_real();
	return 0;
}

/* The next line, or "" when there is none. */
static char *line(void)
{
	static char text[8192];
	ssize_t n = recv(packets, text, sizeof(text) - 1, 0);

	text[n > 0 ? n : 0] = '\0';
	return text;
}

static void one_line_one_write(void **state)
{
	log_warning("text %d", 5);
	assert_string_equal(line(), "2026-11-25T10:00:00.123Z perigeed warning: text 5\n");
	assert_string_equal(line(), "");
	log_error("e");
	assert_string_equal(line(), "2026-11-25T10:00:00.123Z perigeed error: e\n");
}

static void levels(void **state)
{
	log_debug("not shown");
	assert_string_equal(line(), "");
	log_info("shown");
	assert_string_not_equal(line(), "");
	log_init("p", LOG_LEVEL_ERROR);
	log_warning("not shown");
	assert_string_equal(line(), "");
	log_init("p", LOG_LEVEL_DEBUG);
	log_debug("shown");
	assert_string_equal(line(), "2026-11-25T10:00:00.123Z p debug: shown\n");
}

static void control_characters_are_escaped(void **state)
{
	log_info("a\nb\x1b[31m\x7f %s \xc2\x9b \xff \xc3\xa9", "x\ry");
	assert_string_equal(line(), "2026-11-25T10:00:00.123Z perigeed info: "
				    "a\\x0ab\\x1b[31m\\x7f x\\x0dy \\xc2\\x9b \\xff \xc3\xa9\n");
}

static void long_lines_are_cut(void **state)
{
	char big[10000];

	memset(big, 'a', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	log_info("%s", big);
	char *got = line();
	assert_in_range(strlen(got), 2000, 2048);
	assert_string_equal(got + strlen(got) - 5, "a...\n");

	/* Each byte becomes four: still bounded. */
	memset(big, '\n', sizeof(big) - 1);
	log_info("%s", big);
	got = line();
	assert_in_range(strlen(got), 2000, 2048);
	assert_string_equal(got + strlen(got) - 8, "\\x0a...\n");
}

static void errno_is_kept(void **state)
{
	errno = ENOTTY;
	log_info("x");
	assert_int_equal(errno, ENOTTY);
	close(STDERR_FILENO); /* nobody listens: no failure either */
	log_info("x");
	assert_int_equal(errno, ENOTTY);
}

static void utf8_lengths(void **state)
{
	static const struct {
		const char *bytes;
		size_t len, expected;
	} cases[] = {
		{"a", 1, 1},
		{"\x7f", 1, 1},
		{"\xc2\x80", 2, 2},
		{"\xc2", 1, 0},
		{"\xc1\xbf", 2, 0},         /* overlong */
		{"\xe0\x9f\xbf", 3, 0},     /* overlong */
		{"\xe0\xa0\x80", 3, 3},     /* U+0800 */
		{"\xed\x9f\xbf", 3, 3},     /* U+D7FF */
		{"\xed\xa0\x80", 3, 0},     /* a surrogate */
		{"\xf0\x8f\xbf\xbf", 4, 0}, /* overlong */
		{"\xf0\x90\x80\x80", 4, 4}, /* U+10000 */
		{"\xf4\x8f\xbf\xbf", 4, 4}, /* U+10FFFF */
		{"\xf4\x90\x80\x80", 4, 0}, /* beyond */
		{"\xf0\x90\x80", 3, 0},
		{"\x80", 1, 0},
		{"\xff", 1, 0},
		{"\xe2\x82\x41", 3, 0},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_int_equal(
			utf8_len((const unsigned char *)cases[i].bytes, cases[i].len), cases[i].expected);
}

/* For every size of the target: terminated, valid, within bounds, and whole when there is room. */
static void escape_at_every_size(void **state)
{
	const char text[] = "ab\n\xc3\xa9\xe2\x82\xac\xff\xf0\x9f\x9a\x80z";
	const char whole[] = "ab\\x0a\xc3\xa9\xe2\x82\xac\\xff\xf0\x9f\x9a\x80z";
	char out[64];

	for (size_t cap = 8; cap < sizeof(out); cap++) {
		memset(out, '!', sizeof(out));
		size_t n = text_escape(text, sizeof(text) - 1, out, cap);
		assert_true(n < cap);
		assert_int_equal(strlen(out), n);
		assert_int_equal(out[cap], '!');
		if (cap >= sizeof(whole)) {
			assert_string_equal(out, whole);
			continue;
		}
		assert_memory_equal(out + n - 3, "...", 3);
		assert_memory_equal(out, whole, n - 3);
		for (size_t i = 0; i < n;) {
			size_t one = utf8_len((unsigned char *)out + i, n - i);
			assert_true(one > 0);
			i += one;
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(one_line_one_write, setup, teardown),
		cmocka_unit_test_setup_teardown(levels, setup, teardown),
		cmocka_unit_test_setup_teardown(control_characters_are_escaped, setup, teardown),
		cmocka_unit_test_setup_teardown(long_lines_are_cut, setup, teardown),
		cmocka_unit_test_setup_teardown(errno_is_kept, setup, teardown),
		cmocka_unit_test(utf8_lengths),
		cmocka_unit_test(escape_at_every_size),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
