/* SPDX-License-Identifier: Apache-2.0 */
/* Looking at runs as a person does: a picture of one as it goes, what made a product; by the database and by
 * the commands. Usage: test-look PERIGEE */
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/json.h"
#include "graph.h"
#include "mission-bench.h"

static const char *perigee; /* the command */

static const char many_states[] =
	"perigee: v1\nworkflow: w\npayload: p\nstages:\n"
	"  a: {image: i, inputs: {s: trigger.scene}, args: ['x=1'], outputs: {x: 8B}}\n"
	"  b: {image: i, inputs: {x: a.x}, approve: \"Go?\", outputs: {z: 8B}}\n"
	"  c: {image: i, inputs: {x: a.x}, args: [exit=75], retry: {limit: 3, backoff: 1h}, outputs: {z: "
	"8B}}\n"
	"  d: {image: i, inputs: {x: a.x}, args: [hold], outputs: {z: 8B}}\n"
	"  e: {image: i, needs: [d], outputs: {z: 8B}}\n"
	"  f: {image: i, when: \"1 > 2\", outputs: {z: 8B}}\n"
	"  g: {image: i, args: [exit=3], on_failure: continue, outputs: {z: 8B}}\n"
	"on_exit: []\n";

static const char made[] =
	"perigee: v1\nworkflow: w\npayload: p\nparams: {n: 3}\nstages:\n"
	"  a: {image: i, inputs: {s: trigger.scene}, args: ['x=[4,5]'], outputs: {x: {max: 8B, type: "
	"json}}}\n"
	"  b: {image: i, foreach: a.x, params: {m: $params.n, of: $item}, args: ['o<params'], outputs: {o: "
	"64B}}\n"
	"  c: {image: i, inputs: {x: a.x, tar: b.o}, args: ['o=product'], outputs: {o: 8B}}\n";

static void open_with(const char *text)
{
	bench.texts[0] = text;
	bench.texts[1] = NULL;
	bench_open();
}

/* What the command prints, at most `cap` bytes of it; its exit status. The state folder is the bench's. */
static int ask(const char *arguments, char *ret_text, size_t cap)
{
	char command[PATH_MAX], from[PATH_MAX];
	size_t n = 0, got;

	snprintf(from, sizeof(from), "%s/perigee.db", bench.dir);
	if (access(from, F_OK) < 0)
		assert_int_equal(symlink("db", from), 0);
	snprintf(command, sizeof(command), "'%s' %s --state %s 2>&1", perigee, arguments, bench.dir);
	FILE *f = popen(command, "re");
	assert_non_null(f);
	while (n < cap - 1 && (got = fread(ret_text + n, 1, cap - 1 - n, f)) > 0)
		n += got;
	ret_text[n] = '\0';
	int status = pclose(f);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void assert_coloured(const char *svg, const char *stage, const char *state)
{
	char title[96];

	snprintf(title, sizeof(title), "<title>%s: %s", stage, state);
	const char *at = strstr(svg, title);
	if (!at)
		print_error("no %s in %s\n", title, svg);
	assert_non_null(at);
	const char *fill = strstr(at, "fill=\"");
	assert_memory_equal(fill + 6, graph_colour(state), 7);
}

static void test_a_run_as_it_goes(void **state)
{
	static char svg[1 << 20];
	static const char *const expected[][2] = {{"a", "done"}, {"b", "asking"}, {"c", "retrying"},
		{"d", "running"}, {"e", "waiting"}, {"f", "skipped"}, {"g", "failed"}};

	open_with(many_states);
	bench_script("run");
	assert_int_equal(ask("graph --run 1", svg, sizeof(svg)), 0);
	for (size_t i = 0; i < ARRAY_LEN(expected); i++)
		assert_coloured(svg, expected[i][0], expected[i][1]);
	assert_non_null(strstr(svg, "asking (1)"));
	assert_int_equal(ask("graph --run 1 --dot", svg, sizeof(svg)), 0);
	assert_non_null(strstr(svg, "\"c\" [label=\"c\\ni\\nretry 3\\n(retrying)\", fillcolor=\"#ffdf5d\"]"));
	assert_int_equal(ask("graph --run 1 --json", svg, sizeof(svg)), 0);
	CLEAN_JSON cJSON *j = cJSON_Parse(svg);
	const cJSON *stages = cJSON_GetObjectItemCaseSensitive(j, "stages");
	assert_int_equal(cJSON_GetArraySize(stages), ARRAY_LEN(expected));
	for (size_t i = 0; i < ARRAY_LEN(expected); i++)
		assert_string_equal(json_str(cJSON_GetArrayItem(stages, (int)i), "state"), expected[i][1]);
	assert_int_equal(ask("runs", svg, sizeof(svg)), 0);
	assert_non_null(strstr(svg, "; waits for `perigee approve 1 b`\n"));
	bench_script("cancel run 1");
	assert_int_equal(ask("runs", svg, sizeof(svg)), 0);
	assert_null(strstr(svg, "approve"));
	assert_int_equal(ask("graph --run 1", svg, sizeof(svg)), 0);
	assert_coloured(svg, "d", "cancelled");
	assert_coloured(svg, "a", "done");
	assert_int_equal(ask("graph --run 2", svg, sizeof(svg)), 66);
	assert_non_null(strstr(svg, "there is no run 2"));
	bench_close();
}

static const cJSON *get(const cJSON *j, const char *key)
{
	return cJSON_GetObjectItemCaseSensitive(j, key);
}

static void test_which_product_is_meant(void **state)
{
	char digest[DIGEST_TEXT_BYTES], again[DIGEST_TEXT_BYTES], element[DIGEST_TEXT_BYTES];

	open_with(made);
	bench_script("run; run");
	assert_int_equal(product_find(bench.store, "1.c.o", digest), 0);
	assert_int_equal(product_find(bench.store, digest, again), 0);
	assert_string_equal(digest, again);
	assert_int_equal(product_find(bench.store, "1.b[1].o", element), 0);
	assert_string_not_equal(digest, element);
	digest[8] = '\0'; /* the first digits are enough, as long as one product alone has them */
	assert_int_equal(product_find(bench.store, digest, again), 0);
	assert_memory_equal(digest, again, 8);
	assert_int_equal(strlen(again), 64);
	assert_int_equal(product_find(bench.store, "00000000", again), ERR_UNKNOWN);
	assert_int_equal(product_find(bench.store, "1.b[7].o", again), ERR_UNKNOWN);
	assert_int_equal(product_find(bench.store, "3.c.o", again), ERR_UNKNOWN);
	static const char *const bad[] = {"", "1", "1.c", "c.o", "1.c.o.p", "1.b[x].o", "1.b[1.o",
		"1.b[-1].o", "-1.c.o", "1.c[1]o", "0123456", "012345678g", "%", "'; DROP TABLE run"};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(product_find(bench.store, bad[i], again), ERR_FORMAT);
	bench_close();
}

static void test_what_made_it(void **state)
{
	static char text[1 << 16];
	char digest[DIGEST_TEXT_BYTES];

	open_with(made);
	bench_script("run w {\"n\": 4}");
	assert_int_equal(product_find(bench.store, "1.c.o", digest), 0);
	CLEAN_JSON cJSON *j = product_lineage(bench.store, digest);
	const cJSON *steps = get(get(j, "made_by")->child, "steps");
	assert_int_equal(cJSON_GetArraySize(steps), 3);
	assert_string_equal(json_str(get(cJSON_GetArrayItem(steps, 0), "from"), "s"), "trigger.scene");
	assert_string_equal(json_str(cJSON_GetArrayItem(steps, 1), "foreach"), "a.x");
	assert_string_equal(json_str(get(cJSON_GetArrayItem(steps, 2), "from"), "tar"), "b.o");

	assert_int_equal(ask("lineage 1.c.o", text, sizeof(text)), 0);
	/* Each stage once, under what it made. */
	const char *c = strstr(text, "`-- stage c, image i sha256:abc"),
		   *a = strstr(text, "`-- stage a, image i"), *b = strstr(text, "`-- stage b, image i"),
		   *scene = strstr(text, "s = trigger.scene");
	assert_true(c && a > c && scene > a && b > scene);
	assert_non_null(strstr(b, "its list = a.x"));
	assert_non_null(strstr(b, "stage a, see above"));
	assert_non_null(strstr(text, "with the parameters {\"n\":4}"));
	assert_int_equal(ask("lineage '1.b[1].o'", text, sizeof(text)), 0);
	assert_non_null(strstr(text, "params {\"m\":4,\"of\":5,\"item\":5,\"index\":1}"));
	assert_int_equal(ask("lineage 2.c.o", text, sizeof(text)), 66);
	assert_int_equal(ask("lineage c", text, sizeof(text)), 64);
	bench_close();
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_a_run_as_it_goes, bench_setup, bench_teardown),
		cmocka_unit_test_setup_teardown(test_which_product_is_meant, bench_setup, bench_teardown),
		cmocka_unit_test_setup_teardown(test_what_made_it, bench_setup, bench_teardown)};

	if (argc != 2)
		return 2;
	perigee = argv[1];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
