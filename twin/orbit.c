/* SPDX-License-Identifier: Apache-2.0 */
#include "orbit.h"

#include <math.h>

#define INCLINATION_RAD (97.7 * M_PI / 180)
#define EARTH_DAY_S 86164.1
#define ECLIPSE_SHARE 0.36 /* of an orbit, at this height with the Sun near the orbit's plane */

struct orbit_place orbit_at(uint64_t seed, double elapsed_s)
{
	double start = (double)(seed % 97) / 97;
	double turn = start + elapsed_s / ORBIT_PERIOD_S; /* orbits since the ascending node */
	double u = 2 * M_PI * (turn - floor(turn));
	double latitude = asin(sin(INCLINATION_RAD) * sin(u));
	double node = 360.0 * (double)(seed % 89) / 89 - 360.0 * elapsed_s / EARTH_DAY_S;
	double longitude = node + atan2(cos(INCLINATION_RAD) * sin(u), cos(u)) * 180 / M_PI;

	return (struct orbit_place){
		.latitude_deg = latitude * 180 / M_PI,
		.longitude_deg = longitude - 360 * floor((longitude + 180) / 360),
		/* The twin takes its pictures by day: the shadow lies on the descending half. */
		.sunlit = turn - floor(turn) < 1 - ECLIPSE_SHARE,
	};
}
