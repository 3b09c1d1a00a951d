/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table, with a reason for each call: what programs in C, C++, Rust and Go, linked statically, ordinarily
 * do to compute on files. What is not here fails with EPERM: ptrace, process_vm_*, mount and its kin,
 * unshare, setns, keyctl, bpf, perf_event_open, userfaultfd, io_uring, sockets of any family (but a pair),
 * System V IPC, message queues, device nodes, links, owners, modes, the clock, modules, …
 */
#include "stage-syscalls.h"

#include <errno.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#endif
#define TCGETS_ 0x5401 /* what isatty() asks */
#define NEW_NAMESPACES                                                                                       \
	(CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID |        \
		CLONE_NEWNET)

#define CALL(n, reason)                                                                                      \
	{                                                                                                    \
		.number = SYS_##n, .name = #n, .why = reason                                                 \
	}
#define CALL_NO_BITS(n, at, bits, reason)                                                                    \
	{                                                                                                    \
		.number = SYS_##n, .name = #n, .why = reason, .check = STAGE_NO_BITS, .arg = at,             \
		.n_values = 1, .value = {                                                                    \
			(uint32_t)(bits)                                                                     \
		}                                                                                            \
	}
#define CALL_ONE_OF(n, at, count, reason, ...)                                                               \
	{                                                                                                    \
		.number = SYS_##n, .name = #n, .why = reason, .check = STAGE_ONE_OF, .arg = at,              \
		.n_values = count, .value = {                                                                \
			__VA_ARGS__                                                                          \
		}                                                                                            \
	}
#define CALL_NOT_HERE(n, reason)                                                                             \
	{                                                                                                    \
		.number = SYS_##n, .name = #n, .why = reason, .check = STAGE_NOT_HERE                        \
	}

const struct stage_syscall stage_syscalls[] = {
	CALL(read, "inputs"),
	CALL(write, "outputs, the log"),
	CALL(futex, "locks of threads"),
	CALL(mmap, "memory, inputs mapped"),
	CALL(munmap, "memory"),
	CALL(pread64, "inputs at an offset"),
	CALL(pwrite64, "outputs at an offset"),
	CALL(readv, "stdio of musl"),
	CALL(writev, "stdio of musl"),
	CALL(preadv, "inputs at an offset"),
	CALL(pwritev, "outputs at an offset"),
	CALL(preadv2, "inputs at an offset"),
	CALL(pwritev2, "outputs at an offset"),
	CALL(lseek, "stdio"),
	CALL(close, "files"),
	CALL(openat, "files; what can be opened is decided by the mounts"),
	CALL(brk, "malloc"),
	CALL(mprotect, "malloc, guard pages, relocations made read-only"),
	CALL(mremap, "realloc"),
	CALL(madvise, "malloc gives memory back"),
	CALL(msync, "outputs mapped"),
	CALL(mincore, "Go asks for the page size with it"),
	CALL(mlock, "within RLIMIT_MEMLOCK"),
	CALL(munlock, "the reverse"),
	CALL(membarrier, "thread libraries"),

	/* start and end */
	CALL(execve, "the stage itself; a stage may start programs of its image"),
	CALL(exit, "end of a thread"),
	CALL(exit_group, "end of the program"),
	CALL(set_tid_address, "start of the C library"),
	CALL(set_robust_list, "start of a thread"),
	CALL(get_robust_list, "thread libraries"),
	CALL(rseq, "start of a thread in glibc"),
	CALL(uname, "start of static glibc"),
	CALL(getrandom, "seeds of hash tables, the stack protector"),
	CALL_ONE_OF(prlimit64, 0, 1, "size of the stack, of itself only; it can raise nothing", 0),
	CALL(getrlimit, "size of the stack"),
	CALL_ONE_OF(prctl, 0, 4, "names of threads and mappings", PR_SET_NAME, PR_GET_NAME, PR_SET_VMA,
		PR_SET_TIMERSLACK),
	CALL_NO_BITS(clone, 0, NEW_NAMESPACES, "threads and processes, within the pids limit; no namespaces"),
	CALL_NOT_HERE(clone3, "its flags cannot be looked at: the C library falls back to clone"),
	CALL(wait4, "ends of its children"),
	CALL(waitid, "ends of its children"),
	CALL(restart_syscall, "the kernel itself, after a stop"),

	/* signals, within its own pid namespace */
	CALL(rt_sigaction, "handlers"),
	CALL(rt_sigprocmask, "masks; abort, raise, fork"),
	CALL(rt_sigreturn, "end of a handler"),
	CALL(rt_sigsuspend, "waiting"),
	CALL(rt_sigpending, "waiting"),
	CALL(rt_sigtimedwait, "waiting"),
	CALL(rt_sigqueueinfo, "sigqueue"),
	CALL(rt_tgsigqueueinfo, "pthread_sigqueue"),
	CALL(sigaltstack, "handlers of stack overflow in Rust and Go"),
	CALL(kill, "its own processes: no others can be named"),
	CALL(tkill, "raise in musl"),
	CALL(tgkill, "raise, abort; preemption in Go"),

	/* files: looking */
	CALL(fstat, "sizes"),
	CALL(newfstatat, "sizes"),
	CALL(statx, "sizes"),
	CALL(statfs, "kind of file system"),
	CALL(fstatfs, "kind of file system"),
	CALL(faccessat, "whether a file is there"),
	CALL(faccessat2, "whether a file is there"),
	CALL(getdents64, "listing /in"),
	CALL(readlinkat, "realpath"),
	CALL(getcwd, "realpath"),
	CALL(chdir, "a working folder in /tmp"),
	CALL(fchdir, "a working folder in /tmp"),
	CALL(fcntl, "flags of descriptors"),
	CALL(flock, "locks on its own files"),
	CALL_ONE_OF(ioctl, 1, 5, "isatty, and flags of descriptors", TCGETS_, FIONREAD, FIONBIO, FIOCLEX,
		FIONCLEX),
	CALL(dup, "descriptors"),
	CALL(dup3, "descriptors"),
	CALL(close_range, "descriptors"),

	/* files: changing; only declared outputs and /tmp can be written */
	CALL(ftruncate, "outputs"),
	CALL(truncate, "outputs"),
	CALL(fallocate, "outputs"),
	CALL(fsync, "outputs"),
	CALL(fdatasync, "outputs"),
	CALL(sync_file_range, "outputs"),
	CALL(fadvise64, "reading in order"),
	CALL(readahead, "reading in order"),
	CALL(sendfile, "copying"),
	CALL(copy_file_range, "copying"),
	CALL(splice, "copying"),
	CALL(mkdirat, "folders in /tmp"),
	CALL(unlinkat, "files in /tmp"),
	CALL(renameat, "files in /tmp"),
	CALL(renameat2, "files in /tmp"),
	CALL(umask, "files in /tmp"),

	/* time */
	CALL(clock_gettime, "time, where the vdso has none"),
	CALL(clock_getres, "time"),
	CALL(clock_nanosleep, "waiting"),
	CALL(nanosleep, "waiting"),
	CALL(gettimeofday, "time"),
	CALL(times, "CPU time used"),
	CALL(getrusage, "CPU time used"),
	CALL(getitimer, "timers"),
	CALL(setitimer, "timers"),
	CALL(timer_create, "timers"),
	CALL(timer_settime, "timers"),
	CALL(timer_gettime, "timers"),
	CALL(timer_getoverrun, "timers"),
	CALL(timer_delete, "timers"),
	CALL(timerfd_create, "timers in event loops"),
	CALL(timerfd_settime, "timers in event loops"),
	CALL(timerfd_gettime, "timers in event loops"),

	/* event loops, talk among its own processes and with the broker */
	CALL(pipe2, "pipes"),
	CALL(eventfd2, "event loops"),
	CALL(epoll_create1, "event loops; the run time of Go"),
	CALL(epoll_ctl, "event loops"),
	CALL(epoll_pwait, "event loops"),
	CALL(epoll_pwait2, "event loops"),
	CALL(ppoll, "waiting"),
	CALL(pselect6, "waiting"),
	CALL_ONE_OF(socketpair, 0, 1, "talk between its own processes; no other socket can be made", AF_UNIX),
	CALL(sendto, "a socket pair"),
	CALL(recvfrom, "a socket pair"),
	CALL(sendmsg, "a socket pair"),
	CALL(recvmsg, "a socket pair"),
	CALL(shutdown, "a socket pair"),
	CALL(getsockopt, "a socket pair"),
	CALL(getsockname, "a socket pair"),
	CALL(getpeername, "a socket pair"),

	/* about itself */
	CALL(getpid, "raise"),
	CALL(gettid, "raise"),
	CALL(getppid, "processes"),
	CALL(getpgid, "processes"),
	CALL(getsid, "processes"),
	CALL(setpgid, "processes"),
	CALL(setsid, "processes; it escapes nothing by that"),
	CALL(getuid, "start of the C library"),
	CALL(geteuid, "start of the C library"),
	CALL(getgid, "start of the C library"),
	CALL(getegid, "start of the C library"),
	CALL(getgroups, "programs that ask who they are"),
	CALL(getresuid, "programs that ask who they are"),
	CALL(getresgid, "programs that ask who they are"),
	CALL(getcpu, "where the vdso has none"),
	CALL(sched_yield, "spinning"),
	CALL(sched_getaffinity, "number of CPUs"),
	CALL(sched_setaffinity, "thread pools"),
	CALL(sched_getparam, "pthread attributes"),
	CALL(sched_getscheduler, "pthread attributes"),
	CALL(sysinfo, "amount of memory"),

/* older forms, which only x86_64 has */
#ifdef SYS_arch_prctl
	CALL(arch_prctl, "thread-local storage"),
#endif
#ifdef SYS_open
	CALL(open, "files, in musl"),
	CALL(stat, "sizes, in musl"),
	CALL(lstat, "sizes, in musl"),
	CALL(access, "whether a file is there, in musl"),
	CALL(readlink, "realpath, in musl"),
	CALL(getdents, "listing"),
	CALL(dup2, "descriptors"),
	CALL(pipe, "pipes"),
	CALL(eventfd, "event loops"),
	CALL(epoll_create, "event loops"),
	CALL(epoll_wait, "event loops"),
	CALL(poll, "waiting"),
	CALL(select, "waiting"),
	CALL(pause, "waiting"),
	CALL(alarm, "timers"),
	CALL(time, "time"),
	CALL(fork, "processes, within the pids limit"),
	CALL(vfork, "processes, within the pids limit"),
	CALL(getpgrp, "processes"),
	CALL(mkdir, "folders in /tmp"),
	CALL(rmdir, "folders in /tmp"),
	CALL(unlink, "files in /tmp"),
	CALL(rename, "files in /tmp"),
	CALL(creat, "files in /tmp"),
#endif
};

const size_t stage_syscalls_n = ARRAY_LEN(stage_syscalls);
