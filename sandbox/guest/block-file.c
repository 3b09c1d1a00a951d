/* SPDX-License-Identifier: Apache-2.0 */
/* Files on block devices. Large and even pieces go straight between the device and the stage's memory; the
 * rest goes through a window of the file that is kept in memory. */
#include "file.h"

#define SECTOR 512ull
#define WINDOW_BYTES 65536ull
#define DIRECT_BYTES 4096

struct window {
	uint64_t at;    /* in the file, a multiple of its size */
	uint64_t bytes; /* valid from at on */
	bool dirty;
	uint8_t *data; /* WINDOW_BYTES, pages in a row */
};

#define WINDOWS_MAX 32
static struct window windows[WINDOWS_MAX];
static struct node *owners[WINDOWS_MAX];
static size_t next_victim;

static uint64_t sectors(uint64_t bytes)
{
	return (bytes + SECTOR - 1) / SECTOR;
}

static int transfer_window(struct node *n, struct window *w, bool write, uint64_t bytes)
{
	struct piece piece = {phys_of(w->data), (uint32_t)(sectors(bytes) * SECTOR)};

	if (bytes == 0)
		return 0;
	if (write)
		files_bytes_written += piece.bytes;
	else
		files_bytes_read += piece.bytes;
	return block_transfer(n->device, write, n->sector + w->at / SECTOR, &piece, 1);
}

int block_file_flush(struct node *n)
{
	struct window *w = n->window;

	if (!w || !w->dirty)
		return 0;
	int r = transfer_window(n, w, true, w->bytes);
	if (r == 0)
		w->dirty = false;
	return r;
}

void block_file_forget(struct node *n)
{
	if (!n->window)
		return;
	owners[n->window - windows] = NULL;
	n->window = NULL;
}

/* A window for the file: its own, a free one, or another file's, written back. */
static int get_window(struct node *n)
{
	size_t slot = WINDOWS_MAX;

	if (n->window)
		return 0;
	for (size_t i = 0; i < WINDOWS_MAX && slot == WINDOWS_MAX; i++)
		if (!owners[i])
			slot = i;
	if (slot < WINDOWS_MAX && !windows[slot].data) {
		uint64_t pages = pages_take(WINDOW_BYTES / PAGE);
		if (pages)
			windows[slot].data = phys(pages);
	}
	if (slot == WINDOWS_MAX || !windows[slot].data) {
		for (size_t tries = 0; tries < WINDOWS_MAX; tries++) {
			slot = next_victim++ % WINDOWS_MAX;
			if (owners[slot])
				break;
		}
		if (!owners[slot])
			end_limit("memory", "no room is left to read and write files");
		int r = block_file_flush(owners[slot]);
		if (r < 0)
			return r;
		block_file_forget(owners[slot]);
	}
	owners[slot] = n;
	n->window = &windows[slot];
	*n->window = (struct window){.at = UINT64_MAX, .data = windows[slot].data};
	return 0;
}

/* Has the window lie over an offset, with what the file holds there. */
static int move_window(struct node *n, uint64_t offset)
{
	uint64_t at = offset & ~(WINDOW_BYTES - 1);
	int r = get_window(n);

	if (r < 0)
		return r;
	struct window *w = n->window;
	if (w->at == at)
		return 0;
	r = block_file_flush(n);
	if (r < 0)
		return r;
	w->at = at;
	w->bytes = at < n->size ? MIN(WINDOW_BYTES, n->size - at) : 0;
	memset(w->data + w->bytes, 0, WINDOW_BYTES - w->bytes);
	r = transfer_window(n, w, false, w->bytes);
	if (r < 0)
		block_file_forget(n);
	else /* what is behind the end on the device is nobody's */
		memset(w->data + w->bytes, 0, (sectors(w->bytes) * SECTOR) - w->bytes);
	return r;
}

/* Straight: as much as fits into one request. 0 when the window must be used. */
static int64_t direct(struct node *n, uint64_t offset, uint64_t va, size_t len, bool write)
{
	struct piece pieces[PIECES_MAX];
	size_t count = 0;
	uint64_t total = 0;

	len &= ~(SECTOR - 1);
	if (offset % SECTOR || len < DIRECT_BYTES)
		return 0;
	while (total < len && count < PIECES_MAX) {
		uint64_t page = space_page(va + total, write ? RIGHT_READ : RIGHT_WRITE);
		uint32_t bytes = (uint32_t)MIN(PAGE - (va + total) % PAGE, len - total);
		if (!page)
			break;
		page += (va + total) % PAGE;
		if (count && pieces[count - 1].address + pieces[count - 1].bytes == page)
			pieces[count - 1].bytes += bytes;
		else
			pieces[count++] = (struct piece){page, bytes};
		total += bytes;
	}
	/* The whole must be sectors: give the end back. */
	uint64_t over = total % SECTOR;
	total -= over;
	while (over && count) {
		uint32_t cut = (uint32_t)MIN(over, pieces[count - 1].bytes);
		pieces[count - 1].bytes -= cut;
		over -= cut;
		if (!pieces[count - 1].bytes)
			count--;
	}
	if (!total)
		return 0;
	int r = block_file_flush(n);
	if (r == 0 && write)
		block_file_forget(n);
	if (r == 0)
		r = block_transfer(n->device, write, n->sector + offset / SECTOR, pieces, count);
	return r < 0 ? r : (int64_t)total;
}

int64_t block_file_read(struct node *n, uint64_t offset, uint64_t to, size_t len)
{
	size_t done = 0;

	if (offset >= n->size)
		return 0;
	len = MIN(len, n->size - offset);
	while (done < len) {
		int64_t r = direct(n, offset + done, to + done, len - done, false);
		if (r > 0)
			files_bytes_read += (uint64_t)r;
		if (r == 0) {
			r = move_window(n, offset + done);
			if (r == 0) {
				size_t in = (offset + done) % WINDOW_BYTES;
				r = (int64_t)MIN(len - done, WINDOW_BYTES - in);
				if (copy_out(to + done, n->window->data + in, (size_t)r) < 0)
					r = -EFAULT;
			}
		}
		if (r < 0)
			return done ? (int64_t)done : r;
		done += (size_t)r;
	}
	return (int64_t)done;
}

int64_t block_file_write(struct node *n, uint64_t offset, uint64_t from, size_t len)
{
	size_t done = 0;

	if (offset > n->most || len > n->most - offset)
		end_limit("output", n->name);
	if (offset > n->size) {
		int r = block_file_zero(n, n->size, offset);
		if (r < 0)
			return r;
	}
	while (done < len) {
		int64_t r = direct(n, offset + done, from + done, len - done, true);
		if (r > 0)
			files_bytes_written += (uint64_t)r;
		if (r == 0) {
			r = move_window(n, offset + done);
			if (r == 0) {
				struct window *w = n->window;
				size_t in = (offset + done) % WINDOW_BYTES;
				r = (int64_t)MIN(len - done, WINDOW_BYTES - in);
				if (copy_in(w->data + in, from + done, (size_t)r) < 0)
					r = -EFAULT;
				else {
					w->dirty = true;
					w->bytes = MAX_OF(w->bytes, in + (uint64_t)r);
				}
			}
		}
		if (r < 0)
			return done ? (int64_t)done : r;
		done += (size_t)r;
		n->size = MAX_OF(n->size, offset + done);
	}
	return (int64_t)done;
}

/* Zeros from `from` to `to`, which becomes the size if it is larger. */
int block_file_zero(struct node *n, uint64_t from, uint64_t to)
{
	if (to > n->most)
		end_limit("output", n->name);
	while (from < to) {
		int r = move_window(n, from);
		if (r < 0)
			return r;
		size_t in = from % WINDOW_BYTES, len = MIN(to - from, WINDOW_BYTES - in);
		memset(n->window->data + in, 0, len);
		n->window->dirty = true;
		n->window->bytes = MAX_OF(n->window->bytes, in + len);
		from += len;
		n->size = MAX_OF(n->size, from);
	}
	return 0;
}

int block_file_fill(struct node *n, uint64_t offset, const uint64_t *pages, size_t count)
{
	struct piece pieces[PIECES_MAX];
	uint64_t bytes = offset < n->size ? MIN(count * PAGE, n->size - offset) : 0,
		 left = sectors(bytes) * SECTOR;
	size_t used = 0;
	int r = block_file_flush(n);

	for (; left; used++) {
		pieces[used] = (struct piece){pages[used], (uint32_t)MIN(left, PAGE)};
		left -= pieces[used].bytes;
	}
	files_bytes_read += bytes;
	if (r == 0 && used)
		r = block_transfer(n->device, false, n->sector + offset / SECTOR, pieces, used);
	if (r == 0 && bytes % PAGE)
		memset((uint8_t *)phys(pages[used - 1]) + bytes % PAGE, 0, PAGE - bytes % PAGE);
	return r;
}
