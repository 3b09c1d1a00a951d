/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The power monitor, as the mission file names it: read through the broker again and again, for the queue. It
 * is read as payload `perigee`, which the policy has to grant that. What has not been read for three times
 * the interval is not known any more.
 *
 * Where it says so, sunlight begins and ends: workflows may wait for that.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "core/log.h"
#include "perigeed.h"

#define READ_AS "perigee"
#define READINGS_MISSED 3

/* Says what is wrong once, until it is right again. */
static void trouble(struct perigeed *d, const char *attribute, const char *what)
{
	if (!d->power.troubled)
		log_error("%s: %s cannot be read: %s", d->mission->energy.device, attribute, what);
	d->power.troubled = true;
}

static void tell_queue(struct perigeed *d, const struct power_state *state)
{
	if (scheduler_power(d->scheduler, state) < 0) {
		log_error("the level of the battery cannot be recorded");
		stop(d, EX_SOFTWARE);
	}
}

static void tell_workflows(struct perigeed *d, bool in_sunlight)
{
	struct power *p = &d->power;
	struct orbit_event e = {
		.event = in_sunlight ? "sunlight.begin" : "sunlight.end", .time = clock_utc()};
	bool changed = p->sun_known && p->in_sunlight != in_sunlight;

	p->sun_known = true;
	p->in_sunlight = in_sunlight;
	if (!changed)
		return;
	log_info("%s", e.event);
	char why[128];
	int r = pipelines_event(d->pipelines, &e, why, sizeof(why));
	if (r < 0) {
		log_error("%s: its runs cannot be made: %s", e.event, *why ? why : err_text(r));
		stop(d, EX_SOFTWARE);
	}
}

/* A percentage; negative when it is none. */
static double percent_of(const char *text)
{
	char *end;
	double v = strtod(text, &end);

	return end != text && !*end && isfinite(v) && v >= 0 && v <= 100 ? v : -1;
}

void power_value(struct perigeed *d, uint32_t req, int status, const char *text)
{
	struct power *p = &d->power;
	double percent = -1;

	if (p->sunlight_asked && req == p->sunlight_req) {
		p->sunlight_asked = false;
		bool said = status == 0 && (!strcmp(text, "0") || !strcmp(text, "1"));
		if (said)
			tell_workflows(d, *text == '1');
		else
			p->sun_known = false;
	} else if (p->battery_asked && req == p->battery_req) {
		p->battery_asked = false;
		percent = status == 0 ? percent_of(text) : -1;
		if (percent < 0) {
			trouble(d, d->mission->energy.battery, status == 0 ? "it is no percentage" : text);
			return;
		}
		p->troubled = false;
		p->read_at = clock_mono();
		p->was_read = true;
		tell_queue(d, &(struct power_state){.known = true,
				      .battery_percent = percent,
				      .in_sunlight = p->sun_known && p->in_sunlight});
	}
}

/* The sun first, so that it is known when the battery's answer comes. */
static void ask_monitor(struct perigeed *d)
{
	struct power *p = &d->power;
	const char *device = d->mission->energy.device;
	int r = 0;

	if (!d->broker || !d->policy_taken)
		return;
	if (!p->sunlight_asked) {
		r = broker_read(d->broker, READ_AS, device, d->mission->energy.sunlight, &p->sunlight_req);
		p->sunlight_asked = r == 0;
	}
	if (!p->battery_asked) {
		r = broker_read(d->broker, READ_AS, device, d->mission->energy.battery, &p->battery_req);
		p->battery_asked = r == 0;
	}
	if (r < 0)
		trouble(d, d->mission->energy.battery, err_text(r));
}

static void on_time(uv_timer_t *t)
{
	struct perigeed *d = t->data;
	struct power *p = &d->power;

	if (d->status != 0)
		return;
	if (p->was_read && clock_mono().ns - p->read_at.ns > READINGS_MISSED * d->mission->energy.every_ns) {
		log_error("the level of the battery is not known any more: only the critical class starts");
		p->was_read = false;
		tell_queue(d, &(struct power_state){.known = false});
	}
	ask_monitor(d);
}

int power_start(struct perigeed *d)
{
	uint64_t every_ms = (uint64_t)(d->mission->energy.every_ns / NS_PER_MS);

	if (!*d->mission->energy.device)
		return 0;
	d->power.timer.data = d;
	int r = uv_timer_init(&d->loop, &d->power.timer);
	return r == 0 ? uv_timer_start(&d->power.timer, on_time, every_ms, every_ms) : r;
}

void power_ready(struct perigeed *d)
{
	if (*d->mission->energy.device)
		ask_monitor(d);
}
