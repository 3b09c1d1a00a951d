/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Control groups, version 2 and version 1, behind one small interface. Each controller is used where the
 * machine has it: in the unified hierarchy when it lists it, otherwise in the version 1 hierarchy that is
 * mounted for it (hybrid machines have both). Everything lives in
 * HIERARCHY/perigee-launcher/PID-STARTTIME-NAMESPACE/CELL,
 * and the middle one is locked (flock) while its owner lives.
 */
#ifndef SANDBOX_CGROUP_H
#define SANDBOX_CGROUP_H

#include <sys/types.h>

#include "sandbox.h"

enum cgroup_controller { CGROUP_MEMORY, CGROUP_PIDS, CGROUP_CPU, CGROUP_CPUACCT, CGROUP_CONTROLLER_MAX };

#define CGROUP_TREES_MAX (CGROUP_CONTROLLER_MAX + 1) /* and one for freezing */
#define CGROUP_NO_TREE SIZE_MAX

/* A hierarchy in which we have groups. */
struct cgroup_tree {
	bool v2;
	unsigned controllers; /* version 2: bits of those that we use in it, handed down to our groups */
	int own_fd;           /* .../perigee-launcher/PID-STARTTIME-NAMESPACE */
	char path[256];       /* of that folder */
};

struct cgroups {
	struct cgroup_tree tree[CGROUP_TREES_MAX];
	size_t n_trees;
	size_t tree_of[CGROUP_CONTROLLER_MAX]; /* index into tree */
	/* Where groups are frozen: any hierarchy of version 2 (every group of it can be), else the version 1
	 * freezer, which comes last in `tree`. CGROUP_NO_TREE: this machine cannot. */
	size_t freezer;
};

/* A cell's group: one folder in each tree. */
struct cgroup {
	char name[16];
	int fd[CGROUP_TREES_MAX];
};

struct cgroup_usage {
	uint64_t cpu_ns;
	uint64_t peak_memory_bytes;
	uint64_t oom_kills; /* processes killed because the group was out of memory */
	uint64_t pids_hits; /* times a new process was refused */
};

/* Finds the hierarchies, collects what launchers that are dead left behind, makes our own folder. Negative
 * with the reason, which names the controller or folder. */
WARN_UNUSED int cgroups_open(struct cgroups *ret_groups, char *ret_reason, size_t cap);
/* Removes our folder: every cell's group must be gone. */
void cgroups_close(struct cgroups *g);

/* Makes a cell's group, which must not be there (-EEXIST). */
WARN_UNUSED int cgroup_make(struct cgroups *g, unsigned cell, struct cgroup *ret_group);
/* Opens one that another process has made. */
WARN_UNUSED int cgroup_open(struct cgroups *g, unsigned cell, struct cgroup *ret_group);
/* For CLONE_INTO_CGROUP, or -1 when no controller is in version 2. Borrowed. */
int cgroup_clone_fd(const struct cgroups *g, const struct cgroup *group);
/* Moves a process into the version 1 groups: after the clone, before it has children. */
WARN_UNUSED int cgroup_enter(const struct cgroups *g, const struct cgroup *group, pid_t pid);
/* `pids_extra`: processes of ours in the group, which do not count. */
WARN_UNUSED int cgroup_limit(const struct cgroups *g, const struct cgroup *group,
	const struct launch_limits *limits, unsigned pids_extra);
/* Stops every process of a group where it is, or lets them go on. It takes effect a moment after; what is
 * killed dies frozen (version 2) or when it is thawed (version 1). -EOPNOTSUPP where the machine cannot,
 * -errno. */
WARN_UNUSED int cgroup_freeze(const struct cgroups *g, const struct cgroup *group, bool frozen);
/* Whether all of it stands still by now. */
bool cgroup_is_frozen(const struct cgroups *g, const struct cgroup *group);
/* CPU time used so far by all that was ever in the group; 0 when it cannot be read. */
uint64_t cgroup_cpu_ns(const struct cgroups *g, const struct cgroup *group);
/* What cannot be read stays 0. */
void cgroup_usage(const struct cgroups *g, const struct cgroup *group, struct cgroup_usage *ret_usage);
/* Its processes are dead. Logs what it cannot remove. */
void cgroup_remove(struct cgroups *g, struct cgroup *group);

#endif
