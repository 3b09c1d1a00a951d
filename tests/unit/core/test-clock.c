/* SPDX-License-Identifier: Apache-2.0 */
#include <time.h>

#include "core/clock.h"
#include "core/err.h"
#include "helpers.h"

static const char *format(int64_t ns)
{
	static char text[UTC_TEXT_BYTES];

	utc_format((struct utc_time){ns}, text);
	return text;
}

static void known_texts(void **state)
{
	assert_string_equal(format(0), "1970-01-01T00:00:00.000Z");
	assert_string_equal(format(-1), "1969-12-31T23:59:59.999Z");
	assert_string_equal(format(INT64_C(951782400) * NS_PER_S), "2000-02-29T00:00:00.000Z");
	assert_string_equal(
		format(INT64_C(1795600800) * NS_PER_S + 123 * NS_PER_MS), "2026-11-25T10:00:00.123Z");
	assert_string_equal(format(INT64_MAX), "2262-04-11T23:47:16.854Z");
	assert_string_equal(format(INT64_MIN), "1677-09-21T00:12:43.145Z");
}

/* The C library knows the calendar too. */
static void agrees_with_the_library(void **state)
{
	uint64_t seed = 1;

	for (int i = 0; i < 20000; i++) {
		int64_t ns = (int64_t)rnd(&seed);
		int64_t s = ns / NS_PER_S - (ns % NS_PER_S < 0);
		time_t t = (time_t)s;
		struct tm tm;
		char expected[64];
		gmtime_r(&t, &tm);
		strftime(expected, sizeof(expected), "%Y-%m-%dT%H:%M:%S.", &tm);
		assert_memory_equal(format(ns), expected, 20);
	}
}

static void round_trip(void **state)
{
	uint64_t seed = 2;
	struct utc_time t, low, high;

	assert_int_equal(utc_parse("1678-01-01T00:00:00Z", &low), 0);
	assert_int_equal(utc_parse("2261-12-31T23:59:59.999999999Z", &high), 0);
	for (int i = 0; i < 20000; i++) {
		int64_t ms = (int64_t)rnd(&seed) / NS_PER_MS;
		if (ms * NS_PER_MS < low.ns || ms * NS_PER_MS > high.ns)
			continue;
		assert_int_equal(utc_parse(format(ms * NS_PER_MS), &t), 0);
		assert_true(t.ns == ms * NS_PER_MS);
	}
}

static void fractions(void **state)
{
	struct utc_time t;

	assert_int_equal(utc_parse("1970-01-01T00:00:01Z", &t), 0);
	assert_true(t.ns == NS_PER_S);
	assert_int_equal(utc_parse("1970-01-01T00:00:00.5Z", &t), 0);
	assert_true(t.ns == NS_PER_S / 2);
	assert_int_equal(utc_parse("1970-01-01T00:00:00.000000001Z", &t), 0);
	assert_true(t.ns == 1);
	assert_int_equal(utc_parse("2000-02-29T23:59:59.999999999Z", &t), 0);
}

static void refused(void **state)
{
	static const char *const texts[] = {
		"",
		"2026",
		"2026-11-25",
		"2026-11-25T10:00Z",
		"2026-11-25T10:00:00",       /* no zone */
		"2026-11-25T10:00:00+00:00", /* another zone */
		"2026-11-25 10:00:00Z",
		"2026-11-25T10:00:00.Z",
		"2026-11-25T10:00:00.1234567890Z",
		"2026-11-25T10:00:00Z ",
		" 2026-11-25T10:00:00Z",
		"2026-11-25T10:00:60Z",
		"2026-11-25T10:60:00Z",
		"2026-11-25T24:00:00Z",
		"2026-13-01T00:00:00Z",
		"2026-00-01T00:00:00Z",
		"2026-01-00T00:00:00Z",
		"2026-04-31T00:00:00Z",
		"2026-02-29T00:00:00Z",
		"2100-02-29T00:00:00Z",
		"1677-12-31T23:59:59Z",
		"2262-01-01T00:00:00Z",
		"-026-11-25T10:00:00Z",
		"2026-1-25T10:00:00Z",
		"2026-11-25T10:00:00.12\xc2\xb2Z",
	};
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct utc_time t = {42};
		assert_int_equal(utc_parse(texts[i], &t), ERR_FORMAT);
		assert_true(t.ns == 42);
	}
}

static void truncated_anywhere(void **state)
{
	const char whole[] = "2026-11-25T10:00:00.123Z";
	struct utc_time t;

	for (size_t n = 0; n < sizeof(whole) - 1; n++) {
		char part[sizeof(whole)];
		memcpy(part, whole, n);
		part[n] = '\0';
		assert_int_equal(utc_parse(part, &t), ERR_FORMAT);
	}
}

static void fake_stands_and_real_goes(void **state)
{
	clock_set_fake((struct mono_time){5}, (struct utc_time){7});
	assert_true(clock_mono().ns == 5 && clock_mono().ns == 5);
	assert_true(clock_utc().ns == 7);
	clock_set_fake((struct mono_time){6}, (struct utc_time){-7});
	assert_true(clock_mono().ns == 6 && clock_utc().ns == -7);
	clock_real();
	struct mono_time before = clock_mono();
	struct mono_time after = clock_mono();
	assert_true(before.ns > 6 && after.ns >= before.ns);
	assert_true(clock_utc().ns > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_texts),
		cmocka_unit_test(agrees_with_the_library),
		cmocka_unit_test(round_trip),
		cmocka_unit_test(fractions),
		cmocka_unit_test(refused),
		cmocka_unit_test(truncated_anywhere),
		cmocka_unit_test(fake_stands_and_real_goes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
