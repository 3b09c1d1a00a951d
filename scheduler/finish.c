/* SPDX-License-Identifier: Apache-2.0 */
/* The end of an attempt: for good, or for another one. */
#include <errno.h>
#include <sodium.h>
#include <string.h>

#include "queue.h"

#define BACKOFF_DOUBLINGS_MAX 16
#define MACHINE_TRIES 8 /* further attempts after failures of the machine: some minutes */

const char *task_class_name(enum task_class class)
{
	static const char *const names[CLASS_MAX] = {
		"temporary", "failed", "timeout", "memory", "output", "machine", "broken"};

	return (unsigned)class < CLASS_MAX ? names[class] : "unknown";
}

static int end_task(struct scheduler *s, const struct task *t, size_t lane, enum task_state from,
	enum task_state state, const struct task_end *end)
{
	int r = store_exec(s->store,
		"UPDATE task SET state = ?, ended_ns = ?, reason = ?, wall_ns = ?, cpu_ns = ?,"
		" memory_peak_bytes = ? WHERE id = ?",
		"iitiiii", (int64_t)state, clock_utc().ns, end->reason[0] ? end->reason : NULL, end->wall_ns,
		end->cpu_ns, (int64_t)end->memory_peak_bytes, t->id);

	if (r < 0)
		return r;
	r = order_forget_task(s, t->id);
	if (r < 0)
		return r;
	count_move(s, lane, from, state);
	lane_forget(s, lane);
	s->owner.on_ended(s->owner.user, t, state, end);
	return 0;
}

int end_ready(struct scheduler *s, const struct candidate *c, enum task_state state, const char *reason)
{
	struct task_end end = {.class = CLASS_BROKEN};
	int r = store_change(s->store);

	snprintf(end.reason, sizeof(end.reason), "%s", reason);
	return r < 0 ? r : end_task(s, &c->task, c->lane, TASK_READY, state, &end);
}

int reason_of(struct scheduler *s, int64_t task, char ret_reason[TASK_REASON_BYTES])
{
	sqlite3_stmt *q =
		store_query(s->store, "SELECT coalesce(reason, '') FROM task WHERE id = ?", "i", task);

	if (!q || sqlite3_step(q) != SQLITE_ROW)
		return ERR_STORE;
	snprintf(ret_reason, TASK_REASON_BYTES, "%s", (const char *)sqlite3_column_text(q, 0));
	sqlite3_reset(q);
	return 0;
}

/* ---- another attempt ---- */

struct tries {
	int64_t limit, on, backoff_ns, max_backoff_ns;
	double jitter;
	int64_t failed, machine_failed, suspected;
};

static int tries_of(struct scheduler *s, int64_t task, struct tries *ret)
{
	sqlite3_stmt *q = store_query(s->store,
		"SELECT retry_limit, retry_on, backoff_ns, max_backoff_ns, jitter, tries_failed,"
		" machine_failed, suspected FROM task WHERE id = ?",
		"i", task);

	if (!q || sqlite3_step(q) != SQLITE_ROW)
		return ERR_STORE;
	*ret = (struct tries){
		.limit = sqlite3_column_int64(q, 0),
		.on = sqlite3_column_int64(q, 1),
		.backoff_ns = sqlite3_column_int64(q, 2),
		.max_backoff_ns = sqlite3_column_int64(q, 3),
		.jitter = sqlite3_column_double(q, 4),
		.failed = sqlite3_column_int64(q, 5),
		.machine_failed = sqlite3_column_int64(q, 6),
		.suspected = sqlite3_column_int64(q, 7),
	};
	sqlite3_reset(q);
	return 0;
}

void scheduler_seed(struct scheduler *s, uint64_t seed)
{
	s->random = seed;
}

/* 0 <= x < 1 (splitmix64). */
static double random_fraction(struct scheduler *s)
{
	uint64_t z = s->random += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return (double)((z ^ (z >> 31)) >> 11) / 9007199254740992.0;
}

/* Doubles with each failure up to the longest; what fails together is taken apart by the jitter. */
static int64_t backoff_for(struct scheduler *s, const struct tries *t, int64_t failed)
{
	int64_t doublings = failed - 1 < BACKOFF_DOUBLINGS_MAX ? failed - 1 : BACKOFF_DOUBLINGS_MAX;
	int64_t longest = t->max_backoff_ns > 0 ? t->max_backoff_ns : INT64_MAX / 4;
	int64_t wait_ns = t->backoff_ns > longest >> doublings ? longest : t->backoff_ns << doublings;

	if (t->jitter > 0)
		wait_ns -= (int64_t)((double)wait_ns * t->jitter * random_fraction(s));
	return wait_ns > 0 ? wait_ns : 0;
}

/* Whether there is another attempt, and after which wait; counts this one. Failures of the machine are
 * counted apart, so that a full disk does not use up what the workflow grants its stage. */
static bool tries_left(struct scheduler *s, struct tries *t, const struct task_end *end, int64_t *ret_wait_ns)
{
	static const struct tries of_machine = {.backoff_ns = NS_PER_S};

	*ret_wait_ns = 0;
	if (end->broke)
		return ++t->suspected < s->rules.poison || !s->rules.poison;
	if (end->class == CLASS_MACHINE) {
		*ret_wait_ns = backoff_for(s, &of_machine, ++t->machine_failed);
		return t->machine_failed <= MACHINE_TRIES;
	}
	*ret_wait_ns = backoff_for(s, t, ++t->failed);
	return t->failed <= t->limit && (t->on & (INT64_C(1) << end->class));
}

/* Puts it back for another try. */
static int again(struct scheduler *s, const struct running *run, const char *outcome,
	const struct task_end *end, const struct tries *t, int64_t wait_ns)
{
	struct utc_time not_before = {wait_ns > 0 ? clock_utc().ns + wait_ns : 0};
	int r = attempt_record(s, run->task.id, outcome, end);

	if (r == 0)
		r = store_exec(s->store,
			"UPDATE task SET state = 0, tries_failed = ?, machine_failed = ?, suspected = ?,"
			" not_before_ns = ?, blocked = ?, reason = ? WHERE id = ?",
			"iiiiiti", t->failed, t->machine_failed, t->suspected, not_before.ns,
			(int64_t)(not_before.ns ? BLOCK_BACKOFF : 0), end->reason, run->task.id);
	if (r < 0)
		return r;
	if (not_before.ns && not_before.ns < s->backoff_at_ns)
		s->backoff_at_ns = not_before.ns;
	count_move(s, run->lane, TASK_RUNNING, TASK_READY);
	lane_forget(s, run->lane);
	s->due_at_ns = 0;                 /* its deadline counts again */
	r = order_apply(s, run->task.id); /* orders came while it ran */
	if (r < 0)
		return r;
	if (s->owner.on_again)
		s->owner.on_again(s->owner.user, &run->task, not_before, end->reason);
	return 0;
}

/* It was stopped for another one: that is no failure of its own. */
static int put_back(
	struct scheduler *s, const struct running *run, const struct task_end *end, const struct tries *t)
{
	struct task_end stopped = *end;

	snprintf(stopped.reason, sizeof(stopped.reason),
		"it was stopped for task %lld, which is more important", (long long)run->gave_way);
	return again(s, run, "preempted", &stopped, t, 0);
}

static int end_as_poison(
	struct scheduler *s, const struct running *run, const struct task_end *end, int64_t times)
{
	struct task_end last = *end;

	snprintf(last.reason, sizeof(last.reason),
		"its sandbox or the machine broke under it %lld times; it will not be tried again; at last: "
		"%.120s",
		(long long)times, end->reason);
	return end_task(s, &run->task, run->lane, TASK_RUNNING, TASK_POISON, &last);
}

/* The reason that was given stands in the task's row. */
static int end_as_cancelled(struct scheduler *s, const struct running *run, const struct task_end *end)
{
	struct task_end last = *end;
	int r = reason_of(s, run->task.id, last.reason);

	last.succeeded = false;
	last.class = CLASS_BROKEN;
	return r < 0 ? r : end_task(s, &run->task, run->lane, TASK_RUNNING, TASK_CANCELLED, &last);
}

/* Gives the budget of a running task back. False when it is not running. */
static bool return_budget(struct scheduler *s, int64_t id, struct running *ret)
{
	for (size_t i = 0; i < s->n_running; i++) {
		if (s->running[i].task.id != id)
			continue;
		*ret = s->running[i];
		s->running[i] = s->running[--s->n_running];
		load_take(&s->used, &ret->held);
		s->reserved_mj -= ret->energy_mj;
		s->dirty = true;
		return true;
	}
	return false;
}

static int end_or_again(struct scheduler *s, const struct running *run, const struct task_end *end)
{
	struct tries t;
	int64_t wait_ns;
	int r = store_change(s->store);

	if (r == 0)
		r = usage_charge(s, run->lane, end->cpu_ns);
	if (r == 0 && run->cancelled)
		return end_as_cancelled(s, run, end);
	if (r == 0 && end->succeeded)
		return end_task(s, &run->task, run->lane, TASK_RUNNING, TASK_DONE, end);
	if (r == 0)
		r = tries_of(s, run->task.id, &t);
	if (r < 0)
		return r;
	if (run->stopping && end->class == CLASS_BROKEN && !end->broke)
		return put_back(s, run, end, &t);
	if (tries_left(s, &t, end, &wait_ns))
		return again(s, run, end->broke ? "broke" : task_class_name(end->class), end, &t, wait_ns);
	if (end->broke)
		return end_as_poison(s, run, end, t.suspected);
	return end_task(s, &run->task, run->lane, TASK_RUNNING, TASK_FAILED, end);
}

int scheduler_finish(struct scheduler *s, int64_t task, const struct task_end *end)
{
	struct running run;

	if (!return_budget(s, task, &run))
		return ERR_STATE;
	int r = end_or_again(s, &run, end);
	if (r < 0)
		store_fail(s->store); /* its row says that it runs, and nobody has it: never commit that */
	return r;
}
