/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Timeouts of runs and stages. They follow the monotonic clock, which an operator cannot step; the start is kept
 * with the boot in which it was taken. After a restart of the machine that clock says nothing of the time before: then
 * UTC says how long it has been, and never less than nothing.
 */
#include <errno.h>
#include <string.h>

#include "core/boot.h"
#include "core/log.h"
#include "runs.h"

/* ---- a heap, the earliest first ---- */

static void swap(struct timer *a, struct timer *b)
{
	struct timer was = *a;

	*a = *b;
	*b = was;
}

static int push(struct pipelines *p, const struct timer *t)
{
	if (p->n_timers == p->cap_timers) {
		size_t cap = p->cap_timers ? 2 * p->cap_timers : 16;
		struct timer *grown = reallocarray(p->timers, cap, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		p->timers = grown;
		p->cap_timers = cap;
	}
	size_t at = p->n_timers++;
	p->timers[at] = *t;
	while (at > 0 && p->timers[at].at.ns < p->timers[(at - 1) / 2].at.ns) {
		swap(&p->timers[at], &p->timers[(at - 1) / 2]);
		at = (at - 1) / 2;
	}
	return 0;
}

static struct timer pop(struct pipelines *p)
{
	struct timer first = p->timers[0];
	size_t at = 0;

	p->timers[0] = p->timers[--p->n_timers];
	for (;;) {
		size_t least = at;
		for (size_t child = 2 * at + 1; child <= 2 * at + 2 && child < p->n_timers; child++)
			if (p->timers[child].at.ns < p->timers[least].at.ns)
				least = child;
		if (least == at)
			return first;
		swap(&p->timers[at], &p->timers[least]);
		at = least;
	}
}

/* ---- beginning, also again after a restart ---- */

static int64_t limit_of(const struct run_now *run, size_t stage)
{
	return stage == WF_NONE ? run->w->timeout_ns : run->w->stages[stage].timeout_ns;
}

int timeout_begin(struct run_now *run, size_t stage)
{
	struct mono_time now = clock_mono();
	int64_t limit = limit_of(run, stage);

	if (limit == 0)
		return 0;
	struct timer t = {.at.ns = now.ns + limit, .run = run->id, .stage = stage};
	int r = push(run->p, &t);
	if (r < 0 || stage == WF_NONE) /* of a run it is written when it opens */
		return r;
	r = store_change(run->p->o.store);
	return r == 0 ? store_exec(run->p->o.store,
				"UPDATE run_stage SET ready_ns = ?, ready_mono_ns = ? WHERE run = ? AND stage = ?",
				"iiit", clock_utc().ns, now.ns, run->id, run->w->stages[stage].name)
		      : r;
}

static int resume_one(struct run_now *run, size_t stage, int64_t from_utc_ns, int64_t from_mono_ns, bool same_boot)
{
	struct mono_time now = clock_mono();
	int64_t limit = limit_of(run, stage);
	int64_t passed = same_boot ? now.ns - from_mono_ns : clock_utc().ns - from_utc_ns;

	if (limit == 0 || from_utc_ns == 0)
		return 0;
	if (passed < 0)
		passed = 0;
	if (passed > limit)
		passed = limit;
	if (!same_boot && stage != WF_NONE) {
		int r = store_exec(run->p->o.store,
			"UPDATE run_stage SET ready_mono_ns = ? WHERE run = ? AND stage = ?", "iit",
			now.ns - passed, run->id, run->w->stages[stage].name);
		if (r < 0)
			return r;
	} else if (!same_boot) {
		int r = store_exec(run->p->o.store, "UPDATE run SET opened_mono_ns = ? WHERE id = ?", "ii",
			now.ns - passed, run->id);
		if (r < 0)
			return r;
	}
	struct timer t = {.at.ns = now.ns + limit - passed, .run = run->id, .stage = stage};
	return push(run->p, &t);
}

static int read_times(struct run_now *run, int64_t *ret_utc_ns, int64_t *ret_mono_ns, bool *ret_same_boot)
{
	sqlite3_stmt *q = store_query(run->p->o.store,
		"SELECT opened_ns, opened_mono_ns, boot FROM run WHERE id = ?", "i", run->id);

	if (!q || sqlite3_step(q) != SQLITE_ROW)
		return ERR_STORE;
	const char *boot = (const char *)sqlite3_column_text(q, 2);
	*ret_utc_ns = sqlite3_column_int64(q, 0);
	*ret_mono_ns = sqlite3_column_int64(q, 1);
	*ret_same_boot = boot && *boot && !strcmp(boot, boot_id());
	sqlite3_reset(q);
	return 0;
}

int timeout_resume(struct run_now *run)
{
	int64_t utc_ns, mono_ns;
	bool same_boot;
	int r = read_times(run, &utc_ns, &mono_ns, &same_boot);

	if (r == 0)
		r = store_change(run->p->o.store);
	if (r == 0)
		r = resume_one(run, WF_NONE, utc_ns, mono_ns, same_boot);
	for (size_t i = 0; r == 0 && i < run->w->n_stages; i++) {
		if (run->w->stages[i].timeout_ns == 0 || run->stages[i].state == STAGE_WAITING ||
			stage_settled(run->stages[i].state))
			continue;
		sqlite3_stmt *q = store_query(run->p->o.store,
			"SELECT ready_ns, ready_mono_ns FROM run_stage WHERE run = ? AND stage = ?", "it",
			run->id, run->w->stages[i].name);
		if (!q || sqlite3_step(q) != SQLITE_ROW)
			return ERR_STORE;
		utc_ns = sqlite3_column_int64(q, 0);
		mono_ns = sqlite3_column_int64(q, 1);
		sqlite3_reset(q);
		r = resume_one(run, i, utc_ns, mono_ns, same_boot);
	}
	if (r == 0 && !same_boot)
		r = store_exec(
			run->p->o.store, "UPDATE run SET boot = ? WHERE id = ?", "ti", boot_id(), run->id);
	return r;
}

/* ---- the end ---- */

static int time_out(struct pipelines *p, const struct timer *t)
{
	char why[96];
	struct run_now run;
	int r = run_load(p, t->run, &run);

	if (r == ERR_UNKNOWN || r == ERR_CHECKED)
		return 0;
	if (r < 0)
		return r;
	snprintf(why, sizeof(why), "timeout: it took longer than %.15g s",
		(double)limit_of(&run, t->stage) / (double)NS_PER_S);
	bool open = run.state == RUN_OPEN && run.outcome < 0;
	if (t->stage == WF_NONE && open && run.phase != PHASE_ON_EXIT)
		r = run_cancel(&run, RUN_CANCELLED, why);
	else if (t->stage != WF_NONE && run.state == RUN_OPEN && !stage_settled(run.stages[t->stage].state) &&
		 run.stages[t->stage].ending == 0)
		r = run_stop_stage(&run, t->stage, STAGE_FAILED, why);
	run_finish(&run);
	return r == 0 ? run_touch(p, t->run) : r;
}

int timeouts_due(struct pipelines *p)
{
	struct mono_time now = clock_mono();

	while (p->n_timers && p->timers[0].at.ns <= now.ns) {
		struct timer t = pop(p);
		int r = time_out(p, &t);
		if (r < 0)
			return r;
	}
	return 0;
}
