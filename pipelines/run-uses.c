/* SPDX-License-Identifier: Apache-2.0 */
/* A stage that is another workflow: it runs as a run of its own, whose declared outputs become the stage's. */
#include <errno.h>
#include <string.h>

#include "core/json.h"
#include "runs.h"

/* The inputs of the stage, as the other workflow's trigger inputs. */
static int take_inputs(struct run_now *run, size_t stage, struct run_input *inputs, char *ret_reason, size_t cap)
{
	const struct wf_stage *s = &run->w->stages[stage];
	char digest[DIGEST_TEXT_BYTES];

	for (size_t i = 0; i < s->n_inputs; i++) {
		inputs[i].name = s->inputs[i].name;
		int r = run_input_of(
			run->p->o.store, run->w, run->id, &s->inputs[i], digest, &inputs[i].bytes);
		if (r == 0)
			r = digest_parse(digest, &inputs[i].digest);
		if (r < 0) {
			snprintf(ret_reason, cap, "input %s is not there", s->inputs[i].name);
			return r;
		}
	}
	return 0;
}

static cJSON *child_event(const struct run_now *run, const struct wf_stage *s)
{
	cJSON *event = cJSON_CreateObject();

	if (event && cJSON_AddStringToObject(event, "event", "uses") &&
		cJSON_AddNumberToObject(event, "run", (double)run->id) &&
		cJSON_AddStringToObject(event, "stage", s->name))
		return event;
	cJSON_Delete(event);
	return NULL;
}

static int make_child(struct run_now *run, size_t stage, int64_t *ret_child, char *ret_reason, size_t cap)
{
	const struct wf_stage *s = &run->w->stages[stage];
	const struct workflow *w = workflows_find(run->p, s->uses);
	struct run_input inputs[WF_INPUTS_MAX];
	CLEAN_JSON cJSON *event = child_event(run, s), *params = NULL;
	struct wf_scope scope = {.params = run->params};
	char why[WF_REASON_BYTES] = "";

	if (!event)
		return -ENOMEM;
	if (!w || strcmp(w->payload, run->w->payload)) {
		snprintf(ret_reason, cap, "this mission has no workflow %s of payload %s", s->uses,
			run->w->payload);
		return ERR_UNKNOWN;
	}
	int r = take_inputs(run, stage, inputs, ret_reason, cap);
	if (r < 0)
		return r;
	r = s->params ? wf_fill_json(s->params, &scope, &params, why) : 0;
	if (r < 0) {
		snprintf(ret_reason, cap, "%s", why);
		return r;
	}
	struct run_plan plan = {.w = w,
		.age_from = run->age_from,
		.deadline = s->role == WF_NORMAL ? run->deadline : (struct utc_time){0},
		.event = event,
		.params = params,
		.inputs = inputs,
		.n_inputs = s->n_inputs,
		.parent = run->id,
		.parent_stage = s->name,
		.priority = run->priority,
		.chain = run->chain + 1};
	return run_make(run->p, &plan, ret_child, ret_reason, cap);
}

static bool is_pending(struct pipelines *p, int64_t run)
{
	sqlite3_stmt *q = store_query(p->o.store, "SELECT 1 FROM run WHERE id = ? AND state = 4", "i", run);
	bool pending = q && sqlite3_step(q) == SQLITE_ROW;

	if (q)
		sqlite3_reset(q);
	return pending;
}

int uses_begin(struct run_now *run, size_t stage)
{
	char reason[TASK_REASON_BYTES] = "";
	int64_t child;
	int r = make_child(run, stage, &child, reason, sizeof(reason));

	if (r < 0 && *reason) /* a matter of the workflows, not of the machine */
		return run_set_stage(run, stage, STAGE_FAILED, reason);
	if (r == 0)
		r = store_exec(run->p->o.store,
			"UPDATE run_stage SET child = ?, started_ns = ? WHERE run = ? AND stage = ?", "iiit",
			child, clock_utc().ns, run->id, run->w->stages[stage].name);
	if (r < 0)
		return r;
	run->stages[stage].child = child;
	snprintf(reason, sizeof(reason), "run %lld", (long long)child);
	return run_set_stage(
		run, stage, is_pending(run->p, child) ? STAGE_QUEUED : STAGE_RUNNING, reason);
}

int uses_child_opened(struct pipelines *p, int64_t parent, const char *stage)
{
	struct run_now run;
	size_t at;
	int r = run_load(p, parent, &run);

	if (r < 0)
		return r == ERR_CHECKED || r == ERR_UNKNOWN ? 0 : r;
	/* Not while it is being made: then its stage is set by uses_begin. */
	if (workflow_find_stage(run.w, stage, &at) && run.stages[at].state == STAGE_QUEUED)
		r = run_set_stage(&run, at, STAGE_RUNNING, NULL);
	run_finish(&run);
	return r;
}

/* The declared outputs that there are, as those of the stage. */
static int take_results(struct pipelines *p, const struct run_now *parent, const char *stage, int64_t child)
{
	struct workflow *w;
	int r = runs_workflow(p, child, &w);

	if (r < 0)
		return r == ERR_CHECKED ? 0 : r;
	for (size_t i = 0; r == 0 && i < w->n_results; i++) {
		const struct wf_stage *s = &w->stages[w->results[i].stage];
		r = store_exec(p->o.store,
			"INSERT OR REPLACE INTO run_output(run, stage, name, digest, bytes, json)"
			" SELECT ?, ?, ?, digest, bytes, json FROM run_output WHERE run = ? AND stage = ? AND"
			" name = ?",
			"ittitt", parent->id, stage, w->results[i].name, child, s->name,
			s->outputs[w->results[i].output].name);
	}
	return r;
}

int uses_child_ended(struct pipelines *p, int64_t parent, const char *stage, int64_t child, int64_t state)
{
	char reason[96];
	struct run_now run;
	size_t at;
	int r = run_load(p, parent, &run);

	if (r < 0)
		return r == ERR_CHECKED || r == ERR_UNKNOWN ? 0 : r;
	if (!workflow_find_stage(run.w, stage, &at) || run.stages[at].child != child ||
		stage_settled(run.stages[at].state)) {
		run_finish(&run);
		return 0;
	}
	snprintf(reason, sizeof(reason), "run %lld %s", (long long)child,
		state == RUN_DONE     ? "is done"
		: state == RUN_FAILED ? "failed"
				      : "was cancelled");
	r = store_change(p->o.store);
	if (r == 0 && state == RUN_DONE)
		r = take_results(p, &run, stage, child);
	enum stage_state now = state == RUN_DONE ? STAGE_DONE : STAGE_FAILED;
	if (now == STAGE_FAILED && run.stages[at].ending)
		r = r == 0 ? run_stop_settled(&run, at) : r;
	else if (r == 0)
		r = run_set_stage(&run, at, now, reason);
	run_finish(&run);
	return r == 0 ? run_touch(p, parent) : r;
}
