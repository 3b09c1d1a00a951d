/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A packet with descriptors over a real socket, received and dispatched. The first byte is the number of
 * descriptors, the second the state, the rest the packet. Afterwards no descriptor is left and the socket
 * still works.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

#include "core/msg.h"
#include "fuzz.h"

static int on_fields(void *user, struct msg *m)
{
	char text[16];

	rbuf_u16(&m->body);
	rbuf_str(&m->body, text, sizeof(text));
	rbuf_u64(&m->body);
	return 0;
}

static int on_fds(void *user, struct msg *m)
{
	size_t n = rbuf_u8(&m->body);

	for (size_t i = 0; i < n; i++) {
		CLEAN_FD int fd = msg_take_fd(m, i);
		ensure(fd >= 0 || m->body.err);
	}
	return 0;
}

static int on_refuse(void *user, struct msg *m)
{
	return ERR_DENIED;
}

static const struct msg_handler table[] = {
	{1, 1 | 2, on_fields, "fields"},
	{2, 2, on_fds, "fds"},
	{3, 1 | 2 | 4, on_refuse, "refuse"},
};

static void send_packet(int sock, const uint8_t *data, size_t len, size_t n_fds)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int) * 32)];
		struct cmsghdr align;
	} control;
	struct iovec iov = {(void *)(uintptr_t)data, len};
	struct msghdr head = {.msg_iov = &iov, .msg_iovlen = 1};

	if (n_fds > 0) {
		memset(&control, 0, sizeof(control));
		head.msg_control = control.bytes;
		head.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
		struct cmsghdr *c = CMSG_FIRSTHDR(&head);
		ensure(c);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
		for (size_t i = 0; i < n_fds; i++)
			memcpy(CMSG_DATA(c) + i * sizeof(int), &sock, sizeof(int));
	}
	ensure(sendmsg(sock, &head, MSG_NOSIGNAL) == (ssize_t)len);
}

/* The lowest free number: higher than before when something was left open. */
static int lowest_free(void)
{
	int fd = dup(STDERR_FILENO);

	ensure(fd >= 0);
	close(fd);
	return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct msg m;
	static int socks[2] = {-1, -1};

	if (len < 3 || len - 2 > 2 * MSG_BYTES_MAX)
		return 0;
	if (socks[0] < 0)
		ensure(msg_pair(true, true, socks) == 0);
	int before = lowest_free();
	send_packet(socks[0], data + 2, len - 2, data[0] % 33);
	int r = msg_recv(socks[1], &m);
	ensure(r == 1 || r == ERR_FORMAT);
	if (r == 1) {
		ensure(len - 2 == MSG_HEADER_BYTES + m.body.len && m.n_fds == data[0] % 33);
		r = msg_dispatch(table, ARRAY_LEN(table), 1u << data[1] % 4, NULL, &m);
		ensure(r <= 0);
		msg_finish(&m);
	}
	ensure(m.n_fds == 0);
	ensure(lowest_free() == before);
	ensure(msg_recv(socks[1], &m) == -EAGAIN);
	return 0;
}
