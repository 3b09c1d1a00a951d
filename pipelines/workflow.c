/* SPDX-License-Identifier: Apache-2.0 */
#include "workflow.h"

#include <errno.h>
#include <string.h>

#include "core/file.h"
#include "core/json.h"
#include "workflow-read.h"

#define DEFAULT_PRIORITY 100

static int compare_names(const void *a, const void *b, void *stages)
{
	const struct wf_stage *s = stages;

	return strcmp(s[*(const size_t *)a].name, s[*(const size_t *)b].name);
}

static void sort_names(struct workflow *w)
{
	for (size_t i = 0; i < w->n_stages; i++)
		w->by_name[i] = i;
	qsort_r(w->by_name, w->n_stages, sizeof(*w->by_name), compare_names, w->stages);
}

/* What expressions and inputs call something else. */
static void check_stage_name(struct wf_reader *r, const struct ynode *n)
{
	static const char *const taken[] = {
		"trigger", "params", "item", "index", "and", "or", "not", "true", "false"};
	struct ynode key = wf_key(n);
	const char *name;

	if (!y_name(r->c, &key, &name))
		return;
	for (size_t i = 0; i < ARRAY_LEN(taken); i++)
		if (!strcmp(name, taken[i]))
			y_complain(r->c, &key, "the name \"%s\" is taken by the language", name);
}

static void read_stages(struct wf_reader *r, struct ynode *map)
{
	struct workflow *w = r->w;

	if (!map || !y_is(r->c, map, YNODE_MAP))
		return;
	if (map->n == 0 || map->n > WF_STAGES_MAX) {
		y_complain(r->c, map, "expected 1 to %d stages, found %zu", WF_STAGES_MAX, map->n);
		return;
	}
	w->stages = calloc(map->n, sizeof(*w->stages));
	r->stage_names = calloc(map->n, sizeof(*r->stage_names));
	w->by_name = calloc(map->n, sizeof(*w->by_name));
	if (!w->stages || !r->stage_names || !w->by_name) {
		y_complain(r->c, map, "out of memory");
		return;
	}
	for (struct ynode *n = map->first; n; n = n->next) {
		struct wf_stage *s = &w->stages[w->n_stages];

		s->name = n->key;
		s->node = n;
		r->stage_names[w->n_stages++] = n->key;
		check_stage_name(r, n);
		wf_read_outputs(r, s);
	}
	sort_names(w);
	for (size_t i = 0; i < w->n_stages; i++)
		wf_read_stage(r, &w->stages[i]);
}

static void read_workflow(struct wf_reader *r)
{
	static const char *const known[] = {"perigee", "workflow", "payload", "priority", "deadline",
		"timeout", "max_runs", "params", "triggers", "stages", "on_failure", "on_exit", "outputs",
		"downlink"};
	struct workflow *w = r->w;
	const char *version;

	if (!y_is(r->c, w->root, YNODE_MAP))
		return;
	struct ynode *n = y_need(r->c, w->root, "perigee");
	if (n && y_text(r->c, n, &version) && strcmp(version, "v1"))
		y_complain(r->c, n, "expected v1, found \"%.60s\"", version);
	y_name(r->c, y_need(r->c, w->root, "workflow"), &w->name);
	y_name(r->c, y_need(r->c, w->root, "payload"), &w->payload);
	w->priority = DEFAULT_PRIORITY;
	wf_priority(r, y_get(w->root, "priority"), &w->priority);
	wf_duration(r, y_get(w->root, "deadline"), &w->deadline_ns);
	wf_duration(r, y_get(w->root, "timeout"), &w->timeout_ns);
	wf_read_max_runs(r, y_get(w->root, "max_runs"));
	wf_read_params(r, y_get(w->root, "params"));
	wf_read_triggers(r, y_get(w->root, "triggers"));
	read_stages(r, y_need(r->c, w->root, "stages"));
	wf_read_handlers(r, y_get(w->root, "on_failure"), WF_ON_FAILURE);
	wf_read_handlers(r, y_get(w->root, "on_exit"), WF_ON_EXIT);
	wf_read_results(r, y_get(w->root, "outputs"));
	wf_read_products(r, y_get(w->root, "downlink"));
	y_no_others(r->c, w->root, known, ARRAY_LEN(known));
	if (!r->c->total)
		wf_check_cycles(r);
	if (!r->c->total)
		wf_check_whole(r);
}

int workflow_parse(const char *text, size_t len, const struct workflow_limits *limits, struct complaints *c,
	struct workflow **ret_workflow)
{
	struct workflow *w = calloc(1, sizeof(*w));
	struct wf_reader r = {.c = c, .w = w, .limits = limits};

	if (!w)
		return -ENOMEM;
	w->text = strndup(text, len);
	w->text_len = len;
	digest_data(text, len, &w->digest);
	w->root = w->text ? yaml_parse(text, len, c) : NULL;
	if (w->root)
		read_workflow(&r);
	else if (!c->total)
		complain(c, 0, 0, "out of memory");
	free(r.stage_names);
	if (c->total) {
		workflow_destroy(w);
		return ERR_CHECKED;
	}
	*ret_workflow = w;
	return 0;
}

int workflow_load(const char *path, const struct workflow_limits *limits, struct complaints *c,
	struct workflow **ret_workflow)
{
	CLEAN_FREE char *text = NULL;
	size_t len;
	int r = file_read(path, YAML_BYTES_MAX, &text, &len);

	if (r < 0) {
		complain(c, 0, 0, "cannot be read: %s", err_text(r));
		return ERR_CHECKED;
	}
	return workflow_parse(text, len, limits, c, ret_workflow);
}

void workflow_destroy(struct workflow *w)
{
	if (!w)
		return;
	for (size_t i = 0; i < w->n_stages; i++)
		wf_stage_finish(&w->stages[i]);
	for (size_t i = 0; i < w->n_params; i++) {
		cJSON_Delete(w->params[i].value);
		cJSON_Delete(w->params[i].one_of);
	}
	free(w->params);
	free(w->stages);
	free(w->by_name);
	yaml_destroy(w->root);
	free(w->text);
	free(w);
}
