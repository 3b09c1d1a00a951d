/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a run does with how its stages end: the real queue, store and artifacts; only the launcher is ours
 * here. It writes into the /out folder that it is given, as a stage would, and reports the end from the loop.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/file.h"
#include "core/json.h"
#include "pipelines.h"

#define STARTS_MAX 64

static const char workflow_text[] = "perigee: v1\n"
				    "workflow: w\n"
				    "payload: p\n"
				    "triggers:\n"
				    "  - {event: image.acquired, device: cam0}\n"
				    "stages:\n"
				    "  cloud:\n"
				    "    image: i\n"
				    "    inputs: {scene: trigger.frame}\n"
				    "    outputs: {report: {max: 64B, type: json}, mask: 8B}\n"
				    "    params: {threshold: 0.5}\n"
				    "    retry: {limit: 1, backoff: 1s}\n"
				    "  find:\n"
				    "    image: i\n"
				    "    when: cloud.report.fraction < 0.7\n"
				    "    inputs: {scene: trigger.frame, mask: cloud.mask}\n"
				    "    outputs: {boxes: 64B}\n"
				    "  count:\n"
				    "    image: i\n"
				    "    inputs: {boxes: find.boxes}\n"
				    "    outputs: {report: {max: 64B, type: json}}\n"
				    "downlink:\n"
				    "  - {product: count.report, priority: 200}\n"
				    "  - {product: cloud.report, priority: 100}\n";

/* How a stage behaves: what it writes to each output (NULL: nothing), and how it exits. */
struct behaviour {
	const char *stage;
	const char *outputs[3][2]; /* name, text */
	int code;
	const char *killed; /* reason, when it does not exit by itself */
};

static struct {
	char dir[64];
	uv_loop_t loop;
	struct store *store;
	struct scheduler *scheduler;
	struct artifacts *artifacts;
	struct pipelines *pipelines;
	const struct behaviour *behaviours;
	struct stage_exit exits[STARTS_MAX];
	size_t n_exits, reported;
	char started[STARTS_MAX][64];
	size_t n_started;
	char products[512];
	bool hold;  /* stages do not end */
	int refuse; /* what the launcher answers, if not 0 */
} t;

static int resolve(void *user, const char *image, struct stage_image *ret_image, char *ret_reason, size_t cap)
{
	static const char *const none[] = {NULL};

	if (strcmp(image, "i")) {
		snprintf(ret_reason, cap, "no image %s", image);
		return ERR_IMAGE;
	}
	*ret_image = (struct stage_image){.digest = "sha256:abc", .rootfs_fd = -1, .argv = none, .env = none};
	return 0;
}

static void write_at(int dir, const char *name, const char *text)
{
	int fd = openat(dir, name, O_WRONLY | O_TRUNC | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write_all(fd, text, strlen(text)), 0);
	close(fd);
}

static char *read_at(int dir, const char *name)
{
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
	char *text;
	size_t len;

	assert_true(fd >= 0);
	assert_int_equal(file_read_fd(fd, 4096, &text, &len), 0);
	close(fd);
	return text;
}

/* Commit, then act: whoever looks into the database sees it as running. */
static void assert_committed(int64_t task)
{
	char path[PATH_MAX];
	struct store *s;

	snprintf(path, sizeof(path), "%s/db", t.dir);
	assert_int_equal(store_open_readonly(path, &s), 0);
	sqlite3_stmt *q = store_query(s, "SELECT state FROM task WHERE id = ?", "i", task);
	assert_int_equal(sqlite3_step(q), SQLITE_ROW);
	assert_int_equal(sqlite3_column_int(q, 0), TASK_RUNNING);
	store_close(s);
}

static int start(void *user, const struct stage_launch *l)
{
	const char *stage = strchr(l->label, '.') + 1;
	struct stage_exit e = {.task = l->task, .exited = true, .cpu_ns = 7};

	assert_committed(l->task);
	if (t.refuse)
		return t.refuse;
	snprintf(t.started[t.n_started++], sizeof(t.started[0]), "%s", l->label);
	if (!strcmp(stage, "cloud")) {
		CLEAN_FREE char *scene = read_at(l->in_fd, "scene");
		CLEAN_FREE char *params = read_at(l->in_fd, "params.json");
		assert_string_equal(scene, "pixels");
		assert_string_equal(params, "{\"threshold\":0.5}");
	}
	if (!strcmp(stage, "count")) {
		CLEAN_FREE char *boxes = read_at(l->in_fd, "boxes");
		assert_string_equal(boxes, "[1]");
	}
	for (const struct behaviour *b = t.behaviours; b->stage; b++) {
		if (strcmp(b->stage, stage))
			continue;
		for (int i = 0; i < 3 && b->outputs[i][0]; i++)
			write_at(l->out_fd, b->outputs[i][0], b->outputs[i][1]);
		e.code = b->code;
		e.exited = !b->killed;
		snprintf(e.reason, sizeof(e.reason), "%s", b->killed ? b->killed : "");
		snprintf(e.last_line, sizeof(e.last_line), "%s", b->code ? "it said so" : "");
	}
	t.exits[t.n_exits++] = e;
	return 0;
}

static int put(void *user, const struct run_product *p)
{
	size_t len = strlen(t.products);

	snprintf(t.products + len, sizeof(t.products) - len, "%lld:%s.%s@%d ", (long long)p->run, p->stage,
		p->name, p->priority);
	return 0;
}

static void open_all(void)
{
	char path[PATH_MAX], why[128];
	struct scheduler_budget budget = {.cpus_milli = 2000, .memory_bytes = 1 << 30, .tasks = 2};
	struct complaints c;
	struct workflow *w;

	assert_int_equal(uv_loop_init(&t.loop), 0);
	snprintf(path, sizeof(path), "%s/db", t.dir);
	assert_int_equal(store_open(path, &t.store, why, sizeof(why)), 0);
	snprintf(path, sizeof(path), "%s/artifacts", t.dir);
	assert_int_equal(artifacts_open(path, &t.artifacts), 0);
	assert_int_equal(scheduler_create(t.store, &budget, &t.scheduler), 0);
	assert_int_equal(store_turn_end(t.store), 0);
	struct pipelines_options o = {.store = t.store,
		.scheduler = t.scheduler,
		.artifacts = t.artifacts,
		.loop = &t.loop,
		.state_dir = t.dir,
		.log_bytes_max = 1000,
		.launcher = {.resolve = resolve, .start = start},
		.sink = {.put = put}};
	assert_int_equal(pipelines_create(&o, &t.pipelines), 0);
	snprintf(path, sizeof(path), "%s/w.yaml", t.dir);
	assert_int_equal(file_replace(path, workflow_text, strlen(workflow_text), 0644), 0);
	assert_int_equal(complaints_init(&c, path), 0);
	assert_int_equal(workflow_load(path, &(struct workflow_limits){0}, &c, &w), 0);
	assert_int_equal(pipelines_add(t.pipelines, w, &c), 0);
	complaints_finish(&c);
	assert_int_equal(pipelines_resume(t.pipelines), 0);
}

static void close_all(void)
{
	pipelines_destroy(t.pipelines);
	scheduler_destroy(t.scheduler);
	store_close(t.store);
	artifacts_close(t.artifacts);
	assert_int_equal(uv_loop_close(&t.loop), 0);
}

static int setup(void **state)
{
	memset(&t, 0, sizeof(t));
	strcpy(t.dir, "/tmp/perigee-test-XXXXXX");
	if (!mkdtemp(t.dir))
		return -1;
	clock_set_fake((struct mono_time){0}, (struct utc_time){1000 * NS_PER_S});
	open_all();
	return 0;
}

static int teardown(void **state)
{
	close_all();
	clock_real();
	return dir_remove(t.dir);
}

static void turn(void)
{
	do {
		do {
			assert_int_equal(scheduler_dispatch(t.scheduler), 0);
			assert_int_equal(store_turn_end(t.store), 0);
		} while (scheduler_dirty(t.scheduler));
		uv_run(&t.loop, UV_RUN_DEFAULT); /* workers prepare what was started */
	} while (store_changing(t.store) || scheduler_dirty(t.scheduler));
}

/* Turns of the loop, as perigeed makes them, until nothing is left to do. */
static void settle(void)
{
	turn();
	while (t.reported < t.n_exits && !t.hold) {
		pipelines_stage_exited(t.pipelines, &t.exits[t.reported++]);
		uv_run(&t.loop, UV_RUN_DEFAULT); /* the worker */
		turn();
	}
}

static int acquire_image(const char *frame_id, const char *granted, const char *pixels)
{
	const char *payloads[] = {granted, NULL};
	struct frame_event e = {
		.device = "cam0", .frame_id = frame_id, .payloads = payloads, .time.ns = 900 * NS_PER_S};
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/frame", t.dir);
	assert_int_equal(file_replace(path, pixels, strlen(pixels), 0644), 0);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(artifact_import_fd(t.artifacts, fd, &e.digest, &e.bytes), 0);
	close(fd);
	return pipelines_frame(t.pipelines, &e);
}

static int acquire(const char *frame_id, const char *granted)
{
	return acquire_image(frame_id, granted, "pixels");
}

/* "done: cloud done, find skipped (…)": the whole run in one line. */
static void assert_run(int64_t run, const char *expected)
{
	char line[1024];
	const cJSON *stage;
	CLEAN_JSON cJSON *j = run_provenance(t.store, run);

	assert_non_null(j);
	int n = snprintf(line, sizeof(line), "%s:", json_str(j, "state"));
	cJSON_ArrayForEach(stage, cJSON_GetObjectItemCaseSensitive(j, "stages"))
	{
		const char *reason = json_str(stage, "reason");
		n += snprintf(line + n, sizeof(line) - (size_t)n, " %s %s%s%s%s;", json_str(stage, "stage"),
			json_str(stage, "state"), reason ? " (" : "", reason ? reason : "",
			reason ? ")" : "");
	}
	assert_string_equal(line, expected);
}

#define CLEAR                                                                                                \
	{                                                                                                    \
		"cloud", {{"report", "{\"fraction\": 0.25}"}, {"mask", "mmm"}}, 0, NULL                      \
	}
#define FOUND                                                                                                \
	{                                                                                                    \
		"find", {{"boxes", "[1]"}}, 0, NULL                                                          \
	}
#define COUNTED                                                                                              \
	{                                                                                                    \
		"count", {{"report", "{\"count\": 1}"}}, 0, NULL                                             \
	}

static void test_a_clear_scene_goes_all_the_way(void **state)
{
	static const struct behaviour b[] = {CLEAR, FOUND, COUNTED, {0}};

	t.behaviours = b;
	assert_int_equal(acquire("f1", "p"), 0);
	settle();
	assert_run(1, "done: cloud done; find done; count done;");
	assert_string_equal(t.products, "1:count.report@200 1:cloud.report@100 ");
	CLEAN_JSON cJSON *j = run_provenance(t.store, 1);
	const cJSON *find = cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(j, "stages"), 1);
	assert_string_equal(json_str(find, "image_digest"), "sha256:abc");
	struct digest d;
	char text[DIGEST_TEXT_BYTES];
	digest_data("mmm", 3, &d);
	digest_format(&d, text);
	assert_string_equal(json_str(cJSON_GetObjectItemCaseSensitive(find, "inputs"), "mask"), text);
	assert_int_equal(pipelines_open_runs(t.pipelines), 0);
	char path[PATH_MAX];
	snprintf(path, sizeof(path), "%s/work/1", t.dir);
	assert_int_equal(access(path, F_OK), -1); /* nothing is left over */
}

static void test_an_overcast_scene_is_left_out_with_the_reason(void **state)
{
	static const struct behaviour b[] = {
		{"cloud", {{"report", "{\"fraction\": 0.93}"}, {"mask", "m"}}, 0, NULL}, {0}};

	t.behaviours = b;
	assert_int_equal(acquire("f1", "p"), 0);
	settle();
	assert_run(1, "done: cloud done; find skipped (when cloud.report.fraction < 0.7: "
		      "cloud.report.fraction is 0.93);"
		      " count skipped (needs find, which was left out);");
	assert_string_equal(t.products, "1:cloud.report@100 ");
}

static void test_bad_ends_fail_the_run_with_the_reason(void **state)
{
	static const struct {
		struct behaviour b[4];
		const char *run;
	} cases[] = {
		{{CLEAR, {"find", {{0}}, 3, NULL}, {0}}, "failed: cloud done; find failed (exit 3: it said "
							 "so); count skipped (needs find, which failed);"},
		{{CLEAR, {"find", {{0}}, 0, NULL}, {0}},
			"failed: cloud done; find failed (output boxes: the stage wrote nothing);"
			" count skipped (needs find, which failed);"},
		{{CLEAR, {"find", {{0}}, 0, "killed: it used more than its 64 MiB of memory"}, {0}},
			"failed: cloud done; find failed (killed: it used more than its 64 MiB of memory);"
			" count skipped (needs find, which failed);"},
		{{{"cloud", {{"report", "{}"}, {"mask", "123456789"}}, 0, NULL}, {0}},
			"failed: cloud failed (output mask: 9 bytes, more than the 8 declared);"
			" find skipped (needs cloud, which failed); count skipped (needs find, which was "
			"left out);"},
		{{{"cloud", {{"report", "{\"fraction\": 0.1"}, {"mask", "1"}}, 0, NULL}, {0}},
			"failed: cloud failed (output report: not JSON: a mistake at line 1, column 17);"
			" find skipped (needs cloud, which failed); count skipped (needs find, which was "
			"left out);"},
		{{{"cloud", {{"report", "{}"}, {"mask", "1"}}, 0, NULL}, {0}},
			"failed: cloud done; find failed (when: cloud.report.fraction: there is no such "
			"member);"
			" count skipped (needs find, which failed);"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char id[16];
		t.behaviours = cases[i].b;
		snprintf(id, sizeof(id), "f%zu", i);
		assert_int_equal(acquire(id, "p"), 0);
		settle();
		assert_run((int64_t)i + 1, cases[i].run);
	}
	/* The next image is processed. */
	static const struct behaviour good[] = {CLEAR, FOUND, COUNTED, {0}};
	t.behaviours = good;
	assert_int_equal(acquire("good", "p"), 0);
	settle();
	assert_run(ARRAY_LEN(cases) + 1, "done: cloud done; find done; count done;");
}

static void test_exit_75_is_tried_again(void **state)
{
	static const struct behaviour busy[] = {{"cloud", {{0}}, 75, NULL}, {0}};
	static const struct behaviour good[] = {CLEAR, FOUND, COUNTED, {0}};

	t.behaviours = busy;
	assert_int_equal(acquire("f1", "p"), 0);
	settle();
	assert_int_equal(t.n_started, 1);
	clock_set_fake((struct mono_time){NS_PER_S}, (struct utc_time){1001 * NS_PER_S});
	scheduler_poke(t.scheduler);
	t.behaviours = good;
	settle();
	assert_run(1, "done: cloud done; find done; count done;");
	assert_int_equal(t.n_started, 4);
}

static void test_what_the_machine_lacks_is_not_the_stages_fault(void **state)
{
	static const struct behaviour good[] = {CLEAR, FOUND, COUNTED, {0}};

	t.behaviours = good;
	t.refuse = -EMFILE;
	assert_int_equal(acquire("f1", "p"), 0);
	settle();
	uv_run(&t.loop, UV_RUN_DEFAULT); /* the worker that clears up */
	turn();
	t.refuse = 0;
	clock_set_fake((struct mono_time){NS_PER_S}, (struct utc_time){1001 * NS_PER_S});
	scheduler_poke(t.scheduler);
	settle();
	assert_run(1, "done: cloud done; find done; count done;");
	t.refuse = ERR_LIMIT; /* what the workflow asks for stays wrong */
	assert_int_equal(acquire("f2", "p"), 0);
	settle();
	uv_run(&t.loop, UV_RUN_DEFAULT);
	turn();
	CLEAN_JSON cJSON *run = run_provenance(t.store, 2);
	assert_string_equal(json_str(run, "state"), "failed");
}

static void test_a_frame_seen_before_makes_no_second_run(void **state)
{
	static const struct behaviour b[] = {CLEAR, FOUND, COUNTED, {0}};

	t.behaviours = b;
	assert_int_equal(acquire("f1", "p"), 0);
	settle();
	assert_int_equal(acquire("f1", "p"), 1);
	settle();
	CLEAN_JSON cJSON *list = runs_list(t.store, 10);
	assert_int_equal(cJSON_GetArraySize(list), 1);
}

static void test_a_camera_that_counts_anew_loses_no_image(void **state)
{
	static const struct behaviour b[] = {{0}};

	t.behaviours = b;
	t.hold = true;
	assert_int_equal(acquire("f1", "p"), 0);
	assert_int_equal(acquire_image("f1", "p", "others"), 0); /* the same id, another image */
	assert_int_equal(acquire_image("f1", "p", "others"), 1);
	assert_int_equal(acquire("f1", "p"), 1);
	CLEAN_JSON cJSON *list = runs_list(t.store, 10);
	assert_int_equal(cJSON_GetArraySize(list), 2);
	assert_int_equal(store_turn_end(t.store), 0);
}

static void test_a_run_that_is_not_understood_any_more_ends_alone(void **state)
{
	static const struct behaviour b[] = {CLEAR, FOUND, COUNTED, {0}};

	t.behaviours = b;
	assert_int_equal(acquire("f1", "p"), 0);
	assert_int_equal(store_exec(t.store, "UPDATE run SET digest = 'gone'", ""), 0);
	assert_int_equal(
		store_exec(t.store, "INSERT INTO workflow_text VALUES('gone', 'w', 'perigee: v0')", ""), 0);
	assert_int_equal(store_exec(t.store, "DELETE FROM task", ""), 0);
	assert_int_equal(store_turn_end(t.store), 0);
	close_all();
	open_all();
	assert_int_equal(acquire("f2", "p"), 0);
	settle();
	CLEAN_JSON cJSON *bad = run_provenance(t.store, 1);
	assert_string_equal(json_str(bad, "state"), "failed");
	assert_run(2, "done: cloud done; find done; count done;");
}

static void test_a_payload_without_a_grant_gets_no_run(void **state)
{
	assert_int_equal(acquire("f1", "another"), 0);
	settle();
	CLEAN_JSON cJSON *list = runs_list(t.store, 10);
	assert_int_equal(cJSON_GetArraySize(list), 0);
}

static void test_a_power_cut_loses_nothing_and_repeats_nothing(void **state)
{
	static const struct behaviour b[] = {CLEAR, FOUND, COUNTED, {0}};

	t.behaviours = b;
	assert_int_equal(acquire("f1", "p"), 0);
	turn();
	pipelines_stage_exited(t.pipelines, &t.exits[t.reported++]); /* cloud is done */
	uv_run(&t.loop, UV_RUN_DEFAULT);
	turn();
	t.hold = true; /* find is running when the power goes */
	settle();
	assert_int_equal(t.n_started, 2);
	close_all();
	open_all();
	t.hold = false;
	t.reported = t.n_exits;
	settle();
	assert_run(1, "done: cloud done; find done; count done;");
	assert_int_equal(t.n_started, 4);
	assert_string_equal(t.started[0], "run-1.cloud");
	assert_string_equal(t.started[2], "run-1.find"); /* again, for it was interrupted; cloud is not */
	assert_string_equal(t.started[3], "run-1.count");
}

static void test_an_end_that_is_not_committed_did_not_happen(void **state)
{
	static const struct behaviour b[] = {CLEAR, FOUND, COUNTED, {0}};

	t.behaviours = b;
	assert_int_equal(acquire("f1", "p"), 0);
	turn();
	pipelines_stage_exited(t.pipelines, &t.exits[t.reported++]);
	uv_run(&t.loop, UV_RUN_DEFAULT); /* no turn: the power goes before the commit */
	close_all();
	open_all();
	t.reported = t.n_exits;
	settle();
	assert_run(1, "done: cloud done; find done; count done;");
	assert_string_equal(t.started[1], "run-1.cloud");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			test_what_the_machine_lacks_is_not_the_stages_fault, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_clear_scene_goes_all_the_way, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_an_overcast_scene_is_left_out_with_the_reason, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_ends_fail_the_run_with_the_reason, setup, teardown),
		cmocka_unit_test_setup_teardown(test_exit_75_is_tried_again, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_a_frame_seen_before_makes_no_second_run, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_a_camera_that_counts_anew_loses_no_image, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_a_run_that_is_not_understood_any_more_ends_alone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_payload_without_a_grant_gets_no_run, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_a_power_cut_loses_nothing_and_repeats_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_an_end_that_is_not_committed_did_not_happen, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
