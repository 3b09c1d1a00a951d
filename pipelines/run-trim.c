/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Retention: runs that are over are removed whole, the oldest first, in slices: a run with its children,
 * children before their parents, and the run itself last, so that a removal that is broken off is taken up
 * again. Their logs and artifacts are files that nothing refers to then: run-keep.c.
 *
 * The newest run stays, whatever its age: its number must not be given twice.
 */
#include <errno.h>
#include <string.h>

#include "core/log.h"
#include "runs.h"

#define SLICE_ROWS 200
#define LOOKS_MAX 512              /* runs that are looked at in one slice */
#define FRAME_NS (3600 * NS_PER_S) /* a frame that no run has is known for so long */
#define YOUNG_NS (600 * NS_PER_S)

struct slice {
	struct pipelines *p;
	const struct pipelines_trim *t;
	struct pipelines_trimmed *done;
	int64_t rows; /* that may still be removed in this slice */
	int64_t looks;
};

/* ---- deleting ---- */

/* Runs a DELETE that returns one number a row, of bytes. */
static int drain(struct slice *s, sqlite3_stmt *q)
{
	int rc = SQLITE_ERROR;

	while (q && (rc = sqlite3_step(q)) == SQLITE_ROW) {
		s->rows--;
		s->done->bytes += (uint64_t)sqlite3_column_int64(q, 0);
	}
	if (q)
		sqlite3_reset(q);
	return rc == SQLITE_DONE ? 0 : ERR_STORE;
}

/* What there may be ten thousands of, as far as the slice allows. */
static int remove_items(struct slice *s, int64_t run)
{
	struct store *st = s->p->o.store;
	int r = drain(s, store_query(st,
				 "DELETE FROM run_item_output WHERE run = ?1 AND (stage, item, name) IN "
				 "(SELECT stage, item,"
				 " name FROM run_item_output WHERE run = ?1 LIMIT ?2) RETURNING bytes",
				 "ii", run, s->rows));

	if (r == 0 && s->rows > 0)
		r = drain(s,
			store_query(st,
				"DELETE FROM run_item WHERE run = ?1 AND (stage, item) IN (SELECT stage, item"
				" FROM run_item WHERE run = ?1 LIMIT ?2) RETURNING 0",
				"ii", run, s->rows));
	if (r == 0 && s->rows > 0)
		r = drain(s, store_query(st,
				     "DELETE FROM run_attempt WHERE run = ?1 AND (stage, item, attempt) IN "
				     "(SELECT stage,"
				     " item, attempt FROM run_attempt WHERE run = ?1 LIMIT ?2) RETURNING 0",
				     "ii", run, s->rows));
	if (r == 0 && s->rows > 0) {
		uint32_t n = 0;
		r = scheduler_forget(s->p->o.scheduler, run, (uint32_t)s->rows, &n);
		s->rows -= n;
	}
	return r;
}

/* The frames that only this run was made of. */
static int remove_frames(struct slice *s, int64_t run)
{
	struct store *st = s->p->o.store;
	int r = store_exec(st,
		"DELETE FROM frame WHERE digest IN (SELECT digest FROM run_input WHERE run = ?1) AND NOT "
		"EXISTS"
		" (SELECT 1 FROM run_input i WHERE i.digest = frame.digest AND i.run <> ?1)",
		"i", run);

	if (r == 0)
		s->done->frames += sqlite3_changes(store_db(st));
	return r;
}

static int remove_rest(struct slice *s, int64_t run)
{
	struct store *st = s->p->o.store;
	int r = remove_frames(s, run);

	if (r == 0)
		r = drain(
			s, store_query(st, "DELETE FROM run_output WHERE run = ? RETURNING bytes", "i", run));
	if (r == 0)
		r = drain(
			s, store_query(st, "DELETE FROM run_input WHERE run = ? RETURNING bytes", "i", run));
	if (r == 0)
		r = drain(s, store_query(st, "DELETE FROM run_stage WHERE run = ? RETURNING 0", "i", run));
	if (r == 0)
		r = store_exec(st,
			"DELETE FROM workflow_text WHERE digest = (SELECT digest FROM run WHERE id = ?1) AND "
			"NOT EXISTS"
			" (SELECT 1 FROM run r WHERE r.digest = workflow_text.digest AND r.id <> ?1)",
			"i", run);
	if (r == 0 && s->t->forget)
		r = s->t->forget(s->t->user, run);
	if (r == 0)
		r = store_exec(st, "DELETE FROM run WHERE id = ?", "i", run);
	if (r == 0) {
		s->p->n_runs--;
		s->done->runs++;
		s->rows--;
	}
	return r;
}

/* ---- families ---- */

/* A child of the run, 0: none. */
static int child_of(struct pipelines *p, int64_t run, int64_t *ret_child)
{
	sqlite3_stmt *q = store_query(p->o.store, "SELECT id FROM run WHERE parent = ? LIMIT 1", "i", run);
	int rc = q ? sqlite3_step(q) : SQLITE_ERROR;

	*ret_child = rc == SQLITE_ROW ? sqlite3_column_int64(q, 0) : 0;
	if (q)
		sqlite3_reset(q);
	return rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : ERR_STORE;
}

static int remove_family(struct slice *s)
{
	struct pipelines *p = s->p;
	int64_t run = p->trim_family, child;
	int r = store_change(p->o.store);

	while (r == 0 && (r = child_of(p, run, &child)) == 0 && child)
		run = child;
	if (r == 0)
		r = remove_items(s, run);
	if (r < 0 || s->rows <= 0)
		return r;
	r = remove_rest(s, run);
	if (r == 0 && run == p->trim_family)
		p->trim_family = 0;
	return r;
}

/* Whether all of it is over and nothing outside needs one of them: 1, 0. */
static int removable(struct slice *s, int64_t root)
{
	sqlite3_stmt *q = store_query(s->p->o.store,
		"WITH RECURSIVE family(id) AS (SELECT ?1 UNION SELECT run.id FROM run JOIN family ON "
		"run.parent ="
		" family.id) SELECT run.id, run.state, run.id = (SELECT max(id) FROM run) FROM run JOIN "
		"family"
		" USING(id)",
		"i", root);
	int r = 1, rc = SQLITE_ERROR;

	while (q && r == 1 && (rc = sqlite3_step(q)) == SQLITE_ROW) {
		int64_t id = sqlite3_column_int64(q, 0), state = sqlite3_column_int64(q, 1);

		bool stays = state == RUN_OPEN || state == RUN_PENDING || sqlite3_column_int(q, 2);
		int needed = !stays && s->t->needed ? s->t->needed(s->t->user, id) : 0;

		s->looks--;
		r = needed < 0 ? needed : !stays && !needed;
	}
	if (q)
		sqlite3_reset(q);
	return r == 1 && rc != SQLITE_DONE ? ERR_STORE : r;
}

static bool too_much(const struct slice *s)
{
	return s->p->n_runs > s->t->runs || s->t->bytes > s->done->bytes;
}

/* The next run that may go, from where the last look ended: 1, 0 at the end, with *ret_run 0 when it stays.
 */
static int next_root(struct slice *s, int64_t *ret_run)
{
	struct pipelines *p = s->p;
	sqlite3_stmt *q = store_query(p->o.store,
		"SELECT id, state, created_ns, ended_ns FROM run WHERE id > ? AND parent IS NULL ORDER BY id "
		"LIMIT 1",
		"i", p->trim_at);
	int rc = q ? sqlite3_step(q) : SQLITE_ERROR;
	int64_t id = 0, state = 0, created = 0, ended = 0;

	if (rc == SQLITE_ROW) {
		id = sqlite3_column_int64(q, 0);
		state = sqlite3_column_int64(q, 1);
		created = sqlite3_column_int64(q, 2);
		ended = sqlite3_column_int64(q, 3);
	}
	if (q)
		sqlite3_reset(q);
	s->looks--;
	*ret_run = 0;
	if (rc != SQLITE_ROW)
		return rc == SQLITE_DONE ? 0 : ERR_STORE;
	if (!too_much(s) && created >= s->t->ended_before.ns)
		return 0; /* the others are younger still */
	p->trim_at = id;
	if (state == RUN_OPEN || state == RUN_PENDING || (!too_much(s) && ended >= s->t->ended_before.ns))
		return 1;
	int r = removable(s, id);
	*ret_run = r > 0 ? id : 0;
	return r < 0 ? r : 1;
}

static int choose_family(struct slice *s, int64_t run)
{
	int r = store_change(s->p->o.store);

	if (r == 0)
		r = store_exec(s->p->o.store, "UPDATE run SET ordered = 3 WHERE id = ?", "i", run);
	s->p->trim_family = run;
	return r;
}

/* 1: the slice is used up; 0: there are no more. */
static int trim_runs(struct slice *s)
{
	int64_t run = 0;
	int r = 1;

	while (r > 0 && s->rows > 0 && s->looks > 0) {
		if (s->p->trim_family) {
			r = remove_family(s);
			r = r < 0 ? r : 1;
			continue;
		}
		r = next_root(s, &run);
		if (r > 0 && run) {
			r = choose_family(s, run);
			r = r < 0 ? r : 1;
		}
	}
	return r;
}

/* ---- what runs leave behind ---- */

static int next_frame(struct slice *s, int64_t before_ns, bool *ret_goes)
{
	struct pipelines *p = s->p;
	sqlite3_stmt *q = store_query(p->o.store,
		"SELECT device, frame_id, time_ns < ? AND NOT EXISTS (SELECT 1 FROM run_input i WHERE "
		"i.digest = f.digest)"
		" FROM frame f WHERE (device, frame_id) > (?, ?) ORDER BY device, frame_id LIMIT 1",
		"itt", before_ns, p->trim_device ? p->trim_device : "", p->trim_frame ? p->trim_frame : "");
	int rc = q ? sqlite3_step(q) : SQLITE_ERROR;

	free(TAKE_PTR(p->trim_device));
	free(TAKE_PTR(p->trim_frame));
	if (rc == SQLITE_ROW) {
		p->trim_device = strdup((const char *)sqlite3_column_text(q, 0));
		p->trim_frame = strdup((const char *)sqlite3_column_text(q, 1));
		*ret_goes = sqlite3_column_int(q, 2);
	}
	if (q)
		sqlite3_reset(q);
	if (rc != SQLITE_ROW)
		return rc == SQLITE_DONE ? 0 : ERR_STORE;
	return p->trim_device && p->trim_frame ? 1 : -ENOMEM;
}

/* Frames that no run was made of. */
static int trim_frames(struct slice *s)
{
	struct store *st = s->p->o.store;
	int64_t before_ns = clock_utc().ns - (too_much(s) ? YOUNG_NS : FRAME_NS);
	bool goes = false;
	int r = 1;

	while (r > 0 && s->rows > 0 && s->looks-- > 0) {
		r = next_frame(s, before_ns, &goes);
		if (r <= 0 || !goes)
			continue;
		r = store_change(st);
		if (r == 0)
			r = drain(s,
				store_query(st,
					"DELETE FROM frame WHERE device = ? AND frame_id = ? RETURNING bytes",
					"tt", s->p->trim_device, s->p->trim_frame));
		s->done->frames++;
		r = r < 0 ? r : 1;
	}
	return r;
}

/* Successes that `cache: true` remembers, for which there is no room: those used longest ago. */
static int trim_cache(struct slice *s)
{
	int r = 1;

	while (r > 0 && s->t->bytes > s->done->bytes) {
		uint64_t bytes = 0;

		if (s->rows-- <= 0)
			return 1;
		r = cache_remove_oldest(s->p, &bytes);
		s->done->bytes += bytes;
		s->done->cached += r > 0;
	}
	return r < 0 ? r : 0;
}

int pipelines_trim(struct pipelines *p, const struct pipelines_trim *t, struct pipelines_trimmed *ret_done)
{
	static int (*const parts[])(struct slice *) = {trim_runs, trim_frames, trim_cache};
	struct slice s = {.p = p, .t = t, .done = ret_done, .rows = SLICE_ROWS, .looks = LOOKS_MAX};
	int r;

	*ret_done = (struct pipelines_trimmed){0};
	while ((r = parts[p->trim_part](&s)) == 0 && ++p->trim_part < ARRAY_LEN(parts))
		;
	if (r == 0) {
		p->trim_part = 0;
		p->trim_at = 0;
	}
	return r;
}

int64_t pipelines_runs(const struct pipelines *p)
{
	return p->n_runs;
}

/* A removal that was broken off is gone on with. */
int trim_resume(struct pipelines *p)
{
	sqlite3_stmt *q = store_query(
		p->o.store, "SELECT count(*), max(CASE WHEN ordered = 3 THEN id END) FROM run", "");

	if (!q || sqlite3_step(q) != SQLITE_ROW)
		return ERR_STORE;
	p->n_runs = sqlite3_column_int64(q, 0);
	p->trim_family = sqlite3_column_int64(q, 1);
	sqlite3_reset(q);
	return 0;
}

bool trim_removes(struct pipelines *p, int64_t run)
{
	return p->trim_family && run == p->trim_family;
}
