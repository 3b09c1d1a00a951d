/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The supervisor's one SQLite database (WAL, synchronous=FULL) and the rule "commit, then act": all changes of
 * one loop turn share one durable commit, and every outside effect of the turn happens only after it.
 *
 * A folder keeps its tables through store_schema, changes them between store_change and the end of the turn,
 * and hands what must happen outside to store_effect. perigeed calls store_turn_end once per loop turn.
 */
#ifndef CORE_STORE_H
#define CORE_STORE_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/err.h"

struct store;

/* Opens or makes the database. ERR_STORE with the reason in ret_reason (cap bytes) when it is damaged. */
WARN_UNUSED int store_open(const char *path, struct store **ret_store, char *ret_reason, size_t cap);
/* The same, read-only, for a command beside a running supervisor. -ENOENT when there is none. */
WARN_UNUSED int store_open_readonly(const char *path, struct store **ret_store);
/* An uncommitted turn is rolled back and its effects are dropped. */
void store_close(struct store *s);
sqlite3 *store_db(struct store *s);

/* Brings the tables of one part to the last of the steps (each a string of SQL statements; never change one that
 * has flown, append). */
WARN_UNUSED int store_schema(struct store *s, const char *part, const char *const *steps, size_t n_steps);

/* A prepared statement, reset and unbound, kept by the store for the next time. `sql` must be a string literal:
 * its address is the key. NULL on failure (logged). */
sqlite3_stmt *store_stmt(struct store *s, const char *sql);
/* Binds ('i' int64_t, 't' const char * or NULL, 'b' const void * and int length, 'd' double) and steps a
 * statement that returns no rows. 0 or ERR_STORE; -EEXIST when a uniqueness constraint refuses it. */
WARN_UNUSED int store_exec(struct store *s, const char *sql, const char *types, ...);
/* Binds and returns the statement, not stepped, for reading rows; NULL on failure. */
sqlite3_stmt *store_query(struct store *s, const char *sql, const char *types, ...);

/* Begins the turn's transaction unless it has begun. Call before the first change in a function. */
WARN_UNUSED int store_change(struct store *s);
bool store_changing(const struct store *s);
/* Runs fn(arg) after the commit of this turn, or at the turn's end when nothing changed; never when the commit
 * fails. In order. `drop` (may be NULL) frees arg when it is not run. */
WARN_UNUSED int store_effect(struct store *s, void (*fn)(void *arg), void *arg, void (*drop)(void *arg));
/* Commits and runs the effects, again while these make changes. Negative: the commit failed, or a statement of the
 * turn had failed, so that it holds half of a change; nothing was done,
 * and the process must end: start-up recovers from what is on disk. */
WARN_UNUSED int store_turn_end(struct store *s);
/* Commits so far: tests and figures. */
uint64_t store_commits(const struct store *s);

#endif
