/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <pwd.h>
#include <string.h>

#include "core/confine.h"
#include "core/file.h"
#include "core/log.h"
#include "perigeed.h"

/* A helper lies beside us when installed, in its own folder in a build tree. */
static int find_helper(const char *folder, const char *name, char *ret_path)
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (n < 0)
		return -errno;
	self[n] = '\0';
	*strrchr(self, '/') = '\0';
	int r = path_format(ret_path, PATH_MAX, "%s/%s", self, name);
	if (r == 0 && access(ret_path, X_OK) < 0)
		r = path_format(ret_path, PATH_MAX, "%s/../%s/%s", self, folder, name);
	if (r == 0 && access(ret_path, X_OK) < 0)
		r = -errno;
	if (r < 0)
		log_error("%s is neither beside perigeed nor in ../%s: %s", name, folder, err_text(r));
	return r;
}

int start_privileged(struct perigeed *d)
{
	char path[PATH_MAX];
	const struct mission *m = d->mission;
	struct passwd *user = NULL;

	if (m->run_as[0] && !(user = getpwnam(m->run_as))) {
		log_error("%s: run-as: there is no user %s on this machine", m->path, m->run_as);
		return -EINVAL;
	}
	int r = find_helper("sandbox", "perigee-launcher", path);
	if (r == 0)
		r = launcher_create(&d->loop, path, &launcher_callbacks, d, &d->launcher);
	if (r == 0 && m->policy) {
		r = find_helper("broker", "perigee-broker", path);
		if (r == 0)
			r = broker_client_create(&d->loop, path, m->policy, &broker_callbacks, d, &d->broker);
	}
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
		"fadvise64", "copy_file_range", "pselect6", "membarrier"};
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
