/* SPDX-License-Identifier: Apache-2.0 */
/* The rules of the mission, and the order that follows from them. */
#include <string.h>

#include "queue.h"

#define CRITICAL_RANK (INT64_C(1) << 40) /* far before whatever ageing may reach */

const struct queue_rules queue_rules_default = {.critical = 200,
	.ageing_ns = 600 * NS_PER_S,
	.poison = 5,
	.history = 100000,
	.preempt = QUEUE_PREEMPT_CRITICAL,
	.energy = {.orbit_ns = 95 * 60 * NS_PER_S}};

int64_t rank_of(const struct queue_rules *rules, uint8_t priority, int64_t waits_from_ns)
{
	if (priority >= rules->critical)
		return -CRITICAL_RANK - priority;
	/* Time is cut into slices of `ageing`; who has waited one slice more counts as one priority more.
	 * What is the same for all at any instant, the slice of now, need not be in it: so the order stands
	 * still. */
	int64_t slice = rules->ageing_ns > 0 ? waits_from_ns / rules->ageing_ns : 0;
	return slice - priority;
}

int fact_get(struct scheduler *s, const char *name, int64_t otherwise, int64_t *ret_value)
{
	sqlite3_stmt *q = store_query(s->store, "SELECT value FROM queue_fact WHERE name = ?", "t", name);
	int rc = q ? sqlite3_step(q) : SQLITE_ERROR;

	*ret_value = rc == SQLITE_ROW ? sqlite3_column_int64(q, 0) : otherwise;
	if (q)
		sqlite3_reset(q);
	return rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : ERR_STORE;
}

int fact_set(struct scheduler *s, const char *name, int64_t value)
{
	int r = store_change(s->store);

	return r < 0 ? r
		     : store_exec(s->store, "INSERT OR REPLACE INTO queue_fact(name, value) VALUES(?, ?)",
			       "ti", name, value);
}

int rules_load(struct scheduler *s)
{
	int64_t critical = 0;

	s->rules = queue_rules_default;
	int r = fact_get(s, "critical", s->rules.critical, &critical);
	if (r == 0)
		r = fact_get(s, "ageing", s->rules.ageing_ns, &s->rules.ageing_ns);
	s->rules.critical = (uint16_t)critical;
	return r;
}

static int rule_changed(struct scheduler *s, const char *name, int64_t value, bool *changed)
{
	int64_t before;
	int r = fact_get(s, name, INT64_MIN, &before);

	if (r < 0 || before == value)
		return r;
	*changed = true;
	return fact_set(s, name, value);
}

int rules_shift(struct scheduler *s, int64_t after, int64_t upto, int64_t step_ns)
{
	return store_exec(s->store,
		"UPDATE task SET waits_from_ns = waits_from_ns + ?1, rank = CASE WHEN priority >= ?2 THEN ?3 "
		"- priority"
		" WHEN ?4 > 0 THEN (waits_from_ns + ?1) / ?4 - priority ELSE -priority END"
		" WHERE id > ?5 AND id <= ?6",
		"iiiiii", step_ns, (int64_t)s->rules.critical, -CRITICAL_RANK, s->rules.ageing_ns, after,
		upto);
}

int scheduler_set_rules(struct scheduler *s, const struct queue_rules *rules)
{
	bool changed = false;
	int r = rule_changed(s, "critical", rules->critical, &changed);

	if (r == 0)
		r = rule_changed(s, "ageing", rules->ageing_ns, &changed);
	if (r == 0 && changed)
		r = store_exec(s->store,
			"UPDATE task SET rank = CASE WHEN priority >= ?1 THEN ?2 - priority"
			" WHEN ?3 > 0 THEN waits_from_ns / ?3 - priority ELSE -priority END WHERE state <= 1",
			"iii", (int64_t)rules->critical, -CRITICAL_RANK, rules->ageing_ns);
	if (r < 0)
		return r;
	s->rules = *rules;
	if (s->rules.energy.orbit_ns <= 0)
		s->rules.energy.orbit_ns = queue_rules_default.energy.orbit_ns;
	for (size_t i = 0; i < s->n_payloads; i++)
		s->payloads[i].quota = quota_of(s, s->payloads[i].name);
	for (size_t i = 0; i < s->n_lanes; i++)
		lane_forget(s, i);
	s->suspects = s->dirty = true;
	return 0;
}
