/* SPDX-License-Identifier: Apache-2.0 */
/* Cycles among the stages of a workflow. */
#include <stdio.h>
#include <string.h>

#include "workflow-read.h"

/* Depth-first with colours; the path of a cycle is found on the stack. Iterative: a file may be a long chain.
 */
struct walk {
	size_t *stack, *edge;
	unsigned char *colour; /* 0 new, 1 on the stack, 2 done */
	size_t depth;
};

static void complain_cycle(struct wf_reader *r, const struct walk *walk, size_t back_to)
{
	char path[512] = "";
	size_t from = 0, len = 0;

	while (walk->stack[from] != back_to)
		from++;
	for (size_t i = from; i < walk->depth && len < sizeof(path); i++)
		len += (size_t)snprintf(
			path + len, sizeof(path) - len, "%s needs ", r->w->stages[walk->stack[i]].name);
	const struct ynode *node = r->w->stages[back_to].node;
	complain(r->c, node->key_line, node->key_column, "a cycle: %s%s", path, r->w->stages[back_to].name);
}

static bool visit(struct wf_reader *r, struct walk *k, size_t first)
{
	k->depth = 0;
	k->stack[k->depth++] = first;
	k->edge[first] = 0;
	k->colour[first] = 1;
	while (k->depth) {
		size_t at = k->stack[k->depth - 1];
		const struct wf_stage *s = &r->w->stages[at];

		if (k->edge[at] == s->n_needs) {
			k->colour[at] = 2;
			k->depth--;
			continue;
		}
		size_t to = s->needs[k->edge[at]++];
		if (k->colour[to] == 1) {
			complain_cycle(r, k, to);
			return false;
		}
		if (k->colour[to] == 0) {
			k->stack[k->depth++] = to;
			k->edge[to] = 0;
			k->colour[to] = 1;
		}
	}
	return true;
}

void wf_check_cycles(struct wf_reader *r)
{
	size_t n = r->w->n_stages;
	CLEAN_FREE size_t *stack = calloc(n + 1, sizeof(*stack));
	CLEAN_FREE size_t *edge = calloc(n + 1, sizeof(*edge));
	CLEAN_FREE unsigned char *colour = calloc(n + 1, 1);
	struct walk k = {.stack = stack, .edge = edge, .colour = colour};

	if (!stack || !edge || !colour) {
		complain(r->c, 0, 0, "out of memory");
		return;
	}
	for (size_t i = 0; i < n; i++)
		if (!colour[i] && !visit(r, &k, i))
			return; /* one cycle is enough to mend before the next look */
}
