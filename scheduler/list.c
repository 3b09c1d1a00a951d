/* SPDX-License-Identifier: Apache-2.0 */
/* The queue as it would run. */
#include <errno.h>
#include <stdlib.h>

#include "view.h"

/* The heads of all lanes, of which the first is taken again and again. */
struct merge {
	struct candidate *heads; /* owned; one a lane */
	bool *there;             /* owned */
};

static int merge_next(
	struct scheduler *s, struct merge *m, bool passed_over, struct utc_time now, struct candidate *ret)
{
	size_t best = s->n_lanes;

	for (size_t i = 0; i < s->n_lanes; i++) {
		if (!m->there[i] || (lane_passed_over(s, i, now, NULL) != NULL) != passed_over)
			continue;
		if (best == s->n_lanes || candidate_before(&m->heads[i], &m->heads[best]))
			best = i;
	}
	if (best == s->n_lanes)
		return 0;
	*ret = m->heads[best];
	int n = lane_after(s, best, ret, &m->heads[best], 1);
	if (n < 0)
		return n;
	m->there[best] = n > 0;
	return 1;
}

static int merge_init(struct scheduler *s, struct merge *m)
{
	m->heads = calloc(s->n_lanes + 1, sizeof(*m->heads));
	m->there = calloc(s->n_lanes + 1, sizeof(*m->there));
	if (!m->heads || !m->there)
		return -ENOMEM;
	for (size_t i = 0; i < s->n_lanes; i++) {
		int n = s->lanes[i].waiting ? lane_after(s, i, NULL, &m->heads[i], 1) : 0;
		if (n < 0)
			return n;
		m->there[i] = n > 0;
	}
	return 0;
}

static void show(struct view *v, cJSON *array, const struct candidate *c, const char *why)
{
	cJSON *o = view_element(v, array);

	view_task(v, o, &c->task);
	if (c->deadline_ns)
		view_time(v, o, "deadline", (struct utc_time){c->deadline_ns});
	if (why)
		view_text(v, o, "why", why);
}

/* Those out of their lane's order: each has a reason of its own. */
static int list_blocked(struct scheduler *s, struct view *v, cJSON *array, size_t *left)
{
	sqlite3_stmt *q = store_query(s->store,
		"SELECT " CANDIDATE_COLUMNS ", blocked, not_before_ns FROM task INDEXED BY task_blocked"
		" WHERE state = 0 AND blocked > 0 ORDER BY id LIMIT ?",
		"i", (int64_t)*left);
	int rc = SQLITE_ERROR;

	while (q && (rc = sqlite3_step(q)) == SQLITE_ROW) {
		struct candidate c;
		candidate_read(s, q, &c);
		int64_t blocked = sqlite3_column_int64(q, CANDIDATE_COLUMN_COUNT);
		show(v, array, &c, blocked_because(blocked));
		if (blocked & BLOCK_BACKOFF)
			view_time(v, cJSON_GetArrayItem(array, cJSON_GetArraySize(array) - 1), "until",
				(struct utc_time){sqlite3_column_int64(q, CANDIDATE_COLUMN_COUNT + 1)});
		--*left;
	}
	return rc == SQLITE_DONE ? 0 : ERR_STORE;
}

static int list_waiting(struct scheduler *s, struct view *v, cJSON *array, size_t *left)
{
	struct merge m = {0};
	struct candidate c;
	struct utc_time now = clock_utc();
	int r = merge_init(s, &m);

	for (int passed_over = 0; r == 0 && passed_over < 2; passed_over++) {
		while (*left && (r = merge_next(s, &m, passed_over, now, &c)) > 0) {
			const char *why = lane_passed_over(s, c.lane, now, NULL);
			show(v, array, &c, why ? why : energy_wanting(s, &c, now));
			--*left;
		}
		r = r < 0 ? r : 0;
		if (r == 0 && passed_over == 0)
			r = list_blocked(s, v, array, left);
	}
	free(m.heads);
	free(m.there);
	return r;
}

static void list_running(struct scheduler *s, struct view *v, cJSON *array)
{
	struct mono_time mono = clock_mono();
	struct utc_time now = clock_utc();

	for (size_t i = 0; i < s->n_running; i++) {
		const struct running *run = &s->running[i];
		int64_t since_ns = mono.ns - run->started.ns;
		char why[TASK_REASON_BYTES];
		cJSON *o = view_element(v, array);

		view_task(v, o, &run->task);
		view_time(v, o, "started", (struct utc_time){now.ns - since_ns});
		if (run->task.time_ns && !run->frozen)
			view_time(v, o, "ends_by",
				(struct utc_time){now.ns - since_ns + run->frozen_ns + run->task.time_ns});
		if (run->frozen)
			v->bad |= !cJSON_AddTrueToObject(o, "frozen");
		if (run->cancelled)
			view_text(v, o, "why", "it is being cancelled");
		else if (preempted_because(run, why, sizeof(why)))
			view_text(v, o, "why", why);
	}
}

static void list_orders(struct scheduler *s, struct view *v, cJSON *array)
{
	for (size_t i = 0; i < s->n_orders && i < QUEUE_LIST_MAX; i++) {
		const struct order *order = &s->orders[i];
		cJSON *o = view_element(v, array);

		view_target(v, o, order);
		if (order->hold != HOLD_NOT_SAID)
			view_text(v, o, "hold", order->hold == HOLD_HELD ? "held" : "exempt");
		if (order->priority >= 0)
			view_number(v, o, "priority", order->priority);
	}
}

static void list_energy(struct scheduler *s, struct view *v, cJSON *j)
{
	const struct queue_energy *e = &s->rules.energy;
	const struct usage *spent = usage_now(s, NULL, SPAN_ORBIT, clock_utc());
	cJSON *o = view_object(v, j, "energy");

	view_number(v, o, "orbit_j", (double)spent->energy_mj / 1000);
	view_number(v, o, "reserved_j", (double)s->reserved_mj / 1000);
	if (e->mj_per_orbit)
		view_number(v, o, "orbit_budget_j", (double)e->mj_per_orbit / 1000);
	if (!e->guarded)
		return;
	o = view_object(v, j, "power");
	v->bad |= !cJSON_AddBoolToObject(o, "known", s->power.known);
	if (s->power.known) {
		view_number(v, o, "battery_percent", s->power.battery_percent);
		v->bad |= !cJSON_AddBoolToObject(o, "in_sunlight", s->power.in_sunlight);
	}
	v->bad |= !cJSON_AddBoolToObject(o, "only_critical", s->power_low || !s->power.known);
}

int scheduler_list(struct scheduler *s, size_t limit, cJSON **ret_json)
{
	struct view v = {0};
	cJSON *j = cJSON_CreateObject();
	size_t left = limit < QUEUE_LIST_MAX ? limit : QUEUE_LIST_MAX, shown = left;

	if (!j)
		return -ENOMEM;
	view_text(&v, j, "paused_by", s->paused);
	cJSON *counts = view_object(&v, j, "counts");
	for (int i = 0; i < TASK_STATE_MAX; i++)
		view_number(&v, counts, task_state_name((enum task_state)i), (double)s->counts[i]);
	view_load(&v, view_object(&v, j, "budget"), &s->budget);
	view_load(&v, view_object(&v, j, "used"), &s->used);
	list_energy(s, &v, j);
	list_running(s, &v, view_array(&v, j, "running"));
	int r = list_waiting(s, &v, view_array(&v, j, "waiting"), &left);
	shown -= left;
	view_number(&v, j, "more", (double)s->counts[TASK_READY] - (double)shown);
	list_orders(s, &v, view_array(&v, j, "orders"));
	if (r == 0 && v.bad)
		r = -ENOMEM;
	if (r < 0)
		cJSON_Delete(j);
	else
		*ret_json = j;
	return r;
}
