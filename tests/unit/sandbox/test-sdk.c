/* SPDX-License-Identifier: Apache-2.0 */
/* The stage's SDK, as it is used outside a sandbox: a folder named by PERIGEE_ROOT. */
#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "perigee.h"

static char root[] = "/tmp/perigee-sdk-XXXXXX";

static void put(const char *name, const void *data, size_t len)
{
	char path[256];
	FILE *f;

	snprintf(path, sizeof(path), "%s/in/%s", root, name);
	f = fopen(path, "w");
	assert_non_null(f);
	assert_int_equal(fwrite(data, 1, len, f), len);
	assert_int_equal(fclose(f), 0);
}

static int make_root(void **state)
{
	char path[256];

	if (!mkdtemp(root))
		return -1;
	snprintf(path, sizeof(path), "%s/in", root);
	if (mkdir(path, 0755) < 0)
		return -1;
	snprintf(path, sizeof(path), "%s/out", root);
	if (mkdir(path, 0755) < 0)
		return -1;
	return setenv("PERIGEE_ROOT", root, 1);
}

static int remove_root(void **state)
{
	char command[256];

	snprintf(command, sizeof(command), "rm -r %s", root);
	return system(command);
}

/* Runs fn in a process of its own, whose log comes back: the exit status. Parameters are read once a process.
 */
static int in_child(void (*fn)(const void *arg), const void *arg, char ret_log[4096])
{
	int pipe_fds[2], status;
	size_t have = 0;
	ssize_t n;
	pid_t pid;

	assert_int_equal(pipe(pipe_fds), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		dup2(pipe_fds[1], STDERR_FILENO);
		close(pipe_fds[0]);
		close(pipe_fds[1]);
		fn(arg);
		_exit(0);
	}
	close(pipe_fds[1]);
	while ((n = read(pipe_fds[0], ret_log + have, 4095 - have)) > 0)
		have += (size_t)n;
	ret_log[have] = '\0';
	close(pipe_fds[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void test_inputs(void **state)
{
	size_t len = 99;
	char *text;
	const char *map;
	int fd;

	put("scene", "abc", 3);
	put("empty", "", 0);
	text = perigee_read_in("scene", 3, &len);
	assert_non_null(text);
	assert_int_equal(len, 3);
	assert_string_equal(text, "abc");
	free(text);
	assert_null(perigee_read_in("scene", 2, &len));
	assert_int_equal(errno, EFBIG);
	map = perigee_map_in("scene", &len);
	assert_non_null(map);
	assert_int_equal(len, 3);
	assert_memory_equal(map, "abc", 3);
	assert_non_null(perigee_map_in("empty", &len));
	assert_int_equal(len, 0);
	fd = perigee_open_in("scene");
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "x", 1), -1);
	close(fd);
	assert_int_equal(perigee_open_in("absent"), -1);
	assert_int_equal(errno, ENOENT);
}

static void test_names(void **state)
{
	static const char *const bad[] = {"", ".", "..", "../in/scene", "a/b", ".hidden", "-x", "a b",
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		errno = 0;
		assert_int_equal(perigee_create_out(bad[i]), -1);
		assert_int_equal(errno, EINVAL);
		assert_int_equal(perigee_open_in(bad[i]), -1);
		assert_int_equal(errno, EINVAL);
	}
}

static void test_outputs(void **state)
{
	char path[256], have[8] = "";
	FILE *f;

	assert_int_equal(perigee_write_out("report", "long text", 9), 0);
	assert_int_equal(perigee_write_out("report", "hi", 2), 0);
	f = perigee_fopen_out("table");
	assert_non_null(f);
	assert_true(fprintf(f, "%d\n", 7) > 0);
	assert_int_equal(fclose(f), 0);
	snprintf(path, sizeof(path), "%s/out/report", root);
	f = fopen(path, "r");
	assert_non_null(f);
	assert_int_equal(fread(have, 1, 7, f), 2);
	assert_string_equal(have, "hi");
	fclose(f);
}

static void read_good(const void *arg)
{
	if (perigee_param_number("gain", 0) != -1.25e2 || perigee_param_number("absent", 3) != 3 ||
		perigee_param_number("zero", 1) != 0)
		perigee_fail("numbers");
	if (!perigee_param_bool("on", false) || perigee_param_bool("off", true) ||
		!perigee_param_bool("x", true))
		perigee_fail("truths");
	if (strcmp(perigee_param_string("name", ""), "caf\xc3\xa9 \"\xf0\x9f\x9b\xb0\"\n") != 0)
		perigee_fail("strings: %s", perigee_param_string("name", ""));
	if (!perigee_has_param("nest") || !perigee_has_param("none") || perigee_has_param("inner"))
		perigee_fail("has");
}

static const char good[] = " {\"gain\": -1.25e2, \"zero\":0,\n\"on\":true, \"off\": false,"
			   "\"name\":\"caf\\u00e9 \\\"\\ud83d\\udef0\\\"\\n\", \"nest\": {\"inner\": [1, "
			   "\"]}\"]}, \"none\":null} \n";

static void test_params(void **state)
{
	char log[4096];

	put("params.json", good, sizeof(good) - 1);
	assert_int_equal(in_child(read_good, NULL, log), 0);
	put("params.json", "{}", 2);
	assert_int_equal(in_child(read_good, NULL, log), 1);
}

static void want_number(const void *arg)
{
	(void)perigee_param_number("name", 0);
}

static void test_params_wrong(void **state)
{
	static const struct {
		const char *text, *reason;
	} wrong[] = {
		{good, "/in/params.json: name: expected a number, found a string\n"},
		{"", "/in/params.json:1:1: expected one JSON object\n"},
		{"[1]", "/in/params.json:1:1: expected one JSON object\n"},
		{"{\"a\":1,}", "/in/params.json:1:8: expected a string in double quotes\n"},
		{"{\"a\":\n01}", "/in/params.json:2:2: expected ',' or '}'\n"},
		{"{\"a\":0x1}", "/in/params.json:1:7: expected ',' or '}'\n"},
		{"{\"a\":tru}", "/in/params.json:1:6: expected a value\n"},
		{"{\"a\":\"\\ud800\"}",
			"/in/params.json:1:13: expected the second half of a surrogate pair\n"},
		{"{\"a\":{\"b\":1}", "/in/params.json:1:13: expected ',' or '}'\n"},
		{"{\"a\":[", "/in/params.json:1:7: expected the end of the object or array\n"},
		{"{} x", "/in/params.json:1:4: expected nothing after the object\n"},
	};
	char log[4096];

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		put("params.json", wrong[i].text, strlen(wrong[i].text));
		assert_int_equal(in_child(want_number, NULL, log), 1);
		assert_string_equal(log, wrong[i].reason);
	}
}

/* Whatever the bytes: the stage ends by itself, with 0 or with a reason in one line. */
static void test_params_cut_and_flipped(void **state)
{
	char text[sizeof(good)], log[4096];
	size_t len = sizeof(good) - 1;

	for (size_t i = 0; i < len; i++) {
		int code;

		/* Only the white space after the object may be missing. */
		put("params.json", good, i);
		code = in_child(read_good, NULL, log);
		assert_int_equal(code, i < len - 2);
		memcpy(text, good, sizeof(good));
		text[i] = (char)(text[i] ^ (1 << i % 8));
		put("params.json", text, len);
		code = in_child(read_good, NULL, log);
		assert_true(code == 0 || (code == 1 && log[0] && strchr(log, '\n') == log + strlen(log) - 1));
	}
}

static void retry(const void *arg)
{
	perigee_log("one");
	perigee_retry("busy:\n%s", (const char *)arg);
}

static void test_end(void **state)
{
	char log[4096];

	assert_int_equal(in_child(retry, "cam0", log), PERIGEE_EXIT_RETRY);
	assert_string_equal(log, "one\nbusy: cam0\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_inputs),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_outputs),
		cmocka_unit_test(test_params),
		cmocka_unit_test(test_params_wrong),
		cmocka_unit_test(test_params_cut_and_flipped),
		cmocka_unit_test(test_end),
	};

	return cmocka_run_group_tests(tests, make_root, remove_root);
}
