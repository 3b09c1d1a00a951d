/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

#include "core/msg.h"

int msg_pair(bool nonblocking_first, bool nonblocking_second, int ret_fds[2])
{
	int fds[2];
	const bool nonblocking[2] = {nonblocking_first, nonblocking_second};

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
		return -errno;
	for (int i = 0; i < 2; i++) {
		if (!nonblocking[i])
			continue;
		int flags = fcntl(fds[i], F_GETFL);
		if (flags < 0 || fcntl(fds[i], F_SETFL, flags | O_NONBLOCK) < 0) {
			int r = -errno;
			close(fds[0]);
			close(fds[1]);
			return r;
		}
	}
	ret_fds[0] = fds[0];
	ret_fds[1] = fds[1];
	return 0;
}

void msg_begin(struct msg *m, uint16_t type)
{
	m->type = type;
	m->n_fds = 0;
	m->body = rbuf_of(NULL, 0);
	m->out = wbuf_of(m->raw, sizeof(m->raw));
	wbuf_u16(&m->out, type);
	wbuf_u16(&m->out, 0);
	wbuf_u32(&m->out, 0); /* the length: msg_send knows it */
}

void msg_lend_fd(struct msg *m, int fd)
{
	ensure(m->out.data);
	if (m->out.err)
		return;
	if (fd < 0)
		m->out.err = -EBADF;
	else if (m->n_fds == MSG_FDS_MAX)
		m->out.err = ERR_LIMIT;
	else
		m->fds[m->n_fds++] = fd;
}

union control {
	char bytes[CMSG_SPACE(sizeof(int) * MSG_FDS_MAX)];
	struct cmsghdr align;
};

int msg_send(int sock, struct msg *m)
{
	union control control;
	struct iovec iov = {.iov_base = m->raw, .iov_len = m->out.len};
	struct msghdr head = {.msg_iov = &iov, .msg_iovlen = 1};

	ensure(m->out.data && m->out.len >= MSG_HEADER_BYTES);
	if (m->out.err)
		return m->out.err;
	struct wbuf length = wbuf_of(m->raw + 4, 4);
	wbuf_u32(&length, (uint32_t)(m->out.len - MSG_HEADER_BYTES));

	if (m->n_fds > 0) {
		memset(&control, 0, sizeof(control));
		head.msg_control = control.bytes;
		head.msg_controllen = CMSG_SPACE(sizeof(int) * m->n_fds);
		struct cmsghdr *c = CMSG_FIRSTHDR(&head);
		ensure(c);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * m->n_fds);
		memcpy(CMSG_DATA(c), m->fds, sizeof(int) * m->n_fds);
	}

	ssize_t n;
	do
		n = sendmsg(sock, &head, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n >= 0)
		return 0;
	switch (errno) {
	case EPIPE:
	case ECONNRESET:
	case ENOTCONN:
		return ERR_PEER;
	case EMSGSIZE:
		return ERR_LIMIT;
	default:
		return -errno;
	}
}

/* Moves the descriptors of a received packet into the message; those beyond the limit are closed. */
static int collect_fds(struct msghdr *head, struct msg *m)
{
	int r = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(head); c; c = CMSG_NXTHDR(head, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS || c->cmsg_len < CMSG_LEN(0))
			continue;
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n; i++) {
			int fd;
			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (m->n_fds < MSG_FDS_MAX) {
				m->fds[m->n_fds++] = fd;
			} else {
				close(fd);
				r = ERR_FORMAT;
			}
		}
	}
	return r;
}

int msg_recv(int sock, struct msg *ret_msg)
{
	struct msg *m = ret_msg;
	union control control;
	struct iovec iov = {.iov_base = m->raw, .iov_len = sizeof(m->raw)};
	struct msghdr head = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};

	m->type = 0;
	m->n_fds = 0;
	m->body = rbuf_of(NULL, 0);
	m->out = (struct wbuf){0};

	ssize_t n;
	do
		n = recvmsg(sock, &head, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == ECONNRESET ? 0 : -errno;

	int r = collect_fds(&head, m);
	if (n == 0) { /* the end, or an empty packet, after which we want no more either */
		msg_finish(m);
		return 0;
	}
	struct rbuf header = rbuf_of(m->raw, (size_t)n);
	uint16_t type = rbuf_u16(&header);
	uint16_t zero = rbuf_u16(&header);
	uint32_t length = rbuf_u32(&header);
	if (r < 0 || (head.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) || header.err || zero != 0 ||
		length != (size_t)n - MSG_HEADER_BYTES) {
		msg_finish(m);
		return ERR_FORMAT;
	}
	m->type = type;
	m->body = rbuf_of(m->raw + MSG_HEADER_BYTES, length);
	return 1;
}

int msg_take_fd(struct msg *m, size_t i)
{
	if (i >= m->n_fds || m->fds[i] < 0) {
		if (!m->body.err)
			m->body.err = ERR_FORMAT;
		return -1;
	}
	return TAKE_FD(m->fds[i]);
}

void msg_finish(struct msg *m)
{
	/* Descriptors of a message to send are only lent to it. */
	if (!m->out.data)
		for (size_t i = 0; i < m->n_fds; i++)
			if (m->fds[i] >= 0)
				close(m->fds[i]);
	m->n_fds = 0;
}

int msg_dispatch(const struct msg_handler *table, size_t n, uint32_t state_bit, void *user, struct msg *m)
{
	for (size_t i = 0; i < n; i++) {
		if (table[i].type != m->type)
			continue;
		if (!(table[i].states & state_bit))
			return ERR_STATE;
		int r = table[i].handle(user, m);
		if (r < 0)
			return r;
		if (m->body.err)
			return m->body.err;
		return rbuf_left(&m->body) > 0 ? ERR_FORMAT : 0;
	}
	return ERR_FORMAT;
}
