/* SPDX-License-Identifier: Apache-2.0 */
/* Running again from a stage on: a new run of the same workflow text, inputs and parameters, which takes over
 * what was done and does not come after that stage. */
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "core/json.h"
#include "runs.h"

struct rerun {
	struct pipelines *p;
	struct run_now old;
	bool *again; /* by stage: runs again */
};

/* What comes after a stage that runs again runs again too; needs point backwards in no certain order. */
static void spread(struct rerun *r)
{
	const struct workflow *w = r->old.w;
	bool changed = true;

	while (changed) {
		changed = false;
		for (size_t i = 0; i < w->n_stages; i++)
			for (size_t k = 0; !r->again[i] && k < w->stages[i].n_needs; k++)
				if (r->again[w->stages[i].needs[k]])
					changed = r->again[i] = true;
	}
}

/* The artifacts of its outputs may have been cleared away. */
static bool outputs_there(struct rerun *r, size_t stage)
{
	return runs_artifacts_there(
		r->p, store_query(r->p->o.store, "SELECT digest FROM run_output WHERE run = ? AND stage = ?",
			      "it", r->old.id, r->old.w->stages[stage].name));
}

static int choose(struct rerun *r, const char *from, char *ret_reason, size_t cap)
{
	size_t at = WF_NONE;

	if (from && !workflow_find_stage(r->old.w, from, &at)) {
		snprintf(ret_reason, cap, "workflow %s has no stage %s", r->old.w->name, from);
		return ERR_UNKNOWN;
	}
	for (size_t i = 0; i < r->old.w->n_stages; i++)
		r->again[i] = i == at || r->old.w->stages[i].role != WF_NORMAL ||
			      r->old.stages[i].state != STAGE_DONE || !outputs_there(r, i);
	spread(r);
	return 0;
}

static int take_over(struct rerun *r, int64_t run, size_t stage)
{
	struct store *s = r->p->o.store;
	const char *name = r->old.w->stages[stage].name;
	char reason[64];

	snprintf(reason, sizeof(reason), "taken from run %lld", (long long)r->old.id);
	int rc = store_exec(s,
		"UPDATE run_stage SET (state, reason, from_run, image_digest, attempts, started_ns, ended_ns,"
		" wall_ns, cpu_ns, memory_peak_bytes) = (SELECT 3, ?, ifnull(from_run, run), image_digest,"
		" attempts, started_ns, ended_ns, wall_ns, cpu_ns, memory_peak_bytes FROM run_stage"
		" WHERE run = ? AND stage = ?) WHERE run = ? AND stage = ?",
		"titit", reason, r->old.id, name, run, name);
	return rc == 0 ? store_exec(s,
				 "INSERT INTO run_output(run, stage, name, digest, bytes, json)"
				 " SELECT ?, stage, name, digest, bytes, json FROM run_output"
				 " WHERE run = ? AND stage = ?",
				 "iit", run, r->old.id, name)
		       : rc;
}

/* Borrows names from the statement's rows: copies them into one block. */
static int read_inputs(struct rerun *r, struct run_input *inputs, size_t *ret_n, char *names, size_t cap)
{
	sqlite3_stmt *q = store_query(
		r->p->o.store, "SELECT name, digest, bytes FROM run_input WHERE run = ?", "i", r->old.id);
	size_t n = 0, len = 0;
	int rc = SQLITE_ERROR;

	while (q && n < WF_INPUTS_MAX && (rc = sqlite3_step(q)) == SQLITE_ROW) {
		int wrote = snprintf(names + len, cap - len, "%s", (const char *)sqlite3_column_text(q, 0));
		if (wrote < 0 || (size_t)wrote >= cap - len ||
			digest_parse((const char *)sqlite3_column_text(q, 1), &inputs[n].digest) < 0)
			return ERR_STORE;
		inputs[n].name = names + len;
		inputs[n].bytes = (uint64_t)sqlite3_column_int64(q, 2);
		len += (size_t)wrote + 1;
		n++;
	}
	if (q)
		sqlite3_reset(q);
	*ret_n = n;
	return rc == SQLITE_DONE ? 0 : ERR_STORE;
}

static cJSON *rerun_event(const struct rerun *r, const char *from, const char *who)
{
	cJSON *event = cJSON_CreateObject();

	if (event && cJSON_AddStringToObject(event, "event", "rerun") &&
		cJSON_AddNumberToObject(event, "run", (double)r->old.id) &&
		(!from || cJSON_AddStringToObject(event, "from", from)) &&
		(!who || cJSON_AddStringToObject(event, "who", who)))
		return event;
	cJSON_Delete(event);
	return NULL;
}

static int make(
	struct rerun *r, const char *from, const char *who, int64_t *ret_run, char *ret_reason, size_t cap)
{
	struct run_input inputs[WF_INPUTS_MAX];
	char names[WF_INPUTS_MAX * 64];
	CLEAN_JSON cJSON *event = rerun_event(r, from, who);
	size_t n;

	if (!event)
		return -ENOMEM;
	int rc = read_inputs(r, inputs, &n, names, sizeof(names));
	if (rc < 0)
		return rc;
	struct run_plan plan = {.w = r->old.w,
		.age_from = clock_utc(),
		.event = event,
		.params = r->old.params,
		.inputs = inputs,
		.n_inputs = n,
		.priority = r->old.priority,
		.rerun_of = r->old.id};
	rc = run_make(r->p, &plan, ret_run, ret_reason, cap);
	for (size_t i = 0; rc == 0 && i < r->old.w->n_stages; i++)
		if (!r->again[i])
			rc = take_over(r, *ret_run, i);
	return rc;
}

int pipelines_rerun(struct pipelines *p, int64_t run, const char *from, const char *who, int64_t *ret_run,
	char *ret_reason, size_t cap)
{
	struct rerun r = {.p = p};
	int rc = run_load(p, run, &r.old);

	ret_reason[0] = '\0';
	if (rc < 0) {
		snprintf(ret_reason, cap, "run %lld: %s", (long long)run,
			rc == ERR_UNKNOWN ? "there is no such run" : err_text(rc));
		return rc;
	}
	if (r.old.state == RUN_OPEN || r.old.state == RUN_PENDING) {
		snprintf(ret_reason, cap, "run %lld is not over", (long long)run);
		rc = ERR_STATE;
	}
	if (trim_removes(p, run)) {
		snprintf(ret_reason, cap, "run %lld is being removed: it is older than what is kept",
			(long long)run);
		rc = ERR_STATE;
	}
	r.again = calloc(r.old.w->n_stages, sizeof(bool));
	if (rc == 0 && !r.again)
		rc = -ENOMEM;
	if (rc == 0)
		rc = choose(&r, from, ret_reason, cap);
	if (rc == 0) {
		runs_enter(p);
		rc = runs_leave(p, make(&r, from, who, ret_run, ret_reason, cap));
	}
	free(r.again);
	run_finish(&r.old);
	if (rc < 0 && !ret_reason[0])
		snprintf(ret_reason, cap, "%s", err_text(rc));
	return rc;
}
