/* SPDX-License-Identifier: Apache-2.0 */
#include "vfs.h"

#include <fcntl.h>
#include <limits.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <string.h>

#include "core/file.h"

#define FILES_MAX 8
#define FILE_BYTES_MAX (8u << 20)

struct change {
	enum change_kind kind;
	uint8_t file;
	bool folder; /* of a delete or a sync: the folder is synced with it */
	int64_t offset;
	size_t len;
	uint8_t *data;
};

struct vfs_file {
	sqlite3_file base;
	int number;        /* -1: not recorded (temporary files) */
	bool folder_dirty; /* its first sync syncs its folder too, as the real one does for a new journal or
			      WAL */
	sqlite3_file *real;
};

static sqlite3_vfs shim, *under;
static char names[FILES_MAX][64];
static size_t n_names;
static struct change *changes;
static size_t n_changes, cap_changes;
static size_t refuse_from, refuse_many, n_refused;
static enum refusal refusal;

static uint64_t next(uint64_t *seed)
{
	uint64_t z = (*seed += UINT64_C(0x9e3779b97f4a7c15));
	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

/* ---- the recording ---- */

static int number_of(const char *path)
{
	const char *slash = path ? strrchr(path, '/') : NULL;

	if (!slash)
		return -1;
	for (size_t i = 0; i < n_names; i++)
		if (!strcmp(names[i], slash + 1))
			return (int)i;
	ensure(n_names < FILES_MAX && strlen(slash + 1) < sizeof(names[0]));
	strcpy(names[n_names], slash + 1);
	return (int)n_names++;
}

static void record(enum change_kind kind, int file, bool folder, int64_t offset, const void *data, size_t len)
{
	if (file < 0)
		return;
	if (n_changes == cap_changes) {
		cap_changes = cap_changes ? 2 * cap_changes : 1024;
		changes = reallocarray(changes, cap_changes, sizeof(*changes));
		ensure(changes);
	}
	struct change *c = &changes[n_changes++];
	*c = (struct change){
		.kind = kind, .file = (uint8_t)file, .folder = folder, .offset = offset, .len = len};
	if (data) {
		c->data = malloc(len ? len : 1);
		ensure(c->data);
		memcpy(c->data, data, len);
	}
}

static void forget(void)
{
	for (size_t i = 0; i < n_changes; i++)
		free(changes[i].data);
	n_changes = n_names = n_refused = refuse_many = 0;
}

/* Whether the change that is about to be made is refused. */
static bool refused(void)
{
	if (n_changes < refuse_from || refuse_many == 0)
		return false;
	refuse_many--;
	n_refused++;
	return true;
}

/* ---- the files ---- */

static sqlite3_file *real_of(sqlite3_file *f)
{
	return ((struct vfs_file *)f)->real;
}

static int number(sqlite3_file *f)
{
	return ((struct vfs_file *)f)->number;
}

static int on_close(sqlite3_file *f)
{
	return real_of(f)->pMethods ? real_of(f)->pMethods->xClose(real_of(f)) : SQLITE_OK;
}

static int on_read(sqlite3_file *f, void *buf, int len, sqlite3_int64 at)
{
	return real_of(f)->pMethods->xRead(real_of(f), buf, len, at);
}

static int do_write(sqlite3_file *f, const void *buf, int len, sqlite3_int64 at)
{
	int rc = real_of(f)->pMethods->xWrite(real_of(f), buf, len, at);

	if (rc == SQLITE_OK)
		record(CHANGE_WRITE, number(f), false, at, buf, (size_t)len);
	return rc;
}

static int on_write(sqlite3_file *f, const void *buf, int len, sqlite3_int64 at)
{
	static uint64_t noise_seed = 1;

	if (number(f) < 0 || !refused())
		return do_write(f, buf, len, at);
	if (refusal == REFUSE_IO)
		return SQLITE_IOERR_WRITE;
	uint8_t *part = malloc((size_t)len);
	ensure(part);
	memcpy(part, buf, (size_t)len);
	for (int i = len / 2; i < len; i++)
		part[i] = (uint8_t)next(&noise_seed);
	int rc = do_write(f, part, refusal == REFUSE_FULL ? len / 2 : len, at);
	free(part);
	if (rc != SQLITE_OK)
		return rc;
	return refusal == REFUSE_FULL ? SQLITE_FULL : SQLITE_IOERR_WRITE;
}

static int on_truncate(sqlite3_file *f, sqlite3_int64 size)
{
	if (number(f) >= 0 && refused())
		return SQLITE_IOERR_TRUNCATE;
	int rc = real_of(f)->pMethods->xTruncate(real_of(f), size);
	if (rc == SQLITE_OK)
		record(CHANGE_TRUNCATE, number(f), false, size, NULL, 0);
	return rc;
}

static int on_sync(sqlite3_file *f, int flags)
{
	/* After a failed fsync the kernel may have dropped what was dirty: it is not synced, now or later. */
	if (number(f) >= 0 && refused())
		return SQLITE_IOERR_FSYNC;
	/* The real disk of the test need not sync: what a sync means is decided by vfs_lay_out. */
	record(CHANGE_SYNC, number(f), ((struct vfs_file *)f)->folder_dirty, 0, NULL, 0);
	((struct vfs_file *)f)->folder_dirty = false;
	return SQLITE_OK;
}

static int on_size(sqlite3_file *f, sqlite3_int64 *ret_size)
{
	return real_of(f)->pMethods->xFileSize(real_of(f), ret_size);
}

static int on_lock(sqlite3_file *f, int level)
{
	return real_of(f)->pMethods->xLock(real_of(f), level);
}

static int on_unlock(sqlite3_file *f, int level)
{
	return real_of(f)->pMethods->xUnlock(real_of(f), level);
}

static int on_check_lock(sqlite3_file *f, int *ret_held)
{
	return real_of(f)->pMethods->xCheckReservedLock(real_of(f), ret_held);
}

static int on_control(sqlite3_file *f, int op, void *arg)
{
	return real_of(f)->pMethods->xFileControl(real_of(f), op, arg);
}

static int on_sector(sqlite3_file *f)
{
	return real_of(f)->pMethods->xSectorSize(real_of(f));
}

static int on_traits(sqlite3_file *f)
{
	/* Nothing outside of a written range changes; that is all it promises. */
	return real_of(f)->pMethods->xDeviceCharacteristics(real_of(f)) & SQLITE_IOCAP_POWERSAFE_OVERWRITE;
}

static int on_shm_map(sqlite3_file *f, int region, int bytes, int extend, void volatile **ret_at)
{
	return real_of(f)->pMethods->xShmMap(real_of(f), region, bytes, extend, ret_at);
}

static int on_shm_lock(sqlite3_file *f, int at, int n, int flags)
{
	return real_of(f)->pMethods->xShmLock(real_of(f), at, n, flags);
}

static void on_shm_barrier(sqlite3_file *f)
{
	real_of(f)->pMethods->xShmBarrier(real_of(f));
}

static int on_shm_unmap(sqlite3_file *f, int delete)
{
	return real_of(f)->pMethods->xShmUnmap(real_of(f), delete);
}

static const sqlite3_io_methods methods = {
	.iVersion = 2, /* no xFetch: everything goes through on_read and on_write */
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

static int on_open(sqlite3_vfs *v, const char *name, sqlite3_file *f, int flags, int *ret_flags)
{
	struct vfs_file *file = (struct vfs_file *)f;
	int recorded = SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_WAL;

	file->real = (sqlite3_file *)(file + 1);
	memset(file->real, 0, (size_t)under->szOsFile);
	int rc = under->xOpen(under, name, file->real, flags, ret_flags);
	if (rc != SQLITE_OK)
		return rc;
	file->number = flags & recorded ? number_of(name) : -1;
	file->folder_dirty =
		flags & SQLITE_OPEN_CREATE && flags & (SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_WAL);
	file->base.pMethods = &methods;
	return SQLITE_OK;
	(void)v;
}

static int on_delete(sqlite3_vfs *v, const char *name, int sync_folder)
{
	if (refused())
		return SQLITE_IOERR_DELETE;
	int rc = under->xDelete(under, name, 0);
	if (rc == SQLITE_OK)
		record(CHANGE_DELETE, number_of(name), sync_folder, 0, NULL, 0);
	return rc;
	(void)v;
}

void vfs_install(void)
{
	forget();
	under = sqlite3_vfs_find(NULL);
	ensure(under && under != &shim);
	shim = *under; /* names, clocks and randomness are the real one's */
	shim.pNext = NULL;
	shim.zName = "fault";
	shim.szOsFile = (int)sizeof(struct vfs_file) + under->szOsFile;
	shim.xOpen = on_open;
	shim.xDelete = on_delete;
	ensure(sqlite3_vfs_register(&shim, 1) == SQLITE_OK);
}

void vfs_remove(void)
{
	ensure(sqlite3_vfs_unregister(&shim) == SQLITE_OK);
	ensure(sqlite3_vfs_register(under, 1) == SQLITE_OK);
}

size_t vfs_changes(void)
{
	return n_changes;
}

size_t vfs_changes_of(enum change_kind kind)
{
	size_t n = 0;

	for (size_t i = 0; i < n_changes; i++)
		n += changes[i].kind == kind;
	return n;
}

void vfs_refuse(size_t n, size_t how_many, enum refusal how)
{
	refuse_from = n;
	refuse_many = how_many;
	refusal = how;
}

size_t vfs_refused(void)
{
	return n_refused;
}

/* ---- the disk after a cut ---- */

struct image {
	uint8_t *data;
	size_t len;
	bool there;
};

static void image_resize(struct image *m, size_t len)
{
	ensure(len <= FILE_BYTES_MAX);
	if (len > m->len)
		memset(m->data + m->len, 0, len - m->len);
	m->len = len;
	m->there = true;
}

static void image_write(struct image *m, int64_t at, const uint8_t *data, size_t len)
{
	if ((size_t)at + len > m->len)
		image_resize(m, (size_t)at + len);
	memcpy(m->data + at, data, len);
	m->there = true;
}

static void apply(struct image *m, const struct change *c)
{
	if (c->kind == CHANGE_WRITE) {
		image_write(m, c->offset, c->data, c->len);
	} else if (c->kind == CHANGE_TRUNCATE) {
		image_resize(m, (size_t)c->offset);
	} else if (c->kind == CHANGE_DELETE) {
		m->there = false;
		m->len = 0;
	}
}

/* A change that no sync had made sure of. */
static void apply_torn(struct image *m, const struct change *c, uint64_t *seed)
{
	uint64_t luck = next(seed) % 4;

	if (luck == 0)
		return;
	if (luck == 1 || c->kind != CHANGE_WRITE || c->len == 0) {
		apply(m, c);
		return;
	}
	size_t k = next(seed) % (c->len + 1);
	image_write(m, c->offset, c->data, k);
	if (luck == 3) {
		/* The file may have grown by the whole piece though only a part of its bytes came. */
		if ((size_t)c->offset + c->len > m->len)
			image_resize(m, (size_t)c->offset + c->len);
		for (size_t i = k; i < c->len; i++)
			m->data[(size_t)c->offset + i] = (uint8_t)next(seed);
	}
}

void vfs_lay_out(const char *dir, size_t n, enum cut cut, uint64_t seed)
{
	static uint8_t *room[FILES_MAX]; /* kept: fresh pages for every cut would be most of the time */
	struct image images[FILES_MAX] = {0};
	size_t last_sync[FILES_MAX] = {0}, folder_sync = 0; /* number of the change after it */

	ensure(n <= n_changes);
	ensure(dir_remove(dir) == 0 && dir_make(dir, 0700) == 0);
	for (size_t i = 0; i < n; i++) {
		if (changes[i].kind == CHANGE_SYNC)
			last_sync[changes[i].file] = i + 1;
		if (changes[i].folder)
			folder_sync = i + 1;
	}
	for (size_t f = 0; f < n_names; f++) {
		if (!room[f])
			ensure((room[f] = malloc(FILE_BYTES_MAX)));
		images[f].data = room[f];
	}
	for (size_t i = 0; i < n; i++) {
		const struct change *c = &changes[i];
		bool sure = i < (c->kind == CHANGE_DELETE ? folder_sync : last_sync[c->file]);

		if (sure || cut == CUT_ALL)
			apply(&images[c->file], c);
		else if (cut == CUT_TORN)
			apply_torn(&images[c->file], c, &seed);
	}
	for (size_t f = 0; f < n_names; f++) {
		char path[PATH_MAX];

		if (!images[f].there)
			continue;
		ensure(path_format(path, sizeof(path), "%s/%s", dir, names[f]) == 0);
		CLEAN_FD int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
		ensure(fd >= 0 && write_all(fd, images[f].data, images[f].len) == 0);
	}
}
