/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `cache: true`: an earlier success with the same image, parameters, arguments, environment, declared outputs
 * and input digests is taken instead of a new execution. The key is made from what was really launched; an
 * entry is written in the turn that records the success, and used only while its artifacts are there.
 */
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "core/json.h"
#include "core/log.h"
#include "runs.h"

/* ---- the key ---- */

static bool add_owned(cJSON *object, const char *name, cJSON *value)
{
	if (value && cJSON_AddItemToObject(object, name, value))
		return true;
	cJSON_Delete(value);
	return false;
}

static cJSON *words_json(const char *const *words)
{
	cJSON *list = cJSON_CreateArray();

	for (; list && words && *words; words++) {
		cJSON *word = cJSON_CreateString(*words);

		if (word && cJSON_AddItemToArray(list, word))
			continue;
		cJSON_Delete(word);
		cJSON_Delete(list);
		list = NULL;
	}
	return list;
}

static cJSON *outputs_json(const struct wf_stage *s)
{
	cJSON *j = cJSON_CreateObject();

	for (size_t i = 0; j && i < s->n_outputs; i++) {
		char text[64];

		snprintf(text, sizeof(text), "%d %llu", (int)s->outputs[i].type,
			(unsigned long long)s->outputs[i].max_bytes);
		if (cJSON_AddStringToObject(j, s->outputs[i].name, text))
			continue;
		cJSON_Delete(j);
		j = NULL;
	}
	return j;
}

static cJSON *inputs_json(
	struct pipelines *p, const struct workflow *w, int64_t run, const struct wf_stage *s)
{
	cJSON *j = cJSON_CreateObject();
	char digest[DIGEST_TEXT_BYTES];
	uint64_t bytes;

	for (size_t i = 0; j && i < s->n_inputs; i++) {
		int r = run_input_of(p->o.store, w, run, &s->inputs[i], digest, &bytes);

		if (r == ERR_UNKNOWN || (r == 0 && cJSON_AddStringToObject(j, s->inputs[i].name, digest)))
			continue;
		cJSON_Delete(j);
		j = NULL;
	}
	return j;
}

int cache_key(struct pipelines *p, const struct workflow *w, int64_t run, size_t stage,
	const char *image_digest, const struct stage_values *values, char ret_key[DIGEST_TEXT_BYTES])
{
	const struct wf_stage *s = &w->stages[stage];
	CLEAN_JSON cJSON *j = cJSON_CreateObject();
	struct digest digest;

	if (!j || !cJSON_AddStringToObject(j, "image", image_digest) ||
		!add_owned(j, "params", cJSON_Duplicate(values->params, true)) ||
		!add_owned(j, "args", words_json(values->args)) ||
		!add_owned(j, "env", words_json(values->env)) || !add_owned(j, "outputs", outputs_json(s)) ||
		!add_owned(j, "inputs", inputs_json(p, w, run, s)))
		return -ENOMEM;
	CLEAN_FREE char *text = cJSON_PrintUnformatted(j);
	if (!text)
		return -ENOMEM;
	digest_data(text, strlen(text), &digest);
	digest_format(&digest, ret_key);
	return 0;
}

/* ---- taking ---- */

bool runs_artifacts_there(struct pipelines *p, sqlite3_stmt *q)
{
	int rc = SQLITE_ERROR;
	bool there = true;

	while (q && there && (rc = sqlite3_step(q)) == SQLITE_ROW) {
		struct digest digest;
		char path[PATH_MAX];

		there = digest_parse((const char *)sqlite3_column_text(q, 0), &digest) == 0 &&
			artifact_path(p->o.artifacts, &digest, path, sizeof(path)) == 0 &&
			access(path, R_OK) == 0;
	}
	if (q)
		sqlite3_reset(q);
	return there && rc == SQLITE_DONE;
}

/* The run that made it; 0: no entry. */
static int64_t find_entry(struct pipelines *p, const char *key)
{
	sqlite3_stmt *q = store_query(p->o.store, "SELECT run FROM stage_cache WHERE key = ?", "t", key);
	int64_t run = q && sqlite3_step(q) == SQLITE_ROW ? sqlite3_column_int64(q, 0) : 0;

	if (q)
		sqlite3_reset(q);
	return run;
}

static int remove_entry(struct pipelines *p, const char *key)
{
	int r = store_exec(p->o.store, "DELETE FROM stage_cache WHERE key = ?", "t", key);

	p->n_cache--;
	return r == 0 ? store_exec(p->o.store, "DELETE FROM stage_cache_output WHERE key = ?", "t", key) : r;
}

static int use_entry(struct run_now *run, size_t stage, int64_t item, const char *key, int64_t made_by)
{
	struct store *s = run->p->o.store;
	const char *name = run->w->stages[stage].name;
	int r = store_exec(s, "UPDATE stage_cache SET used_ns = ? WHERE key = ?", "it", clock_utc().ns, key);

	if (r < 0)
		return r;
	if (item >= 0)
		return store_exec(s,
			"INSERT OR REPLACE INTO run_item_output(run, stage, item, name, digest, bytes)"
			" SELECT ?, ?, ?, name, digest, bytes FROM stage_cache_output WHERE key = ?",
			"itit", run->id, name, item, key);
	r = store_exec(s,
		"INSERT OR REPLACE INTO run_output(run, stage, name, digest, bytes, json)"
		" SELECT ?, ?, name, digest, bytes, json FROM stage_cache_output WHERE key = ?",
		"itt", run->id, name, key);
	return r == 0 ? store_exec(s, "UPDATE run_stage SET from_run = ? WHERE run = ? AND stage = ?", "iit",
				made_by, run->id, name)
		      : r;
}

static int find_key(struct run_now *run, size_t stage, int64_t item, const char *item_text,
	char ret_key[DIGEST_TEXT_BYTES])
{
	struct pipelines *p = run->p;
	const struct wf_stage *s = &run->w->stages[stage];
	char why[WF_REASON_BYTES];
	struct stage_image image;
	struct stage_values values;

	if (p->o.launcher.resolve(p->o.launcher.user, s->image, &image, why, sizeof(why)) < 0)
		return ERR_UNKNOWN; /* met again, and reported, by the start */
	int r = stage_values_make(s, run->params, item_text, item, &values, why);
	if (r < 0)
		return r == ERR_CHECKED ? ERR_UNKNOWN : r;
	r = cache_key(p, run->w, run->id, stage, image.digest, &values, ret_key);
	stage_values_finish(&values);
	if (r == 0 && item < 0)
		r = store_exec(p->o.store,
			"UPDATE run_stage SET image_digest = ? WHERE run = ? AND stage = ?", "tit",
			image.digest, run->id, s->name);
	return r;
}

int cache_take(struct run_now *run, size_t stage, int64_t item, const char *item_text)
{
	struct pipelines *p = run->p;
	char key[DIGEST_TEXT_BYTES], reason[64];
	int r = store_change(p->o.store);

	if (r == 0)
		r = find_key(run, stage, item, item_text, key);
	if (r < 0)
		return r == ERR_UNKNOWN ? 0 : r;
	int64_t made_by = find_entry(p, key);
	if (made_by == 0)
		return 0;
	if (!runs_artifacts_there(
		    p, store_query(p->o.store, "SELECT digest FROM stage_cache_output WHERE key = ?", "t",
			       key))) {
		r = remove_entry(p, key);
		return r;
	}
	r = use_entry(run, stage, item, key, made_by);
	if (r < 0)
		return r;
	if (item < 0) {
		snprintf(reason, sizeof(reason), "taken from run %lld", (long long)made_by);
		r = run_set_stage(run, stage, STAGE_DONE, reason);
	}
	return r < 0 ? r : 1;
}

/* ---- keeping ---- */

int cache_remove_oldest(struct pipelines *p, uint64_t *ret_bytes)
{
	char key[DIGEST_TEXT_BYTES];
	sqlite3_stmt *q = store_query(p->o.store,
		"SELECT key, (SELECT sum(bytes) FROM stage_cache_output o WHERE o.key = c.key) FROM "
		"stage_cache c"
		" ORDER BY used_ns LIMIT 1",
		"");
	int rc = q ? sqlite3_step(q) : SQLITE_ERROR;

	if (rc == SQLITE_ROW) {
		snprintf(key, sizeof(key), "%s", (const char *)sqlite3_column_text(q, 0));
		*ret_bytes = (uint64_t)sqlite3_column_int64(q, 1);
	}
	if (q)
		sqlite3_reset(q);
	if (rc != SQLITE_ROW)
		return rc == SQLITE_DONE ? 0 : ERR_STORE;
	int r = store_change(p->o.store);
	if (r == 0)
		r = remove_entry(p, key);
	return r == 0 ? 1 : r;
}

static int trim(struct pipelines *p)
{
	uint64_t bytes;
	int r = 1;

	while (r > 0 && p->n_cache > CACHE_ENTRIES_MAX)
		r = cache_remove_oldest(p, &bytes);
	return r < 0 ? r : 0;
}

int cache_put(struct pipelines *p, const char *key, int64_t run, const struct wf_stage *s, int64_t item,
	const struct stage_result *results)
{
	char digest[DIGEST_TEXT_BYTES];
	bool known = find_entry(p, key) != 0;
	int r = store_exec(p->o.store,
		"INSERT OR REPLACE INTO stage_cache(key, run, stage, item, used_ns) VALUES(?, ?, ?, ?, ?)",
		"titii", key, run, s->name, item, clock_utc().ns);

	for (size_t i = 0; r == 0 && i < s->n_outputs; i++) {
		digest_format(&results[i].digest, digest);
		r = store_exec(p->o.store,
			"INSERT OR REPLACE INTO stage_cache_output(key, name, digest, bytes, json)"
			" VALUES(?, ?, ?, ?, ?)",
			"tttit", key, s->outputs[i].name, digest, (int64_t)results[i].bytes,
			item < 0 ? results[i].json : NULL);
	}
	p->n_cache += !known;
	return r == 0 ? trim(p) : r;
}

int cache_count(struct pipelines *p)
{
	sqlite3_stmt *q = store_query(p->o.store, "SELECT count(*) FROM stage_cache", "");

	if (!q || sqlite3_step(q) != SQLITE_ROW)
		return ERR_STORE;
	p->n_cache = sqlite3_column_int64(q, 0);
	sqlite3_reset(q);
	return 0;
}
