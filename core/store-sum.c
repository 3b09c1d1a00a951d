/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A checksum in each page of a database. SQLite trusts what the disk says: a flipped bit in a row is a
 * different row. This VFS writes a sum into the last 8 bytes of each page on its way to the database file
 * (SQLite is told to leave them alone: byte 20 of the header) and compares it when the page is read: a page
 * that is not as it was written is an I/O error (SQLITE_IOERR_DATA) and never data. The WAL has sums of its
 * own.
 *
 * SQLite itself never sees a sum but 0. So a page that another program has written there (sqlite3 by hand,
 * which moves the WAL into the database when it is the last to close it) says 0, and is taken unchecked until
 * we write it.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>

#include "core/bytes.h"
#include "store-private.h"

#define HEADER_RESERVED 20 /* offset of the byte in page 1 */
#define HEADER_PAGE_BYTES 16

struct sum_file {
	sqlite3_file base;
	sqlite3_file *real;
	bool summed; /* a database whose pages have room for a sum */
};

static sqlite3_vfs sum;

static sqlite3_vfs *under(void)
{
	return sqlite3_vfs_find(NULL);
}

/* Each step can be undone, so that no change within one word of 8 bytes goes unseen; others do with 2^-64.
 * The number of the page counts: a page at another page's place is wrong. */
static uint64_t sum_of(const uint8_t *page, int64_t at)
{
	uint64_t h = UINT64_C(0x9e3779b97f4a7c15) ^ (uint64_t)at;

	for (size_t i = 0; i < SUM_PAGE_BYTES - SUM_RESERVED_BYTES; i += 8) {
		uint64_t word;

		memcpy(&word, page + i, sizeof(word));
		h = (h ^ le64toh(word)) * UINT64_C(0xff51afd7ed558ccd);
		h ^= h >> 32;
	}
	return h ? h : 1; /* 0: there is none */
}

static uint64_t sum_in(const uint8_t *page)
{
	uint64_t v;

	memcpy(&v, page + SUM_PAGE_BYTES - SUM_RESERVED_BYTES, sizeof(v));
	return le64toh(v);
}

static void set_sum(uint8_t *page, uint64_t v)
{
	v = htole64(v);
	memcpy(page + SUM_PAGE_BYTES - SUM_RESERVED_BYTES, &v, sizeof(v));
}

/* A database never has a page of zeros only: that is what a lost block of a disk reads as. */
static bool all_zero(const uint8_t *page)
{
	return page[0] == 0 && !memcmp(page, page + 1, SUM_PAGE_BYTES - 1);
}

static bool as_written(const uint8_t *page, int64_t at)
{
	return sum_in(page) == sum_of(page, at);
}

static bool is_page(const struct sum_file *f, int len, int64_t at)
{
	return f->summed && len == SUM_PAGE_BYTES && at % SUM_PAGE_BYTES == 0;
}

/* ---- the file's methods ---- */

static struct sum_file *file_of(sqlite3_file *f)
{
	return (struct sum_file *)f;
}

static int on_close(sqlite3_file *f)
{
	sqlite3_file *real = file_of(f)->real;
	int rc = real->pMethods ? real->pMethods->xClose(real) : SQLITE_OK;

	sqlite3_free(real);
	return rc;
}

static int on_read(sqlite3_file *f, void *buf, int len, sqlite3_int64 at)
{
	sqlite3_file *real = file_of(f)->real;
	int rc = real->pMethods->xRead(real, buf, len, at);

	if (rc != SQLITE_OK || !file_of(f)->summed || len < 512)
		return rc;
	/* In other pieces it is read only when the header lies about the size of a page. */
	if (!is_page(file_of(f), len, at) || !as_written(buf, at))
		return SQLITE_IOERR_DATA;
	set_sum(buf, 0);
	return SQLITE_OK;
}

static int on_write(sqlite3_file *f, const void *buf, int len, sqlite3_int64 at)
{
	sqlite3_file *real = file_of(f)->real;
	uint8_t page[SUM_PAGE_BYTES];

	if (is_page(file_of(f), len, at) && at == 0 &&
		((const uint8_t *)buf)[HEADER_RESERVED] != SUM_RESERVED_BYTES)
		file_of(f)->summed = false; /* made by something that left no room */
	if (!is_page(file_of(f), len, at))
		return real->pMethods->xWrite(real, buf, len, at);
	memcpy(page, buf, sizeof(page));
	set_sum(page, sum_of(page, at));
	return real->pMethods->xWrite(real, page, len, at);
}

static int on_truncate(sqlite3_file *f, sqlite3_int64 size)
{
	return file_of(f)->real->pMethods->xTruncate(file_of(f)->real, size);
}

static int on_sync(sqlite3_file *f, int flags)
{
	return file_of(f)->real->pMethods->xSync(file_of(f)->real, flags);
}

static int on_size(sqlite3_file *f, sqlite3_int64 *ret_size)
{
	return file_of(f)->real->pMethods->xFileSize(file_of(f)->real, ret_size);
}

static int on_lock(sqlite3_file *f, int level)
{
	return file_of(f)->real->pMethods->xLock(file_of(f)->real, level);
}

static int on_unlock(sqlite3_file *f, int level)
{
	return file_of(f)->real->pMethods->xUnlock(file_of(f)->real, level);
}

static int on_check_lock(sqlite3_file *f, int *ret_held)
{
	return file_of(f)->real->pMethods->xCheckReservedLock(file_of(f)->real, ret_held);
}

static int on_control(sqlite3_file *f, int op, void *arg)
{
	return file_of(f)->real->pMethods->xFileControl(file_of(f)->real, op, arg);
}

static int on_sector(sqlite3_file *f)
{
	return file_of(f)->real->pMethods->xSectorSize(file_of(f)->real);
}

static int on_traits(sqlite3_file *f)
{
	return file_of(f)->real->pMethods->xDeviceCharacteristics(file_of(f)->real);
}

static int on_shm_map(sqlite3_file *f, int region, int bytes, int extend, void volatile **ret_at)
{
	return file_of(f)->real->pMethods->xShmMap(file_of(f)->real, region, bytes, extend, ret_at);
}

static int on_shm_lock(sqlite3_file *f, int at, int n, int flags)
{
	return file_of(f)->real->pMethods->xShmLock(file_of(f)->real, at, n, flags);
}

static void on_shm_barrier(sqlite3_file *f)
{
	file_of(f)->real->pMethods->xShmBarrier(file_of(f)->real);
}

static int on_shm_unmap(sqlite3_file *f, int delete)
{
	return file_of(f)->real->pMethods->xShmUnmap(file_of(f)->real, delete);
}

static const sqlite3_io_methods methods = {
	.iVersion = 2, /* no xFetch: pages do not come past on_read */
	.xClose = on_close,
	.xRead = on_read,
	.xWrite = on_write,
	.xTruncate = on_truncate,
	.xSync = on_sync,
	.xFileSize = on_size,
	.xLock = on_lock,
	.xUnlock = on_unlock,
	.xCheckReservedLock = on_check_lock,
	.xFileControl = on_control,
	.xSectorSize = on_sector,
	.xDeviceCharacteristics = on_traits,
	.xShmMap = on_shm_map,
	.xShmLock = on_shm_lock,
	.xShmBarrier = on_shm_barrier,
	.xShmUnmap = on_shm_unmap,
};

/* Whether the pages of this database have sums: a new one's will; one's from before there were any do not;
 * and where only the header says they do not, the header is what is damaged. */
static bool has_sums(sqlite3_file *real)
{
	uint8_t page[SUM_PAGE_BYTES];

	if (real->pMethods->xRead(real, page, sizeof(page), 0) != SQLITE_OK)
		return true; /* empty, or nothing that a database could be */
	bool room = page[HEADER_RESERVED] == SUM_RESERVED_BYTES;
	bool size = page[HEADER_PAGE_BYTES] == SUM_PAGE_BYTES >> 8 && page[HEADER_PAGE_BYTES + 1] == 0;
	if (room && size)
		return true;
	page[HEADER_RESERVED] = SUM_RESERVED_BYTES;
	page[HEADER_PAGE_BYTES] = SUM_PAGE_BYTES >> 8;
	page[HEADER_PAGE_BYTES + 1] = 0;
	return sum_in(page) == sum_of(page, 0);
}

static int on_open(sqlite3_vfs *v, const char *name, sqlite3_file *f, int flags, int *ret_flags)
{
	sqlite3_vfs *real = under();
	struct sum_file *file = file_of(f);

	*file = (struct sum_file){.real = sqlite3_malloc(real->szOsFile)};
	if (!file->real)
		return SQLITE_NOMEM;
	memset(file->real, 0, (size_t)real->szOsFile);
	int rc = real->xOpen(real, name, file->real, flags, ret_flags);
	if (rc != SQLITE_OK) {
		if (file->real->pMethods)
			file->real->pMethods->xClose(file->real);
		sqlite3_free(file->real);
		return rc;
	}
	file->summed = flags & SQLITE_OPEN_MAIN_DB && has_sums(file->real);
	file->base.pMethods = &methods;
	return SQLITE_OK;
	(void)v;
}

static int on_delete(sqlite3_vfs *v, const char *name, int sync_folder)
{
	return under()->xDelete(under(), name, sync_folder);
	(void)v;
}

static int on_access(sqlite3_vfs *v, const char *name, int flags, int *ret_there)
{
	return under()->xAccess(under(), name, flags, ret_there);
	(void)v;
}

static int on_full_name(sqlite3_vfs *v, const char *name, int cap, char *ret_name)
{
	return under()->xFullPathname(under(), name, cap, ret_name);
	(void)v;
}

static int on_error(sqlite3_vfs *v, int cap, char *ret_text)
{
	return under()->xGetLastError(under(), cap, ret_text);
	(void)v;
}

static void make(void)
{
	sqlite3_initialize();
	sum = *under(); /* clocks, randomness and the like */
	sum.pNext = NULL;
	sum.zName = SUM_VFS;
	sum.szOsFile = (int)sizeof(struct sum_file);
	sum.xOpen = on_open;
	sum.xDelete = on_delete;
	sum.xAccess = on_access;
	sum.xFullPathname = on_full_name;
	sum.xGetLastError = on_error;
	sqlite3_vfs_register(&sum, 0);
}

int sum_vfs(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, make);
	return sqlite3_vfs_find(SUM_VFS) ? 0 : ERR_STORE;
}

int sum_reserve(sqlite3 *db)
{
	int n = SUM_RESERVED_BYTES;

	return sqlite3_file_control(db, "main", SQLITE_FCNTL_RESERVE_BYTES, &n) == SQLITE_OK ? 0 : ERR_STORE;
}

int sum_missing(const char *path)
{
	uint8_t page[SUM_PAGE_BYTES];
	CLEAN_FD int fd = open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	for (int64_t at = 0; pread(fd, page, sizeof(page), at) == (ssize_t)sizeof(page);
		at += SUM_PAGE_BYTES) {
		bool room = page[HEADER_RESERVED] == SUM_RESERVED_BYTES &&
			    page[HEADER_PAGE_BYTES] == SUM_PAGE_BYTES >> 8 &&
			    page[HEADER_PAGE_BYTES + 1] == 0;
		if (at == 0 && !room)
			return 0;
		if (sum_in(page) != 0 || all_zero(page))
			continue;
		set_sum(page, sum_of(page, at));
		if (pwrite(fd, page + SUM_PAGE_BYTES - SUM_RESERVED_BYTES, SUM_RESERVED_BYTES,
			    at + SUM_PAGE_BYTES - SUM_RESERVED_BYTES) != SUM_RESERVED_BYTES)
			return errno ? -errno : -EIO;
	}
	return fsync(fd) < 0 ? -errno : 0;
}
