/* SPDX-License-Identifier: Apache-2.0 */
/* What the supervisor may ask. Each request is held against the policy; each refusal has a reason and is
 * logged. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#include "core/log.h"
#include "serve.h"

#define ALWAYS 1u

static int refuse(char *ret_reason, int status, const char *fmt, ...) PRINTF(3, 4);
static int refuse(char *ret_reason, int status, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(ret_reason, BROKER_REASON_BYTES, fmt, args);
	va_end(args);
	log_warning("refused: %s", ret_reason);
	return status;
}

/* 0 with the session when payload may do this with device; else a refusal. */
static int granted(struct broker *b, const char *payload, const char *device, enum policy_operation op,
	struct session **ret_session, char *ret_reason)
{
	int index = policy_device(b->policy, device);

	if (index < 0)
		return refuse(ret_reason, ERR_UNKNOWN, "%s asks for %s: policy %s has no such device",
			payload, device, b->policy->name);
	if (!policy_allows(b->policy, payload, (size_t)index, op))
		return refuse(ret_reason, ERR_DENIED, "policy %s does not grant %s to %s on %s",
			b->policy->name, policy_operation_names[op], payload, device);
	*ret_session = &b->sessions[index];
	return 0;
}

bool session_subscribed(const struct session *s)
{
	for (size_t i = 0; i < s->broker->n_subs; i++) {
		if (s->broker->subs[i].device == s->index)
			return true;
	}
	return false;
}

static int subscribe(struct broker *b, uint32_t sub, struct session *s, char *ret_reason)
{
	for (size_t i = 0; i < b->n_subs; i++) {
		if (b->subs[i].id == sub)
			return refuse(ret_reason, -EEXIST, "subscription %u exists already", sub);
	}
	if (b->n_subs == BROKER_SUBS_MAX)
		return refuse(ret_reason, ERR_LIMIT, "more than %d subscriptions", BROKER_SUBS_MAX);
	b->subs[b->n_subs].id = sub;
	b->subs[b->n_subs].device = s->index;
	b->n_subs++;
	return 0;
}

static int on_subscribe(void *user, struct msg *m)
{
	struct broker *b = user;
	char payload[DEVICE_NAME_BYTES], device[DEVICE_NAME_BYTES], reason[BROKER_REASON_BYTES] = "";
	struct session *s = NULL;
	uint32_t sub = rbuf_u32(&m->body);

	get_name(&m->body, payload, sizeof(payload));
	if (get_name(&m->body, device, sizeof(device)) < 0)
		return ERR_FORMAT;
	int status = granted(b, payload, device, POLICY_CAPTURE, &s, reason);
	if (status == 0)
		status = subscribe(b, sub, s, reason);
	msg_begin(&b->out, GRANT_SUBSCRIBED);
	wbuf_u32(&b->out.out, sub);
	put_status(&b->out.out, status);
	wbuf_str(&b->out.out, reason);
	return tell_supervisor(b);
}

/* For a message that only a broken supervisor sends wrongly. */
static int camera_named(struct broker *b, struct msg *m, struct session **ret_session)
{
	char device[DEVICE_NAME_BYTES];

	if (get_name(&m->body, device, sizeof(device)) < 0)
		return ERR_FORMAT;
	int index = policy_device(b->policy, device);
	if (index < 0 || b->policy->devices[index].class != DEVICE_CAMERA)
		return ERR_UNKNOWN;
	*ret_session = &b->sessions[index];
	return 0;
}

static int on_buffer(void *user, struct msg *m)
{
	struct session *s;
	struct stat st;
	int r = camera_named(user, m, &s);

	if (r < 0)
		return r;
	uint64_t id = rbuf_u64(&m->body);
	CLEAN_FD int fd = msg_take_fd(m, 0);
	if (fd < 0)
		return ERR_FORMAT;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size != 0)
		return ERR_FORMAT;
	int flags = fcntl(fd, F_GETFL);
	if (flags < 0 || (flags & O_ACCMODE) == O_RDONLY || (flags & O_APPEND))
		return ERR_FORMAT;
	if (s->n_lent == BROKER_BUFFERS_MAX)
		return ERR_LIMIT;
	for (size_t i = 0; i < s->n_lent; i++) {
		if (s->lent[i].id == id)
			return -EEXIST;
	}
	struct lent *lent = &s->lent[s->n_lent++];
	lent->id = id;
	lent->fd = TAKE_FD(fd);
	struct lane *lane = &s->lanes[WORKER_CAPTURES];
	if (lane->state == LANE_RUNNING) {
		struct broker *b = user;

		msg_begin(&b->out, WORKER_BUFFER);
		wbuf_u64(&b->out.out, id);
		msg_lend_fd(&b->out, lent->fd);
		return lane_send(lane, &b->out);
	}
	return 0; /* lane_tick starts it when somebody has subscribed */
}

static int on_frame_kept(void *user, struct msg *m)
{
	struct broker *b = user;
	struct session *s;
	int r = camera_named(b, m, &s);

	if (r < 0)
		return r;
	uint64_t id = rbuf_u64(&m->body);
	if (m->body.err)
		return m->body.err;
	for (size_t i = 0; i < s->n_announced; i++) {
		if (s->announced[i].id != id)
			continue;
		struct lane *lane = &s->lanes[WORKER_CAPTURES];

		msg_begin(&b->out, WORKER_RELEASE);
		wbuf_str(&b->out.out, s->announced[i].frame_id);
		s->n_announced--;
		memmove(&s->announced[i], &s->announced[i + 1],
			(s->n_announced - i) * sizeof(s->announced[0]));
		/* Without a worker: the camera delivers it again, and it is kept again. */
		return lane->state == LANE_RUNNING ? lane_send(lane, &b->out) : 0;
	}
	return 0; /* announced before so many others that it is forgotten */
}

static int on_read(void *user, struct msg *m)
{
	struct broker *b = user;
	char payload[DEVICE_NAME_BYTES], device[DEVICE_NAME_BYTES], attribute[DEVICE_ATTR_BYTES];
	char reason[BROKER_REASON_BYTES] = "";
	struct session *s = NULL;
	uint32_t req = rbuf_u32(&m->body);

	get_name(&m->body, payload, sizeof(payload));
	get_name(&m->body, device, sizeof(device));
	if (get_name(&m->body, attribute, sizeof(attribute)) < 0)
		return ERR_FORMAT;
	int status = granted(b, payload, device, POLICY_READ, &s, reason);
	if (status < 0)
		return tell_value(b, req, status, reason);
	ensure(s); /* what is granted has a session */
	if (s->n_reads == BROKER_READS_MAX)
		return tell_value(b, req,
			refuse(reason, -EBUSY, "%d requests wait for %s already", BROKER_READS_MAX, device),
			reason);

	struct lane *lane = &s->lanes[WORKER_READS];
	if (lane_start(lane) < 0) {
		(void)refuse(reason, ERR_DEVICE, "%s: %.200s", device,
			s->told.reason[0] ? s->told.reason : "its worker could not be started");
		return tell_value(b, req, ERR_DEVICE, reason);
	}
	s->reads[s->n_reads++] = req;
	msg_begin(&b->out, WORKER_READ);
	wbuf_u32(&b->out.out, req);
	wbuf_str(&b->out.out, attribute);
	return lane_send(lane, &b->out);
}

static int on_status(void *user, struct msg *m)
{
	struct broker *b = user;
	int r = 0;

	for (size_t i = 0; i < b->policy->n_devices && r >= 0; i++)
		r = tell_device(&b->sessions[i]);
	if (r < 0)
		return r;
	msg_begin(&b->out, GRANT_READY);
	return tell_supervisor(b);
}

static const struct msg_handler table[] = {
	{GRANT_SUBSCRIBE, ALWAYS, on_subscribe, "subscribe"},
	{GRANT_BUFFER, ALWAYS, on_buffer, "buffer"},
	{GRANT_FRAME_KEPT, ALWAYS, on_frame_kept, "frame kept"},
	{GRANT_READ, ALWAYS, on_read, "read"},
	{GRANT_STATUS, ALWAYS, on_status, "status"},
};

int on_supervisor(struct broker *b, struct msg *m)
{
	return msg_dispatch(table, ARRAY_LEN(table), ALWAYS, b, m);
}
