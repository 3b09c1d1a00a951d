/* SPDX-License-Identifier: Apache-2.0 */
/* Exceptions: a page that is to come, or the end of the stage with a report. */
#include "end.h"
#include "guest.h"

#define STACK_WORDS 8
#define CALLERS 12

struct __attribute__((packed)) gate {
	uint16_t offset_low, selector;
	uint8_t stack, kind;
	uint16_t offset_middle;
	uint32_t offset_high, spare;
};

static struct gate gates[256] __attribute__((aligned(16)));
static struct __attribute__((packed)) {
	uint32_t spare;
	uint64_t stacks[3], spare2, special[7], spare3;
	uint16_t spare4, io_map;
} task_state;
static uint8_t fault_stack[4096] __attribute__((aligned(16)));

extern uint64_t gdt[];
extern char trap_stubs[], enter_interrupt[], enter_syscall[];

static void set_gate(unsigned n, const char *to, uint8_t stack)
{
	uint64_t at = (uint64_t)to;

	gates[n] = (struct gate){
		(uint16_t)at, KERNEL_CODE, stack, 0x8e, (uint16_t)(at >> 16), (uint32_t)(at >> 32), 0};
}

static void set_task_state(void)
{
	uint64_t base = (uint64_t)&task_state, limit = sizeof(task_state) - 1;

	task_state.stacks[0] = (uint64_t)kernel_stack_top;
	task_state.special[0] = (uint64_t)(fault_stack + sizeof(fault_stack));
	task_state.io_map = sizeof(task_state); /* no port for the stage */
	gdt[TASK_STATE / 8] = limit | (base & 0xffffff) << 16 | 0x89ull << 40 | (base >> 24 & 0xff) << 56;
	gdt[TASK_STATE / 8 + 1] = base >> 32;
	__asm__ volatile("ltr %w0" : : "r"(TASK_STATE));
}

void traps_start(void)
{
	const struct __attribute__((packed)) {
		uint16_t limit;
		const void *base;
	} pointer = {sizeof(gates) - 1, gates};

	for (unsigned i = 0; i < 32; i++)
		set_gate(i, trap_stubs + i * 16, i == 8 ? 1 : 0);
	set_gate(0x40, enter_interrupt, 0);
	set_task_state();
	__asm__ volatile("lidt %0" : : "m"(pointer));
	wrmsr(0xc0000081, (uint64_t)KERNEL_CODE << 32 | (uint64_t)KERNEL_DATA << 48);
	wrmsr(0xc0000082, (uint64_t)enter_syscall);
	wrmsr(0xc0000084, 0x47700); /* interrupts, direction, single step, alignment, nesting: off */
}

/* ---- the report ---- */

static void report_place(const char *what, uint64_t va)
{
	uint64_t offset = 0;
	const char *name = symbol_at(va, &offset);

	if (name)
		tell("crash %s 0x%lx %s+0x%lx", what, va, name, offset);
	else
		tell("crash %s 0x%lx", what, va);
}

static void report_callers(uint64_t frame)
{
	uint64_t next[2];

	for (int i = 0; i < CALLERS && frame % 8 == 0 && copy_in(next, frame, sizeof(next)) == 0; i++) {
		if (!next[1])
			break;
		report_place("caller", next[1]);
		if (next[0] <= frame)
			break;
		frame = next[0];
	}
}

static void report(const struct frame *f, uint64_t address, bool has_address)
{
	uint64_t words[STACK_WORDS];

	tell("crash trap %lu error 0x%lx", f->trap, f->error);
	if (has_address)
		tell("crash address 0x%lx", address);
	report_place("at", f->rip);
	tell("crash rax %016lx rbx %016lx rcx %016lx rdx %016lx", f->rax, f->rbx, f->rcx, f->rdx);
	tell("crash rsi %016lx rdi %016lx rbp %016lx rsp %016lx", f->rsi, f->rdi, f->rbp, f->rsp);
	tell("crash r8 %016lx r9 %016lx r10 %016lx r11 %016lx", f->r8, f->r9, f->r10, f->r11);
	tell("crash r12 %016lx r13 %016lx r14 %016lx r15 %016lx", f->r12, f->r13, f->r14, f->r15);
	tell("crash flags %lx", f->rflags);
	if (copy_in(words, f->rsp & ~7ull, sizeof(words)) == 0)
		for (int i = 0; i < STACK_WORDS; i += 4)
			tell("crash stack %016lx %016lx %016lx %016lx", words[i], words[i + 1], words[i + 2],
				words[i + 3]);
	report_callers(f->rbp);
}

static const struct {
	int signal;
	const char *what;
} meanings[32] = {
	[0] = {8, "division by zero"},
	[1] = {5, "a debug trap"},
	[3] = {5, "a breakpoint"},
	[4] = {11, "overflow"},
	[5] = {11, "a bound was exceeded"},
	[6] = {4, "an instruction that does not exist"},
	[7] = {8, "no floating-point unit"},
	[11] = {7, "a segment that is not there"},
	[12] = {7, "a stack segment fault"},
	[13] = {11, "an instruction or address that is not allowed"},
	[14] = {11, "memory that is not there"},
	[16] = {8, "a floating-point exception"},
	[17] = {7, "a misaligned access"},
	[19] = {8, "a vector floating-point exception"},
};

void on_trap(struct frame *f);
void on_trap(struct frame *f)
{
	uint64_t address = 0, offset = 0;
	char why[200];

	if (f->trap == 14)
		__asm__ volatile("mov %%cr2, %0" : "=r"(address));
	if ((f->cs & 3) != 3)
		panic("trap %lu at 0x%lx, address 0x%lx, error 0x%lx", f->trap, f->rip, address, f->error);
	if (f->trap == 14 && space_fault(address, f->error & 16  ? RIGHT_EXEC
						  : f->error & 2 ? RIGHT_WRITE
								 : RIGHT_READ))
		return;
	report(f, address, f->trap == 14);
	const char *name = symbol_at(f->rip, &offset);
	const char *what =
		f->trap < 32 && meanings[f->trap].what ? meanings[f->trap].what : "an unknown trap";
	if (f->trap == 14)
		format(why, sizeof(why), "%s: address 0x%lx, in %s+0x%lx", what, address, name ? name : "?",
			name ? offset : f->rip);
	else
		format(why, sizeof(why), "%s, in %s+0x%lx", what, name ? name : "?", name ? offset : f->rip);
	end_signalled(f->trap < 32 && meanings[f->trap].signal ? meanings[f->trap].signal : 11, why);
}
