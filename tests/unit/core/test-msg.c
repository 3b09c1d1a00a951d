/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "core/msg.h"
#include "helpers.h"

static struct msg m, got; /* large: not on the stack */

struct sockets {
	int fd[2];
	int fds_before;
};

static int setup(void **state)
{
	static struct sockets s;

	s.fds_before = count_fds();
	if (msg_pair(true, true, s.fd) < 0)
		return -1;
	*state = &s;
	return 0;
}

/* Every test ends with as many descriptors as it began with. */
static int teardown(void **state)
{
	struct sockets *s = *state;

	for (int i = 0; i < 2; i++)
		if (s->fd[i] >= 0)
			close(s->fd[i]);
	if (count_fds() != s->fds_before) {
		print_error("descriptors leaked: %d before, %d after\n", s->fds_before, count_fds());
		return -1;
	}
	return 0;
}

static void pair_flags(void **state)
{
	int fds[2];

	for (int i = 0; i < 4; i++) {
		assert_int_equal(msg_pair(i & 1, i & 2, fds), 0);
		for (int k = 0; k < 2; k++) {
			assert_true(fcntl(fds[k], F_GETFD) & FD_CLOEXEC);
			assert_int_equal(!!(fcntl(fds[k], F_GETFL) & O_NONBLOCK), !!(i & (1 << k)));
			close(fds[k]);
		}
	}
}

static void there_and_back(void **state)
{
	struct sockets *s = *state;

	msg_begin(&m, 7);
	wbuf_u32(&m.out, 0xdeadbeef);
	wbuf_str(&m.out, "hello");
	assert_int_equal(msg_send(s->fd[0], &m), 0);
	msg_begin(&m, 8); /* no body */
	assert_int_equal(msg_send(s->fd[0], &m), 0);

	char text[16];
	assert_int_equal(msg_recv(s->fd[1], &got), 1);
	assert_int_equal(got.type, 7);
	assert_int_equal(rbuf_u32(&got.body), 0xdeadbeef);
	assert_int_equal(rbuf_str(&got.body, text, sizeof(text)), 0);
	assert_string_equal(text, "hello");
	assert_int_equal(rbuf_left(&got.body), 0);
	msg_finish(&got);
	assert_int_equal(msg_recv(s->fd[1], &got), 1);
	assert_int_equal(got.type, 8);
	assert_int_equal(rbuf_left(&got.body), 0);
	assert_int_equal(got.n_fds, 0);
	assert_int_equal(msg_recv(s->fd[1], &got), -EAGAIN);
}

static void the_wire_format(void **state)
{
	struct sockets *s = *state;
	uint8_t raw[32];

	msg_begin(&m, 0x1234);
	wbuf_u8(&m.out, 0x56);
	assert_int_equal(msg_send(s->fd[0], &m), 0);
	assert_int_equal(recv(s->fd[1], raw, sizeof(raw), 0), 9);
	assert_memory_equal(raw, "\x12\x34\0\0\0\0\0\1\x56", 9);
}

static void largest(void **state)
{
	struct sockets *s = *state;
	static uint8_t body[MSG_BYTES_MAX];

	memset(body, 0x5a, sizeof(body));
	msg_begin(&m, 1);
	wbuf_bytes(&m.out, body, MSG_BYTES_MAX - MSG_HEADER_BYTES);
	assert_int_equal(msg_send(s->fd[0], &m), 0);
	assert_int_equal(msg_recv(s->fd[1], &got), 1);
	assert_int_equal(rbuf_left(&got.body), MSG_BYTES_MAX - MSG_HEADER_BYTES);

	msg_begin(&m, 1);
	wbuf_bytes(&m.out, body, MSG_BYTES_MAX - MSG_HEADER_BYTES);
	wbuf_u8(&m.out, 1);
	assert_int_equal(msg_send(s->fd[0], &m), ERR_LIMIT);
	assert_int_equal(msg_recv(s->fd[1], &got), -EAGAIN);
}

static void the_other_end_is_gone(void **state)
{
	struct sockets *s = *state;

	msg_begin(&m, 1);
	assert_int_equal(msg_send(s->fd[1], &m), 0);
	close(s->fd[1]);
	s->fd[1] = -1;
	assert_int_equal(msg_recv(s->fd[0], &got), 1); /* what it said before still arrives */
	assert_int_equal(msg_recv(s->fd[0], &got), 0);
	assert_int_equal(msg_send(s->fd[0], &m), ERR_PEER); /* and no SIGPIPE */
}

/* Closed with something unread in its queue: the kernel says ECONNRESET, we say the end. */
static void the_other_end_is_gone_without_reading(void **state)
{
	struct sockets *s = *state;

	msg_begin(&m, 1);
	assert_int_equal(msg_send(s->fd[0], &m), 0);
	close(s->fd[1]);
	s->fd[1] = -1;
	assert_int_equal(msg_recv(s->fd[0], &got), 0);
}

static void full(void **state)
{
	struct sockets *s = *state;
	int n = 0, r;

	msg_begin(&m, 1);
	while ((r = msg_send(s->fd[0], &m)) == 0)
		assert_true(++n < 100000);
	assert_int_equal(r, -EAGAIN);
	assert_int_equal(msg_recv(s->fd[1], &got), 1);
	while (msg_recv(s->fd[1], &got) == 1)
		n--;
	assert_int_equal(n, 1);
}

static int some_file(const char *text)
{
	char path[] = "/tmp/perigee-test-XXXXXX";
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	unlink(path);
	assert_int_equal(write_all(fd, text, strlen(text)), 0);
	return fd;
}

static void descriptors(void **state)
{
	struct sockets *s = *state;
	int a = some_file("a"), b = some_file("bb");
	struct stat st_a, st_b, st;

	msg_begin(&m, 3);
	msg_lend_fd(&m, a);
	msg_lend_fd(&m, b);
	assert_int_equal(msg_send(s->fd[0], &m), 0);
	msg_finish(&m); /* lent: stays ours */
	assert_int_equal(fstat(a, &st_a), 0);
	assert_int_equal(fstat(b, &st_b), 0);

	assert_int_equal(msg_recv(s->fd[1], &got), 1);
	assert_int_equal(got.n_fds, 2);
	int taken = msg_take_fd(&got, 1);
	assert_true(taken >= 0 && taken != b);
	assert_true(fcntl(taken, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(fstat(taken, &st), 0);
	assert_true(st.st_ino == st_b.st_ino);
	assert_int_equal(got.body.err, 0);
	/* Once only, and only what is there. */
	assert_int_equal(msg_take_fd(&got, 1), -1);
	assert_int_equal(got.body.err, ERR_FORMAT);
	assert_int_equal(msg_take_fd(&got, 2), -1);
	msg_finish(&got); /* closes the other */
	msg_finish(&got); /* and may be called again */
	assert_int_equal(msg_take_fd(&got, 0), -1);
	close(taken);
	close(a);
	close(b);
}

static void as_many_descriptors_as_fit(void **state)
{
	struct sockets *s = *state;

	msg_begin(&m, 3);
	for (int i = 0; i < MSG_FDS_MAX; i++)
		msg_lend_fd(&m, s->fd[0]);
	assert_int_equal(msg_send(s->fd[0], &m), 0);
	assert_int_equal(msg_recv(s->fd[1], &got), 1);
	assert_int_equal(got.n_fds, MSG_FDS_MAX);
	msg_finish(&got);

	msg_lend_fd(&m, s->fd[0]); /* one too many */
	assert_int_equal(msg_send(s->fd[0], &m), ERR_LIMIT);
	msg_begin(&m, 3);
	msg_lend_fd(&m, -1);
	assert_int_equal(msg_send(s->fd[0], &m), -EBADF);
}

/* A packet as no msg_send makes it. */
static void send_raw(int sock, const void *data, size_t len, const int *fds, size_t n_fds)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int) * 64)];
		struct cmsghdr align;
	} control;
	struct iovec iov = {(void *)(uintptr_t)data, len};
	struct msghdr head = {.msg_iov = &iov, .msg_iovlen = 1};

	memset(&control, 0, sizeof(control));
	if (n_fds > 0) {
		head.msg_control = control.bytes;
		head.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
		struct cmsghdr *c = CMSG_FIRSTHDR(&head);
		assert_non_null(c);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * n_fds);
	}
	assert_int_equal(sendmsg(sock, &head, 0), len);
}

static void malformed_packets(void **state)
{
	struct sockets *s = *state;
	static uint8_t huge[MSG_BYTES_MAX + 1];
	int fds[MSG_FDS_MAX + 4];

	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		fds[i] = s->fd[0];
	/* Each also carries a descriptor, which must not be left open. */
	const uint8_t good[] = {0, 1, 0, 0, 0, 0, 0, 2, 'h', 'i'};
	for (size_t len = 1; len < sizeof(good); len++) {
		send_raw(s->fd[0], good, len, fds, 1);
		assert_int_equal(msg_recv(s->fd[1], &got), ERR_FORMAT);
		assert_int_equal(got.n_fds, 0);
	}
	for (size_t bit = 16; bit < 64; bit++) { /* anywhere but in the type */
		uint8_t flipped[sizeof(good)];
		memcpy(flipped, good, sizeof(good));
		flipped[bit / 8] ^= (uint8_t)(1 << bit % 8);
		send_raw(s->fd[0], flipped, sizeof(flipped), fds, 1);
		assert_int_equal(msg_recv(s->fd[1], &got), ERR_FORMAT);
	}
	/* Longer than any message, with a length that fits what would be cut. */
	memcpy(huge, (const uint8_t[]){0, 1, 0, 0, 0, 0, 0x7f, 0xf8}, 8);
	send_raw(s->fd[0], huge, sizeof(huge), fds, 1);
	assert_int_equal(msg_recv(s->fd[1], &got), ERR_FORMAT);
	/* More descriptors than any message has. */
	send_raw(s->fd[0], good, sizeof(good), fds, ARRAY_LEN(fds));
	assert_int_equal(msg_recv(s->fd[1], &got), ERR_FORMAT);
	assert_int_equal(got.n_fds, 0);
	/* An empty packet is the end. */
	send_raw(s->fd[0], "", 0, fds, 1);
	assert_int_equal(msg_recv(s->fd[1], &got), 0);
	/* After all that the socket itself is as good as ever. */
	send_raw(s->fd[0], good, sizeof(good), NULL, 0);
	assert_int_equal(msg_recv(s->fd[1], &got), 1);
	assert_int_equal(rbuf_left(&got.body), 2);
}

/* ---- dispatch ---- */

static int on_number(void *user, struct msg *msg)
{
	*(uint32_t *)user = rbuf_u32(&msg->body);
	return 0;
}

static int on_refusal(void *user, struct msg *msg)
{
	return ERR_DENIED;
}

static int on_fd(void *user, struct msg *msg)
{
	int fd = msg_take_fd(msg, 0);
	if (fd >= 0)
		close(fd);
	return 0;
}

static void dispatch(void **state)
{
	static const struct msg_handler table[] = {
		{1, 1 | 2, on_number, "number"},
		{2, 2, on_refusal, "refusal"},
		{3, 1, on_fd, "fd"},
	};
	struct sockets *s = *state;
	uint32_t number = 0;
	const struct {
		uint16_t type;
		size_t body;
		int n_fds;
		uint32_t state;
		int expected;
	} cases[] = {
		{1, 4, 0, 1, 0},
		{1, 4, 0, 2, 0},
		{1, 4, 0, 4, ERR_STATE},
		{1, 4, 0, 0, ERR_STATE},
		{1, 3, 0, 1, ERR_FORMAT}, /* too short */
		{1, 5, 0, 1, ERR_FORMAT}, /* too long */
		{1, 4, 3, 1, 0},          /* descriptors nobody asked for: closed */
		{2, 0, 0, 2, ERR_DENIED},
		{2, 0, 0, 1, ERR_STATE},
		{3, 0, 1, 1, 0},
		{3, 0, 0, 1, ERR_FORMAT}, /* the descriptor is missing */
		{0, 0, 0, 1, ERR_FORMAT},
		{4, 0, 0, 1, ERR_FORMAT},
		{65535, 0, 0, 1, ERR_FORMAT},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		msg_begin(&m, cases[i].type);
		wbuf_bytes(&m.out, "\0\0\x30\x39\0", cases[i].body);
		for (int k = 0; k < cases[i].n_fds; k++)
			msg_lend_fd(&m, s->fd[0]);
		assert_int_equal(msg_send(s->fd[0], &m), 0);
		assert_int_equal(msg_recv(s->fd[1], &got), 1);
		assert_int_equal(msg_dispatch(table, ARRAY_LEN(table), cases[i].state, &number, &got),
			cases[i].expected);
		msg_finish(&got);
	}
	assert_int_equal(number, 12345);
}

/* Random packets with random descriptors: never anything but the four answers, and no descriptor stays. */
static void random_packets(void **state)
{
	struct sockets *s = *state;
	uint64_t seed = 4;
	int fds[20];
	int n_good = 0;

	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		fds[i] = s->fd[0];
	for (int round = 0; round < 3000; round++) {
		uint8_t raw[64];
		size_t len = 1 + rnd(&seed) % sizeof(raw);
		for (size_t i = 0; i < len; i++)
			raw[i] = (uint8_t)rnd(&seed);
		if (len >= 8 && rnd(&seed) % 2) { /* half of them nearly right */
			memset(raw + 2, 0, 5);
			raw[7] = (uint8_t)(len - 8 + (rnd(&seed) % 8 == 0));
		}
		send_raw(s->fd[0], raw, len, fds, rnd(&seed) % 3 ? 0 : rnd(&seed) % ARRAY_LEN(fds));
		int r = msg_recv(s->fd[1], &got);
		assert_true(r == 1 || r == ERR_FORMAT);
		if (r == 1) {
			n_good++;
			assert_int_equal(rbuf_left(&got.body), len - 8);
			msg_finish(&got);
		}
		assert_int_equal(count_fds(), s->fds_before + 2);
	}
	assert_true(n_good > 500);
}

#define WITH_SOCKETS(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pair_flags),
		WITH_SOCKETS(there_and_back),
		WITH_SOCKETS(the_wire_format),
		WITH_SOCKETS(largest),
		WITH_SOCKETS(the_other_end_is_gone),
		WITH_SOCKETS(the_other_end_is_gone_without_reading),
		WITH_SOCKETS(full),
		WITH_SOCKETS(descriptors),
		WITH_SOCKETS(as_many_descriptors_as_fit),
		WITH_SOCKETS(malformed_packets),
		WITH_SOCKETS(dispatch),
		WITH_SOCKETS(random_packets),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
