/* SPDX-License-Identifier: Apache-2.0 */
/* Physical memory, a bit a page, and the page tables of the one address space. */
#include "guest.h"

#define PAGES_MAX (3ull << 30 >> 12) /* below the devices */

#define PTE_PRESENT 1ull
#define PTE_WRITE 2ull
#define PTE_USER 4ull
#define PTE_LARGE 0x80ull
#define PTE_KEPT 0x200ull /* ours: a page is here although nobody may touch it */
#define PTE_NO_EXEC (1ull << 63)
#define PTE_ADDRESS 0x000ffffffffff000ull

extern uint64_t kernel_pml4[512], kernel_pdpt[512], physmap_tables[4 * 512];

static uint64_t *map;      /* a set bit is a free page */
static uint64_t map_pages; /* how many bits it has */
static uint64_t search;    /* no free page in words before */
static size_t n_free, n_least = SIZE_MAX;

static void mark(uint64_t page, bool free)
{
	uint64_t bit = 1ull << (page & 63), *word = &map[page >> 6];

	if (free == !!(*word & bit))
		return;
	*word ^= bit;
	if (free)
		n_free++;
	else
		n_free--;
	if (free && page >> 6 < search)
		search = page >> 6;
	if (n_free < n_least)
		n_least = n_free;
}

void pages_add(uint64_t start, uint64_t end)
{
	start = (start + PAGE - 1) / PAGE;
	end = MIN(end / PAGE, PAGES_MAX);
	if (start >= end)
		return;
	if (!map) {
		/* The map lies behind the kernel: at the end of memory is the order. */
		map = phys(phys_of(kernel_end));
		map_pages = end;
		memset(map, 0, (end / 64 + 1) * 8);
	}
	end = MIN(end, map_pages);
	while (start < end && start % 64)
		mark(start++, true);
	/* Whole words at once: this is most of a small guest's start otherwise. */
	memset(&map[start / 64], 0xff, (end - start) / 64 * 8);
	n_free += (end - start) & ~63ull;
	search = 0;
	for (start += (end - start) & ~63ull; start < end; start++)
		mark(start, true);
	n_least = n_free;
}

void pages_reserve_kernel(void)
{
	pages_reserve(phys_of(kernel_start), phys_of(map) + (map_pages / 64 + 1) * 8);
}

void pages_reserve(uint64_t start, uint64_t end)
{
	for (uint64_t p = start / PAGE; p < (end + PAGE - 1) / PAGE && p < map_pages; p++)
		mark(p, false);
}

static uint64_t find_free(void)
{
	uint64_t words = (map_pages + 63) / 64;

	for (; search < words; search++)
		if (map[search])
			return search * 64 + (uint64_t)__builtin_ctzll(map[search]);
	return 0;
}

uint64_t page_take(void)
{
	uint64_t page = find_free();

	if (!page)
		return 0;
	mark(page, false);
	memset(phys(page * PAGE), 0, PAGE);
	return page * PAGE;
}

static bool is_free(uint64_t page)
{
	return page < map_pages && map[page >> 6] >> (page & 63) & 1;
}

uint64_t pages_take(size_t n)
{
	uint64_t first = find_free();

	for (size_t run = 0; first && first + run < map_pages;) {
		if (!is_free(first + run)) {
			first += run + 1;
			run = 0;
		} else if (++run == n) {
			for (size_t i = 0; i < n; i++)
				mark(first + i, false);
			memset(phys(first * PAGE), 0, n * PAGE);
			return first * PAGE;
		}
	}
	return 0;
}

void page_give(uint64_t page)
{
	mark(page / PAGE, true);
}

size_t pages_free(void)
{
	return n_free;
}

size_t pages_used_most(void)
{
	return map_pages - n_least;
}

/* ---- tables ---- */

static uint64_t *entry_of(uint64_t va, bool make)
{
	uint64_t *table = kernel_pml4;

	ensure(va < USER_END);
	for (int shift = 39; shift > 12; shift -= 9) {
		uint64_t *e = &table[va >> shift & 511];
		if (!(*e & PTE_PRESENT)) {
			uint64_t page = make ? page_take() : 0;
			if (!page)
				return NULL;
			*e = page | PTE_PRESENT | PTE_WRITE | PTE_USER;
		}
		table = phys(*e & PTE_ADDRESS);
	}
	return &table[va >> 12 & 511];
}

static uint64_t bits_of(unsigned rights)
{
	return PTE_USER | PTE_KEPT | (rights ? PTE_PRESENT : 0) | (rights & RIGHT_WRITE ? PTE_WRITE : 0) |
	       (rights & RIGHT_EXEC ? 0 : PTE_NO_EXEC);
}

bool map_page(uint64_t va, uint64_t page, unsigned rights)
{
	uint64_t *e = entry_of(va, true);

	if (!e)
		return false;
	*e = page | bits_of(rights);
	invlpg(va);
	return true;
}

void map_rights(uint64_t va, unsigned rights)
{
	uint64_t *e = entry_of(va, false);

	if (!e || !(*e & PTE_KEPT))
		return;
	*e = (*e & PTE_ADDRESS) | bits_of(rights);
	invlpg(va);
}

uint64_t map_remove(uint64_t va)
{
	uint64_t *e = entry_of(va, false);
	uint64_t was = e && *e & PTE_KEPT ? *e & PTE_ADDRESS : 0;

	if (e && *e) {
		*e = 0;
		invlpg(va);
	}
	return was;
}

uint64_t map_find(uint64_t va)
{
	uint64_t *e = entry_of(va, false);

	return e && *e & PTE_KEPT ? *e & PTE_ADDRESS : 0;
}

void map_kernel(void)
{
	static uint64_t table[512] __attribute__((aligned(4096))),
		directory[512] __attribute__((aligned(4096)));
	uint64_t start = phys_of(kernel_start) >> 12, text_end = phys_of(kernel_text_end) >> 12,
		 rodata_end = phys_of(kernel_rodata_end) >> 12, end = phys_of(kernel_end) >> 12,
		 guard = phys_of(kernel_stack_guard) >> 12;

	for (uint64_t p = start; p < end; p++)
		if (p != guard)
			table[p] = p << 12 | PTE_PRESENT |
				   (p < text_end            ? 0
					   : p < rodata_end ? PTE_NO_EXEC
							    : PTE_NO_EXEC | PTE_WRITE);
	directory[0] = phys_of(table) | PTE_PRESENT | PTE_WRITE;
	kernel_pdpt[510] = phys_of(directory) | PTE_PRESENT | PTE_WRITE;
	for (size_t i = 0; i < 4 * 512; i++)
		physmap_tables[i] |= PTE_NO_EXEC;
	kernel_pml4[0] = 0;
	__asm__ volatile("mov %%cr3, %%rax; mov %%rax, %%cr3" : : : "rax", "memory");
}
