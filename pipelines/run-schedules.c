/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Schedules: `every` and `cron`. They follow UTC. When each is due next is in the database, so that one that passed
 * while the computer was off is made up for, once. A clock that is stepped back by more than an hour is followed; less
 * is waited out, so that nothing runs twice.
 */
#include <errno.h>
#include <string.h>

#include "core/json.h"
#include "core/log.h"
#include "runs.h"

#define LOOK_AGAIN_NS (60 * NS_PER_S) /* UTC may be stepped while a timer sleeps */
#define STEP_BACK_NS (3600 * NS_PER_S)

struct schedule {
	const struct workflow *w; /* borrowed */
	const struct wf_trigger *trigger;
	char key[128]; /* in the database: what was written in the file */
	int64_t last_ns, next_ns; /* UTC; next 0: never */
};

static int64_t next_after(const struct wf_trigger *t, int64_t after_ns)
{
	if (t->kind == WF_TRIGGER_EVERY)
		return after_ns + t->every_ns;
	return cron_next(&t->cron, (struct utc_time){after_ns}).ns;
}

static int write_state(struct pipelines *p, const struct schedule *s)
{
	int r = store_change(p->o.store);

	return r == 0 ? store_exec(p->o.store,
				"INSERT OR REPLACE INTO trigger_state(workflow, trigger, last_ns, next_ns)"
				" VALUES(?, ?, ?, ?)",
				"ttii", s->w->name, s->key, s->last_ns, s->next_ns)
		      : r;
}

static int add_one(struct pipelines *p, const struct workflow *w, const struct wf_trigger *t)
{
	struct schedule *grown = reallocarray(p->schedules, p->n_schedules + 1, sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	p->schedules = grown;
	struct schedule *s = &grown[p->n_schedules++];
	*s = (struct schedule){.w = w, .trigger = t};
	if (t->kind == WF_TRIGGER_EVERY)
		snprintf(s->key, sizeof(s->key), "every %lld", (long long)t->every_ns);
	else
		snprintf(s->key, sizeof(s->key), "cron %s", t->cron_text);
	sqlite3_stmt *q = store_query(p->o.store,
		"SELECT last_ns, next_ns FROM trigger_state WHERE workflow = ? AND trigger = ?", "tt",
		w->name, s->key);
	int rc = q ? sqlite3_step(q) : SQLITE_ERROR;
	if (rc == SQLITE_ROW) {
		s->last_ns = sqlite3_column_int64(q, 0);
		s->next_ns = sqlite3_column_int64(q, 1);
	}
	if (q)
		sqlite3_reset(q);
	if (rc != SQLITE_DONE)
		return rc == SQLITE_ROW ? 0 : ERR_STORE;
	s->last_ns = clock_utc().ns;
	s->next_ns = next_after(t, s->last_ns);
	return write_state(p, s);
}

int schedules_add(struct pipelines *p, const struct workflow *w)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < w->n_triggers; i++)
		if (w->triggers[i].kind == WF_TRIGGER_EVERY || w->triggers[i].kind == WF_TRIGGER_CRON)
			r = add_one(p, w, &w->triggers[i]);
	return r;
}

static int fire(struct pipelines *p, struct schedule *s, struct utc_time now)
{
	char time[UTC_TEXT_BYTES];
	CLEAN_JSON cJSON *event = cJSON_CreateObject();

	utc_format((struct utc_time){s->next_ns}, time);
	if (!event || !cJSON_AddStringToObject(event, "event", "schedule") ||
		!cJSON_AddStringToObject(event, "schedule", s->key) ||
		!cJSON_AddStringToObject(event, "time", time))
		return -ENOMEM;
	/* Its age is from now: what was missed is not late by that. */
	struct run_plan plan = {.w = s->w, .age_from = now, .event = event, .priority = -1};
	int64_t due = s->next_ns;
	s->last_ns = now.ns;
	if (s->trigger->kind == WF_TRIGGER_EVERY) /* in the same beat */
		s->next_ns = due + ((now.ns - due) / s->trigger->every_ns + 1) * s->trigger->every_ns;
	else
		s->next_ns = next_after(s->trigger, now.ns);
	int r = write_state(p, s);
	return r == 0 ? trigger_fire(p, &plan) : r;
}

static int look(struct pipelines *p, struct schedule *s, struct utc_time now)
{
	if (now.ns < s->last_ns - STEP_BACK_NS) {
		log_info("workflow %s: the clock was stepped back, its schedule follows", s->w->name);
		s->last_ns = now.ns;
		s->next_ns = next_after(s->trigger, now.ns);
		return write_state(p, s);
	}
	return s->next_ns && s->next_ns <= now.ns ? fire(p, s, now) : 0;
}

int schedules_due(struct pipelines *p)
{
	struct utc_time now = clock_utc();
	int r = 0;

	for (size_t i = 0; r >= 0 && i < p->n_schedules; i++)
		r = look(p, &p->schedules[i], now);
	return r < 0 ? r : 0;
}

int64_t schedules_wake_ns(const struct pipelines *p)
{
	int64_t now = clock_utc().ns, at = p->n_schedules ? now + LOOK_AGAIN_NS : 0;

	for (size_t i = 0; i < p->n_schedules; i++)
		if (p->schedules[i].next_ns && p->schedules[i].next_ns < at && !store_held(p->o.store))
			at = p->schedules[i].next_ns;
	return at;
}
