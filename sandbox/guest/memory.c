/* SPDX-License-Identifier: Apache-2.0 */
/* The system calls on memory. */
#include "file.h"
#include "syscall.h"

enum {
	MAP_SHARED_ = 1,
	MAP_PRIVATE_ = 2,
	MAP_FIXED_ = 0x10,
	MAP_ANONYMOUS_ = 0x20,
	MAP_NO_REPLACE_ = 0x100000
};

int64_t sys_mmap(const uint64_t a[6])
{
	unsigned rights = a[2] & 7;
	struct open_file *f = NULL;

	if (!(a[3] & MAP_ANONYMOUS_)) {
		f = descriptor_file(a[4]);
		if (!f)
			return -EBADF;
		if (f->node->kind < NODE_BLOCK || f->node->kind > NODE_MEMORY)
			return -EACCES;
		/* A shared mapping that is written would have to write back: files are written with write. */
		if (a[3] & MAP_SHARED_ && rights & RIGHT_WRITE)
			return -EACCES;
	}
	return (int64_t)space_map(a[0], a[1], rights, a[3] & (MAP_FIXED_ | MAP_NO_REPLACE_),
		a[3] & MAP_NO_REPLACE_, f, f ? a[5] : 0);
}

int64_t sys_munmap(const uint64_t a[6])
{
	return space_unmap(a[0], a[1]);
}

int64_t sys_mprotect(const uint64_t a[6])
{
	return space_protect(a[0], a[1], a[2] & 7);
}

int64_t sys_mremap(const uint64_t a[6])
{
	if (a[3] & ~1ull)
		return -EINVAL; /* only to where there is room */
	return (int64_t)space_remap(a[0], a[1], a[2], a[3] & 1);
}

int64_t sys_madvise(const uint64_t a[6])
{
	return a[2] == 4 ? space_discard(a[0], a[1]) : 0;
}

int64_t sys_brk(const uint64_t a[6])
{
	return (int64_t)space_brk(a[0]);
}

int64_t sys_msync(const uint64_t a[6])
{
	(void)a;
	return 0;
}

int64_t sys_mincore(const uint64_t a[6])
{
	for (uint64_t at = 0; at < a[1]; at += PAGE) {
		uint8_t here = map_find(a[0] + at) != 0;
		if (a[0] + at >= USER_END - PAGE)
			return -ENOMEM;
		if (copy_out(a[2] + at / PAGE, &here, 1) < 0)
			return -EFAULT;
	}
	return 0;
}
