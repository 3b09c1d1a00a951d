/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the scheduler: the parts share this.
 *
 * A lane is what waits of one workflow of one payload, in order. What stands for all of it (a quota of its
 * payload) makes the queue pass over the lane, whatever its length; the head of the queue is the first
 * of the lanes' heads. Each lane's order is one index of the database, so that nothing is ever searched.
 */
#ifndef SCHEDULER_QUEUE_H
#define SCHEDULER_QUEUE_H

#include "admit.h"
#include "scheduler.h"

#define LANES_MAX 4096
#define ORDERS_MAX 4096
#define SWEEPS_MAX 64
#define SLICE 256 /* tasks ended or released in one dispatch, so that the loop goes on */

/* Why a ready task is out of its lane's order. In the database: the numbers never change. */
enum {
	BLOCK_HELD = 1,    /* by an order about the task or its run */
	BLOCK_BACKOFF = 4, /* until not_before_ns */
	BLOCK_POISON = 8,  /* will be ended as such by the next dispatch; and so from here on */
	BLOCK_CANCEL = 16, /* `reason` says why; of a running task: it is being stopped */
};

/* How it was chosen. In the database. */
enum choice { CHOSEN_HEAD = 0, CHOSEN_BACKFILL = 1 };

struct candidate {
	struct task task;
	int64_t rank, due_ns, age_ns; /* the order, then the id */
	int64_t deadline_ns;          /* 0: none */
	bool suspected;               /* its sandbox, or the machine, has broken under it: it runs alone */
	uint64_t energy_mj;           /* as declared */
	size_t lane;
};

/* The slices of time that quotas are given for. In the database: the numbers never change. */
enum span { SPAN_DAY = 0, SPAN_ORBIT = 1, SPAN_MAX };

struct usage {
	int64_t slice; /* what follows is of this one */
	int64_t cpu_ns;
	uint64_t energy_mj;
	bool unsaved;
};

struct payload {
	char name[TASK_PAYLOAD_BYTES];
	struct queue_quota quota;
	uint32_t running;
	uint64_t waiting;
	struct usage usage[SPAN_MAX];
};

struct lane {
	int64_t id;
	size_t payload;
	char workflow[TASK_WORKFLOW_BYTES];
	uint32_t running;
	uint64_t waiting;
	bool exempt;       /* an operator released these, while others of the workflow may be held */
	bool held;         /* by an order about the workflow, the payload or all */
	bool cancelling;   /* sweeps are ending what waited here */
	bool known, empty; /* whether `head` is known; whether there is one */
	struct candidate head;
};

struct running {
	struct task task;
	struct load load; /* of the budget, while it runs */
	struct load held; /* of the budget now: only memory while it is frozen */
	uint64_t energy_mj;
	size_t lane;
	struct mono_time started;
	bool cancelled;
	bool stopping; /* for another one: goes back into the queue */
	bool frozen, unfreezable;
	struct mono_time frozen_at;
	int64_t frozen_ns; /* before frozen_at */
	int64_t gave_way;  /* the task that it is frozen or stopped for */
};

/* In the database: the numbers never change. */
enum hold { HOLD_NOT_SAID = 0, HOLD_HELD = 1, HOLD_EXEMPT = 2 };

/* What an operator has ordered about a task, a run, a workflow, a payload or all. The narrowest that says
 * something counts: a wider one that comes later has removed those within it. */
struct order {
	enum queue_scope scope;
	int64_t id;                     /* QUEUE_TASK, QUEUE_RUN */
	char name[TASK_WORKFLOW_BYTES]; /* QUEUE_WORKFLOW, QUEUE_PAYLOAD */
	enum hold hold;
	int priority; /* -1: not said */
};

/* A change to all that waits of a workflow, a payload or all: done in slices, by the tasks' numbers. */
struct sweep {
	int64_t id;
	bool cancels; /* otherwise the orders are applied anew */
	enum queue_scope scope;
	char name[TASK_WORKFLOW_BYTES];
	int64_t next, last;
	char why[TASK_REASON_BYTES];
};

struct scheduler {
	struct store *store;
	struct load budget, used;
	struct queue_rules rules;
	struct task_runner runner;
	struct task_owner owner;

	struct running running[QUEUE_RUNNING_MAX];
	size_t n_running;
	struct lane *lanes; /* owned, n_lanes; what was found last is tried first */
	size_t n_lanes, cap_lanes, last_lane;
	struct payload *payloads; /* owned */
	size_t n_payloads, cap_payloads;
	struct order *orders; /* owned */
	size_t n_orders, cap_orders;
	struct sweep sweeps[SWEEPS_MAX]; /* the oldest first */
	size_t n_sweeps;
	char paused[TASK_REASON_BYTES]; /* why nothing starts; "": it does */
	int64_t counts[TASK_STATE_MAX];
	struct {
		int64_t run, waits_from_ns; /* of the last put */
	} last_run;

	size_t interrupted; /* found running at start */
	bool dirty;         /* something may start that could not before */
	bool more;          /* work that is done in slices is not finished */
	bool suspects;      /* suspected tasks may have to be condemned */
	bool condemned;     /* tasks may have to be ended before anything else */
	/* No ready task's deadline (UTC), no backoff's end (queue_ns) is before; INT64_MAX: none. */
	int64_t due_at_ns, backoff_at_ns;
	int64_t clock_offset_ns; /* UTC less monotonic, as of the last step that was seen */
	struct {
		int64_t step_ns, next, last; /* of the tasks after next up to last; step_ns 0: none is left */
	} shift;
	bool awaited[SPAN_MAX];       /* somebody who has used up a quota waits for the next slice */
	struct usage spent[SPAN_MAX]; /* by all */
	bool usage_unsaved;
	uint64_t reserved_mj; /* declared by what runs */
	struct power_state power;
	bool power_low; /* only the critical class starts */
	struct utc_time wake_at;
	size_t slice;    /* left of this dispatch */
	uint64_t random; /* state of the generator */
};

extern const char *const scheduler_schema[];
extern const size_t scheduler_schema_steps;

/* lanes.c */
WARN_UNUSED int lanes_load(struct scheduler *s);
void lanes_free(struct scheduler *s);
WARN_UNUSED int lane_get(
	struct scheduler *s, const char *payload, const char *workflow, bool exempt, size_t *ret_lane);
size_t lane_of_id(const struct scheduler *s, int64_t id);
/* The lane's first `cap` after a candidate (NULL: from the start), in order: their number. */
int lane_after(
	struct scheduler *s, size_t lane, const struct candidate *after, struct candidate *ret, size_t cap);
/* 1, 0 when the lane is empty. */
int lane_head(struct scheduler *s, size_t lane, struct candidate **ret_head);
/* Something of it changed: its head is looked up again. */
void lane_forget(struct scheduler *s, size_t lane);
bool candidate_before(const struct candidate *a, const struct candidate *b);
void candidate_read(struct scheduler *s, sqlite3_stmt *q, struct candidate *ret);
#define CANDIDATE_COLUMNS                                                                                    \
	"id, run, stage, priority, cpus_milli, memory_bytes, time_ns, attempts, rank, due_ns, age_from_ns,"  \
	" deadline_ns, lane, item, suspected, energy_mj"
#define CANDIDATE_COLUMN_COUNT 16

/* quota.c */
struct queue_quota quota_of(const struct scheduler *s, const char *payload);
/* Why a lane is passed over, or NULL: static text. `ret_until` (may be NULL): .ns 0 where nobody knows. */
const char *lane_passed_over(
	struct scheduler *s, size_t lane, struct utc_time now, struct utc_time *ret_until);

/* usage.c */
WARN_UNUSED int usage_load(struct scheduler *s, struct payload *p);
WARN_UNUSED int usage_charge(struct scheduler *s, size_t lane, int64_t cpu_ns);
/* Within the turn in which something was charged. */
WARN_UNUSED int usage_save(struct scheduler *s);
/* What the payload (NULL: all together) used in the slice of now. */
const struct usage *usage_now(struct scheduler *s, struct payload *p, enum span span, struct utc_time now);
struct utc_time next_slice(const struct scheduler *s, enum span span, struct utc_time now);

/* energy.c */
WARN_UNUSED int power_load(struct scheduler *s);
/* Why it may not start for want of energy, or NULL: static text. */
const char *energy_wanting(struct scheduler *s, const struct candidate *c, struct utc_time now);
/* More than an orbit's budget: it would wait for ever. */
bool energy_never(const struct scheduler *s, const struct candidate *c);
bool is_critical(const struct scheduler *s, const struct task *t);

/* preempt.c */
/* Whether the first may have the second frozen or stopped. */
bool may_preempt(const struct scheduler *s, const struct task *head, const struct task *victim);
/* 1: by freezing what is less important the head fits now; 0: it does not; what has to be stopped for it is
 * being stopped. */
WARN_UNUSED int make_room(struct scheduler *s, const struct candidate *head);
/* The most important one after `after` (NULL: the first) that stands still and will go on. */
struct running *next_frozen(struct scheduler *s, const struct running *after);
WARN_UNUSED int thaw(struct scheduler *s, struct running *run);
/* What it needs to go on: it has its memory. */
struct load thaw_load(const struct running *run);
/* How long it has stood still. */
int64_t stood_still_ns(const struct running *run);
/* In words: stands still, is being stopped. False: neither. */
bool preempted_because(const struct running *run, char *ret_text, size_t cap);
struct running *running_find(struct scheduler *s, int64_t task);

/* rules.c */
/* Those that the ranks of what waits were made with; the default where nothing is kept. */
WARN_UNUSED int rules_load(struct scheduler *s);
int64_t rank_of(const struct queue_rules *rules, uint8_t priority, int64_t waits_from_ns);
/* Of the tasks after `after` up to `upto`: they wait from so much later. */
WARN_UNUSED int rules_shift(struct scheduler *s, int64_t after, int64_t upto, int64_t step_ns);
WARN_UNUSED int fact_get(struct scheduler *s, const char *name, int64_t otherwise, int64_t *ret_value);
WARN_UNUSED int fact_set(struct scheduler *s, const char *name, int64_t value);

/* clock.c: waiting is counted by a clock that is UTC, but moves on when UTC is stepped, until all that was
 * kept has been moved with it. */
int64_t queue_ns(const struct scheduler *s);
WARN_UNUSED int clock_load(struct scheduler *s);
/* Sees whether UTC was stepped, and moves what is kept, a slice in each dispatch. */
WARN_UNUSED int clock_follow(struct scheduler *s);
/* By how much the task's times are still to be moved. */
int64_t clock_behind_ns(const struct scheduler *s, int64_t task);

/* scheduler.c */
void count_move(struct scheduler *s, size_t lane, int from, int to); /* enum task_state, -1: none */

/* finish.c */
WARN_UNUSED int end_ready(
	struct scheduler *s, const struct candidate *c, enum task_state state, const char *reason);
/* What stands in its row. */
WARN_UNUSED int reason_of(struct scheduler *s, int64_t task, char ret_reason[TASK_REASON_BYTES]);

/* settle.c: what time or an order has settled, without a start. */
WARN_UNUSED int settle(struct scheduler *s, struct utc_time now);

/* dispatch.c */
struct load load_of(const struct scheduler *s, const struct candidate *c);
/* The head of the queue among the lanes that are not passed over: 1, 0 when nothing may start. */
int queue_head(struct scheduler *s, struct utc_time now, struct candidate **ret_head);
size_t holdings(const struct scheduler *s, struct holding ret[QUEUE_RUNNING_MAX]);

/* orders.c: what stands, and what follows from it for a task. */
WARN_UNUSED int orders_load(struct scheduler *s);
struct order *order_find(struct scheduler *s, const struct queue_target *t);
/* Sets it; one that says nothing is removed. ERR_LIMIT: too many stand. */
WARN_UNUSED int order_set(struct scheduler *s, const struct queue_target *t, enum hold hold, int priority);
/* The task's own, and so its run's, are of no use any more. */
WARN_UNUSED int order_forget_task(struct scheduler *s, int64_t task);
struct placing {
	bool held;   /* itself, not its lane */
	bool exempt; /* belongs into the exempt lane */
	int priority;
};
struct placing order_placing(
	const struct scheduler *s, int64_t task, int64_t run, const struct lane *l, uint8_t declared);
/* Whether an order about the lane's workflow, its payload or all holds those of it that are not exempt. */
bool order_holds_lane(const struct scheduler *s, const struct lane *l);
/* Brings one waiting task to where the orders want it. */
WARN_UNUSED int order_apply(struct scheduler *s, int64_t task);

/* lanes.c: how many of the lane are before the candidate, counted up to `most`. */
int lane_ahead(struct scheduler *s, size_t lane, const struct candidate *c, int64_t most);

/* commands.c */
WARN_UNUSED int stop_after_commit(struct scheduler *s, int64_t task);

/* sweep.c */
WARN_UNUSED int sweeps_load(struct scheduler *s);
WARN_UNUSED int sweep_start(struct scheduler *s, const struct queue_target *t, bool cancels, const char *why);
WARN_UNUSED int sweeps_go_on(struct scheduler *s);
bool lane_within(const struct scheduler *s, const struct lane *l, enum queue_scope scope, const char *name);

/* explain.c: in words; static text, NULL when it is not. */
const char *blocked_because(int64_t blocked);

/* history.c */
WARN_UNUSED int attempt_record(
	struct scheduler *s, int64_t task, const char *outcome, const struct task_end *end);
WARN_UNUSED int history_trim(struct scheduler *s);

#endif
