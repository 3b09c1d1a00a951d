/* SPDX-License-Identifier: Apache-2.0 */
/* Which system calls there are. What is missing answers ENOSYS, and the log names it once. */
#include "syscall.h"

#include "calls.h"
#include "syscall-names.h"

#define NUMBERS 512

#define ENTRY(number, function) [number] = function,
static syscall_fn *const table[NUMBERS] = {GUEST_CALLS(ENTRY)};

int64_t sys_nothing(const uint64_t a[6])
{
	(void)a;
	return 0;
}

static void name_missing(uint64_t number)
{
	static uint64_t named[NUMBERS / 64 + 1];
	uint64_t slot = MIN(number, (uint64_t)NUMBERS);

	if (named[slot / 64] >> slot % 64 & 1)
		return;
	named[slot / 64] |= 1ull << slot % 64;
	if (number < ARRAY_LEN(syscall_names) && syscall_names[number])
		say("there is no system call %s here", syscall_names[number]);
	else
		say("there is no system call %lu", number);
}

void on_syscall(struct frame *f);
void on_syscall(struct frame *f)
{
	const uint64_t a[6] = {f->rdi, f->rsi, f->rdx, f->r10, f->r8, f->r9};

	if (f->rax < NUMBERS && table[f->rax]) {
		f->rax = (uint64_t)table[f->rax](a);
		return;
	}
	name_missing(f->rax);
	f->rax = -(uint64_t)ENOSYS;
}
