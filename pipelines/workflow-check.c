/* SPDX-License-Identifier: Apache-2.0 */
/* What only the whole file shows. Everything is resolved by now, and there are no cycles. */
#include <errno.h>
#include <string.h>

#include "core/file.h"
#include "workflow-read.h"

static struct ynode *stage_key(const struct wf_stage *s, const char *key)
{
	return y_get(s->node, key);
}

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

/* ---- outputs that nobody uses ---- */

struct uses {
	uint16_t *outputs; /* by stage: bits by output */
	bool *needed;      /* by stage: somebody waits for it */
};

static void mark(void *user, size_t stage, size_t output)
{
	struct uses *u = user;

	u->outputs[stage] |= (uint16_t)(1u << output);
}

static void mark_stage(struct uses *u, const struct wf_stage *s)
{
	for (size_t i = 0; i < s->n_inputs; i++)
		if (s->inputs[i].from == WF_FROM_STAGE)
			mark(u, s->inputs[i].stage, s->inputs[i].output);
	for (size_t i = 0; i < s->n_needs; i++)
		u->needed[s->needs[i]] = true;
	if (s->when)
		expr_each_stage(s->when, mark, u);
	if (s->foreach.source == WF_OVER_OUTPUT)
		mark(u, s->foreach.stage, s->foreach.output);
}

static void warn_of_stage(struct wf_reader *r, const struct uses *u, size_t stage)
{
	const struct wf_stage *s = &r->w->stages[stage];
	const struct ynode *n = stage_key(s, "outputs");

	/* A handler is there for what it does. The only output of a stage that others wait for marks that it
	 * did. */
	if (s->uses || s->role != WF_NORMAL || (s->n_outputs == 1 && u->needed[stage]))
		return;
	n = n ? n->first : NULL;
	for (size_t i = 0; n && i < s->n_outputs; i++, n = n->next)
		if (!(u->outputs[stage] & (1u << i)))
			complain_warning(r->c, n->key_line, n->key_column,
				"%s.%s is used by nobody: no stage, no `outputs`, no `downlink` names it",
				s->name, s->outputs[i].name);
}

static void warn_of_outputs(struct wf_reader *r)
{
	size_t n = r->w->n_stages;
	CLEAN_FREE uint16_t *outputs = calloc(n, sizeof(*outputs));
	CLEAN_FREE bool *needed = calloc(n, sizeof(*needed));
	struct uses u = {.outputs = outputs, .needed = needed};

	_Static_assert(WF_OUTPUTS_MAX <= 16, "a bit for each output");
	if (!outputs || !needed) {
		complain(r->c, 0, 0, "out of memory");
		return;
	}
	for (size_t i = 0; i < n; i++)
		mark_stage(&u, &r->w->stages[i]);
	for (size_t i = 0; i < r->w->n_products; i++)
		mark(&u, r->w->products[i].stage, r->w->products[i].output);
	for (size_t i = 0; i < r->w->n_results; i++)
		mark(&u, r->w->results[i].stage, r->w->results[i].output);
	for (size_t i = 0; i < n; i++)
		warn_of_stage(r, &u, i);
}

/* ---- sizes and times that cannot fit ---- */

/* A list that is written in the file says how much there will be when it is joined. */
static void check_joined(struct wf_reader *r, const struct wf_stage *s)
{
	const struct ynode *n = stage_key(s, "outputs");
	uint64_t elements = s->foreach.list ? (uint64_t)cJSON_GetArraySize(s->foreach.list) : 0;

	n = n ? n->first : NULL;
	for (size_t i = 0; elements && n && i < s->n_outputs; i++, n = n->next) {
		const struct wf_output *o = &s->outputs[i];
		uint64_t max = o->type == WF_JSON ? WF_JOINED_JSON_BYTES_MAX : WF_OUTPUT_BYTES_MAX;

		if (o->max_bytes > max / elements)
			y_complain(r->c, n,
				"%llu elements of up to %llu bytes cannot be joined: expected at most %llu "
				"MiB "
				"in all",
				(unsigned long long)elements, (unsigned long long)o->max_bytes,
				(unsigned long long)(max >> 20));
	}
}

static void check_times(struct wf_reader *r, const struct wf_stage *s)
{
	const struct workflow *w = r->w;
	const struct ynode *n = stage_key(s, "timeout"), *resources = stage_key(s, "resources");
	const struct ynode *time = resources ? y_get((struct ynode *)resources, "time") : NULL;

	if (n && w->timeout_ns && s->timeout_ns > w->timeout_ns)
		complain_warning(
			r->c, n->line, n->column, "timeout: longer than the run's, which ends it before");
	if (s->uses || !time)
		return;
	if (s->timeout_ns && s->time_ns > s->timeout_ns)
		complain_warning(r->c, time->line, time->column,
			"time: longer than the stage's timeout, which ends it before");
	else if (w->timeout_ns && s->time_ns > w->timeout_ns)
		complain_warning(r->c, time->line, time->column,
			"time: longer than the run's timeout, which ends it before");
}

static void check_retry(struct wf_reader *r, const struct wf_stage *s)
{
	const struct ynode *n = stage_key(s, "retry");

	if (n && s->retry.limit == 0 && n->n > 1)
		complain_warning(r->c, n->line, n->column, "retry: with a limit of 0 nothing is tried again");
}

void wf_check_whole(struct wf_reader *r)
{
	check_handlers(r);
	warn_of_outputs(r);
	for (size_t i = 0; i < r->w->n_stages; i++) {
		check_joined(r, &r->w->stages[i]);
		check_times(r, &r->w->stages[i]);
		check_retry(r, &r->w->stages[i]);
	}
}
