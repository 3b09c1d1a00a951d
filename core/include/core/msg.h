/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages between processes on one machine: SOCK_SEQPACKET, one message a packet,
 * {u16 type, u16 zero, u32 body length} big-endian, then the body, with up to MSG_FDS_MAX descriptors.
 * The other end is hostile: a message is dispatched through a table (type, handler, allowed states);
 * whatever is not in it drops the client, never the process.
 */
#ifndef CORE_MSG_H
#define CORE_MSG_H

#include <stdbool.h>

#include "core/bytes.h"

#define MSG_BYTES_MAX 32768 /* header included */
#define MSG_HEADER_BYTES 8
#define MSG_FDS_MAX 16

struct msg {
	uint16_t type;
	struct rbuf body; /* reading: borrows `raw` */
	struct wbuf out;  /* writing: appends to `raw` */
	int fds[MSG_FDS_MAX];
	size_t n_fds;
	uint8_t raw[MSG_BYTES_MAX];
};

/* A connected pair, both ends close-on-exec, and non-blocking when asked for. */
WARN_UNUSED int msg_pair(bool nonblocking_first, bool nonblocking_second, int ret_fds[2]);

/* Starts a message to send. */
void msg_begin(struct msg *m, uint16_t type);
/* Lends a descriptor to the message: the caller still owns it and closes it after msg_send. */
void msg_lend_fd(struct msg *m, int fd);
/* 0, -EAGAIN when the socket is full, ERR_LIMIT when the message grew too large, ERR_PEER when the other
 * end is gone. */
WARN_UNUSED int msg_send(int sock, struct msg *m);

/* Receives one message. 1 when there is one, 0 at the end of the stream, -EAGAIN, ERR_FORMAT when it is not
 * a whole message. Descriptors in it belong to the caller: msg_finish closes those that msg_take_fd left. */
WARN_UNUSED int msg_recv(int sock, struct msg *ret_msg);
/* Takes descriptor i over, or returns -1 (and sets body.err) when there is none. */
int msg_take_fd(struct msg *m, size_t i);
void msg_finish(struct msg *m);

/* The dispatch table. `states` is a bit mask of the states in which the type is allowed. A handler returns
 * negative to have the client dropped. */
struct msg_handler {
	uint16_t type;
	uint32_t states;
	int (*handle)(void *user, struct msg *m);
	const char *name;
};

/* Negative (ERR_FORMAT unknown type or trailing bytes, ERR_STATE not allowed now, or the handler's): drop the
 * client. */
WARN_UNUSED int msg_dispatch(
	const struct msg_handler *table, size_t n, uint32_t state_bit, void *user, struct msg *m);

#endif
