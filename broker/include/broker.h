/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The supervisor's side of the broker: starts perigee-broker and speaks the grant protocol with it, on a
 * libuv loop. The broker owns the devices and decides by its own policy; from here one can only ask.
 *
 * A frame: subscribe (once), lend empty files; each frame is written into one of them by the broker and
 * announced with its digest; when it is committed, say broker_frame_kept, and the camera may forget it. A
 * frame that was announced and not said to be kept comes again, under the same frame_id, also after a restart
 * of either process.
 */
#ifndef BROKER_H
#define BROKER_H

#include <stdbool.h>
#include <stdint.h>

#include "core/artifact.h"
#include "core/clock.h"

struct uv_loop_s;
struct broker_client;

#define BROKER_BUFFERS_MAX 16 /* lent and not announced, per device; more drops the supervisor */
#define BROKER_SUBS_MAX 64
#define BROKER_READS_MAX 16 /* unanswered, per device; more are refused with -EBUSY */
#define BROKER_NAME_BYTES 64
#define BROKER_REASON_BYTES 256
#define BROKER_VALUE_BYTES 1024
#define BROKER_FRAME_ID_BYTES 97
#define BROKER_FRAME_ATTRS_MAX 16

struct broker_attr {
	char name[33];
	char value[97];
};

/* All text is printable ASCII. */
struct broker_frame {
	char device[BROKER_NAME_BYTES];
	uint64_t buffer;      /* the lent file that it is in; now the supervisor's again */
	struct digest digest; /* BLAKE2b-256 of the file */
	uint64_t bytes;       /* of the file */
	struct utc_time time;
	char frame_id[BROKER_FRAME_ID_BYTES]; /* unique for this device; the same when it is delivered again
					       */
	struct broker_attr attrs[BROKER_FRAME_ATTRS_MAX]; /* frame_* attributes of the camera */
	size_t n_attrs;
	uint32_t subs[BROKER_SUBS_MAX]; /* the subscriptions that it is for */
	size_t n_subs;
};

enum broker_device_state {
	BROKER_DEVICE_CLOSED,
	BROKER_DEVICE_UP,
	BROKER_DEVICE_DOWN,
	BROKER_DEVICE_STATE_MAX
};
extern const char *const broker_device_state_names[BROKER_DEVICE_STATE_MAX];

struct broker_device {
	char name[BROKER_NAME_BYTES];
	char class[BROKER_NAME_BYTES];
	enum broker_device_state state;   /* closed: nobody has asked for it yet */
	char reason[BROKER_REASON_BYTES]; /* why it is down; or the last trouble */
	uint64_t frames;                  /* announced */
	uint64_t dropped;                 /* captures that broke off */
	uint64_t reopened;                /* sessions opened again after a failure */
};

struct broker_callbacks {
	/* status 0, or ERR_DENIED, ERR_UNKNOWN, -EEXIST, ERR_LIMIT with the reason */
	void (*on_subscribed)(
		struct broker_client *c, uint32_t sub, int status, const char *reason, void *user);
	void (*on_frame)(struct broker_client *c, const struct broker_frame *frame, void *user);
	/* status 0 and the value's text; or ERR_DENIED, ERR_UNKNOWN (device or attribute), ERR_DEVICE,
	 * -ETIMEDOUT, -EBUSY, what the device answered, and the reason */
	void (*on_value)(struct broker_client *c, uint32_t req, int status, const char *text, void *user);
	/* Once for each device of the policy after the start, then whenever something changes. */
	void (*on_device)(struct broker_client *c, const struct broker_device *device, void *user);
	/* Once, after the first on_device of each device: the broker has taken its policy. */
	void (*on_ready)(struct broker_client *c, void *user);
	/* Once, when the broker is gone; nothing comes after it. Positive: its exit status (65: the policy
	 * has mistakes, printed on standard error); 128 + signal; 0: it ended by itself; ERR_FORMAT: it did
	 * not keep to the protocol. Not called after broker_client_destroy. */
	void (*on_gone)(struct broker_client *c, int status, void *user);
};

/* Starts `executable` with the policy file, while this process still has its privileges; nothing later needs
 * them. `callbacks` is copied, any of them may be NULL; none is called from inside a function of this header.
 * -errno. */
WARN_UNUSED int broker_client_create(struct uv_loop_s *loop, const char *executable, const char *policy,
	const struct broker_callbacks *callbacks, void *user, struct broker_client **ret_client);
/* Ends the broker too. Memory is freed when the loop has run the close callbacks. Takes NULL. */
void broker_client_destroy(struct broker_client *c);
int broker_client_pid(const struct broker_client *c);

/* Each returns ERR_PEER when the broker is gone, -EAGAIN when too much waits to be sent, -EINVAL for a name
 * that is empty or too long. */
WARN_UNUSED int broker_subscribe(
	struct broker_client *c, const char *payload, const char *device, uint32_t *ret_sub);
/* An empty regular file, writable; the descriptor stays the caller's and may be closed at once. The buffer is
 * the broker's until a frame names it. */
WARN_UNUSED int broker_lend_buffer(struct broker_client *c, const char *device, uint64_t buffer, int fd);
/* After the commit: the camera may forget the frame that came in this buffer. */
WARN_UNUSED int broker_frame_kept(struct broker_client *c, const char *device, uint64_t buffer);
WARN_UNUSED int broker_read(struct broker_client *c, const char *payload, const char *device,
	const char *attribute, uint32_t *ret_req);

#endif
