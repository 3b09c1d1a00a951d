/* SPDX-License-Identifier: Apache-2.0 */
#include "control.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "core/file.h"
#include "core/json.h"

struct client {
	struct control *control;
	uv_poll_t poll;
	int fd;
	uid_t uid;
	uint64_t heard; /* when, in requests of all: the one that was silent longest makes room */
	bool serving, closing;
	struct control_call *call; /* not answered yet; one at a time */
	char *reply;               /* being written; the next request is read only when it is out */
	size_t reply_len, reply_sent;
	char line[CONTROL_LINE_BYTES_MAX];
	size_t len;
	int fds[CONTROL_FDS_MAX]; /* came with what is in `line` */
	size_t n_fds;
};

struct control_call {
	struct client *client; /* NULL when it is gone */
	uid_t uid;
	int fds[CONTROL_FDS_MAX];
	size_t n_fds;
};

struct control {
	uv_poll_t listener;
	int fd;
	control_answer_fn answer;
	void *user;
	struct client *clients[CONTROL_CLIENTS_MAX];
	uint64_t requests;
	size_t open_handles; /* freed when none is left */
	bool closing;
};

static void release(struct control *c)
{
	if (--c->open_handles == 0)
		free(c);
}

/* ---- a client ---- */

static void on_client_closed(uv_handle_t *h)
{
	struct client *cl = h->data;

	close(cl->fd);
	release(cl->control);
	free(cl->reply);
	free(cl);
}

static void close_fds(int *fds, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

static void drop(struct client *cl)
{
	struct control *c = cl->control;

	if (cl->closing)
		return;
	cl->closing = true;
	for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++)
		if (c->clients[i] == cl)
			c->clients[i] = NULL;
	if (cl->call)
		cl->call->client = NULL;
	close_fds(cl->fds, cl->n_fds);
	uv_close((uv_handle_t *)&cl->poll, on_client_closed);
}

static void serve(struct client *cl);
static void on_client(uv_poll_t *p, int status, int events);

/* Reads only when nothing is owed to it, writes only what there is. */
static void watch(struct client *cl)
{
	int events = cl->reply ? UV_WRITABLE : cl->call ? UV_DISCONNECT : UV_READABLE;
	int r = cl->closing ? 0 : uv_poll_start(&cl->poll, events, on_client);

	if (r < 0)
		drop(cl);
}

static void flush(struct client *cl)
{
	while (cl->reply && cl->reply_sent < cl->reply_len) {
		ssize_t n = send(cl->fd, cl->reply + cl->reply_sent, cl->reply_len - cl->reply_sent,
			MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN) {
			drop(cl);
			return;
		}
		if (n < 0)
			return;
		cl->reply_sent += (size_t)n;
	}
	free(TAKE_PTR(cl->reply));
}

static void receive(struct client *cl)
{
	char control[CMSG_SPACE(sizeof(int) * CONTROL_FDS_MAX)];
	struct iovec iov = {.iov_base = cl->line + cl->len, .iov_len = sizeof(cl->line) - cl->len};
	struct msghdr m = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
	ssize_t n = recvmsg(cl->fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	bool too_many = n >= 0 && (m.msg_flags & MSG_CTRUNC);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	for (struct cmsghdr *h = n < 0 ? NULL : CMSG_FIRSTHDR(&m); h; h = CMSG_NXTHDR(&m, h)) {
		if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < (h->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(h) + i * sizeof(int), sizeof(fd));
			if (cl->n_fds < CONTROL_FDS_MAX) {
				cl->fds[cl->n_fds++] = fd;
			} else {
				close(fd);
				too_many = true;
			}
		}
	}
	/* A line that does not fit is nobody's who keeps to the protocol, either. */
	if (n <= 0 || too_many ||
		(cl->len + (size_t)n == sizeof(cl->line) && !memchr(cl->line, '\n', sizeof(cl->line)))) {
		drop(cl);
		return;
	}
	cl->len += (size_t)n;
	serve(cl);
}

static void on_client(uv_poll_t *p, int status, int events)
{
	struct client *cl = p->data;

	/* Who is gone is waited for no longer; what was asked goes on. */
	if (status < 0 || (events & UV_DISCONNECT && cl->call && !cl->reply)) {
		drop(cl);
		return;
	}
	if (events & UV_WRITABLE) {
		flush(cl);
		serve(cl);
	} else if (events & UV_READABLE) {
		receive(cl);
	}
	watch(cl);
}

/* ---- requests ---- */

static void ask(struct client *cl, size_t len)
{
	struct control *c = cl->control;
	struct control_call *call = calloc(1, sizeof(*call));
	CLEAN_JSON cJSON *request = NULL;
	const char *what;

	if (!call) {
		drop(cl);
		return;
	}
	cl->heard = ++c->requests;
	call->client = cl;
	call->uid = cl->uid;
	call->n_fds = cl->n_fds;
	memcpy(call->fds, cl->fds, sizeof(call->fds));
	cl->n_fds = 0;
	cl->call = call;
	if (json_parse(cl->line, len, CONTROL_LINE_BYTES_MAX, &request, NULL, NULL) < 0 ||
		!(what = json_str(request, "ask")))
		control_refuse(call, ERR_FORMAT, "not one JSON object with a text \"ask\"");
	else
		c->answer(c->user, call, what, request);
}

/* Requests that are whole, one after the other: the next when the last was answered. */
static void serve(struct client *cl)
{
	char *end;

	if (cl->serving)
		return;
	cl->serving = true;
	while (!cl->closing && !cl->call && !cl->reply && (end = memchr(cl->line, '\n', cl->len))) {
		size_t used = (size_t)(end + 1 - cl->line);

		ask(cl, used - 1);
		memmove(cl->line, end + 1, cl->len - used);
		cl->len -= used;
	}
	cl->serving = false;
}

static char *to_line(cJSON *body, size_t *ret_len)
{
	char *text = cJSON_PrintUnformatted(body), *line = NULL;
	size_t len = text ? strlen(text) : 0;

	if (text && len + 2 <= CONTROL_REPLY_BYTES_MAX)
		line = realloc(text, len + 2);
	if (!line) {
		free(text);
		return NULL;
	}
	memcpy(line + len, "\n", 2);
	*ret_len = len + 1;
	return line;
}

/* Ends the call with this body. */
static void answer_with(struct control_call *call, cJSON *body)
{
	struct client *cl = call->client;

	if (cl) {
		cl->call = NULL;
		cl->reply_sent = 0;
		cl->reply = to_line(body, &cl->reply_len);
		if (!cl->reply)
			cl->reply = strdup("{\"ok\":false,\"code\":\"ERR_LIMIT\",\"error\":\"the answer is "
					   "too large; ask for less\"}\n");
		cl->reply_len = cl->reply ? strlen(cl->reply) : 0;
		if (cl->reply)
			flush(cl);
		else
			drop(cl);
		serve(cl);
		watch(cl);
	}
	cJSON_Delete(body);
	close_fds(call->fds, call->n_fds);
	free(call);
}

void control_reply(struct control_call *call, cJSON *body)
{
	if (!body || !cJSON_AddTrueToObject(body, "ok")) {
		cJSON_Delete(body);
		control_refuse(call, -ENOMEM, "out of memory");
		return;
	}
	answer_with(call, body);
}

void control_refuse(struct control_call *call, int err, const char *fmt, ...)
{
	cJSON *body = cJSON_CreateObject();
	char text[1024];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	cJSON_AddFalseToObject(body, "ok");
	cJSON_AddStringToObject(body, "error", text);
	cJSON_AddStringToObject(body, "code", err_name(err));
	answer_with(call, body);
}

uid_t control_call_uid(const struct control_call *call)
{
	return call->uid;
}

int control_call_take_fd(struct control_call *call, size_t i)
{
	return i < call->n_fds ? TAKE_FD(call->fds[i]) : -1;
}

/* ---- the listener ---- */

/* A place for one more: a free one, or that of the client that asks nothing and was silent longest. */
static bool find_place(struct control *c, size_t *ret_slot)
{
	struct client *silent = NULL;

	for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		struct client *cl = c->clients[i];

		if (cl && (cl->call || cl->reply || (silent && silent->heard <= cl->heard)))
			continue;
		*ret_slot = i;
		silent = cl;
		if (!cl)
			return true;
	}
	if (silent)
		drop(silent);
	return silent != NULL;
}

static void admit(struct control *c, int fd)
{
	struct ucred peer = {.uid = (uid_t)-1};
	socklen_t len = sizeof(peer);
	struct client *cl;
	size_t slot;

	if (!find_place(c, &slot) || !(cl = calloc(1, sizeof(*cl)))) {
		close(fd);
		return;
	}
	cl->control = c;
	cl->fd = fd;
	cl->heard = ++c->requests;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0)
		cl->uid = peer.uid;
	else
		cl->uid = (uid_t)-1;
	if (uv_poll_init(c->listener.loop, &cl->poll, fd) < 0) {
		close(fd);
		free(cl);
		return;
	}
	cl->poll.data = cl;
	c->open_handles++;
	c->clients[slot] = cl;
	watch(cl);
}

static void on_connection(uv_poll_t *p, int status, int events)
{
	struct control *c = p->data;
	int fd;

	while ((fd = accept4(c->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0)
		admit(c, fd);
}

static void on_listener_closed(uv_handle_t *h)
{
	struct control *c = h->data;

	close(c->fd);
	release(c);
}

static int listen_at(const char *path)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	CLEAN_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (strlen(path) >= sizeof(at.sun_path))
		return -ENAMETOOLONG;
	memcpy(at.sun_path, path, strlen(path));
	if (fd < 0 || (unlink(path) < 0 && errno != ENOENT))
		return -errno;
	if (bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0 || chmod(path, 0660) < 0 ||
		listen(fd, CONTROL_CLIENTS_MAX) < 0)
		return -errno;
	return TAKE_FD(fd);
}

int control_create(
	uv_loop_t *loop, const char *path, control_answer_fn answer, void *user, struct control **ret_control)
{
	struct control *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return -ENOMEM;
	c->answer = answer;
	c->user = user;
	c->fd = listen_at(path);
	r = c->fd < 0 ? c->fd : uv_poll_init(loop, &c->listener, c->fd);
	if (r < 0) {
		if (c->fd >= 0)
			close(c->fd);
		free(c);
		return r;
	}
	c->listener.data = c;
	c->open_handles = 1;
	r = uv_poll_start(&c->listener, UV_READABLE, on_connection);
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
