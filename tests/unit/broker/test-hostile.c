/* SPDX-License-Identifier: Apache-2.0 */
/* A supervisor that has been taken over, and a worker that has been: what they can say to the broker, and
 * what it makes of it. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "bench.h"
#include "core/file.h"
#include "serve.h"

static char policy_path[64];
static struct fault_iiod server;

struct raw {
	pid_t pid;
	int sock;
	struct msg m;
};

/* The broker with a socket of ours, without the client. */
static void raw_start(struct raw *r)
{
	int pair[2];

	assert_int_equal(msg_pair(false, false, pair), 0);
	r->pid = fork();
	if (r->pid == 0) {
		int null = open("/dev/null", O_WRONLY);

		dup2(null, STDERR_FILENO);
		dup2(pair[1], 3);
		execl(bench_executable, bench_executable, "--policy", policy_path, (char *)NULL);
		_exit(99);
	}
	close(pair[1]);
	r->sock = pair[0];
}

static int raw_end(struct raw *r)
{
	int status;

	close(r->sock);
	assert_int_equal(waitpid(r->pid, &status, 0), r->pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* It hangs up, and ends with a failure: what was said is no part of the protocol. */
static void assert_dropped(struct raw *r, const char *what, size_t n)
{
	int got;

	while ((got = msg_recv(r->sock, &r->m)) > 0)
		msg_finish(&r->m);
	int status = raw_end(r);
	if (got != 0 || status != 1)
		fail_msg("%s %zu: receiving gave %d, exit status %d", what, n, got, status);
}

static void send_or_gone(struct raw *r)
{
	int sent = msg_send(r->sock, &r->m);

	assert_true(sent == 0 || sent == ERR_PEER);
}

static void subscribe(struct raw *r, uint32_t sub, const char *payload, const char *device)
{
	msg_begin(&r->m, GRANT_SUBSCRIBE);
	wbuf_u32(&r->m.out, sub);
	wbuf_str(&r->m.out, payload);
	wbuf_str(&r->m.out, device);
}

static void buffer(struct raw *r, const char *device, uint64_t id, int fd)
{
	msg_begin(&r->m, GRANT_BUFFER);
	wbuf_str(&r->m.out, device);
	wbuf_u64(&r->m.out, id);
	if (fd >= 0)
		msg_lend_fd(&r->m, fd);
}

static void unknown_types(void **state)
{
	static const uint16_t types[] = {0, 6, 64, GRANT_SUBSCRIBED, GRANT_FRAME, GRANT_VALUE, GRANT_DEVICE,
		WORKER_BUFFER, WORKER_FRAME, WORKER_STATE, 65535};

	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		struct raw r;

		raw_start(&r);
		msg_begin(&r.m, types[i]);
		send_or_gone(&r);
		assert_dropped(&r, "type", types[i]);
	}
}

static void truncated_and_too_long(void **state)
{
	struct raw r;

	subscribe(&r, 1, "watch", "cam0");
	size_t whole = r.m.out.len;
	for (size_t len = MSG_HEADER_BYTES; len <= whole + 1; len++) {
		if (len == whole)
			continue;
		raw_start(&r);
		subscribe(&r, 1, "watch", "cam0");
		wbuf_u8(&r.m.out, 0);
		r.m.out.len = len;
		send_or_gone(&r);
		assert_dropped(&r, "length", len);
	}
}

static void bad_headers(void **state)
{
	static const uint8_t rows[][12] = {
		{0, 5, 0, 1, 0, 0, 0, 0, 8},             /* a byte that must be zero */
		{0, 5, 0, 0, 0, 0, 0, 1, 8},             /* a body that is not there */
		{0, 5, 0, 0, 0, 0, 0, 0, 9},             /* a byte too many */
		{0, 5, 0, 0, 0xff, 0xff, 0xff, 0xff, 8}, /* a length beyond everything */
		{0, 5, 0, 0, 0, 0, 0, 0, 7},             /* half a header */
		{0, 0, 0, 0, 0, 0, 0, 0, 1},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct raw r;

		raw_start(&r);
		assert_int_equal(send(r.sock, rows[i], rows[i][8], MSG_NOSIGNAL), rows[i][8]);
		assert_dropped(&r, "header", i);
	}
}

static void bad_names(void **state)
{
	static const char long_name[] =
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
	static const char *const names[] = {"", "a\nb", "\x1b[31m", "\xff", long_name};

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct raw r;

		raw_start(&r);
		subscribe(&r, 1, names[i], "cam0");
		send_or_gone(&r);
		assert_dropped(&r, "payload", i);
		raw_start(&r);
		msg_begin(&r.m, GRANT_READ);
		wbuf_u32(&r.m.out, 1);
		wbuf_str(&r.m.out, "perigee");
		wbuf_str(&r.m.out, "temp0");
		wbuf_str(&r.m.out,
			i == 4 ? "a123456789b123456789c123456789d123456789e123456789f123456789g123456789h1234"
				 "56789i12345678"
				 "9j12345"
			       : names[i]);
		send_or_gone(&r);
		assert_dropped(&r, "attribute", i);
	}
}

/* Descriptors that are not an empty file to be written. */
static void bad_buffers(void **state)
{
	int pipe_fds[2];
	CLEAN_FD int dir = open("/tmp", O_RDONLY | O_DIRECTORY), full = memfd_create("full", 0);
	CLEAN_FD int file = memfd_create("file", 0), append = memfd_create("append", 0);
	CLEAN_FD int device = open("/dev/null", O_RDWR), readonly = open("/dev/null", O_RDONLY);
	char name[64];

	assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
	assert_int_equal(write(full, "x", 1), 1);
	assert_int_equal(fcntl(append, F_SETFL, O_APPEND), 0);
	snprintf(name, sizeof(name), "/proc/self/fd/%d", file);
	CLEAN_FD int only = open(name, O_RDONLY);
	const int fds[] = {-1, pipe_fds[1], dir, full, append, device, readonly, only};

	for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
		struct raw r;

		raw_start(&r);
		buffer(&r, "cam0", 1, fds[i]);
		send_or_gone(&r);
		assert_dropped(&r, "descriptor", i);
	}
	static const char *const devices[] = {"temp0", "cam1"};
	for (size_t i = 0; i < ARRAY_LEN(devices); i++) {
		struct raw r;

		raw_start(&r);
		buffer(&r, devices[i], 1, file);
		send_or_gone(&r);
		assert_dropped(&r, "device", i);
		raw_start(&r);
		msg_begin(&r.m, GRANT_FRAME_KEPT);
		wbuf_str(&r.m.out, devices[i]);
		wbuf_u64(&r.m.out, 1);
		send_or_gone(&r);
		assert_dropped(&r, "kept", i);
	}
	close(pipe_fds[0]);
	close(pipe_fds[1]);
}

static void too_many_buffers(void **state)
{
	CLEAN_FD int file = memfd_create("file", 0);
	struct raw r;

	raw_start(&r);
	for (uint64_t id = 0; id <= BROKER_BUFFERS_MAX; id++) {
		buffer(&r, "cam0", id, file);
		send_or_gone(&r);
	}
	assert_dropped(&r, "buffers", BROKER_BUFFERS_MAX);
	raw_start(&r);
	for (int i = 0; i < 2; i++) {
		buffer(&r, "cam0", 5, file);
		send_or_gone(&r);
	}
	assert_dropped(&r, "the same buffer", 2);
}

static int next_status(struct raw *r, uint16_t type, uint32_t id)
{
	for (;;) {
		assert_int_equal(msg_recv(r->sock, &r->m), 1);
		if (r->m.type != type)
			continue;
		uint32_t got = rbuf_u32(&r->m.body);
		int status = get_status(&r->m.body);

		assert_int_equal(got, id);
		msg_finish(&r->m);
		return status;
	}
}

/* Too much, but within the protocol: refused with a reason, and it goes on. */
static void limits(void **state)
{
	struct raw r;

	raw_start(&r);
	for (uint32_t sub = 0; sub <= BROKER_SUBS_MAX; sub++) {
		subscribe(&r, sub, "watch", "cam0");
		send_or_gone(&r);
		assert_int_equal(
			next_status(&r, GRANT_SUBSCRIBED, sub), sub == BROKER_SUBS_MAX ? ERR_LIMIT : 0);
	}
	subscribe(&r, 3, "watch", "cam0");
	send_or_gone(&r);
	assert_int_equal(next_status(&r, GRANT_SUBSCRIBED, 3), -EEXIST);
	/* A frame that was never announced. */
	msg_begin(&r.m, GRANT_FRAME_KEPT);
	wbuf_str(&r.m.out, "cam0");
	wbuf_u64(&r.m.out, 77);
	send_or_gone(&r);
	/* Descriptors that nobody asked for are closed. */
	CLEAN_FD int file = memfd_create("file", 0);
	subscribe(&r, 3, "watch", "cam0");
	for (int i = 0; i < MSG_FDS_MAX; i++)
		msg_lend_fd(&r.m, file);
	send_or_gone(&r);
	assert_int_equal(next_status(&r, GRANT_SUBSCRIBED, 3), -EEXIST);
	assert_int_equal(raw_end(&r), 0);
}

/* slow0 is at a server that never answers. */
static void too_many_reads(void **state)
{
	struct raw r;

	raw_start(&r);
	for (uint32_t req = 0; req <= BROKER_READS_MAX; req++) {
		msg_begin(&r.m, GRANT_READ);
		wbuf_u32(&r.m.out, req);
		wbuf_str(&r.m.out, "perigee");
		wbuf_str(&r.m.out, "slow0");
		wbuf_str(&r.m.out, "temperature");
		send_or_gone(&r);
	}
	assert_int_equal(next_status(&r, GRANT_VALUE, BROKER_READS_MAX), -EBUSY);
	assert_int_equal(raw_end(&r), 0);
}

/* ---- a worker ---- */

struct seat {
	struct broker *b;
	struct policy *policy;
	struct lane *lane;
	int worker, supervisor; /* their ends */
};

/* A broker inside this process, with us as the worker of cam0 and as the supervisor. */
static void seat_init(struct seat *s, enum worker_role role)
{
	struct complaints c;
	int pair[2];

	s->b = calloc(1, sizeof(*s->b));
	assert_non_null(s->b);
	assert_int_equal(complaints_init(&c, policy_path), 0);
	assert_int_equal(policy_load(policy_path, &c, &s->policy), 0);
	complaints_finish(&c);
	s->b->policy = s->policy;
	assert_int_equal(msg_pair(false, true, pair), 0);
	s->b->sock = pair[0];
	s->supervisor = pair[1];
	struct session *session = &s->b->sessions[0];
	session->broker = s->b;
	session->spec = &s->policy->devices[0];
	snprintf(session->told.name, sizeof(session->told.name), "cam0");
	session->lent[session->n_lent++] = (struct lent){.id = 5, .fd = memfd_create("lent", 0)};
	session->reads[session->n_reads++] = 9;
	s->lane = &session->lanes[role];
	assert_int_equal(msg_pair(true, false, pair), 0);
	pid_t pid = fork();
	if (pid == 0) {
		for (;;)
			pause();
	}
	*s->lane = (struct lane){
		.session = session, .role = role, .state = LANE_RUNNING, .pid = pid, .sock = pair[0]};
	s->worker = pair[1];
}

static void seat_finish(struct seat *s)
{
	if (s->lane->state == LANE_RUNNING)
		lane_kill(s->lane, "the test ends");
	waitpid(s->lane->pid, NULL, 0);
	close(s->worker);
	close(s->supervisor);
	close(s->b->sock);
	for (size_t i = 0; i < s->b->sessions[0].n_lent; i++)
		close(s->b->sessions[0].lent[i].fd);
	policy_destroy(s->policy);
	free(s->b);
}

static const struct device_frame frame = {.bytes = 10, .id = "f"};

static void worker_says(struct msg *m, size_t row)
{
	switch (row) {
	case 0: /* a buffer that was not lent */
		msg_begin(m, WORKER_FRAME);
		put_frame(&m->out, 6, &frame);
		break;
	case 1: /* an answer to another request */
		msg_begin(m, WORKER_VALUE);
		wbuf_u32(&m->out, 8);
		put_status(&m->out, 0);
		wbuf_str(&m->out, "1");
		break;
	case 2: /* a status that is none */
		msg_begin(m, WORKER_VALUE);
		wbuf_u32(&m->out, 9);
		wbuf_u32(&m->out, 1);
		wbuf_str(&m->out, "1");
		break;
	case 3: /* terminal escapes for the log */
		msg_begin(m, WORKER_STATE);
		wbuf_u8(&m->out, 0);
		wbuf_str(&m->out, "\x1b]0;owned\x07");
		wbuf_u32(&m->out, 0);
		wbuf_u32(&m->out, 0);
		break;
	case 4: /* words of the other protocol */
		msg_begin(m, GRANT_SUBSCRIBE);
		wbuf_u32(&m->out, 1);
		wbuf_str(&m->out, "watch");
		wbuf_str(&m->out, "cam0");
		break;
	case 5:
		msg_begin(m, WORKER_PHASE);
		break;
	case 6: /* more text than an answer may have */
		msg_begin(m, WORKER_VALUE);
		wbuf_u32(&m->out, 9);
		put_status(&m->out, 0);
		wbuf_u16(&m->out, 20000);
		for (int i = 0; i < 20000; i++)
			wbuf_u8(&m->out, 'x');
		break;
	default: /* a frame cut off at each length */
		msg_begin(m, WORKER_FRAME);
		put_frame(&m->out, 5, &frame);
		m->out.len = MSG_HEADER_BYTES + row - 7;
	}
}

static void bad_workers(void **state)
{
	struct msg *m = malloc(sizeof(*m));

	assert_non_null(m);
	msg_begin(m, WORKER_FRAME);
	put_frame(&m->out, 5, &frame);
	size_t rows = 7 + m->out.len - MSG_HEADER_BYTES;
	for (size_t row = 0; row < rows; row++) {
		struct seat s;

		seat_init(&s, row == 1 || row == 2 || row == 6 ? WORKER_READS : WORKER_CAPTURES);
		worker_says(m, row);
		assert_int_equal(msg_send(s.worker, m), 0);
		assert_int_equal(on_lane(s.lane), 0);
		if (s.lane->state != LANE_DYING)
			fail_msg("row %zu: the worker is still believed", row);
		/* Nothing of it reached the supervisor, and nothing is lost. */
		assert_int_equal(msg_recv(s.supervisor, m), -EAGAIN);
		assert_int_equal(s.b->sessions[0].n_lent, 1);
		assert_int_equal(s.b->sessions[0].n_reads, 1);
		seat_finish(&s);
	}
	/* A reader has no frames. */
	struct seat s;
	seat_init(&s, WORKER_READS);
	msg_begin(m, WORKER_FRAME);
	put_frame(&m->out, 5, &frame);
	assert_int_equal(msg_send(s.worker, m), 0);
	assert_int_equal(on_lane(s.lane), 0);
	assert_int_equal(s.lane->state, LANE_DYING);
	seat_finish(&s);
	/* And the same from one that may. */
	seat_init(&s, WORKER_CAPTURES);
	msg_begin(m, WORKER_FRAME);
	put_frame(&m->out, 5, &frame);
	assert_int_equal(msg_send(s.worker, m), 0);
	assert_int_equal(on_lane(s.lane), 0);
	assert_int_equal(s.lane->state, LANE_RUNNING);
	assert_int_equal(msg_recv(s.supervisor, m), 1);
	assert_int_equal(m->type, GRANT_FRAME);
	seat_finish(&s);
	free(m);
}

static int setup(void **state)
{
	char text[1024];
	static struct fault_iiod silent;

	signal(SIGPIPE, SIG_IGN);
	server = fault_iiod_start(FAULT_NONE, 0, 0);
	silent = fault_iiod_start(FAULT_SILENT, 1000, 0);
	snprintf(policy_path, sizeof(policy_path), "/tmp/perigee-hostile-XXXXXX");
	int fd = mkstemp(policy_path);
	int len = snprintf(text, sizeof(text),
		"perigee: v1\n"
		"policy: hostile\n"
		"devices:\n"
		"  cam0: {class: camera, driver: iio, uri: \"ip:127.0.0.1:%u\", device: cam0}\n"
		"  temp0: {class: thermometer, driver: iio, uri: \"ip:127.0.0.1:%u\", device: temp0}\n"
		"  slow0: {class: thermometer, driver: iio, uri: \"ip:127.0.0.1:%u\", device: temp0}\n"
		"grants:\n"
		"  - {payload: watch, device: cam0, operations: [capture]}\n"
		"  - {payload: perigee, device: temp0, operations: [read]}\n"
		"  - {payload: perigee, device: slow0, operations: [read]}\n",
		server.port, server.port, silent.port);
	int r = write_all(fd, text, (size_t)len);
	close(fd);
	return r;
}

static int teardown(void **state)
{
	fault_iiod_stop(&server);
	return unlink(policy_path);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(unknown_types),
		cmocka_unit_test(truncated_and_too_long),
		cmocka_unit_test(bad_headers),
		cmocka_unit_test(bad_names),
		cmocka_unit_test(bad_buffers),
		cmocka_unit_test(too_many_buffers),
		cmocka_unit_test(limits),
		cmocka_unit_test(too_many_reads),
		cmocka_unit_test(bad_workers),
	};

	if (argc != 2)
		return 2;
	bench_executable = argv[1];
	return cmocka_run_group_tests_name("broker-hostile", tests, setup, teardown);
}
