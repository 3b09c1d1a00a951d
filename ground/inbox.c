/* SPDX-License-Identifier: Apache-2.0 */
#include "inbox.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "core/clock.h"

static bool split(const char *file, const char *suffix, char ret_name[BATCH_NAME_BYTES])
{
	size_t n = strlen(file), m = strlen(suffix);
	if (n <= m || n - m >= BATCH_NAME_BYTES || strcmp(file + n - m, suffix) != 0)
		return false;
	memcpy(ret_name, file, n - m);
	ret_name[n - m] = 0;
	return true;
}

static struct inbox_entry *find(struct inbox_entry *list, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(list[i].name, name) == 0)
			return &list[i];
	return NULL;
}

static int by_age(const void *a, const void *b)
{
	const struct inbox_entry *x = a, *y = b;
	if (x->mtime_ns != y->mtime_ns)
		return x->mtime_ns < y->mtime_ns ? -1 : 1;
	return strcmp(x->name, y->name);
}

static void drop(int dir, const struct inbox_entry *e)
{
	char file[BATCH_NAME_BYTES + 16];
	snprintf(file, sizeof(file), "%s%s", e->name, e->tar ? INBOX_TAR : INBOX_SIG);
	(void)unlinkat(dir, file, 0);
}

/* Removes the oldest lone halves of one kind beyond `most`; the list is oldest first. */
static size_t thin(int dir, struct inbox_entry *list, size_t n, bool tars, size_t most)
{
	size_t lone = 0, kept = 0;
	for (size_t i = 0; i < n; i++)
		lone += list[i].tar != list[i].sig && list[i].tar == tars;
	for (size_t i = 0; i < n; i++) {
		if (lone > most && list[i].tar != list[i].sig && list[i].tar == tars) {
			drop(dir, &list[i]);
			lone--;
		} else {
			list[kept++] = list[i];
		}
	}
	return kept;
}

int inbox_list(const char *path, struct inbox_entry **ret_list, size_t *ret_n)
{
	DIR *dir = opendir(path);
	if (!dir)
		return -errno;
	size_t n = 0, cap = 0;
	CLEAN_FREE struct inbox_entry *list = NULL;
	for (struct dirent *d; (d = readdir(dir));) {
		char name[BATCH_NAME_BYTES];
		struct stat st;
		bool sig = split(d->d_name, INBOX_SIG, name), tar = !sig && split(d->d_name, INBOX_TAR, name);
		if (d->d_name[0] == '.')
			continue; /* unfinished */
		struct inbox_entry *e = tar || sig ? find(list, n, name) : NULL;
		if ((!tar && !sig) || (!e && n == INBOX_ENTRIES_MAX)) {
			(void)unlinkat(dirfd(dir), d->d_name, 0);
			continue;
		}
		if (!e && n == cap) {
			cap = cap ? 2 * cap : 16;
			struct inbox_entry *more = reallocarray(list, cap, sizeof(*list));
			if (!more) {
				closedir(dir);
				return -ENOMEM;
			}
			list = more;
		}
		if (!e) {
			e = &list[n++];
			*e = (struct inbox_entry){.mtime_ns = INT64_MIN};
			memcpy(e->name, name, sizeof(name));
		}
		e->tar |= tar;
		e->sig |= sig;
		if (fstatat(dirfd(dir), d->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
			int64_t t = (int64_t)st.st_mtim.tv_sec * NS_PER_S + st.st_mtim.tv_nsec;
			e->mtime_ns = t > e->mtime_ns ? t : e->mtime_ns;
		}
	}
	if (n)
		qsort(list, n, sizeof(*list), by_age);
	n = thin(dirfd(dir), list, n, true, INBOX_LONE_TARS_MAX);
	n = thin(dirfd(dir), list, n, false, INBOX_LONE_SIGS_MAX);
	closedir(dir);
	*ret_list = TAKE_PTR(list);
	*ret_n = n;
	return 0;
}
