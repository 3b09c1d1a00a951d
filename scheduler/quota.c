/* SPDX-License-Identifier: Apache-2.0 */
/* Quotas of payloads. What they have used of them is in usage.c. */
#include <string.h>

#include "queue.h"

struct queue_quota quota_of(const struct scheduler *s, const char *payload)
{
	for (size_t i = 0; i < s->rules.n_quotas; i++)
		if (!strcmp(s->rules.quotas[i].payload, payload))
			return s->rules.quotas[i];
	return (struct queue_quota){0};
}

const char *lane_passed_over(
	struct scheduler *s, size_t lane, struct utc_time now, struct utc_time *ret_until)
{
	static const struct {
		enum span span;
		const char *cpu, *energy;
	} quotas[] = {
		{SPAN_DAY, "its payload has used up its CPU time of today",
			"its payload has used up its energy of today"},
		{SPAN_ORBIT, "its payload has used up its CPU time of this orbit",
			"its payload has used up its energy of this orbit"},
	};
	const struct lane *l = &s->lanes[lane];
	struct payload *p = &s->payloads[l->payload];
	const int64_t cpu_ns[] = {p->quota.cpu_ns_per_day, p->quota.cpu_ns_per_orbit};
	const uint64_t energy_mj[] = {p->quota.energy_mj_per_day, p->quota.energy_mj_per_orbit};

	if (ret_until)
		ret_until->ns = 0;
	if (l->held)
		return "an operator holds it";
	if (l->cancelling)
		return "it is being cancelled";
	if (p->quota.tasks && p->running >= p->quota.tasks)
		return "its payload runs as many tasks as its quota allows";
	for (size_t i = 0; i < ARRAY_LEN(quotas); i++) {
		if (!cpu_ns[i] && !energy_mj[i])
			continue;
		const struct usage *u = usage_now(s, p, quotas[i].span, now);
		bool no_cpu = cpu_ns[i] && u->cpu_ns >= cpu_ns[i];
		if (!no_cpu && !(energy_mj[i] && u->energy_mj >= energy_mj[i]))
			continue;
		s->awaited[quotas[i].span] |= l->waiting > 0;
		if (ret_until)
			*ret_until = next_slice(s, quotas[i].span, now);
		return no_cpu ? quotas[i].cpu : quotas[i].energy;
	}
	return NULL;
}

int scheduler_room(const struct scheduler *s, const char *payload, char *ret_reason, size_t cap)
{
	for (size_t i = 0; i < s->n_payloads; i++) {
		const struct payload *p = &s->payloads[i];

		if (strcmp(p->name, payload) || !p->quota.waiting || p->waiting < p->quota.waiting)
			continue;
		snprintf(ret_reason, cap, "%llu tasks of payload %s wait already, its quota is %u",
			(unsigned long long)p->waiting, p->name, p->quota.waiting);
		return ERR_LIMIT;
	}
	return 0;
}
