/* SPDX-License-Identifier: Apache-2.0 */
/* A workflow or complaints, never both; and what is taken keeps its promises. */
#include <string.h>

#include "fuzz.h"
#include "pipelines.h"
#include "workflow.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const struct workflow_limits limits = {.cpus_milli = 2000, .memory_bytes = 256 << 20};
	struct workflow *w = NULL;
	struct complaints c;

	if (complaints_init(&c, "f") < 0)
		return 0;
	int r = workflow_parse((const char *)data, len, &limits, &c, &w);
	ensure((r == 0) == (c.total == 0));
	for (size_t s = 0; r == 0 && s < w->n_stages; s++) {
		const struct wf_stage *st = &w->stages[s];
		ensure(st->name && !st->image == !!st->uses && st->params);
		if (st->uses)
			continue;
		ensure(st->n_outputs <= WF_OUTPUTS_MAX && st->time_ns > 0);
		ensure(st->memory_bytes <= limits.memory_bytes && st->cpus_milli <= limits.cpus_milli);
		for (size_t i = 0; i < st->n_needs; i++)
			ensure(st->needs[i] < w->n_stages && st->needs[i] != s);
		for (size_t i = 0; i < st->n_inputs; i++)
			ensure(st->inputs[i].from == WF_FROM_TRIGGER ||
				st->inputs[i].output < w->stages[st->inputs[i].stage].n_outputs);
		for (size_t i = 0; i < st->n_outputs; i++)
			ensure(st->outputs[i].max_bytes > 0);
	}
	workflow_destroy(w);
	complaints_finish(&c);
	return 0;
}
