/* SPDX-License-Identifier: Apache-2.0 */
#include "stage-log.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "core/file.h"

#define READ_BYTES 65536
#define SLOW_MS 20 /* between two reads of a log that is full: about 3 MB/s */

struct stage_log {
	struct stage_logs *logs;
	uv_poll_t poll;
	int fd, keep_fd;
	uint64_t max_bytes, bytes, kept_bytes;
	bool full;                      /* nothing more is kept; read by the timer only */
	struct stage_log *next;         /* of those that are full */
	char line[LAUNCH_REASON_BYTES]; /* the one that is being written */
	size_t line_len;
	char last_line[LAUNCH_REASON_BYTES];
};

struct stage_logs {
	uv_loop_t *loop;
	uv_timer_t timer; /* runs while a log is full */
	struct stage_log *full;
	char buffer[READ_BYTES];
};

static void end_line(struct stage_log *log)
{
	if (log->line_len == 0)
		return;
	memcpy(log->last_line, log->line, log->line_len);
	log->last_line[log->line_len] = '\0';
	log->line_len = 0;
}

/* Printable ASCII and UTF-8 bytes go through, the rest becomes spaces. */
static void follow_lines(struct stage_log *log, const char *data, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)data[i];

		if (c == '\n') {
			end_line(log);
			continue;
		}
		if (log->line_len < sizeof(log->line) - 1)
			log->line[log->line_len++] = c < ' ' || c == 0x7f ? ' ' : (char)c;
	}
}

/* Takes one piece from the pipe. Whether there may be more. */
static bool take(struct stage_log *log)
{
	char *buffer = log->logs->buffer;
	ssize_t n = read(log->fd, buffer, READ_BYTES);
	uint64_t room = log->max_bytes - log->kept_bytes;
	size_t keep;

	if (n <= 0)
		return n < 0 && errno == EINTR;
	log->bytes += (uint64_t)n;
	follow_lines(log, buffer, (size_t)n);
	keep = (uint64_t)n < room ? (size_t)n : (size_t)room;
	if (keep > 0 && log->keep_fd >= 0) {
		if (write_all(log->keep_fd, buffer, keep) == 0)
			log->kept_bytes += keep;
		else
			log->max_bytes = log->kept_bytes; /* a full disk: what is there is kept */
	}
	return true;
}

static void on_slow(uv_timer_t *timer)
{
	struct stage_logs *logs = timer->data;

	for (struct stage_log *log = logs->full; log; log = log->next)
		(void)take(log);
}

static void go_slow(struct stage_log *log)
{
	struct stage_logs *logs = log->logs;

	log->full = true;
	log->next = logs->full;
	logs->full = log;
	(void)uv_poll_stop(&log->poll);
	if (!uv_is_active((uv_handle_t *)&logs->timer))
		(void)uv_timer_start(&logs->timer, on_slow, SLOW_MS, SLOW_MS);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
	struct stage_log *log = poll->data;
	uint64_t before = log->bytes;

	(void)take(log);
	if (log->bytes == before)
		(void)uv_poll_stop(&log->poll); /* the end, or an error: closed with the stage's end */
	else if (log->bytes > log->max_bytes)
		go_slow(log);
}

static void on_logs_closed(uv_handle_t *handle)
{
	free(handle->data);
}

int stage_logs_create(uv_loop_t *loop, struct stage_logs **ret_logs)
{
	struct stage_logs *logs = calloc(1, sizeof(*logs));
	int err;

	if (!logs)
		return -ENOMEM;
	logs->loop = loop;
	logs->timer.data = logs;
	err = uv_timer_init(loop, &logs->timer);
	if (err < 0) {
		free(logs);
		return err;
	}
	*ret_logs = logs;
	return 0;
}

void stage_logs_destroy(struct stage_logs *logs)
{
	if (logs)
		uv_close((uv_handle_t *)&logs->timer, on_logs_closed);
}

int stage_log_open(struct stage_logs *logs, int keep_fd, uint64_t max_bytes, struct stage_log **ret_log,
	int *ret_write_fd)
{
	struct stage_log *log = calloc(1, sizeof(*log));
	int fds[2];
	int err;

	if (!log)
		return -ENOMEM;
	if (pipe2(fds, O_CLOEXEC) < 0) {
		err = -errno;
		free(log);
		return err;
	}
	log->logs = logs;
	log->fd = fds[0];
	log->keep_fd = keep_fd;
	log->max_bytes = max_bytes;
	log->poll.data = log;
	/* Only our end: the stage's blocks when the pipe is full. */
	err = fcntl(log->fd, F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
	if (err == 0)
		err = uv_poll_init(logs->loop, &log->poll, log->fd);
	if (err < 0) {
		close(fds[0]);
		close(fds[1]);
		free(log);
		return err;
	}
	err = uv_poll_start(&log->poll, UV_READABLE, on_readable);
	if (err < 0) {
		close(fds[1]);
		stage_log_close(log, NULL);
		return err;
	}
	*ret_log = log;
	*ret_write_fd = fds[1];
	return 0;
}

static void on_log_closed(uv_handle_t *handle)
{
	free(handle->data);
}

void stage_log_close(struct stage_log *log, struct launch_result *result)
{
	struct stage_logs *logs = log->logs;

	if (result) {
		/* Nobody writes any more: this is at most what a pipe holds. */
		while (take(log))
			;
		end_line(log);
		result->log_bytes = log->bytes;
		result->log_cut = log->kept_bytes < log->bytes;
		memcpy(result->last_line, log->last_line, sizeof(result->last_line));
	}
	for (struct stage_log **at = &logs->full; *at; at = &(*at)->next) {
		if (*at == log) {
			*at = log->next;
			break;
		}
	}
	if (!logs->full)
		(void)uv_timer_stop(&logs->timer);
	uv_close((uv_handle_t *)&log->poll, on_log_closed);
	close(log->fd);
}
