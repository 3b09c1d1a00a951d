/* SPDX-License-Identifier: Apache-2.0 */
/* The queue against a simple model, with crashes; its rules one by one, on a fake clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/file.h"
#include "scheduler.h"

#define TASKS_MAX 400

static char dir[64], path[96];
static struct store *store;
static struct scheduler *sched;
static struct scheduler_budget budget;

/* What the runner and the owner heard, in order. */
static struct task started[TASKS_MAX];
static size_t n_started;
static struct {
	int64_t id;
	enum task_state state;
	struct task_end end;
} ended[TASKS_MAX];
static size_t n_ended;
static int start_result;
static uint64_t commits_at_start;

static int on_start(void *user, const struct task *t)
{
	/* Commit, then act: the row is on disk before the runner hears of it. */
	assert_false(store_changing(store));
	commits_at_start = store_commits(store);
	started[n_started++] = *t;
	return start_result;
}

static void on_started(void *user, const struct task *t, struct utc_time at)
{
	assert_true(store_changing(store));
}

static void on_ended(void *user, const struct task *t, enum task_state state, const struct task_end *end)
{
	assert_true(store_changing(store));
	ended[n_ended].id = t->id;
	ended[n_ended].state = state;
	ended[n_ended++].end = *end;
}

static void open_all(void)
{
	char why[128];

	assert_int_equal(store_open(path, &store, why, sizeof(why)), 0);
	assert_int_equal(scheduler_create(store, &budget, &sched), 0);
	scheduler_plug(sched, &(struct task_runner){.start = on_start},
		&(struct task_owner){.on_started = on_started, .on_ended = on_ended});
	assert_int_equal(store_turn_end(store), 0);
}

static void close_all(void)
{
	scheduler_destroy(sched);
	store_close(store); /* what is not committed is lost, as in a crash */
}

static void turn(void)
{
	do {
		assert_int_equal(scheduler_dispatch(sched), 0);
		assert_int_equal(store_turn_end(store), 0);
	} while (scheduler_dirty(sched));
}

static int64_t put(uint8_t priority, int64_t age_s, uint32_t cpus_milli)
{
	struct task_spec spec = {.run = 1,
		.stage = "s",
		.payload = "p",
		.priority = priority,
		.age_from.ns = age_s * NS_PER_S,
		.cpus_milli = cpus_milli,
		.memory_bytes = 1,
		.retry_limit = 2,
		.backoff_ns = NS_PER_S};
	int64_t id;

	assert_int_equal(scheduler_put(sched, &spec, &id), 0);
	return id;
}

static void finish(int64_t id, enum task_verdict verdict)
{
	struct task_end end = {.verdict = verdict, .reason = "because", .cpu_ns = 5};

	assert_int_equal(scheduler_finish(sched, id, &end), 0);
}

static int setup(void **state)
{
	/* Memory: what the disk does is not tested here. */
	strcpy(dir,
		access("/dev/shm", W_OK) == 0 ? "/dev/shm/perigee-test-XXXXXX" : "/tmp/perigee-test-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/db", dir);
	budget = (struct scheduler_budget){.cpus_milli = 2000, .memory_bytes = 1000, .tasks = 2};
	n_started = n_ended = 0;
	start_result = 0;
	clock_set_fake((struct mono_time){0}, (struct utc_time){1000 * NS_PER_S});
	open_all();
	return 0;
}

static int teardown(void **state)
{
	close_all();
	clock_real();
	return dir_remove(dir);
}

static void test_order_is_priority_then_age(void **state)
{
	int64_t a, b, c;

	budget.tasks = 1;
	close_all();
	open_all();
	a = put(10, 3, 1);
	b = put(200, 2, 1);
	c = put(200, 1, 1);
	turn();
	assert_int_equal(n_started, 1);
	assert_int_equal(started[0].id, c);
	finish(c, TASK_SUCCEEDED);
	turn();
	assert_int_equal(started[1].id, b);
	finish(b, TASK_SUCCEEDED);
	turn();
	assert_int_equal(started[2].id, a);
}

static void test_nothing_overtakes_a_head_that_does_not_fit(void **state)
{
	int64_t running = put(200, 1, 1500), head = put(150, 1, 2000), small = put(100, 1, 100);

	turn();
	assert_int_equal(n_started, 1);
	finish(running, TASK_SUCCEEDED);
	turn();
	assert_int_equal(n_started, 2);
	assert_int_equal(started[1].id, head);
	finish(head, TASK_SUCCEEDED);
	turn();
	assert_int_equal(n_started, 3);
	assert_int_equal(started[2].id, small);
	assert_true(scheduler_fits(sched, 2000, 1000));
	assert_false(scheduler_fits(sched, 2001, 1000));
	assert_false(scheduler_fits(sched, 2000, 1001));
}

static void test_what_can_never_fit_does_not_block(void **state)
{
	int64_t first = put(200, 1, 2000), large = put(150, 1, 2000), small = put(100, 1, 100);

	turn();
	finish(first, TASK_SUCCEEDED);
	assert_int_equal(store_turn_end(store), 0);
	close_all();
	budget.cpus_milli = 1000; /* the mission file changed */
	n_started = n_ended = 0;
	open_all();
	turn();
	assert_int_equal(n_ended, 1);
	assert_int_equal(ended[0].id, large);
	assert_int_equal(ended[0].state, TASK_FAILED);
	assert_non_null(strstr(ended[0].end.reason, "budget"));
	assert_int_equal(n_started, 1);
	assert_int_equal(started[0].id, small);
}

static void test_put_and_start_share_one_commit(void **state)
{
	uint64_t before = store_commits(store);

	put(1, 1, 1);
	turn();
	assert_int_equal(n_started, 1);
	assert_int_equal(commits_at_start, before + 1);
}

static void test_temporary_failure_is_tried_again_with_backoff(void **state)
{
	int64_t id = put(1, 1, 1);

	turn();
	finish(id, TASK_TEMPORARY);
	turn();
	assert_int_equal(n_started, 1);
	assert_int_equal(n_ended, 0);
	assert_int_equal(scheduler_wake_at(sched).ns, 1001 * NS_PER_S);
	clock_set_fake((struct mono_time){0}, (struct utc_time){1001 * NS_PER_S});
	scheduler_poke(sched);
	turn();
	assert_int_equal(n_started, 2);
	assert_int_equal(started[1].attempt, 2);
	finish(id, TASK_TEMPORARY); /* the second wait is twice as long */
	turn();
	assert_int_equal(scheduler_wake_at(sched).ns, 1003 * NS_PER_S);
	clock_set_fake((struct mono_time){0}, (struct utc_time){1003 * NS_PER_S});
	scheduler_poke(sched);
	turn();
	finish(id, TASK_TEMPORARY); /* the limit of two further attempts is reached */
	turn();
	assert_int_equal(n_started, 3);
	assert_int_equal(n_ended, 1);
	assert_int_equal(ended[0].state, TASK_FAILED);
	assert_string_equal(ended[0].end.reason, "because");
}

static void test_past_its_deadline_a_task_never_starts(void **state)
{
	struct task_spec spec = {.run = 1,
		.stage = "s",
		.payload = "p",
		.priority = 1,
		.cpus_milli = 1500,
		.deadline.ns = 1005 * NS_PER_S};
	int64_t first = put(9, 1, 1500), late;

	assert_int_equal(scheduler_put(sched, &spec, &late), 0);
	turn();
	assert_int_equal(scheduler_wake_at(sched).ns, 1005 * NS_PER_S);
	clock_set_fake((struct mono_time){0}, (struct utc_time){1005 * NS_PER_S});
	scheduler_poke(sched);
	turn();
	assert_int_equal(n_ended, 1);
	assert_int_equal(ended[0].id, late);
	assert_int_equal(ended[0].state, TASK_EXPIRED);
	finish(first, TASK_SUCCEEDED);
	turn();
	assert_int_equal(n_started, 1);
}

static void test_a_start_that_fails_ends_the_task(void **state)
{
	start_result = ERR_SANDBOX;
	int64_t id = put(1, 1, 2000);
	turn();
	assert_int_equal(n_ended, 1);
	assert_int_equal(ended[0].id, id);
	assert_int_equal(ended[0].state, TASK_FAILED);
	assert_non_null(strstr(ended[0].end.reason, "sandbox"));
	start_result = 0;
	put(1, 1, 2000); /* its budget came back */
	turn();
	assert_int_equal(n_started, 2);
	assert_int_equal(scheduler_running(sched), 1);
}

static void test_finishing_what_does_not_run_changes_nothing(void **state)
{
	struct task_end end = {.verdict = TASK_SUCCEEDED};
	int64_t id = put(1, 1, 1);

	assert_int_equal(scheduler_finish(sched, id, &end), ERR_STATE);
	turn();
	finish(id, TASK_SUCCEEDED);
	assert_int_equal(scheduler_finish(sched, id, &end), ERR_STATE);
	turn();
	assert_int_equal(n_ended, 1);
}

/* ---- rules, one by one ---- */

static void at(int64_t s)
{
	clock_set_fake((struct mono_time){s * NS_PER_S}, (struct utc_time){(1000 + s) * NS_PER_S});
	scheduler_poke(sched);
}

static int64_t put_spec(struct task_spec spec)
{
	int64_t id;

	spec.stage = "s";
	if (!spec.payload)
		spec.payload = "p";
	assert_int_equal(scheduler_put(sched, &spec, &id), 0);
	return id;
}

static void test_equal_priority_goes_by_deadline_then_age(void **state)
{
	int64_t late, none, soon, old;

	budget.tasks = 1;
	close_all();
	open_all();
	none = put_spec((struct task_spec){.run = 1, .priority = 9, .age_from.ns = 2});
	old = put_spec((struct task_spec){.run = 1, .priority = 9, .age_from.ns = 1});
	late = put_spec((struct task_spec){.run = 1, .priority = 9, .deadline.ns = 9000 * NS_PER_S});
	soon = put_spec((struct task_spec){.run = 1, .priority = 9, .deadline.ns = 5000 * NS_PER_S});
	const int64_t expected[] = {soon, late, old, none};
	for (size_t i = 0; i < ARRAY_LEN(expected); i++) {
		turn();
		assert_int_equal(started[i].id, expected[i]);
		finish(expected[i], TASK_SUCCEEDED);
	}
}

/* A steady flood of 100 does not starve a 10, and neither ever overtakes the critical class. */
static void test_waiting_gains_priority_but_not_over_the_critical_class(void **state)
{
	struct queue_rules rules = queue_rules_default;
	int64_t low, i;

	rules.ageing_ns = 10 * NS_PER_S;
	budget.tasks = 1;
	close_all();
	open_all();
	assert_int_equal(scheduler_set_rules(sched, &rules), 0);
	put_spec((struct task_spec){.run = 1, .priority = 100});
	low = put_spec((struct task_spec){.run = 2, .priority = 10});
	turn();
	for (i = 1; i < 300 && started[n_started - 1].id != low; i++) {
		int64_t critical = 0;
		at(i * 10);
		put_spec((struct task_spec){.run = 2 * i + 10, .priority = 100});
		if (i % 20 == 0)
			critical = put_spec((struct task_spec){.run = 2 * i + 11, .priority = 200});
		finish(started[n_started - 1].id, TASK_SUCCEEDED);
		turn();
		if (critical)
			assert_int_equal(started[n_started - 1].id, critical);
	}
	/* One priority for each 10 s: 90 of them are made up for, not more and not much less. */
	assert_in_range(i, 88, 130);
}

static void test_ageing_of_a_new_mission_file_counts_for_what_waits(void **state)
{
	struct queue_rules rules = queue_rules_default;
	int64_t first, second;

	budget.tasks = 1;
	budget.cpus_milli = 1000;
	close_all();
	open_all();
	first = put_spec((struct task_spec){.run = 1, .priority = 10});
	at(100);
	second = put_spec((struct task_spec){.run = 2, .priority = 12});
	rules.ageing_ns = 10 * NS_PER_S;
	assert_int_equal(scheduler_set_rules(sched, &rules), 0);
	turn();
	assert_int_equal(started[0].id, first);
	finish(first, TASK_SUCCEEDED);
	turn();
	assert_int_equal(started[1].id, second);
}

/* 1.5 of 2 CPUs run until 30 s; the head needs both. */
static void test_backfill_ends_before_the_head_may_start(void **state)
{
	budget.tasks = 4;
	close_all();
	open_all();
	int64_t running = put_spec(
		(struct task_spec){.run = 1, .priority = 99, .cpus_milli = 1500, .time_ns = 30 * NS_PER_S});
	turn();
	at(10);
	int64_t head = put_spec(
		(struct task_spec){.run = 1, .priority = 50, .cpus_milli = 2000, .time_ns = NS_PER_S});
	put_spec((struct task_spec){.run = 1, .priority = 40, .cpus_milli = 500, .time_ns = 21 * NS_PER_S});
	put_spec((struct task_spec){.run = 1, .priority = 30, .cpus_milli = 500}); /* may run for ever */
	int64_t short_one = put_spec(
		(struct task_spec){.run = 1, .priority = 20, .cpus_milli = 500, .time_ns = 20 * NS_PER_S});
	turn();
	assert_int_equal(n_started, 2);
	assert_int_equal(started[1].id, short_one);
	at(30);
	finish(short_one, TASK_SUCCEEDED);
	finish(running, TASK_SUCCEEDED);
	turn();
	assert_int_equal(n_started, 3);
	assert_int_equal(started[2].id, head);
}

/* Room that the head leaves is anybody's, but only once. */
static void test_backfill_beside_the_head(void **state)
{
	budget.tasks = 4;
	close_all();
	open_all();
	put_spec((struct task_spec){.run = 1, .priority = 99, .cpus_milli = 1000});
	turn();
	put_spec((struct task_spec){.run = 1, .priority = 50, .cpus_milli = 1400});
	int64_t beside = put_spec((struct task_spec){.run = 1, .priority = 40, .cpus_milli = 400});
	put_spec((struct task_spec){.run = 1, .priority = 30, .cpus_milli = 400});
	turn();
	assert_int_equal(n_started, 2);
	assert_int_equal(started[1].id, beside);
}

static void test_interrupted_too_often_it_is_poison(void **state)
{
	int64_t id = put(1, 1, 1);

	for (uint32_t i = 0; i < queue_rules_default.poison; i++) {
		turn();
		assert_int_equal(n_started, i + 1);
		assert_int_equal(started[i].id, id);
		close_all();
		open_all();
		assert_int_equal(scheduler_interrupted(sched), 1);
	}
	turn();
	assert_int_equal(n_started, queue_rules_default.poison);
	assert_int_equal(n_ended, 1);
	assert_int_equal(ended[0].state, TASK_POISON);
	sqlite3_stmt *q = store_query(
		store, "SELECT count(*) FROM attempt WHERE task = ? AND outcome = 'interrupted'", "i", id);
	assert_int_equal(sqlite3_step(q), SQLITE_ROW);
	assert_int_equal(sqlite3_column_int(q, 0), queue_rules_default.poison);
	sqlite3_reset(q);
}

static void test_killing_its_sandbox_too_often_it_is_poison(void **state)
{
	int64_t id = put(1, 1, 1);

	for (uint32_t i = 0; i < queue_rules_default.poison; i++) {
		assert_int_equal(n_ended, 0);
		turn();
		assert_int_equal(n_started, i + 1);
		finish(id, TASK_CRASHED);
	}
	turn();
	assert_int_equal(n_started, queue_rules_default.poison);
	assert_int_equal(ended[0].state, TASK_POISON);
	assert_non_null(strstr(ended[0].end.reason, "because"));
}

static void test_quotas_of_a_payload(void **state)
{
	struct queue_rules rules = queue_rules_default;
	char why[256];
	int64_t a1, b;

	rules.quotas[0] = (struct queue_quota){.payload = "a", .tasks = 1, .waiting = 2, .cpu_ns_per_day = 5};
	rules.n_quotas = 1;
	assert_int_equal(scheduler_set_rules(sched, &rules), 0);
	a1 = put_spec((struct task_spec){.run = 1, .payload = "a", .priority = 9});
	turn();
	assert_int_equal(scheduler_room(sched, "a", why, sizeof(why)), 0);
	put_spec((struct task_spec){.run = 1, .payload = "a", .priority = 9});
	put_spec((struct task_spec){.run = 1, .payload = "a", .priority = 9});
	b = put_spec((struct task_spec){.run = 1, .payload = "b", .priority = 1});
	assert_int_equal(scheduler_room(sched, "a", why, sizeof(why)), ERR_LIMIT);
	assert_string_equal(why, "2 tasks of payload a wait already, its quota is 2");
	assert_int_equal(scheduler_room(sched, "b", why, sizeof(why)), 0);
	turn(); /* a second one of a would fit, but for its quota */
	assert_int_equal(n_started, 2);
	assert_int_equal(started[0].id, a1);
	assert_int_equal(started[1].id, b);
	finish(a1, TASK_SUCCEEDED); /* and with it the CPU time of today */
	turn();
	assert_int_equal(n_started, 2);
	assert_int_equal(scheduler_wake_at(sched).ns, 86400 * NS_PER_S);
	close_all(); /* it is not forgotten */
	open_all();
	assert_int_equal(scheduler_set_rules(sched, &rules), 0);
	turn();
	assert_int_equal(n_started, 3); /* b again */
	assert_int_equal(started[2].id, b);
	at(86400 - 1000);
	turn();
	assert_int_equal(n_started, 4);
}

static void test_history_is_bounded(void **state)
{
	struct queue_rules rules = queue_rules_default;
	int64_t counts[TASK_STATE_MAX];

	rules.history = 10;
	assert_int_equal(scheduler_set_rules(sched, &rules), 0);
	for (int i = 0; i < 50; i++) {
		int64_t id = put(1, 1, 1);
		turn();
		finish(id, TASK_SUCCEEDED);
	}
	turn();
	assert_int_equal(scheduler_counts(sched, counts), 0);
	assert_int_equal(counts[TASK_DONE], 10);
	assert_int_equal(n_ended, 50);
}

/* ---- against a model ---- */

struct model_task {
	int64_t id;
	uint8_t priority;
	int64_t age_s;
	enum { M_READY, M_RUNNING, M_DONE, M_FAILED, M_POISON } state;
	uint32_t interrupted;
};

static struct model_task model[TASKS_MAX], committed[TASKS_MAX];
static size_t n_model, n_committed;

static uint32_t rng;
static uint32_t next_random(uint32_t below)
{
	rng = rng * 1664525u + 1013904223u;
	return (uint32_t)(((uint64_t)(rng >> 8) * below) >> 24);
}

static struct model_task *model_head(void)
{
	struct model_task *best = NULL;

	for (size_t i = 0; i < n_model; i++) {
		struct model_task *t = &model[i];
		if (t->state == M_READY && (!best || t->priority > best->priority ||
						   (t->priority == best->priority && t->age_s < best->age_s)))
			best = t;
	}
	return best;
}

static size_t model_count(int state)
{
	size_t n = 0;

	for (size_t i = 0; i < n_model; i++)
		n += model[i].state == (unsigned)state;
	return n;
}

static void model_turn(void)
{
	size_t first = n_started = 0;

	turn();
	for (struct model_task *t; model_count(M_RUNNING) < budget.tasks && (t = model_head());) {
		assert_true(first < n_started);
		assert_int_equal(started[first++].id, t->id);
		t->state = M_RUNNING;
	}
	assert_int_equal(first, n_started);
	memcpy(committed, model, sizeof(model));
	n_committed = n_model;
}

static void model_crash(void)
{
	close_all();
	memcpy(model, committed, sizeof(model));
	n_model = n_committed;
	for (size_t i = 0; i < n_model; i++)
		if (model[i].state == M_RUNNING)
			model[i].state =
				++model[i].interrupted < queue_rules_default.poison ? M_READY : M_POISON;
	open_all(); /* which commits that */
	memcpy(committed, model, sizeof(model));
}

static void run_model(uint32_t seed)
{
	int64_t counts[TASK_STATE_MAX];

	rng = seed;
	n_model = n_committed = 0;
	for (int step = 0; step < 300; step++) {
		uint32_t what = next_random(10);

		n_ended = 0;
		if (what < 4 && n_model < TASKS_MAX) {
			struct model_task *t = &model[n_model++];
			*t = (struct model_task){
				.priority = (uint8_t)next_random(5), .age_s = next_random(4)};
			t->id = put(t->priority, t->age_s, 1);
			/* Equal in both: the one that was put first goes first, which the model's order has
			 * too. */
		} else if (what < 7 && model_count(M_RUNNING)) {
			struct model_task *t = model;
			for (uint32_t skip = next_random((uint32_t)model_count(M_RUNNING)) + 1; skip; t++)
				skip -= t->state == M_RUNNING;
			t--;
			bool good = next_random(3) > 0;
			finish(t->id, good ? TASK_SUCCEEDED : TASK_BROKEN);
			t->state = good ? M_DONE : M_FAILED;
		} else if (what == 7) {
			model_crash();
		} else {
			model_turn();
		}
	}
	model_turn();
	assert_int_equal(scheduler_counts(sched, counts), 0);
	assert_int_equal(counts[TASK_READY], model_count(M_READY));
	assert_int_equal(counts[TASK_RUNNING], model_count(M_RUNNING));
	assert_int_equal(counts[TASK_DONE], model_count(M_DONE));
	assert_int_equal(counts[TASK_FAILED], model_count(M_FAILED));
	assert_int_equal(counts[TASK_POISON], model_count(M_POISON));
}

static void test_random_operations_and_crashes_agree_with_the_model(void **state)
{
	for (uint32_t seed = 1; seed <= 350; seed++) {
		run_model(seed);
		close_all();
		assert_int_equal(dir_remove(path), 0);
		char extra[128];
		snprintf(extra, sizeof(extra), "%s-wal", path);
		unlink(extra);
		snprintf(extra, sizeof(extra), "%s-shm", path);
		unlink(extra);
		open_all();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_order_is_priority_then_age, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_nothing_overtakes_a_head_that_does_not_fit, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_can_never_fit_does_not_block, setup, teardown),
		cmocka_unit_test_setup_teardown(test_put_and_start_share_one_commit, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_temporary_failure_is_tried_again_with_backoff, setup, teardown),
		cmocka_unit_test_setup_teardown(test_past_its_deadline_a_task_never_starts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_start_that_fails_ends_the_task, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_finishing_what_does_not_run_changes_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_equal_priority_goes_by_deadline_then_age, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_waiting_gains_priority_but_not_over_the_critical_class, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_ageing_of_a_new_mission_file_counts_for_what_waits, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_backfill_ends_before_the_head_may_start, setup, teardown),
		cmocka_unit_test_setup_teardown(test_backfill_beside_the_head, setup, teardown),
		cmocka_unit_test_setup_teardown(test_interrupted_too_often_it_is_poison, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_killing_its_sandbox_too_often_it_is_poison, setup, teardown),
		cmocka_unit_test_setup_teardown(test_quotas_of_a_payload, setup, teardown),
		cmocka_unit_test_setup_teardown(test_history_is_bounded, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_random_operations_and_crashes_agree_with_the_model, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
