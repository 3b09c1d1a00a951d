/* SPDX-License-Identifier: Apache-2.0 */
/* The life of what works on runs: made, taken up again after a restart, woken by time. */
#include "runs.h"

#include <errno.h>
#include <string.h>

#include "core/log.h"
#include "run-schema.h"

/* ---- after a restart ---- */

/* What was running is back in the queue; what waits for its list or a retry goes on. */
static int resume_stage(struct run_now *run, size_t stage)
{
	const struct wf_stage *s = &run->w->stages[stage];
	struct stage_now *now = &run->stages[stage];
	bool foreach = s->foreach.source != WF_NO_FOREACH;

	if (now->state != STAGE_QUEUED && now->state != STAGE_RUNNING && now->state != STAGE_FROZEN)
		return 0;
	if (foreach)
		return foreach_resume(run, stage);
	if (s->uses || now->state == STAGE_QUEUED)
		return 0;
	int r = store_change(run->p->o.store);
	if (r == 0)
		r = store_exec(run->p->o.store, "UPDATE run_stage SET state = 1 WHERE run = ? AND stage = ?",
			"it", run->id, s->name);
	now->state = STAGE_QUEUED;
	return r;
}

static int resume_run(struct pipelines *p, int64_t id)
{
	struct run_now run;
	int r = run_load(p, id, &run);

	if (r == ERR_CHECKED)
		return run_touch(p, id); /* it ends by that */
	if (r < 0)
		return r;
	r = timeout_resume(&run);
	for (size_t i = 0; r == 0 && i < run.w->n_stages; i++)
		r = resume_stage(&run, i);
	run_finish(&run);
	return r == 0 ? run_touch(p, id) : r;
}

static int next_open(struct pipelines *p, int64_t *run)
{
	sqlite3_stmt *q = store_query(
		p->o.store, "SELECT id FROM run WHERE state = 0 AND id > ? ORDER BY id LIMIT 1", "i", *run);
	int rc = q ? sqlite3_step(q) : SQLITE_ERROR;

	if (rc == SQLITE_ROW)
		*run = sqlite3_column_int64(q, 0);
	if (q)
		sqlite3_reset(q);
	return rc == SQLITE_ROW ? 1 : rc == SQLITE_DONE ? 0 : ERR_STORE;
}

static int next_line(struct pipelines *p, char name[TASK_WORKFLOW_BYTES])
{
	sqlite3_stmt *q = store_query(p->o.store,
		"SELECT workflow FROM run WHERE state = 4 AND workflow > ? ORDER BY workflow LIMIT 1", "t",
		name);
	int rc = q ? sqlite3_step(q) : SQLITE_ERROR;

	if (rc == SQLITE_ROW)
		snprintf(name, TASK_WORKFLOW_BYTES, "%s", (const char *)sqlite3_column_text(q, 0));
	if (q)
		sqlite3_reset(q);
	return rc == SQLITE_ROW ? 1 : rc == SQLITE_DONE ? 0 : ERR_STORE;
}

/* One at a time: advancing changes the table that is read. */
int pipelines_resume(struct pipelines *p)
{
	char name[TASK_WORKFLOW_BYTES] = "";
	int64_t run = 0;
	int r;

	while ((r = next_open(p, &run)) > 0) {
		runs_enter(p);
		r = runs_leave(p, resume_run(p, run));
		if (r < 0)
			return r;
	}
	while (r == 0 && (r = next_line(p, name)) > 0) {
		runs_enter(p);
		r = runs_leave(p, run_open_next(p, name));
	}
	p->more = true; /* orders that were not carried out */
	return r;
}

/* ---- life ---- */

int pipelines_create(const struct pipelines_options *o, struct pipelines **ret_pipelines)
{
	int r = runs_schema(o->store);

	if (r < 0)
		return r;
	struct pipelines *p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	p->o = *o;
	p->state_dir = strdup(o->state_dir);
	p->o.state_dir = p->state_dir;
	scheduler_plug(o->scheduler,
		&(struct task_runner){.start = stage_start,
			.stop = stage_stop,
			.freeze = stage_freeze,
			.can_freeze = stage_can_freeze,
			.user = p},
		&(struct task_owner){.on_started = runs_task_started,
			.on_again = runs_task_again,
			.on_frozen = runs_task_frozen,
			.on_ended = runs_task_ended,
			.user = p});
	r = p->state_dir ? stage_runs_prepare(p) : -ENOMEM;
	if (r == 0)
		r = cache_count(p);
	if (r == 0)
		r = trim_resume(p);
	if (r < 0) {
		pipelines_destroy(p);
		return r;
	}
	*ret_pipelines = p;
	return 0;
}

void pipelines_destroy(struct pipelines *p)
{
	if (!p)
		return;
	stage_runs_abandon(p);
	foreach_abandon(p);
	for (size_t i = 0; i < p->n_workflows; i++)
		workflow_destroy(p->workflows[i]);
	free(p->workflows);
	free(p->schedules);
	free(p->timers);
	free(p->touched);
	free(p->trim_device);
	free(p->trim_frame);
	free(p->state_dir);
	free(p);
}

int pipelines_add(struct pipelines *p, struct workflow *w, struct complaints *c)
{
	struct stage_image image;
	char why[256];

	if (workflows_find(p, w->name)) {
		complain(c, 1, 1, "there is a workflow %s already", w->name);
		return ERR_CHECKED;
	}
	for (size_t i = 0; i < w->n_stages; i++)
		if (w->stages[i].image && p->o.launcher.resolve(p->o.launcher.user, w->stages[i].image,
						  &image, why, sizeof(why)) < 0)
			y_complain(c, y_get(w->stages[i].node, "image"), "%s", why);
	for (size_t i = 0; i < w->n_stages; i++) {
		struct ynode *at = y_get(w->stages[i].node, "runtime");
		if (!w->stages[i].guest_bytes)
			continue;
		if (!p->o.launcher.check_unikernel)
			y_complain(c, at, "there are no unikernels here");
		else if (p->o.launcher.check_unikernel(
				 p->o.launcher.user, w->stages[i].image, why, sizeof(why)) < 0)
			y_complain(c, at, "%s", why);
	}
	if (c->total)
		return ERR_CHECKED;
	int r = schedules_add(p, w);
	if (r == 0)
		r = workflows_remember(p, w, p->n_on);
	if (r == 0)
		p->n_on++;
	return r;
}

/* ---- time ---- */

static void earliest(int64_t *at_ns, int64_t candidate_ns)
{
	if (candidate_ns && (*at_ns == 0 || candidate_ns < *at_ns))
		*at_ns = candidate_ns;
}

static int64_t as_utc(struct mono_time at)
{
	return clock_utc().ns + (at.ns - clock_mono().ns);
}

struct utc_time pipelines_wake_at(const struct pipelines *p)
{
	int64_t at = schedules_wake_ns(p);
	struct mono_time again = foreach_again_at(p);

	if (p->more)
		earliest(&at, clock_utc().ns);
	if (p->n_timers)
		earliest(&at, as_utc(p->timers[0].at));
	if (again.ns)
		earliest(&at, as_utc(again));
	return (struct utc_time){at};
}

void pipelines_poke(struct pipelines *p)
{
	p->more = false;
	runs_enter(p);
	int r = cancel_ordered(p);
	if (r == 0)
		r = timeouts_due(p);
	/* What is made while the disk is full stays in memory: they are due later. */
	if (r == 0 && !store_held(p->o.store))
		r = schedules_due(p);
	if (r == 0)
		r = foreach_more(p);
	r = runs_leave(p, r);
	if (r < 0) {
		log_error("what is due cannot be done: %s", err_text(r));
		store_fail(p->o.store); /* a timer that is not in the heap any more, say */
	}
}
