/* SPDX-License-Identifier: Apache-2.0 */
/* The life of the queue, and of a task in it: put, finish, and the ends that need no runner. */
#include "scheduler.h"

#include <errno.h>
#include <string.h>

#include "core/log.h"
#include "queue.h"

#define BACKOFF_DOUBLINGS_MAX 16
#define CRITICAL_RANK (INT64_C(1) << 40) /* far before whatever ageing may reach */

const struct queue_rules queue_rules_default = {
	.critical = 200, .ageing_ns = 600 * NS_PER_S, .poison = 5, .history = 100000};

const char *task_state_name(enum task_state state)
{
	static const char *const names[] = {
		"ready", "running", "done", "failed", "expired", "cancelled", "poison"};

	return (unsigned)state < ARRAY_LEN(names) ? names[state] : "unknown";
}

/* ---- order ---- */

int64_t rank_of(const struct queue_rules *rules, uint8_t priority, int64_t waits_from_ns)
{
	if (priority >= rules->critical)
		return -CRITICAL_RANK - priority;
	/* Time is cut into slices of `ageing`; who has waited one slice more counts as one priority more.
	 * What is the same for all at any instant, the slice of now, need not be in it: so the order stands
	 * still. */
	int64_t slice = rules->ageing_ns > 0 ? waits_from_ns / rules->ageing_ns : 0;
	return slice - priority;
}

static int rule_changed(struct scheduler *s, const char *name, int64_t value, bool *changed)
{
	sqlite3_stmt *q = store_query(s->store, "SELECT value FROM queue_rule WHERE name = ?", "t", name);
	int rc = q ? sqlite3_step(q) : SQLITE_ERROR;
	bool same = rc == SQLITE_ROW && sqlite3_column_int64(q, 0) == value;

	if (q)
		sqlite3_reset(q);
	if (same)
		return 0;
	if (rc != SQLITE_ROW && rc != SQLITE_DONE)
		return ERR_STORE;
	*changed = true;
	int r = store_change(s->store);
	return r < 0 ? r
		     : store_exec(s->store, "INSERT OR REPLACE INTO queue_rule(name, value) VALUES(?, ?)",
			       "ti", name, value);
}

int scheduler_set_rules(struct scheduler *s, const struct queue_rules *rules)
{
	bool changed = false;
	int r = rule_changed(s, "critical", rules->critical, &changed);

	if (r == 0)
		r = rule_changed(s, "ageing", rules->ageing_ns, &changed);
	if (r == 0 && changed)
		r = store_exec(s->store,
			"UPDATE task SET rank = CASE WHEN priority >= ?1 THEN ?2 - priority"
			" WHEN ?3 > 0 THEN waits_from_ns / ?3 - priority ELSE -priority END WHERE state = 0",
			"iii", (int64_t)rules->critical, -CRITICAL_RANK, rules->ageing_ns);
	if (r < 0)
		return r;
	s->rules = *rules;
	for (size_t i = 0; i < s->n_payloads; i++)
		s->payloads[i].quota = quota_of(s, s->payloads[i].name);
	for (size_t i = 0; i < s->n_lanes; i++)
		lane_forget(s, i);
	s->broken = s->dirty = true;
	return 0;
}

/* ---- life ---- */

/* What was running has no end on record: it runs again, and the interruption is remembered. */
static int requeue_interrupted(struct scheduler *s)
{
	int r = store_change(s->store);

	if (r == 0)
		r = store_exec(s->store,
			"INSERT OR REPLACE INTO attempt(task, attempt, outcome, reason, started_ns, ended_ns)"
			" SELECT id, attempts, 'interrupted', 'the supervisor or the machine ended while it "
			"ran',"
			" started_ns, ? FROM task WHERE state = 1",
			"i", clock_utc().ns);
	if (r == 0)
		r = store_exec(s->store,
			"UPDATE task SET state = 0, interrupted = interrupted + 1, not_before_ns = 0,"
			" blocked = 0"
			" WHERE state = 1",
			"");
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
	s->condemned = s->dirty = true;
	r = requeue_interrupted(s);
	if (r == 0)
		r = lanes_load(s);
	if (r == 0)
		r = scheduler_set_rules(s, &queue_rules_default);
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
			"SELECT waits_from_ns FROM task WHERE run = ? ORDER BY id LIMIT 1", "i", run);
		int rc = q ? sqlite3_step(q) : SQLITE_ERROR;

		s->last_run.run = run;
		s->last_run.waits_from_ns = rc == SQLITE_ROW ? sqlite3_column_int64(q, 0) : clock_utc().ns;
		if (q)
			sqlite3_reset(q);
		if (rc != SQLITE_ROW && rc != SQLITE_DONE)
			return ERR_STORE;
	}
	*ret_ns = s->last_run.waits_from_ns > 0 ? s->last_run.waits_from_ns : 0;
	return 0;
}

int scheduler_put(struct scheduler *s, const struct task_spec *t, int64_t *ret_task)
{
	struct candidate c = {
		.age_ns = t->age_from.ns, .due_ns = t->deadline.ns ? t->deadline.ns : INT64_MAX};
	int64_t from_ns = 0;

	if (strlen(t->stage) >= TASK_STAGE_BYTES || t->body_bytes > TASK_BODY_BYTES_MAX)
		return ERR_LIMIT;
	int r = store_change(s->store);
	if (r == 0)
		r = lane_get(s, t->payload, t->workflow ? t->workflow : "", &c.lane);
	if (r == 0)
		r = waits_from(s, t->run, &from_ns);
	if (r < 0)
		return r;
	c.rank = rank_of(&s->rules, t->priority, from_ns);
	r = store_exec(s->store,
		"INSERT INTO task(run, stage, payload, priority, age_from_ns, deadline_ns, cpus_milli,"
		" memory_bytes, retry_limit, backoff_ns, lane, rank, due_ns, waits_from_ns, time_ns,"
		" body) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		"ittiiiiiiiiiiiib", t->run, t->stage, t->payload, (int64_t)t->priority, t->age_from.ns,
		t->deadline.ns, (int64_t)t->cpus_milli, (int64_t)t->memory_bytes, (int64_t)t->retry_limit,
		t->backoff_ns, s->lanes[c.lane].id, c.rank, c.due_ns, from_ns, t->time_ns, t->body,
		(int)t->body_bytes);
	if (r < 0)
		return r;
	c.task.id = sqlite3_last_insert_rowid(store_db(s->store));
	count_move(s, c.lane, -1, TASK_READY);
	struct lane *l = &s->lanes[c.lane];
	if (l->known && (l->empty || candidate_before(&c, &l->head)))
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

/* ---- ends ---- */

static int end_task(struct scheduler *s, const struct task *t, size_t lane, enum task_state from,
	enum task_state state, const struct task_end *end)
{
	int r = store_exec(s->store,
		"UPDATE task SET state = ?, ended_ns = ?, reason = ?, wall_ns = ?, cpu_ns = ?,"
		" memory_peak_bytes = ? WHERE id = ?",
		"iitiiii", (int64_t)state, clock_utc().ns, end->reason[0] ? end->reason : NULL, end->wall_ns,
		end->cpu_ns, (int64_t)end->memory_peak_bytes, t->id);

	if (r < 0)
		return r;
	count_move(s, lane, from, state);
	lane_forget(s, lane);
	s->owner.on_ended(s->owner.user, t, state, end);
	return 0;
}

int end_ready(struct scheduler *s, const struct candidate *c, enum task_state state, const char *reason)
{
	struct task_end end = {.verdict = TASK_BROKEN};
	int r = store_change(s->store);

	snprintf(end.reason, sizeof(end.reason), "%s", reason);
	return r < 0 ? r : end_task(s, &c->task, c->lane, TASK_READY, state, &end);
}

static int64_t backoff_for(int64_t first_ns, int64_t failed_tries)
{
	int64_t doublings = failed_tries - 1;

	if (doublings > BACKOFF_DOUBLINGS_MAX)
		doublings = BACKOFF_DOUBLINGS_MAX;
	return first_ns > INT64_MAX / 4 >> doublings ? INT64_MAX / 4 : first_ns << doublings;
}

struct tries {
	int64_t limit, backoff_ns, failed, crashes, interrupted;
};

static int tries_of(struct scheduler *s, int64_t task, struct tries *ret)
{
	sqlite3_stmt *q = store_query(s->store,
		"SELECT retry_limit, backoff_ns, tries_failed, crashes, interrupted FROM task WHERE id = ?",
		"i", task);

	if (!q || sqlite3_step(q) != SQLITE_ROW)
		return ERR_STORE;
	*ret = (struct tries){sqlite3_column_int64(q, 0), sqlite3_column_int64(q, 1),
		sqlite3_column_int64(q, 2), sqlite3_column_int64(q, 3), sqlite3_column_int64(q, 4)};
	sqlite3_reset(q);
	return 0;
}

/* Puts it back for another try: 1, 0 when this was the last. */
static int retry(struct scheduler *s, const struct running *run, const struct task_end *end)
{
	struct tries t;
	bool crashed = end->verdict == TASK_CRASHED;
	int r = tries_of(s, run->task.id, &t);

	if (r < 0)
		return r;
	t.failed += !crashed;
	t.crashes += crashed;
	if (!crashed && t.failed > t.limit)
		return 0;
	if (crashed && s->rules.poison && t.crashes + t.interrupted >= s->rules.poison)
		return 0;
	int64_t not_before_ns = crashed ? 0 : clock_utc().ns + backoff_for(t.backoff_ns, t.failed);
	int64_t blocked = crashed ? 0 : BLOCK_BACKOFF;
	r = attempt_record(s, run->task.id, crashed ? "crashed" : "temporary", end);
	if (r == 0)
		r = store_exec(s->store,
			"UPDATE task SET state = 0, tries_failed = ?, crashes = ?, not_before_ns = ?, "
			"blocked = ?,"
			" reason = ? WHERE id = ?",
			"iiiiti", t.failed, t.crashes, not_before_ns, blocked, end->reason, run->task.id);
	if (r < 0)
		return r;
	if (not_before_ns && not_before_ns < s->backoff_at_ns)
		s->backoff_at_ns = not_before_ns;
	count_move(s, run->lane, TASK_RUNNING, TASK_READY);
	lane_forget(s, run->lane);
	/* Its deadline counts again. */
	s->due_at_ns = 0;
	return 1;
}

/* Gives the budget of a running task back. False when it is not running. */
static bool return_budget(struct scheduler *s, int64_t id, struct running *ret)
{
	for (size_t i = 0; i < s->n_running; i++) {
		if (s->running[i].task.id != id)
			continue;
		*ret = s->running[i];
		s->running[i] = s->running[--s->n_running];
		struct load l = load_of(&ret->task);
		s->used.tasks -= l.tasks;
		s->used.cpus_milli -= l.cpus_milli;
		s->used.memory_bytes -= l.memory_bytes;
		s->dirty = true;
		return true;
	}
	return false;
}

static int end_as_poison(struct scheduler *s, const struct running *run, const struct task_end *end)
{
	struct task_end last = *end;
	struct tries t;
	int r = tries_of(s, run->task.id, &t);

	if (r < 0)
		return r;
	snprintf(last.reason, sizeof(last.reason),
		"broke off %lld times, and will not be tried again; at last: %.160s",
		(long long)(t.crashes + t.interrupted + 1), end->reason);
	return end_task(s, &run->task, run->lane, TASK_RUNNING, TASK_POISON, &last);
}

int scheduler_finish(struct scheduler *s, int64_t task, const struct task_end *end)
{
	struct running run;

	if (!return_budget(s, task, &run))
		return ERR_STATE;
	int r = store_change(s->store);
	if (r == 0)
		r = quota_charge(s, run.lane, end->cpu_ns);
	if (r == 0 && (end->verdict == TASK_TEMPORARY || end->verdict == TASK_CRASHED))
		r = retry(s, &run, end);
	if (r != 0)
		return r < 0 ? r : 0;
	if (end->verdict == TASK_CRASHED)
		return end_as_poison(s, &run, end);
	return end_task(s, &run.task, run.lane, TASK_RUNNING,
		end->verdict == TASK_SUCCEEDED ? TASK_DONE : TASK_FAILED, end);
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
