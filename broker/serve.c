/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

#include "core/log.h"
#include "core/memory.h"
#include "serve.h"

#define POLL_MAX (2 + POLICY_DEVICES_MAX * WORKER_ROLE_MAX)

int tell_supervisor(struct broker *b)
{
	for (;;) {
		int r = msg_send(b->sock, &b->out);

		if (r != -EAGAIN)
			return r;
		/* Nothing of ours can go on without the supervisor, so there is nothing else to wait for. */
		struct pollfd p = {.fd = b->sock, .events = POLLOUT};
		if (poll(&p, 1, -1) < 0 && errno != EINTR)
			return -errno;
	}
}

int tell_device(struct session *s)
{
	struct broker *b = s->broker;

	msg_begin(&b->out, GRANT_DEVICE);
	wbuf_str(&b->out.out, s->told.name);
	wbuf_str(&b->out.out, s->told.class);
	wbuf_u8(&b->out.out, (uint8_t)s->told.state);
	wbuf_str(&b->out.out, s->told.reason);
	wbuf_u64(&b->out.out, s->told.frames);
	wbuf_u64(&b->out.out, s->told.dropped);
	wbuf_u64(&b->out.out, s->told.reopened);
	return tell_supervisor(b);
}

int tell_value(struct broker *b, uint32_t req, int status, const char *text)
{
	msg_begin(&b->out, GRANT_VALUE);
	wbuf_u32(&b->out.out, req);
	put_status(&b->out.out, status);
	wbuf_str(&b->out.out, text);
	return tell_supervisor(b);
}

static struct lane *lane_of_pid(struct broker *b, pid_t pid)
{
	for (size_t i = 0; i < b->policy->n_devices; i++) {
		for (int role = 0; role < WORKER_ROLE_MAX; role++) {
			struct lane *l = &b->sessions[i].lanes[role];

			if (l->state != LANE_IDLE && l->pid == pid)
				return l;
		}
	}
	return NULL;
}

static int reap(struct broker *b)
{
	struct signalfd_siginfo info;
	int status;
	pid_t pid;

	while (read(b->signals, &info, sizeof(info)) == (ssize_t)sizeof(info))
		;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		struct lane *l = lane_of_pid(b, pid);

		if (l) {
			int r = on_lane_ended(l, status);

			if (r < 0)
				return r;
		}
	}
	return 0;
}

static int receive(struct broker *b)
{
	int r = msg_recv(b->sock, &b->in);

	if (r == -EAGAIN)
		return 0;
	if (r <= 0)
		return r < 0 ? r : ERR_PEER;
	r = on_supervisor(b, &b->in);
	if (r < 0 && r != ERR_PEER)
		log_error("the supervisor is dropped: message %u: %s", b->in.type, err_text(r));
	msg_finish(&b->in);
	return r;
}

static int turn(struct broker *b)
{
	struct pollfd p[POLL_MAX] = {{.fd = b->sock, .events = POLLIN}, {.fd = b->signals, .events = POLLIN}};
	struct lane *lanes[POLL_MAX] = {0};
	int64_t next_ns = INT64_MAX, now_ns = clock_mono().ns;
	nfds_t n = 2;
	int timeout_ms = -1, r = 0;

	for (size_t i = 0; i < b->policy->n_devices; i++) {
		for (int role = 0; role < WORKER_ROLE_MAX; role++) {
			struct lane *l = &b->sessions[i].lanes[role];
			int64_t at = lane_next_ns(l);

			next_ns = at < next_ns ? at : next_ns;
			if (l->state == LANE_RUNNING) {
				lanes[n] = l;
				p[n++] = (struct pollfd){.fd = l->sock, .events = POLLIN};
			}
		}
	}
	if (next_ns != INT64_MAX) {
		int64_t ms = next_ns <= now_ns ? 0 : (next_ns - now_ns + NS_PER_MS - 1) / NS_PER_MS;

		timeout_ms = ms > 3600000 ? 3600000 : (int)ms;
	}
	if (poll(p, n, timeout_ms) < 0)
		return errno == EINTR ? 0 : -errno;

	if (p[0].revents)
		r = receive(b);
	for (nfds_t i = 2; i < n && r >= 0; i++) {
		if (p[i].revents && lanes[i]->state == LANE_RUNNING && lanes[i]->sock == p[i].fd)
			r = on_lane(lanes[i]);
	}
	/* After what they have sent: a worker's last words come before its end. */
	if (r >= 0 && p[1].revents)
		r = reap(b);
	for (size_t i = 0; i < b->policy->n_devices && r >= 0; i++) {
		for (int role = 0; role < WORKER_ROLE_MAX && r >= 0; role++)
			r = lane_tick(&b->sessions[i].lanes[role]);
	}
	return r;
}

static void sessions_init(struct broker *b)
{
	for (size_t i = 0; i < b->policy->n_devices; i++) {
		struct session *s = &b->sessions[i];

		s->broker = b;
		s->spec = &b->policy->devices[i];
		s->index = i;
		for (int role = 0; role < WORKER_ROLE_MAX; role++) {
			s->lanes[role] = (struct lane){
				.session = s, .role = (enum worker_role)role, .sock = -1, .state = LANE_IDLE};
		}
		snprintf(s->told.name, sizeof(s->told.name), "%s", s->spec->name);
		snprintf(s->told.class, sizeof(s->told.class), "%s", device_class_names[s->spec->class]);
	}
}

int broker_serve(const struct policy *policy, int sock, bool verbose)
{
	struct broker *b = calloc(1, sizeof(*b));
	sigset_t set;

	if (!b)
		return -ENOMEM;
	b->policy = policy;
	b->sock = sock;
	b->verbose = verbose;
	b->null = open("/dev/null", O_RDWR | O_CLOEXEC);
	sessions_init(b);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	/* libiio writes to sockets whose other end may be closed. */
	signal(SIGPIPE, SIG_IGN);
	b->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	int r = b->signals < 0 || b->null < 0 ? -errno : 0;
	if (r == 0)
		r = confine_broker(policy);
	memory_give_back(); /* before the first worker, which is a copy of us */
	while (r >= 0)
		r = turn(b);

	/* The workers see their sockets close; those that hang are killed by the kernel with us. */
	for (size_t i = 0; i < policy->n_devices; i++) {
		for (int role = 0; role < WORKER_ROLE_MAX; role++)
			lane_kill(&b->sessions[i].lanes[role], "the broker ends");
	}
	if (b->signals >= 0)
		close(b->signals);
	if (b->null >= 0)
		close(b->null);
	for (size_t i = 0; i < policy->n_devices; i++) {
		for (size_t j = 0; j < b->sessions[i].n_lent; j++)
			close(b->sessions[i].lent[j].fd);
	}
	free(b);
	return r == ERR_PEER ? 0 : r;
}
