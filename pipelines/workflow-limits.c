/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a stage: what it may use, and how often it is tried. */
#include <string.h>

#include "workflow-read.h"

#define DEFAULT_MEMORY_BYTES (UINT64_C(64) << 20)
#define DEFAULT_TIME_NS (60 * NS_PER_S)
#define DEFAULT_PIDS 32
#define TIME_NS_MAX (INT64_C(24) * 3600 * NS_PER_S)
#define MEMORY_BYTES_MIN (UINT64_C(1) << 20)
#define MEMORY_BYTES_MAX (UINT64_C(1) << 40)
#define ENERGY_J_MAX 1e9
#define BACKOFF_NS_MAX (INT64_C(3600) * NS_PER_S)

static void read_cpus(struct wf_reader *r, struct wf_stage *s, const struct ynode *n)
{
	double cpus;

	if (!y_number(r->c, n, 0.01, 1024, &cpus))
		return;
	s->cpus_milli = (uint32_t)(cpus * 1000 + 0.5);
	if (r->limits->cpus_milli && s->cpus_milli > r->limits->cpus_milli)
		y_complain(r->c, n, "the mission has %g CPUs, this stage asks for %g",
			r->limits->cpus_milli / 1000.0, cpus);
}

static void read_memory(struct wf_reader *r, struct wf_stage *s, const struct ynode *n)
{
	if (!y_size(r->c, n, MEMORY_BYTES_MAX, &s->memory_bytes))
		return;
	if (s->memory_bytes < MEMORY_BYTES_MIN)
		y_complain(r->c, n, "expected at least 1MiB, found \"%s\"", n->text);
	if (r->limits->memory_bytes && s->memory_bytes > r->limits->memory_bytes)
		y_complain(r->c, n, "the mission has %llu MiB, this stage asks for \"%s\"",
			(unsigned long long)(r->limits->memory_bytes >> 20), n->text);
}

/* More than an orbit has never starts, but in the critical class. */
static void check_energy(struct wf_reader *r, const struct wf_stage *s, const struct ynode *n)
{
	if (r->limits->energy_mj && s->energy_mj > r->limits->energy_mj &&
		r->w->priority < r->limits->critical)
		y_complain(r->c, n, "the mission has %g J for an orbit, this stage asks for \"%s\"",
			(double)r->limits->energy_mj / 1000, n->text);
}

void wf_read_resources(struct wf_reader *r, struct wf_stage *s)
{
	static const char *const known[] = {"cpus", "memory", "time", "pids", "energy"};
	struct ynode *map = y_get(s->node, "resources");
	int64_t pids = DEFAULT_PIDS;
	double joules = 0;

	s->cpus_milli = 1000;
	s->memory_bytes = DEFAULT_MEMORY_BYTES;
	s->time_ns = DEFAULT_TIME_NS;
	s->pids = DEFAULT_PIDS;
	if (!map || !y_is(r->c, map, YNODE_MAP))
		return;
	read_cpus(r, s, y_get(map, "cpus"));
	read_memory(r, s, y_get(map, "memory"));
	struct ynode *n = y_get(map, "time");
	if (y_duration(r->c, n, TIME_NS_MAX, &s->time_ns) && s->time_ns == 0)
		y_complain(r->c, n, "expected a duration above zero");
	y_int(r->c, y_get(map, "pids"), 1, 4096, &pids);
	s->pids = (uint32_t)pids;
	n = y_get(map, "energy");
	if (y_energy(r->c, n, ENERGY_J_MAX, &joules)) {
		s->energy_mj = (uint64_t)(joules * 1000 + 0.5);
		if (s->energy_mj == 0)
			y_complain(r->c, n, "expected an energy above zero");
		check_energy(r, s, n);
	}
	y_no_others(r->c, map, known, ARRAY_LEN(known));
}

static void read_classes(struct wf_reader *r, struct wf_retry *retry, const struct ynode *list)
{
	static const char *const classes[] = {"temporary", "failed", "timeout", "memory", "output"};
	int class;

	if (!list || !y_is(r->c, list, YNODE_SEQ))
		return;
	retry->on = 0;
	for (const struct ynode *n = list->first; n; n = n->next)
		if (wf_choice(r, n, classes, ARRAY_LEN(classes), &class))
			retry->on |= 1u << class;
	if (list->n == 0)
		y_complain(r->c, list, "expected at least one class of ends");
}

void wf_read_retry(struct wf_reader *r, struct wf_stage *s)
{
	static const char *const known[] = {"limit", "backoff", "max_backoff", "jitter", "on"};
	struct ynode *map = y_get(s->node, "retry");
	struct wf_retry *retry = &s->retry;
	int64_t limit = 0;

	*retry = (struct wf_retry){
		.on = WF_END_TEMPORARY, .backoff_ns = NS_PER_S, .max_backoff_ns = BACKOFF_NS_MAX};
	if (!map || !y_is(r->c, map, YNODE_MAP))
		return;
	y_int(r->c, y_need(r->c, map, "limit"), 0, 100, &limit);
	retry->limit = (uint32_t)limit;
	y_duration(r->c, y_get(map, "backoff"), BACKOFF_NS_MAX, &retry->backoff_ns);
	struct ynode *n = y_get(map, "max_backoff");
	if (y_duration(r->c, n, BACKOFF_NS_MAX, &retry->max_backoff_ns) &&
		retry->max_backoff_ns < retry->backoff_ns)
		y_complain(r->c, n, "expected at least the first backoff, found \"%s\"", n->text);
	y_number(r->c, y_get(map, "jitter"), 0, 1, &retry->jitter);
	read_classes(r, retry, y_get(map, "on"));
	y_no_others(r->c, map, known, ARRAY_LEN(known));
}
