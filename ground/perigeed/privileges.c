/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

#include "core/confine.h"
#include "core/log.h"
#include "core/program.h"
#include "perigeed.h"

static int find_helper(const char *folder, const char *name, char *ret_path)
{
	int r = program_find(folder, name, ret_path);

	if (r < 0)
		log_error("%s is neither beside perigeed nor in ../%s: %s", name, folder, err_text(r));
	return r;
}

/* Who the supervisor is to be: the mission's user; else, started through sudo, whoever called it, so that it
 * may use that user's folders (root without capabilities may not) and what it leaves there is the user's.
 * NULL: as it was started. */
static int find_user(const struct mission *m, const struct passwd **ret)
{
	const char *uid = getenv("SUDO_UID");
	char *end;

	*ret = NULL;
	if (m->run_as[0]) {
		*ret = getpwnam(m->run_as);
		if (!*ret)
			log_error("%s: run-as: there is no user %s on this machine", m->path, m->run_as);
		return *ret ? 0 : -EINVAL;
	}
	if (getuid() != 0 || !uid || !*uid)
		return 0;
	unsigned long v = strtoul(uid, &end, 10);
	if (!*end && v > 0 && v < UINT32_MAX)
		*ret = getpwuid((uid_t)v);
	return 0;
}

int start_privileged(struct perigeed *d)
{
	char path[PATH_MAX];
	const struct mission *m = d->mission;
	const struct passwd *user;

	int r = find_user(m, &user);
	if (r == 0)
		r = find_helper("sandbox", "perigee-launcher", path);
	if (r == 0)
		r = launcher_create(&d->loop, path, &launcher_callbacks, d, &d->launcher);
	if (r == 0 && m->policy) {
		r = find_helper("broker", "perigee-broker", path);
		if (r == 0)
			r = broker_client_create(&d->loop, path, m->policy, &broker_callbacks, d, &d->broker);
	}
	if (r == 0 && m->unikernels.on)
		r = prepare_unikernels(d);
	if (r == 0 && m->downlink.on) {
		r = ground_key_load(m->downlink.key, &d->key);
		if (r < 0)
			log_error("downlink key %s: %s", m->downlink.key, err_text(r));
	}
	if (r == 0 && user && getuid() == 0 && chown(d->state, user->pw_uid, user->pw_gid) < 0)
		r = -errno;
	if (r < 0)
		return r;
	if (!user && getuid() == 0 && !d->o->run)
		log_warning("%s has no run-as: the supervisor stays user 0, without capabilities", m->path);
	/* The folder stays with the user that it was made for; a later start as another user is told so by
	 * SQLite. */
	return confine_user(user && getuid() == 0 ? user->pw_uid : getuid(),
		user && getuid() == 0 ? user->pw_gid : getgid());
}

int confine(struct perigeed *d)
{
	/* What one event loop with SQLite, worker threads and UDP has a reason to call. */
	static const char *const calls[] = {"read", "write", "readv", "writev", "pread64", "pwrite64",
		"preadv", "pwritev", "open", "openat", "close", "close_range", "lseek", "stat", "fstat",
		"lstat", "newfstatat", "statx", "access", "faccessat", "faccessat2", "readlink", "readlinkat",
		"fcntl", "flock", "fsync", "fdatasync", "ftruncate", "truncate", "fallocate", "rename",
		"renameat", "renameat2", "link", "linkat", "unlink", "unlinkat", "mkdir", "mkdirat", "rmdir",
		"chmod", "fchmod", "fchmodat", "utimensat", "getdents64", "dup", "dup2", "dup3", "pipe2",
		"eventfd2", "epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait", "poll", "ppoll",
		"mmap", "munmap", "mremap", "mprotect", "madvise", "brk", "futex", "clone", "clone3",
		"set_robust_list", "rseq", "sched_yield", "sched_getaffinity", "prctl", "getrandom",
		"clock_gettime", "clock_nanosleep", "nanosleep", "gettimeofday", "time", "socket",
		"socketpair", "bind", "listen", "accept4", "connect", "getsockname", "getsockopt",
		"setsockopt", "sendto", "sendmsg", "sendmmsg", "recvfrom", "recvmsg", "recvmmsg", "shutdown",
		"ioctl", "getpid", "gettid", "getppid", "getuid", "geteuid", "getgid", "getegid", "kill",
		"tgkill", "wait4", "waitid", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack",
		"restart_syscall", "exit", "exit_group", "sysinfo", "uname", "getrusage", "fchown", "umask",
		"fadvise64", "copy_file_range", "statfs", "fstatfs", "pselect6", "membarrier"};
	struct confine_path paths[8 + MISSION_WORKFLOWS_MAX] = {
		{.path = d->state, .write = true},
		{.path = d->mission->images},
		{.path = "/etc/localtime"},
		{.path = "/dev/urandom"},
		{.path = "/dev/null", .write = true},
		{.path = "/proc/self"},
	};
	size_t n = 6;
	for (size_t i = 0; i < d->mission->n_workflows; i++)
		paths[n++].path = d->mission->workflows[i];
	int r = confine_paths(paths, n);

	if (r == 0)
		log_warning("this kernel has no Landlock: the supervisor is confined by its user and by "
			    "seccomp alone");
	return r < 0 ? r : confine_syscalls(calls, ARRAY_LEN(calls));
}
