/* SPDX-License-Identifier: Apache-2.0 */
#include "unpack.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "core/file.h"
#include "rootfs.h"

#define BLOCK_BYTES 65536
#define WHITEOUT ".wh."
#define WHITEOUT_OPAQUE ".wh..wh..opq"

struct unpack {
	int root;
	struct unpack_budget *budget;
	char *reason;
	size_t cap;
};

static int refuse(struct unpack *u, const char *path, const char *what)
{
	snprintf(u->reason, u->cap, "%.200s: %s", path, what);
	return ERR_IMAGE;
}

static int refuse_err(struct unpack *u, const char *path, int err)
{
	if (err == ERR_IMAGE || err == 0)
		return err;
	snprintf(u->reason, u->cap, "%.200s: %s", path, err_text(err));
	return err == ERR_FORMAT || err == ERR_LIMIT ? ERR_IMAGE : err;
}

/* Calls fn for each entry of the layer, whose path is clean and not that of the root. */
static int each_entry(struct unpack *u, int blob,
	int (*fn)(struct unpack *u, struct archive *a, struct archive_entry *e, const char *clean))
{
	struct archive *a = archive_read_new();
	struct archive_entry *e;
	int err = 0, r = ARCHIVE_OK;

	if (!a)
		return -ENOMEM;
	if (lseek(blob, 0, SEEK_SET) < 0) {
		err = -errno;
	} else if (archive_read_support_filter_gzip(a) < ARCHIVE_WARN ||
		   archive_read_support_format_tar(a) < ARCHIVE_WARN ||
		   archive_read_open_fd(a, blob, BLOCK_BYTES) != ARCHIVE_OK) {
		err = refuse(
			u, "layer", archive_error_string(a) ? archive_error_string(a) : "cannot be read");
	}
	while (err == 0 && (r = archive_read_next_header(a, &e)) == ARCHIVE_OK) {
		const char *path = archive_entry_pathname(e);
		char clean[ROOTFS_PATH_BYTES];

		if (!path || !path[0])
			err = refuse(u, "layer", "an entry without a name");
		else if (path[0] == '/')
			err = refuse(u, path, "an absolute path");
		else if (rootfs_clean(path, clean) < 0)
			err = refuse(u, path, "a path with \"..\", or too long");
		else if (clean[0])
			err = fn(u, a, e, clean);
	}
	if (err == 0 && r != ARCHIVE_EOF)
		err = refuse(u, "layer",
			archive_error_string(a) ? archive_error_string(a) : "not a whole tar file");
	archive_read_free(a);
	return err;
}

static const char *base_name(const char *clean)
{
	const char *slash = strrchr(clean, '/');

	return slash ? slash + 1 : clean;
}

/* First pass: whiteouts, which are about the layers below and not about what this one brings. */
static int do_whiteout(struct unpack *u, struct archive *a, struct archive_entry *e, const char *clean)
{
	char name[ROOTFS_PATH_BYTES];
	CLEAN_FD int dir = -1;
	int err;

	if (u->budget->entries == 0)
		return refuse(u, clean, "more files than an image may have");
	u->budget->entries--;
	if (strncmp(base_name(clean), WHITEOUT, strlen(WHITEOUT)) != 0)
		return 0;
	err = rootfs_parent(u->root, clean, false, &dir, name);
	if (err == -ENOENT)
		return 0;
	if (err < 0)
		return refuse_err(u, clean, err);
	if (strcmp(name, WHITEOUT_OPAQUE) == 0)
		return refuse_err(u, clean, rootfs_empty(dir));
	if (name[strlen(WHITEOUT)] == '\0' || strcmp(name, WHITEOUT ".") == 0 ||
		strcmp(name, WHITEOUT "..") == 0)
		return refuse(u, clean, "not a whiteout of anything");
	return refuse_err(u, clean, rootfs_remove(dir, name + strlen(WHITEOUT)));
}

static int write_file(struct unpack *u, struct archive *a, struct archive_entry *e, int dir, const char *name)
{
	mode_t mode = archive_entry_perm(e) & 0111 ? 0755 : 0644;
	CLEAN_FD int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
	const void *block;
	size_t len;
	la_int64_t at;
	int r;

	if (fd < 0 || fchmod(fd, mode) < 0)
		return -errno;
	while ((r = archive_read_data_block(a, &block, &len, &at)) == ARCHIVE_OK) {
		if (len > u->budget->bytes || at < 0 || (uint64_t)at > UNPACK_BYTES_MAX)
			return refuse(u, name, "more bytes than an image may have");
		u->budget->bytes -= len;
		/* A sparse file has gaps, which stay. */
		if (lseek(fd, at, SEEK_SET) < 0)
			return -errno;
		r = write_all(fd, block, len);
		if (r < 0)
			return r;
	}
	if (r != ARCHIVE_EOF)
		return refuse(u, name, archive_error_string(a) ? archive_error_string(a) : "cut off");
	if (archive_entry_size(e) > (la_int64_t)UNPACK_BYTES_MAX)
		return refuse(u, name, "more bytes than an image may have");
	if (ftruncate(fd, archive_entry_size(e)) < 0)
		return -errno;
	return fsync(fd) < 0 ? -errno : 0;
}

static int make_hardlink(struct unpack *u, const char *target, int dir, const char *name)
{
	char clean[ROOTFS_PATH_BYTES], target_name[ROOTFS_PATH_BYTES];
	CLEAN_FD int target_dir = -1;
	struct stat st;
	int err = rootfs_clean(target, clean);

	if (err == 0)
		err = rootfs_parent(u->root, clean, false, &target_dir, target_name);
	if (err < 0)
		return err;
	if (fstatat(target_dir, target_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return refuse(u, name, "a hard link to what is not a file");
	return linkat(target_dir, target_name, dir, name, 0) < 0 ? -errno : 0;
}

static int make_dir(struct unpack *u, int dir, const char *name)
{
	struct stat st;
	int err;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
		if (S_ISDIR(st.st_mode))
			return 0;
		err = rootfs_remove(dir, name);
		if (err < 0)
			return err;
	}
	return mkdirat(dir, name, 0755) < 0 ? -errno : 0;
}

/* Second pass: what the layer brings. */
static int do_entry(struct unpack *u, struct archive *a, struct archive_entry *e, const char *clean)
{
	const char *hardlink = archive_entry_hardlink(e);
	char name[ROOTFS_PATH_BYTES];
	CLEAN_FD int dir = -1;
	int err;

	if (strncmp(base_name(clean), WHITEOUT, strlen(WHITEOUT)) == 0)
		return 0;
	err = rootfs_parent(u->root, clean, true, &dir, name);
	if (err < 0)
		return refuse_err(u, clean, err);
	if (!hardlink && archive_entry_filetype(e) == AE_IFDIR)
		return refuse_err(u, clean, make_dir(u, dir, name));
	/* An entry replaces what a layer below, or the same one, has there. */
	err = rootfs_remove(dir, name);
	if (err < 0)
		return refuse_err(u, clean, err);
	if (hardlink)
		return refuse_err(u, clean, make_hardlink(u, hardlink, dir, name));
	switch (archive_entry_filetype(e)) {
	case AE_IFREG:
		return refuse_err(u, clean, write_file(u, a, e, dir, name));
	case AE_IFLNK:
		if (!archive_entry_symlink(e))
			return refuse(u, clean, "a link to nothing");
		return refuse_err(u, clean, symlinkat(archive_entry_symlink(e), dir, name) < 0 ? -errno : 0);
	default:
		return refuse(
			u, clean, "a device node, fifo or socket: images may hold files, folders and links");
	}
}

int unpack_layer(int blob, int root, struct unpack_budget *budget, char *ret_reason, size_t cap)
{
	struct unpack u = {.root = root, .budget = budget, .reason = ret_reason, .cap = cap};
	int err = each_entry(&u, blob, do_whiteout);

	return err < 0 ? err : each_entry(&u, blob, do_entry);
}
