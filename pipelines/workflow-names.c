/* SPDX-License-Identifier: Apache-2.0 */
/* Reading workflow files: names, and what each reader needs. */
#include <string.h>

#include "workflow-read.h"

void *wf_memory(struct wf_reader *r, const struct ynode *at, size_t n, size_t size)
{
	void *p = calloc(n ? n : 1, size);

	if (!p)
		y_complain(r->c, at, "out of memory");
	return p;
}

struct ynode wf_key(const struct ynode *n)
{
	return (struct ynode){
		.kind = YNODE_SCALAR, .text = n->key, .line = n->key_line, .column = n->key_column};
}

const char *wf_near(struct wf_reader *r, const char *name, const char *const *known, size_t n_known)
{
	/* A hostile file makes many mistakes: only those that are shown are worth the comparing. */
	return r->c->n < COMPLAINTS_MAX ? nearest_name(name, known, n_known) : NULL;
}

bool wf_choice(struct wf_reader *r, const struct ynode *n, const char *const *names, size_t n_names, int *ret)
{
	char all[256] = "";
	size_t len = 0;
	const char *text;

	if (!y_text(r->c, n, &text))
		return false;
	for (size_t i = 0; i < n_names; i++) {
		if (!strcmp(text, names[i])) {
			*ret = (int)i;
			return true;
		}
		if (len < sizeof(all))
			len += (size_t)snprintf(all + len, sizeof(all) - len, "%s%s",
				i == 0             ? ""
				: i + 1 == n_names ? " or "
						   : ", ",
				names[i]);
	}
	y_complain(r->c, n, "expected %s, found \"%.60s\"", all, text);
	return false;
}

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

bool wf_param_named(const struct workflow *w, const char *name, size_t *ret_param)
{
	for (size_t i = 0; i < w->n_params; i++) {
		if (strcmp(w->params[i].name, name))
			continue;
		*ret_param = i;
		return true;
	}
	return false;
}

bool wf_stage_named(struct wf_reader *r, const struct ynode *at, const char *name, size_t *ret_stage)
{
	if (workflow_find_stage(r->w, name, ret_stage))
		return true;
	const char *near = wf_near(r, name, r->stage_names, r->w->n_stages);
	if (near)
		y_complain(r->c, at, "there is no stage \"%.63s\"; did you mean \"%s\"?", name, near);
	else
		y_complain(r->c, at, "there is no stage \"%.63s\"", name);
	return false;
}

static bool is_output_name(const char *name)
{
	size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-");

	return name[0] >= 'a' && name[0] <= 'z' && n <= 63 && !name[n];
}

/* What another workflow declares is checked when both are at hand: here it is only noted. */
static int note_used_output(
	struct wf_stage *s, const char *name, bool json, size_t *ret_output, char *ret_reason)
{
	size_t i = 0;

	while (i < s->n_outputs && strcmp(s->outputs[i].name, name))
		i++;
	if (i == s->n_outputs) {
		char *kept = is_output_name(name) && i < WF_OUTPUTS_MAX ? strdup(name) : NULL;
		if (!kept) {
			snprintf(ret_reason, EXPR_REASON_BYTES,
				i == WF_OUTPUTS_MAX
					? "a workflow has at most 16 outputs: there is no \"%.63s\""
					: "\"%.63s\" cannot be the name of an output",
				name);
			return ERR_UNKNOWN;
		}
		s->outputs[s->n_outputs++] = (struct wf_output){.name = kept, .type = WF_FILE};
	}
	if (json)
		s->outputs[i].type = WF_JSON;
	*ret_output = i;
	return 0;
}

int wf_resolve_names(struct wf_reader *r, const char *stage, const char *output, bool json, size_t *ret_stage,
	size_t *ret_output, char ret_reason[EXPR_REASON_BYTES])
{
	const char *near;

	if (!workflow_find_stage(r->w, stage, ret_stage)) {
		near = wf_near(r, stage, r->stage_names, r->w->n_stages);
		snprintf(ret_reason, EXPR_REASON_BYTES,
			near ? "there is no stage \"%s\"; did you mean \"%s\"?" : "there is no stage \"%s\"",
			stage, near);
		return ERR_UNKNOWN;
	}
	struct wf_stage *s = &r->w->stages[*ret_stage];
	if (s->uses)
		return note_used_output(s, output, json, ret_output, ret_reason);
	const char *names[WF_OUTPUTS_MAX];
	for (size_t i = 0; i < s->n_outputs; i++) {
		names[i] = s->outputs[i].name;
		if (strcmp(names[i], output))
			continue;
		*ret_output = i;
		if (!json || s->outputs[i].type == WF_JSON)
			return 0;
		snprintf(ret_reason, EXPR_REASON_BYTES,
			"output %s.%s is a file; only an output of type json can be looked into", stage,
			output);
		return ERR_CHECKED;
	}
	near = wf_near(r, output, names, s->n_outputs);
	if (near)
		snprintf(ret_reason, EXPR_REASON_BYTES,
			"stage \"%s\" has no output \"%.63s\"; did you mean \"%s\"?", stage, output, near);
	else
		snprintf(
			ret_reason, EXPR_REASON_BYTES, "stage \"%s\" has no output \"%.63s\"", stage, output);
	return ERR_UNKNOWN;
}

bool wf_resolve(
	struct wf_reader *r, const struct ynode *at, const char *ref, size_t *ret_stage, size_t *ret_output)
{
	const char *dot = strchr(ref, '.');
	char stage[64], reason[EXPR_REASON_BYTES];

	if (!dot || dot == ref || !dot[1] || (size_t)(dot - ref) >= sizeof(stage)) {
		y_complain(r->c, at, "expected STAGE.OUTPUT, found \"%.130s\"", ref);
		return false;
	}
	snprintf(stage, sizeof(stage), "%.*s", (int)(dot - ref), ref);
	if (wf_resolve_names(r, stage, dot + 1, false, ret_stage, ret_output, reason) == 0)
		return true;
	y_complain(r->c, at, "%s", reason);
	return false;
}

bool wf_duration(struct wf_reader *r, const struct ynode *n, int64_t *ret_ns)
{
	int64_t ns;

	if (!y_duration(r->c, n, WF_DURATION_NS_MAX, &ns))
		return false;
	if (ns == 0) {
		y_complain(r->c, n, "expected a duration above zero");
		return false;
	}
	*ret_ns = ns;
	return true;
}

void wf_priority(struct wf_reader *r, const struct ynode *n, uint8_t *ret_priority)
{
	int64_t v;

	if (y_int(r->c, n, 0, 255, &v))
		*ret_priority = (uint8_t)v;
}
