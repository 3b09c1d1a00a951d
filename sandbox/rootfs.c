/* SPDX-License-Identifier: Apache-2.0 */
#include "rootfs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#define LINKS_MAX 32
#define DEPTH_MAX 64

int rootfs_clean(const char *path, char ret_path[ROOTFS_PATH_BYTES])
{
	char clean[ROOTFS_PATH_BYTES];
	size_t len = 0;

	while (*path) {
		size_t n = strcspn(path, "/");

		if (n == 2 && path[0] == '.' && path[1] == '.')
			return ERR_FORMAT;
		if (n > 0 && !(n == 1 && path[0] == '.')) {
			if (n > NAME_MAX || len + n + 2 > sizeof(clean))
				return ERR_LIMIT;
			if (len > 0)
				clean[len++] = '/';
			memcpy(clean + len, path, n);
			len += n;
		}
		path += n;
		path += *path == '/';
	}
	clean[len] = '\0';
	memcpy(ret_path, clean, len + 1);
	return 0;
}

int rootfs_parent(int root, const char *clean, bool make, int *ret_dir, char ret_name[ROOTFS_PATH_BYTES])
{
	CLEAN_FD int dir = dup(root);
	const char *slash;

	if (dir < 0)
		return -errno;
	for (; (slash = strchr(clean, '/')); clean = slash + 1) {
		char name[NAME_MAX + 1];
		int next;

		memcpy(name, clean, (size_t)(slash - clean));
		name[slash - clean] = '\0';
		if (make && mkdirat(dir, name, 0755) < 0 && errno != EEXIST)
			return -errno;
		next = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (next < 0)
			return -errno;
		close(dir);
		dir = next;
	}
	snprintf(ret_name, ROOTFS_PATH_BYTES, "%s", clean);
	*ret_dir = TAKE_FD(dir);
	return 0;
}

/* Puts `target` in place of the component of `path` (clean, in place) that starts at `at` and ends at `end`.
 */
static int splice_link(char *path, size_t at, size_t end, const char *target)
{
	char joined[2 * ROOTFS_PATH_BYTES];
	size_t base = target[0] == '/' ? 0 : at;
	char *from, *to;
	int n = snprintf(joined, sizeof(joined), "%.*s/%s/%s", (int)base, path, target, path + end);

	if (n < 0 || (size_t)n >= sizeof(joined))
		return ERR_LIMIT;
	/* What is in front of a link is resolved already, so ".." may be taken as text; it stops at the root.
	 */
	from = to = joined;
	while (*from) {
		size_t len = strcspn(from, "/");

		if (len == 2 && from[0] == '.' && from[1] == '.') {
			while (to > joined && *--to != '/')
				;
		} else if (len > 0 && !(len == 1 && from[0] == '.')) {
			if (to > joined)
				*to++ = '/';
			memmove(to, from, len);
			to += len;
		}
		from += len;
		from += *from == '/';
	}
	*to = '\0';
	return rootfs_clean(joined, path);
}

int rootfs_open(int root, const char *path, int *ret_fd)
{
	char at[ROOTFS_PATH_BYTES];
	int err = rootfs_clean(path, at);
	unsigned links = 0;
	size_t done = 0; /* bytes of `at` that are folders, with the slash */

	if (err < 0)
		return err;
	for (;;) {
		size_t end = done + strcspn(at + done, "/");
		char part[ROOTFS_PATH_BYTES], name[ROOTFS_PATH_BYTES], target[ROOTFS_PATH_BYTES];
		CLEAN_FD int dir = -1;
		ssize_t n;

		snprintf(part, sizeof(part), "%.*s", (int)end, at);
		err = rootfs_parent(root, part, false, &dir, name);
		if (err < 0)
			return err;
		n = readlinkat(dir, name, target, sizeof(target) - 1);
		if (n >= 0) {
			target[n] = '\0';
			if (++links > LINKS_MAX)
				return -ELOOP;
			err = splice_link(at, done, end, target);
			if (err < 0)
				return err;
			done = 0;
			continue;
		}
		if (errno != EINVAL)
			return -errno;
		if (at[end] == '/') {
			done = end + 1;
			continue;
		}
		*ret_fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
		return *ret_fd < 0 ? -errno : 0;
	}
}

static int remove_tree(int dir, const char *name, unsigned depth);

static int empty_tree(int dir, unsigned depth)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	int err = 0;

	if (!d) {
		err = -errno;
		if (fd >= 0)
			close(fd);
		return err;
	}
	for (struct dirent *e; err == 0 && (e = readdir(d));) {
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			err = remove_tree(dirfd(d), e->d_name, depth + 1);
	}
	closedir(d);
	return err;
}

static int remove_tree(int dir, const char *name, unsigned depth)
{
	CLEAN_FD int fd = -1;
	int err;

	if (depth > DEPTH_MAX)
		return ERR_LIMIT;
	if (unlinkat(dir, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return -errno;
	fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	err = empty_tree(fd, depth);
	if (err < 0)
		return err;
	return unlinkat(dir, name, AT_REMOVEDIR) < 0 ? -errno : 0;
}

int rootfs_remove(int dir, const char *name)
{
	return remove_tree(dir, name, 0);
}

int rootfs_empty(int dir)
{
	return empty_tree(dir, 0);
}
