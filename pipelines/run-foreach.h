/* SPDX-License-Identifier: Apache-2.0 */
/* A foreach that is being worked off: its list in memory, its elements' rows as they are queued. */
#ifndef PIPELINES_RUN_FOREACH_H
#define PIPELINES_RUN_FOREACH_H

#include "runs.h"

struct expansion {
	struct expansion *next_one;
	struct run_now now; /* owned: the run as it was when this began; only this stage's state is kept up */
	size_t stage;
	uv_work_t work;
	bool working; /* a worker has it */
	enum { EXPAND_LIST, EXPAND_WORK, EXPAND_JOIN } step;

	/* What the worker reads the list from. */
	struct digest source;
	char *source_text; /* owned; NULL: the artifact */

	/* What the worker left: an error, or what was asked for. */
	int err;
	char reason[TASK_REASON_BYTES];
	char *texts;  /* owned: the elements' JSON, zero-terminated one after the other */
	uint32_t *at; /* owned: where each begins */
	int64_t n;
	struct stage_result joined[WF_OUTPUTS_MAX];

	/* Progress. */
	int64_t next, in_flight, done;
	bool running; /* the stage has been said to run */
	int64_t wall_ns, cpu_ns, memory_peak_bytes;
	enum stage_state closing; /* what the stage comes to when nothing is in flight; 0: nothing ordered */
	unsigned tries;           /* of what the machine could not do */
	struct mono_time again;   /* then the next; .ns 0: none is due */
};

/* run-join.c, in a worker: the outputs of all elements, in one artifact each. On failure x->err and
 * x->reason. */
void foreach_join(struct expansion *x);

#endif
