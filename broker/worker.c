/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <poll.h>
#include <sodium.h>
#include <string.h>

#include "broker.h"
#include "core/memory.h"
#include "protocol.h"
#include "worker.h"

struct worker {
	const struct device_spec *spec;
	const struct device_driver *driver;
	int sock;
	struct device *device; /* NULL: no session */
	bool opened_before;

	int64_t backoff_ns;    /* the last wait; 0: none */
	struct mono_time next; /* not to try before this */

	struct {
		uint64_t id;
		int fd;
	} buffers[BROKER_BUFFERS_MAX]; /* in the order in which they came */
	size_t n_buffers;
	char unreleased[DEVICE_FRAME_ID_BYTES]; /* the frame that must be released before the next; "" = none
						 */

	/* not told yet */
	uint32_t dropped, reopened;
	bool in_driver;
	char reason[DEVICE_REASON_BYTES];
	struct msg in, out;
};

int64_t backoff_next(int64_t last_ns, int64_t *ret_wait_ns)
{
	int64_t next = last_ns == 0 ? BACKOFF_MIN_NS : last_ns * 2;

	if (next > BACKOFF_MAX_NS)
		next = BACKOFF_MAX_NS;
	/* Devices that failed together do not come back together. */
	*ret_wait_ns = next - (int64_t)randombytes_uniform((uint32_t)(next / 2 / 1000)) * 1000;
	return next;
}

/* ---- telling ---- */

/* The broker reads always; when it does not, it is gone, and so are we. */
static int tell(struct worker *w)
{
	return msg_send(w->sock, &w->out);
}

static int tell_phase(struct worker *w, bool in_driver)
{
	if (w->in_driver == in_driver)
		return 0;
	w->in_driver = in_driver;
	msg_begin(&w->out, WORKER_PHASE);
	wbuf_u8(&w->out.out, in_driver);
	return tell(w);
}

static int tell_state(struct worker *w, bool up)
{
	msg_begin(&w->out, WORKER_STATE);
	wbuf_u8(&w->out.out, up);
	wbuf_str(&w->out.out, up ? "" : w->reason);
	wbuf_u32(&w->out.out, w->dropped);
	wbuf_u32(&w->out.out, w->reopened);
	w->dropped = 0;
	w->reopened = 0;
	return tell(w);
}

static int tell_value(struct worker *w, uint32_t req, int status, const char *text)
{
	msg_begin(&w->out, WORKER_VALUE);
	wbuf_u32(&w->out.out, req);
	put_status(&w->out.out, status);
	wbuf_str(&w->out.out, text);
	return tell(w);
}

/* ---- the session ---- */

static bool may_try(const struct worker *w)
{
	return clock_mono().ns >= w->next.ns;
}

static void put_off(struct worker *w)
{
	int64_t wait;

	w->backoff_ns = backoff_next(w->backoff_ns, &wait);
	w->next.ns = clock_mono().ns + wait;
}

static int session_failed(struct worker *w)
{
	w->driver->close(w->device);
	w->device = NULL;
	put_off(w);
	return tell_state(w, false);
}

/* 0 also when it could not be opened: then there is no device. */
static int session_open(struct worker *w)
{
	int r = tell_phase(w, true);

	if (r < 0)
		return r;
	if (w->driver->open(w->spec, &w->device, w->reason) < 0) {
		w->device = NULL;
		return session_failed(w);
	}
	if (w->opened_before)
		w->reopened++;
	w->opened_before = true;
	memory_give_back();
	return tell_state(w, true);
}

/* ---- capturing ---- */

static void take_buffer(struct worker *w)
{
	w->n_buffers--;
	memmove(&w->buffers[0], &w->buffers[1], w->n_buffers * sizeof(w->buffers[0]));
}

static int captured(struct worker *w, const struct device_frame *frame)
{
	w->backoff_ns = 0;
	if (frame->must_release)
		snprintf(w->unreleased, sizeof(w->unreleased), "%s", frame->id);
	msg_begin(&w->out, WORKER_FRAME);
	put_frame(&w->out.out, w->buffers[0].id, frame);
	close(w->buffers[0].fd);
	take_buffer(w);
	return tell(w);
}

static int capture(struct worker *w)
{
	struct device_frame frame;

	if (!w->device) {
		int r = session_open(w);

		if (r < 0 || !w->device)
			return r;
	}
	int r = tell_phase(w, true);
	if (r < 0)
		return r;
	r = w->driver->capture(w->device, w->buffers[0].fd, &frame, w->reason);
	switch (r) {
	case 0:
		return captured(w, &frame);
	case -ETIMEDOUT: /* idle: says that we live */
		w->backoff_ns = 0;
		memory_give_back();
		return tell_state(w, true);
	case -EAGAIN:
		return tell_state(w, true);
	case ERR_DEVICE:
		w->dropped++;
		return session_failed(w);
	case ERR_IMAGE:
		return session_failed(w);
	default: /* our file, not the camera: the session is good */
		put_off(w);
		return tell_state(w, false);
	}
}

static int on_buffer(void *user, struct msg *m)
{
	struct worker *w = user;
	uint64_t id = rbuf_u64(&m->body);

	if (w->n_buffers == BROKER_BUFFERS_MAX)
		return ERR_LIMIT;
	int fd = msg_take_fd(m, 0);
	if (fd < 0)
		return ERR_FORMAT;
	w->buffers[w->n_buffers].id = id;
	w->buffers[w->n_buffers].fd = fd;
	w->n_buffers++;
	return 0;
}

/* The frame is committed. If the camera cannot be told now, it delivers the frame again, which the supervisor
 * recognises. */
static int on_release(void *user, struct msg *m)
{
	struct worker *w = user;
	char id[DEVICE_FRAME_ID_BYTES];

	if (get_name(&m->body, id, sizeof(id)) < 0)
		return ERR_FORMAT;
	if (strcmp(w->unreleased, id) == 0)
		w->unreleased[0] = 0;
	if (!w->device)
		return 0;
	int r = tell_phase(w, true);
	if (r < 0)
		return r;
	r = w->driver->release(w->device, id, w->reason);
	if (r == ERR_DEVICE)
		return session_failed(w);
	if (r < 0) {
		/* It says no, and may go on saying so: without a wait this would turn as fast as it can. */
		put_off(w);
		return tell_state(w, false);
	}
	return 0;
}

/* ---- reading ---- */

static int on_read(void *user, struct msg *m)
{
	struct worker *w = user;
	char attribute[DEVICE_ATTR_BYTES], text[DEVICE_VALUE_BYTES] = "";
	uint32_t req = rbuf_u32(&m->body);

	if (get_name(&m->body, attribute, sizeof(attribute)) < 0)
		return ERR_FORMAT;
	int status = ERR_DEVICE;
	/* Twice: a session that broke while nobody used it is not the fault of this request. */
	for (int attempt = 0; attempt < 2 && status == ERR_DEVICE; attempt++) {
		bool old = w->device != NULL;

		if (!old && !may_try(w))
			break;
		if (!old) {
			int r = session_open(w);

			if (r < 0)
				return r;
			if (!w->device)
				break;
		}
		int r = tell_phase(w, true);
		if (r < 0)
			return r;
		status = w->driver->read(w->device, attribute, text, w->reason);
		if (status == ERR_DEVICE && old) {
			w->driver->close(w->device);
			w->device = NULL;
		} else if (status == ERR_DEVICE) {
			r = session_failed(w);
			if (r < 0)
				return r;
		} else {
			w->backoff_ns = 0;
		}
	}
	return tell_value(w, req, status, status < 0 ? w->reason : text);
}

/* ---- the loop ---- */

static const struct msg_handler capture_table[] = {
	{WORKER_BUFFER, 1, on_buffer, "buffer"},
	{WORKER_RELEASE, 1, on_release, "release"},
};
static const struct msg_handler read_table[] = {
	{WORKER_READ, 1, on_read, "read"},
};

/* One message from the broker: 1 when there was one, 0 when not within the time (-1: without end). */
static int listen_to_broker(struct worker *w, enum worker_role role, int64_t wait_ns)
{
	struct pollfd p = {.fd = w->sock, .events = POLLIN};
	int r = 0;

	if (wait_ns != 0)
		r = tell_phase(w, false);
	if (r < 0)
		return r;
	int timeout_ms = wait_ns < 0 ? -1 : (int)((wait_ns + NS_PER_MS - 1) / NS_PER_MS);
	int n = poll(&p, 1, timeout_ms);
	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	if (n == 0)
		return 0;
	r = msg_recv(w->sock, &w->in);
	if (r <= 0)
		return r < 0 ? r : ERR_PEER;
	r = role == WORKER_CAPTURES ? msg_dispatch(capture_table, ARRAY_LEN(capture_table), 1, w, &w->in)
				    : msg_dispatch(read_table, ARRAY_LEN(read_table), 1, w, &w->in);
	msg_finish(&w->in);
	return r < 0 ? r : 1;
}

int worker_run(enum worker_role role, const struct device_spec *spec, int sock)
{
	struct worker *w = calloc(1, sizeof(*w));
	int r = 0;

	if (!w)
		return EXIT_FAILURE;
	w->spec = spec;
	w->sock = sock;
	w->driver = device_driver_find(spec->driver);
	ensure(w->driver); /* the policy was checked */
	while (r >= 0) {
		bool can = role == WORKER_CAPTURES && w->n_buffers > 0 && !w->unreleased[0];
		int64_t wait = -1;

		if (can) {
			wait = w->next.ns - clock_mono().ns;
			if (wait < 0)
				wait = 0;
		}
		r = listen_to_broker(w, role, wait);
		if (r == 0 && can && may_try(w))
			r = capture(w);
	}
	w->driver->close(w->device);
	for (size_t i = 0; i < w->n_buffers; i++)
		close(w->buffers[i].fd);
	free(w);
	return r == ERR_PEER ? EXIT_SUCCESS : EXIT_FAILURE;
}
