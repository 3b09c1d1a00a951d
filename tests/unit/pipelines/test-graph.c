/* SPDX-License-Identifier: Apache-2.0 */
/* Pictures of workflows: nothing overlaps, everything points right, what a file says cannot leave its text.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/file.h"
#include "graph.h"

static struct workflow *parse(const char *text)
{
	static const struct workflow_limits no_limits;
	struct workflow *w = NULL;
	struct complaints c;

	assert_int_equal(complaints_init(&c, "f.yaml"), 0);
	if (workflow_parse(text, strlen(text), &no_limits, &c, &w) < 0) {
		complaints_print(&c, stderr);
		fail();
	}
	complaints_finish(&c);
	return w;
}

/* Stages at random, each needing some of those before it; some handlers. */
static struct workflow *random_workflow(uint32_t *rng, unsigned n, unsigned needs)
{
	CLEAN_FREE char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	assert_non_null(f);
	fputs("perigee: v1\nworkflow: w\npayload: p\nstages:\n", f);
	for (unsigned i = 0; i < n; i++) {
		fprintf(f, "  s%u: {image: i, outputs: {o: 1KiB}, needs: [", i);
		for (unsigned k = 0; i && k < needs; k++) {
			*rng = *rng * 1664525u + 1013904223u;
			fprintf(f, "%ss%u", k ? ", " : "", (*rng >> 8) % i);
		}
		fputs("]}\n", f);
	}
	fputs("  h: {image: i, outputs: {o: 1KiB}}\n  k: {image: i, inputs: {x: h.o}, outputs: {o: 1KiB}}\n"
	      "on_exit: [h, k]\n",
		f);
	fclose(f);
	return parse(text);
}

static void check_layout(const struct graph *g)
{
	for (size_t i = 0; i < g->n_edges; i++)
		assert_true(g->nodes[g->edges[i].from].column < g->nodes[g->edges[i].to].column);
	for (size_t i = 0; i < g->n_nodes; i++) {
		const struct graph_node *a = &g->nodes[i];
		double half = a->stage == WF_NONE ? 0 : GRAPH_BOX_HEIGHT / 2.0;

		assert_true(a->x >= 0 && a->x + GRAPH_BOX_WIDTH <= g->width);
		assert_true(a->y - half >= 0 && a->y + half <= g->height);
		for (size_t k = 0; k < i; k++) {
			const struct graph_node *b = &g->nodes[k];
			double other = b->stage == WF_NONE ? 0 : GRAPH_BOX_HEIGHT / 2.0;
			double apart = a->y > b->y ? a->y - b->y : b->y - a->y;
			if (a->column == b->column)
				assert_true(apart > half + other);
		}
	}
}

static void test_nothing_overlaps_and_all_points_right(void **state)
{
	uint32_t rng = 3;

	for (unsigned i = 0; i < 60; i++) {
		struct workflow *w = random_workflow(&rng, 1 + i, i % 5);
		struct graph g;

		assert_int_equal(graph_init(&g, w), 0);
		check_layout(&g);
		assert_true(g.nodes[w->n_stages - 1].column > g.nodes[w->n_stages - 2].column);
		graph_finish(&g);
		workflow_destroy(w);
	}
}

/* More bends than are allowed: the rest of the edges go straight. */
static void test_a_large_one_is_bounded(void **state)
{
	uint32_t rng = 5;
	CLEAN_FREE char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);
	struct graph g;

	assert_non_null(f);
	fputs("perigee: v1\nworkflow: w\npayload: p\nstages:\n", f);
	for (unsigned i = 0; i < WF_STAGES_MAX; i++) {
		fprintf(f, "  s%u: {image: i, outputs: {o: 1KiB}, needs: [", i);
		for (unsigned k = 0; k < 40 && k < i; k++) {
			rng = rng * 1664525u + 1013904223u;
			fprintf(f, "%ss%u", k ? ", " : "", k ? (rng >> 8) % i : i - 1);
		}
		fputs("]}\n", f);
	}
	fclose(f);
	struct workflow *w = parse(text);
	assert_int_equal(graph_init(&g, w), 0);
	assert_int_equal(g.n_columns, WF_STAGES_MAX);
	assert_true(g.n_nodes <= w->n_stages + GRAPH_BENDS_MAX);
	graph_finish(&g);
	workflow_destroy(w);
}

static const char hostile[] =
	"perigee: v1\nworkflow: w\npayload: p\nparams: {t: x}\nstages:\n"
	"  a: {image: i, outputs: {o: {max: 1KiB, type: json}}}\n"
	"  b: {image: i, when: \"a.o.x == '</title><script>\\x01&\\\"' and true\", foreach: a.o,\n"
	"      outputs: {o: 1KiB}, retry: {limit: 2}, on_failure: continue}\n"
	"  c: {uses: other, approve: true}\n"
	"on_exit: [c]\ndownlink: [{product: b.o}]\n";

static char *draw(enum graph_form form, const char *const *states)
{
	struct workflow *w = parse(hostile);
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	assert_non_null(f);
	assert_int_equal(workflow_draw(w, form, states, f), 0);
	fclose(f);
	workflow_destroy(w);
	return text;
}

static void test_svg(void **state)
{
	static const char *const states[] = {"done", "running", NULL};
	CLEAN_FREE char *plain = draw(GRAPH_SVG, NULL), *live = draw(GRAPH_SVG, states);

	assert_null(strstr(plain, "<script"));
	assert_null(strchr(plain, 1));
	assert_non_null(strstr(plain, "when a.o.x == '&lt;/title&gt;&lt;script&gt;?&amp;&quot;' and true"));
	assert_non_null(strstr(plain, "foreach 4, when, retry 2, may fail"));
	assert_non_null(strstr(plain, "uses other"));
	assert_non_null(strstr(plain, "on exit, approve"));
	assert_null(strstr(plain, "(1)"));
	assert_non_null(strstr(live, "<title>a: done"));
	assert_non_null(strstr(live, "running (1)"));
	assert_null(strstr(live, "failed (")); /* the legend has only what is there */
	assert_non_null(strstr(live, graph_colour("done")));
}

static void test_dot(void **state)
{
	static const char *const states[] = {"failed", "skipped", "waiting"};
	CLEAN_FREE char *text = draw(GRAPH_DOT, states);

	assert_non_null(strstr(text, "digraph \"w\" {"));
	assert_non_null(strstr(text, "\t\"a\" -> \"b\";"));
	assert_non_null(strstr(text, "\"a\" [label=\"a\\ni\\n(failed)\", fillcolor=\"#ff9492\"]"));
	assert_null(strstr(text, "script"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_overlaps_and_all_points_right),
		cmocka_unit_test(test_a_large_one_is_bounded),
		cmocka_unit_test(test_svg),
		cmocka_unit_test(test_dot),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
