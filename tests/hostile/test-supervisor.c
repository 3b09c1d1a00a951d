/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A compromised supervisor against the real launcher: messages that break the protocol end it, cleanly and
 * with nothing left; requests for what is not the supervisor's to give are answered with a refusal. Needs
 * root.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "core/file.h"
#include "core/msg.h"
#include "sandbox.h"

/* Numbers of the launch protocol, as an attacker would know them. */
enum { START = 1, KILL = 2, FREEZE = 3, READY = 65, RESULT = 66 };

static pid_t launcher;
static int sock = -1;
static struct msg m;
static int launcher_room; /* bytes for its results on the way to us; 0: as usual */

static int launch(void **state)
{
	char *argv[] = {(char *)LAUNCHER_PATH, NULL};
	posix_spawn_file_actions_t actions;
	int pair[2], err;

	if (msg_pair(false, false, pair) < 0)
		return -1;
	if (launcher_room)
		(void)setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &launcher_room, sizeof(launcher_room));
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
	posix_spawn_file_actions_adddup2(&actions, pair[1], 3);
	err = posix_spawn(&launcher, LAUNCHER_PATH, &actions, NULL, argv, (char *[]){NULL});
	posix_spawn_file_actions_destroy(&actions);
	close(pair[1]);
	sock = pair[0];
	if (err != 0)
		return -1;
	err = msg_recv(sock, &m); /* whether it can freeze is of no matter here */
	return err == 1 && m.type == READY ? 0 : -1;
}

static int exit_status(void)
{
	int status = -1;

	close(TAKE_FD(sock));
	assert_int_equal(waitpid(launcher, &status, 0), launcher);
	return status;
}

static bool nothing_left(void)
{
	char command[256];

	snprintf(command, sizeof(command),
		"test -z \"$(find /sys/fs/cgroup -type d -path '*/perigee-launcher/%d-*' 2>/dev/null)\"",
		(int)launcher);
	return system(command) == 0;
}

/* After what was sent, the launcher hangs up and exits by itself. */
static void assert_dropped(void)
{
	while (msg_recv(sock, &m) == 1)
		msg_finish(&m);
	assert_int_equal(exit_status(), 0);
	assert_true(nothing_left());
}

static void send_raw(const void *data, size_t len)
{
	assert_int_equal(send(sock, data, len, MSG_NOSIGNAL), len);
}

/* A good start message, up to its words; `fds` of the same descriptor. */
static void begin_start(uint64_t task, int fd, size_t n_fds)
{
	msg_begin(&m, START);
	wbuf_u64(&m.out, task);
	wbuf_u64(&m.out, 16 << 20);
	wbuf_u64(&m.out, 1 << 20);
	wbuf_u64(&m.out, 0);
	wbuf_u64(&m.out, UINT64_C(5000000000));
	wbuf_u32(&m.out, 1000);
	wbuf_u32(&m.out, 8);
	wbuf_u64(&m.out, 0); /* no virtual machine */
	for (size_t i = 0; i < n_fds; i++)
		msg_lend_fd(&m, fd);
}

static void add_words(const char *program)
{
	wbuf_u16(&m.out, 1);
	wbuf_str(&m.out, program);
	wbuf_u16(&m.out, 0);
}

static void expect_setup_failed(uint64_t task)
{
	assert_int_equal(msg_recv(sock, &m), 1);
	assert_int_equal(m.type, RESULT);
	assert_int_equal(rbuf_u64(&m.body), task);
	assert_int_equal(rbuf_u8(&m.body), LAUNCH_SETUP_FAILED);
	msg_finish(&m);
}

static void test_garbage(void **state)
{
	static const char bytes[64] = "garbage";

	assert_int_equal(launch(NULL), 0);
	send_raw(bytes, sizeof(bytes));
	assert_dropped();
	for (size_t len = 1; len < 8; len += 3) {
		assert_int_equal(launch(NULL), 0);
		send_raw(bytes, len);
		assert_dropped();
	}
}

static void test_unknown_types(void **state)
{
	static const unsigned type[] = {0, 4, READY, RESULT, 0xffff};

	for (size_t i = 0; i < ARRAY_LEN(type); i++) {
		assert_int_equal(launch(NULL), 0);
		msg_begin(&m, (uint16_t)type[i]);
		assert_int_equal(msg_send(sock, &m), 0);
		assert_dropped();
	}
}

static void test_bad_bodies(void **state)
{
	int dir = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	for (int kind = 0; kind < 9; kind++) {
		assert_int_equal(launch(NULL), 0);
		switch (kind) {
		case 0: /* no descriptors */
			begin_start(1, dir, 0);
			add_words("/x");
			break;
		case 1: /* too many */
			begin_start(1, dir, 5);
			add_words("/x");
			break;
		case 2: /* cut */
			begin_start(1, dir, 4);
			break;
		case 3: /* a relative program */
			begin_start(1, dir, 4);
			add_words("x");
			break;
		case 4: /* trailing bytes */
			begin_start(1, dir, 4);
			add_words("/x");
			wbuf_u8(&m.out, 0);
			break;
		case 5: /* more words than there are */
			begin_start(1, dir, 4);
			wbuf_u16(&m.out, 65535);
			break;
		case 6: /* a kill with nothing in it */
			msg_begin(&m, KILL);
			break;
		case 7: /* a freeze that does not say which way */
			msg_begin(&m, FREEZE);
			wbuf_u64(&m.out, 1);
			break;
		default: /* neither yes nor no */
			msg_begin(&m, FREEZE);
			wbuf_u64(&m.out, 1);
			wbuf_u8(&m.out, 2);
			break;
		}
		assert_int_equal(msg_send(sock, &m), 0);
		assert_dropped();
	}
	close(dir);
}

/* Descriptors of the wrong kind: refused, and the launcher goes on. */
static void test_wrong_descriptors(void **state)
{
	int wrong[4], pair[2];
	uint64_t task = 10;

	assert_int_equal(launch(NULL), 0);
	assert_int_equal(pipe2(pair, O_CLOEXEC), 0);
	wrong[0] = open("/dev/null", O_RDWR | O_CLOEXEC);
	wrong[1] = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	wrong[2] = pair[0];
	wrong[3] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		begin_start(++task, wrong[i], 4);
		add_words("/bin/true");
		assert_int_equal(msg_send(sock, &m), 0);
		expect_setup_failed(task);
	}
	/* A root without the folders that a cell needs, which it must not make. */
	close(wrong[0]);
	wrong[0] = open("/proc/self", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	begin_start(++task, wrong[0], 4);
	add_words("/x");
	assert_int_equal(msg_send(sock, &m), 0);
	expect_setup_failed(task);
	/* Kills of what was never started are nothing. */
	msg_begin(&m, KILL);
	wbuf_u64(&m.out, 99);
	assert_int_equal(msg_send(sock, &m), 0);
	begin_start(++task, wrong[0], 4);
	add_words("/x");
	assert_int_equal(msg_send(sock, &m), 0);
	expect_setup_failed(task);
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
		close(wrong[i]);
	close(pair[1]);
	assert_int_equal(exit_status(), 0);
	assert_true(nothing_left());
}

/* A supervisor that asks and never reads: what is kept for it is bounded, then it is dropped. */
static void test_deaf(void **state)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), err = 0;

	launcher_room = 1; /* the least that the kernel gives: a few results */
	assert_int_equal(launch(NULL), 0);
	launcher_room = 0;
	for (uint64_t task = 1; err == 0; task++) {
		assert_true(task < 1000);
		begin_start(task, null, 4);
		add_words("/x");
		err = msg_send(sock, &m);
	}
	assert_int_equal(err, ERR_PEER);
	close(null);
	assert_dropped();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_garbage),
		cmocka_unit_test(test_unknown_types),
		cmocka_unit_test(test_bad_bodies),
		cmocka_unit_test(test_wrong_descriptors),
		cmocka_unit_test(test_deaf),
	};

	if (geteuid() != 0) {
		fprintf(stderr, "skipped: needs root\n");
		return 77;
	}
	if (launch(NULL) < 0) {
		int unavailable = exit_status();

		fprintf(stderr, "the launcher does not start (status %d)\n", unavailable);
		return WIFEXITED(unavailable) && WEXITSTATUS(unavailable) == 69 ? 77 : 1;
	}
	if (exit_status() != 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
