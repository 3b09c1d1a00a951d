/* SPDX-License-Identifier: Apache-2.0 */
/* Giving up privileges, for our own processes. */
#ifndef CORE_CONFINE_H
#define CORE_CONFINE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/err.h"

/* Becomes this user for good: supplementary groups, gid, uid, all capabilities, and no new privileges.
 * Checked afterwards. With uid 0 the user stays, without a capability. */
WARN_UNUSED int confine_user(uid_t uid, gid_t gid);

struct confine_path {
	const char *path;
	bool write;   /* files below may be made, written, removed */
	bool execute; /* files below may be executed */
};

/* Landlock: from now on only these paths, and no TCP bind or connect but what was open, as far as the kernel
 * has it. 1 when in force, 0 when the kernel has no Landlock (or only ABI 1). A missing path is left out.
 * Holds for this thread and those it makes, so ERR_STATE when the process has others already: call it before
 * libuv's workers start. */
WARN_UNUSED int confine_paths(const struct confine_path *paths, size_t n);
/* The same, but TCP connections to these ports may be made (from Linux 6.7 on others may not). */
WARN_UNUSED int confine_paths_and_ports(
	const struct confine_path *paths, size_t n, const uint16_t *ports, size_t n_ports);

/* Seccomp: only these system calls (names), the others fail with EPERM; a few that no process of ours ever
 * has a reason to make (ptrace, bpf, kexec_load, …) end it. Names that this machine does not know are left
 * out. Under a sanitizer build what its runtime needs is added. */
WARN_UNUSED int confine_syscalls(const char *const *names, size_t n);

#endif
