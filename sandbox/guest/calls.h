/* SPDX-License-Identifier: Apache-2.0 */
/* The system calls that the guest answers: Linux's number on x86-64, and the function. The host reads it too,
 * to say before a flight what a program would miss. */
#ifndef GUEST_CALLS_H
#define GUEST_CALLS_H

#define GUEST_CALLS(X)                                                                                       \
	X(0, sys_read)                                                                                       \
	X(1, sys_write)                                                                                      \
	X(2, sys_open)                                                                                       \
	X(3, sys_close)                                                                                      \
	X(4, sys_stat)                                                                                       \
	X(5, sys_fstat)                                                                                      \
	X(6, sys_stat) /* lstat: there are no links */                                                       \
	X(7, sys_poll)                                                                                       \
	X(8, sys_lseek)                                                                                      \
	X(9, sys_mmap)                                                                                       \
	X(10, sys_mprotect)                                                                                  \
	X(11, sys_munmap)                                                                                    \
	X(12, sys_brk)                                                                                       \
	X(13, sys_rt_sigaction)                                                                              \
	X(14, sys_rt_sigprocmask)                                                                            \
	X(16, sys_ioctl)                                                                                     \
	X(17, sys_pread64)                                                                                   \
	X(18, sys_pwrite64)                                                                                  \
	X(19, sys_readv)                                                                                     \
	X(20, sys_writev)                                                                                    \
	X(21, sys_access)                                                                                    \
	X(24, sys_sched_yield)                                                                               \
	X(25, sys_mremap)                                                                                    \
	X(26, sys_msync)                                                                                     \
	X(27, sys_mincore)                                                                                   \
	X(28, sys_madvise)                                                                                   \
	X(32, sys_dup)                                                                                       \
	X(33, sys_dup2)                                                                                      \
	X(35, sys_nanosleep)                                                                                 \
	X(39, sys_getpid)                                                                                    \
	X(60, sys_exit)                                                                                      \
	X(62, sys_kill)                                                                                      \
	X(63, sys_uname)                                                                                     \
	X(72, sys_fcntl)                                                                                     \
	X(73, sys_nothing) /* flock: nobody else is here */                                                  \
	X(74, sys_fsync)                                                                                     \
	X(75, sys_fsync)                                                                                     \
	X(76, sys_truncate)                                                                                  \
	X(77, sys_ftruncate)                                                                                 \
	X(79, sys_getcwd)                                                                                    \
	X(80, sys_chdir)                                                                                     \
	X(87, sys_unlink)                                                                                    \
	X(89, sys_readlink)                                                                                  \
	X(95, sys_umask)                                                                                     \
	X(96, sys_gettimeofday)                                                                              \
	X(97, sys_getrlimit)                                                                                 \
	X(98, sys_getrusage)                                                                                 \
	X(99, sys_sysinfo)                                                                                   \
	X(100, sys_times)                                                                                    \
	X(102, sys_getuid)                                                                                   \
	X(104, sys_getuid)                                                                                   \
	X(107, sys_getuid)                                                                                   \
	X(108, sys_getuid)                                                                                   \
	X(110, sys_getppid)                                                                                  \
	X(115, sys_getgroups)                                                                                \
	X(131, sys_sigaltstack)                                                                              \
	X(137, sys_statfs)                                                                                   \
	X(138, sys_fstatfs)                                                                                  \
	X(149, sys_nothing) /* mlock, munlock: memory stays */                                               \
	X(150, sys_nothing)                                                                                  \
	X(157, sys_prctl)                                                                                    \
	X(158, sys_arch_prctl)                                                                               \
	X(186, sys_gettid)                                                                                   \
	X(187, sys_nothing) /* readahead */                                                                  \
	X(200, sys_tkill)                                                                                    \
	X(201, sys_time)                                                                                     \
	X(202, sys_futex)                                                                                    \
	X(204, sys_sched_getaffinity)                                                                        \
	X(217, sys_getdents64)                                                                               \
	X(218, sys_set_tid_address)                                                                          \
	X(221, sys_nothing) /* fadvise64 */                                                                  \
	X(228, sys_clock_gettime)                                                                            \
	X(229, sys_clock_getres)                                                                             \
	X(230, sys_clock_nanosleep)                                                                          \
	X(231, sys_exit)                                                                                     \
	X(234, sys_tgkill)                                                                                   \
	X(257, sys_openat)                                                                                   \
	X(262, sys_newfstatat)                                                                               \
	X(263, sys_unlinkat)                                                                                 \
	X(267, sys_readlinkat)                                                                               \
	X(269, sys_faccessat)                                                                                \
	X(271, sys_ppoll)                                                                                    \
	X(273, sys_nothing) /* set_robust_list: there is one thread */                                       \
	X(277, sys_fsync)   /* sync_file_range */                                                            \
	X(285, sys_fallocate)                                                                                \
	X(292, sys_dup3)                                                                                     \
	X(295, sys_preadv)                                                                                   \
	X(296, sys_pwritev)                                                                                  \
	X(302, sys_prlimit64)                                                                                \
	X(309, sys_getcpu)                                                                                   \
	X(318, sys_getrandom)                                                                                \
	X(327, sys_preadv) /* preadv2, pwritev2: their flags are hints */                                    \
	X(328, sys_pwritev)                                                                                  \
	X(436, sys_close_range)                                                                              \
	X(439, sys_faccessat)

#endif
