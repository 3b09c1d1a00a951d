/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changes to all that waits of a workflow, a payload or all: there may be a million, so that they are done in
 * slices, in the order of the tasks' numbers, up to the last that there was when it was ordered. A restart
 * goes on with them.
 */
#include <string.h>

#include "queue.h"

#define WINDOW 4096 /* numbers looked at in one step: most of the tasks in them may be over */

bool lane_within(const struct scheduler *s, const struct lane *l, enum queue_scope scope, const char *name)
{
	switch (scope) {
	case QUEUE_WORKFLOW:
		return !strcmp(l->workflow, name);
	case QUEUE_PAYLOAD:
		return !strcmp(s->payloads[l->payload].name, name);
	default:
		return scope == QUEUE_ALL;
	}
}

/* What is being cancelled must not start before its turn comes. */
static void bar_lanes(struct scheduler *s)
{
	for (size_t i = 0; i < s->n_lanes; i++) {
		struct lane *l = &s->lanes[i];
		l->cancelling = false;
		for (size_t k = 0; k < s->n_sweeps; k++)
			l->cancelling |= s->sweeps[k].cancels &&
					 lane_within(s, l, s->sweeps[k].scope, s->sweeps[k].name);
	}
	s->dirty = true;
}

int sweeps_load(struct scheduler *s)
{
	sqlite3_stmt *q = store_query(s->store,
		"SELECT id, cancels, scope, name, next, last, why FROM queue_sweep ORDER BY id", "");
	int rc = SQLITE_ERROR;

	while (q && s->n_sweeps < SWEEPS_MAX && (rc = sqlite3_step(q)) == SQLITE_ROW) {
		struct sweep *w = &s->sweeps[s->n_sweeps++];
		*w = (struct sweep){.id = sqlite3_column_int64(q, 0),
			.cancels = sqlite3_column_int(q, 1) != 0,
			.scope = (enum queue_scope)sqlite3_column_int(q, 2),
			.next = sqlite3_column_int64(q, 4),
			.last = sqlite3_column_int64(q, 5)};
		snprintf(w->name, sizeof(w->name), "%s", (const char *)sqlite3_column_text(q, 3));
		snprintf(w->why, sizeof(w->why), "%s", (const char *)sqlite3_column_text(q, 6));
	}
	if (q)
		sqlite3_reset(q);
	bar_lanes(s);
	return rc == SQLITE_DONE || rc == SQLITE_ROW ? 0 : ERR_STORE;
}

static int last_task(struct scheduler *s, int64_t *ret_id)
{
	sqlite3_stmt *q = store_query(s->store, "SELECT max(id) FROM task", "");

	if (!q || sqlite3_step(q) != SQLITE_ROW)
		return ERR_STORE;
	*ret_id = sqlite3_column_int64(q, 0);
	sqlite3_reset(q);
	return 0;
}

int sweep_start(struct scheduler *s, const struct queue_target *t, bool cancels, const char *why)
{
	struct sweep w = {.cancels = cancels, .scope = t->scope};

	if (s->n_sweeps == SWEEPS_MAX)
		return ERR_LIMIT;
	snprintf(w.name, sizeof(w.name), "%s", t->scope == QUEUE_ALL ? "" : t->name);
	snprintf(w.why, sizeof(w.why), "%s", why);
	int r = last_task(s, &w.last);
	if (r == 0)
		r = store_change(s->store);
	if (r == 0)
		r = store_exec(s->store,
			"INSERT INTO queue_sweep(cancels, scope, name, next, last, why) VALUES(?, ?, ?, 0, "
			"?, ?)",
			"iitit", (int64_t)cancels, (int64_t)w.scope, w.name, w.last, w.why);
	if (r < 0)
		return r;
	w.id = sqlite3_last_insert_rowid(store_db(s->store));
	s->sweeps[s->n_sweeps++] = w;
	bar_lanes(s);
	return 0;
}

static int end_sweep(struct scheduler *s)
{
	int r = store_exec(s->store, "DELETE FROM queue_sweep WHERE id = ?", "i", s->sweeps[0].id);

	memmove(s->sweeps, s->sweeps + 1, --s->n_sweeps * sizeof(s->sweeps[0]));
	bar_lanes(s);
	return r;
}

/* The next task after `after` that waits, looking no further than WINDOW numbers: 1, 0 when there is none. */
static int next_waiting(struct scheduler *s, int64_t after, int64_t last, struct candidate *ret)
{
	sqlite3_stmt *q = store_query(s->store,
		"SELECT " CANDIDATE_COLUMNS
		" FROM task WHERE state = 0 AND id > ? AND id <= ? ORDER BY id LIMIT 1",
		"ii", after, last - after > WINDOW ? after + WINDOW : last);
	int rc = q ? sqlite3_step(q) : SQLITE_ERROR;

	if (rc == SQLITE_ROW)
		candidate_read(s, q, ret);
	if (q)
		sqlite3_reset(q);
	return rc == SQLITE_ROW ? 1 : rc == SQLITE_DONE ? 0 : ERR_STORE;
}

/* The number before the first task after `after`, whatever its state; `last` when there is none. */
static int64_t skip_gap(struct scheduler *s, int64_t after, int64_t last)
{
	sqlite3_stmt *q =
		store_query(s->store, "SELECT id FROM task WHERE id > ? ORDER BY id LIMIT 1", "i", after);
	int64_t to = q && sqlite3_step(q) == SQLITE_ROW ? sqlite3_column_int64(q, 0) - 1 : last;

	if (q)
		sqlite3_reset(q);
	return to < last ? to : last;
}

/* One step of the oldest. */
static int sweep_step(struct scheduler *s)
{
	struct sweep *w = &s->sweeps[0];
	struct candidate c;
	int r = w->next < w->last ? next_waiting(s, w->next, w->last, &c) : 0;

	if (r < 0)
		return r;
	if (r == 0 && w->last - w->next <= WINDOW)
		return end_sweep(s);
	if (r == 0) {
		w->next = skip_gap(s, w->next + WINDOW, w->last);
		return 0;
	}
	w->next = c.task.id;
	if (!lane_within(s, &s->lanes[c.lane], w->scope, w->name))
		return 0;
	return w->cancels ? end_ready(s, &c, TASK_CANCELLED, w->why) : order_apply(s, c.task.id);
}

int sweeps_go_on(struct scheduler *s)
{
	if (s->n_sweeps == 0)
		return 0;
	int r = store_change(s->store);
	while (r == 0 && s->n_sweeps && s->slice) {
		s->slice--;
		r = sweep_step(s);
	}
	if (r < 0 || s->n_sweeps == 0)
		return r;
	s->more = true;
	return store_exec(s->store, "UPDATE queue_sweep SET next = ? WHERE id = ?", "ii", s->sweeps[0].next,
		s->sweeps[0].id);
}
