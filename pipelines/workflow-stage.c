/* SPDX-License-Identifier: Apache-2.0 */
/* Reading one stage of a workflow file. */
#include <string.h>

#include "core/json.h"
#include "workflow-read.h"

static void read_runtime(struct wf_reader *r, struct wf_stage *s)
{
	struct ynode *n = y_get(s->node, "runtime");
	const char *runtime;

	if (!n || !y_text(r->c, n, &runtime) || !strcmp(runtime, "container"))
		return;
	if (strcmp(runtime, "unikernel")) {
		y_complain(r->c, n, "expected container or unikernel, found \"%.60s\"", runtime);
		return;
	}
	if (s->memory_bytes < WF_GUEST_BYTES_MIN)
		y_complain(r->c, n, "a unikernel needs at least 4MiB of memory");
	s->guest_bytes = s->memory_bytes;
	s->memory_bytes += WF_GUEST_OVERHEAD_BYTES;
	if (r->limits->memory_bytes && s->memory_bytes > r->limits->memory_bytes)
		y_complain(r->c, n,
			"the mission has %llu MiB, this stage asks for %llu and its machine for %llu beside",
			(unsigned long long)(r->limits->memory_bytes >> 20), (unsigned long long)(s->guest_bytes >> 20),
			(unsigned long long)(WF_GUEST_OVERHEAD_BYTES >> 20));
}

static void read_approve(struct wf_reader *r, struct wf_stage *s)
{
	struct ynode *n = y_get(s->node, "approve");

	if (!n)
		return;
	s->approve_text = "";
	if (n->kind == YNODE_SCALAR && n->plain && (!strcmp(n->text, "true") || !strcmp(n->text, "false")))
		y_bool(r->c, n, &s->approve);
	else
		s->approve = y_text(r->c, n, &s->approve_text);
}

static void read_on_failure(struct wf_reader *r, struct wf_stage *s)
{
	static const char *const ways[] = {"fail", "continue", "cancel"};
	int way = WF_FAIL;

	wf_choice(r, y_get(s->node, "on_failure"), ways, ARRAY_LEN(ways), &way);
	s->on_failure = (enum wf_on_failure)way;
}

/* What only an image can have; of these nothing is asked of a stage that uses a workflow. */
static void read_of_image(struct wf_reader *r, struct wf_stage *s)
{
	wf_read_args(r, s);
	wf_read_env(r, s);
	wf_read_retry(r, s);
	y_bool(r->c, y_get(s->node, "cache"), &s->cache);
}

static void fit_needs(struct wf_stage *s)
{
	size_t *fitted = reallocarray(s->needs, s->n_needs ? s->n_needs : 1, sizeof(*s->needs));

	if (fitted)
		s->needs = fitted;
}

void wf_read_stage(struct wf_reader *r, struct wf_stage *s)
{
	static const char *const known[] = {"image", "uses", "runtime", "needs", "when", "foreach", "inputs",
		"outputs", "params", "args", "env", "resources", "retry", "timeout", "cache", "approve",
		"on_failure"};
	bool uses = s->node->kind == YNODE_MAP && y_get(s->node, "uses");

	if (s->node->kind != YNODE_MAP)
		return; /* complained about in the first pass */
	r->stage = s;
	wf_read_needs(r, s);
	if (!s->needs)
		return;
	if (!uses)
		wf_read_foreach(r, s);
	wf_read_inputs(r, s);
	wf_read_when(r, s);
	wf_read_stage_params(r, s);
	wf_duration(r, y_get(s->node, "timeout"), &s->timeout_ns);
	read_approve(r, s);
	read_on_failure(r, s);
	if (!uses) {
		read_of_image(r, s);
		wf_read_resources(r, s);
		read_runtime(r, s);
	}
	y_no_others(r->c, s->node, known, ARRAY_LEN(known));
	fit_needs(s);
}

void wf_stage_finish(struct wf_stage *s)
{
	for (const char **e = s->env; e && *e; e++)
		free((char *)*e);
	for (size_t i = 0; s->uses && i < s->n_outputs; i++)
		free((char *)s->outputs[i].name); /* only there they are not the tree's */
	free(s->env);
	free(s->args);
	free(s->inputs);
	free(s->outputs);
	free(s->needs);
	cJSON_Delete(s->params);
	cJSON_Delete(s->foreach.list);
	expr_destroy(s->when);
}
