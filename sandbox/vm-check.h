/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a program can run as a unikernel, said when it is packed and not in orbit. */
#ifndef SANDBOX_VM_CHECK_H
#define SANDBOX_VM_CHECK_H

#include "sandbox.h"

#define VM_MISSES_MAX 64

/* A system call that the program contains and the guest does not answer. Whether it is ever made only a run
 * shows: the C library brings some that nobody calls. */
struct vm_miss {
	unsigned number;
	const char *name; /* NULL: not known here */
	char in[64];      /* the function that makes it, "" when the program has no symbols */
};

struct vm_check {
	bool can; /* static and for x86-64; else why says what is wrong */
	char why[IMAGE_REASON_BYTES];
	struct vm_miss misses[VM_MISSES_MAX];
	size_t n_misses;
};

/* Looks at the image's program. -errno when it cannot be read. */
WARN_UNUSED int vm_check(const struct sandbox_image *image, struct vm_check *ret_check);

#endif
