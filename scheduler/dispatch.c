/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The decision: first what time has settled (deadlines, backoffs, what is condemned), then the
 * head of the queue while it fits, then what may go in front of a head that does not.
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

		ret[i] = (struct holding){
			.load = r->load, .ends_ns = r->task.time_ns ? r->started.ns + r->task.time_ns : 0};
	}
	return s->n_running;
}

/* ---- what is settled without a start ---- */

/* The first row of a query that ends in what marks it: 1, 0 when there is none. */
static int first_of(struct scheduler *s, sqlite3_stmt *q, struct candidate *ret, int64_t *ret_extra)
{
	int rc = q ? sqlite3_step(q) : SQLITE_ERROR;

	if (rc == SQLITE_ROW) {
		candidate_read(s, q, ret);
		*ret_extra = sqlite3_column_int64(q, CANDIDATE_COLUMN_COUNT);
	}
	if (q)
		sqlite3_reset(q);
	return rc == SQLITE_ROW ? 1 : rc == SQLITE_DONE ? 0 : ERR_STORE;
}

static int expire(struct scheduler *s, struct utc_time now)
{
	struct candidate c;
	int64_t at_ns;

	while (now.ns >= s->due_at_ns) {
		int r = first_of(s,
			store_query(s->store,
				"SELECT " CANDIDATE_COLUMNS ", deadline_ns FROM task"
				" WHERE state = 0 AND deadline_ns > 0 ORDER BY deadline_ns LIMIT 1",
				""),
			&c, &at_ns);
		if (r < 0)
			return r;
		s->due_at_ns = r ? at_ns : INT64_MAX;
		if (now.ns < s->due_at_ns)
			break;
		if (s->slice == 0) {
			s->more = true;
			break;
		}
		s->slice--;
		r = end_ready(s, &c, TASK_EXPIRED, "its deadline passed before it could start");
		if (r < 0)
			return r;
	}
	return 0;
}

static int end_backoffs(struct scheduler *s, struct utc_time now)
{
	struct candidate c;
	int64_t at_ns;

	while (now.ns >= s->backoff_at_ns) {
		int r = first_of(s,
			store_query(s->store,
				"SELECT " CANDIDATE_COLUMNS ", not_before_ns FROM task"
				" WHERE state = 0 AND not_before_ns > 0 ORDER BY not_before_ns LIMIT 1",
				""),
			&c, &at_ns);
		if (r < 0)
			return r;
		s->backoff_at_ns = r ? at_ns : INT64_MAX;
		if (now.ns < s->backoff_at_ns)
			break;
		if (s->slice == 0) {
			s->more = true;
			break;
		}
		s->slice--;
		r = store_change(s->store);
		if (r == 0)
			r = store_exec(s->store,
				"UPDATE task SET not_before_ns = 0, blocked = blocked & ~4 WHERE id = ?", "i",
				c.task.id);
		if (r < 0)
			return r;
		lane_forget(s, c.lane);
	}
	return 0;
}

/* Those under which something broke as often as the rules allow. */
static int condemn_poison(struct scheduler *s)
{
	if (!s->suspects)
		return 0;
	s->suspects = false;
	int r = s->rules.poison ? store_change(s->store) : 0;
	if (r < 0 || !s->rules.poison)
		return r;
	r = store_exec(s->store,
		"UPDATE task SET blocked = blocked | 8 WHERE state = 0 AND suspected > 0 AND suspected >= ?",
		"i", (int64_t)s->rules.poison);
	if (r == 0 && sqlite3_changes(store_db(s->store)) > 0)
		s->condemned = true;
	return r;
}

static int end_condemned(struct scheduler *s)
{
	struct candidate c;
	int64_t blocked;
	int r = condemn_poison(s);

	while (r == 0 && s->condemned) {
		char reason[TASK_REASON_BYTES];
		r = first_of(s,
			store_query(s->store,
				"SELECT " CANDIDATE_COLUMNS ", blocked FROM task"
				" WHERE state = 0 AND blocked >= 8 ORDER BY id LIMIT 1",
				""),
			&c, &blocked);
		s->condemned = r > 0;
		if (r <= 0)
			break;
		if (s->slice == 0) {
			s->more = true;
			return 0;
		}
		s->slice--;
		if (blocked & BLOCK_CANCEL)
			r = reason_of(s, c.task.id, reason);
		else
			snprintf(reason, sizeof(reason),
				"its sandbox or the machine broke under it %u times, the last time without "
				"an end"
				" on record; it will not be tried again",
				s->rules.poison);
		if (r < 0)
			break;
		r = end_ready(s, &c, blocked & BLOCK_CANCEL ? TASK_CANCELLED : TASK_POISON, reason);
	}
	return r;
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
		if (s->lanes[i].waiting == 0 || lane_passed_over(s, i, now))
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
	s->running[s->n_running++] =
		(struct running){.task = c->task, .load = l, .lane = c->lane, .started = clock_mono()};
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
		if (s->lanes[i].waiting == 0 || lane_passed_over(s, i, now))
			continue;
		int got = lane_after(s, i, i == head->lane ? head : NULL, ret + n, BACKFILL_PER_LANE);
		if (got < 0)
			return got;
		n += (size_t)got;
	}
	qsort(ret, n, sizeof(*ret), by_order);
	return (int)n;
}

/* The head does not fit. What is behind it may use what it cannot, if that does not delay it. */
static int fill_gap(struct scheduler *s, const struct candidate *first, struct utc_time now)
{
	static struct candidate behind[BACKFILL_MAX]; /* one loop, one thread */
	struct holding held[QUEUE_RUNNING_MAX];
	const struct candidate head = *first;
	struct load need = load_of(s, &head);
	struct reservation r;
	int64_t mono_ns = clock_mono().ns;

	if (s->used.tasks >= s->budget.tasks || s->used.cpus_milli >= s->budget.cpus_milli)
		return 0;
	if (!reserve(&s->budget, held, holdings(s, held), &need, mono_ns, &r))
		return 0;
	int n = followers(s, &head, now, behind);
	if (n < 0)
		return n;
	for (int i = 0; i < n; i++) {
		const struct candidate *c = &behind[i];
		struct load l = load_of(s, c);

		if ((c->deadline_ns && c->deadline_ns <= now.ns) || lane_passed_over(s, c->lane, now) ||
			!load_fits(&s->budget, &s->used, &l) || !backfill(&r, &l, c->task.time_ns, mono_ns))
			continue;
		int err = start_task(s, c, CHOSEN_BACKFILL, head.task.id, now);
		if (err < 0)
			return err;
		s->lanes[c->lane].known = false;
	}
	return 0;
}

static int start_what_fits(struct scheduler *s, struct utc_time now)
{
	struct candidate *head;
	int r;

	while ((r = queue_head(s, now, &head)) > 0) {
		struct load l = load_of(s, head);

		if (head->deadline_ns && head->deadline_ns <= now.ns) {
			struct candidate late = *head;
			r = end_ready(s, &late, TASK_EXPIRED, "its deadline passed before it could start");
		} else if (!scheduler_fits(s, head->task.cpus_milli, head->task.memory_bytes)) {
			/* The budget shrank since it was put: it would wait for ever, and everything behind
			 * it. */
			struct candidate large = *head;
			r = end_ready(
				s, &large, TASK_FAILED, "it asks for more than the mission's budget has");
		} else if (load_fits(&s->budget, &s->used, &l)) {
			r = start_head(s, *head, now);
		} else {
			return fill_gap(s, head, now);
		}
		if (r < 0)
			return r;
	}
	return r;
}

static void find_wake(struct scheduler *s, struct utc_time now)
{
	int64_t at_ns = s->due_at_ns < s->backoff_at_ns ? s->due_at_ns : s->backoff_at_ns;

	if (s->day_awaited && next_day(now).ns < at_ns)
		at_ns = next_day(now).ns;
	if (s->more)
		at_ns = now.ns;
	s->wake_at.ns = at_ns == INT64_MAX ? 0 : at_ns;
}

int scheduler_dispatch(struct scheduler *s)
{
	s->slice = SLICE;
	while (s->dirty) {
		struct utc_time now = clock_utc();

		s->dirty = s->more = s->day_awaited = false;
		int r = expire(s, now);
		if (r == 0)
			r = end_backoffs(s, now);
		if (r == 0)
			r = end_condemned(s);
		if (r == 0)
			r = sweeps_go_on(s);
		if (r == 0)
			r = history_trim(s);
		if (r == 0 && !*s->paused)
			r = start_what_fits(s, now);
		if (r < 0)
			return r;
		find_wake(s, now);
		if (s->more)
			s->dirty = false;
	}
	return 0;
}
