/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <uv.h>

#include "broker.h"
#include "protocol.h"

#define WAITING_MAX 256 /* messages that the socket does not take at once */

const char *const broker_device_state_names[BROKER_DEVICE_STATE_MAX] = {
	[BROKER_DEVICE_CLOSED] = "closed",
	[BROKER_DEVICE_UP] = "up",
	[BROKER_DEVICE_DOWN] = "down",
};

struct waiting {
	struct waiting *next;
	int fd; /* ours, or -1 */
	size_t len;
	uint8_t raw[];
};

struct broker_client {
	struct broker_callbacks on;
	void *user;
	uv_process_t process;
	uv_poll_t poll;
	uv_timer_t timer; /* fires at once: tells of what went wrong inside a call, later */
	int sock;
	int open_handles;
	bool exited, closing, gone;
	int exit_status; /* for on_gone */
	int failure;     /* found while sending: told later */
	uint32_t last_id;
	struct waiting *first, *last;
	size_t n_waiting;
	struct msg in, out;
};

/* ---- the end ---- */

static void on_closed(uv_handle_t *handle)
{
	struct broker_client *c = handle->data;

	if (--c->open_handles > 0)
		return;
	while (c->first) {
		struct waiting *w = c->first;

		c->first = w->next;
		if (w->fd >= 0)
			close(w->fd);
		free(w);
	}
	free(c);
}

static void hang_up(struct broker_client *c)
{
	if (c->sock < 0)
		return;
	uv_poll_stop(&c->poll);
	close(c->sock);
	c->sock = -1;
}

/* Once: when its last words are read and its exit status is known, or when we no longer want to hear of it.
 */
static void gone(struct broker_client *c, int status)
{
	if (c->gone || c->closing)
		return;
	c->gone = true;
	hang_up(c);
	if (c->on.on_gone)
		c->on.on_gone(c, status, c->user);
}

static void on_exit_(uv_process_t *process, int64_t status, int signal)
{
	struct broker_client *c = process->data;

	c->exited = true;
	c->exit_status = signal ? 128 + signal : (int)status;
	if (c->closing)
		uv_close((uv_handle_t *)&c->process, on_closed);
	else if (c->sock < 0)
		gone(c, c->exit_status);
}

/* The socket is of no use any more; the exit status follows. */
static void lost(struct broker_client *c, int failure)
{
	hang_up(c);
	if (failure)
		gone(c, failure);
	else if (c->exited)
		gone(c, c->exit_status);
}

static void on_timer(uv_timer_t *timer)
{
	struct broker_client *c = timer->data;

	lost(c, c->failure == ERR_PEER ? 0 : c->failure);
}

/* ---- receiving ---- */

static int on_subscribed(void *user, struct msg *m)
{
	struct broker_client *c = user;
	char reason[BROKER_REASON_BYTES];
	uint32_t sub = rbuf_u32(&m->body);
	int status = get_status(&m->body);

	if (get_text(&m->body, reason, sizeof(reason)) < 0)
		return ERR_FORMAT;
	if (c->on.on_subscribed)
		c->on.on_subscribed(c, sub, status, reason, c->user);
	return 0;
}

static int on_frame(void *user, struct msg *m)
{
	struct broker_client *c = user;
	struct broker_frame f = {0};
	struct device_frame d;

	_Static_assert(BROKER_FRAME_ATTRS_MAX == DEVICE_FRAME_ATTRS_MAX &&
			       BROKER_NAME_BYTES == DEVICE_NAME_BYTES &&
			       BROKER_FRAME_ID_BYTES == DEVICE_FRAME_ID_BYTES &&
			       sizeof(struct broker_attr) == sizeof(struct device_attr),
		"what a device delivers is what the supervisor gets");
	get_name(&m->body, f.device, sizeof(f.device));
	if (get_frame(&m->body, &f.buffer, &d) < 0)
		return ERR_FORMAT;
	f.digest = d.digest;
	f.bytes = d.bytes;
	f.time = d.time;
	memcpy(f.frame_id, d.id, sizeof(f.frame_id));
	memcpy(f.attrs, d.attrs, sizeof(f.attrs));
	f.n_attrs = d.n_attrs;
	f.n_subs = rbuf_u16(&m->body);
	if (f.n_subs > BROKER_SUBS_MAX)
		return ERR_FORMAT;
	for (size_t i = 0; i < f.n_subs; i++)
		f.subs[i] = rbuf_u32(&m->body);
	if (m->body.err)
		return m->body.err;
	if (c->on.on_frame)
		c->on.on_frame(c, &f, c->user);
	return 0;
}

static int on_value(void *user, struct msg *m)
{
	struct broker_client *c = user;
	char text[BROKER_VALUE_BYTES];
	uint32_t req = rbuf_u32(&m->body);
	int status = get_status(&m->body);

	if (get_text(&m->body, text, sizeof(text)) < 0)
		return ERR_FORMAT;
	if (c->on.on_value)
		c->on.on_value(c, req, status, text, c->user);
	return 0;
}

static int on_device(void *user, struct msg *m)
{
	struct broker_client *c = user;
	struct broker_device d = {0};

	get_name(&m->body, d.name, sizeof(d.name));
	get_name(&m->body, d.class, sizeof(d.class));
	uint8_t state = rbuf_u8(&m->body);
	get_text(&m->body, d.reason, sizeof(d.reason));
	d.frames = rbuf_u64(&m->body);
	d.dropped = rbuf_u64(&m->body);
	d.reopened = rbuf_u64(&m->body);
	if (m->body.err || state >= BROKER_DEVICE_STATE_MAX)
		return ERR_FORMAT;
	d.state = (enum broker_device_state)state;
	if (c->on.on_device)
		c->on.on_device(c, &d, c->user);
	return 0;
}

static int on_ready(void *user, struct msg *m)
{
	struct broker_client *c = user;

	if (c->on.on_ready)
		c->on.on_ready(c, c->user);
	return 0;
}

static const struct msg_handler table[] = {
	{GRANT_SUBSCRIBED, 1, on_subscribed, "subscribed"},
	{GRANT_FRAME, 1, on_frame, "frame"},
	{GRANT_VALUE, 1, on_value, "value"},
	{GRANT_DEVICE, 1, on_device, "device"},
	{GRANT_READY, 1, on_ready, "ready"},
};

static void receive(struct broker_client *c)
{
	/* A callback may destroy the client, which closes the socket. */
	while (c->sock >= 0 && !c->closing) {
		int r = msg_recv(c->sock, &c->in);

		if (r == -EAGAIN)
			return;
		if (r == 0) {
			lost(c, 0);
			return;
		}
		if (r > 0) {
			r = msg_dispatch(table, ARRAY_LEN(table), 1, c, &c->in);
			msg_finish(&c->in);
		}
		if (r < 0 && !c->closing)
			lost(c, r);
	}
}

/* ---- sending ---- */

static void listen_again(struct broker_client *c);

static void send_waiting(struct broker_client *c)
{
	while (c->first && c->sock >= 0) {
		struct waiting *w = c->first;

		msg_begin(&c->out, 0);
		memcpy(c->out.raw, w->raw, w->len);
		c->out.out.len = w->len;
		if (w->fd >= 0)
			msg_lend_fd(&c->out, w->fd);
		int r = msg_send(c->sock, &c->out);
		if (r == -EAGAIN)
			return;
		if (r < 0) {
			lost(c, r == ERR_PEER ? 0 : r);
			return;
		}
		c->first = w->next;
		if (!c->first)
			c->last = NULL;
		c->n_waiting--;
		if (w->fd >= 0)
			close(w->fd);
		free(w);
	}
	if (c->sock >= 0)
		listen_again(c);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
	struct broker_client *c = poll->data;

	if (status < 0) {
		/* An error on the socket: the other end closed it with messages of ours unread. Read its last
		 * words. */
		receive(c);
		if (c->sock >= 0 && !c->closing)
			lost(c, 0);
		return;
	}
	if (events & UV_WRITABLE)
		send_waiting(c);
	if (c->sock >= 0 && (events & (UV_READABLE | UV_DISCONNECT)))
		receive(c);
}

static void listen_again(struct broker_client *c)
{
	/* Of a descriptor that libuv polls already this cannot fail. */
	ensure(uv_poll_start(&c->poll, UV_READABLE | UV_DISCONNECT | (c->first ? UV_WRITABLE : 0), on_poll) ==
		0);
}

static int put_off(struct broker_client *c, int fd)
{
	if (c->n_waiting == WAITING_MAX)
		return -EAGAIN;
	struct waiting *w = malloc(sizeof(*w) + c->out.out.len);
	if (!w)
		return -ENOMEM;
	w->next = NULL;
	w->fd = -1;
	if (fd >= 0) {
		w->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
		if (w->fd < 0) {
			int r = -errno;

			free(w);
			return r;
		}
	}
	w->len = c->out.out.len;
	memcpy(w->raw, c->out.raw, w->len);
	if (c->last)
		c->last->next = w;
	else
		c->first = w;
	c->last = w;
	c->n_waiting++;
	listen_again(c);
	return 0;
}

static int post(struct broker_client *c, int fd)
{
	if (c->sock < 0 || c->failure)
		return ERR_PEER;
	if (c->out.out.err)
		return c->out.out.err;
	if (c->first)
		return put_off(c, fd);
	if (fd >= 0)
		msg_lend_fd(&c->out, fd);
	int r = msg_send(c->sock, &c->out);
	if (r == -EAGAIN) {
		c->out.n_fds = 0;
		return put_off(c, fd);
	}
	if (r == ERR_PEER) {
		/* It may have said something before it went: that is read first, by the poll. */
		return ERR_PEER;
	}
	if (r < 0) {
		c->failure = r;
		uv_timer_start(&c->timer, on_timer, 0, 0);
		return ERR_PEER;
	}
	return 0;
}

static bool named(const char *text, size_t cap)
{
	return *text && strlen(text) < cap;
}

int broker_subscribe(struct broker_client *c, const char *payload, const char *device, uint32_t *ret_sub)
{
	if (!named(payload, BROKER_NAME_BYTES) || !named(device, BROKER_NAME_BYTES))
		return -EINVAL;
	uint32_t sub = c->last_id + 1;
	msg_begin(&c->out, GRANT_SUBSCRIBE);
	wbuf_u32(&c->out.out, sub);
	wbuf_str(&c->out.out, payload);
	wbuf_str(&c->out.out, device);
	int r = post(c, -1);
	if (r == 0)
		*ret_sub = c->last_id = sub;
	return r;
}

int broker_lend_buffer(struct broker_client *c, const char *device, uint64_t buffer, int fd)
{
	if (!named(device, BROKER_NAME_BYTES) || fd < 0)
		return -EINVAL;
	msg_begin(&c->out, GRANT_BUFFER);
	wbuf_str(&c->out.out, device);
	wbuf_u64(&c->out.out, buffer);
	return post(c, fd);
}

int broker_frame_kept(struct broker_client *c, const char *device, uint64_t buffer)
{
	if (!named(device, BROKER_NAME_BYTES))
		return -EINVAL;
	msg_begin(&c->out, GRANT_FRAME_KEPT);
	wbuf_str(&c->out.out, device);
	wbuf_u64(&c->out.out, buffer);
	return post(c, -1);
}

int broker_read(struct broker_client *c, const char *payload, const char *device, const char *attribute,
	uint32_t *ret_req)
{
	if (!named(payload, BROKER_NAME_BYTES) || !named(device, BROKER_NAME_BYTES) ||
		!named(attribute, DEVICE_ATTR_BYTES))
		return -EINVAL;
	uint32_t req = c->last_id + 1;
	msg_begin(&c->out, GRANT_READ);
	wbuf_u32(&c->out.out, req);
	wbuf_str(&c->out.out, payload);
	wbuf_str(&c->out.out, device);
	wbuf_str(&c->out.out, attribute);
	int r = post(c, -1);
	if (r == 0)
		*ret_req = c->last_id = req;
	return r;
}

/* ---- the beginning ---- */

static int spawn(
	struct broker_client *c, uv_loop_t *loop, const char *executable, const char *policy, int sock)
{
	char *args[] = {
		(char *)executable, (char *)"--policy", (char *)policy, (char *)"--fd", (char *)"3", NULL};
	uv_stdio_container_t stdio[4] = {
		{.flags = UV_IGNORE},
		{.flags = UV_INHERIT_FD, .data.fd = STDERR_FILENO},
		{.flags = UV_INHERIT_FD, .data.fd = STDERR_FILENO},
		{.flags = UV_INHERIT_FD, .data.fd = sock},
	};
	uv_process_options_t options = {
		.exit_cb = on_exit_,
		.file = executable,
		.args = args,
		.stdio = stdio,
		.stdio_count = 4,
	};

	return uv_spawn(loop, &c->process, &options);
}

int broker_client_create(uv_loop_t *loop, const char *executable, const char *policy,
	const struct broker_callbacks *callbacks, void *user, struct broker_client **ret_client)
{
	struct broker_client *c = calloc(1, sizeof(*c));
	CLEAN_FD int theirs = -1;
	int pair[2];

	if (!c)
		return -ENOMEM;
	int r = msg_pair(true, false, pair);
	if (r < 0) {
		free(c);
		return r;
	}
	c->on = *callbacks;
	c->user = user;
	c->sock = pair[0];
	theirs = pair[1];
	c->process.data = c->poll.data = c->timer.data = c;
	r = uv_poll_init(loop, &c->poll, c->sock);
	if (r < 0) {
		close(c->sock);
		free(c);
		return r;
	}
	ensure(uv_timer_init(loop, &c->timer) == 0);
	c->open_handles = 3;
	/* After uv_spawn the handle must be closed, whatever it returned. */
	r = spawn(c, loop, executable, policy, theirs);
	if (r == 0) {
		listen_again(c);
		msg_begin(&c->out, GRANT_STATUS);
		r = post(c, -1);
	}
	if (r < 0) {
		broker_client_destroy(c);
		return r;
	}
	*ret_client = c;
	return 0;
}

void broker_client_destroy(struct broker_client *c)
{
	if (!c || c->closing)
		return;
	c->closing = true;
	hang_up(c); /* which ends it */
	uv_close((uv_handle_t *)&c->poll, on_closed);
	uv_close((uv_handle_t *)&c->timer, on_closed);
	/* Otherwise when it has exited, for libuv to reap it. */
	if (c->exited || c->process.pid <= 0)
		uv_close((uv_handle_t *)&c->process, on_closed);
}

int broker_client_pid(const struct broker_client *c)
{
	return c->process.pid;
}
