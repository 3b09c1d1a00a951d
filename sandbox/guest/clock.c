/* SPDX-License-Identifier: Apache-2.0 */
/* The system calls on time. */
#include "syscall.h"

#define NS_PER_S 1000000000ull

static int64_t give_time(uint64_t to, uint64_t ns, uint64_t unit)
{
	uint64_t t[2] = {ns / NS_PER_S, ns % NS_PER_S / unit};

	return to ? copy_out(to, t, sizeof(t)) : 0;
}

static bool is_utc(uint64_t clock)
{
	return clock == 0 || clock == 5 || clock == 8 || clock == 11;
}

int64_t sys_clock_gettime(const uint64_t a[6])
{
	if ((uint32_t)a[0] > 11)
		return -EINVAL;
	return give_time(a[1], is_utc((uint32_t)a[0]) ? time_utc_ns() : time_mono_ns(), 1);
}

int64_t sys_clock_getres(const uint64_t a[6])
{
	return (uint32_t)a[0] > 11 ? -EINVAL : give_time(a[1], 1, 1);
}

int64_t sys_gettimeofday(const uint64_t a[6])
{
	return give_time(a[0], time_utc_ns(), 1000);
}

int64_t sys_time(const uint64_t a[6])
{
	uint64_t s = time_utc_ns() / NS_PER_S;

	return a[0] && copy_out(a[0], &s, sizeof(s)) < 0 ? -EFAULT : (int64_t)s;
}

static int64_t wait(uint64_t at, bool until, bool utc)
{
	uint64_t t[2];

	if (copy_in(t, at, sizeof(t)) < 0)
		return -EFAULT;
	if (t[1] >= NS_PER_S || t[0] > 1ull << 32)
		return -EINVAL;
	uint64_t ns = t[0] * NS_PER_S + t[1], now = utc ? time_utc_ns() : time_mono_ns();
	if (until)
		ns = ns > now ? ns - now : 0;
	time_wait_ns(ns);
	return 0;
}

int64_t sys_nanosleep(const uint64_t a[6])
{
	return wait(a[0], false, false);
}

int64_t sys_clock_nanosleep(const uint64_t a[6])
{
	return (uint32_t)a[0] > 11 ? -EINVAL : wait(a[2], a[1] & 1, is_utc((uint32_t)a[0]));
}
