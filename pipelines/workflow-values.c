/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a stage: what it is told (params, args, env). What stays open until a run is made is checked here.
 */
#include <string.h>

#include "wf-values.h"
#include "workflow-read.h"

/* Of a reference the name must be known; in words (args, env) a list has no place. */
static void check_text(
	struct wf_reader *r, const struct ynode *n, const char *text, bool with_item, bool word)
{
	struct wf_ref ref;
	size_t i;

	if (wf_ref_parse(text, &ref) < 0) {
		y_complain(r->c, n,
			"expected $params.NAME, $item, $item.MEMBER, $index, or \"$$\" for a dollar, found "
			"\"%.130s\"",
			text);
		return;
	}
	if ((ref.kind == WF_REF_ITEM || ref.kind == WF_REF_INDEX) && !with_item) {
		y_complain(r->c, n, "\"%.130s\" is an element's: the stage has no foreach", text);
		return;
	}
	if (ref.kind != WF_REF_PARAM)
		return;
	if (!wf_param_named(r->w, ref.rest, &i)) {
		const char *near = wf_near(r, ref.rest, r->param_names, r->w->n_params);
		if (near)
			y_complain(r->c, n, "there is no parameter \"%.63s\"; did you mean \"%s\"?", ref.rest,
				near);
		else
			y_complain(r->c, n, "there is no parameter \"%.63s\"", ref.rest);
	} else if (word && r->w->params[i].type == WF_LIST) {
		y_complain(r->c, n, "the parameter %s is a list, expected a single value", ref.rest);
	}
}

static void check_texts(struct wf_reader *r, const struct ynode *n, bool with_item)
{
	if (n->kind == YNODE_SCALAR)
		check_text(r, n, n->text, with_item, false);
	for (const struct ynode *i = n->first; i; i = i->next)
		check_texts(r, i, with_item);
}

static cJSON *scalar_json(const struct ynode *n)
{
	double v;

	if (n->plain && (!strcmp(n->text, "true") || !strcmp(n->text, "false")))
		return cJSON_CreateBool(n->text[0] == 't');
	if (n->plain && (!strcmp(n->text, "null") || !strcmp(n->text, "~") || !*n->text))
		return cJSON_CreateNull();
	return y_is_number(n, &v) ? cJSON_CreateNumber(v) : cJSON_CreateString(n->text);
}

cJSON *wf_json_of(const struct ynode *n)
{
	bool map = n->kind == YNODE_MAP;
	cJSON *j;

	if (n->kind == YNODE_SCALAR)
		return scalar_json(n);
	j = map ? cJSON_CreateObject() : cJSON_CreateArray();
	for (const struct ynode *i = n->first; j && i; i = i->next) {
		cJSON *inner = wf_json_of(i);

		if (inner && (map ? cJSON_AddItemToObject(j, i->key, inner) : cJSON_AddItemToArray(j, inner)))
			continue;
		cJSON_Delete(inner);
		cJSON_Delete(j);
		j = NULL;
	}
	return j;
}

cJSON *wf_read_json(struct wf_reader *r, const struct ynode *n, bool with_item)
{
	cJSON *j = wf_json_of(n);

	if (!j)
		y_complain(r->c, n, "out of memory");
	check_texts(r, n, with_item);
	return j;
}

void wf_read_stage_params(struct wf_reader *r, struct wf_stage *s)
{
	struct ynode *map = y_get(s->node, "params");

	if (map && !y_is(r->c, map, YNODE_MAP))
		return;
	if (map) {
		s->params = wf_read_json(r, map, s->foreach.source != WF_NO_FOREACH);
		return;
	}
	s->params = cJSON_CreateObject();
	if (!s->params)
		y_complain(r->c, s->node, "out of memory");
}

void wf_read_args(struct wf_reader *r, struct wf_stage *s)
{
	struct ynode *list = y_get(s->node, "args");
	size_t n = 0;

	if (!list || !y_is(r->c, list, YNODE_SEQ))
		return;
	if (list->n > WF_ARGS_MAX) {
		y_complain(r->c, list, "expected at most %d, found %zu", WF_ARGS_MAX, list->n);
		return;
	}
	s->args = wf_memory(r, list, list->n + 1, sizeof(*s->args));
	for (struct ynode *i = s->args ? list->first : NULL; i; i = i->next) {
		if (!y_text(r->c, i, &s->args[n]))
			continue;
		check_text(r, i, wf_word_value(s->args[n]), s->foreach.source != WF_NO_FOREACH, true);
		n++;
	}
}

/* env: {NAME: text}. The entries "NAME=text" are owned by the list, as one block per entry. */
void wf_read_env(struct wf_reader *r, struct wf_stage *s)
{
	struct ynode *map = y_get(s->node, "env");
	const char *text;
	size_t n = 0;

	if (!map || !y_is(r->c, map, YNODE_MAP))
		return;
	if (map->n > WF_ARGS_MAX) {
		y_complain(r->c, map, "expected at most %d, found %zu", WF_ARGS_MAX, map->n);
		return;
	}
	s->env = wf_memory(r, map, map->n + 1, sizeof(*s->env));
	for (struct ynode *i = s->env ? map->first : NULL; i; i = i->next) {
		char *entry = NULL;

		if (!i->key[0] || i->key[0] == '$' || strchr(i->key, '=')) {
			complain(r->c, i->key_line, i->key_column,
				"expected the name of an environment variable, found \"%.60s\"", i->key);
			continue;
		}
		if (!y_text(r->c, i, &text))
			continue;
		check_text(r, i, text, s->foreach.source != WF_NO_FOREACH, true);
		if (asprintf(&entry, "%s=%s", i->key, text) >= 0)
			s->env[n++] = entry;
		else
			y_complain(r->c, i, "out of memory");
	}
}
