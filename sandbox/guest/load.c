/* SPDX-License-Identifier: Apache-2.0 */
/* Loading the stage: its segments, and the stack that the System V ABI promises it (x86-64 psABI, 3.4.1). */
#include "elf.h"
#include "guest.h"
#include "order.h"

#define STACK_TOP 0x00007fffffff0000ull
#define STACK_BYTES (8ull << 20)
#define PIE_BASE 0x0000555500000000ull
#define ENOUGH_SEGMENTS 64

static unsigned rights_of(uint32_t flags)
{
	return (flags & 4 ? RIGHT_READ : 0) | (flags & 2 ? RIGHT_WRITE : 0) | (flags & 1 ? RIGHT_EXEC : 0);
}

/* Whole pages that only the file fills, of a part that is never written, are used where they lie. */
static void load_page(
	const uint8_t *elf, const struct elf_segment *s, uint64_t bias, uint64_t va, unsigned rights)
{
	uint64_t from = MAX_OF(va, s->va + bias), to = MIN(va + PAGE, s->va + bias + s->file_bytes);
	const uint8_t *bytes = elf + s->at + (from - (s->va + bias));

	if (!(rights & RIGHT_WRITE) && from == va && to == va + PAGE && phys_of(bytes) % PAGE == 0) {
		if (!map_page(va, phys_of(bytes), rights))
			end_limit("memory", "the stage does not fit into its memory");
		return;
	}
	uint64_t page = map_find(va);
	if (!page && (!(page = page_take()) || !map_page(va, page, rights)))
		end_limit("memory", "the stage does not fit into its memory");
	if (from < to)
		memcpy((uint8_t *)phys(page) + (from - va), bytes, to - from);
}

static void load_segment(const uint8_t *elf, size_t len, const struct elf_segment *s, uint64_t bias)
{
	unsigned rights = rights_of(s->flags);
	uint64_t start = (s->va + bias) & ~(PAGE - 1),
		 end = (s->va + bias + s->bytes + PAGE - 1) & ~(PAGE - 1);

	if (s->file_bytes > s->bytes || s->at > len || s->file_bytes > len - s->at ||
		s->bytes > USER_END / 2 || s->va > USER_END / 2 || (s->va - s->at) % PAGE)
		panic("the program's segments are wrong");
	if (rights & RIGHT_WRITE && rights & RIGHT_EXEC)
		panic("the program has a segment that is writable and executable");
	uint64_t at = space_map(start, end - start, rights, true, true, NULL, 0);
	if (at != start)
		panic("the program's segments overlap or lie too low");
	for (uint64_t va = start; va < MIN(end, s->va + bias + s->file_bytes); va += PAGE)
		load_page(elf, s, bias, va, rights);
}

static void load_segments(const uint8_t *elf, size_t len, const struct elf_header *h, uint64_t bias)
{
	uint64_t highest = 0;

	for (unsigned i = 0; i < h->n_segments; i++) {
		struct elf_segment s;
		memcpy(&s, elf + h->segments_at + i * sizeof(s), sizeof(s));
		if (s.kind == ELF_INTERPRETER)
			panic("the program is dynamic: link it statically");
		if (s.kind != ELF_LOAD || s.bytes == 0)
			continue;
		load_segment(elf, len, &s, bias);
		highest = MAX_OF(highest, s.va + bias + s.bytes);
	}
	if (!highest)
		panic("the program has no segments");
	space_set_brk(((highest + PAGE - 1) & ~(PAGE - 1)) + random_below(1 << 13) * PAGE);
}

/* ---- the stack ---- */

struct stack {
	uint64_t at;
};

static uint64_t push_bytes(struct stack *s, const void *from, size_t n)
{
	s->at -= n;
	ensure(copy_out(s->at, from, n) == 0);
	return s->at;
}

enum {
	AUX_END = 0,
	AUX_PHDR = 3,
	AUX_PHENT = 4,
	AUX_PHNUM = 5,
	AUX_PAGE = 6,
	AUX_BASE = 7,
	AUX_ENTRY = 9,
	AUX_UID = 11,
	AUX_EUID = 12,
	AUX_GID = 13,
	AUX_EGID = 14,
	AUX_HWCAP = 16,
	AUX_CLOCK = 17,
	AUX_SECURE = 23,
	AUX_RANDOM = 25,
	AUX_EXECFN = 31,
};

static uint32_t cpu_features(void)
{
	uint32_t a = 1, b, c = 0, d;

	__asm__("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
	return d;
}

static uint64_t build_stack(
	const struct guest_order *o, const struct elf_header *h, uint64_t headers_va, uint64_t bias)
{
	static uint64_t pointers[GUEST_WORDS_MAX];
	uint64_t top = STACK_TOP - random_below(1 << 12) * PAGE;
	struct stack s = {.at = top - random_below(256) * 16};
	const char *word = (const char *)o + o->words_at;
	size_t n_words = (size_t)o->n_args + o->n_env;
	uint8_t random[16];

	/* Below the stack nothing is mapped: its end is its guard. */
	if (space_map(top - STACK_BYTES, STACK_BYTES, RIGHT_READ | RIGHT_WRITE, true, true, NULL, 0) >
		USER_END)
		panic("no room for the stack");
	for (size_t i = 0; i < n_words; i++) {
		pointers[i] = push_bytes(&s, word, strlen(word) + 1);
		word += strlen(word) + 1;
	}
	random_fill(random, sizeof(random));
	uint64_t random_at = push_bytes(&s, random, sizeof(random));
	const uint64_t aux[][2] = {
		{AUX_PHDR, headers_va},
		{AUX_PHENT, sizeof(struct elf_segment)},
		{AUX_PHNUM, h->n_segments},
		{AUX_PAGE, PAGE},
		{AUX_BASE, 0},
		{AUX_ENTRY, h->entry + bias},
		{AUX_UID, 1000},
		{AUX_EUID, 1000},
		{AUX_GID, 1000},
		{AUX_EGID, 1000},
		{AUX_HWCAP, cpu_features()},
		{AUX_CLOCK, 100},
		{AUX_SECURE, 0},
		{AUX_RANDOM, random_at},
		{AUX_EXECFN, o->n_args ? pointers[0] : 0},
		{AUX_END, 0},
	};
	size_t words = 1 + (o->n_args + 1) + (o->n_env + 1u);
	s.at = (s.at - sizeof(aux) - words * 8) & ~15ull;
	uint64_t start = s.at, zero = 0, argc = o->n_args, to = start;
	ensure(copy_out(to, &argc, 8) == 0);
	to += 8;
	for (size_t i = 0; i <= n_words; i++) {
		if (i == o->n_args || i == n_words) {
			ensure(copy_out(to, &zero, 8) == 0);
			to += 8;
		}
		if (i < n_words) {
			ensure(copy_out(to, &pointers[i], 8) == 0);
			to += 8;
		}
	}
	if (o->n_args == n_words) { /* no environment: its end as well */
		ensure(copy_out(to, &zero, 8) == 0);
		to += 8;
	}
	ensure(copy_out(to, aux, sizeof(aux)) == 0);
	return start;
}

void stage_load(
	const uint8_t *elf, size_t len, const struct guest_order *o, uint64_t *ret_ip, uint64_t *ret_sp)
{
	struct elf_header h;

	if (len < sizeof(h))
		panic("the program is too short");
	memcpy(&h, elf, sizeof(h));
	if (memcmp(h.ident, "\177ELF\2\1\1", 7) || h.machine != ELF_X86_64 ||
		(h.kind != ELF_EXEC && h.kind != ELF_DYN))
		panic("the program is not an ELF file for x86-64");
	if (h.segment_bytes != sizeof(struct elf_segment) || h.n_segments > ENOUGH_SEGMENTS ||
		h.segments_at > len || h.n_segments * sizeof(struct elf_segment) > len - h.segments_at)
		panic("the program's header is wrong");
	uint64_t bias = h.kind == ELF_DYN ? PIE_BASE + random_below(1 << 20) * PAGE : 0, headers_va = 0;
	load_segments(elf, len, &h, bias);
	for (unsigned i = 0; i < h.n_segments; i++) {
		struct elf_segment s;
		memcpy(&s, elf + h.segments_at + i * sizeof(s), sizeof(s));
		if (s.kind == ELF_LOAD && h.segments_at >= s.at && h.segments_at < s.at + s.file_bytes)
			headers_va = s.va + bias + (h.segments_at - s.at);
	}
	symbols_start(elf, len, bias);
	*ret_sp = build_stack(o, &h, headers_va, bias);
	*ret_ip = h.entry + bias;
}
