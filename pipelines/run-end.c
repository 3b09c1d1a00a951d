/* SPDX-License-Identifier: Apache-2.0 */
/* The end of a run: its products go to the ground, and whoever waited for it goes on. */
#include <errno.h>
#include <string.h>

#include "runs.h"

static int put_product(struct run_now *run, const struct wf_product *wp)
{
	struct pipelines *p = run->p;
	const struct wf_stage *s = &run->w->stages[wp->stage];
	const struct wf_output *o = &s->outputs[wp->output];
	struct run_product product = {.run = run->id,
		.workflow = run->w->name,
		.stage = s->name,
		.name = o->name,
		.type = o->type == WF_JSON ? "json" : "file",
		.priority = wp->priority,
		.keep_ns = wp->keep_ns};
	sqlite3_stmt *q = store_query(p->o.store,
		"SELECT digest, bytes FROM run_output WHERE run = ? AND stage = ? AND name = ?", "itt",
		run->id, s->name, o->name);
	int rc = q ? sqlite3_step(q) : SQLITE_ERROR;
	bool good = rc == SQLITE_ROW &&
		    digest_parse((const char *)sqlite3_column_text(q, 0), &product.digest) == 0;

	if (good)
		product.bytes = (uint64_t)sqlite3_column_int64(q, 1);
	if (q)
		sqlite3_reset(q);
	if (!good) /* a stage that is a workflow may have ended without this result */
		return rc == SQLITE_DONE && s->uses ? 0 : ERR_STORE;
	return p->o.sink.put ? p->o.sink.put(p->o.sink.user, &product) : 0;
}

/* What is done goes down, also of a run that failed or took too long; not of one that an operator cancelled,
 * if the order came in time. */
static int put_products(struct run_now *run)
{
	bool unwanted = run->ordered && run->outcome == RUN_CANCELLED;

	for (size_t i = 0; i < run->w->n_products && !unwanted; i++) {
		if (run->stages[run->w->products[i].stage].state != STAGE_DONE)
			continue;
		int r = put_product(run, &run->w->products[i]);
		if (r < 0)
			return r;
	}
	return 0;
}

/* A handler that fails, or that an operator cancels, spoils a run that was good. */
static void mind_handlers(struct run_now *run, char *text, size_t cap, const char **reason)
{
	for (size_t i = 0; i < run->w->n_stages; i++) {
		const struct wf_stage *s = &run->w->stages[i];

		bool cancelled = run->stages[i].state == STAGE_CANCELLED;

		if (run->outcome != RUN_DONE || s->role == WF_NORMAL || s->on_failure == WF_CONTINUE ||
			(run->stages[i].state != STAGE_FAILED && !cancelled))
			continue;
		run->outcome = RUN_FAILED;
		snprintf(text, cap, "stage %s %s", s->name, cancelled ? "was cancelled" : "failed");
		*reason = text;
	}
}

int run_end(struct run_now *run)
{
	struct pipelines *p = run->p;
	char text[TASK_REASON_BYTES];
	const char *reason = run->reason;

	mind_handlers(run, text, sizeof(text), &reason);
	int r = store_change(p->o.store);
	if (r == 0)
		r = store_exec(p->o.store,
			"UPDATE run SET state = ?, reason = ?, ended_ns = ?, phase = ? WHERE id = ?", "itiii",
			run->outcome, reason, clock_utc().ns, (int64_t)PHASE_ON_EXIT, run->id);
	if (r == 0)
		r = put_products(run);
	return r == 0 ? run_ended(p, run->id) : r;
}

int run_ended(struct pipelines *p, int64_t run)
{
	char workflow[TASK_WORKFLOW_BYTES], stage[TASK_STAGE_BYTES];
	sqlite3_stmt *q = store_query(
		p->o.store, "SELECT workflow, state, parent, parent_stage FROM run WHERE id = ?", "i", run);

	if (!q || sqlite3_step(q) != SQLITE_ROW)
		return ERR_STORE;
	snprintf(workflow, sizeof(workflow), "%s", (const char *)sqlite3_column_text(q, 0));
	int64_t state = sqlite3_column_int64(q, 1), parent = sqlite3_column_int64(q, 2);
	snprintf(stage, sizeof(stage), "%s", parent ? (const char *)sqlite3_column_text(q, 3) : "");
	sqlite3_reset(q);
	if (p->o.on_run_ended)
		p->o.on_run_ended(p->o.user, run);
	int r = scheduler_run_over(p->o.scheduler, run);
	if (r == 0 && parent)
		r = uses_child_ended(p, parent, stage, run, state);
	if (r == 0)
		r = triggers_completed(p, run);
	return r == 0 ? run_open_next(p, workflow) : r;
}
