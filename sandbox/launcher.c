/* SPDX-License-Identifier: Apache-2.0 */
#include "launcher.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "cell.h"
#include "core/clock.h"
#include "core/log.h"
#include "launch-wire.h"
#include "maker.h"
#include "stage-syscalls.h"

#define CELLS_MAX (LAUNCH_RUNNING_MAX + POOL_CELLS)
#define POOL_CELLS 2
#define FIRST_WAIT_MS 10000
#define REFILL_AFTER_MS 5 /* of quiet: making a cell must not delay a start or an end */

enum slot_state {
	SLOT_FREE,
	SLOT_MAKING,   /* the maker is at it */
	SLOT_PREPARED, /* in the pool */
	SLOT_RUNNING,
	SLOT_ENDED, /* its result is known; init may still be ending */
	SLOT_STATE_MAX,
};

struct slot {
	enum slot_state state;
	struct cell cell;
	bool cell_lives;      /* init has not been reaped */
	bool told;            /* the result was sent */
	enum launch_end kill; /* why we killed it, or LAUNCH_EXITED when we did not */
	struct launch_limits limits;
	struct mono_time started;
	uint64_t cpu_ns_before; /* used in preparing */
	struct launch_result result;
};

enum event_kind { EVENT_SUPERVISOR, EVENT_MAKER, EVENT_SIGNAL, EVENT_CELL_SOCKET, EVENT_CELL_END };

struct launcher_server {
	int sock, epoll, signals;
	bool ending;           /* the supervisor is gone: no more requests */
	bool sock_full;        /* waiting until results can be sent */
	bool pool_failed;      /* preparing ahead failed: not tried again before the next start */
	struct mono_time busy; /* last start or end */
	struct cgroups groups;
	bool groups_open;
	struct cell_kind kind;
	struct maker maker;
	bool maker_lives;
	struct sock_filter filter[STAGE_FILTER_MAX];
	struct slot slot[CELLS_MAX];
	struct msg msg; /* the one being received */
	struct msg out; /* the one being sent */
	struct launch_order order;
};

static void watch(
	struct launcher_server *s, int fd, uint32_t events, enum event_kind kind, size_t number, int op)
{
	struct epoll_event e = {.events = events, .data.u64 = (uint64_t)kind << 32 | number};

	if (epoll_ctl(s->epoll, op, fd, &e) < 0)
		log_error("epoll_ctl: %s", err_text(-errno));
}

static void watch_supervisor(struct launcher_server *s)
{
	uint32_t events = EPOLLIN | (s->sock_full ? EPOLLOUT : 0);

	watch(s, s->sock, events, EVENT_SUPERVISOR, 0, EPOLL_CTL_MOD);
}

/* ---- Ends ---------------------------------------------------------------------------------------------- */

static void free_slot(struct slot *t)
{
	if (t->state == SLOT_ENDED && t->told && !t->cell_lives)
		t->state = SLOT_FREE;
}

static void tell(struct launcher_server *s, struct slot *t)
{
	int err;

	if (t->told || s->sock_full)
		return;
	if (s->ending) {
		t->told = true;
		free_slot(t);
		return;
	}
	msg_begin(&s->out, LAUNCH_MSG_RESULT);
	launch_result_write(&s->out.out, &t->result);
	err = msg_send(s->sock, &s->out);
	if (err == -EAGAIN) {
		s->sock_full = true;
		watch_supervisor(s);
		return;
	}
	if (err < 0)
		log_warning("task %" PRIu64 ": its result cannot be sent: %s", t->result.task, err_text(err));
	t->told = true;
	free_slot(t);
}

static void explain_size(char *ret_text, size_t cap, uint64_t bytes)
{
	if (bytes % (1u << 20) == 0)
		snprintf(ret_text, cap, "%" PRIu64 " MiB", bytes >> 20);
	else if (bytes % 1024 == 0)
		snprintf(ret_text, cap, "%" PRIu64 " KiB", bytes >> 10);
	else
		snprintf(ret_text, cap, "%" PRIu64 " bytes", bytes);
}

/* Fills `how`, `code` and `reason` from how the stage's process ended and what its groups say. */
static void judge(struct slot *t, int status, const struct cgroup_usage *usage)
{
	struct launch_result *r = &t->result;
	bool signalled = WIFSIGNALED(status);
	bool failed = signalled || WEXITSTATUS(status) != 0;
	char size[32];

	r->code = signalled ? WTERMSIG(status) : WEXITSTATUS(status);
	if (failed && usage->oom_kills > 0) {
		r->how = LAUNCH_LIMIT_MEMORY;
		explain_size(size, sizeof(size), t->limits.memory_bytes);
		snprintf(r->reason, sizeof(r->reason), "killed: it used more than its %s of memory", size);
	} else if (signalled && r->code == SIGXFSZ) {
		r->how = LAUNCH_LIMIT_OUTPUT;
		explain_size(size, sizeof(size), t->limits.file_bytes);
		snprintf(r->reason, sizeof(r->reason), "killed: it wrote a file of more than %s", size);
	} else if (failed && usage->pids_hits > 0) {
		r->how = LAUNCH_LIMIT_PIDS;
		snprintf(r->reason, sizeof(r->reason),
			"%s %d after it was refused more than its %u processes",
			signalled ? "ended by signal" : "exited with", r->code, t->limits.pids);
	} else if (signalled) {
		r->how = LAUNCH_SIGNALLED;
		snprintf(
			r->reason, sizeof(r->reason), "ended by signal %d (%s)", r->code, strsignal(r->code));
	} else {
		r->how = LAUNCH_EXITED;
		snprintf(r->reason, sizeof(r->reason), "exited with %d", r->code);
	}
}

static void judge_kill(struct slot *t)
{
	struct launch_result *r = &t->result;

	r->how = t->kill;
	r->code = SIGKILL;
	if (t->kill == LAUNCH_LIMIT_TIME)
		snprintf(r->reason, sizeof(r->reason), "killed: it ran for more than its %.3f s",
			(double)t->limits.wall_ns / (double)NS_PER_S);
	else
		snprintf(r->reason, sizeof(r->reason), "killed on request");
}

/* The stage has ended and none of its processes lives. */
static void end_slot(struct launcher_server *s, struct slot *t, bool judged, int status)
{
	struct cgroup_usage usage = {0};

	cgroup_usage(&s->groups, &t->cell.group, &usage);
	t->result.wall_ns = (uint64_t)(clock_mono().ns - t->started.ns);
	t->result.cpu_ns = usage.cpu_ns > t->cpu_ns_before ? usage.cpu_ns - t->cpu_ns_before : 0;
	t->result.peak_memory_bytes = usage.peak_memory_bytes;
	if (!judged)
		judge(t, status, &usage);
	t->state = SLOT_ENDED;
	s->busy = clock_mono();
	tell(s, t);
}

static void fail_setup(struct slot *t, const char *reason)
{
	t->result.how = LAUNCH_SETUP_FAILED;
	t->result.code = 0;
	snprintf(t->result.reason, sizeof(t->result.reason), "the sandbox could not be made: %.220s", reason);
}

/* One word from a cell. Returns false when there is none. */
static bool hear(struct launcher_server *s, struct slot *t)
{
	char word[CELL_WORD_BYTES + 1];
	ssize_t n = recv(t->cell.sock, word, sizeof(word) - 1, MSG_DONTWAIT);
	int status;

	if (n <= 0)
		return false;
	word[n] = '\0';
	if (word[0] == CELL_FAILED && t->state == SLOT_RUNNING) {
		fail_setup(t, word + 1);
		end_slot(s, t, true, 0);
	} else if (word[0] == CELL_FAILED) {
		log_error("cell %u: cannot prepare: %s", t->cell.number, word + 1);
		s->pool_failed = true;
		cell_kill(&t->cell);
	} else if (word[0] == CELL_ENDED && n == 1 + sizeof(status) && t->state == SLOT_RUNNING) {
		memcpy(&status, word + 1, sizeof(status));
		end_slot(s, t, false, status);
	}
	return true;
}

static void on_cell_end(struct launcher_server *s, struct slot *t)
{
	while (hear(s, t))
		;
	if (t->state == SLOT_RUNNING) {
		if (t->kill != LAUNCH_EXITED)
			judge_kill(t);
		else
			fail_setup(t, "its init ended");
		end_slot(s, t, true, 0);
	}
	cell_finish(&s->kind, &t->cell);
	t->cell_lives = false;
	if (t->state == SLOT_PREPARED)
		t->state = SLOT_FREE;
	free_slot(t);
}

static void on_cell_socket(struct launcher_server *s, struct slot *t)
{
	/* At the end of its stream it would be readable for ever; what follows is seen on the pidfd. */
	if (!hear(s, t))
		watch(s, t->cell.sock, 0, EVENT_CELL_SOCKET, t->cell.number, EPOLL_CTL_DEL);
}

/* ---- Starts -------------------------------------------------------------------------------------------- */

static struct slot *find_state(struct launcher_server *s, enum slot_state state)
{
	for (size_t i = 0; i < CELLS_MAX; i++) {
		if (s->slot[i].state == state && (state != SLOT_FREE || !s->slot[i].cell_lives))
			return &s->slot[i];
	}
	return NULL;
}

static size_t count_state(const struct launcher_server *s, enum slot_state state)
{
	size_t n = 0;

	for (size_t i = 0; i < CELLS_MAX; i++)
		n += s->slot[i].state == state;
	return n;
}

/* Has the maker make a cell, unless it is at one already. */
static int ask_maker(struct launcher_server *s)
{
	struct slot *t = find_state(s, SLOT_MAKING);
	int err;

	if (t)
		return 0;
	t = find_state(s, SLOT_FREE);
	if (!t)
		return ERR_LIMIT;
	err = maker_ask(&s->maker, (unsigned)(t - s->slot));
	if (err < 0)
		return err;
	t->state = SLOT_MAKING;
	return 0;
}

/* Takes the cell that the maker is at, waiting for it. */
static int take_made(struct launcher_server *s, struct slot **ret_slot, char *ret_reason, size_t cap)
{
	struct slot *t = find_state(s, SLOT_MAKING);
	unsigned number;
	int err;

	if (!t)
		return ERR_STATE;
	number = (unsigned)(t - s->slot);
	err = maker_answer(&s->maker, &s->kind, number, &t->cell, ret_reason, cap);
	if (err < 0) {
		t->state = SLOT_FREE;
		return err;
	}
	t->state = SLOT_PREPARED;
	t->cell_lives = true;
	watch(s, t->cell.sock, EPOLLIN, EVENT_CELL_SOCKET, number, EPOLL_CTL_ADD);
	watch(s, t->cell.pidfd, EPOLLIN, EVENT_CELL_END, number, EPOLL_CTL_ADD);
	if (ret_slot)
		*ret_slot = t;
	return 0;
}

static struct slot *find_task(struct launcher_server *s, uint64_t task)
{
	for (size_t i = 0; i < CELLS_MAX; i++) {
		struct slot *t = &s->slot[i];

		if ((t->state == SLOT_RUNNING || (t->state == SLOT_ENDED && !t->told)) &&
			t->result.task == task)
			return t;
	}
	return NULL;
}

/* A request that cannot become a running cell is still answered once. */
static int refuse(struct launcher_server *s, uint64_t task, const char *reason)
{
	struct slot t = {.state = SLOT_ENDED, .result.task = task};

	fail_setup(&t, reason);
	msg_begin(&s->out, LAUNCH_MSG_RESULT);
	launch_result_write(&s->out.out, &t.result);
	return msg_send(s->sock, &s->out);
}

static int on_start(void *user, struct msg *m)
{
	struct launcher_server *s = user;
	char reason[LAUNCH_REASON_BYTES] = "";
	struct mono_time now = clock_mono();
	struct slot *t;
	int err;

	if (m->n_fds != LAUNCH_ORDER_FDS)
		return ERR_FORMAT;
	err = launch_order_read(&m->body, &s->order);
	if (err < 0)
		return err;
	if (find_task(s, s->order.task))
		return ERR_STATE;
	s->busy = now;
	s->pool_failed = false;
	if (count_state(s, SLOT_RUNNING) >= LAUNCH_RUNNING_MAX)
		return refuse(s, s->order.task, "too many stages run");
	t = find_state(s, SLOT_PREPARED);
	if (!t) {
		err = ask_maker(s);
		if (err == 0)
			err = take_made(s, &t, reason, sizeof(reason));
		if (err == ERR_PEER)
			return err;
		if (err < 0)
			return refuse(s, s->order.task, reason[0] ? reason : err_text(err));
	}
	t->state = SLOT_RUNNING;
	t->told = false;
	t->kill = LAUNCH_EXITED;
	t->limits = s->order.limits;
	t->started = now;
	t->result = (struct launch_result){.task = s->order.task};
	t->cpu_ns_before = cgroup_cpu_ns(&s->groups, &t->cell.group);
	err = cell_start(&s->kind, &t->cell, m, &t->limits, reason, sizeof(reason));
	if (err < 0) {
		fail_setup(t, reason);
		end_slot(s, t, true, 0);
		cell_kill(&t->cell);
	}
	return 0;
}

static int on_kill(void *user, struct msg *m)
{
	struct launcher_server *s = user;
	struct slot *t = find_task(s, rbuf_u64(&m->body));

	if (m->body.err < 0)
		return m->body.err;
	/* One that has just ended, unknown to the asker: its result is on its way. */
	if (t && t->state == SLOT_RUNNING && t->kill == LAUNCH_EXITED) {
		t->kill = LAUNCH_KILLED;
		cell_kill(&t->cell);
	}
	return 0;
}

static int send_ready(struct launcher_server *s)
{
	msg_begin(&s->out, LAUNCH_MSG_READY);
	return msg_send(s->sock, &s->out);
}

static int on_ping(void *user, struct msg *m)
{
	return send_ready(user);
}

#define STATE_OPEN 1u

static const struct msg_handler handlers[] = {
	{LAUNCH_MSG_START, STATE_OPEN, on_start, "start"},
	{LAUNCH_MSG_KILL, STATE_OPEN, on_kill, "kill"},
	{LAUNCH_MSG_PING, STATE_OPEN, on_ping, "ping"},
};

/* ---- The loop ------------------------------------------------------------------------------------------ */

static void end_all(struct launcher_server *s)
{
	s->ending = true;
	s->sock_full = false;
	for (size_t i = 0; i < CELLS_MAX; i++) {
		struct slot *t = &s->slot[i];

		if (t->cell_lives) {
			if (t->state == SLOT_RUNNING && t->kill == LAUNCH_EXITED)
				t->kill = LAUNCH_KILLED;
			cell_kill(&t->cell);
		} else {
			tell(s, t);
		}
	}
}

static void drop_supervisor(struct launcher_server *s, const char *why)
{
	if (find_state(s, SLOT_RUNNING))
		log_info("%s: killing what runs, and ending", why);
	watch(s, s->sock, 0, EVENT_SUPERVISOR, 0, EPOLL_CTL_DEL);
	end_all(s);
}

static void on_supervisor(struct launcher_server *s, uint32_t events)
{
	int err;

	if (s->ending)
		return;
	if ((events & EPOLLOUT) && s->sock_full) {
		s->sock_full = false;
		watch_supervisor(s);
		for (size_t i = 0; i < CELLS_MAX; i++) {
			if (s->slot[i].state == SLOT_ENDED)
				tell(s, &s->slot[i]);
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

static bool wants_cell(struct launcher_server *s)
{
	return !s->ending && !s->pool_failed && !find_state(s, SLOT_MAKING) &&
	       count_state(s, SLOT_PREPARED) < POOL_CELLS;
}

/* Kills what is over its time; milliseconds until the next thing to do by the clock, -1 for never. */
static int on_clock(struct launcher_server *s)
{
	struct mono_time now = clock_mono();
	int64_t next_ns = INT64_MAX;

	for (size_t i = 0; i < CELLS_MAX; i++) {
		struct slot *t = &s->slot[i];
		int64_t left_ns;

		if (t->state != SLOT_RUNNING || t->kill != LAUNCH_EXITED)
			continue;
		left_ns = t->started.ns + t->limits.wall_ns - now.ns;
		if (left_ns <= 0) {
			t->kill = LAUNCH_LIMIT_TIME;
			cell_kill(&t->cell);
		} else if (left_ns < next_ns) {
			next_ns = left_ns;
		}
	}
	if (wants_cell(s)) {
		/* At once when there is none, otherwise when it is quiet: two cores are soon busy. */
		int64_t left_ns =
			find_state(s, SLOT_PREPARED) ? s->busy.ns + REFILL_AFTER_MS * NS_PER_MS - now.ns : 0;

		if (left_ns <= 0)
			s->pool_failed = ask_maker(s) < 0;
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
	char reason[LAUNCH_REASON_BYTES] = "";
	int err = take_made(s, NULL, reason, sizeof(reason));

	if (err == ERR_SANDBOX) {
		log_error("cannot prepare a cell: %s", reason);
		s->pool_failed = true;
	} else if (err < 0) {
		watch(s, s->maker.sock, 0, EVENT_MAKER, 0, EPOLL_CTL_DEL);
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
			on_cell_socket(s, t);
		break;
	case EVENT_CELL_END:
		if (t->cell_lives)
			on_cell_end(s, t);
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
	while (!s->ending || any_cell_lives(s) || find_state(s, SLOT_MAKING)) {
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
	watch(s, s->sock, EPOLLIN, EVENT_SUPERVISOR, 0, EPOLL_CTL_ADD);
	watch(s, s->signals, EPOLLIN, EVENT_SIGNAL, 0, EPOLL_CTL_ADD);
	return 0;
}

static int start_maker(struct launcher_server *s)
{
	int ours[] = {s->sock, s->epoll, s->signals};
	int err = maker_start(&s->kind, ours, ARRAY_LEN(ours), &s->maker);

	if (err < 0)
		return err;
	s->maker_lives = true;
	watch(s, s->maker.sock, EPOLLIN, EVENT_MAKER, 0, EPOLL_CTL_ADD);
	return 0;
}

/* The first cell, waited for: where no sandbox can be made, that is said at the start and not at every stage.
 */
static int make_first(struct launcher_server *s, char *ret_reason, size_t cap)
{
	char word[CELL_WORD_BYTES + 1] = "";
	struct pollfd p = {.events = POLLIN};
	struct slot *t = NULL;
	ssize_t n;
	int err = ask_maker(s);

	if (err == 0)
		err = take_made(s, &t, ret_reason, cap);
	if (err < 0) {
		if (!ret_reason[0])
			snprintf(ret_reason, cap, "the maker of cells: %s", err_text(err));
		return err;
	}
	p.fd = t->cell.sock;
	(void)poll(&p, 1, FIRST_WAIT_MS);
	n = recv(t->cell.sock, word, sizeof(word) - 1, MSG_DONTWAIT);
	if (n > 0 && word[0] == CELL_READY)
		return 0;
	snprintf(ret_reason, cap, "no sandbox can be made here: %s",
		n > 0 && word[0] == CELL_FAILED ? word + 1 : "the first one ended while it was prepared");
	s->ending = true;
	cell_kill(&t->cell);
	cell_finish(&s->kind, &t->cell);
	return ERR_SANDBOX;
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
		err = start_maker(s);
		if (err < 0)
			snprintf(ret_reason, cap, "the maker of cells: %s", err_text(err));
	}
	if (err == 0)
		err = make_first(s, ret_reason, cap);
	if (err == 0) {
		err = send_ready(s);
		if (err < 0)
			snprintf(ret_reason, cap, "the supervisor's socket: %s", err_text(err));
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
