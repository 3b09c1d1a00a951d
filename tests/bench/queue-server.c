/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "queue-bench.h"
#include "scheduler.h"

#define FILL_PER_TURN 2000

struct server {
	struct store *store;
	struct scheduler *queue;
	int fds[CONNECTIONS];
	/* Answers that wait for the commit. */
	struct {
		int fd;
		struct queue_message m;
	} answers[CONNECTIONS];
	size_t n_answers;
	/* Who waits for a task, and tasks that wait for somebody. */
	int takers[CONNECTIONS];
	size_t n_takers;
	int64_t taken[QUEUE_RUNNING_MAX];
	size_t n_taken;
	uint64_t random;
	int64_t n_put;
};

static uint64_t rnd(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	return *state ^= *state << 17;
}

static void answer(int fd, char what, int64_t task)
{
	struct queue_message m = {.what = what, .task = task};

	if (send(fd, &m, offsetof(struct queue_message, body), MSG_NOSIGNAL) < 0)
		exit(1);
}

/* ---- the outside of the queue ---- */

static void hand_over(struct server *s)
{
	while (s->n_takers && s->n_taken)
		answer(s->takers[--s->n_takers], 't', s->taken[--s->n_taken]);
}

static int on_start(void *user, const struct task *t)
{
	struct server *s = user;

	s->taken[s->n_taken++] = t->id;
	hand_over(s);
	return 0;
}

static void on_started(void *user, const struct task *t, struct utc_time at)
{
}

static void on_ended(void *user, const struct task *t, enum task_state state, const struct task_end *end)
{
}

/* Runs of three stages each, of sixteen workflows of four payloads. */
static int put(struct server *s, uint8_t priority, const char *body, int64_t *ret_task)
{
	static const char *const payloads[] = {"a", "b", "c", "d"};
	unsigned of = priority % WORKFLOWS;
	char workflow[16];
	struct task_spec spec = {.run = 1 + s->n_put++ / 3,
		.stage = "stage",
		.item = -1,
		.payload = payloads[of % 4],
		.workflow = workflow,
		.priority = priority,
		.cpus_milli = 100,
		.memory_bytes = 1 << 20,
		.time_ns = NS_PER_S,
		.body = body,
		.body_bytes = BODY_BYTES};

	snprintf(workflow, sizeof(workflow), "workflow-%u", of);
	return scheduler_put(s->queue, &spec, ret_task);
}

/* ---- the loop ---- */

static int handle(struct server *s, int fd)
{
	struct task_end done = {.succeeded = true, .cpu_ns = 1};
	struct queue_message m;
	ssize_t n = recv(fd, &m, sizeof(m), 0);
	int r = 0;

	if (n <= 0)
		exit(0); /* the bench is over */
	if (m.what == 't') {
		s->takers[s->n_takers++] = fd;
		return 0;
	}
	if (m.what == 'p')
		r = put(s, m.priority, m.body, &m.task);
	else
		r = scheduler_finish(s->queue, m.task, &done);
	s->answers[s->n_answers].fd = fd;
	s->answers[s->n_answers++].m = m;
	return r;
}

static int end_turn(struct server *s)
{
	int r;

	do {
		r = scheduler_dispatch(s->queue);
		if (r == 0)
			r = store_turn_end(s->store);
	} while (r == 0 && scheduler_dirty(s->queue));
	for (size_t i = 0; r == 0 && i < s->n_answers; i++)
		answer(s->answers[i].fd, s->answers[i].m.what, s->answers[i].m.task);
	s->n_answers = 0;
	hand_over(s);
	return r;
}

static int fill(struct server *s, unsigned waiting)
{
	char body[BODY_BYTES];
	int64_t task;
	int r = 0;

	memset(body, 'x', sizeof(body));
	for (unsigned i = 0; r == 0 && i < waiting; i++) {
		r = put(s, (uint8_t)(rnd(&s->random) % PRIORITIES), body, &task);
		if (r == 0 && (i % FILL_PER_TURN == FILL_PER_TURN - 1 || i + 1 == waiting))
			r = store_turn_end(s->store);
	}
	return r;
}

static int serve(struct server *s, const char *db, unsigned waiting)
{
	const struct scheduler_budget budget = {
		.cpus_milli = 1 << 20, .memory_bytes = UINT64_C(1) << 40, .tasks = QUEUE_RUNNING_MAX};
	struct queue_rules rules = queue_rules_default;
	struct pollfd polled[CONNECTIONS];
	char why[256] = "";

	rules.history = 1000; /* so that what trimming costs is in the figures */
	int r = store_open(db, &s->store, why, sizeof(why));
	if (r == 0)
		r = scheduler_create(s->store, &budget, &s->queue);
	if (r == 0)
		r = scheduler_set_rules(s->queue, &rules);
	if (r < 0) {
		fprintf(stderr, "bench-queue: %s\n", *why ? why : err_text(r));
		return r;
	}
	scheduler_plug(s->queue, &(struct task_runner){.start = on_start, .user = s},
		&(struct task_owner){.on_started = on_started, .on_ended = on_ended, .user = s});
	r = fill(s, waiting);
	for (size_t i = 0; i < CONNECTIONS; i++)
		polled[i] = (struct pollfd){.fd = s->fds[i], .events = POLLIN};
	if (r == 0)
		r = end_turn(s);
	if (r == 0)
		answer(s->fds[0], 'r', 0);
	while (r == 0 && poll(polled, CONNECTIONS, -1) > 0) {
		for (size_t i = 0; r == 0 && i < CONNECTIONS; i++)
			if (polled[i].revents)
				r = handle(s, s->fds[i]);
		if (r == 0)
			r = end_turn(s);
	}
	fprintf(stderr, "bench-queue: the queue: %s\n", err_text(r));
	return r;
}

int queue_server_start(struct queue_server *q, const char *db, unsigned waiting)
{
	static struct server s;
	struct queue_message ready;

	s = (struct server){.random = 88172645463325252u};
	for (size_t i = 0; i < CONNECTIONS; i++) {
		int pair[2];
		if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
			return -errno;
		q->fds[i] = pair[0];
		s.fds[i] = pair[1];
	}
	q->pid = fork();
	if (q->pid < 0)
		return -errno;
	if (q->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (size_t i = 0; i < CONNECTIONS; i++)
			close(q->fds[i]);
		_exit(serve(&s, db, waiting) < 0);
	}
	for (size_t i = 0; i < CONNECTIONS; i++)
		close(s.fds[i]);
	return recv(q->fds[0], &ready, sizeof(ready), 0) > 0 ? 0 : ERR_PEER;
}

void queue_server_stop(struct queue_server *q)
{
	for (size_t i = 0; i < CONNECTIONS; i++)
		close(q->fds[i]);
	kill(q->pid, SIGKILL);
	(void)waitpid(q->pid, NULL, 0);
}

double queue_server_memory_mib(const struct queue_server *q)
{
	char path[64], line[128];
	double kib = -1024;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)q->pid);
	FILE *f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, "VmRSS:", 6))
			kib = strtod(line + 6, NULL);
	if (f)
		fclose(f);
	return kib / 1024;
}
