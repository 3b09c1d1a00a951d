/* SPDX-License-Identifier: Apache-2.0 */
/* Energy and the battery, on a fake clock. UTC begins at 1000 s. */
#include "bench.h"
#include "core/json.h"

#define ORBIT_S 6000

static struct queue_rules rules;

static int setup_energy(void **state)
{
	rules = queue_rules_default;
	rules.energy = (struct queue_energy){
		.guarded = true, .reserve_percent = 30, .resume_percent = 40, .orbit_ns = ORBIT_S * NS_PER_S};
	if (setup(state) < 0)
		return -1;
	return scheduler_set_rules(sched, &rules);
}

#define ENERGY(name) cmocka_unit_test_setup_teardown(name, setup_energy, teardown)

static void reopen(void)
{
	reopen_all();
	assert_int_equal(scheduler_set_rules(sched, &rules), 0);
}

static void battery(double percent, bool sun)
{
	struct power_state p = {.known = true, .battery_percent = percent, .in_sunlight = sun};

	assert_int_equal(scheduler_power(sched, &p), 0);
}

static void unknown(void)
{
	assert_int_equal(scheduler_power(sched, &(struct power_state){0}), 0);
}

/* One after the other is put; whether it starts. Ends what does. */
static bool starts(uint8_t priority)
{
	int64_t id = put(priority, 1, 2000);
	size_t before = n_started;
	char why[128];

	turn();
	if (n_started > before) {
		assert_int_equal(started[before].id, id);
		succeed(id);
		turn();
		return true;
	}
	struct queue_target t = {.scope = QUEUE_TASK, .id = id};
	assert_int_equal(scheduler_cancel(sched, &t, "next", why, sizeof(why)), 1);
	turn();
	return false;
}

static void test_below_the_reserve_only_the_critical_class_starts(void **state)
{
	battery(50, true);
	assert_true(starts(10));
	battery(31, true);
	assert_true(starts(10));
	battery(30, true);
	assert_false(starts(10));
	assert_false(starts(199));
	assert_true(starts(200));
	battery(39, true); /* hysteresis */
	assert_false(starts(10));
	battery(40, true);
	assert_true(starts(10));
	battery(31, true);
	assert_true(starts(10));
}

static void test_what_waits_starts_by_itself_when_the_battery_is_full_again(void **state)
{
	battery(20, true);
	put(10, 1, 1);
	turn();
	assert_int_equal(n_started, 0);
	battery(40, true);
	turn();
	assert_int_equal(n_started, 1);
}

static void test_the_state_is_kept_over_restarts(void **state)
{
	battery(20, true);
	battery(35, true);
	assert_int_equal(store_turn_end(store), 0);
	reopen();
	battery(35, true);
	assert_false(starts(10));
	battery(45, true);
	battery(35, true);
	assert_int_equal(store_turn_end(store), 0);
	reopen();
	battery(35, true);
	assert_true(starts(10));
}

static void test_what_is_not_known_is_taken_with_care(void **state)
{
	assert_false(starts(10)); /* nothing was read so far */
	assert_true(starts(200));
	battery(35, true); /* never seen full enough */
	assert_false(starts(10));
	battery(90, true);
	assert_true(starts(10));
	unknown();
	assert_false(starts(10));
	assert_true(starts(200));
	battery(35, true); /* as it was before */
	assert_true(starts(10));
}

static void test_without_a_monitor_nothing_is_held_back(void **state)
{
	rules.energy.guarded = false;
	assert_int_equal(scheduler_set_rules(sched, &rules), 0);
	assert_true(starts(10));
}

static void test_in_eclipse_the_reserve_is_higher(void **state)
{
	rules.energy.eclipse_more_percent = 20;
	assert_int_equal(scheduler_set_rules(sched, &rules), 0);
	battery(45, true);
	assert_true(starts(10));
	battery(45, false);
	assert_false(starts(10));
	battery(55, false);
	assert_false(starts(10));
	battery(60, false);
	assert_true(starts(10));
}

static void test_what_runs_goes_on_below_the_reserve(void **state)
{
	battery(50, true);
	int64_t low = put(10, 1, 2000);
	turn();
	battery(10, true);
	turn();
	assert_int_equal(n_stopped + n_frozen, 0);
	int64_t head = put(200, 1, 2000);
	turn();
	assert_int_equal(n_started, 2);
	succeed(head);
	turn();
	assert_int_equal(n_frozen, 2);
	assert_false(frozen[1].frozen);
	succeed(low);
}

static void finish_with(int64_t id, int64_t cpu_s)
{
	struct task_end end = {.succeeded = true, .cpu_ns = cpu_s * NS_PER_S};

	assert_int_equal(scheduler_finish(sched, id, &end), 0);
}

static int64_t put_joules(uint8_t priority, uint64_t joules, int64_t time_s)
{
	return put_spec((struct task_spec){.run = 1,
		.item = -1,
		.priority = priority,
		.cpus_milli = 1000,
		.time_ns = time_s * NS_PER_S,
		.energy_mj = joules * 1000});
}

static void test_a_budget_of_energy_for_an_orbit(void **state)
{
	rules.energy.guarded = false;
	rules.energy.mj_per_cpu_s = 4500;
	rules.energy.mj_per_orbit = 100000;
	assert_int_equal(scheduler_set_rules(sched, &rules), 0);
	int64_t first = put_joules(50, 60, 0);
	turn();
	int64_t second = put_joules(40, 60, 0); /* what runs may take 60 of the 100 */
	turn();
	assert_int_equal(n_started, 1);
	finish_with(first, 10); /* but took 45 */
	turn();
	assert_int_equal(n_started, 1);
	int64_t small = put_joules(30, 55, 0), long_one = put_joules(20, 0, 0);
	turn(); /* beside the second, which has to wait for the next orbit */
	assert_int_equal(n_started, 2);
	assert_int_equal(started[1].id, small);
	finish_with(small, 13);
	turn();
	assert_int_equal(n_started, 2); /* all is used up */
	int64_t critical = put_joules(200, 90, 0);
	turn();
	assert_int_equal(n_started, 3);
	assert_int_equal(started[2].id, critical);
	finish_with(critical, 1);
	turn();
	assert_int_equal(scheduler_wake_at(sched).ns, ORBIT_S * NS_PER_S);
	assert_int_equal(store_turn_end(store), 0);
	reopen(); /* it is not forgotten */
	turn();
	assert_int_equal(n_started, 3);
	at(ORBIT_S - 1000);
	turn();
	assert_int_equal(started[3].id, second);
	assert_int_equal(started[4].id, long_one); /* does not say: starts while anything is left */
}

static void test_more_than_an_orbits_budget_never_starts(void **state)
{
	rules.energy.guarded = false;
	rules.energy.mj_per_orbit = 100000;
	assert_int_equal(scheduler_set_rules(sched, &rules), 0);
	put_joules(50, 101, 0);
	turn();
	assert_int_equal(n_ended, 1);
	assert_int_equal(ended[0].state, TASK_FAILED);
}

static void test_nothing_long_is_put_before_one_that_waits_for_the_orbit(void **state)
{
	rules.energy.guarded = false;
	rules.energy.mj_per_orbit = 100000;
	budget.tasks = 4;
	reopen();
	put_joules(50, 80, 0);
	turn();
	put_spec((struct task_spec){
		.run = 2, .item = -1, .priority = 40, .cpus_milli = 2000, .energy_mj = 50000});
	put_joules(30, 1, 2 * ORBIT_S);
	int64_t brief = put_joules(20, 1, 10);
	turn();
	assert_int_equal(n_started, 2);
	assert_int_equal(started[1].id, brief);
}

static void test_quotas_of_a_payload_in_an_orbit(void **state)
{
	cJSON *j;

	rules.energy.guarded = false;
	rules.energy.mj_per_cpu_s = 2000;
	rules.quotas[0] = (struct queue_quota){.payload = "p", .energy_mj_per_orbit = 20000};
	rules.quotas[1] = (struct queue_quota){.payload = "q", .cpu_ns_per_orbit = 5 * NS_PER_S};
	rules.n_quotas = 2;
	assert_int_equal(scheduler_set_rules(sched, &rules), 0);
	int64_t id = put(9, 1, 1);
	turn();
	finish_with(id, 10);
	id = put(9, 1, 1);
	turn();
	assert_int_equal(n_started, 1);
	assert_int_equal(scheduler_explain(sched, id, &j), 0);
	assert_string_equal(json_str(j, "why"), "its payload has used up its energy of this orbit");
	assert_string_equal(json_str(j, "until"), "1970-01-01T01:40:00.000Z");
	cJSON_Delete(j);
	int64_t q = put_spec((struct task_spec){.run = 2, .item = -1, .payload = "q"});
	turn();
	finish_with(q, 5);
	q = put_spec((struct task_spec){.run = 2, .item = -1, .payload = "q"});
	turn();
	assert_int_equal(n_started, 2);
	at(ORBIT_S - 1000);
	turn();
	assert_int_equal(n_started, 4);
}

static void test_it_is_explained(void **state)
{
	cJSON *j;

	battery(20, true);
	int64_t id = put(9, 1, 1);
	turn();
	assert_int_equal(scheduler_explain(sched, id, &j), 0);
	assert_string_equal(json_str(j, "why"),
		"the battery is at 20 %: only the critical class starts until it is at 40 %");
	cJSON_Delete(j);
	assert_int_equal(scheduler_list(sched, 10, &j), 0);
	const cJSON *power = cJSON_GetObjectItem(j, "power");
	assert_true(cJSON_IsTrue(cJSON_GetObjectItem(power, "only_critical")));
	assert_int_equal(json_int(power, "battery_percent", 0), 20);
	assert_string_equal(json_str(cJSON_GetArrayItem(cJSON_GetObjectItem(j, "waiting"), 0), "why"),
		"the battery is below its reserve: only the critical class starts");
	cJSON_Delete(j);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ENERGY(test_below_the_reserve_only_the_critical_class_starts),
		ENERGY(test_what_waits_starts_by_itself_when_the_battery_is_full_again),
		ENERGY(test_the_state_is_kept_over_restarts),
		ENERGY(test_what_is_not_known_is_taken_with_care),
		ENERGY(test_without_a_monitor_nothing_is_held_back),
		ENERGY(test_in_eclipse_the_reserve_is_higher),
		ENERGY(test_what_runs_goes_on_below_the_reserve),
		ENERGY(test_a_budget_of_energy_for_an_orbit),
		ENERGY(test_more_than_an_orbits_budget_never_starts),
		ENERGY(test_nothing_long_is_put_before_one_that_waits_for_the_orbit),
		ENERGY(test_quotas_of_a_payload_in_an_orbit),
		ENERGY(test_it_is_explained),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
