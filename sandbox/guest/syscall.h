/* SPDX-License-Identifier: Apache-2.0 */
/* What system calls are made of: each takes Linux's six arguments and answers as Linux would. */
#ifndef GUEST_SYSCALL_H
#define GUEST_SYSCALL_H

#include "guest.h"

typedef int64_t syscall_fn(const uint64_t a[6]);

/* descriptors.c */
void descriptors_start(void);
syscall_fn sys_read, sys_write, sys_readv, sys_writev, sys_pread64, sys_pwrite64, sys_preadv, sys_pwritev,
	sys_open, sys_openat, sys_close, sys_lseek, sys_dup, sys_dup2, sys_dup3, sys_fcntl, sys_ioctl,
	sys_ftruncate, sys_truncate, sys_fallocate, sys_fsync, sys_getdents64, sys_unlink, sys_unlinkat,
	sys_close_range, sys_poll, sys_ppoll;
struct open_file *descriptor_file(uint64_t fd); /* NULL: there is none */
/* stat.c */
syscall_fn sys_stat, sys_fstat, sys_newfstatat, sys_access, sys_faccessat, sys_readlink, sys_readlinkat,
	sys_getcwd, sys_chdir, sys_statfs, sys_fstatfs;
/* memory.c */
syscall_fn sys_mmap, sys_munmap, sys_mprotect, sys_mremap, sys_madvise, sys_brk, sys_msync, sys_mincore;
/* process.c */
syscall_fn sys_exit, sys_arch_prctl, sys_set_tid_address, sys_getpid, sys_gettid, sys_getppid, sys_getuid,
	sys_kill, sys_tkill, sys_tgkill, sys_rt_sigaction, sys_rt_sigprocmask, sys_sigaltstack, sys_uname,
	sys_getrandom, sys_prlimit64, sys_getrlimit, sys_prctl, sys_sched_yield, sys_sched_getaffinity,
	sys_sysinfo, sys_futex, sys_nothing, sys_getrusage, sys_times, sys_getcpu, sys_getgroups, sys_umask;
/* clock.c */
syscall_fn sys_clock_gettime, sys_clock_getres, sys_gettimeofday, sys_time, sys_nanosleep,
	sys_clock_nanosleep;

#endif
