/* SPDX-License-Identifier: Apache-2.0 */
/* The launcher's side of a cell. */
#include "cell.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "core/file.h"
#include "core/log.h"
#include "launch-wire.h"

static int fail(char *ret_reason, size_t cap, const char *step, int err)
{
	snprintf(ret_reason, cap, "%s: %s", step, err_text(err));
	return err;
}

static int put_proc(pid_t pid, const char *file, const char *text)
{
	char path[64];
	CLEAN_FD int fd = -1;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	return write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

/* One id inside, an unprivileged one, and one outside; there is no root in the cell. */
static int map_ids(pid_t pid, unsigned number)
{
	char text[64];
	int err;

	snprintf(text, sizeof(text), "%u %u 1", CELL_INSIDE_ID, CELL_HOST_ID_FIRST + number);
	err = put_proc(pid, "uid_map", text);
	if (err == 0)
		err = put_proc(pid, "setgroups", "deny");
	if (err == 0)
		err = put_proc(pid, "gid_map", text);
	return err;
}

static pid_t clone_cell(const struct cell_kind *kind, const struct cgroup *group, int *ret_pidfd)
{
	struct clone_args args = {
		/* The group namespace follows when the cell is in all its groups. */
		.flags = CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC |
			 CLONE_NEWUTS | CLONE_PIDFD | CLONE_PARENT,
		/* A child of the launcher, not of the maker, with the same signal at its end. */
		.pidfd = (uint64_t)(uintptr_t)ret_pidfd,
	};
	int into = cgroup_clone_fd(kind->groups, group);

	if (into >= 0) {
		args.flags |= CLONE_INTO_CGROUP;
		args.cgroup = (uint64_t)into;
	}
	return (pid_t)syscall(SYS_clone3, &args, sizeof(args));
}

/* What a new cell needs from outside before it can prepare itself. */
static int admit(const struct cell_kind *kind, const struct cell *cell, char *ret_reason, size_t cap)
{
	int err = cgroup_enter(kind->groups, &cell->group, cell->init);

	if (err < 0)
		return fail(ret_reason, cap, "entering the control group", err);
	err = map_ids(cell->init, cell->number);
	if (err < 0)
		return fail(ret_reason, cap, "mapping ids", err);
	/* It waits for this byte. */
	if (send(cell->sock, "g", 1, MSG_NOSIGNAL) < 0)
		return fail(ret_reason, cap, "waking the cell", -errno);
	return 0;
}

int cell_make(
	const struct cell_kind *kind, unsigned number, struct cell *ret_cell, char *ret_reason, size_t cap)
{
	struct cell cell = {.number = number, .pidfd = -1, .sock = -1};
	CLEAN_FD int inner = -1;
	int pair[2];
	int err = cgroup_make(kind->groups, number, &cell.group);

	if (err < 0)
		return fail(ret_reason, cap, "control group", err);
	err = msg_pair(true, false, pair);
	if (err < 0) {
		cgroup_remove(kind->groups, &cell.group);
		return fail(ret_reason, cap, "socket pair", err);
	}
	cell.sock = pair[0];
	inner = pair[1];
	cell.init = clone_cell(kind, &cell.group, &cell.pidfd);
	if (cell.init == 0) {
		close(cell.sock);
		cell_main(inner, &kind->filter);
	}
	if (cell.init < 0) {
		err = fail(ret_reason, cap, "clone3 into new namespaces", -errno);
		close(cell.sock);
		cgroup_remove(kind->groups, &cell.group);
		return err;
	}
	err = admit(kind, &cell, ret_reason, cap);
	if (err < 0) {
		/* It is the launcher that reaps it. That learns of the failure as of any in a cell: by its
		 * word. */
		char word[CELL_WORD_BYTES];

		snprintf(word, sizeof(word), "%c%.200s", CELL_FAILED, ret_reason);
		(void)send(inner, word, strlen(word), MSG_NOSIGNAL);
		cell_kill(&cell);
	}
	*ret_cell = cell;
	return 0;
}

/* A copy of the mount that this folder is in, with the folder as its root, attached nowhere yet. The
 * supervisor must have been able to read the folder: a descriptor that was only opened as a path proves
 * nothing. */
static int mount_of(int dir, uint64_t attributes, int *ret_fd)
{
	/* Reading must not write times to the flash either. */
	struct mount_attr attr = {
		.attr_clr = MOUNT_ATTR__ATIME,
		.attr_set = attributes | MOUNT_ATTR_NOATIME,
	};
	CLEAN_FD int fd = -1;
	int flags = fcntl(dir, F_GETFL);

	if (flags < 0)
		return -errno;
	if (flags & O_PATH)
		return -EPERM;
	fd = open_tree(dir, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
	if (fd < 0)
		return -errno;
	if (mount_setattr(fd, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0)
		return -errno;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

int cell_start(const struct cell_kind *kind, struct cell *cell, struct msg *start,
	const struct launch_limits *limits, char *ret_reason, size_t cap)
{
	static const struct {
		const char *name;
		uint64_t attributes;
	} folder[LAUNCH_FD_LOG] = {
		[LAUNCH_FD_ROOTFS] = {"the image's root",
			MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV},
		[LAUNCH_FD_IN] = {"/in", MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
						 MOUNT_ATTR_NOEXEC | MOUNT_ATTR_NOSYMFOLLOW},
		[LAUNCH_FD_OUT] = {"/out",
			MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC | MOUNT_ATTR_NOSYMFOLLOW},
	};
	int mounts[LAUNCH_FD_LOG] = {-1, -1, -1};
	/* init, which is in the groups too */
	int err = cgroup_limit(kind->groups, &cell->group, limits, 1);

	if (err < 0)
		return fail(ret_reason, cap, "setting the limits", err);
	for (size_t i = 0; i < LAUNCH_FD_LOG && err == 0; i++) {
		err = mount_of(start->fds[i], folder[i].attributes, &mounts[i]);
		if (err < 0)
			fail(ret_reason, cap, folder[i].name, err);
	}
	if (err == 0) {
		struct msg *order = start; /* its body goes on as it came */
		int came[LAUNCH_ORDER_FDS];

		memcpy(came, start->fds, sizeof(came));
		memcpy(order->fds, mounts, sizeof(mounts));
		order->out = wbuf_of(order->raw, sizeof(order->raw));
		order->out.len = MSG_HEADER_BYTES + order->body.len;
		err = msg_send(cell->sock, order);
		memcpy(start->fds, came, sizeof(came));
		order->out = (struct wbuf){0}; /* received again: its descriptors are its own, to be closed */
		if (err < 0)
			fail(ret_reason, cap, "sending to the cell", err);
	}
	for (size_t i = 0; i < LAUNCH_FD_LOG; i++) {
		if (mounts[i] >= 0)
			close(mounts[i]);
	}
	return err;
}

void cell_kill(struct cell *cell)
{
	/* The pid namespace dies with its init. */
	if (syscall(SYS_pidfd_send_signal, cell->pidfd, SIGKILL, NULL, 0) < 0 && errno != ESRCH)
		log_warning("cell %u: cannot kill: %s", cell->number, err_text(-errno));
}

void cell_forget(const struct cell_kind *kind, struct cell *cell)
{
	close(TAKE_FD(cell->pidfd));
	close(TAKE_FD(cell->sock));
	for (size_t i = 0; i < kind->groups->n_trees; i++) {
		if (cell->group.fd[i] >= 0)
			close(TAKE_FD(cell->group.fd[i]));
	}
}

void cell_finish(const struct cell_kind *kind, struct cell *cell)
{
	siginfo_t info;

	int r;

	while ((r = waitid(P_PIDFD, (id_t)cell->pidfd, &info, WEXITED)) < 0 && errno == EINTR)
		;
	ensure(r == 0); /* it is our child: anything else would leave a zombie a stage */
	close(TAKE_FD(cell->pidfd));
	close(TAKE_FD(cell->sock));
	cgroup_remove(kind->groups, &cell->group);
}
