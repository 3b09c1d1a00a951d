/* SPDX-License-Identifier: Apache-2.0 */
#include "script.h"

#include <string.h>

#define RETRY_LIMIT 2
#define RUNNING_MAX 3
#define START_S 1000

/* Order is by priority, then age, then id: what the model can foresee whenever it is asked. */
static const struct queue_rules plain_rules = {.critical = 256};

static uint64_t rnd(uint64_t *state)
{
	uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

static struct model_task *task_of(struct model *m, int64_t id)
{
	for (size_t i = 0; i < m->n; i++)
		if (m->tasks[i].id == id)
			return &m->tasks[i];
	return NULL;
}

/* ---- the outside, as the queue sees it ---- */

static int on_start(void *user, const struct task *t)
{
	struct script *s = user;
	struct model_task *m = task_of(&s->model, t->id);

	/* Commit, then act. */
	ensure(!store_changing(s->store));
	ensure(m && m->state == MODEL_RUNNING && !m->begun);
	m->begun = true;
	return 0;
}

static void on_started(void *user, const struct task *t, struct utc_time at)
{
	struct script *s = user;
	struct model_task *m = task_of(&s->model, t->id);

	ensure(m && m->state == MODEL_WAITING);
	m->state = MODEL_RUNNING;
	m->attempts++;
	ensure(t->attempt == m->attempts);
	(void)at;
}

static void on_ended(void *user, const struct task *t, enum task_state state, const struct task_end *end)
{
	struct script *s = user;
	struct model_task *m = task_of(&s->model, t->id);

	ensure(m && m->state == (state == TASK_DONE ? MODEL_DONE : MODEL_FAILED));
	(void)end;
}

/* ---- what the script does ---- */

static int put(struct script *s)
{
	struct model_task m = {.priority = (uint8_t)(rnd(&s->seed) % 4 * 60),
		.age_ns = (START_S + (int64_t)(rnd(&s->seed) % 50)) * NS_PER_S};
	struct task_spec spec = {.run = s->turn,
		.stage = "stage",
		.payload = "payload",
		.priority = m.priority,
		.age_from.ns = m.age_ns,
		.cpus_milli = 1,
		.memory_bytes = 1,
		.retry = {.limit = RETRY_LIMIT, .backoff_ns = 1}};
	int r = scheduler_put(s->scheduler, &spec, &m.id);

	if (r < 0)
		return r;
	ensure(s->model.n < SCRIPT_TASKS_MAX && !task_of(&s->model, m.id));
	s->model.tasks[s->model.n++] = m;
	return 0;
}

static int finish(struct script *s, struct model_task *m)
{
	uint64_t luck = rnd(&s->seed) % 8;
	struct task_end end = {.reason = "", .wall_ns = 1, .cpu_ns = 1};

	m->begun = false;
	if (luck < 5) {
		end.succeeded = true;
		m->state = MODEL_DONE;
	} else if (luck == 5) {
		end.class = CLASS_BROKEN;
		m->state = MODEL_FAILED;
	} else {
		end.class = CLASS_TEMPORARY;
		m->state = m->failed_tries++ < RETRY_LIMIT ? MODEL_WAITING : MODEL_FAILED;
	}
	if (luck >= 5)
		snprintf(end.reason, sizeof(end.reason), "the script wanted it so (%d)", (int)luck);
	return scheduler_finish(s->scheduler, m->id, &end);
}

int script_end_of_turn(struct script *s)
{
	int r;

	do {
		r = scheduler_dispatch(s->scheduler);
		if (r == 0)
			r = store_turn_end(s->store);
		if (r != 0) /* held back: it goes on, unacknowledged */
			return r;
		if (s->on_turn)
			s->on_turn(s->user, &s->model);
	} while (scheduler_dirty(s->scheduler));
	return 0;
}

static void set_clock(struct script *s)
{
	clock_set_fake(
		(struct mono_time){s->turn * NS_PER_S}, (struct utc_time){(START_S + s->turn) * NS_PER_S});
}

int script_open(struct script *s, const char *path)
{
	struct scheduler_budget budget = {.cpus_milli = 1000, .memory_bytes = 1000, .tasks = RUNNING_MAX};
	char why[256];

	set_clock(s);
	int r = store_open(path, &s->store, why, sizeof(why));
	if (r == 0)
		r = scheduler_create(s->store, &budget, &s->scheduler);
	if (r == 0)
		r = scheduler_set_rules(s->scheduler, &plain_rules);
	if (r < 0)
		return r;
	scheduler_plug(s->scheduler, &(struct task_runner){.start = on_start, .user = s},
		&(struct task_owner){.on_started = on_started, .on_ended = on_ended, .user = s});
	return store_turn_end(s->store);
}

void script_close(struct script *s)
{
	scheduler_destroy(TAKE_PTR(s->scheduler));
	store_close(TAKE_PTR(s->store));
}

int script_turn(struct script *s)
{
	int r = 0;

	s->turn++;
	set_clock(s);
	for (size_t i = 0; r == 0 && i < s->model.n; i++)
		if (s->model.tasks[i].begun && rnd(&s->seed) % 2)
			r = finish(s, &s->model.tasks[i]);
	for (uint64_t n = rnd(&s->seed) % 3; r == 0 && n > 0; n--)
		r = put(s);
	return r < 0 ? r : script_end_of_turn(s);
}

/* ---- what a database holds, against models ---- */

struct seen {
	struct {
		int64_t id;
		uint32_t attempt;
	} starts[SCRIPT_TASKS_MAX + 1];
	size_t n, finished;
	int64_t counts[TASK_STATE_MAX];
};

static int see_start(void *user, const struct task *t)
{
	struct seen *seen = user;

	if (seen->n > SCRIPT_TASKS_MAX)
		return ERR_LIMIT;
	seen->starts[seen->n].id = t->id;
	seen->starts[seen->n++].attempt = t->attempt;
	return 0;
}

static void see_started(void *user, const struct task *t, struct utc_time at)
{
	(void)user, (void)t, (void)at;
}

static void see_ended(void *user, const struct task *t, enum task_state state, const struct task_end *end)
{
	(void)user, (void)t, (void)state, (void)end;
}

static int see_all(struct store *store, struct seen *seen)
{
	struct scheduler_budget one = {.cpus_milli = 1000, .memory_bytes = 1000, .tasks = 1};
	struct task_end done = {.succeeded = true};
	struct scheduler *sched = NULL;
	int r = scheduler_create(store, &one, &sched);

	if (r < 0)
		return r;
	scheduler_plug(sched, &(struct task_runner){.start = see_start, .user = seen},
		&(struct task_owner){.on_started = see_started, .on_ended = see_ended, .user = seen});
	r = scheduler_set_rules(sched, &plain_rules);
	if (r == 0)
		r = scheduler_counts(sched, seen->counts);
	while (r == 0) {
		r = scheduler_dispatch(sched);
		if (r == 0)
			r = store_turn_end(store);
		if (r < 0 || (seen->finished == seen->n && !scheduler_dirty(sched)))
			break;
		if (seen->finished < seen->n)
			r = scheduler_finish(sched, seen->starts[seen->finished++].id, &done);
	}
	scheduler_destroy(sched);
	return r;
}

static bool before(const struct model_task *a, const struct model_task *b)
{
	if (a->priority != b->priority)
		return a->priority > b->priority;
	return a->age_ns != b->age_ns ? a->age_ns < b->age_ns : a->id < b->id;
}

/* NULL: as the model has it, or what is different. */
static const char *compare(const struct seen *seen, const struct model *m)
{
	struct model left = {0};
	int64_t counts[TASK_STATE_MAX] = {0};

	for (size_t i = 0; i < m->n; i++) {
		const struct model_task *t = &m->tasks[i];
		size_t at = left.n;

		if (t->state == MODEL_DONE || t->state == MODEL_FAILED) {
			counts[t->state == MODEL_DONE ? TASK_DONE : TASK_FAILED]++;
			continue;
		}
		counts[TASK_READY]++; /* what was running is interrupted */
		for (; at > 0 && before(t, &left.tasks[at - 1]); at--)
			left.tasks[at] = left.tasks[at - 1];
		left.tasks[at] = *t;
		left.n++;
	}
	if (memcmp(counts, seen->counts, sizeof(counts)))
		return "the counts differ";
	if (left.n != seen->n)
		return "the number of tasks to run differs";
	for (size_t i = 0; i < left.n; i++) {
		if (left.tasks[i].id != seen->starts[i].id)
			return "the order differs";
		if (left.tasks[i].attempts + 1u != seen->starts[i].attempt)
			return "an attempt is forgotten, or one too many";
	}
	return NULL;
}

static bool sound(struct store *store)
{
	sqlite3_stmt *q = store_query(store, "PRAGMA integrity_check", "");
	bool ok =
		q && sqlite3_step(q) == SQLITE_ROW && !strcmp((const char *)sqlite3_column_text(q, 0), "ok");

	if (q)
		sqlite3_reset(q);
	return ok;
}

int script_check(const char *path, const struct model *const *models, size_t n_models)
{
	static struct seen seen;
	struct store *store = NULL;
	char why[256] = "";
	int found = -1;

	memset(&seen, 0, sizeof(seen));
	clock_set_fake((struct mono_time){0}, (struct utc_time){10 * START_S * NS_PER_S});
	if (store_open(path, &store, why, sizeof(why)) < 0) {
		fprintf(stderr, "%s: %s\n", path, why);
		return -1;
	}
	if (!sound(store))
		fprintf(stderr, "%s: the integrity check complains\n", path);
	else if (see_all(store, &seen) < 0)
		fprintf(stderr, "%s: what is left does not run to its end\n", path);
	else
		for (size_t i = 0; found < 0 && i < n_models; i++) {
			const char *differs = compare(&seen, models[i]);
			if (!differs)
				found = (int)i;
			else if (i + 1 == n_models)
				fprintf(stderr, "%s: %s\n", path, differs);
		}
	store_close(store);
	return found;
}
