/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a stage: what it takes and waits for. */
#include <string.h>

#include "workflow-read.h"

void wf_add_need(struct wf_stage *s, size_t stage)
{
	for (size_t i = 0; i < s->n_needs; i++)
		if (s->needs[i] == stage)
			return;
	s->needs[s->n_needs++] = stage;
}

/* Room for every need there can be: written ones, inputs, references in `when` (of three characters each at
 * least), foreach. */
static size_t needs_max(const struct wf_reader *r, struct wf_stage *s)
{
	const struct ynode *needs = y_get(s->node, "needs"), *inputs = y_get(s->node, "inputs"),
			   *when = y_get(s->node, "when");
	size_t references = when && when->text ? strlen(when->text) / 3 + 1 : 0;
	size_t n = 1 + (needs ? needs->n : 0) + (inputs ? inputs->n : 0) +
		   (references < EXPR_NODES_MAX ? references : EXPR_NODES_MAX);

	return n < r->w->n_stages ? n : r->w->n_stages; /* each once */
}

void wf_read_needs(struct wf_reader *r, struct wf_stage *s)
{
	struct ynode *list = y_get(s->node, "needs");
	const char *name;
	size_t stage;

	s->needs = wf_memory(r, s->node, needs_max(r, s), sizeof(*s->needs));
	if (!s->needs || !list || !y_is(r->c, list, YNODE_SEQ))
		return;
	for (struct ynode *n = list->first; n; n = n->next)
		if (y_text(r->c, n, &name) && wf_stage_named(r, n, name, &stage))
			wf_add_need(s, stage);
}

static bool is_file_name_free(struct wf_reader *r, struct wf_stage *s, struct ynode *n, const char **ret_name)
{
	struct ynode key = wf_key(n);

	/* What feeds another workflow is the name of a trigger input there. */
	if (s->uses)
		return y_name(r->c, &key, ret_name);
	if (!y_file_name(r->c, &key, ret_name))
		return false;
	if (strcmp(*ret_name, "params.json"))
		return true;
	y_complain(r->c, n, "the name params.json is taken by the stage's parameters");
	return false;
}

/* Each trigger must bring what the stages take: checked against the triggers of the same file. */
static bool is_brought(struct wf_reader *r, const struct ynode *n, const char *name)
{
	for (size_t i = 0; i < r->w->n_triggers; i++) {
		const struct wf_trigger *t = &r->w->triggers[i];

		if (t->kind == WF_TRIGGER_COMPLETED ||
			(t->kind == WF_TRIGGER_FRAME && !strcmp(name, "frame")))
			continue;
		if (t->kind == WF_TRIGGER_FRAME)
			y_complain(r->c, n,
				"image.acquired brings trigger.frame and nothing else, found "
				"\"trigger.%.63s\"",
				name);
		else
			y_complain(r->c, n, "%s brings no files, so there is no trigger.%.63s",
				t->event ? t->event : "a schedule", name);
		return false;
	}
	return true;
}

static void read_input(struct wf_reader *r, struct wf_stage *s, struct ynode *n)
{
	struct wf_input *in = &s->inputs[s->n_inputs];
	const char *text;

	if (!is_file_name_free(r, s, n, &in->name) || !y_text(r->c, n, &text))
		return;
	if (!strncmp(text, "trigger.", 8)) {
		struct ynode name = *n;
		name.text = (char *)text + 8;
		in->from = WF_FROM_TRIGGER;
		if (!y_name(r->c, &name, &in->trigger_name) || !is_brought(r, n, in->trigger_name))
			return;
	} else {
		in->from = WF_FROM_STAGE;
		if (!wf_resolve(r, n, text, &in->stage, &in->output))
			return;
		wf_add_need(s, in->stage);
	}
	s->n_inputs++;
}

void wf_read_inputs(struct wf_reader *r, struct wf_stage *s)
{
	struct ynode *map = y_get(s->node, "inputs");

	if (!map || !y_is(r->c, map, YNODE_MAP))
		return;
	if (map->n > WF_INPUTS_MAX) {
		y_complain(r->c, map, "expected at most %d inputs, found %zu", WF_INPUTS_MAX, map->n);
		return;
	}
	s->inputs = wf_memory(r, map, map->n, sizeof(*s->inputs));
	for (struct ynode *n = s->inputs ? map->first : NULL; n; n = n->next)
		read_input(r, s, n);
}

static int output_in_when(void *user, const char *stage, const char *output, size_t *ret_stage,
	size_t *ret_output, char ret_reason[EXPR_REASON_BYTES])
{
	return wf_resolve_names(user, stage, output, true, ret_stage, ret_output, ret_reason);
}

static int param_in_when(
	void *user, const char *name, enum expr_type *ret_type, char ret_reason[EXPR_REASON_BYTES])
{
	static const enum expr_type types[] = {[WF_NUMBER] = EXPR_NUMBER,
		[WF_TEXT] = EXPR_TEXT,
		[WF_BOOL] = EXPR_BOOL,
		[WF_LIST] = EXPR_LIST};
	struct wf_reader *r = user;
	size_t i;

	if (wf_param_named(r->w, name, &i)) {
		*ret_type = types[r->w->params[i].type];
		return 0;
	}
	const char *near = wf_near(r, name, r->param_names, r->w->n_params);
	snprintf(ret_reason, EXPR_REASON_BYTES,
		near ? "there is no parameter \"%.63s\"; did you mean \"%s\"?"
		     : "there is no parameter \"%.63s\"",
		name, near);
	return ERR_UNKNOWN;
}

static void need_of_when(void *user, size_t stage, size_t output)
{
	(void)output;
	wf_add_need(user, stage);
}

void wf_read_when(struct wf_reader *r, struct wf_stage *s)
{
	const struct expr_names names = {.output = output_in_when,
		.param = param_in_when,
		.item = s->foreach.source != WF_NO_FOREACH,
		.user = r};
	struct ynode *n = y_get(s->node, "when");
	char reason[EXPR_REASON_BYTES];
	size_t offset;

	if (!n || !y_text(r->c, n, &s->when_text))
		return;
	if (expr_parse(s->when_text, &names, &s->when, reason, &offset) == 0) {
		expr_each_stage(s->when, need_of_when, s);
		s->when_item = expr_reads_item(s->when);
		return;
	}
	/* A plain scalar on one line shows its characters where they are in the file. */
	complain(r->c, n->line, n->column + (int)(n->plain ? offset : 0), "when: %s", reason);
}
