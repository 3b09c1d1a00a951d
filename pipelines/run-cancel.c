/* SPDX-License-Identifier: Apache-2.0 */
/* Ending early: a stage, a run, or all of a workflow or a payload. What waits is cancelled at once; what runs
 * is stopped, and its end settles the stage; handlers of `on_exit` still run. */
#include <errno.h>
#include <string.h>

#include "core/log.h"
#include "runs.h"

#define RUNS_A_SLICE 8

/* ---- a stage ---- */

int run_stop_settled(struct run_now *run, size_t stage)
{
	char reason[TASK_REASON_BYTES] = "";
	sqlite3_stmt *q =
		store_query(run->p->o.store, "SELECT reason FROM run_stage WHERE run = ? AND stage = ?", "it",
			run->id, run->w->stages[stage].name);

	if (q && sqlite3_step(q) == SQLITE_ROW && sqlite3_column_text(q, 0))
		snprintf(reason, sizeof(reason), "%s", (const char *)sqlite3_column_text(q, 0));
	if (q)
		sqlite3_reset(q);
	return run_set_stage(
		run, stage, (enum stage_state)run->stages[stage].ending, *reason ? reason : NULL);
}

static int stop_child(struct run_now *run, int64_t child, const char *why)
{
	struct run_now inner;
	int r = run_load(run->p, child, &inner);

	if (r < 0)
		return r;
	if (inner.state == RUN_PENDING)
		r = run_drop_pending(run->p, child, why);
	else if (inner.state == RUN_OPEN)
		r = run_cancel(&inner, RUN_CANCELLED, why);
	run_finish(&inner);
	return r;
}

static int stop_task(struct run_now *run, int64_t task, const char *why)
{
	struct queue_target target = {.scope = QUEUE_TASK, .id = task};
	char reason[TASK_REASON_BYTES];
	int r = scheduler_cancel(run->p->o.scheduler, &target, why, reason, sizeof(reason));

	/* Over already: its end is on the way. */
	return r == ERR_UNKNOWN || r == ERR_STATE ? 0 : r < 0 ? r : 0;
}

int run_stop_stage(struct run_now *run, size_t stage, enum stage_state then, const char *why)
{
	struct stage_now *now = &run->stages[stage];
	const struct wf_stage *s = &run->w->stages[stage];

	if (stage_settled(now->state))
		return 0;
	if (now->state == STAGE_WAITING || now->state == STAGE_ASKING)
		return run_set_stage(run, stage, then, why);
	int r = store_change(run->p->o.store);
	if (r == 0)
		r = store_exec(run->p->o.store,
			"UPDATE run_stage SET ending = ?, reason = ? WHERE run = ? AND stage = ?", "itit",
			(int64_t)then, why, run->id, s->name);
	now->ending = then;
	if (r < 0)
		return r;
	if (s->foreach.source != WF_NO_FOREACH)
		return foreach_stop(run, stage, then, why);
	return s->uses ? stop_child(run, now->child, why) : stop_task(run, now->task, why);
}

/* ---- a run ---- */

int run_cancel(struct run_now *run, enum run_state outcome, const char *why)
{
	struct pipelines *p = run->p;
	int r = store_change(p->o.store);

	/* First what it will come to: the ends that follow see it. */
	if (r == 0)
		r = store_exec(p->o.store, "UPDATE run SET outcome = ?, reason = ? WHERE id = ?", "iti",
			(int64_t)outcome, why, run->id);
	char *copy = strdup(why);
	if (!copy)
		return -ENOMEM;
	free(run->reason);
	run->reason = copy;
	run->outcome = outcome;
	for (size_t i = 0; r == 0 && i < run->w->n_stages; i++) {
		enum wf_role role = run->w->stages[i].role;
		bool handler = role == WF_ON_EXIT || (role == WF_ON_FAILURE && run->phase == PHASE_STAGES);
		if (!handler) /* of those it is decided later */
			r = run_stop_stage(run, i, STAGE_CANCELLED, why);
	}
	return r == 0 ? run_touch(p, run->id) : r;
}

/* ---- what an operator asks for ---- */

static int cancel_now(struct pipelines *p, int64_t id, const char *why)
{
	struct run_now run;
	int r = run_load(p, id, &run);

	if (r == ERR_CHECKED)
		return run_touch(p, id);
	if (r < 0)
		return r;
	if (run.state == RUN_PENDING)
		r = run_drop_pending(p, id, why);
	else if (run.state == RUN_OPEN && run.phase != PHASE_ON_EXIT)
		r = run_cancel(&run, RUN_CANCELLED, why);
	run_finish(&run);
	return r;
}

int cancel_ordered(struct pipelines *p)
{
	for (int i = 0; i < RUNS_A_SLICE; i++) {
		char why[TASK_REASON_BYTES];
		sqlite3_stmt *q = store_query(
			p->o.store, "SELECT id, order_text FROM run WHERE ordered = 1 LIMIT 1", "");
		int rc = q ? sqlite3_step(q) : SQLITE_ERROR;

		if (rc != SQLITE_ROW) {
			if (q)
				sqlite3_reset(q);
			return rc == SQLITE_DONE ? 0 : ERR_STORE;
		}
		int64_t run = sqlite3_column_int64(q, 0);
		const char *text = (const char *)sqlite3_column_text(q, 1);
		snprintf(why, sizeof(why), "%s", text ? text : "");
		sqlite3_reset(q);
		int r = store_change(p->o.store);
		if (r == 0)
			r = store_exec(p->o.store, "UPDATE run SET ordered = 2 WHERE id = ?", "i", run);
		if (r == 0)
			r = cancel_now(p, run, why);
		if (r < 0)
			return r;
	}
	p->more = true;
	return 0;
}

/* Runs inside others are cancelled by theirs. */
static int order(struct pipelines *p, const struct queue_target *t, const char *why)
{
	int r = store_change(p->o.store);

	if (r < 0)
		return r;
	switch (t->scope) {
	case QUEUE_RUN:
		r = store_exec(p->o.store,
			"UPDATE run SET ordered = 1, order_text = ? WHERE id = ? AND ordered = 0 AND phase < "
			"2"
			" AND state IN (0, 4)",
			"ti", why, t->id);
		break;
	case QUEUE_WORKFLOW:
		r = store_exec(p->o.store,
			"UPDATE run SET ordered = 1, order_text = ? WHERE workflow = ? AND ordered = 0 AND"
			" phase < 2 AND state IN (0, 4)",
			"tt", why, t->name);
		break;
	case QUEUE_PAYLOAD:
		r = store_exec(p->o.store,
			"UPDATE run SET ordered = 1, order_text = ? WHERE payload = ? AND ordered = 0 AND"
			" phase < 2 AND state IN (0, 4)",
			"tt", why, t->name);
		break;
	case QUEUE_ALL:
		r = store_exec(p->o.store,
			"UPDATE run SET ordered = 1, order_text = ? WHERE ordered = 0 AND phase < 2 AND"
			" state IN (0, 4)",
			"t", why);
		break;
	default:
		return -EINVAL;
	}
	return r < 0 ? r : sqlite3_changes(store_db(p->o.store));
}

/* Whether it is of this mission, or was once: 1, 0. */
static int is_known(struct pipelines *p, const struct queue_target *t)
{
	sqlite3_stmt *q;
	int rc;

	for (size_t i = 0; i < p->n_on; i++)
		if (!strcmp(t->scope == QUEUE_WORKFLOW ? p->workflows[i]->name : p->workflows[i]->payload,
			    t->name))
			return 1;
	if (t->scope == QUEUE_WORKFLOW)
		q = store_query(p->o.store, "SELECT 1 FROM run WHERE workflow = ? LIMIT 1", "t", t->name);
	else
		q = store_query(p->o.store, "SELECT 1 FROM run WHERE payload = ? LIMIT 1", "t", t->name);
	rc = q ? sqlite3_step(q) : SQLITE_ERROR;
	if (q)
		sqlite3_reset(q);
	return rc == SQLITE_ROW ? 1 : rc == SQLITE_DONE ? 0 : ERR_STORE;
}

static int nothing_to_cancel(struct pipelines *p, const struct queue_target *t, char *ret_reason, size_t cap)
{
	int known = t->scope == QUEUE_WORKFLOW || t->scope == QUEUE_PAYLOAD ? is_known(p, t) : 1;

	if (known < 0)
		return known;
	if (!known) {
		snprintf(ret_reason, cap, "there is no %s %.64s",
			t->scope == QUEUE_WORKFLOW ? "workflow" : "payload", t->name);
		return ERR_UNKNOWN;
	}
	if (t->scope != QUEUE_RUN) {
		snprintf(
			ret_reason, cap, "no run is open%s%s", t->name ? " of " : "", t->name ? t->name : "");
		return ERR_STATE;
	}
	sqlite3_stmt *q =
		store_query(p->o.store, "SELECT state, phase, ordered FROM run WHERE id = ?", "i", t->id);
	int rc = q ? sqlite3_step(q) : SQLITE_ERROR;
	int r = rc == SQLITE_ROW ? ERR_STATE : rc == SQLITE_DONE ? ERR_UNKNOWN : ERR_STORE;

	if (rc == SQLITE_DONE)
		snprintf(ret_reason, cap, "there is no run %lld", (long long)t->id);
	else if (rc == SQLITE_ROW && sqlite3_column_int64(q, 0) != RUN_OPEN)
		snprintf(ret_reason, cap, "run %lld is over: it is %s", (long long)t->id,
			run_state_name(sqlite3_column_int64(q, 0)));
	else if (rc == SQLITE_ROW)
		snprintf(ret_reason, cap, "run %lld is %s", (long long)t->id,
			sqlite3_column_int64(q, 2) ? "being cancelled already"
						   : "at its on_exit stages, which run in any case");
	if (q)
		sqlite3_reset(q);
	return r;
}

int pipelines_cancel(
	struct pipelines *p, const struct queue_target *t, const char *why, char *ret_reason, size_t cap)
{
	ret_reason[0] = '\0';
	if (t->scope == QUEUE_TASK) { /* its end is the stage's */
		runs_enter(p);
		return runs_leave(p, scheduler_cancel(p->o.scheduler, t, why, ret_reason, cap));
	}
	int n = order(p, t, why);
	if (n == 0)
		return nothing_to_cancel(p, t, ret_reason, cap);
	if (n < 0)
		return n;
	runs_enter(p);
	int r = runs_leave(p, cancel_ordered(p));
	return r < 0 ? r : n;
}
