/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The decision: first what time has settled, then what stands still and may go on, then the head of the queue
 * while it fits or may make itself room, then what may go in front of a head that does not.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "queue.h"

#define BACKFILL_PER_LANE 16
#define BACKFILL_MAX 128 /* tasks looked at behind a head that does not fit */

/* One start, between its commit and its effect. */
struct pending_start {
	struct scheduler *scheduler;
	struct task task;
};

/* A suspect asks for all there is: so it runs alone, and what runs beside it is never blamed for it. */
struct load load_of(const struct scheduler *s, const struct candidate *c)
{
	if (c->suspected)
		return s->budget;
	return (struct load){
		.tasks = 1, .cpus_milli = c->task.cpus_milli, .memory_bytes = c->task.memory_bytes};
}

size_t holdings(const struct scheduler *s, struct holding ret[QUEUE_RUNNING_MAX])
{
	for (size_t i = 0; i < s->n_running; i++) {
		const struct running *r = &s->running[i];

		/* What is being stopped, or stands still, may end or go on at any moment. */
		bool known = r->task.time_ns && !r->frozen && !r->stopping && !r->cancelled;
		ret[i] = (struct holding){.load = r->held,
			.ends_ns = known ? r->started.ns + r->task.time_ns + r->frozen_ns : 0};
	}
	return s->n_running;
}

/* ---- starts ---- */

static void start_effect(void *arg)
{
	struct pending_start *p = arg;
	struct scheduler *s = p->scheduler;
	int r = s->runner.start(s->runner.user, &p->task);

	if (r < 0) {
		struct task_end end = {.class = CLASS_MACHINE};

		snprintf(end.reason, sizeof(end.reason), "could not be started: %s", err_text(r));
		if (scheduler_finish(s, p->task.id, &end) < 0)
			log_error("task %lld: its failed start could not be recorded", (long long)p->task.id);
	}
	free(p);
}

int queue_head(struct scheduler *s, struct utc_time now, struct candidate **ret_head)
{
	struct candidate *best = NULL, *head;

	for (size_t i = 0; i < s->n_lanes; i++) {
		if (s->lanes[i].waiting == 0 || lane_passed_over(s, i, now, NULL))
			continue;
		int r = lane_head(s, i, &head);
		if (r < 0)
			return r;
		if (r > 0 && (!best || candidate_before(head, best)))
			best = head;
	}
	*ret_head = best;
	return best != NULL;
}

static int start_task(
	struct scheduler *s, const struct candidate *c, enum choice chosen, int64_t over, struct utc_time now)
{
	struct pending_start *p = malloc(sizeof(*p));

	if (!p)
		return -ENOMEM;
	*p = (struct pending_start){.scheduler = s, .task = c->task};
	int r = store_change(s->store);
	if (r == 0)
		r = store_exec(s->store,
			"UPDATE task SET state = 1, attempts = attempts + 1, started_ns = ?, chosen = ?, "
			"chosen_over = ?"
			" WHERE id = ?",
			"iiii", now.ns, (int64_t)chosen, over, c->task.id);
	if (r == 0)
		r = store_effect(s->store, start_effect, p, free);
	if (r < 0) {
		free(p);
		return r;
	}
	struct load l = load_of(s, c);
	s->running[s->n_running++] = (struct running){.task = c->task,
		.load = l,
		.held = l,
		.energy_mj = c->energy_mj,
		.lane = c->lane,
		.started = clock_mono()};
	s->reserved_mj += c->energy_mj;
	load_add(&s->used, &l);
	count_move(s, c->lane, TASK_READY, TASK_RUNNING);
	s->owner.on_started(s->owner.user, &p->task, now);
	return 0;
}

/* Takes the head of its lane: what comes next in the queue is what it was chosen over. */
static int start_head(struct scheduler *s, struct candidate head, struct utc_time now)
{
	struct lane *l = &s->lanes[head.lane];
	struct candidate *next;
	int n = lane_after(s, head.lane, &head, &l->head, 1);

	if (n < 0)
		return n;
	l->empty = n == 0;
	int r = queue_head(s, now, &next);
	return r < 0 ? r : start_task(s, &head, CHOSEN_HEAD, r ? next->task.id : 0, now);
}

static int by_order(const void *a, const void *b)
{
	return candidate_before(a, b) ? -1 : 1;
}

/* The first behind the head, in order: how many. */
static int followers(struct scheduler *s, const struct candidate *head, struct utc_time now,
	struct candidate ret[BACKFILL_MAX])
{
	size_t n = 0;

	for (size_t i = 0; i < s->n_lanes && n + BACKFILL_PER_LANE <= BACKFILL_MAX; i++) {
		if (s->lanes[i].waiting == 0 || lane_passed_over(s, i, now, NULL))
			continue;
		int got = lane_after(s, i, i == head->lane ? head : NULL, ret + n, BACKFILL_PER_LANE);
		if (got < 0)
			return got;
		n += (size_t)got;
	}
	qsort(ret, n, sizeof(*ret), by_order);
	return (int)n;
}

/* By when somebody who wants energy may start: with the next orbit. */
static int64_t orbit_in_ns(const struct scheduler *s, struct utc_time now)
{
	return next_slice(s, SPAN_ORBIT, now).ns - now.ns;
}

static bool fits_now(const struct scheduler *s, const struct load *l)
{
	return s->n_running < QUEUE_RUNNING_MAX && load_fits(&s->budget, &s->used, l);
}

/* Others that stand still, beside the one that goes first. */
static int thaw_in_gap(
	struct scheduler *s, const struct running *first, struct reservation *r, int64_t mono_ns)
{
	for (struct running *f = first ? next_frozen(s, first) : NULL; f;) {
		struct load l = thaw_load(f);
		int64_t ran_ns = mono_ns - f->started.ns - stood_still_ns(f);
		int64_t left_ns = f->task.time_ns > ran_ns ? f->task.time_ns - ran_ns : 0;

		if (load_fits(&s->budget, &s->used, &l) && backfill(r, &l, left_ns, mono_ns)) {
			int err = thaw(s, f);
			if (err < 0)
				return err;
		}
		f = next_frozen(s, f);
	}
	return 0;
}

/*
 * What goes first does not fit: the head of the queue, or (head NULL) one that stands still. What is behind
 * it may use what it cannot, if that does not delay it.
 */
static int fill_gap(
	struct scheduler *s, const struct candidate *first, const struct running *frozen, struct utc_time now)
{
	static struct candidate behind[BACKFILL_MAX]; /* one loop, one thread */
	struct holding held[QUEUE_RUNNING_MAX];
	const struct candidate head = first ? *first : (struct candidate){.lane = s->n_lanes};
	const int64_t over = first ? head.task.id : frozen->task.id;
	struct load need = first ? load_of(s, &head) : thaw_load(frozen);
	struct reservation r;
	int64_t mono_ns = clock_mono().ns;

	if (s->used.tasks >= s->budget.tasks || s->used.cpus_milli >= s->budget.cpus_milli)
		return 0;
	if (!reserve(&s->budget, held, holdings(s, held), &need, mono_ns, &r))
		return 0;
	if (first && energy_wanting(s, &head, now) && r.at_ns < mono_ns + orbit_in_ns(s, now))
		r.at_ns = mono_ns + orbit_in_ns(s, now);
	int err = thaw_in_gap(s, frozen, &r, mono_ns);
	int n = err == 0 ? followers(s, &head, now, behind) : err;
	if (n < 0)
		return n;
	for (int i = 0; i < n; i++) {
		const struct candidate *c = &behind[i];
		struct load l = load_of(s, c);

		if ((c->deadline_ns && c->deadline_ns <= now.ns) || lane_passed_over(s, c->lane, now, NULL) ||
			energy_wanting(s, c, now) || !fits_now(s, &l) ||
			!backfill(&r, &l, c->task.time_ns, mono_ns))
			continue;
		err = start_task(s, c, CHOSEN_BACKFILL, over, now);
		if (err < 0)
			return err;
		s->lanes[c->lane].known = false;
	}
	return 0;
}

/* 1: something has changed, look again; 0: the head waits. */
static int start_or_make_room(struct scheduler *s, const struct candidate *head, struct utc_time now)
{
	struct load l = load_of(s, head);
	struct candidate c = *head;
	int r;

	if (c.deadline_ns && c.deadline_ns <= now.ns) {
		r = end_ready(s, &c, TASK_EXPIRED, "its deadline passed before it could start");
	} else if (!scheduler_fits(s, c.task.cpus_milli, c.task.memory_bytes) || energy_never(s, &c)) {
		/* The budget shrank since it was put: it would wait for ever, and everything behind it. */
		r = end_ready(s, &c, TASK_FAILED, "it asks for more than the mission's budget has");
	} else if (energy_wanting(s, &c, now)) {
		return 0;
	} else if (fits_now(s, &l)) {
		r = start_head(s, c, now);
	} else {
		return make_room(s, &c);
	}
	return r < 0 ? r : 1;
}

static int start_what_fits(struct scheduler *s, struct utc_time now)
{
	struct candidate *head;
	int r;

	for (;;) {
		struct running *frozen = next_frozen(s, NULL);

		r = queue_head(s, now, &head);
		if (r < 0)
			return r;
		if (frozen && !(r && may_preempt(s, &head->task, &frozen->task))) {
			struct load l = thaw_load(frozen);

			if (!load_fits(&s->budget, &s->used, &l))
				return fill_gap(s, NULL, frozen, now);
			r = thaw(s, frozen);
		} else if (r == 0) {
			return 0;
		} else {
			r = start_or_make_room(s, head, now);
			if (r == 0)
				return fill_gap(s, head, NULL, now);
		}
		if (r < 0)
			return r;
	}
}

static void find_wake(struct scheduler *s, struct utc_time now)
{
	int64_t backoff_at_ns =
		s->backoff_at_ns == INT64_MAX ? INT64_MAX : s->backoff_at_ns - queue_ns(s) + now.ns;
	int64_t at_ns = s->due_at_ns < backoff_at_ns ? s->due_at_ns : backoff_at_ns;

	for (enum span i = 0; i < SPAN_MAX; i++)
		if (s->awaited[i] && next_slice(s, i, now).ns < at_ns)
			at_ns = next_slice(s, i, now).ns;
	if (s->more)
		at_ns = now.ns;
	s->wake_at.ns = at_ns == INT64_MAX ? 0 : at_ns;
}

int scheduler_dispatch(struct scheduler *s)
{
	s->slice = SLICE;
	int r = clock_follow(s);
	if (r < 0)
		return r;
	while (s->dirty) {
		struct utc_time now = clock_utc();

		s->dirty = false;
		s->more = s->shift.step_ns != 0;
		memset(s->awaited, 0, sizeof(s->awaited));
		r = settle(s, now);
		if (r == 0 && !*s->paused)
			r = start_what_fits(s, now);
		if (r == 0)
			r = usage_save(s);
		if (r < 0)
			return r;
		find_wake(s, now);
		if (s->more)
			s->dirty = false;
	}
	return 0;
}
