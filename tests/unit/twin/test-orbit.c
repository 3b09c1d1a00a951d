/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "orbit.h"

static void test_orbit(void **state)
{
	double dark = 0, top = 0;

	for (uint64_t seed = 0; seed < 5; seed++) {
		struct orbit_place before = orbit_at(seed, 0);
		for (double t = 1; t <= ORBIT_PERIOD_S; t++) {
			struct orbit_place p = orbit_at(seed, t);
			assert_true(fabs(p.latitude_deg) <= 82.31);
			assert_true(p.longitude_deg >= -180 && p.longitude_deg < 180);
			/* About 7 km a second over ground: never a jump. */
			assert_true(fabs(p.latitude_deg - before.latitude_deg) < 0.07);
			dark += !p.sunlit;
			top = fmax(top, p.latitude_deg);
			before = p;
		}
		/* One turn later the Earth has turned below by 24 degrees. */
		struct orbit_place a = orbit_at(seed, 100), b = orbit_at(seed, 100 + ORBIT_PERIOD_S);
		double west = remainder(a.longitude_deg - b.longitude_deg, 360);
		assert_true(fabs(a.latitude_deg - b.latitude_deg) < 1e-6);
		assert_true(fabs(west - 360 * ORBIT_PERIOD_S / 86164.1) < 1e-6);
	}
	assert_true(top > 82);
	assert_true(fabs(dark / (5 * ORBIT_PERIOD_S) - 0.36) < 0.01);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_orbit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
