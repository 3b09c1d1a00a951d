/* SPDX-License-Identifier: Apache-2.0 */
/* Cron lines (POSIX crontab's five fields), in UTC. */
#ifndef PIPELINES_CRON_H
#define PIPELINES_CRON_H

#include <stdbool.h>
#include <stdint.h>

#include "core/clock.h"
#include "core/err.h"

#define CRON_REASON_BYTES 120

struct cron {
	uint64_t minutes;          /* bits 0..59 */
	uint32_t hours;            /* bits 0..23 */
	uint32_t days;             /* bits 1..31 */
	uint16_t months;           /* bits 1..12 */
	uint8_t weekdays;          /* bits 0..6, 0 is Sunday */
	bool any_day, any_weekday; /* written "*": the other one alone decides (POSIX) */
};

/* "minute hour day-of-month month day-of-week": numbers, ranges, lists, steps. ERR_FORMAT with the reason. */
WARN_UNUSED int cron_parse(const char *text, struct cron *ret_cron, char ret_reason[CRON_REASON_BYTES]);
/* The first instant after `after` that it names; .ns 0: none within eight years (30 February). */
struct utc_time cron_next(const struct cron *c, struct utc_time after);

#endif
