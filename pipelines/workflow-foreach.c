/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a stage: the list that it works through. */
#include <string.h>

#include "members.h"
#include "workflow-read.h"

static void read_list(struct wf_reader *r, struct wf_foreach *f, const struct ynode *n)
{
	if (n->n == 0 || n->n > WF_ITEMS_MAX) {
		y_complain(r->c, n, "expected 1 to %d elements, found %zu", WF_ITEMS_MAX, n->n);
		return;
	}
	f->list = wf_read_json(r, n, false);
	f->source = WF_OVER_LIST;
}

static void read_param(struct wf_reader *r, struct wf_foreach *f, const struct ynode *n, const char *name)
{
	static const char *const types[] = {"a number", "a text", "true or false", "a list"};

	f->source = WF_OVER_PARAM;
	if (!wf_param_named(r->w, name, &f->param)) {
		const char *near = wf_near(r, name, r->param_names, r->w->n_params);
		if (near)
			y_complain(
				r->c, n, "there is no parameter \"%.63s\"; did you mean \"%s\"?", name, near);
		else
			y_complain(r->c, n, "there is no parameter \"%.63s\"", name);
	} else if (r->w->params[f->param].type != WF_LIST) {
		y_complain(r->c, n, "expected a list, the parameter %s is %s", name,
			types[r->w->params[f->param].type]);
	}
}

static void read_output(struct wf_reader *r, struct wf_stage *s, const struct ynode *n, const char *text)
{
	struct wf_foreach *f = &s->foreach;
	const char *dot = strchr(text, '.');
	size_t out_len = dot ? strcspn(dot + 1, ".[") : 0;
	char stage[64], output[64], reason[EXPR_REASON_BYTES];

	f->source = WF_OVER_OUTPUT;
	if (!dot || dot == text || out_len == 0 || (size_t)(dot - text) >= sizeof(stage) ||
		out_len >= sizeof(output) || !members_valid(dot + 1 + out_len)) {
		y_complain(r->c, n,
			"expected STAGE.OUTPUT, STAGE.OUTPUT.member, params.NAME or a list, found \"%.130s\"",
			text);
		return;
	}
	snprintf(stage, sizeof(stage), "%.*s", (int)(dot - text), text);
	snprintf(output, sizeof(output), "%.*s", (int)out_len, dot + 1);
	if (wf_resolve_names(r, stage, output, true, &f->stage, &f->output, reason) < 0) {
		y_complain(r->c, n, "%s", reason);
		return;
	}
	f->members = dot + 1 + out_len;
	wf_add_need(s, f->stage);
}

void wf_read_foreach(struct wf_reader *r, struct wf_stage *s)
{
	static const char *const known[] = {"over", "parallel"};
	struct ynode *n = y_get(s->node, "foreach"), *over = n;
	int64_t parallel = WF_PARALLEL_DEFAULT;
	const char *text;

	s->foreach.parallel = WF_PARALLEL_DEFAULT;
	if (!n)
		return;
	if (n->kind == YNODE_MAP) {
		over = y_need(r->c, n, "over");
		y_int(r->c, y_get(n, "parallel"), 1, WF_PARALLEL_MAX, &parallel);
		y_no_others(r->c, n, known, ARRAY_LEN(known));
	}
	s->foreach.parallel = (uint32_t)parallel;
	if (!over)
		return;
	if (over->kind == YNODE_SEQ)
		read_list(r, &s->foreach, over);
	else if (!y_text(r->c, over, &text))
		return;
	else if (!strncmp(text, "params.", 7))
		read_param(r, &s->foreach, over, text + 7);
	else
		read_output(r, s, over, text);
}
