/* SPDX-License-Identifier: Apache-2.0 */
/* Workflow files: a good one, and every kind of mistake with its place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/file.h"
#include "workflow.h"

static const char good[] = "perigee: v1\n"                                                /* 1 */
			   "workflow: ship-count\n"                                       /* 2 */
			   "payload: harbour-watch\n"                                     /* 3 */
			   "priority: 160\n"                                              /* 4 */
			   "deadline: 20m\n"                                              /* 5 */
			   "triggers:\n"                                                  /* 6 */
			   "  - {event: image.acquired, device: cam0}\n"                  /* 7 */
			   "stages:\n"                                                    /* 8 */
			   "  cloud:\n"                                                   /* 9 */
			   "    image: cloud-detect\n"                                    /* 10 */
			   "    inputs: {scene: trigger.frame}\n"                         /* 11 */
			   "    outputs: {mask: 4MiB, report: {max: 4KiB, type: json}}\n" /* 12 */
			   "    resources: {cpus: 0.5, memory: 64MiB, time: 30s}\n"       /* 13 */
			   "    retry: {limit: 2, backoff: 5s}\n"                         /* 14 */
			   "    params: {a: 1.5, b: text, c: true, d: '7', e: [1, 2]}\n"  /* 15 */
			   "    args: [--fast]\n"                                         /* 16 */
			   "    env: {LEVEL: 3}\n"                                        /* 17 */
			   "  identify:\n"                                                /* 18 */
			   "    image: ship-identify\n"                                   /* 19 */
			   "    when: cloud.report.cloud_fraction < 0.7\n"                /* 20 */
			   "    inputs: {scene: trigger.frame, mask: cloud.mask}\n"       /* 21 */
			   "    outputs: {crops: 1MiB}\n"                                 /* 22 */
			   "downlink:\n"                                                  /* 23 */
			   "  - {product: cloud.report, priority: 200}\n"                 /* 24 */
			   "  - {product: identify.crops}\n";                             /* 25 */

static struct complaints c;
static const struct workflow_limits limits = {.cpus_milli = 2000, .memory_bytes = 128 << 20};

static int parse(const char *text, struct workflow **ret)
{
	assert_int_equal(complaints_init(&c, "f.yaml"), 0);
	return workflow_parse(text, strlen(text), &limits, &c, ret);
}

static void test_a_good_file(void **state)
{
	struct workflow *w;

	if (parse(good, &w) < 0) {
		complaints_print(&c, stderr);
		fail();
	}
	complaints_finish(&c);
	assert_string_equal(workflow_name(w), "ship-count");
	assert_int_equal(w->priority, 160);
	assert_int_equal(w->deadline_ns, 1200 * NS_PER_S);
	assert_int_equal(w->n_stages, 2);
	const struct wf_stage *s = &w->stages[0];
	assert_int_equal(s->cpus_milli, 500);
	assert_int_equal(s->memory_bytes, 64 << 20);
	assert_int_equal(s->time_ns, 30 * NS_PER_S);
	assert_int_equal(s->retry.limit, 2);
	assert_int_equal(s->retry.backoff_ns, 5 * NS_PER_S);
	assert_int_equal(s->outputs[1].type, WF_JSON);
	assert_int_equal(s->outputs[1].max_bytes, 4096);
	CLEAN_FREE char *params = cJSON_PrintUnformatted(s->params);
	assert_string_equal(params, "{\"a\":1.5,\"b\":\"text\",\"c\":true,\"d\":\"7\",\"e\":[1,2]}");
	assert_string_equal(s->args[0], "--fast");
	assert_string_equal(s->env[0], "LEVEL=3");
	/* Needs are implied by inputs and by `when`, once each. */
	assert_int_equal(w->stages[1].n_needs, 1);
	assert_int_equal(w->stages[1].needs[0], 0);
	assert_int_equal(w->n_products, 2);
	assert_int_equal(w->products[1].priority, 160);
	assert_string_equal(workflow_input_name(w, "frame"), "frame");
	assert_string_equal(workflow_input_name(w, "scene"), "frame");
	assert_null(workflow_input_name(w, "mask"));
	assert_string_equal(workflow_trigger_input(w, 0), "frame");
	assert_null(workflow_trigger_input(w, 1));
	assert_string_equal(workflow_trigger_device(w, 0), "cam0");
	assert_null(workflow_trigger_device(w, 1));
	workflow_destroy(w);
}

/* Replaces the first `from` in the good file by `to`. */
static char *with(const char *from, const char *to)
{
	const char *at = strstr(good, from);
	char *text = NULL;

	assert_non_null(at);
	assert_true(asprintf(&text, "%.*s%s%s", (int)(at - good), good, to, at + strlen(from)) > 0);
	return text;
}

static void test_each_mistake_has_its_place(void **state)
{
	static const struct {
		const char *from, *to;
		int line, column;
		const char *says;
	} cases[] = {
		{"perigee: v1", "perigee: v2", 1, 10, "expected v1, found \"v2\""},
		{"perigee: v1\n", "", 1, 1, "perigee"},
		{"workflow: ship-count", "workflow: Ship Count", 2, 11, "workflow"},
		{"priority: 160", "priority: 256", 4, 11, "255"},
		{"priority: 160", "priorty: 160", 4, 1, "priority"},
		{"deadline: 20m", "deadline: soon", 5, 11, "duration"},
		{"image.acquired", "image.aquired", 7, 13, "did you mean image.acquired"},
		{"device: cam0", "devise: cam0", 7, 5, "device"},
		{"image: cloud-detect", "imag: cloud-detect", 10, 5, "image"},
		{"mask: 4MiB", "mask: 4 megs", 12, 21, "expected a size such as 64MiB, found \"4 megs\""},
		{"max: 4KiB", "max: 4MiB", 12, 41, "1MiB for a JSON output"},
		{"type: json", "type: xml", 12, 53, "expected file or json"},
		{"cpus: 0.5", "cpus: 4", 13, 23, "the mission has 2 CPUs"},
		{"memory: 64MiB", "memory: 1GiB", 13, 36, "the mission has 128 MiB"},
		{"memory: 64MiB", "memory: 64 megs", 13, 36,
			"memory: expected a size such as 64MiB, found \"64 megs\""},
		{"limit: 2", "limit: -1", 14, 20, "limit"},
		{"cloud.report.cloud_fraction < 0.7", "clud.report.x < 1", 20, 11, "did you mean \"cloud\""},
		{"cloud.report.cloud_fraction < 0.7", "cloud.mask.x < 1", 20, 11,
			"only an output of type json"},
		{"cloud.report.cloud_fraction < 0.7", "cloud.report.x << 1", 20, 27, "found \"<\""},
		{"mask: cloud.mask", "mask: cloud.mass", 21, 42, "did you mean \"mask\""},
		{"mask: cloud.mask", "mask: clouds.mask", 21, 42, "did you mean \"cloud\""},
		{"mask: cloud.mask", "mask: identify.crops", 18, 3, "a cycle: identify needs identify"},
		{"{scene: trigger.frame}", "{scene: trigger.frmae}", 11, 21,
			"brings trigger.frame and nothing else"},
		{"mask: cloud.mask", "../mask: cloud.mask", 21, 36, "file name"},
		{"mask: cloud.mask", "params.json: cloud.mask", 21, 49, "params.json is taken"},
		{"crops: 1MiB", "crops: 0B", 22, 22, "above zero"},
		{"product: cloud.report", "product: cloud.rapport", 24, 15, "no output \"rapport\""},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		CLEAN_FREE char *text = with(cases[i].from, cases[i].to);
		struct workflow *w;
		bool found = false;

		assert_int_equal(parse(text, &w), ERR_CHECKED);
		for (size_t k = 0; k < c.n; k++)
			found |= c.item[k].line == cases[i].line && c.item[k].column == cases[i].column &&
				 strstr(c.item[k].text, cases[i].says);
		if (!found) {
			complaints_print(&c, stderr);
			fail_msg("case %zu: %s", i, cases[i].to);
		}
		complaints_finish(&c);
	}
}

static void test_a_runtime_that_is_not_there_is_refused(void **state)
{
	CLEAN_FREE char *text = with("image: cloud-detect", "image: cloud-detect\n    runtime: jail");
	struct workflow *w;

	assert_int_equal(parse(text, &w), ERR_CHECKED);
	assert_int_equal(c.item[0].line, 11);
	assert_string_equal(c.item[0].text, "runtime: expected container or unikernel, found \"jail\"");
	complaints_finish(&c);
}

static void test_a_long_cycle_is_printed(void **state)
{
	static const char text[] = "perigee: v1\nworkflow: w\npayload: p\nstages:\n"
				   "  a: {image: i, needs: [c], outputs: {o: 1KiB}}\n"
				   "  b: {image: i, needs: [a], outputs: {o: 1KiB}}\n"
				   "  c: {image: i, needs: [b], outputs: {o: 1KiB}}\n";
	struct workflow *w;

	assert_int_equal(parse(text, &w), ERR_CHECKED);
	assert_int_equal(c.item[0].line, 5);
	assert_non_null(strstr(c.item[0].text, "a needs c needs b needs a"));
	complaints_finish(&c);
}

/* Every stage is found by its name, wherever it stands, and no other. */
static void test_stages_are_found_by_name(void **state)
{
	CLEAN_FREE char *text = NULL;
	size_t size, at;
	FILE *f = open_memstream(&text, &size);
	struct workflow *w;
	char name[32];

	assert_non_null(f);
	fputs("perigee: v1\nworkflow: w\npayload: p\nstages:\n", f);
	for (unsigned i = 0; i < 300; i++) /* 7919 is prime: each name once, in no order */
		fprintf(f, "  s%u: {image: i, outputs: {o: 1KiB}%s}\n", i * 7919 % 300,
			i ? ", inputs: {x: s0.o}" : "");
	fclose(f);
	assert_int_equal(parse(text, &w), 0);
	complaints_finish(&c);
	for (unsigned i = 0; i < 300; i++) {
		snprintf(name, sizeof(name), "s%u", i);
		assert_true(workflow_find_stage(w, name, &at));
		assert_string_equal(workflow_stage_name(w, at), name);
	}
	assert_false(workflow_find_stage(w, "s300", &at));
	assert_false(workflow_find_stage(w, "a", &at));
	assert_false(workflow_find_stage(w, "t", &at));
	assert_false(workflow_find_stage(w, "", &at));
	workflow_destroy(w);
}

/* Nothing that is cut or changed may crash, and nothing that is refused goes without a complaint. */
static void test_cut_and_changed_files(void **state)
{
	uint32_t rng = 1;

	for (size_t cut = 0; cut < strlen(good); cut++) {
		CLEAN_FREE char *text = strndup(good, cut);
		struct workflow *w = NULL;
		int r = parse(text, &w);
		assert_true(r == 0 || c.total > 0);
		complaints_finish(&c);
		workflow_destroy(w);
	}
	for (int i = 0; i < 3000; i++) {
		CLEAN_FREE char *text = strdup(good);
		struct workflow *w = NULL;
		for (int k = 0; k < 3; k++) {
			rng = rng * 1664525u + 1013904223u;
			text[(rng >> 8) % strlen(good)] = (char)(1 + (rng >> 24) % 127);
		}
		int r = parse(text, &w);
		assert_true(r == 0 || c.total > 0);
		complaints_finish(&c);
		workflow_destroy(w);
	}
}

static void parse_within(const char *text, const struct workflow_limits *l)
{
	struct workflow *w = NULL;

	assert_int_equal(complaints_init(&c, "f.yaml"), 0);
	int r = workflow_parse(text, strlen(text), l, &c, &w);
	assert_int_equal(r, c.total ? ERR_CHECKED : 0);
	workflow_destroy(w);
}

/* What asks for more than an orbit has would never start, but in the critical class. */
static void test_energy_that_an_orbit_has_not(void **state)
{
	struct workflow_limits l = {.energy_mj = 60000, .critical = 200};
	CLEAN_FREE char *fits = with("time: 30s}", "time: 30s, energy: 60J}");
	CLEAN_FREE char *more = with("time: 30s}", "time: 30s, energy: 60.001J}");

	parse_within(fits, &l);
	assert_int_equal(c.total, 0);
	complaints_finish(&c);
	parse_within(more, &l);
	assert_int_equal(c.total, 1);
	assert_int_equal(c.item[0].line, 13);
	assert_non_null(strstr(c.item[0].text, "energy: the mission has 60 J for an orbit"));
	complaints_finish(&c);
	l.critical = 160;
	parse_within(more, &l);
	assert_int_equal(c.total, 0);
	complaints_finish(&c);
}

/* Worth a warning: it may be on its way. */
static void test_images_that_are_not_there(void **state)
{
	char dir[] = "/tmp/perigee-images-XXXXXX", path[128];

	assert_non_null(mkdtemp(dir));
	struct workflow_limits l = {.images = dir};
	snprintf(path, sizeof(path), "%s/cloud-detekt", dir);
	assert_int_equal(dir_make(path, 0755), 0);
	snprintf(path, sizeof(path), "%s/cloud-detekt/index.json", dir);
	assert_int_equal(file_replace(path, "{}", 2, 0644), 0);
	parse_within(good, &l);
	assert_int_equal(c.total, 0);
	assert_int_equal(c.warnings, 2);
	assert_int_equal(c.item[0].line, 10);
	assert_non_null(strstr(c.item[0].text, "none called cloud-detect in "));
	assert_non_null(strstr(c.item[0].text, "did you mean \"cloud-detekt\"?"));
	assert_int_equal(c.item[1].line, 19);
	assert_non_null(strstr(c.item[1].text, "`perigee image build` makes one"));
	complaints_finish(&c);
	assert_int_equal(dir_remove(dir), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_good_file),
		cmocka_unit_test(test_each_mistake_has_its_place),
		cmocka_unit_test(test_a_runtime_that_is_not_there_is_refused),
		cmocka_unit_test(test_a_long_cycle_is_printed),
		cmocka_unit_test(test_stages_are_found_by_name),
		cmocka_unit_test(test_cut_and_changed_files),
		cmocka_unit_test(test_energy_that_an_orbit_has_not),
		cmocka_unit_test(test_images_that_are_not_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
