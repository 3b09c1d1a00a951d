/* SPDX-License-Identifier: Apache-2.0 */
/* Quotas of payloads, and what they have used of them today. */
#include <string.h>

#include "queue.h"

#define NS_PER_DAY (INT64_C(86400) * NS_PER_S)

static int64_t day_of(struct utc_time t)
{
	return t.ns / NS_PER_DAY;
}

struct utc_time next_day(struct utc_time now)
{
	return (struct utc_time){(day_of(now) + 1) * NS_PER_DAY};
}

struct queue_quota quota_of(const struct scheduler *s, const char *payload)
{
	for (size_t i = 0; i < s->rules.n_quotas; i++)
		if (!strcmp(s->rules.quotas[i].payload, payload))
			return s->rules.quotas[i];
	return (struct queue_quota){0};
}

int quota_load(struct scheduler *s, struct payload *p)
{
	p->day = day_of(clock_utc());
	sqlite3_stmt *q = store_query(s->store,
		"SELECT cpu_ns FROM payload_usage WHERE payload = ? AND day = ?", "ti", p->name, p->day);
	int rc = q ? sqlite3_step(q) : SQLITE_ERROR;

	p->cpu_ns = rc == SQLITE_ROW ? sqlite3_column_int64(q, 0) : 0;
	if (q)
		sqlite3_reset(q);
	return rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : ERR_STORE;
}

/* Usage is of the day on which the task ended. */
static int today(struct scheduler *s, struct payload *p, struct utc_time now)
{
	return day_of(now) == p->day ? 0 : quota_load(s, p);
}

int quota_charge(struct scheduler *s, size_t lane, int64_t cpu_ns)
{
	struct payload *p = &s->payloads[s->lanes[lane].payload];
	int r = today(s, p, clock_utc());

	if (r < 0 || cpu_ns <= 0)
		return r;
	p->cpu_ns += cpu_ns;
	return store_exec(s->store,
		"INSERT INTO payload_usage(payload, day, cpu_ns) VALUES(?, ?, ?)"
		" ON CONFLICT(payload, day) DO UPDATE SET cpu_ns = excluded.cpu_ns",
		"tii", p->name, p->day, p->cpu_ns);
}

const char *lane_passed_over(struct scheduler *s, size_t lane, struct utc_time now)
{
	const struct lane *l = &s->lanes[lane];
	struct payload *p = &s->payloads[l->payload];

	if (l->held)
		return "an operator holds it";
	if (l->cancelling)
		return "it is being cancelled";
	if (p->quota.tasks && p->running >= p->quota.tasks)
		return "its payload runs as many tasks as its quota allows";
	if (p->quota.cpu_ns_per_day && today(s, p, now) == 0 && p->cpu_ns >= p->quota.cpu_ns_per_day) {
		s->day_awaited |= l->waiting > 0;
		return "its payload has used up its CPU time of today";
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
