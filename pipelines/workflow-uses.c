/* SPDX-License-Identifier: Apache-2.0 */
/* Workflows of one mission that refer to each other: `uses` and `completed`. */
#include <errno.h>
#include <string.h>

#include "core/file.h"
#include "core/json.h"
#include "wf-values.h"
#include "workflow.h"

#define RUNS_MAX 1000 /* that one run may bring about by `uses`, itself included */

struct mission_files {
	struct workflow *const *list;
	struct complaints *const *c;
	size_t n;
	bool whole;
	size_t *path;   /* numbers of workflows on the way down */
	uint64_t *runs; /* by workflow: how many runs one of it makes; 0: not known yet, 1 while it is counted
			 */
	bool *on_path;
	bool cyclic;
};

static bool find(const struct mission_files *m, const char *name, size_t *ret)
{
	for (size_t i = 0; i < m->n; i++) {
		if (strcmp(m->list[i]->name, name))
			continue;
		*ret = i;
		return true;
	}
	return false;
}

/* One that is not there: a mistake when all are at hand. */
static bool find_other(
	const struct mission_files *m, size_t from, const struct ynode *at, const char *name, size_t *ret)
{
	const char **names;

	if (find(m, name, ret)) {
		if (!strcmp(m->list[from]->payload, m->list[*ret]->payload))
			return true;
		y_complain(m->c[from], at,
			"the workflow %s belongs to another payload, %s: what it gives is not for this one",
			name, m->list[*ret]->payload);
		return false;
	}
	if (!m->whole)
		return false;
	names = calloc(m->n ? m->n : 1, sizeof(*names));
	for (size_t i = 0; names && i < m->n; i++)
		names[i] = m->list[i]->name;
	const char *near = names ? nearest_name(name, names, m->n) : NULL;
	if (near)
		y_complain(m->c[from], at, "there is no workflow \"%s\" in the mission; did you mean \"%s\"?",
			name, near);
	else
		y_complain(m->c[from], at, "there is no workflow \"%s\" in the mission", name);
	free(names);
	return false;
}

static const struct wf_result *result_named(const struct workflow *w, const char *name)
{
	for (size_t i = 0; i < w->n_results; i++)
		if (!strcmp(w->results[i].name, name))
			return &w->results[i];
	return NULL;
}

/* Whether the result can be looked into, through as many workflows as it takes. */
static bool is_json(const struct mission_files *m, const struct workflow *w, const struct wf_result *result)
{
	const struct wf_stage *s = &w->stages[result->stage];
	size_t other;

	if (!s->uses)
		return s->outputs[result->output].type == WF_JSON;
	if (!find(m, s->uses, &other))
		return true; /* not known */
	const struct wf_result *inner = result_named(m->list[other], s->outputs[result->output].name);
	return !inner || is_json(m, m->list[other], inner);
}

/* ---- what a stage that uses another gives and takes ---- */

static void check_inputs(const struct mission_files *m, size_t from, const struct wf_stage *s, size_t other)
{
	struct ynode *map = y_get(s->node, "inputs"), *uses = y_get(s->node, "uses");
	const char *name;

	for (const struct ynode *n = map ? map->first : NULL; n; n = n->next) {
		size_t i = 0;
		while ((name = workflow_trigger_input(m->list[other], i)) && strcmp(name, n->key))
			i++;
		if (!name)
			complain(m->c[from], n->key_line, n->key_column,
				"%.63s: the workflow %s takes no trigger.%.63s", n->key, s->uses, n->key);
	}
	for (size_t i = 0; (name = workflow_trigger_input(m->list[other], i)); i++) {
		size_t k = 0;
		while (k < s->n_inputs && strcmp(s->inputs[k].name, name))
			k++;
		if (k == s->n_inputs)
			y_complain(m->c[from], uses,
				"%s takes trigger.%s: expected it in `inputs`, found none", s->uses, name);
	}
}

/* A parameter of this workflow that is handed on must have the type that the other one wants. */
static void check_handed(const struct mission_files *m, size_t from, const struct ynode *n,
	const struct wf_param *there, const char *name)
{
	static const char *const types[] = {"a number", "a text", "true or false", "a list"};
	const struct workflow *w = m->list[from];

	for (size_t i = 0; i < w->n_params; i++)
		if (!strcmp(w->params[i].name, name) && w->params[i].type != there->type)
			y_complain(m->c[from], n, "expected %s, the parameter %s is %s", types[there->type],
				name, types[w->params[i].type]);
}

static const struct wf_param *param_named(const struct workflow *w, const char *name)
{
	for (size_t i = 0; i < w->n_params; i++)
		if (!strcmp(w->params[i].name, name))
			return &w->params[i];
	return NULL;
}

static void complain_param(
	const struct mission_files *m, size_t from, const struct ynode *n, const struct workflow *other)
{
	const char *known[WF_PARAMS_MAX];

	for (size_t i = 0; i < other->n_params; i++)
		known[i] = other->params[i].name;
	const char *near = nearest_name(n->key, known, other->n_params);
	if (near)
		complain(m->c[from], n->key_line, n->key_column,
			"the workflow %s has no parameter \"%.63s\"; did you mean \"%s\"?", other->name,
			n->key, near);
	else
		complain(m->c[from], n->key_line, n->key_column, "the workflow %s has no parameter \"%.63s\"",
			other->name, n->key);
}

static void check_params(const struct mission_files *m, size_t from, const struct wf_stage *s, size_t other)
{
	const struct workflow *w = m->list[other];
	struct ynode *map = y_get(s->node, "params");
	const cJSON *v = s->params->child;
	char reason[WF_REASON_BYTES];
	struct wf_ref ref;

	for (const struct ynode *n = map ? map->first : NULL; n && v; n = n->next, v = v->next) {
		const struct wf_param *p = param_named(w, n->key);

		if (!p) {
			complain_param(m, from, n, w);
			continue;
		}
		bool open = cJSON_IsString(v) && wf_ref_parse(v->valuestring, &ref) == 0;
		if (open && ref.kind == WF_REF_PARAM)
			check_handed(m, from, n, p, ref.rest);
		else if (wf_param_fits(p, v, reason) < 0)
			y_complain(m->c[from], n, "%s", reason);
	}
	for (size_t i = 0; i < w->n_params; i++)
		if (!w->params[i].value && !cJSON_HasObjectItem(s->params, w->params[i].name))
			y_complain(m->c[from], y_get(s->node, "uses"),
				"%s has the parameter %s without a default: expected it in `params`", s->uses,
				w->params[i].name);
}

static void check_outputs(const struct mission_files *m, size_t from, const struct wf_stage *s, size_t other)
{
	const struct workflow *w = m->list[other];
	const char *known[WF_OUTPUTS_MAX];

	for (size_t i = 0; i < w->n_results; i++)
		known[i] = w->results[i].name;
	for (size_t i = 0; i < s->n_outputs; i++) {
		const struct wf_output *o = &s->outputs[i];
		const struct wf_result *result = result_named(w, o->name);
		const char *near = result ? NULL : nearest_name(o->name, known, w->n_results);
		const struct ynode *at = y_get(s->node, "uses");

		if (near)
			y_complain(m->c[from], at, "%s declares no output \"%s\"; did you mean \"%s\"?",
				s->uses, o->name, near);
		else if (!result)
			y_complain(m->c[from], at, "%s declares no output \"%s\", which is taken here",
				s->uses, o->name);
		else if (o->type == WF_JSON && !is_json(m, w, result))
			y_complain(m->c[from], at,
				"the output %s of %s is a file; only an output of type json can be looked "
				"into",
				o->name, s->uses);
	}
}

/* ---- cycles and how much one run brings about ---- */

static void complain_cycle(struct mission_files *m, size_t depth, size_t to, const struct ynode *at)
{
	char path[512] = "";
	size_t from = 0, len = 0;

	while (m->path[from] != to)
		from++;
	for (size_t i = from; i < depth && len < sizeof(path); i++)
		len += (size_t)snprintf(
			path + len, sizeof(path) - len, "%s uses ", m->list[m->path[i]]->name);
	y_complain(m->c[m->path[depth - 1]], at, "a cycle: %s%s", path, m->list[to]->name);
	m->cyclic = true;
}

/* As deep as there are workflows: at most MISSION_WORKFLOWS_MAX. */
static uint64_t count_runs(struct mission_files *m, size_t at, size_t depth)
{
	uint64_t runs = 1;

	if (m->runs[at])
		return m->runs[at];
	m->path[depth] = at;
	m->on_path[at] = true;
	for (size_t i = 0; i < m->list[at]->n_stages && !m->cyclic; i++) {
		const struct wf_stage *s = &m->list[at]->stages[i];
		size_t other;

		if (!s->uses || !find(m, s->uses, &other))
			continue;
		if (m->on_path[other])
			complain_cycle(m, depth + 1, other, y_get(s->node, "uses"));
		else
			runs += count_runs(m, other, depth + 1);
		if (runs > RUNS_MAX)
			runs = RUNS_MAX + 1; /* far enough: it must not overflow */
	}
	m->on_path[at] = false;
	return m->runs[at] = runs;
}

static void check_runs(struct mission_files *m)
{
	for (size_t i = 0; i < m->n && !m->cyclic; i++)
		if (count_runs(m, i, 0) > RUNS_MAX)
			complain(m->c[i], 0, 0,
				"one run of %s would make more than %d others by `uses`, and theirs",
				m->list[i]->name, RUNS_MAX);
}

/* ---- completed ---- */

static const struct ynode *trigger_node(const struct workflow *w, size_t i)
{
	const struct ynode *list = y_get(w->root, "triggers"), *n = list->first;

	while (i--)
		n = n->next;
	return y_get((struct ynode *)n, "completed");
}

static void check_completed(struct mission_files *m, size_t from, size_t trigger)
{
	const struct workflow *w = m->list[from];
	const struct wf_trigger *t = &w->triggers[trigger];
	const struct ynode *at = trigger_node(w, trigger);
	const char *name;
	size_t other;

	if (!find_other(m, from, at, t->workflow, &other))
		return;
	for (size_t i = 0; (name = workflow_trigger_input(w, i)); i++)
		if (!result_named(m->list[other], name))
			y_complain(m->c[from], at,
				"%s declares no output \"%s\", which is taken as trigger.%s", t->workflow,
				name, name);
}

/* Workflows that start each other go round for ever: from here on, does one come back? */
static bool comes_back(const struct mission_files *m, size_t at, size_t to, bool *been)
{
	for (size_t i = 0; i < m->list[at]->n_triggers; i++) {
		const struct wf_trigger *t = &m->list[at]->triggers[i];
		size_t before;

		if (t->kind != WF_TRIGGER_COMPLETED || !find(m, t->workflow, &before))
			continue;
		if (before == to)
			return true;
		if (been[before])
			continue;
		been[before] = true;
		if (comes_back(m, before, to, been))
			return true;
	}
	return false;
}

static void check_rounds(struct mission_files *m)
{
	for (size_t i = 0; i < m->n; i++) {
		memset(m->on_path, 0, m->n * sizeof(*m->on_path));
		if (!comes_back(m, i, i, m->on_path))
			continue;
		size_t trigger = 0;
		while (m->list[i]->triggers[trigger].kind != WF_TRIGGER_COMPLETED)
			trigger++;
		y_complain(m->c[i], trigger_node(m->list[i], trigger),
			"the completion of %s leads to its own start again, without end", m->list[i]->name);
		return; /* one round is enough to mend before the next look */
	}
}

static void check_workflow(struct mission_files *m, size_t from)
{
	const struct workflow *w = m->list[from];
	size_t other;

	for (size_t i = 0; i < w->n_stages; i++) {
		const struct wf_stage *s = &w->stages[i];

		if (!s->uses || !find_other(m, from, y_get(s->node, "uses"), s->uses, &other))
			continue;
		check_inputs(m, from, s, other);
		check_params(m, from, s, other);
		check_outputs(m, from, s, other);
	}
	for (size_t i = 0; i < w->n_triggers; i++)
		if (w->triggers[i].kind == WF_TRIGGER_COMPLETED)
			check_completed(m, from, i);
}

int workflow_check_uses(
	struct workflow *const *list, size_t n, bool whole_mission, struct complaints *const *c)
{
	CLEAN_FREE size_t *path = calloc(n + 1, sizeof(*path));
	CLEAN_FREE uint64_t *runs = calloc(n + 1, sizeof(*runs));
	CLEAN_FREE bool *on_path = calloc(n + 1, sizeof(*on_path));
	struct mission_files m = {.list = list,
		.c = c,
		.n = n,
		.whole = whole_mission,
		.path = path,
		.runs = runs,
		.on_path = on_path};
	size_t before = 0, after = 0;

	if (!path || !runs || !on_path)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		before += c[i]->total;
	check_runs(&m);
	for (size_t i = 0; i < n && !m.cyclic; i++)
		check_workflow(&m, i);
	if (!m.cyclic)
		check_rounds(&m);
	for (size_t i = 0; i < n; i++)
		after += c[i]->total;
	return after > before ? ERR_CHECKED : 0;
}
