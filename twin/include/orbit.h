/* SPDX-License-Identifier: Apache-2.0 */
/* Where the twin's spacecraft is: a circular Sun-synchronous orbit over a turning round Earth. */
#ifndef TWIN_ORBIT_H
#define TWIN_ORBIT_H

#include <stdbool.h>
#include <stdint.h>

#define ORBIT_PERIOD_S 5760.0 /* about 575 km */

struct orbit_place {
	double latitude_deg, longitude_deg; /* of the point below, geocentric; longitude -180..180 */
	bool sunlit;
};

/* Seconds since the twin's start; the seed chooses where the first orbit begins. */
struct orbit_place orbit_at(uint64_t seed, double elapsed_s);

#endif
