/* SPDX-License-Identifier: Apache-2.0 */
/* Time from the processor's counter: the launcher knows its frequency and what UTC it was. */
#include "guest.h"

#define LOCAL_APIC 0xfee00000ull
#define VECTOR 0x40
#define NS_PER_S 1000000000ull

static uint64_t hz = NS_PER_S, utc_at_boot;

static uint64_t ns_of(uint64_t ticks)
{
	return (uint64_t)((unsigned __int128)ticks * NS_PER_S / hz);
}

/* 128-bit division is not in a freestanding program. */
unsigned __int128 __udivti3(unsigned __int128 a, unsigned __int128 b);
unsigned __int128 __udivti3(unsigned __int128 a, unsigned __int128 b)
{
	uint64_t divisor = (uint64_t)b, high = (uint64_t)(a >> 64), low = (uint64_t)a, rest, quotient;

	ensure(b >> 64 == 0 && divisor != 0);
	rest = high % divisor;
	__asm__("divq %4" : "=a"(quotient), "=d"(rest) : "a"(low), "d"(rest), "r"(divisor));
	return (unsigned __int128)(high / divisor) << 64 | quotient;
}

void time_start(uint64_t utc_ns, uint64_t tsc_hz)
{
	if (tsc_hz < 1000000)
		panic("the order names no frequency of the processor's counter");
	hz = tsc_hz;
	utc_at_boot = utc_ns;
}

uint64_t time_mono_ns(void)
{
	return ns_of(rdtsc() - boot_tsc);
}

uint64_t time_utc_ns(void)
{
	return utc_at_boot + time_mono_ns();
}

void time_wait_ns(uint64_t ns)
{
	volatile uint32_t *local = phys(LOCAL_APIC);
	uint64_t until = time_mono_ns() + ns, now;

	/* The timer of QEMU's interrupt controller counts nanoseconds. */
	local[0x3e0 / 4] = 0xb;
	local[0x320 / 4] = VECTOR;
	while ((now = time_mono_ns()) < until) {
		local[0x380 / 4] = (uint32_t)MIN(until - now, 0xffffffffull);
		__asm__ volatile("sti; hlt; cli" : : : "memory");
	}
	local[0x380 / 4] = 0;
}
