/* SPDX-License-Identifier: Apache-2.0 */
/* What only the whole file shows. Everything is resolved by now, and there are no cycles. */
#include <string.h>

#include "workflow-read.h"

/* A handler runs when the others are over: nobody but another handler of the same kind can wait for it. */
static void check_handlers(struct wf_reader *r)
{
	bool normal = false;

	for (size_t i = 0; i < r->w->n_stages; i++) {
		const struct wf_stage *s = &r->w->stages[i];
		struct ynode key = wf_key(s->node);

		normal |= s->role == WF_NORMAL;
		for (size_t k = 0; k < s->n_needs; k++) {
			const struct wf_stage *needed = &r->w->stages[s->needs[k]];

			if (needed->role != WF_NORMAL && needed->role != s->role)
				y_complain(r->c, &key, "%s needs %s, which runs only when the run %s",
					s->name, needed->name,
					needed->role == WF_ON_EXIT ? "ends" : "has failed");
		}
	}
	if (!normal)
		y_complain(r->c, y_get(r->w->root, "stages"), "every stage is a handler: nothing would run");
}

void wf_check_whole(struct wf_reader *r)
{
	check_handlers(r);
}
