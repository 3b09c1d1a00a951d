/* SPDX-License-Identifier: Apache-2.0 */
/* Every decision can be explained; the queue is shown as it would run. */
#include "bench.h"
#include "core/json.h"

static cJSON *j;

static void explain(int64_t id)
{
	cJSON_Delete(j);
	j = NULL;
	assert_int_equal(scheduler_explain(sched, id, &j), 0);
	assert_int_equal(json_int(j, "task", 0), id);
}

static void list(size_t limit)
{
	cJSON_Delete(j);
	j = NULL;
	assert_int_equal(scheduler_list(sched, limit, &j), 0);
}

static int teardown_explain(void **state)
{
	cJSON_Delete(j);
	j = NULL;
	return teardown(state);
}

#define EXPLAIN(name) cmocka_unit_test_setup_teardown(name, setup, teardown_explain)

static const cJSON *member(const char *name)
{
	return cJSON_GetObjectItemCaseSensitive(j, name);
}

static int64_t task_at(const char *array, int i)
{
	return json_int(cJSON_GetArrayItem(member(array), i), "task", 0);
}

static void test_why_it_was_chosen(void **state)
{
	int64_t first = put(9, 1, 2000), second = put(5, 1, 2000);

	turn();
	explain(first);
	assert_string_equal(json_str(j, "state"), "running");
	assert_string_equal(
		json_str(j, "why"), "it was chosen because it was the most important that waited");
	assert_string_equal(json_str(j, "chosen"), "head");
	assert_int_equal(json_int(member("over"), "task", 0), second);
	assert_string_equal(json_str(j, "started"), "1970-01-01T00:16:40.000Z");
	succeed(first);
	turn();
	explain(first);
	assert_string_equal(json_str(j, "why"), "it is over, done");
	explain(second);
	assert_string_equal(json_str(j, "state"), "running");
	assert_null(member("over"));
}

static void test_what_the_first_waits_for_and_until_when(void **state)
{
	put_spec((struct task_spec){
		.run = 1, .item = -1, .priority = 9, .cpus_milli = 1500, .time_ns = 30 * NS_PER_S});
	turn();
	int64_t head = put_spec((struct task_spec){.run = 2, .item = 3, .priority = 5, .cpus_milli = 2000});
	int64_t small = put_spec((struct task_spec){.run = 3, .item = -1, .priority = 4, .cpus_milli = 100});
	int64_t large = put_spec((struct task_spec){.run = 4, .item = -1, .priority = 3, .cpus_milli = 1000});
	turn();
	explain(head);
	assert_string_equal(
		json_str(j, "why"), "it is the first, and waits until what runs leaves room for it");
	assert_int_equal(json_int(member("missing"), "cpus_milli", 0), 1500);
	assert_null(cJSON_GetObjectItem(member("missing"), "memory_bytes"));
	assert_string_equal(json_str(j, "until"), "1970-01-01T00:17:10.000Z");
	assert_int_equal(json_int(j, "item", -1), 3);
	explain(small);
	assert_string_equal(json_str(j, "why"), "1 task is before it, and it may delay the first of them, by "
						"its time limit, if it starts now");
	assert_int_equal(json_int(j, "ahead_count", 0), 1);
	assert_int_equal(task_at("ahead", 0), head);
	explain(large);
	assert_string_equal(
		json_str(j, "why"), "2 tasks are before it, and it does not fit beside what runs");
	assert_int_equal(task_at("ahead", 1), small);
}

static void test_why_something_else_than_its_place_keeps_it(void **state)
{
	struct queue_rules rules = queue_rules_default;
	struct queue_target w = {.scope = QUEUE_WORKFLOW, .name = "w"};
	char why[128];

	rules.quotas[0] = (struct queue_quota){.payload = "q", .cpu_ns_per_day = 5};
	rules.n_quotas = 1;
	assert_int_equal(scheduler_set_rules(sched, &rules), 0);
	int64_t again_id = put(9, 1, 1);
	int64_t used = put_spec((struct task_spec){.run = 2, .payload = "q"});
	turn();
	failed(again_id, CLASS_TEMPORARY);
	succeed(used);
	int64_t quota = put_spec((struct task_spec){.run = 2, .payload = "q"});
	int64_t held = put_spec((struct task_spec){.run = 3, .workflow = "w"});
	assert_int_equal(scheduler_hold(sched, &w, why, sizeof(why)), 1);
	turn();
	assert_int_equal(n_started, 2);

	explain(again_id);
	assert_string_equal(json_str(j, "why"), "it waits for its next attempt: because");
	assert_string_equal(json_str(j, "until"), "1970-01-01T00:16:41.000Z");
	const cJSON *attempt = cJSON_GetArrayItem(member("attempts"), 0);
	assert_string_equal(json_str(attempt, "outcome"), "temporary");
	assert_string_equal(json_str(attempt, "reason"), "because");
	explain(quota);
	assert_string_equal(json_str(j, "why"), "its payload has used up its CPU time of today");
	assert_string_equal(json_str(j, "until"), "1970-01-02T00:00:00.000Z");
	explain(held);
	assert_string_equal(json_str(j, "why"), "an operator holds it");
	assert_string_equal(json_str(member("held_by"), "scope"), "workflow");
	assert_string_equal(json_str(member("held_by"), "name"), "w");
	scheduler_pause(sched, "no space on the disk");
	explain(held);
	assert_string_equal(json_str(j, "why"), "nothing starts: no space on the disk");

	list(10);
	assert_string_equal(json_str(j, "paused_by"), "no space on the disk");
	assert_int_equal(cJSON_GetArraySize(member("waiting")), 3);
	assert_int_equal(task_at("waiting", 0), again_id);
	assert_string_equal(json_str(cJSON_GetArrayItem(member("waiting"), 1), "why"),
		"its payload has used up its CPU time of today");
	assert_int_equal(cJSON_GetArraySize(member("orders")), 1);
	assert_int_equal(cJSON_GetObjectItem(j, "more")->valueint, 0);
}

static void test_the_list_is_what_would_run(void **state)
{
	int64_t ids[40], order[40];

	budget.tasks = 1;
	reopen_all();
	put(255, 1, 1);
	turn();
	for (int i = 0; i < 40; i++)
		ids[i] = put_spec((struct task_spec){.run = i,
			.item = -1,
			.workflow = (const char *[]){"u", "v", "w"}[i % 3],
			.priority = (uint8_t)(i * 7 % 11),
			.deadline.ns = (2000 + i * 5 % 7) * NS_PER_S});
	list(30);
	assert_int_equal(cJSON_GetArraySize(member("running")), 1);
	assert_int_equal(cJSON_GetArraySize(member("waiting")), 30);
	assert_int_equal(json_int(j, "more", -1), 10);
	for (int i = 0; i < 30; i++)
		order[i] = task_at("waiting", i);
	for (int i = 0; i < 30; i++) {
		succeed(started[i].id);
		turn();
		assert_int_equal(started[i + 1].id, order[i]);
	}
	assert_int_equal(ids[0] + 39, ids[39]);
}

static void test_what_does_not_exist_is_not_explained(void **state)
{
	assert_int_equal(scheduler_explain(sched, 77, &j), ERR_UNKNOWN);
	assert_null(j);
	list(0);
	assert_int_equal(cJSON_GetArraySize(member("waiting")), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EXPLAIN(test_why_it_was_chosen),
		EXPLAIN(test_what_the_first_waits_for_and_until_when),
		EXPLAIN(test_why_something_else_than_its_place_keeps_it),
		EXPLAIN(test_the_list_is_what_would_run),
		EXPLAIN(test_what_does_not_exist_is_not_explained),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
