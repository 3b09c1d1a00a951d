/* SPDX-License-Identifier: Apache-2.0 */
/* What is known of runs, read from the database alone: also beside a supervisor, or without one. */
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "core/file.h"
#include "runs.h"

#define ATTEMPTS_MAX 100

static const char *text(sqlite3_stmt *q, int column)
{
	return (const char *)sqlite3_column_text(q, column);
}

static bool add_text(cJSON *j, const char *key, const char *value)
{
	return !value || cJSON_AddStringToObject(j, key, value);
}

static bool add_number(cJSON *j, const char *key, double value)
{
	return cJSON_AddNumberToObject(j, key, value);
}

static bool add_time(cJSON *j, const char *key, sqlite3_stmt *q, int column)
{
	char formatted[UTC_TEXT_BYTES];

	if (sqlite3_column_type(q, column) != SQLITE_INTEGER)
		return true;
	utc_format((struct utc_time){sqlite3_column_int64(q, column)}, formatted);
	return add_text(j, key, formatted);
}

static bool add_owned(cJSON *j, const char *key, cJSON *value)
{
	if (value && cJSON_AddItemToObject(j, key, value))
		return true;
	cJSON_Delete(value);
	return false;
}

static bool add_run_number(cJSON *j, const char *key, sqlite3_stmt *q, int column)
{
	return sqlite3_column_type(q, column) != SQLITE_INTEGER ||
	       add_number(j, key, (double)sqlite3_column_int64(q, column));
}

#define RUN_COLUMNS                                                                                          \
	"id, workflow, digest, payload, priority, state, reason, created_ns, ended_ns, event, params,"       \
	" parent, parent_stage, rerun_of, refused"

static cJSON *run_json(sqlite3_stmt *q)
{
	cJSON *j = cJSON_CreateObject();

	if (j && add_number(j, "run", (double)sqlite3_column_int64(q, 0)) &&
		add_text(j, "workflow", text(q, 1)) && add_text(j, "workflow_digest", text(q, 2)) &&
		add_text(j, "payload", text(q, 3)) &&
		add_number(j, "priority", (double)sqlite3_column_int64(q, 4)) &&
		add_text(j, "state", run_state_name(sqlite3_column_int64(q, 5))) &&
		add_text(j, "reason", text(q, 6)) && add_time(j, "created", q, 7) &&
		add_time(j, "ended", q, 8) && add_owned(j, "event", cJSON_Parse(text(q, 9))) &&
		(!text(q, 10) || add_owned(j, "params", cJSON_Parse(text(q, 10)))) &&
		add_run_number(j, "parent", q, 11) && add_text(j, "parent_stage", text(q, 12)) &&
		add_run_number(j, "rerun_of", q, 13) && add_run_number(j, "refused", q, 14))
		return j;
	cJSON_Delete(j);
	return NULL;
}

/* The stages of an open run that wait for an operator. */
static bool add_asking(cJSON *j, struct store *store, int64_t run)
{
	sqlite3_stmt *q = store_query(store,
		"SELECT stage FROM run_stage WHERE run = ? AND state = ? ORDER BY position", "ii", run,
		(int64_t)STAGE_ASKING);
	cJSON *list = NULL;
	bool ok = q;

	while (ok && sqlite3_step(q) == SQLITE_ROW) {
		if (!list)
			list = cJSON_AddArrayToObject(j, "asking");
		ok = list && cJSON_AddItemToArray(list, cJSON_CreateString(text(q, 0)));
	}
	if (q)
		sqlite3_reset(q);
	return ok;
}

cJSON *runs_list(struct store *store, size_t limit)
{
	cJSON *list = cJSON_CreateArray();
	sqlite3_stmt *q = store_query(
		store, "SELECT " RUN_COLUMNS " FROM run ORDER BY id DESC LIMIT ?", "i", (int64_t)limit);

	while (list && q && sqlite3_step(q) == SQLITE_ROW) {
		cJSON *run = run_json(q);
		bool ok = run && (sqlite3_column_int64(q, 5) != RUN_OPEN ||
					 add_asking(run, store, sqlite3_column_int64(q, 0)));
		if (!ok || !cJSON_AddItemToArray(list, run)) {
			cJSON_Delete(run);
			cJSON_Delete(list);
			list = NULL;
		}
	}
	if (q)
		sqlite3_reset(q);
	return list;
}

static cJSON *outputs_json(struct store *store, int64_t run, const char *stage)
{
	cJSON *j = cJSON_CreateObject();
	sqlite3_stmt *q = store_query(store,
		"SELECT name, digest, bytes FROM run_output WHERE run = ? AND stage = ? ORDER BY name", "it",
		run, stage);

	while (j && q && sqlite3_step(q) == SQLITE_ROW) {
		cJSON *o = cJSON_CreateObject();
		if (!o || !add_text(o, "digest", text(q, 1)) ||
			!add_number(o, "bytes", (double)sqlite3_column_int64(q, 2)) ||
			!add_owned(j, text(q, 0), o)) {
			cJSON_Delete(j);
			j = NULL;
		}
	}
	if (q)
		sqlite3_reset(q);
	return j;
}

/* Where an input came from: the digest of the artifact, by the workflow that the run began with. */
static cJSON *inputs_json(struct store *store, const struct workflow *w, int64_t run, const char *stage)
{
	cJSON *j = cJSON_CreateObject();
	char digest[DIGEST_TEXT_BYTES];
	uint64_t bytes;
	size_t at;

	if (!j || !w || !workflow_find_stage(w, stage, &at))
		return j;
	for (size_t i = 0; i < w->stages[at].n_inputs; i++)
		if (run_input_of(store, w, run, &w->stages[at].inputs[i], digest, &bytes) == 0)
			add_text(j, w->stages[at].inputs[i].name, digest);
	return j;
}

/* Those that were not the last, of the stage or of its elements; the first of very many. */
static bool add_attempts(cJSON *j, struct store *store, int64_t run, const char *stage)
{
	sqlite3_stmt *q = store_query(store,
		"SELECT item, attempt, ended_ns, reason FROM run_attempt WHERE run = ? AND stage = ? LIMIT ?",
		"iti", run, stage, (int64_t)ATTEMPTS_MAX);
	cJSON *list = NULL;

	while (q && sqlite3_step(q) == SQLITE_ROW) {
		cJSON *a = cJSON_CreateObject();
		if (!list)
			list = cJSON_AddArrayToObject(j, "earlier_attempts");
		if (!a || !list || !cJSON_AddItemToArray(list, a)) {
			cJSON_Delete(a);
			break;
		}
		if (sqlite3_column_int64(q, 0) >= 0)
			add_number(a, "element", (double)sqlite3_column_int64(q, 0));
		add_number(a, "attempt", (double)sqlite3_column_int64(q, 1));
		add_time(a, "ended", q, 2);
		add_text(a, "reason", text(q, 3));
	}
	if (q)
		sqlite3_reset(q);
	return true;
}

static cJSON *stage_json(struct store *store, const struct workflow *w, int64_t run, sqlite3_stmt *q)
{
	cJSON *j = cJSON_CreateObject();
	int64_t state = sqlite3_column_int64(q, 1);
	bool ok = j && add_text(j, "stage", text(q, 0)) && add_text(j, "state", stage_state_name(state)) &&
		  add_text(j, "reason", text(q, 2)) && add_text(j, "image", text(q, 3)) &&
		  add_text(j, "image_digest", text(q, 4)) &&
		  add_number(j, "attempts", (double)sqlite3_column_int64(q, 5)) &&
		  add_time(j, "started", q, 6) && add_time(j, "ended", q, 7);

	if (ok && sqlite3_column_type(q, 8) == SQLITE_INTEGER)
		ok = add_number(j, "wall_ms", (double)sqlite3_column_int64(q, 8) / 1e6) &&
		     add_number(j, "cpu_ms", (double)sqlite3_column_int64(q, 9) / 1e6) &&
		     add_number(j, "memory_peak_bytes", (double)sqlite3_column_int64(q, 10));
	ok = ok && add_run_number(j, "child", q, 11) && add_run_number(j, "from_run", q, 12) &&
	     add_run_number(j, "elements", q, 13) && add_run_number(j, "elements_begun", q, 14) &&
	     add_text(j, "decided_by", text(q, 15)) && add_attempts(j, store, run, text(q, 0));
	if (ok && state == STAGE_DONE)
		ok = add_owned(j, "inputs", inputs_json(store, w, run, text(q, 0))) &&
		     add_owned(j, "outputs", outputs_json(store, run, text(q, 0)));
	if (ok)
		return j;
	cJSON_Delete(j);
	return NULL;
}

static cJSON *stages_json(struct store *store, const struct workflow *w, int64_t run)
{
	cJSON *list = cJSON_CreateArray();
	sqlite3_stmt *q = store_query(store,
		"SELECT stage, state, reason, image, image_digest, attempts, started_ns, ended_ns, wall_ns, "
		"cpu_ns,"
		" memory_peak_bytes, child, from_run, items, next_item, approved_by FROM run_stage WHERE run "
		"= ? ORDER BY position",
		"i", run);

	while (list && q && sqlite3_step(q) == SQLITE_ROW) {
		cJSON *stage = stage_json(store, w, run, q);
		if (!stage || !cJSON_AddItemToArray(list, stage)) {
			cJSON_Delete(stage);
			cJSON_Delete(list);
			list = NULL;
		}
	}
	if (q)
		sqlite3_reset(q);
	return list;
}

struct workflow *run_kept_workflow(struct store *store, int64_t run)
{
	static const struct workflow_limits no_limits;
	struct workflow *w = NULL;
	struct complaints c;
	sqlite3_stmt *q = store_query(store,
		"SELECT workflow_text.text FROM run JOIN workflow_text ON workflow_text.digest = run.digest"
		" WHERE run.id = ?",
		"i", run);

	if (q && sqlite3_step(q) == SQLITE_ROW && complaints_init(&c, "workflow") == 0) {
		if (workflow_parse(sqlite3_column_blob(q, 0), (size_t)sqlite3_column_bytes(q, 0), &no_limits,
			    &c, &w) < 0)
			w = NULL; /* an older form of the file: its inputs are not named */
		complaints_finish(&c);
	}
	if (q)
		sqlite3_reset(q);
	return w;
}

cJSON *run_provenance(struct store *store, int64_t run)
{
	sqlite3_stmt *q = store_query(store, "SELECT " RUN_COLUMNS " FROM run WHERE id = ?", "i", run);
	cJSON *j = q && sqlite3_step(q) == SQLITE_ROW ? run_json(q) : NULL;

	if (q)
		sqlite3_reset(q);
	if (!j)
		return NULL;
	struct workflow *w = run_kept_workflow(store, run);
	bool ok = add_owned(j, "stages", stages_json(store, w, run));
	workflow_destroy(w);
	if (ok)
		return j;
	cJSON_Delete(j);
	return NULL;
}

int run_log_path(struct store *store, const char *state_dir, int64_t run, const char *stage, int64_t item,
	char *ret_path, size_t cap)
{
	sqlite3_stmt *q =
		item < 0
			? store_query(store,
				  "SELECT attempts FROM run_stage WHERE run = ? AND stage = ? AND attempts > "
				  "0",
				  "it", run, stage)
			: store_query(store,
				  "SELECT attempts FROM run_item WHERE run = ? AND stage = ? AND item = ? AND"
				  " attempts > 0",
				  "iti", run, stage, item);
	int64_t attempt = q && sqlite3_step(q) == SQLITE_ROW ? sqlite3_column_int64(q, 0) : 0;

	if (q)
		sqlite3_reset(q);
	if (!attempt)
		return ERR_UNKNOWN;
	if (item >= 0)
		return path_format(ret_path, cap, "%s/logs/%lld/%s.%lld.%lld.log", state_dir, (long long)run,
			stage, (long long)item, (long long)attempt);
	return path_format(ret_path, cap, "%s/logs/%lld/%s.%lld.log", state_dir, (long long)run, stage,
		(long long)attempt);
}

int run_stage_task(struct store *store, int64_t run, const char *stage, int64_t item, int64_t *ret_task)
{
	sqlite3_stmt *q = item < 0 ? store_query(store,
					     "SELECT task FROM run_stage WHERE run = ? AND stage = ? AND "
					     "task IS NOT NULL",
					     "it", run, stage)
				   : store_query(store,
					     "SELECT task FROM run_item WHERE run = ? AND stage = ? AND item "
					     "= ? AND task IS NOT "
					     "NULL",
					     "iti", run, stage, item);
	int rc = q ? sqlite3_step(q) : SQLITE_ERROR;

	if (rc == SQLITE_ROW)
		*ret_task = sqlite3_column_int64(q, 0);
	if (q)
		sqlite3_reset(q);
	return rc == SQLITE_ROW ? 0 : rc == SQLITE_DONE ? ERR_UNKNOWN : ERR_STORE;
}
