/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The supervisor's one SQLite database (WAL, synchronous=FULL) and the rule "commit, then act": all changes
 * of one loop turn share one durable commit, and every outside effect of the turn happens only after it.
 *
 * A folder keeps its tables through store_schema, changes them between store_change and the end of the turn,
 * and hands what must happen outside to store_effect. perigeed calls store_turn_end once per loop turn.
 */
#ifndef CORE_STORE_H
#define CORE_STORE_H

#include <sqlite3.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/clock.h"
#include "core/err.h"

struct store;

/*
 * Opens or makes the database, checked whole. When it is damaged, its copy (PATH.copy) takes its place, and
 * the damaged one is kept as PATH.damaged-UTC. store_report says what was found and lost. ERR_STORE with the
 * reason in ret_reason (cap bytes) when neither can be used. Beside it: PATH.turn, the number of the last
 * acknowledged commit.
 */
WARN_UNUSED int store_open(const char *path, struct store **ret_store, char *ret_reason, size_t cap);

enum store_start {
	STORE_INTACT,
	STORE_NEW,        /* there was none, or with `damage`: it was gone, and so was its copy */
	STORE_TURNS_LOST, /* sound, but commits that were acknowledged are not in it */
	STORE_COPY_USED,
	STORE_START_MAX
};

struct store_report {
	enum store_start start;
	char damage[256]; /* what was wrong; "": nothing */
	char kept[96];    /* name of the damaged one, in the same folder; "": none */
	uint64_t turn;    /* the commit it goes on from */
	struct utc_time at;
	bool lost_known;     /* the next two are */
	uint64_t lost_turns; /* acknowledged commits that are not in it */
	int64_t lost_ns;     /* between its last commit and the last acknowledged one */
};

/* How the database was found by store_open; borrowed from the store. */
const struct store_report *store_report(const struct store *s);
/* In words, one line. */
void store_report_text(const struct store_report *report, char *ret_text, size_t cap);

struct store_copy {
	uint64_t turn; /* the commit that it is of */
	struct utc_time at;
	uint64_t bytes;
	bool damaged; /* of a failure: the database itself is what is damaged */
};

/*
 * Makes PATH.copy anew beside a supervisor that goes on writing, and replaces the one before when it is
 * whole, checked and synced. Blocks: worker only, one at a time. -ENOSPC, ERR_STORE, or -ECANCELED when *stop
 * (may be NULL) was set, with the reason.
 */
WARN_UNUSED int store_copy_make(
	const char *path, const atomic_bool *stop, struct store_copy *ret_copy, char *ret_reason, size_t cap);

/* Whether the WAL is so long that moving it into the database is worth while; true at most once a commit.
 * Have a worker do it then, by store_log_move, so that no commit has to. */
bool store_log_due(struct store *s);
/* Beside a supervisor that goes on writing. Blocks: worker only, one at a time. ERR_STORE. */
WARN_UNUSED int store_log_move(const char *path);

/* The same, read-only, for a command beside a running supervisor. -ENOENT when there is none. */
WARN_UNUSED int store_open_readonly(const char *path, struct store **ret_store);
/* An uncommitted turn is rolled back and its effects are dropped. */
void store_close(struct store *s);
sqlite3 *store_db(struct store *s);

/* Brings the tables of one part to the last of the steps (each a string of SQL statements; never change one
 * that has flown, append). */
WARN_UNUSED int store_schema(struct store *s, const char *part, const char *const *steps, size_t n_steps);

/* A prepared statement, reset and unbound, kept by the store for the next time. `sql` must be a string
 * literal: its address is the key. NULL on failure (logged). */
sqlite3_stmt *store_stmt(struct store *s, const char *sql);
/* Binds ('i' int64_t, 't' const char * or NULL, 'b' const void * and int length, 'd' double) and steps a
 * statement that returns no rows. 0 or ERR_STORE; -EEXIST when a uniqueness constraint refuses it. */
WARN_UNUSED int store_exec(struct store *s, const char *sql, const char *types, ...);
/* Binds and returns the statement, not stepped, for reading rows; NULL on failure. */
sqlite3_stmt *store_query(struct store *s, const char *sql, const char *types, ...);

/* Begins the turn's transaction unless it has begun. Call before the first change in a function. */
WARN_UNUSED int store_change(struct store *s);
bool store_changing(const struct store *s);
/* What was read or allocated in vain has left this turn half of a change: store_turn_end commits nothing of
 * it and runs none of its effects, as after a store_exec that failed. */
void store_fail(struct store *s);
/* Runs fn(arg) after the commit of this turn, or at the turn's end when nothing changed; never when the
 * commit fails. In order. `drop` (may be NULL) frees arg when it is not run. */
WARN_UNUSED int store_effect(struct store *s, void (*fn)(void *arg), void *arg, void (*drop)(void *arg));
/* Commits and runs the effects, again while these make changes. Negative: the commit failed, or a statement
 * of the turn had failed, so that it holds half of a change; nothing was done, and the process must end:
 * start-up recovers from what is on disk.
 * STORE_HELD: the disk has no room for it. The turn stays open and goes on, in memory; its effects wait. Call
 * again when there may be space: then all of it is one commit. Start nothing new meanwhile. */
#define STORE_HELD 1
WARN_UNUSED int store_turn_end(struct store *s);
/* Whether a turn that goes on to start something could still be committed. Ask before: what was started in a
 * turn that is held back is on record as running, and is not begun. */
bool store_has_room(struct store *s);
/* Whether the last store_turn_end was held back. */
bool store_held(const struct store *s);
/* Makes the spare file again that a start on a full disk gives up (PATH.spare). Call now and then. */
void store_spare(struct store *s);
/* The number of the last commit, of all since the database was made. */
uint64_t store_turn(const struct store *s);
/* Commits so far: tests and figures. */
uint64_t store_commits(const struct store *s);

#endif
