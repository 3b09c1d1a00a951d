/* SPDX-License-Identifier: Apache-2.0 */
/* Every key of LANGUAGE.md: what it reads as, and its mistakes with their places. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/json.h"
#include "workflow.h"

static const char good[] =
	"perigee: v1\n"                                                                             /* 1 */
	"workflow: ship-count\n"                                                                    /* 2 */
	"payload: harbour-watch\n"                                                                  /* 3 */
	"timeout: 10m\n"                                                                            /* 4 */
	"max_runs: {limit: 4, when_full: latest}\n"                                                 /* 5 */
	"params:\n"                                                                                 /* 6 */
	"  limit: {type: number, default: 0.7, min: 0, max: 1, help: \"cloudier is left alone\"}\n" /* 7 */
	"  mode: {type: text, default: fast, one_of: [fast, careful]}\n"                            /* 8 */
	"  night: false\n"                                                                          /* 9 */
	"  areas: [1, 2]\n"                                                                         /* 10 */
	"triggers:\n"                                                                               /* 11 */
	"  - {event: image.acquired, device: cam0}\n"                                               /* 12 */
	"  - {completed: survey, on: any}\n"                                                        /* 13 */
	"stages:\n"                                                                                 /* 14 */
	"  cloud:\n"                                                                                /* 15 */
	"    image: cloud-detect\n"                                                                 /* 16 */
	"    inputs: {scene: trigger.frame}\n"                                                      /* 17 */
	"    outputs: {mask: 4MiB, report: {max: 4KiB, type: json}}\n"                              /* 18 */
	"    params: {limit: $params.limit, price: $$5}\n"                                          /* 19 */
	"    args: [--mode=$params.mode]\n"                                                         /* 20 */
	"    env: {MODE: $params.mode}\n"                                                           /* 21 */
	"    resources: {time: 30s, pids: 64, energy: 1.5kJ}\n"                                     /* 22 */
	"    retry: {limit: 2, backoff: 5s, max_backoff: 1m, jitter: 0.2, on: [temporary, timeout]}\n" /* 23
													*/
	"    timeout: 5m\n"                                                                      /* 24 */
	"    cache: true\n"                                                                      /* 25 */
	"    approve: \"Look first?\"\n"                                                         /* 26 */
	"    on_failure: continue\n"                                                             /* 27 */
	"  count:\n"                                                                             /* 28 */
	"    image: count\n"                                                                     /* 29 */
	"    foreach: {over: \"cloud.report.tiles[0].parts\", parallel: 8}\n"                    /* 30 */
	"    when: item.area > 100 and index < 5 and params.night\n"                             /* 31 */
	"    params: {tile: $item, n: $index, kind: \"$item.kinds[0]\"}\n"                       /* 32 */
	"    outputs: {result: {max: 64KiB, type: json}}\n"                                      /* 33 */
	"  per-area: {image: i, foreach: params.areas, outputs: {o: 1KiB}}\n"                    /* 34 */
	"  listed: {image: i, foreach: [{a: 1}, $params.limit], outputs: {o: 1KiB}}\n"           /* 35 */
	"  sub:\n"                                                                               /* 36 */
	"    uses: coast-survey\n"                                                               /* 37 */
	"    inputs: {frame: trigger.frame}\n"                                                   /* 38 */
	"    params: {limit: 0.5}\n"                                                             /* 39 */
	"  after: {image: i, inputs: {x: sub.map}, when: sub.stats.n > 1, outputs: {o: 1KiB}}\n" /* 40 */
	"  tell: {image: tell, outputs: {o: 1KiB}}\n"                                            /* 41 */
	"  tidy: {image: tidy, inputs: {report: cloud.report}, outputs: {note: 4KiB}}\n"         /* 42 */
	"on_failure: [tell]\n"                                                                   /* 43 */
	"on_exit: [tidy]\n"                                                                      /* 44 */
	"outputs: {result: count.result, mask: cloud.mask}\n"                                    /* 45 */
	"downlink:\n"                                                                            /* 46 */
	"  - {product: per-area.o, priority: 200}\n"                                             /* 47 */
	"  - {product: listed.o, keep: 7d}\n"                                                    /* 48 */
	"  - {product: after.o}\n";                                                              /* 49 */

static struct complaints c;

static int parse(const char *text, struct workflow **ret)
{
	static const struct workflow_limits limits = {.cpus_milli = 2000, .memory_bytes = 128 << 20};

	assert_int_equal(complaints_init(&c, "f.yaml"), 0);
	return workflow_parse(text, strlen(text), &limits, &c, ret);
}

static const struct wf_stage *stage(const struct workflow *w, const char *name)
{
	size_t i;

	assert_true(workflow_find_stage(w, name, &i));
	return &w->stages[i];
}

static void check_the_whole(const struct workflow *w)
{
	assert_int_equal(w->timeout_ns, 600 * NS_PER_S);
	assert_int_equal(w->max_runs, 4);
	assert_int_equal(w->when_full, WF_LATEST);
	assert_int_equal(w->n_params, 4);
	assert_int_equal(w->params[0].type, WF_NUMBER);
	assert_true(w->params[0].min == 0 && w->params[0].max == 1);
	assert_string_equal(w->params[0].help, "cloudier is left alone");
	assert_int_equal(w->params[1].type, WF_TEXT);
	assert_int_equal(cJSON_GetArraySize(w->params[1].one_of), 2);
	assert_int_equal(w->params[2].type, WF_BOOL);
	assert_true(cJSON_IsFalse(w->params[2].value));
	assert_true(isinf(w->params[2].min));
	assert_int_equal(w->params[3].type, WF_LIST);
	assert_int_equal(w->n_triggers, 2);
	assert_int_equal(w->triggers[0].kind, WF_TRIGGER_FRAME);
	assert_int_equal(w->triggers[1].kind, WF_TRIGGER_COMPLETED);
	assert_string_equal(w->triggers[1].workflow, "survey");
	assert_int_equal(w->triggers[1].on, WF_ON_ANY);
	assert_string_equal(workflow_trigger_device(w, 0), "cam0");
	assert_null(workflow_trigger_device(w, 1));
	assert_int_equal(w->n_results, 2);
	assert_string_equal(w->results[1].name, "mask");
	assert_int_equal(w->products[1].keep_ns, 7 * 86400 * NS_PER_S);
	assert_int_equal(w->products[0].keep_ns, 0);
}

static void check_a_stage(const struct wf_stage *s)
{
	CLEAN_FREE char *params = cJSON_PrintUnformatted(s->params);

	assert_string_equal(params, "{\"limit\":\"$params.limit\",\"price\":\"$$5\"}");
	assert_string_equal(s->args[0], "--mode=$params.mode");
	assert_string_equal(s->env[0], "MODE=$params.mode");
	assert_int_equal(s->pids, 64);
	assert_int_equal(s->energy_mj, 1500000);
	assert_int_equal(s->retry.limit, 2);
	assert_int_equal(s->retry.on, WF_END_TEMPORARY | WF_END_TIMEOUT);
	assert_int_equal(s->retry.max_backoff_ns, 60 * NS_PER_S);
	assert_true(s->retry.jitter == 0.2);
	assert_int_equal(s->timeout_ns, 300 * NS_PER_S);
	assert_true(s->cache && s->approve);
	assert_string_equal(s->approve_text, "Look first?");
	assert_int_equal(s->on_failure, WF_CONTINUE);
	assert_int_equal(s->role, WF_NORMAL);
}

static void check_the_lists(const struct workflow *w)
{
	const struct wf_stage *s = stage(w, "count");

	assert_int_equal(s->foreach.source, WF_OVER_OUTPUT);
	assert_string_equal(s->foreach.members, ".tiles[0].parts");
	assert_int_equal(s->foreach.parallel, 8);
	assert_true(s->when_item);
	assert_int_equal(s->n_needs, 1); /* by foreach alone */
	assert_int_equal(s->retry.on, WF_END_TEMPORARY);
	s = stage(w, "per-area");
	assert_int_equal(s->foreach.source, WF_OVER_PARAM);
	assert_int_equal(s->foreach.param, 3);
	assert_int_equal(s->foreach.parallel, WF_PARALLEL_DEFAULT);
	s = stage(w, "listed");
	assert_int_equal(s->foreach.source, WF_OVER_LIST);
	assert_int_equal(cJSON_GetArraySize(s->foreach.list), 2);
}

static void test_every_key(void **state)
{
	struct workflow *w;

	if (parse(good, &w) < 0) {
		complaints_print(&c, stderr);
		fail();
	}
	assert_int_equal(c.warnings, 0);
	complaints_finish(&c);
	check_the_whole(w);
	check_a_stage(stage(w, "cloud"));
	check_the_lists(w);
	const struct wf_stage *sub = stage(w, "sub");
	assert_null(sub->image);
	assert_string_equal(sub->uses, "coast-survey");
	assert_int_equal(sub->n_outputs, 2);
	assert_string_equal(sub->outputs[0].name, "map");
	assert_int_equal(sub->outputs[0].type, WF_FILE);
	assert_string_equal(sub->outputs[1].name, "stats");
	assert_int_equal(sub->outputs[1].type, WF_JSON);
	assert_int_equal(stage(w, "tell")->role, WF_ON_FAILURE);
	assert_int_equal(stage(w, "tidy")->role, WF_ON_EXIT);
	workflow_destroy(w);
}

static char *with(const char *from, const char *to)
{
	const char *at = strstr(good, from);
	char *text = NULL;

	if (!at)
		fail_msg("no %s", from);
	assert_true(asprintf(&text, "%.*s%s%s", (int)(at - good), good, to, at + strlen(from)) > 0);
	return text;
}

static bool said(int line, int column, const char *says)
{
	for (size_t k = 0; k < c.n; k++)
		if (c.item[k].line == line && c.item[k].column == column && strstr(c.item[k].text, says))
			return true;
	return false;
}

static void test_each_mistake_has_its_place(void **state)
{
	static const struct {
		const char *from, *to;
		int line, column;
		const char *says;
	} cases[] = {
		{"timeout: 10m", "timeout: 0s", 4, 10, "above zero"},
		{"limit: 4", "limit: 0", 5, 19, "from 1 to 1000"},
		{"latest", "newest", 5, 33, "expected queue, latest or skip"},
		{"type: number", "type: numbr", 7, 17, "expected number, text, bool or list"},
		{"default: 0.7", "default: 1.7", 7, 34, "limit: expected a number from 0 to 1"},
		{"default: 0.7", "default: fast", 7, 34, "expected a number, found a text"},
		{"min: 0, max: 1", "min: 2, max: 1", 7, 52, "expected at least the min"},
		{"default: fast", "default: fst", 8, 31, "did you mean \"fast\""},
		{"one_of: [fast, careful]", "one_of: [fast, 3]", 8, 52, "expected a text, found a number"},
		{"one_of: [fast", "min: 1, one_of: [fast", 8, 42, "only a number has bounds"},
		{"night: false", "night: ~", 9, 10, "expected a value"},
		{"night: false", "night!: false", 9, 3, "the name of a parameter"},
		{"  - {completed: survey, on: any}", "  - {completed: survey, on: end}", 13, 29,
			"done, failed or any"},
		{"completed: survey", "completed: ship-count", 13, 17, "start itself again"},
		{"completed: survey, on: any", "every: 90m", 17, 21, "a schedule brings no files"},
		{"completed: survey, on: any", "every: 10ms", 13, 13, "at least 1s"},
		{"completed: survey, on: any", "every: 90m, cron: \"0 6 * * *\"", 13, 24,
			"one of event, every"},
		{"completed: survey, on: any", "cron: \"0 25 * * *\"", 13, 12, "hour: expected a number"},
		{"completed: survey, on: any", "cron: \"0 0 31 2 *\"", 13, 12, "there is no such day"},
		{"completed: survey, on: any", "event: pass.begn", 13, 13, "did you mean pass.begin"},
		{"completed: survey, on: any", "event: sunlight.end, place: x", 13, 34, "no place"},
		{"completed: survey, on: any", "event: pass.end, device: x", 13, 31, "only image.acquired"},
		{"completed: survey, on: any", "event: pass.end, place: kiruna", 17, 21,
			"pass.end brings no files"},
		{"completed: survey, on: any", "on: any", 13, 5, "expected event, every, cron or completed"},
		{"  cloud:\n", "  item:\n", 15, 3, "taken by the language"},
		{"image: cloud-detect", "image: cloud-detect\n    uses: x", 17, 11, "not both"},
		{"image: cloud-detect", "runtime: container", 16, 5, "\"image\" or \"uses\""},
		{"image: cloud-detect", "image: cloud-detect\n    runtime: jail", 17, 14, "container or unikernel"},
		{"limit: $params.limit", "limit: $params.limt", 19, 21, "did you mean \"limit\""},
		{"limit: $params.limit", "limit: $item", 19, 21, "has no foreach"},
		{"limit: $params.limit", "limit: $HOME", 19, 21, "for a dollar"},
		{"--mode=$params.mode", "--mode=$params.areas", 20, 12, "is a list"},
		{"MODE: $params.mode", "MODE: $params.areas", 21, 17, "is a list"},
		{"MODE: $params.mode", "M=E: x", 21, 11, "environment variable"},
		{"energy: 1.5kJ", "energy: 0J", 22, 46, "above zero"},
		{"max_backoff: 1m", "max_backoff: 1s", 23, 49, "at least the first backoff"},
		{"jitter: 0.2", "jitter: 2", 23, 61, "from 0 to 1"},
		{"on: [temporary, timeout]", "on: [temporary, crash]", 23, 82,
			"expected temporary, failed, timeout, memory or output"},
		{"on: [temporary, timeout]", "on: []", 23, 70, "at least one class"},
		{"cache: true", "cache: yes", 25, 12, "true or false"},
		{"on_failure: continue", "on_failure: ignore", 27, 17, "fail, continue or cancel"},
		{"over: \"cloud.report.tiles[0].parts\"", "over: cloud.mask", 30, 21, "is a file"},
		{"over: \"cloud.report.tiles[0].parts\"", "over: \"cloud.report.[0]\"", 30, 21,
			"expected STAGE.OUTPUT"},
		{"over: \"cloud.report.tiles[0].parts\"", "over: params.night", 30, 21,
			"expected a list, the parameter night"},
		{"over: \"cloud.report.tiles[0].parts\"", "over: params.area", 30, 21,
			"did you mean \"areas\""},
		{"parallel: 8", "parallel: 0", 30, 62, "from 1 to 64"},
		{"foreach: params.areas", "foreach: []", 34, 33, "1 to 10000 elements"},
		{"foreach: [{a: 1}, $params.limit]", "foreach: [$item]", 35, 32, "has no foreach"},
		{"item.area > 100 and", "item.area > 100 and params.mode and", 31, 31, "this is a text"},
		{"index < 5", "index < 'five'", 31, 37, "a number and a text cannot be compared"},
		{"params.night", "params.nigt", 31, 45, "did you mean \"night\""},
		{"uses: coast-survey", "uses: ship-count", 37, 11, "cannot use itself"},
		{"params: {limit: 0.5}", "cache: true", 39, 5, "not expected here"},
		{"params: {limit: 0.5}", "outputs: {x: 1KiB}", 39, 5, "not expected here"},
		{"inputs: {x: sub.map}", "inputs: {x: tidy.note}", 40, 3,
			"after needs tidy, which runs only when the run ends"},
		{"inputs: {report: cloud.report}", "inputs: {report: tell.o}", 42, 3, "has failed"},
		{"on_failure: [tell]", "on_failure: [tel]", 43, 14, "did you mean \"tell\""},
		{"on_exit: [tidy]", "on_exit: [tidy, tell]", 44, 17, "a handler already"},
		{"result: count.result", "result: count.reslt", 45, 19, "did you mean \"result\""},
		{"keep: 7d", "keep: 7", 48, 31, "duration"},
	};

	int wrong = 0;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		CLEAN_FREE char *text = with(cases[i].from, cases[i].to);
		struct workflow *w = NULL;

		int r = parse(text, &w);
		if (r != ERR_CHECKED || !said(cases[i].line, cases[i].column, cases[i].says)) {
			print_error("case %zu, %s: not said at %d:%d\n", i, cases[i].to, cases[i].line,
				cases[i].column);
			complaints_print(&c, stderr);
			wrong++;
		}
		complaints_finish(&c);
		workflow_destroy(w);
	}
	assert_int_equal(wrong, 0);
}

static void test_warnings_refuse_nothing(void **state)
{
	static const struct {
		const char *from, *to;
		int line, column; /* 0: no warning */
		const char *says;
	} cases[] = {
		{"outputs: {result: {max: 64KiB, type: json}}",
			"outputs: {result: {max: 64KiB, type: json}, crop: 1MiB}", 33, 49,
			"count.crop is used by nobody"},
		{"  - {product: after.o}\n", "", 40, 76, "after.o is used by nobody"},
		{"  - {product: after.o}\n", "  - {product: after.o}\n# needs: see below\n", 0, 0, ""},
		/* the only output of a stage that another waits for marks that it was done */
		{"  sub:\n", "  mark: {image: i, outputs: {o: 1B}}\n  sub:\n    needs: [mark]\n", 0, 0, ""},
		{"timeout: 5m", "timeout: 11m", 24, 14, "longer than the run's"},
		{"time: 30s", "time: 6m", 22, 23, "longer than the stage's timeout"},
		{"{limit: 2, backoff: 5s,", "{limit: 0, backoff: 5s,", 23, 12, "nothing is tried again"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		CLEAN_FREE char *text = with(cases[i].from, cases[i].to);
		struct workflow *w;

		if (parse(text, &w) < 0) {
			complaints_print(&c, stderr);
			fail_msg("case %zu: %s", i, cases[i].to);
		}
		assert_int_equal(c.warnings, cases[i].line ? 1 : 0);
		if (cases[i].line &&
			(!c.item[0].warning || !said(cases[i].line, cases[i].column, cases[i].says))) {
			complaints_print(&c, stderr);
			fail_msg("case %zu: %s", i, cases[i].to);
		}
		complaints_finish(&c);
		workflow_destroy(w);
	}
}

static void test_what_is_joined_must_fit(void **state)
{
	CLEAN_FREE char *text = NULL;
	struct workflow *w;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	assert_non_null(f);
	fputs("perigee: v1\nworkflow: w\npayload: p\nstages:\n"
	      "  a: {image: i, outputs: {j: {max: 64KiB, type: json}, f: 16MiB}, foreach: [",
		f);
	for (int i = 0; i < 257; i++)
		fprintf(f, "%s%d", i ? ", " : "", i);
	fputs("]}\ndownlink: [{product: a.j}, {product: a.f}]\n", f);
	fclose(f);
	assert_int_equal(parse(text, &w), ERR_CHECKED);
	assert_true(
		said(5, 30, "257 elements of up to 65536 bytes cannot be joined: expected at most 16 MiB"));
	assert_true(said(5, 59, "expected at most 4096 MiB"));
	complaints_finish(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_key),
		cmocka_unit_test(test_each_mistake_has_its_place),
		cmocka_unit_test(test_warnings_refuse_nothing),
		cmocka_unit_test(test_what_is_joined_must_fit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
