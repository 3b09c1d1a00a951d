/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Energy: what the battery and the orbit's budget let start.
 *
 * One state says whether only the critical class starts. It is kept over restarts, and holds where nothing is
 * known, and at the very first start: until the battery has shown that it is full enough.
 */
#include <string.h>

#include "core/log.h"
#include "queue.h"

bool is_critical(const struct scheduler *s, const struct task *t)
{
	return t->priority >= s->rules.critical;
}

static int low_fact(struct scheduler *s, bool low)
{
	int r = store_change(s->store);

	return r < 0 ? r
		     : store_exec(s->store,
			       "INSERT OR REPLACE INTO queue_fact(name, value) VALUES('power-low', ?)", "i",
			       (int64_t)low);
}

int power_load(struct scheduler *s)
{
	sqlite3_stmt *q = store_query(s->store, "SELECT value FROM queue_fact WHERE name = 'power-low'", "");
	int rc = q ? sqlite3_step(q) : SQLITE_ERROR;

	s->power_low = rc != SQLITE_ROW || sqlite3_column_int64(q, 0) != 0;
	if (q)
		sqlite3_reset(q);
	return rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : ERR_STORE;
}

int scheduler_power(struct scheduler *s, const struct power_state *state)
{
	const struct queue_energy *e = &s->rules.energy;
	double more = state->known && state->in_sunlight ? 0 : e->eclipse_more_percent;
	bool low = s->power_low;

	if (state->known != s->power.known)
		s->dirty = true;
	s->power = *state;
	if (!e->guarded || !state->known)
		return 0;
	if (state->battery_percent <= e->reserve_percent + more)
		low = true;
	else if (state->battery_percent >= e->resume_percent + more)
		low = false;
	if (low == s->power_low)
		return 0;
	s->power_low = low;
	s->dirty = true;
	log_info("the battery is at %.1f %%: %s", state->battery_percent,
		low ? "only the critical class starts" : "everything may start");
	return low_fact(s, low);
}

bool energy_never(const struct scheduler *s, const struct candidate *c)
{
	uint64_t budget = s->rules.energy.mj_per_orbit;

	return budget && c->energy_mj > budget && !is_critical(s, &c->task);
}

const char *energy_wanting(struct scheduler *s, const struct candidate *c, struct utc_time now)
{
	const struct queue_energy *e = &s->rules.energy;

	if (is_critical(s, &c->task))
		return NULL;
	if (e->guarded && !s->power.known)
		return "the level of the battery is not known: only the critical class starts";
	if (e->guarded && s->power_low)
		return "the battery is below its reserve: only the critical class starts";
	if (!e->mj_per_orbit)
		return NULL;
	/* One that does not say what it takes starts while anything is left. */
	uint64_t taken = usage_now(s, NULL, SPAN_ORBIT, now)->energy_mj + s->reserved_mj;
	uint64_t need = c->energy_mj ? c->energy_mj : 1;
	if (taken <= e->mj_per_orbit && need <= e->mj_per_orbit - taken)
		return NULL;
	s->awaited[SPAN_ORBIT] = true;
	return "it would take more energy than the budget of this orbit has left";
}
