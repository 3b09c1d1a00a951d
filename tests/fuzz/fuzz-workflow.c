/* SPDX-License-Identifier: Apache-2.0 */
/* A workflow or complaints, never both; and what is taken keeps its promises. */
#include <math.h>
#include <string.h>

#include "core/json.h"
#include "fuzz.h"
#include "pipelines.h"
#include "wf-values.h"
#include "workflow.h"

static const struct workflow_limits limits = {.cpus_milli = 2000, .memory_bytes = 256 << 20};

static void check_stage(const struct workflow *w, size_t s)
{
	const struct wf_stage *st = &w->stages[s];

	ensure(st->name && !st->image == !!st->uses && st->params);
	for (size_t i = 0; i < st->n_needs; i++)
		ensure(st->needs[i] < w->n_stages && st->needs[i] != s);
	for (size_t i = 0; i < st->n_inputs; i++)
		ensure(st->inputs[i].from == WF_FROM_TRIGGER ||
			st->inputs[i].output < w->stages[st->inputs[i].stage].n_outputs);
	if (st->uses)
		return;
	ensure(st->n_outputs <= WF_OUTPUTS_MAX && st->time_ns > 0 && st->retry.on);
	ensure(st->memory_bytes <= limits.memory_bytes && st->cpus_milli <= limits.cpus_milli);
	for (size_t i = 0; i < st->n_outputs; i++)
		ensure(st->outputs[i].max_bytes > 0);
	ensure(st->foreach.source != WF_OVER_OUTPUT ||
		w->stages[st->foreach.stage].outputs[st->foreach.output].type == WF_JSON);
	ensure(st->foreach.source != WF_OVER_PARAM || w->params[st->foreach.param].type == WF_LIST);
	ensure(!st->when_item || st->foreach.source != WF_NO_FOREACH);
}

/* What is taken can be filled in: only an element's member may be missing, or a word be no single value. */
static void fill_in(const struct workflow *w)
{
	CLEAN_JSON cJSON *params = NULL, *item = cJSON_Parse("{\"a\": [1]}");
	char reason[WF_REASON_BYTES];

	if (wf_params_make(w, NULL, &params, reason) < 0 || !item)
		return; /* a parameter has no default */
	for (size_t s = 0; s < w->n_stages; s++) {
		const struct wf_stage *st = &w->stages[s];
		const struct wf_scope scope = {
			.params = params, .item = st->foreach.source != WF_NO_FOREACH ? item : NULL};
		cJSON *filled = NULL;
		const char **words = NULL;

		int r = wf_fill_json(st->params, &scope, &filled, reason);
		ensure(r == 0 || (r == ERR_CHECKED && scope.item && strstr(reason, "no such member")));
		if (r == 0)
			cJSON_Delete(filled);
		if (wf_fill_words((const char *const *)st->args, &scope, &words, reason) == 0)
			free(words);
		words = NULL;
		if (wf_fill_words((const char *const *)st->env, &scope, &words, reason) == 0)
			free(words);
		/* One that reads outputs would ask for what nobody has here. */
		const struct expr_scope values = {.params = params, .item = scope.item};
		if (st->when && st->n_needs == 0)
			ensure(expr_truth(st->when, &values, reason) <= 1);
	}
	for (size_t i = 0; i < w->n_triggers; i++)
		if (w->triggers[i].kind == WF_TRIGGER_CRON)
			ensure(cron_next(&w->triggers[i].cron, (struct utc_time){0}).ns > 0);
}

/* What is taken can be planned, with an end or a reason. */
static void plan(struct workflow *w)
{
	const struct plan_request request = {.workflow = w,
		.others = &w,
		.n_others = 1,
		.cpus_milli = limits.cpus_milli,
		.memory_bytes = limits.memory_bytes,
		.tasks = 2};
	CLEAN_JSON cJSON *j = NULL;
	char reason[256] = "";

	if (workflow_plan(&request, &j, reason, sizeof(reason)) < 0) {
		ensure(*reason && !j);
		return; /* a parameter has no default */
	}
	double ends = json_num(j, "ends_s", -1), latest = json_num(j, "ends_at_the_latest_s", INFINITY);
	ensure(isfinite(ends) && ends >= 0 && latest >= ends);
	ensure(cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(j, "stages")) == (int)w->n_stages);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct workflow *w = NULL;
	struct complaints c;

	if (complaints_init(&c, "f") < 0)
		return 0;
	int r = workflow_parse((const char *)data, len, &limits, &c, &w);
	ensure((r == 0) == (c.total == 0));
	for (size_t s = 0; r == 0 && s < w->n_stages; s++)
		check_stage(w, s);
	if (r == 0) {
		struct complaints *each[] = {&c, &c};
		struct workflow *both[] = {w, w};

		fill_in(w);
		plan(w);
		r = workflow_check_uses(both, 2, true, each);
		ensure((r == 0) == (c.total == 0));
	}
	workflow_destroy(w);
	complaints_finish(&c);
	return 0;
}
