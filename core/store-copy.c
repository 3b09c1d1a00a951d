/* SPDX-License-Identifier: Apache-2.0 */
/*
 * perigee.db.copy: the second copy of the database. SQLite's online backup, page by page under one snapshot,
 * so that the supervisor goes on writing meanwhile; checked, synced, and only then put in the place of the
 * copy before it. Reading every page it also finds damage while a good copy is still there.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "core/file.h"
#include "store-private.h"

#define PAGES_A_STEP 256

static int open_one(const char *path, int flags, sqlite3 **ret_db)
{
	return sqlite3_open_v2(path, ret_db, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, SUM_VFS);
}

static int copy_pages(sqlite3 *from, sqlite3 *to, const atomic_bool *stop)
{
	sqlite3_backup *b = sqlite3_backup_init(to, "main", from, "main");
	int rc = b ? SQLITE_OK : sqlite3_extended_errcode(to);

	while (rc == SQLITE_OK) {
		if (stop && atomic_load(stop))
			rc = SQLITE_INTERRUPT;
		else
			rc = sqlite3_backup_step(b, PAGES_A_STEP);
	}
	int end = sqlite3_backup_finish(b);
	return rc == SQLITE_DONE ? end : rc;
}

static int said(sqlite3 *db, int rc, bool source, struct store_copy *ret_copy, char *ret_reason, size_t cap)
{
	int kind = rc & 0xff;

	ret_copy->damaged =
		source && (kind == SQLITE_CORRUPT || kind == SQLITE_NOTADB || rc == SQLITE_IOERR_DATA ||
				  rc == SQLITE_IOERR_READ || rc == SQLITE_IOERR_SHORT_READ);
	snprintf(ret_reason, cap, "%s",
		rc == SQLITE_IOERR_DATA ? "a page is not as it was written" : sqlite3_errstr(rc));
	(void)db;
	if (kind == SQLITE_INTERRUPT)
		return -ECANCELED;
	return kind == SQLITE_FULL ? -ENOSPC : ERR_STORE;
}

static int vacuum_into(sqlite3 *from, const char *tmp)
{
	char *sql = sqlite3_mprintf("COMMIT; VACUUM INTO %Q", tmp);

	unlink(tmp);
	int rc = sql ? sqlite3_exec(from, sql, NULL, NULL, NULL) : SQLITE_NOMEM;
	sqlite3_free(sql);
	return rc;
}

/* Writes the copy to `tmp`, as a database that needs no WAL beside it. */
static int write_copy(const char *path, const char *tmp, const atomic_bool *stop, struct store_copy *ret_copy,
	char *ret_reason, size_t cap)
{
	sqlite3 *from = NULL, *to = NULL;
	bool source = true;
	int rc = open_one(path, SQLITE_OPEN_READONLY, &from);

	if (rc == SQLITE_OK)
		rc = sqlite3_exec(
			from, "PRAGMA cache_size=-256; BEGIN; SELECT turn FROM store_mark", NULL, NULL, NULL);
	if (rc == SQLITE_OK) {
		source = false;
		rc = open_one(tmp, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, &to);
	}
	/* A crash while it is written leaves a file that the next one removes. */
	if (rc == SQLITE_OK && sum_reserve(to) < 0)
		rc = SQLITE_ERROR;
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(to,
			"PRAGMA synchronous=OFF; PRAGMA journal_mode=OFF; PRAGMA cache_size=-512", NULL, NULL,
			NULL);
	if (rc == SQLITE_OK) {
		source = true;
		rc = copy_pages(from, to, stop);
	}
	if (rc == SQLITE_IOERR_DATA) {
		/* A page that nothing uses may be damaged; then what is used can be copied. */
		sqlite3_close(to);
		to = NULL;
		rc = vacuum_into(from, tmp);
	} else if (rc == SQLITE_OK) {
		source = false;
		rc = sqlite3_exec(to, "PRAGMA journal_mode=DELETE", NULL, NULL, NULL);
	}
	int r = rc == SQLITE_OK ? 0 : said(from, rc, source, ret_copy, ret_reason, cap);
	sqlite3_close(to);
	sqlite3_close(from);
	return r;
}

static int check_copy(const char *tmp, struct store_copy *ret_copy, char *ret_reason, size_t cap)
{
	sqlite3 *db = NULL;
	struct store_mark mark;
	struct stat st;
	CLEAN_FD int fd = open(tmp, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || fsync(fd) < 0 || fstat(fd, &st) < 0) {
		int r = -errno;
		snprintf(ret_reason, cap, "%s", err_text(r));
		return r;
	}
	int r = 0, rc = open_one(tmp, SQLITE_OPEN_READONLY, &db);
	if (rc != SQLITE_OK) {
		snprintf(ret_reason, cap, "%s", sqlite3_errstr(rc));
		r = ERR_STORE;
	}
	if (r == 0)
		r = check_pages(db, ret_reason, cap);
	if (r == 0 && (r = mark_read(db, &mark)) < 0)
		snprintf(ret_reason, cap, "the copy does not say which turn it is of");
	sqlite3_close(db);
	if (r < 0)
		return ERR_STORE;
	ret_copy->turn = mark.turn;
	ret_copy->at = mark.at;
	ret_copy->bytes = (uint64_t)st.st_size;
	return 0;
}

int store_copy_make(
	const char *path, const atomic_bool *stop, struct store_copy *ret_copy, char *ret_reason, size_t cap)
{
	char tmp[PATH_MAX], copy[PATH_MAX], folder[PATH_MAX];
	const char *slash = strrchr(path, '/');
	struct store_copy made = {0};
	int r = path_format(tmp, sizeof(tmp), "%s.copy-new", path);

	if (r == 0)
		r = path_format(copy, sizeof(copy), "%s.copy", path);
	if (r == 0)
		r = slash ? path_format(folder, sizeof(folder), "%.*s", (int)(slash - path + 1), path)
			  : path_format(folder, sizeof(folder), ".");
	if (r == 0)
		r = sum_vfs();
	if (r < 0) {
		snprintf(ret_reason, cap, "%s", err_text(r));
		return r;
	}
	unlink(tmp);
	r = write_copy(path, tmp, stop, &made, ret_reason, cap);
	if (r == 0)
		r = check_copy(tmp, &made, ret_reason, cap);
	if (r == 0 && (rename(tmp, copy) < 0 || (r = dir_sync(folder)) < 0)) {
		r = r < 0 ? r : -errno;
		snprintf(ret_reason, cap, "%s", err_text(r));
	}
	if (r < 0)
		unlink(tmp);
	*ret_copy = made;
	return r;
}
