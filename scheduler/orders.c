/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Standing orders. What is ordered about a workflow, a payload or all is looked up by lane, whatever waits in
 * it; what is ordered about a task or a run is in the task itself: out of its lane's order when it is held,
 * and in the exempt lane beside it when it is released while the lane is held.
 */
#include <errno.h>
#include <string.h>

#include "queue.h"

static bool same_target(const struct order *o, const struct queue_target *t)
{
	if (o->scope != t->scope)
		return false;
	if (t->scope == QUEUE_TASK || t->scope == QUEUE_RUN)
		return o->id == t->id;
	return t->scope == QUEUE_ALL || !strcmp(o->name, t->name);
}

struct order *order_find(struct scheduler *s, const struct queue_target *t)
{
	for (size_t i = 0; i < s->n_orders; i++)
		if (same_target(&s->orders[i], t))
			return &s->orders[i];
	return NULL;
}

static int order_add(struct scheduler *s, const struct order *o)
{
	if (s->n_orders == ORDERS_MAX)
		return ERR_LIMIT;
	if (s->n_orders == s->cap_orders) {
		size_t cap = s->cap_orders ? 2 * s->cap_orders : 8;
		struct order *grown = reallocarray(s->orders, cap, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		s->orders = grown;
		s->cap_orders = cap;
	}
	s->orders[s->n_orders++] = *o;
	return 0;
}

int orders_load(struct scheduler *s)
{
	sqlite3_stmt *q =
		store_query(s->store, "SELECT scope, target, name, hold, priority FROM queue_order", "");
	int rc = SQLITE_ERROR;

	while (q && (rc = sqlite3_step(q)) == SQLITE_ROW) {
		struct order o = {.scope = (enum queue_scope)sqlite3_column_int(q, 0),
			.id = sqlite3_column_int64(q, 1),
			.hold = (enum hold)sqlite3_column_int(q, 3),
			.priority = sqlite3_column_int(q, 4)};
		snprintf(o.name, sizeof(o.name), "%s", (const char *)sqlite3_column_text(q, 2));
		int r = order_add(s, &o);
		if (r < 0) {
			sqlite3_reset(q);
			return r;
		}
	}
	return rc == SQLITE_DONE ? 0 : ERR_STORE;
}

static void hold_lanes(struct scheduler *s)
{
	for (size_t i = 0; i < s->n_lanes; i++)
		s->lanes[i].held = !s->lanes[i].exempt && order_holds_lane(s, &s->lanes[i]);
	s->dirty = true;
}

int order_set(struct scheduler *s, const struct queue_target *t, enum hold hold, int priority)
{
	struct order o = {.scope = t->scope, .hold = hold, .priority = priority};
	struct order *old = order_find(s, t);
	bool says = hold != HOLD_NOT_SAID || priority >= 0;

	if (!old && !says)
		return 0;
	if (t->scope == QUEUE_TASK || t->scope == QUEUE_RUN)
		o.id = t->id;
	else if (t->scope != QUEUE_ALL)
		snprintf(o.name, sizeof(o.name), "%s", t->name);
	int r = store_change(s->store);
	if (r == 0 && !old)
		r = order_add(s, &o);
	if (r < 0)
		return r;
	r = says ? store_exec(s->store,
			   "INSERT OR REPLACE INTO queue_order(scope, target, name, hold, priority)"
			   " VALUES(?, ?, ?, ?, ?)",
			   "iitii", (int64_t)o.scope, o.id, o.name, (int64_t)hold, (int64_t)priority)
		 : store_exec(s->store, "DELETE FROM queue_order WHERE scope = ? AND target = ? AND name = ?",
			   "iit", (int64_t)o.scope, o.id, o.name);
	if (old && says)
		*old = o;
	else if (old)
		*old = s->orders[--s->n_orders];
	if (t->scope >= QUEUE_WORKFLOW)
		hold_lanes(s);
	return r;
}

int order_forget_task(struct scheduler *s, int64_t task)
{
	struct queue_target t = {.scope = QUEUE_TASK, .id = task};

	return s->n_orders ? order_set(s, &t, HOLD_NOT_SAID, -1) : 0;
}

/* ---- what follows ---- */

static bool about_lane(const struct scheduler *s, const struct order *o, const struct lane *l)
{
	return o->scope >= QUEUE_WORKFLOW && lane_within(s, l, o->scope, o->name);
}

bool order_holds_lane(const struct scheduler *s, const struct lane *l)
{
	enum queue_scope narrowest = QUEUE_SCOPE_MAX;
	bool held = false;

	for (size_t i = 0; i < s->n_orders; i++) {
		const struct order *o = &s->orders[i];
		if (o->hold == HOLD_NOT_SAID || o->scope >= narrowest || !about_lane(s, o, l))
			continue;
		narrowest = o->scope;
		held = o->hold == HOLD_HELD;
	}
	return held;
}

struct placing order_placing(
	const struct scheduler *s, int64_t task, int64_t run, const struct lane *l, uint8_t declared)
{
	enum queue_scope hold_by = QUEUE_SCOPE_MAX, priority_by = QUEUE_SCOPE_MAX;
	struct placing p = {.priority = declared};

	for (size_t i = 0; i < s->n_orders; i++) {
		const struct order *o = &s->orders[i];
		bool about = o->scope == QUEUE_TASK  ? o->id == task
			     : o->scope == QUEUE_RUN ? o->id == run
						     : about_lane(s, o, l);
		if (!about)
			continue;
		if (o->hold != HOLD_NOT_SAID && o->scope <= QUEUE_RUN && o->scope < hold_by) {
			hold_by = o->scope;
			p.held = o->hold == HOLD_HELD;
			p.exempt = o->hold == HOLD_EXEMPT;
		}
		if (o->priority >= 0 && o->scope < priority_by) {
			priority_by = o->scope;
			p.priority = o->priority;
		}
	}
	return p;
}

int order_apply(struct scheduler *s, int64_t task)
{
	sqlite3_stmt *q = store_query(s->store,
		"SELECT run, lane, priority, declared, waits_from_ns, blocked FROM task"
		" WHERE id = ? AND state = 0",
		"i", task);
	int rc = q ? sqlite3_step(q) : SQLITE_ERROR;

	if (rc != SQLITE_ROW)
		return rc == SQLITE_DONE ? 0 : ERR_STORE;
	int64_t run = sqlite3_column_int64(q, 0), waits_from_ns = sqlite3_column_int64(q, 4);
	size_t from = lane_of_id(s, sqlite3_column_int64(q, 1)), to = from;
	int priority = sqlite3_column_int(q, 2), declared = sqlite3_column_int(q, 3);
	int64_t blocked = sqlite3_column_int64(q, 5);
	sqlite3_reset(q);
	if (from == s->n_lanes)
		return ERR_STORE;
	struct placing p = order_placing(s, task, run, &s->lanes[from], (uint8_t)declared);
	int64_t block = p.held ? blocked | BLOCK_HELD : blocked & ~BLOCK_HELD;
	int r = p.exempt == s->lanes[from].exempt ? 0
						  : lane_get(s, s->payloads[s->lanes[from].payload].name,
							    s->lanes[from].workflow, p.exempt, &to);
	if (r < 0 || (p.priority == priority && block == blocked && to == from))
		return r;
	r = store_change(s->store);
	if (r == 0)
		r = store_exec(s->store,
			"UPDATE task SET priority = ?, rank = ?, blocked = ?, lane = ? WHERE id = ?", "iiiii",
			(int64_t)p.priority, rank_of(&s->rules, (uint8_t)p.priority, waits_from_ns), block,
			s->lanes[to].id, task);
	if (r < 0)
		return r;
	count_move(s, from, TASK_READY, -1);
	count_move(s, to, -1, TASK_READY);
	lane_forget(s, from);
	lane_forget(s, to);
	return 0;
}
