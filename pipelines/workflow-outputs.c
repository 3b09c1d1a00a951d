/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a stage: what it is, and what it gives to others. */
#include <string.h>

#include "workflow-read.h"

static void read_output(struct wf_reader *r, struct ynode *n, struct wf_output *o)
{
	static const char *const known[] = {"max", "type"}, *const types[] = {"file", "json"};
	struct ynode *max = n;
	int type = WF_FILE;

	o->name = n->key;
	if (n->kind == YNODE_MAP) {
		max = y_need(r->c, n, "max");
		wf_choice(r, y_get(n, "type"), types, ARRAY_LEN(types), &type);
		o->type = (enum wf_type)type;
		y_no_others(r->c, n, known, ARRAY_LEN(known));
	}
	if (max && y_size(r->c, max, WF_OUTPUT_BYTES_MAX, &o->max_bytes)) {
		if (o->max_bytes == 0)
			y_complain(r->c, max, "expected a size above zero");
		if (o->type == WF_JSON && o->max_bytes > WF_JSON_BYTES_MAX)
			y_complain(r->c, max, "expected at most 1MiB for a JSON output, found \"%s\"",
				max->text);
	}
}

static void read_declared(struct wf_reader *r, struct wf_stage *s)
{
	struct ynode *map = y_get(s->node, "outputs"); /* one that only acts on devices has none */
	const char *name;

	if (!map || !y_is(r->c, map, YNODE_MAP))
		return;
	if (map->n == 0 || map->n > WF_OUTPUTS_MAX) {
		y_complain(r->c, map, "expected 1 to %d outputs, found %zu", WF_OUTPUTS_MAX, map->n);
		return;
	}
	s->outputs = wf_memory(r, map, map->n, sizeof(*s->outputs));
	for (struct ynode *n = s->outputs ? map->first : NULL; n; n = n->next) {
		struct ynode key = wf_key(n);

		y_name(r->c, &key, &name);
		read_output(r, n, &s->outputs[s->n_outputs++]);
	}
}

void wf_read_outputs(struct wf_reader *r, struct wf_stage *s)
{
	if (!y_is(r->c, s->node, YNODE_MAP))
		return;
	struct ynode *uses = y_get(s->node, "uses"), *image = y_get(s->node, "image");
	if (!uses) {
		if (!image)
			y_complain(r->c, s->node, "expected the key \"image\" or \"uses\", found none");
		if (y_name(r->c, image, &s->image))
			wf_check_image(r, image, s->image);
		read_declared(r, s);
		return;
	}
	if (image)
		y_complain(r->c, uses, "a stage has an image or uses another workflow, not both");
	/* Room for every output that others may name. */
	s->outputs = wf_memory(r, uses, WF_OUTPUTS_MAX, sizeof(*s->outputs));
	if (s->outputs && y_name(r->c, uses, &s->uses) && r->w->name && !strcmp(s->uses, r->w->name))
		y_complain(r->c, uses, "the workflow %s cannot use itself", s->uses);
}
