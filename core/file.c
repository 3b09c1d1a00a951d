/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#include "core/file.h"

int file_read_fd(int fd, size_t max_bytes, char **ret_data, size_t *ret_len)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
	if (st.st_size > 0 && (uint64_t)st.st_size > max_bytes)
		return ERR_LIMIT;
	if (max_bytes > SSIZE_MAX / 2)
		return -EINVAL;

	/* Files of the kernel say 0 bytes and a file may grow while it is read: read to the end, not to
	 * st_size. */
	size_t cap = (size_t)st.st_size + 1, len = 0;
	CLEAN_FREE char *data = malloc(cap + 1);
	if (!data)
		return -ENOMEM;
	for (;;) {
		if (len > max_bytes)
			return ERR_LIMIT;
		if (len == cap) {
			cap = cap < 4096 ? 4096 : cap * 2;
			if (cap > max_bytes + 1)
				cap = max_bytes + 1;
			char *more = realloc(data, cap + 1);
			if (!more)
				return -ENOMEM;
			data = more;
		}
		ssize_t n = pread(fd, data + len, cap - len, (off_t)len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		len += (size_t)n;
	}
	data[len] = '\0';
	*ret_data = TAKE_PTR(data);
	*ret_len = len;
	return 0;
}

int file_read(const char *path, size_t max_bytes, char **ret_data, size_t *ret_len)
{
	/* Non-blocking, for a pipe put in a file's place must not hold us up. */
	CLEAN_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	return file_read_fd(fd, max_bytes, ret_data, ret_len);
}

int write_all(int fd, const void *data, size_t len)
{
	const char *p = data;

	while (len > 0) {
		ssize_t n = write(fd, p, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -EIO;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

/* The folder of a path, as a string of its own. */
static int parent_of(const char *path, char *ret_parent, size_t cap)
{
	const char *slash = strrchr(path, '/');

	if (!slash)
		return path_format(ret_parent, cap, ".");
	if (slash == path)
		return path_format(ret_parent, cap, "/");
	return path_format(ret_parent, cap, "%.*s", (int)(slash - path), path);
}

int file_replace(const char *path, const void *data, size_t len, mode_t mode)
{
	char parent[PATH_MAX], tmp[PATH_MAX];
	int r = parent_of(path, parent, sizeof(parent));
	if (r < 0)
		return r;
	r = path_format(tmp, sizeof(tmp), "%s/.replace-XXXXXX", parent);
	if (r < 0)
		return r;
	CLEAN_FD int fd = mkostemp(tmp, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	r = write_all(fd, data, len);
	if (r < 0)
		goto undo;
	if (fchmod(fd, mode) < 0 || fsync(fd) < 0 || rename(tmp, path) < 0) {
		r = -errno;
		goto undo;
	}
	return dir_sync(parent);
undo:
	unlink(tmp);
	return r;
}

int dir_sync(const char *path)
{
	CLEAN_FD int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd) < 0)
		return -errno;
	return 0;
}

int dir_make(const char *path, mode_t mode)
{
	char part[PATH_MAX];
	struct stat st;
	int r = path_format(part, sizeof(part), "%s", path);
	if (r < 0)
		return r;
	if (!part[0])
		return -ENOENT;
	for (char *p = part + 1;; p++) {
		if (*p != '/' && *p != '\0')
			continue;
		char c = *p;
		*p = '\0';
		/* Above what we own mkdir may be refused (read-only, not permitted) though the folder is
		 * there. */
		if (mkdir(part, mode) < 0) {
			int err = errno;
			if (stat(part, &st) < 0)
				return -err;
			if (!S_ISDIR(st.st_mode))
				return -ENOTDIR;
		}
		if (c == '\0')
			return 0;
		*p = c;
	}
}

int path_format(char *ret_path, size_t cap, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	int n = vsnprintf(ret_path, cap, fmt, args);
	va_end(args);
	if (n < 0 || (size_t)n >= cap) {
		if (cap > 0)
			ret_path[0] = '\0';
		return -ENAMETOOLONG;
	}
	return 0;
}
