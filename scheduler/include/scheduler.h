/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The mission queue: what runs next.
 *
 * Tasks are kept in the supervisor's database. Whoever makes work puts tasks (scheduler_put), inside a loop
 * turn. At the end of the turn scheduler_dispatch picks those that matter most and fit the budgets, marks
 * them running, and after the commit (never before) has the runner start them. The runner reports each end
 * with scheduler_finish; the owner hears of it in the same turn, so that what follows from an end is in one
 * commit with it.
 *
 * Order: priority, larger first; then age, older first. A task past its deadline never starts. The task at
 * the head that does not fit waits, and everything behind it: nothing overtakes.
 */
#ifndef SCHEDULER_H
#define SCHEDULER_H

#include <cjson/cJSON.h>

#include "core/clock.h"
#include "core/store.h"

#define TASK_STAGE_BYTES 64
#define TASK_REASON_BYTES 256

/* The numbers are in the database: they never change. */
enum task_state {
	TASK_READY = 0,
	TASK_RUNNING = 1,
	TASK_DONE = 2,
	TASK_FAILED = 3,
	TASK_EXPIRED = 4, /* its deadline passed before it started */
	TASK_STATE_MAX
};

const char *task_state_name(enum task_state state);

/* What is asked for when a task is put. Texts are borrowed during the call. */
struct task_spec {
	int64_t run;
	const char *stage;
	const char *payload;
	uint8_t priority;         /* larger matters more */
	struct utc_time age_from; /* older goes first among equals */
	struct utc_time deadline; /* .ns 0: none */
	uint32_t cpus_milli;      /* thousandths of a CPU */
	uint64_t memory_bytes;
	uint32_t retry_limit; /* further attempts after a temporary failure */
	int64_t backoff_ns;   /* before the first of these; doubles each time */
};

struct task {
	int64_t id, run;
	char stage[TASK_STAGE_BYTES];
	uint8_t priority;
	uint32_t cpus_milli;
	uint64_t memory_bytes;
	uint32_t attempt; /* from 1 */
};

enum task_verdict {
	TASK_SUCCEEDED,
	TASK_TEMPORARY, /* may be tried again (EX_TEMPFAIL), as often as the workflow says */
	TASK_MACHINE,   /* not its fault (no sandbox, no descriptors, no space): tried again, whatever the workflow says */
	TASK_BROKEN,    /* not worth another try */
};

struct task_end {
	enum task_verdict verdict;
	char reason[TASK_REASON_BYTES]; /* "" on success */
	int64_t wall_ns, cpu_ns;
	uint64_t memory_peak_bytes;
};

/* How tasks are executed. Plugged in by perigeed. */
struct task_runner {
	/* The task is committed as running. 0: scheduler_finish will be called once for it, in a later
	 * callback. Negative: it could not be started; the scheduler fails it with this error. */
	int (*start)(void *user, const struct task *task);
	void *user;
};

/* Who owns the work. Called within a turn; may put further tasks. */
struct task_owner {
	void (*on_started)(void *user, const struct task *task, struct utc_time at);
	/* For good: done, failed or expired (not for an attempt that will be tried again). */
	void (*on_ended)(
		void *user, const struct task *task, enum task_state state, const struct task_end *end);
	void *user;
};

struct scheduler_budget {
	uint32_t cpus_milli;
	uint64_t memory_bytes;
	uint32_t tasks;
};

struct scheduler;

/* Makes the tables and requeues what was running when the last process ended, as interrupted. The store
 * outlives it. */
WARN_UNUSED int scheduler_create(
	struct store *store, const struct scheduler_budget *budget, struct scheduler **ret_scheduler);
void scheduler_destroy(struct scheduler *s);
void scheduler_plug(struct scheduler *s, const struct task_runner *runner, const struct task_owner *owner);

/* Whether a task of this size can ever run. */
bool scheduler_fits(const struct scheduler *s, uint32_t cpus_milli, uint64_t memory_bytes);
WARN_UNUSED int scheduler_put(struct scheduler *s, const struct task_spec *spec, int64_t *ret_task);
/* Before the end of each turn. Cheap when nothing changed. */
WARN_UNUSED int scheduler_dispatch(struct scheduler *s);
/* ERR_STATE when the task is not running. */
WARN_UNUSED int scheduler_finish(struct scheduler *s, int64_t task, const struct task_end *end);
/* Whether something may start that could not before: scheduler_dispatch would look. */
bool scheduler_dirty(const struct scheduler *s);
/* When time alone may change what starts (a backoff ends, a deadline passes), as the last dispatch saw it:
 * call scheduler_poke then. .ns 0: never. */
struct utc_time scheduler_wake_at(const struct scheduler *s);
void scheduler_poke(struct scheduler *s);

/* How many tasks were found running at the start, and will run again. */
size_t scheduler_interrupted(const struct scheduler *s);
size_t scheduler_running(const struct scheduler *s);
WARN_UNUSED int scheduler_counts(struct scheduler *s, int64_t ret_counts[TASK_STATE_MAX]);

#endif
