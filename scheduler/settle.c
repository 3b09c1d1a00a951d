/* SPDX-License-Identifier: Apache-2.0 */
/* What time or an order has settled, without a start: deadlines, backoffs, what is condemned. */
#include "queue.h"

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

static int end_backoffs(struct scheduler *s)
{
	const int64_t now_ns = queue_ns(s);
	struct candidate c;
	int64_t at_ns;

	while (now_ns >= s->backoff_at_ns) {
		int r = first_of(s,
			store_query(s->store,
				"SELECT " CANDIDATE_COLUMNS ", not_before_ns FROM task"
				" WHERE state = 0 AND not_before_ns > 0 ORDER BY not_before_ns LIMIT 1",
				""),
			&c, &at_ns);
		if (r < 0)
			return r;
		s->backoff_at_ns = r ? at_ns : INT64_MAX;
		if (now_ns < s->backoff_at_ns)
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

int settle(struct scheduler *s, struct utc_time now)
{
	int r = expire(s, now);

	if (r == 0)
		r = end_backoffs(s);
	if (r == 0)
		r = end_condemned(s);
	if (r == 0)
		r = sweeps_go_on(s);
	return r == 0 ? history_trim(s) : r;
}
