/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest: a small kernel that runs one stage in a virtual machine. One processor, one address space, one
 * thread: the stage runs in ring 3, the kernel answers its Linux system calls, and nothing happens
 * by itself. It trusts what the launcher has given (order.h) and nothing that the stage says.
 *
 * Here is what its parts share. Addresses of the stage are uint64_t and never used as pointers; physical
 * memory is reached through PHYSMAP.
 */
#ifndef GUEST_H
#define GUEST_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "layout.h"

#define PAGE 4096ull
#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX_OF(a, b) ((a) > (b) ? (a) : (b))
#define PRINTF(f, a) __attribute__((format(printf, f, a)))

/* Linux's numbers for what a system call answers. */
enum {
	EPERM = 1,
	ENOENT = 2,
	ESRCH = 3,
	EINTR = 4,
	EIO = 5,
	E2BIG = 7,
	ENOEXEC = 8,
	EBADF = 9,
	ECHILD = 10,
	EAGAIN = 11,
	ENOMEM = 12,
	EACCES = 13,
	EFAULT = 14,
	EEXIST = 17,
	ENOTDIR = 20,
	EISDIR = 21,
	EINVAL = 22,
	EMFILE = 24,
	ENOTTY = 25,
	EFBIG = 27,
	ENOSPC = 28,
	ESPIPE = 29,
	EROFS = 30,
	ERANGE = 34,
	ENAMETOOLONG = 36,
	ENOSYS = 38,
	ETIMEDOUT = 110,
};

/* ---- string.c ---- */

void *memcpy(void *to, const void *from, size_t n);
void *memmove(void *to, const void *from, size_t n);
void *memset(void *at, int byte, size_t n);
int memcmp(const void *a, const void *b, size_t n);
size_t strlen(const char *s);
int strcmp(const char *a, const char *b);
/* %s %d %u %x %lu %lx %c %%, widths with zeros; always terminated; the length that it has. */
size_t format_list(char *to, size_t cap, const char *fmt, va_list ap);
size_t format(char *to, size_t cap, const char *fmt, ...) PRINTF(3, 4);

/* ---- end.c: what the launcher hears at the end ---- */

/* One line into the stage's log, with "guest: " before it. */
void say(const char *fmt, ...) PRINTF(1, 2);
_Noreturn void end_exited(int code);
/* As a signal of Linux would have ended it. */
_Noreturn void end_signalled(int number, const char *why);
_Noreturn void end_limit(const char *which, const char *why); /* "memory" */
/* The guest itself is wrong, or what it was given. */
_Noreturn void panic(const char *fmt, ...) PRINTF(1, 2);
#define ensure(x) ((x) ? (void)0 : panic("%s:%d: %s", __FILE_NAME__, __LINE__, #x))

/* ---- page.c: physical memory and the page tables ---- */

static inline void *phys(uint64_t address)
{
	return (void *)(PHYSMAP + address);
}
static inline uint64_t phys_of(const void *p)
{
	uint64_t a = (uint64_t)p;

	return a >= KERNEL_BASE ? a - KERNEL_BASE : a - PHYSMAP;
}

/* Gives a range to the allocator; pages_reserve takes what is used out of it before the first page is taken.
 */
void pages_add(uint64_t start, uint64_t end);
void pages_reserve_kernel(void); /* and the allocator's own map behind it */
void pages_reserve(uint64_t start, uint64_t end);
/* A page of zeros, or 0 when there is none left. */
uint64_t page_take(void);
/* n pages in a row, or 0. */
uint64_t pages_take(size_t n);
void page_give(uint64_t page);
size_t pages_free(void);
size_t pages_used_most(void);

enum right { RIGHT_READ = 1, RIGHT_WRITE = 2, RIGHT_EXEC = 4 };

/* Maps one page of the stage; no memory for a table: false. */
bool map_page(uint64_t va, uint64_t page, unsigned rights);
/* Changes the rights of a mapped page; without any right it stays but cannot be touched. */
void map_rights(uint64_t va, unsigned rights);
/* Unmaps; the page that was there, or 0. */
uint64_t map_remove(uint64_t va);
/* The page at va if it is mapped, or 0. */
uint64_t map_find(uint64_t va);
/* The kernel's own part, finely: nothing both writable and executable, a guard below the stack, nothing at 0.
 */
void map_kernel(void);

/* ---- space.c: the stage's address space ---- */

struct open_file;

uint64_t space_map(uint64_t hint, uint64_t len, unsigned rights, bool fixed, bool no_replace,
	struct open_file *file, uint64_t offset); /* negative errno as uint64_t */
int space_unmap(uint64_t start, uint64_t len);
int space_protect(uint64_t start, uint64_t len, unsigned rights);
uint64_t space_remap(uint64_t start, uint64_t old_len, uint64_t new_len, bool may_move);
int space_discard(uint64_t start, uint64_t len); /* MADV_DONTNEED */
uint64_t space_brk(uint64_t to);
void space_set_brk(uint64_t start);
/* A touch at va: true when the page is there now with these rights. */
bool space_fault(uint64_t va, unsigned rights);
/* Where a page of the stage is in physical memory, faulted in; 0: it may not. */
uint64_t space_page(uint64_t va, unsigned rights);

/* Between the stage and us. 0 or -EFAULT. */
int copy_in(void *to, uint64_t from, size_t n);
int copy_out(uint64_t to, const void *from, size_t n);
/* A text of the stage: its length, or -EFAULT, -ENAMETOOLONG. */
int copy_text_in(char *to, uint64_t from, size_t cap);

/* ---- virtio.c, blk.c, port.c ---- */

void devices_start(void);
size_t block_count(void);
/* Pieces of physical memory, in order; the sum of their lengths is a multiple of 512. 0 or -EIO. */
struct piece {
	uint64_t address;
	uint32_t bytes;
};
#define PIECES_MAX 64
int block_transfer(size_t device, bool write, uint64_t sector, const struct piece *pieces, size_t n);
int block_flush(size_t device);

enum port { PORT_LOG, PORT_CONTROL, PORTS };
void port_write(enum port port, const void *data, size_t n);
void entropy_fill(void *to, size_t n); /* at most 64 bytes */

/* ---- random.c, time.c ---- */

void random_seed(const uint8_t seed[32]);
void random_fill(void *to, size_t n);
uint64_t random_below(uint64_t n);

void time_start(uint64_t utc_ns, uint64_t tsc_hz);
uint64_t time_mono_ns(void);
uint64_t time_utc_ns(void);
void time_wait_ns(uint64_t ns);

/* ---- file.c: what can be opened ---- */

struct guest_order;
void files_start(const struct guest_order *order);
/* Writes out what is still held, and tells the control port how long each output is. */
int files_finish(void);

/* What a file of a mapping gives for a page: 0 or negative. Reads up to n pages in a row. */
int file_fill_pages(struct open_file *f, uint64_t offset, const uint64_t *pages, size_t n);
uint64_t file_size(const struct open_file *f);
struct open_file *file_hold(struct open_file *f);
void file_release(struct open_file *f);

/* ---- the stage ---- */

struct frame {
	uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
	uint64_t trap, error;
	uint64_t rip, cs, rflags, rsp, ss;
};

/* load.c: loads the program, builds its stack. Where it starts. */
void stage_load(
	const uint8_t *elf, size_t len, const struct guest_order *order, uint64_t *ret_ip, uint64_t *ret_sp);
_Noreturn void enter_user(uint64_t ip, uint64_t sp);
/* trap.c */
void traps_start(void);
/* symbol.c: the name of the function at an address of the stage, or NULL; *ret_offset into it. */
const char *symbol_at(uint64_t va, uint64_t *ret_offset);
void symbols_start(const uint8_t *elf, size_t len, uint64_t bias);

extern char kernel_start[], kernel_text_end[], kernel_rodata_end[], kernel_end[], kernel_stack_top[],
	kernel_stack_guard[];
extern uint64_t boot_tsc;

/* ---- the processor ---- */

static inline uint64_t rdtsc(void)
{
	uint32_t lo, hi;

	__asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi));
	return (uint64_t)hi << 32 | lo;
}
static inline void wrmsr(uint32_t msr, uint64_t v)
{
	__asm__ volatile("wrmsr" : : "c"(msr), "a"((uint32_t)v), "d"((uint32_t)(v >> 32)) : "memory");
}
static inline uint64_t rdmsr(uint32_t msr)
{
	uint32_t lo, hi;

	__asm__ volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(msr));
	return (uint64_t)hi << 32 | lo;
}
static inline void out8(uint16_t port, uint8_t v)
{
	__asm__ volatile("outb %0, %1" : : "a"(v), "Nd"(port));
}
static inline void invlpg(uint64_t va)
{
	__asm__ volatile("invlpg (%0)" : : "r"(va) : "memory");
}
static inline void barrier(void)
{
	__asm__ volatile("" : : : "memory");
}

#endif
