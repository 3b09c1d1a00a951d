/* SPDX-License-Identifier: Apache-2.0 */
/* Making runs, and the line that they wait in when as many are open as the workflow allows. */
#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "core/boot.h"
#include "core/json.h"
#include "core/log.h"
#include "runs.h"

/* ---- rows ---- */

static int insert_run(struct pipelines *p, const struct run_plan *plan, const cJSON *params,
	enum run_state state, int64_t *ret_run)
{
	const struct workflow *w = plan->w;
	struct store *s = p->o.store;
	char digest[DIGEST_TEXT_BYTES];
	CLEAN_FREE char *event = cJSON_PrintUnformatted(plan->event);
	CLEAN_FREE char *params_text = params->child ? cJSON_PrintUnformatted(params) : NULL;
	int64_t deadline = w->deadline_ns ? plan->age_from.ns + w->deadline_ns : 0;

	if (!event || (params->child && !params_text))
		return -ENOMEM;
	if (plan->deadline.ns && (!deadline || plan->deadline.ns < deadline))
		deadline = plan->deadline.ns;
	digest_format(&w->digest, digest);
	int r = store_change(s);
	if (r == 0)
		r = store_exec(s, "INSERT OR IGNORE INTO workflow_text(digest, name, text) VALUES(?, ?, ?)",
			"ttb", digest, w->name, (const void *)w->text, (int)w->text_len);
	if (r == 0)
		r = store_exec(s,
			"INSERT INTO run(workflow, digest, payload, priority, state, created_ns, age_from_ns,"
			" event, params, deadline_ns, parent, parent_stage, chain, rerun_of)"
			" VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, nullif(?, 0), ?, ?, nullif(?, 0))",
			"tttiiiittiitii", w->name, digest, w->payload,
			(int64_t)(plan->priority < 0 ? w->priority : plan->priority), (int64_t)state,
			clock_utc().ns, plan->age_from.ns, event, params_text, deadline, plan->parent,
			plan->parent_stage, plan->chain, plan->rerun_of);
	if (r == 0)
		*ret_run = sqlite3_last_insert_rowid(store_db(s));
	p->n_runs += r == 0;
	return r;
}

static int insert_inputs(struct pipelines *p, const struct run_plan *plan, int64_t run)
{
	char digest[DIGEST_TEXT_BYTES];
	int r = 0;

	for (size_t i = 0; r == 0 && i < plan->n_inputs; i++) {
		digest_format(&plan->inputs[i].digest, digest);
		r = store_exec(p->o.store,
			"INSERT INTO run_input(run, name, digest, bytes) VALUES(?, ?, ?, ?)", "itti", run,
			plan->inputs[i].name, digest, (int64_t)plan->inputs[i].bytes);
	}
	return r;
}

static int insert_parts(struct pipelines *p, const struct run_plan *plan, int64_t run)
{
	int r = insert_inputs(p, plan, run);

	for (size_t i = 0; r == 0 && i < plan->w->n_stages; i++) {
		const struct wf_stage *stage = &plan->w->stages[i];
		r = store_exec(p->o.store,
			"INSERT INTO run_stage(run, stage, position, image) VALUES(?, ?, ?, ?)", "itit", run,
			stage->name, (int64_t)i, stage->image ? stage->image : "");
	}
	return r;
}

/* ---- the line ---- */

static int64_t count(struct pipelines *p, const char *workflow, enum run_state state)
{
	sqlite3_stmt *q =
		state == RUN_OPEN
			? store_query(p->o.store, "SELECT count(*) FROM run WHERE state = 0 AND workflow = ?",
				  "t", workflow)
			: store_query(p->o.store, "SELECT count(*) FROM run WHERE state = 4 AND workflow = ?",
				  "t", workflow);
	int64_t n = q && sqlite3_step(q) == SQLITE_ROW ? sqlite3_column_int64(q, 0) : ERR_STORE;

	if (q)
		sqlite3_reset(q);
	return n;
}

/* The oldest that waits, and is not to be cancelled; 0: none. */
static int64_t first_pending(struct pipelines *p, const char *workflow)
{
	sqlite3_stmt *q = store_query(p->o.store,
		"SELECT id FROM run WHERE state = 4 AND workflow = ? AND ordered = 0 ORDER BY id LIMIT 1",
		"t", workflow);
	int rc = q ? sqlite3_step(q) : SQLITE_ERROR;
	int64_t run = rc == SQLITE_ROW ? sqlite3_column_int64(q, 0) : 0;

	if (q)
		sqlite3_reset(q);
	return rc == SQLITE_ROW || rc == SQLITE_DONE ? run : ERR_STORE;
}

static int refuse(char *ret_reason, size_t cap, const char *fmt, ...) PRINTF(3, 4);
static int refuse(char *ret_reason, size_t cap, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(ret_reason, cap, fmt, ap);
	va_end(ap);
	return ERR_LIMIT;
}

/* Whether a new run opens, waits, or is refused (ERR_LIMIT). */
static int find_place(struct pipelines *p, const struct workflow *w, enum run_state *ret_state,
	char *ret_reason, size_t cap)
{
	int64_t open = w->max_runs ? count(p, w->name, RUN_OPEN) : 0;
	int64_t pending = w->max_runs ? count(p, w->name, RUN_PENDING) : 0, old = 0;

	if (open < 0 || pending < 0)
		return ERR_STORE;
	*ret_state = RUN_OPEN;
	if (!w->max_runs || (open < w->max_runs && pending == 0))
		return 0;
	*ret_state = RUN_PENDING;
	if (w->when_full == WF_SKIP)
		return refuse(ret_reason, cap, "%lld runs of %s are open, as many as it allows",
			(long long)open, w->name);
	if (w->when_full == WF_QUEUE && pending >= RUNS_PENDING_MAX)
		return refuse(
			ret_reason, cap, "%lld runs of %s are waiting already", (long long)pending, w->name);
	while (w->when_full == WF_LATEST && (old = first_pending(p, w->name)) > 0) {
		int r = run_drop_pending(p, old, "a newer event took its place");
		if (r < 0)
			return r;
	}
	return w->when_full == WF_LATEST && old < 0 ? ERR_STORE : 0;
}

static int open_run(struct pipelines *p, int64_t run)
{
	struct run_now now;
	int r = store_change(p->o.store);

	if (r == 0)
		r = store_exec(p->o.store,
			"UPDATE run SET state = 0, opened_ns = ?, opened_mono_ns = ?, boot = ? WHERE id = ?",
			"iiti", clock_utc().ns, clock_mono().ns, boot_id(), run);
	if (r == 0)
		r = run_load(p, run, &now);
	if (r == ERR_CHECKED)
		return run_touch(p, run); /* it will end by that */
	if (r < 0)
		return r;
	if (now.w->timeout_ns)
		r = timeout_begin(&now, WF_NONE);
	if (r == 0 && now.parent)
		r = uses_child_opened(p, now.parent, now.parent_stage);
	run_finish(&now);
	return r == 0 ? run_touch(p, run) : r;
}

int run_open_next(struct pipelines *p, const char *workflow)
{
	int64_t run = first_pending(p, workflow);
	struct workflow *w;

	if (run <= 0)
		return (int)run;
	int r = runs_workflow(p, run, &w);
	if (r < 0 && r != ERR_CHECKED)
		return r;
	int64_t open = count(p, workflow, RUN_OPEN);
	if (open < 0)
		return ERR_STORE;
	if (r == 0 && w->max_runs && open >= w->max_runs)
		return 0;
	return open_run(p, run);
}

static int end_pending(struct pipelines *p, int64_t run, const char *why)
{
	int r = store_change(p->o.store);

	if (r == 0)
		r = store_exec(p->o.store,
			"UPDATE run SET state = 3, reason = ?, ended_ns = ?, ordered = 2 WHERE id = ? AND "
			"state = 4",
			"tii", why, clock_utc().ns, run);
	if (r == 0)
		r = store_exec(p->o.store,
			"UPDATE run_stage SET state = 8, ended_ns = ? WHERE run = ? AND state = 0", "ii",
			clock_utc().ns, run);
	return r;
}

int run_drop_pending(struct pipelines *p, int64_t run, const char *why)
{
	int r = end_pending(p, run, why);

	return r == 0 ? run_ended(p, run) : r;
}

/* Another one in a row: 1 when the row of the first now counts it, too; not when that is being removed. */
static int refuse_again(struct pipelines *p, int64_t run, const char *why)
{
	int r = store_change(p->o.store);

	if (r == 0)
		r = store_exec(p->o.store,
			"UPDATE run SET refused = refused + 1, ended_ns = ?,"
			" reason = 'not taken, ' || (refused + 1) || ' in a row: ' || ? WHERE id = ? AND "
			"ordered = 2",
			"iti", clock_utc().ns, why, run);
	return r < 0 ? r : sqlite3_changes(store_db(p->o.store)) > 0;
}

static int refuse_first(struct pipelines *p, const struct run_plan *plan, const char *why, int64_t *ret_run)
{
	char reason[TASK_REASON_BYTES + 16], params_why[WF_REASON_BYTES];
	CLEAN_JSON cJSON *params = NULL;
	int r = wf_params_make(plan->w, plan->params, &params, params_why);

	snprintf(reason, sizeof(reason), "not taken: %s", why);
	if (r == 0)
		r = insert_run(p, plan, params, RUN_CANCELLED, ret_run);
	if (r == 0)
		r = store_exec(p->o.store,
			"UPDATE run SET refused = 1, reason = ?, ended_ns = ?, ordered = 2 WHERE id = ?",
			"tii", reason, clock_utc().ns, *ret_run);
	return r == 0 ? insert_inputs(p, plan, *ret_run) : r;
}

int run_refuse(struct pipelines *p, const struct run_plan *plan, const char *why)
{
	struct workflow *w = workflows_find(p, plan->w->name);
	int r = w && w->refused ? refuse_again(p, w->refused, why) : 0;
	int64_t run;

	if (r != 0)
		return r < 0 ? r : 0;
	r = refuse_first(p, plan, why, &run);
	if (r < 0)
		return r;
	if (w)
		w->refused = run;
	if (p->o.on_run_ended)
		p->o.on_run_ended(p->o.user, run);
	return 0;
}

/* ---- one ---- */

int run_make(struct pipelines *p, const struct run_plan *plan, int64_t *ret_run, char *ret_reason, size_t cap)
{
	CLEAN_JSON cJSON *params = NULL;
	char why[WF_REASON_BYTES] = "";
	enum run_state state;
	int64_t run = 0;

	ensure(p->depth > 0);
	if (plan->chain > RUN_CHAIN_MAX)
		return refuse(ret_reason, cap, "%d runs have started each other: is there a circle?",
			RUN_CHAIN_MAX);
	int r = wf_params_make(plan->w, plan->params, &params, why);
	if (r < 0) {
		snprintf(ret_reason, cap, "%s", *why ? why : err_text(r));
		return r;
	}
	if (!plan->parent) /* what belongs to a run that has begun is always taken */
		r = scheduler_room(p->o.scheduler, plan->w->payload, ret_reason, cap);
	if (r == 0)
		r = find_place(p, plan->w, &state, ret_reason, cap);
	if (r == 0)
		r = insert_run(p, plan, params, RUN_PENDING, &run);
	if (r == 0)
		r = insert_parts(p, plan, run);
	if (r == 0 && state == RUN_OPEN)
		r = open_run(p, run);
	if (r < 0)
		return r;
	*ret_run = run;
	struct workflow *w = workflows_find(p, plan->w->name);
	if (w)
		w->refused = 0;
	return 0;
}

const char *run_missing_input(const struct workflow *w, const struct run_input *inputs, size_t n)
{
	for (size_t i = 0; i < w->n_stages; i++) {
		const struct wf_stage *s = &w->stages[i];

		for (size_t k = 0; s->role == WF_NORMAL && k < s->n_inputs; k++) {
			size_t j = 0;

			if (s->inputs[k].from != WF_FROM_TRIGGER)
				continue;
			while (j < n && strcmp(inputs[j].name, s->inputs[k].trigger_name))
				j++;
			if (j == n)
				return s->inputs[k].trigger_name;
		}
	}
	return NULL;
}

int pipelines_run(struct pipelines *p, const struct run_request *request, int64_t *ret_run, char *ret_reason,
	size_t cap)
{
	CLEAN_JSON cJSON *event = cJSON_CreateObject();
	const struct workflow *w = workflows_find(p, request->workflow);

	ret_reason[0] = '\0';
	if (!w) {
		snprintf(ret_reason, cap, "there is no workflow %s", request->workflow);
		return ERR_UNKNOWN;
	}
	if (!event || !cJSON_AddStringToObject(event, "event", "command") ||
		(request->who && !cJSON_AddStringToObject(event, "who", request->who)))
		return -ENOMEM;
	struct run_plan plan = {.w = w,
		.age_from = clock_utc(),
		.event = event,
		.params = request->params,
		.inputs = request->inputs,
		.n_inputs = request->n_inputs,
		.priority = -1};
	const char *missing = run_missing_input(w, request->inputs, request->n_inputs);
	if (missing) {
		snprintf(ret_reason, cap, "workflow %s needs the input %s", w->name, missing);
		return -EINVAL;
	}
	runs_enter(p);
	int r = run_make(p, &plan, ret_run, ret_reason, cap);
	r = runs_leave(p, r);
	if (r < 0 && !ret_reason[0])
		snprintf(ret_reason, cap, "%s", err_text(r));
	return r;
}

size_t pipelines_open_runs(struct pipelines *p)
{
	sqlite3_stmt *q = store_query(p->o.store, "SELECT count(*) FROM run WHERE state = 0", "");
	size_t n = q && sqlite3_step(q) == SQLITE_ROW ? (size_t)sqlite3_column_int64(q, 0) : 0;

	if (q)
		sqlite3_reset(q);
	return n;
}
