/* SPDX-License-Identifier: Apache-2.0 */
/* What is kept of tasks: attempts that were not the last, and tasks that are over, as many as the rules say.
 */
#include "queue.h"

int attempt_record(struct scheduler *s, int64_t task, const char *outcome, const struct task_end *end)
{
	return store_exec(s->store,
		"INSERT OR REPLACE INTO attempt(task, attempt, outcome, reason, started_ns, ended_ns, "
		"wall_ns,"
		" cpu_ns, memory_peak_bytes)"
		" SELECT id, attempts, ?, ?, started_ns, ?, ?, ?, ? FROM task WHERE id = ?",
		"ttiiiii", outcome, end->reason, clock_utc().ns, end->wall_ns, end->cpu_ns,
		(int64_t)end->memory_peak_bytes, task);
}

static int64_t over(const struct scheduler *s)
{
	int64_t n = 0;

	for (int state = TASK_DONE; state < TASK_STATE_MAX; state++)
		n += s->counts[state];
	return n;
}

/* The oldest that is over: 1, 0 when none is. */
static int oldest(struct scheduler *s, int64_t *ret_id, int64_t *ret_state)
{
	sqlite3_stmt *q =
		store_query(s->store, "SELECT id, state FROM task WHERE state >= 2 ORDER BY id LIMIT 1", "");
	int rc = q ? sqlite3_step(q) : SQLITE_ERROR;

	if (rc == SQLITE_ROW) {
		*ret_id = sqlite3_column_int64(q, 0);
		*ret_state = sqlite3_column_int64(q, 1);
	}
	if (q)
		sqlite3_reset(q);
	return rc == SQLITE_ROW ? 1 : rc == SQLITE_DONE ? 0 : ERR_STORE;
}

static int remove_task(struct scheduler *s, int64_t id, int64_t state)
{
	int r = store_change(s->store);

	if (r == 0)
		r = store_exec(s->store, "DELETE FROM attempt WHERE task = ?", "i", id);
	if (r == 0)
		r = store_exec(s->store, "DELETE FROM task WHERE id = ?", "i", id);
	s->counts[state] -= r == 0;
	return r;
}

int history_trim(struct scheduler *s)
{
	int64_t id = 0, state = 0;

	while (s->rules.history && over(s) > s->rules.history) {
		if (s->slice == 0) {
			s->more = true;
			return 0;
		}
		s->slice--;
		int r = oldest(s, &id, &state);
		if (r <= 0)
			return r;
		r = remove_task(s, id, state);
		if (r < 0)
			return r;
	}
	return 0;
}

/* The newest task stays, so that no number is given twice. */
int scheduler_forget(struct scheduler *s, int64_t run, uint32_t max, uint32_t *ret_n)
{
	int r = store_change(s->store);

	*ret_n = 0;
	while (r == 0 && *ret_n < max) {
		sqlite3_stmt *q = store_query(s->store,
			"SELECT id, state FROM task WHERE run = ? AND state >= 2 AND id < (SELECT max(id) FROM task)"
			" LIMIT 1",
			"i", run);
		int rc = q ? sqlite3_step(q) : SQLITE_ERROR;
		int64_t id = rc == SQLITE_ROW ? sqlite3_column_int64(q, 0) : 0;
		int64_t state = rc == SQLITE_ROW ? sqlite3_column_int64(q, 1) : 0;

		if (q)
			sqlite3_reset(q);
		if (rc != SQLITE_ROW)
			return rc == SQLITE_DONE ? 0 : ERR_STORE;
		r = remove_task(s, id, state);
		(*ret_n)++;
	}
	return r;
}
