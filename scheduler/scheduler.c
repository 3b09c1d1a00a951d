/* SPDX-License-Identifier: Apache-2.0 */
/* The life of the queue, and the begin of a task's: put. */
#include <errno.h>
#include <sodium.h>
#include <string.h>

#include "core/boot.h"
#include "queue.h"

const char *task_state_name(enum task_state state)
{
	static const char *const names[] = {
		"ready", "running", "done", "failed", "expired", "cancelled", "poison"};

	return (unsigned)state < ARRAY_LEN(names) ? names[state] : "unknown";
}

/* ---- life ---- */

/* Whether the machine itself went down under the process before: its boot was another, and it had no orderly
 * end. */
static int machine_went_down(struct scheduler *s, bool *ret_went)
{
	sqlite3_stmt *q = store_query(s->store, "SELECT value FROM queue_fact WHERE name = 'boot'", "");
	int rc = q ? sqlite3_step(q) : SQLITE_ERROR;

	*ret_went = rc == SQLITE_ROW && *boot_id() &&
		    strcmp((const char *)sqlite3_column_text(q, 0), boot_id()) != 0;
	if (q)
		sqlite3_reset(q);
	if (rc != SQLITE_ROW && rc != SQLITE_DONE)
		return ERR_STORE;
	return *boot_id() ? store_exec(s->store,
				    "INSERT OR REPLACE INTO queue_fact(name, value) VALUES('boot', ?)", "t",
				    boot_id())
			  : store_exec(s->store, "DELETE FROM queue_fact WHERE name = 'boot'", "");
}

/* What was running has no end on record: it runs again, and the interruption is remembered. That the
 * supervisor ended is not the task's doing; that the machine went down may be. */
static int requeue_interrupted(struct scheduler *s, int64_t ret_tasks[QUEUE_RUNNING_MAX], size_t *ret_n)
{
	bool went_down = false;
	int r = store_change(s->store);

	sqlite3_stmt *q = store_query(
		s->store, "SELECT id FROM task WHERE state = 1 LIMIT ?", "i", (int64_t)QUEUE_RUNNING_MAX);
	while (q && *ret_n < QUEUE_RUNNING_MAX && sqlite3_step(q) == SQLITE_ROW)
		ret_tasks[(*ret_n)++] = sqlite3_column_int64(q, 0);
	if (q)
		sqlite3_reset(q);
	if (r == 0)
		r = machine_went_down(s, &went_down);
	if (r == 0)
		r = store_exec(s->store,
			"INSERT OR REPLACE INTO attempt(task, attempt, outcome, reason, started_ns, ended_ns)"
			" SELECT id, attempts, ?, ?, started_ns, ? FROM task WHERE state = 1",
			"tti", went_down ? "machine-down" : "interrupted",
			went_down ? "the machine went down while it ran"
				  : "the supervisor ended while it ran",
			clock_utc().ns);
	if (r == 0)
		r = store_exec(s->store,
			"UPDATE task SET state = 0, interrupted = interrupted + 1, suspected = suspected + ?,"
			" not_before_ns = 0, blocked = blocked & 16 WHERE state = 1",
			"i", (int64_t)went_down);
	if (r == 0)
		s->interrupted = (size_t)sqlite3_changes(store_db(s->store));
	return r;
}

int scheduler_create(
	struct store *store, const struct scheduler_budget *budget, struct scheduler **ret_scheduler)
{
	int r = store_schema(store, "scheduler", scheduler_schema, scheduler_schema_steps);

	if (r < 0)
		return r;
	struct scheduler *s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->store = store;
	s->budget =
		(struct load){.tasks = budget->tasks < QUEUE_RUNNING_MAX ? budget->tasks : QUEUE_RUNNING_MAX,
			.cpus_milli = budget->cpus_milli,
			.memory_bytes = budget->memory_bytes};
	s->condemned = s->suspects = s->dirty = true;
	randombytes_buf(&s->random, sizeof(s->random));
	int64_t were_running[QUEUE_RUNNING_MAX];
	size_t n_were = 0;
	r = requeue_interrupted(s, were_running, &n_were);
	if (r == 0)
		r = rules_load(s);
	if (r == 0)
		r = clock_load(s);
	if (r == 0)
		r = power_load(s);
	if (r == 0)
		r = usage_load(s, NULL);
	if (r == 0)
		r = orders_load(s);
	if (r == 0)
		r = lanes_load(s);
	if (r == 0)
		r = sweeps_load(s);
	for (size_t i = 0; r == 0 && i < n_were; i++) /* orders came while they ran */
		r = order_apply(s, were_running[i]);
	if (r < 0) {
		scheduler_destroy(s);
		return r;
	}
	*ret_scheduler = s;
	return 0;
}

void scheduler_destroy(struct scheduler *s)
{
	if (!s)
		return;
	lanes_free(s);
	free(s->orders);
	free(s);
}

int scheduler_retire(struct scheduler *s)
{
	int r = store_change(s->store);

	scheduler_pause(s, "the supervisor is ending");
	if (r == 0)
		r = usage_save(s);
	return r < 0 ? r : store_exec(s->store, "DELETE FROM queue_fact WHERE name = 'boot'", "");
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

int scheduler_know(struct scheduler *s, const char *payload, const char *workflow)
{
	size_t lane;

	return lane_get(s, payload, workflow, false, &lane);
}

void count_move(struct scheduler *s, size_t lane, int from, int to)
{
	struct lane *l = &s->lanes[lane];
	struct payload *p = &s->payloads[l->payload];

	if (from >= 0)
		s->counts[from]--;
	if (to >= 0)
		s->counts[to]++;
	l->waiting = l->waiting - (from == TASK_READY) + (to == TASK_READY);
	p->waiting = p->waiting - (from == TASK_READY) + (to == TASK_READY);
	l->running = l->running - (from == TASK_RUNNING) + (to == TASK_RUNNING);
	p->running = p->running - (from == TASK_RUNNING) + (to == TASK_RUNNING);
}

/* ---- put ---- */

/* A run ages as one: from the first of its tasks on, by our own clock. */
static int waits_from(struct scheduler *s, int64_t run, int64_t *ret_ns)
{
	if (s->last_run.run != run || s->last_run.waits_from_ns == 0) {
		sqlite3_stmt *q = store_query(s->store,
			"SELECT waits_from_ns, id FROM task WHERE run = ? ORDER BY id LIMIT 1", "i", run);
		int rc = q ? sqlite3_step(q) : SQLITE_ERROR;

		s->last_run.run = run;
		s->last_run.waits_from_ns =
			rc == SQLITE_ROW
				? sqlite3_column_int64(q, 0) + clock_behind_ns(s, sqlite3_column_int64(q, 1))
				: queue_ns(s);
		if (q)
			sqlite3_reset(q);
		if (rc != SQLITE_ROW && rc != SQLITE_DONE)
			return ERR_STORE;
	}
	*ret_ns = s->last_run.waits_from_ns;
	return 0;
}

int scheduler_put(struct scheduler *s, const struct task_spec *t, int64_t *ret_task)
{
	struct candidate c = {
		.age_ns = t->age_from.ns, .due_ns = t->deadline.ns ? t->deadline.ns : INT64_MAX};
	unsigned on = t->retry.on ? t->retry.on : 1u << CLASS_TEMPORARY;
	int64_t from_ns = 0;

	if (strlen(t->stage) >= TASK_STAGE_BYTES || t->body_bytes > TASK_BODY_BYTES_MAX)
		return ERR_LIMIT;
	int r = store_change(s->store);
	if (r == 0)
		r = lane_get(s, t->payload, t->workflow ? t->workflow : "", false, &c.lane);
	struct placing p = {.priority = t->priority};
	if (r == 0 && s->n_orders) {
		p = order_placing(s, 0, t->run, &s->lanes[c.lane], t->priority);
		if (p.exempt)
			r = lane_get(s, t->payload, t->workflow ? t->workflow : "", true, &c.lane);
	}
	if (r == 0)
		r = waits_from(s, t->run, &from_ns);
	if (r < 0)
		return r;
	c.rank = rank_of(&s->rules, (uint8_t)p.priority, from_ns);
	r = store_exec(s->store,
		"INSERT INTO task(run, stage, item, payload, declared, priority, blocked, age_from_ns, "
		"deadline_ns, cpus_milli,"
		" memory_bytes, time_ns, energy_mj, retry_limit, retry_on, backoff_ns, max_backoff_ns, "
		"jitter,"
		" lane, rank, due_ns, waits_from_ns, body)"
		" VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		"ititiiiiiiiiiiiiidiiiib", t->run, t->stage, t->item, t->payload, (int64_t)t->priority,
		(int64_t)p.priority, (int64_t)(p.held ? BLOCK_HELD : 0), t->age_from.ns, t->deadline.ns,
		(int64_t)t->cpus_milli, (int64_t)t->memory_bytes, t->time_ns, (int64_t)t->energy_mj,
		(int64_t)t->retry.limit, (int64_t)on, t->retry.backoff_ns, t->retry.max_backoff_ns,
		t->retry.jitter, s->lanes[c.lane].id, c.rank, c.due_ns, from_ns, t->body, (int)t->body_bytes);
	if (r < 0)
		return r;
	c.task.id = sqlite3_last_insert_rowid(store_db(s->store));
	count_move(s, c.lane, -1, TASK_READY);
	struct lane *l = &s->lanes[c.lane];
	if (!p.held && l->known && (l->empty || candidate_before(&c, &l->head)))
		l->known = false;
	if (t->deadline.ns > 0 && t->deadline.ns < s->due_at_ns)
		s->due_at_ns = t->deadline.ns;
	s->dirty = true;
	*ret_task = c.task.id;
	return 0;
}

int scheduler_body(struct scheduler *s, int64_t task, void *ret_body, size_t cap)
{
	sqlite3_stmt *q = store_query(s->store, "SELECT body FROM task WHERE id = ?", "i", task);
	int rc = q ? sqlite3_step(q) : SQLITE_ERROR;
	int r = rc == SQLITE_DONE ? ERR_UNKNOWN : ERR_STORE;

	if (rc == SQLITE_ROW) {
		const void *body = sqlite3_column_blob(q, 0);
		r = sqlite3_column_bytes(q, 0);
		if (r > 0)
			memcpy(ret_body, body, (size_t)r < cap ? (size_t)r : cap);
	}
	if (q)
		sqlite3_reset(q);
	return r;
}

/* ---- what is known ---- */

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

size_t scheduler_interrupted(const struct scheduler *s)
{
	return s->interrupted;
}

size_t scheduler_running(const struct scheduler *s)
{
	return s->n_running;
}

int scheduler_counts(const struct scheduler *s, int64_t ret_counts[TASK_STATE_MAX])
{
	memcpy(ret_counts, s->counts, sizeof(s->counts));
	return 0;
}
