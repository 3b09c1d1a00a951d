/* SPDX-License-Identifier: Apache-2.0 */
/* Drawing a workflow, or a run of it: what both forms share, and the DOT form (Graphviz's language). */
#include "graph.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "core/file.h"
#include "core/json.h"
#include "runs.h"

const char *const graph_states[GRAPH_STATES_MAX] = {"waiting", "queued", "running", "frozen", "retrying",
	"asking", "done", "failed", "skipped", "cancelled"};

const char *graph_colour(const char *state)
{
	static const char *const colours[GRAPH_STATES_MAX] = {"#f6f8fa", "#ddf4ff", "#80ccff", "#b9d7ea",
		"#ffdf5d", "#e2c5ff", "#aceebb", "#ff9492", "#e4e7eb", "#b6bcc4"};

	for (size_t i = 0; state && i < GRAPH_STATES_MAX; i++)
		if (!strcmp(state, graph_states[i]))
			return colours[i];
	return "#f6f8fa";
}

static void remark(char *text, size_t cap, const char *fmt, ...) PRINTF(3, 4);
static void remark(char *text, size_t cap, const char *fmt, ...)
{
	size_t len = strlen(text);
	va_list ap;

	if (len && len + 2 < cap)
		len += (size_t)snprintf(text + len, cap - len, ", ");
	va_start(ap, fmt);
	if (len < cap)
		vsnprintf(text + len, cap - len, fmt, ap);
	va_end(ap);
}

void graph_remarks(const struct wf_stage *s, char *ret_text, size_t cap)
{
	ret_text[0] = '\0';
	if (s->role != WF_NORMAL)
		remark(ret_text, cap, "%s", s->role == WF_ON_EXIT ? "on exit" : "on failure");
	if (s->foreach.source != WF_NO_FOREACH)
		remark(ret_text, cap, "foreach %u", s->foreach.parallel);
	if (s->when)
		remark(ret_text, cap, "when");
	if (s->approve)
		remark(ret_text, cap, "approve");
	if (s->retry.limit)
		remark(ret_text, cap, "retry %u", s->retry.limit);
	if (s->cache)
		remark(ret_text, cap, "cache");
	if (s->on_failure != WF_FAIL)
		remark(ret_text, cap, "%s", s->on_failure == WF_CONTINUE ? "may fail" : "cancels");
}

/* Names have neither quotes nor backslashes: what a person writes freely is not put into it. */
void graph_dot(const struct workflow *w, const char *const *states, FILE *to)
{
	char remarks[160];

	fprintf(to,
		"digraph \"%s\" {\n\trankdir=LR;\n\tnode [shape=box, style=\"rounded,filled\", "
		"fontname=\"sans-serif\"];\n",
		w->name);
	for (size_t i = 0; i < w->n_stages; i++) {
		const struct wf_stage *s = &w->stages[i];
		const char *state = states ? states[i] : NULL;

		graph_remarks(s, remarks, sizeof(remarks));
		fprintf(to, "\t\"%s\" [label=\"%s\\n%s%s", s->name, s->name, s->uses ? "uses " : "",
			s->uses ? s->uses : s->image);
		if (remarks[0])
			fprintf(to, "\\n%s", remarks);
		if (state)
			fprintf(to, "\\n(%s)", state);
		fprintf(to, "\", fillcolor=\"%s\"%s];\n", graph_colour(state),
			s->role == WF_NORMAL ? "" : ", style=\"rounded,filled,dashed\"");
	}
	for (size_t i = 0; i < w->n_stages; i++)
		for (size_t k = 0; k < w->stages[i].n_needs; k++)
			fprintf(to, "\t\"%s\" -> \"%s\";\n", w->stages[w->stages[i].needs[k]].name,
				w->stages[i].name);
	fputs("}\n", to);
}

static bool add_text(cJSON *j, const char *key, const char *value)
{
	return !value || cJSON_AddStringToObject(j, key, value);
}

static cJSON *stage_json(const struct workflow *w, const struct wf_stage *s, const char *state)
{
	static const char *const roles[] = {NULL, "on_failure", "on_exit"};
	cJSON *j = cJSON_CreateObject();
	char remarks[160];

	graph_remarks(s, remarks, sizeof(remarks));
	bool ok = j && add_text(j, "stage", s->name) && add_text(j, "image", s->image) &&
		  add_text(j, "uses", s->uses) && add_text(j, "role", roles[s->role]) &&
		  add_text(j, "remarks", *remarks ? remarks : NULL) && add_text(j, "state", state) &&
		  add_text(j, "colour", state ? graph_colour(state) : NULL);
	cJSON *needs = ok ? cJSON_AddArrayToObject(j, "needs") : NULL;

	for (size_t i = 0; needs && i < s->n_needs; i++)
		ok = ok && cJSON_AddItemToArray(needs, cJSON_CreateString(w->stages[s->needs[i]].name));
	if (needs && ok)
		return j;
	cJSON_Delete(j);
	return NULL;
}

static int graph_json(const struct workflow *w, const char *const *states, FILE *to)
{
	CLEAN_JSON cJSON *j = cJSON_CreateObject();
	cJSON *list = j && add_text(j, "workflow", w->name) ? cJSON_AddArrayToObject(j, "stages") : NULL;

	for (size_t i = 0; list && i < w->n_stages; i++)
		if (!cJSON_AddItemToArray(list, stage_json(w, &w->stages[i], states ? states[i] : NULL)))
			return -ENOMEM;
	CLEAN_FREE char *text = list ? cJSON_Print(j) : NULL;
	if (!text)
		return -ENOMEM;
	fprintf(to, "%s\n", text);
	return 0;
}

int workflow_draw(const struct workflow *w, enum graph_form form, const char *const *states, FILE *to)
{
	struct graph g;
	int r = 0;

	if (form == GRAPH_DOT) {
		graph_dot(w, states, to);
	} else if (form == GRAPH_JSON) {
		r = graph_json(w, states, to);
	} else {
		r = graph_init(&g, w);
		if (r == 0)
			graph_svg(&g, states, to);
		graph_finish(&g);
	}
	return r < 0 ? r : ferror(to) ? -EIO : 0;
}

/* ---- a run ---- */

static int load_kept(struct store *store, int64_t run, struct workflow **ret)
{
	static const struct workflow_limits no_limits;
	struct complaints c;
	sqlite3_stmt *q = store_query(store,
		"SELECT workflow_text.text FROM run JOIN workflow_text ON workflow_text.digest = run.digest"
		" WHERE run.id = ?",
		"i", run);
	int rc = q ? sqlite3_step(q) : SQLITE_ERROR;
	int r = rc == SQLITE_ROW    ? complaints_init(&c, "workflow")
		: rc == SQLITE_DONE ? ERR_UNKNOWN
				    : ERR_STORE;

	if (r == 0) {
		r = workflow_parse(
			sqlite3_column_blob(q, 0), (size_t)sqlite3_column_bytes(q, 0), &no_limits, &c, ret);
		complaints_finish(&c);
	}
	if (q)
		sqlite3_reset(q);
	return r;
}

static int load_states(struct store *store, int64_t run, const struct workflow *w, const char **states)
{
	sqlite3_stmt *q = store_query(store, "SELECT stage, state FROM run_stage WHERE run = ?", "i", run);
	int rc = SQLITE_ERROR;
	size_t stage;

	while (q && (rc = sqlite3_step(q)) == SQLITE_ROW)
		if (workflow_find_stage(w, (const char *)sqlite3_column_text(q, 0), &stage))
			states[stage] = stage_state_name(sqlite3_column_int64(q, 1));
	return rc == SQLITE_DONE ? 0 : ERR_STORE;
}

int run_draw(struct store *store, int64_t run, enum graph_form form, FILE *to)
{
	struct workflow *w = NULL;
	int r = load_kept(store, run, &w);

	if (r < 0)
		return r;
	CLEAN_FREE const char **states = calloc(w->n_stages, sizeof(*states));
	r = states ? load_states(store, run, w, states) : -ENOMEM;
	if (r == 0)
		r = workflow_draw(w, form, states, to);
	workflow_destroy(w);
	return r;
}
