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
 * Order: the critical class first, by priority; then everything else by priority, of which a task gains one
 * for each slice of `ageing` that its run has waited; then the nearer deadline; then age, older first. A task
 * past its deadline never starts. When the task at the head does not fit, smaller ones behind it start only
 * if, by the declared time limits, they do not delay it.
 *
 * Preemption: where `preempt` allows it, the task at the head has less important running ones frozen, or,
 * where memory is short, stopped and put back into the queue, if it can start by that. What is frozen goes on
 * before anything starts that may not preempt it.
 */
#ifndef SCHEDULER_H
#define SCHEDULER_H

#include <cjson/cJSON.h>

#include "core/clock.h"
#include "core/store.h"

#define TASK_STAGE_BYTES 64
#define TASK_PAYLOAD_BYTES 64
#define TASK_WORKFLOW_BYTES 64
#define TASK_BODY_BYTES_MAX 4096
#define TASK_REASON_BYTES 256
#define QUEUE_QUOTAS_MAX 64
#define QUEUE_RUNNING_MAX 64

/* The numbers are in the database: they never change. */
enum task_state {
	TASK_READY = 0,
	TASK_RUNNING = 1,
	TASK_DONE = 2,
	TASK_FAILED = 3,
	TASK_EXPIRED = 4, /* its deadline passed before it started */
	TASK_CANCELLED = 5,
	TASK_POISON = 6, /* its sandbox, or the machine, broke under it too often */
	TASK_STATE_MAX
};

const char *task_state_name(enum task_state state);

/* What kind of failure an attempt ended with. The numbers are in the database, as bits of what is tried
 * again. */
enum task_class {
	CLASS_TEMPORARY = 0, /* it said so (EX_TEMPFAIL) */
	CLASS_FAILED = 1,    /* another exit code, or a signal */
	CLASS_TIMEOUT = 2,   /* of one attempt */
	CLASS_MEMORY = 3,    /* more than it may have */
	CLASS_OUTPUT = 4,    /* not what was declared */
	CLASS_MACHINE = 5, /* not its fault (no sandbox, no descriptors, no space): tried again by a count of
			    * its own, whatever the workflow says */
	CLASS_BROKEN = 6,  /* never tried again */
	CLASS_MAX
};

const char *task_class_name(enum task_class class);

/* What is asked for when a task is put. Texts are borrowed during the call. */
struct task_spec {
	int64_t run;
	const char *stage;
	int64_t item; /* of a foreach; -1: none */
	const char *payload;
	const char *workflow;     /* NULL: "" */
	uint8_t priority;         /* larger matters more */
	struct utc_time age_from; /* older goes first among equals */
	struct utc_time deadline; /* .ns 0: none */
	uint32_t cpus_milli;      /* thousandths of a CPU */
	uint64_t memory_bytes;
	int64_t time_ns;    /* its time limit once it runs; 0: none */
	uint64_t energy_mj; /* millijoules that it says it will take; 0: not said */
	struct task_retry {
		uint32_t limit;     /* further attempts */
		unsigned on;        /* after these classes, bits 1 << enum task_class; 0: CLASS_TEMPORARY */
		int64_t backoff_ns; /* before the first of these; doubles each time */
		int64_t max_backoff_ns; /* 0: no bound */
		double jitter;          /* 0..1: up to this fraction of the wait is taken off at random */
	} retry;
	const void *body;  /* the owner's own bytes about it, kept with it; may be NULL */
	size_t body_bytes; /* at most TASK_BODY_BYTES_MAX */
};

struct task {
	int64_t id, run, item;
	char stage[TASK_STAGE_BYTES];
	char payload[TASK_PAYLOAD_BYTES];
	char workflow[TASK_WORKFLOW_BYTES];
	uint8_t priority;
	uint32_t cpus_milli;
	uint64_t memory_bytes;
	int64_t time_ns;
	uint32_t attempt; /* from 1 */
};

struct task_end {
	bool succeeded;
	enum task_class class; /* when it did not */
	/* Its sandbox broke under it after it had started: tried again, alone, until that counts as poison.
	 */
	bool broke;
	char reason[TASK_REASON_BYTES]; /* "" on success */
	int64_t wall_ns, cpu_ns;
	uint64_t memory_peak_bytes;
};

/* How tasks are executed. Plugged in by perigeed. */
struct task_runner {
	/* The task is committed as running. 0: scheduler_finish will be called once for it, in a later
	 * callback. Negative: it could not be started, which counts as CLASS_MACHINE. */
	int (*start)(void *user, const struct task *task);
	/* Ends a running task early; scheduler_finish follows as ever, with CLASS_BROKEN where this was what
	 * ended it. May be NULL: it runs to its end. */
	int (*stop)(void *user, int64_t task);
	/* Makes a running task stand still, with the clock of its time limit, or lets it go on. It keeps its
	 * memory. Negative: that cannot be done with this one. NULL: with none. */
	int (*freeze)(void *user, int64_t task, bool frozen);
	/* Whether freezing works here; NULL: if there is `freeze`. */
	bool (*can_freeze)(void *user);
	void *user;
};

/* Who owns the work. Called within a turn; may put further tasks. */
struct task_owner {
	void (*on_started)(void *user, const struct task *task, struct utc_time at);
	/* An attempt ended, and the task waits for another: not before this time (.ns 0: at once), for this
	 * reason. Not for what was found running at the start. May be NULL. */
	void (*on_again)(void *user, const struct task *task, struct utc_time not_before, const char *reason);
	/* It stands still, for this reason, or goes on again (NULL). May be NULL. */
	void (*on_frozen)(void *user, const struct task *task, bool frozen, const char *reason);
	/* For good. */
	void (*on_ended)(
		void *user, const struct task *task, enum task_state state, const struct task_end *end);
	void *user;
};

struct scheduler_budget {
	uint32_t cpus_milli;
	uint64_t memory_bytes;
	uint32_t tasks;
};

/* Of one payload; 0: no limit. */
struct queue_quota {
	char payload[TASK_PAYLOAD_BYTES];
	uint32_t tasks;   /* running at once */
	uint32_t waiting; /* in the queue: see scheduler_room */
	/* CPU time and energy in one day of UTC, in one orbit: when it is used up nothing more of it starts.
	 */
	int64_t cpu_ns_per_day, cpu_ns_per_orbit;
	uint64_t energy_mj_per_day, energy_mj_per_orbit;
};

struct queue_energy {
	/* The battery is watched: from `reserve_percent` down only the critical class starts, until it is at
	 * `resume_percent` again. Where it is not known, too. */
	bool guarded;
	double reserve_percent, resume_percent;
	double eclipse_more_percent; /* both are so much higher while the panels are not known to be in the
				      * sun */
	uint64_t mj_per_cpu_s;       /* what a second of CPU time takes; 0: not known, nothing is counted */
	int64_t orbit_ns;            /* UTC is cut into slices of this length, from 1970 on */
	uint64_t mj_per_orbit;       /* for all tasks but the critical class; 0: no limit */
};

struct queue_rules {
	uint16_t critical; /* from this priority on; 256: there is no critical class */
	int64_t ageing_ns; /* one priority for each; 0: none */
	uint32_t poison;   /* a task under which something broke so often does not run again; 0: no bound */
	uint32_t history;  /* tasks that are over and still kept; 0: all */
	/* So much more priority lets the head of the queue preempt what runs; the critical class may preempt
	 * all others anyhow. QUEUE_PREEMPT_CRITICAL: only that; 0: nothing is preempted. */
	uint16_t preempt;
	struct queue_energy energy;
	struct queue_quota quotas[QUEUE_QUOTAS_MAX];
	size_t n_quotas;
};
#define QUEUE_PREEMPT_CRITICAL 256
extern const struct queue_rules queue_rules_default;

struct scheduler;

/* Makes the tables and requeues what was running when the last process ended, as interrupted. The store
 * outlives it. */
WARN_UNUSED int scheduler_create(
	struct store *store, const struct scheduler_budget *budget, struct scheduler **ret_scheduler);
void scheduler_destroy(struct scheduler *s);
/* The machine may go down now, and that is no task's doing: from here on nothing starts. Within a turn. */
WARN_UNUSED int scheduler_retire(struct scheduler *s);
/* Other rules than the default. Before the first dispatch. */
WARN_UNUSED int scheduler_set_rules(struct scheduler *s, const struct queue_rules *rules);
void scheduler_plug(struct scheduler *s, const struct task_runner *runner, const struct task_owner *owner);

/* Whether a task of this size can ever run. */
bool scheduler_fits(const struct scheduler *s, uint32_t cpus_milli, uint64_t memory_bytes);
/* Whether the payload may begin something new: ERR_LIMIT with the reason when as many tasks of it wait as its
 * quota allows. For whoever makes runs; what belongs to a run that has begun is always taken. */
WARN_UNUSED int scheduler_room(const struct scheduler *s, const char *payload, char *ret_reason, size_t cap);
/* ERR_LIMIT: a text or the body is too long, or there are more than LANES_MAX workflows. */
WARN_UNUSED int scheduler_put(struct scheduler *s, const struct task_spec *spec, int64_t *ret_task);
/* The body of a task: its length, of which at most cap bytes are copied. ERR_UNKNOWN. */
WARN_UNUSED int scheduler_body(struct scheduler *s, int64_t task, void *ret_body, size_t cap);

/* ---- commands ----
 * All of one turn, durable with it, and surviving a restart. They return the number of tasks concerned, or
 * ERR_UNKNOWN (the queue knows nothing such), ERR_STATE (over already, not held, …) or ERR_LIMIT (too many
 * stand), with the reason in words. */

/* In the database: the numbers never change; from narrow to wide. */
enum queue_scope {
	QUEUE_TASK = 0,
	QUEUE_RUN = 1,
	QUEUE_WORKFLOW = 2,
	QUEUE_PAYLOAD = 3,
	QUEUE_ALL = 4,
	QUEUE_SCOPE_MAX
};

struct queue_target {
	enum queue_scope scope;
	int64_t id;       /* QUEUE_TASK, QUEUE_RUN */
	const char *name; /* QUEUE_WORKFLOW, QUEUE_PAYLOAD; borrowed during the call */
};

/* There is such a workflow: so that it can be held before it ever ran. */
WARN_UNUSED int scheduler_know(struct scheduler *s, const char *payload, const char *workflow);

/* Nothing of it starts from now on, also not what is put later; what runs goes on. Deadlines pass as ever.
 * Holding and releasing are orders that stand. The narrowest about a task counts, and a wider one that is
 * given later replaces those within it: `hold all`, then `release` of one payload, lets this payload alone go
 * on. Of a run, something must wait or run, to hold or to reprioritise it: ERR_STATE otherwise. */
WARN_UNUSED int scheduler_hold(
	struct scheduler *s, const struct queue_target *t, char *ret_reason, size_t cap);
WARN_UNUSED int scheduler_release(
	struct scheduler *s, const struct queue_target *t, char *ret_reason, size_t cap);
/* What waits ends as TASK_CANCELLED, told to the owner by the next dispatches, a slice in each; what runs is
 * stopped after the commit, and ends so however it ends. What is put later is not concerned: that is the
 * owner's business. */
WARN_UNUSED int scheduler_cancel(
	struct scheduler *s, const struct queue_target *t, const char *why, char *ret_reason, size_t cap);
/* 0..255, or QUEUE_PRIORITY_DECLARED: as it was put. Stands for what is put later, too; what runs may from now
 * on be preempted by it. */
#define QUEUE_PRIORITY_DECLARED (-1)
WARN_UNUSED int scheduler_reprioritise(
	struct scheduler *s, const struct queue_target *t, int priority, char *ret_reason, size_t cap);
/* The run puts no more tasks: orders about it are forgotten. */
WARN_UNUSED int scheduler_run_over(struct scheduler *s, int64_t run);
/* Forgets up to `max` tasks of a run that are over, with their attempts, within the turn; ret_n: how many. Fewer than
 * `max`: that was all. */
WARN_UNUSED int scheduler_forget(struct scheduler *s, int64_t run, uint32_t max, uint32_t *ret_n);
/* Nothing at all starts while there is a reason; NULL: go on. Not kept over a restart. */
void scheduler_pause(struct scheduler *s, const char *why);

/* ---- energy ---- */

/* As the power monitor says. Not known: of the sun, in eclipse; of the battery, only the critical class
 * starts. */
struct power_state {
	bool known;
	double battery_percent;
	bool in_sunlight;
};
/* Within a turn. Before the first call nothing is known. */
WARN_UNUSED int scheduler_power(struct scheduler *s, const struct power_state *state);

/* ---- what people and scripts ask ----
 * The caller frees the JSON. Times are UTC texts, sizes bytes, CPUs thousandths. Nothing is changed. */

/* Why a task waits, or why it was chosen. ERR_UNKNOWN.
 *   {task, run, stage, item?, payload, workflow, priority, declared_priority, attempt, cpus_milli,
 * memory_bytes, state, why: "in words", missing?: {cpus_milli?, memory_bytes?, tasks?}, ahead?: [{task, run,
 * stage, workflow, priority}, ... the first few], ahead_count?, ahead_more?: true when there are more than
 * were counted, until?: "2026-...", held_by?: {scope, id | name}, chosen?: "head" | "backfill", over?: {task,
 * ...}, started?, ended?, reason?, frozen?: true, attempts: [{attempt, outcome, reason, started, ended,
 * wall_s, cpu_s, memory_peak_bytes}, ...]} */
WARN_UNUSED int scheduler_explain(struct scheduler *s, int64_t task, cJSON **ret_json);
/* The queue as it would run, at most `limit` (and QUEUE_LIST_MAX) that wait.
 *   {paused_by: "" , energy: {orbit_j: used in this orbit, reserved_j: declared by what runs,
 * orbit_budget_j?}, power?: {known, battery_percent?, in_sunlight?, only_critical}, counts: {ready, running,
 * ...}, budget: {cpus_milli, memory_bytes, tasks}, used: {the same}, running: [{task, ..., started, ends_by?,
 * frozen?: true, why?}], waiting: [{task, ..., why?, until?}], more: how many are not shown, orders: [{scope,
 * id | name, hold?: "held" | "exempt", priority?}]} `why` is there where something other than its place keeps
 * it waiting. */
#define QUEUE_LIST_MAX 1000
WARN_UNUSED int scheduler_list(struct scheduler *s, size_t limit, cJSON **ret_json);

/* ---- the loop ---- */

/* Before the end of each turn. Cheap when nothing changed. */
WARN_UNUSED int scheduler_dispatch(struct scheduler *s);
/* ERR_STATE when the task is not running. */
WARN_UNUSED int scheduler_finish(struct scheduler *s, int64_t task, const struct task_end *end);
/* Whether something may start that could not before: scheduler_dispatch would look. */
bool scheduler_dirty(const struct scheduler *s);
/* When time alone may change what starts (a backoff ends, a deadline passes), or when work that is done in
 * slices goes on, as the last dispatch saw it: call scheduler_poke then. .ns 0: never. */
struct utc_time scheduler_wake_at(const struct scheduler *s);
void scheduler_poke(struct scheduler *s);

/* Tests: the jitter of backoffs follows from this. */
void scheduler_seed(struct scheduler *s, uint64_t seed);
/* How many tasks were found running at the start. */
size_t scheduler_interrupted(const struct scheduler *s);
size_t scheduler_running(const struct scheduler *s);
WARN_UNUSED int scheduler_counts(const struct scheduler *s, int64_t ret_counts[TASK_STATE_MAX]);

#endif
