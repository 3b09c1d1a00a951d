/* SPDX-License-Identifier: Apache-2.0 */
/* How a stage ended, and telling it. */
#include "launcher-slots.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "core/log.h"

void slot_tell(struct launcher_server *s, struct slot *t)
{
	int err;

	if (t->told || s->sock_full)
		return;
	if (s->ending) {
		t->told = true;
		slot_release(t);
		return;
	}
	msg_begin(&s->out, LAUNCH_MSG_RESULT);
	launch_result_write(&s->out.out, &t->result);
	err = msg_send(s->sock, &s->out);
	if (err == -EAGAIN) {
		s->sock_full = true;
		launcher_watch_supervisor(s);
		return;
	}
	if (err < 0)
		log_warning("task %" PRIu64 ": its result cannot be sent: %s", t->result.task, err_text(err));
	t->told = true;
	slot_release(t);
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
	/* The monitor of a virtual machine ends like this when the guest says that the stage's memory is used up. */
	if (failed && (usage->oom_kills > 0 || (t->limits.guest_bytes && signalled && r->code == SIGKILL))) {
		r->how = LAUNCH_LIMIT_MEMORY;
		explain_size(size, sizeof(size),
			t->limits.guest_bytes ? t->limits.guest_bytes : t->limits.memory_bytes);
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

/* The stage has ended and none of its processes lives. `end` is what its init has said, NULL when it was
 * killed or judged already. */
static void end_slot(struct launcher_server *s, struct slot *t, const struct cell_end *end)
{
	struct launch_result *r = &t->result;
	struct cgroup_usage usage = {0};
	struct mono_time now = clock_mono();

	cgroup_usage(&s->groups, &t->cell.group, &usage);
	r->frozen_ns = (uint64_t)slot_frozen_ns(t, now);
	r->wall_ns = (uint64_t)(now.ns - t->started.ns) - r->frozen_ns;
	r->cpu_ns = usage.cpu_ns > t->cpu_ns_before ? usage.cpu_ns - t->cpu_ns_before : 0;
	r->peak_memory_bytes = usage.peak_memory_bytes;
	if (end) {
		r->io_known = s->counts_io;
		r->read_bytes = end->read_bytes;
		r->written_bytes = end->written_bytes;
		judge(t, end->status, &usage);
	}
	t->state = SLOT_ENDED;
	s->busy = now;
	slot_tell(s, t);
}

static void explain_setup(struct slot *t, const char *reason)
{
	t->result.how = LAUNCH_SETUP_FAILED;
	t->result.code = 0;
	snprintf(t->result.reason, sizeof(t->result.reason), "the sandbox could not be made: %.220s", reason);
}

void slot_setup_failed(struct launcher_server *s, struct slot *t, const char *reason)
{
	explain_setup(t, reason);
	end_slot(s, t, NULL);
}

int launcher_refuse(struct launcher_server *s, uint64_t task, const char *reason)
{
	struct slot t = {.state = SLOT_ENDED, .result.task = task};

	explain_setup(&t, reason);
	msg_begin(&s->out, LAUNCH_MSG_RESULT);
	launch_result_write(&s->out.out, &t.result);
	return msg_send(s->sock, &s->out);
}

/* One word from a cell. Returns false when there is none. */
static bool hear(struct launcher_server *s, struct slot *t)
{
	char word[CELL_WORD_BYTES + 1];
	ssize_t n = recv(t->cell.sock, word, sizeof(word) - 1, MSG_DONTWAIT);
	struct cell_end end;

	if (n <= 0)
		return false;
	word[n] = '\0';
	if (word[0] == CELL_FAILED && t->state == SLOT_RUNNING) {
		slot_setup_failed(s, t, word + 1);
	} else if (word[0] == CELL_FAILED) {
		log_error("cell %u: cannot prepare: %s", t->cell.number, word + 1);
		s->pool_failed = true;
		cell_kill(&t->cell);
	} else if (word[0] == CELL_ENDED && n == 1 + sizeof(end) && t->state == SLOT_RUNNING) {
		memcpy(&end, word + 1, sizeof(end));
		end_slot(s, t, &end);
	}
	return true;
}

void slot_on_end(struct launcher_server *s, struct slot *t)
{
	while (hear(s, t))
		;
	if (t->state == SLOT_RUNNING && t->kill != LAUNCH_EXITED) {
		judge_kill(t);
		end_slot(s, t, NULL);
	} else if (t->state == SLOT_RUNNING) {
		t->result.how = LAUNCH_BROKE;
		t->result.code = 0;
		snprintf(t->result.reason, sizeof(t->result.reason),
			"its sandbox broke under it: the first process in it ended");
		end_slot(s, t, NULL);
	}
	cell_finish(&s->kind, &t->cell);
	t->cell_lives = false;
	if (t->state == SLOT_PREPARED)
		t->state = SLOT_FREE;
	slot_release(t);
}

void slot_on_socket(struct launcher_server *s, struct slot *t)
{
	/* At the end of its stream it would be readable for ever; what follows is seen on the pidfd. */
	if (!hear(s, t))
		launcher_watch(s, t->cell.sock, 0, EVENT_CELL_SOCKET, t->cell.number, EPOLL_CTL_DEL);
}
