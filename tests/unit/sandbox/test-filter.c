/* SPDX-License-Identifier: Apache-2.0 */
/* The filter of system calls, run by a small interpreter of classic BPF, against the table that it is made
 * from. */
#include <errno.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <cmocka.h>

#include "stage-syscalls.h"

#if defined(__x86_64__)
#define ARCH_HERE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH_HERE AUDIT_ARCH_AARCH64
#else
#define ARCH_HERE AUDIT_ARCH_RISCV64
#endif

#define DENIED (SECCOMP_RET_ERRNO | EPERM)

static struct sock_filter filter[STAGE_FILTER_MAX];
static size_t n_filter;

static uint32_t run(const struct seccomp_data *data)
{
	uint32_t a = 0;

	for (size_t pc = 0; pc < n_filter; pc++) {
		const struct sock_filter *f = &filter[pc];

		switch (f->code) {
		case BPF_LD | BPF_W | BPF_ABS:
			assert_in_range(f->k, 0, sizeof(*data) - 4);
			memcpy(&a, (const char *)data + f->k, 4);
			break;
		case BPF_JMP | BPF_JA:
			pc += f->k;
			break;
		case BPF_JMP | BPF_JEQ | BPF_K:
			pc += a == f->k ? f->jt : f->jf;
			break;
		case BPF_JMP | BPF_JGE | BPF_K:
			pc += a >= f->k ? f->jt : f->jf;
			break;
		case BPF_JMP | BPF_JSET | BPF_K:
			pc += a & f->k ? f->jt : f->jf;
			break;
		case BPF_RET | BPF_K:
			return f->k;
		default:
			fail_msg("instruction %zu: code %x", pc, f->code);
		}
	}
	fail_msg("the filter has no end");
	return 0;
}

static uint32_t ask(uint32_t arch, uint32_t number, unsigned arg, uint32_t value)
{
	struct seccomp_data data = {.arch = arch, .nr = (int)number};

	data.args[arg] = value;
	return run(&data);
}

static int make(void **state)
{
	return stage_filter_make(filter, &n_filter);
}

/* Every number, with arguments of zero. */
static void test_every_number(void **state)
{
	for (uint32_t number = 0; number < 2048; number++) {
		const struct stage_syscall *s = NULL;
		uint32_t expected = DENIED;

		for (size_t i = 0; i < stage_syscalls_n; i++) {
			if ((uint32_t)stage_syscalls[i].number == number) {
				assert_null(s); /* once in the table */
				s = &stage_syscalls[i];
			}
		}
		if (s && (s->check == STAGE_ANY || s->check == STAGE_NO_BITS))
			expected = SECCOMP_RET_ALLOW;
		if (s && s->check == STAGE_NOT_HERE)
			expected = SECCOMP_RET_ERRNO | ENOSYS;
		for (uint32_t i = 0; s && s->check == STAGE_ONE_OF && i < s->n_values; i++) {
			if (s->value[i] == 0)
				expected = SECCOMP_RET_ALLOW;
		}
		assert_int_equal(ask(ARCH_HERE, number, 0, 0), expected);
		assert_int_equal(ask(ARCH_HERE, number | 0x40000000, 0, 0), DENIED);
		assert_int_equal(ask(ARCH_HERE ^ 1, number, 0, 0), DENIED);
	}
}

static void test_arguments(void **state)
{
	for (unsigned bit = 0; bit < 32; bit++) {
		uint32_t flags = UINT32_C(1) << bit;
		bool new_namespace = flags & (CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC |
						     CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET);

		assert_int_equal(
			ask(ARCH_HERE, SYS_clone, 0, flags), new_namespace ? DENIED : SECCOMP_RET_ALLOW);
	}
	for (uint32_t family = 0; family < 64; family++)
		assert_int_equal(ask(ARCH_HERE, SYS_socketpair, 0, family),
			family == AF_UNIX ? SECCOMP_RET_ALLOW : DENIED);
	assert_int_equal(ask(ARCH_HERE, SYS_prlimit64, 0, 1), DENIED);
	assert_int_equal(ask(ARCH_HERE, SYS_prlimit64, 0, 0), SECCOMP_RET_ALLOW);
}

/* Each entry says why it is there. */
static void test_reasons(void **state)
{
	for (size_t i = 0; i < stage_syscalls_n; i++) {
		assert_non_null(stage_syscalls[i].why);
		assert_true(strlen(stage_syscalls[i].why) > 2);
		assert_in_range(stage_syscalls[i].n_values, 0, STAGE_VALUES_MAX);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_number),
		cmocka_unit_test(test_arguments),
		cmocka_unit_test(test_reasons),
	};

	return cmocka_run_group_tests(tests, make, NULL);
}
