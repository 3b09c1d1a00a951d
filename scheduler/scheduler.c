/* SPDX-License-Identifier: Apache-2.0 */
#include "scheduler.h"

#include <errno.h>
#include <string.h>

#include "core/log.h"

#define RUNNING_MAX 64
#define BACKOFF_DOUBLINGS_MAX 16
#define MACHINE_TRIES 8 /* further attempts after failures of the machine: some minutes */

struct scheduler {
	struct store *store;
	struct scheduler_budget budget;
	struct task_runner runner;
	struct task_owner owner;
	struct task running[RUNNING_MAX];
	size_t n_running;
	size_t interrupted;  /* found running at start */
	uint32_t cpus_milli; /* taken by what runs */
	uint64_t memory_bytes;
	bool dirty;              /* something may start that could not before */
	struct utc_time wake_at; /* when time alone may change what starts; .ns 0: never */
};

/* One start, between its commit and its effect. */
struct pending_start {
	struct scheduler *scheduler;
	struct task task;
};

static const char *const schema[] = {
	"CREATE TABLE task("
	" id INTEGER PRIMARY KEY,"
	" run INTEGER NOT NULL,"
	" stage TEXT NOT NULL,"
	" payload TEXT NOT NULL,"
	" priority INTEGER NOT NULL,"
	" age_from_ns INTEGER NOT NULL,"
	" deadline_ns INTEGER NOT NULL,"
	" cpus_milli INTEGER NOT NULL,"
	" memory_bytes INTEGER NOT NULL,"
	" retry_limit INTEGER NOT NULL,"
	" backoff_ns INTEGER NOT NULL,"
	" not_before_ns INTEGER NOT NULL DEFAULT 0,"
	" state INTEGER NOT NULL DEFAULT 0,"
	" attempts INTEGER NOT NULL DEFAULT 0,"
	" interrupted INTEGER NOT NULL DEFAULT 0,"
	" tries_failed INTEGER NOT NULL DEFAULT 0,"
	" started_ns INTEGER, ended_ns INTEGER,"
	" reason TEXT,"
	" wall_ns INTEGER, cpu_ns INTEGER, memory_peak_bytes INTEGER);"
	"CREATE INDEX task_ready ON task(priority DESC, age_from_ns, id) WHERE state = 0;"
	"CREATE INDEX task_deadline ON task(deadline_ns) WHERE state = 0 AND deadline_ns > 0;"
	"CREATE INDEX task_backoff ON task(not_before_ns) WHERE state = 0 AND not_before_ns > 0;"
	"CREATE INDEX task_running ON task(id) WHERE state = 1;"
	"CREATE INDEX task_of_run ON task(run)",
	"ALTER TABLE task ADD COLUMN machine_failed INTEGER NOT NULL DEFAULT 0",
};

const char *task_state_name(enum task_state state)
{
	static const char *const names[] = {"ready", "running", "done", "failed", "expired"};

	return (unsigned)state < ARRAY_LEN(names) ? names[state] : "unknown";
}

int scheduler_create(
	struct store *store, const struct scheduler_budget *budget, struct scheduler **ret_scheduler)
{
	int r = store_schema(store, "scheduler", schema, ARRAY_LEN(schema));

	if (r < 0)
		return r;
	struct scheduler *s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->store = store;
	s->budget = *budget;
	s->dirty = true;
	/* What was running has no end on record: it runs again, and the interruption is remembered. */
	r = store_change(store);
	if (r == 0)
		r = store_exec(store,
			"UPDATE task SET state = 0, interrupted = interrupted + 1, not_before_ns = 0 WHERE "
			"state = 1",
			"");
	if (r < 0) {
		free(s);
		return r;
	}
	s->interrupted = (size_t)sqlite3_changes(store_db(store));
	*ret_scheduler = s;
	return 0;
}

void scheduler_destroy(struct scheduler *s)
{
	free(s);
}

void scheduler_plug(struct scheduler *s, const struct task_runner *runner, const struct task_owner *owner)
{
	s->runner = *runner;
	s->owner = *owner;
}

bool scheduler_fits(const struct scheduler *s, uint32_t cpus_milli, uint64_t memory_bytes)
{
	return cpus_milli <= s->budget.cpus_milli && memory_bytes <= s->budget.memory_bytes;
}

int scheduler_put(struct scheduler *s, const struct task_spec *t, int64_t *ret_task)
{
	int r = store_change(s->store);

	if (r == 0)
		r = store_exec(s->store,
			"INSERT INTO task(run, stage, payload, priority, age_from_ns, deadline_ns, "
			"cpus_milli,"
			" memory_bytes, retry_limit, backoff_ns) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
			"ittiiiiiii", t->run, t->stage, t->payload, (int64_t)t->priority, t->age_from.ns,
			t->deadline.ns, (int64_t)t->cpus_milli, (int64_t)t->memory_bytes,
			(int64_t)t->retry_limit, t->backoff_ns);
	if (r < 0)
		return r;
	*ret_task = sqlite3_last_insert_rowid(store_db(s->store));
	s->dirty = true;
	return 0;
}

static void take_budget(struct scheduler *s, const struct task *t)
{
	s->running[s->n_running++] = *t;
	s->cpus_milli += t->cpus_milli;
	s->memory_bytes += t->memory_bytes;
}

/* Gives the budget of a running task back. False when it is not running. */
static bool return_budget(struct scheduler *s, int64_t id, struct task *ret_task)
{
	for (size_t i = 0; i < s->n_running; i++) {
		if (s->running[i].id != id)
			continue;
		*ret_task = s->running[i];
		s->running[i] = s->running[--s->n_running];
		s->cpus_milli -= ret_task->cpus_milli;
		s->memory_bytes -= ret_task->memory_bytes;
		s->dirty = true;
		return true;
	}
	return false;
}

static bool fits_now(const struct scheduler *s, const struct task *t)
{
	return s->n_running < RUNNING_MAX && s->n_running < s->budget.tasks &&
	       s->cpus_milli + t->cpus_milli <= s->budget.cpus_milli &&
	       s->memory_bytes + t->memory_bytes <= s->budget.memory_bytes;
}

static void start_effect(void *arg)
{
	struct pending_start *p = arg;
	struct scheduler *s = p->scheduler;
	int r = s->runner.start(s->runner.user, &p->task);

	if (r < 0) {
		struct task_end end = {.verdict = TASK_MACHINE};

		snprintf(end.reason, sizeof(end.reason), "could not be started: %s", err_text(r));
		if (scheduler_finish(s, p->task.id, &end) < 0)
			log_error("task %lld: its failed start could not be recorded", (long long)p->task.id);
	}
	free(p);
}

static void read_task(sqlite3_stmt *q, struct task *ret_task)
{
	*ret_task = (struct task){
		.id = sqlite3_column_int64(q, 0),
		.run = sqlite3_column_int64(q, 1),
		.priority = (uint8_t)sqlite3_column_int64(q, 3),
		.cpus_milli = (uint32_t)sqlite3_column_int64(q, 4),
		.memory_bytes = (uint64_t)sqlite3_column_int64(q, 5),
		.attempt = (uint32_t)sqlite3_column_int64(q, 6) + 1,
	};
	snprintf(ret_task->stage, sizeof(ret_task->stage), "%s", (const char *)sqlite3_column_text(q, 2));
}

/* The task at the head of the queue: 1, 0 when there is none. */
static int head(struct scheduler *s, struct utc_time now, struct task *ret_task)
{
	sqlite3_stmt *q = store_query(s->store,
		"SELECT id, run, stage, priority, cpus_milli, memory_bytes, attempts FROM task"
		" WHERE state = 0 AND not_before_ns <= ? ORDER BY priority DESC, age_from_ns, id LIMIT 1",
		"i", now.ns);

	if (!q)
		return ERR_STORE;
	int rc = sqlite3_step(q);
	if (rc == SQLITE_ROW)
		read_task(q, ret_task);
	sqlite3_reset(q);
	if (rc == SQLITE_ROW)
		return 1;
	return rc == SQLITE_DONE ? 0 : ERR_STORE;
}

static int start_task(struct scheduler *s, const struct task *t, struct utc_time now)
{
	struct pending_start *p = malloc(sizeof(*p));

	if (!p)
		return -ENOMEM;
	*p = (struct pending_start){.scheduler = s, .task = *t};
	int r = store_change(s->store);
	if (r == 0)
		r = store_exec(s->store,
			"UPDATE task SET state = 1, attempts = attempts + 1, started_ns = ? WHERE id = ?",
			"ii", now.ns, t->id);
	if (r == 0)
		r = store_effect(s->store, start_effect, p, free);
	if (r < 0) {
		free(p);
		return r;
	}
	take_budget(s, t);
	s->owner.on_started(s->owner.user, t, now);
	return 0;
}

static int end_task(
	struct scheduler *s, const struct task *t, enum task_state state, const struct task_end *end)
{
	int r = store_exec(s->store,
		"UPDATE task SET state = ?, ended_ns = ?, reason = ?, wall_ns = ?, cpu_ns = ?, "
		"memory_peak_bytes = ?"
		" WHERE id = ?",
		"iitiiii", (int64_t)state, clock_utc().ns, end->reason, end->wall_ns, end->cpu_ns,
		(int64_t)end->memory_peak_bytes, t->id);

	if (r < 0)
		return r;
	s->owner.on_ended(s->owner.user, t, state, end);
	return 0;
}

/* Expires one task whose deadline has passed: 1, 0 when there is none left. */
static int expire_one(struct scheduler *s, struct utc_time now)
{
	struct task t;
	sqlite3_stmt *q = store_query(s->store,
		"SELECT id, run, stage, priority, cpus_milli, memory_bytes, attempts FROM task"
		" WHERE state = 0 AND deadline_ns > 0 AND deadline_ns <= ? LIMIT 1",
		"i", now.ns);

	if (!q)
		return ERR_STORE;
	int rc = sqlite3_step(q);
	if (rc == SQLITE_ROW)
		read_task(q, &t);
	sqlite3_reset(q);
	if (rc != SQLITE_ROW)
		return rc == SQLITE_DONE ? 0 : ERR_STORE;
	struct task_end end = {.verdict = TASK_BROKEN, .reason = "its deadline passed before it could start"};
	int r = store_change(s->store);
	if (r == 0)
		r = end_task(s, &t, TASK_EXPIRED, &end);
	return r < 0 ? r : 1;
}

/* The budget shrank since it was put: it would wait for ever, and everything behind it. */
static int refuse(struct scheduler *s, const struct task *t)
{
	struct task_end end = {
		.verdict = TASK_BROKEN, .reason = "it asks for more than the mission's budget has"};
	int r = store_change(s->store);

	return r == 0 ? end_task(s, t, TASK_FAILED, &end) : r;
}

static int find_wake(struct scheduler *s, struct utc_time now)
{
	sqlite3_stmt *q = store_query(s->store,
		"SELECT ifnull(min(at), 0) FROM ("
		"SELECT min(not_before_ns) AS at FROM task WHERE state = 0 AND not_before_ns > 0 AND "
		"not_before_ns > ?1"
		" UNION ALL SELECT min(deadline_ns) FROM task WHERE state = 0 AND deadline_ns > 0 AND "
		"deadline_ns > ?1)",
		"i", now.ns);

	if (!q || sqlite3_step(q) != SQLITE_ROW)
		return ERR_STORE;
	s->wake_at.ns = sqlite3_column_int64(q, 0);
	sqlite3_reset(q);
	return 0;
}

int scheduler_dispatch(struct scheduler *s)
{
	while (s->dirty) {
		struct utc_time now = clock_utc();
		struct task t;
		int r;

		while ((r = expire_one(s, now)) > 0)
			;
		if (r == 0)
			r = head(s, now, &t);
		if (r > 0 && !scheduler_fits(s, t.cpus_milli, t.memory_bytes)) {
			r = refuse(s, &t);
		} else if (r > 0 && fits_now(s, &t)) {
			r = start_task(s, &t, now);
		} else if (r >= 0) {
			s->dirty = false;
			r = find_wake(s, now);
		}
		if (r < 0)
			return r;
	}
	return 0;
}

bool scheduler_dirty(const struct scheduler *s)
{
	return s->dirty;
}

void scheduler_poke(struct scheduler *s)
{
	s->dirty = true;
}

struct utc_time scheduler_wake_at(const struct scheduler *s)
{
	return s->wake_at;
}

static int64_t backoff_for(int64_t first_ns, int64_t failed_tries)
{
	int64_t doublings = failed_tries - 1;

	if (doublings > BACKOFF_DOUBLINGS_MAX)
		doublings = BACKOFF_DOUBLINGS_MAX;
	return first_ns << doublings;
}

/* How often each kind of failure has been met, and may be: counted apart, so that a full disk does not use up
 * what the workflow grants its stage. */
static int read_tries(struct scheduler *s, int64_t task, bool machine, int64_t *ret_failed,
	int64_t *ret_limit, int64_t *ret_backoff_ns)
{
	sqlite3_stmt *q = store_query(s->store,
		"SELECT retry_limit, backoff_ns, tries_failed, machine_failed FROM task WHERE id = ?", "i",
		task);

	if (!q || sqlite3_step(q) != SQLITE_ROW)
		return ERR_STORE;
	*ret_limit = machine ? MACHINE_TRIES : sqlite3_column_int64(q, 0);
	*ret_backoff_ns = machine ? NS_PER_S : sqlite3_column_int64(q, 1);
	*ret_failed = sqlite3_column_int64(q, machine ? 3 : 2) + 1;
	sqlite3_reset(q);
	return 0;
}

/* Decides whether a failure is tried again, and when: 1 if so. */
static int retry(struct scheduler *s, const struct task *t, const struct task_end *end)
{
	bool machine = end->verdict == TASK_MACHINE;
	int64_t failed, limit, backoff_ns;
	int r = read_tries(s, t->id, machine, &failed, &limit, &backoff_ns);

	if (r < 0 || failed > limit)
		return r;
	r = store_exec(s->store,
		"UPDATE task SET state = 0, not_before_ns = ?, reason = ?, tries_failed = tries_failed + ?,"
		" machine_failed = machine_failed + ? WHERE id = ?",
		"itiii", clock_utc().ns + backoff_for(backoff_ns, failed), end->reason, (int64_t)!machine,
		(int64_t)machine, t->id);
	return r < 0 ? r : 1;
}

int scheduler_finish(struct scheduler *s, int64_t task, const struct task_end *end)
{
	struct task t;

	if (!return_budget(s, task, &t))
		return ERR_STATE;
	int r = store_change(s->store);
	if (r == 0 && (end->verdict == TASK_TEMPORARY || end->verdict == TASK_MACHINE))
		r = retry(s, &t, end);
	if (r != 0)
		return r < 0 ? r : 0;
	return end_task(s, &t, end->verdict == TASK_SUCCEEDED ? TASK_DONE : TASK_FAILED, end);
}

size_t scheduler_interrupted(const struct scheduler *s)
{
	return s->interrupted;
}

size_t scheduler_running(const struct scheduler *s)
{
	return s->n_running;
}

int scheduler_counts(struct scheduler *s, int64_t ret_counts[TASK_STATE_MAX])
{
	int64_t counts[TASK_STATE_MAX] = {0};
	sqlite3_stmt *q = store_query(s->store, "SELECT state, count(*) FROM task GROUP BY state", "");
	int rc = SQLITE_ERROR;

	while (q && (rc = sqlite3_step(q)) == SQLITE_ROW) {
		int64_t state = sqlite3_column_int64(q, 0);
		if (state >= 0 && state < TASK_STATE_MAX)
			counts[state] = sqlite3_column_int64(q, 1);
	}
	if (rc != SQLITE_DONE)
		return ERR_STORE;
	sqlite3_reset(q);
	memcpy(ret_counts, counts, sizeof(counts));
	return 0;
}
