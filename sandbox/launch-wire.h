/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The launch protocol, between perigeed and perigee-launcher: core/msg.h messages on a SOCK_SEQPACKET pair.
 * The launcher takes no paths, only descriptors, arguments and limits.
 */
#ifndef SANDBOX_LAUNCH_WIRE_H
#define SANDBOX_LAUNCH_WIRE_H

#include "core/msg.h"
#include "sandbox.h"

#define LAUNCH_SOCKET_FD 3 /* in the launcher */

enum launch_msg {
	/* to the launcher */
	LAUNCH_MSG_START = 1,  /* launch_order, with LAUNCH_ORDER_FDS descriptors */
	LAUNCH_MSG_KILL = 2,   /* u64 task */
	LAUNCH_MSG_FREEZE = 3, /* u64 task, u8: 1 stand still, 0 go on */
	/* from it */
	LAUNCH_MSG_READY = 65,  /* u8: 1 when stages can be frozen here */
	LAUNCH_MSG_RESULT = 66, /* launch_result up to its reason */
};

/* Descriptors of a start message, in this order. */
enum launch_fd { LAUNCH_FD_ROOTFS, LAUNCH_FD_IN, LAUNCH_FD_OUT, LAUNCH_FD_LOG, LAUNCH_ORDER_FDS };

/* A start message as the launcher and the cell read it: checked against every limit in sandbox.h. */
struct launch_order {
	uint64_t task;
	struct launch_limits limits;
	char *argv[LAUNCH_WORDS_MAX + 1]; /* into words, NULL-terminated */
	char *env[LAUNCH_WORDS_MAX + 1];
	char words[LAUNCH_WORDS_BYTES_MAX];
};

/* -EINVAL when a limit or argv[0] is out of range. */
WARN_UNUSED int launch_limits_check(const struct launch_limits *limits);

/* Appends to a message. ERR_LIMIT (too many or too long words), -EINVAL. */
WARN_UNUSED int launch_order_write(struct wbuf *w, uint64_t task, const struct launch_limits *limits,
	const char *const *argv, const char *const *env);
/* ERR_FORMAT, ERR_LIMIT, -EINVAL. On failure ret_order->task is what could be read of it. */
WARN_UNUSED int launch_order_read(struct rbuf *r, struct launch_order *ret_order);

void launch_result_write(struct wbuf *w, const struct launch_result *result);
WARN_UNUSED int launch_result_read(struct rbuf *r, struct launch_result *ret_result);

#endif
