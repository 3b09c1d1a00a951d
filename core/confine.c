/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Giving up privileges. Landlock works on the calling thread and those it makes later, so all this is called
 * while a process has one thread; that is checked.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <seccomp.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "core/confine.h"

/* ---- user ---- */

static int drop_capabilities(void)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[2], got[2];

	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
		return -errno;
	memset(none, 0, sizeof(none));
	memset(got, 0, sizeof(got));
	if (syscall(SYS_capset, &head, none) < 0)
		return -errno;
	head.version = _LINUX_CAPABILITY_VERSION_3;
	if (syscall(SYS_capget, &head, got) < 0)
		return -errno;
	for (int i = 0; i < 2; i++)
		if (got[i].effective || got[i].permitted || got[i].inheritable)
			return -EPERM;
	return 0;
}

int confine_user(uid_t uid, gid_t gid)
{
	/* The bounding set only root can lower; for whoever is not, no_new_privs does as much. */
	if (geteuid() == 0)
		for (unsigned long cap = 0;; cap++) {
			int has = prctl(PR_CAPBSET_READ, cap, 0, 0, 0);
			if (has < 0) /* beyond the last */
				break;
			if (has && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
				return -errno;
		}
	if (uid == 0) {
		/* Still the owner of its files, but without the power over everybody else's. */
		int r = drop_capabilities();
		if (r < 0)
			return r;
	} else {
		uid_t u[3];
		gid_t g[3];

		if (geteuid() == 0 && setgroups(0, NULL) < 0)
			return -errno;
		if (setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
			return -errno;
		int r = drop_capabilities();
		if (r < 0)
			return r;
		if (getresuid(&u[0], &u[1], &u[2]) < 0 || getresgid(&g[0], &g[1], &g[2]) < 0)
			return -errno;
		for (int i = 0; i < 3; i++)
			if (u[i] != uid || g[i] != gid)
				return -EPERM;
		if (setresuid((uid_t)-1, 0, (uid_t)-1) == 0)
			return -EPERM; /* the way back is open */
	}
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? 0 : -EPERM;
}

/* ---- Landlock ---- */

/* Of the kernel's interface, as it is since ABI 5; older headers lack part of it, so all of it is here. */
struct ruleset_attr {
	uint64_t handled_fs;
	uint64_t handled_net;
};

struct path_attr {
	uint64_t allowed;
	int32_t parent_fd;
} __attribute__((packed));

struct port_attr {
	uint64_t allowed;
	uint64_t port;
};

#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_add_rule 445
#define SYS_landlock_restrict_self 446
#endif

#define RULESET_VERSION 1u
#define RULE_PATH_BENEATH 1
#define RULE_NET_PORT 2

#define FS_EXECUTE (UINT64_C(1) << 0)
#define FS_WRITE_FILE (UINT64_C(1) << 1)
#define FS_READ_FILE (UINT64_C(1) << 2)
#define FS_READ_DIR (UINT64_C(1) << 3)
#define FS_REMOVE_DIR (UINT64_C(1) << 4)
#define FS_REMOVE_FILE (UINT64_C(1) << 5)
#define FS_MAKE_DIR (UINT64_C(1) << 7)
#define FS_MAKE_REG (UINT64_C(1) << 8)
#define FS_MAKE_SOCK (UINT64_C(1) << 9)
#define FS_MAKE_FIFO (UINT64_C(1) << 10)
#define FS_MAKE_SYM (UINT64_C(1) << 12)
#define FS_REFER (UINT64_C(1) << 13)     /* since ABI 2 */
#define FS_TRUNCATE (UINT64_C(1) << 14)  /* since ABI 3 */
#define FS_IOCTL_DEV (UINT64_C(1) << 15) /* since ABI 5: ioctl on devices, which is how they are written to  \
					  */

#define FS_READ (FS_READ_FILE | FS_READ_DIR)
#define FS_WRITE                                                                                             \
	(FS_WRITE_FILE | FS_REMOVE_DIR | FS_REMOVE_FILE | FS_MAKE_DIR | FS_MAKE_REG | FS_MAKE_SOCK |         \
		FS_MAKE_FIFO | FS_MAKE_SYM | FS_REFER | FS_TRUNCATE | FS_IOCTL_DEV)
#define FS_OF_A_FILE (FS_EXECUTE | FS_WRITE_FILE | FS_READ_FILE | FS_TRUNCATE | FS_IOCTL_DEV)

#define NET_CONNECT_TCP (UINT64_C(1) << 1)
#define NET_TCP (UINT64_C(3)) /* bind and connect, since ABI 4 */

static int thread_count(void)
{
	DIR *dir = opendir("/proc/self/task");
	int n = 0;

	if (!dir)
		return -errno;
	for (struct dirent *e; (e = readdir(dir));)
		n += e->d_name[0] != '.';
	closedir(dir);
	return n;
}

static int allow_path(int ruleset, uint64_t handled, const struct confine_path *path)
{
	struct stat st;
	CLEAN_FD int fd = open(path->path, O_PATH | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	uint64_t allowed = FS_READ | (path->write ? FS_WRITE : 0) | (path->execute ? FS_EXECUTE : 0);
	if (!S_ISDIR(st.st_mode))
		allowed &= FS_OF_A_FILE;
	struct path_attr attr = {.allowed = allowed & handled, .parent_fd = fd};
	if (syscall(SYS_landlock_add_rule, ruleset, RULE_PATH_BENEATH, &attr, 0) < 0)
		return -errno;
	return 0;
}

static int allow_ports(int ruleset, const uint16_t *ports, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct port_attr attr = {.allowed = NET_CONNECT_TCP, .port = ports[i]};

		if (syscall(SYS_landlock_add_rule, ruleset, RULE_NET_PORT, &attr, 0) < 0)
			return -errno;
	}
	return 0;
}

int confine_paths(const struct confine_path *paths, size_t n)
{
	return confine_paths_and_ports(paths, n, NULL, 0);
}

int confine_paths_and_ports(const struct confine_path *paths, size_t n, const uint16_t *ports, size_t n_ports)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, RULESET_VERSION);

	if (abi < 0)
		return errno == ENOSYS || errno == EOPNOTSUPP ? 0 : -errno;
	/* ABI 1 (Linux 5.13 to 5.18) forbids every rename from one folder to another, which is how an
	 * artifact is kept: there it is as if the kernel had none. */
	if (abi < 2)
		return 0;
	if (thread_count() > 1)
		return ERR_STATE;

	struct ruleset_attr attr = {.handled_fs = (UINT64_C(1) << 14) - 1};
	size_t attr_bytes = sizeof(attr.handled_fs);
	if (abi >= 3)
		attr.handled_fs |= FS_TRUNCATE;
	if (abi >= 5)
		attr.handled_fs |= FS_IOCTL_DEV;
	if (abi >= 4) {
		attr.handled_net = NET_TCP;
		attr_bytes = sizeof(attr);
	}
	CLEAN_FD int ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, attr_bytes, 0);
	if (ruleset < 0)
		return -errno;
	for (size_t i = 0; i < n; i++) {
		int r = allow_path(ruleset, attr.handled_fs, &paths[i]);
		if (r < 0)
			return r;
	}
	if (attr.handled_net) {
		int r = allow_ports(ruleset, ports, n_ports);
		if (r < 0)
			return r;
	}
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	if (syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
		return -errno;
	return 1;
}

/* ---- seccomp ---- */

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif

static const char *const forbidden[] = {
#ifndef SANITIZED /* the leak check at the end traces its own process */
	"ptrace",
#endif
	"process_vm_writev",
	"bpf",
	"perf_event_open",
	"userfaultfd",
	"kexec_load",
	"kexec_file_load",
	"init_module",
	"finit_module",
	"delete_module",
	"add_key",
	"request_key",
	"keyctl",
	"reboot",
	"swapon",
	"swapoff",
	"acct",
	"settimeofday",
	"clock_settime",
	"pivot_root",
};

#ifdef SANITIZED
static const char *const sanitizer_needs[] = {"mmap", "munmap", "mprotect", "mremap", "madvise",
	"sigaltstack", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "readlink", "readlinkat", "open",
	"openat", "read", "write", "close", "fstat", "newfstatat", "lseek", "getdents64", "getpid", "gettid",
	"tgkill", "sched_yield", "sched_getaffinity", "futex", "clone", "wait4", "prctl", "ptrace",
	"process_vm_readv", "getrlimit", "prlimit64", "exit", "exit_group", "brk", "nanosleep",
	"clock_nanosleep", "pipe", "pipe2", "arch_prctl", "set_robust_list", "rseq", "getrandom", "dup",
	"fcntl"};
#endif

static bool is_forbidden(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(forbidden); i++)
		if (strcmp(forbidden[i], name) == 0)
			return true;
	return false;
}

static int add_rules(scmp_filter_ctx ctx, uint32_t action, const char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int number = seccomp_syscall_resolve_name(names[i]);
		if (number < 0) /* unknown here, or of another architecture */
			continue;
		if (action == SCMP_ACT_ALLOW && is_forbidden(names[i]))
			continue;
		int r = seccomp_rule_add(ctx, action, number, 0);
		if (r < 0)
			return r;
	}
	return 0;
}

int confine_syscalls(const char *const *names, size_t n)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	if (!ctx)
		return -ENOMEM;
	int r = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	if (r == 0)
		r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_TSYNC, 1); /* every thread */
	if (r == 0)
		r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* a tree: the list may be long */
	if (r == 0)
		r = add_rules(ctx, SCMP_ACT_KILL_PROCESS, forbidden, ARRAY_LEN(forbidden));
	if (r == 0)
		r = add_rules(ctx, SCMP_ACT_ALLOW, names, n);
#ifdef SANITIZED
	if (r == 0)
		r = add_rules(ctx, SCMP_ACT_ALLOW, sanitizer_needs, ARRAY_LEN(sanitizer_needs));
#endif
	if (r == 0)
		r = seccomp_load(ctx);
	seccomp_release(ctx);
	return r;
}
