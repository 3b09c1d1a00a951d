/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "core/log.h"
#include "store-private.h"

/* What deciding upon what starts may change: some dozens of pages. */
#define DECISION_BYTES (256u << 10)

static int run_sql(struct store *s, const char *sql)
{
	char *why = NULL;
	int rc = sqlite3_exec(s->db, sql, NULL, NULL, &why);

	if (rc == SQLITE_OK)
		return 0;
	log_error("database: %s (%s)", why ? why : sqlite3_errstr(rc), sql);
	sqlite3_free(why);
	return ERR_STORE;
}

static void drop_effects(struct store *s)
{
	for (size_t i = 0; i < s->n_effects; i++)
		if (s->effects[i].drop)
			s->effects[i].drop(s->effects[i].arg);
	s->n_effects = 0;
}

void store_close(struct store *s)
{
	if (!s)
		return;
	drop_effects(s);
	free(s->effects);
	for (size_t i = 0; i < s->n_stmts; i++)
		sqlite3_finalize(s->stmts[i].stmt);
	sqlite3_close(s->db); /* rolls an open transaction back */
	if (s->mark_fd >= 0) {
		mark_closed(s->mark_fd, &s->mark, s->path);
		close(s->mark_fd);
	}
	if (s->wal_fd >= 0)
		close(s->wal_fd);
	free(s->path);
	free(s);
}

sqlite3 *store_db(struct store *s)
{
	return s->db;
}

bool store_has_room(struct store *s)
{
	return !s->path || room_take(s, DECISION_BYTES) == 0;
}

bool store_held(const struct store *s)
{
	return s->held;
}

void store_spare(struct store *s)
{
	if (!s->held && s->path)
		room_spare_make(s->path);
}

uint64_t store_turn(const struct store *s)
{
	return s->mark.turn;
}

uint64_t store_commits(const struct store *s)
{
	return s->commits;
}

static int schema_version(struct store *s, const char *part, int64_t *ret_version)
{
	sqlite3_stmt *q = store_query(s, "SELECT version FROM schema_part WHERE part = ?", "t", part);

	if (!q)
		return ERR_STORE;
	int rc = sqlite3_step(q);
	*ret_version = rc == SQLITE_ROW ? sqlite3_column_int64(q, 0) : 0;
	sqlite3_reset(q);
	return rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : ERR_STORE;
}

int store_schema(struct store *s, const char *part, const char *const *steps, size_t n_steps)
{
	int64_t version = 0;

	ensure(!s->changing);
	int r = run_sql(
		s, "CREATE TABLE IF NOT EXISTS schema_part(part TEXT PRIMARY KEY, version INTEGER NOT NULL)");
	if (r == 0)
		r = schema_version(s, part, &version);
	if (r < 0)
		return r;
	if ((uint64_t)version > n_steps) {
		log_error("database: %s has schema %lld, this program knows %zu: it is older than the data",
			part, (long long)version, n_steps);
		return ERR_STORE;
	}
	if ((uint64_t)version == n_steps)
		return 0;
	if (s->held)
		return -ENOSPC;
	r = run_sql(s, "BEGIN IMMEDIATE");
	for (size_t i = (size_t)version; r == 0 && i < n_steps; i++)
		r = run_sql(s, steps[i]);
	if (r == 0)
		r = store_exec(s,
			"INSERT INTO schema_part(part, version) VALUES(?, ?)"
			" ON CONFLICT(part) DO UPDATE SET version = excluded.version",
			"ti", part, (int64_t)n_steps);
	if (r == 0)
		r = run_sql(s, "COMMIT");
	if (r < 0)
		sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
	return r;
}

sqlite3_stmt *store_stmt(struct store *s, const char *sql)
{
	struct cached_stmt *c = s->stmts;

	for (; c < s->stmts + s->n_stmts; c++) {
		if (c->sql != sql)
			continue;
		sqlite3_reset(c->stmt);
		sqlite3_clear_bindings(c->stmt);
		return c->stmt;
	}
	ensure(s->n_stmts < STATEMENTS_MAX);
	if (sqlite3_prepare_v3(s->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &c->stmt, NULL) != SQLITE_OK) {
		log_error("database: %s (%s)", sqlite3_errmsg(s->db), sql);
		return NULL;
	}
	c->sql = sql;
	s->n_stmts++;
	return c->stmt;
}

static sqlite3_stmt *bind_all(struct store *s, const char *sql, const char *types, va_list ap)
{
	sqlite3_stmt *q = store_stmt(s, sql);

	if (!q)
		return NULL;
	for (int i = 1; *types; types++, i++) {
		switch (*types) {
		case 'i':
			sqlite3_bind_int64(q, i, va_arg(ap, int64_t));
			break;
		case 'd':
			sqlite3_bind_double(q, i, va_arg(ap, double));
			break;
		case 't':
			sqlite3_bind_text(q, i, va_arg(ap, const char *), -1, SQLITE_TRANSIENT);
			break;
		case 'b': {
			const void *data = va_arg(ap, const void *);
			int len = va_arg(ap, int);
			sqlite3_bind_blob(q, i, data, len, SQLITE_TRANSIENT);
			break;
		}
		default:
			ensure(!"a known bind type");
		}
	}
	return q;
}

sqlite3_stmt *store_query(struct store *s, const char *sql, const char *types, ...)
{
	va_list ap;

	va_start(ap, types);
	sqlite3_stmt *q = bind_all(s, sql, types, ap);
	va_end(ap);
	return q;
}

int store_exec(struct store *s, const char *sql, const char *types, ...)
{
	va_list ap;

	va_start(ap, types);
	sqlite3_stmt *q = bind_all(s, sql, types, ap);
	va_end(ap);
	if (!q)
		return ERR_STORE;
	int rc = sqlite3_step(q);
	if (rc != SQLITE_DONE && (rc & 0xff) != SQLITE_CONSTRAINT)
		log_error("database: %s (%s)", sqlite3_errmsg(s->db), sql);
	sqlite3_reset(q);
	if (rc == SQLITE_DONE)
		return 0;
	if ((rc & 0xff) != SQLITE_CONSTRAINT)
		s->failed = true;
	return (rc & 0xff) == SQLITE_CONSTRAINT ? -EEXIST : ERR_STORE;
}

int store_change(struct store *s)
{
	if (s->changing)
		return 0;
	int r = store_exec(s, "BEGIN IMMEDIATE", "");
	s->changing = r == 0;
	return r;
}

void store_fail(struct store *s)
{
	s->failed = true;
}

bool store_changing(const struct store *s)
{
	return s->changing;
}

int store_effect(struct store *s, void (*fn)(void *arg), void *arg, void (*drop)(void *arg))
{
	if (s->n_effects == s->cap_effects) {
		size_t cap = s->cap_effects ? 2 * s->cap_effects : 16;
		struct effect *grown = reallocarray(s->effects, cap, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		s->effects = grown;
		s->cap_effects = cap;
	}
	s->effects[s->n_effects++] = (struct effect){.fn = fn, .drop = drop, .arg = arg};
	return 0;
}

/* The commit, and with it its number. */
static int commit(struct store *s)
{
	struct store_mark next = {.id = s->mark.id, .turn = s->mark.turn + 1, .at = clock_utc()};

	/* Readers left open would make the commit wait or keep the WAL from shrinking. */
	for (size_t i = 0; i < s->n_stmts; i++)
		sqlite3_reset(s->stmts[i].stmt);
	if (!s->failed && s->path && room_take(s, 0) < 0) {
		s->held = true;
		return STORE_HELD;
	}
	s->held = false;
	if (s->failed ||
		store_exec(s, "UPDATE store_mark SET turn = ?, at_ns = ?", "ii", (int64_t)next.turn,
			next.at.ns) < 0 ||
		store_exec(s, "COMMIT", "") < 0) {
		sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
		s->changing = s->failed = false;
		drop_effects(s);
		return ERR_STORE;
	}
	s->changing = false;
	s->commits++;
	s->mark = next;
	mark_save(s->mark_fd, &s->mark);
	return 0;
}

int store_turn_end(struct store *s)
{
	while (s->changing || s->failed || s->n_effects) {
		int r = s->changing || s->failed ? commit(s) : 0;
		if (r != 0)
			return r;
		struct effect *now = TAKE_PTR(s->effects);
		size_t n = s->n_effects;

		s->n_effects = s->cap_effects = 0;
		for (size_t i = 0; i < n; i++)
			now[i].fn(now[i].arg);
		free(now);
	}
	return 0;
}
