/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections. A client's next command is executed only when the answer to the one before is handed over, so
 * what one client can make the server hold is one answer, one piece of a frame, and IIOD_IN_BYTES of
 * commands.
 */
#include "iiod-server.h"

#include <errno.h>
#include <string.h>

#define BACKLOG 32

static void pump(struct iiod_client *c);

static void server_handle_gone(struct iiod_server *s)
{
	if (--s->n_handles == 0) {
		free(s->xml);
		free(s);
	}
}

static void on_client_handle_closed(uv_handle_t *h)
{
	struct iiod_client *c = h->data;
	struct iiod_server *s = c->server;

	if (--c->n_handles == 0)
		free(c);
	server_handle_gone(s);
}

static void client_close(struct iiod_client *c)
{
	if (c->closing)
		return;
	c->closing = true;
	iiod_drop_frame(c);
	if (c->prev)
		c->prev->next = c->next;
	else
		c->server->first = c->next;
	if (c->next)
		c->next->prev = c->prev;
	c->server->n_clients--;
	uv_close((uv_handle_t *)&c->tcp, on_client_handle_closed);
	uv_close((uv_handle_t *)&c->stall, on_client_handle_closed);
}

static void on_stall(uv_timer_t *t)
{
	client_close(t->data);
}

static void on_written(uv_write_t *w, int status)
{
	struct iiod_client *c = w->data;

	c->writing = false;
	if (c->closing)
		return;
	if (status < 0) {
		client_close(c);
		return;
	}
	uv_timer_stop(&c->stall);
	c->out_len = 0;
	c->tail_len = 0;
	pump(c);
}

static void flush_answer(struct iiod_client *c)
{
	uv_buf_t bufs[2];
	unsigned n = 0;

	if (c->out_len)
		bufs[n++] = uv_buf_init((char *)c->out, (unsigned)c->out_len);
	if (c->tail_len)
		bufs[n++] = uv_buf_init((char *)(uintptr_t)c->tail, (unsigned)c->tail_len);
	c->write.data = c;
	if (uv_write(&c->write, (uv_stream_t *)&c->tcp, bufs, n, on_written)) {
		client_close(c);
		return;
	}
	c->writing = true;
	uv_timer_start(&c->stall, on_stall, IIOD_STALL_MS, 0);
}

static void consume(struct iiod_client *c, size_t n)
{
	c->in_len -= n;
	memmove(c->in, c->in + n, c->in_len);
}

/* Executes the next command or takes the value that is due. False: more bytes are needed first. */
static bool step(struct iiod_client *c)
{
	struct iiod_command command;

	if (c->state == IIOD_PAYLOAD) {
		if (c->in_len < c->command.number)
			return false;
		size_t len = (size_t)c->command.number;
		iiod_write_value(c, c->in, len);
		consume(c, len);
		return true;
	}
	const uint8_t *end = memchr(c->in, '\n', c->in_len);
	size_t len = end ? (size_t)(end - c->in) : c->in_len;
	if (len >= IIOD_LINE_MAX) {
		static const char too_long[] =
			"-22\n"; /* -EINVAL, as iiod; then nothing is certain any more */
		memcpy(c->out, too_long, sizeof(too_long) - 1);
		c->out_len = sizeof(too_long) - 1;
		c->state = IIOD_LEAVING;
		return true;
	}
	if (!end)
		return false;
	size_t text_len = len && c->in[len - 1] == '\r' ? len - 1 : len;
	if (iiod_parse((const char *)c->in, text_len, &command) < 0) {
		c->out_len = (size_t)snprintf((char *)c->out, sizeof(c->out), "%d\n", -EINVAL);
		consume(c, len + 1);
		return true;
	}
	consume(c, len + 1);
	c->last_used = uv_now(c->server->loop);
	iiod_execute(c, &command);
	return true;
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *ret_buf)
{
	struct iiod_client *c = h->data;

	*ret_buf = uv_buf_init((char *)c->in + c->in_len, (unsigned)(sizeof(c->in) - c->in_len));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	struct iiod_client *c = stream->data;

	if (c->closing || n == 0)
		return;
	if (n == UV_EOF) {
		/* What was asked before is still answered; one that waits for a frame has gone. */
		c->eof = true;
		uv_read_stop(stream);
		c->reading = false;
	} else if (n < 0) {
		client_close(c);
		return;
	} else {
		c->in_len += (size_t)n;
	}
	pump(c);
}

/* Goes on as far as it can, then sees to it that something will call again. */
static void pump(struct iiod_client *c)
{
	bool stuck = false;

	while (!c->closing && !c->writing && !stuck) {
		if (c->state == IIOD_STREAMING)
			(void)iiod_next_piece(c);
		if (c->out_len || c->tail_len) {
			flush_answer(c);
		} else if (c->state == IIOD_LEAVING) {
			client_close(c);
		} else if (c->state == IIOD_WAITING) {
			stuck = true;
		} else {
			stuck = !step(c);
		}
	}
	if (c->closing)
		return;
	if (c->eof && stuck) {
		client_close(c);
		return;
	}
	bool want = !c->eof && c->in_len < sizeof(c->in);
	if (want != c->reading) {
		if (want && uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read)) {
			client_close(c);
			return;
		}
		if (!want)
			uv_read_stop((uv_stream_t *)&c->tcp);
		c->reading = want;
	}
}

static bool has_buffer(const struct iiod_client *c)
{
	for (size_t i = 0; i < IIOD_DEVICES_MAX; i++)
		if (c->buffers[i].open)
			return true;
	return false;
}

/* All places taken: who was silent the longest and has no buffer open makes room. */
static void make_room(struct iiod_server *s)
{
	struct iiod_client *oldest = NULL;

	for (struct iiod_client *c = s->first; c; c = c->next)
		if (!has_buffer(c) && (!oldest || c->last_used <= oldest->last_used))
			oldest = c;
	if (oldest)
		client_close(oldest);
}

static void on_connection(uv_stream_t *listener, int status)
{
	struct iiod_server *s = listener->data;

	if (status < 0 || s->closing)
		return;
	if (s->n_clients == IIOD_CLIENTS_MAX)
		make_room(s);
	struct iiod_client *c = calloc(1, sizeof(*c));
	if (!c)
		return; /* stays in the backlog */
	c->server = s;
	c->last_used = uv_now(s->loop);
	ensure(uv_tcp_init(s->loop, &c->tcp) == 0);
	ensure(uv_timer_init(s->loop, &c->stall) == 0);
	c->tcp.data = c;
	c->stall.data = c;
	c->n_handles = 2;
	s->n_handles += 2;
	c->next = s->first;
	if (c->next)
		c->next->prev = c;
	s->first = c;
	s->n_clients++;
	if (uv_accept(listener, (uv_stream_t *)&c->tcp) || s->n_clients > IIOD_CLIENTS_MAX) {
		client_close(c);
		return;
	}
	uv_tcp_nodelay(&c->tcp, 1);
	pump(c);
}

static void on_listener_closed(uv_handle_t *h)
{
	server_handle_gone(h->data);
}

static bool tables_fit(const struct iiod_device *const *devices, size_t n_devices)
{
	if (n_devices > IIOD_DEVICES_MAX)
		return false;
	for (size_t i = 0; i < n_devices; i++) {
		bool scan = true;
		if (devices[i]->n_channels > IIOD_CHANNELS_MAX)
			return false;
		for (size_t k = 0; k < devices[i]->n_channels; k++) {
			const struct iiod_channel *ch = &devices[i]->channels[k];
			if (ch->format && (!scan || !ch->bytes || ch->bytes != devices[i]->channels[0].bytes))
				return false;
			scan = scan && ch->format;
		}
	}
	return true;
}

static int bind_and_listen(struct iiod_server *s, const char *host, uint16_t port)
{
	struct sockaddr_storage addr;
	int len = sizeof(addr);

	int err = uv_ip4_addr(host, port, (struct sockaddr_in *)&addr);
	if (err)
		err = uv_ip6_addr(host, port, (struct sockaddr_in6 *)&addr);
	if (!err)
		err = uv_tcp_bind(&s->tcp, (struct sockaddr *)&addr, 0);
	if (!err)
		err = uv_listen((uv_stream_t *)&s->tcp, BACKLOG, on_connection);
	if (!err)
		err = uv_tcp_getsockname(&s->tcp, (struct sockaddr *)&addr, &len);
	if (!err)
		s->port = ntohs(addr.ss_family == AF_INET ? ((struct sockaddr_in *)&addr)->sin_port
							  : ((struct sockaddr_in6 *)&addr)->sin6_port);
	return err;
}

int iiod_server_create(uv_loop_t *loop, const char *host, uint16_t port,
	const struct iiod_device *const *devices, size_t n_devices, struct iiod_server **ret_server)
{
	if (!tables_fit(devices, n_devices))
		return -EINVAL;
	struct iiod_server *s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->loop = loop;
	s->devices = devices;
	s->n_devices = n_devices;
	int err = iiod_xml(devices, n_devices, &s->xml, &s->xml_len);
	if (!err)
		err = uv_tcp_init(loop, &s->tcp);
	if (err) {
		free(s->xml);
		free(s);
		return err;
	}
	s->xml[s->xml_len++] = '\n'; /* in the place of the final zero */
	s->tcp.data = s;
	s->n_handles = 1;
	err = bind_and_listen(s, host, port);
	if (err) {
		iiod_server_destroy(s);
		return err;
	}
	*ret_server = s;
	return 0;
}

uint16_t iiod_server_port(const struct iiod_server *s)
{
	return s->port;
}

void iiod_server_ready(struct iiod_server *s, const struct iiod_device *device)
{
	for (struct iiod_client *c = s->first, *next; c; c = next) {
		next = c->next;
		if (c->closing || c->state != IIOD_WAITING || s->devices[c->device] != device)
			continue;
		iiod_try_frame(c);
		pump(c);
	}
}

size_t iiod_server_waiting(const struct iiod_server *s, const struct iiod_device *device)
{
	size_t n = 0;

	for (const struct iiod_client *c = s->first; c; c = c->next)
		n += c->state == IIOD_WAITING && s->devices[c->device] == device;
	return n;
}

size_t iiod_server_clients(const struct iiod_server *s)
{
	return s->n_clients;
}

uint64_t iiod_server_bytes(const struct iiod_server *s)
{
	return s->frame_bytes;
}

void iiod_server_destroy(struct iiod_server *s)
{
	if (!s || s->closing)
		return;
	s->closing = true;
	while (s->first)
		client_close(s->first);
	uv_close((uv_handle_t *)&s->tcp, on_listener_closed);
}
