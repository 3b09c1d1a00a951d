/* SPDX-License-Identifier: Apache-2.0 */
/* Hold, release, cancel, reprioritise: of each scope, over a restart, and of what does not exist or is over.
 */
#include "bench.h"

static char why[256];

static struct queue_target task_target(int64_t id)
{
	return (struct queue_target){.scope = QUEUE_TASK, .id = id};
}

static struct queue_target run_target(int64_t id)
{
	return (struct queue_target){.scope = QUEUE_RUN, .id = id};
}

static struct queue_target workflow_target(const char *name)
{
	return (struct queue_target){.scope = QUEUE_WORKFLOW, .name = name};
}

static struct queue_target payload_target(const char *name)
{
	return (struct queue_target){.scope = QUEUE_PAYLOAD, .name = name};
}

static const struct queue_target all = {.scope = QUEUE_ALL};

#define hold(t) scheduler_hold(sched, &(t), why, sizeof(why))
#define release(t) scheduler_release(sched, &(t), why, sizeof(why))
#define cancel(t) scheduler_cancel(sched, &(t), "no need of it", why, sizeof(why))
#define reprioritise(t, p) scheduler_reprioritise(sched, &(t), p, why, sizeof(why))

static int64_t put_in(int64_t run, const char *payload, const char *workflow, uint8_t priority)
{
	return put_spec((struct task_spec){
		.run = run, .payload = payload, .workflow = workflow, .priority = priority, .cpus_milli = 1});
}

/* Runs everything that may run, one at a time; the order. */
static size_t drain(int64_t ret_ids[16])
{
	size_t n = 0;

	n_started = 0;
	turn();
	while (n < n_started && n < 16) {
		ret_ids[n] = started[n].id;
		succeed(started[n++].id);
		turn();
	}
	return n;
}

static int one_at_a_time(void **state)
{
	if (setup(state))
		return -1;
	budget.tasks = 1;
	reopen_all();
	return 0;
}

#define ONE(name) cmocka_unit_test_setup_teardown(name, one_at_a_time, teardown)

static void test_a_held_task_waits_until_it_is_released(void **state)
{
	int64_t a = put_in(1, "p", "w", 9), b = put_in(1, "p", "w", 5), ids[16];
	struct queue_target t = task_target(a);

	assert_int_equal(hold(t), 1);
	assert_int_equal(store_turn_end(store), 0);
	reopen_all();
	assert_int_equal(drain(ids), 1);
	assert_int_equal(ids[0], b);
	assert_int_equal(release(t), 1);
	assert_int_equal(drain(ids), 1);
	assert_int_equal(ids[0], a);
	assert_int_equal(number_of("SELECT count(*) FROM queue_order"), 0);
}

static void test_a_held_run_holds_what_is_put_later(void **state)
{
	struct queue_target t = run_target(1);
	int64_t a = put_in(1, "p", "w", 9), other = put_in(2, "p", "w", 5), ids[16];

	assert_int_equal(hold(t), 1);
	int64_t later = put_in(1, "p", "w", 9);
	assert_int_equal(store_turn_end(store), 0);
	reopen_all();
	int64_t after_restart = put_in(1, "p", "w", 9);
	assert_int_equal(drain(ids), 1);
	assert_int_equal(ids[0], other);
	assert_int_equal(release(t), 3);
	assert_int_equal(drain(ids), 3);
	assert_int_equal(ids[0], a);
	assert_int_equal(ids[1], later);
	assert_int_equal(ids[2], after_restart);
	assert_int_equal(scheduler_run_over(sched, 1), 0);
}

static void test_a_held_workflow_a_held_payload_and_all(void **state)
{
	const struct queue_target targets[] = {workflow_target("w"), payload_target("p"), all};
	int64_t ids[16];

	for (size_t i = 0; i < ARRAY_LEN(targets); i++) {
		int64_t a = put_in(1, "p", "w", 9), b = put_in(2, "p", "v", 5), c = put_in(3, "q", "u", 1);
		size_t n_held = i == 0 ? 1 : i == 1 ? 2 : 3;
		int64_t all_ids[] = {a, b, c};

		assert_int_equal(hold(targets[i]), n_held);
		assert_int_equal(store_turn_end(store), 0);
		reopen_all();
		int64_t later = put_in(4, "p", "w", 9);
		assert_int_equal(drain(ids), 3 - n_held);
		for (size_t k = n_held; k < 3; k++)
			assert_int_equal(ids[k - n_held], all_ids[k]);
		assert_int_equal(release(targets[i]), n_held + 1);
		assert_int_equal(drain(ids), n_held + 1);
		assert_int_equal(ids[0], a);
		assert_int_equal(ids[1], later);
		assert_int_equal(release(targets[i]), ERR_STATE);
	}
}

static void test_the_narrowest_order_counts_and_a_wider_one_replaces_it(void **state)
{
	struct queue_target w = workflow_target("w"), p = payload_target("p"), run = run_target(2);
	int64_t a = put_in(1, "p", "w", 9), b = put_in(2, "p", "w", 5), c = put_in(3, "q", "u", 1), ids[16];

	/* All but one payload, all but one workflow of that. */
	assert_int_equal(hold(all), 3);
	assert_int_equal(release(p), 2);
	assert_int_equal(hold(w), 2);
	assert_int_equal(drain(ids), 0);
	assert_int_equal(release(run), 1); /* one run of it, all the same */
	int64_t later = put_in(2, "p", "w", 5);
	assert_int_equal(store_turn_end(store), 0);
	reopen_all();
	assert_int_equal(drain(ids), 2);
	assert_int_equal(ids[0], b);
	assert_int_equal(ids[1], later);
	/* Holding all again replaces all of that. */
	int64_t again_later = put_in(2, "p", "w", 5);
	assert_int_equal(hold(all), 3);
	assert_int_equal(drain(ids), 0);
	assert_int_equal(number_of("SELECT count(*) FROM queue_order"), 1);
	assert_int_equal(release(all), 3);
	assert_int_equal(drain(ids), 3);
	assert_int_equal(ids[0], a);
	assert_int_equal(ids[1], again_later);
	assert_int_equal(ids[2], c);
}

static void test_a_task_released_out_of_a_held_run(void **state)
{
	struct queue_target run = run_target(1);
	int64_t ids[16];

	put_in(1, "p", "w", 9);
	struct queue_target one = task_target(put_in(1, "p", "w", 5));
	assert_int_equal(hold(run), 2);
	assert_int_equal(release(one), 1);
	assert_int_equal(drain(ids), 1);
	assert_int_equal(ids[0], one.id);
	assert_int_equal(release(run), 1);
	assert_int_equal(drain(ids), 1);
}

static void test_what_is_held_expires_all_the_same(void **state)
{
	put_spec((struct task_spec){.run = 1, .deadline.ns = 1005 * NS_PER_S});
	assert_int_equal(hold(all), 1);
	at(5);
	turn();
	assert_int_equal(n_ended, 1);
	assert_int_equal(ended[0].state, TASK_EXPIRED);
}

static void test_a_retry_of_a_held_run_is_held(void **state)
{
	struct queue_target run = run_target(1);
	int64_t id = put(9, 1, 1), ids[16];

	turn();
	assert_int_equal(hold(run), 0); /* nothing waits; what runs goes on */
	failed(id, CLASS_TEMPORARY);
	at(100);
	assert_int_equal(drain(ids), 0);
	assert_int_equal(release(run), 1);
	assert_int_equal(drain(ids), 1);
}

static void test_cancelled_what_waits_ends_and_what_runs_is_stopped(void **state)
{
	struct queue_target run = run_target(1);
	int64_t a = put_in(1, "p", "w", 9), b = put_in(1, "p", "w", 8), c = put_in(2, "p", "w", 7);

	turn();
	assert_int_equal(cancel(run), 2);
	assert_int_equal(n_ended, 0); /* not from inside the call */
	turn();
	assert_int_equal(n_ended, 1);
	assert_int_equal(ended[0].id, b);
	assert_int_equal(ended[0].state, TASK_CANCELLED);
	assert_string_equal(ended[0].end.reason, "no need of it");
	assert_int_equal(n_stopped, 1);
	assert_int_equal(stopped[0], a);
	assert_int_equal(n_started, 1);
	failed(a, CLASS_TEMPORARY); /* as it happens: not tried again */
	turn();
	assert_int_equal(n_ended, 2);
	assert_int_equal(ended[1].state, TASK_CANCELLED);
	assert_string_equal(ended[1].end.reason, "no need of it");
	assert_int_equal(started[1].id, c);
	assert_int_equal(cancel(run), ERR_STATE);
}

static void test_a_cancel_is_not_forgotten_when_the_process_dies(void **state)
{
	struct queue_target a = task_target(put(9, 1, 1));

	turn();
	assert_int_equal(cancel(a), 1);
	assert_int_equal(store_turn_end(store), 0);
	reopen_all(); /* before it had ended */
	turn();
	assert_int_equal(n_started, 1);
	assert_int_equal(n_ended, 1);
	assert_int_equal(ended[0].state, TASK_CANCELLED);
	assert_string_equal(ended[0].end.reason, "no need of it");
}

/* More than one dispatch does: over a restart, and nothing of it starts meanwhile, what is put later not at
 * all. */
static void test_cancelling_many_goes_in_slices(void **state)
{
	struct queue_target p = payload_target("p");
	int64_t counts[TASK_STATE_MAX];

	for (int i = 0; i < 1000; i++)
		put_in(i, "p", i % 2 ? "w" : "v", 9);
	int64_t other = put_in(9999, "q", "u", 1);
	assert_int_equal(cancel(p), 1000);
	int64_t later = put_in(9998, "p", "w", 9);
	assert_int_equal(scheduler_dispatch(sched), 0);
	assert_int_equal(store_turn_end(store), 0);
	assert_in_range(n_ended, 100, 900);
	assert_int_equal(n_started, 1);
	assert_int_equal(started[0].id, other);
	assert_int_equal(scheduler_wake_at(sched).ns, 1000 * NS_PER_S); /* go on at once */
	succeed(other);
	assert_int_equal(store_turn_end(store), 0);
	reopen_all();
	n_started = 0;
	for (int i = 0; i < 20; i++) {
		n_ended = 0;
		scheduler_poke(sched);
		turn();
	}
	assert_int_equal(scheduler_counts(sched, counts), 0);
	assert_int_equal(counts[TASK_CANCELLED], 1000);
	assert_int_equal(started[0].id, later);
	assert_int_equal(number_of("SELECT count(*) FROM queue_sweep"), 0);
}

static void test_reprioritised_one_run_one_workflow_and_back(void **state)
{
	struct queue_target run = run_target(2), w = workflow_target("w");
	int64_t a = put_in(1, "p", "w", 9), b = put_in(2, "p", "w", 5), c = put_in(3, "p", "v", 7), ids[16];

	assert_int_equal(reprioritise(run, 220), 1);
	int64_t later = put_in(2, "p", "w", 5);
	assert_int_equal(store_turn_end(store), 0);
	reopen_all();
	assert_int_equal(drain(ids), 4);
	assert_int_equal(ids[0], b);
	assert_int_equal(ids[1], later);
	assert_int_equal(ids[2], a);
	assert_int_equal(ids[3], c);

	a = put_in(4, "p", "w", 9);
	b = put_in(5, "p", "v", 7);
	assert_int_equal(reprioritise(w, 1), 1);
	c = put_in(6, "p", "w", 9);
	assert_int_equal(drain(ids), 3);
	assert_int_equal(ids[0], b);
	a = put_in(7, "p", "w", 9);
	b = put_in(8, "p", "v", 7);
	assert_int_equal(reprioritise(w, QUEUE_PRIORITY_DECLARED), 1);
	assert_int_equal(drain(ids), 2);
	assert_int_equal(ids[0], a);
}

static void test_a_task_and_many_are_reprioritised(void **state)
{
	int64_t first = 0, last = 0, ids[16];

	for (int i = 0; i < 600; i++) {
		last = put_in(i, "p", "w", 9);
		first = first ? first : last;
	}
	struct queue_target w = workflow_target("w"), one = task_target(last);
	assert_int_equal(reprioritise(one, 10), 1);
	assert_int_equal(reprioritise(w, 50), 600); /* replaces it */
	for (int i = 0; i < 5; i++) {
		assert_int_equal(scheduler_dispatch(sched), 0);
		assert_int_equal(store_turn_end(store), 0);
		scheduler_poke(sched);
	}
	assert_int_equal(number_of("SELECT count(*) FROM task WHERE priority = 50"), 600);
	assert_int_equal(reprioritise(one, 51), 1);
	succeed(started[0].id);
	n_started = 0;
	turn();
	assert_int_equal(started[0].id, last);
	assert_int_equal(reprioritise(one, 300), -EINVAL);
	(void)ids;
}

static void test_what_does_not_exist_or_is_over(void **state)
{
	struct queue_target none = task_target(77), run = run_target(77), w = workflow_target("x"),
			    p = payload_target("x");
	struct queue_target over = task_target(put(1, 1, 1));

	turn();
	assert_int_equal(hold(over), ERR_STATE);
	assert_string_equal(why, "task 1 runs: it can be cancelled, not held");
	succeed(over.id);
	turn();
	int64_t rows = number_of("SELECT count(*) FROM queue_order");
	assert_int_equal(hold(none), ERR_UNKNOWN);
	assert_string_equal(why, "the queue has no task 77");
	assert_int_equal(hold(run), ERR_UNKNOWN);
	assert_int_equal(cancel(w), ERR_UNKNOWN);
	assert_string_equal(why, "there is no workflow called x");
	assert_int_equal(reprioritise(p, 1), ERR_UNKNOWN);
	assert_string_equal(why, "there is no payload called x");
	assert_int_equal(hold(over), ERR_STATE);
	assert_string_equal(why, "task 1 is over already: done");
	assert_int_equal(cancel(over), ERR_STATE);
	assert_int_equal(release(all), ERR_STATE);
	assert_int_equal(cancel(all), ERR_STATE);
	assert_int_equal(number_of("SELECT count(*) FROM queue_order"), rows);
	assert_int_equal(scheduler_know(sched, "p", "x"), 0);
	assert_int_equal(hold(w), 0); /* before it ever ran */
	assert_int_equal(store_turn_end(store), 0);
}

/* What is said about it would stand for ever. */
static void test_of_a_run_that_is_over_nothing_is_ordered(void **state)
{
	struct queue_target run = run_target(1), unknown = run_target(77);
	int64_t a = put_in(1, "p", "w", 9);

	turn();
	assert_int_equal(reprioritise(run, 20), 0);
	assert_int_equal(hold(run), 0);
	succeed(a);
	turn();
	/* Between its tasks: what stands can be taken back, nothing new said. */
	assert_int_equal(hold(run), ERR_STATE);
	assert_string_equal(why, "no task of run 1 waits or runs");
	assert_int_equal(reprioritise(run, 30), ERR_STATE);
	assert_int_equal(release(run), 0);
	assert_int_equal(reprioritise(run, QUEUE_PRIORITY_DECLARED), 0);
	assert_int_equal(reprioritise(run, QUEUE_PRIORITY_DECLARED), ERR_STATE);
	assert_int_equal(scheduler_run_over(sched, 1), 0);
	assert_int_equal(hold(run), ERR_STATE);
	assert_int_equal(number_of("SELECT count(*) FROM queue_order"), 0);
	assert_int_equal(hold(unknown), ERR_UNKNOWN);
	assert_int_equal(reprioritise(unknown, 1), ERR_UNKNOWN);
}

static void test_paused_nothing_starts(void **state)
{
	scheduler_pause(sched, "no space on the disk");
	put(255, 1, 1);
	turn();
	assert_int_equal(n_started, 0);
	scheduler_pause(sched, NULL);
	turn();
	assert_int_equal(n_started, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ONE(test_a_held_task_waits_until_it_is_released),
		ONE(test_a_held_run_holds_what_is_put_later),
		ONE(test_a_held_workflow_a_held_payload_and_all),
		ONE(test_the_narrowest_order_counts_and_a_wider_one_replaces_it),
		ONE(test_a_task_released_out_of_a_held_run),
		ONE(test_what_is_held_expires_all_the_same),
		ONE(test_a_retry_of_a_held_run_is_held),
		ONE(test_cancelled_what_waits_ends_and_what_runs_is_stopped),
		ONE(test_a_cancel_is_not_forgotten_when_the_process_dies),
		ONE(test_cancelling_many_goes_in_slices),
		ONE(test_reprioritised_one_run_one_workflow_and_back),
		ONE(test_a_task_and_many_are_reprioritised),
		ONE(test_what_does_not_exist_or_is_over),
		ONE(test_of_a_run_that_is_over_nothing_is_ordered),
		ONE(test_paused_nothing_starts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
