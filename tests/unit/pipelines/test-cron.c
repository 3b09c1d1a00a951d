/* SPDX-License-Identifier: Apache-2.0 */
/* Cron lines: known instants, mistakes, and every next minute of some years against a plain search. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "cron.h"

static const char *next(const char *line, const char *after)
{
	static char text[UTC_TEXT_BYTES];
	char reason[CRON_REASON_BYTES];
	struct utc_time t;
	struct cron c;

	if (cron_parse(line, &c, reason) < 0)
		fail_msg("%s: %s", line, reason);
	assert_int_equal(utc_parse(after, &t), 0);
	t = cron_next(&c, t);
	if (t.ns == 0)
		return "never";
	utc_format(t, text);
	return text;
}

static void test_the_next_instant(void **state)
{
	static const struct {
		const char *line, *after, *next;
	} cases[] = {
		{"* * * * *", "2026-11-25T13:32:00Z", "2026-11-25T13:33"},
		{"* * * * *", "2026-11-25T13:32:59.999Z", "2026-11-25T13:33"},
		{"0 6 * * 1-5", "2026-11-27T06:00:00Z", "2026-11-30T06:00"}, /* Friday, then Monday */
		{"0 6 * * 1-5", "2026-11-27T05:59:59Z", "2026-11-27T06:00"},
		{"0 0 1 1 *", "2026-01-01T00:00:00Z", "2027-01-01T00:00"},
		{"0 0 29 2 *", "2026-01-01T00:00:00Z", "2028-02-29T00:00"},
		{"0 0 29 2 *", "2096-03-01T00:00:00Z", "2104-02-29T00:00"}, /* 2100 has none */
		{"0 0 30 2 *", "2026-01-01T00:00:00Z", "never"},
		{"59 23 31 12 *", "2026-12-31T23:59:00Z", "2027-12-31T23:59"},
		{"*/15 * * * *", "2026-11-25T13:45:00Z", "2026-11-25T14:00"},
		{"10-50/20 3 * * *", "2026-11-25T03:10:00Z", "2026-11-25T03:30"},
		{"5,7 0 * * *", "2026-11-25T00:05:00Z", "2026-11-25T00:07"},
		{"0 0 * * 7", "2026-11-25T00:00:00Z", "2026-11-29T00:00"}, /* seven is Sunday */
		{"0 0 * * 0", "2026-11-25T00:00:00Z", "2026-11-29T00:00"},
		{"0 0 * * 5-7", "2026-11-28T01:00:00Z", "2026-11-29T00:00"},
		/* when day and weekday are both given, either is enough */
		{"0 0 13 * 5", "2026-11-25T00:00:00Z", "2026-11-27T00:00"},
		{"0 0 26 * 5", "2026-11-25T00:00:00Z", "2026-11-26T00:00"},
		{" 0  0\t1 * * ", "2026-11-25T00:00:00Z", "2026-12-01T00:00"},
		{"0 0 * * *", "1969-12-30T12:00:00Z", "1969-12-31T00:00"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const char *found = next(cases[i].line, cases[i].after);
		if (strncmp(found, cases[i].next, strlen(cases[i].next)))
			fail_msg("%s after %s: %s", cases[i].line, cases[i].after, found);
	}
}

static void test_mistakes_say_the_field(void **state)
{
	static const struct {
		const char *line, *why;
	} cases[] = {
		{"", "five fields"},
		{"* * * *", "found 4"},
		{"* * * * * *", "more"},
		{"60 * * * *", "minute: expected a number from 0 to 59"},
		{"* 24 * * *", "hour"},
		{"* * 0 * *", "day of the month"},
		{"* * * 13 *", "month"},
		{"* * * * 8", "day of the week"},
		{"9-3 * * * *", "range"},
		{"5/2 * * * *", "step"},
		{"*/0 * * * *", "step"},
		{"* * * jan *", "month"},
		{"1,,2 * * * *", "minute"},
		{"1x * * * *", "minute"},
		{"99999999999 * * * *", "minute"},
		{"@daily", "minute"},
		{"-1 * * * *", "minute"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char reason[CRON_REASON_BYTES];
		struct cron c;
		assert_int_equal(cron_parse(cases[i].line, &c, reason), ERR_FORMAT);
		if (!strstr(reason, cases[i].why))
			fail_msg("%s: %s", cases[i].line, reason);
	}
}

static bool fits(const struct cron *c, int64_t minute)
{
	time_t t = (time_t)(minute * 60);
	struct tm tm;

	gmtime_r(&t, &tm);
	bool day = c->days >> tm.tm_mday & 1, weekday = c->weekdays >> tm.tm_wday & 1;
	bool both = c->any_day || c->any_weekday ? day && weekday : day || weekday;
	return both && c->minutes >> tm.tm_min & 1 && c->hours >> tm.tm_hour & 1 &&
	       c->months >> (tm.tm_mon + 1) & 1;
}

/* Against the C library's calendar, minute by minute. */
static void test_random_lines_against_a_search(void **state)
{
	uint32_t rng = 7;

	for (int i = 0; i < 300; i++) {
		char line[80], reason[CRON_REASON_BYTES];
		unsigned v[6];
		struct cron c;

		for (size_t k = 0; k < ARRAY_LEN(v); k++) {
			rng = rng * 1664525u + 1013904223u;
			v[k] = rng >> 8;
		}
		snprintf(line, sizeof(line), i % 3 ? "%u %u * * %u" : "%u %u %u * %u", v[0] % 60, v[1] % 24,
			i % 3 ? v[3] % 7 : v[2] % 28 + 1, v[3] % 7);
		assert_int_equal(cron_parse(line, &c, reason), 0);
		int64_t minute = 29000000 + v[4] % 3000000, m = minute + 1;
		while (!fits(&c, m))
			m++;
		struct utc_time found =
			cron_next(&c, (struct utc_time){minute * 60 * NS_PER_S + v[5] % NS_PER_S});
		if (found.ns != m * 60 * NS_PER_S)
			fail_msg("%s after %lld: %lld, not %lld", line, (long long)minute,
				(long long)(found.ns / (60 * NS_PER_S)), (long long)m);
	}
}

static void test_the_end_of_time(void **state)
{
	char reason[CRON_REASON_BYTES];
	struct cron c;

	assert_int_equal(cron_parse("0 0 1 1 *", &c, reason), 0);
	assert_int_equal(cron_next(&c, (struct utc_time){INT64_MAX}).ns, 0);
	assert_true(cron_next(&c, (struct utc_time){INT64_MIN}).ns < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_next_instant),
		cmocka_unit_test(test_mistakes_say_the_field),
		cmocka_unit_test(test_random_lines_against_a_search),
		cmocka_unit_test(test_the_end_of_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
