/* SPDX-License-Identifier: Apache-2.0 */
#include "cron.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define FIELDS 5
#define DAYS_AHEAD (8 * 366) /* over a leap year that a century leaves out */
#define MINUTE_NS (60 * NS_PER_S)
#define MINUTES_A_DAY 1440

struct field {
	const char *name;
	unsigned min, max;
};

static const struct field fields[FIELDS] = {{"minute", 0, 59}, {"hour", 0, 23}, {"day of the month", 1, 31},
	{"month", 1, 12}, {"day of the week", 0, 7}};

static int fail(char *reason, const struct field *f, const char *what)
{
	snprintf(reason, CRON_REASON_BYTES, "%s: expected %s from %u to %u", f->name, what, f->min, f->max);
	return ERR_FORMAT;
}

/* At most three digits: none of the fields has more. */
static bool read_number(const char **at, unsigned *ret)
{
	unsigned v = 0;
	int n = 0;

	for (; isdigit((unsigned char)**at) && n < 3; n++)
		v = v * 10 + (unsigned)(*(*at)++ - '0');
	*ret = v;
	return n > 0 && !isdigit((unsigned char)**at);
}

/* One of a comma's parts: "*", "7", "7-9", any but the single number with "/2" after it. */
static int read_part(const char **at, const struct field *f, uint64_t *bits, char *reason)
{
	unsigned from = f->min, to = f->max, step = 1;
	bool single = false;

	if (**at == '*') {
		(*at)++;
		/* Seven is Sunday once more. */
		to = f->max == 7 ? 6 : f->max;
	} else {
		if (!read_number(at, &from) || from < f->min || from > f->max)
			return fail(reason, f, "a number");
		to = from;
		single = **at != '-';
		if (!single) {
			(*at)++;
			if (!read_number(at, &to) || to < f->min || to > f->max || to < from)
				return fail(reason, f, "a range, the smaller number first,");
		}
	}
	if (**at == '/') {
		(*at)++;
		if (single || !read_number(at, &step) || step == 0 || step > f->max)
			return fail(reason, f, "a step after \"*\" or a range");
	}
	for (unsigned v = from; v <= to; v += step)
		*bits |= UINT64_C(1) << v;
	return 0;
}

static int read_field(const char **at, const struct field *f, uint64_t *ret_bits, bool *ret_any, char *reason)
{
	const char *start = *at;

	*ret_bits = 0;
	for (;;) {
		int r = read_part(at, f, ret_bits, reason);
		if (r < 0)
			return r;
		if (**at != ',')
			break;
		(*at)++;
	}
	*ret_any = *at - start == 1 && *start == '*';
	if (**at && !isspace((unsigned char)**at))
		return fail(reason, f, "numbers, ranges, lists or steps");
	return 0;
}

int cron_parse(const char *text, struct cron *ret_cron, char ret_reason[CRON_REASON_BYTES])
{
	uint64_t bits[FIELDS] = {0};
	bool any[FIELDS];
	const char *at = text;

	for (size_t i = 0; i < FIELDS; i++) {
		while (isspace((unsigned char)*at))
			at++;
		if (!*at) {
			snprintf(ret_reason, CRON_REASON_BYTES,
				"expected five fields (minute hour day-of-month month day-of-week), found "
				"%zu",
				i);
			return ERR_FORMAT;
		}
		int r = read_field(&at, &fields[i], &bits[i], &any[i], ret_reason);
		if (r < 0)
			return r;
	}
	while (isspace((unsigned char)*at))
		at++;
	if (*at) {
		snprintf(ret_reason, CRON_REASON_BYTES, "expected five fields, found more: \"%.40s\"", at);
		return ERR_FORMAT;
	}
	*ret_cron = (struct cron){.minutes = bits[0],
		.hours = (uint32_t)bits[1],
		.days = (uint32_t)bits[2],
		.months = (uint16_t)bits[3],
		.weekdays = (uint8_t)((bits[4] | bits[4] >> 7) & 0x7f),
		.any_day = any[2],
		.any_weekday = any[4]};
	return 0;
}

/* Month and day of a day counted from 1970-01-01, in the Gregorian calendar; years that begin in March have
 * their odd day at the end. */
static void civil(int64_t days, unsigned *ret_month, unsigned *ret_day)
{
	int64_t from_march = days + 719468; /* since 0000-03-01 */
	int64_t era = (from_march >= 0 ? from_march : from_march - 146096) / 146097;
	unsigned in_era = (unsigned)(from_march - era * 146097);
	unsigned year = (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) / 365;
	unsigned in_year = in_era - (365 * year + year / 4 - year / 100);
	unsigned month = (5 * in_year + 2) / 153; /* 0 is March */

	*ret_day = in_year - (153 * month + 2) / 5 + 1;
	*ret_month = month < 10 ? month + 3 : month - 9;
}

static bool day_fits(const struct cron *c, int64_t days)
{
	unsigned month, day;
	int64_t weekday = (days % 7 + 7 + 4) % 7; /* 1970-01-01 was a Thursday */

	civil(days, &month, &day);
	if (!(c->months >> month & 1))
		return false;
	bool by_day = c->days >> day & 1, by_weekday = c->weekdays >> weekday & 1;
	/* POSIX: when both are given, either is enough. */
	if (!c->any_day && !c->any_weekday)
		return by_day || by_weekday;
	return by_day && by_weekday;
}

static int64_t floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

/* 0 when it is later than the clock can say. */
static struct utc_time time_of(int64_t minute)
{
	int64_t ns;

	return (struct utc_time){__builtin_mul_overflow(minute, MINUTE_NS, &ns) ? 0 : ns};
}

struct utc_time cron_next(const struct cron *c, struct utc_time after)
{
	int64_t minute = floor_div(after.ns, MINUTE_NS) + 1;
	int64_t first_day = floor_div(minute, MINUTES_A_DAY);
	unsigned from = (unsigned)(minute - first_day * MINUTES_A_DAY);

	for (int64_t day = first_day; day <= first_day + DAYS_AHEAD; day++, from = 0) {
		if (!day_fits(c, day))
			continue;
		for (unsigned m = from; m < MINUTES_A_DAY; m++)
			if (c->hours >> m / 60 & 1 && c->minutes >> m % 60 & 1)
				return time_of(day * MINUTES_A_DAY + m);
	}
	return (struct utc_time){0};
}
