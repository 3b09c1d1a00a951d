/* SPDX-License-Identifier: Apache-2.0 */
/* Devices that are absent, hang, break off, lie, or try to break the broker: the frame is dropped and
 * counted, the session reopened, and nobody else notices. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "bench.h"

static bool cam_down(struct bench *b, size_t arg)
{
	return b->cam0.state == BROKER_DEVICE_DOWN && b->cam0.reason[0];
}

/* The counters come after the frame. */
static bool cam_up(struct bench *b, size_t frames)
{
	return b->cam0.state == BROKER_DEVICE_UP && b->cam0.frames == frames;
}

static const struct row {
	enum fault fault;
	int times;
	const char *timeout;
	uint64_t dropped;   /* exactly */
	const char *reason; /* part of the last reason for being down, or NULL */
	uint32_t width;     /* of the frame that comes in the end */
} rows[] = {
	{FAULT_REFUSE, 2, "5s", 0, "ip:127.0.0.1", FAULT_WIDTH},
	{FAULT_GARBAGE, 2, "5s", 0, "ip:127.0.0.1", FAULT_WIDTH},
	{FAULT_CUT, 2, "5s", 2, "waiting for a frame", FAULT_WIDTH},
	{FAULT_STALL, 1, "300ms", 1, "frame-1 did not arrive within 300 ms", FAULT_WIDTH},
	{FAULT_FRAME_GARBAGE, 1, "5s", 1, "waiting for a frame", FAULT_WIDTH},
	{FAULT_SHORT, 1, "5s", 1, "cut off", FAULT_WIDTH},
	{FAULT_SIZE, 1, "5s", 0, NULL, FAULT_WIDTH / 2},
};

static void it_comes_back(void **state)
{
	struct fault_iiod good = fault_iiod_start(FAULT_NONE, 0, 0);

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct row *row = &rows[i];
		struct fault_iiod bad = fault_iiod_start(row->fault, row->times, 1);
		struct bench b;

		print_message("fault %d\n", (int)row->fault);
		bench_start(&b, bad.port, good.port, row->timeout);
		bench_lend(&b);
		assert_int_equal(bench_subscribe(&b, "watch", "cam0"), 0);
		/* Meanwhile the others work. */
		assert_int_equal(bench_read(&b, "perigee", "temp0", "temperature"), 0);
		bench_until(&b, has_frames, 1);
		bench_check_frame(&b, &b.frames[0], 1, row->width);
		bench_until(&b, cam_up, 1);
		assert_int_equal(b.cam0.dropped, row->dropped);
		if (row->reason && !strstr(b.worst, row->reason))
			fail_msg(
				"fault %d: expected \"%s\" in \"%s\"", (int)row->fault, row->reason, b.worst);
		if (!row->reason)
			assert_string_equal(b.worst, "");
		bench_stop(&b);
		fault_iiod_stop(&bad);
	}
	fault_iiod_stop(&good);
}

/* More than was asked for runs over libiio's buffer: whatever becomes of the worker, the broker stays, and
 * what is announced in the end is a right frame. */
static void overrun(void **state)
{
#ifdef __SANITIZE_ADDRESS__
	skip();
#endif
	struct fault_iiod bad = fault_iiod_start(FAULT_TOO_MUCH, 1, 1),
			  good = fault_iiod_start(FAULT_NONE, 0, 0);
	struct bench b;

	bench_start(&b, bad.port, good.port, "5s");
	bench_lend(&b);
	assert_int_equal(bench_subscribe(&b, "watch", "cam0"), 0);
	bench_until(&b, has_frames, 1);
	bench_check_frame(&b, &b.frames[0], 1, FAULT_WIDTH);
	bench_until(&b, cam_up, 1);
	assert_int_equal(b.cam0.dropped, 1);
	assert_int_equal(bench_read(&b, "perigee", "temp0", "temperature"), 0);
	bench_stop(&b);
	fault_iiod_stop(&bad);
	fault_iiod_stop(&good);
}

/* It accepts and says nothing: the worker is stuck in its library, until it gives up by itself. */
static void silent_stops_nobody(void **state)
{
	struct fault_iiod bad = fault_iiod_start(FAULT_SILENT, 1000, 0),
			  good = fault_iiod_start(FAULT_NONE, 0, 0);
	struct bench b;

	bench_start(&b, bad.port, good.port, "100ms");
	bench_lend(&b);
	assert_int_equal(bench_subscribe(&b, "watch", "cam0"), 0);
	for (int i = 0; i < 50; i++)
		assert_int_equal(bench_read(&b, "perigee", "temp0", "temperature"), 0);
	bench_until(&b, cam_down, 0);
	bench_stop(&b); /* also while it is stuck */
	fault_iiod_stop(&bad);
	fault_iiod_stop(&good);
}

/* It answers a byte at a time, so that no wait in the library ever ends: the broker ends the worker. */
static void dripping_is_ended(void **state)
{
	struct fault_iiod bad = fault_iiod_start(FAULT_DRIP, 1, 1), good = fault_iiod_start(FAULT_NONE, 0, 0);
	struct bench b;

	bench_start(&b, bad.port, good.port, "10ms"); /* then patience is a little over 15 s */
	bench_lend(&b);
	assert_int_equal(bench_subscribe(&b, "watch", "cam0"), 0);
	assert_int_equal(bench_read(&b, "perigee", "temp0", "temperature"), 0);
	bench_until(&b, cam_down, 0);
	assert_non_null(strstr(b.cam0.reason, "got no answer from the device and was ended"));
	bench_stop(&b);
	fault_iiod_stop(&bad);
	fault_iiod_stop(&good);
}

static void absent(void **state)
{
	struct fault_iiod good = fault_iiod_start(FAULT_NONE, 0, 0),
			  gone = fault_iiod_start(FAULT_NONE, 0, 0);
	struct bench b;

	fault_iiod_stop(&gone); /* its port is free now */
	bench_start(&b, gone.port, gone.port, "5s");
	bench_lend(&b);
	assert_int_equal(bench_subscribe(&b, "watch", "cam0"), 0);
	bench_until(&b, cam_down, 0);
	assert_non_null(strstr(b.cam0.reason, "refused"));
	/* A read that cannot be: the reason, at once, also while it is too early to try again. */
	for (int i = 0; i < 10; i++) {
		assert_int_equal(bench_read(&b, "perigee", "temp0", "temperature"), ERR_DEVICE);
		assert_non_null(strstr(b.text, "refused"));
	}
	bench_stop(&b);
	fault_iiod_stop(&good);
}

/* A camera that will not forget delivers again, slowly, under the same name. */
static void release_denied(void **state)
{
	struct fault_iiod bad = fault_iiod_start(FAULT_RELEASE_DENIED, 2, 2);
	struct bench b;

	bench_start(&b, bad.port, bad.port, "5s");
	b.keep = true;
	bench_lend(&b);
	assert_int_equal(bench_subscribe(&b, "watch", "cam0"), 0);
	bench_until(&b, has_frames, 4);
	for (int i = 0; i < 3; i++)
		bench_check_frame(&b, &b.frames[i], 1, FAULT_WIDTH);
	bench_check_frame(&b, &b.frames[3], 2, FAULT_WIDTH);
	bench_stop(&b);
	fault_iiod_stop(&bad);
}

/* The only child of this broker. */
static pid_t worker_of(pid_t broker)
{
	char path[64], text[32] = "";

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", broker, broker);
	CLEAN_FD int fd = open(path, O_RDONLY);
	if (fd < 0)
		skip(); /* a kernel without CONFIG_PROC_CHILDREN */
	assert_true(read(fd, text, sizeof(text) - 1) > 0);
	return (pid_t)strtol(text, NULL, 10);
}

/* What a device may do to its library ends at the worker. */
static void crashed_worker(void **state)
{
	struct fault_iiod s = fault_iiod_start(FAULT_NONE, 0, 1);
	struct bench b;

	bench_start(&b, s.port, s.port, "5s");
	assert_int_equal(bench_subscribe(&b, "watch", "cam0"), 0);
	bench_lend(&b);
	bench_until(&b, has_frames, 1);
	assert_int_equal(kill(worker_of(broker_client_pid(b.client)), SIGUSR1), 0);
	bench_until(&b, cam_down, 0);
	assert_non_null(strstr(b.cam0.reason, "signal 10"));
	/* What was announced and not kept comes again. */
	bench_lend(&b);
	bench_until(&b, has_frames, 2);
	bench_check_frame(&b, &b.frames[1], 1, FAULT_WIDTH);
	bench_stop(&b);
	fault_iiod_stop(&s);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_comes_back),
		cmocka_unit_test(overrun),
		cmocka_unit_test(crashed_worker),
		cmocka_unit_test(silent_stops_nobody),
		cmocka_unit_test(dripping_is_ended),
		cmocka_unit_test(absent),
		cmocka_unit_test(release_denied),
	};

	if (argc != 2)
		return 2;
	bench_executable = argv[1];
	return cmocka_run_group_tests_name("broker-faults", tests, NULL, NULL);
}
