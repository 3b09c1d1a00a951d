/* SPDX-License-Identifier: Apache-2.0 */
/* What others than pipelines ask of a workflow. */
#include <string.h>

#include "core/mission.h"
#include "workflow.h"

struct workflow_limits workflow_limits_of(const struct mission *m)
{
	return (struct workflow_limits){.cpus_milli = m->budget.cpus_milli,
		.memory_bytes = m->budget.memory_bytes,
		.energy_mj = m->energy.mj_per_orbit,
		.critical = m->queue.critical};
}

const char *workflow_name(const struct workflow *w)
{
	return w->name;
}

const char *workflow_payload(const struct workflow *w)
{
	return w->payload;
}

size_t workflow_stage_count(const struct workflow *w)
{
	return w->n_stages;
}

const char *workflow_stage_name(const struct workflow *w, size_t i)
{
	return w->stages[i].name;
}

size_t workflow_stage_need(const struct workflow *w, size_t i, size_t k)
{
	return k < w->stages[i].n_needs ? w->stages[i].needs[k] : SIZE_MAX;
}

const char *workflow_trigger_device(const struct workflow *w, size_t i)
{
	for (size_t k = 0; k < w->n_triggers; k++)
		if (w->triggers[k].kind == WF_TRIGGER_FRAME && i-- == 0)
			return w->triggers[k].device;
	return NULL;
}

/* Calls for each stage input that is fed by the trigger, until fn says that it found what it wanted. */
static const struct wf_input *each_trigger_input(
	const struct workflow *w, bool (*fn)(const struct wf_input *in, void *user), void *user)
{
	for (size_t s = 0; s < w->n_stages; s++)
		for (size_t i = 0; i < w->stages[s].n_inputs; i++)
			if (w->stages[s].inputs[i].from == WF_FROM_TRIGGER &&
				fn(&w->stages[s].inputs[i], user))
				return &w->stages[s].inputs[i];
	return NULL;
}

static bool has_trigger_name(const struct wf_input *in, void *user)
{
	return !strcmp(in->trigger_name, user);
}

static bool has_name(const struct wf_input *in, void *user)
{
	return !strcmp(in->name, user);
}

const char *workflow_input_name(const struct workflow *w, const char *name)
{
	const struct wf_input *in = each_trigger_input(w, has_trigger_name, (void *)name);

	if (!in)
		in = each_trigger_input(w, has_name, (void *)name);
	return in ? in->trigger_name : NULL;
}

struct nth {
	const struct workflow *w;
	size_t left;
};

static bool is_nth_new(const struct wf_input *in, void *user)
{
	struct nth *n = user;

	/* Only the first input that names it counts. */
	if (each_trigger_input(n->w, has_trigger_name, (void *)in->trigger_name) != in)
		return false;
	return n->left-- == 0;
}

bool workflow_has_unikernel(const struct workflow *w)
{
	for (size_t i = 0; i < w->n_stages; i++)
		if (w->stages[i].guest_bytes)
			return true;
	return false;
}

const char *workflow_trigger_input(const struct workflow *w, size_t i)
{
	struct nth n = {.w = w, .left = i};
	const struct wf_input *in = each_trigger_input(w, is_nth_new, &n);

	return in ? in->trigger_name : NULL;
}
