/* SPDX-License-Identifier: Apache-2.0 */
/* What a dry run says: times, order, room, limits; and at random against the bounds that any order keeps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/file.h"
#include "core/json.h"
#include "workflow.h"

static struct workflow *parse(const char *name, const char *body)
{
	static const struct workflow_limits no_limits;
	CLEAN_FREE char *text = NULL;
	struct workflow *w = NULL;
	struct complaints c;

	assert_true(asprintf(&text, "perigee: v1\nworkflow: %s\npayload: p\n%s", name, body) > 0);
	assert_int_equal(complaints_init(&c, "f.yaml"), 0);
	if (workflow_parse(text, strlen(text), &no_limits, &c, &w) < 0) {
		complaints_print(&c, stderr);
		fail();
	}
	complaints_finish(&c);
	return w;
}

static cJSON *object(const char *text)
{
	cJSON *j = cJSON_Parse(text);

	assert_non_null(j);
	return j;
}

static int try_plan(const char *body, const char *other, const char *params, const char *elements,
	uint32_t cpus, cJSON **ret, char reason[256])
{
	struct workflow *list[2] = {parse("w", body), other ? parse("other", other) : NULL};
	CLEAN_JSON cJSON *given = object(params), *counts = object(elements);
	const struct plan_request request = {.workflow = list[0],
		.others = list,
		.n_others = other ? 2 : 1,
		.params = given,
		.elements = counts,
		.cpus_milli = cpus * 1000,
		.memory_bytes = UINT64_C(512) << 20,
		.tasks = 8,
		.now = {1764082800 * NS_PER_S}}; /* 2025-11-25T15:00:00Z, a Tuesday */

	reason[0] = '\0';
	int r = workflow_plan(&request, ret, reason, 256);
	for (size_t i = 0; i < 2; i++)
		workflow_destroy(list[i]);
	return r;
}

static cJSON *plan(
	const char *body, const char *other, const char *params, const char *elements, uint32_t cpus)
{
	char reason[256];
	cJSON *j = NULL;

	if (try_plan(body, other, params, elements, cpus, &j, reason) != 0)
		print_error("%s\n", reason);
	assert_non_null(j);
	return j;
}

static const cJSON *get(const cJSON *j, const char *key)
{
	return cJSON_GetObjectItemCaseSensitive(j, key);
}

/* "a 0-10 b 10-30 c left out", in the plan's order. */
static void assert_course(const cJSON *j, const char *expected)
{
	char text[1024];
	size_t n = 0;
	const cJSON *s;

	cJSON_ArrayForEach(s, get(j, "stages"))
	{
		const char *before = n ? " " : "";
		if (json_str(s, "left_out"))
			n += (size_t)snprintf(
				text + n, sizeof(text) - n, "%s%s left out", before, json_str(s, "stage"));
		else
			n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s %g-%g", before,
				json_str(s, "stage"), json_num(s, "starts_s", -1), json_num(s, "ends_s", -1));
		assert_true(n < sizeof(text));
	}
	assert_string_equal(text, expected);
}

static void assert_list(const cJSON *list, const char *expected)
{
	CLEAN_FREE char *text = cJSON_PrintUnformatted(list);

	assert_string_equal(text, expected);
}

static const char two_at_once[] = "stages:\n"
				  "  late: {image: i, needs: [a, b], resources: {time: 5s}}\n"
				  "  a: {image: i, resources: {time: 10s}}\n"
				  "  b: {image: i, resources: {time: 20s}}\n"
				  "  c: {image: i, resources: {time: 30s}}\n";

static void test_order_and_room(void **state)
{
	CLEAN_JSON cJSON *wide = plan(two_at_once, NULL, "{}", "{}", 4),
			 *narrow = plan(two_at_once, NULL, "{}", "{}", 1);

	assert_course(wide, "a 0-10 b 0-20 c 0-30 late 20-25");
	assert_int_equal(json_int(get(wide, "needs_at_once"), "tasks", 0), 3);
	assert_list(get(wide, "critical_path"), "[\"c\"]");
	/* One after the other, in the order in which they became ready. */
	assert_course(narrow, "a 0-10 b 10-30 c 30-60 late 60-65");
	assert_list(get(narrow, "critical_path"), "[\"a\",\"b\",\"c\",\"late\"]");
	assert_int_equal(json_int(narrow, "ends_at_the_latest_s", 0), 65);
}

static void test_retries_and_backoff(void **state)
{
	CLEAN_JSON cJSON *j = plan("stages:\n"
				   "  a: {image: i, resources: {time: 10s, energy: 2J}, retry: {limit: 3, "
				   "backoff: 4s, max_backoff: 6s}}\n",
		NULL, "{}", "{}", 1);

	/* 4 x 10 s, and 4 + 6 + 6 s between them. */
	assert_course(j, "a 0-56");
	assert_int_equal(json_int(j, "executions_at_most", 0), 4);
	assert_int_equal(json_int(j, "cpu_s_at_most", 0), 40);
	assert_int_equal(json_int(j, "energy_j_declared", 0), 8);
	assert_true(cJSON_IsTrue(get(j, "energy_declared_by_all")));
}

static const char lists[] =
	"params: {l: [1, 2, 3, 4, 5]}\n"
	"stages:\n"
	"  a: {image: i, outputs: {o: {max: 1KiB, type: json}}, resources: {time: 1s}}\n"
	"  b: {image: i, foreach: {over: params.l, parallel: 2}, resources: {time: 10s}}\n"
	"  c: {image: i, foreach: {over: a.o, parallel: 4}, outputs: {o: 100B}, resources: {cpus: 0.5, time: "
	"1s}}\n"
	"downlink: [{product: c.o, keep: 7d}]\n";

static void test_foreach(void **state)
{
	CLEAN_JSON cJSON *j = plan(lists, NULL, "{}", "{\"c\": 10}", 4),
			 *all = plan(lists, NULL, "{\"l\": []}", "{}", 4);

	assert_course(j, "a 0-1 b 0-30 c 1-4");
	assert_int_equal(json_int(get(j, "downlink")->child, "bytes_at_most", 0), 1000);
	assert_int_equal(cJSON_GetArraySize(get(j, "elements_not_known")), 0);
	assert_course(all, "a 0-1 b 0-0 c 1-2501");
	assert_list(get(all, "elements_not_known"), "[\"c\"]");
}

static const char conditions[] =
	"params: {deep: false, n: 3}\n"
	"stages:\n"
	"  after: {image: i, needs: [maybe]}\n"
	"  maybe: {image: i, when: params.deep and params.n > 2, outputs: {o: {max: 1KiB, type: json}}}\n"
	"  open: {image: i, when: first.o.x > params.n}\n"
	"  first: {image: i, outputs: {o: {max: 1KiB, type: json}}}\n";

static void test_what_parameters_decide(void **state)
{
	CLEAN_JSON cJSON *no = plan(conditions, NULL, "{}", "{}", 1),
			 *yes = plan(conditions, NULL, "{\"deep\": true}", "{}", 1);
	CLEAN_JSON cJSON *never = NULL;
	char reason[256];

	assert_course(no, "first 0-60 open 60-120 after left out maybe left out");
	assert_non_null(strstr(
		json_str(cJSON_GetArrayItem(get(no, "stages"), 3), "left_out"), "params.deep is false"));
	assert_course(yes, "maybe 0-60 first 60-120 after 120-180 open 180-240");
	assert_int_equal(try_plan(conditions, NULL, "{\"n\": true}", "{}", 1, &never, reason), ERR_CHECKED);
	assert_non_null(strstr(reason, "n: expected a number"));
	assert_int_equal(try_plan(conditions, NULL, "{}", "{\"first\": 3}", 1, &never, reason), ERR_CHECKED);
	assert_int_equal(try_plan(conditions, NULL, "{}", "{\"fist\": 3}", 1, &never, reason), ERR_CHECKED);
	assert_int_equal(try_plan(lists, NULL, "{}", "{\"c\": 10001}", 1, &never, reason), ERR_CHECKED);
	assert_null(never);
}

static void test_timeouts_deadline_handlers(void **state)
{
	CLEAN_JSON cJSON *timeout =
		plan("timeout: 90s\nstages: {a: {image: i}, b: {image: i, needs: [a]}, c: {image: i, needs: "
		     "[b]},\n"
		     "  h: {image: i, resources: {time: 7s}}, f: {image: i, resources: {time: 3s}}}\n"
		     "on_exit: [h]\non_failure: [f]\n",
			NULL, "{}", "{}", 1);
	CLEAN_JSON cJSON *deadline = plan("deadline: 70s\nstages: {a: {image: i}, b: {image: i, needs: [a]}, "
					  "c: {image: i, needs: [b]}}\n",
		NULL, "{}", "{}", 1);
	CLEAN_JSON cJSON *own = plan("stages: {a: {image: i, timeout: 5s}}\n", NULL, "{}", "{}", 1);

	assert_course(timeout, "a 0-60 b 60-90 f 90-93 h 93-100 c left out");
	assert_int_equal(json_int(timeout, "stages_end_s", 0), 190);
	assert_int_equal(json_int(timeout, "ends_at_the_latest_s", 0), 100);
	/* What has begun before the deadline goes on. */
	assert_course(deadline, "a 0-60 b 60-120 c left out");
	assert_course(own, "a 0-5");
	assert_true(cJSON_IsTrue(get(get(own, "stages")->child, "cut_short")));
}

static void test_approval(void **state)
{
	CLEAN_JSON cJSON *open = plan("stages: {a: {image: i, approve: true}}\n", NULL, "{}", "{}", 1);
	CLEAN_JSON cJSON *bound =
		plan("timeout: 10m\nstages: {a: {image: i, approve: 'go?'}, h: {image: i}}\non_exit: [h]\n",
			NULL, "{}", "{}", 1);

	assert_true(cJSON_IsNull(get(open, "ends_at_the_latest_s")));
	assert_int_equal(json_int(open, "ends_s", 0), 60);
	assert_list(get(open, "waits_for_approval"), "[\"a\"]");
	assert_int_equal(json_int(bound, "ends_s", 0), 120);
	assert_int_equal(json_int(bound, "ends_at_the_latest_s", 0), 660);
}

static const char outer[] = "params: {n: 2}\nstages:\n"
			    "  first: {image: i, resources: {time: 1s}}\n"
			    "  sub: {uses: other, needs: [first], params: {deep: true, n: $params.n}}\n"
			    "  last: {image: i, needs: [sub], resources: {time: 1s}}\n";
static const char inner[] = "timeout: 15s\nparams: {deep: false, n: {type: number}}\nstages:\n"
			    "  x: {image: i, when: params.deep, resources: {time: 10s}}\n"
			    "  y: {image: i, needs: [x], when: params.n < 3, resources: {time: 10s}}\n"
			    "  h: {image: i, resources: {time: 2s}}\non_exit: [h]\n";

static void test_uses(void **state)
{
	CLEAN_JSON cJSON *j = plan(outer, inner, "{}", "{}", 1),
			 *other = plan(outer, inner, "{\"n\": 5}", "{}", 1);
	CLEAN_JSON cJSON *unknown = plan(outer, NULL, "{}", "{}", 1);

	assert_course(j, "first 0-1 sub 1-18 sub/x 1-11 sub/y 11-16 sub/h 16-18 last 18-19");
	assert_course(other, "first 0-1 sub 1-13 sub/x 1-11 sub/h 11-13 last 13-14 sub/y left out");
	assert_list(get(unknown, "runs_not_known"), "[\"sub\"]");
	assert_true(cJSON_IsNull(get(unknown, "ends_at_the_latest_s")));
}

static void test_triggers(void **state)
{
	CLEAN_JSON cJSON *j = plan("triggers:\n  - {every: 90m}\n  - {cron: '30 6 * * 1-3'}\n  - {event: "
				   "pass.begin, place: svalbard}\n"
				   "stages: {a: {image: i}}\n",
		NULL, "{}", "{}", 1);
	const cJSON *t = get(j, "triggers");

	assert_list(get(cJSON_GetArrayItem(t, 0), "next"),
		"[\"2025-11-25T16:30:00.000Z\",\"2025-11-25T18:00:00.000Z\",\"2025-11-25T19:30:00.000Z\"]");
	assert_list(get(cJSON_GetArrayItem(t, 1), "next"),
		"[\"2025-11-26T06:30:00.000Z\",\"2025-12-01T06:30:00.000Z\",\"2025-12-02T06:30:00.000Z\"]");
	assert_string_equal(json_str(cJSON_GetArrayItem(t, 2), "place"), "svalbard");
}

/* ---- at random ---- */

static uint32_t roll(uint32_t *rng, uint32_t n)
{
	*rng = *rng * 1664525u + 1013904223u;
	return (*rng >> 8) % n;
}

#define STAGES_MAX 20

/* No stage starts before those it needs have ended, no moment has more CPUs than there are, and the end is
 * neither before the longest chain nor after all of it in a row. */
static void check_random(uint32_t seed)
{
	uint32_t rng = seed, n = 1 + roll(&rng, STAGES_MAX), cpus = 1 + roll(&rng, 4);
	double time[STAGES_MAX], cpu[STAGES_MAX], chain[STAGES_MAX], longest = 0, total = 0;
	bool needs[STAGES_MAX][STAGES_MAX] = {{0}};
	double start[STAGES_MAX], end[STAGES_MAX];
	CLEAN_FREE char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	assert_non_null(f);
	fputs("stages:\n", f);
	for (uint32_t i = 0; i < n; i++) {
		time[i] = 1 + roll(&rng, 50);
		cpu[i] = 1 + roll(&rng, cpus);
		chain[i] = 0;
		fprintf(f, "  s%u: {image: i, resources: {cpus: %g, time: %gs}, needs: [", i, cpu[i],
			time[i]);
		for (uint32_t k = 0, any = 0; k < i; k++) {
			if (roll(&rng, 4))
				continue;
			needs[i][k] = true;
			chain[i] = chain[i] < chain[k] ? chain[k] : chain[i];
			fprintf(f, "%ss%u", any++ ? ", " : "", k);
		}
		fputs("]}\n", f);
		chain[i] += time[i];
		total += time[i];
		longest = longest < chain[i] ? chain[i] : longest;
	}
	fclose(f);
	CLEAN_JSON cJSON *j = plan(text, NULL, "{}", "{}", cpus);
	const cJSON *s;
	cJSON_ArrayForEach(s, get(j, "stages"))
	{
		unsigned i = (unsigned)atoi(json_str(s, "stage") + 1);
		start[i] = json_num(s, "starts_s", -1);
		end[i] = json_num(s, "ends_s", -1);
		assert_true(end[i] - start[i] == time[i]);
	}
	for (uint32_t i = 0; i < n; i++) {
		double used = 0;
		for (uint32_t k = 0; k < n; k++) {
			assert_true(!needs[i][k] || start[i] >= end[k]);
			used += start[k] <= start[i] && start[i] < end[k] ? cpu[k] : 0;
		}
		assert_true(used <= cpus);
	}
	assert_true(json_num(j, "ends_s", 0) >= longest && json_num(j, "ends_s", 0) <= total);
	/* The critical path has no gap: each begins when the one before it ends. */
	double at = 0;
	cJSON_ArrayForEach(s, get(j, "critical_path"))
	{
		unsigned i = (unsigned)atoi(s->valuestring + 1);
		assert_true(start[i] == at);
		at = end[i];
	}
	assert_true(at == json_num(j, "ends_s", 0));
}

static void test_at_random(void **state)
{
	for (uint32_t seed = 1; seed <= 500; seed++)
		check_random(seed);
}

/* As large as a file may be: bounded in time and memory. */
static void test_a_large_one(void **state)
{
	CLEAN_FREE char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	assert_non_null(f);
	fputs("stages:\n  s0: {image: i, outputs: {o: {max: 1KiB, type: json}}, resources: {time: 24h}}\n",
		f);
	for (unsigned i = 1; i < WF_STAGES_MAX; i++)
		fprintf(f,
			"  s%u: {image: i, foreach: {over: s0.o, parallel: 1}, resources: {cpus: 0.01, "
			"memory: 1MiB, time: 24h}, "
			"retry: {limit: 100, backoff: 1h}}\n",
			i);
	fclose(f);
	CLEAN_JSON cJSON *j = plan(text, NULL, "{}", "{}", 1);
	/* 8 at once, 1023 of 10,000 elements with 101 days and 100 hours each. */
	double element_h = 101 * 24 + 100, expected_h = 24 + 128 * 10000 * element_h;
	assert_true(json_num(j, "ends_s", 0) / 3600 >= expected_h * 0.99 &&
		    json_num(j, "ends_s", 0) / 3600 <= expected_h * 1.01);
	assert_int_equal(json_int(get(j, "needs_at_once"), "tasks", 0), 8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_order_and_room),
		cmocka_unit_test(test_retries_and_backoff), cmocka_unit_test(test_foreach),
		cmocka_unit_test(test_what_parameters_decide),
		cmocka_unit_test(test_timeouts_deadline_handlers), cmocka_unit_test(test_approval),
		cmocka_unit_test(test_uses), cmocka_unit_test(test_triggers),
		cmocka_unit_test(test_at_random), cmocka_unit_test(test_a_large_one)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
