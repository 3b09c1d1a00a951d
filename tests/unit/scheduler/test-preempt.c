/* SPDX-License-Identifier: Apache-2.0 */
/* Preemption, each rule as a scenario on a fake clock. 2 CPUs, 1000 bytes, 2 tasks, unless said. */
#include "bench.h"
#include "core/json.h"

static int64_t put_sized(uint8_t priority, uint32_t cpus_milli, uint64_t memory_bytes, int64_t time_s)
{
	return put_spec((struct task_spec){.run = priority,
		.item = -1,
		.priority = priority,
		.cpus_milli = cpus_milli,
		.memory_bytes = memory_bytes,
		.time_ns = time_s * NS_PER_S});
}

static void with_rule(uint16_t preempt)
{
	struct queue_rules rules = queue_rules_default;

	rules.preempt = preempt;
	assert_int_equal(scheduler_set_rules(sched, &rules), 0);
}

static void assert_heard(size_t i, int64_t id, bool frozen_now)
{
	assert_true(i < n_frozen && i < n_told_frozen);
	assert_int_equal(frozen[i].id, id);
	assert_int_equal(frozen[i].frozen, frozen_now);
	assert_int_equal(told_frozen[i].id, id);
	assert_int_equal(told_frozen[i].frozen, frozen_now);
}

static void explained(int64_t id, const char *key, const char *expected)
{
	cJSON *j;

	assert_int_equal(scheduler_explain(sched, id, &j), 0);
	assert_non_null(json_str(j, key));
	assert_string_equal(json_str(j, key), expected);
	cJSON_Delete(j);
}

static void test_a_critical_one_freezes_what_is_in_its_way_and_no_more(void **state)
{
	budget.tasks = 3;
	reopen_all();
	int64_t small = put_sized(50, 500, 1, 0), large = put_sized(60, 1500, 1, 0);
	turn();
	assert_int_equal(n_started, 2);
	int64_t head = put_sized(250, 1500, 1, 0);
	turn();
	assert_int_equal(n_frozen, 1);
	assert_heard(0, large, true);
	assert_int_equal(n_started, 3);
	assert_int_equal(started[2].id, head);
	assert_int_equal(n_stopped, 0);
	explained(large, "why", "it stands still: task 3, which is more important, had it frozen");
	succeed(head);
	turn();
	assert_heard(1, large, false);
	succeed(large);
	succeed(small);
	turn();
	assert_int_equal(n_ended, 3);
	assert_int_equal(n_again, 0);
}

/* The classical inversion: something of middling importance keeps the CPUs from the one that counts, because
 * something small holds them. */
static void test_no_inversion(void **state)
{
	int64_t low = put_sized(10, 2000, 1, 0);
	turn();
	put_sized(100, 2000, 1, 0);
	int64_t high = put_sized(200, 2000, 1, 0);
	turn();
	assert_int_equal(n_started, 2);
	assert_int_equal(started[1].id, high);
	/* And the low one, which gave way, goes on before the middling one. */
	succeed(high);
	turn();
	assert_int_equal(n_started, 2);
	assert_heard(1, low, false);
	succeed(low);
	turn();
	assert_int_equal(n_started, 3);
}

static void test_within_a_class_nobody_is_preempted(void **state)
{
	put_sized(10, 2000, 1, 0);
	turn();
	put_sized(199, 2000, 1, 0);
	turn();
	assert_int_equal(n_frozen + n_stopped, 0);
	reopen_all();
	empty_database();
	n_started = 0;
	put_sized(200, 2000, 1, 0);
	turn();
	put_sized(255, 2000, 1, 0);
	turn();
	assert_int_equal(n_started, 1);
	assert_int_equal(n_frozen + n_stopped, 0);
}

static void test_by_a_margin_of_priority(void **state)
{
	with_rule(50);
	int64_t running = put_sized(100, 2000, 1, 0);
	turn();
	put_sized(149, 2000, 1, 0);
	turn();
	assert_int_equal(n_frozen, 0);
	int64_t head = put_sized(150, 2000, 1, 0);
	turn();
	assert_heard(0, running, true);
	assert_int_equal(started[1].id, head);
	with_rule(0);
	put_sized(255, 2000, 1, 0);
	turn();
	assert_int_equal(n_frozen, 1);
}

static void test_nothing_is_frozen_in_vain(void **state)
{
	with_rule(50);
	/* The one that may be frozen is not enough. */
	put_sized(100, 1000, 1, 0);
	put_sized(120, 1000, 1, 0);
	turn();
	put_sized(160, 2000, 1, 0);
	turn();
	assert_int_equal(n_started, 2);
	assert_int_equal(n_frozen + n_stopped, 0);
}

static void test_the_clock_of_what_is_frozen_stands_still(void **state)
{
	cJSON *j;
	int64_t low = put_sized(10, 2000, 1, 100);

	turn();
	at(30);
	int64_t head = put_sized(200, 2000, 1, 0);
	turn();
	at(530);
	assert_int_equal(scheduler_list(sched, 10, &j), 0);
	const cJSON *first = cJSON_GetArrayItem(cJSON_GetObjectItem(j, "running"), 0);
	assert_true(cJSON_IsTrue(cJSON_GetObjectItem(first, "frozen")));
	assert_null(json_str(first, "ends_by"));
	cJSON_Delete(j);
	succeed(head);
	turn();
	/* 70 of its 100 s are left: the next waits until then. */
	int64_t next = put_sized(5, 2000, 1, 0);
	turn();
	explained(next, "until", "1970-01-01T00:26:40.000Z"); /* 1000 s + 530 + 70 */
	succeed(low);
}

static void test_where_memory_is_short_it_is_stopped_and_put_back(void **state)
{
	int64_t low = put_sized(10, 100, 600, 0), other = put_sized(20, 100, 100, 0);

	turn();
	int64_t head = put_sized(200, 100, 500, 0);
	turn();
	assert_int_equal(n_started, 2); /* it waits for the end of the other */
	assert_int_equal(n_stopped, 1);
	assert_int_equal(stopped[0], low);
	assert_int_equal(n_frozen, 0);
	explained(head, "why", "it is the first, and starts when what is being stopped for it has ended");
	explained(low, "why", "it is being stopped for task 3, which is more important");
	turn();
	assert_int_equal(n_stopped, 1);
	was_stopped(low);
	assert_int_equal(n_again, 1);
	assert_int_equal(again[0].id, low);
	assert_int_equal(again[0].not_before.ns, 0);
	assert_string_equal(again[0].reason, "it was stopped for task 3, which is more important");
	turn();
	assert_int_equal(n_started, 3);
	assert_int_equal(started[2].id, head);
	assert_int_equal(
		number_of("SELECT tries_failed + machine_failed + suspected FROM task WHERE id = 1"), 0);
	assert_int_equal(number_of("SELECT count(*) FROM attempt WHERE outcome = 'preempted'"), 1);
	succeed(other);
	succeed(head);
	turn();
	assert_int_equal(started[3].id, low);
	assert_int_equal(started[3].attempt, 2);
	succeed(low);
	turn();
	assert_int_equal(ended[2].state, TASK_DONE);
}

/* One must go for its memory, of the other the CPU is enough: it is frozen, when the first has ended. */
static void test_stopped_only_as_far_as_memory_needs_it(void **state)
{
	budget.tasks = 4;
	reopen_all();
	int64_t fat = put_sized(10, 500, 800, 0), busy = put_sized(10, 1500, 100, 0);
	turn();
	int64_t head = put_sized(200, 2000, 900, 0);
	turn();
	assert_int_equal(n_stopped, 1);
	assert_int_equal(stopped[0], fat);
	assert_int_equal(n_frozen, 0);
	was_stopped(fat);
	turn();
	assert_heard(0, busy, true);
	assert_int_equal(started[2].id, head);
	/* 900 and 100 bytes are taken: what was stopped has no room, what is frozen goes on first. */
	succeed(head);
	turn();
	assert_heard(1, busy, false);
	assert_int_equal(started[3].id, fat);
}

static void test_what_stands_still_has_to_go_if_its_memory_is_needed(void **state)
{
	int64_t low = put_sized(10, 2000, 600, 0);
	turn();
	int64_t first = put_sized(200, 2000, 300, 0);
	turn();
	assert_heard(0, low, true);
	succeed(first);
	int64_t second = put_sized(201, 2000, 500, 0);
	turn();
	assert_int_equal(n_frozen, 1);
	assert_int_equal(n_stopped, 1);
	assert_int_equal(stopped[0], low);
	was_stopped(low);
	turn();
	assert_int_equal(started[2].id, second);
	assert_int_equal(n_again, 1);
}

static void test_where_nothing_can_be_frozen_it_is_stopped(void **state)
{
	can_freeze = false;
	int64_t low = put_sized(10, 2000, 1, 0);
	turn();
	put_sized(200, 2000, 1, 0);
	turn();
	assert_int_equal(n_frozen, 0);
	assert_int_equal(n_stopped, 1);
	assert_int_equal(stopped[0], low);
}

/* It came to its own end before the stop reached it. */
static void test_what_ends_by_itself_is_not_put_back(void **state)
{
	can_freeze = false;
	int64_t low = put_sized(10, 2000, 1, 0), head;
	turn();
	head = put_sized(200, 2000, 1, 0);
	turn();
	succeed(low);
	turn();
	assert_int_equal(n_again, 0);
	assert_int_equal(ended[0].state, TASK_DONE);
	assert_int_equal(started[1].id, head);
	low = put_sized(10, 2000, 1, 0);
	succeed(head);
	turn();
	put_sized(200, 2000, 1, 0);
	turn();
	failed(low, CLASS_FAILED);
	assert_int_equal(ended[2].state, TASK_FAILED);
}

static void test_one_that_cannot_be_frozen_runs_on_and_is_stopped_next_time(void **state)
{
	freeze_result = -EIO;
	int64_t low = put_sized(10, 2000, 1, 0);
	turn();
	int64_t head = put_sized(200, 2000, 1, 0);
	turn();
	assert_int_equal(n_frozen, 1);
	assert_int_equal(n_told_frozen, 2);
	assert_false(told_frozen[1].frozen);
	assert_int_equal(started[1].id, head); /* both run, for once */
	succeed(head);
	put_sized(200, 2000, 1, 0);
	turn();
	assert_int_equal(n_frozen, 1);
	assert_int_equal(n_stopped, 1);
	assert_int_equal(stopped[0], low);
}

/* What waits may not keep the CPUs from what stands still; short work may run beside. */
static void test_gaps_before_what_goes_on_are_filled_without_delaying_it(void **state)
{
	budget.tasks = 4;
	reopen_all();
	int64_t low = put_sized(10, 2000, 1, 0);
	turn();
	int64_t head = put_sized(200, 1500, 1, 60);
	turn();
	assert_heard(0, low, true);
	put_sized(100, 500, 1, 0);                /* no limit: would be in its way */
	int64_t brief = put_sized(5, 500, 1, 60); /* gone when the head is */
	turn();
	assert_int_equal(n_started, 3);
	assert_int_equal(started[2].id, brief);
	at(60);
	succeed(brief);
	succeed(head);
	turn();
	assert_heard(1, low, false);
	assert_int_equal(n_started, 3);
}

static void test_the_priority_of_what_runs_can_be_changed(void **state)
{
	char why[256];
	int64_t low = put_sized(10, 2000, 1, 0), head;
	struct queue_target run = {.scope = QUEUE_RUN, .id = 10};

	with_rule(20);
	turn();
	assert_int_equal(scheduler_reprioritise(sched, &run, 90, why, sizeof(why)), 0);
	head = put_sized(100, 2000, 1, 0);
	turn();
	assert_int_equal(n_frozen, 0);
	assert_int_equal(number_of("SELECT priority FROM task WHERE id = 1"), 90);
	/* Back to what it was put with: it makes way. */
	assert_int_equal(scheduler_reprioritise(sched, &run, QUEUE_PRIORITY_DECLARED, why, sizeof(why)), 0);
	turn();
	assert_int_equal(n_frozen, 1);
	assert_heard(0, low, true);
	assert_int_equal(started[1].id, head);
	assert_int_equal(number_of("SELECT priority FROM task WHERE id = 1"), 10);
}

static void test_what_stands_still_can_be_cancelled_and_is_not_let_go_on(void **state)
{
	char why[256];
	int64_t low = put_sized(10, 2000, 1, 0), head;

	turn();
	head = put_sized(200, 2000, 1, 0);
	turn();
	struct queue_target t = {.scope = QUEUE_TASK, .id = low};
	assert_int_equal(scheduler_cancel(sched, &t, "no need of it", why, sizeof(why)), 1);
	turn();
	assert_int_equal(n_stopped, 1);
	succeed(head);
	turn();
	assert_int_equal(n_frozen, 1);
	was_stopped(low);
	turn();
	assert_int_equal(ended[1].state, TASK_CANCELLED);
}

static void test_a_restart_takes_what_stood_still_as_interrupted(void **state)
{
	int64_t low = put_sized(10, 2000, 1, 0), head;

	turn();
	head = put_sized(200, 2000, 1, 0);
	turn();
	reopen_all();
	assert_int_equal(scheduler_interrupted(sched), 2);
	n_started = 0;
	turn();
	assert_int_equal(n_started, 1);
	assert_int_equal(started[0].id, head);
	succeed(head);
	turn();
	assert_int_equal(started[1].id, low);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_critical_one_freezes_what_is_in_its_way_and_no_more),
		TEST(test_no_inversion),
		TEST(test_within_a_class_nobody_is_preempted),
		TEST(test_by_a_margin_of_priority),
		TEST(test_nothing_is_frozen_in_vain),
		TEST(test_the_clock_of_what_is_frozen_stands_still),
		TEST(test_where_memory_is_short_it_is_stopped_and_put_back),
		TEST(test_stopped_only_as_far_as_memory_needs_it),
		TEST(test_what_stands_still_has_to_go_if_its_memory_is_needed),
		TEST(test_where_nothing_can_be_frozen_it_is_stopped),
		TEST(test_what_ends_by_itself_is_not_put_back),
		TEST(test_one_that_cannot_be_frozen_runs_on_and_is_stopped_next_time),
		TEST(test_gaps_before_what_goes_on_are_filled_without_delaying_it),
		TEST(test_the_priority_of_what_runs_can_be_changed),
		TEST(test_what_stands_still_can_be_cancelled_and_is_not_let_go_on),
		TEST(test_a_restart_takes_what_stood_still_as_interrupted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
