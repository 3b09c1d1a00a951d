/* SPDX-License-Identifier: Apache-2.0 */
#include "mission-queue.h"

#include <stdio.h>
#include <string.h>

#include "core/clock.h"

#define DAY_NS (86400 * NS_PER_S)
#define AGEING_NS_MAX (7 * DAY_NS)
#define HISTORY_MAX 10000000
#define TASKS_MAX 64 /* as of the budget */
#define WAITING_MAX 10000000
#define CPUS_MAX 1024
#define PREEMPT_CRITICAL 256
#define ENERGY_J_MAX 1e9

static void read_preempt(struct mission *m, struct ynode *n, struct complaints *c)
{
	int64_t margin;
	double number;

	if (!n)
		return;
	if (n->kind == YNODE_SCALAR && !strcmp(n->text, "critical"))
		m->queue.preempt = PREEMPT_CRITICAL;
	else if (n->kind == YNODE_SCALAR && !strcmp(n->text, "never"))
		m->queue.preempt = 0;
	else if (y_is_number(n, &number) && y_int(c, n, 1, 255, &margin))
		m->queue.preempt = (uint16_t)margin;
	else if (!y_is_number(n, &number))
		y_complain(c, n, "expected critical, never, or how much more priority it takes (1 to 255)");
}

static void read_queue(struct mission *m, struct ynode *map, struct complaints *c)
{
	static const char *const known[] = {"critical", "ageing", "poison", "history", "preempt"};
	int64_t critical = m->queue.critical, poison = m->queue.poison, history = m->queue.history;

	if (!map || !y_is(c, map, YNODE_MAP))
		return;
	y_int(c, y_get(map, "critical"), 0, 256, &critical);
	y_duration(c, y_get(map, "ageing"), AGEING_NS_MAX, &m->queue.ageing_ns);
	y_int(c, y_get(map, "poison"), 0, 1000, &poison);
	y_int(c, y_get(map, "history"), 1, HISTORY_MAX, &history);
	read_preempt(m, y_get(map, "preempt"), c);
	y_no_others(c, map, known, ARRAY_LEN(known));
	m->queue.critical = (uint16_t)critical;
	m->queue.poison = (uint32_t)poison;
	m->queue.history = (uint32_t)history;
}

/* A key is a name like others: say so at the key, not at its value. */
static bool is_payload(const struct ynode *n, struct complaints *c)
{
	const char *text;
	struct ynode key = {
		.kind = YNODE_SCALAR, .line = n->key_line, .column = n->key_column, .text = n->key};

	return y_name(c, &key, &text);
}

/* A limit on energy, in millijoules; 0: none. */
static uint64_t read_energy(const struct mission *m, struct ynode *n, struct complaints *c)
{
	double joules = 0;

	if (!y_energy(c, n, ENERGY_J_MAX, &joules))
		return 0;
	if (joules < 0.001)
		y_complain(c, n, "expected at least 1mJ");
	else if (m->energy.mj_per_cpu_s == 0)
		y_complain(c, n, "is not counted without `energy: {joules-per-cpu-s: ...}`");
	return (uint64_t)(joules * 1000 + 0.5);
}

static void read_quota(struct mission *m, struct ynode *map, struct complaints *c)
{
	static const char *const known[] = {
		"tasks", "waiting", "cpu-per-day", "cpu-per-orbit", "energy-per-day", "energy-per-orbit"};
	struct mission_quota *q = &m->quotas[m->n_quotas];
	int64_t tasks = 0, waiting = 0;

	if (!is_payload(map, c) || !y_is(c, map, YNODE_MAP))
		return;
	snprintf(q->payload, sizeof(q->payload), "%s", map->key);
	y_int(c, y_get(map, "tasks"), 1, TASKS_MAX, &tasks);
	y_int(c, y_get(map, "waiting"), 1, WAITING_MAX, &waiting);
	y_duration(c, y_get(map, "cpu-per-day"), CPUS_MAX * DAY_NS, &q->cpu_ns_per_day);
	y_duration(c, y_get(map, "cpu-per-orbit"), CPUS_MAX * DAY_NS, &q->cpu_ns_per_orbit);
	q->energy_mj_per_day = read_energy(m, y_get(map, "energy-per-day"), c);
	q->energy_mj_per_orbit = read_energy(m, y_get(map, "energy-per-orbit"), c);
	y_no_others(c, map, known, ARRAY_LEN(known));
	q->tasks = (uint32_t)tasks;
	q->waiting = (uint32_t)waiting;
	m->n_quotas++;
}

void mission_read_queue(struct mission *m, struct ynode *queue, struct ynode *quotas, struct complaints *c)
{
	m->queue.critical = 200;
	m->queue.ageing_ns = 600 * NS_PER_S;
	m->queue.poison = 5;
	m->queue.history = 100000;
	m->queue.preempt = PREEMPT_CRITICAL;
	read_queue(m, queue, c);
	if (!quotas || !y_is(c, quotas, YNODE_MAP))
		return;
	if (quotas->n > MISSION_QUOTAS_MAX) {
		y_complain(
			c, quotas, "expected at most %d payloads, found %zu", MISSION_QUOTAS_MAX, quotas->n);
		return;
	}
	for (struct ynode *n = quotas->first; n; n = n->next)
		read_quota(m, n, c);
}
