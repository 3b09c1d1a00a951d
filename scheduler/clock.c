/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is waited for is counted by UTC, which outlives the machine's boot, but an operator may step UTC. A
 * step is seen as a change of what UTC is ahead of the monotonic clock; then the ends of backoffs are moved
 * by it at once, and since when tasks have waited in slices: there may be a million. Deadlines are dates and
 * stay.
 *
 * Until a step is seen, and while it is carried out, queue_ns goes on as if there had been none since; a
 * further step is looked for when the one before has been carried out. Less than a second is no step: the
 * clock is steered, and such a wait is of no matter.
 */
#include <stdlib.h>

#include "core/log.h"
#include "queue.h"

#define SHIFT_SLICE 1024

int64_t queue_ns(const struct scheduler *s)
{
	return clock_mono().ns + s->clock_offset_ns;
}

int64_t clock_behind_ns(const struct scheduler *s, int64_t task)
{
	return task > s->shift.next && task <= s->shift.last ? s->shift.step_ns : 0;
}

int clock_load(struct scheduler *s)
{
	s->clock_offset_ns = clock_utc().ns - clock_mono().ns;
	int r = fact_get(s, "step", 0, &s->shift.step_ns);
	if (r == 0)
		r = fact_get(s, "step_next", 0, &s->shift.next);
	if (r == 0)
		r = fact_get(s, "step_last", 0, &s->shift.last);
	return r;
}

static int shift_save(struct scheduler *s)
{
	int r = fact_set(s, "step", s->shift.step_ns);

	if (r == 0)
		r = fact_set(s, "step_next", s->shift.next);
	return r < 0 ? r : fact_set(s, "step_last", s->shift.last);
}

/* One number of a query; NULL counts as 0. */
static int number(sqlite3_stmt *q, int64_t *ret)
{
	if (!q || sqlite3_step(q) != SQLITE_ROW)
		return ERR_STORE;
	*ret = sqlite3_column_int64(q, 0);
	sqlite3_reset(q);
	return 0;
}

static int shift_begin(struct scheduler *s, int64_t step_ns)
{
	int64_t last;
	int r = number(store_query(s->store, "SELECT max(id) FROM task", ""), &last);

	if (r == 0)
		r = store_change(s->store);
	/* 0 would be none, and what is before 1970 is not looked for. */
	if (r == 0)
		r = store_exec(s->store,
			"UPDATE task SET not_before_ns = max(1, not_before_ns + ?)"
			" WHERE state = 0 AND not_before_ns > 0",
			"i", step_ns);
	if (r < 0)
		return r;
	log_info("the clock was stepped by %lld s: what waits is waited for as before",
		(long long)(step_ns / NS_PER_S));
	s->clock_offset_ns += step_ns;
	s->backoff_at_ns = 0;
	s->shift.step_ns = step_ns;
	s->shift.next = 0;
	s->shift.last = last;
	s->last_run.waits_from_ns = 0;
	return 0;
}

static int shift_go_on(struct scheduler *s)
{
	int64_t upto;
	int r = number(store_query(s->store,
			       "SELECT max(id) FROM (SELECT id FROM task WHERE id > ? AND id <= ? ORDER BY id"
			       " LIMIT ?)",
			       "iii", s->shift.next, s->shift.last, (int64_t)SHIFT_SLICE),
		&upto);

	if (r == 0)
		r = store_change(s->store);
	if (r == 0 && upto > 0)
		r = rules_shift(s, s->shift.next, upto, s->shift.step_ns);
	if (r < 0)
		return r;
	s->shift.next = upto > 0 ? upto : s->shift.last;
	if (s->shift.next == s->shift.last)
		s->shift.step_ns = 0;
	for (size_t i = 0; i < s->n_lanes; i++)
		lane_forget(s, i);
	s->dirty = true;
	return shift_save(s);
}

int clock_follow(struct scheduler *s)
{
	int64_t step_ns = clock_utc().ns - queue_ns(s);
	int r = 0;

	if (s->shift.step_ns == 0 && llabs(step_ns) > NS_PER_S)
		r = shift_begin(s, step_ns);
	if (r == 0 && s->shift.step_ns)
		r = shift_go_on(s);
	if (r < 0)
		store_fail(s->store);
	return r;
}
