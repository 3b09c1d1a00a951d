/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What was used in the day and in the orbit, by each payload and by all: CPU time as it was measured, energy
 * as it follows from that. It counts for the slice of time in which a task ended, and is written once a turn.
 */
#include "core/log.h"
#include "queue.h"

#define SLICES_KEPT 32 /* so that a clock that jumps back and forth forgets nothing */
#define EVERYBODY ""

static int64_t length_ns(const struct scheduler *s, enum span span)
{
	return span == SPAN_DAY ? INT64_C(86400) * NS_PER_S : s->rules.energy.orbit_ns;
}

struct utc_time next_slice(const struct scheduler *s, enum span span, struct utc_time now)
{
	return (struct utc_time){(now.ns / length_ns(s, span) + 1) * length_ns(s, span)};
}

/* p NULL: all together. */
static struct usage *usage_of(struct scheduler *s, struct payload *p, enum span span)
{
	return p ? &p->usage[span] : &s->spent[span];
}

static const char *name_of(const struct payload *p)
{
	return p ? p->name : EVERYBODY;
}

static int load(struct scheduler *s, struct payload *p, enum span span, int64_t slice)
{
	sqlite3_stmt *q = store_query(s->store,
		"SELECT cpu_ns, energy_mj FROM usage WHERE payload = ? AND span = ? AND slice = ?", "tii",
		name_of(p), (int64_t)span, slice);
	int rc = q ? sqlite3_step(q) : SQLITE_ERROR;
	struct usage u = {.slice = slice};

	if (rc == SQLITE_ROW) {
		u.cpu_ns = sqlite3_column_int64(q, 0);
		u.energy_mj = (uint64_t)sqlite3_column_int64(q, 1);
	}
	if (q)
		sqlite3_reset(q);
	if (rc != SQLITE_ROW && rc != SQLITE_DONE)
		return ERR_STORE;
	*usage_of(s, p, span) = u;
	return 0;
}

static int save(struct scheduler *s, struct payload *p, enum span span)
{
	struct usage *u = usage_of(s, p, span);
	int r = u->unsaved ? store_change(s->store) : 0;

	if (r < 0 || !u->unsaved)
		return r;
	r = store_exec(s->store,
		"INSERT INTO usage(payload, span, slice, cpu_ns, energy_mj) VALUES(?, ?, ?, ?, ?)"
		" ON CONFLICT(payload, span, slice) DO UPDATE SET cpu_ns = excluded.cpu_ns,"
		" energy_mj = excluded.energy_mj",
		"tiiii", name_of(p), (int64_t)span, u->slice, u->cpu_ns, (int64_t)u->energy_mj);
	u->unsaved = r < 0;
	return r;
}

/* Goes over to the slice of now. */
static int turn_over(struct scheduler *s, struct payload *p, enum span span, struct utc_time now)
{
	int64_t slice = now.ns / length_ns(s, span);

	if (usage_of(s, p, span)->slice == slice)
		return 0;
	int r = save(s, p, span);
	if (r == 0)
		r = store_change(s->store);
	if (r == 0)
		r = store_exec(s->store, "DELETE FROM usage WHERE payload = ? AND span = ? AND slice < ?",
			"tii", name_of(p), (int64_t)span, slice - SLICES_KEPT);
	return r == 0 ? load(s, p, span, slice) : r;
}

int usage_load(struct scheduler *s, struct payload *p)
{
	int r = 0;

	for (enum span i = 0; r == 0 && i < SPAN_MAX; i++)
		r = load(s, p, i, clock_utc().ns / length_ns(s, i));
	return r;
}

const struct usage *usage_now(struct scheduler *s, struct payload *p, enum span span, struct utc_time now)
{
	/* A failure is met again by the commit. */
	if (turn_over(s, p, span, now) < 0)
		log_error("what payload %s has used cannot be read", name_of(p));
	return usage_of(s, p, span);
}

static int charge(struct scheduler *s, struct payload *p, enum span span, int64_t cpu_ns, uint64_t energy_mj)
{
	struct usage *u = usage_of(s, p, span);
	int r = turn_over(s, p, span, clock_utc());

	if (r < 0)
		return r;
	u->cpu_ns += cpu_ns;
	u->energy_mj += energy_mj;
	u->unsaved = s->usage_unsaved = true;
	return 0;
}

int usage_charge(struct scheduler *s, size_t lane, int64_t cpu_ns)
{
	struct payload *p = &s->payloads[s->lanes[lane].payload];
	double mj = (double)cpu_ns / (double)NS_PER_S * (double)s->rules.energy.mj_per_cpu_s;
	int r = 0;

	if (cpu_ns <= 0)
		return 0;
	for (enum span i = 0; r == 0 && i < SPAN_MAX; i++) {
		r = charge(s, p, i, cpu_ns, (uint64_t)(mj + 0.5));
		if (r == 0)
			r = charge(s, NULL, i, cpu_ns, (uint64_t)(mj + 0.5));
	}
	return r;
}

int usage_save(struct scheduler *s)
{
	int r = 0;

	if (!s->usage_unsaved)
		return 0;
	for (enum span i = 0; r == 0 && i < SPAN_MAX; i++) {
		r = save(s, NULL, i);
		for (size_t k = 0; r == 0 && k < s->n_payloads; k++)
			r = save(s, &s->payloads[k], i);
	}
	s->usage_unsaved = r < 0;
	return r;
}
