/* SPDX-License-Identifier: Apache-2.0 */
#include "cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "cgroup-find.h"
#include "core/clock.h"
#include "core/file.h"
#include "core/log.h"

#define CPU_PERIOD_US UINT64_C(100000)

static int put_text(int dir, const char *file, const char *text)
{
	CLEAN_FD int fd = openat(dir, file, O_WRONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	do
		n = write(fd, text, strlen(text));
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

static int put_number(int dir, const char *file, uint64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRIu64, value);
	return put_text(dir, file, text);
}

/* The whole of a small file; "" when it cannot be read. */
static void get_text(int dir, const char *file, char *ret_text, size_t cap)
{
	CLEAN_FD int fd = openat(dir, file, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, ret_text, cap - 1);

	ret_text[n < 0 ? 0 : n] = '\0';
}

static uint64_t get_number(int dir, const char *file)
{
	char text[64];

	get_text(dir, file, text, sizeof(text));
	return strtoull(text, NULL, 10);
}

/* The number after `key ` at the start of a line. */
static uint64_t get_keyed(int dir, const char *file, const char *key)
{
	char text[1024];
	size_t len = strlen(key);

	get_text(dir, file, text, sizeof(text));
	for (char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, key, len) == 0 && line[len] == ' ')
			return strtoull(line + len + 1, NULL, 10);
	}
	return 0;
}

/* PID-STARTTIME-NAMESPACE: launchers may see the same groups from different pid namespaces. */
static int name_own(char *ret_name, size_t cap)
{
	char pid[64];
	struct stat st;
	int err = cgroup_owner_name(getpid(), pid, sizeof(pid));

	if (err < 0)
		return err;
	if (stat("/proc/self/ns/pid", &st) < 0)
		return -errno;
	snprintf(ret_name, cap, "%s-%ju", pid, (uintmax_t)st.st_ino);
	return 0;
}

int cgroups_open(struct cgroups *ret_groups, char *ret_reason, size_t cap)
{
	struct cgroups g;
	char own[96];
	int err = cgroup_find(&g, ret_reason, cap);

	if (err < 0)
		return err;
	err = name_own(own, sizeof(own));
	if (err < 0) {
		snprintf(ret_reason, cap, "/proc/self: %s", err_text(err));
		return err;
	}
	/* The freezer first, for what a dead launcher left frozen there cannot be collected elsewhere. */
	if (g.freezer != CGROUP_NO_TREE) {
		err = cgroup_tree_own(&g.tree[g.freezer], own, ret_reason, cap);
		if (err < 0 && g.freezer == g.n_trees - 1 && !g.tree[g.freezer].controllers) {
			log_warning("no stage can be frozen here: %s", ret_reason);
			g.n_trees--;
			g.freezer = CGROUP_NO_TREE;
			err = 0;
		}
	}
	for (size_t i = 0; i < g.n_trees && err == 0; i++) {
		if (g.tree[i].own_fd < 0)
			err = cgroup_tree_own(&g.tree[i], own, ret_reason, cap);
	}
	if (err < 0) {
		cgroups_close(&g);
		return err;
	}
	*ret_groups = g;
	return 0;
}

void cgroups_close(struct cgroups *g)
{
	for (size_t i = 0; i < g->n_trees; i++) {
		if (g->tree[i].own_fd < 0)
			continue;
		close(TAKE_FD(g->tree[i].own_fd));
		if (rmdir(g->tree[i].path) < 0)
			log_warning("%s: cannot remove the group: %s", g->tree[i].path, err_text(-errno));
	}
}

int cgroup_open(struct cgroups *g, unsigned cell, struct cgroup *ret_group)
{
	struct cgroup group;
	int err;

	snprintf(group.name, sizeof(group.name), "%u", cell);
	for (size_t i = 0; i < CGROUP_TREES_MAX; i++)
		group.fd[i] = -1;
	for (size_t i = 0; i < g->n_trees; i++) {
		group.fd[i] = openat(g->tree[i].own_fd, group.name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (group.fd[i] < 0) {
			err = -errno;
			goto undo;
		}
	}
	*ret_group = group;
	return 0;
undo:
	for (size_t i = 0; i < g->n_trees; i++) {
		if (group.fd[i] >= 0)
			close(group.fd[i]);
	}
	return err;
}

int cgroup_make(struct cgroups *g, unsigned cell, struct cgroup *ret_group)
{
	char name[16];
	size_t made = 0;
	int err = 0;

	snprintf(name, sizeof(name), "%u", cell);
	for (; made < g->n_trees && err == 0; made += err == 0) {
		/* One that could not be removed the last time has that time's counts. */
		(void)unlinkat(g->tree[made].own_fd, name, AT_REMOVEDIR);
		err = mkdirat(g->tree[made].own_fd, name, 0755) < 0 ? -errno : 0;
	}
	if (err == 0)
		err = cgroup_open(g, cell, ret_group);
	for (size_t i = 0; err < 0 && i < made; i++)
		(void)unlinkat(g->tree[i].own_fd, name, AT_REMOVEDIR);
	return err;
}

int cgroup_clone_fd(const struct cgroups *g, const struct cgroup *group)
{
	for (size_t i = 0; i < g->n_trees; i++) {
		if (g->tree[i].v2)
			return group->fd[i];
	}
	return -1;
}

int cgroup_enter(const struct cgroups *g, const struct cgroup *group, pid_t pid)
{
	for (size_t i = 0; i < g->n_trees; i++) {
		int err = g->tree[i].v2 ? 0 : put_number(group->fd[i], "cgroup.procs", (uint64_t)pid);

		if (err < 0)
			return err;
	}
	return 0;
}

static int limit_memory(int dir, bool v2, uint64_t bytes)
{
	int err = put_number(dir, v2 ? "memory.max" : "memory.limit_in_bytes", bytes);

	if (err < 0)
		return err;
	/* No swap: a stage that does not fit says so at once instead of wearing out the flash. The files are
	 * absent on a kernel that does not account for swap. */
	err = v2 ? put_number(dir, "memory.swap.max", 0)
		 : put_number(dir, "memory.memsw.limit_in_bytes", bytes);
	return err == -ENOENT ? 0 : err;
}

static int limit_cpu(int dir, bool v2, uint32_t cpus_milli)
{
	uint64_t quota_us = cpus_milli * CPU_PERIOD_US / 1000;
	char text[48];

	if (!v2)
		return put_number(dir, "cpu.cfs_quota_us", quota_us); /* the period is 100 ms as made */
	snprintf(text, sizeof(text), "%" PRIu64 " %" PRIu64, quota_us, CPU_PERIOD_US);
	return put_text(dir, "cpu.max", text);
}

int cgroup_limit(const struct cgroups *g, const struct cgroup *group, const struct launch_limits *limits,
	unsigned pids_extra)
{
	size_t memory = g->tree_of[CGROUP_MEMORY], pids = g->tree_of[CGROUP_PIDS],
	       cpu = g->tree_of[CGROUP_CPU];
	int err = limit_memory(group->fd[memory], g->tree[memory].v2, limits->memory_bytes);

	if (err < 0)
		return err;
	err = put_number(group->fd[pids], "pids.max", (uint64_t)limits->pids + pids_extra);
	if (err < 0)
		return err;
	return limit_cpu(group->fd[cpu], g->tree[cpu].v2, limits->cpus_milli);
}

int cgroup_freeze(const struct cgroups *g, const struct cgroup *group, bool frozen)
{
	if (g->freezer == CGROUP_NO_TREE)
		return -EOPNOTSUPP;
	if (g->tree[g->freezer].v2)
		return put_number(group->fd[g->freezer], "cgroup.freeze", frozen);
	return put_text(group->fd[g->freezer], "freezer.state", frozen ? "FROZEN" : "THAWED");
}

bool cgroup_is_frozen(const struct cgroups *g, const struct cgroup *group)
{
	char text[32];

	if (g->freezer == CGROUP_NO_TREE)
		return false;
	if (g->tree[g->freezer].v2)
		return get_keyed(group->fd[g->freezer], "cgroup.events", "frozen") == 1;
	get_text(group->fd[g->freezer], "freezer.state", text, sizeof(text));
	return strcmp(text, "FROZEN\n") == 0;
}

uint64_t cgroup_cpu_ns(const struct cgroups *g, const struct cgroup *group)
{
	size_t cpu = g->tree_of[CGROUP_CPUACCT];

	return g->tree[cpu].v2 ? get_keyed(group->fd[cpu], "cpu.stat", "usage_usec") * 1000
			       : get_number(group->fd[cpu], "cpuacct.usage");
}

void cgroup_usage(const struct cgroups *g, const struct cgroup *group, struct cgroup_usage *ret_usage)
{
	size_t memory = g->tree_of[CGROUP_MEMORY];
	int memory_fd = group->fd[memory];

	if (g->tree[memory].v2) {
		ret_usage->peak_memory_bytes = get_number(memory_fd, "memory.peak");
		ret_usage->oom_kills = get_keyed(memory_fd, "memory.events", "oom_kill");
	} else {
		ret_usage->peak_memory_bytes = get_number(memory_fd, "memory.max_usage_in_bytes");
		ret_usage->oom_kills = get_keyed(memory_fd, "memory.oom_control", "oom_kill");
	}
	ret_usage->cpu_ns = cgroup_cpu_ns(g, group);
	ret_usage->pids_hits = get_keyed(group->fd[g->tree_of[CGROUP_PIDS]], "pids.events", "max");
}

void cgroup_remove(struct cgroups *g, struct cgroup *group)
{
	for (size_t i = 0; i < g->n_trees; i++) {
		if (group->fd[i] < 0)
			continue;
		close(TAKE_FD(group->fd[i]));
		if (cgroup_rmdir(g->tree[i].own_fd, group->name) < 0)
			log_warning("%s/%s: cannot remove the group: %s", g->tree[i].path, group->name,
				err_text(-errno));
	}
}
