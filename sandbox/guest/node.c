/* SPDX-License-Identifier: Apache-2.0 */
/* The files that there are, by path, and what each kind of them does. */
#include "end.h"
#include "file.h"

#define TMP_FILES_MAX 64
#define TABLES_MAX 512 /* of 512 pages: 1 GiB a file */

uint64_t files_bytes_read, files_bytes_written, tmp_left;

static struct node fixed[] = {
	{.kind = NODE_FOLDER, .folder = "/", .name = ""},
	{.kind = NODE_FOLDER, .folder = "/in", .name = ""},
	{.kind = NODE_FOLDER, .folder = "/out", .name = ""},
	{.kind = NODE_FOLDER, .folder = "/tmp", .name = "", .writable = true},
	{.kind = NODE_FOLDER, .folder = "/dev", .name = ""},
	{.kind = NODE_LOG, .folder = "/dev", .name = "console", .writable = true},
	{.kind = NODE_NULL, .folder = "/dev", .name = "null", .writable = true},
	{.kind = NODE_ZERO, .folder = "/dev", .name = "zero", .writable = true},
	{.kind = NODE_RANDOM, .folder = "/dev", .name = "urandom"},
	{.kind = NODE_RANDOM, .folder = "/dev", .name = "random"},
};
static struct node tmp[TMP_FILES_MAX];
static struct node *given; /* of the order, in its order */
static size_t n_given;

static struct node *nth(size_t i)
{
	if (i < ARRAY_LEN(fixed))
		return &fixed[i];
	i -= ARRAY_LEN(fixed);
	if (i < n_given)
		return &given[i];
	i -= n_given;
	return i < TMP_FILES_MAX ? &tmp[i] : NULL;
}

void files_start(const struct guest_order *o)
{
	const struct guest_file *f = (const void *)((const char *)o + o->files_at);
	uint64_t pages = pages_take((o->n_files * sizeof(*given) + PAGE) / PAGE);

	if (!pages)
		panic("too little memory for a list of %u files", o->n_files);
	given = phys(pages);
	tmp_left = o->tmp_bytes;
	for (; n_given < o->n_files; n_given++, f++) {
		if (f->name[GUEST_NAME_BYTES - 1] || f->kind > GUEST_FILE_INLINE)
			panic("file %zu of the order is wrong", n_given);
		if (f->kind != GUEST_FILE_INLINE && (f->device >= block_count() || f->at % 512))
			panic("%s is on device %u, of which there are %zu", f->name, f->device,
				block_count());
		if (f->kind == GUEST_FILE_INLINE && (f->at > o->bytes || f->bytes > o->bytes - f->at))
			panic("%s is not in the order", f->name);
		given[n_given] =
			(struct node){.kind = f->kind == GUEST_FILE_INLINE ? NODE_INLINE : NODE_BLOCK,
				.folder = f->kind == GUEST_FILE_OUT ? "/out" : "/in",
				.name = f->name,
				.writable = f->kind == GUEST_FILE_OUT,
				.size = f->kind == GUEST_FILE_OUT ? 0 : f->bytes,
				.most = f->bytes,
				.device = f->device,
				.sector = f->at / 512,
				.data = (const uint8_t *)o + f->at};
	}
}

int files_finish(void)
{
	for (size_t i = 0; i < n_given; i++) {
		if (!given[i].writable)
			continue;
		int r = block_file_flush(&given[i]);
		if (r == 0)
			r = block_flush(given[i].device);
		if (r < 0)
			return r;
		tell("out %lu %lu", i, given[i].size);
	}
	return 0;
}

/* ---- paths ---- */

/* The folder's path and the name in it of a path without needless parts; "/in" has the name "". */
static bool split_path(const char *path, char folder[8], char name[GUEST_NAME_BYTES])
{
	size_t n = 0;

	folder[0] = name[0] = '\0';
	while (*path) {
		size_t len = 0;
		while (*path == '/')
			path++;
		while (path[len] && path[len] != '/')
			len++;
		if (len == 0 || (len == 1 && path[0] == '.')) {
			path += len;
			continue;
		}
		if (len == 2 && path[0] == '.' && path[1] == '.') {
			n = n > 0 ? n - 1 : 0;
			if (n == 0)
				folder[0] = '\0';
			name[0] = '\0';
		} else if (n == 0 && len < 7) {
			format(folder, 8, "/");
			memcpy(folder + 1, path, len);
			folder[len + 1] = '\0';
			n = 1;
		} else if (n == 1 && len < GUEST_NAME_BYTES) {
			memcpy(name, path, len);
			name[len] = '\0';
			n = 2;
		} else {
			return false;
		}
		path += len;
	}
	if (!folder[0])
		format(folder, 8, "/");
	return true;
}

struct node *node_find(const char *path)
{
	char folder[8], name[GUEST_NAME_BYTES];
	struct node *n;

	if (!split_path(path, folder, name))
		return NULL;
	for (size_t i = 0; (n = nth(i)); i++)
		if (n->kind != NODE_NONE && (n->kind != NODE_MEMORY || n->links) &&
			!strcmp(n->folder, folder) && !strcmp(n->name, name))
			return n;
	return NULL;
}

struct node *node_of_folder(const struct node *folder, size_t i)
{
	bool root = !strcmp(folder->folder, "/");
	struct node *n;

	for (size_t at = 0; (n = nth(at)); at++) {
		bool is_folder = n->kind == NODE_FOLDER;
		if (n->kind == NODE_NONE || n == folder || (n->kind == NODE_MEMORY && !n->links))
			continue;
		if (root ? !is_folder : is_folder || strcmp(n->folder, folder->folder))
			continue;
		if (i-- == 0)
			return n;
	}
	return NULL;
}

struct node *node_make(const char *path, int *ret_errno)
{
	char folder[8], name[GUEST_NAME_BYTES];

	*ret_errno = EACCES;
	if (!split_path(path, folder, name) || strcmp(folder, "/tmp") || !name[0])
		return NULL;
	*ret_errno = ENOSPC;
	for (size_t i = 0; i < TMP_FILES_MAX; i++) {
		struct node *n = &tmp[i];
		uint64_t page;
		if (n->kind != NODE_NONE || !(page = page_take()))
			continue;
		*n = (struct node){.kind = NODE_MEMORY,
			.folder = "/tmp",
			.writable = true,
			.links = 1,
			.most = TABLES_MAX * 512 * PAGE,
			.tables = phys(page)};
		memcpy(n->own_name, name, sizeof(name));
		n->name = n->own_name;
		return n;
	}
	return NULL;
}

static void free_memory(struct node *n, uint64_t from)
{
	for (uint64_t i = (from + PAGE - 1) / PAGE; i < (n->size + PAGE - 1) / PAGE; i++) {
		uint64_t *table = n->tables[i / 512], page = table ? table[i % 512] : 0;
		if (!page)
			continue;
		page_give(page);
		table[i % 512] = 0;
		tmp_left += PAGE;
	}
}

static void free_node(struct node *n)
{
	free_memory(n, 0);
	for (size_t i = 0; i < TABLES_MAX; i++)
		if (n->tables[i])
			page_give(phys_of(n->tables[i]));
	page_give(phys_of(n->tables));
	n->kind = NODE_NONE;
}

int node_unlink(struct node *n)
{
	if (n->kind != NODE_MEMORY)
		return -EACCES;
	n->links = 0;
	if (!n->opens)
		free_node(n);
	return 0;
}

void node_drop(struct node *n)
{
	n->opens--;
	if (n->kind == NODE_MEMORY && !n->opens && !n->links)
		free_node(n);
	if (n->kind == NODE_BLOCK && !n->opens && block_file_flush(n) == 0)
		block_file_forget(n);
}

/* ---- /tmp ---- */

/* Page i of a file in /tmp; 0: a hole that was not to be filled, or no room. */
static uint64_t memory_page(struct node *n, uint64_t i, bool make)
{
	uint64_t **table = &n->tables[i / 512], page;

	if (!*table) {
		if (!make || !(page = page_take()))
			return 0;
		*table = phys(page);
	}
	if (!(*table)[i % 512] && make && tmp_left >= PAGE && (page = page_take())) {
		tmp_left -= PAGE;
		(*table)[i % 512] = page;
	}
	return (*table)[i % 512];
}

static int64_t memory_move(struct node *n, uint64_t offset, uint64_t va, size_t len, bool write)
{
	static const uint8_t zeros[PAGE];
	size_t done = 0;

	while (done < len) {
		uint64_t at = offset + done, page = memory_page(n, at / PAGE, write);
		size_t part = MIN(len - done, PAGE - at % PAGE);
		if (write && !page)
			return done ? (int64_t)done : -ENOSPC;
		uint8_t *bytes = page ? (uint8_t *)phys(page) + at % PAGE : (uint8_t *)zeros;
		if ((write ? copy_in(bytes, va + done, part) : copy_out(va + done, bytes, part)) < 0)
			return done ? (int64_t)done : -EFAULT;
		done += part;
		if (write)
			n->size = MAX_OF(n->size, at + part);
	}
	return (int64_t)done;
}

/* ---- all kinds ---- */

static int64_t fill(uint64_t to, size_t len, bool random)
{
	uint8_t bytes[256] = {0};

	for (size_t done = 0; done < len;) {
		size_t part = MIN(len - done, sizeof(bytes));
		if (random)
			random_fill(bytes, part);
		if (copy_out(to + done, bytes, part) < 0)
			return done ? (int64_t)done : -EFAULT;
		done += part;
	}
	return (int64_t)len;
}

static int64_t to_log(uint64_t from, size_t len)
{
	uint8_t bytes[1024];

	for (size_t done = 0; done < len;) {
		size_t part = MIN(len - done, sizeof(bytes));
		if (copy_in(bytes, from + done, part) < 0)
			return done ? (int64_t)done : -EFAULT;
		port_write(PORT_LOG, bytes, part);
		done += part;
	}
	return (int64_t)len;
}

int64_t node_read(struct node *n, uint64_t offset, uint64_t to, size_t len)
{
	if (n->kind == NODE_FOLDER)
		return -EISDIR;
	if (n->kind == NODE_ZERO || n->kind == NODE_RANDOM)
		return fill(to, len, n->kind == NODE_RANDOM);
	if (n->kind == NODE_BLOCK)
		return block_file_read(n, offset, to, len);
	if (offset >= n->size)
		return 0; /* of the log and of null there is nothing to read */
	len = MIN(len, n->size - offset);
	if (n->kind == NODE_MEMORY)
		return memory_move(n, offset, to, len, false);
	return copy_out(to, n->data + offset, len) < 0 ? -EFAULT : (int64_t)len;
}

int64_t node_write(struct node *n, uint64_t offset, uint64_t from, size_t len)
{
	switch (n->kind) {
	case NODE_LOG:
		return to_log(from, len);
	case NODE_NULL:
	case NODE_ZERO:
		return (int64_t)len;
	case NODE_BLOCK:
		return block_file_write(n, offset, from, len);
	case NODE_MEMORY:
		if (offset > n->most || len > n->most - offset)
			return -EFBIG;
		return memory_move(n, offset, from, len, true);
	default:
		return -EBADF;
	}
}

int node_resize(struct node *n, uint64_t size)
{
	int r = 0;

	if (!n->writable || (n->kind != NODE_BLOCK && n->kind != NODE_MEMORY))
		return -EINVAL;
	if (n->kind == NODE_MEMORY) {
		if (size > n->most)
			return -EFBIG;
		if (size < n->size) {
			uint64_t page = size % PAGE ? memory_page(n, size / PAGE, false) : 0;
			if (page)
				memset((uint8_t *)phys(page) + size % PAGE, 0, PAGE - size % PAGE);
			free_memory(n, size);
		}
		n->size = size;
		return 0;
	}
	/* What lies behind the end must read as zeros if the file grows again. */
	uint64_t was = n->size;
	r = block_file_zero(n, MIN(size, was), MAX_OF(size, was));
	n->size = r == 0 ? size : n->size;
	if (r == 0)
		r = block_file_flush(n);
	block_file_forget(n);
	return r;
}

int node_flush(struct node *n)
{
	if (n->kind != NODE_BLOCK || !n->writable)
		return 0;
	int r = block_file_flush(n);
	return r == 0 ? block_flush(n->device) : r;
}

int node_fill_pages(struct node *n, uint64_t offset, const uint64_t *pages, size_t count)
{
	if (n->kind == NODE_BLOCK)
		return block_file_fill(n, offset, pages, count);
	for (size_t i = 0; i < count; i++, offset += PAGE) {
		uint64_t len = offset < n->size ? MIN(PAGE, n->size - offset) : 0;
		if (n->kind == NODE_INLINE && len)
			memcpy(phys(pages[i]), n->data + offset, len);
		uint64_t page = n->kind == NODE_MEMORY && len ? memory_page(n, offset / PAGE, false) : 0;
		if (page)
			memcpy(phys(pages[i]), phys(page), len);
	}
	return 0;
}

int file_fill_pages(struct open_file *f, uint64_t offset, const uint64_t *pages, size_t n)
{
	return node_fill_pages(f->node, offset, pages, n);
}

uint64_t file_size(const struct open_file *f)
{
	return f->node->size;
}

struct open_file *file_hold(struct open_file *f)
{
	f->holds++;
	return f;
}
