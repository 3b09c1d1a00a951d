/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the store share. */
#ifndef CORE_STORE_PRIVATE_H
#define CORE_STORE_PRIVATE_H

#include "core/store.h"

#define STATEMENTS_MAX 512
/* As many pages as a turn of a queue with a million tasks touches anew are worth keeping; a small database
 * takes as much as it has. */
#define PAGE_CACHE_KIB 4096

struct effect {
	void (*fn)(void *arg);
	void (*drop)(void *arg);
	void *arg;
};

struct cached_stmt {
	const char *sql; /* borrowed for ever: a literal */
	sqlite3_stmt *stmt;
};

/* Which commit a database is at. */
struct store_mark {
	int64_t id; /* of the database, random; 0: unknown */
	uint64_t turn;
	struct utc_time at;
};

/* What the file beside the database says. */
struct store_note {
	struct store_mark mark; /* acknowledged last */
	bool closed;            /* in order; then the database file was as follows */
	int64_t mtime_ns;
	uint64_t bytes;
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
	struct store_mark mark; /* id 0: opened read-only, or marks are not kept */
	int mark_fd;            /* of the mark's file, or -1 */
	char *path;             /* NULL: opened read-only */
	int wal_fd;             /* to reserve room with, or -1 */
	uint64_t wal_reserved;  /* its blocks are there up to here */
	uint64_t wal_size;      /* when that was last looked at */
	bool held;              /* the turn's commit waits for room */
	int log_frames;         /* of the WAL, after the last commit */
	uint64_t log_asked;     /* at which commit it was last said to be due */
	struct store_report report;
};

/* ---- store-sum.c: a VFS over the default one: each page of a database carries a checksum ---- */

#define SUM_VFS "perigee-sum"
#define SUM_PAGE_BYTES 4096
#define SUM_RESERVED_BYTES 8

/* Registers it; may be called often and from any thread. */
WARN_UNUSED int sum_vfs(void);
/* A new database is to have room for the sums: before its first page is written. */
WARN_UNUSED int sum_reserve(sqlite3 *db);
/* Sums the pages that have none, but for those of zeros only. The database is not open. */
WARN_UNUSED int sum_missing(const char *path);

/* ---- store-open.c ---- */

/* Reads the mark within a database. ERR_STORE when it has none. */
WARN_UNUSED int mark_read(sqlite3 *db, struct store_mark *ret_mark);
/* PRAGMA quick_check: 0, or ERR_STORE with what it found. */
WARN_UNUSED int check_pages(sqlite3 *db, char *ret_reason, size_t cap);

/* ---- store-log.c ---- */

/* Its commits tell how long the WAL is. After the pragmas. */
void log_watch(struct store *s);

/* ---- store-room.c: room for the next commit, before it is made ---- */

/* 0, or -ENOSPC: what the turn has changed, and so much more, would not fit. */
WARN_UNUSED int room_take(struct store *s, uint64_t more_bytes);
/* A small file that is given up when a start finds the disk full, and made again when there is space. */
void room_spare_use(const char *db_path);
void room_spare_make(const char *db_path);

/* ---- store-mark.c: the file beside the database that says which commit was acknowledged last ---- */

WARN_UNUSED int mark_open(const char *db_path, int *ret_fd);
/* False when there is none, or it is not whole. */
bool mark_load(int fd, struct store_note *ret_note);
/* After each commit. */
void mark_save(int fd, const struct store_mark *mark);
/* After the database is closed in order. */
void mark_closed(int fd, const struct store_mark *mark, const char *db_path);
/* Whether another program has written to the database since, as far as its note and its files tell. */
bool mark_foreign(const struct store_note *note, const char *db_path);

#endif
