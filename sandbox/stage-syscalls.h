/* SPDX-License-Identifier: Apache-2.0 */
/* The system calls that a stage may make, as a seccomp filter. */
#ifndef SANDBOX_STAGE_SYSCALLS_H
#define SANDBOX_STAGE_SYSCALLS_H

#include <linux/filter.h>
#include <stdint.h>

#include <stdbool.h>

#include "core/err.h"

#define STAGE_FILTER_MAX 1024 /* instructions */

/* What is looked at in the arguments of a call that is not allowed as a whole. Only the low 32 bits of an
 * argument are: the kernel takes no more of those that are checked. */
enum stage_check {
	STAGE_ANY,      /* allowed whatever its arguments */
	STAGE_NO_BITS,  /* allowed when none of the bits in value[0] is set in the argument */
	STAGE_ONE_OF,   /* allowed when the argument is one of the values */
	STAGE_NOT_HERE, /* answered with ENOSYS, so that the C library uses the older call */
};

#define STAGE_VALUES_MAX 8

struct stage_syscall {
	int number;
	const char *name;
	const char *why;
	enum stage_check check;
	unsigned arg;
	uint32_t n_values;
	uint32_t value[STAGE_VALUES_MAX];
};

extern const struct stage_syscall stage_syscalls[];
extern const size_t stage_syscalls_n;

/* Writes the filter for this machine's architecture: what is not in the table fails with EPERM. */
WARN_UNUSED int stage_filter_make(struct sock_filter ret_filter[STAGE_FILTER_MAX], size_t *ret_n);

#endif
