/* SPDX-License-Identifier: Apache-2.0 */
#include "workflow.h"

#include <errno.h>
#include <string.h>

#include "core/file.h"
#include "workflow-stage.h"

bool workflow_find_stage(const struct workflow *w, const char *name, size_t *ret_stage)
{
	size_t from = 0, to = w->by_name ? w->n_stages : 0;

	while (from < to) {
		size_t middle = from + (to - from) / 2;
		int order = strcmp(name, w->stages[w->by_name[middle]].name);

		if (order == 0) {
			*ret_stage = w->by_name[middle];
			return true;
		}
		if (order < 0)
			to = middle;
		else
			from = middle + 1;
	}
	return false;
}

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

static void read_priority(struct wf_reader *r, struct ynode *n, uint8_t *ret_priority)
{
	int64_t v;

	if (y_int(r->c, n, 0, 255, &v))
		*ret_priority = (uint8_t)v;
}

static void read_triggers(struct wf_reader *r, struct ynode *list)
{
	static const char *const known[] = {"event", "device"};
	struct workflow *w = r->w;

	if (!list || !y_is(r->c, list, YNODE_SEQ))
		return;
	if (list->n > WF_TRIGGERS_MAX) {
		y_complain(r->c, list, "expected at most %d triggers, found %zu", WF_TRIGGERS_MAX, list->n);
		return;
	}
	for (struct ynode *n = list->first; n; n = n->next) {
		struct wf_trigger *t = &w->triggers[w->n_triggers++];

		if (!y_is(r->c, n, YNODE_MAP))
			continue;
		struct ynode *event = y_need(r->c, n, "event");
		if (event && y_text(r->c, event, &t->event) && strcmp(t->event, "image.acquired"))
			y_complain(r->c, event, "expected image.acquired, found \"%s\"", t->event);
		y_name(r->c, y_need(r->c, n, "device"), &t->device);
		y_no_others(r->c, n, known, ARRAY_LEN(known));
	}
}

static void read_products(struct wf_reader *r, struct ynode *list)
{
	static const char *const known[] = {"product", "priority"};
	struct workflow *w = r->w;
	const char *ref;

	if (!list || !y_is(r->c, list, YNODE_SEQ))
		return;
	if (list->n > WF_PRODUCTS_MAX) {
		y_complain(r->c, list, "expected at most %d products, found %zu", WF_PRODUCTS_MAX, list->n);
		return;
	}
	for (struct ynode *n = list->first; n; n = n->next) {
		struct wf_product *p = &w->products[w->n_products];

		if (!y_is(r->c, n, YNODE_MAP))
			continue;
		p->priority = w->priority;
		read_priority(r, y_get(n, "priority"), &p->priority);
		struct ynode *name = y_need(r->c, n, "product");
		if (name && y_text(r->c, name, &ref) && wf_resolve(r, name, ref, &p->stage, &p->output))
			w->n_products++;
		y_no_others(r->c, n, known, ARRAY_LEN(known));
	}
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
		struct ynode key = {
			.kind = YNODE_SCALAR, .text = n->key, .line = n->key_line, .column = n->key_column};
		struct wf_stage *s = &w->stages[w->n_stages];

		s->name = n->key;
		s->node = n;
		r->stage_names[w->n_stages++] = n->key;
		if (y_name(r->c, &key, &s->name) && !strcmp(s->name, "trigger"))
			y_complain(
				r->c, &key, "the name \"trigger\" is taken by the event that starts the run");
		wf_read_outputs(r, s);
	}
	sort_names(w);
	for (size_t i = 0; i < w->n_stages; i++)
		wf_read_stage(r, &w->stages[i]);
}

/* Depth-first with colours; the path of a cycle is found on the stack. Iterative: a file may be a long chain.
 */
struct walk {
	size_t *stack, *edge;
	unsigned char *colour; /* 0 new, 1 on the stack, 2 done */
	size_t depth;
};

static void complain_cycle(struct wf_reader *r, const struct walk *walk, size_t back_to)
{
	char path[512] = "";
	size_t from = 0, len = 0;

	while (walk->stack[from] != back_to)
		from++;
	for (size_t i = from; i < walk->depth && len < sizeof(path); i++)
		len += (size_t)snprintf(
			path + len, sizeof(path) - len, "%s needs ", r->w->stages[walk->stack[i]].name);
	const struct ynode *node = r->w->stages[back_to].node;
	complain(r->c, node->key_line, node->key_column, "a cycle: %s%s", path, r->w->stages[back_to].name);
}

static bool visit(struct wf_reader *r, struct walk *k, size_t first)
{
	k->depth = 0;
	k->stack[k->depth++] = first;
	k->edge[first] = 0;
	k->colour[first] = 1;
	while (k->depth) {
		size_t at = k->stack[k->depth - 1];
		const struct wf_stage *s = &r->w->stages[at];

		if (k->edge[at] == s->n_needs) {
			k->colour[at] = 2;
			k->depth--;
			continue;
		}
		size_t to = s->needs[k->edge[at]++];
		if (k->colour[to] == 1) {
			complain_cycle(r, k, to);
			return false;
		}
		if (k->colour[to] == 0) {
			k->stack[k->depth++] = to;
			k->edge[to] = 0;
			k->colour[to] = 1;
		}
	}
	return true;
}

static void check_cycles(struct wf_reader *r)
{
	size_t n = r->w->n_stages;
	CLEAN_FREE size_t *stack = calloc(n + 1, sizeof(*stack));
	CLEAN_FREE size_t *edge = calloc(n + 1, sizeof(*edge));
	CLEAN_FREE unsigned char *colour = calloc(n + 1, 1);
	struct walk k = {.stack = stack, .edge = edge, .colour = colour};

	if (!stack || !edge || !colour) {
		complain(r->c, 0, 0, "out of memory");
		return;
	}
	for (size_t i = 0; i < n; i++)
		if (!colour[i] && !visit(r, &k, i))
			return; /* one cycle is enough to mend before the next look */
}

static void read_workflow(struct wf_reader *r)
{
	static const char *const known[] = {
		"perigee", "workflow", "payload", "priority", "deadline", "triggers", "stages", "downlink"};
	struct workflow *w = r->w;
	const char *version;

	if (!y_is(r->c, w->root, YNODE_MAP))
		return;
	struct ynode *n = y_need(r->c, w->root, "perigee");
	if (n && y_text(r->c, n, &version) && strcmp(version, "v1"))
		y_complain(r->c, n, "expected v1, found \"%s\"", version);
	y_name(r->c, y_need(r->c, w->root, "workflow"), &w->name);
	y_name(r->c, y_need(r->c, w->root, "payload"), &w->payload);
	w->priority = 100;
	read_priority(r, y_get(w->root, "priority"), &w->priority);
	y_duration(r->c, y_get(w->root, "deadline"), INT64_C(366) * 86400 * NS_PER_S, &w->deadline_ns);
	read_triggers(r, y_get(w->root, "triggers"));
	read_stages(r, y_need(r->c, w->root, "stages"));
	if (!r->c->total)
		check_cycles(r);
	read_products(r, y_get(w->root, "downlink"));
	y_no_others(r->c, w->root, known, ARRAY_LEN(known));
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
	free(w->stages);
	free(w->by_name);
	yaml_destroy(w->root);
	free(w->text);
	free(w);
}

const char *workflow_name(const struct workflow *w)
{
	return w->name;
}

const char *workflow_payload(const struct workflow *w)
{
	return w->payload;
}

size_t workflow_stage_count(const struct workflow *w)
{
	return w->n_stages;
}

const char *workflow_stage_name(const struct workflow *w, size_t i)
{
	return w->stages[i].name;
}

const char *workflow_trigger_device(const struct workflow *w, size_t i)
{
	return i < w->n_triggers ? w->triggers[i].device : NULL;
}

/* Calls for each stage input that is fed by the trigger, until fn says that it found what it wanted. */
static const struct wf_input *each_trigger_input(
	const struct workflow *w, bool (*fn)(const struct wf_input *in, void *user), void *user)
{
	for (size_t s = 0; s < w->n_stages; s++)
		for (size_t i = 0; i < w->stages[s].n_inputs; i++)
			if (w->stages[s].inputs[i].from == WF_FROM_TRIGGER &&
				fn(&w->stages[s].inputs[i], user))
				return &w->stages[s].inputs[i];
	return NULL;
}

static bool has_trigger_name(const struct wf_input *in, void *user)
{
	return !strcmp(in->trigger_name, user);
}

static bool has_name(const struct wf_input *in, void *user)
{
	return !strcmp(in->name, user);
}

const char *workflow_input_name(const struct workflow *w, const char *name)
{
	const struct wf_input *in = each_trigger_input(w, has_trigger_name, (void *)name);

	if (!in)
		in = each_trigger_input(w, has_name, (void *)name);
	return in ? in->trigger_name : NULL;
}

struct nth {
	const struct workflow *w;
	size_t left;
};

static bool is_nth_new(const struct wf_input *in, void *user)
{
	struct nth *n = user;

	/* Only the first input that names it counts. */
	if (each_trigger_input(n->w, has_trigger_name, (void *)in->trigger_name) != in)
		return false;
	return n->left-- == 0;
}

const char *workflow_trigger_input(const struct workflow *w, size_t i)
{
	struct nth n = {.w = w, .left = i};
	const struct wf_input *in = each_trigger_input(w, is_nth_new, &n);

	return in ? in->trigger_name : NULL;
}
