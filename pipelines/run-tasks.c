/* SPDX-License-Identifier: Apache-2.0 */
/* Pipelines as the owner of tasks: what their starts and ends mean for the stages of a run. Nobody takes an
 * error from here: the turn that it left half done fails. */
#include <string.h>

#include "core/log.h"
#include "runs.h"

static void image_of(struct pipelines *p, const struct task *t, struct stage_image *ret_image)
{
	char why[TASK_REASON_BYTES];
	struct workflow *w;
	size_t stage;

	/* A failure here is met again, and reported, when the effect starts the stage. */
	if (runs_workflow(p, t->run, &w) < 0 || !workflow_find_stage(w, t->stage, &stage) ||
		p->o.launcher.resolve(
			p->o.launcher.user, w->stages[stage].image, ret_image, why, sizeof(why)) < 0)
		ret_image->digest[0] = '\0';
}

static void tell(struct pipelines *p, const struct task *t, enum stage_state state, const char *reason)
{
	if (p->o.on_stage)
		p->o.on_stage(p->o.user, t->run, t->stage, stage_state_name(state), reason);
}

void runs_task_started(void *user, const struct task *t, struct utc_time at)
{
	struct pipelines *p = user;
	struct stage_image image = {.digest = ""};

	image_of(p, t, &image);
	if (t->item >= 0) {
		foreach_started(p, t, at, image.digest);
		return;
	}
	if (store_exec(p->o.store,
		    "UPDATE run_stage SET state = 2, started_ns = ?, attempts = ?, image_digest = ?,"
		    " reason = CASE WHEN ending > 0 THEN reason END"
		    " WHERE run = ? AND stage = ?",
		    "iitit", at.ns, (int64_t)t->attempt, image.digest, t->run, t->stage) < 0) {
		log_error("run %lld: the start of stage %s is not recorded", (long long)t->run, t->stage);
		store_fail(p->o.store);
	}
	tell(p, t, STAGE_RUNNING, NULL);
}

static int keep_attempt(struct pipelines *p, const struct task *t, const char *reason)
{
	int r = store_change(p->o.store);

	return r == 0 ? store_exec(p->o.store,
				"INSERT OR REPLACE INTO run_attempt(run, stage, item, attempt, ended_ns, "
				"reason)"
				" VALUES(?, ?, ?, ?, ?, ?)",
				"itiiit", t->run, t->stage, t->item, (int64_t)t->attempt, clock_utc().ns,
				reason)
		      : r;
}

void runs_task_again(void *user, const struct task *t, struct utc_time not_before, const char *reason)
{
	struct pipelines *p = user;
	int r = keep_attempt(p, t, reason);

	if (r == 0 && t->item >= 0)
		r = foreach_again(p, t, reason);
	else if (r == 0)
		r = store_exec(p->o.store,
			"UPDATE run_stage SET state = 6, reason = ? WHERE run = ? AND stage = ?", "tit",
			reason, t->run, t->stage);
	if (r < 0) {
		log_error("run %lld: what stage %s came to is not recorded", (long long)t->run, t->stage);
		store_fail(p->o.store);
	}
	if (t->item < 0)
		tell(p, t, STAGE_RETRYING, reason);
}

/* Of a foreach's elements only the queue knows it. */
void runs_task_frozen(void *user, const struct task *t, bool frozen, const char *reason)
{
	struct pipelines *p = user;
	enum stage_state now = frozen ? STAGE_FROZEN : STAGE_RUNNING;

	if (t->item >= 0)
		return;
	if (store_exec(p->o.store,
		    "UPDATE run_stage SET state = ?, reason = CASE WHEN ending > 0 THEN reason ELSE ? END"
		    " WHERE run = ? AND stage = ?",
		    "itit", (int64_t)now, reason, t->run, t->stage) < 0) {
		log_error("run %lld: that stage %s %s is not recorded", (long long)t->run, t->stage,
			frozen ? "stands still" : "goes on");
		store_fail(p->o.store);
	}
	tell(p, t, now, reason);
}

/* What was ordered for it: "ending" and why; STAGE_CANCELLED and no reason when nothing was. */
static enum stage_state ordered_end(struct pipelines *p, const struct task *t, char *ret_reason, size_t cap)
{
	sqlite3_stmt *q = store_query(p->o.store,
		"SELECT ending, reason FROM run_stage WHERE run = ? AND stage = ?", "it", t->run, t->stage);
	enum stage_state then = STAGE_CANCELLED;

	int rc = q ? sqlite3_step(q) : SQLITE_ERROR;

	if (rc != SQLITE_ROW && rc != SQLITE_DONE)
		store_fail(p->o.store);
	if (rc == SQLITE_ROW && sqlite3_column_int64(q, 0) != 0) {
		then = (enum stage_state)sqlite3_column_int64(q, 0);
		const char *why = (const char *)sqlite3_column_text(q, 1);
		snprintf(ret_reason, cap, "%s", why ? why : "");
	}
	if (q)
		sqlite3_reset(q);
	return then;
}

static int end_stage(
	struct pipelines *p, const struct task *t, enum task_state state, const struct task_end *end)
{
	enum stage_state now = state == TASK_DONE ? STAGE_DONE : STAGE_FAILED;
	char reason[TASK_REASON_BYTES];

	snprintf(reason, sizeof(reason), "%s", end->reason);
	if (state == TASK_CANCELLED)
		now = ordered_end(p, t, reason, sizeof(reason));
	int r = store_exec(p->o.store,
		"UPDATE run_stage SET state = ?, reason = ?, ended_ns = ?, wall_ns = ?, cpu_ns = ?, "
		"memory_peak_bytes = ?"
		" WHERE run = ? AND stage = ?",
		"itiiiiit", (int64_t)now, *reason ? reason : NULL, clock_utc().ns, end->wall_ns, end->cpu_ns,
		(int64_t)end->memory_peak_bytes, t->run, t->stage);
	tell(p, t, now, *reason ? reason : NULL);
	return r;
}

void runs_task_ended(void *user, const struct task *t, enum task_state state, const struct task_end *end)
{
	struct pipelines *p = user;
	int r;

	runs_enter(p);
	if (t->item >= 0) {
		r = foreach_ended(p, t, state, end);
	} else {
		r = end_stage(p, t, state, end);
		if (r == 0)
			r = run_touch(p, t->run);
	}
	r = runs_leave(p, r);
	if (r < 0) {
		log_error("run %lld cannot go on: %s", (long long)t->run, err_text(r));
		store_fail(p->o.store);
	}
}
