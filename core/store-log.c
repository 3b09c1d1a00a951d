/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The WAL's pages are moved into the database by a worker, through a connection of its own: two more syncs,
 * and hundreds of pages to write, are no part of a commit. When a commit finds the log too long all the same
 * (nobody moves it, or it grows faster), it moves what is left of it itself.
 */
#include "store-private.h"

#define FRAMES_DUE 256      /* from here on it is worth a worker's while */
#define FRAMES_TOO_MANY 960 /* less than journal_size_limit: its blocks are used again, not given back */
#define PASSES_MAX 4

static int on_commit(void *user, sqlite3 *db, const char *name, int frames)
{
	struct store *s = user;

	s->log_frames = frames;
	if (frames >= FRAMES_TOO_MANY) /* busy: a worker is at it */
		(void)sqlite3_wal_checkpoint_v2(db, name, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
	return SQLITE_OK;
}

void log_watch(struct store *s)
{
	sqlite3_wal_hook(s->db, on_commit, s);
}

bool store_log_due(struct store *s)
{
	if (s->log_frames < FRAMES_DUE || s->log_asked == s->commits)
		return false;
	s->log_asked = s->commits;
	return true;
}

/* Until all is moved: then the next commit begins the log anew. What is added meanwhile is little. */
static int move_log(sqlite3 *db)
{
	int frames = 0, moved = -1, rc = SQLITE_OK;

	for (int i = 0; i < PASSES_MAX && rc == SQLITE_OK && moved < frames; i++)
		rc = sqlite3_wal_checkpoint_v2(db, "main", SQLITE_CHECKPOINT_PASSIVE, &frames, &moved);
	return rc == SQLITE_OK || rc == SQLITE_BUSY ? 0 : ERR_STORE;
}

int store_log_move(const char *path)
{
	sqlite3 *db = NULL;
	struct store_mark mark;
	int r = sum_vfs();

	if (r < 0)
		return r;
	int rc = sqlite3_open_v2(
		path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, SUM_VFS);
	r = rc == SQLITE_OK ? 0 : ERR_STORE;
	if (r == 0) {
		sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
		rc = sqlite3_exec(db, "PRAGMA synchronous=FULL; PRAGMA cache_size=-64", NULL, NULL, NULL);
		r = rc == SQLITE_OK ? mark_read(db, &mark) : ERR_STORE; /* this opens the log */
	}
	if (r == 0)
		r = move_log(db);
	sqlite3_close(db);
	return r;
}
