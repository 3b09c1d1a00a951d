/* SPDX-License-Identifier: Apache-2.0 */
/* Which inputs, images and parameters made a product: from its digest, by the database alone. */
#include <errno.h>
#include <string.h>

#include "core/json.h"
#include "runs.h"

#define MAKERS_MAX 16 /* runs that made the same bytes */

struct maker {
	int64_t run, item; /* item -1: the stage's output */
	char stage[TASK_STAGE_BYTES], output[64];
};

static bool add_owned(cJSON *j, const char *key, cJSON *value)
{
	if (value && cJSON_AddItemToObject(j, key, value))
		return true;
	cJSON_Delete(value);
	return false;
}

static bool add_text(cJSON *j, const char *key, const char *value)
{
	return !value || cJSON_AddStringToObject(j, key, value);
}

static size_t find_makers(struct store *store, const char *digest, struct maker *ret)
{
	sqlite3_stmt *q = store_query(store,
		"SELECT run, -1, stage, name FROM run_output WHERE digest = ?1"
		" UNION ALL SELECT run, item, stage, name FROM run_item_output WHERE digest = ?1"
		" ORDER BY 1 DESC LIMIT ?2",
		"ti", digest, (int64_t)MAKERS_MAX);
	size_t n = 0;

	while (q && n < MAKERS_MAX && sqlite3_step(q) == SQLITE_ROW) {
		struct maker *m = &ret[n++];
		m->run = sqlite3_column_int64(q, 0);
		m->item = sqlite3_column_int64(q, 1);
		snprintf(m->stage, sizeof(m->stage), "%s", (const char *)sqlite3_column_text(q, 2));
		snprintf(m->output, sizeof(m->output), "%s", (const char *)sqlite3_column_text(q, 3));
	}
	if (q)
		sqlite3_reset(q);
	return n;
}

/* The stages whose outputs went into this one, and itself. */
static void mark(const struct workflow *w, size_t stage, bool *in)
{
	const struct wf_stage *s = &w->stages[stage];

	if (in[stage])
		return;
	in[stage] = true;
	for (size_t i = 0; i < s->n_inputs; i++)
		if (s->inputs[i].from == WF_FROM_STAGE)
			mark(w, s->inputs[i].stage, in);
	if (s->foreach.source == WF_OVER_OUTPUT)
		mark(w, s->foreach.stage, in);
}

static cJSON *words_json(const char *const *words)
{
	cJSON *list = cJSON_CreateArray();

	for (; list && words && *words; words++)
		cJSON_AddItemToArray(list, cJSON_CreateString(*words));
	return list;
}

static char *item_value(struct store *store, const struct maker *m)
{
	sqlite3_stmt *q =
		store_query(store, "SELECT value FROM run_item WHERE run = ? AND stage = ? AND item = ?",
			"iti", m->run, m->stage, m->item);
	char *text =
		q && sqlite3_step(q) == SQLITE_ROW ? strdup((const char *)sqlite3_column_text(q, 0)) : NULL;

	if (q)
		sqlite3_reset(q);
	return text;
}

/* As the stage was given them; of a foreach as a whole they are as in the file. */
static bool add_values(
	cJSON *j, struct store *store, const struct maker *m, const struct wf_stage *s, const cJSON *params)
{
	bool whole = s->foreach.source != WF_NO_FOREACH && m->item < 0;
	CLEAN_FREE char *item = m->item >= 0 ? item_value(store, m) : NULL;
	char why[WF_REASON_BYTES];
	struct stage_values v;

	if (whole || s->uses)
		return !s->params || add_owned(j, "params", cJSON_Duplicate(s->params, true));
	if (stage_values_make(s, params, item, m->item, &v, why) < 0)
		return add_text(j, "params_unknown", why);
	bool ok = add_owned(j, "params", cJSON_Duplicate(v.params, true)) &&
		  (!v.args || add_owned(j, "args", words_json(v.args))) &&
		  (!v.env || add_owned(j, "env", words_json(v.env)));
	stage_values_finish(&v);
	return ok;
}

/* Digests, and from where: "trigger.frame", "cloud.mask". */
static bool add_inputs(
	cJSON *j, struct store *store, const struct workflow *w, int64_t run, const struct wf_stage *s)
{
	cJSON *inputs = cJSON_AddObjectToObject(j, "inputs"), *from = cJSON_AddObjectToObject(j, "from");
	char digest[DIGEST_TEXT_BYTES], source[2 * 64 + 2];
	uint64_t bytes;

	for (size_t i = 0; inputs && from && i < s->n_inputs; i++) {
		const struct wf_input *in = &s->inputs[i];

		if (run_input_of(store, w, run, in, digest, &bytes) < 0)
			continue;
		if (in->from == WF_FROM_TRIGGER)
			snprintf(source, sizeof(source), "trigger.%s", in->trigger_name);
		else
			snprintf(source, sizeof(source), "%s.%s", w->stages[in->stage].name,
				w->stages[in->stage].outputs[in->output].name);
		add_text(inputs, in->name, digest);
		add_text(from, in->name, source);
	}
	if (s->foreach.source == WF_OVER_OUTPUT) {
		const struct wf_stage *over = &w->stages[s->foreach.stage];
		snprintf(source, sizeof(source), "%s.%s", over->name, over->outputs[s->foreach.output].name);
		add_text(j, "foreach", source);
	}
	return inputs && from;
}

static cJSON *step_json(struct store *store, const struct workflow *w, const struct maker *of, size_t stage,
	const cJSON *params)
{
	const struct wf_stage *s = &w->stages[stage];
	struct maker m = {.run = of->run, .item = strcmp(of->stage, s->name) ? -1 : of->item};
	cJSON *j = cJSON_CreateObject();

	snprintf(m.stage, sizeof(m.stage), "%s", s->name);
	bool ok = j && add_text(j, "stage", s->name) && add_text(j, "image", s->image) &&
		  add_text(j, "uses", s->uses);
	sqlite3_stmt *q = store_query(store,
		"SELECT image_digest, child, from_run FROM run_stage WHERE run = ? AND stage = ?", "it",
		of->run, s->name);
	if (ok && q && sqlite3_step(q) == SQLITE_ROW) {
		ok = add_text(j, "image_digest", (const char *)sqlite3_column_text(q, 0));
		if (sqlite3_column_int64(q, 1))
			cJSON_AddNumberToObject(j, "run", (double)sqlite3_column_int64(q, 1));
		if (sqlite3_column_int64(q, 2))
			cJSON_AddNumberToObject(j, "from_run", (double)sqlite3_column_int64(q, 2));
	}
	if (q)
		sqlite3_reset(q);
	if (ok && add_values(j, store, &m, s, params) && add_inputs(j, store, w, of->run, s))
		return j;
	cJSON_Delete(j);
	return NULL;
}

static cJSON *steps_json(
	struct store *store, const struct workflow *w, const struct maker *m, const cJSON *params)
{
	CLEAN_FREE bool *in = calloc(w->n_stages, sizeof(bool));
	cJSON *list = cJSON_CreateArray();
	size_t at;

	if (!in || !workflow_find_stage(w, m->stage, &at)) {
		cJSON_Delete(list);
		return NULL;
	}
	mark(w, at, in);
	for (size_t i = 0; list && i < w->n_stages; i++) {
		cJSON *step = in[i] ? step_json(store, w, m, i, params) : NULL;
		if (step)
			cJSON_AddItemToArray(list, step);
	}
	return list;
}

static bool add_run(cJSON *j, struct store *store, int64_t run)
{
	sqlite3_stmt *q =
		store_query(store, "SELECT workflow, digest, payload, event FROM run WHERE id = ?", "i", run);
	bool ok = q && sqlite3_step(q) == SQLITE_ROW &&
		  add_text(j, "workflow", (const char *)sqlite3_column_text(q, 0)) &&
		  add_text(j, "workflow_digest", (const char *)sqlite3_column_text(q, 1)) &&
		  add_text(j, "payload", (const char *)sqlite3_column_text(q, 2)) &&
		  add_owned(j, "event", cJSON_Parse((const char *)sqlite3_column_text(q, 3)));

	if (q)
		sqlite3_reset(q);
	cJSON *inputs = ok ? cJSON_AddObjectToObject(j, "inputs") : NULL;
	q = store_query(store, "SELECT name, digest FROM run_input WHERE run = ?", "i", run);
	while (inputs && q && sqlite3_step(q) == SQLITE_ROW)
		add_text(inputs, (const char *)sqlite3_column_text(q, 0),
			(const char *)sqlite3_column_text(q, 1));
	if (q)
		sqlite3_reset(q);
	return inputs;
}

static cJSON *maker_json(struct store *store, const struct maker *m)
{
	struct workflow *w = run_kept_workflow(store, m->run);
	CLEAN_JSON cJSON *params = NULL;
	cJSON *j = cJSON_CreateObject();
	bool ok = j && cJSON_AddNumberToObject(j, "run", (double)m->run) && add_text(j, "stage", m->stage) &&
		  add_text(j, "output", m->output) &&
		  (m->item < 0 || cJSON_AddNumberToObject(j, "element", (double)m->item)) &&
		  add_run(j, store, m->run) && run_params(store, m->run, &params) == 0 &&
		  add_owned(j, "params", cJSON_Duplicate(params, true));

	if (ok && w)
		ok = add_owned(j, "steps", steps_json(store, w, m, params));
	workflow_destroy(w);
	if (ok)
		return j;
	cJSON_Delete(j);
	return NULL;
}

cJSON *product_lineage(struct store *store, const char *digest)
{
	struct maker makers[MAKERS_MAX];
	size_t n = find_makers(store, digest, makers);
	cJSON *j = n ? cJSON_CreateObject() : NULL;
	cJSON *list = j && add_text(j, "digest", digest) ? cJSON_AddArrayToObject(j, "made_by") : NULL;

	for (size_t i = 0; list && i < n; i++) {
		cJSON *maker = maker_json(store, &makers[i]);
		if (maker)
			cJSON_AddItemToArray(list, maker);
	}
	if (list)
		return j;
	cJSON_Delete(j);
	return NULL;
}

/* ---- which product a person means ---- */

/* "7.cloud.mask", "7.count[12].crop". false: it is not of this form. */
static bool read_place(const char *text, struct maker *ret)
{
	long long run, item = -1;
	int used = 0;

	if (sscanf(text, "%lld.%63[a-z0-9-]%n", &run, ret->stage, &used) != 2 || run < 1)
		return false;
	text += used;
	if (*text == '[') {
		if (sscanf(text, "[%lld]%n", &item, &used) != 1 || item < 0 || text[used - 1] != ']')
			return false;
		text += used;
	}
	used = 0;
	if (sscanf(text, ".%63[a-z0-9-]%n", ret->output, &used) != 1 || text[used])
		return false;
	ret->run = run;
	ret->item = item;
	return true;
}

static int find_by_place(struct store *store, const struct maker *m, char ret_digest[DIGEST_TEXT_BYTES])
{
	sqlite3_stmt *q =
		m->item < 0
			? store_query(store,
				  "SELECT digest FROM run_output WHERE run = ? AND stage = ? AND name = ?",
				  "itt", m->run, m->stage, m->output)
			: store_query(store,
				  "SELECT digest FROM run_item_output WHERE run = ? AND stage = ? AND item = "
				  "?"
				  " AND name = ?",
				  "itit", m->run, m->stage, m->item, m->output);
	int rc = q ? sqlite3_step(q) : SQLITE_ERROR;

	if (rc == SQLITE_ROW)
		snprintf(ret_digest, DIGEST_TEXT_BYTES, "%s", (const char *)sqlite3_column_text(q, 0));
	if (q)
		sqlite3_reset(q);
	return rc == SQLITE_ROW ? 0 : rc == SQLITE_DONE ? ERR_UNKNOWN : ERR_STORE;
}

/* By the first digits, as `perigee show` has them. */
static int find_by_digits(struct store *store, const char *digits, char ret_digest[DIGEST_TEXT_BYTES])
{
	char end[DIGEST_TEXT_BYTES + 1];
	int n = 0, rc = SQLITE_ERROR;

	snprintf(end, sizeof(end), "%.64sg", digits); /* after all that begin so */
	sqlite3_stmt *q = store_query(store,
		"SELECT digest FROM run_output WHERE digest >= ?1 AND digest < ?2"
		" UNION SELECT digest FROM run_item_output WHERE digest >= ?1 AND digest < ?2 LIMIT 2",
		"tt", digits, end);
	while (q && (rc = sqlite3_step(q)) == SQLITE_ROW && n++ == 0)
		snprintf(ret_digest, DIGEST_TEXT_BYTES, "%s", (const char *)sqlite3_column_text(q, 0));
	if (q)
		sqlite3_reset(q);
	return n > 1 ? ERR_LIMIT : n == 1 ? 0 : rc == SQLITE_DONE ? ERR_UNKNOWN : ERR_STORE;
}

int product_find(struct store *store, const char *text, char ret_digest[DIGEST_TEXT_BYTES])
{
	size_t len = strlen(text);
	struct maker place;

	if (read_place(text, &place))
		return find_by_place(store, &place, ret_digest);
	if (len < 8 || len >= DIGEST_TEXT_BYTES || strspn(text, "0123456789abcdef") != len)
		return ERR_FORMAT;
	return find_by_digits(store, text, ret_digest);
}
