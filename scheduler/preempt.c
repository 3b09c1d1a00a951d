/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Preemption: what a more important task may have frozen or stopped, so that it can start.
 *
 * Freezing gives back CPUs at once, and the head starts in the same turn. Memory comes back only from what
 * ends: so where it is short, tasks are stopped and put back, and the head waits for their ends. Nothing is
 * frozen or stopped unless the head can start by it, and no more than that takes.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "queue.h"

bool may_preempt(const struct scheduler *s, const struct task *head, const struct task *victim)
{
	if (!s->rules.preempt)
		return false;
	return (is_critical(s, head) && !is_critical(s, victim)) ||
	       head->priority >= victim->priority + s->rules.preempt;
}

struct running *running_find(struct scheduler *s, int64_t task)
{
	for (size_t i = 0; i < s->n_running; i++)
		if (s->running[i].task.id == task)
			return &s->running[i];
	return NULL;
}

/* Among equals, what has run longer counts more: less is lost. */
static bool more_important(const struct running *a, const struct running *b)
{
	if (a->task.priority != b->task.priority)
		return a->task.priority > b->task.priority;
	if (a->started.ns != b->started.ns)
		return a->started.ns < b->started.ns;
	return a->task.id < b->task.id;
}

static bool is_ending(const struct running *run)
{
	return run->stopping || run->cancelled;
}

struct running *next_frozen(struct scheduler *s, const struct running *after)
{
	struct running *best = NULL;

	for (size_t i = 0; i < s->n_running; i++) {
		struct running *run = &s->running[i];
		if (!run->frozen || is_ending(run) || (after && !more_important(after, run)))
			continue;
		if (!best || more_important(run, best))
			best = run;
	}
	return best;
}

int64_t stood_still_ns(const struct running *run)
{
	return run->frozen_ns + (run->frozen ? clock_mono().ns - run->frozen_at.ns : 0);
}

bool preempted_because(const struct running *run, char *ret_text, size_t cap)
{
	if (run->stopping)
		snprintf(ret_text, cap, "it is being stopped for task %lld, which is more important",
			(long long)run->gave_way);
	else if (run->frozen)
		snprintf(ret_text, cap, "it stands still: task %lld, which is more important, had it frozen",
			(long long)run->gave_way);
	return run->stopping || run->frozen;
}

/* ---- freeze and thaw ---- */

static struct load memory_of(const struct load *l)
{
	return (struct load){.memory_bytes = l->memory_bytes};
}

struct load thaw_load(const struct running *run)
{
	return (struct load){.tasks = run->load.tasks, .cpus_milli = run->load.cpus_milli};
}

static void set_frozen(struct scheduler *s, struct running *run, bool frozen)
{
	char why[TASK_REASON_BYTES];

	run->frozen_ns = stood_still_ns(run);
	run->frozen = frozen;
	run->frozen_at = clock_mono();
	load_take(&s->used, &run->held);
	run->held = frozen ? memory_of(&run->load) : run->load;
	load_add(&s->used, &run->held);
	preempted_because(run, why, sizeof(why));
	if (s->owner.on_frozen)
		s->owner.on_frozen(s->owner.user, &run->task, frozen, frozen ? why : NULL);
}

struct pending_freeze {
	struct scheduler *scheduler;
	int64_t task;
	bool frozen;
};

static void freeze_effect(void *arg)
{
	struct pending_freeze *p = arg;
	struct scheduler *s = p->scheduler;
	struct running *run = running_find(s, p->task);
	int r = run ? s->runner.freeze(s->runner.user, p->task, p->frozen) : 0;

	if (r < 0 && p->frozen && run->frozen) {
		/* What has started for its sake runs beside it for once. */
		log_warning("task %lld cannot be frozen: %s", (long long)p->task, err_text(r));
		run->unfreezable = true;
		if (store_change(s->store) == 0)
			set_frozen(s, run, false);
	} else if (r < 0) {
		log_error("task %lld cannot go on: %s", (long long)p->task, err_text(r));
	}
	free(p);
}

static int freeze_or_thaw(struct scheduler *s, struct running *run, bool frozen)
{
	struct pending_freeze *p = malloc(sizeof(*p));

	if (!p)
		return -ENOMEM;
	*p = (struct pending_freeze){.scheduler = s, .task = run->task.id, .frozen = frozen};
	int r = store_change(s->store);
	if (r == 0)
		r = store_effect(s->store, freeze_effect, p, free);
	if (r < 0) {
		free(p);
		return r;
	}
	set_frozen(s, run, frozen);
	return 0;
}

int thaw(struct scheduler *s, struct running *run)
{
	return freeze_or_thaw(s, run, false);
}

/* ---- the plan ---- */

enum fate { STAYS, FREEZES, GOES };

struct plan {
	enum fate fate[QUEUE_RUNNING_MAX];
	size_t victims[QUEUE_RUNNING_MAX]; /* the least important first */
	size_t n;
};

static bool can_freeze(const struct scheduler *s, const struct running *run)
{
	return !run->frozen && !run->unfreezable && s->runner.freeze &&
	       (!s->runner.can_freeze || s->runner.can_freeze(s->runner.user));
}

/* Whether the need fits beside what is left when each has met its fate. */
static bool would_fit(const struct scheduler *s, const struct plan *p, const struct load *need)
{
	struct load used = {0};
	size_t n = 0;

	for (size_t i = 0; i < s->n_running; i++) {
		struct load held = s->running[i].held;

		if (p->fate[i] == GOES)
			continue;
		if (p->fate[i] == FREEZES)
			held = memory_of(&held);
		load_add(&used, &held);
		n++;
	}
	return n < QUEUE_RUNNING_MAX && load_fits(&s->budget, &used, need);
}

/* What is ending is gone, or (as of now) still there. */
static void plan_init(const struct scheduler *s, struct plan *p, bool as_of_now)
{
	for (size_t i = 0; i < s->n_running; i++)
		p->fate[i] = !as_of_now && is_ending(&s->running[i]) ? GOES : STAYS;
}

static void find_victims(const struct scheduler *s, const struct task *head, struct plan *p)
{
	p->n = 0;
	for (size_t i = 0; i < s->n_running; i++) {
		const struct running *run = &s->running[i];
		size_t at = p->n;

		if (is_ending(run) || !may_preempt(s, head, &run->task))
			continue;
		while (at > 0 && more_important(&s->running[p->victims[at - 1]], run)) {
			p->victims[at] = p->victims[at - 1];
			at--;
		}
		p->victims[at] = i;
		p->n++;
	}
}

/* Gives this fate to as many as it takes, the least important first, and spares those that need not. */
static bool plan_with(const struct scheduler *s, struct plan *p, enum fate fate, const struct load *need)
{
	size_t n = 0;

	while (n < p->n && !would_fit(s, p, need)) {
		size_t i = p->victims[n++];
		if (fate == GOES || can_freeze(s, &s->running[i]))
			p->fate[i] = fate;
	}
	if (!would_fit(s, p, need))
		return false;
	while (n-- > 0) {
		size_t i = p->victims[n];
		enum fate was = p->fate[i];

		p->fate[i] = STAYS;
		if (was == GOES && !would_fit(s, p, need) && can_freeze(s, &s->running[i]))
			p->fate[i] = FREEZES;
		if (!would_fit(s, p, need))
			p->fate[i] = was;
	}
	return true;
}

static int stop_for(struct scheduler *s, struct running *run, const struct task *head)
{
	int r = store_change(s->store);

	if (r == 0)
		r = stop_after_commit(s, run->task.id);
	if (r < 0)
		return r;
	run->stopping = true;
	run->gave_way = head->id;
	return 0;
}

static int freeze_for(struct scheduler *s, const struct plan *p, const struct task *head)
{
	for (size_t i = 0; i < s->n_running; i++) {
		if (p->fate[i] != FREEZES)
			continue;
		s->running[i].gave_way = head->id;
		int r = freeze_or_thaw(s, &s->running[i], true);
		if (r < 0)
			return r;
	}
	return 1;
}

int make_room(struct scheduler *s, const struct candidate *head)
{
	struct load need = load_of(s, head);
	struct plan p;

	find_victims(s, &head->task, &p);
	if (p.n == 0)
		return 0;
	plan_init(s, &p, false);
	if (would_fit(s, &p, &need))
		return 0; /* once they have ended */
	plan_init(s, &p, true);
	if (plan_with(s, &p, FREEZES, &need))
		return freeze_for(s, &p, &head->task);
	plan_init(s, &p, false);
	if (plan_with(s, &p, FREEZES, &need))
		return 0; /* then it will be frozen */
	plan_init(s, &p, false);
	if (!s->runner.stop || !plan_with(s, &p, GOES, &need))
		return 0;
	/* What is only to be frozen is so when the others have ended. */
	for (size_t i = 0; i < s->n_running; i++) {
		if (p.fate[i] != GOES || is_ending(&s->running[i]))
			continue;
		int r = stop_for(s, &s->running[i], &head->task);
		if (r < 0)
			return r;
	}
	return 0;
}
