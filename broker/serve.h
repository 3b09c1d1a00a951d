/* SPDX-License-Identifier: Apache-2.0 */
/* The broker process: one thread, one poll loop, a process for each device in use. */
#ifndef BROKER_SERVE_H
#define BROKER_SERVE_H

#include <sys/types.h>

#include "broker-policy.h"
#include "broker.h"
#include "protocol.h"
#include "worker.h"

struct broker;
struct session;

enum lane_state { LANE_IDLE, LANE_RUNNING, LANE_DYING, LANE_STATE_MAX };

/* A worker process and our end of its socket. */
struct lane {
	struct session *session;
	enum worker_role role;
	enum lane_state state;
	pid_t pid; /* unless idle */
	int sock;  /* -1 unless running */
	bool in_driver;
	struct mono_time deadline; /* in_driver: to be killed then, for it hangs */
	const char *killed_for;    /* why it was killed; NULL: it was not */
	int64_t backoff_ns;
	struct mono_time restart; /* not before */
};

struct lent {
	uint64_t id;
	int fd; /* ours, until it is announced, for a worker may die with its copy */
};

struct announced {
	uint64_t id;
	char frame_id[DEVICE_FRAME_ID_BYTES];
};

/* One device of the policy. */
struct session {
	struct broker *broker;
	const struct device_spec *spec;
	size_t index;
	struct lane lanes[WORKER_ROLE_MAX];

	struct lent lent[BROKER_BUFFERS_MAX];
	size_t n_lent;
	struct announced
		announced[BROKER_BUFFERS_MAX]; /* not kept yet; the oldest is forgotten when there are more */
	size_t n_announced;
	uint32_t reads[BROKER_READS_MAX]; /* requests with the reading worker, in order */
	size_t n_reads;

	struct broker_device told; /* what the supervisor is told; name and class are set */
};

struct subscription {
	uint32_t id;
	size_t device;
};

struct broker {
	const struct policy *policy;
	int sock; /* the supervisor */
	int signals;
	bool verbose; /* workers keep standard error, where libiio prints */
	int null;
	struct session sessions[POLICY_DEVICES_MAX];
	struct subscription subs[BROKER_SUBS_MAX];
	size_t n_subs;
	struct msg in, out;
};

/* serve.c. Runs until the supervisor's end closes: 0; or negative when it broke the protocol or the socket
 * failed. */
WARN_UNUSED int broker_serve(const struct policy *policy, int sock, bool verbose);
WARN_UNUSED int tell_supervisor(struct broker *b); /* sends b->out, whatever it takes */
WARN_UNUSED int tell_device(struct session *s);
WARN_UNUSED int tell_value(struct broker *b, uint32_t req, int status, const char *text);

/* grants.c: a message of the supervisor. Negative: it is to be dropped. */
WARN_UNUSED int on_supervisor(struct broker *b, struct msg *m);
bool session_subscribed(const struct session *s);

/* lane.c */
/* Starts the worker unless there is one. -EAGAIN while it is too early or the old one is not gone yet. */
WARN_UNUSED int lane_start(struct lane *l);
WARN_UNUSED int lane_send(struct lane *l, struct msg *m); /* a failure ends the worker */
void lane_kill(struct lane *l, const char *why);          /* `why` is borrowed for ever */
/* A message of the worker waits, or its end is closed. Negative: the supervisor cannot be told. */
WARN_UNUSED int on_lane(struct lane *l);
WARN_UNUSED int on_lane_ended(struct lane *l, int wait_status);
/* The time at which lane_tick has something to do; INT64_MAX for never. */
int64_t lane_next_ns(const struct lane *l);
WARN_UNUSED int lane_tick(struct lane *l);

/* confine.c */
WARN_UNUSED int confine_broker(const struct policy *policy);
WARN_UNUSED int confine_worker(const struct device_uri *uri);

#endif
