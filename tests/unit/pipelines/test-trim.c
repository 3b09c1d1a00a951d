/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Retention against a model: runs of many kinds are made by a seed, some go on, some are needed outside, and
 * then history is cut by age, by number and by bytes, with a power cut in the middle. What must stay is
 * worked out from the table before; afterwards nothing else may be left: no row of a run that is gone, no
 * artifact that no row names, no log.
 */
#include "mission-bench.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/file.h"

#define SEEDS 40
#define RUNS_MAX 256

static const char head[] = "perigee: v1\npayload: p\n";
static const char w_text[] = "workflow: w\n"
			     "params: {n: 1}\n"
			     "triggers: [{event: image.acquired, device: cam0}]\n"
			     "stages:\n"
			     "  a: {image: i, params: {n: $params.n}, args: ['x<params'], cache: true, "
			     "outputs: {x: {max: 64B, type: json}}}\n"
			     "  b: {image: i, foreach: {over: [1, 2, 3], parallel: 2}, params: {n: "
			     "$params.n, i: $item}, args: ['y<params'],"
			     " retry: {limit: 1, on: [failed]}, outputs: {y: {max: 64B, type: json}}}\n"
			     "  c: {uses: v, params: {n: $params.n}}\n";
static const char v_text[] =
	"workflow: v\n"
	"params: {n: 1}\n"
	"stages: {s: {image: i, params: {v: $params.n}, args: ['o<params'], outputs: {o: 64B}}}\n";
static const char hold_text[] = "workflow: h\nstages: {s: {image: i, args: [hold], outputs: {z: 8B}}}\n";
static char big_text[2048];

static uint64_t rnd(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

static int64_t number(const char *sql)
{
	sqlite3_stmt *q;
	int64_t n = -1;

	assert_int_equal(sqlite3_prepare_v2(store_db(bench.store), sql, -1, &q, NULL), SQLITE_OK);
	if (sqlite3_step(q) == SQLITE_ROW)
		n = sqlite3_column_int64(q, 0);
	sqlite3_finalize(q);
	return n;
}

/* ---- the model ---- */

struct model_run {
	int64_t id, root, state, created, ended;
	bool stays;
};
static struct model_run model[RUNS_MAX];
static size_t n_model;
static uint64_t needed_seed;

static bool is_needed(int64_t run)
{
	return needed_seed && (uint64_t)run * 2654435761u % 7 == needed_seed % 7;
}

static struct model_run *find(int64_t id)
{
	for (size_t i = 0; i < n_model; i++)
		if (model[i].id == id)
			return &model[i];
	fail_msg("no run %lld", (long long)id);
	abort();
}

static void read_model(void)
{
	sqlite3_stmt *q;

	n_model = 0;
	assert_int_equal(sqlite3_prepare_v2(store_db(bench.store),
				 "SELECT id, ifnull(parent, 0), state, created_ns, ifnull(ended_ns, 0) FROM "
				 "run ORDER BY id",
				 -1, &q, NULL),
		SQLITE_OK);
	while (sqlite3_step(q) == SQLITE_ROW) {
		struct model_run *r = &model[n_model++];
		int64_t parent = sqlite3_column_int64(q, 1);

		assert_true(n_model < RUNS_MAX);
		*r = (struct model_run){.id = sqlite3_column_int64(q, 0),
			.state = sqlite3_column_int64(q, 2),
			.created = sqlite3_column_int64(q, 3),
			.ended = sqlite3_column_int64(q, 4)};
		r->root = parent ? find(parent)->root : r->id;
	}
	sqlite3_finalize(q);
}

static void decide(int64_t before_ns, int64_t limit)
{
	int64_t count = (int64_t)n_model;

	for (size_t i = 0; i < n_model; i++)
		model[i].stays = true;
	for (size_t i = 0; i < n_model; i++) {
		struct model_run *root = &model[i];
		bool goes = root->id == root->root && (count > limit || root->ended < before_ns);

		for (size_t k = 0; k < n_model; k++)
			if (model[k].root == root->id)
				goes &= model[k].state != RUN_OPEN && model[k].state != RUN_PENDING &&
					!is_needed(model[k].id) && k != n_model - 1;
		for (size_t k = 0; goes && k < n_model; k++) {
			if (model[k].root != root->id)
				continue;
			model[k].stays = false;
			count--;
		}
	}
}

/* ---- the real one ---- */

static int needed(void *user, int64_t run)
{
	return is_needed(run);
}

static void trim(struct pipelines_trim t, unsigned cut_after)
{
	struct pipelines_trimmed done;
	int r = 1;

	t.needed = needed;
	for (unsigned i = 1; r > 0; i++) {
		r = pipelines_trim(bench.pipelines, &t, &done);
		assert_true(r >= 0);
		t.bytes -= done.bytes < t.bytes ? done.bytes : t.bytes;
		assert_true(i < 1000);
		if (i == cut_after) { /* this slice is lost, those before are not */
			bench_close();
			bench_open();
			r = 1;
		} else {
			assert_int_equal(store_turn_end(bench.store), 0);
		}
	}
}

static int wanted(void *user, const struct digest *d)
{
	return runs_want(bench.store, d);
}

static struct artifact_swept sweep(void)
{
	struct artifact_swept swept = {0};
	struct artifact_sweep s = {.wanted = wanted, .older_than = {clock_utc().ns - 600 * NS_PER_S}};

	for (unsigned i = 0; i < ARTIFACT_FOLDERS; i++)
		assert_int_equal(artifacts_sweep(bench.artifacts, i, &s, &swept), 0);
	return swept;
}

static const char named[] =
	"SELECT count(DISTINCT digest) FROM (SELECT digest FROM run_input UNION SELECT digest FROM"
	" run_output UNION SELECT digest FROM run_item_output UNION SELECT digest FROM"
	" stage_cache_output UNION SELECT digest FROM frame)";

static void check_rows(void)
{
	static const char *const tables[] = {
		"run_input", "run_stage", "run_output", "run_item", "run_item_output", "run_attempt"};
	char sql[256];

	for (size_t i = 0; i < ARRAY_LEN(tables); i++) {
		snprintf(sql, sizeof(sql), "SELECT count(*) FROM %s WHERE run NOT IN (SELECT id FROM run)",
			tables[i]);
		assert_int_equal(number(sql), 0);
	}
	assert_int_equal(number("SELECT count(*) FROM task WHERE run NOT IN (SELECT id FROM run) AND id <"
				" (SELECT max(id) FROM task)"),
		0);
	assert_int_equal(number("SELECT count(*) FROM attempt WHERE task NOT IN (SELECT id FROM task)"), 0);
	assert_int_equal(
		number("SELECT count(*) FROM workflow_text WHERE digest NOT IN (SELECT digest FROM run)"), 0);
	assert_int_equal(
		number("SELECT count(*) FROM run WHERE digest NOT IN (SELECT digest FROM workflow_text)"), 0);
	assert_int_equal(pipelines_runs(bench.pipelines), number("SELECT count(*) FROM run"));
	for (size_t i = 0; i < n_model; i++) {
		snprintf(
			sql, sizeof(sql), "SELECT count(*) FROM run WHERE id = %lld", (long long)model[i].id);
		if (number(sql) != model[i].stays)
			fail_msg("run %lld %s", (long long)model[i].id,
				model[i].stays ? "is gone" : "is still there");
		snprintf(sql, sizeof(sql), "SELECT count(*) FROM run_stage WHERE run = %lld",
			(long long)model[i].id);
		assert_int_equal(number(sql) > 0, model[i].stays);
	}
}

static void check_files(void)
{
	struct logs_kept kept;
	atomic_bool stop = false;
	struct artifact_swept swept;
	char path[PATH_MAX];

	bench_pass(1200);
	swept = sweep();
	assert_int_equal(swept.kept, number(named));
	swept = sweep();
	assert_int_equal(swept.removed, 0);
	assert_int_equal(runs_trim_logs(bench.store, bench.dir, UINT64_MAX, &stop, &kept), 0);
	snprintf(path, sizeof(path), "%s/logs", bench.dir);
	DIR *dir = opendir(path);
	for (struct dirent *e; (e = readdir(dir));)
		if (*e->d_name != '.')
			assert_true(find(atoi(e->d_name))->stays);
	closedir(dir);
}

/* ---- filling ---- */

static void frame(int n)
{
	char path[PATH_MAX], text[32], id[32];
	static const char *const payloads[] = {"p", "other", NULL};
	struct frame_event e = {
		.device = n % 3 ? "cam0" : "cam1", .frame_id = id, .time = clock_utc(), .payloads = payloads};

	snprintf(path, sizeof(path), "%s/input", bench.dir);
	snprintf(text, sizeof(text), "frame %d", n);
	snprintf(id, sizeof(id), "f%d", n);
	assert_int_equal(file_replace(path, text, strlen(text), 0644), 0);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(artifact_import_fd(bench.artifacts, fd, &e.digest, &e.bytes), 0);
	close(fd);
	assert_int_equal(pipelines_frame(bench.pipelines, &e), 0);
	bench_settle();
}

static void fill(uint64_t *seed)
{
	char script[64];

	for (int i = 0; i < 24; i++) {
		switch (rnd(seed) % 8) {
		case 0:
		case 1:
			frame(i);
			break;
		case 2:
			bench_script("now run h");
			break;
		case 3:
			bench_script(i % 2 ? "run v" : "run h");
			break;
		default:
			snprintf(script, sizeof(script), "run w {\"n\": %d}", (int)(rnd(seed) % 6));
			bench_script(script);
		}
		bench_pass((int64_t)(rnd(seed) % 3000));
	}
	if (rnd(seed) % 2)
		bench_script("cancel run 3");
	bench_script("run big");
	bench_pass(700);
	bench_script("run v");
}

static void write_texts(void)
{
	static char texts[4][2048];
	const char *parts[] = {w_text, v_text, hold_text, big_text};
	size_t n = (size_t)snprintf(
		big_text, sizeof(big_text), "workflow: big\nstages:\n  b: {image: i, foreach: {over: [");

	for (int i = 0; i < 90; i++)
		n += (size_t)snprintf(big_text + n, sizeof(big_text) - n, "%s%d", i ? ", " : "", i);
	snprintf(big_text + n, sizeof(big_text) - n,
		"], parallel: 60}, args: ['x=$item'], outputs: {x: {max: 8B, type: json}}}\n");
	for (size_t i = 0; i < 4; i++) {
		snprintf(texts[i], sizeof(texts[i]), "%s%s", head, parts[i]);
		bench.texts[i] = texts[i];
	}
}

static void test_model(void **state)
{
	for (uint64_t n = 1; n <= SEEDS; n++) {
		uint64_t seed = n * 0x9e3779b97f4a7c15u;

		assert_int_equal(bench_setup(NULL), 0);
		bench.tasks = 64;
		write_texts();
		bench_open();
		fill(&seed);
		needed_seed = rnd(&seed) % 3;
		for (int pass = 0; pass < 3; pass++) {
			int64_t age_s = (int64_t)(rnd(&seed) % 40000), limit = (int64_t)(rnd(&seed) % 70) + 1;
			struct pipelines_trim t = {
				.runs = limit, .ended_before = {clock_utc().ns - age_s * NS_PER_S}};

			bench.trace[0] = bench.products[0] = '\0';
			read_model();
			decide(t.ended_before.ns, limit);
			trim(t, (unsigned)(rnd(&seed) % 6));
			check_rows();
			check_files();
		}
		bench_close();
		assert_int_equal(bench_teardown(NULL), 0);
	}
	needed_seed = 0;
}

/* A run that was half removed when the power went is removed whole by the next life, though nothing would
 * begin its removal then. */
static void test_half_removed(void **state)
{
	struct pipelines_trim t = {.runs = 1000, .ended_before = {INT64_MAX}};
	struct pipelines_trimmed done;
	char reason[256];
	int64_t run;

	bench.tasks = 64;
	write_texts();
	bench_open();
	bench_script("run big; run v");
	assert_int_equal(pipelines_trim(bench.pipelines, &t, &done), 1);
	assert_int_equal(store_turn_end(bench.store), 0);
	int64_t items = number("SELECT count(*) FROM run_item_output WHERE run = 1");
	assert_true(items < 90);
	assert_int_equal(number("SELECT count(*) FROM run WHERE id = 1"), 1);
	bench_script("restart");
	assert_int_equal(
		pipelines_rerun(bench.pipelines, 1, NULL, "kim", &run, reason, sizeof(reason)), ERR_STATE);
	assert_non_null(strstr(reason, "is being removed"));
	read_model();
	t.ended_before.ns = 0;
	trim(t, 0);
	assert_int_equal(number("SELECT count(*) FROM run"), 1);
	model[0].stays = false;
	model[1].stays = true;
	check_rows();
	check_files();
	bench_close();
}

/* So many bytes are given up: history first, then the cache; and a young artifact stays though nothing names
 * it. */
static void test_bytes(void **state)
{
	struct pipelines_trim t = {.runs = 1000, .bytes = 1};
	struct pipelines_trimmed done;
	struct artifact_swept swept;

	bench.tasks = 64;
	write_texts();
	bench_open();
	bench_script("run w {\"n\": 1}; run w {\"n\": 2}; run v");
	assert_int_equal(number("SELECT count(*) FROM stage_cache"), 2);
	assert_int_equal(pipelines_trim(bench.pipelines, &t, &done), 0);
	assert_int_equal(done.runs, 2); /* the oldest, with the one inside it, is enough */
	assert_int_equal(done.cached, 0);
	assert_int_equal(store_turn_end(bench.store), 0);
	swept = sweep();
	assert_int_equal(swept.removed, 0);
	bench_pass(700);
	swept = sweep();
	assert_true(swept.removed >= 3);
	/* Used ones live on in the cache, and are taken from there. */
	bench_script("run w {\"n\": 1}");
	CLEAN_FREE char *x = bench_output(6, "a", "x");
	assert_string_equal(x, "{\"n\":1}");
	t.bytes = UINT64_MAX;
	while (pipelines_trim(bench.pipelines, &t, &done) > 0)
		;
	assert_int_equal(store_turn_end(bench.store), 0);
	assert_int_equal(number("SELECT count(*) FROM stage_cache"), 0);
	assert_int_equal(number("SELECT max(id) FROM run"), 7);
	bench_close();
}

/* Logs: of runs that are gone, then the oldest. */
static void test_logs(void **state)
{
	struct logs_kept kept;
	atomic_bool stop = false;
	char path[PATH_MAX], text[4096];

	write_texts();
	bench_open();
	bench_script("run v; run v; now run h; .");
	memset(text, 'l', sizeof(text));
	for (int i = 1; i <= 4; i++) {
		snprintf(path, sizeof(path), "%s/logs/%d", bench.dir, i);
		assert_int_equal(dir_make(path, 0755), 0);
		strcat(path, "/z.9.log");
		assert_int_equal(file_replace(path, text, sizeof(text), 0644), 0);
	}
	assert_int_equal(runs_trim_logs(bench.store, bench.dir, 8192, &stop, &kept), 0);
	/* 4 is newer than what the reader sees; 3 goes on. */
	for (int i = 1; i <= 4; i++) {
		snprintf(path, sizeof(path), "%s/logs/%d/z.9.log", bench.dir, i);
		assert_int_equal(access(path, F_OK) == 0, i > 2);
	}
	assert_int_equal(kept.bytes, 8192);
	assert_int_equal(kept.removed_bytes, 8192);
	assert_int_equal(store_exec(bench.store, "DELETE FROM run WHERE id = 2", ""), 0);
	snprintf(path, sizeof(path), "%s/logs/2", bench.dir);
	assert_int_equal(dir_make(path, 0755), 0);
	assert_int_equal(runs_trim_logs(bench.store, bench.dir, UINT64_MAX, &stop, &kept), 0);
	assert_int_not_equal(access(path, F_OK), 0);
	bench_close();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_model),
		cmocka_unit_test_setup_teardown(test_half_removed, bench_setup, bench_teardown),
		cmocka_unit_test_setup_teardown(test_bytes, bench_setup, bench_teardown),
		cmocka_unit_test_setup_teardown(test_logs, bench_setup, bench_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
