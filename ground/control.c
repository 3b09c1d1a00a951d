/* SPDX-License-Identifier: Apache-2.0 */
#include "control.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "core/file.h"
#include "core/json.h"

#define REPLY_TIMEOUT_S 10

struct client {
	struct control *control;
	uv_pipe_t pipe;
	uv_write_t write;
	char *reply; /* being written; one at a time: a request is read only when the last reply is out */
	char line[CONTROL_LINE_BYTES_MAX];
	size_t len;
};

struct control {
	uv_pipe_t listener;
	control_answer_fn answer;
	void *user;
	struct client *clients[CONTROL_CLIENTS_MAX];
	size_t open_handles; /* freed when none is left */
	bool closing;
};

static void release(struct control *c)
{
	if (--c->open_handles == 0)
		free(c);
}

static void on_client_closed(uv_handle_t *h)
{
	struct client *cl = h->data;
	struct control *c = cl->control;

	for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++)
		if (c->clients[i] == cl)
			c->clients[i] = NULL;
	free(cl->reply);
	free(cl);
	release(c);
}

static void drop(struct client *cl)
{
	if (!uv_is_closing((uv_handle_t *)&cl->pipe))
		uv_close((uv_handle_t *)&cl->pipe, on_client_closed);
}

static cJSON *make_reply(struct control *c, const char *line, size_t len)
{
	CLEAN_JSON cJSON *request = NULL;
	const char *ask;
	cJSON *reply = NULL;
	const char *error = "not one JSON object with a text \"ask\"";

	if (json_parse(line, len, CONTROL_LINE_BYTES_MAX, &request, NULL, NULL) == 0 &&
		(ask = json_str(request, "ask"))) {
		reply = c->answer(c->user, ask, request);
		error = "not something that can be asked";
	}
	if (reply) {
		cJSON_AddTrueToObject(reply, "ok");
		return reply;
	}
	reply = cJSON_CreateObject();
	cJSON_AddFalseToObject(reply, "ok");
	cJSON_AddStringToObject(reply, "error", error);
	return reply;
}

static void serve_lines(struct client *cl);

static void on_written(uv_write_t *req, int status)
{
	struct client *cl = req->data;

	free(TAKE_PTR(cl->reply));
	if (status < 0)
		drop(cl);
	else
		serve_lines(cl);
}

static void send_reply(struct client *cl, cJSON *reply)
{
	char *text = cJSON_PrintUnformatted(reply);
	size_t len = text ? strlen(text) : 0;

	cJSON_Delete(reply);
	cl->reply = text ? realloc(text, len + 2) : NULL;
	if (!cl->reply) {
		free(text);
		drop(cl);
		return;
	}
	cl->reply[len++] = '\n';
	uv_buf_t buf = uv_buf_init(cl->reply, (unsigned)len);
	cl->write.data = cl;
	if (uv_write(&cl->write, (uv_stream_t *)&cl->pipe, &buf, 1, on_written) < 0)
		drop(cl);
}

static void serve_lines(struct client *cl)
{
	char *end = memchr(cl->line, '\n', cl->len);

	if (cl->reply || uv_is_closing((uv_handle_t *)&cl->pipe))
		return;
	if (!end) {
		if (cl->len == sizeof(cl->line))
			drop(cl);
		return;
	}
	cJSON *reply = make_reply(cl->control, cl->line, (size_t)(end - cl->line));
	size_t used = (size_t)(end + 1 - cl->line);
	memmove(cl->line, end + 1, cl->len - used);
	cl->len -= used;
	send_reply(cl, reply);
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
	struct client *cl = h->data;

	*buf = uv_buf_init(cl->line + cl->len, (unsigned)(sizeof(cl->line) - cl->len));
}

static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
	struct client *cl = s->data;

	if (n < 0) {
		drop(cl);
		return;
	}
	cl->len += (size_t)n;
	serve_lines(cl);
}

static void on_connection(uv_stream_t *listener, int status)
{
	struct control *c = listener->data;
	size_t slot = 0;

	while (slot < CONTROL_CLIENTS_MAX && c->clients[slot])
		slot++;
	struct client *cl = calloc(1, sizeof(*cl));
	if (status < 0 || !cl || uv_pipe_init(listener->loop, &cl->pipe, 0) < 0) {
		free(cl);
		return;
	}
	cl->control = c;
	cl->pipe.data = cl;
	c->open_handles++;
	if (slot < CONTROL_CLIENTS_MAX)
		c->clients[slot] = cl;
	/* One too many is accepted and closed: left waiting, it would make the loop spin. */
	if (uv_accept(listener, (uv_stream_t *)&cl->pipe) < 0 || slot == CONTROL_CLIENTS_MAX ||
		uv_read_start((uv_stream_t *)&cl->pipe, on_alloc, on_read) < 0)
		drop(cl);
}

static void on_listener_closed(uv_handle_t *h)
{
	release(h->data);
}

int control_create(
	uv_loop_t *loop, const char *path, control_answer_fn answer, void *user, struct control **ret_control)
{
	struct control *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	int r = uv_pipe_init(loop, &c->listener, 0);
	if (r < 0) {
		free(c);
		return r;
	}
	c->answer = answer;
	c->user = user;
	c->listener.data = c;
	c->open_handles = 1;
	if (unlink(path) < 0 && errno != ENOENT)
		r = -errno;
	if (r == 0)
		r = uv_pipe_bind(&c->listener, path);
	if (r == 0 && chmod(path, 0660) < 0)
		r = -errno;
	if (r == 0)
		r = uv_listen((uv_stream_t *)&c->listener, CONTROL_CLIENTS_MAX, on_connection);
	if (r < 0) {
		control_destroy(c);
		return r;
	}
	*ret_control = c;
	return 0;
}

void control_destroy(struct control *c)
{
	if (!c || c->closing)
		return;
	c->closing = true;
	for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++)
		if (c->clients[i])
			drop(c->clients[i]);
	uv_close((uv_handle_t *)&c->listener, on_listener_closed);
}

static int read_line(int fd, char **ret_line, size_t *ret_len)
{
	CLEAN_FREE char *line = malloc(CONTROL_REPLY_BYTES_MAX);
	size_t len = 0;

	if (!line)
		return -ENOMEM;
	while (len < CONTROL_REPLY_BYTES_MAX) {
		ssize_t n = recv(fd, line + len, CONTROL_REPLY_BYTES_MAX - len, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? -ETIMEDOUT : -errno;
		if (n == 0)
			return ERR_PEER;
		char *end = memchr(line + len, '\n', (size_t)n);
		len += (size_t)n;
		if (!end)
			continue;
		*ret_len = (size_t)(end - line);
		*ret_line = TAKE_PTR(line);
		return 0;
	}
	return ERR_LIMIT;
}

int control_ask(const char *path, const char *ask, cJSON **ret_reply)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	struct timeval timeout = {.tv_sec = REPLY_TIMEOUT_S};
	char request[256];

	if (strlen(path) >= sizeof(at.sun_path))
		return -ENAMETOOLONG;
	memcpy(at.sun_path, path, strlen(path));
	CLEAN_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) < 0 ||
		connect(fd, (struct sockaddr *)&at, sizeof(at)) < 0)
		return -errno;
	int n = snprintf(request, sizeof(request), "{\"ask\":\"%s\"}\n", ask);
	ensure(n > 0 && (size_t)n < sizeof(request));
	int r = write_all(fd, request, (size_t)n);
	CLEAN_FREE char *line = NULL;
	size_t len = 0;
	if (r == 0)
		r = read_line(fd, &line, &len);
	return r == 0 ? json_parse(line, len, CONTROL_REPLY_BYTES_MAX, ret_reply, NULL, NULL) : r;
}
