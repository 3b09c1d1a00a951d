/* SPDX-License-Identifier: Apache-2.0 */
/* What a stage is given: its parameters, arguments and environment, with the run's and the element's values.
 */
#include <errno.h>

#include "core/json.h"
#include "runs.h"

/* The element and its number, unless the stage has parameters of these names. */
static int add_item(cJSON *params, const cJSON *item, int64_t index)
{
	if (!cJSON_GetObjectItemCaseSensitive(params, "item")) {
		cJSON *copy = cJSON_Duplicate(item, true);

		if (!copy || !cJSON_AddItemToObject(params, "item", copy)) {
			cJSON_Delete(copy);
			return -ENOMEM;
		}
	}
	if (!cJSON_GetObjectItemCaseSensitive(params, "index") &&
		!cJSON_AddNumberToObject(params, "index", (double)index))
		return -ENOMEM;
	return 0;
}

int stage_values_make(const struct wf_stage *s, const cJSON *run_params, const char *item_text, int64_t index,
	struct stage_values *ret_values, char ret_reason[WF_REASON_BYTES])
{
	CLEAN_JSON cJSON *item = item_text ? cJSON_Parse(item_text) : NULL;
	struct wf_scope scope = {.params = run_params, .item = item, .index = index};
	struct stage_values v = {0};

	ret_reason[0] = '\0';
	if (item_text && !item)
		return -ENOMEM;
	int r = s->params ? wf_fill_json(s->params, &scope, &v.params, ret_reason) : 0;
	if (r == 0 && !v.params && !(v.params = cJSON_CreateObject()))
		r = -ENOMEM;
	if (r == 0 && item)
		r = add_item(v.params, item, index);
	if (r == 0)
		r = wf_fill_words((const char *const *)s->args, &scope, &v.args, ret_reason);
	if (r == 0)
		r = wf_fill_words((const char *const *)s->env, &scope, &v.env, ret_reason);
	if (r < 0)
		stage_values_finish(&v);
	else
		*ret_values = v;
	return r;
}

void stage_values_finish(struct stage_values *v)
{
	cJSON_Delete(v->params);
	free(v->args);
	free(v->env);
}
