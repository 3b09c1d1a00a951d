/* SPDX-License-Identifier: Apache-2.0 */
/* The system calls of a process that is alone: one thread, no children, no signals but its own. */
#include "syscall.h"

#define SIGNALS 65
#define OWN_ID 1

static struct action {
	uint64_t handler, flags, restorer, mask;
} actions[SIGNALS];
static uint64_t blocked, pending; /* a bit a signal, from 1 */

int64_t sys_exit(const uint64_t a[6])
{
	end_exited((int)(a[0] & 255));
}

int64_t sys_arch_prctl(const uint64_t a[6])
{
	if (a[1] >= USER_END && (a[0] == 0x1002 || a[0] == 0x1001))
		return -EPERM;
	switch (a[0]) {
	case 0x1001: /* ARCH_SET_GS */
		wrmsr(0xc0000101, a[1]);
		return 0;
	case 0x1002: /* ARCH_SET_FS */
		wrmsr(0xc0000100, a[1]);
		return 0;
	case 0x1003: { /* ARCH_GET_FS */
		uint64_t v = rdmsr(0xc0000100);
		return copy_out(a[1], &v, sizeof(v));
	}
	default:
		return -EINVAL;
	}
}

int64_t sys_getpid(const uint64_t a[6])
{
	(void)a;
	return OWN_ID;
}

int64_t sys_gettid(const uint64_t a[6])
{
	(void)a;
	return OWN_ID;
}

int64_t sys_set_tid_address(const uint64_t a[6])
{
	(void)a;
	return OWN_ID;
}

int64_t sys_getppid(const uint64_t a[6])
{
	(void)a;
	return 0;
}

int64_t sys_getuid(const uint64_t a[6])
{
	(void)a;
	return 1000;
}

int64_t sys_getgroups(const uint64_t a[6])
{
	(void)a;
	return 0;
}

int64_t sys_umask(const uint64_t a[6])
{
	(void)a;
	return 022;
}

/* ---- signals ---- */

/* What is not ignored or held back ends the stage: handlers are not called (the log says so). */
static int64_t raise_signal(uint64_t number)
{
	char why[64];

	if (number >= SIGNALS)
		return -EINVAL;
	if (number == 0 || actions[number].handler == 1 || number == 17 || number == 18 || number == 23 ||
		number == 28)
		return 0;
	if (blocked >> (number - 1) & 1 && number != 9) {
		pending |= 1ull << (number - 1);
		return 0;
	}
	if (actions[number].handler)
		say("signal %lu: its handler is not called in this runtime", number);
	format(why, sizeof(why), "raised by itself");
	end_signalled((int)number, why);
}

int64_t sys_kill(const uint64_t a[6])
{
	int32_t pid = (int32_t)a[0];

	return pid == OWN_ID || pid == 0 || pid == -1 ? raise_signal(a[1]) : -ESRCH;
}

int64_t sys_tkill(const uint64_t a[6])
{
	return (int32_t)a[0] == OWN_ID ? raise_signal(a[1]) : -ESRCH;
}

int64_t sys_tgkill(const uint64_t a[6])
{
	return (int32_t)a[0] == OWN_ID && (int32_t)a[1] == OWN_ID ? raise_signal(a[2]) : -ESRCH;
}

int64_t sys_rt_sigaction(const uint64_t a[6])
{
	if (a[0] == 0 || a[0] >= SIGNALS || a[3] != 8)
		return -EINVAL;
	struct action was = actions[a[0]];
	if (a[1] && (a[0] == 9 || a[0] == 19))
		return -EINVAL;
	if (a[1] && copy_in(&actions[a[0]], a[1], sizeof(was)) < 0)
		return -EFAULT;
	return a[2] ? copy_out(a[2], &was, sizeof(was)) : 0;
}

int64_t sys_rt_sigprocmask(const uint64_t a[6])
{
	uint64_t was = blocked, set;

	if (a[3] != 8)
		return -EINVAL;
	if (a[1]) {
		if (copy_in(&set, a[1], sizeof(set)) < 0)
			return -EFAULT;
		if (a[0] > 2)
			return -EINVAL;
		blocked = a[0] == 0 ? blocked | set : a[0] == 1 ? blocked & ~set : set;
	}
	while (pending & ~blocked) {
		int bit = __builtin_ctzll(pending & ~blocked);
		pending &= ~(1ull << bit);
		raise_signal((uint64_t)bit + 1);
	}
	return a[2] ? copy_out(a[2], &was, sizeof(was)) : 0;
}

int64_t sys_sigaltstack(const uint64_t a[6])
{
	const uint64_t none[3] = {0, 2, 0}; /* SS_DISABLE */

	return a[1] ? copy_out(a[1], none, sizeof(none)) : 0;
}

/* ---- what it may ask ---- */

int64_t sys_uname(const uint64_t a[6])
{
	static const char texts[6][65] = {"Linux", "stage", "5.10.0-perigee", "perigee guest", "x86_64", ""};

	return copy_out(a[0], texts, sizeof(texts));
}

int64_t sys_getrandom(const uint64_t a[6])
{
	uint8_t bytes[256];

	for (uint64_t done = 0; done < a[1];) {
		size_t part = MIN(a[1] - done, sizeof(bytes));
		random_fill(bytes, part);
		if (copy_out(a[0] + done, bytes, part) < 0)
			return done ? (int64_t)done : -EFAULT;
		done += part;
	}
	return (int64_t)a[1];
}

static int64_t give_limit(uint64_t which, uint64_t to)
{
	uint64_t limit[2] = {UINT64_MAX, UINT64_MAX};

	if (which > 15)
		return -EINVAL;
	if (which == 3) /* the stack */
		limit[0] = limit[1] = 8ull << 20;
	if (which == 4) /* core dumps */
		limit[0] = limit[1] = 0;
	if (which == 7) /* descriptors */
		limit[0] = limit[1] = 256;
	return copy_out(to, limit, sizeof(limit));
}

int64_t sys_getrlimit(const uint64_t a[6])
{
	return give_limit(a[0], a[1]);
}

int64_t sys_prlimit64(const uint64_t a[6])
{
	if (a[2])
		return -EPERM;
	return a[3] ? give_limit(a[1], a[3]) : 0;
}

int64_t sys_prctl(const uint64_t a[6])
{
	return a[0] == 15 || a[0] == 0x53564d41 ? 0 : -EINVAL; /* names of threads and mappings */
}

int64_t sys_sched_yield(const uint64_t a[6])
{
	(void)a;
	return 0;
}

int64_t sys_sched_getaffinity(const uint64_t a[6])
{
	uint64_t one = 1;

	if (a[1] < 8)
		return -EINVAL;
	return copy_out(a[2], &one, sizeof(one)) < 0 ? -EFAULT : 8;
}

int64_t sys_getcpu(const uint64_t a[6])
{
	uint32_t zero = 0;

	if ((a[0] && copy_out(a[0], &zero, 4) < 0) || (a[1] && copy_out(a[1], &zero, 4) < 0))
		return -EFAULT;
	return 0;
}

int64_t sys_sysinfo(const uint64_t a[6])
{
	struct {
		int64_t uptime;
		uint64_t loads[3], total, free, shared, buffers, swap, swap_free;
		uint16_t processes, spare;
		uint64_t high, high_free;
		uint32_t unit;
		char spare2[4];
	} s = {.uptime = (int64_t)(time_mono_ns() / 1000000000),
		.total = (pages_used_most() + pages_free()) * PAGE,
		.free = pages_free() * PAGE,
		.processes = 1,
		.unit = 1};

	return copy_out(a[0], &s, sizeof(s));
}

/* One thread: nobody else will ever wake it. */
int64_t sys_futex(const uint64_t a[6])
{
	uint32_t value;
	uint64_t ts[2];

	if ((a[1] & 127) == 1 || (a[1] & 127) == 10)
		return 0; /* wake: nobody waits */
	if ((a[1] & 127) != 0 && (a[1] & 127) != 9)
		return -ENOSYS;
	if (copy_in(&value, a[0], 4) < 0)
		return -EFAULT;
	if (value != (uint32_t)a[2])
		return -EAGAIN;
	if (!a[3])
		end_signalled(6, "it waits for a lock that nobody holds but itself");
	if (copy_in(ts, a[3], sizeof(ts)) < 0)
		return -EFAULT;
	time_wait_ns(ts[0] * 1000000000ull + ts[1]);
	return -ETIMEDOUT;
}

int64_t sys_getrusage(const uint64_t a[6])
{
	uint64_t use[18] = {0}, ns = time_mono_ns();

	use[0] = ns / 1000000000;
	use[1] = ns % 1000000000 / 1000;
	use[4] = pages_used_most() * PAGE / 1024;
	return copy_out(a[1], use, sizeof(use));
}

int64_t sys_times(const uint64_t a[6])
{
	uint64_t ticks = time_mono_ns() / 10000000, t[4] = {ticks, 0, 0, 0};

	if (a[0] && copy_out(a[0], t, sizeof(t)) < 0)
		return -EFAULT;
	return (int64_t)ticks;
}
