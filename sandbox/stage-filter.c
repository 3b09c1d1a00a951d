/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the table to a classic BPF program. Written out here rather than by libseccomp because it is a plain
 * chain of comparisons, and the launcher, which stays in memory for the whole mission, then carries no
 * library for it.
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

/* Each is entered with the call's number in the accumulator, and leaves it there when it is another call. */
static void add_call(struct filter *f, const struct stage_syscall *s)
{
	size_t arg = offsetof(struct seccomp_data, args) + s->arg * sizeof(uint64_t);
	uint32_t number = (uint32_t)s->number;

	switch (s->check) {
	case STAGE_ANY:
		add(f, BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1);
		answer(f, SECCOMP_RET_ALLOW);
		break;
	case STAGE_NOT_HERE:
		add(f, BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1);
		answer(f, SECCOMP_RET_ERRNO | ENOSYS);
		break;
	case STAGE_NO_BITS:
		add(f, BPF_JMP | BPF_JEQ | BPF_K, number, 0, 4);
		load(f, arg);
		add(f, BPF_JMP | BPF_JSET | BPF_K, s->value[0], 1, 0);
		answer(f, SECCOMP_RET_ALLOW);
		answer(f, DENIED);
		break;
	case STAGE_ONE_OF:
		add(f, BPF_JMP | BPF_JEQ | BPF_K, number, 0, (uint8_t)(2 + 2 * s->n_values));
		load(f, arg);
		for (uint32_t i = 0; i < s->n_values; i++) {
			add(f, BPF_JMP | BPF_JEQ | BPF_K, s->value[i], 0, 1);
			answer(f, SECCOMP_RET_ALLOW);
		}
		answer(f, DENIED);
		break;
	}
}

int stage_filter_make(struct sock_filter ret_filter[STAGE_FILTER_MAX], size_t *ret_n)
{
	struct filter f = {.at = ret_filter};

	/* Another architecture's numbers mean other calls. Those of x32 have a bit set and match nothing. */
	load(&f, offsetof(struct seccomp_data, arch));
	add(&f, BPF_JMP | BPF_JEQ | BPF_K, ARCH_HERE, 1, 0);
	answer(&f, DENIED);
	load(&f, offsetof(struct seccomp_data, nr));
	for (size_t i = 0; i < stage_syscalls_n; i++)
		add_call(&f, &stage_syscalls[i]);
	answer(&f, DENIED);
	if (f.err < 0)
		return f.err;
	*ret_n = f.n;
	return 0;
}
