/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The twin's housekeeping devices, temp0 and power0, from one small model of the spacecraft's power and heat:
 * solar panels while the orbit is in sunlight, a battery, a load that rises with what the cameras do, and a
 * box that warms with the load and cools to space. The model goes on when somebody reads; between, nothing
 * runs.
 */
#ifndef TWIN_SENSORS_H
#define TWIN_SENSORS_H

#include <stdint.h>

#include "iiod.h"

struct sensors;

struct sensors_state {
	double temperature_c, load_w, solar_w, battery_wh, bus_v, current_a; /* current into the battery */
	double latitude_deg, longitude_deg;
	bool sunlit;
};

/* work(user): how much the cameras have done so far, in joules beyond the resting load; asked at each
 * reading. time_scale: seconds of the model for each second of the clock. */
WARN_UNUSED int sensors_create(uint32_t seed, double time_scale, double (*work)(void *user), void *user,
	struct sensors **ret_sensors);
void sensors_destroy(struct sensors *sensors);
/* temp0 and power0; valid as long as the sensors. */
void sensors_devices(struct sensors *sensors, const struct iiod_device *ret_devices[2]);
/* The model, moved on to now. */
struct sensors_state sensors_now(struct sensors *sensors);

#endif
