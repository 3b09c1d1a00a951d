/* SPDX-License-Identifier: Apache-2.0 */
/* The rules of the queue, one by one, each as a scenario on a fake clock. */
#include "bench.h"

static void test_equal_priority_goes_by_deadline_then_age(void **state)
{
	int64_t late, none, soon, old;

	budget.tasks = 1;
	reopen_all();
	none = put_spec((struct task_spec){.run = 1, .priority = 9, .age_from.ns = 2});
	old = put_spec((struct task_spec){.run = 1, .priority = 9, .age_from.ns = 1});
	late = put_spec((struct task_spec){.run = 1, .priority = 9, .deadline.ns = 9000 * NS_PER_S});
	soon = put_spec((struct task_spec){.run = 1, .priority = 9, .deadline.ns = 5000 * NS_PER_S});
	const int64_t expected[] = {soon, late, old, none};
	for (size_t i = 0; i < ARRAY_LEN(expected); i++) {
		turn();
		assert_int_equal(started[i].id, expected[i]);
		succeed(expected[i]);
	}
}

/* A steady flood of 100 does not starve a 10, and neither ever overtakes the critical class. */
static void test_waiting_gains_priority_but_not_over_the_critical_class(void **state)
{
	struct queue_rules rules = queue_rules_default;
	int64_t low, i;

	rules.ageing_ns = 10 * NS_PER_S;
	budget.tasks = 1;
	reopen_all();
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
		succeed(started[n_started - 1].id);
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
	reopen_all();
	first = put_spec((struct task_spec){.run = 1, .priority = 10});
	at(100);
	second = put_spec((struct task_spec){.run = 2, .priority = 12});
	rules.ageing_ns = 10 * NS_PER_S;
	assert_int_equal(scheduler_set_rules(sched, &rules), 0);
	turn();
	assert_int_equal(started[0].id, first);
	succeed(first);
	turn();
	assert_int_equal(started[1].id, second);
}

/* 1.5 of 2 CPUs run until 30 s; the head needs both. */
static void test_backfill_ends_before_the_head_may_start(void **state)
{
	budget.tasks = 4;
	reopen_all();
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
	succeed(short_one);
	succeed(running);
	turn();
	assert_int_equal(n_started, 3);
	assert_int_equal(started[2].id, head);
}

/* Room that the head leaves is anybody's, but only once. */
static void test_backfill_beside_the_head(void **state)
{
	budget.tasks = 4;
	reopen_all();
	put_spec((struct task_spec){.run = 1, .priority = 99, .cpus_milli = 1000});
	turn();
	put_spec((struct task_spec){.run = 1, .priority = 50, .cpus_milli = 1400});
	int64_t beside = put_spec((struct task_spec){.run = 1, .priority = 40, .cpus_milli = 400});
	put_spec((struct task_spec){.run = 1, .priority = 30, .cpus_milli = 400});
	turn();
	assert_int_equal(n_started, 2);
	assert_int_equal(started[1].id, beside);
}

/* ---- poison ---- */

static void test_the_supervisors_deaths_are_never_held_against_a_task(void **state)
{
	int64_t id = put(1, 1, 1);

	for (uint32_t i = 0; i < 4 * queue_rules_default.poison; i++) {
		turn();
		assert_int_equal(n_started, i + 1);
		assert_int_equal(started[i].id, id);
		assert_int_equal(started[i].attempt, i + 1);
		reopen_all();
		assert_int_equal(scheduler_interrupted(sched), 1);
	}
	turn();
	succeed(id);
	turn();
	assert_int_equal(ended[0].state, TASK_DONE);
	assert_int_equal(number_of("SELECT count(*) FROM attempt WHERE outcome = 'interrupted'"),
		4 * queue_rules_default.poison);
}

static void test_where_the_machine_goes_down_too_often_it_is_poison(void **state)
{
	static const char *const boots[] = {"second", "third", "fourth", "fifth", "sixth"};
	int64_t bad = put(9, 1, 1), innocent = put(1, 1, 1);

	assert_int_equal(ARRAY_LEN(boots), queue_rules_default.poison);
	turn();
	assert_int_equal(n_started, 2);
	boot_id_set_fake(boots[0]);
	reopen_all();
	for (size_t i = 1; i < ARRAY_LEN(boots); i++) {
		/* Alone: it is before the innocent one, and takes only itself along. */
		n_started = 0;
		turn();
		assert_int_equal(n_started, 1);
		assert_int_equal(started[0].id, bad);
		boot_id_set_fake(boots[i]);
		reopen_all();
	}
	turn();
	assert_int_equal(n_ended, 1);
	assert_int_equal(ended[0].id, bad);
	assert_int_equal(ended[0].state, TASK_POISON);
	assert_int_equal(started[n_started - 1].id, innocent);
	succeed(innocent);
	turn();
	assert_int_equal(ended[1].state, TASK_DONE);
	assert_int_equal(number_of("SELECT count(*) FROM attempt WHERE outcome = 'machine-down'"),
		queue_rules_default.poison + 1);
}

static void test_an_orderly_end_before_the_machine_goes_down_blames_nobody(void **state)
{
	put(1, 1, 1);
	turn();
	assert_int_equal(scheduler_retire(sched), 0);
	assert_int_equal(store_turn_end(store), 0);
	boot_id_set_fake("second");
	reopen_all();
	assert_int_equal(number_of("SELECT suspected FROM task"), 0);
	assert_int_equal(number_of("SELECT interrupted FROM task"), 1);
}

static void test_whose_sandbox_breaks_too_often_it_is_poison(void **state)
{
	int64_t id = put(1, 1, 1);

	for (uint32_t i = 0; i < queue_rules_default.poison; i++) {
		assert_int_equal(n_ended, 0);
		turn();
		assert_int_equal(n_started, i + 1);
		broke(id);
		assert_int_equal(n_again, i + 1 < queue_rules_default.poison ? i + 1 : i);
	}
	turn();
	assert_int_equal(n_started, queue_rules_default.poison);
	assert_int_equal(ended[0].state, TASK_POISON);
	assert_non_null(strstr(ended[0].end.reason, "because"));
}

static void test_a_suspect_runs_alone(void **state)
{
	budget.tasks = 4;
	reopen_all();
	int64_t suspect = put(9, 1, 100), other = put(5, 1, 100);
	turn();
	assert_int_equal(n_started, 2);
	broke(suspect);
	int64_t third = put(1, 1, 100);
	turn(); /* it waits for the other to end; nothing without a time limit goes in front */
	assert_int_equal(n_started, 2);
	succeed(other);
	turn();
	assert_int_equal(n_started, 3);
	assert_int_equal(started[2].id, suspect);
	succeed(suspect);
	turn();
	assert_int_equal(started[3].id, third);
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
	succeed(a1); /* and with it the CPU time of today */
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

/* The clock: so many seconds after the start, UTC stepped by so many. */
static void stepped(int64_t s, int64_t step_s)
{
	clock_set_fake((struct mono_time){s * NS_PER_S}, (struct utc_time){(200000 + s + step_s) * NS_PER_S});
	scheduler_poke(sched);
}

static void test_a_backoff_takes_as_long_when_the_clock_is_stepped(void **state)
{
	static const int64_t steps_s[] = {-86400, 86400, -199990, -1};

	for (size_t i = 0; i < ARRAY_LEN(steps_s); i++) {
		stepped(0, 0);
		reopen_all();
		n_started = 0;
		int64_t id = put_spec((struct task_spec){
			.run = 1, .cpus_milli = 1, .retry = {.limit = 1, .backoff_ns = 20 * NS_PER_S}});
		turn();
		failed(id, CLASS_TEMPORARY);
		turn();
		/* Seen in a turn in which nothing else has happened, and nobody poked. */
		clock_set_fake((struct mono_time){15 * NS_PER_S},
			(struct utc_time){(200015 + steps_s[i]) * NS_PER_S});
		turn();
		assert_int_equal(n_started, 1);
		if (200000 + steps_s[i] > 1000)
			assert_int_equal(scheduler_wake_at(sched).ns,
				(200020 + steps_s[i] + (steps_s[i] == -1)) * NS_PER_S);
		stepped(19, steps_s[i]);
		turn();
		assert_int_equal(n_started, 1);
		stepped(20, steps_s[i]);
		turn();
		assert_int_equal(n_started, 2);
		succeed(id);
		turn();
	}
}

/* More than one dispatch does, over a restart; and what is put meanwhile belongs to its run. */
static void test_who_has_waited_has_waited_as_long_when_the_clock_is_stepped(void **state)
{
	struct task_spec one = {.run = 1, .priority = 3, .cpus_milli = 1};
	int64_t last = 0;

	budget.tasks = 1;
	stepped(0, 0);
	reopen_all();
	scheduler_pause(sched, "not yet");
	int64_t first = put_spec(one);
	for (int i = 0; i < 3000; i++)
		last = put_spec((struct task_spec){.run = 2, .priority = 0, .cpus_milli = 1});
	turn();
	stepped(3600, -86400); /* six slices of ageing later */
	one.run = 3;
	one.priority = 8;
	int64_t before_seen = put_spec(one);
	turn();
	int64_t more = put_spec((struct task_spec){.run = 2, .priority = 0, .cpus_milli = 1});
	assert_true(scheduler_wake_at(sched).ns == clock_utc().ns); /* go on at once */
	reopen_all();
	scheduler_pause(sched, "not yet");
	more = put_spec((struct task_spec){.run = 2, .priority = 0, .cpus_milli = 1});
	for (int i = 0; i < 5; i++) {
		scheduler_poke(sched);
		turn();
	}
	assert_int_equal(number_of("SELECT count(*) FROM task WHERE run <= 2 AND waits_from_ns ="
				   " (200000 - 86400) * 1000000000"),
		3002);
	assert_int_equal(number_of("SELECT waits_from_ns FROM task WHERE run = 3"),
		(200000 - 86400 + 3600) * NS_PER_S);
	assert_true(more > last);
	assert_int_equal(number_of("SELECT value FROM queue_fact WHERE name = 'step'"), 0);
	one.run = 4;
	int64_t after = put_spec(one);
	scheduler_pause(sched, NULL);
	n_started = 0;
	int64_t order[] = {first, before_seen, after};
	for (size_t i = 0; i < ARRAY_LEN(order); i++) {
		turn();
		assert_int_equal(started[i].id, order[i]);
		succeed(order[i]);
	}
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
		succeed(id);
	}
	turn();
	assert_int_equal(scheduler_counts(sched, counts), 0);
	assert_int_equal(counts[TASK_DONE], 10);
	assert_int_equal(n_ended, 50);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_equal_priority_goes_by_deadline_then_age),
		TEST(test_waiting_gains_priority_but_not_over_the_critical_class),
		TEST(test_ageing_of_a_new_mission_file_counts_for_what_waits),
		TEST(test_backfill_ends_before_the_head_may_start),
		TEST(test_backfill_beside_the_head),
		TEST(test_the_supervisors_deaths_are_never_held_against_a_task),
		TEST(test_where_the_machine_goes_down_too_often_it_is_poison),
		TEST(test_an_orderly_end_before_the_machine_goes_down_blames_nobody),
		TEST(test_whose_sandbox_breaks_too_often_it_is_poison),
		TEST(test_a_suspect_runs_alone),
		TEST(test_quotas_of_a_payload),
		TEST(test_a_backoff_takes_as_long_when_the_clock_is_stepped),
		TEST(test_who_has_waited_has_waited_as_long_when_the_clock_is_stepped),
		TEST(test_history_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
