/* SPDX-License-Identifier: Apache-2.0 */
/* The only reader of the system's clocks. */
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>

#include "core/clock.h"
#include "core/err.h"

static _Atomic bool fake;
static _Atomic int64_t fake_mono_ns, fake_utc_ns;

static int64_t read_clock(clockid_t id)
{
	struct timespec ts;

	/* These clocks exist on every Linux, and the pointer is good: failing would be a bug. */
	ensure(clock_gettime(id, &ts) == 0);
	return (int64_t)ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

struct mono_time clock_mono(void)
{
	return (struct mono_time){
		atomic_load(&fake) ? atomic_load(&fake_mono_ns) : read_clock(CLOCK_MONOTONIC)};
}

struct utc_time clock_utc(void)
{
	return (struct utc_time){atomic_load(&fake) ? atomic_load(&fake_utc_ns) : read_clock(CLOCK_REALTIME)};
}

void clock_set_fake(struct mono_time mono, struct utc_time utc)
{
	atomic_store(&fake_mono_ns, mono.ns);
	atomic_store(&fake_utc_ns, utc.ns);
	atomic_store(&fake, true);
}

void clock_real(void)
{
	atomic_store(&fake, false);
}

/* Days since 1970-01-01 of a date in the proleptic Gregorian calendar. Years are counted from March, so that
 * the leap day is a year's last; 400 years are always 146097 days. */
static int64_t days_of(int64_t year, int month, int day)
{
	int64_t y = month <= 2 ? year - 1 : year;
	int64_t era = (y >= 0 ? y : y - 399) / 400;
	int64_t year_of_era = y - era * 400;
	int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
	int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;

	return era * 146097 + day_of_era - 719468;
}

static void date_of(int64_t days, int64_t *ret_year, int *ret_month, int *ret_day)
{
	int64_t z = days + 719468;
	int64_t era = (z >= 0 ? z : z - 146096) / 146097;
	int64_t day_of_era = z - era * 146097;
	int64_t year_of_era =
		(day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
	int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	int64_t month = (5 * day_of_year + 2) / 153; /* 0 is March */

	*ret_day = (int)(day_of_year - (153 * month + 2) / 5 + 1);
	*ret_month = (int)(month < 10 ? month + 3 : month - 9);
	*ret_year = year_of_era + era * 400 + (*ret_month <= 2);
}

void utc_format(struct utc_time t, char ret_text[UTC_TEXT_BYTES])
{
	int64_t s = t.ns / NS_PER_S, ns = t.ns % NS_PER_S;
	if (ns < 0) {
		ns += NS_PER_S;
		s--;
	}
	int64_t days = s / 86400, second = s % 86400;
	if (second < 0) {
		second += 86400;
		days--;
	}
	int64_t year;
	int month, day;
	date_of(days, &year, &month, &day);
	/* int64_t nanoseconds reach from 1677 to 2262: four digits always. */
	char text[80] = {0};
	snprintf(text, sizeof(text), "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", (int)year, month, day,
		(int)(second / 3600), (int)(second / 60 % 60), (int)(second % 60), (int)(ns / NS_PER_MS));
	memcpy(ret_text, text, UTC_TEXT_BYTES - 1);
	ret_text[UTC_TEXT_BYTES - 1] = '\0';
}

/* Reads exactly n digits; -1 when there are none. */
static int digits(const char **p, int n)
{
	int v = 0;

	for (int i = 0; i < n; i++, (*p)++) {
		if (**p < '0' || **p > '9')
			return -1;
		v = v * 10 + (**p - '0');
	}
	return v;
}

static bool take(const char **p, char c)
{
	if (**p != c)
		return false;
	(*p)++;
	return true;
}

int utc_parse(const char *text, struct utc_time *ret_time)
{
	static const int month_days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	const char *p = text;
	int year, month, day, hour, minute, second;

	if ((year = digits(&p, 4)) < 0 || !take(&p, '-') || (month = digits(&p, 2)) < 1 || !take(&p, '-') ||
		(day = digits(&p, 2)) < 1 || !take(&p, 'T') || (hour = digits(&p, 2)) < 0 || !take(&p, ':') ||
		(minute = digits(&p, 2)) < 0 || !take(&p, ':') || (second = digits(&p, 2)) < 0)
		return ERR_FORMAT;

	int64_t ns = 0;
	if (take(&p, '.')) {
		int64_t unit = NS_PER_S;
		int n = 0;
		for (; *p >= '0' && *p <= '9'; p++, n++) {
			unit /= 10;
			ns += (*p - '0') * unit;
		}
		if (n < 1 || n > 9)
			return ERR_FORMAT;
	}
	if (!take(&p, 'Z') || *p != '\0')
		return ERR_FORMAT;

	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
	/* 1678..2261 are the whole years that int64_t nanoseconds hold. */
	if (year < 1678 || year > 2261 || month > 12 || hour > 23 || minute > 59 || second > 59 ||
		day > month_days[month - 1] + (month == 2 && leap))
		return ERR_FORMAT;
	ret_time->ns =
		(days_of(year, month, day) * 86400 + hour * 3600 + minute * 60 + second) * NS_PER_S + ns;
	return 0;
}
