/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files of runs: which artifacts are still referred to, and the logs, bounded in sum. For a worker with a
 * database connection of its own: what it removes belongs to nothing, or is the oldest.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "core/file.h"
#include "runs.h"

#define YOUNG_NS (600 * NS_PER_S)

int runs_want(struct store *store, const struct digest *digest)
{
	char text[DIGEST_TEXT_BYTES];

	digest_format(digest, text);
	sqlite3_stmt *q = store_query(store,
		"SELECT EXISTS(SELECT 1 FROM run_input WHERE digest = ?1)"
		" OR EXISTS(SELECT 1 FROM run_output WHERE digest = ?1)"
		" OR EXISTS(SELECT 1 FROM run_item_output WHERE digest = ?1)"
		" OR EXISTS(SELECT 1 FROM stage_cache_output WHERE digest = ?1)"
		" OR EXISTS(SELECT 1 FROM frame WHERE digest = ?1)",
		"t", text);
	int r = q && sqlite3_step(q) == SQLITE_ROW ? sqlite3_column_int(q, 0) : ERR_STORE;

	if (q)
		sqlite3_reset(q);
	return r;
}

/* ---- logs ---- */

struct log_folder {
	int64_t run;
	uint64_t bytes;
	bool over; /* its run has ended */
};

/* enum run_state; -1: there is no such run (any more), -2: it is newer than what is seen here. */
static int64_t state_of(struct store *store, int64_t run)
{
	sqlite3_stmt *q = store_query(store,
		"SELECT (SELECT state FROM run WHERE id = ?1), ?1 > ifnull((SELECT max(id) FROM run), 0)",
		"i", run);
	int64_t state = ERR_STORE;

	if (q && sqlite3_step(q) == SQLITE_ROW)
		state = sqlite3_column_type(q, 0) != SQLITE_NULL ? sqlite3_column_int64(q, 0)
			: sqlite3_column_int(q, 1)               ? -2
								 : -1;
	if (q)
		sqlite3_reset(q);
	return state;
}

/* Its bytes on the disk; of what is older than `before` it removes the files when `remove` is set. */
static uint64_t walk(const char *path, bool remove, int64_t before_ns)
{
	DIR *dir = opendir(path);
	uint64_t bytes = 0;

	for (struct dirent *e; dir && (e = readdir(dir));) {
		struct stat st;

		if (fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
			continue;
		if (remove && st.st_mtim.tv_sec < before_ns / NS_PER_S &&
			unlinkat(dirfd(dir), e->d_name, 0) == 0)
			continue;
		/* A file system that allocates late may not count blocks of what was just written. */
		uint64_t on_disk = (uint64_t)st.st_blocks * 512;
		bytes += on_disk > (uint64_t)st.st_size ? on_disk : (uint64_t)st.st_size;
	}
	if (dir)
		closedir(dir);
	return bytes;
}

static int by_run(const void *a, const void *b)
{
	const struct log_folder *x = a, *y = b;

	return (x->run > y->run) - (x->run < y->run);
}

static int look(struct store *store, const char *logs, const atomic_bool *stop, struct log_folder **ret_list,
	size_t *ret_n, struct logs_kept *kept)
{
	CLEAN_FREE struct log_folder *list = NULL;
	size_t n = 0, cap = 0;
	char path[PATH_MAX];
	int r = 0;
	DIR *dir = opendir(logs);

	if (!dir)
		return errno == ENOENT ? 0 : -errno;
	for (struct dirent *e; r == 0 && !atomic_load(stop) && (e = readdir(dir));) {
		char *end;
		int64_t run = strtoll(e->d_name, &end, 10);

		if (end == e->d_name || *end || path_format(path, sizeof(path), "%s/%s", logs, e->d_name) < 0)
			continue;
		int64_t state = state_of(store, run);
		if (state == -1) {
			kept->removed_bytes += walk(path, false, 0);
			r = dir_remove(path);
			continue;
		}
		if (state < -2) {
			r = ERR_STORE;
			continue;
		}
		if (n == cap) {
			struct log_folder *grown = reallocarray(list, cap ? 2 * cap : 256, sizeof(*list));
			if (!grown) {
				r = -ENOMEM;
				continue;
			}
			list = grown;
			cap = cap ? 2 * cap : 256;
		}
		list[n] = (struct log_folder){.run = run,
			.bytes = walk(path, false, 0),
			.over = state == RUN_DONE || state == RUN_FAILED || state == RUN_CANCELLED};
		kept->bytes += list[n++].bytes;
	}
	closedir(dir);
	if (r == 0) {
		*ret_list = TAKE_PTR(list);
		*ret_n = n;
	}
	return r;
}

/* First those of runs that are over; then, of runs that go on, what has not been written to of late. */
static int cut(const char *logs, struct log_folder *list, size_t n, uint64_t max_bytes, bool over,
	const atomic_bool *stop, struct logs_kept *kept)
{
	char path[PATH_MAX];
	int r = 0;

	for (size_t i = 0; r == 0 && i < n && kept->bytes > max_bytes && !atomic_load(stop); i++) {
		if (list[i].over != over || list[i].bytes == 0)
			continue;
		r = path_format(path, sizeof(path), "%s/%lld", logs, (long long)list[i].run);
		uint64_t left = 0;
		if (r == 0 && over)
			r = dir_remove(path);
		else if (r == 0)
			left = walk(path, true, clock_utc().ns - YOUNG_NS);
		if (r < 0 || left > list[i].bytes)
			continue;
		kept->removed_bytes += list[i].bytes - left;
		kept->bytes -= list[i].bytes - left;
	}
	return r;
}

int runs_trim_logs(struct store *store, const char *state_dir, uint64_t max_bytes, const atomic_bool *stop,
	struct logs_kept *ret_kept)
{
	struct logs_kept kept = {0};
	CLEAN_FREE struct log_folder *list = NULL;
	char logs[PATH_MAX];
	size_t n = 0;
	int r = path_format(logs, sizeof(logs), "%s/logs", state_dir);

	if (r == 0)
		r = look(store, logs, stop, &list, &n, &kept);
	if (list)
		qsort(list, n, sizeof(*list), by_run);
	if (r == 0)
		r = cut(logs, list, n, max_bytes, true, stop, &kept);
	if (r == 0)
		r = cut(logs, list, n, max_bytes, false, stop, &kept);
	*ret_kept = kept;
	return r;
}
