/* SPDX-License-Identifier: Apache-2.0 */
/* Making runs: from events, and by hand. */
#include <errno.h>
#include <string.h>

#include "core/json.h"
#include "runs.h"

static int make_run(struct pipelines *p, const struct workflow *w, struct utc_time age_from,
	const cJSON *event, const struct run_input *inputs, size_t n_inputs, int64_t *ret_run)
{
	struct store *s = p->o.store;
	char digest[DIGEST_TEXT_BYTES], in_digest[DIGEST_TEXT_BYTES];
	CLEAN_FREE char *event_text = cJSON_PrintUnformatted(event);

	if (!event_text)
		return -ENOMEM;
	digest_format(&w->digest, digest);
	int r = store_change(s);
	if (r == 0)
		r = store_exec(s, "INSERT OR IGNORE INTO workflow_text(digest, name, text) VALUES(?, ?, ?)",
			"ttb", digest, w->name, (const void *)w->text, (int)w->text_len);
	if (r == 0)
		r = store_exec(s,
			"INSERT INTO run(workflow, digest, payload, priority, created_ns, age_from_ns, event)"
			" VALUES(?, ?, ?, ?, ?, ?, ?)",
			"tttiiit", w->name, digest, w->payload, (int64_t)w->priority, clock_utc().ns,
			age_from.ns, event_text);
	if (r < 0)
		return r;
	int64_t run = sqlite3_last_insert_rowid(store_db(s));
	for (size_t i = 0; r == 0 && i < n_inputs; i++) {
		digest_format(&inputs[i].digest, in_digest);
		r = store_exec(s, "INSERT INTO run_input(run, name, digest, bytes) VALUES(?, ?, ?, ?)",
			"itti", run, inputs[i].name, in_digest, (int64_t)inputs[i].bytes);
	}
	for (size_t i = 0; r == 0 && i < w->n_stages; i++)
		r = store_exec(s, "INSERT INTO run_stage(run, stage, position, image) VALUES(?, ?, ?, ?)",
			"itit", run, w->stages[i].name, (int64_t)i, w->stages[i].image ? w->stages[i].image : "");
	if (r == 0)
		r = run_advance(p, run);
	if (r == 0)
		*ret_run = run;
	return r;
}

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

static bool waits_for(const struct workflow *w, const struct frame_event *e)
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
	int64_t run;
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
	for (size_t i = 0; r == 0 && i < p->n_on; i++)
		if (waits_for(p->workflows[i], e))
			r = make_run(p, p->workflows[i], e->time, event, &frame, 1, &run);
	return r;
}

int pipelines_run(
	struct pipelines *p, const char *workflow, const struct run_input *inputs, size_t n, int64_t *ret_run)
{
	CLEAN_JSON cJSON *event = cJSON_CreateObject();

	if (!event || !cJSON_AddStringToObject(event, "event", "command"))
		return -ENOMEM;
	for (size_t i = 0; i < p->n_on; i++)
		if (!strcmp(p->workflows[i]->name, workflow))
			return make_run(p, p->workflows[i], clock_utc(), event, inputs, n, ret_run);
	return ERR_UNKNOWN;
}

size_t pipelines_open_runs(struct pipelines *p)
{
	sqlite3_stmt *q = store_query(p->o.store, "SELECT count(*) FROM run WHERE state = 0", "");
	size_t n = q && sqlite3_step(q) == SQLITE_ROW ? (size_t)sqlite3_column_int64(q, 0) : 0;

	if (q)
		sqlite3_reset(q);
	return n;
}
