/* SPDX-License-Identifier: Apache-2.0 */
/* What is known of files. */
#include "file.h"
#include "syscall.h"

#define PATH_BYTES 256
#define AT_EMPTY 0x1000

struct stat64 {
	uint64_t device, inode, links;
	uint32_t mode, uid, gid, spare;
	uint64_t special;
	int64_t size, block_bytes, blocks;
	uint64_t times[6];
	int64_t spare2[3];
};

static int64_t give_stat(const struct node *n, uint64_t to)
{
	bool folder = n->kind == NODE_FOLDER, device = n->kind > NODE_MEMORY;
	struct stat64 s = {.device = 1,
		.inode = (uint64_t)n & 0xffffffff,
		.links = 1,
		.mode = (folder          ? 040000u
				: device ? 020000u
					 : 0100000u) |
			(folder               ? 0555u
				: n->writable ? 0666u
					      : 0444u),
		.uid = 1000,
		.gid = 1000,
		.size = folder ? 0 : (int64_t)n->size,
		.block_bytes = 65536,
		.blocks = (int64_t)((n->size + 511) / 512)};

	return copy_out(to, &s, sizeof(s));
}

static int find(uint64_t path_at, struct node **ret)
{
	char path[PATH_BYTES];
	int r = copy_text_in(path, path_at, sizeof(path));

	if (r < 0)
		return r;
	*ret = path[0] ? node_find(path) : NULL;
	return *ret ? 0 : -ENOENT;
}

int64_t sys_stat(const uint64_t a[6])
{
	struct node *n;
	int r = find(a[0], &n);

	return r < 0 ? r : give_stat(n, a[1]);
}

int64_t sys_fstat(const uint64_t a[6])
{
	struct open_file *f = descriptor_file(a[0]);

	return f ? give_stat(f->node, a[1]) : -EBADF;
}

int64_t sys_newfstatat(const uint64_t a[6])
{
	const uint64_t by_path[6] = {a[1], a[2]}, by_fd[6] = {a[0], a[2]};
	char first = '\0';

	if (a[1] && copy_in(&first, a[1], 1) < 0)
		return -EFAULT;
	return a[3] & AT_EMPTY && !first ? sys_fstat(by_fd) : sys_stat(by_path);
}

static int64_t access_path(uint64_t path, uint64_t how)
{
	struct node *n;
	int r = find(path, &n);

	if (r < 0)
		return r;
	return (how & 2 && !n->writable) || (how & 1 && n->kind != NODE_FOLDER) ? -EACCES : 0;
}

int64_t sys_access(const uint64_t a[6])
{
	return access_path(a[0], a[1]);
}

int64_t sys_faccessat(const uint64_t a[6])
{
	return access_path(a[1], a[2]);
}

int64_t sys_readlink(const uint64_t a[6])
{
	struct node *n;
	int r = find(a[0], &n);

	return r < 0 ? r : -EINVAL;
}

int64_t sys_readlinkat(const uint64_t a[6])
{
	return sys_readlink(&a[1]);
}

int64_t sys_getcwd(const uint64_t a[6])
{
	if (a[1] < 2)
		return -ERANGE;
	return copy_out(a[0], "/", 2) < 0 ? -EFAULT : 2;
}

int64_t sys_chdir(const uint64_t a[6])
{
	struct node *n;
	int r = find(a[0], &n);

	if (r < 0)
		return r;
	return n->kind == NODE_FOLDER && !strcmp(n->folder, "/") ? 0 : -EACCES;
}

static int64_t give_statfs(uint64_t to)
{
	struct {
		int64_t type, block_bytes, blocks, free, available, files, files_free, id, name_bytes,
			fragment, flags, spare[4];
	} s = {.type = 0x01021994, /* a file system in memory */
		.block_bytes = 4096,
		.blocks = (int64_t)(tmp_left / PAGE),
		.free = (int64_t)(tmp_left / PAGE),
		.available = (int64_t)(tmp_left / PAGE),
		.name_bytes = GUEST_NAME_BYTES - 1,
		.fragment = 4096};

	return copy_out(to, &s, sizeof(s));
}

int64_t sys_statfs(const uint64_t a[6])
{
	struct node *n;
	int r = find(a[0], &n);

	return r < 0 ? r : give_statfs(a[1]);
}

int64_t sys_fstatfs(const uint64_t a[6])
{
	return descriptor_file(a[0]) ? give_statfs(a[1]) : -EBADF;
}
