/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs through the real launcher, queue, database and artifacts, on a loop whose turns end as perigeed's do.
 * Beside it ninja runs the same chains through bubblewrap, as many at once, with nothing persisted but an
 * empty file a step. Needs root.
 */
#include "bench-workflow.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "core/file.h"
#include "pipelines.h"
#include "sandbox.h"

#define CHAINS 60
#define ROUNDS 3

extern char **environ;

static const char chain_text[] =
	"perigee: v1\n"
	"workflow: chain\n"
	"payload: p\n"
	"stages:\n"
	"  a: {image: noop, resources: {cpus: 0.1, memory: 16MiB, time: 10s}}\n"
	"  b: {image: noop, needs: [a], resources: {cpus: 0.1, memory: 16MiB, time: 10s}}\n"
	"  c: {image: noop, needs: [b], resources: {cpus: 0.1, memory: 16MiB, time: 10s}}\n";

/* Where the time of one turn of the loop goes. */
struct turn {
	uint64_t busy_ns;     /* all of it, less what the loop waited in */
	uint64_t dispatch_ns; /* the queue's decisions */
	uint64_t commit_ns;   /* the disk's sync, for the most part */
	uint64_t act_ns;      /* what follows the commit: starts */
};

static struct {
	char dir[32];
	uv_loop_t loop;
	uv_prepare_t turn;
	uv_timer_t wake;
	uv_work_t log_work;
	struct store *store;
	struct artifacts *artifacts;
	struct scheduler *scheduler;
	struct pipelines *pipelines;
	struct launcher *launcher;
	struct sandbox_image image;
	bool ready, bad, moving;
	size_t ended, failed;
	uint64_t busy_from, idle_from, cpu_from, commit_from;
	struct turn now, worst; /* the turn that goes on; the longest one */
	uint64_t commit_max_ns, cpu_max_ns, work_max_ns;
	bool measuring;
} b;

/* ---- the loop, as in perigeed ---- */

static void on_wake(uv_timer_t *t)
{
	scheduler_poke(b.scheduler);
	pipelines_poke(b.pipelines);
}

static void set_wake(void)
{
	struct utc_time at = scheduler_wake_at(b.scheduler), runs = pipelines_wake_at(b.pipelines);

	if (runs.ns && (at.ns == 0 || runs.ns < at.ns))
		at = runs;
	int64_t left_ms = (at.ns - clock_utc().ns) / NS_PER_MS + 1;
	if (at.ns)
		uv_timer_start(&b.wake, on_wake, left_ms > 0 ? (uint64_t)left_ms : 0, 0);
	else
		uv_timer_stop(&b.wake);
}

/* Called when a statement begins and when it ends; SQLite's own measure is in whole milliseconds. */
static int on_statement(unsigned what, void *user, void *stmt, void *extra)
{
	if (strcmp(sqlite3_sql(stmt), "COMMIT") != 0)
		return 0;
	if (what == SQLITE_TRACE_STMT)
		b.commit_from = uv_hrtime();
	else
		b.now.commit_ns += uv_hrtime() - b.commit_from;
	return 0;
}

static uint64_t thread_cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

static void keep_max(uint64_t *max, uint64_t value)
{
	if (b.measuring && value > *max)
		*max = value;
}

static void measure_turn(void)
{
	uint64_t now = uv_hrtime(), idle = uv_metrics_idle_time(&b.loop), cpu = thread_cpu_ns();

	b.now.busy_ns = now - b.busy_from - (idle - b.idle_from);
	if (b.measuring && b.now.busy_ns > b.worst.busy_ns)
		b.worst = b.now;
	keep_max(&b.commit_max_ns, b.now.commit_ns);
	keep_max(&b.work_max_ns, b.now.busy_ns - b.now.commit_ns);
	keep_max(&b.cpu_max_ns, cpu - b.cpu_from);
	b.now = (struct turn){0};
	b.busy_from = now;
	b.idle_from = idle;
	b.cpu_from = cpu;
	b.measuring = true;
}

static void log_worker(uv_work_t *w)
{
	char path[PATH_MAX];

	if (path_format(path, sizeof(path), "%s/db", b.dir) < 0 || store_log_move(path) < 0)
		b.bad = true;
}

static void on_log_moved(uv_work_t *w, int status)
{
	b.moving = false;
}

static void move_log(void)
{
	if (!b.moving && store_log_due(b.store))
		b.moving = uv_queue_work(&b.loop, &b.log_work, log_worker, on_log_moved) == 0;
}

static void on_turn(uv_prepare_t *h)
{
	do {
		uint64_t from = uv_hrtime();
		if (scheduler_dispatch(b.scheduler) < 0)
			b.bad = true;
		uint64_t decided = uv_hrtime(), committed = b.now.commit_ns;
		b.now.dispatch_ns += decided - from;
		if (!b.bad && store_turn_end(b.store) < 0)
			b.bad = true;
		b.now.act_ns += uv_hrtime() - decided - (b.now.commit_ns - committed);
	} while (!b.bad && scheduler_dirty(b.scheduler));
	move_log();
	set_wake();
	measure_turn();
}

/* ---- stages ---- */

static int resolve(void *user, const char *image, struct stage_image *ret, char *ret_reason, size_t cap)
{
	*ret = (struct stage_image){.rootfs_fd = b.image.rootfs_fd,
		.argv = (const char *const *)b.image.argv,
		.env = (const char *const *)b.image.env};
	snprintf(ret->digest, sizeof(ret->digest), "%s", b.image.digest);
	return 0;
}

static int start(void *user, const struct stage_launch *l)
{
	struct launch_request request = {
		.task = (uint64_t)l->task,
		.rootfs_fd = l->image->rootfs_fd,
		.in_fd = l->in_fd,
		.out_fd = l->out_fd,
		.log_fd = l->log_fd,
		.log_bytes_max = l->log_bytes_max,
		.argv = l->image->argv,
		.env = l->image->env,
		.limits = {.memory_bytes = l->memory_bytes,
			.file_bytes = l->output_bytes_max,
			.wall_ns = l->time_ns,
			.cpus_milli = l->cpus_milli,
			.pids = l->pids},
	};
	return launcher_start(b.launcher, &request);
}

static void on_end(struct launcher *l, const struct launch_result *res, void *user)
{
	struct stage_exit e = {.task = (int64_t)res->task,
		.exited = res->how == LAUNCH_EXITED,
		.code = res->code,
		.class = CLASS_FAILED,
		.wall_ns = (int64_t)res->wall_ns,
		.cpu_ns = (int64_t)res->cpu_ns,
		.memory_peak_bytes = res->peak_memory_bytes};

	snprintf(e.reason, sizeof(e.reason), "%s", res->reason);
	pipelines_stage_exited(b.pipelines, &e);
}

static void on_gone(struct launcher *l, const char *reason, void *user)
{
	fprintf(stderr, "bench-workflow: the launcher is gone: %s\n", reason);
	b.bad = true;
}

static void on_ready(struct launcher *l, void *user)
{
	b.ready = true;
}

static void on_stage(void *user, int64_t run, const char *stage, const char *state, const char *reason)
{
	if (!strcmp(state, "failed")) {
		b.failed++;
		fprintf(stderr, "bench-workflow: run %lld: %s failed: %s\n", (long long)run, stage,
			reason ? reason : "");
	}
}

static void on_run_ended(void *user, int64_t run)
{
	b.ended++;
}

/* ---- setting up ---- */

static int add_workflow(const char *text)
{
	char path[PATH_MAX];
	struct complaints c;
	struct workflow *w;
	int r = path_format(path, sizeof(path), "%s/w.yaml", b.dir);

	if (r == 0)
		r = file_replace(path, text, strlen(text), 0644);
	if (r == 0)
		r = complaints_init(&c, path);
	if (r < 0)
		return r;
	r = workflow_load(path, &(struct workflow_limits){0}, &c, &w);
	if (r == 0)
		r = pipelines_add(b.pipelines, w, &c);
	complaints_print(&c, stderr);
	complaints_finish(&c);
	return r;
}

/* One task for each element of a list of numbers. */
static int add_foreach(unsigned elements)
{
	CLEAN_FREE char *text = malloc(200000);
	size_t len;

	if (!text)
		return -ENOMEM;
	len = (size_t)sprintf(text,
		"perigee: v1\nworkflow: many\npayload: p\nstages:\n  a:\n    image: noop\n"
		"    resources: {cpus: 0.1, memory: 16MiB, time: 10s}\n"
		"    foreach: {parallel: 16, over: [0");
	for (unsigned i = 1; i < elements; i++)
		len += (size_t)sprintf(text + len, ", %u", i);
	sprintf(text + len, "]}\n");
	return add_workflow(text);
}

static int open_parts(unsigned at_once, unsigned elements)
{
	struct scheduler_budget budget = {
		.cpus_milli = 64000, .memory_bytes = UINT64_C(4) << 30, .tasks = at_once};
	char path[PATH_MAX], why[256] = "";
	int r = path_format(path, sizeof(path), "%s/db", b.dir);

	if (r == 0)
		r = store_open(path, &b.store, why, sizeof(why));
	if (r == 0)
		r = path_format(path, sizeof(path), "%s/artifacts", b.dir);
	if (r == 0)
		r = artifacts_open(path, &b.artifacts);
	if (r == 0)
		r = scheduler_create(b.store, &budget, &b.scheduler);
	if (r == 0)
		r = store_turn_end(b.store);
	if (r == 0)
		sqlite3_trace_v2(
			store_db(b.store), SQLITE_TRACE_STMT | SQLITE_TRACE_PROFILE, on_statement, NULL);
	struct pipelines_options o = {.store = b.store,
		.scheduler = b.scheduler,
		.artifacts = b.artifacts,
		.loop = &b.loop,
		.state_dir = b.dir,
		.log_bytes_max = 4096,
		.launcher = {.resolve = resolve, .start = start},
		.on_stage = on_stage,
		.on_run_ended = on_run_ended};
	if (r == 0)
		r = pipelines_create(&o, &b.pipelines);
	if (r == 0)
		r = add_workflow(chain_text);
	if (r == 0)
		r = add_foreach(elements);
	return r == 0 ? pipelines_resume(b.pipelines) : r;
}

static int make_image(void)
{
	char layout[PATH_MAX], images[PATH_MAX], why[IMAGE_REASON_BYTES] = "";
	int r = path_format(layout, sizeof(layout), "%s/layout", b.dir);

	if (r == 0)
		r = path_format(images, sizeof(images), "%s/images", b.dir);
	if (r == 0)
		r = image_build("noop", NOOP_PATH, layout, why, sizeof(why));
	if (r == 0)
		r = image_import(layout, images, &b.image, why, sizeof(why));
	if (r < 0)
		fprintf(stderr, "bench-workflow: %s\n", why);
	return r;
}

/* ---- ours ---- */

static int make_runs(const char *workflow, size_t n)
{
	struct run_request request = {.workflow = workflow};
	char why[256];
	int64_t run;

	for (size_t i = 0; i < n; i++) {
		int r = pipelines_run(b.pipelines, &request, &run, why, sizeof(why));
		if (r < 0) {
			fprintf(stderr, "bench-workflow: %s\n", why);
			return r;
		}
	}
	return 0;
}

static int run_to_end(const char *workflow, size_t n, double *ret_seconds)
{
	uint64_t from = uv_hrtime();

	b.ended = 0;
	b.measuring = false;
	int r = make_runs(workflow, n);
	while (r == 0 && !b.bad && b.ended < n)
		uv_run(&b.loop, UV_RUN_ONCE);
	*ret_seconds = (double)(uv_hrtime() - from) / 1e9;
	return r < 0 ? r : b.bad || b.failed ? ERR_STATE : 0;
}

/* ---- ninja and bubblewrap ---- */

static int write_ninja(void)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/ninja/build.ninja", b.dir);
	CLEAN_FILE FILE *f = fopen(path, "w");
	if (!f)
		return -errno;
	fprintf(f,
		"rule step\n"
		"  command = bwrap --unshare-all --die-with-parent --cap-drop ALL --ro-bind %s/root /"
		" --ro-bind %s/in /in --bind %s/out /out --tmpfs /tmp --dev /dev /noop && : > $out\n",
		b.dir, b.dir, b.dir);
	for (int i = 0; i < CHAINS; i++)
		fprintf(f, "build a%d: step\nbuild b%d: step a%d\nbuild c%d: step b%d\n", i, i, i, i, i);
	return 0;
}

static int set_up_peer(void)
{
	static const char *const names[] = {
		"root", "root/in", "root/out", "root/tmp", "root/dev", "in", "out"};
	CLEAN_FREE char *program = NULL;
	char path[PATH_MAX];
	size_t len;

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		snprintf(path, sizeof(path), "%s/%s", b.dir, names[i]);
		if (mkdir(path, 0755) < 0)
			return -errno;
	}
	snprintf(path, sizeof(path), "%s/root/noop", b.dir);
	int r = file_read(NOOP_PATH, 16 << 20, &program, &len);
	if (r == 0)
		r = file_replace(path, program, len, 0755);
	return r;
}

/* Negative when it does not run here. */
static int run_ninja(const char *jobs, double *ret_seconds)
{
	char folder[PATH_MAX];
	posix_spawn_file_actions_t actions;
	int status = -1;
	pid_t pid;

	/* From nothing each time. */
	snprintf(folder, sizeof(folder), "%s/ninja", b.dir);
	if (dir_remove(folder) < 0 || mkdir(folder, 0755) < 0 || write_ninja() < 0)
		return -EIO;
	char *argv[] = {(char *)"ninja", (char *)"-C", folder, (char *)"-j", (char *)jobs, NULL};
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
	uint64_t from = uv_hrtime();
	int err = posix_spawnp(&pid, "ninja", &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	if (err == 0)
		(void)waitpid(pid, &status, 0);
	*ret_seconds = (double)(uv_hrtime() - from) / 1e9;
	return err || status ? -EIO : 0;
}

/* ---- figures ---- */

static int by_value(const void *x, const void *y)
{
	double a = *(const double *)x, c = *(const double *)y;

	return (a > c) - (a < c);
}

static void print_rate(const char *name, double *seconds, size_t n)
{
	qsort(seconds, n, sizeof(*seconds), by_value);
	printf("figure %s %.1f runs/s\n", name, CHAINS / seconds[n / 2]);
}

static void print_ms(const char *name, uint64_t ns)
{
	printf("figure %s %.1f ms\n", name, (double)ns / 1e6);
}

/* The longest turn and its parts; then the longest commit (the disk's), what a turn took beside its commit,
 * and how much CPU time, which a busy machine does not stretch. */
static void print_loop(void)
{
	const struct turn *t = &b.worst;

	print_ms("supervisor.loop_max_ms", t->busy_ns);
	print_ms("supervisor.loop_max_of_commit_ms", t->commit_ns);
	print_ms("supervisor.loop_max_of_dispatch_ms", t->dispatch_ns);
	print_ms("supervisor.loop_max_of_starts_ms", t->act_ns);
	print_ms("supervisor.commit_max_ms", b.commit_max_ns);
	print_ms("supervisor.loop_max_less_commit_ms", b.work_max_ns);
	print_ms("supervisor.loop_cpu_max_ms", b.cpu_max_ns);
}

static int measure(const char *jobs, unsigned elements)
{
	double ours[ROUNDS], peer[ROUNDS], many;
	bool with_peer = set_up_peer() == 0;
	int r = run_to_end("chain", 2, &many); /* warm */

	for (int i = 0; i < ROUNDS && r == 0; i++) {
		r = run_to_end("chain", CHAINS, &ours[i]);
		with_peer = with_peer && run_ninja(jobs, &peer[i]) == 0;
	}
	if (r < 0)
		return r;
	print_rate("workflow.noop3_per_s", ours, ROUNDS);
	if (with_peer)
		print_rate("peer.ninja_bwrap3_per_s", peer, ROUNDS);
	b.worst = (struct turn){0};
	b.commit_max_ns = b.cpu_max_ns = b.work_max_ns = 0;
	r = run_to_end("many", 1, &many);
	if (r < 0)
		return r;
	printf("figure workflow.foreach_%uk_s %.1f s\n", elements / 1000, many);
	print_loop();
	return 0;
}

static void close_parts(void)
{
	launcher_destroy(b.launcher);
	uv_close((uv_handle_t *)&b.turn, NULL);
	uv_close((uv_handle_t *)&b.wake, NULL);
	uv_run(&b.loop, UV_RUN_DEFAULT);
	pipelines_destroy(b.pipelines);
	scheduler_destroy(b.scheduler);
	store_close(b.store);
	artifacts_close(b.artifacts);
	sandbox_image_finish(&b.image);
	(void)!dir_remove(b.dir);
}

int bench_runs(unsigned elements)
{
	const struct launcher_callbacks callbacks = {
		.on_end = on_end, .on_gone = on_gone, .on_ready = on_ready};
	unsigned at_once = (unsigned)sysconf(_SC_NPROCESSORS_ONLN) + 2; /* ninja's own choice */
	char jobs[16];

	if (geteuid() != 0) {
		fprintf(stderr, "bench-workflow: needs root to run stages: not measured\n");
		return 0;
	}
	umask(022);
	setvbuf(stdout, NULL, _IOLBF, 0);
	strcpy(b.dir, "/tmp/perigee-bench-XXXXXX");
	snprintf(jobs, sizeof(jobs), "%u", at_once);
	if (!mkdtemp(b.dir) || chmod(b.dir, 0755) < 0 || uv_loop_init(&b.loop) != 0)
		return -EIO;
	uv_loop_configure(&b.loop, UV_METRICS_IDLE_TIME);
	uv_prepare_init(&b.loop, &b.turn);
	uv_timer_init(&b.loop, &b.wake);
	int r = make_image();
	if (r == 0)
		r = launcher_create(&b.loop, LAUNCHER_PATH, &callbacks, NULL, &b.launcher);
	while (r == 0 && !b.ready && !b.bad)
		uv_run(&b.loop, UV_RUN_ONCE);
	if (r == 0)
		r = open_parts(at_once, elements);
	if (r == 0)
		r = uv_prepare_start(&b.turn, on_turn);
	if (r == 0)
		r = measure(jobs, elements);
	if (r < 0)
		fprintf(stderr, "bench-workflow: %s\n", err_text(r));
	close_parts();
	return r;
}
