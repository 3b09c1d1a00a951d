/* SPDX-License-Identifier: Apache-2.0 */
#include "sensors.h"

#include <errno.h>
#include <math.h>

#include "core/clock.h"
#include "orbit.h"

#define BATTERY_WH 40.0
#define SOLAR_W 26.0         /* panels in sunlight */
#define REST_W 9.0           /* payload computer and cameras at rest */
#define HEAT_J_PER_K 900.0   /* of the box */
#define COOLING_W_PER_K 0.32 /* to its surroundings, which are 12 degrees in sunlight, -10 in eclipse */
#define STEP_S 5.0           /* of the integration */
#define STEPS_MAX 20000      /* at one reading: after a long silence the rest of it is left out */

struct sensors {
	struct mono_time start;
	double time_scale;
	uint32_t seed;
	double (*work)(void *user);
	void *user;
	double at_s;     /* the model stands here */
	double worked_j; /* of work(), accounted for */
	struct sensors_state now;
	struct iiod_device devices[2];
};

static void step(struct sensors *s, double dt, double extra_w)
{
	struct sensors_state *n = &s->now;
	struct orbit_place at = orbit_at(s->seed, s->at_s);

	n->latitude_deg = at.latitude_deg;
	n->longitude_deg = at.longitude_deg;
	n->sunlit = at.sunlit;
	/* Panels are never quite still: a slow swing of the attitude. */
	n->solar_w = at.sunlit ? SOLAR_W * (0.93 + 0.06 * sin(s->at_s / 173.0)) : 0;
	n->load_w = REST_W + 0.4 * sin(s->at_s / 61.0) + extra_w;
	double net_w = n->solar_w - n->load_w;
	if (net_w > 0)
		net_w *= 0.94; /* charging loses some */
	n->battery_wh = fmin(fmax(n->battery_wh + net_w * dt / 3600, 0), BATTERY_WH);
	double full = n->battery_wh / BATTERY_WH;
	if (full >= 1 && net_w > 0)
		net_w = 0;                           /* the regulator turns the panels away */
	n->bus_v = 6.6 + 1.5 * full + 0.012 * net_w; /* two lithium cells and their resistance */
	n->current_a = net_w / n->bus_v;
	double around_c = at.sunlit ? 12 : -10;
	n->temperature_c +=
		(n->load_w * 0.9 - COOLING_W_PER_K * (n->temperature_c - around_c)) * dt / HEAT_J_PER_K;
	s->at_s += dt;
}

struct sensors_state sensors_now(struct sensors *s)
{
	double now_s = (double)(clock_mono().ns - s->start.ns) / (double)NS_PER_S * s->time_scale;
	double span = now_s - s->at_s, worked = s->work ? s->work(s->user) : 0;

	if (span <= 0)
		return s->now;
	if (span > STEPS_MAX * STEP_S) {
		s->at_s = now_s - STEPS_MAX * STEP_S;
		span = STEPS_MAX * STEP_S;
	}
	/* What the cameras did since the last reading, spread over the time between, as a meter that
	 * averages. */
	double extra_w = fmin((worked - s->worked_j) / span, 15);
	s->worked_j = worked;
	while (span > 0) {
		double dt = fmin(span, STEP_S);
		step(s, dt, extra_w);
		span -= dt;
	}
	return s->now;
}

enum quantity {
	TEMP_INPUT,
	TEMP_RAW,
	TEMP_SCALE,
	TEMP_OFFSET,
	VOLTAGE,
	CURRENT,
	POWER,
	SOLAR,
	CAPACITY,
	SUNLIT
};

/* The kernel's units: millidegrees, millivolts, milliamperes, milliwatts. The thermometer is one of 12 bits
 * with 1/16 degree and an offset of 50 degrees. */
static int read_quantity(void *user, int arg, char *text, size_t cap)
{
	struct sensors_state n = sensors_now(user);
	long raw = lround((n.temperature_c + 50) * 16);

	switch ((enum quantity)arg) {
	case TEMP_INPUT:
		(void)snprintf(text, cap, "%.0f", ((double)raw - 800) * 62.5);
		break;
	case TEMP_RAW:
		(void)snprintf(text, cap, "%ld", raw);
		break;
	case TEMP_SCALE:
		(void)snprintf(text, cap, "62.5");
		break;
	case TEMP_OFFSET:
		(void)snprintf(text, cap, "-800");
		break;
	case VOLTAGE:
		(void)snprintf(text, cap, "%ld", lround(n.bus_v * 1000));
		break;
	case CURRENT:
		(void)snprintf(text, cap, "%ld", lround(n.current_a * 1000));
		break;
	case POWER:
		(void)snprintf(text, cap, "%ld", lround(n.load_w * 1000));
		break;
	case SOLAR:
		(void)snprintf(text, cap, "%ld", lround(n.solar_w * 1000));
		break;
	case CAPACITY:
		(void)snprintf(text, cap, "%.1f", n.battery_wh / BATTERY_WH * 100);
		break;
	case SUNLIT:
		(void)snprintf(text, cap, "%d", n.sunlit);
		break;
	}
	return 0;
}

static int read_one(void *user, int arg, char *text, size_t cap)
{
	(void)snprintf(text, cap, "1");
	return 0;
}

static int read_label(void *user, int arg, char *text, size_t cap)
{
	static const char *const labels[] = {
		[VOLTAGE] = "bus", [CURRENT] = "battery", [POWER] = "load", [SOLAR] = "panels"};

	(void)snprintf(text, cap, "%s", labels[arg]);
	return 0;
}

static const struct iiod_attr temp_attrs[] = {
	{.name = "input", .filename = "in_temp_input", .read = read_quantity, .arg = TEMP_INPUT},
	{.name = "offset", .filename = "in_temp_offset", .read = read_quantity, .arg = TEMP_OFFSET},
	{.name = "raw", .filename = "in_temp_raw", .read = read_quantity, .arg = TEMP_RAW},
	{.name = "scale", .filename = "in_temp_scale", .read = read_quantity, .arg = TEMP_SCALE},
};

#define MILLI(what, file)                                                                                    \
	{                                                                                                    \
		{.name = "label", .filename = "in_" file "_label", .read = read_label, .arg = what},         \
			{.name = "raw", .filename = "in_" file "_raw", .read = read_quantity, .arg = what},  \
		{                                                                                            \
			.name = "scale", .filename = "in_" file "_scale", .read = read_one                   \
		}                                                                                            \
	}

static const struct iiod_attr voltage_attrs[] = MILLI(VOLTAGE, "voltage0");
static const struct iiod_attr current_attrs[] = MILLI(CURRENT, "current0");
static const struct iiod_attr load_attrs[] = MILLI(POWER, "power0");
static const struct iiod_attr solar_attrs[] = MILLI(SOLAR, "power1");
static const struct iiod_attr power_attrs[] = {
	{.name = "battery_capacity_percent", .read = read_quantity, .arg = CAPACITY},
	{.name = "sunlit", .read = read_quantity, .arg = SUNLIT},
};

static const struct iiod_channel temp_channels[] = {
	{.id = "temp", .attrs = temp_attrs, .n_attrs = ARRAY_LEN(temp_attrs)},
};
static const struct iiod_channel power_channels[] = {
	{.id = "voltage0", .attrs = voltage_attrs, .n_attrs = ARRAY_LEN(voltage_attrs)},
	{.id = "current0", .attrs = current_attrs, .n_attrs = ARRAY_LEN(current_attrs)},
	{.id = "power0", .attrs = load_attrs, .n_attrs = ARRAY_LEN(load_attrs)},
	{.id = "power1", .attrs = solar_attrs, .n_attrs = ARRAY_LEN(solar_attrs)},
};

void sensors_devices(struct sensors *s, const struct iiod_device *ret_devices[2])
{
	s->devices[0] = (struct iiod_device){
		.id = "iio:device8",
		.name = "temp0",
		.channels = temp_channels,
		.n_channels = ARRAY_LEN(temp_channels),
		.user = s,
	};
	s->devices[1] = (struct iiod_device){
		.id = "iio:device9",
		.name = "power0",
		.channels = power_channels,
		.n_channels = ARRAY_LEN(power_channels),
		.attrs = power_attrs,
		.n_attrs = ARRAY_LEN(power_attrs),
		.user = s,
	};
	ret_devices[0] = &s->devices[0];
	ret_devices[1] = &s->devices[1];
}

int sensors_create(uint32_t seed, double time_scale, double (*work)(void *user), void *user,
	struct sensors **ret_sensors)
{
	struct sensors *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->start = clock_mono();
	s->time_scale = time_scale;
	s->seed = seed;
	s->work = work;
	s->user = user;
	s->now = (struct sensors_state){.temperature_c = 24 + seed % 7, .battery_wh = BATTERY_WH * 0.86};
	step(s, 0, 0);
	*ret_sensors = s;
	return 0;
}

void sensors_destroy(struct sensors *s)
{
	free(s);
}
