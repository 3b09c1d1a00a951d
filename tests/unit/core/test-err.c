/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <sys/wait.h>

#include "core/err.h"
#include "helpers.h"

static void numbers_never_change(void **state)
{
	/* Written out again on purpose: telemetry of a flown version carries them. */
	assert_int_equal(ERR_FORMAT, -4096);
	assert_int_equal(ERR_LIMIT, -4097);
	assert_int_equal(ERR_CHECKED, -4098);
	assert_int_equal(ERR_DIGEST, -4099);
	assert_int_equal(ERR_SIGNATURE, -4100);
	assert_int_equal(ERR_DENIED, -4101);
	assert_int_equal(ERR_STATE, -4102);
	assert_int_equal(ERR_PEER, -4103);
	assert_int_equal(ERR_STORE, -4104);
	assert_int_equal(ERR_DEVICE, -4105);
	assert_int_equal(ERR_KEY, -4106);
	assert_int_equal(ERR_UNKNOWN, -4107);
	assert_int_equal(ERR_IMAGE, -4108);
	assert_int_equal(ERR_SANDBOX, -4109);
}

static void names_and_texts(void **state)
{
	assert_string_equal(err_name(ERR_FORMAT), "ERR_FORMAT");
	assert_string_equal(err_text(ERR_FORMAT), "malformed data");
	assert_string_equal(err_name(ERR_SANDBOX), "ERR_SANDBOX");
	assert_string_equal(err_name(-ENOENT), "ENOENT");
	assert_string_equal(err_text(-ENOENT), "No such file or directory");
	assert_string_equal(err_name(0), "OK");
	assert_string_equal(err_text(7), "success");
}

static void unknown_numbers_have_a_text(void **state)
{
	for (int e = -1; e > -5000; e--) {
		assert_non_null(err_text(e));
		assert_non_null(err_name(e));
	}
	assert_string_equal(err_name(-4095), "EUNKNOWN");
	assert_string_equal(err_text(INT_MIN), "unknown error");
	assert_string_equal(err_name(INT_MIN), "EUNKNOWN");
}

static void ensure_ends_the_process_and_says_where(void **state)
{
	int pipe_fds[2], status;
	char text[512] = "";

	assert_int_equal(pipe(pipe_fds), 0);
	pid_t pid = fork();
	if (pid == 0) {
		signal(SIGABRT, SIG_DFL);
		dup2(pipe_fds[1], STDERR_FILENO);
		ensure(1 + 1 == 3);
		_exit(0);
	}
	close(pipe_fds[1]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(read(pipe_fds[0], text, sizeof(text) - 1) > 0);
	close(pipe_fds[0]);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	assert_non_null(strstr(text, "test-err.c"));
	assert_non_null(strstr(text, "ensure(1 + 1 == 3) failed\n"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_never_change),
		cmocka_unit_test(names_and_texts),
		cmocka_unit_test(unknown_numbers_have_a_text),
		cmocka_unit_test(ensure_ends_the_process_and_says_where),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
