/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The messages of the broker, framed by core/msg.h. Two protocols:
 *
 * The grant protocol, between supervisor and broker:
 *   SUBSCRIBE   u32 sub, payload, device          must be granted capture
 *   BUFFER      device, u64 buffer; 1 descriptor  an empty regular file
 *   FRAME_KEPT  device, u64 buffer                the frame announced in it is committed
 *   READ        u32 req, payload, device, attribute   must be granted read
 *   STATUS                                        answered by a DEVICE for each device, then READY
 *   SUBSCRIBED  u32 sub, status, reason
 *   FRAME       device, frame (see put_frame), u16 n, n * u32 sub
 *   VALUE       u32 req, status, text (value, or reason)
 *   DEVICE      device, class, u8 state, reason, u64 frames, u64 dropped, u64 reopened
 *   READY                                         the policy is good, and all that was asked before is
 * answered
 *
 * The worker protocol, between the broker and the process that holds one device's session:
 *   W_BUFFER    u64 buffer; 1 descriptor
 *   W_RELEASE   text frame_id
 *   W_READ      u32 req, attribute
 *   W_FRAME     frame
 *   W_VALUE     u32 req, status, text
 *   W_STATE     u8 up, reason, u32 dropped, u32 reopened (both: since the last W_STATE)
 *   W_PHASE     u8: 1 when the worker is about to call into the driver, 0 when it waits for us
 *
 * Text is a wbuf_str; a status is a u32 with the bits of an int that is 0 or negative.
 */
#ifndef BROKER_PROTOCOL_H
#define BROKER_PROTOCOL_H

#include "core/msg.h"
#include "devices.h"

enum grant_message {
	GRANT_SUBSCRIBE = 1,
	GRANT_BUFFER = 2,
	GRANT_FRAME_KEPT = 3,
	GRANT_READ = 4,
	GRANT_STATUS = 5,
	GRANT_SUBSCRIBED = 65,
	GRANT_FRAME = 66,
	GRANT_VALUE = 67,
	GRANT_DEVICE = 68,
	GRANT_READY = 69,
};

enum worker_message {
	WORKER_BUFFER = 129,
	WORKER_RELEASE = 130,
	WORKER_READ = 131,
	WORKER_FRAME = 193,
	WORKER_VALUE = 194,
	WORKER_STATE = 195,
	WORKER_PHASE = 196,
};

static inline void put_status(struct wbuf *w, int status)
{
	wbuf_u32(w, (uint32_t)status);
}

/* Anything above 0 is not a status: the cursor fails. */
static inline int get_status(struct rbuf *r)
{
	int status = (int)rbuf_u32(r);

	if (status > 0 && !r->err)
		r->err = ERR_FORMAT;
	return r->err ? ERR_FORMAT : status;
}

/* A text as rbuf_str reads it, and printable ASCII: it goes into logs, databases and telemetry. */
int get_text(struct rbuf *r, char *ret_text, size_t cap);
/* A name: not empty. */
int get_name(struct rbuf *r, char *ret_text, size_t cap);

/* u64 buffer, 32 bytes digest, u64 bytes, u64 time (ns), frame_id, u16 n, n * (name, value); all but
 * must_release. */
void put_frame(struct wbuf *w, uint64_t buffer, const struct device_frame *f);
int get_frame(struct rbuf *r, uint64_t *ret_buffer, struct device_frame *ret_frame);

#endif
