/* SPDX-License-Identifier: Apache-2.0 */
/* The queue against a simple model: random operations from many seeds, with crashes. */
#include "bench.h"

#define TASKS_MAX 400

struct model_task {
	int64_t id;
	uint8_t priority;
	int64_t age_s;
	enum { M_READY, M_RUNNING, M_DONE, M_FAILED } state;
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
			model[i].state = M_READY;
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
			if (good)
				succeed(t->id);
			else
				failed(t->id, CLASS_BROKEN);
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
}

static void test_random_operations_and_crashes_agree_with_the_model(void **state)
{
	for (uint32_t seed = 1; seed <= 350; seed++) {
		run_model(seed);
		empty_database();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_random_operations_and_crashes_agree_with_the_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
