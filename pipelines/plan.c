/* SPDX-License-Identifier: Apache-2.0 */
/* A plan: the stages of a workflow and of those that it uses as one graph, for given parameters. */
#include "plan.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "core/json.h"

static double seconds(int64_t ns)
{
	return (double)ns / 1e9;
}

static int add_node(struct plan *p, size_t group, const struct wf_stage *stage, const char *name, size_t *ret)
{
	if (p->n_nodes == PLAN_NODES_MAX) {
		snprintf(p->why, WF_REASON_BYTES,
			"more than %d stages, with those of the workflows that are used", PLAN_NODES_MAX);
		return ERR_LIMIT;
	}
	if (p->n_nodes == p->cap_nodes) {
		size_t cap = p->cap_nodes ? 2 * p->cap_nodes : 64;
		struct plan_node *grown = reallocarray(p->nodes, cap, sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		p->nodes = grown;
		p->cap_nodes = cap;
	}
	struct plan_node *n = &p->nodes[p->n_nodes];
	*n = (struct plan_node){
		.group = group, .stage = stage, .elements = 1, .parallel = 1, .elements_known = true};
	if (name && !(n->name = strdup(name)))
		return -ENOMEM;
	*ret = p->n_nodes++;
	return 0;
}

static int order(struct plan *p, size_t before, size_t after)
{
	struct plan_node *n = &p->nodes[before];

	if (n->n_after == n->cap_after) {
		size_t cap = n->cap_after ? 2 * n->cap_after : 4;
		size_t *grown = reallocarray(n->after, cap, sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		n->after = grown;
		n->cap_after = cap;
	}
	n->after[n->n_after++] = after;
	p->nodes[after].n_before++;
	return 0;
}

/* ---- one stage ---- */

/* The longest that an element can take: every attempt its whole time, every wait without its random part. */
static double element_seconds(const struct wf_stage *s)
{
	double total = seconds(s->time_ns) * (s->retry.limit + 1.0), wait = seconds(s->retry.backoff_ns);

	for (uint32_t i = 0; i < s->retry.limit; i++) {
		total += fmin(wait, seconds(s->retry.max_backoff_ns));
		wait *= 2;
	}
	return total;
}

static void count_elements(const struct plan *p, const struct plan_group *g, struct plan_node *n)
{
	const struct wf_foreach *f = &n->stage->foreach;
	const cJSON *list, *said = cJSON_GetObjectItemCaseSensitive(p->items, n->name);

	if (f->source == WF_NO_FOREACH)
		return;
	n->parallel = f->parallel;
	if (f->source == WF_OVER_OUTPUT) {
		n->elements_known = cJSON_IsNumber(said);
		n->elements = n->elements_known ? (uint32_t)said->valuedouble : WF_ITEMS_MAX;
		return;
	}
	list = f->source == WF_OVER_LIST
		       ? f->list
		       : cJSON_GetObjectItemCaseSensitive(g->params, g->w->params[f->param].name);
	n->elements = (uint32_t)cJSON_GetArraySize(list);
}

static void note_stage(void *user, size_t stage, size_t output)
{
	(void)stage;
	(void)output;
	*(bool *)user = true;
}

/* `when`, where parameters alone decide it. */
static void decide_when(const struct plan_group *g, struct plan_node *n)
{
	struct expr_scope scope = {.params = g->params};
	char reason[EXPR_REASON_BYTES];
	bool reads_stage = false;

	if (!n->stage->when || n->stage->when_item)
		return;
	expr_each_stage(n->stage->when, note_stage, &reads_stage);
	if (reads_stage || expr_truth(n->stage->when, &scope, reason) != 0)
		return;
	n->left_out = true;
	snprintf(n->why, sizeof(n->why), "when %.80s: %.90s", n->stage->when_text, reason);
}

/* What needs a stage that is left out is left out, too. */
static void pass_on(struct plan *p, const size_t *at, const struct workflow *w, size_t stage)
{
	struct plan_node *n = &p->nodes[at[stage]];
	const struct wf_stage *s = &w->stages[stage];

	for (size_t i = 0; s->role == WF_NORMAL && !n->left_out && i < s->n_needs; i++) {
		if (!p->nodes[at[s->needs[i]]].left_out)
			continue;
		n->left_out = true;
		snprintf(n->why, sizeof(n->why), "%s is left out", w->stages[s->needs[i]].name);
	}
}

/* ---- a run ---- */

static int add_group(struct plan *p, const struct workflow *w, const cJSON *given, size_t outer, size_t *ret)
{
	char why[WF_REASON_BYTES];

	if (p->n_groups == p->cap_groups) {
		size_t cap = p->cap_groups ? 2 * p->cap_groups : 8;
		struct plan_group *grown = reallocarray(p->groups, cap, sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		p->groups = grown;
		p->cap_groups = cap;
	}
	struct plan_group *g = &p->groups[p->n_groups];
	*g = (struct plan_group){.w = w, .outer = outer, .node = PLAN_NONE};
	int r = wf_params_make(w, given, &g->params, why);
	if (r < 0) {
		snprintf(p->why, WF_REASON_BYTES, "%s", why);
		return r;
	}
	*ret = p->n_groups++;
	return 0;
}

static int build_run(struct plan *p, size_t group, const char *prefix);

static const struct workflow *find_other(const struct plan *p, const char *name)
{
	for (size_t i = 0; i < p->n_others; i++)
		if (!strcmp(p->others[i]->name, name))
			return p->others[i];
	return NULL;
}

/* The run inside a stage: it begins when the stage does, and the stage ends with it. */
static int build_inside(struct plan *p, size_t group, size_t node)
{
	const struct wf_stage *s = p->nodes[node].stage;
	const struct workflow *w = find_other(p, s->uses);
	struct wf_scope scope = {.params = p->groups[group].params};
	CLEAN_JSON cJSON *given = NULL;
	char prefix[PLAN_NAME_BYTES];
	size_t inner;

	if (!w) {
		p->nodes[node].unknown = true;
		return 0;
	}
	int n = snprintf(prefix, sizeof(prefix), "%s/", p->nodes[node].name);
	if (n < 0 || (size_t)n >= sizeof(prefix)) {
		snprintf(p->why, WF_REASON_BYTES, "workflows use each other too deeply at %.100s",
			p->nodes[node].name);
		return ERR_LIMIT;
	}
	int r = s->params ? wf_fill_json(s->params, &scope, &given, p->why) : 0;
	if (r == 0)
		r = add_group(p, w, given, group, &inner);
	if (r < 0)
		return r;
	p->groups[inner].node = node;
	return build_run(p, inner, prefix);
}

static int add_stage(struct plan *p, size_t group, size_t stage, const char *prefix, size_t *ret)
{
	const struct wf_stage *s = &p->groups[group].w->stages[stage];
	char name[PLAN_NAME_BYTES];
	int n = snprintf(name, sizeof(name), "%s%s", prefix, s->name);

	if (n < 0 || (size_t)n >= sizeof(name)) {
		snprintf(p->why, WF_REASON_BYTES, "workflows use each other too deeply at %.100s", name);
		return ERR_LIMIT;
	}
	int r = add_node(p, group, s, name, ret);
	if (r < 0)
		return r;
	p->nodes[*ret].element_s = s->uses ? 0 : element_seconds(s);
	count_elements(p, &p->groups[group], &p->nodes[*ret]);
	decide_when(&p->groups[group], &p->nodes[*ret]);
	return 0;
}

/* Handlers of a kind begin when all before them is settled; marks keep that from being an order of each with
 * each. */
static int order_stage(struct plan *p, size_t group, size_t stage, const size_t *open, const size_t *close,
	const size_t phase[3])
{
	const struct wf_stage *s = &p->groups[group].w->stages[stage];
	int r = order(p, s->role == WF_NORMAL ? p->groups[group].first : phase[s->role - 1], open[stage]);

	for (size_t i = 0; r == 0 && i < s->n_needs; i++)
		r = order(p, close[s->needs[i]], open[stage]);
	return r == 0 ? order(p, close[stage], phase[s->role]) : r;
}

static int build_run(struct plan *p, size_t group, const char *prefix)
{
	const struct workflow *w = p->groups[group].w;
	CLEAN_FREE size_t *open = calloc(w->n_stages, sizeof(*open)),
			  *close = calloc(w->n_stages, sizeof(*close));
	size_t phase[3] = {0}, first = 0;
	int r = open && close ? add_node(p, group, NULL, NULL, &first) : -ENOMEM;

	for (size_t i = 0; r == 0 && i < 3; i++)
		r = add_node(p, group, NULL, NULL, &phase[i]);
	for (size_t i = 0; r == 0 && i < 2; i++)
		r = order(p, phase[i], phase[i + 1]);
	if (r < 0)
		return r;
	p->nodes[first].opens = true;
	p->groups[group].first = first;
	p->groups[group].last = phase[2];
	r = order(p, first, phase[0]);
	for (size_t i = 0; r == 0 && i < w->n_stages; i++) {
		r = add_stage(p, group, i, prefix, &open[i]);
		close[i] = open[i];
	}
	/* In the file's order a stage may come before what it needs: as often as it takes. */
	for (size_t left_out = 0, before = SIZE_MAX; r == 0 && left_out != before;) {
		before = left_out;
		left_out = 0;
		for (size_t i = 0; i < w->n_stages; i++) {
			pass_on(p, open, w, i);
			left_out += p->nodes[open[i]].left_out;
		}
	}
	for (size_t i = 0; r == 0 && i < w->n_stages; i++) {
		if (!w->stages[i].uses || p->nodes[open[i]].left_out)
			continue;
		size_t inner = p->n_groups;
		r = build_inside(p, group, open[i]);
		if (r < 0 || inner == p->n_groups)
			continue;
		close[i] = p->groups[inner].last;
		r = order(p, open[i], p->groups[inner].first);
	}
	for (size_t i = 0; r == 0 && i < w->n_stages; i++)
		r = order_stage(p, group, i, open, close, phase);
	return r;
}

/* Waves, by taking away what waits for nothing; the graph has no cycles, the checker saw to that. */
static int number_waves(struct plan *p)
{
	CLEAN_FREE size_t *ready = calloc(p->n_nodes, sizeof(*ready));
	size_t n = 0;

	if (!ready)
		return -ENOMEM;
	for (size_t i = 0; i < p->n_nodes; i++) {
		p->nodes[i].waits = p->nodes[i].n_before;
		if (!p->nodes[i].waits)
			ready[n++] = i;
	}
	for (size_t i = 0; i < n; i++) {
		struct plan_node *node = &p->nodes[ready[i]];

		node->wave += node->stage != NULL && !node->left_out;
		for (size_t k = 0; k < node->n_after; k++) {
			struct plan_node *after = &p->nodes[node->after[k]];
			if (after->wave < node->wave)
				after->wave = node->wave;
			if (--after->waits == 0)
				ready[n++] = node->after[k];
		}
	}
	return 0;
}

int plan_build(struct plan *p, const struct workflow *w, const cJSON *params)
{
	size_t group;
	int r = add_group(p, w, params, PLAN_NONE, &group);

	if (r == 0)
		r = build_run(p, group, "");
	return r == 0 ? number_waves(p) : r;
}

void plan_finish(struct plan *p)
{
	for (size_t i = 0; i < p->n_nodes; i++) {
		free(p->nodes[i].name);
		free(p->nodes[i].after);
	}
	for (size_t i = 0; i < p->n_groups; i++)
		cJSON_Delete(p->groups[i].params);
	free(p->nodes);
	free(p->groups);
}
