/* SPDX-License-Identifier: Apache-2.0 */
/* What operators command: hold, release, cancel, reprioritise. */
#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "core/log.h"
#include "queue.h"

struct words {
	char *text;
	size_t cap;
};

static int say(struct words w, int err, const char *fmt, ...) PRINTF(3, 4);
static int say(struct words w, int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(w.text, w.cap, fmt, ap);
	va_end(ap);
	return err;
}

/* What a target has. */
struct extent {
	int64_t waiting, running;
	size_t lane; /* QUEUE_TASK */
	int64_t run, blocked;
};

static int task_extent(struct scheduler *s, int64_t task, struct words w, struct extent *ret)
{
	sqlite3_stmt *q =
		store_query(s->store, "SELECT state, lane, run, blocked FROM task WHERE id = ?", "i", task);
	int rc = q ? sqlite3_step(q) : SQLITE_ERROR;
	int64_t state = TASK_READY;

	if (rc == SQLITE_ROW) {
		state = sqlite3_column_int64(q, 0);
		*ret = (struct extent){.waiting = state == TASK_READY,
			.running = state == TASK_RUNNING,
			.lane = lane_of_id(s, sqlite3_column_int64(q, 1)),
			.run = sqlite3_column_int64(q, 2),
			.blocked = sqlite3_column_int64(q, 3)};
	}
	if (q)
		sqlite3_reset(q);
	if (rc == SQLITE_DONE)
		return say(w, ERR_UNKNOWN, "the queue has no task %lld", (long long)task);
	if (rc != SQLITE_ROW || ret->lane >= s->n_lanes)
		return say(w, ERR_STORE, "%s", err_text(ERR_STORE));
	if (state > TASK_RUNNING)
		return say(w, ERR_STATE, "task %lld is over already: %s", (long long)task,
			task_state_name((enum task_state)state));
	return 0;
}

static int run_extent(struct scheduler *s, int64_t run, struct words w, struct extent *ret)
{
	sqlite3_stmt *q = store_query(
		s->store, "SELECT state, count(*) FROM task WHERE run = ? GROUP BY state", "i", run);
	int rc = SQLITE_ERROR;
	bool any = false;

	*ret = (struct extent){.run = run};
	while (q && (rc = sqlite3_step(q)) == SQLITE_ROW) {
		any = true;
		if (sqlite3_column_int64(q, 0) == TASK_READY)
			ret->waiting = sqlite3_column_int64(q, 1);
		if (sqlite3_column_int64(q, 0) == TASK_RUNNING)
			ret->running = sqlite3_column_int64(q, 1);
	}
	if (rc != SQLITE_DONE)
		return say(w, ERR_STORE, "%s", err_text(ERR_STORE));
	return any ? 0 : say(w, ERR_UNKNOWN, "the queue has no task of a run %lld", (long long)run);
}

static int extent_of(struct scheduler *s, const struct queue_target *t, struct words w, struct extent *ret)
{
	bool any = t->scope == QUEUE_ALL;

	if (t->scope == QUEUE_TASK)
		return task_extent(s, t->id, w, ret);
	if (t->scope == QUEUE_RUN)
		return run_extent(s, t->id, w, ret);
	*ret = (struct extent){0};
	for (size_t i = 0; i < s->n_lanes; i++) {
		if (!lane_within(s, &s->lanes[i], t->scope, t->name))
			continue;
		any = true;
		ret->waiting += (int64_t)s->lanes[i].waiting;
		ret->running += s->lanes[i].running;
	}
	if (any)
		return 0;
	return say(w, ERR_UNKNOWN, "there is no %s called %s",
		t->scope == QUEUE_WORKFLOW ? "workflow" : "payload", t->name);
}

/* ---- orders within others ---- */

static bool lane_of_run(struct scheduler *s, int64_t run, size_t *ret_lane)
{
	sqlite3_stmt *q = store_query(s->store, "SELECT lane FROM task WHERE run = ? LIMIT 1", "i", run);

	*ret_lane =
		q && sqlite3_step(q) == SQLITE_ROW ? lane_of_id(s, sqlite3_column_int64(q, 0)) : s->n_lanes;
	if (q)
		sqlite3_reset(q);
	return *ret_lane < s->n_lanes;
}

static bool order_within(struct scheduler *s, const struct order *o, const struct queue_target *t)
{
	struct words none = {.cap = 0};
	struct extent e = {.lane = s->n_lanes};
	size_t lane;

	if (o->scope >= t->scope)
		return false;
	if (t->scope == QUEUE_ALL)
		return true;
	if (o->scope == QUEUE_WORKFLOW) {
		for (lane = 0; lane < s->n_lanes; lane++)
			if (!strcmp(s->lanes[lane].workflow, o->name) &&
				lane_within(s, &s->lanes[lane], t->scope, t->name))
				return true;
		return false;
	}
	if (o->scope == QUEUE_TASK && task_extent(s, o->id, none, &e) < 0)
		return false;
	if (t->scope == QUEUE_RUN)
		return e.run == t->id;
	lane = e.lane;
	if (o->scope == QUEUE_RUN && !lane_of_run(s, o->id, &lane))
		return true; /* history has let all of it go: nobody wants it kept */
	return lane_within(s, &s->lanes[lane], t->scope, t->name);
}

/* Brings all that waits of a task or a run to where the orders want it. */
static int apply(struct scheduler *s, const struct order *o)
{
	int64_t id = 0;

	if (o->scope == QUEUE_TASK)
		return order_apply(s, o->id);
	if (o->scope != QUEUE_RUN)
		return 0;
	for (;;) {
		sqlite3_stmt *q = store_query(s->store,
			"SELECT id FROM task WHERE run = ? AND id > ? AND state = 0 ORDER BY id LIMIT 1",
			"ii", o->id, id);
		int rc = q ? sqlite3_step(q) : SQLITE_ERROR;

		if (rc == SQLITE_ROW)
			id = sqlite3_column_int64(q, 0);
		if (q)
			sqlite3_reset(q);
		if (rc != SQLITE_ROW)
			return rc == SQLITE_DONE ? 0 : ERR_STORE;
		int r = order_apply(s, id);
		if (r < 0)
			return r;
	}
}

enum about { ABOUT_HOLD, ABOUT_PRIORITY };

/* What a wider order replaces. */
static int drop_within(struct scheduler *s, const struct queue_target *t, enum about about)
{
	for (size_t i = 0; i < s->n_orders;) {
		struct order o = s->orders[i];
		bool says = about == ABOUT_HOLD ? o.hold != HOLD_NOT_SAID : o.priority >= 0;

		if (!says || !order_within(s, &o, t)) {
			i++;
			continue;
		}
		struct queue_target was = {.scope = o.scope, .id = o.id, .name = o.name};
		size_t before = s->n_orders;
		int r = order_set(s, &was, about == ABOUT_HOLD ? HOLD_NOT_SAID : o.hold,
			about == ABOUT_HOLD ? o.priority : -1);
		if (r == 0)
			r = apply(s, &o);
		if (r < 0)
			return r;
		if (s->n_orders == before)
			i++; /* it still says the other */
	}
	return 0;
}

static int order(struct scheduler *s, const struct queue_target *t, enum about about, enum hold hold,
	int priority, struct words w)
{
	struct order *old = order_find(s, t);

	if (about == ABOUT_HOLD)
		priority = old ? old->priority : -1;
	else
		hold = old ? old->hold : HOLD_NOT_SAID;
	int r = drop_within(s, t, about);
	if (r == 0)
		r = order_set(s, t, hold, priority);
	if (r == 0)
		r = apply(s, &(struct order){.scope = t->scope, .id = t->id});
	if (r == ERR_LIMIT)
		return say(w, r, "%d orders stand already: release some", ORDERS_MAX);
	return r < 0 ? say(w, r, "%s", err_text(r)) : 0;
}

/* ---- hold and release ---- */

static int64_t count_held(struct scheduler *s, const struct queue_target *t)
{
	sqlite3_stmt *q =
		t->scope == QUEUE_TASK
			? store_query(s->store,
				  "SELECT lane, blocked & 1 FROM task WHERE id = ? AND state = 0", "i", t->id)
			: store_query(s->store,
				  "SELECT lane, blocked & 1 FROM task WHERE run = ? AND state = 0", "i",
				  t->id);
	int64_t n = 0;

	while (q && sqlite3_step(q) == SQLITE_ROW) {
		size_t lane = lane_of_id(s, sqlite3_column_int64(q, 0));
		n += sqlite3_column_int64(q, 1) || (lane < s->n_lanes && s->lanes[lane].held);
	}
	return n;
}

/* Held ones of the lanes within: all of them where the lane is held, else those that are by themselves. */
static int64_t count_held_lanes(struct scheduler *s, const struct queue_target *t)
{
	int64_t n = 0;

	for (size_t i = 0; i < s->n_lanes; i++)
		if (s->lanes[i].held && lane_within(s, &s->lanes[i], t->scope, t->name))
			n += (int64_t)s->lanes[i].waiting;
	sqlite3_stmt *q = store_query(s->store,
		"SELECT lane FROM task INDEXED BY task_blocked WHERE state = 0 AND blocked > 0 AND blocked & "
		"1",
		"");
	while (q && sqlite3_step(q) == SQLITE_ROW) {
		size_t lane = lane_of_id(s, sqlite3_column_int64(q, 0));
		n += lane < s->n_lanes && !s->lanes[lane].held &&
		     lane_within(s, &s->lanes[lane], t->scope, t->name);
	}
	return n;
}

/* Whether orders about it, wider ones or some within hold anything now or later. */
static bool held_somehow(struct scheduler *s, const struct queue_target *t, const struct extent *e)
{
	size_t lane = e->lane;

	if (t->scope == QUEUE_RUN && !lane_of_run(s, t->id, &lane))
		return false;
	for (size_t i = 0; i < s->n_orders; i++) {
		const struct order *o = &s->orders[i];
		if (o->hold != HOLD_HELD)
			continue;
		if (order_within(s, o, t) || o == order_find(s, t))
			return true;
		if (t->scope == QUEUE_TASK && o->scope == QUEUE_RUN && o->id == e->run)
			return true;
	}
	if (t->scope == QUEUE_TASK)
		return s->lanes[lane].held;
	if (t->scope == QUEUE_RUN) {
		const struct order *own = order_find(s, t);
		return !(own && own->hold == HOLD_EXEMPT) && order_holds_lane(s, &s->lanes[lane]);
	}
	for (size_t i = 0; i < s->n_lanes; i++)
		if (s->lanes[i].held && lane_within(s, &s->lanes[i], t->scope, t->name))
			return true;
	return false;
}

/* Whether it stays held by what is wider, if nothing is said about it. */
static bool held_by_wider(struct scheduler *s, const struct queue_target *t, const struct extent *e)
{
	const struct lane *l = NULL;
	bool held = false;

	if (t->scope == QUEUE_TASK) {
		const struct order *o =
			order_find(s, &(struct queue_target){.scope = QUEUE_RUN, .id = e->run});
		if (o && o->hold == HOLD_HELD)
			return true;
		l = &s->lanes[e->lane];
	}
	for (size_t i = 0; i < s->n_lanes && !l; i++)
		if (t->scope == QUEUE_RUN ? lane_of_run(s, t->id, &i)
					  : lane_within(s, &s->lanes[i], t->scope, t->name))
			l = &s->lanes[i];
	if (!l)
		return false;
	enum queue_scope narrowest = QUEUE_SCOPE_MAX;
	for (size_t i = 0; i < s->n_orders; i++) {
		const struct order *o = &s->orders[i];
		if (o->hold == HOLD_NOT_SAID || o->scope < QUEUE_WORKFLOW || o->scope <= t->scope ||
			o->scope >= narrowest || !lane_within(s, l, o->scope, o->name))
			continue;
		narrowest = o->scope;
		held = o->hold == HOLD_HELD;
	}
	return held;
}

/* What is said about a run that is over would stand for ever: nothing ends it any more. */
static int run_goes_on(const struct queue_target *t, const struct extent *e, struct words w)
{
	if (t->scope != QUEUE_RUN || e->waiting + e->running > 0)
		return 0;
	return say(w, ERR_STATE, "no task of run %lld waits or runs", (long long)t->id);
}

int scheduler_hold(struct scheduler *s, const struct queue_target *t, char *ret_reason, size_t cap)
{
	struct words w = {ret_reason, cap};
	struct extent e = {0};
	int r = extent_of(s, t, w, &e);

	if (r == 0)
		r = run_goes_on(t, &e, w);
	if (r < 0)
		return r;
	if (t->scope == QUEUE_TASK && e.running)
		return say(w, ERR_STATE, "task %lld runs: it can be cancelled, not held", (long long)t->id);
	r = order(s, t, ABOUT_HOLD, HOLD_HELD, 0, w);
	return r < 0 ? r : (int)(e.waiting < INT32_MAX ? e.waiting : INT32_MAX);
}

int scheduler_release(struct scheduler *s, const struct queue_target *t, char *ret_reason, size_t cap)
{
	struct words w = {ret_reason, cap};
	struct extent e = {0};
	int r = extent_of(s, t, w, &e);

	if (r < 0)
		return r;
	if (!held_somehow(s, t, &e))
		return say(w, ERR_STATE, "nothing of it is held");
	int64_t n = t->scope <= QUEUE_RUN ? count_held(s, t) : count_held_lanes(s, t);
	r = order(s, t, ABOUT_HOLD, held_by_wider(s, t, &e) ? HOLD_EXEMPT : HOLD_NOT_SAID, 0, w);
	return r < 0 ? r : (int)(n < INT32_MAX ? n : INT32_MAX);
}

/* ---- cancel ---- */

struct pending_stop {
	struct scheduler *scheduler;
	int64_t task;
};

static void stop_effect(void *arg)
{
	struct pending_stop *p = arg;
	struct scheduler *s = p->scheduler;

	for (size_t i = 0; i < s->n_running; i++) {
		if (s->running[i].task.id != p->task)
			continue;
		int r = s->runner.stop(s->runner.user, p->task);
		if (r < 0)
			log_warning("task %lld cannot be stopped: %s", (long long)p->task, err_text(r));
		break;
	}
	free(p);
}

int stop_after_commit(struct scheduler *s, int64_t task)
{
	if (!s->runner.stop)
		return 0;
	struct pending_stop *p = malloc(sizeof(*p));

	if (!p)
		return -ENOMEM;
	*p = (struct pending_stop){.scheduler = s, .task = task};
	int r = store_effect(s->store, stop_effect, p, free);
	if (r < 0)
		free(p);
	return r;
}

static int cancel_running(struct scheduler *s, const struct queue_target *t, const char *why)
{
	for (size_t i = 0; i < s->n_running; i++) {
		struct running *run = &s->running[i];
		bool in = t->scope == QUEUE_TASK  ? run->task.id == t->id
			  : t->scope == QUEUE_RUN ? run->task.run == t->id
						  : lane_within(s, &s->lanes[run->lane], t->scope, t->name);

		if (!in || run->cancelled)
			continue;
		int r = store_exec(s->store, "UPDATE task SET blocked = 16, reason = ? WHERE id = ?", "ti",
			why, run->task.id);
		if (r == 0)
			r = stop_after_commit(s, run->task.id);
		if (r < 0)
			return r;
		run->cancelled = true;
	}
	return 0;
}

/* A task, or those of a run, are marked, and ended by the next dispatch. */
static int mark_cancelled(struct scheduler *s, const struct queue_target *t, const char *why)
{
	int r = t->scope == QUEUE_TASK ? store_exec(s->store,
						 "UPDATE task SET blocked = blocked | 16, reason = ?"
						 " WHERE id = ? AND state = 0",
						 "ti", why, t->id)
				       : store_exec(s->store,
						 "UPDATE task SET blocked = blocked | 16, reason = ?"
						 " WHERE run = ? AND state = 0",
						 "ti", why, t->id);

	for (size_t i = 0; i < s->n_lanes; i++)
		lane_forget(s, i);
	s->condemned = true;
	return r;
}

int scheduler_cancel(
	struct scheduler *s, const struct queue_target *t, const char *why, char *ret_reason, size_t cap)
{
	struct words w = {ret_reason, cap};
	struct extent e = {0};
	int r = extent_of(s, t, w, &e);

	if (r < 0)
		return r;
	if (e.waiting + e.running == 0)
		return say(w, ERR_STATE, "nothing of it waits or runs");
	r = store_change(s->store);
	if (r == 0)
		r = cancel_running(s, t, why);
	if (r == 0 && e.waiting)
		r = t->scope <= QUEUE_RUN ? mark_cancelled(s, t, why) : sweep_start(s, t, true, why);
	if (r == ERR_LIMIT)
		return say(
			w, r, "%d commands are being carried out still: try again in a moment", SWEEPS_MAX);
	if (r < 0)
		return say(w, r, "%s", err_text(r));
	int64_t n = e.waiting + e.running;
	return (int)(n < INT32_MAX ? n : INT32_MAX);
}

/* ---- priority ---- */

/* What runs keeps its place, but what may preempt it, and whether it goes on before others, follows from its
 * priority. */
static int reprioritise_running(struct scheduler *s)
{
	for (size_t i = 0; i < s->n_running; i++) {
		struct running *run = &s->running[i];
		sqlite3_stmt *q = store_query(
			s->store, "SELECT declared, waits_from_ns FROM task WHERE id = ?", "i", run->task.id);

		if (!q || sqlite3_step(q) != SQLITE_ROW)
			return ERR_STORE;
		uint8_t declared = (uint8_t)sqlite3_column_int(q, 0);
		int64_t waits_from_ns = sqlite3_column_int64(q, 1);
		sqlite3_reset(q);
		struct placing p =
			order_placing(s, run->task.id, run->task.run, &s->lanes[run->lane], declared);
		if (p.priority == run->task.priority)
			continue;
		int r = store_change(s->store);
		if (r == 0)
			r = store_exec(s->store, "UPDATE task SET priority = ?, rank = ? WHERE id = ?", "iii",
				(int64_t)p.priority, rank_of(&s->rules, (uint8_t)p.priority, waits_from_ns),
				run->task.id);
		if (r < 0)
			return r;
		run->task.priority = (uint8_t)p.priority;
		s->dirty = true;
	}
	return 0;
}

int scheduler_reprioritise(
	struct scheduler *s, const struct queue_target *t, int priority, char *ret_reason, size_t cap)
{
	struct words w = {ret_reason, cap};
	struct extent e = {0};
	int r = extent_of(s, t, w, &e);

	/* Taking back what stands is always possible. */
	if (r == 0 && (priority != QUEUE_PRIORITY_DECLARED || !order_find(s, t)))
		r = run_goes_on(t, &e, w);
	if (r < 0)
		return r;
	if (priority < QUEUE_PRIORITY_DECLARED || priority > UINT8_MAX)
		return say(w, -EINVAL, "a priority is 0 to 255, not %d", priority);
	if (t->scope >= QUEUE_WORKFLOW && s->n_sweeps == SWEEPS_MAX)
		return say(w, ERR_LIMIT, "%d commands are being carried out still: try again in a moment",
			SWEEPS_MAX);
	r = order(s, t, ABOUT_PRIORITY, HOLD_NOT_SAID, priority, w);
	if (r == 0) {
		r = reprioritise_running(s);
		if (r < 0) {
			store_fail(s->store); /* the order is made, and half of what follows */
			return say(w, r, "%s", err_text(r));
		}
	}
	if (r == 0 && t->scope >= QUEUE_WORKFLOW && e.waiting) {
		r = sweep_start(s, t, false, "");
		if (r < 0)
			return say(w, r, "%s", err_text(r));
	}
	return r < 0 ? r : (int)(e.waiting < INT32_MAX ? e.waiting : INT32_MAX);
}

int scheduler_run_over(struct scheduler *s, int64_t run)
{
	struct queue_target t = {.scope = QUEUE_RUN, .id = run};

	return s->n_orders ? order_set(s, &t, HOLD_NOT_SAID, -1) : 0;
}

void scheduler_pause(struct scheduler *s, const char *why)
{
	snprintf(s->paused, sizeof(s->paused), "%s", why ? why : "");
	s->dirty = true;
}
