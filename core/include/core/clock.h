/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one clock. Monotonic time and UTC are different types, so that a timeout cannot be computed
 * from a clock that an operator may step. Only clock.c reads the system's clocks.
 */
#ifndef CORE_CLOCK_H
#define CORE_CLOCK_H

#include <stdint.h>

#include "core/macro.h"

#define NS_PER_MS INT64_C(1000000)
#define NS_PER_S INT64_C(1000000000)

struct mono_time {
	int64_t ns; /* nanoseconds since an arbitrary start; never steps */
};

struct utc_time {
	int64_t ns; /* nanoseconds since 1970-01-01T00:00:00Z, leap seconds not counted (POSIX) */
};

struct mono_time clock_mono(void);
struct utc_time clock_utc(void);

/* Tests: from now on the clock stands at these values until it is set again; clock_real() ends it. */
void clock_set_fake(struct mono_time mono, struct utc_time utc);
void clock_real(void);

#define UTC_TEXT_BYTES 32
/* ISO 8601 with milliseconds, "2026-11-25T10:00:00.123Z" (CCSDS 301.0-B ASCII code A). */
void utc_format(struct utc_time t, char ret_text[UTC_TEXT_BYTES]);
/* ERR_FORMAT when it is not such a text. Fractions of up to nine digits are taken. */
WARN_UNUSED int utc_parse(const char *text, struct utc_time *ret_time);

#endif
