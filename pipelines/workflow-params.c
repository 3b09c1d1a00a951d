/* SPDX-License-Identifier: Apache-2.0 */
/* Reading the typed parameters of a workflow. */
#include <math.h>
#include <string.h>

#include "core/json.h"
#include "wf-values.h"
#include "workflow-read.h"

static const char *const types[] = {"number", "text", "bool", "list"};

/* As references in expressions spell it: letters, digits, "_", and "-" between two of them. */
static bool is_param_name(const char *name)
{
	size_t n = strlen(name);

	if (n == 0 || n > 63 || name[0] < 'a' || name[0] > 'z' || name[n - 1] == '-')
		return false;
	return strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-") == n && !strstr(name, "--");
}

static bool type_of(const cJSON *v, enum wf_param_type *ret_type)
{
	*ret_type = cJSON_IsNumber(v)   ? WF_NUMBER
		    : cJSON_IsString(v) ? WF_TEXT
		    : cJSON_IsBool(v)   ? WF_BOOL
					: WF_LIST;
	return cJSON_IsNumber(v) || cJSON_IsString(v) || cJSON_IsBool(v) || cJSON_IsArray(v);
}

static void read_bound(struct wf_reader *r, struct wf_param *p, const struct ynode *n, double *ret)
{
	if (!n)
		return;
	if (p->type != WF_NUMBER)
		y_complain(r->c, n, "only a number has bounds, this is a %s", types[p->type]);
	else
		y_number(r->c, n, -1e300, 1e300, ret);
}

static void read_one_of(struct wf_reader *r, struct wf_param *p, const struct ynode *list)
{
	struct wf_param alone = {.name = p->name, .type = p->type, .min = p->min, .max = p->max};
	char reason[WF_REASON_BYTES];

	if (!list || !y_is(r->c, list, YNODE_SEQ))
		return;
	if (p->type == WF_LIST || p->type == WF_BOOL) {
		y_complain(r->c, list, "only a number or a text has a choice, this is a %s", types[p->type]);
		return;
	}
	if (list->n == 0 || list->n > WF_PARAMS_MAX) {
		y_complain(r->c, list, "expected 1 to %d values, found %zu", WF_PARAMS_MAX, list->n);
		return;
	}
	p->one_of = wf_json_of(list);
	if (!p->one_of)
		y_complain(r->c, list, "out of memory");
	const cJSON *v = p->one_of ? p->one_of->child : NULL;
	for (const struct ynode *n = list->first; v; n = n->next, v = v->next)
		if (wf_param_fits(&alone, v, reason) < 0)
			y_complain(r->c, n, "%s", reason);
}

static void read_default(struct wf_reader *r, struct wf_param *p, const struct ynode *n)
{
	char reason[WF_REASON_BYTES];

	if (!n)
		return;
	p->value = wf_json_of(n);
	if (!p->value)
		y_complain(r->c, n, "out of memory");
	else if (wf_param_fits(p, p->value, reason) < 0)
		y_complain(r->c, n, "%s", reason);
}

static void read_long(struct wf_reader *r, struct wf_param *p, struct ynode *map)
{
	static const char *const known[] = {"type", "default", "min", "max", "one_of", "help"};
	struct ynode *n = y_need(r->c, map, "type");
	int type;

	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		y_get(map, known[i]);
	y_no_others(r->c, map, known, ARRAY_LEN(known));
	if (!n || !wf_choice(r, n, types, ARRAY_LEN(types), &type))
		return;
	p->type = (enum wf_param_type)type;
	read_bound(r, p, y_get(map, "min"), &p->min);
	n = y_get(map, "max");
	read_bound(r, p, n, &p->max);
	if (p->min > p->max)
		y_complain(r->c, n, "expected at least the min, %g, found \"%s\"", p->min, n->text);
	read_one_of(r, p, y_get(map, "one_of"));
	read_default(r, p, y_get(map, "default"));
	y_text(r->c, y_get(map, "help"), &p->help);
}

/* The value says the type and is the default. */
static void read_short(struct wf_reader *r, struct wf_param *p, const struct ynode *n)
{
	CLEAN_JSON cJSON *v = wf_json_of(n);

	if (!v)
		y_complain(r->c, n, "out of memory");
	else if (!type_of(v, &p->type))
		y_complain(r->c, n, "expected a value, or {type: number, text, bool or list}, found nothing");
	else
		read_default(r, p, n);
}

void wf_read_params(struct wf_reader *r, struct ynode *map)
{
	struct workflow *w = r->w;

	if (!map || !y_is(r->c, map, YNODE_MAP))
		return;
	if (map->n > WF_PARAMS_MAX) {
		y_complain(r->c, map, "expected at most %d parameters, found %zu", WF_PARAMS_MAX, map->n);
		return;
	}
	w->params = wf_memory(r, map, map->n, sizeof(*w->params));
	for (struct ynode *n = w->params ? map->first : NULL; n; n = n->next) {
		struct wf_param *p = &w->params[w->n_params];

		*p = (struct wf_param){.name = n->key, .min = -INFINITY, .max = INFINITY};
		r->param_names[w->n_params++] = n->key;
		if (!is_param_name(n->key))
			complain(r->c, n->key_line, n->key_column,
				"expected the name of a parameter (a lower-case letter, then lower-case "
				"letters, digits, \"_\", or \"-\" between two of them, at most 63), found "
				"\"%.80s\"",
				n->key);
		if (n->kind == YNODE_MAP)
			read_long(r, p, n);
		else
			read_short(r, p, n);
	}
}
