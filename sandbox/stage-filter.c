/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the table to a classic BPF program: a search by halves over runs of numbers that are treated alike. (A
 * chain of comparisons is shorter to write, but the kernel tries the program with every number when it is
 * loaded, which then takes half a millisecond at each start.) Written out here rather than by libseccomp, so
 * that the launcher, which stays in memory for the whole mission, carries no library for it.
 */
#include <errno.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <stddef.h>

#include "stage-syscalls.h"

#if defined(__x86_64__)
#define ARCH_HERE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH_HERE AUDIT_ARCH_AARCH64
#elif defined(__riscv) && __riscv_xlen == 64
#define ARCH_HERE AUDIT_ARCH_RISCV64
#else
#error "say here what seccomp calls this architecture"
#endif

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the low half of an argument is elsewhere on this machine"
#endif

struct filter {
	struct sock_filter *at;
	size_t n;
	int err;
};

static void add(struct filter *f, uint16_t code, uint32_t k, uint8_t jump_true, uint8_t jump_false)
{
	if (f->n == STAGE_FILTER_MAX) {
		f->err = ERR_LIMIT;
		return;
	}
	f->at[f->n++] = (struct sock_filter){.code = code, .jt = jump_true, .jf = jump_false, .k = k};
}

static void answer(struct filter *f, uint32_t action)
{
	add(f, BPF_RET | BPF_K, action, 0, 0);
}

static void load(struct filter *f, size_t offset)
{
	add(f, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}

#define DENIED (SECCOMP_RET_ERRNO | EPERM)

#define NUMBER_MAX 1024 /* beyond all tables of today */

/* What all numbers from `first` on, up to the next run, get: a call's check, or NULL for a plain answer. */
struct run {
	uint32_t first;
	uint32_t action;
	const struct stage_syscall *checked;
};

static void add_check(struct filter *f, const struct stage_syscall *s)
{
	load(f, offsetof(struct seccomp_data, args) + s->arg * sizeof(uint64_t));
	if (s->check == STAGE_NO_BITS) {
		add(f, BPF_JMP | BPF_JSET | BPF_K, s->value[0], 1, 0);
		answer(f, SECCOMP_RET_ALLOW);
	}
	for (uint32_t i = 0; s->check == STAGE_ONE_OF && i < s->n_values; i++) {
		add(f, BPF_JMP | BPF_JEQ | BPF_K, s->value[i], 0, 1);
		answer(f, SECCOMP_RET_ALLOW);
	}
	answer(f, DENIED);
}

static void add_search(struct filter *f, const struct run *run, size_t n)
{
	size_t half = n / 2, jump;

	if (n == 1 && run->checked) {
		add_check(f, run->checked);
		return;
	}
	if (n == 1) {
		answer(f, run->action);
		return;
	}
	/* Conditional jumps reach 255 instructions, plain ones any number. */
	add(f, BPF_JMP | BPF_JGE | BPF_K, run[half].first, 0, 1);
	jump = f->n;
	add(f, BPF_JMP | BPF_JA, 0, 0, 0);
	add_search(f, run, half);
	if (f->err == 0)
		f->at[jump].k = (uint32_t)(f->n - jump - 1);
	add_search(f, run + half, n - half);
}

static const struct stage_syscall *find_call(uint32_t number)
{
	for (size_t i = 0; i < stage_syscalls_n; i++) {
		if ((uint32_t)stage_syscalls[i].number == number)
			return &stage_syscalls[i];
	}
	return NULL;
}

static struct run run_of(uint32_t number)
{
	const struct stage_syscall *s = find_call(number);
	struct run run = {.first = number, .action = DENIED};

	if (s && s->check == STAGE_ANY)
		run.action = SECCOMP_RET_ALLOW;
	else if (s && s->check == STAGE_NOT_HERE)
		run.action = SECCOMP_RET_ERRNO | ENOSYS;
	else if (s)
		run.checked = s;
	return run;
}

int stage_filter_make(struct sock_filter ret_filter[STAGE_FILTER_MAX], size_t *ret_n)
{
	static struct run run[NUMBER_MAX + 1];
	struct filter f = {.at = ret_filter};
	size_t n = 0;

	for (size_t i = 0; i < stage_syscalls_n; i++) {
		if (stage_syscalls[i].number < 0 || stage_syscalls[i].number >= NUMBER_MAX)
			return ERR_LIMIT;
	}
	for (uint32_t number = 0; number <= NUMBER_MAX; number++) {
		struct run next = run_of(number);

		if (n == 0 || next.checked || run[n - 1].checked || next.action != run[n - 1].action)
			run[n++] = next;
	}
	/* Another architecture's numbers mean other calls. Those of x32 have a high bit, and are beyond the
	 * last. */
	load(&f, offsetof(struct seccomp_data, arch));
	add(&f, BPF_JMP | BPF_JEQ | BPF_K, ARCH_HERE, 1, 0);
	answer(&f, DENIED);
	load(&f, offsetof(struct seccomp_data, nr));
	add_search(&f, run, n);
	if (f.err < 0)
		return f.err;
	*ret_n = f.n;
	return 0;
}
