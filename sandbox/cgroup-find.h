/* SPDX-License-Identifier: Apache-2.0 */
/* Where this machine has its control groups, and what dead launchers left in them. */
#ifndef SANDBOX_CGROUP_FIND_H
#define SANDBOX_CGROUP_FIND_H

#include "cgroup.h"

/* Reads /proc/self/mountinfo: which hierarchy has which controller; own_fd of each is -1 and path its root.
 */
WARN_UNUSED int cgroup_find(struct cgroups *ret_groups, char *ret_reason, size_t cap);
/* The same from the text of a mountinfo file; the controllers of version 2 are asked for through `unified`,
 * which returns the text of MOUNTPOINT/cgroup.controllers ("" when there is none). */
WARN_UNUSED int cgroup_find_in(char *mountinfo,
	void (*unified)(const char *mount, char *ret_text, size_t cap), struct cgroups *ret_groups,
	char *ret_reason, size_t cap);

/* "PID-STARTTIME" (clock ticks since boot): no later process has the same. ERR_UNKNOWN when there is no such
 * process. */
WARN_UNUSED int cgroup_owner_name(pid_t pid, char *ret_name, size_t cap);

/* Removes a group whose processes are dead. Some kernels let go of the last of them a moment after it was
 * reaped: waits for that, some milliseconds at most. -errno. */
WARN_UNUSED int cgroup_rmdir(int parent, const char *name);

/* From the hierarchy's root in tree->path to our own folder in it, which is made: collects dead launchers'
 * folders beside it, hands the controllers down (version 2). Changes path and own_fd. */
WARN_UNUSED int cgroup_tree_own(struct cgroup_tree *tree, const char *own, char *ret_reason, size_t cap);

#endif
