/* SPDX-License-Identifier: Apache-2.0 */
/* Inside pipelines: the parts that work on runs share this. */
#ifndef PIPELINES_RUNS_H
#define PIPELINES_RUNS_H

#include "pipelines.h"
#include "wf-values.h"
#include "workflow.h"

#define RUNS_PENDING_MAX 1000  /* of one workflow: events that come faster for ever are refused in the end */
#define RUN_CHAIN_MAX 16       /* runs that started each other, one inside or after the other */
#define CACHE_ENTRIES_MAX 4096 /* successes that `cache: true` remembers */
#define ORBIT_EVENTS_MAX 4096  /* remembered, so that one that is told again is known */

/* The numbers are in the database: they never change. */
enum run_state {
	RUN_OPEN = 0,
	RUN_DONE = 1,
	RUN_FAILED = 2,
	RUN_CANCELLED = 3,
	RUN_PENDING = 4, /* by max_runs */
	RUN_STATE_MAX
};
enum stage_state {
	STAGE_WAITING = 0, /* for the stages it needs */
	STAGE_QUEUED = 1,
	STAGE_RUNNING = 2,
	STAGE_DONE = 3,
	STAGE_FAILED = 4,
	STAGE_SKIPPED = 5,
	STAGE_RETRYING = 6,
	STAGE_ASKING = 7, /* for approval */
	STAGE_CANCELLED = 8,
	STAGE_FROZEN = 9, /* it runs, but stands still for something more important */
	STAGE_STATE_MAX
};

static inline bool stage_settled(int64_t state)
{
	return state == STAGE_DONE || state == STAGE_FAILED || state == STAGE_SKIPPED ||
	       state == STAGE_CANCELLED;
}

/* A run goes through these one after the other; the numbers are in the database. */
enum run_phase { PHASE_STAGES = 0, PHASE_ON_FAILURE = 1, PHASE_ON_EXIT = 2 };

const char *run_state_name(int64_t state);
const char *stage_state_name(int64_t state);

struct active;    /* a stage that is being executed: stage-run.c */
struct expansion; /* a foreach that is being worked off: run-foreach.c */
struct schedule;  /* a trigger by time: run-schedules.c */
struct timer {
	struct mono_time at;
	int64_t run;
	size_t stage; /* WF_NONE: the run itself */
};

struct pipelines {
	struct pipelines_options o;
	char *state_dir; /* owned */
	struct workflow *
		*workflows; /* owned: those whose triggers are on first, then older texts of open runs */
	size_t n_workflows, n_on;
	struct active *active;        /* list */
	struct expansion *expansions; /* list */
	struct timer *timers;         /* heap, the earliest first */
	size_t n_timers, cap_timers;
	struct schedule *schedules;
	size_t n_schedules;
	int64_t *touched; /* runs to be advanced */
	size_t n_touched, cap_touched;
	unsigned depth;               /* of our own calls: see runs_enter */
	bool more;                    /* work that is done in slices is left */
	int64_t n_cache;              /* entries */
	int64_t n_runs;               /* rows */
	int64_t trim_at, trim_family; /* retention: the last run looked at; the run being removed, 0: none */
	unsigned trim_part;
	char *trim_device, *trim_frame; /* owned: the last frame looked at; NULL: none */
};

/* ---- run-load.c: a run and its stages, as the database has them ---- */

struct stage_now {
	unsigned char state; /* enum stage_state */
	bool approved;
	int64_t task, child; /* 0: none */
	int64_t ending;      /* enum stage_state that an ordered end leads to; 0: none is ordered */
};

struct run_now {
	struct pipelines *p;
	struct workflow *w;
	int64_t id, state, parent, chain;
	char *parent_stage; /* owned; NULL without a parent */
	uint8_t priority;
	struct utc_time age_from, deadline;
	int64_t phase;
	int64_t outcome; /* enum run_state that it will end in; -1: open yet */
	char *reason;    /* owned: of the outcome; may be NULL */
	bool ordered;    /* an operator has it cancelled */
	cJSON *params;   /* owned: an object */
	struct stage_now *stages;
	cJSON **json; /* parsed outputs, WF_OUTPUTS_MAX a stage, when asked for */
};

/* ERR_UNKNOWN: no such run. ERR_CHECKED: its workflow is not understood any more. */
WARN_UNUSED int run_load(struct pipelines *p, int64_t run, struct run_now *ret_run);
void run_finish(struct run_now *run);
/* expr_value_fn; `user` is a struct run_now. */
const cJSON *run_json_of(void *user, size_t stage, size_t output);
/* A stage's state, in the database, in `run` and for whoever listens. */
WARN_UNUSED int run_set_stage(struct run_now *run, size_t stage, enum stage_state state, const char *reason);
/* The digest (text) and size of what an input is fed from. ERR_UNKNOWN when it is not there. */
WARN_UNUSED int run_input_of(struct store *store, const struct workflow *w, int64_t run,
	const struct wf_input *in, char ret_digest[DIGEST_TEXT_BYTES], uint64_t *ret_bytes);
/* The parameters of a run. *ret is owned. */
WARN_UNUSED int run_params(struct store *store, int64_t run, cJSON **ret_params);

/* ---- provenance.c ---- */

/* The text that a run began with, read again; NULL when it is not understood. The caller destroys it. */
struct workflow *run_kept_workflow(struct store *store, int64_t run);

/* ---- run-workflow.c ---- */

/* The workflow of a run, from memory or from the text kept with it. */
WARN_UNUSED int runs_workflow(struct pipelines *p, int64_t run, struct workflow **ret_workflow);
/* One whose triggers are on; NULL. */
struct workflow *workflows_find(struct pipelines *p, const char *name);
/* Takes a workflow over, at this place of p->workflows. */
WARN_UNUSED int workflows_remember(struct pipelines *p, struct workflow *w, size_t at);

/* ---- run-advance.c ---- */

/* Between them a change may touch runs; when the outermost call leaves, each of these is advanced: what is
 * ready is queued, what will not run is left out, and what is settled ends. So nothing is changed under the
 * feet of a caller. runs_leave passes `r` on, or the error of advancing. */
void runs_enter(struct pipelines *p);
WARN_UNUSED int runs_leave(struct pipelines *p, int r);
WARN_UNUSED int run_touch(struct pipelines *p, int64_t run);
/* Begins a stage for which all else is ready. */
WARN_UNUSED int run_begin_stage(struct run_now *run, size_t stage);
/* A task of a stage, for element `item` or -1. */
WARN_UNUSED int run_put_task(struct run_now *run, size_t stage, int64_t item, int64_t *ret_task);

/* ---- run-make.c ---- */

struct run_plan {
	const struct workflow *w;
	struct utc_time age_from;
	struct utc_time deadline; /* of a parent; .ns 0: none */
	const cJSON *event;
	const cJSON *params; /* given; may be NULL */
	const struct run_input *inputs;
	size_t n_inputs;
	int64_t parent; /* 0: none */
	const char *parent_stage;
	int priority; /* -1: the workflow's */
	int64_t chain;
	int64_t rerun_of; /* 0: none */
};

/* Within runs_enter. ERR_LIMIT, ERR_CHECKED with the reason. */
WARN_UNUSED int run_make(
	struct pipelines *p, const struct run_plan *plan, int64_t *ret_run, char *ret_reason, size_t cap);
/* Puts it on record as cancelled for this reason; nothing follows from that. A flood of events is one such
 * run, with the event and inputs of the first, and their number. */
WARN_UNUSED int run_refuse(struct pipelines *p, const struct run_plan *plan, const char *why);
/* The first trigger input without which the run's stages cannot run; NULL. */
const char *run_missing_input(const struct workflow *w, const struct run_input *inputs, size_t n);
/* The next pending run of a workflow, if there is room for it. */
WARN_UNUSED int run_open_next(struct pipelines *p, const char *workflow);
/* Ends a run that has never been opened. */
WARN_UNUSED int run_drop_pending(struct pipelines *p, int64_t run, const char *why);

/* ---- run-end.c ---- */

WARN_UNUSED int run_end(struct run_now *run);
/* What follows from an end: the parent, other workflows, the next in line. */
WARN_UNUSED int run_ended(struct pipelines *p, int64_t run);

/* ---- run-triggers.c, run-schedules.c: within runs_enter ---- */

/* 1: a run was made; 0: it was not taken, which is logged. */
WARN_UNUSED int trigger_fire(struct pipelines *p, const struct run_plan *plan);
WARN_UNUSED int triggers_completed(struct pipelines *p, int64_t run);
WARN_UNUSED int schedules_add(struct pipelines *p, const struct workflow *w);
WARN_UNUSED int schedules_due(struct pipelines *p);
/* UTC; 0: never. */
int64_t schedules_wake_ns(const struct pipelines *p);

/* ---- run-uses.c ---- */

WARN_UNUSED int uses_begin(struct run_now *run, size_t stage);
WARN_UNUSED int uses_child_ended(
	struct pipelines *p, int64_t parent, const char *stage, int64_t child, int64_t state);
/* The run inside a stage has left the line of max_runs. */
WARN_UNUSED int uses_child_opened(struct pipelines *p, int64_t parent, const char *stage);

/* ---- run-cancel.c ---- */

/* Everything of a run that has not ended is cancelled, and the run goes on to its handlers. */
WARN_UNUSED int run_cancel(struct run_now *run, enum run_state outcome, const char *why);
/* What runs or waits of a stage is ended; when that is done the stage's state is `then`. */
WARN_UNUSED int run_stop_stage(struct run_now *run, size_t stage, enum stage_state then, const char *why);
/* That has happened: the stage is what was ordered, for the reason that was given. */
WARN_UNUSED int run_stop_settled(struct run_now *run, size_t stage);
/* Runs that were ordered to be cancelled, in slices. */
WARN_UNUSED int cancel_ordered(struct pipelines *p);

/* ---- run-timeout.c ---- */

/* The timeout of a run (WF_NONE) or a stage begins now. */
WARN_UNUSED int timeout_begin(struct run_now *run, size_t stage);
/* After a restart: those that were going on. */
WARN_UNUSED int timeout_resume(struct run_now *run);
WARN_UNUSED int timeouts_due(struct pipelines *p);

/* ---- run-cache.c ---- */

/* Whether every artifact that the rows of a query name (a digest in their first column) is there. Resets the query;
 * one that failed, or NULL, says no. */
bool runs_artifacts_there(struct pipelines *p, sqlite3_stmt *q);

struct stage_values;
/* An output that has become an artifact. */
struct stage_result {
	struct digest digest;
	uint64_t bytes;
	char *json; /* owned: the text of a JSON output; may be NULL */
};

/* 1 when an earlier success was taken, 0 when there is none. */
WARN_UNUSED int cache_take(struct run_now *run, size_t stage, int64_t item, const char *item_text);
/* The key of what is about to be launched. */
WARN_UNUSED int cache_key(struct pipelines *p, const struct workflow *w, int64_t run, size_t stage,
	const char *image_digest, const struct stage_values *values, char ret_key[DIGEST_TEXT_BYTES]);
/* Within the turn in which the success is recorded. */
WARN_UNUSED int cache_put(struct pipelines *p, const char *key, int64_t run, const struct wf_stage *s,
	int64_t item, const struct stage_result *results);
WARN_UNUSED int cache_count(struct pipelines *p);
/* The entry that was used longest ago, within the turn: 1, 0 when there is none. */
WARN_UNUSED int cache_remove_oldest(struct pipelines *p, uint64_t *ret_bytes);

/* ---- run-trim.c ---- */

WARN_UNUSED int trim_resume(struct pipelines *p);
/* It is being removed, and half of it may be gone. */
bool trim_removes(struct pipelines *p, int64_t run);

/* ---- run-foreach.c, run-join.c ---- */

WARN_UNUSED int foreach_begin(struct run_now *run, size_t stage);
WARN_UNUSED int foreach_resume(struct run_now *run, size_t stage);
void foreach_started(struct pipelines *p, const struct task *t, struct utc_time at, const char *image_digest);
WARN_UNUSED int foreach_ended(
	struct pipelines *p, const struct task *t, enum task_state state, const struct task_end *end);
WARN_UNUSED int foreach_again(struct pipelines *p, const struct task *t, const char *reason);
WARN_UNUSED int foreach_stop(struct run_now *run, size_t stage, enum stage_state then, const char *why);
/* Goes on with what was left for later: elements in slices, joins that could not be made. */
WARN_UNUSED int foreach_more(struct pipelines *p);
/* The run's parameters, if the foreach is being worked off; borrowed. NULL: not. */
const cJSON *foreach_params(struct pipelines *p, int64_t run, const char *stage);
/* When that is due; .ns 0: never. */
struct mono_time foreach_again_at(const struct pipelines *p);
void foreach_abandon(struct pipelines *p);

/* ---- run-tasks.c: task_owner ---- */

void runs_task_started(void *user, const struct task *t, struct utc_time at);
void runs_task_again(void *user, const struct task *t, struct utc_time not_before, const char *reason);
void runs_task_frozen(void *user, const struct task *t, bool frozen, const char *reason);
void runs_task_ended(void *user, const struct task *t, enum task_state state, const struct task_end *end);

/* ---- stage-values.c: what a stage is given ---- */

struct stage_values {
	cJSON *params;
	const char **args, **env; /* NULL: the image's own */
};

/* item_text: the JSON of the element, or NULL. ERR_CHECKED with the reason. */
WARN_UNUSED int stage_values_make(const struct wf_stage *s, const cJSON *run_params, const char *item_text,
	int64_t index, struct stage_values *ret_values, char ret_reason[WF_REASON_BYTES]);
void stage_values_finish(struct stage_values *v);

/* ---- stage-run.c: task_runner ---- */

int stage_start(void *user, const struct task *task);
int stage_stop(void *user, int64_t task);
int stage_freeze(void *user, int64_t task, bool frozen);
bool stage_can_freeze(void *user);
WARN_UNUSED int stage_runs_prepare(struct pipelines *p);
/* Forgets what was being executed: the database has it as running, so it is interrupted. */
void stage_runs_abandon(struct pipelines *p);

#endif
