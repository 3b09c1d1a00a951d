/* SPDX-License-Identifier: Apache-2.0 */
/* The log of a stage: what is kept, what is cut, and its last line. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "core/file.h"
#include "stage-log.h"

static uv_loop_t loop;
static struct stage_logs *logs;

static int open_logs(void **state)
{
	return uv_loop_init(&loop) < 0 ? -1 : stage_logs_create(&loop, &logs);
}

static int close_logs(void **state)
{
	stage_logs_destroy(logs);
	uv_run(&loop, UV_RUN_DEFAULT);
	return uv_loop_close(&loop);
}

/* Writes all pieces, lets the loop see each, and ends. The kept bytes come back. */
static size_t follow(const char *const *pieces, uint64_t max_bytes, bool keep, char ret_kept[8192],
	struct launch_result *ret_result)
{
	int kept = memfd_create("log", MFD_CLOEXEC), fd;
	struct stage_log *log;
	ssize_t n;

	assert_true(kept >= 0);
	assert_int_equal(stage_log_open(logs, keep ? kept : -1, max_bytes, &log, &fd), 0);
	for (; *pieces; pieces++) {
		assert_int_equal(write_all(fd, *pieces, strlen(*pieces)), 0);
		uv_run(&loop, UV_RUN_NOWAIT);
	}
	close(fd);
	memset(ret_result, 0, sizeof(*ret_result));
	stage_log_close(log, ret_result);
	uv_run(&loop, UV_RUN_NOWAIT);
	n = pread(kept, ret_kept, 8191, 0);
	assert_true(n >= 0);
	ret_kept[n] = '\0';
	close(kept);
	return (size_t)n;
}

static void test_kept(void **state)
{
	static const char *const pieces[] = {"one\ntw", "o\n\n", "thr\tee", NULL};
	struct launch_result r;
	char kept[8192];

	assert_int_equal(follow(pieces, 4096, true, kept, &r), 15);
	assert_string_equal(kept, "one\ntwo\n\nthr\tee");
	assert_int_equal(r.log_bytes, 15);
	assert_false(r.log_cut);
	assert_string_equal(r.last_line, "thr ee");
}

static void test_nothing(void **state)
{
	static const char *const none[] = {NULL};
	static const char *const blank[] = {"\n\n", NULL};
	struct launch_result r;
	char kept[8192];

	assert_int_equal(follow(none, 4096, true, kept, &r), 0);
	assert_int_equal(r.log_bytes, 0);
	assert_string_equal(r.last_line, "");
	assert_int_equal(follow(blank, 4096, true, kept, &r), 2);
	assert_string_equal(r.last_line, "");
}

static void test_cut(void **state)
{
	static const char *const pieces[] = {"0123456789", "abc\n", "the end\n", NULL};
	struct launch_result r;
	char kept[8192];

	for (uint64_t max = 0; max < 30; max++) {
		size_t n = follow(pieces, max, true, kept, &r);

		assert_int_equal(n, max < 22 ? max : 22);
		assert_memory_equal(kept, "0123456789abc\nthe end\n", n);
		assert_int_equal(r.log_bytes, 22);
		assert_int_equal(r.log_cut, max < 22);
		assert_string_equal(r.last_line, "the end");
	}
	assert_int_equal(follow(pieces, 4096, false, kept, &r), 0);
	assert_string_equal(r.last_line, "the end");
}

static void test_long_line(void **state)
{
	static char line[4096];
	const char *const pieces[] = {line, "\x1b[31m\n", NULL};
	struct launch_result r;
	char kept[8192];

	memset(line, 'x', sizeof(line) - 1);
	(void)follow(pieces, 8192, true, kept, &r);
	assert_int_equal(strlen(r.last_line), LAUNCH_REASON_BYTES - 1);
	assert_int_equal(strspn(r.last_line, "x"), LAUNCH_REASON_BYTES - 1);
	(void)follow(pieces + 1, 8192, true, kept, &r);
	assert_string_equal(r.last_line, " [31m");
}

/* What cannot be kept is cut and does not stop the rest. */
static void test_keep_fails(void **state)
{
	struct launch_result r = {0};
	int keep = open("/dev/full", O_WRONLY | O_CLOEXEC), fd;
	struct stage_log *log;

	if (keep < 0)
		skip();
	assert_int_equal(stage_log_open(logs, keep, 4096, &log, &fd), 0);
	assert_int_equal(write_all(fd, "text\n", 5), 0);
	close(fd);
	stage_log_close(log, &r);
	close(keep);
	assert_true(r.log_cut);
	assert_int_equal(r.log_bytes, 5);
	assert_string_equal(r.last_line, "text");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kept),
		cmocka_unit_test(test_nothing),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_long_line),
		cmocka_unit_test(test_keep_fails),
	};

	return cmocka_run_group_tests(tests, open_logs, close_logs);
}
