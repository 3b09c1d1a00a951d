/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptors, and the system calls on them. */
#include "file.h"
#include "syscall.h"

#define DESCRIPTORS 256
#define VECTORS_MAX 1024
#define PATH_BYTES 256
#define AT_HERE ((uint32_t)-100)

enum {
	O_ACCESS = 3,
	O_RDONLY_ = 0,
	O_WRONLY_ = 1,
	O_RDWR_ = 2,
	O_CREAT_ = 0100,
	O_EXCL_ = 0200,
	O_TRUNC_ = 01000,
	O_APPEND_ = 02000,
	O_DIRECTORY_ = 0200000
};

static struct open_file files[DESCRIPTORS], *descriptors[DESCRIPTORS];

struct open_file *descriptor_file(uint64_t fd)
{
	return (uint32_t)fd < DESCRIPTORS ? descriptors[(uint32_t)fd] : NULL;
}

static struct open_file *open_node(struct node *n, int flags)
{
	for (size_t i = 0; i < DESCRIPTORS; i++) {
		if (files[i].holds)
			continue;
		files[i] = (struct open_file){.node = n, .flags = flags};
		n->opens++;
		return &files[i];
	}
	return NULL;
}

void file_release(struct open_file *f)
{
	if (--f->holds == 0)
		node_drop(f->node);
}

static int64_t give_descriptor(struct open_file *f, uint64_t from)
{
	for (uint64_t fd = from; fd < DESCRIPTORS; fd++) {
		if (descriptors[fd])
			continue;
		descriptors[fd] = file_hold(f);
		return (int64_t)fd;
	}
	return -EMFILE;
}

void descriptors_start(void)
{
	struct node *log = node_find("/dev/console"), *null = node_find("/dev/null");

	ensure(give_descriptor(open_node(null, O_RDONLY_), 0) == 0);
	ensure(give_descriptor(open_node(log, O_RDWR_), 1) == 1);
	ensure(give_descriptor(files[1].holds ? &files[1] : NULL, 2) == 2);
}

/* ---- open, close ---- */

static int64_t open_path(uint64_t path_at, uint64_t flags)
{
	char path[PATH_BYTES];
	int why = 0, r = copy_text_in(path, path_at, sizeof(path));

	if (r < 0)
		return r;
	if (!path[0])
		return -ENOENT;
	struct node *n = node_find(path);
	if (n && (flags & (O_CREAT_ | O_EXCL_)) == (O_CREAT_ | O_EXCL_))
		return -EEXIST;
	if (!n && !(flags & O_CREAT_))
		return -ENOENT;
	if (!n && !(n = node_make(path, &why)))
		return -why;
	if (n->kind == NODE_FOLDER && (flags & O_ACCESS) != O_RDONLY_)
		return -EISDIR;
	if (n->kind != NODE_FOLDER && flags & O_DIRECTORY_)
		return -ENOTDIR;
	if (!n->writable && (flags & O_ACCESS) != O_RDONLY_)
		return -EACCES;
	struct open_file *f = open_node(n, (int)flags);
	if (!f)
		return -EMFILE;
	int64_t fd = give_descriptor(f, 0);
	if (fd < 0) {
		f->holds = 1;
		file_release(f);
		return fd;
	}
	if (flags & O_TRUNC_ && (flags & O_ACCESS) != O_RDONLY_ && n->size) {
		r = node_resize(n, 0);
		if (r < 0)
			return r;
	}
	return fd;
}

int64_t sys_open(const uint64_t a[6])
{
	return open_path(a[0], a[1]);
}

/* The working folder is "/", and a folder's descriptor leads nowhere else than its path: only absolute paths
 * and those from "/" are used by stages. */
int64_t sys_openat(const uint64_t a[6])
{
	char first;

	if ((uint32_t)a[0] != AT_HERE && (copy_in(&first, a[1], 1) < 0 || first != '/'))
		return -ENOSYS;
	return open_path(a[1], a[2]);
}

int64_t sys_close(const uint64_t a[6])
{
	struct open_file *f = descriptor_file(a[0]);

	if (!f)
		return -EBADF;
	descriptors[(uint32_t)a[0]] = NULL;
	file_release(f);
	return 0;
}

int64_t sys_close_range(const uint64_t a[6])
{
	for (uint64_t fd = (uint32_t)a[0]; fd <= (uint32_t)a[1] && fd < DESCRIPTORS; fd++)
		if (descriptors[fd] && !(a[2] & 4)) {
			struct open_file *f = descriptors[fd];
			descriptors[fd] = NULL;
			file_release(f);
		}
	return 0;
}

int64_t sys_dup(const uint64_t a[6])
{
	struct open_file *f = descriptor_file(a[0]);

	return f ? give_descriptor(f, 0) : -EBADF;
}

int64_t sys_dup3(const uint64_t a[6])
{
	struct open_file *f = descriptor_file(a[0]);
	const uint64_t to[6] = {a[1]};

	if (!f || (uint32_t)a[1] >= DESCRIPTORS)
		return -EBADF;
	if ((uint32_t)a[0] == (uint32_t)a[1])
		return -EINVAL;
	if (descriptors[(uint32_t)a[1]])
		sys_close(to);
	descriptors[(uint32_t)a[1]] = file_hold(f);
	return (int64_t)(uint32_t)a[1];
}

int64_t sys_dup2(const uint64_t a[6])
{
	if (descriptor_file(a[0]) && (uint32_t)a[0] == (uint32_t)a[1])
		return (int64_t)(uint32_t)a[1];
	return sys_dup3(a);
}

int64_t sys_fcntl(const uint64_t a[6])
{
	struct open_file *f = descriptor_file(a[0]);

	if (!f)
		return -EBADF;
	switch (a[1]) {
	case 0:    /* F_DUPFD */
	case 1030: /* F_DUPFD_CLOEXEC */
		return a[2] < DESCRIPTORS ? give_descriptor(f, a[2]) : -EINVAL;
	case 1: /* F_GETFD */
	case 2: /* F_SETFD: nothing is ever executed */
	case 5: /* locks: nobody else is here */
	case 6:
	case 7:
		return 0;
	case 3: /* F_GETFL */
		return f->flags & (O_ACCESS | O_APPEND_);
	case 4: /* F_SETFL */
		f->flags = (f->flags & ~O_APPEND_) | ((int)a[2] & O_APPEND_);
		return 0;
	default:
		return -EINVAL;
	}
}

int64_t sys_ioctl(const uint64_t a[6])
{
	return descriptor_file(a[0]) ? -ENOTTY : -EBADF;
}

/* ---- read, write ---- */

static bool may(const struct open_file *f, bool write)
{
	int access = f->flags & O_ACCESS;

	return access == O_RDWR_ || access == (write ? O_WRONLY_ : O_RDONLY_);
}

/* At an offset, or at and with the descriptor's own (NULL). */
static int64_t move(uint64_t fd, uint64_t at, uint64_t len, const uint64_t *offset, bool write)
{
	struct open_file *f = descriptor_file(fd);

	if (!f || !may(f, write))
		return -EBADF;
	if (offset && (int64_t)*offset < 0)
		return -EINVAL;
	len = MIN(len, 0x7ffff000ull);
	if (write && f->flags & O_APPEND_ && !offset)
		f->offset = f->node->size;
	uint64_t from = offset ? *offset : f->offset;
	int64_t r = write ? node_write(f->node, from, at, len) : node_read(f->node, from, at, len);
	if (r > 0 && !offset)
		f->offset += (uint64_t)r;
	return r;
}

int64_t sys_read(const uint64_t a[6])
{
	return move(a[0], a[1], a[2], NULL, false);
}

int64_t sys_write(const uint64_t a[6])
{
	return move(a[0], a[1], a[2], NULL, true);
}

int64_t sys_pread64(const uint64_t a[6])
{
	return move(a[0], a[1], a[2], &a[3], false);
}

int64_t sys_pwrite64(const uint64_t a[6])
{
	return move(a[0], a[1], a[2], &a[3], true);
}

static int64_t move_vector(uint64_t fd, uint64_t vector, uint64_t n, uint64_t *offset, bool write)
{
	int64_t total = 0;

	if (n > VECTORS_MAX)
		return -EINVAL;
	for (uint64_t i = 0; i < n; i++) {
		uint64_t piece[2];
		if (copy_in(piece, vector + i * sizeof(piece), sizeof(piece)) < 0)
			return total ? total : -EFAULT;
		int64_t r = piece[1] ? move(fd, piece[0], piece[1], offset, write) : 0;
		if (r < 0)
			return total ? total : r;
		total += r;
		if (offset)
			*offset += (uint64_t)r;
		if ((uint64_t)r < piece[1])
			break;
	}
	return total;
}

int64_t sys_readv(const uint64_t a[6])
{
	return descriptor_file(a[0]) ? move_vector(a[0], a[1], a[2], NULL, false) : -EBADF;
}

int64_t sys_writev(const uint64_t a[6])
{
	return descriptor_file(a[0]) ? move_vector(a[0], a[1], a[2], NULL, true) : -EBADF;
}

int64_t sys_preadv(const uint64_t a[6])
{
	uint64_t offset = a[3];

	return move_vector(a[0], a[1], a[2], offset == UINT64_MAX ? NULL : &offset, false);
}

int64_t sys_pwritev(const uint64_t a[6])
{
	uint64_t offset = a[3];

	return move_vector(a[0], a[1], a[2], offset == UINT64_MAX ? NULL : &offset, true);
}

int64_t sys_lseek(const uint64_t a[6])
{
	struct open_file *f = descriptor_file(a[0]);
	int64_t base;

	if (!f)
		return -EBADF;
	if (f->node->kind == NODE_LOG)
		return -ESPIPE;
	if (a[2] > 2)
		return -EINVAL;
	base = a[2] == 0 ? 0 : a[2] == 1 ? (int64_t)f->offset : (int64_t)f->node->size;
	if (__builtin_add_overflow(base, (int64_t)a[1], &base) || base < 0)
		return -EINVAL;
	f->offset = (uint64_t)base;
	return base;
}

/* ---- sizes, ends ---- */

int64_t sys_ftruncate(const uint64_t a[6])
{
	struct open_file *f = descriptor_file(a[0]);

	if (!f || !may(f, true))
		return f ? -EINVAL : -EBADF;
	return (int64_t)a[1] < 0 ? -EINVAL : node_resize(f->node, a[1]);
}

int64_t sys_truncate(const uint64_t a[6])
{
	char path[PATH_BYTES];
	int r = copy_text_in(path, a[0], sizeof(path));
	struct node *n = r < 0 ? NULL : node_find(path);

	if (!n)
		return r < 0 ? r : -ENOENT;
	if (!n->writable)
		return -EACCES;
	return (int64_t)a[1] < 0 ? -EINVAL : node_resize(n, a[1]);
}

int64_t sys_fallocate(const uint64_t a[6])
{
	struct open_file *f = descriptor_file(a[0]);

	if (!f || !may(f, true))
		return -EBADF;
	if (a[1] != 0 || (int64_t)a[2] < 0 || (int64_t)a[3] <= 0 || (int64_t)(a[2] + a[3]) < 0)
		return -EINVAL;
	return a[2] + a[3] > f->node->size ? node_resize(f->node, a[2] + a[3]) : 0;
}

int64_t sys_fsync(const uint64_t a[6])
{
	struct open_file *f = descriptor_file(a[0]);

	return f ? node_flush(f->node) : -EBADF;
}

int64_t sys_unlink(const uint64_t a[6])
{
	char path[PATH_BYTES];
	int r = copy_text_in(path, a[0], sizeof(path));
	struct node *n = r < 0 ? NULL : node_find(path);

	return n ? node_unlink(n) : r < 0 ? r : -ENOENT;
}

int64_t sys_unlinkat(const uint64_t a[6])
{
	return a[2] ? -EACCES : sys_unlink(&a[1]);
}

int64_t sys_getdents64(const uint64_t a[6])
{
	struct open_file *f = descriptor_file(a[0]);
	uint64_t done = 0;

	if (!f)
		return -EBADF;
	if (f->node->kind != NODE_FOLDER)
		return -ENOTDIR;
	for (;;) {
		struct {
			uint64_t inode;
			int64_t next;
			uint16_t bytes;
			uint8_t kind;
			char name[GUEST_NAME_BYTES + 5];
		} __attribute__((packed)) entry = {.inode = f->offset + 1, .next = (int64_t)f->offset + 1};
		struct node *n = f->offset < 2 ? f->node : node_of_folder(f->node, f->offset - 2);
		if (!n)
			break;
		const char *name = f->offset == 0   ? "."
				   : f->offset == 1 ? ".."
				   : n->name[0]     ? n->name
						    : n->folder + 1;
		entry.kind = n->kind == NODE_FOLDER ? 4 : n->kind <= NODE_MEMORY ? 8 : 2;
		entry.bytes = (uint16_t)((19 + strlen(name) + 1 + 7) & ~7ull);
		memcpy(entry.name, name, strlen(name) + 1);
		if (done + entry.bytes > a[2])
			return done ? (int64_t)done : -EINVAL;
		if (copy_out(a[1] + done, &entry, entry.bytes) < 0)
			return -EFAULT;
		done += entry.bytes;
		f->offset++;
	}
	return (int64_t)done;
}

/* Everything that can be opened is always ready. */
int64_t sys_poll(const uint64_t a[6])
{
	int64_t ready = 0;

	if (a[1] > DESCRIPTORS)
		return -EINVAL;
	for (uint64_t i = 0; i < a[1]; i++) {
		struct {
			int32_t fd;
			int16_t events, returned;
		} p;
		if (copy_in(&p, a[0] + i * sizeof(p), sizeof(p)) < 0)
			return -EFAULT;
		p.returned = p.fd < 0 ? 0 : descriptor_file((uint64_t)p.fd) ? (int16_t)(p.events & 5) : 0x20;
		ready += p.returned != 0;
		if (copy_out(a[0] + i * sizeof(p), &p, sizeof(p)) < 0)
			return -EFAULT;
	}
	if (!ready && (int32_t)a[2] > 0)
		time_wait_ns((uint64_t)(int32_t)a[2] * 1000000);
	if (!ready && (int32_t)a[2] < 0)
		end_signalled(6, "it waits for ever: nothing will wake it");
	return ready;
}

int64_t sys_ppoll(const uint64_t a[6])
{
	uint64_t ts[2] = {0, 0}, b[6] = {a[0], a[1], (uint64_t)-1};

	if (a[2]) {
		if (copy_in(ts, a[2], sizeof(ts)) < 0)
			return -EFAULT;
		b[2] = MIN(ts[0] * 1000 + ts[1] / 1000000, 0x7fffffffull);
	}
	return sys_poll(b);
}
