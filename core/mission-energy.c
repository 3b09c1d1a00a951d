/* SPDX-License-Identifier: Apache-2.0 */
/* `energy:` of the mission file: the battery's guard, what work takes, and how much there is for it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "mission-queue.h"

#define ORBIT_NS_MIN (60 * NS_PER_S)
#define ORBIT_NS_MAX (30 * 86400 * NS_PER_S)
#define EVERY_NS_MIN NS_PER_S
#define EVERY_NS_MAX (3600 * NS_PER_S)
#define ENERGY_J_MAX 1e9
#define JOULES_PER_CPU_S_MAX 10000
#define HYSTERESIS_PERCENT 10

/* "30%" */
static bool read_percent(struct ynode *n, struct complaints *c, double *ret)
{
	char *end = NULL;

	if (!n)
		return false;
	bool plain = n->kind == YNODE_SCALAR && *n->text >= '0' && *n->text <= '9' &&
		     strspn(n->text, "0123456789.") + 1 == strlen(n->text);
	double v = plain ? strtod(n->text, &end) : -1;
	if (!end || strcmp(end, "%") || !(v >= 0 && v <= 100)) {
		y_complain(c, n, "expected a percentage such as 30%%");
		return false;
	}
	*ret = v;
	return true;
}

/* Attributes are files' names to the kernel. */
static void read_attribute(struct ynode *n, struct complaints *c, char ret[MISSION_NAME_BYTES])
{
	const char *text;

	if (n && y_file_name(c, n, &text))
		snprintf(ret, MISSION_NAME_BYTES, "%s", text);
}

static void read_duration(struct ynode *n, struct complaints *c, int64_t min_ns, int64_t max_ns,
	const char *least, int64_t *ret)
{
	int64_t ns;

	if (!y_duration(c, n, max_ns, &ns))
		return;
	if (ns < min_ns)
		y_complain(c, n, "expected at least %s", least);
	else
		*ret = ns;
}

static void read_guard(struct mission *m, struct ynode *map, struct complaints *c)
{
	static const char *const for_device[] = {
		"battery", "sunlight", "every", "reserve", "resume", "reserve-in-eclipse"};
	double in_eclipse;
	const char *text;

	if (!m->energy.device[0]) {
		for (size_t i = 0; i < ARRAY_LEN(for_device); i++) {
			struct ynode *n = y_get(map, for_device[i]);
			if (n && !y_get(map, "device"))
				y_complain(c, n,
					"needs `device`, the power monitor that says how full the "
					"battery is");
		}
		return;
	}
	read_attribute(y_get(map, "battery"), c, m->energy.battery);
	read_attribute(y_get(map, "sunlight"), c, m->energy.sunlight);
	read_duration(y_get(map, "every"), c, EVERY_NS_MIN, EVERY_NS_MAX, "1s", &m->energy.every_ns);
	read_percent(y_get(map, "reserve"), c, &m->energy.reserve_percent);
	m->energy.resume_percent = m->energy.reserve_percent + HYSTERESIS_PERCENT;
	if (m->energy.resume_percent > 100)
		m->energy.resume_percent = 100;
	struct ynode *n = y_get(map, "resume");
	if (read_percent(n, c, &m->energy.resume_percent) &&
		m->energy.resume_percent <= m->energy.reserve_percent)
		y_complain(c, n, "expected more than the reserve, %g%%", m->energy.reserve_percent);
	n = y_get(map, "reserve-in-eclipse");
	if (!read_percent(n, c, &in_eclipse))
		return;
	m->energy.eclipse_more_percent = in_eclipse - m->energy.reserve_percent;
	text = n->text;
	if (in_eclipse < m->energy.reserve_percent)
		y_complain(c, n, "expected at least the reserve, %g%%, found %s", m->energy.reserve_percent,
			text);
	else if (m->energy.resume_percent + m->energy.eclipse_more_percent > 100)
		y_complain(c, n, "the battery would have to be at %g%% in eclipse to resume: expected less",
			m->energy.resume_percent + m->energy.eclipse_more_percent);
}

static void read_device(struct mission *m, struct ynode *n, struct complaints *c)
{
	const char *text;

	if (!n || !y_name(c, n, &text))
		return;
	snprintf(m->energy.device, sizeof(m->energy.device), "%s", text);
	if (!m->policy)
		y_complain(c, n, "there is no device %s without a `policy`", text);
}

void mission_read_energy(struct mission *m, struct ynode *map, struct complaints *c)
{
	static const char *const known[] = {"device", "battery", "sunlight", "every", "reserve", "resume",
		"reserve-in-eclipse", "joules-per-cpu-s", "orbit", "per-orbit"};
	double per_cpu_s = 0, joules = 0;

	snprintf(m->energy.battery, sizeof(m->energy.battery), "battery_capacity_percent");
	snprintf(m->energy.sunlight, sizeof(m->energy.sunlight), "sunlit");
	m->energy.every_ns = 10 * NS_PER_S;
	m->energy.reserve_percent = 30;
	m->energy.resume_percent = m->energy.reserve_percent + HYSTERESIS_PERCENT;
	m->energy.orbit_ns = 95 * 60 * NS_PER_S;
	if (!map || !y_is(c, map, YNODE_MAP))
		return;
	read_device(m, y_get(map, "device"), c);
	read_guard(m, map, c);
	if (y_number(c, y_get(map, "joules-per-cpu-s"), 0.001, JOULES_PER_CPU_S_MAX, &per_cpu_s))
		m->energy.mj_per_cpu_s = (uint64_t)(per_cpu_s * 1000 + 0.5);
	read_duration(y_get(map, "orbit"), c, ORBIT_NS_MIN, ORBIT_NS_MAX, "1m", &m->energy.orbit_ns);
	struct ynode *n = y_get(map, "per-orbit");
	if (y_energy(c, n, ENERGY_J_MAX, &joules)) {
		m->energy.mj_per_orbit = (uint64_t)(joules * 1000 + 0.5);
		if (m->energy.mj_per_orbit == 0)
			y_complain(c, n, "expected at least 1mJ");
		else if (m->energy.mj_per_cpu_s == 0)
			y_complain(c, n, "needs `joules-per-cpu-s`: without it nothing is counted");
	}
	y_no_others(c, map, known, ARRAY_LEN(known));
}
