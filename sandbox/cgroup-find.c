/* SPDX-License-Identifier: Apache-2.0 */
#include "cgroup-find.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>

#include "core/file.h"
#include "core/log.h"

#define PARENT "perigee-launcher"
#define KILL_WAIT_MS 5000
#define RMDIR_TRIES 10

static const char *const controller_name[CGROUP_CONTROLLER_MAX] = {
	[CGROUP_MEMORY] = "memory",
	[CGROUP_PIDS] = "pids",
	[CGROUP_CPU] = "cpu",
	[CGROUP_CPUACCT] = "cpuacct",
};

/* Whether a list, separated by `sep`, has this word. */
static bool has_word(const char *list, const char *word, char sep)
{
	size_t len = strlen(word);

	for (const char *at = list; at; at = strchr(at, sep)) {
		at += *at == sep;
		if (strncmp(at, word, len) == 0 && (at[len] == sep || at[len] == '\0' || at[len] == '\n'))
			return true;
	}
	return false;
}

static void read_unified(const char *mount, char *ret_text, size_t cap)
{
	char path[300];
	CLEAN_FD int fd = -1;
	ssize_t n;

	snprintf(path, sizeof(path), "%s/cgroup.controllers", mount);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, ret_text, cap - 1);
	ret_text[n < 0 ? 0 : n] = '\0';
}

static int add_tree(struct cgroups *g, const char *mount, bool v2)
{
	struct cgroup_tree *tree = &g->tree[g->n_trees];

	for (size_t i = 0; i < g->n_trees; i++) {
		if (strcmp(g->tree[i].path, mount) == 0)
			return (int)i;
	}
	if (g->n_trees == CGROUP_TREES_MAX || strlen(mount) >= sizeof(tree->path))
		return ERR_LIMIT;
	*tree = (struct cgroup_tree){.v2 = v2, .own_fd = -1};
	memcpy(tree->path, mount, strlen(mount) + 1);
	return (int)g->n_trees++;
}

struct mount_line {
	const char *mount, *type, *options; /* the superblock's options name the version 1 controllers */
};

/* "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue" (proc(5)). */
static bool read_mount_line(char *line, struct mount_line *ret)
{
	char *word[5], *tail = strstr(line, " - "), *save = NULL;

	if (!tail)
		return false;
	*tail = '\0';
	for (size_t i = 0; i < ARRAY_LEN(word); i++) {
		word[i] = strtok_r(i == 0 ? line : NULL, " ", &save);
		if (!word[i])
			return false;
	}
	if (strcmp(word[3], "/") != 0)
		return false; /* a part of the hierarchy mounted elsewhere */
	ret->mount = word[4];
	ret->type = strtok_r(tail + 3, " ", &save);
	if (!ret->type || !strtok_r(NULL, " ", &save))
		return false;
	ret->options = strtok_r(NULL, " ", &save);
	return ret->options != NULL;
}

/* Notes where groups can be frozen: in version 2 wherever it is mounted, which costs a cell the least. */
static void find_freezer(const struct mount_line *m, bool v2, char (*ret_mount)[256], bool *ret_v2)
{
	if (*ret_v2 || strlen(m->mount) >= sizeof(*ret_mount))
		return;
	if (!v2 && ((*ret_mount)[0] || !has_word(m->options, "freezer", ',')))
		return;
	snprintf(*ret_mount, sizeof(*ret_mount), "%s", m->mount);
	*ret_v2 = v2;
}

int cgroup_find_in(char *mountinfo, void (*unified)(const char *mount, char *ret_text, size_t cap),
	struct cgroups *ret_groups, char *ret_reason, size_t cap)
{
	struct cgroups g = {0};
	int at[CGROUP_CONTROLLER_MAX] = {-1, -1, -1, -1};
	char freezer[256] = "", *save = NULL;
	bool freezer_v2 = false;

	for (char *line = strtok_r(mountinfo, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char controllers[512] = "";
		struct mount_line m;
		bool v2;

		if (!read_mount_line(line, &m) || strncmp(m.type, "cgroup", 6) != 0)
			continue;
		v2 = strcmp(m.type, "cgroup2") == 0;
		find_freezer(&m, v2, &freezer, &freezer_v2);
		if (v2)
			unified(m.mount, controllers, sizeof(controllers));
		for (int c = 0; c < CGROUP_CONTROLLER_MAX; c++) {
			/* Version 2 counts CPU time by itself wherever it has the cpu controller. */
			const char *name = v2 && c == CGROUP_CPUACCT ? "cpu" : controller_name[c];

			if (at[c] < 0 && has_word(v2 ? controllers : m.options, name, v2 ? ' ' : ','))
				at[c] = add_tree(&g, m.mount, v2);
		}
	}
	for (int c = 0; c < CGROUP_CONTROLLER_MAX; c++) {
		if (at[c] < 0) {
			snprintf(ret_reason, cap,
				"this machine has no control group controller \"%s\" (is it mounted, and not "
				"disabled by the kernel's command line?)",
				controller_name[c]);
			return ERR_SANDBOX;
		}
		g.tree_of[c] = (size_t)at[c];
		g.tree[at[c]].controllers |= 1u << c;
	}
	/* Last, so that it can be done without. */
	at[0] = freezer[0] ? add_tree(&g, freezer, freezer_v2) : -1;
	g.freezer = at[0] < 0 ? CGROUP_NO_TREE : (size_t)at[0];
	*ret_groups = g;
	return 0;
}

int cgroup_find(struct cgroups *ret_groups, char *ret_reason, size_t cap)
{
	CLEAN_FREE char *text = calloc(1, 65536);
	CLEAN_FD int fd = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
	size_t have = 0;
	ssize_t n = 0;

	if (!text)
		return -ENOMEM;
	if (fd < 0) {
		snprintf(ret_reason, cap, "/proc/self/mountinfo: %s", err_text(-errno));
		return ERR_SANDBOX;
	}
	while (have < 65535 && (n = read(fd, text + have, 65535 - have)) > 0)
		have += (size_t)n;
	return cgroup_find_in(text, read_unified, ret_groups, ret_reason, cap);
}

int cgroup_owner_name(pid_t pid, char *ret_name, size_t cap)
{
	char path[64], text[1024];
	CLEAN_FD int fd = -1;
	unsigned long long start;
	const char *at;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (n <= 0)
		return ERR_UNKNOWN;
	text[n] = '\0';
	/* Field 22, counted after the name, which may hold anything, in parentheses (proc(5)). */
	at = strrchr(text, ')');
	for (int i = 2; at && i < 22; i++)
		at = strchr(at + 1, ' ');
	if (!at || sscanf(at, "%llu", &start) != 1)
		return ERR_UNKNOWN;
	snprintf(ret_name, cap, "%d-%llu", (int)pid, start);
	return 0;
}

/* A folder that is locked has a living owner, in whatever pid namespace that is. One that is not yet locked
 * has, when there is the process that its name says. */
static bool owner_lives(int dir, const char *name)
{
	char now[64];
	int pid;

	if (sscanf(name, "%d-", &pid) != 1 || pid <= 0)
		return true; /* not ours to judge */
	if (cgroup_owner_name(pid, now, sizeof(now)) == 0 && strncmp(now, name, strlen(now)) == 0)
		return true;
	return flock(dir, LOCK_EX | LOCK_NB) < 0;
}

int cgroup_rmdir(int parent, const char *name)
{
	const struct timespec moment = {.tv_nsec = 500000};

	for (int tries = 0;; tries++) {
		if (unlinkat(parent, name, AT_REMOVEDIR) == 0)
			return 0;
		if (errno != EBUSY || tries == RMDIR_TRIES)
			return -errno;
		(void)nanosleep(&moment, NULL);
	}
}

/* Kills what is in a group, one process after the other; waits, bounded, for each to be gone if it is to. */
static void kill_each(int dir, bool wait)
{
	CLEAN_FD int fd = openat(dir, "cgroup.procs", O_RDONLY | O_CLOEXEC);
	CLEAN_FILE FILE *f = fd < 0 ? NULL : fdopen(dup(fd), "r");
	int pid;

	while (f && fscanf(f, "%d", &pid) == 1) {
		struct pollfd p = {.fd = (int)syscall(SYS_pidfd_open, pid, 0), .events = POLLIN};

		if (p.fd < 0)
			continue;
		(void)syscall(SYS_pidfd_send_signal, p.fd, SIGKILL, NULL, 0);
		if (wait)
			(void)poll(&p, 1, KILL_WAIT_MS);
		close(p.fd);
	}
}

static void kill_all(int dir)
{
	CLEAN_FD int state = openat(dir, "freezer.state", O_WRONLY | O_CLOEXEC);

	/* In the version 1 freezer what is frozen dies only when it is thawed. */
	if (state >= 0) {
		kill_each(dir, false);
		if (write(state, "THAWED", 6) < 0)
			log_debug("thawing a group: %s", err_text(-errno));
	}
	kill_each(dir, true);
}

static void collect_owner(int parent, const char *name, const char *where)
{
	CLEAN_FD int owner = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	DIR *dir;

	if (owner < 0 || owner_lives(owner, name))
		return;
	dir = fdopendir(dup(owner));
	if (!dir)
		return;
	for (struct dirent *e; (e = readdir(dir));) {
		CLEAN_FD int cell = -1;
		int err;

		if (e->d_type != DT_DIR || e->d_name[0] == '.')
			continue;
		cell = openat(owner, e->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
		if (cell < 0)
			continue;
		kill_all(cell);
		err = cgroup_rmdir(owner, e->d_name);
		if (err < 0)
			log_warning("%s/" PARENT "/%s/%s: cannot collect: %s", where, name, e->d_name,
				err_text(err));
	}
	closedir(dir);
	if (unlinkat(parent, name, AT_REMOVEDIR) == 0)
		log_info("%s/" PARENT "/%s: collected the groups of a launcher that is dead", where, name);
	else if (errno != ENOENT)
		log_warning("%s/" PARENT "/%s: cannot collect: %s", where, name, err_text(-errno));
}

static void collect(int parent, const char *where)
{
	DIR *dir = fdopendir(dup(parent));

	if (!dir)
		return;
	for (struct dirent *e; (e = readdir(dir));) {
		if (e->d_type == DT_DIR && e->d_name[0] != '.')
			collect_owner(parent, e->d_name, where);
	}
	closedir(dir);
}

static int hand_down(int dir, unsigned controllers)
{
	CLEAN_FD int fd = -1;
	char text[64] = "";
	size_t len = 0;

	/* Version 2 has no cpuacct. */
	for (int c = 0; c < CGROUP_CPUACCT; c++) {
		if (controllers & 1u << c)
			len += (size_t)snprintf(text + len, sizeof(text) - len, "+%s ", controller_name[c]);
	}
	if (len == 0)
		return 0;
	fd = openat(dir, "cgroup.subtree_control", O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	return write(fd, text, len) < 0 ? -errno : 0;
}

static int make_dir(int at, const char *name, int *ret_fd)
{
	int fd;

	if (mkdirat(at, name, 0755) < 0 && errno != EEXIST)
		return -errno;
	fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return -errno;
	*ret_fd = fd;
	return 0;
}

/* Our own folder, locked for as long as this process or its maker lives. */
static int make_own(int parent, const char *name, int *ret_fd)
{
	for (int tries = 0; tries < 10; tries++) {
		CLEAN_FD int fd = -1;
		struct stat st;
		int err = make_dir(parent, name, &fd);

		if (err < 0)
			return err;
		if (flock(fd, LOCK_EX | LOCK_NB) < 0)
			return -errno;
		/* A collector may have been faster than the lock. */
		if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
			*ret_fd = TAKE_FD(fd);
			return 0;
		}
	}
	return -EBUSY;
}

int cgroup_tree_own(struct cgroup_tree *tree, const char *own, char *ret_reason, size_t cap)
{
	CLEAN_FD int root = open(tree->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CLEAN_FD int parent = -1;
	CLEAN_FD int own_fd = -1;
	char path[sizeof(tree->path)];
	int err = root < 0 ? -errno : 0;

	if (err == 0)
		err = path_format(path, sizeof(path), "%s/" PARENT "/%s", tree->path, own);
	if (err == 0)
		err = make_dir(root, PARENT, &parent);
	if (err == 0) {
		collect(parent, tree->path);
		err = make_own(parent, own, &own_fd);
	}
	/* A controller works in a group only when every group above it hands it down. */
	if (err == 0 && tree->v2) {
		err = hand_down(root, tree->controllers);
		if (err == 0)
			err = hand_down(parent, tree->controllers);
		if (err == 0)
			err = hand_down(own_fd, tree->controllers);
	}
	if (err < 0) {
		snprintf(ret_reason, cap, "%s: cannot make a control group there: %s", tree->path,
			err_text(err));
		return ERR_SANDBOX;
	}
	memcpy(tree->path, path, sizeof(path));
	tree->own_fd = TAKE_FD(own_fd);
	return 0;
}
