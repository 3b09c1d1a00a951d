/* SPDX-License-Identifier: Apache-2.0 */
/* Which system calls there are. What is missing answers ENOSYS, and the log names it once. */
#include "syscall.h"

#include "syscall-names.h"

#define NUMBERS 512

static syscall_fn *const table[NUMBERS] = {
	[0] = sys_read,
	[1] = sys_write,
	[2] = sys_open,
	[3] = sys_close,
	[4] = sys_stat,
	[5] = sys_fstat,
	[6] = sys_stat, /* lstat: there are no links */
	[7] = sys_poll,
	[8] = sys_lseek,
	[9] = sys_mmap,
	[10] = sys_mprotect,
	[11] = sys_munmap,
	[12] = sys_brk,
	[13] = sys_rt_sigaction,
	[14] = sys_rt_sigprocmask,
	[16] = sys_ioctl,
	[17] = sys_pread64,
	[18] = sys_pwrite64,
	[19] = sys_readv,
	[20] = sys_writev,
	[21] = sys_access,
	[24] = sys_sched_yield,
	[25] = sys_mremap,
	[26] = sys_msync,
	[27] = sys_mincore,
	[28] = sys_madvise,
	[32] = sys_dup,
	[33] = sys_dup2,
	[35] = sys_nanosleep,
	[39] = sys_getpid,
	[60] = sys_exit,
	[62] = sys_kill,
	[63] = sys_uname,
	[72] = sys_fcntl,
	[73] = sys_nothing, /* flock: nobody else is here */
	[74] = sys_fsync,
	[75] = sys_fsync,
	[76] = sys_truncate,
	[77] = sys_ftruncate,
	[79] = sys_getcwd,
	[80] = sys_chdir,
	[87] = sys_unlink,
	[89] = sys_readlink,
	[95] = sys_umask,
	[96] = sys_gettimeofday,
	[97] = sys_getrlimit,
	[98] = sys_getrusage,
	[99] = sys_sysinfo,
	[100] = sys_times,
	[102] = sys_getuid,
	[104] = sys_getuid,
	[107] = sys_getuid,
	[108] = sys_getuid,
	[110] = sys_getppid,
	[115] = sys_getgroups,
	[131] = sys_sigaltstack,
	[137] = sys_statfs,
	[138] = sys_fstatfs,
	[149] = sys_nothing, /* mlock, munlock: memory stays */
	[150] = sys_nothing,
	[157] = sys_prctl,
	[158] = sys_arch_prctl,
	[186] = sys_gettid,
	[187] = sys_nothing, /* readahead */
	[200] = sys_tkill,
	[201] = sys_time,
	[202] = sys_futex,
	[204] = sys_sched_getaffinity,
	[217] = sys_getdents64,
	[218] = sys_set_tid_address,
	[221] = sys_nothing, /* fadvise64 */
	[228] = sys_clock_gettime,
	[229] = sys_clock_getres,
	[230] = sys_clock_nanosleep,
	[231] = sys_exit,
	[234] = sys_tgkill,
	[257] = sys_openat,
	[262] = sys_newfstatat,
	[263] = sys_unlinkat,
	[267] = sys_readlinkat,
	[269] = sys_faccessat,
	[271] = sys_ppoll,
	[273] = sys_nothing, /* set_robust_list: there is one thread */
	[277] = sys_fsync,   /* sync_file_range */
	[285] = sys_fallocate,
	[292] = sys_dup3,
	[295] = sys_preadv,
	[296] = sys_pwritev,
	[302] = sys_prlimit64,
	[309] = sys_getcpu,
	[318] = sys_getrandom,
	[327] = sys_preadv, /* preadv2, pwritev2: their flags are hints */
	[328] = sys_pwritev,
	[436] = sys_close_range,
	[439] = sys_faccessat,
};

int64_t sys_nothing(const uint64_t a[6])
{
	(void)a;
	return 0;
}

static void name_missing(uint64_t number)
{
	static uint64_t named[NUMBERS / 64 + 1];
	uint64_t slot = MIN(number, (uint64_t)NUMBERS);

	if (named[slot / 64] >> slot % 64 & 1)
		return;
	named[slot / 64] |= 1ull << slot % 64;
	if (number < ARRAY_LEN(syscall_names) && syscall_names[number])
		say("there is no system call %s here", syscall_names[number]);
	else
		say("there is no system call %lu", number);
}

void on_syscall(struct frame *f);
void on_syscall(struct frame *f)
{
	const uint64_t a[6] = {f->rdi, f->rsi, f->rdx, f->r10, f->r8, f->r9};

	if (f->rax < NUMBERS && table[f->rax]) {
		f->rax = (uint64_t)table[f->rax](a);
		return;
	}
	name_missing(f->rax);
	f->rax = -(uint64_t)ENOSYS;
}
