/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Room on the disk for a commit. A commit that runs into a full disk is rolled back by SQLite, and the turn
 * with it, though its process has gone on. So the blocks of the WAL are reserved before: when there are none
 * the turn stays open, in memory, and is committed when there is space.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "core/file.h"
#include "store-private.h"

#define FRAME_BYTES (SUM_PAGE_BYTES + 24)
#define AHEAD_BYTES                                                                                          \
	(1u << 20) /* reserved beyond what the next commit needs, so that not each one has to ask */
#define SPARE_BYTES (1u << 20)

/* All pages that the turn may have changed: they are in the cache, for it does not spill. */
static uint64_t needed(struct store *s)
{
	int used = 0, highest = 0;

	sqlite3_db_status(s->db, SQLITE_DBSTATUS_CACHE_USED, &used, &highest, 0);
	return ((uint64_t)used / SUM_PAGE_BYTES + 8) * FRAME_BYTES;
}

static int open_wal(struct store *s)
{
	char path[PATH_MAX];
	int r = path_format(path, sizeof(path), "%s-wal", s->path);

	if (r < 0)
		return r;
	/* Closing it frees no lock: SQLite has none on this file. */
	s->wal_fd = open(path, O_RDWR | O_CLOEXEC);
	return s->wal_fd < 0 ? -errno : 0;
}

int room_take(struct store *s, uint64_t more_bytes)
{
	struct stat st;
	int r = s->wal_fd < 0 ? open_wal(s) : 0;

	if (r < 0)
		return r == -ENOSPC ? r : 0; /* no such file: the commit itself will tell */
	if (fstat(s->wal_fd, &st) < 0)
		return 0;
	uint64_t size = (uint64_t)st.st_size, end = size + needed(s) + more_bytes;
	if (size < s->wal_size)
		s->wal_reserved = size; /* it was cut off, and its blocks with it */
	s->wal_size = size;
	if (end <= s->wal_reserved)
		return 0;
	/* The size stays: SQLite sees nothing of it. */
	if (fallocate(s->wal_fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)(end + AHEAD_BYTES)) == 0) {
		s->wal_reserved = end + AHEAD_BYTES;
		return 0;
	}
	if (errno == ENOSPC && fallocate(s->wal_fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)end) == 0) {
		s->wal_reserved = end;
		return 0;
	}
	if (errno == ENOSPC || errno == EDQUOT)
		return -ENOSPC;
	struct statvfs fs; /* a file system that cannot reserve */
	if (fstatvfs(s->wal_fd, &fs) == 0 && (uint64_t)fs.f_bavail * fs.f_frsize < end - size + AHEAD_BYTES)
		return -ENOSPC;
	return 0;
}

static int spare_path(const char *db_path, char ret_path[PATH_MAX])
{
	return path_format(ret_path, PATH_MAX, "%s.spare", db_path);
}

void room_spare_use(const char *db_path)
{
	char path[PATH_MAX];

	if (spare_path(db_path, path) == 0)
		unlink(path);
}

void room_spare_make(const char *db_path)
{
	char path[PATH_MAX];
	struct stat st;

	if (spare_path(db_path, path) < 0 || (stat(path, &st) == 0 && st.st_size == SPARE_BYTES))
		return;
	CLEAN_FD int fd = open(path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd >= 0 && fallocate(fd, 0, 0, SPARE_BYTES) < 0)
		unlink(path);
}
