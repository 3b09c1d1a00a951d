/* SPDX-License-Identifier: Apache-2.0 */
/* The parameters of a run: given ones over the workflow's defaults, each checked. */
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <string.h>

#include "core/json.h"
#include "wf-values.h"

static int refuse(char *reason, const char *fmt, ...) PRINTF(2, 3);
static int refuse(char *reason, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(reason, WF_REASON_BYTES, fmt, ap);
	va_end(ap);
	return ERR_CHECKED;
}

static const char *kind_of(const cJSON *v)
{
	return cJSON_IsNumber(v)   ? "a number"
	       : cJSON_IsString(v) ? "a text"
	       : cJSON_IsBool(v)   ? "true or false"
	       : cJSON_IsArray(v)  ? "a list"
	       : cJSON_IsNull(v)   ? "nothing"
				   : "an object";
}

static bool is_of_type(const cJSON *v, enum wf_param_type type)
{
	switch (type) {
	case WF_NUMBER:
		return cJSON_IsNumber(v) && isfinite(v->valuedouble);
	case WF_TEXT:
		return cJSON_IsString(v);
	case WF_BOOL:
		return cJSON_IsBool(v);
	case WF_LIST:
		return cJSON_IsArray(v);
	}
	return false;
}

static int check_choice(const struct wf_param *p, const cJSON *value, char *reason)
{
	const char *near, *known[WF_PARAMS_MAX];
	const cJSON *one;
	size_t n = 0;

	cJSON_ArrayForEach(one, p->one_of)
	{
		if (cJSON_Compare(one, value, true))
			return 0;
		if (cJSON_IsString(one) && n < ARRAY_LEN(known))
			known[n++] = one->valuestring;
	}
	CLEAN_FREE char *all = cJSON_PrintUnformatted(p->one_of);
	CLEAN_FREE char *found = cJSON_PrintUnformatted(value);
	near = cJSON_IsString(value) ? nearest_name(value->valuestring, known, n) : NULL;
	if (near)
		return refuse(reason, "%s: expected one of %.80s, found %.40s; did you mean \"%.20s\"?",
			p->name, all ? all : "", found ? found : "", near);
	return refuse(reason, "%s: expected one of %.80s, found %.40s", p->name, all ? all : "",
		found ? found : "");
}

int wf_param_fits(const struct wf_param *p, const cJSON *value, char ret_reason[WF_REASON_BYTES])
{
	static const char *const types[] = {"a number", "a text", "true or false", "a list"};

	if (!is_of_type(value, p->type))
		return refuse(
			ret_reason, "%s: expected %s, found %s", p->name, types[p->type], kind_of(value));
	if (p->type == WF_NUMBER && (value->valuedouble < p->min || value->valuedouble > p->max))
		return refuse(ret_reason, "%s: expected a number from %g to %g, found %g", p->name, p->min,
			p->max, value->valuedouble);
	if (p->type == WF_TEXT && strlen(value->valuestring) > WF_TEXT_BYTES_MAX)
		return refuse(ret_reason, "%s: expected a text of at most %d bytes, found %zu", p->name,
			WF_TEXT_BYTES_MAX, strlen(value->valuestring));
	if (p->type == WF_LIST && cJSON_GetArraySize(value) > WF_ITEMS_MAX)
		return refuse(ret_reason, "%s: expected at most %d elements, found %d", p->name, WF_ITEMS_MAX,
			cJSON_GetArraySize(value));
	return p->one_of ? check_choice(p, value, ret_reason) : 0;
}

int wf_param_read(
	const struct wf_param *p, const char *text, cJSON **ret_value, char ret_reason[WF_REASON_BYTES])
{
	CLEAN_JSON cJSON *v = NULL;
	int line, column;

	if (p->type == WF_TEXT)
		v = cJSON_CreateString(text);
	else if (json_parse(text, strlen(text), WF_JSON_BYTES_MAX, &v, &line, &column) < 0)
		return refuse(ret_reason, "%s: expected %s, found \"%.60s\"", p->name,
			p->type == WF_NUMBER ? "a number"
			: p->type == WF_BOOL ? "true or false"
					     : "a list such as [1, 2]",
			text);
	if (!v)
		return -ENOMEM;
	*ret_value = TAKE_PTR(v);
	return 0;
}

static const struct wf_param *find_param(const struct workflow *w, const char *name)
{
	for (size_t i = 0; i < w->n_params; i++)
		if (!strcmp(w->params[i].name, name))
			return &w->params[i];
	return NULL;
}

static int refuse_unknown(const struct workflow *w, const char *name, char *reason)
{
	const char *known[WF_PARAMS_MAX];

	for (size_t i = 0; i < w->n_params; i++)
		known[i] = w->params[i].name;
	const char *near = nearest_name(name, known, w->n_params);
	if (near)
		return refuse(reason, "the workflow %s has no parameter \"%.40s\"; did you mean \"%s\"?",
			w->name, name, near);
	return refuse(reason, "the workflow %s has no parameter \"%.40s\"", w->name, name);
}

int wf_params_make(
	const struct workflow *w, const cJSON *given, cJSON **ret_params, char ret_reason[WF_REASON_BYTES])
{
	CLEAN_JSON cJSON *all = cJSON_CreateObject();
	const cJSON *one;
	int r;

	if (!all)
		return -ENOMEM;
	if (given && !cJSON_IsObject(given))
		return refuse(ret_reason, "expected parameters by their names, found %s", kind_of(given));
	cJSON_ArrayForEach(one, given)
	{
		const struct wf_param *p = find_param(w, one->string);

		if (!p)
			return refuse_unknown(w, one->string, ret_reason);
		if ((r = wf_param_fits(p, one, ret_reason)) < 0)
			return r;
	}
	for (size_t i = 0; i < w->n_params; i++) {
		const struct wf_param *p = &w->params[i];
		const cJSON *v = cJSON_GetObjectItemCaseSensitive(given, p->name);

		if (!v)
			v = p->value;
		if (!v)
			return refuse(ret_reason, "%s: has no default, so a run must give it", p->name);
		cJSON *copy = cJSON_Duplicate(v, true);
		if (!copy || !cJSON_AddItemToObject(all, p->name, copy)) {
			cJSON_Delete(copy);
			return -ENOMEM;
		}
	}
	*ret_params = TAKE_PTR(all);
	return 0;
}
