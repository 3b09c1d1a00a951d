/* SPDX-License-Identifier: Apache-2.0 */
/* What would run of a workflow, and until when at the latest. Inside pipelines; the face is workflow_plan. */
#ifndef PIPELINES_PLAN_H
#define PIPELINES_PLAN_H

#include "wf-values.h"
#include "workflow.h"

#define PLAN_NODES_MAX 20000 /* stages, those of the workflows that are used included */
#define PLAN_NAME_BYTES 200
#define PLAN_NONE SIZE_MAX

/* Times are seconds from the event on, as doubles: a hundred attempts of a day each for ten thousand elements
 * are no nanoseconds that an integer could count. INFINITY: no end is known. */

/* A stage of the run, or of a run inside it; or a mark (no stage): a point in time that stages wait for. */
struct plan_node {
	const struct wf_stage *stage; /* NULL: a mark */
	char *name;                   /* owned: "survey/cloud" in a run inside the stage survey */
	size_t group;
	size_t *after; /* owned: nodes that wait for this one */
	size_t n_after, cap_after;
	size_t n_before, wave; /* wave: from 1, one more than the largest of those it needs */
	bool opens;            /* a mark: the group begins */
	bool left_out;         /* `when` is false whatever the stages find */
	bool unknown;          /* it uses a workflow that is not at hand */
	char why[WF_REASON_BYTES];
	uint32_t elements, parallel; /* 1, 1 without a foreach */
	bool elements_known;
	double element_s; /* of one element: all attempts and the waits between them */

	/* By plan_simulate. */
	size_t waits;                   /* for so many nodes */
	uint32_t begun, at_once;        /* elements begun, and those of them that go on */
	double ready_s, start_s, end_s; /* start_s NAN: it does not start */
	double cap_s;                   /* a timeout ends it then */
	double deadline_s;              /* from then on nothing of it starts */
	size_t because;                 /* the node whose end let it begin; PLAN_NONE: the event */
	bool capped;                    /* a timeout or the deadline cut it short */
};

/* A run: the one that is planned, or one inside it. */
struct plan_group {
	const struct workflow *w;
	cJSON *params;      /* owned */
	size_t outer, node; /* the group and the node that it is inside; PLAN_NONE: none */
	size_t first, last; /* marks: it begins; all of it is over */
	double start_s;
};

struct plan {
	struct workflow *const *others; /* borrowed */
	size_t n_others;
	const cJSON *items; /* borrowed: {"STAGE": how many elements}; may be NULL */
	struct plan_node *nodes;
	size_t n_nodes, cap_nodes;
	struct plan_group *groups;
	size_t n_groups, cap_groups;
	char *why; /* where a reason goes: WF_REASON_BYTES */
};

/* plan.c. ERR_CHECKED with the reason in plan->why, ERR_LIMIT: too large. plan_finish in any case. */
WARN_UNUSED int plan_build(struct plan *p, const struct workflow *w, const cJSON *params);
void plan_finish(struct plan *p);

/* plan-simulate.c: goes through it as if it were alone on the machine, with every attempt using its whole
 * time and all the retries, in the order in which stages become ready. */
struct plan_room {
	uint32_t cpus_milli, tasks;
	uint64_t memory_bytes;
};
struct plan_course {
	bool timeouts; /* timeouts and deadlines end things */
	bool late; /* approvals, and runs of which nothing is known, take as long as a limit lets them; else:
		      none */
};
struct plan_result {
	double end_s;          /* of everything; INFINITY: there is no end that is known */
	size_t last;           /* the node that ends last; PLAN_NONE: none */
	struct plan_room peak; /* at one moment */
};
WARN_UNUSED int plan_simulate(struct plan *p, const struct plan_room *budget,
	const struct plan_course *course, struct plan_result *ret_result);

#endif
