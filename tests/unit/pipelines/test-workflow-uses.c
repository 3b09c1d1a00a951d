/* SPDX-License-Identifier: Apache-2.0 */
/* Workflows of one mission that refer to each other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/file.h"
#include "workflow.h"

static const char *const good[] = {
	/* ships.yaml */
	"perigee: v1\n"                                    /* 1 */
	"workflow: ships\n"                                /* 2 */
	"payload: p\n"                                     /* 3 */
	"params: {limit: 0.5, name: bay}\n"                /* 4 */
	"stages:\n"                                        /* 5 */
	"  survey:\n"                                      /* 6 */
	"    uses: coast\n"                                /* 7 */
	"    inputs: {frame: trigger.frame}\n"             /* 8 */
	"    params: {limit: $params.limit, label: bay}\n" /* 9 */
	"  count:\n"                                       /* 10 */
	"    image: count\n"                               /* 11 */
	"    when: survey.stats.n > 1\n"                   /* 12 */
	"    inputs: {map: survey.map}\n"                  /* 13 */
	"    outputs: {ships: {max: 1KiB, type: json}}\n"  /* 14 */
	"outputs: {ships: count.ships}\n",                 /* 15 */
	/* coast.yaml */
	"perigee: v1\n"                                                              /* 1 */
	"workflow: coast\n"                                                          /* 2 */
	"payload: p\n"                                                               /* 3 */
	"params: {limit: {type: number, max: 1}, label: {type: text, default: x}}\n" /* 4 */
	"stages:\n"                                                                  /* 5 */
	"  a: {image: i, inputs: {f: trigger.frame}, outputs: {map: 1KiB}}\n"        /* 6 */
	"  b: {image: i, outputs: {s: {max: 1KiB, type: json}}}\n"                   /* 7 */
	"outputs: {map: a.map, stats: b.s}\n",                                       /* 8 */
	/* report.yaml */
	"perigee: v1\n"                                                     /* 1 */
	"workflow: report\n"                                                /* 2 */
	"payload: p\n"                                                      /* 3 */
	"triggers: [{completed: ships}]\n"                                  /* 4 */
	"stages:\n"                                                         /* 5 */
	"  a: {image: i, inputs: {x: trigger.ships}, outputs: {o: 1KiB}}\n" /* 6 */
	"outputs: {o: a.o}\n",                                              /* 7 */
};

#define N ARRAY_LEN(good)

struct mission_files {
	struct workflow *w[N + 8];
	struct complaints c[N + 8], *each[N + 8];
	size_t n;
};

static void add(struct mission_files *m, const char *text)
{
	static const struct workflow_limits no_limits;

	m->each[m->n] = &m->c[m->n];
	assert_int_equal(complaints_init(&m->c[m->n], "f.yaml"), 0);
	if (workflow_parse(text, strlen(text), &no_limits, &m->c[m->n], &m->w[m->n]) < 0) {
		complaints_print(&m->c[m->n], stderr);
		fail();
	}
	m->n++;
}

static void forget(struct mission_files *m)
{
	for (size_t i = 0; i < m->n; i++) {
		workflow_destroy(m->w[i]);
		complaints_finish(&m->c[i]);
	}
}

static char *replaced(const char *text, const char *from, const char *to)
{
	const char *at = strstr(text, from);
	char *made = NULL;

	if (!at)
		fail_msg("no %s", from ? from : "text");
	assert_true(asprintf(&made, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from)) > 0);
	return made;
}

static void test_good_ones(void **state)
{
	struct mission_files m = {0};

	for (size_t i = 0; i < N; i++)
		add(&m, good[i]);
	assert_int_equal(workflow_check_uses(m.w, m.n, true, m.each), 0);
	assert_int_equal(workflow_check_uses(m.w, 1, false, m.each), 0); /* one alone: not known */
	assert_int_equal(m.c[0].total, 0);
	assert_int_equal(workflow_check_uses(m.w, 1, true, m.each), ERR_CHECKED);
	assert_non_null(strstr(m.c[0].item[0].text, "there is no workflow \"coast\" in the mission"));
	forget(&m);
}

static void test_each_mistake_has_its_place(void **state)
{
	static const struct {
		size_t file; /* that is changed */
		const char *from, *to;
		size_t in; /* the file that is complained about */
		int line, column;
		const char *says;
	} cases[] = {
		{0, "uses: coast", "uses: cost", 0, 7, 11, "did you mean \"coast\""},
		{1, "payload: p", "payload: q", 0, 7, 11, "belongs to another payload, q"},
		{0, "inputs: {frame: trigger.frame}", "inputs: {frame: trigger.frame, extra: trigger.frame}",
			0, 8, 36, "takes no trigger.extra"},
		{0, "inputs: {frame: trigger.frame}", "needs: []", 0, 7, 11, "coast takes trigger.frame"},
		{0, "limit: $params.limit", "limit: 2", 0, 9, 21,
			"limit: expected a number from -inf to 1, found 2"},
		{0, "limit: $params.limit", "limit: $params.name", 0, 9, 21,
			"expected a number, the parameter name is a text"},
		{0, "limit: $params.limit, ", "", 0, 7, 11, "has the parameter limit without a default"},
		{0, "label: bay", "lable: bay", 0, 9, 36, "did you mean \"label\""},
		{0, "label: bay", "label: [1]", 0, 9, 43, "label: expected a text, found a list"},
		{0, "map: survey.map", "map: survey.mop", 0, 7, 11,
			"declares no output \"mop\"; did you mean \"map\""},
		{0, "survey.stats.n", "survey.map.n", 0, 7, 11, "the output map of coast is a file"},
		{1, "stats: b.s", "other: b.s", 0, 7, 11, "declares no output \"stats\""},
		{2, "trigger.ships", "trigger.boats", 2, 4, 24, "ships declares no output \"boats\""},
		{2, "completed: ships", "completed: shps", 2, 4, 24, "did you mean \"ships\""},
		{0, "stages:", "triggers: [{completed: report}]\nstages:", 0, 5, 24, "without end"},
		/* coast uses report, which nobody else uses: no cycle; and with ships one */
		{1, "  b: {image: i, outputs: {s: {max: 1KiB, type: json}}}",
			"  b: {image: i, outputs: {s: {max: 1KiB, type: json}}}\n  c: {uses: ships, params: "
			"{}}",
			1, 8, 13, "a cycle: ships uses coast uses ships"},
	};
	int wrong = 0;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct mission_files m = {0};
		bool found = false;

		for (size_t k = 0; k < N; k++) {
			CLEAN_FREE char *text = k == cases[i].file
							? replaced(good[k], cases[i].from, cases[i].to)
							: strdup(good[k]);
			add(&m, text);
		}
		int r = workflow_check_uses(m.w, m.n, true, m.each);
		const struct complaints *c = m.each[cases[i].in];
		for (size_t k = 0; k < c->n; k++)
			found |= c->item[k].line == cases[i].line && c->item[k].column == cases[i].column &&
				 strstr(c->item[k].text, cases[i].says);
		if (r != ERR_CHECKED || !found) {
			print_error("case %zu: %s\n", i, cases[i].to);
			for (size_t k = 0; k < N; k++)
				complaints_print(&m.c[k], stderr);
			wrong++;
		}
		forget(&m);
	}
	assert_int_equal(wrong, 0);
}

/* Each of a chain uses the next one eight times: a bomb. */
static void test_too_many_runs(void **state)
{
	struct mission_files m = {0};

	for (int i = 0; i < 8; i++) {
		CLEAN_FREE char *text = NULL;
		size_t size;
		FILE *f = open_memstream(&text, &size);

		assert_non_null(f);
		fprintf(f, "perigee: v1\nworkflow: w%d\npayload: p\nstages:\n", i);
		for (int k = 0; k < 8; k++)
			if (i < 7)
				fprintf(f, "  s%d: {uses: w%d}\n", k, i + 1);
			else
				fprintf(f, "  s%d: {image: i, outputs: {o: 1KiB}}\n", k);
		fclose(f);
		add(&m, text);
	}
	assert_int_equal(workflow_check_uses(m.w, m.n, true, m.each), ERR_CHECKED);
	assert_non_null(strstr(m.c[0].item[0].text, "more than 1000"));
	assert_int_equal(m.c[4].total, 0); /* 1 + 8 + 64 + 512 */
	assert_int_equal(m.c[3].total, 1);
	forget(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good_ones),
		cmocka_unit_test(test_each_mistake_has_its_place),
		cmocka_unit_test(test_too_many_runs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
