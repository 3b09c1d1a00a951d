/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>

#include "core/clock.h"
#include "core/file.h"
#include "core/mission.h"
#include "helpers.h"

static struct complaints c;
static char path[PATH_MAX];

static int setup(void **state)
{
	if (setup_dir(state) < 0)
		return -1;
	if (path_format(path, sizeof(path), "%s/mission.yaml", (char *)*state) < 0)
		return -1;
	return complaints_init(&c, "mission.yaml");
}

static int teardown(void **state)
{
	complaints_finish(&c);
	return teardown_dir(state);
}

static int load(const char *text, struct mission **ret_mission)
{
	complaints_finish(&c);
	assert_int_equal(complaints_init(&c, "mission.yaml"), 0);
	assert_int_equal(file_replace(path, text, strlen(text), 0600), 0);
	return mission_load(path, &c, ret_mission);
}

static const char *in_folder(void **state, const char *name)
{
	static char full[PATH_MAX];

	assert_int_equal(path_format(full, sizeof(full), "%s/%s", (char *)*state, name), 0);
	return full;
}

#define LEAST "perigee: v1\nmission: demo\nworkflows: [a.yaml]\nimages: images\n"

static void the_least(void **state)
{
	struct mission *m;

	assert_int_equal(load(LEAST, &m), 0);
	assert_string_equal(m->name, "demo");
	assert_string_equal(m->spacecraft, "demo");
	assert_string_equal(m->run_as, "");
	assert_int_equal(m->n_workflows, 1);
	assert_string_equal(m->workflows[0], in_folder(state, "a.yaml"));
	assert_string_equal(m->images, in_folder(state, "images"));
	assert_null(m->policy);
	assert_null(m->state);
	assert_false(m->downlink.on);
	assert_true(m->budget.cpus_milli >= 1000 && m->budget.tasks >= 1 && m->budget.memory_bytes > 0);
	assert_true(m->log_bytes_max > 0);
	mission_destroy(m);
	mission_destroy(NULL);
}

static void everything(void **state)
{
	struct mission *m;

	assert_int_equal(load("perigee: v1\n"
			      "mission: harbour\n"
			      "spacecraft: sat-1\n"
			      "run-as: nobody\n"
			      "workflows: [a.yaml, /abs/b.yaml]\n"
			      "images: ../images\n"
			      "policy: policy.json\n"
			      "state: /var/lib/perigee\n"
			      "budget: {cpus: 1.5, memory: 256MiB, tasks: 3}\n"
			      "storage: {history: 7d, runs: 50, logs: 1MiB, artifacts: 3GiB}\n"
			      "logs: 16KiB\n"
			      "downlink:\n"
			      "  to: 127.0.0.1:30501\n"
			      "  from: 10.0.0.2:0\n"
			      "  key: keys/batch.key\n"
			      "  batch: 2MiB\n"
			      "  rate: 2Mbit/s\n",
				 &m),
		0);
	char ip[INET_ADDRSTRLEN];

	assert_string_equal(m->spacecraft, "sat-1");
	assert_string_equal(m->run_as, "nobody");
	assert_int_equal(m->n_workflows, 2);
	assert_string_equal(m->workflows[1], "/abs/b.yaml");
	assert_string_equal(m->policy, in_folder(state, "policy.json"));
	assert_string_equal(m->state, "/var/lib/perigee");
	assert_int_equal(m->budget.cpus_milli, 1500);
	assert_int_equal(m->budget.memory_bytes, 256 << 20);
	assert_int_equal(m->budget.tasks, 3);
	assert_int_equal(m->storage.history_ns, 7 * 86400 * INT64_C(1000000000));
	assert_int_equal(m->storage.runs, 50);
	assert_int_equal(m->storage.logs_bytes, 1 << 20);
	assert_int_equal(m->storage.artifacts_bytes, UINT64_C(3) << 30);
	assert_int_equal(m->log_bytes_max, 16384);
	assert_true(m->downlink.on);
	assert_string_equal(inet_ntop(AF_INET, &m->downlink.to.sin_addr, ip, sizeof(ip)), "127.0.0.1");
	assert_int_equal(ntohs(m->downlink.to.sin_port), 30501);
	assert_string_equal(inet_ntop(AF_INET, &m->downlink.from.sin_addr, ip, sizeof(ip)), "10.0.0.2");
	assert_string_equal(m->downlink.key, in_folder(state, "keys/batch.key"));
	assert_int_equal(m->downlink.batch_bytes_max, 2 << 20);
	assert_int_equal(m->downlink.rate_bytes_per_s, 250000);
	mission_destroy(m);
}

static void queue_and_quotas(void **state)
{
	struct mission *m;

	assert_int_equal(load(LEAST, &m), 0);
	assert_int_equal(m->queue.critical, 200);
	assert_int_equal(m->queue.ageing_ns, 600 * NS_PER_S);
	assert_int_equal(m->queue.poison, 5);
	assert_int_equal(m->queue.history, 100000);
	assert_int_equal(m->queue.preempt, 256);
	assert_int_equal(m->n_quotas, 0);
	mission_destroy(m);
	assert_int_equal(
		load(LEAST "queue: {critical: 240, ageing: 1m, poison: 0, history: 10, preempt: 50}\n"
			   "quotas:\n"
			   "  harbour-watch: {tasks: 2, waiting: 1000, cpu-per-day: 2h}\n"
			   "  survey: {waiting: 5}\n",
			&m),
		0);
	assert_int_equal(m->queue.critical, 240);
	assert_int_equal(m->queue.ageing_ns, 60 * NS_PER_S);
	assert_int_equal(m->queue.poison, 0);
	assert_int_equal(m->queue.preempt, 50);
	assert_int_equal(m->queue.history, 10);
	assert_int_equal(m->n_quotas, 2);
	assert_string_equal(m->quotas[0].payload, "harbour-watch");
	assert_int_equal(m->quotas[0].tasks, 2);
	assert_int_equal(m->quotas[0].waiting, 1000);
	assert_int_equal(m->quotas[0].cpu_ns_per_day, 7200 * NS_PER_S);
	assert_string_equal(m->quotas[1].payload, "survey");
	assert_int_equal(m->quotas[1].tasks, 0);
	mission_destroy(m);
}

static void energy(void **state)
{
	struct mission *m;

	assert_int_equal(load(LEAST, &m), 0);
	assert_string_equal(m->energy.device, "");
	assert_int_equal(m->energy.orbit_ns, 5700 * NS_PER_S);
	assert_int_equal(m->energy.mj_per_cpu_s + m->energy.mj_per_orbit, 0);
	mission_destroy(m);
	assert_int_equal(load(LEAST "policy: p.yaml\n"
				    "queue: {preempt: never}\n"
				    "energy: {device: power0, reserve: 25.5%}\n",
				 &m),
		0);
	assert_int_equal(m->queue.preempt, 0);
	assert_string_equal(m->energy.battery, "battery_capacity_percent");
	assert_string_equal(m->energy.sunlight, "sunlit");
	assert_true(m->energy.reserve_percent == 25.5 && m->energy.resume_percent == 35.5);
	assert_true(m->energy.eclipse_more_percent == 0);
	mission_destroy(m);
	assert_int_equal(load(LEAST "policy: p.yaml\n"
				    "quotas: {survey: {cpu-per-orbit: 5m, energy-per-day: 1kJ, "
				    "energy-per-orbit: 500mJ}}\n"
				    "energy:\n"
				    "  device: power0\n"
				    "  battery: soc\n"
				    "  sunlight: sun\n"
				    "  every: 1m\n"
				    "  reserve: 20%\n"
				    "  resume: 30%\n"
				    "  reserve-in-eclipse: 35%\n"
				    "  joules-per-cpu-s: 4.5\n"
				    "  orbit: 90m\n"
				    "  per-orbit: 20kJ\n",
				 &m),
		0);
	assert_string_equal(m->energy.battery, "soc");
	assert_string_equal(m->energy.sunlight, "sun");
	assert_int_equal(m->energy.every_ns, 60 * NS_PER_S);
	assert_true(m->energy.eclipse_more_percent == 15);
	assert_int_equal(m->energy.mj_per_cpu_s, 4500);
	assert_int_equal(m->energy.orbit_ns, 5400 * NS_PER_S);
	assert_int_equal(m->energy.mj_per_orbit, 20000000);
	assert_int_equal(m->quotas[0].cpu_ns_per_orbit, 300 * NS_PER_S);
	assert_int_equal(m->quotas[0].energy_mj_per_day, 1000000);
	assert_int_equal(m->quotas[0].energy_mj_per_orbit, 500);
	mission_destroy(m);
}

static void rates(void **state)
{
	static const struct {
		const char *text;
		uint64_t bytes_per_s;
	} cases[] = {
		{"9600bit/s", 1200},
		{"8kbit/s", 1000},
		{"1.5Mbit/s", 187500},
		{"1Gbit/s", 125000000},
		{"100B/s", 100},
		{"512KiB/s", 524288},
		{"2MiB/s", 2097152},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char text[512];
		struct mission *m;
		snprintf(text, sizeof(text), LEAST "downlink: {to: '127.0.0.1:1', key: k, rate: %s}\n",
			cases[i].text);
		assert_int_equal(load(text, &m), 0);
		assert_int_equal(m->downlink.rate_bytes_per_s, cases[i].bytes_per_s);
		mission_destroy(m);
	}
}

/* Each has one mistake, at this place, and nothing is returned. */
static void one_mistake(void **state)
{
	static const struct {
		const char *text;
		int line, column;
		const char *complaint;
	} cases[] = {
		{"", 1, 1, "the file is empty"},
		{"[]", 1, 1, "expected a mapping, found a list"},
		{"mission: demo\nworkflows: []\nimages: i\n", 1, 1,
			"expected the key \"perigee\", found none"},
		{"perigee: v2\nmission: demo\nworkflows: []\nimages: i\n", 1, 10,
			"perigee: expected v1, found \"v2\""},
		{LEAST "polizy: x\n", 5, 1, "polizy: not a known key, did you mean \"policy\"?"},
		{LEAST "policy: ''\n", 5, 9, "policy: expected a path, found an empty text"},
		{LEAST "budget: {memory: 64 megs}\n", 5, 18,
			"memory: expected a size such as 64MiB, found \"64 megs\""},
		{LEAST "storage: {history: soon}\n", 5, 20,
			"history: expected a duration such as 30s, found \"soon\""},
		{LEAST "storage: {runs: 0}\n", 5, 17,
			"runs: expected a whole number from 1 to 10000000, found \"0\""},
		{LEAST "budget: {tasks: 0}\n", 5, 17,
			"tasks: expected a whole number from 1 to 64, found \"0\""},
		{LEAST "budget: 5\n", 5, 9, "budget: expected a mapping, found \"5\""},
		{LEAST "queue: {critical: 300}\n", 5, 19,
			"critical: expected a whole number from 0 to 256, found \"300\""},
		{LEAST "queue: {preempt: sometimes}\n", 5, 18,
			"preempt: expected critical, never, or how much more priority it takes (1 to 255)"},
		{LEAST "queue: {preempt: 256}\n", 5, 18,
			"preempt: expected a whole number from 1 to 255, found \"256\""},
		{LEAST "energy: {device: power0}\n", 5, 18,
			"device: there is no device power0 without a `policy`"},
		{LEAST "energy: {reserve: 30%}\n", 5, 19,
			"reserve: needs `device`, the power monitor that says how full the battery is"},
		{LEAST "policy: p\nenergy: {device: d, reserve: 30}\n", 6, 30,
			"reserve: expected a percentage such as 30%"},
		{LEAST "policy: p\nenergy: {device: d, reserve: 30%, resume: 30%}\n", 6, 43,
			"resume: expected more than the reserve, 30%"},
		{LEAST "policy: p\nenergy: {device: d, reserve-in-eclipse: 20%}\n", 6, 41,
			"reserve-in-eclipse: expected at least the reserve, 30%, found 20%"},
		{LEAST "policy: p\nenergy: {device: d, reserve-in-eclipse: 95%}\n", 6, 41,
			"reserve-in-eclipse: the battery would have to be at 105% in eclipse to resume: "
			"expected "
			"less"},
		{LEAST "policy: p\nenergy: {device: d, every: 10ms}\n", 6, 28, "every: expected at least 1s"},
		{LEAST "energy: {orbit: 1s}\n", 5, 17, "orbit: expected at least 1m"},
		{LEAST "energy: {per-orbit: 1kJ}\n", 5, 21,
			"per-orbit: needs `joules-per-cpu-s`: without it nothing is counted"},
		{LEAST "quotas: {p: {energy-per-day: 1kJ}}\n", 5, 30,
			"energy-per-day: is not counted without `energy: {joules-per-cpu-s: ...}`"},
		{LEAST "queue: {aging: 10m}\n", 5, 9, "aging: not a known key, did you mean \"ageing\"?"},
		{LEAST "queue: {ageing: slow}\n", 5, 17,
			"ageing: expected a duration such as 30s, found \"slow\""},
		{LEAST "quotas: [a]\n", 5, 9, "quotas: expected a mapping, found a list"},
		{LEAST "quotas: {Harbour: {tasks: 1}}\n", 5, 10,
			"expected a name (a lower-case letter, then lower-case letters, digits or \"-\", at "
			"most 63), "
			"found \"Harbour\""},
		{LEAST "quotas: {a: {tasks: 0}}\n", 5, 21,
			"tasks: expected a whole number from 1 to 64, found \"0\""},
		{LEAST "quotas: {a: {tusks: 1}}\n", 5, 14, "tusks: not a known key, did you mean \"tasks\"?"},
		{LEAST "quotas: {a: 5}\n", 5, 13, "a: expected a mapping, found \"5\""},
		{LEAST "logs: lots\n", 5, 7, "logs: expected a size such as 64MiB, found \"lots\""},
		{LEAST "downlink: {key: k}\n", 5, 11, "downlink: expected the key \"to\", found none"},
		{LEAST "downlink: {to: here, key: k}\n", 5, 16,
			"to: expected an address and port such as 127.0.0.1:30501, found \"here\""},
		{LEAST "downlink: {to: '127.0.0.1:65536', key: k}\n", 5, 16,
			"to: expected an address and port such as 127.0.0.1:30501, found "
			"\"127.0.0.1:65536\""},
		{LEAST "downlink: {to: '127.0.0.1:', key: k}\n", 5, 16,
			"to: expected an address and port such as 127.0.0.1:30501, found \"127.0.0.1:\""},
		{LEAST "downlink: {to: '127.0.0.1:1', key: k, rate: fast}\n", 5, 45,
			"rate: expected a data rate such as 2Mbit/s or 512KiB/s, found \"fast\""},
		{LEAST "downlink: {to: '127.0.0.1:1', key: k, rate: infB/s}\n", 5, 45,
			"rate: expected a data rate such as 2Mbit/s or 512KiB/s, found \"infB/s\""},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct mission *m = NULL;
		assert_int_equal(load(cases[i].text, &m), ERR_CHECKED);
		assert_null(m);
		assert_int_equal(c.total, 1);
		assert_string_equal(c.item[0].text, cases[i].complaint);
		assert_int_equal(c.item[0].line, cases[i].line);
		assert_int_equal(c.item[0].column, cases[i].column);
	}
}

static void all_mistakes_at_once(void **state)
{
	struct mission *m = NULL;

	assert_int_equal(load("mission: Big\nworkflows: x\nlogs: 1\nextra: y\n", &m), ERR_CHECKED);
	assert_int_equal(c.total, 6);
}

static void too_many_workflows(void **state)
{
	char text[4096] = "perigee: v1\nmission: demo\nimages: i\nworkflows:\n";
	struct mission *m = NULL;

	for (int i = 0; i < MISSION_WORKFLOWS_MAX; i++)
		strcat(text, "- w.yaml\n");
	assert_int_equal(load(text, &m), 0);
	assert_int_equal(m->n_workflows, MISSION_WORKFLOWS_MAX);
	mission_destroy(m);
	strcat(text, "- w.yaml\n");
	assert_int_equal(load(text, &m), ERR_CHECKED);
	assert_string_equal(c.item[0].text, "workflows: expected at most 64 workflows, found 65");
}

static void no_file(void **state)
{
	struct mission *m = NULL;

	assert_int_equal(mission_load("/nowhere/mission.yaml", &c, &m), ERR_CHECKED);
	assert_string_equal(c.item[0].text, "cannot be read: No such file or directory");
}

#define WITH_FILE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_FILE(the_least),
		WITH_FILE(everything),
		WITH_FILE(queue_and_quotas),
		WITH_FILE(energy),
		WITH_FILE(rates),
		WITH_FILE(one_mistake),
		WITH_FILE(all_mistakes_at_once),
		WITH_FILE(too_many_workflows),
		WITH_FILE(no_file),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
