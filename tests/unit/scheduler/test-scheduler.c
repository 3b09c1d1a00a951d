/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a task: put, started, ended, tried again. */
#include "bench.h"

static void test_order_is_priority_then_age(void **state)
{
	int64_t a, b, c;

	budget.tasks = 1;
	reopen_all();
	a = put(10, 3, 1);
	b = put(200, 2, 1);
	c = put(200, 1, 1);
	turn();
	assert_int_equal(n_started, 1);
	assert_int_equal(started[0].id, c);
	succeed(c);
	turn();
	assert_int_equal(started[1].id, b);
	succeed(b);
	turn();
	assert_int_equal(started[2].id, a);
}

static void test_nothing_overtakes_a_head_that_does_not_fit(void **state)
{
	int64_t running = put(200, 1, 1500), head = put(150, 1, 2000), small = put(100, 1, 100);

	turn();
	assert_int_equal(n_started, 1);
	succeed(running);
	turn();
	assert_int_equal(n_started, 2);
	assert_int_equal(started[1].id, head);
	succeed(head);
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
	succeed(first);
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
	failed(id, CLASS_TEMPORARY);
	turn();
	assert_int_equal(n_started, 1);
	assert_int_equal(n_ended, 0);
	assert_int_equal(scheduler_wake_at(sched).ns, 1001 * NS_PER_S);
	clock_set_fake((struct mono_time){0}, (struct utc_time){1001 * NS_PER_S});
	scheduler_poke(sched);
	turn();
	assert_int_equal(n_started, 2);
	assert_int_equal(started[1].attempt, 2);
	failed(id, CLASS_TEMPORARY); /* the second wait is twice as long */
	turn();
	assert_int_equal(scheduler_wake_at(sched).ns, 1003 * NS_PER_S);
	clock_set_fake((struct mono_time){0}, (struct utc_time){1003 * NS_PER_S});
	scheduler_poke(sched);
	turn();
	failed(id, CLASS_TEMPORARY); /* the limit of two further attempts is reached */
	turn();
	assert_int_equal(n_started, 3);
	assert_int_equal(n_ended, 1);
	assert_int_equal(ended[0].state, TASK_FAILED);
	assert_string_equal(ended[0].end.reason, "because");
}

static void test_failures_of_the_machine_do_not_use_up_the_retries(void **state)
{
	int64_t id = put(1, 1, 1), now_s = 1000;
	static const enum task_class ends[] = {CLASS_MACHINE, CLASS_MACHINE, CLASS_MACHINE, CLASS_TEMPORARY,
		CLASS_TEMPORARY, CLASS_TEMPORARY};

	for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
		turn();
		assert_int_equal(n_started, i + 1);
		assert_int_equal(n_ended, 0);
		failed(id, ends[i]);
		now_s += 100;
		clock_set_fake((struct mono_time){0}, (struct utc_time){now_s * NS_PER_S});
		scheduler_poke(sched);
	}
	turn();
	assert_int_equal(n_ended, 1);
	assert_int_equal(ended[0].state, TASK_FAILED);
}

static void test_retry_by_class_up_to_the_longest_wait(void **state)
{
	int64_t id = put_spec((struct task_spec){.run = 1,
		.retry = {.limit = 9,
			.on = 1 << CLASS_TIMEOUT | 1 << CLASS_MEMORY,
			.backoff_ns = NS_PER_S,
			.max_backoff_ns = 3 * NS_PER_S}});
	static const int64_t waits_s[] = {1, 2, 3, 3};
	int64_t s = 0;

	for (size_t i = 0; i < ARRAY_LEN(waits_s); i++) {
		turn();
		failed(id, i % 2 ? CLASS_TIMEOUT : CLASS_MEMORY);
		s += waits_s[i];
		assert_int_equal(n_again, i + 1);
		assert_int_equal(again[i].not_before.ns, (1000 + s) * NS_PER_S);
		assert_string_equal(again[i].reason, "because");
		at(s);
	}
	turn();
	failed(id, CLASS_TEMPORARY); /* not one of those that it names */
	assert_int_equal(n_ended, 1);
	assert_int_equal(ended[0].state, TASK_FAILED);
}

static void test_what_is_broken_is_never_tried_again(void **state)
{
	int64_t id = put_spec((struct task_spec){.run = 1, .retry = {.limit = 9, .on = UINT32_MAX >> 26}});

	turn();
	failed(id, CLASS_BROKEN);
	assert_int_equal(ended[0].state, TASK_FAILED);
}

static void test_jitter_takes_off_up_to_its_fraction(void **state)
{
	int64_t least = INT64_MAX, most = 0;

	budget.tasks = 64;
	reopen_all();
	for (int i = 0; i < 64; i++)
		put_spec((struct task_spec){
			.run = 1, .retry = {.limit = 1, .backoff_ns = 100 * NS_PER_S, .jitter = 0.2}});
	turn();
	for (size_t i = 0; i < 64; i++) {
		failed(started[i].id, CLASS_TEMPORARY);
		int64_t wait_ns = again[i].not_before.ns - 1000 * NS_PER_S;
		least = wait_ns < least ? wait_ns : least;
		most = wait_ns > most ? wait_ns : most;
	}
	assert_in_range(least, 80 * NS_PER_S, 84 * NS_PER_S);
	assert_in_range(most, 96 * NS_PER_S, 100 * NS_PER_S);
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
	succeed(first);
	turn();
	assert_int_equal(n_started, 1);
}

static void test_a_start_that_fails_is_tried_again_then_ends_the_task(void **state)
{
	int64_t now_s = 1000;

	start_result = ERR_SANDBOX;
	int64_t id = put(1, 1, 2000);
	turn();
	for (int wait_s = 1; n_ended == 0 && wait_s < 1 << 10; wait_s *= 2) {
		assert_int_equal(scheduler_wake_at(sched).ns, (now_s + wait_s) * NS_PER_S);
		now_s += wait_s;
		clock_set_fake((struct mono_time){0}, (struct utc_time){now_s * NS_PER_S});
		scheduler_poke(sched);
		turn();
	}
	assert_int_equal(n_started, 9);
	assert_int_equal(n_ended, 1);
	assert_int_equal(ended[0].id, id);
	assert_int_equal(ended[0].state, TASK_FAILED);
	assert_non_null(strstr(ended[0].end.reason, "sandbox"));
	start_result = 0;
	put(1, 1, 2000); /* its budget came back */
	turn();
	assert_int_equal(n_started, 10);
	assert_int_equal(scheduler_running(sched), 1);
}

static void test_finishing_what_does_not_run_changes_nothing(void **state)
{
	struct task_end end = {.succeeded = true};
	int64_t id = put(1, 1, 1);

	assert_int_equal(scheduler_finish(sched, id, &end), ERR_STATE);
	turn();
	succeed(id);
	assert_int_equal(scheduler_finish(sched, id, &end), ERR_STATE);
	turn();
	assert_int_equal(n_ended, 1);
}

/* Reading what it needs, not writing: that alone would have failed the turn. */
static int refuse_jitter(
	void *user, int action, const char *table, const char *column, const char *db, const char *by)
{
	return action == SQLITE_READ && !strcmp(column, "jitter") ? SQLITE_DENY : SQLITE_OK;
}

static void test_an_end_that_cannot_be_read_up_is_not_half_committed(void **state)
{
	const struct task_end end = {.class = CLASS_TEMPORARY};
	int64_t id = put(1, 1, 1);

	turn();
	sqlite3_set_authorizer(store_db(store), refuse_jitter, NULL);
	assert_int_equal(scheduler_finish(sched, id, &end), ERR_STORE);
	assert_int_equal(store_turn_end(store), ERR_STORE);
	reopen_all(); /* as the process does now */
	assert_int_equal(scheduler_interrupted(sched), 1);
	turn();
	assert_int_equal(n_started, 2);
	assert_int_equal(started[1].id, id);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_order_is_priority_then_age),
		TEST(test_nothing_overtakes_a_head_that_does_not_fit),
		TEST(test_what_can_never_fit_does_not_block),
		TEST(test_put_and_start_share_one_commit),
		TEST(test_temporary_failure_is_tried_again_with_backoff),
		TEST(test_failures_of_the_machine_do_not_use_up_the_retries),
		TEST(test_retry_by_class_up_to_the_longest_wait),
		TEST(test_what_is_broken_is_never_tried_again),
		TEST(test_jitter_takes_off_up_to_its_fraction),
		TEST(test_past_its_deadline_a_task_never_starts),
		TEST(test_a_start_that_fails_is_tried_again_then_ends_the_task),
		TEST(test_finishing_what_does_not_run_changes_nothing),
		TEST(test_an_end_that_cannot_be_read_up_is_not_half_committed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
