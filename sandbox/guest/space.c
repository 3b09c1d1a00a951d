/* SPDX-License-Identifier: Apache-2.0 */
/* The stage's address space: regions in order of their addresses; pages come when they are touched. */
#include "guest.h"

#define REGIONS_MAX 1024
#define MAP_TOP 0x00007f0000000000ull
#define AHEAD 16 /* pages of a file that are read at one touch */

struct region {
	uint64_t start, end;
	unsigned rights;
	struct open_file *file; /* held; NULL: memory */
	uint64_t offset;        /* in the file, of start */
};

static struct region regions[REGIONS_MAX];
static size_t n_regions;
static uint64_t brk_start, brk_end;
static uint64_t map_top; /* a random place, chosen at the first use */

/* The first region that ends above va. */
static size_t region_after(uint64_t va)
{
	size_t from = 0, to = n_regions;

	while (from < to) {
		size_t middle = (from + to) / 2;
		if (regions[middle].end <= va)
			from = middle + 1;
		else
			to = middle;
	}
	return from;
}

static bool is_free(uint64_t start, uint64_t end)
{
	size_t i = region_after(start);

	return i == n_regions || regions[i].start >= end;
}

static bool open_slot(size_t i)
{
	if (n_regions == REGIONS_MAX)
		return false;
	memmove(&regions[i + 1], &regions[i], (n_regions - i) * sizeof(*regions));
	n_regions++;
	return true;
}

static void close_slot(size_t i)
{
	if (regions[i].file)
		file_release(regions[i].file);
	n_regions--;
	memmove(&regions[i], &regions[i + 1], (n_regions - i) * sizeof(*regions));
}

/* Cuts the region that holds va, so that one begins there. */
static bool split(uint64_t va)
{
	size_t i = region_after(va);

	if (i == n_regions || regions[i].start >= va)
		return true;
	if (!open_slot(i))
		return false;
	regions[i].end = va;
	regions[i + 1].start = va;
	if (regions[i + 1].file) {
		regions[i + 1].offset += va - regions[i].start;
		file_hold(regions[i + 1].file);
	}
	return true;
}

/* malloc grows and changes neighbours all the time: like ones are made one again. */
static void join_at(size_t i)
{
	if (i == 0 || i >= n_regions)
		return;
	struct region *a = &regions[i - 1], *b = &regions[i];
	if (a->end == b->start && a->rights == b->rights && !a->file && !b->file) {
		a->end = b->end;
		close_slot(i);
	}
}

static void drop_pages(uint64_t start, uint64_t end)
{
	for (uint64_t va = start; va < end; va += PAGE) {
		uint64_t page = map_remove(va);
		if (page)
			page_give(page);
	}
}

int space_unmap(uint64_t start, uint64_t len)
{
	uint64_t end = start + len;

	if (start % PAGE || end < start || end > USER_END || len == 0)
		return -EINVAL;
	end = (end + PAGE - 1) & ~(PAGE - 1);
	if (!split(start) || !split(end))
		return -ENOMEM;
	size_t i = region_after(start);
	while (i < n_regions && regions[i].start < end) {
		drop_pages(regions[i].start, regions[i].end);
		close_slot(i);
	}
	return 0;
}

static uint64_t find_room(uint64_t len)
{
	if (!map_top)
		map_top = MAP_TOP + random_below(1ull << 24) * PAGE;
	uint64_t end = map_top;
	for (size_t i = n_regions; i > 0; i--) {
		if (regions[i - 1].start >= end)
			continue;
		if (regions[i - 1].end <= end && end - regions[i - 1].end >= len + PAGE)
			return end - len;
		end = MIN(end, regions[i - 1].start);
	}
	return end > len + (1ull << 20) ? end - len : 0;
}

uint64_t space_map(uint64_t hint, uint64_t len, unsigned rights, bool fixed, bool no_replace,
	struct open_file *file, uint64_t offset)
{
	len = (len + PAGE - 1) & ~(PAGE - 1);
	if (len == 0 || len > USER_END || offset % PAGE)
		return -(uint64_t)EINVAL;
	/* Writable memory is not executable. */
	if (rights & RIGHT_WRITE && rights & RIGHT_EXEC)
		return -(uint64_t)EACCES;
	bool usable = hint % PAGE == 0 && hint >= 0x10000 && hint + len > hint && hint + len <= USER_END;
	if (fixed) {
		if (!usable)
			return -(uint64_t)EINVAL;
		if (no_replace && !is_free(hint, hint + len))
			return -(uint64_t)EEXIST;
		int r = space_unmap(hint, len);
		if (r < 0)
			return (uint64_t)(int64_t)r;
	} else if (!usable || !is_free(hint, hint + len)) {
		hint = find_room(len);
		if (!hint)
			return -(uint64_t)ENOMEM;
	}
	size_t i = region_after(hint);
	if (!open_slot(i))
		return -(uint64_t)ENOMEM;
	regions[i] = (struct region){hint, hint + len, rights, file ? file_hold(file) : NULL, offset};
	join_at(i + 1);
	join_at(i);
	return hint;
}

int space_protect(uint64_t start, uint64_t len, unsigned rights)
{
	uint64_t end = (start + len + PAGE - 1) & ~(PAGE - 1);

	if (start % PAGE || end < start || end > USER_END)
		return -EINVAL;
	if (rights & RIGHT_WRITE && rights & RIGHT_EXEC)
		return -EACCES;
	if (!split(start) || !split(end))
		return -ENOMEM;
	uint64_t at = start;
	for (size_t i = region_after(start); i < n_regions && regions[i].start < end; i++) {
		if (regions[i].start != at)
			return -ENOMEM;
		at = regions[i].end;
		regions[i].rights = rights;
		for (uint64_t va = regions[i].start; va < regions[i].end; va += PAGE)
			map_rights(va, rights);
	}
	if (at < end)
		return -ENOMEM;
	size_t last = region_after(end);
	join_at(last);
	size_t first = region_after(start);
	join_at(first);
	return 0;
}

int space_discard(uint64_t start, uint64_t len)
{
	if (start % PAGE || start + len < start || start + len > USER_END)
		return -EINVAL;
	drop_pages(start, start + ((len + PAGE - 1) & ~(PAGE - 1)));
	return 0;
}

uint64_t space_remap(uint64_t start, uint64_t old_len, uint64_t new_len, bool may_move)
{
	old_len = (old_len + PAGE - 1) & ~(PAGE - 1);
	new_len = (new_len + PAGE - 1) & ~(PAGE - 1);
	size_t i = region_after(start);
	if (start % PAGE || !old_len || !new_len || new_len > USER_END || i == n_regions ||
		regions[i].start > start || regions[i].end < start + old_len || regions[i].file)
		return -(uint64_t)EINVAL;
	if (new_len <= old_len) {
		if (new_len < old_len && space_unmap(start + new_len, old_len - new_len) < 0)
			return -(uint64_t)ENOMEM;
		return start;
	}
	unsigned rights = regions[i].rights;
	if (regions[i].end == start + old_len && start + new_len <= USER_END &&
		is_free(start + old_len, start + new_len)) {
		uint64_t r = space_map(start + old_len, new_len - old_len, rights, true, false, NULL, 0);
		return r == start + old_len ? start : r;
	}
	if (!may_move)
		return -(uint64_t)ENOMEM;
	uint64_t to = space_map(0, new_len, rights, false, false, NULL, 0);
	if (to > USER_END)
		return to;
	for (uint64_t at = 0; at < old_len; at += PAGE) {
		uint64_t page = map_remove(start + at);
		if (page && !map_page(to + at, page, rights))
			end_limit("memory", "no page was left for a table");
	}
	int r = space_unmap(start, old_len);
	return r < 0 ? (uint64_t)(int64_t)r : to;
}

void space_set_brk(uint64_t start)
{
	brk_start = brk_end = start;
}

uint64_t space_brk(uint64_t to)
{
	uint64_t was = (brk_end + PAGE - 1) & ~(PAGE - 1), now = (to + PAGE - 1) & ~(PAGE - 1);

	if (to < brk_start || to > MAP_TOP)
		return brk_end;
	if (now > was) {
		if (!is_free(was, now) ||
			space_map(was, now - was, RIGHT_READ | RIGHT_WRITE, true, true, NULL, 0) != was)
			return brk_end;
	} else if (now < was && space_unmap(now, was - now) < 0) {
		return brk_end;
	}
	brk_end = to;
	return brk_end;
}

/* The pages of a file from va on that are not here yet, as far as they can be read together. */
static bool fill_from_file(struct region *r, uint64_t va)
{
	uint64_t pages[AHEAD], offset = r->offset + (va - r->start), size = file_size(r->file);
	size_t n = 0;

	while (n < AHEAD && va + n * PAGE < r->end && (n == 0 || offset + n * PAGE < size) &&
		!map_find(va + n * PAGE) && (pages[n] = page_take()))
		n++;
	if (n == 0)
		end_limit("memory", "the stage's memory is used up");
	if (file_fill_pages(r->file, offset, pages, n) < 0) {
		for (size_t i = 0; i < n; i++)
			page_give(pages[i]);
		return false;
	}
	for (size_t i = 0; i < n; i++)
		if (!map_page(va + i * PAGE, pages[i], r->rights))
			end_limit("memory", "no page was left for a table");
	return true;
}

bool space_fault(uint64_t va, unsigned rights)
{
	size_t i = va < USER_END ? region_after(va) : n_regions;

	va &= ~(PAGE - 1);
	if (i == n_regions || regions[i].start > va || (regions[i].rights & rights) != rights)
		return false;
	if (map_find(va))
		return true;
	if (regions[i].file)
		return fill_from_file(&regions[i], va);
	uint64_t page = page_take();
	if (!page || !map_page(va, page, regions[i].rights))
		end_limit("memory", "the stage's memory is used up");
	return true;
}

uint64_t space_page(uint64_t va, unsigned rights)
{
	return space_fault(va, rights) ? map_find(va & ~(PAGE - 1)) : 0;
}

static int copy(uint64_t va, char *ours, size_t n, bool out)
{
	while (n) {
		size_t at = va % PAGE, len = MIN(n, PAGE - at);
		uint64_t page = space_page(va, out ? RIGHT_WRITE : RIGHT_READ);

		if (!page)
			return -EFAULT;
		if (out)
			memcpy((char *)phys(page) + at, ours, len);
		else
			memcpy(ours, (char *)phys(page) + at, len);
		ours += len;
		va += len;
		n -= len;
	}
	return 0;
}

int copy_in(void *to, uint64_t from, size_t n)
{
	return copy(from, to, n, false);
}

int copy_out(uint64_t to, const void *from, size_t n)
{
	return copy(to, (char *)from, n, true);
}

int copy_text_in(char *to, uint64_t from, size_t cap)
{
	for (size_t n = 0; n < cap; n++) {
		if (copy_in(&to[n], from + n, 1) < 0)
			return -EFAULT;
		if (!to[n])
			return (int)n;
	}
	return -ENAMETOOLONG;
}
