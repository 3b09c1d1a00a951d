/* SPDX-License-Identifier: Apache-2.0 */
/* The power and heat model over a fake clock. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "core/clock.h"
#include "orbit.h"
#include "sensors.h"

static void clock_at(double s)
{
	clock_set_fake((struct mono_time){(int64_t)(s * 1e9)}, (struct utc_time){(int64_t)(s * 1e9)});
}

static double worked(void *user)
{
	return *(double *)user;
}

static void test_orbits(void **state)
{
	struct sensors *s;
	double coldest = 100, warmest = -100, lowest = 1e9, highest = 0;

	clock_at(1000);
	assert_int_equal(sensors_create(3, 1, NULL, NULL, &s), 0);
	struct sensors_state before = sensors_now(s);
	for (double t = 10; t <= 20 * ORBIT_PERIOD_S; t += 10) {
		clock_at(1000 + t);
		struct sensors_state now = sensors_now(s);
		/* The battery follows the sunlight; the sum of the powers is what charges it. */
		if (!now.sunlit && !before.sunlit)
			assert_true(
				now.battery_wh < before.battery_wh && now.solar_w == 0 && now.current_a < 0);
		if (now.sunlit && before.sunlit)
			assert_true(now.battery_wh >= before.battery_wh);
		assert_true(fabs(now.temperature_c - before.temperature_c) < 1);
		assert_true(now.bus_v > 6 && now.bus_v < 8.6);
		if (t > 3 * ORBIT_PERIOD_S) {
			coldest = fmin(coldest, now.temperature_c);
			warmest = fmax(warmest, now.temperature_c);
			lowest = fmin(lowest, now.battery_wh);
			highest = fmax(highest, now.battery_wh);
		}
		before = now;
	}
	assert_true(coldest > -10 && warmest < 60 && warmest - coldest > 3);
	assert_true(lowest > 10 && highest - lowest > 3); /* it comes through the eclipse, and feels it */
	sensors_destroy(s);
	clock_real();
}

static void test_load(void **state)
{
	struct sensors *idle, *busy;
	double joules = 0;

	clock_at(0);
	assert_int_equal(sensors_create(3, 1, NULL, NULL, &idle), 0);
	assert_int_equal(sensors_create(3, 1, worked, &joules, &busy), 0);
	for (double t = 5; t < 1000; t += 5) {
		joules += 40; /* 8 W */
		clock_at(t);
		(void)sensors_now(idle);
		(void)sensors_now(busy);
	}
	struct sensors_state a = sensors_now(idle), b = sensors_now(busy);
	assert_true(fabs(b.load_w - a.load_w - 8) < 0.01);
	assert_true(b.temperature_c > a.temperature_c + 3);
	assert_true(b.battery_wh < a.battery_wh);
	sensors_destroy(idle);
	sensors_destroy(busy);
	clock_real();
}

/* The model runs faster when told so, and does not run for ever after a long silence. */
static void test_time(void **state)
{
	struct sensors *slow, *fast;

	clock_at(0);
	assert_int_equal(sensors_create(3, 1, NULL, NULL, &slow), 0);
	assert_int_equal(sensors_create(3, 60, NULL, NULL, &fast), 0);
	clock_at(600);
	struct sensors_state a = sensors_now(slow);
	clock_at(10);
	struct sensors_state b = sensors_now(fast);
	assert_true(fabs(a.temperature_c - b.temperature_c) < 1e-6);
	assert_true(fabs(a.battery_wh - b.battery_wh) < 1e-6);
	clock_at(86400.0 * 36500);
	b = sensors_now(fast);
	assert_true(isfinite(b.temperature_c) && isfinite(b.bus_v));
	sensors_destroy(slow);
	sensors_destroy(fast);
	clock_real();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_orbits),
		cmocka_unit_test(test_load),
		cmocka_unit_test(test_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
