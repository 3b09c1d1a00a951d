/* SPDX-License-Identifier: Apache-2.0 */
/* Reading the end of a run: handlers, what others can read of it, what goes to the ground. */
#include <string.h>

#include "workflow-read.h"

void wf_read_handlers(struct wf_reader *r, struct ynode *list, enum wf_role role)
{
	const char *name;
	size_t stage;

	if (!list || !y_is(r->c, list, YNODE_SEQ))
		return;
	for (struct ynode *n = list->first; n; n = n->next) {
		if (!y_text(r->c, n, &name) || !wf_stage_named(r, n, name, &stage))
			continue;
		if (r->w->stages[stage].role != WF_NORMAL)
			y_complain(r->c, n, "the stage %s is a handler already", name);
		r->w->stages[stage].role = role;
	}
}

void wf_read_results(struct wf_reader *r, struct ynode *map)
{
	struct workflow *w = r->w;
	const char *ref;

	if (!map || !y_is(r->c, map, YNODE_MAP))
		return;
	if (map->n > WF_OUTPUTS_MAX) {
		y_complain(r->c, map, "expected at most %d outputs, found %zu", WF_OUTPUTS_MAX, map->n);
		return;
	}
	for (struct ynode *n = map->first; n; n = n->next) {
		struct wf_result *result = &w->results[w->n_results];
		struct ynode key = wf_key(n);

		if (y_name(r->c, &key, &result->name) && y_text(r->c, n, &ref) &&
			wf_resolve(r, n, ref, &result->stage, &result->output))
			w->n_results++;
	}
}

void wf_read_products(struct wf_reader *r, struct ynode *list)
{
	static const char *const known[] = {"product", "priority", "keep"};
	struct workflow *w = r->w;
	const char *ref;

	if (!list || !y_is(r->c, list, YNODE_SEQ))
		return;
	if (list->n > WF_PRODUCTS_MAX) {
		y_complain(r->c, list, "expected at most %d products, found %zu", WF_PRODUCTS_MAX, list->n);
		return;
	}
	for (struct ynode *n = list->first; n; n = n->next) {
		struct wf_product *p = &w->products[w->n_products];

		if (!y_is(r->c, n, YNODE_MAP))
			continue;
		*p = (struct wf_product){.priority = w->priority};
		wf_priority(r, y_get(n, "priority"), &p->priority);
		wf_duration(r, y_get(n, "keep"), &p->keep_ns);
		struct ynode *name = y_need(r->c, n, "product");
		if (name && y_text(r->c, name, &ref) && wf_resolve(r, name, ref, &p->stage, &p->output))
			w->n_products++;
		y_no_others(r->c, n, known, ARRAY_LEN(known));
	}
}
