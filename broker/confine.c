/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the broker gives up. It needs the network to reach device servers, or the files of the kernel's IIO
 * and USB devices; each only when a device of its policy is reached that way. The files that frames go into
 * are lent to it open.
 */
#include <errno.h>
#include <string.h>
#include <sys/prctl.h>

#include "core/confine.h"
#include "core/log.h"
#include "serve.h"

/* A user id that nothing else has: between the ranges that distributions and systemd give out. */
#define BROKER_UID 61100

static const char *const worker_calls[] = {
	/* memory, time, ending */
	"brk",
	"mmap",
	"munmap",
	"mremap",
	"mprotect",
	"madvise",
	"futex",
	"clock_gettime",
	"clock_nanosleep",
	"gettimeofday",
	"nanosleep",
	"getrandom",
	"exit",
	"exit_group",
	"rt_sigaction",
	"rt_sigprocmask",
	"rt_sigreturn",
	"sigaltstack",
	"restart_syscall",
	"getpid",
	"gettid",
	"tgkill",
	"sched_yield",
	"sched_getaffinity",
	"prlimit64",
	"sysinfo",
	"uname",
	"rseq",
	"set_robust_list",
	"set_tid_address",
	/* descriptors: the socket to the broker, the lent files, the cancel event */
	"read",
	"readv",
	"pread64",
	"write",
	"writev",
	"pwrite64",
	"lseek",
	"ftruncate",
	"fsync",
	"fstat",
	"newfstatat",
	"close",
	"fcntl",
	"dup",
	"poll",
	"ppoll",
	"eventfd2",
	"sendmsg",
	"recvmsg",
	/* device servers */
	"socket",
	"connect",
	"setsockopt",
	"getsockopt",
	"getsockname",
	"getpeername",
	"sendto",
	"recvfrom",
	"sendmmsg",
	"shutdown",
	/* the kernel's devices, the XML file */
	"open",
	"openat",
	"getdents64",
	"readlink",
	"readlinkat",
	"access",
	"faccessat",
	"faccessat2",
	"stat",
	"lstat",
	"statx",
	"statfs",
	"ioctl",
};
/* libusb has a thread of its own, and listens to the kernel's device events. */
static const char *const usb_calls[] = {"clone", "clone3", "pipe2", "timerfd_create", "timerfd_settime",
	"bind", "epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait"};
static const char *const broker_calls[] = {"clone", "clone3", "vfork", "wait4", "kill", "getppid", "prctl",
	"seccomp", "dup2", "dup3", "close_range", "socketpair", "signalfd4", "capget", "capset"};

static bool has(const struct policy *p, enum device_uri_kind kind)
{
	for (size_t i = 0; i < p->n_devices; i++) {
		if (p->uris[i].kind == kind)
			return true;
	}
	return false;
}

static int limit_user(const struct policy *policy)
{
	bool files =
		has(policy, DEVICE_URI_LOCAL) || has(policy, DEVICE_URI_USB) || has(policy, DEVICE_URI_XML);
	/* The kernel's device files are root's: then the user stays, without the rest of what root may do. */
	bool own = geteuid() == 0 && !files;
	int r = confine_user(own ? BROKER_UID : geteuid(), own ? BROKER_UID : getegid());

	if (r < 0)
		return r;
	/* Neither a supervisor under the same user nor a worker may look into us. */
	return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ? -errno : 0;
}

static int limit_paths(const struct policy *policy)
{
	struct confine_path paths[POLICY_DEVICES_MAX + 8];
	uint16_t ports[POLICY_DEVICES_MAX];
	size_t n = 0, n_ports = 0;

	if (has(policy, DEVICE_URI_LOCAL) || has(policy, DEVICE_URI_USB)) {
		paths[n++] = (struct confine_path){.path = "/sys", .write = true};
		/* Landlock knows no patterns, and /dev/iio:device* come and go. */
		paths[n++] = (struct confine_path){.path = "/dev", .write = true};
		paths[n++] = (struct confine_path){.path = "/run/udev"};
	}
	for (size_t i = 0; i < policy->n_devices; i++) {
		if (policy->uris[i].kind == DEVICE_URI_XML)
			paths[n++] = (struct confine_path){.path = policy->uris[i].path};
		if (policy->uris[i].kind == DEVICE_URI_IP)
			ports[n_ports++] = policy->uris[i].port;
	}
	int r = confine_paths_and_ports(paths, n, ports, n_ports);
	if (r == 0)
		log_info("the kernel has no Landlock: files and ports are limited by user and system calls "
			 "alone");
	return r < 0 ? r : 0;
}

int confine_broker(const struct policy *policy)
{
	const char *calls[ARRAY_LEN(worker_calls) + ARRAY_LEN(usb_calls) + ARRAY_LEN(broker_calls)];
	size_t n = ARRAY_LEN(worker_calls);

	int r = limit_user(policy);
	if (r == 0)
		r = limit_paths(policy);
	if (r < 0)
		return r;
	memcpy(calls, worker_calls, sizeof(worker_calls));
	memcpy(calls + n, broker_calls, sizeof(broker_calls));
	n += ARRAY_LEN(broker_calls);
	if (has(policy, DEVICE_URI_USB)) {
		memcpy(calls + n, usb_calls, sizeof(usb_calls));
		n += ARRAY_LEN(usb_calls);
	}
	return confine_syscalls(calls, n);
}

int confine_worker(const struct device_uri *uri)
{
	const char *calls[ARRAY_LEN(worker_calls) + ARRAY_LEN(usb_calls)];
	size_t n = ARRAY_LEN(worker_calls);

	memcpy(calls, worker_calls, sizeof(worker_calls));
	if (uri->kind == DEVICE_URI_USB) {
		memcpy(calls + n, usb_calls, sizeof(usb_calls));
		n += ARRAY_LEN(usb_calls);
	}
	return confine_syscalls(calls, n);
}
