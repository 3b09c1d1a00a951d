/* SPDX-License-Identifier: Apache-2.0 */
/* The supervisor's side of the launch protocol, on a libuv loop. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/socket.h>
#include <sysexits.h>

#include "core/log.h"
#include "launch-wire.h"
#include "stage-log.h"

/* Every request that may be outstanding fits, so that a start never meets a full socket. */
#define SOCKET_BYTES ((LAUNCH_RUNNING_MAX + 2) * 2 * MSG_BYTES_MAX)

struct launcher {
	uv_loop_t *loop;
	struct launcher_callbacks callbacks;
	void *user;
	uv_process_t process;
	uv_poll_t poll;
	int sock;
	bool gone, destroyed, can_freeze;
	unsigned open_handles; /* freed at zero, once destroyed */
	struct stage_logs *logs;
	struct {
		bool used;
		uint64_t task;
		struct stage_log *log;
	} running[LAUNCH_RUNNING_MAX];
	struct msg msg, out;
};

static void release(struct launcher *l)
{
	if (l->open_handles == 0 && l->destroyed)
		free(l);
}

static void on_closed(uv_handle_t *handle)
{
	struct launcher *l = handle->data;

	l->open_handles--;
	release(l);
}

/* No more talk with it: its end follows by itself, for it ends when the socket does. */
static void hang_up(struct launcher *l)
{
	if (l->sock < 0)
		return;
	uv_close((uv_handle_t *)&l->poll, on_closed);
	close(TAKE_FD(l->sock));
	for (size_t i = 0; i < LAUNCH_RUNNING_MAX; i++) {
		if (l->running[i].used)
			stage_log_close(l->running[i].log, NULL);
		l->running[i].used = false;
	}
	stage_logs_destroy(l->logs);
	l->logs = NULL;
}

static void be_gone(struct launcher *l, const char *reason)
{
	if (l->gone)
		return;
	l->gone = true;
	hang_up(l);
	if (!l->destroyed && l->callbacks.on_gone)
		l->callbacks.on_gone(l, reason, l->user);
}

static const char *explain_exit(int64_t status)
{
	switch (status) {
	case EX_NOPERM:
		return ": it needs to be started as root";
	case EX_UNAVAILABLE:
		return ": no sandbox can be made on this machine; its log says why";
	default:
		return "";
	}
}

static void on_process_exit(uv_process_t *process, int64_t status, int signal)
{
	struct launcher *l = process->data;
	char reason[160];

	if (signal)
		snprintf(reason, sizeof(reason), "the launcher was killed by signal %d", signal);
	else
		snprintf(reason, sizeof(reason), "the launcher exited with %" PRId64 "%s", status,
			explain_exit(status));
	uv_close((uv_handle_t *)process, on_closed);
	be_gone(l, reason);
}

static int on_result(void *user, struct msg *m)
{
	struct launcher *l = user;
	struct launch_result result;
	int err = launch_result_read(&m->body, &result);

	if (err < 0)
		return err;
	for (size_t i = 0; i < LAUNCH_RUNNING_MAX; i++) {
		if (!l->running[i].used || l->running[i].task != result.task)
			continue;
		stage_log_close(l->running[i].log, &result);
		l->running[i].used = false;
		l->callbacks.on_end(l, &result, l->user);
		return 0;
	}
	return ERR_UNKNOWN;
}

static int on_ready(void *user, struct msg *m)
{
	struct launcher *l = user;

	l->can_freeze = rbuf_u8(&m->body) == 1;
	if (m->body.err < 0)
		return m->body.err;
	if (l->callbacks.on_ready)
		l->callbacks.on_ready(l, l->user);
	return 0;
}

static const struct msg_handler handlers[] = {
	{LAUNCH_MSG_READY, 1, on_ready, "ready"},
	{LAUNCH_MSG_RESULT, 1, on_result, "result"},
};

static void on_readable(uv_poll_t *poll, int status, int events)
{
	struct launcher *l = poll->data;

	/* A callback may destroy the launcher, which closes the socket. */
	while (l->sock >= 0) {
		int err = msg_recv(l->sock, &l->msg);

		if (err == -EAGAIN)
			return;
		if (err == 0) {
			be_gone(l, "the launcher closed its socket");
			return;
		}
		if (err > 0) {
			err = msg_dispatch(handlers, ARRAY_LEN(handlers), 1, l, &l->msg);
			msg_finish(&l->msg);
		}
		if (err < 0) {
			be_gone(l, "the launcher does not keep to the protocol");
			return;
		}
	}
}

static int spawn(struct launcher *l, const char *path, int sock)
{
	char *args[] = {(char *)path, NULL};
	uv_stdio_container_t stdio[4] = {
		{.flags = UV_IGNORE},
		{.flags = UV_INHERIT_FD, .data.fd = STDERR_FILENO}, /* its log; it has no other output */
		{.flags = UV_INHERIT_FD, .data.fd = STDERR_FILENO},
		{.flags = UV_INHERIT_FD, .data.fd = sock},
	};
	uv_process_options_t options = {
		.exit_cb = on_process_exit,
		.file = path,
		.args = args,
		.stdio_count = 4,
		.stdio = stdio,
	};
	int err;

	l->process.data = l;
	l->open_handles++;
	err = uv_spawn(l->loop, &l->process, &options);
	if (err < 0)
		uv_close((uv_handle_t *)&l->process, on_closed);
	return err; /* libuv's are -errno on Unix */
}

int launcher_create(uv_loop_t *loop, const char *path, const struct launcher_callbacks *callbacks, void *user,
	struct launcher **ret_launcher)
{
	struct launcher *l = calloc(1, sizeof(*l));
	CLEAN_FD int theirs = -1;
	int pair[2], size = SOCKET_BYTES;
	int err;

	if (!l)
		return -ENOMEM;
	l->loop = loop;
	l->callbacks = *callbacks;
	l->user = user;
	err = stage_logs_create(loop, &l->logs);
	if (err < 0) {
		free(l);
		return err;
	}
	err = msg_pair(true, false, pair);
	if (err < 0) {
		stage_logs_destroy(l->logs);
		free(l);
		return err;
	}
	l->sock = pair[0];
	theirs = pair[1];
	/* Beyond the system's limit only as root, which we are when it matters. */
	if (setsockopt(l->sock, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) < 0)
		(void)setsockopt(l->sock, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	l->poll.data = l;
	err = uv_poll_init(loop, &l->poll, l->sock);
	if (err < 0) {
		close(l->sock);
		stage_logs_destroy(l->logs);
		free(l);
		return err;
	}
	l->open_handles++;
	err = uv_poll_start(&l->poll, UV_READABLE, on_readable);
	if (err == 0)
		err = spawn(l, path, theirs);
	if (err < 0) {
		l->gone = true;
		launcher_destroy(l);
		return err;
	}
	*ret_launcher = l;
	return 0;
}

void launcher_destroy(struct launcher *l)
{
	if (!l)
		return;
	l->destroyed = true;
	hang_up(l);
	release(l);
}

int launcher_start(struct launcher *l, const struct launch_request *request)
{
	CLEAN_FD int log_write = -1;
	struct stage_log *log;
	size_t at = LAUNCH_RUNNING_MAX;
	int err;

	if (l->gone || l->destroyed)
		return ERR_PEER;
	for (size_t i = LAUNCH_RUNNING_MAX; i > 0; i--) {
		if (!l->running[i - 1].used)
			at = i - 1;
		else if (l->running[i - 1].task == request->task)
			return -EEXIST;
	}
	if (at == LAUNCH_RUNNING_MAX)
		return ERR_LIMIT;
	msg_begin(&l->out, LAUNCH_MSG_START);
	err = launch_order_write(&l->out.out, request->task, &request->limits, request->argv, request->env);
	if (err < 0)
		return err;
	err = stage_log_open(l->logs, request->log_fd, request->log_bytes_max, &log, &log_write);
	if (err < 0)
		return err;
	msg_lend_fd(&l->out, request->rootfs_fd);
	msg_lend_fd(&l->out, request->in_fd);
	msg_lend_fd(&l->out, request->out_fd);
	msg_lend_fd(&l->out, log_write);
	err = msg_send(l->sock, &l->out);
	if (err < 0) {
		stage_log_close(log, NULL);
		return err;
	}
	l->running[at].used = true;
	l->running[at].task = request->task;
	l->running[at].log = log;
	return 0;
}

static bool runs(const struct launcher *l, uint64_t task)
{
	for (size_t i = 0; i < LAUNCH_RUNNING_MAX; i++) {
		if (l->running[i].used && l->running[i].task == task)
			return true;
	}
	return false;
}

int launcher_kill(struct launcher *l, uint64_t task)
{
	if (!runs(l, task))
		return l->gone ? ERR_PEER : ERR_UNKNOWN;
	msg_begin(&l->out, LAUNCH_MSG_KILL);
	wbuf_u64(&l->out.out, task);
	return msg_send(l->sock, &l->out);
}

int launcher_freeze(struct launcher *l, uint64_t task, bool frozen)
{
	if (!runs(l, task))
		return l->gone ? ERR_PEER : ERR_UNKNOWN;
	if (!l->can_freeze)
		return -EOPNOTSUPP;
	msg_begin(&l->out, LAUNCH_MSG_FREEZE);
	wbuf_u64(&l->out.out, task);
	wbuf_u8(&l->out.out, frozen);
	return msg_send(l->sock, &l->out);
}

bool launcher_can_freeze(const struct launcher *l)
{
	return l->can_freeze;
}

size_t launcher_running(const struct launcher *l)
{
	size_t n = 0;

	for (size_t i = 0; i < LAUNCH_RUNNING_MAX; i++)
		n += l->running[i].used;
	return n;
}

pid_t launcher_pid(const struct launcher *l)
{
	return l->process.pid;
}
