/* SPDX-License-Identifier: Apache-2.0 */
/* Raw bytes at the server: what no libiio would send. After each, it still serves. */
#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "iiod.h"
#include "served.h"

#define SIDE 512

static struct served *start(int64_t interval_ns)
{
	struct serve_options o = serve_defaults();

	o.port = 0;
	o.width = SIDE;
	o.height = SIDE;
	o.interval_ns = interval_ns;
	return served_start(&o);
}

static int join_server(const struct served *s)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(served_port(s))};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	return fd;
}

static void say(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* Receives exactly this. */
static void hear(int fd, const char *text)
{
	char got[4096];
	size_t len = strlen(text);

	assert_true(len < sizeof(got));
	for (size_t at = 0; at < len;) {
		ssize_t n = recv(fd, got + at, len - at, 0);
		if (n <= 0)
			fail_msg("waiting for \"%s\": the connection ended", text);
		at += (size_t)n;
	}
	got[len] = 0;
	assert_string_equal(got, text);
}

static void hear_end(int fd)
{
	char c;
	ssize_t n = recv(fd, &c, 1, 0);

	assert_true(n == 0 || (n < 0 && errno == ECONNRESET));
	close(fd);
}

static void check_alive(const struct served *s)
{
	int fd = join_server(s);

	say(fd, "VERSION\r\n");
	hear(fd, "0.24.perigee\n");
	say(fd, "EXIT\r\n");
	hear_end(fd);
}

static void test_answers(void **state)
{
	static const char *const talk[][2] = {
		{"\r\n\n  \r\nVERSION\n", "0.24.perigee\n"},
		{"TIMEOUT 5\r\n", "0\n"},
		{"nonsense\r\n", "-22\n"},
		{"ZPRINT\r\n", "-22\n"},
		{"READ nothing here\r\n", "-19\n"},
		{"READ cam0 nothing\r\n", "-2\n"},
		{"READ cam0 INPUT nothing scale\r\n", "-6\n"},
		{"READ cam0 OUTPUT blue scale\r\n", "-6\n"},
		{"READ cam0 INPUT blue scale\r\n", "7\n"},
		{"", "0.0001"},
	};
	struct served *s = start(-1);
	int fd = join_server(s);

	for (size_t i = 0; i < ARRAY_LEN(talk); i++) {
		say(fd, talk[i][0]);
		hear(fd, talk[i][1]);
	}
	char rest[2];
	assert_int_equal(recv(fd, rest, 2, MSG_WAITALL), 2);
	assert_memory_equal(rest, "\0\n", 2);
	say(fd, "GETTRIG cam0\r\nSETTRIG cam0 x\r\nWRITEBUF cam0 10\r\nOPEN temp0 1 00000001\r\n");
	hear(fd, "-2\n-2\n-1\n-38\n");
	say(fd, "CLOSE cam0\r\nREADBUF cam0 10\r\nOPEN cam0 0 0000003f\r\nOPEN cam0 1 00000000\r\n");
	hear(fd, "-6\n-9\n-22\n-22\n");
	say(fd, "OPEN cam0 1 00000040\r\nOPEN cam0 4294967296 0000003f\r\nOPEN cam0 9 0000003f\r\n");
	hear(fd, "-22\n-22\n0\n");
	say(fd, "OPEN cam0 9 0000003f\r\nREADBUF cam0 3\r\nCLOSE cam0\r\nCLOSE cam0\r\n");
	hear(fd, "-16\n0\n0\n-6\n");
	say(fd, "WRITE cam0 gain 4\r\n");
	say(fd, "1.5\nVERSION\r\n"); /* the value in a packet of its own, the next command behind it */
	hear(fd, "4\n0.24.perigee\n");
	say(fd, "WRITE cam0 3\r\n1.5WRITE cam0 nothing 3\r\n1.5WRITE temp0 INPUT temp raw 1\r\n1");
	hear(fd, "-38\n-2\n-13\n");
	close(fd);
	check_alive(s);
	served_stop(s);
}

static void test_too_long(void **state)
{
	struct served *s = start(-1);
	char line[IIOD_LINE_MAX + 100];
	int fd = join_server(s);

	memset(line, 'A', sizeof(line) - 1);
	line[sizeof(line) - 1] = 0;
	say(fd, line);
	hear(fd, "-22\n");
	hear_end(fd);
	fd = join_server(s);
	say(fd, "WRITE cam0 gain 999999999\r\n");
	hear(fd, "-27\n");
	hear_end(fd);
	/* A value's bytes may be anything, but a zero inside is no number. */
	fd = join_server(s);
	say(fd, "WRITE cam0 gain 3\r\n");
	assert_int_equal(send(fd, "1\0001", 3, 0), 3);
	hear(fd, "-22\n");
	close(fd);
	check_alive(s);
	served_stop(s);
}

/* Answers come in order even when all commands come at once, half of them while a READBUF is blocked. */
static void test_pipelined(void **state)
{
	struct served *s = start(-1);
	int fd = join_server(s), other = join_server(s);
	char commands[IIOD_LINE_MAX * 8] = "", head[64];

	say(fd, "OPEN cam0 262144 0000003f\r\nREADBUF cam0 1000\r\n");
	hear(fd, "0\n");
	for (int i = 0; i < 800; i++)
		strcat(commands, "VERSION\r\n");
	say(fd, commands); /* more than the server keeps: it stops reading, and goes on later */
	say(other, "WRITE cam0 trigger_exposures 1\r\n1");
	hear(other, "1\n");
	(void)snprintf(head, sizeof(head), "%d\n0000003f\n", 1000 / 12 * 12);
	hear(fd, head);
	char data[1000 / 12 * 12];
	assert_int_equal(recv(fd, data, sizeof(data), MSG_WAITALL), sizeof(data));
	hear(fd, "0\n"); /* 4 bytes were asked for that are no sample */
	for (int i = 0; i < 800; i++)
		hear(fd, "0.24.perigee\n");
	close(fd);
	close(other);
	served_stop(s);
}

/* One that takes its time gets its frame whole, even after another has released it; nobody waits for it. */
static void test_slow_reader(void **state)
{
	struct served *s = start(-1);
	int slow = join_server(s), quick = join_server(s);
	size_t bytes = (size_t)SIDE * SIDE * 12;
	uint8_t *first = malloc(bytes), *again = malloc(bytes);

	say(quick, "WRITE cam0 trigger_exposures 1\r\n2");
	hear(quick, "1\n");
	say(slow, "OPEN cam0 262144 0000003f\r\nREADBUF cam0 3145728\r\n");
	hear(slow, "0\n3145728\n0000003f\n"); /* on its way, and much longer than the socket's buffers */
	say(quick, "OPEN cam0 262144 0000003f\r\nREADBUF cam0 3145728\r\n");
	hear(quick, "0\n3145728\n0000003f\n");
	assert_int_equal(recv(quick, again, bytes, MSG_WAITALL), bytes);
	say(quick, "WRITE cam0 frame_release 13\r\ncam0-1-000001");
	hear(quick, "13\n");
	say(quick, "READBUF cam0 3145728\r\n");
	hear(quick, "3145728\n0000003f\n");
	assert_int_equal(recv(slow, first, bytes, MSG_WAITALL), bytes);
	assert_memory_equal(first, again, bytes);
	free(first);
	free(again);
	close(slow);
	close(quick); /* in the midst of a frame */
	check_alive(s);
	served_stop(s);
}

static void test_crowd(void **state)
{
	struct served *s = start(-1);
	int fds[IIOD_CLIENTS_MAX + 20];

	for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
		fds[i] = join_server(s);
		say(fds[i], "TIMEOUT 1\r\n");
		hear(fds[i], "0\n");
	}
	hear_end(fds[0]); /* the oldest made room */
	say(fds[ARRAY_LEN(fds) - 1], "VERSION\r\n");
	hear(fds[ARRAY_LEN(fds) - 1], "0.24.perigee\n");
	for (size_t i = 1; i < ARRAY_LEN(fds); i++)
		close(fds[i]);
	check_alive(s);
	served_stop(s);
}

static void test_half_closed(void **state)
{
	struct served *s = start(-1);
	int fd = join_server(s);

	say(fd, "VERSION\r\nTIMEOUT 1\r\nOPEN cam0 1 00000001\r\nREADBUF cam0 2\r\nVERSION\r\n");
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	hear(fd, "0.24.perigee\n0\n0\n"); /* it will never hear of a frame: the rest is left */
	hear_end(fd);
	check_alive(s);
	served_stop(s);
}

/* Words of the protocol in any order, with any bytes between. */
static void test_noise(void **state)
{
	static const char *const words[] = {"READ", "WRITE", "OPEN", "READBUF", "CLOSE", "cam0", "temp0",
		"INPUT", "DEBUG", "gain", "1", "12", "262144", "0000003f", "99999999999", "\r\n", "\n", " ",
		"SET", "BUFFERS_COUNT", "PRINT", "frame_release", "trigger_exposures", "TIMEOUT", "\x80",
		"blue", "CYCLIC"};
	struct served *s = start(0);
	uint64_t random = 88172645463325252u;

	for (int round = 0; round < 150; round++) {
		char text[1024];
		size_t len = 0;
		while (len < sizeof(text) - 40) {
			random ^= random << 13, random ^= random >> 7, random ^= random << 17;
			if (random % 11 == 0) {
				text[len++] = (char)(random >> 32);
				continue;
			}
			const char *w = words[(random >> 20) % ARRAY_LEN(words)];
			len += (size_t)sprintf(text + len, "%s%s", w, random % 3 ? " " : "");
			if (random % 7 == 0)
				len += (size_t)sprintf(text + len, "\r\n");
		}
		int fd = join_server(s);
		(void)send(fd, text, len, MSG_NOSIGNAL);
		if (round % 3 == 0) { /* and take some of the answer, or none */
			char some[512];
			(void)shutdown(fd, SHUT_WR);
			(void)recv(fd, some, sizeof(some), 0);
		}
		close(fd);
	}
	check_alive(s);
	served_stop(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_too_long),
		cmocka_unit_test(test_pipelined),
		cmocka_unit_test(test_slow_reader),
		cmocka_unit_test(test_crowd),
		cmocka_unit_test(test_half_closed),
		cmocka_unit_test(test_noise),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
