/* SPDX-License-Identifier: Apache-2.0 */
/*
 * perigee.db.turn: which commit was acknowledged last. SQLite leaves the end of a damaged WAL out without a
 * word, as it must after a power cut; this file tells the one from the other. It is written after each commit
 * and not synced: it is never ahead of the database, and after a power cut it may be behind, which proves
 * nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "core/bytes.h"
#include "core/file.h"
#include "store-private.h"

#define MARK_MAGIC UINT64_C(0x5045524954524e31) /* "PERITRN1" */
#define MARK_BYTES 57

static uint64_t sum_of(const uint8_t *m)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < MARK_BYTES - 8; i++)
		h = (h ^ m[i]) * UINT64_C(0x100000001b3);
	return h;
}

int mark_open(const char *db_path, int *ret_fd)
{
	char path[PATH_MAX];
	int r = path_format(path, sizeof(path), "%s.turn", db_path);

	if (r < 0)
		return r;
	int fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	*ret_fd = fd;
	return 0;
}

bool mark_load(int fd, struct store_note *ret_note)
{
	uint8_t m[MARK_BYTES];

	if (pread(fd, m, sizeof(m), 0) != (ssize_t)sizeof(m))
		return false;
	struct rbuf r = rbuf_of(m, sizeof(m));
	uint64_t magic = rbuf_u64(&r);
	struct store_note note;
	note.mark.id = (int64_t)rbuf_u64(&r);
	note.mark.turn = rbuf_u64(&r);
	note.mark.at.ns = (int64_t)rbuf_u64(&r);
	note.closed = rbuf_u8(&r) == 1;
	note.mtime_ns = (int64_t)rbuf_u64(&r);
	note.bytes = rbuf_u64(&r);
	if (magic != MARK_MAGIC || rbuf_u64(&r) != sum_of(m))
		return false;
	*ret_note = note;
	return true;
}

static void save(int fd, const struct store_note *note)
{
	uint8_t m[MARK_BYTES];
	struct wbuf w = wbuf_of(m, sizeof(m));

	if (fd < 0)
		return;
	wbuf_u64(&w, MARK_MAGIC);
	wbuf_u64(&w, (uint64_t)note->mark.id);
	wbuf_u64(&w, note->mark.turn);
	wbuf_u64(&w, (uint64_t)note->mark.at.ns);
	wbuf_u8(&w, note->closed);
	wbuf_u64(&w, (uint64_t)note->mtime_ns);
	wbuf_u64(&w, note->bytes);
	wbuf_u64(&w, sum_of(m));
	/* Nothing depends on it: without it a loss may go unseen, but nothing is lost. */
	if (pwrite(fd, m, sizeof(m), 0) != (ssize_t)sizeof(m))
		return;
}

void mark_save(int fd, const struct store_mark *mark)
{
	save(fd, &(struct store_note){.mark = *mark});
}

static bool state_of(const char *path, int64_t *ret_mtime_ns, uint64_t *ret_bytes)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return false;
	*ret_mtime_ns = st.st_mtim.tv_sec * NS_PER_S + st.st_mtim.tv_nsec;
	*ret_bytes = (uint64_t)st.st_size;
	return true;
}

void mark_closed(int fd, const struct store_mark *mark, const char *db_path)
{
	struct store_note note = {.mark = *mark};

	note.closed = state_of(db_path, &note.mtime_ns, &note.bytes);
	save(fd, &note);
}

bool mark_foreign(const struct store_note *note, const char *db_path)
{
	char wal[PATH_MAX];
	int64_t mtime_ns = 0;
	uint64_t bytes = 0;

	if (note->closed)
		return state_of(db_path, &mtime_ns, &bytes) &&
		       (mtime_ns != note->mtime_ns || bytes != note->bytes);
	/* We did not close it, and left a WAL. */
	return path_format(wal, sizeof(wal), "%s-wal", db_path) == 0 &&
	       (!state_of(wal, &mtime_ns, &bytes) || bytes == 0);
}
