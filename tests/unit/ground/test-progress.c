/* SPDX-License-Identifier: Apache-2.0 */
/* What `perigee run` shows: a line a change, or a tree of which only what matters fits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cmd-tools.h"
#include "core/file.h"
#include "core/json.h"
#include "run-progress.h"

static const char text[] = "perigee: v1\n"
			   "workflow: w\n"
			   "payload: p\n"
			   "stages:\n"
			   "  last: {image: i, needs: [middle], outputs: {o: 1KiB}}\n"
			   "  first: {image: i, outputs: {o: 1KiB}}\n"
			   "  middle: {image: i, needs: [first], outputs: {o: 1KiB}}\n";

static struct workflow *workflow;
static char *shown;
static size_t len;
static FILE *to;

static int set_up(void **state)
{
	char path[] = "/tmp/perigee-progress-XXXXXX";
	int fd = mkstemp(path);
	struct complaints c;

	if (fd < 0 || write_all(fd, text, strlen(text)) < 0 || complaints_init(&c, path) < 0)
		return -1;
	close(fd);
	int r = workflow_load(path, &(struct workflow_limits){0}, &c, &workflow);
	complaints_print(&c, stderr);
	complaints_finish(&c);
	return unlink(path) < 0 ? -1 : r;
}

static int tear_down(void **state)
{
	workflow_destroy(workflow);
	return 0;
}

static void say(struct progress *p, const char *json)
{
	CLEAN_JSON cJSON *j = cJSON_Parse(json);

	assert_non_null(j);
	progress_event(p, j);
	fflush(to);
}

/* Since the last time. */
static void assert_shown(const char *expected)
{
	static size_t seen;

	if (!expected) {
		seen = 0;
		return;
	}
	assert_string_equal(shown + seen, expected);
	seen = len;
}

static struct progress *begin(size_t columns, size_t rows)
{
	to = open_memstream(&shown, &len);
	assert_non_null(to);
	assert_shown(NULL);
	struct progress *p = progress_create(to, columns, rows, workflow);
	assert_non_null(p);
	return p;
}

static void end(struct progress *p)
{
	progress_destroy(p);
	fclose(to);
	free(TAKE_PTR(shown));
}

#define STAGE(run, stage, state)                                                                             \
	"{\"event\":\"stage\",\"run\":" run ",\"stage\":\"" stage "\",\"state\":\"" state "\""

static void test_lines(void **state)
{
	struct progress *p = begin(0, 0);

	say(p, STAGE("7", "first", "running") "}");
	assert_shown("first            running\n");
	say(p, STAGE("7", "first", "running") "}");
	assert_shown("");
	say(p, STAGE("7", "first", "failed") ",\"reason\":\"exit 1: \\u001b[2J\"}");
	assert_shown("first            failed: exit 1: \\x1b[2J\n");
	say(p, STAGE("8", "inner", "done") "}");
	assert_shown("run 8: inner            done\n");
	say(p, STAGE("7", "first", "asking") ",\"reason\":\"sure?\"}");
	assert_shown("first            asking: `perigee approve 7 first`: sure?\n");
	/* What is none of its business. */
	say(p, "{}");
	say(p, "{\"event\":\"run\"}");
	say(p, STAGE("\"x\"", "a", "b") "}");
	say(p, "{\"event\":\"stage\",\"run\":7}");
	assert_shown("");
	end(p);
}

static void test_tree(void **state)
{
	struct progress *p = begin(40, 24);

	say(p, STAGE("7", "first", "done") "}");
	assert_shown("\r\033[K    "
		     "  last                     waiting\n"
		     "\r\033[K+ first                        done\n"
		     "\r\033[K    middle                     waiting\n");
	say(p, STAGE("7", "middle", "failed") ",\"reason\":\"\303\244\303\244\303\244\303\244\303\244\"}");
	assert_shown("\033[3A\r\033[K      last                     waiting\n"
		     "\r\033[K+ first                        done\n"
		     "\r\033[K  ! middle                     failed: \n");
	end(p);
}

static void test_too_many(void **state)
{
	struct progress *p = begin(60, 4);

	say(p, STAGE("7", "middle", "retrying") "}");
	assert_shown("\r\033[K  ~ middle                     retrying\n\r\033[K  and 2 more\n");
	say(p, STAGE("7", "first", "asking") ",\"reason\":\"sure?\"}");
	assert_shown("\033[2A\r\033[K? first                        asking: `perigee approve 7 f\n"
		     "\r\033[K  ~ middle                     retrying\n\r\033[K  and 1 more\n");
	say(p, STAGE("7", "first", "done") "}");
	/* One line fewer: the old one is wiped, and the cursor is where it belongs. */
	assert_shown("\033[3A\r\033[K  ~ middle                     retrying\n\r\033[K  and 2 more\n"
		     "\r\033[K\n\033[1A");
	end(p);
}

static void test_harmless(void **state)
{
	static const char nasty[] = "a\tb\033[31m\r\n\x7f\302\233x\303\251\0z";
	FILE *f = open_memstream(&shown, &len);

	print_harmless(f, nasty, sizeof(nasty) - 1, true);
	fputc('|', f);
	print_harmless(f, "a\nb", 3, false);
	fclose(f);
	assert_string_equal(shown, "a\tb\\x1b[31m\\x0d\n\\x7f\\x9bx\303\251\\x00z|a\\x0ab");
	free(TAKE_PTR(shown));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_tree),
		cmocka_unit_test(test_too_many),
		cmocka_unit_test(test_harmless),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
