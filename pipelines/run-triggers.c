/* SPDX-License-Identifier: Apache-2.0 */
/* What makes runs by itself: frames, orbit events, the end of other workflows' runs. Schedules are in
 * run-schedules.c. */
#include <errno.h>
#include <string.h>

#include "core/json.h"
#include "core/log.h"
#include "runs.h"

/* A run by an event. What cannot be taken now is on record as a run that was cancelled, with the inputs of
 * the first in a row, so that nothing is dropped in silence and an operator can run it again; the others go
 * on. `when_full: skip` wants no such record. */
int trigger_fire(struct pipelines *p, const struct run_plan *plan)
{
	char reason[TASK_REASON_BYTES] = "";
	const char *missing = run_missing_input(plan->w, plan->inputs, plan->n_inputs);
	int64_t run;

	if (missing) {
		log_warning("workflow %s is not run: the event brings no input %s", plan->w->name, missing);
		return 0;
	}
	int r = run_make(p, plan, &run, reason, sizeof(reason));
	if (r != ERR_LIMIT && r != ERR_CHECKED)
		return r < 0 ? r : 1;
	log_warning("workflow %s is not run: %s", plan->w->name, reason);
	return r == ERR_LIMIT && plan->w->when_full != WF_SKIP ? run_refuse(p, plan, reason) : 0;
}

/* ---- frames ---- */

static cJSON *frame_json(const struct frame_event *e)
{
	char digest[DIGEST_TEXT_BYTES], time[UTC_TEXT_BYTES];
	cJSON *j = cJSON_CreateObject();

	digest_format(&e->digest, digest);
	utc_format(e->time, time);
	bool ok = j && cJSON_AddStringToObject(j, "event", "image.acquired") &&
		  cJSON_AddStringToObject(j, "device", e->device) &&
		  cJSON_AddStringToObject(j, "frame_id", e->frame_id) &&
		  cJSON_AddStringToObject(j, "time", time) && cJSON_AddStringToObject(j, "digest", digest) &&
		  cJSON_AddNumberToObject(j, "bytes", (double)e->bytes);
	cJSON *attrs = ok && e->attrs ? cJSON_Duplicate(e->attrs, true) : NULL;
	if (attrs)
		cJSON_AddItemToObject(j, "attrs", attrs);
	if (ok)
		return j;
	cJSON_Delete(j);
	return NULL;
}

static bool waits_for_frame(const struct workflow *w, const struct frame_event *e)
{
	const char *const *granted = e->payloads;

	while (*granted && strcmp(*granted, w->payload))
		granted++;
	for (size_t i = 0; *granted && i < w->n_triggers; i++)
		if (w->triggers[i].kind == WF_TRIGGER_FRAME && !strcmp(w->triggers[i].device, e->device))
			return true;
	return false;
}

/* The camera names a frame that is known. The same image: 1. Another one, for a camera that was reset counts
 * anew: it is kept as well, told apart by its content, and 0. */
static int frame_again(struct pipelines *p, const struct frame_event *e, const char *digest)
{
	sqlite3_stmt *q = store_query(p->o.store,
		"SELECT 1 FROM frame WHERE device = ? AND digest = ? AND (frame_id = ? OR frame_id LIKE ?3 "
		"|| '#%')",
		"ttt", e->device, digest, e->frame_id);
	int rc = q ? sqlite3_step(q) : SQLITE_ERROR;

	if (q)
		sqlite3_reset(q);
	if (rc != SQLITE_DONE)
		return rc == SQLITE_ROW ? 1 : ERR_STORE;
	return store_exec(p->o.store,
		"INSERT INTO frame(device, frame_id, digest, bytes, time_ns) VALUES(?, ? || '#' || "
		"substr(?3, 1, 12), ?3, ?, ?)",
		"tttii", e->device, e->frame_id, digest, (int64_t)e->bytes, e->time.ns);
}

int pipelines_frame(struct pipelines *p, const struct frame_event *e)
{
	char digest[DIGEST_TEXT_BYTES];
	CLEAN_JSON cJSON *event = frame_json(e);

	if (!event)
		return -ENOMEM;
	digest_format(&e->digest, digest);
	int r = store_change(p->o.store);
	if (r == 0)
		r = store_exec(p->o.store,
			"INSERT INTO frame(device, frame_id, digest, bytes, time_ns) VALUES(?, ?, ?, ?, ?)",
			"tttii", e->device, e->frame_id, digest, (int64_t)e->bytes, e->time.ns);
	if (r == -EEXIST)
		r = frame_again(p, e, digest);
	if (r != 0)
		return r;
	struct run_input frame = {.name = "frame", .digest = e->digest, .bytes = e->bytes};
	struct run_plan plan = {
		.age_from = e->time, .event = event, .inputs = &frame, .n_inputs = 1, .priority = -1};
	runs_enter(p);
	for (size_t i = 0; r >= 0 && i < p->n_on; i++) {
		plan.w = p->workflows[i];
		if (waits_for_frame(plan.w, e))
			r = trigger_fire(p, &plan);
	}
	r = runs_leave(p, r);
	return r < 0 ? r : 0;
}

/* ---- orbit events ---- */

static bool waits_for_event(const struct workflow *w, const struct orbit_event *e)
{
	for (size_t i = 0; i < w->n_triggers; i++) {
		const struct wf_trigger *t = &w->triggers[i];

		if (t->kind == WF_TRIGGER_ORBIT && !strcmp(t->event, e->event) &&
			(!t->place || (e->place && !strcmp(t->place, e->place))))
			return true;
	}
	return false;
}

static cJSON *event_json(const struct orbit_event *e)
{
	char time[UTC_TEXT_BYTES];
	cJSON *j = cJSON_CreateObject();

	utc_format(e->time, time);
	bool ok = j && cJSON_AddStringToObject(j, "event", e->event) &&
		  cJSON_AddStringToObject(j, "time", time) &&
		  (!e->place || cJSON_AddStringToObject(j, "place", e->place));
	cJSON *attrs = ok && e->attrs ? cJSON_Duplicate(e->attrs, true) : NULL;
	if (attrs)
		cJSON_AddItemToObject(j, "attrs", attrs);
	if (ok)
		return j;
	cJSON_Delete(j);
	return NULL;
}

/* 1: it was told before. */
static int remember_event(struct pipelines *p, const struct orbit_event *e)
{
	struct store *s = p->o.store;
	int r = store_change(s);

	if (r == 0)
		r = store_exec(s, "INSERT INTO orbit_event(event, place, time_ns) VALUES(?, ?, ?)", "tti",
			e->event, e->place ? e->place : "", e->time.ns);
	if (r == 0)
		r = store_exec(s, "DELETE FROM orbit_event WHERE id <= ?", "i",
			(int64_t)sqlite3_last_insert_rowid(store_db(s)) - ORBIT_EVENTS_MAX);
	return r == -EEXIST ? 1 : r;
}

static int refuse_event(const char *name, const char *near, char *ret_reason, size_t cap)
{
	if (near)
		snprintf(ret_reason, cap, "there is no event \"%.60s\"; did you mean %s?", name, near);
	else
		snprintf(ret_reason, cap,
			"there is no event \"%.60s\": expected pass.begin, pass.end, region.enter, "
			"region.leave, sunlight.begin or sunlight.end",
			name);
	return ERR_UNKNOWN;
}

int pipelines_event(struct pipelines *p, const struct orbit_event *e, char *ret_reason, size_t cap)
{
	const char *near;

	ret_reason[0] = '\0';
	if (!workflow_is_orbit_event(e->event, &near))
		return refuse_event(e->event, near, ret_reason, cap);
	CLEAN_JSON cJSON *event = event_json(e);
	struct run_plan plan = {.age_from = e->time, .event = event, .priority = -1};
	int n = 0;

	if (!event)
		return -ENOMEM;
	int r = remember_event(p, e);
	if (r != 0)
		return r < 0 ? r : 0;
	runs_enter(p);
	for (size_t i = 0; r >= 0 && i < p->n_on; i++) {
		plan.w = p->workflows[i];
		r = waits_for_event(plan.w, e) ? trigger_fire(p, &plan) : 0;
		n += r > 0;
	}
	r = runs_leave(p, r);
	return r < 0 ? r : n;
}

/* ---- another workflow's end ---- */

struct ended {
	int64_t run, state, chain;
	const struct workflow *w;
	struct run_input inputs[WF_OUTPUTS_MAX]; /* what it declares as its outputs, as far as it is there */
	size_t n_inputs;
};

static bool waits_for_end(const struct workflow *w, const struct ended *e)
{
	unsigned bit = e->state == RUN_DONE ? WF_ON_DONE : e->state == RUN_FAILED ? WF_ON_FAILED : 0;

	for (size_t i = 0; i < w->n_triggers; i++) {
		const struct wf_trigger *t = &w->triggers[i];

		if (t->kind == WF_TRIGGER_COMPLETED && !strcmp(t->workflow, e->w->name) &&
			(t->on == WF_ON_ANY || ((unsigned)t->on & bit)))
			return true;
	}
	return false;
}

static int read_results(struct pipelines *p, struct ended *e)
{
	for (size_t i = 0; i < e->w->n_results; i++) {
		const struct wf_result *result = &e->w->results[i];
		struct run_input *in = &e->inputs[e->n_inputs];
		struct wf_input from = {
			.from = WF_FROM_STAGE, .stage = result->stage, .output = result->output};
		char digest[DIGEST_TEXT_BYTES];
		int r = run_input_of(p->o.store, e->w, e->run, &from, digest, &in->bytes);

		if (r == ERR_UNKNOWN)
			continue;
		if (r == 0)
			r = digest_parse(digest, &in->digest);
		if (r < 0)
			return r;
		in->name = result->name;
		e->n_inputs++;
	}
	return 0;
}

static cJSON *ended_json(const struct ended *e)
{
	cJSON *j = cJSON_CreateObject();

	if (j && cJSON_AddStringToObject(j, "event", "completed") &&
		cJSON_AddStringToObject(j, "workflow", e->w->name) &&
		cJSON_AddNumberToObject(j, "run", (double)e->run) &&
		cJSON_AddStringToObject(j, "state", run_state_name(e->state)))
		return j;
	cJSON_Delete(j);
	return NULL;
}

static int read_ended(struct pipelines *p, struct ended *e)
{
	struct workflow *w;
	sqlite3_stmt *q = store_query(p->o.store, "SELECT state, chain FROM run WHERE id = ?", "i", e->run);

	if (!q || sqlite3_step(q) != SQLITE_ROW)
		return ERR_STORE;
	e->state = sqlite3_column_int64(q, 0);
	e->chain = sqlite3_column_int64(q, 1);
	sqlite3_reset(q);
	int r = runs_workflow(p, e->run, &w);
	e->w = w;
	return r;
}

int triggers_completed(struct pipelines *p, int64_t run)
{
	struct ended e = {.run = run};
	int r = read_ended(p, &e);
	bool any = false;

	if (r < 0)
		return r == ERR_CHECKED || r == ERR_UNKNOWN ? 0 : r;
	for (size_t i = 0; i < p->n_on; i++)
		any |= waits_for_end(p->workflows[i], &e);
	if (!any)
		return 0;
	CLEAN_JSON cJSON *event = ended_json(&e);
	if (!event)
		return -ENOMEM;
	r = read_results(p, &e);
	struct run_plan plan = {.age_from = clock_utc(),
		.event = event,
		.inputs = e.inputs,
		.n_inputs = e.n_inputs,
		.priority = -1,
		.chain = e.chain + 1};
	for (size_t i = 0; r >= 0 && i < p->n_on; i++) {
		plan.w = p->workflows[i];
		if (waits_for_end(plan.w, &e))
			r = trigger_fire(p, &plan);
	}
	return r < 0 ? r : 0;
}
