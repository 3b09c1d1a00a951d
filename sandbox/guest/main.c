/* SPDX-License-Identifier: Apache-2.0 */
/* From the first C instruction to the stage's first. */
#include "end.h"
#include "file.h"
#include "order.h"
#include "syscall.h"

#define START_MAGIC 0x336ec578

/* hvm_start_info (Xen's public headers, arch-x86/hvm/start_info.h), version 1. */
struct start_info {
	uint32_t magic, version, flags, n_modules;
	uint64_t modules_at, command_line_at, rsdp_at, memory_at;
	uint32_t n_memory, spare;
};
struct start_module {
	uint64_t at, bytes, command_line_at, spare;
};
struct start_memory {
	uint64_t at, bytes;
	uint32_t kind, spare;
};

extern uint64_t __stack_chk_guard;

static void find_memory(const struct start_info *s)
{
	const struct start_memory *m = phys(s->memory_at);

	for (uint32_t i = 0; i < s->n_memory; i++)
		if (m[i].kind == 1 && m[i].at + m[i].bytes > 1 << 20)
			pages_add(MAX_OF(m[i].at, 1ull << 20), m[i].at + m[i].bytes);
}

static const struct guest_order *find_order(const struct start_info *s)
{
	const struct start_module *m = phys(s->modules_at);

	if (s->n_modules != 1)
		panic("there is no order");
	const struct guest_order *o = phys(m->at);
	if (m->bytes < sizeof(*o) || o->magic != GUEST_ORDER_MAGIC || o->bytes > m->bytes)
		panic("the order is not one");
	pages_reserve(m->at, m->at + m->bytes);
	if (o->words_at > o->bytes || o->words_bytes > o->bytes - o->words_at || o->program_at > o->bytes ||
		o->program_bytes > o->bytes - o->program_at || o->n_files > GUEST_FILES_MAX ||
		o->files_at % 8 || o->files_at > o->bytes ||
		o->n_files * sizeof(struct guest_file) > o->bytes - o->files_at ||
		o->n_args + o->n_env > GUEST_WORDS_MAX)
		panic("the order is wrong");
	const char *words = (const char *)o + o->words_at;
	size_t n = 0;
	for (uint32_t i = 0; i < o->words_bytes; i++)
		n += !words[i];
	if (n != (size_t)o->n_args + o->n_env || (o->words_bytes && words[o->words_bytes - 1]))
		panic("the order's words are wrong");
	return o;
}

/* What the processor can do against our own mistakes: no execution and no access of the stage's memory by us.
 */
static void protect(void)
{
	uint32_t a = 7, b, c = 0, d;
	uint64_t cr4;

	__asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
	__asm__ volatile("mov %%cr4, %0" : "=r"(cr4));
	if (b >> 7 & 1)
		cr4 |= 1u << 20; /* SMEP */
	if (b >> 20 & 1)
		cr4 |= 1u << 21; /* SMAP */
	if (c >> 2 & 1)
		cr4 |= 1u << 11; /* UMIP */
	__asm__ volatile("mov %0, %%cr4" : : "r"(cr4));
}

static void allow_avx(void)
{
	uint32_t a = 1, b, c = 0, d;
	uint64_t cr4;

	__asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
	if ((c >> 26 & 5) != 5) /* XSAVE and AVX */
		return;
	__asm__ volatile("mov %%cr4, %0" : "=r"(cr4));
	__asm__ volatile("mov %0, %%cr4" : : "r"(cr4 | 1u << 18));
	__asm__ volatile("xsetbv" : : "c"(0), "a"(7), "d"(0));
}

_Noreturn void guest_main(uint64_t start_info_at);
__attribute__((no_stack_protector)) _Noreturn void guest_main(uint64_t start_info_at)
{
	const struct start_info *s = phys(start_info_at);
	uint8_t seed[32];
	uint64_t ip, sp, guard;

	traps_start();
	map_kernel();
	find_memory(s);
	pages_reserve_kernel();
	const struct guest_order *o = s->magic == START_MAGIC ? find_order(s) : NULL;
	devices_start();
	if (!o)
		panic("not started as a PVH guest");
	time_start(o->utc_ns, o->tsc_hz);
	entropy_fill(seed, sizeof(seed));
	random_seed(seed);
	random_fill(&guard, sizeof(guard));
	__stack_chk_guard = guard & ~255ull; /* a text that runs over stops at a zero byte */
	protect();
	allow_avx();
	files_start(o);
	descriptors_start();
	stage_load((const uint8_t *)o + o->program_at, o->program_bytes, o, &ip, &sp);
	tell("start %lu", time_mono_ns());
	enter_user(ip, sp);
}
