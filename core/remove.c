/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Removing a folder that somebody hostile may have filled: links are not followed, mounts are not entered (a
 * mount that a dead run left behind must not cost what is mounted there), and any depth works with few
 * descriptors.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

#include "core/file.h"

#define DEPTH_MAX 64 /* descriptors held at once; what is deeper is moved up first */

struct removal {
	int top; /* borrowed: the folder being removed */
	dev_t dev;
	unsigned n_moved;
	bool again; /* something was moved up into top */
};

/* True when a mount begins at this descriptor. */
static bool is_mount(const struct removal *rm, int fd)
{
	struct statx sx;
	struct stat st;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_TYPE, &sx) == 0 &&
		(sx.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT))
		return sx.stx_attributes & STATX_ATTR_MOUNT_ROOT;
	/* An old kernel: another file system at least can be told. */
	return fstat(fd, &st) < 0 || st.st_dev != rm->dev;
}

/* Opens a folder for reading, giving its owner the rights when they are missing. */
static int open_dir(int at, const char *name)
{
	int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 && errno == EACCES) {
		CLEAN_FD int path_fd = openat(at, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		char proc[64];
		snprintf(proc, sizeof(proc), "/proc/self/fd/%d", path_fd);
		if (path_fd < 0 || chmod(proc, 0700) < 0)
			return -EACCES;
		fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	}
	return fd < 0 ? -errno : fd;
}

static int empty_dir(struct removal *rm, int fd, int depth);

static int remove_entry(struct removal *rm, int at, const char *name, int depth)
{
	if (unlinkat(at, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM) /* EPERM: POSIX for a folder, and an immutable file */
		return -errno;
	int unlink_err = errno;
	if (unlinkat(at, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
		return 0;
	if (errno == ENOTDIR)
		return -unlink_err;
	if (errno != ENOTEMPTY && errno != EEXIST && errno != EACCES)
		return -errno;

	if (depth == DEPTH_MAX) {
		char moved[64];
		snprintf(moved, sizeof(moved), ".remove-%d-%u", (int)getpid(), rm->n_moved++);
		if (renameat(at, name, rm->top, moved) < 0)
			return -errno;
		rm->again = true;
		return 0;
	}
	CLEAN_FD int fd = open_dir(at, name);
	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	if (is_mount(rm, fd))
		return -EBUSY;
	int r = empty_dir(rm, fd, depth + 1);
	if (r < 0)
		return r;
	if (unlinkat(at, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
		return -errno;
	return 0;
}

/* Goes on after a failure, so that as much as possible goes; returns the first. */
static int empty_dir(struct removal *rm, int fd, int depth)
{
	struct stat st;
	int r = 0;

	if (fstat(fd, &st) == 0 && (st.st_mode & 0700) != 0700 && fchmod(fd, 0700) < 0)
		return -errno;
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (copy < 0)
		return -errno;
	DIR *dir = fdopendir(copy);
	if (!dir) {
		r = -errno;
		close(copy);
		return r;
	}
	rewinddir(dir); /* the copy shares its place with fd, which may have been read before */
	for (;;) {
		errno = 0;
		struct dirent *e = readdir(dir);
		if (!e) {
			if (errno && r == 0)
				r = -errno;
			break;
		}
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		int one = remove_entry(rm, fd, e->d_name, depth);
		if (one < 0 && r == 0)
			r = one;
	}
	closedir(dir);
	return r;
}

int dir_remove(const char *path)
{
	struct stat st;
	int fd_or_err = open_dir(AT_FDCWD, path);
	if (fd_or_err == -ENOENT)
		return 0;
	if (fd_or_err == -ENOTDIR ||
		fd_or_err == -ELOOP) /* a file or a link: itself, not what it points to */
		return unlink(path) == 0 || errno == ENOENT ? 0 : -errno;
	if (fd_or_err < 0)
		return fd_or_err;

	CLEAN_FD int fd = fd_or_err;
	if (fstat(fd, &st) < 0)
		return -errno;
	struct removal rm = {.top = fd, .dev = st.st_dev};
	int r = 0;
	do {
		rm.again = false;
		int one = empty_dir(&rm, fd, 0);
		if (one < 0 && r == 0)
			r = one;
	} while (rm.again); /* ends: each time what is left is less deep */
	if (r < 0)
		return r;
	return rmdir(path) == 0 || errno == ENOENT ? 0 : -errno;
}
