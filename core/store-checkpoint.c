/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Moving the WAL into the database aside: a thread with a connection of its own does it (PASSIVE: it waits
 * for nobody, and nobody for it), so that a commit costs its own fsync and no more.
 *
 * SQLite begins the WAL anew at a turn that finds all of it moved. Under a load that never pauses the thread
 * is always some pages behind; then, once the WAL is long, the committing thread moves the last few itself:
 * one small fsync.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "core/log.h"
#include "store-private.h"

#define OFTEN_PAGES 400 /* newly in the WAL: worth moving */
#define LONG_PAGES 2000 /* of the WAL: from here on it is to begin anew */
#define FEW_PAGES 64    /* that the committing thread may move */

struct aside {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	sqlite3 *db; /* the thread's */
	bool wanted, busy, stop;
	int moved;  /* pages of the WAL, as the thread left it */
	int failed; /* the last result, if it was not good */
	int pages;  /* of the WAL, after the last commit: of the committing thread only */
	bool told;
};

static void *work(void *arg)
{
	struct aside *a = arg;

	pthread_mutex_lock(&a->lock);
	while (!a->stop) {
		if (!a->wanted) {
			pthread_cond_wait(&a->wake, &a->lock);
			continue;
		}
		a->wanted = false;
		a->busy = true;
		pthread_mutex_unlock(&a->lock);
		int pages = 0, moved = 0;
		int rc = sqlite3_wal_checkpoint_v2(a->db, NULL, SQLITE_CHECKPOINT_PASSIVE, &pages, &moved);
		pthread_mutex_lock(&a->lock);
		a->busy = false;
		if (rc == SQLITE_OK)
			a->moved = moved;
		a->failed = rc == SQLITE_BUSY ? SQLITE_OK : rc;
	}
	pthread_mutex_unlock(&a->lock);
	return NULL;
}

/* After each commit, in the committing thread. */
static int on_commit(void *arg, sqlite3 *db, const char *name, int pages)
{
	struct aside *a = arg;

	(void)db;
	(void)name;
	a->pages = pages;
	return SQLITE_OK;
}

void aside_committed(struct aside *a, sqlite3 *db)
{
	int pages = a->pages, failed;
	bool finish = false;

	pthread_mutex_lock(&a->lock);
	if (pages < a->moved) /* it has begun anew */
		a->moved = 0;
	int left = pages - a->moved;
	if (!a->busy) {
		finish = pages >= LONG_PAGES && left <= FEW_PAGES;
		a->wanted = !finish && (left >= OFTEN_PAGES || (pages >= LONG_PAGES && left > FEW_PAGES));
		if (a->wanted)
			pthread_cond_signal(&a->wake);
	}
	failed = a->failed;
	pthread_mutex_unlock(&a->lock);
	if (finish)
		(void)sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
	if (failed && !a->told)
		log_warning("database: its WAL cannot be moved into it: %s", sqlite3_errstr(failed));
	a->told = failed != 0;
}

static void finish(struct aside *a)
{
	sqlite3_close(a->db);
	pthread_cond_destroy(&a->wake);
	pthread_mutex_destroy(&a->lock);
	free(a);
}

void aside_stop(struct aside *a)
{
	if (!a)
		return;
	pthread_mutex_lock(&a->lock);
	a->stop = true;
	pthread_cond_signal(&a->wake);
	pthread_mutex_unlock(&a->lock);
	pthread_join(a->thread, NULL);
	finish(a);
}

int store_checkpoint_aside(struct store *s)
{
	struct aside *a = calloc(1, sizeof(*a));

	ensure(s->path && !s->aside && !s->changing);
	if (!a)
		return -ENOMEM;
	pthread_mutex_init(&a->lock, NULL);
	pthread_cond_init(&a->wake, NULL);
	int rc = sqlite3_open_v2(s->path, &a->db,
		SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, SUM_VFS);
	if (rc == SQLITE_OK) /* the synchronous of the commits: a page is moved only when it is durable in the
				WAL */
		rc = sqlite3_exec(a->db,
			"PRAGMA synchronous=FULL; PRAGMA cache_size=-64; SELECT turn FROM store_mark", NULL,
			NULL, NULL);
	if (rc != SQLITE_OK) {
		finish(a);
		return ERR_STORE;
	}
	int r = pthread_create(&a->thread, NULL, work, a);
	if (r != 0) {
		finish(a);
		return -r;
	}
	sqlite3_wal_hook(s->db, on_commit, a); /* in the place of SQLite's own */
	s->aside = a;
	return 0;
}
