/* SPDX-License-Identifier: Apache-2.0 */
/* A run and its stages, as the database has them. */
#include <errno.h>
#include <string.h>

#include "core/json.h"
#include "runs.h"

static char *copy_text(sqlite3_stmt *q, int column)
{
	const char *text = (const char *)sqlite3_column_text(q, column);

	return text ? strdup(text) : NULL;
}

static cJSON *parse_params(const char *text)
{
	return text ? cJSON_Parse(text) : cJSON_CreateObject();
}

static void read_run(sqlite3_stmt *q, struct run_now *run)
{
	run->state = sqlite3_column_int64(q, 0);
	run->priority = (uint8_t)sqlite3_column_int64(q, 1);
	run->age_from.ns = sqlite3_column_int64(q, 2);
	run->deadline.ns = sqlite3_column_int64(q, 3);
	if (sqlite3_column_type(q, 3) == SQLITE_NULL && run->w->deadline_ns)
		run->deadline.ns = run->age_from.ns + run->w->deadline_ns;
	run->phase = sqlite3_column_int64(q, 4);
	run->outcome = sqlite3_column_type(q, 5) == SQLITE_NULL ? -1 : sqlite3_column_int64(q, 5);
	run->reason = copy_text(q, 6);
	run->ordered = sqlite3_column_int64(q, 7) != 0;
	run->parent = sqlite3_column_int64(q, 8);
	run->parent_stage = copy_text(q, 9);
	run->chain = sqlite3_column_int64(q, 10);
	run->params = parse_params((const char *)sqlite3_column_text(q, 11));
}

static int load_run(struct run_now *run)
{
	sqlite3_stmt *q = store_query(run->p->o.store,
		"SELECT state, priority, age_from_ns, deadline_ns, phase, outcome, reason, ordered, parent,"
		" parent_stage, chain, params FROM run WHERE id = ?",
		"i", run->id);
	int rc = q ? sqlite3_step(q) : SQLITE_ERROR;

	if (rc == SQLITE_ROW)
		read_run(q, run);
	if (q)
		sqlite3_reset(q);
	if (rc != SQLITE_ROW)
		return rc == SQLITE_DONE ? ERR_UNKNOWN : ERR_STORE;
	return run->params ? 0 : -ENOMEM;
}

static int load_stages(struct run_now *run)
{
	sqlite3_stmt *q = store_query(run->p->o.store,
		"SELECT position, state, approved_ns, task, child, ending FROM run_stage WHERE run = ?", "i",
		run->id);
	int rc = SQLITE_ERROR;

	while (q && (rc = sqlite3_step(q)) == SQLITE_ROW) {
		int64_t at = sqlite3_column_int64(q, 0);
		if (at < 0 || (uint64_t)at >= run->w->n_stages)
			continue;
		run->stages[at] = (struct stage_now){
			.state = (unsigned char)sqlite3_column_int64(q, 1),
			.approved = sqlite3_column_type(q, 2) != SQLITE_NULL,
			.task = sqlite3_column_int64(q, 3),
			.child = sqlite3_column_int64(q, 4),
			.ending = sqlite3_column_int64(q, 5),
		};
	}
	return rc == SQLITE_DONE ? 0 : ERR_STORE;
}

int run_load(struct pipelines *p, int64_t run, struct run_now *ret_run)
{
	struct run_now now = {.p = p, .id = run};
	int r = runs_workflow(p, run, &now.w);

	if (r < 0)
		return r;
	now.stages = calloc(now.w->n_stages, sizeof(*now.stages));
	now.json = calloc(now.w->n_stages * WF_OUTPUTS_MAX, sizeof(cJSON *));
	r = now.stages && now.json ? load_run(&now) : -ENOMEM;
	if (r == 0)
		r = load_stages(&now);
	if (r < 0)
		run_finish(&now);
	else
		*ret_run = now;
	return r;
}

void run_finish(struct run_now *run)
{
	for (size_t i = 0; run->json && i < run->w->n_stages * WF_OUTPUTS_MAX; i++)
		cJSON_Delete(run->json[i]);
	free(run->json);
	free(run->stages);
	free(run->parent_stage);
	free(run->reason);
	cJSON_Delete(run->params);
}

const cJSON *run_json_of(void *user, size_t stage, size_t output)
{
	struct run_now *run = user;
	cJSON **slot = &run->json[stage * WF_OUTPUTS_MAX + output];

	if (*slot)
		return *slot;
	sqlite3_stmt *q = store_query(run->p->o.store,
		"SELECT json FROM run_output WHERE run = ? AND stage = ? AND name = ?", "itt", run->id,
		run->w->stages[stage].name, run->w->stages[stage].outputs[output].name);
	if (q && sqlite3_step(q) == SQLITE_ROW && sqlite3_column_text(q, 0))
		*slot = cJSON_Parse((const char *)sqlite3_column_text(q, 0));
	if (q)
		sqlite3_reset(q);
	return *slot;
}

int run_set_stage(struct run_now *run, size_t stage, enum stage_state state, const char *reason)
{
	struct pipelines *p = run->p;
	const char *name = run->w->stages[stage].name;
	int r = store_change(p->o.store);

	if (r == 0)
		r = store_exec(p->o.store,
			"UPDATE run_stage SET state = ?, reason = ?, ended_ns = CASE WHEN ? THEN ? END"
			" WHERE run = ? AND stage = ?",
			"itiiit", (int64_t)state, reason, (int64_t)stage_settled(state), clock_utc().ns,
			run->id, name);
	if (r < 0)
		return r;
	run->stages[stage].state = (unsigned char)state;
	if (p->o.on_stage)
		p->o.on_stage(p->o.user, run->id, name, stage_state_name(state), reason);
	return 0;
}

int run_input_of(struct store *store, const struct workflow *w, int64_t run, const struct wf_input *in,
	char ret_digest[DIGEST_TEXT_BYTES], uint64_t *ret_bytes)
{
	sqlite3_stmt *q;

	if (in->from == WF_FROM_TRIGGER)
		q = store_query(store, "SELECT digest, bytes FROM run_input WHERE run = ? AND name = ?", "it",
			run, in->trigger_name);
	else
		q = store_query(store,
			"SELECT digest, bytes FROM run_output WHERE run = ? AND stage = ? AND name = ?",
			"itt", run, w->stages[in->stage].name,
			w->stages[in->stage].outputs[in->output].name);
	int rc = q ? sqlite3_step(q) : SQLITE_ERROR;
	if (rc == SQLITE_ROW) {
		snprintf(ret_digest, DIGEST_TEXT_BYTES, "%s", (const char *)sqlite3_column_text(q, 0));
		*ret_bytes = (uint64_t)sqlite3_column_int64(q, 1);
	}
	if (q)
		sqlite3_reset(q);
	if (rc == SQLITE_ROW)
		return 0;
	return rc == SQLITE_DONE ? ERR_UNKNOWN : ERR_STORE;
}

int run_params(struct store *store, int64_t run, cJSON **ret_params)
{
	sqlite3_stmt *q = store_query(store, "SELECT params FROM run WHERE id = ?", "i", run);
	int rc = q ? sqlite3_step(q) : SQLITE_ERROR;
	cJSON *params = rc == SQLITE_ROW ? parse_params((const char *)sqlite3_column_text(q, 0)) : NULL;

	if (q)
		sqlite3_reset(q);
	if (rc != SQLITE_ROW)
		return rc == SQLITE_DONE ? ERR_UNKNOWN : ERR_STORE;
	if (!params)
		return -ENOMEM;
	*ret_params = params;
	return 0;
}
