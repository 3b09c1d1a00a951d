/* SPDX-License-Identifier: Apache-2.0 */
/* Artifacts that nothing refers to are removed, but for young ones: what was just kept is not referred to
 * yet. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

#include "artifact-private.h"
#include "core/clock.h"

static bool is_old(const struct stat *st, struct utc_time older_than)
{
	return st->st_mtim.tv_sec < older_than.ns / NS_PER_S;
}

/* Between the question and this it may have been kept again: it is young then. 1 when it was removed. */
static int remove_old(struct artifacts *store, int folder, const char *name, struct utc_time older_than)
{
	struct stat st;
	int r = 0;

	pthread_mutex_lock(&store->lock);
	if (fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && is_old(&st, older_than))
		r = unlinkat(folder, name, 0) == 0 ? 1 : -errno;
	pthread_mutex_unlock(&store->lock);
	return r;
}

static int sweep_one(struct artifacts *store, int folder, const char *prefix, const char *name,
	const struct artifact_sweep *s, struct artifact_swept *ret)
{
	char text[DIGEST_TEXT_BYTES + 1];
	struct digest digest;
	struct stat st;
	int r = 0;

	snprintf(text, sizeof(text), "%s%.63s", prefix, name);
	if (digest_parse(text, &digest) < 0 || fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
		!S_ISREG(st.st_mode))
		return 0; /* not ours to judge */
	if (is_old(&st, s->older_than)) {
		r = s->wanted(s->user, &digest);
		if (r == 0)
			r = remove_old(store, folder, name, s->older_than);
		else if (r > 0)
			r = 0;
	}
	if (r < 0)
		return r;
	if (r > 0) {
		ret->removed++;
		ret->removed_bytes += (uint64_t)st.st_size;
	} else {
		ret->kept++;
		ret->kept_bytes += (uint64_t)st.st_size;
	}
	return 0;
}

int artifacts_sweep(struct artifacts *store, unsigned folder, const struct artifact_sweep *s,
	struct artifact_swept *ret_swept)
{
	char prefix[3];

	snprintf(prefix, sizeof(prefix), "%02x", folder & 0xff);
	int fd = openat(store->fd, prefix, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	DIR *dir = fdopendir(fd);
	if (!dir) {
		int r = -errno;
		close(fd);
		return r;
	}
	int r = 0;
	for (struct dirent *e; r == 0 && (e = readdir(dir));)
		if (strlen(e->d_name) == DIGEST_TEXT_BYTES - 3)
			r = sweep_one(store, fd, prefix, e->d_name, s, ret_swept);
	closedir(dir);
	return r;
}
