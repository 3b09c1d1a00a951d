/* SPDX-License-Identifier: Apache-2.0 */
/* Inside pipelines: the parts share this. */
#ifndef PIPELINES_RUNS_H
#define PIPELINES_RUNS_H

#include "pipelines.h"
#include "workflow.h"

/* The numbers are in the database: they never change. */
enum run_state { RUN_OPEN = 0, RUN_DONE = 1, RUN_FAILED = 2, RUN_STATE_MAX };
enum stage_state {
	STAGE_WAITING = 0, /* for the stages it needs */
	STAGE_QUEUED = 1,
	STAGE_RUNNING = 2,
	STAGE_DONE = 3,
	STAGE_FAILED = 4,
	STAGE_SKIPPED = 5,
	STAGE_STATE_MAX
};

const char *run_state_name(int64_t state);
const char *stage_state_name(int64_t state);

struct active; /* a stage that is being executed: stage-run.c */

struct pipelines {
	struct pipelines_options o;
	char *state_dir; /* owned */
	struct workflow *
		*workflows; /* owned: those whose triggers are on first, then older texts of open runs */
	size_t n_workflows, n_on;
	struct active *active; /* list */
};

/* The workflow of a run, from memory or from the text kept with it. */
WARN_UNUSED int runs_workflow(struct pipelines *p, int64_t run, struct workflow **ret_workflow);
/* Takes a workflow over, at this place of p->workflows. */
WARN_UNUSED int workflows_remember(struct pipelines *p, struct workflow *w, size_t at);
/* Makes what is ready run, skips what will not, ends the run when all is settled. Within the turn. */
WARN_UNUSED int run_advance(struct pipelines *p, int64_t run);

/* run-tasks.c: task_owner. */
void runs_task_started(void *user, const struct task *t, struct utc_time at);
void runs_task_ended(void *user, const struct task *t, enum task_state state, const struct task_end *end);

/* stage-run.c: task_runner's start. */
int stage_start(void *user, const struct task *task);
WARN_UNUSED int stage_runs_prepare(struct pipelines *p);
/* Forgets what was being executed: the database has it as running, so it is interrupted. */
void stage_runs_abandon(struct pipelines *p);

#endif
