/* SPDX-License-Identifier: Apache-2.0 */
#include "core/store.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#include "core/log.h"

#define STATEMENTS_MAX 128
#define PAGE_CACHE_KIB 512

struct effect {
	void (*fn)(void *arg);
	void (*drop)(void *arg);
	void *arg;
};

struct cached_stmt {
	const char *sql; /* borrowed for ever: a literal */
	sqlite3_stmt *stmt;
};

struct store {
	sqlite3 *db;
	bool changing;
	bool failed; /* a statement of this turn failed: half of a change must not be committed */
	uint64_t commits;
	struct effect *effects;
	size_t n_effects, cap_effects;
	struct cached_stmt stmts[STATEMENTS_MAX];
	size_t n_stmts;
};

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

static int open_db(const char *path, int flags, struct store **ret_store, char *ret_reason, size_t cap)
{
	struct store *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	int rc = sqlite3_open_v2(path, &s->db, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL);
	if (rc == SQLITE_OK) {
		*ret_store = s;
		return 0;
	}
	if (ret_reason)
		snprintf(ret_reason, cap, "%s: %s", path, s->db ? sqlite3_errmsg(s->db) : sqlite3_errstr(rc));
	store_close(s);
	return ERR_STORE;
}

static int check_integrity(struct store *s, const char *path, char *ret_reason, size_t cap)
{
	sqlite3_stmt *q = NULL;
	int rc = sqlite3_prepare_v2(s->db, "PRAGMA quick_check(1)", -1, &q, NULL);
	const char *found = NULL;

	if (rc == SQLITE_OK && (rc = sqlite3_step(q)) == SQLITE_ROW)
		found = (const char *)sqlite3_column_text(q, 0);
	bool sound = found && !strcmp(found, "ok");
	if (!sound)
		snprintf(ret_reason, cap, "%s: %s", path, found ? found : sqlite3_errmsg(s->db));
	sqlite3_finalize(q);
	return sound ? 0 : ERR_STORE;
}

int store_open(const char *path, struct store **ret_store, char *ret_reason, size_t cap)
{
	struct store *s = NULL;
	int r = open_db(path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, &s, ret_reason, cap);

	if (r < 0)
		return r;
	sqlite3_busy_timeout(s->db, 5000);
	char pragmas[256];
	snprintf(pragmas, sizeof(pragmas),
		"PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;"
		"PRAGMA cache_size=-%d; PRAGMA temp_store=MEMORY; PRAGMA wal_autocheckpoint=400;"
		"PRAGMA journal_size_limit=4194304; PRAGMA trusted_schema=OFF",
		PAGE_CACHE_KIB);
	if (sqlite3_exec(s->db, pragmas, NULL, NULL, NULL) != SQLITE_OK) {
		snprintf(ret_reason, cap, "%s: %s", path, sqlite3_errmsg(s->db));
		store_close(s);
		return ERR_STORE;
	}
	r = check_integrity(s, path, ret_reason, cap);
	if (r < 0) {
		store_close(s);
		return r;
	}
	*ret_store = s;
	return 0;
}

int store_open_readonly(const char *path, struct store **ret_store)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return -errno;
	int r = open_db(path, SQLITE_OPEN_READONLY, ret_store, NULL, 0);
	if (r == 0)
		sqlite3_busy_timeout((*ret_store)->db, 5000);
	return r;
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
	free(s);
}

sqlite3 *store_db(struct store *s)
{
	return s->db;
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
	int r = run_sql(s,
		"CREATE TABLE IF NOT EXISTS schema_part(part TEXT PRIMARY KEY, version INTEGER NOT NULL)");
	if (r == 0)
		r = schema_version(s, part, &version);
	if (r < 0)
		return r;
	if ((uint64_t)version > n_steps) {
		log_error("database: %s has schema %lld, this program knows %zu: it is older than the data", part,
			(long long)version, n_steps);
		return ERR_STORE;
	}
	if ((uint64_t)version == n_steps)
		return 0;
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

int store_turn_end(struct store *s)
{
	while (s->changing || s->n_effects) {
		if (s->changing) {
			/* Readers left open would make the commit wait or keep the WAL from shrinking. */
			for (size_t i = 0; i < s->n_stmts; i++)
				sqlite3_reset(s->stmts[i].stmt);
			if (s->failed || store_exec(s, "COMMIT", "") < 0) {
				sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
				s->changing = s->failed = false;
				drop_effects(s);
				return ERR_STORE;
			}
			s->changing = false;
			s->commits++;
		}
		struct effect *now = TAKE_PTR(s->effects);
		size_t n = s->n_effects;

		s->n_effects = s->cap_effects = 0;
		for (size_t i = 0; i < n; i++)
			now[i].fn(now[i].arg);
		free(now);
	}
	return 0;
}
