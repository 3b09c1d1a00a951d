/* SPDX-License-Identifier: Apache-2.0 */
#include "workflow-stage.h"

#include <errno.h>
#include <string.h>

#include "core/json.h"

#define DEFAULT_MEMORY_BYTES (UINT64_C(64) << 20)
#define DEFAULT_TIME_NS (60 * NS_PER_S)
#define DEFAULT_PIDS 32
#define TIME_NS_MAX (INT64_C(24) * 3600 * NS_PER_S)
#define OUTPUT_BYTES_MAX (UINT64_C(4) << 30)
#define MEMORY_BYTES_MIN (UINT64_C(1) << 20)
#define MEMORY_BYTES_MAX (UINT64_C(1) << 40)

static void *need_memory(struct wf_reader *r, const struct ynode *at, size_t n, size_t size)
{
	void *p = calloc(n ? n : 1, size);

	if (!p)
		y_complain(r->c, at, "out of memory");
	return p;
}

static void read_output(struct wf_reader *r, struct ynode *n, struct wf_output *o)
{
	static const char *const known[] = {"max", "type"};
	struct ynode *max = n;

	o->name = n->key;
	if (n->kind == YNODE_MAP) {
		const char *type = "file";

		max = y_need(r->c, n, "max");
		struct ynode *t = y_get(n, "type");
		if (t && y_text(r->c, t, &type) && strcmp(type, "json") && strcmp(type, "file"))
			y_complain(r->c, t, "expected file or json, found \"%s\"", type);
		o->type = !strcmp(type, "json") ? WF_JSON : WF_FILE;
		y_no_others(r->c, n, known, ARRAY_LEN(known));
	}
	if (max && y_size(r->c, max, OUTPUT_BYTES_MAX, &o->max_bytes)) {
		if (o->max_bytes == 0)
			y_complain(r->c, max, "expected a size above zero");
		if (o->type == WF_JSON && o->max_bytes > WF_JSON_BYTES_MAX)
			y_complain(r->c, max, "expected at most 1MiB for a JSON output, found \"%s\"",
				max->text);
	}
}

static bool key_is_name(struct wf_reader *r, const struct ynode *n)
{
	struct ynode key = {
		.kind = YNODE_SCALAR, .text = n->key, .line = n->key_line, .column = n->key_column};
	const char *name;

	return y_name(r->c, &key, &name);
}

void wf_read_outputs(struct wf_reader *r, struct wf_stage *s)
{
	struct ynode *map;

	if (!y_is(r->c, s->node, YNODE_MAP))
		return;
	map = y_need(r->c, s->node, "outputs");
	if (!map || !y_is(r->c, map, YNODE_MAP))
		return;
	if (map->n == 0 || map->n > WF_OUTPUTS_MAX) {
		y_complain(r->c, map, "expected 1 to %d outputs, found %zu", WF_OUTPUTS_MAX, map->n);
		return;
	}
	s->outputs = need_memory(r, map, map->n, sizeof(*s->outputs));
	if (!s->outputs)
		return;
	for (struct ynode *n = map->first; n; n = n->next) {
		key_is_name(r, n);
		read_output(r, n, &s->outputs[s->n_outputs++]);
	}
}

static bool find_output(const struct wf_stage *s, const char *name, size_t *ret_output)
{
	for (size_t i = 0; i < s->n_outputs; i++) {
		if (strcmp(s->outputs[i].name, name))
			continue;
		*ret_output = i;
		return true;
	}
	return false;
}

static int resolve_names(struct wf_reader *r, const char *stage, const char *output, size_t *ret_stage,
	size_t *ret_output, char *ret_reason, size_t cap)
{
	const char *near;

	if (!workflow_find_stage(r->w, stage, ret_stage)) {
		near = nearest_name(stage, r->stage_names, r->w->n_stages);
		snprintf(ret_reason, cap,
			near ? "there is no stage \"%s\"; did you mean \"%s\"?" : "there is no stage \"%s\"",
			stage, near);
		return ERR_UNKNOWN;
	}
	const struct wf_stage *s = &r->w->stages[*ret_stage];
	if (find_output(s, output, ret_output))
		return 0;
	const char *names[WF_OUTPUTS_MAX];
	for (size_t i = 0; i < s->n_outputs; i++)
		names[i] = s->outputs[i].name;
	near = nearest_name(output, names, s->n_outputs);
	if (near)
		snprintf(ret_reason, cap, "stage \"%s\" has no output \"%s\"; did you mean \"%s\"?", stage,
			output, near);
	else
		snprintf(ret_reason, cap, "stage \"%s\" has no output \"%s\"", stage, output);
	return ERR_UNKNOWN;
}

bool wf_resolve(
	struct wf_reader *r, const struct ynode *at, const char *ref, size_t *ret_stage, size_t *ret_output)
{
	const char *dot = strchr(ref, '.');
	char stage[64], reason[EXPR_REASON_BYTES];

	if (!dot || dot == ref || !dot[1] || (size_t)(dot - ref) >= sizeof(stage)) {
		y_complain(r->c, at, "expected STAGE.OUTPUT, found \"%s\"", ref);
		return false;
	}
	snprintf(stage, sizeof(stage), "%.*s", (int)(dot - ref), ref);
	if (resolve_names(r, stage, dot + 1, ret_stage, ret_output, reason, sizeof(reason)) == 0)
		return true;
	y_complain(r->c, at, "%s", reason);
	return false;
}

static void add_need(struct wf_stage *s, size_t stage)
{
	for (size_t i = 0; i < s->n_needs; i++)
		if (s->needs[i] == stage)
			return;
	s->needs[s->n_needs++] = stage;
}

static void read_input(struct wf_reader *r, struct wf_stage *s, struct ynode *n)
{
	struct wf_input *in = &s->inputs[s->n_inputs];
	struct ynode key = {
		.kind = YNODE_SCALAR, .text = n->key, .line = n->key_line, .column = n->key_column};
	const char *text;

	if (!y_file_name(r->c, &key, &in->name) || !y_text(r->c, n, &text))
		return;
	if (!strcmp(in->name, "params.json")) {
		y_complain(r->c, n, "the name params.json is taken by the stage's parameters");
		return;
	}
	if (!strncmp(text, "trigger.", 8)) {
		struct ynode name = *n;
		name.text = (char *)text + 8;
		in->from = WF_FROM_TRIGGER;
		if (!y_name(r->c, &name, &in->trigger_name))
			return;
		if (r->w->n_triggers && strcmp(in->trigger_name, "frame")) {
			y_complain(r->c, n,
				"image.acquired brings trigger.frame and nothing else, found \"%s\"", text);
			return;
		}
	} else {
		in->from = WF_FROM_STAGE;
		if (!wf_resolve(r, n, text, &in->stage, &in->output))
			return;
		add_need(s, in->stage);
	}
	s->n_inputs++;
}

static void read_inputs(struct wf_reader *r, struct wf_stage *s)
{
	struct ynode *map = y_get(s->node, "inputs");

	if (!map || !y_is(r->c, map, YNODE_MAP))
		return;
	if (map->n > WF_INPUTS_MAX) {
		y_complain(r->c, map, "expected at most %d inputs, found %zu", WF_INPUTS_MAX, map->n);
		return;
	}
	s->inputs = need_memory(r, map, map->n, sizeof(*s->inputs));
	for (struct ynode *n = s->inputs ? map->first : NULL; n; n = n->next)
		read_input(r, s, n);
}

static void read_needs(struct wf_reader *r, struct wf_stage *s)
{
	struct ynode *list = y_get(s->node, "needs");
	const char *name;
	size_t stage;

	if (!list || !y_is(r->c, list, YNODE_SEQ))
		return;
	for (struct ynode *n = list->first; n; n = n->next) {
		if (!y_text(r->c, n, &name))
			continue;
		if (workflow_find_stage(r->w, name, &stage)) {
			add_need(s, stage);
			continue;
		}
		const char *near = nearest_name(name, r->stage_names, r->w->n_stages);
		if (near)
			y_complain(r->c, n, "there is no stage \"%s\"; did you mean \"%s\"?", name, near);
		else
			y_complain(r->c, n, "there is no stage \"%s\"", name);
	}
}

static int resolve_in_when(void *user, const char *stage, const char *output, size_t *ret_stage,
	size_t *ret_output, char ret_reason[EXPR_REASON_BYTES])
{
	struct wf_reader *r = user;
	int rc = resolve_names(r, stage, output, ret_stage, ret_output, ret_reason, EXPR_REASON_BYTES);

	if (rc < 0 || r->w->stages[*ret_stage].outputs[*ret_output].type == WF_JSON)
		return rc;
	snprintf(ret_reason, EXPR_REASON_BYTES,
		"output %s.%s is a file; only an output of type json can be looked into", stage, output);
	return ERR_CHECKED;
}

static void need_of_when(void *user, size_t stage, size_t output)
{
	add_need(user, stage);
}

static void read_when(struct wf_reader *r, struct wf_stage *s)
{
	struct ynode *n = y_get(s->node, "when");
	char reason[EXPR_REASON_BYTES];
	size_t offset;

	if (!n || !y_text(r->c, n, &s->when_text))
		return;
	if (expr_parse(s->when_text, resolve_in_when, r, &s->when, reason, &offset) == 0) {
		expr_each_stage(s->when, need_of_when, s);
		return;
	}
	/* A plain scalar on one line shows its characters where they are in the file. */
	complain(r->c, n->line, n->column + (int)(n->plain ? offset : 0), "when: %s", reason);
}

static void read_resources(struct wf_reader *r, struct wf_stage *s)
{
	static const char *const known[] = {"cpus", "memory", "time", "pids"};
	struct ynode *map = y_get(s->node, "resources");
	double cpus = 1;
	int64_t pids = DEFAULT_PIDS;

	s->cpus_milli = 1000;
	s->memory_bytes = DEFAULT_MEMORY_BYTES;
	s->time_ns = DEFAULT_TIME_NS;
	s->pids = DEFAULT_PIDS;
	if (!map || !y_is(r->c, map, YNODE_MAP))
		return;
	struct ynode *n = y_get(map, "cpus");
	if (y_number(r->c, n, 0.01, 1024, &cpus)) {
		s->cpus_milli = (uint32_t)(cpus * 1000 + 0.5);
		if (r->limits->cpus_milli && s->cpus_milli > r->limits->cpus_milli)
			y_complain(r->c, n, "the mission has %g CPUs, this stage asks for %g",
				r->limits->cpus_milli / 1000.0, cpus);
	}
	n = y_get(map, "memory");
	if (y_size(r->c, n, MEMORY_BYTES_MAX, &s->memory_bytes)) {
		if (s->memory_bytes < MEMORY_BYTES_MIN)
			y_complain(r->c, n, "expected at least 1MiB, found \"%s\"", n->text);
		if (r->limits->memory_bytes && s->memory_bytes > r->limits->memory_bytes)
			y_complain(r->c, n, "the mission has %llu MiB, this stage asks for \"%s\"",
				(unsigned long long)(r->limits->memory_bytes >> 20), n->text);
	}
	n = y_get(map, "time");
	if (y_duration(r->c, n, TIME_NS_MAX, &s->time_ns) && s->time_ns == 0)
		y_complain(r->c, n, "expected a duration above zero");
	y_int(r->c, y_get(map, "pids"), 1, 4096, &pids);
	s->pids = (uint32_t)pids;
	y_no_others(r->c, map, known, ARRAY_LEN(known));
}

static void read_retry(struct wf_reader *r, struct wf_stage *s)
{
	static const char *const known[] = {"limit", "backoff"};
	struct ynode *map = y_get(s->node, "retry");
	int64_t limit = 0;

	s->retry.backoff_ns = NS_PER_S;
	s->retry.on = WF_END_TEMPORARY;
	if (!map || !y_is(r->c, map, YNODE_MAP))
		return;
	y_int(r->c, y_need(r->c, map, "limit"), 0, 100, &limit);
	y_duration(r->c, y_get(map, "backoff"), 3600 * NS_PER_S, &s->retry.backoff_ns);
	y_no_others(r->c, map, known, ARRAY_LEN(known));
	s->retry.limit = (uint32_t)limit;
}

static const char **read_texts(struct wf_reader *r, struct ynode *list)
{
	const char **texts;
	size_t n = 0;

	if (!list || !y_is(r->c, list, YNODE_SEQ))
		return NULL;
	if (list->n > WF_ARGS_MAX) {
		y_complain(r->c, list, "expected at most %d, found %zu", WF_ARGS_MAX, list->n);
		return NULL;
	}
	texts = need_memory(r, list, list->n + 1, sizeof(*texts));
	for (struct ynode *i = texts ? list->first : NULL; i; i = i->next)
		if (y_text(r->c, i, &texts[n]))
			n++;
	return texts;
}

/* env: {NAME: text}. The entries "NAME=text" are owned by the list, as one block per entry. */
static const char **read_env(struct wf_reader *r, struct ynode *map)
{
	const char **entries;
	const char *text;
	size_t n = 0;

	if (!map || !y_is(r->c, map, YNODE_MAP))
		return NULL;
	if (map->n > WF_ARGS_MAX) {
		y_complain(r->c, map, "expected at most %d, found %zu", WF_ARGS_MAX, map->n);
		return NULL;
	}
	entries = need_memory(r, map, map->n + 1, sizeof(*entries));
	for (struct ynode *i = entries ? map->first : NULL; i; i = i->next) {
		char *entry = NULL;

		if (!i->key[0] || strchr(i->key, '='))
			y_complain(r->c, i, "expected the name of an environment variable");
		else if (y_text(r->c, i, &text) && asprintf(&entry, "%s=%s", i->key, text) >= 0)
			entries[n++] = entry;
	}
	return entries;
}

/* A scalar becomes a number, a boolean or a text, as YAML's core schema reads it; a quoted one is a text. */
static cJSON *json_of(const struct ynode *n)
{
	char *end;

	if (n->kind == YNODE_SEQ || n->kind == YNODE_MAP) {
		bool map = n->kind == YNODE_MAP;
		cJSON *j = map ? cJSON_CreateObject() : cJSON_CreateArray();
		for (const struct ynode *i = n->first; j && i; i = i->next) {
			cJSON *inner = json_of(i);
			if (!(map ? cJSON_AddItemToObject(j, i->key, inner) : cJSON_AddItemToArray(j, inner)))
				cJSON_Delete(inner);
		}
		return j;
	}
	if (n->plain && (!strcmp(n->text, "true") || !strcmp(n->text, "false")))
		return cJSON_CreateBool(n->text[0] == 't');
	if (n->plain && (!strcmp(n->text, "null") || !strcmp(n->text, "~") || !*n->text))
		return cJSON_CreateNull();
	double v = strtod(n->text, &end);
	if (n->plain && *n->text && !*end && v - v == 0)
		return cJSON_CreateNumber(v);
	return cJSON_CreateString(n->text);
}

static void read_params(struct wf_reader *r, struct wf_stage *s)
{
	struct ynode *map = y_get(s->node, "params");

	if (map && !y_is(r->c, map, YNODE_MAP))
		return;
	s->params = map ? json_of(map) : cJSON_CreateObject();
	if (!s->params)
		y_complain(r->c, s->node, "out of memory");
}

/* Room for every need there can be: written ones, inputs, references in `when` (of three characters each at
 * least). */
static size_t needs_max(const struct wf_stage *s)
{
	const struct ynode *needs = y_get(s->node, "needs"), *inputs = y_get(s->node, "inputs"),
			   *when = y_get(s->node, "when");
	size_t n = (needs ? needs->n : 0) + (!inputs                            ? 0
						    : inputs->n < WF_INPUTS_MAX ? inputs->n
										: WF_INPUTS_MAX);
	size_t references = when && when->text ? strlen(when->text) / 3 + 1 : 0;

	return n + (references < EXPR_NODES_MAX ? references : EXPR_NODES_MAX);
}

void wf_read_stage(struct wf_reader *r, struct wf_stage *s)
{
	static const char *const known[] = {"image", "runtime", "needs", "when", "inputs", "outputs",
		"params", "args", "env", "resources", "retry"};
	const char *runtime;

	if (s->node->kind != YNODE_MAP)
		return; /* complained about in the first pass */
	y_name(r->c, y_need(r->c, s->node, "image"), &s->image);
	struct ynode *n = y_get(s->node, "runtime");
	if (n && y_text(r->c, n, &runtime) && strcmp(runtime, "container"))
		y_complain(r->c, n, "expected container, found \"%s\"", runtime);
	s->needs = need_memory(r, s->node, needs_max(s), sizeof(*s->needs));
	if (!s->needs)
		return;
	read_needs(r, s);
	read_inputs(r, s);
	read_when(r, s);
	read_params(r, s);
	s->args = read_texts(r, y_get(s->node, "args"));
	s->env = read_env(r, y_get(s->node, "env"));
	read_resources(r, s);
	read_retry(r, s);
	y_no_others(r->c, s->node, known, ARRAY_LEN(known));
	size_t *fitted = reallocarray(s->needs, s->n_needs ? s->n_needs : 1, sizeof(*s->needs));
	if (fitted)
		s->needs = fitted;
}

void wf_stage_finish(struct wf_stage *s)
{
	for (const char **e = s->env; e && *e; e++)
		free((char *)*e);
	free(s->env);
	free(s->args);
	free(s->inputs);
	free(s->outputs);
	free(s->needs);
	cJSON_Delete(s->params);
	expr_destroy(s->when);
}
