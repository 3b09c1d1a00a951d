/* SPDX-License-Identifier: Apache-2.0 */
/* The launcher's loop, and what the supervisor asks of it. */
#include "launcher-slots.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>

#include "core/log.h"

void launcher_watch(
	struct launcher_server *s, int fd, uint32_t events, enum event_kind kind, size_t number, int op)
{
	struct epoll_event e = {.events = events, .data.u64 = (uint64_t)kind << 32 | number};

	if (epoll_ctl(s->epoll, op, fd, &e) < 0)
		log_error("epoll_ctl: %s", err_text(-errno));
}

void launcher_watch_supervisor(struct launcher_server *s)
{
	uint32_t events = EPOLLIN | (s->sock_full ? EPOLLOUT : 0);

	launcher_watch(s, s->sock, events, EVENT_SUPERVISOR, 0, EPOLL_CTL_MOD);
}

static int on_start(void *user, struct msg *m)
{
	struct launcher_server *s = user;
	char reason[LAUNCH_REASON_BYTES] = "";
	struct slot *t;
	int err;

	if (m->n_fds != LAUNCH_ORDER_FDS)
		return ERR_FORMAT;
	err = launch_order_read(&m->body, &s->order);
	if (err < 0)
		return err;
	if (slot_of_task(s, s->order.task))
		return ERR_STATE;
	s->busy = clock_mono();
	if (slot_count(s, SLOT_RUNNING) >= LAUNCH_RUNNING_MAX)
		return launcher_refuse(s, s->order.task, "too many stages run");
	err = pool_take(s, &t, reason, sizeof(reason));
	if (err < 0)
		return err == ERR_PEER ? err : launcher_refuse(s, s->order.task, reason);
	slot_begin(s, t, &s->order);
	err = cell_start(&s->kind, &t->cell, m, &t->limits, reason, sizeof(reason));
	if (err < 0) {
		slot_setup_failed(s, t, reason);
		cell_kill(&t->cell);
	}
	return 0;
}

static int on_kill(void *user, struct msg *m)
{
	struct launcher_server *s = user;
	struct slot *t = slot_of_task(s, rbuf_u64(&m->body));

	if (m->body.err < 0)
		return m->body.err;
	/* One that has just ended, unknown to the asker: its result is on its way. */
	if (t && t->state == SLOT_RUNNING && t->kill == LAUNCH_EXITED)
		slot_kill(s, t, LAUNCH_KILLED);
	return 0;
}

static int on_freeze(void *user, struct msg *m)
{
	struct launcher_server *s = user;
	struct slot *t = slot_of_task(s, rbuf_u64(&m->body));
	unsigned frozen = rbuf_u8(&m->body);

	if (m->body.err < 0)
		return m->body.err;
	/* The supervisor was told whether this machine can. */
	if (frozen > 1 || !s->can_freeze)
		return ERR_FORMAT;
	if (t && t->state == SLOT_RUNNING && t->kill == LAUNCH_EXITED)
		slot_freeze(s, t, frozen);
	return 0;
}

static int send_ready(struct launcher_server *s)
{
	msg_begin(&s->out, LAUNCH_MSG_READY);
	wbuf_u8(&s->out.out, s->can_freeze);
	return msg_send(s->sock, &s->out);
}

#define STATE_OPEN 1u

static const struct msg_handler handlers[] = {
	{LAUNCH_MSG_START, STATE_OPEN, on_start, "start"},
	{LAUNCH_MSG_KILL, STATE_OPEN, on_kill, "kill"},
	{LAUNCH_MSG_FREEZE, STATE_OPEN, on_freeze, "freeze"},
};

/* ---- The loop ------------------------------------------------------------------------------------------ */

static void end_all(struct launcher_server *s)
{
	s->ending = true;
	s->sock_full = false;
	for (size_t i = 0; i < CELLS_MAX; i++) {
		struct slot *t = &s->slot[i];

		if (t->cell_lives) {
			slot_kill(s, t, LAUNCH_KILLED);
		} else {
			slot_tell(s, t);
		}
	}
}

static void drop_supervisor(struct launcher_server *s, const char *why)
{
	if (slot_find(s, SLOT_RUNNING))
		log_info("%s: killing what runs, and ending", why);
	launcher_watch(s, s->sock, 0, EVENT_SUPERVISOR, 0, EPOLL_CTL_DEL);
	end_all(s);
}

static void on_supervisor(struct launcher_server *s, uint32_t events)
{
	int err;

	if (s->ending)
		return;
	if ((events & EPOLLOUT) && s->sock_full) {
		s->sock_full = false;
		launcher_watch_supervisor(s);
		for (size_t i = 0; i < CELLS_MAX; i++) {
			if (s->slot[i].state == SLOT_ENDED)
				slot_tell(s, &s->slot[i]);
		}
	}
	if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		return;
	err = msg_recv(s->sock, &s->msg);
	if (err == -EAGAIN)
		return;
	if (err == 0) {
		drop_supervisor(s, "the supervisor is gone");
		return;
	}
	if (err > 0) {
		err = msg_dispatch(handlers, ARRAY_LEN(handlers), STATE_OPEN, s, &s->msg);
		msg_finish(&s->msg);
	}
	if (err < 0) {
		log_error("a message of the supervisor (type %u): %s", s->msg.type, err_text(err));
		drop_supervisor(s, "the supervisor does not keep to the protocol");
	}
}

/* Kills what is over its time; milliseconds until the next thing to do by the clock, -1 for never. */
static int on_clock(struct launcher_server *s)
{
	struct mono_time now = clock_mono();
	int64_t next_ns = pool_refill(s, now);

	for (size_t i = 0; i < CELLS_MAX; i++) {
		struct slot *t = &s->slot[i];
		int64_t left_ns;

		if (t->state != SLOT_RUNNING || t->kill != LAUNCH_EXITED)
			continue;
		left_ns = slot_left_ns(t, now);
		if (left_ns <= 0)
			slot_kill(s, t, LAUNCH_LIMIT_TIME);
		else if (left_ns < next_ns)
			next_ns = left_ns;
	}
	if (next_ns == INT64_MAX)
		return -1;
	next_ns = (next_ns + NS_PER_MS - 1) / NS_PER_MS;
	return next_ns > INT32_MAX ? INT32_MAX : (int)next_ns;
}

static void on_maker(struct launcher_server *s)
{
	if (pool_on_maker(s) < 0) {
		launcher_watch(s, s->maker.sock, 0, EVENT_MAKER, 0, EPOLL_CTL_DEL);
		if (!s->ending)
			drop_supervisor(s, "the maker of cells is gone");
	} else if (s->ending) {
		end_all(s);
	}
}

static void on_event(struct launcher_server *s, const struct epoll_event *e)
{
	struct slot *t = &s->slot[(uint32_t)e->data.u64];
	struct signalfd_siginfo info;

	switch ((enum event_kind)(e->data.u64 >> 32)) {
	case EVENT_MAKER:
		on_maker(s);
		break;
	case EVENT_SUPERVISOR:
		on_supervisor(s, e->events);
		break;
	case EVENT_SIGNAL:
		if (read(s->signals, &info, sizeof(info)) == sizeof(info) && !s->ending)
			drop_supervisor(s, "SIGTERM");
		break;
	case EVENT_CELL_SOCKET:
		if (t->cell_lives)
			slot_on_socket(s, t);
		break;
	case EVENT_CELL_END:
		if (t->cell_lives)
			slot_on_end(s, t);
		break;
	}
}

static bool any_cell_lives(const struct launcher_server *s)
{
	for (size_t i = 0; i < CELLS_MAX; i++) {
		if (s->slot[i].cell_lives)
			return true;
	}
	return false;
}

int launcher_server_run(struct launcher_server *s)
{
	while (!s->ending || any_cell_lives(s) || slot_find(s, SLOT_MAKING)) {
		struct epoll_event event;
		int n = epoll_wait(s->epoll, &event, 1, on_clock(s));

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 1)
			on_event(s, &event);
	}
	return 0;
}

static int open_events(struct launcher_server *s)
{
	sigset_t set;

	s->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (s->epoll < 0)
		return -errno;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	s->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (s->signals < 0)
		return -errno;
	if (fcntl(s->sock, F_SETFL, O_NONBLOCK) < 0 || fcntl(s->sock, F_SETFD, FD_CLOEXEC) < 0)
		return -errno;
	launcher_watch(s, s->sock, EPOLLIN, EVENT_SUPERVISOR, 0, EPOLL_CTL_ADD);
	launcher_watch(s, s->signals, EPOLLIN, EVENT_SIGNAL, 0, EPOLL_CTL_ADD);
	return 0;
}

int launcher_server_create(int sock, struct launcher_server **ret_server, char *ret_reason, size_t cap)
{
	struct launcher_server *s = calloc(1, sizeof(*s));
	size_t n_filter = 0;
	int err;

	if (!s) {
		snprintf(ret_reason, cap, "out of memory");
		return -ENOMEM;
	}
	s->sock = sock;
	s->epoll = s->signals = -1;
	s->counts_io = access("/proc/self/io", F_OK) == 0;
	err = open_events(s);
	if (err < 0)
		snprintf(ret_reason, cap, "%s", err_text(err));
	if (err == 0) {
		err = stage_filter_make(s->filter, &n_filter);
		if (err < 0)
			snprintf(ret_reason, cap, "the table of system calls is too long");
	}
	if (err == 0) {
		err = cgroups_open(&s->groups, ret_reason, cap);
		s->groups_open = err == 0;
	}
	if (err == 0) {
		s->kind = (struct cell_kind){
			.groups = &s->groups,
			.filter = {.len = (unsigned short)n_filter, .filter = s->filter},
		};
		err = pool_start(s);
		if (err < 0)
			snprintf(ret_reason, cap, "the maker of cells: %s", err_text(err));
	}
	if (err == 0)
		err = pool_make_first(s, ret_reason, cap);
	if (err == 0) {
		err = send_ready(s);
		if (err < 0) {
			snprintf(ret_reason, cap, "the supervisor's socket: %s", err_text(err));
			/* The cells that stand ready are in the way of removing our groups. */
			end_all(s);
			(void)!launcher_server_run(s);
		}
	}
	if (err < 0) {
		launcher_server_destroy(s);
		return err;
	}
	*ret_server = s;
	return 0;
}

void launcher_server_destroy(struct launcher_server *s)
{
	if (!s)
		return;
	if (s->maker_lives)
		maker_stop(&s->maker);
	if (s->groups_open)
		cgroups_close(&s->groups);
	if (s->signals >= 0)
		close(s->signals);
	if (s->epoll >= 0)
		close(s->epoll);
	close(s->sock);
	free(s);
}
