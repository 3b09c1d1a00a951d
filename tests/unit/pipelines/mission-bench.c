/* SPDX-License-Identifier: Apache-2.0 */
#include "mission-bench.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>

#include "core/boot.h"
#include "core/file.h"
#include "core/json.h"

struct bench bench;

/* ---- the launcher ---- */

static int resolve(void *user, const char *image, struct stage_image *ret_image, char *ret_reason, size_t cap)
{
	static const char *const none[] = {NULL};

	if (strcmp(image, "i")) {
		snprintf(ret_reason, cap, "no image %s", image);
		return ERR_IMAGE;
	}
	*ret_image = (struct stage_image){.rootfs_fd = -1, .argv = none, .env = none};
	snprintf(ret_image->digest, sizeof(ret_image->digest), "%s", bench.image);
	return 0;
}

static void write_out(int out, const char *name, const char *text)
{
	int fd = openat(out, name, O_WRONLY | O_TRUNC | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write_all(fd, text, strlen(text)), 0);
	close(fd);
}

static char *read_in(int in, const char *name)
{
	int fd = openat(in, name, O_RDONLY | O_CLOEXEC);
	char *text;
	size_t len;

	if (fd < 0)
		return strdup("absent");
	assert_int_equal(file_read_fd(fd, 1 << 20, &text, &len), 0);
	close(fd);
	return text;
}

static int attempts_of(const char *label)
{
	int n = 0;

	for (size_t i = 0; i < bench.n_starts; i++)
		n += !strcmp(bench.starts[i].label, label);
	return n;
}

static enum task_class class_named(const char *name)
{
	for (int i = 0; i < CLASS_MAX; i++)
		if (!strcmp(task_class_name((enum task_class)i), name))
			return (enum task_class)i;
	fail_msg("no class %s", name);
	return CLASS_BROKEN;
}

static void behave(struct bench_start *s, const struct stage_launch *l, const char *word, int attempt)
{
	const char *at = strchr(word, '@'), *eq = strpbrk(word, "=<");
	char name[64];

	if (!strcmp(word, "hold")) {
		s->held = true;
		return;
	}
	assert_non_null(eq);
	snprintf(name, sizeof(name), "%.*s", (int)(eq - word), word);
	if (*eq == '<') {
		char *text = read_in(l->in_fd, strncmp(eq + 1, "in/", 3) ? "params.json" : eq + 4);
		write_out(l->out_fd, name, text);
		free(text);
	} else if (!strcmp(name, "log")) {
		assert_int_equal(write_all(l->log_fd, eq + 1, strlen(eq + 1)), 0);
	} else if (strcmp(name, "exit") && strcmp(name, "end")) {
		write_out(l->out_fd, name, eq + 1);
	} else if (!at || attempt <= atoi(at + 1)) {
		char value[32];
		snprintf(
			value, sizeof(value), "%.*s", (int)(at ? at - eq - 1 : (long)strlen(eq + 1)), eq + 1);
		s->exit.exited = !strcmp(name, "exit");
		s->exit.code = atoi(value);
		if (!s->exit.exited) {
			s->exit.broke = !strcmp(value, "broke");
			s->exit.class = s->exit.broke ? CLASS_MACHINE : class_named(value);
			snprintf(s->exit.reason, sizeof(s->exit.reason), "ended by %s", value);
		}
	}
}

/* Commit, then act: whoever looks into the database sees it as running. */
static void assert_committed(int64_t task)
{
	char path[PATH_MAX];
	struct store *s;

	snprintf(path, sizeof(path), "%s/db", bench.dir);
	assert_int_equal(store_open_readonly(path, &s), 0);
	sqlite3_stmt *q = store_query(s, "SELECT state FROM task WHERE id = ?", "i", task);
	assert_int_equal(sqlite3_step(q), SQLITE_ROW);
	assert_int_equal(sqlite3_column_int(q, 0), TASK_RUNNING);
	store_close(s);
}

static int start(void *user, const struct stage_launch *l)
{
	assert_committed(l->task);
	assert_true(bench.n_starts < BENCH_STARTS_MAX);
	int attempt = attempts_of(l->label) + 1;
	struct bench_start *s = &bench.starts[bench.n_starts++];

	*s = (struct bench_start){.exit = {.task = l->task, .exited = true, .cpu_ns = 7, .wall_ns = 9}};
	snprintf(s->label, sizeof(s->label), "%s", l->label);
	if (faccessat(l->out_fd, "z", F_OK, 0) == 0)
		write_out(l->out_fd, "z", "done");
	for (const char *const *word = l->argv; word && *word; word++)
		behave(s, l, *word, attempt);
	return 0;
}

static int stop(void *user, int64_t task)
{
	for (size_t i = 0; i < bench.n_starts; i++) {
		struct bench_start *s = &bench.starts[i];
		if (s->exit.task != task || s->reported)
			continue;
		s->held = false;
		s->stopped = true;
		s->exit.exited = false;
		s->exit.class = CLASS_BROKEN;
		snprintf(s->exit.reason, sizeof(s->exit.reason), "stopped");
		return 0;
	}
	return ERR_UNKNOWN;
}

/* ---- what is heard of ---- */

static void note(const char *fmt, ...) PRINTF(1, 2);
static void note(const char *fmt, ...)
{
	size_t len = strlen(bench.trace);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(bench.trace + len, sizeof(bench.trace) - len, fmt, ap);
	va_end(ap);
}

static void on_stage(void *user, int64_t run, const char *stage, const char *state, const char *reason)
{
	const char *space = *bench.trace ? " " : "";

	if (run == 1)
		note("%s%s:%s", space, stage, state);
	else
		note("%s%lld.%s:%s", space, (long long)run, stage, state);
}

static void on_run_ended(void *user, int64_t run)
{
	CLEAN_JSON cJSON *j = run_provenance(bench.store, run);

	note("%srun%lld:%s", *bench.trace ? " " : "", (long long)run, json_str(j, "state"));
}

static int put(void *user, const struct run_product *p)
{
	size_t len = strlen(bench.products);

	if (bench.sink_err)
		return bench.sink_err;
	snprintf(bench.products + len, sizeof(bench.products) - len, "%lld:%s.%s ", (long long)p->run,
		p->stage, p->name);
	return 0;
}

/* ---- life ---- */

static void add_workflow(size_t i)
{
	char path[PATH_MAX];
	struct complaints c;
	struct workflow *w;

	snprintf(path, sizeof(path), "%s/w%zu.yaml", bench.dir, i);
	assert_int_equal(file_replace(path, bench.texts[i], strlen(bench.texts[i]), 0644), 0);
	assert_int_equal(complaints_init(&c, path), 0);
	int r = workflow_load(path, &(struct workflow_limits){0}, &c, &w);
	if (r < 0)
		complaints_print(&c, stderr);
	assert_int_equal(r, 0);
	assert_int_equal(pipelines_add(bench.pipelines, w, &c), 0);
	complaints_finish(&c);
}

static void set_quota(void)
{
	struct queue_rules rules = queue_rules_default;

	rules.quotas[0] = (struct queue_quota){.payload = "p", .waiting = bench.waiting};
	rules.n_quotas = 1;
	assert_int_equal(scheduler_set_rules(bench.scheduler, &rules), 0);
}

void bench_open(void)
{
	char path[PATH_MAX], why[128];
	struct scheduler_budget budget = {.cpus_milli = 64000, .memory_bytes = UINT64_C(1) << 40};

	budget.tasks = bench.tasks;
	assert_int_equal(uv_loop_init(&bench.loop), 0);
	snprintf(path, sizeof(path), "%s/db", bench.dir);
	assert_int_equal(store_open(path, &bench.store, why, sizeof(why)), 0);
	snprintf(path, sizeof(path), "%s/artifacts", bench.dir);
	assert_int_equal(artifacts_open(path, &bench.artifacts), 0);
	assert_int_equal(scheduler_create(bench.store, &budget, &bench.scheduler), 0);
	set_quota();
	assert_int_equal(store_turn_end(bench.store), 0);
	struct pipelines_options o = {.store = bench.store,
		.scheduler = bench.scheduler,
		.artifacts = bench.artifacts,
		.loop = &bench.loop,
		.state_dir = bench.dir,
		.log_bytes_max = 1000,
		.reserve_bytes = bench.reserve,
		.launcher = {.resolve = resolve, .start = start, .stop = stop},
		.sink = {.put = put},
		.on_stage = on_stage,
		.on_run_ended = on_run_ended};
	assert_int_equal(pipelines_create(&o, &bench.pipelines), 0);
	for (size_t i = 0; i < ARRAY_LEN(bench.texts) && bench.texts[i]; i++)
		add_workflow(i);
	assert_int_equal(pipelines_resume(bench.pipelines), 0);
}

void bench_close(void)
{
	while (uv_run(&bench.loop, UV_RUN_DEFAULT) !=
		0) /* workers that have begun; what they bring is not committed */
		;
	pipelines_destroy(bench.pipelines);
	scheduler_destroy(bench.scheduler);
	store_close(bench.store);
	artifacts_close(bench.artifacts);
	assert_int_equal(uv_loop_close(&bench.loop), 0);
	for (size_t i = 0; i < bench.n_starts; i++)
		bench.starts[i].reported = true; /* they died with it */
}

int bench_setup(void **state)
{
	memset(&bench, 0, sizeof(bench));
	strcpy(bench.dir,
		access("/dev/shm", W_OK) == 0 ? "/dev/shm/perigee-test-XXXXXX" : "/tmp/perigee-test-XXXXXX");
	strcpy(bench.image, "sha256:abc");
	bench.tasks = 2;
	bench.now_s = 1000;
	boot_id_set_fake("boot-1");
	clock_set_fake((struct mono_time){0}, (struct utc_time){bench.now_s * NS_PER_S});
	return mkdtemp(bench.dir) ? 0 : -1;
}

int bench_teardown(void **state)
{
	clock_real();
	boot_id_set_fake(NULL);
	return dir_remove(bench.dir);
}

/* ---- time ---- */

static void set_clock(void)
{
	clock_set_fake(
		(struct mono_time){bench.mono_s * NS_PER_S}, (struct utc_time){bench.now_s * NS_PER_S});
}

void bench_turn(void)
{
	do {
		assert_int_equal(scheduler_dispatch(bench.scheduler), 0);
		assert_int_equal(store_turn_end(bench.store), 0);
	} while (scheduler_dirty(bench.scheduler));
}

static bool poke(void)
{
	struct utc_time now = clock_utc(), at = pipelines_wake_at(bench.pipelines),
			queue = scheduler_wake_at(bench.scheduler);

	if (queue.ns && queue.ns <= now.ns)
		scheduler_poke(bench.scheduler);
	if (!at.ns || at.ns > now.ns)
		return queue.ns && queue.ns <= now.ns;
	pipelines_poke(bench.pipelines);
	return true;
}

/* In the order of the tasks: the workers that prepare them may begin in another. */
static bool report(void)
{
	struct bench_start *first = NULL;

	for (size_t i = 0; i < bench.n_starts; i++) {
		struct bench_start *s = &bench.starts[i];
		if (!s->reported && !s->held && (!first || s->exit.task < first->exit.task))
			first = s;
	}
	if (!first)
		return false;
	first->reported = true;
	pipelines_stage_exited(bench.pipelines, &first->exit);
	return true;
}

void bench_settle(void)
{
	bool busy = true;

	while (busy) {
		bench_turn();
		busy = report();
		if (uv_loop_alive(&bench.loop)) {
			uv_run(&bench.loop, UV_RUN_DEFAULT);
			busy = true;
		}
		busy |= poke();
	}
	bench_turn();
}

void bench_pass(int64_t seconds)
{
	bench.now_s += seconds;
	bench.mono_s += seconds;
	set_clock();
	scheduler_poke(bench.scheduler);
	bench_settle();
}

/* ---- the script ---- */

static void run_by_hand(const char *args)
{
	char name[64] = "w", params[256] = "", reason[256];
	struct run_request request = {.workflow = name};
	struct run_input input = {.name = "scene"};
	char path[PATH_MAX];
	int64_t run;

	sscanf(args, "%63s %255[^\n]", name, params);
	CLEAN_JSON cJSON *given = *params ? cJSON_Parse(params) : NULL;
	assert_true(!*params || given);
	request.params = given;
	snprintf(path, sizeof(path), "%s/input", bench.dir);
	assert_int_equal(file_replace(path, "pixels", 6, 0644), 0);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(artifact_import_fd(bench.artifacts, fd, &input.digest, &input.bytes), 0);
	close(fd);
	request.inputs = &input;
	request.n_inputs = 1;
	int r = pipelines_run(bench.pipelines, &request, &run, reason, sizeof(reason));
	if (r < 0)
		note("%srefused(%s)", *bench.trace ? " " : "", reason);
}

static void tell_result(int r, const char *reason)
{
	if (r < 0)
		note("%s%s(%s)", *bench.trace ? " " : "", err_name(r), reason);
}

static void cancel(const char *args)
{
	char scope[32] = "run", name[64] = "1", reason[256] = "";
	struct queue_target t = {.scope = QUEUE_RUN};

	sscanf(args, "%31s %63s", scope, name);
	if (!strcmp(scope, "workflow"))
		t = (struct queue_target){.scope = QUEUE_WORKFLOW, .name = name};
	else if (!strcmp(scope, "payload"))
		t = (struct queue_target){.scope = QUEUE_PAYLOAD, .name = name};
	else if (!strcmp(scope, "all"))
		t = (struct queue_target){.scope = QUEUE_ALL};
	else if (!strcmp(scope, "task"))
		t = (struct queue_target){.scope = QUEUE_TASK, .id = atoi(name)};
	else
		t.id = atoi(name);
	tell_result(pipelines_cancel(bench.pipelines, &t, "by test", reason, sizeof(reason)), reason);
}

static void approve(const char *stage, bool yes)
{
	char reason[256] = "";

	tell_result(pipelines_approve(bench.pipelines, 1, stage, yes, "kim", reason, sizeof(reason)), reason);
}

static void rerun(const char *args)
{
	char from[64] = "", reason[256] = "";
	int64_t run;

	sscanf(args, "%63s", from);
	tell_result(
		pipelines_rerun(bench.pipelines, 1, *from ? from : NULL, "kim", &run, reason, sizeof(reason)),
		reason);
}

static void finish(const char *label)
{
	for (size_t i = 0; i < bench.n_starts; i++)
		if (!strcmp(bench.starts[i].label, label) && !bench.starts[i].reported)
			bench.starts[i].held = false;
}

static void event(const char *args)
{
	char name[32] = "", place[32] = "", reason[256];
	struct orbit_event e = {.event = name, .time = clock_utc()};

	sscanf(args, "%31s %31s", name, place);
	e.place = *place ? place : NULL;
	tell_result(pipelines_event(bench.pipelines, &e, reason, sizeof(reason)), reason);
}

/* Words:  run [WORKFLOW [PARAMS]]   cancel [run N | workflow W | payload P | all | task N]   approve S reject
 * S rerun [S]   finish LABEL   event NAME [PLACE]   +SECONDS   utc+SECONDS (a step of the clock)   restart
 * reboot off+SECONDS (closed, that much later opened again)   . (one turn)   image TEXT After each, except
 * before "." and after "now WORD", all is settled. */
static void one(char *word)
{
	const char *args = word + strcspn(word, " ");

	if (!strncmp(word, "run", 3)) {
		run_by_hand(args);
	} else if (!strncmp(word, "cancel", 6)) {
		cancel(args);
	} else if (!strncmp(word, "approve ", 8)) {
		approve(word + 8, true);
	} else if (!strncmp(word, "reject ", 7)) {
		approve(word + 7, false);
	} else if (!strncmp(word, "rerun", 5)) {
		rerun(args);
	} else if (!strncmp(word, "finish ", 7)) {
		finish(word + 7);
	} else if (!strncmp(word, "event ", 6)) {
		event(word + 6);
	} else if (!strncmp(word, "image ", 6)) {
		snprintf(bench.image, sizeof(bench.image), "%s", word + 6);
	} else if (*word == '+') {
		bench_pass(atoi(word + 1));
	} else if (!strncmp(word, "utc", 3)) {
		bench.now_s += atoi(word + 3);
		set_clock();
		scheduler_poke(bench.scheduler);
		pipelines_poke(bench.pipelines);
	} else if (!strncmp(word, "off+", 4) || !strcmp(word, "restart") || !strcmp(word, "reboot")) {
		bench_close();
		bench.now_s += word[0] == 'o' ? atoi(word + 4) : 0;
		bench.mono_s += word[0] == 'o' ? atoi(word + 4) : 0;
		if (!strcmp(word, "reboot")) {
			boot_id_set_fake("boot-2");
			bench.mono_s = 5;
		}
		set_clock();
		bench_open();
	} else {
		fail_msg("no such word in the script: %s", word);
	}
}

void bench_script(const char *script)
{
	CLEAN_FREE char *copy = strdup(script);
	char *rest = copy, *word;

	while ((word = strsep(&rest, ";"))) {
		word += strspn(word, " ");
		if (!strncmp(word, "now ", 4)) {
			one(word + 4);
		} else if (!strcmp(word, ".")) {
			bench_turn();
		} else if (*word) {
			one(word);
			bench_settle();
		}
	}
}

/* ---- looking ---- */

char *bench_output(int64_t run, const char *stage, const char *name)
{
	sqlite3_stmt *q = store_query(bench.store,
		"SELECT digest FROM run_output WHERE run = ? AND stage = ? AND name = ?", "itt", run, stage,
		name);
	struct digest digest;
	char *text;
	size_t len;
	int fd;

	if (!q || sqlite3_step(q) != SQLITE_ROW)
		return NULL;
	assert_int_equal(digest_parse((const char *)sqlite3_column_text(q, 0), &digest), 0);
	sqlite3_reset(q);
	if (artifact_open(bench.artifacts, &digest, &fd) < 0)
		return NULL;
	assert_int_equal(file_read_fd(fd, 1 << 20, &text, &len), 0);
	close(fd);
	return text;
}

void bench_describe(int64_t run, char *ret_text, size_t cap)
{
	CLEAN_JSON cJSON *j = run_provenance(bench.store, run);
	const char *why = json_str(j, "reason");
	const cJSON *stage;

	assert_non_null(j);
	size_t n = (size_t)snprintf(ret_text, cap, "%s%s%s%s:", json_str(j, "state"), why ? " (" : "",
		why ? why : "", why ? ")" : "");
	cJSON_ArrayForEach(stage, cJSON_GetObjectItemCaseSensitive(j, "stages"))
	{
		const char *reason = json_str(stage, "reason");
		if (n < cap)
			n += (size_t)snprintf(ret_text + n, cap - n, " %s %s%s%s%s;",
				json_str(stage, "stage"), json_str(stage, "state"), reason ? " (" : "",
				reason ? reason : "", reason ? ")" : "");
	}
}
