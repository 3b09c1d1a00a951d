/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What happens inside a cell: first preparing (its own root in memory, from which nothing of the host can be
 * reached, with a /dev), then, on the start message, becoming the stage. Runs between clone and exec in a
 * copy of the launcher's memory, where no other thread is.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/openat2.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "cell.h"
#include "launch-wire.h"

#define CELL_SOCKET 3        /* as first thing moved there; all else is closed */
#define STAGE_FILES_MAX 256  /* descriptors of a stage */
#define TMP_FILES_MAX "4096" /* in its /tmp */
#define TMP_BYTES_MIN 4096

static const char *const device[] = {"null", "zero", "full", "random", "urandom"};

/* Says why and ends: the launcher reports it as a failure to set up. */
static _Noreturn void give_up(const char *fmt, ...) PRINTF(1, 2);

static _Noreturn void give_up(const char *fmt, ...)
{
	char word[CELL_WORD_BYTES] = {CELL_FAILED};
	int saved = errno;
	va_list args;
	size_t len;

	va_start(args, fmt);
	vsnprintf(word + 1, sizeof(word) - 1, fmt, args);
	va_end(args);
	len = strlen(word);
	if (saved)
		snprintf(word + len, sizeof(word) - len, ": %s", strerror(saved));
	/* write, not send: the filter of the stage may be in force. */
	if (write(CELL_SOCKET, word, strlen(word)) < 0)
		_exit(121);
	_exit(120);
}

#define must(call, ...)                                                                                      \
	do {                                                                                                 \
		if ((call) < 0)                                                                              \
			give_up(__VA_ARGS__);                                                                \
	} while (0)

/* ---- Preparing ----------------------------------------------------------------------------------------- */

static void forget_signals(void)
{
	struct sigaction dfl = {.sa_handler = SIG_DFL};
	sigset_t none;

	for (int i = 1; i < NSIG; i++)
		(void)sigaction(i, &dfl, NULL);
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
}

static void become_nobody(void)
{
	must(setresgid(CELL_INSIDE_ID, CELL_INSIDE_ID, CELL_INSIDE_ID), "setresgid");
	must(setresuid(CELL_INSIDE_ID, CELL_INSIDE_ID, CELL_INSIDE_ID), "setresuid");
	must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no new privileges");
	must(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0), "clearing ambient capabilities");
	for (int cap = 0; cap <= CAP_LAST_CAP; cap++) {
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0 && errno != EINVAL)
			give_up("dropping capability %d from the bounding set", cap);
	}
}

static void drop_capabilities(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[2] = {0};

	must((int)syscall(SYS_capset, &header, none), "dropping capabilities");
}

static int new_tmpfs(const char *size, uint64_t attributes)
{
	CLEAN_FD int fs = fsopen("tmpfs", FSOPEN_CLOEXEC);
	int fd;

	must(fs, "fsopen tmpfs");
	must(fsconfig(fs, FSCONFIG_SET_STRING, "mode", "0755", 0), "tmpfs mode");
	must(fsconfig(fs, FSCONFIG_SET_STRING, "size", size, 0), "tmpfs size");
	must(fsconfig(fs, FSCONFIG_SET_STRING, "nr_inodes", TMP_FILES_MAX, 0), "tmpfs nr_inodes");
	must(fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0), "tmpfs");
	fd = fsmount(fs, FSMOUNT_CLOEXEC, (unsigned)attributes);
	must(fd, "fsmount tmpfs");
	return fd;
}

/* Makes the mount `root`, which is attached somewhere, the root of this process and its mount namespace, and
 * lets go of the one before. */
static void change_root(int root)
{
	must(fchdir(root), "fchdir to the root");
	must((int)syscall(SYS_pivot_root, ".", "."), "pivot_root");
	must(umount2(".", MNT_DETACH), "unmounting the old root");
	must(chdir("/"), "chdir /");
}

static void make_devices(const int host[])
{
	struct mount_attr read_only = {.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC};
	CLEAN_FD int dev = -1;

	must(mkdir("/dev", 0755), "mkdir /dev");
	dev = new_tmpfs("64k", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
	must(move_mount(dev, "", AT_FDCWD, "/dev", MOVE_MOUNT_F_EMPTY_PATH), "mounting /dev");
	for (size_t i = 0; i < ARRAY_LEN(device); i++) {
		CLEAN_FD int file = openat(dev, device[i], O_CREAT | O_WRONLY | O_CLOEXEC, 0666);

		must(file, "making /dev/%s", device[i]);
		must(move_mount(host[i], "", dev, device[i], MOVE_MOUNT_F_EMPTY_PATH), "mounting /dev/%s",
			device[i]);
		close(host[i]);
	}
	must(mount_setattr(dev, "", AT_EMPTY_PATH, &read_only, sizeof(read_only)), "/dev read-only");
}

/* A root of our own in memory. What was mounted before is let go of: from here on the cell can reach only
 * what it is sent. */
static void leave_host(void)
{
	int host[ARRAY_LEN(device)];
	CLEAN_FD int base = -1;

	must(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), "making mounts private");
	for (size_t i = 0; i < ARRAY_LEN(device); i++) {
		char path[32];

		snprintf(path, sizeof(path), "/dev/%s", device[i]);
		host[i] = open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
		must(host[i], "%s", path);
	}
	base = new_tmpfs("64k", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
	must(move_mount(base, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH), "mounting the base");
	change_root(base);
	make_devices(host);
	must(mkdir("/root", 0755), "mkdir /root");
}

/* The launcher protects itself from the kernel's killing for memory; a stage is first in line. */
static void be_killable(void)
{
	CLEAN_FD int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, "500", 3) < 0)
		give_up("/proc/self/oom_score_adj");
}

/* ---- Becoming the stage -------------------------------------------------------------------------------- */

static void limit(int resource, const char *name, rlim_t value)
{
	struct rlimit l = {.rlim_cur = value, .rlim_max = value};

	must(setrlimit(resource, &l), "limit of %s", name);
}

static void set_limits(const struct launch_limits *l)
{
	limit(RLIMIT_FSIZE, "file size", l->file_bytes);
	limit(RLIMIT_CORE, "core files", 0);
	limit(RLIMIT_NOFILE, "descriptors", STAGE_FILES_MAX);
	limit(RLIMIT_MEMLOCK, "locked memory", 65536);
	limit(RLIMIT_MSGQUEUE, "message queues", 0);
	limit(RLIMIT_NICE, "nice", 0);
	limit(RLIMIT_RTPRIO, "real-time priority", 0);
}

/* Attaches a mount to a folder of the image, which is hostile: no link is followed on the way. */
static void attach(int mount, int root, const char *name)
{
	struct open_how how = {
		.flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
		.resolve = RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH | RESOLVE_NO_XDEV,
	};
	CLEAN_FD int at = (int)syscall(SYS_openat2, root, name, &how, sizeof(how));

	must(at, "the image has no folder /%s", name);
	must(move_mount(mount, "", at, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH), "mounting /%s",
		name);
}

static void enter_root(struct msg *m, const struct launch_limits *l)
{
	int root = m->fds[LAUNCH_FD_ROOTFS];
	uint64_t tmp_bytes = l->tmp_bytes ? l->tmp_bytes : l->memory_bytes / 2;
	CLEAN_FD int tmp = -1;
	CLEAN_FD int dev = -1;
	char size[32];

	if (tmp_bytes < TMP_BYTES_MIN)
		tmp_bytes = TMP_BYTES_MIN;
	snprintf(size, sizeof(size), "%llu", (unsigned long long)tmp_bytes);
	tmp = new_tmpfs(size, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
	dev = open("/dev", O_PATH | O_DIRECTORY | O_CLOEXEC);
	must(dev, "/dev");
	must(move_mount(root, "", AT_FDCWD, "/root", MOVE_MOUNT_F_EMPTY_PATH), "mounting the image's root");
	attach(m->fds[LAUNCH_FD_IN], root, "in");
	attach(m->fds[LAUNCH_FD_OUT], root, "out");
	attach(tmp, root, "tmp");
	attach(dev, root, "dev");
	change_root(root);
}

static void connect_log(int log)
{
	CLEAN_FD int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	must(null, "/dev/null");
	must(dup2(null, STDIN_FILENO), "standard input");
	must(dup2(log, STDOUT_FILENO), "standard output");
	must(dup2(log, STDERR_FILENO), "standard error");
}

static void set_filter(const struct sock_fprog *filter)
{
	must((int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, filter), "seccomp");
}

static _Noreturn void become_stage(const struct sock_fprog *filter)
{
	static struct msg m;
	static struct launch_order order;
	int err;

	be_killable(); /* still as root outside, who may */
	become_nobody();
	leave_host();
	must(setsid(), "setsid");
	if (write(CELL_SOCKET, (char[]){CELL_READY}, 1) < 0)
		_exit(121);
	err = msg_recv(CELL_SOCKET, &m);
	if (err <= 0)
		_exit(122); /* the launcher does not need this cell */
	errno = 0;
	if (m.type != LAUNCH_MSG_START || m.n_fds != LAUNCH_ORDER_FDS ||
		launch_order_read(&m.body, &order) < 0)
		give_up("not a start message");
	enter_root(&m, &order.limits);
	connect_log(m.fds[LAUNCH_FD_LOG]);
	set_limits(&order.limits);
	/* All but the log goes with exec; the socket is needed until then. */
	must((int)syscall(SYS_close_range, CELL_SOCKET, ~0U, 4 /* CLOSE_RANGE_CLOEXEC */), "close_range");
	drop_capabilities();
	set_filter(filter);
	execve(order.argv[0], order.argv, order.env);
	give_up("%s", order.argv[0]);
}

/* ---- Init ---------------------------------------------------------------------------------------------- */

/* Waits for a child to end, or for the launcher's end of the socket to close. */
static void wait_for_child(int signals)
{
	struct pollfd p[2] = {
		{.fd = CELL_SOCKET}, /* no events: only hang-ups are told */
		{.fd = signals, .events = POLLIN},
	};
	struct signalfd_siginfo info;

	if (poll(p, ARRAY_LEN(p), -1) < 0)
		return;
	if (p[0].revents)
		_exit(122);
	if (p[1].revents)
		(void)!read(signals, &info, sizeof(info));
}

static _Noreturn void reap_until_end(pid_t stage, int signals)
{
	char word[1 + sizeof(struct cell_end)] = {CELL_ENDED};
	struct cell_end end = {0};
	struct rusage used;
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) != stage) {
		if (pid < 0 && errno != EINTR)
			_exit(123); /* no stage: cannot be */
		if (pid == 0)
			wait_for_child(signals);
	}
	end.status = status;
	/* What it left running ends with it, before anybody hears of the end: outputs change no more. */
	(void)kill(-1, SIGKILL);
	do
		pid = waitpid(-1, &status, 0);
	while (pid > 0 || errno == EINTR);
	/* The kernel counts what dirties the page cache as written, in blocks of 512 bytes (getrusage(2)). */
	if (getrusage(RUSAGE_CHILDREN, &used) == 0) {
		end.read_bytes = (uint64_t)used.ru_inblock * 512;
		end.written_bytes = (uint64_t)used.ru_oublock * 512;
	}
	memcpy(word + 1, &end, sizeof(end));
	if (write(CELL_SOCKET, word, sizeof(word)) < 0)
		_exit(121);
	_exit(0);
}

_Noreturn void cell_main(int sock, const struct sock_fprog *filter)
{
	sigset_t child;
	pid_t stage;
	int signals;
	char go;

	if (dup2(sock, CELL_SOCKET) < 0)
		_exit(121);
	must((int)syscall(SYS_close_range, CELL_SOCKET + 1, ~0U, 0), "close_range");
	must((int)syscall(SYS_close_range, 0, CELL_SOCKET - 1, 0), "close_range");
	for (int i = 0; i < CELL_SOCKET; i++)
		must(open("/dev/null", O_RDWR), "/dev/null");
	forget_signals();
	(void)prctl(PR_SET_NAME, "perigee-cell", 0, 0, 0);
	/* In its groups and with its ids mapped when this comes. */
	if (read(CELL_SOCKET, &go, 1) != 1)
		_exit(122);
	must(unshare(CLONE_NEWCGROUP), "unshare the control group namespace");
	stage = fork();
	must(stage, "fork");
	if (stage == 0)
		become_stage(filter);
	become_nobody();
	drop_capabilities();
	/* After the last change of ids, which would clear it. A launcher that died before shows as the end of
	 * the socket. */
	must(prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0), "death signal");
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	must(sigprocmask(SIG_BLOCK, &child, NULL), "sigprocmask");
	signals = signalfd(-1, &child, SFD_CLOEXEC);
	must(signals, "signalfd");
	set_filter(filter);
	reap_until_end(stage, signals);
}
