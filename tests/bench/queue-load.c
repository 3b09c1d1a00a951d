/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/clock.h"
#include "queue-bench.h"

enum step { STEP_PUT, STEP_TAKE, STEP_FINISH, STEP_NONE };

struct connection {
	int fd;
	enum step step;
	long long task;
	char in[1024];
	size_t n_in;
};

static char body[BODY_BYTES + 1];

static unsigned random_priority(void)
{
	static uint32_t state = 1;

	state = state * 1664525u + 1013904223u;
	return (state >> 8) % PRIORITIES;
}

static int ask(enum peer peer, struct connection *c)
{
	char text[BODY_BYTES + 64];
	ssize_t n;

	if (peer == PEER_QUEUE) {
		struct queue_message m = {
			.what = "ptf"[c->step], .priority = (uint8_t)random_priority(), .task = c->task};
		memcpy(m.body, body, BODY_BYTES);
		n = send(c->fd, &m, c->step == STEP_PUT ? sizeof(m) : offsetof(struct queue_message, body),
			MSG_NOSIGNAL);
		return n < 0 ? -errno : 0;
	}
	int len = c->step == STEP_PUT    ? snprintf(text, sizeof(text), "put %u 0 600 %d\r\n%s\r\n",
						   random_priority(), BODY_BYTES, body)
		  : c->step == STEP_TAKE ? snprintf(text, sizeof(text), "reserve\r\n")
					 : snprintf(text, sizeof(text), "delete %lld\r\n", c->task);
	n = send(c->fd, text, (size_t)len, MSG_NOSIGNAL);
	return n == len ? 0 : -EIO;
}

/* 1 when the answer is complete, 0 when more must come. */
static int hear_beanstalkd(struct connection *c)
{
	static const char *const expected[] = {"INSERTED ", "RESERVED ", "DELETED"};
	char *line_end = memmem(c->in, c->n_in, "\r\n", 2);

	if (!line_end)
		return 0;
	if (strncmp(c->in, expected[c->step], strlen(expected[c->step])) != 0) {
		fprintf(stderr, "bench-queue: beanstalkd: %.*s\n", (int)(line_end - c->in), c->in);
		return -EIO;
	}
	size_t need = (size_t)(line_end + 2 - c->in) + (c->step == STEP_TAKE ? BODY_BYTES + 2 : 0);
	if (c->n_in < need)
		return 0;
	if (c->step == STEP_TAKE)
		c->task = strtoll(c->in + strlen("RESERVED "), NULL, 10);
	c->n_in = 0;
	return 1;
}

static int hear(enum peer peer, struct connection *c)
{
	ssize_t n = recv(c->fd, c->in + c->n_in, sizeof(c->in) - c->n_in, 0);
	struct queue_message m;

	if (n <= 0)
		return n < 0 ? -errno : -EPIPE;
	if (peer == PEER_BEANSTALKD) {
		c->n_in += (size_t)n;
		return hear_beanstalkd(c);
	}
	memcpy(&m, c->in, offsetof(struct queue_message, body));
	if (m.what != "ptf"[c->step])
		return -EPROTO;
	if (m.what == 't')
		c->task = m.task;
	return 1;
}

double load_run(enum peer peer, const int fds[CONNECTIONS], bool cycle, double seconds)
{
	static struct connection all[CONNECTIONS];
	struct pollfd polled[CONNECTIONS];
	struct mono_time from = clock_mono(), last = from;
	int64_t until_ns = from.ns + (int64_t)(seconds * (double)NS_PER_S);
	size_t open = CONNECTIONS;
	uint64_t n = 0;
	int r = 0;

	memset(body, 'x', BODY_BYTES);
	for (size_t i = 0; r == 0 && i < CONNECTIONS; i++) {
		all[i] = (struct connection){.fd = fds[i]};
		polled[i] = (struct pollfd){.fd = fds[i], .events = POLLIN};
		r = ask(peer, &all[i]);
	}
	while (r >= 0 && open && poll(polled, CONNECTIONS, -1) > 0) {
		for (size_t i = 0; r >= 0 && i < CONNECTIONS; i++) {
			struct connection *c = &all[i];
			if (!polled[i].revents || (r = hear(peer, c)) <= 0)
				continue;
			bool over = c->step == (cycle ? STEP_FINISH : STEP_PUT);
			n += over;
			c->step = over ? STEP_PUT : c->step + 1;
			last = clock_mono();
			if (over && last.ns >= until_ns) {
				polled[i].fd = -1;
				open--;
			} else {
				r = ask(peer, c);
			}
		}
	}
	if (r < 0) {
		fprintf(stderr, "bench-queue: %s\n", strerror(-r));
		return -1;
	}
	return (double)n / ((double)(last.ns - from.ns) / (double)NS_PER_S);
}
