/* SPDX-License-Identifier: Apache-2.0 */
/* Why a task waits, or why it was chosen. */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "view.h"

#define AHEAD_SHOWN 8
#define AHEAD_COUNTED 1000

struct explained {
	struct scheduler *s;
	struct view v;
	cJSON *j;
	struct candidate c;
	int64_t state, blocked, not_before_ns, started_ns, ended_ns, chosen, over, declared;
	char reason[TASK_REASON_BYTES];
	struct utc_time now;
};

static void because(struct explained *e, const char *fmt, ...) PRINTF(2, 3);
static void because(struct explained *e, const char *fmt, ...)
{
	char text[2 * TASK_REASON_BYTES];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	view_text(&e->v, e->j, "why", text);
}

const char *blocked_because(int64_t blocked)
{
	if (blocked & BLOCK_CANCEL)
		return "it is being cancelled";
	if (blocked & BLOCK_POISON)
		return "it will be ended as poison";
	if (blocked & BLOCK_HELD)
		return "an operator holds it";
	return blocked & BLOCK_BACKOFF ? "it waits for its next attempt" : NULL;
}

static int read_task(struct explained *e, int64_t task)
{
	sqlite3_stmt *q = store_query(e->s->store,
		"SELECT " CANDIDATE_COLUMNS ", state, blocked, not_before_ns, coalesce(started_ns, 0),"
		" coalesce(ended_ns, 0), chosen, chosen_over, declared, coalesce(reason, '') FROM task WHERE "
		"id = ?",
		"i", task);
	int rc = q ? sqlite3_step(q) : SQLITE_ERROR, at = CANDIDATE_COLUMN_COUNT;
	int64_t *const fields[] = {&e->state, &e->blocked, &e->not_before_ns, &e->started_ns, &e->ended_ns,
		&e->chosen, &e->over, &e->declared};

	if (rc == SQLITE_ROW) {
		candidate_read(e->s, q, &e->c);
		for (size_t i = 0; i < ARRAY_LEN(fields); i++)
			*fields[i] = sqlite3_column_int64(q, at++);
		snprintf(e->reason, sizeof(e->reason), "%s", (const char *)sqlite3_column_text(q, at));
		if (e->state != TASK_READY && e->c.task.attempt > 1)
			e->c.task.attempt--; /* of a waiting one it is the next */
	}
	if (q)
		sqlite3_reset(q);
	return rc == SQLITE_ROW ? 0 : rc == SQLITE_DONE ? ERR_UNKNOWN : ERR_STORE;
}

static int show_other(struct explained *e, const char *name, int64_t task)
{
	struct candidate c;
	sqlite3_stmt *q =
		store_query(e->s->store, "SELECT " CANDIDATE_COLUMNS " FROM task WHERE id = ?", "i", task);
	int rc = q ? sqlite3_step(q) : SQLITE_ERROR;

	if (rc == SQLITE_ROW) {
		candidate_read(e->s, q, &c);
		view_task(&e->v, view_object(&e->v, e->j, name), &c.task);
	} else if (rc == SQLITE_DONE) { /* history has let it go */
		view_number(&e->v, view_object(&e->v, e->j, name), "task", (double)task);
	}
	if (q)
		sqlite3_reset(q);
	return rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : ERR_STORE;
}

static int show_attempts(struct explained *e)
{
	cJSON *array = view_array(&e->v, e->j, "attempts");
	sqlite3_stmt *q = store_query(e->s->store,
		"SELECT attempt, outcome, coalesce(reason, ''), coalesce(started_ns, 0), coalesce(ended_ns, "
		"0),"
		" coalesce(wall_ns, 0), coalesce(cpu_ns, 0), coalesce(memory_peak_bytes, 0) FROM attempt"
		" WHERE task = ? ORDER BY attempt",
		"i", e->c.task.id);
	int rc = SQLITE_ERROR;

	while (q && (rc = sqlite3_step(q)) == SQLITE_ROW) {
		cJSON *o = view_element(&e->v, array);
		view_number(&e->v, o, "attempt", (double)sqlite3_column_int64(q, 0));
		view_text(&e->v, o, "outcome", (const char *)sqlite3_column_text(q, 1));
		view_text(&e->v, o, "reason", (const char *)sqlite3_column_text(q, 2));
		view_time(&e->v, o, "started", (struct utc_time){sqlite3_column_int64(q, 3)});
		view_time(&e->v, o, "ended", (struct utc_time){sqlite3_column_int64(q, 4)});
		view_number(&e->v, o, "wall_s", (double)sqlite3_column_int64(q, 5) / (double)NS_PER_S);
		view_number(&e->v, o, "cpu_s", (double)sqlite3_column_int64(q, 6) / (double)NS_PER_S);
		view_number(&e->v, o, "memory_peak_bytes", (double)sqlite3_column_int64(q, 7));
	}
	return rc == SQLITE_DONE ? 0 : ERR_STORE;
}

/* ---- waiting ---- */

static int by_order(const void *a, const void *b)
{
	return candidate_before(a, b) ? -1 : 1;
}

/* Who is before it, of lanes that are not passed over: how many, and the first few. */
static int show_ahead(struct explained *e, int64_t *ret_count)
{
	struct scheduler *s = e->s;
	CLEAN_FREE struct candidate *first = calloc(2 * AHEAD_SHOWN, sizeof(*first));
	size_t n = 0;

	if (!first)
		return -ENOMEM;
	*ret_count = 0;
	for (size_t i = 0; i < s->n_lanes; i++) {
		if (s->lanes[i].waiting == 0 || lane_passed_over(s, i, e->now, NULL))
			continue;
		int before =
			lane_ahead(s, i, &e->c, *ret_count > AHEAD_COUNTED ? AHEAD_SHOWN : AHEAD_COUNTED + 1);
		int got = before > 0 ? lane_after(s, i, NULL, first + n, AHEAD_SHOWN) : 0;
		if (before < 0 || got < 0)
			return ERR_STORE;
		*ret_count += before;
		n += (size_t)(before < got ? before : got);
		qsort(first, n, sizeof(*first), by_order);
		n = n < AHEAD_SHOWN ? n : AHEAD_SHOWN;
	}
	cJSON *array = view_array(&e->v, e->j, "ahead");
	for (size_t i = 0; i < n; i++)
		view_task(&e->v, view_element(&e->v, array), &first[i].task);
	view_number(&e->v, e->j, "ahead_count",
		(double)(*ret_count < AHEAD_COUNTED ? *ret_count : AHEAD_COUNTED));
	if (*ret_count > AHEAD_COUNTED)
		e->v.bad |= !cJSON_AddTrueToObject(e->j, "ahead_more");
	return 0;
}

static bool show_missing(struct explained *e, const struct load *need)
{
	const struct load *b = &e->s->budget, *u = &e->s->used;
	const struct {
		const char *name;
		uint64_t budget, used, need;
	} rows[] = {{"tasks", b->tasks, u->tasks, need->tasks},
		{"cpus_milli", b->cpus_milli, u->cpus_milli, need->cpus_milli},
		{"memory_bytes", b->memory_bytes, u->memory_bytes, need->memory_bytes}};
	cJSON *o = NULL;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (rows[i].used + rows[i].need <= rows[i].budget)
			continue;
		o = o ? o : view_object(&e->v, e->j, "missing");
		view_number(&e->v, o, rows[i].name, (double)(rows[i].used + rows[i].need - rows[i].budget));
	}
	return o != NULL;
}

/* By when the head has room, if everything runs as long as it may. */
static void show_until(struct explained *e, const struct load *need)
{
	struct holding held[QUEUE_RUNNING_MAX];
	struct reservation r;
	size_t n = holdings(e->s, held);
	int64_t mono_ns = clock_mono().ns;

	for (size_t i = 0; i < n; i++)
		if (held[i].ends_ns == 0)
			return; /* nobody knows */
	if (reserve(&e->s->budget, held, n, need, mono_ns, &r))
		view_time(&e->v, e->j, "until", (struct utc_time){e->now.ns + r.at_ns - mono_ns});
}

static bool is_room_made(const struct explained *e)
{
	for (size_t i = 0; i < e->s->n_running; i++)
		if (e->s->running[i].stopping && e->s->running[i].gave_way == e->c.task.id)
			return true;
	return false;
}

/* Something else than the order; false when it is the order. */
static bool explain_power(struct explained *e)
{
	const struct queue_energy *rule = &e->s->rules.energy;
	const char *wanting = energy_wanting(e->s, &e->c, e->now);

	if (!wanting)
		return false;
	if (rule->guarded && e->s->power.known && e->s->power_low) {
		double more = e->s->power.in_sunlight ? 0 : rule->eclipse_more_percent;
		because(e, "the battery is at %.0f %%: only the critical class starts until it is at %.0f %%",
			e->s->power.battery_percent, rule->resume_percent + more);
	} else {
		because(e, "%s", wanting);
	}
	if (!rule->guarded || (e->s->power.known && !e->s->power_low))
		view_time(&e->v, e->j, "until", next_slice(e->s, SPAN_ORBIT, e->now));
	return true;
}

static int explain_order(struct explained *e)
{
	const struct running *frozen = next_frozen(e->s, NULL);
	struct load need = load_of(e->s, &e->c);
	int64_t ahead;
	int r = show_ahead(e, &ahead);

	if (r < 0)
		return r;
	bool missing = show_missing(e, &need);
	if (explain_power(e))
		return 0;
	if (ahead == 0 && is_room_made(e)) {
		because(e, "it is the first, and starts when what is being stopped for it has ended");
	} else if (ahead == 0 && frozen && !may_preempt(e->s, &e->c.task, &frozen->task)) {
		because(e, "it is the first that waits, but task %lld stands still and goes on before it",
			(long long)frozen->task.id);
	} else if (ahead == 0 && missing) {
		show_until(e, &need);
		because(e, "it is the first, and waits until what runs leaves room for it%s",
			e->c.suspected ? "; it runs alone, for something broke under it before" : "");
	} else if (ahead == 0) {
		because(e, "it is the first, and starts at the end of this turn");
	} else {
		because(e, "%s%lld %s before it, and it %s", ahead > AHEAD_COUNTED ? "more than " : "",
			(long long)(ahead > AHEAD_COUNTED ? AHEAD_COUNTED : ahead),
			ahead == 1 ? "task is" : "tasks are",
			missing ? "does not fit beside what runs"
				: "may delay the first of them, by its time limit, if it starts now");
	}
	return 0;
}

static void show_holder(struct explained *e)
{
	const struct lane *l = &e->s->lanes[e->c.lane];
	const struct order *by = NULL;

	for (size_t i = 0; i < e->s->n_orders; i++) {
		const struct order *o = &e->s->orders[i];
		bool about = o->scope == QUEUE_TASK  ? o->id == e->c.task.id
			     : o->scope == QUEUE_RUN ? o->id == e->c.task.run
						     : lane_within(e->s, l, o->scope, o->name);
		if (about && o->hold == HOLD_HELD && (!by || o->scope < by->scope))
			by = o;
	}
	if (by)
		view_target(&e->v, view_object(&e->v, e->j, "held_by"), by);
}

static int explain_waiting(struct explained *e)
{
	struct utc_time until;
	const char *passed_over = lane_passed_over(e->s, e->c.lane, e->now, &until);

	if (*e->s->paused) {
		because(e, "nothing starts: %s", e->s->paused);
	} else if (e->blocked) {
		because(e, "%s%s%s", blocked_because(e->blocked), *e->reason ? ": " : "", e->reason);
		if (e->blocked & BLOCK_HELD)
			show_holder(e);
		else if (e->blocked & BLOCK_BACKOFF)
			view_time(&e->v, e->j, "until", (struct utc_time){e->not_before_ns});
	} else if (passed_over) {
		because(e, "%s", passed_over);
		if (e->s->lanes[e->c.lane].held)
			show_holder(e);
		else if (until.ns)
			view_time(&e->v, e->j, "until", until);
	} else {
		return explain_order(e);
	}
	return 0;
}

static int explain_chosen(struct explained *e)
{
	const struct running *run = running_find(e->s, e->c.task.id);
	bool filled = e->chosen == CHOSEN_BACKFILL;
	char preempted[TASK_REASON_BYTES];

	if (e->state == TASK_RUNNING && (e->blocked & BLOCK_CANCEL))
		because(e, "it runs, and is being stopped: %s", e->reason);
	else if (run && preempted_because(run, preempted, sizeof(preempted)))
		because(e, "%s", preempted);
	else if (e->state == TASK_RUNNING)
		because(e,
			filled ? "it was chosen because it fits beside what ran and does not delay the first"
			       : "it was chosen because it was the most important that waited");
	else
		because(e, *e->reason ? "it is over, %s: %s" : "it is over, %s%s",
			task_state_name((enum task_state)e->state), e->reason);
	if (run && run->frozen)
		e->v.bad |= !cJSON_AddTrueToObject(e->j, "frozen");
	if (e->started_ns) {
		view_time(&e->v, e->j, "started", (struct utc_time){e->started_ns});
		view_text(&e->v, e->j, "chosen", filled ? "backfill" : "head");
	}
	if (e->ended_ns)
		view_time(&e->v, e->j, "ended", (struct utc_time){e->ended_ns});
	return e->started_ns && e->over ? show_other(e, "over", e->over) : 0;
}

int scheduler_explain(struct scheduler *s, int64_t task, cJSON **ret_json)
{
	struct explained e = {.s = s, .j = cJSON_CreateObject(), .now = clock_utc()};

	if (!e.j)
		return -ENOMEM;
	int r = read_task(&e, task);
	if (r == 0) {
		view_task(&e.v, e.j, &e.c.task);
		view_number(&e.v, e.j, "declared_priority", (double)e.declared);
		view_text(&e.v, e.j, "state", task_state_name((enum task_state)e.state));
		if (*e.reason)
			view_text(&e.v, e.j, "reason", e.reason);
		r = e.state == TASK_READY ? explain_waiting(&e) : explain_chosen(&e);
	}
	if (r == 0)
		r = show_attempts(&e);
	if (r == 0 && e.v.bad)
		r = -ENOMEM;
	if (r < 0)
		cJSON_Delete(e.j);
	else
		*ret_json = e.j;
	return r;
}
