/* SPDX-License-Identifier: Apache-2.0 */
/* The broker doing what it is for: frames, reads, refusals, and what is left after either side ends. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "bench.h"

static bool all_devices_told(struct bench *b, size_t n)
{
	return b->n_devices >= n;
}

static void frames_are_delivered(void **state)
{
	struct fault_iiod s = fault_iiod_start(FAULT_NONE, 0, 3);
	struct bench b;

	bench_start(&b, s.port, s.port, "5s");
	bench_until(&b, all_devices_told, 3);
	assert_int_equal(b.cam0.state, BROKER_DEVICE_CLOSED);
	assert_string_equal(b.cam0.class, "camera");
	/* Nobody has subscribed: the credit waits. */
	bench_lend(&b);
	assert_int_equal(bench_subscribe(&b, "watch", "cam0"), 0);
	uint32_t first = b.sub;
	assert_int_equal(bench_subscribe(&b, "other", "cam0"), 0);
	uint32_t second = b.sub;

	bench_until(&b, has_frames, 1);
	bench_check_frame(&b, &b.frames[0], 1, FAULT_WIDTH);
	assert_int_equal(b.frames[0].buffer, 1);
	assert_true(b.frames[0].n_subs >= 1);
	assert_int_equal(b.frames[0].subs[0], first);
	assert_int_equal(b.frames[0].n_attrs, 4);
	assert_string_equal(b.frames[0].attrs[2].name, "frame_name");
	assert_string_equal(b.frames[0].attrs[2].value, "bay???");

	b.keep = true;
	bench_lend(&b);
	assert_int_equal(broker_frame_kept(b.client, "cam0", b.frames[0].buffer), 0);
	bench_until(&b, has_frames, 3);
	for (int n = 1; n <= 3; n++)
		bench_check_frame(&b, &b.frames[n - 1], n, FAULT_WIDTH);
	assert_int_equal(b.frames[2].n_subs, 2);
	assert_int_equal(b.frames[2].subs[1], second);
	assert_int_equal(b.cam0.dropped, 0);
	assert_int_equal(b.cam0.reopened, 0);
	bench_stop(&b);
	fault_iiod_stop(&s);
}

static void not_kept_comes_again(void **state)
{
	struct fault_iiod s = fault_iiod_start(FAULT_NONE, 0, 2);
	struct bench b;
	struct digest digest;

	/* Twice a supervisor that dies before it has committed. */
	for (int i = 0; i < 3; i++) {
		bench_start(&b, s.port, s.port, "5s");
		bench_lend(&b);
		assert_int_equal(bench_subscribe(&b, "watch", "cam0"), 0);
		bench_until(&b, has_frames, 1);
		bench_check_frame(&b, &b.frames[0], 1, FAULT_WIDTH);
		if (i > 0)
			assert_memory_equal(digest.bytes, b.frames[0].digest.bytes, DIGEST_BYTES);
		digest = b.frames[0].digest;
		if (i == 2) {
			assert_int_equal(broker_frame_kept(b.client, "cam0", b.frames[0].buffer), 0);
			bench_lend(&b);
			bench_until(&b, has_frames, 2);
			bench_check_frame(&b, &b.frames[1], 2, FAULT_WIDTH);
		}
		bench_stop(&b);
	}
	fault_iiod_stop(&s);
}

static void values_are_read(void **state)
{
	struct fault_iiod s = fault_iiod_start(FAULT_NONE, 0, 1);
	struct bench b;

	bench_start(&b, s.port, s.port, "5s");
	assert_int_equal(bench_read(&b, "perigee", "temp0", "temperature"), 0);
	assert_string_equal(b.text, "20");
	assert_int_equal(bench_read(&b, "perigee", "power0", "power"), 0);
	assert_string_equal(b.text, "12.5");
	assert_int_equal(bench_read(&b, "perigee", "temp0", "temp/scale"), 0);
	assert_string_equal(b.text, "500.0");
	assert_int_equal(bench_read(&b, "perigee", "temp0", "nothing"), ERR_UNKNOWN);
	assert_non_null(strstr(b.text, "nothing"));
	/* Also of a camera that waits for its frame to be kept. */
	bench_lend(&b);
	assert_int_equal(bench_subscribe(&b, "watch", "cam0"), 0);
	bench_until(&b, has_frames, 1);
	assert_int_equal(bench_read(&b, "watch", "cam0", "exposure_us"), 0);
	assert_string_equal(b.text, "250");
	bench_stop(&b);
	fault_iiod_stop(&s);
}

static void denied_by_default(void **state)
{
	struct fault_iiod s = fault_iiod_start(FAULT_NONE, 0, 1);
	struct bench b;

	bench_start(&b, s.port, s.port, "5s");
	assert_int_equal(bench_subscribe(&b, "stranger", "cam0"), ERR_DENIED);
	assert_int_equal(bench_subscribe(&b, "perigee", "cam0"), ERR_DENIED);
	assert_int_equal(bench_subscribe(&b, "watch", "cam1"), ERR_UNKNOWN);
	assert_int_equal(bench_subscribe(&b, "perigee", "temp0"), ERR_DENIED);
	assert_int_equal(bench_read(&b, "watch", "temp0", "temperature"), ERR_DENIED);
	assert_string_equal(b.text, "policy bench does not grant read to watch on temp0");
	assert_int_equal(bench_read(&b, "other", "cam0", "exposure_us"), ERR_DENIED);
	assert_int_equal(bench_read(&b, "perigee", "none", "x"), ERR_UNKNOWN);
	/* Names that are none do not even get there. */
	uint32_t id;
	assert_int_equal(broker_subscribe(b.client, "", "cam0", &id), -EINVAL);
	assert_int_equal(broker_read(b.client, "perigee", "temp0", "", &id), -EINVAL);
	assert_false(b.gone);
	bench_stop(&b);
	fault_iiod_stop(&s);
}

static void bad_policy_ends_it(void **state)
{
	struct bench b;

	bench_start_policy(&b, "perigee: v2\n");
	bench_until(&b, is_gone, 0);
	assert_int_equal(b.gone_status, 65);
	uint32_t id;
	assert_int_equal(broker_subscribe(b.client, "watch", "cam0", &id), ERR_PEER);
	bench_stop(&b);
}

static void killed_broker_is_noticed(void **state)
{
	struct fault_iiod s = fault_iiod_start(FAULT_NO_FRAMES, 0, 0);
	struct bench b;

	bench_start(&b, s.port, s.port, "5s");
	bench_lend(&b);
	assert_int_equal(bench_subscribe(&b, "watch", "cam0"), 0);
	kill(broker_client_pid(b.client), SIGKILL);
	bench_until(&b, is_gone, 0);
	assert_int_equal(b.gone_status, 128 + SIGKILL);
	bench_stop(&b);
	fault_iiod_stop(&s);
}

/* A supervisor that ends without a word: the broker and its workers end too. Each process of it holds the
 * write end of a pipe (its standard error), which is at its end when the last of them is gone. */
static void ends_with_its_supervisor(void **state)
{
	struct fault_iiod s = fault_iiod_start(FAULT_NO_FRAMES, 0, 0);
	int pipe_fds[2];
	char c;

	assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
	pid_t pid = fork();
	if (pid == 0) {
		struct bench b;

		dup2(pipe_fds[1], STDERR_FILENO);
		bench_start(&b, s.port, s.port, "60s");
		bench_lend(&b);
		if (bench_subscribe(&b, "watch", "cam0") != 0 ||
			bench_read(&b, "perigee", "temp0", "temperature") != 0)
			_exit(1);
		_exit(0);
	}
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	close(pipe_fds[1]);
	while (read(pipe_fds[0], &c, 1) > 0)
		;
	close(pipe_fds[0]);
	fault_iiod_stop(&s);
}

static bool is_ready(struct bench *b, size_t arg)
{
	return b->ready;
}

/* Also with a policy that grants nothing: whoever waits for it must not wait for ever. */
static void says_that_its_policy_is_taken(void **state)
{
	struct bench b;

	bench_start_policy(&b, "perigee: v1\npolicy: none\ndevices: {}\ngrants: []\n");
	bench_until(&b, is_ready, 0);
	assert_int_equal(b.devices_when_ready, 0);
	bench_stop(&b);
	bench_start(&b, 1, 1, "5s");
	bench_until(&b, is_ready, 0);
	assert_int_equal(b.devices_when_ready, 3);
	bench_stop(&b);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_are_delivered),
		cmocka_unit_test(not_kept_comes_again),
		cmocka_unit_test(values_are_read),
		cmocka_unit_test(denied_by_default),
		cmocka_unit_test(says_that_its_policy_is_taken),
		cmocka_unit_test(bad_policy_ends_it),
		cmocka_unit_test(killed_broker_is_noticed),
		cmocka_unit_test(ends_with_its_supervisor),
	};

	if (argc != 2)
		return 2;
	bench_executable = argv[1];
	return cmocka_run_group_tests_name("broker", tests, NULL, NULL);
}
