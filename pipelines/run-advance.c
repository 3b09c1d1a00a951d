/* SPDX-License-Identifier: Apache-2.0 */
/* Advancing a run: what became ready is put into the queue, what will not run is left out, and when all is
 * settled the run ends and its products go to the ground. All within the turn. */
#include <errno.h>
#include <string.h>

#include "core/json.h"
#include "runs.h"

struct advance {
	struct pipelines *p;
	struct workflow *w;
	int64_t run;
	unsigned char *state; /* by stage, enum stage_state */
	struct utc_time age_from;
	cJSON **json; /* parsed outputs, WF_OUTPUTS_MAX a stage, when asked for */
};

static int load_states(struct advance *a)
{
	sqlite3_stmt *q = store_query(
		a->p->o.store, "SELECT position, state FROM run_stage WHERE run = ?", "i", a->run);
	int rc = SQLITE_ERROR;

	while (q && (rc = sqlite3_step(q)) == SQLITE_ROW) {
		int64_t at = sqlite3_column_int64(q, 0);
		if (at >= 0 && (uint64_t)at < a->w->n_stages)
			a->state[at] = (unsigned char)sqlite3_column_int64(q, 1);
	}
	return rc == SQLITE_DONE ? 0 : ERR_STORE;
}

static int set_stage(struct advance *a, size_t stage, enum stage_state state, const char *reason)
{
	int r = store_change(a->p->o.store);

	if (r == 0)
		r = store_exec(a->p->o.store,
			"UPDATE run_stage SET state = ?, reason = ?, ended_ns = CASE WHEN ?1 >= 3 THEN ? END"
			" WHERE run = ? AND stage = ?",
			"itiit", (int64_t)state, reason, clock_utc().ns, a->run, a->w->stages[stage].name);
	if (r < 0)
		return r;
	a->state[stage] = state;
	if (a->p->o.on_stage)
		a->p->o.on_stage(
			a->p->o.user, a->run, a->w->stages[stage].name, stage_state_name(state), reason);
	return 0;
}

static const cJSON *value_of_output(void *user, size_t stage, size_t output)
{
	struct advance *a = user;
	cJSON **slot = &a->json[stage * WF_OUTPUTS_MAX + output];

	if (*slot)
		return *slot;
	sqlite3_stmt *q = store_query(a->p->o.store,
		"SELECT json FROM run_output WHERE run = ? AND stage = ? AND name = ?", "itt", a->run,
		a->w->stages[stage].name, a->w->stages[stage].outputs[output].name);
	if (q && sqlite3_step(q) == SQLITE_ROW && sqlite3_column_text(q, 0))
		*slot = cJSON_Parse((const char *)sqlite3_column_text(q, 0));
	if (q)
		sqlite3_reset(q);
	return *slot;
}

static int queue_stage(struct advance *a, size_t stage)
{
	const struct wf_stage *s = &a->w->stages[stage];
	struct task_spec spec = {
		.run = a->run,
		.stage = s->name,
		.item = -1,
		.payload = a->w->payload,
		.workflow = a->w->name,
		.priority = a->w->priority,
		.age_from = a->age_from,
		.deadline.ns = a->w->deadline_ns ? a->age_from.ns + a->w->deadline_ns : 0,
		.cpus_milli = s->cpus_milli,
		.memory_bytes = s->memory_bytes,
		.time_ns = s->time_ns,
		.energy_mj = s->energy_mj,
		.retry = {.limit = s->retry.limit,
			.on = s->retry.on,
			.backoff_ns = s->retry.backoff_ns,
			.max_backoff_ns = s->retry.max_backoff_ns,
			.jitter = s->retry.jitter},
	};
	int64_t task;
	int r = scheduler_put(a->p->o.scheduler, &spec, &task);

	return r < 0 ? r : set_stage(a, stage, STAGE_QUEUED, NULL);
}

/* Settles one waiting stage if its needs are settled: 1 when it changed. */
static int consider(struct advance *a, size_t stage)
{
	const struct wf_stage *s = &a->w->stages[stage];
	char reason[EXPR_REASON_BYTES + 2 * 64 + 32] = "", seen[EXPR_REASON_BYTES];
	int r;

	for (size_t i = 0; i < s->n_needs; i++)
		if (a->state[s->needs[i]] < STAGE_DONE)
			return 0;
	for (size_t i = 0; i < s->n_needs && !*reason; i++)
		if (a->state[s->needs[i]] != STAGE_DONE)
			snprintf(reason, sizeof(reason), "needs %s, which %s", a->w->stages[s->needs[i]].name,
				a->state[s->needs[i]] == STAGE_FAILED ? "failed" : "was left out");
	if (*reason) {
		r = set_stage(a, stage, STAGE_SKIPPED, reason);
		return r < 0 ? r : 1;
	}
	const struct expr_scope scope = {.value = value_of_output, .user = a};
	int go = s->when ? expr_truth(s->when, &scope, seen) : 1;
	if (go > 0) {
		r = queue_stage(a, stage);
	} else if (go == 0) {
		snprintf(reason, sizeof(reason), "when %.120s: %s", s->when_text, seen);
		r = set_stage(a, stage, STAGE_SKIPPED, reason);
	} else {
		snprintf(reason, sizeof(reason), "when: %s", seen);
		r = set_stage(a, stage, STAGE_FAILED, reason);
	}
	return r < 0 ? r : 1;
}

static int put_products(struct advance *a)
{
	for (size_t i = 0; i < a->w->n_products; i++) {
		const struct wf_product *wp = &a->w->products[i];
		const struct wf_stage *s = &a->w->stages[wp->stage];
		const struct wf_output *o = &s->outputs[wp->output];
		struct run_product p = {.run = a->run,
			.workflow = a->w->name,
			.stage = s->name,
			.name = o->name,
			.type = o->type == WF_JSON ? "json" : "file",
			.priority = wp->priority};

		if (a->state[wp->stage] != STAGE_DONE)
			continue;
		sqlite3_stmt *q = store_query(a->p->o.store,
			"SELECT digest, bytes FROM run_output WHERE run = ? AND stage = ? AND name = ?",
			"itt", a->run, s->name, o->name);
		if (!q || sqlite3_step(q) != SQLITE_ROW ||
			digest_parse((const char *)sqlite3_column_text(q, 0), &p.digest) < 0)
			return ERR_STORE;
		p.bytes = (uint64_t)sqlite3_column_int64(q, 1);
		sqlite3_reset(q);
		int r = a->p->o.sink.put ? a->p->o.sink.put(a->p->o.sink.user, &p) : 0;
		if (r < 0)
			return r;
	}
	return 0;
}

static int end_run(struct advance *a)
{
	char reason[TASK_REASON_BYTES] = "";

	for (size_t i = 0; i < a->w->n_stages && !*reason; i++)
		if (a->state[i] == STAGE_FAILED)
			snprintf(reason, sizeof(reason), "stage %s failed", a->w->stages[i].name);
	int r = store_change(a->p->o.store);
	if (r == 0)
		r = store_exec(a->p->o.store,
			"UPDATE run SET state = ?, reason = ?, ended_ns = ? WHERE id = ?", "itii",
			(int64_t)(*reason ? RUN_FAILED : RUN_DONE), *reason ? reason : NULL, clock_utc().ns,
			a->run);
	if (r == 0)
		r = put_products(a);
	if (r < 0)
		return r;
	if (a->p->o.on_run_ended)
		a->p->o.on_run_ended(a->p->o.user, a->run);
	return 0;
}

static int settle(struct advance *a)
{
	bool changed = true, over = true;

	while (changed) {
		changed = false;
		for (size_t i = 0; i < a->w->n_stages; i++) {
			int r = a->state[i] == STAGE_WAITING ? consider(a, i) : 0;
			if (r < 0)
				return r;
			changed |= r > 0;
		}
	}
	for (size_t i = 0; i < a->w->n_stages; i++)
		over &= a->state[i] >= STAGE_DONE;
	return over ? end_run(a) : 0;
}

static int64_t age_of_run(struct pipelines *p, int64_t run)
{
	sqlite3_stmt *q = store_query(p->o.store, "SELECT age_from_ns FROM run WHERE id = ?", "i", run);
	int64_t age = q && sqlite3_step(q) == SQLITE_ROW ? sqlite3_column_int64(q, 0) : 0;

	if (q)
		sqlite3_reset(q);
	return age;
}

int run_advance(struct pipelines *p, int64_t run)
{
	struct advance a = {.p = p, .run = run};
	int r = runs_workflow(p, run, &a.w);

	if (r < 0)
		return r;
	a.state = calloc(a.w->n_stages, 1);
	a.json = calloc(a.w->n_stages * WF_OUTPUTS_MAX, sizeof(cJSON *));
	a.age_from.ns = age_of_run(p, run);
	r = a.state && a.json ? load_states(&a) : -ENOMEM;
	if (r == 0)
		r = settle(&a);
	for (size_t i = 0; a.json && i < a.w->n_stages * WF_OUTPUTS_MAX; i++)
		cJSON_Delete(a.json[i]);
	free(a.json);
	free(a.state);
	return r;
}
