/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every hostile stage through the real launcher, asserted on the reason that it gives, each with a
 * well-behaved neighbour beside it that must not notice. Needs root and control groups: skipped (77) without.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <cmocka.h>

#include "core/clock.h"
#include "core/file.h"
#include "sandbox.h"

#define MIB (UINT64_C(1) << 20)
#define INPUT "what the neighbour copies"
#define LOG_BYTES_MAX 8192

static uv_loop_t loop;
static struct launcher *launcher;
static char dir[] = "/tmp/perigee-hostile-XXXXXX";
static int rootfs = -1, in = -1;
static bool ready;
static char gone[128];
static struct launch_result ended[2]; /* by task % 2 */
static size_t n_ended;
static off_t last_log_bytes; /* kept, of the last act that was run */

static const struct launch_limits usual = {
	.memory_bytes = 16 * MIB,
	.file_bytes = MIB,
	.wall_ns = INT64_C(20000000000),
	.cpus_milli = 1000,
	.pids = 16,
};

/* ---- The launcher -------------------------------------------------------------------------------------- */

static void on_end(struct launcher *l, const struct launch_result *result, void *user)
{
	ended[result->task % 2] = *result;
	n_ended++;
}

static void on_gone(struct launcher *l, const char *reason, void *user)
{
	snprintf(gone, sizeof(gone), "%s", reason);
}

static void on_ready(struct launcher *l, void *user)
{
	ready = true;
}

static const struct launcher_callbacks callbacks = {
	.on_end = on_end, .on_gone = on_gone, .on_ready = on_ready};

/* False when there is no launcher to be had here. */
static bool start_launcher(void)
{
	ready = false;
	gone[0] = '\0';
	if (launcher_create(&loop, LAUNCHER_PATH, &callbacks, NULL, &launcher) < 0)
		return false;
	while (!ready && !gone[0])
		uv_run(&loop, UV_RUN_ONCE);
	return ready;
}

static void stop_launcher(void)
{
	launcher_destroy(launcher);
	launcher = NULL;
	uv_run(&loop, UV_RUN_DEFAULT);
}

/* ---- A stage ------------------------------------------------------------------------------------------- */

struct stage {
	uint64_t task;
	char out_path[128];
	int out, log;
};

static void make_stage(struct stage *s, uint64_t task)
{
	char path[160];
	int fd;

	s->task = task;
	snprintf(s->out_path, sizeof(s->out_path), "%s/out-%" PRIu64, dir, task);
	assert_int_equal(dir_remove(s->out_path), 0);
	assert_int_equal(mkdir(s->out_path, 0755), 0);
	snprintf(path, sizeof(path), "%s/result", s->out_path);
	fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(fchmod(fd, 0666), 0);
	close(fd);
	s->out = open(s->out_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(s->out >= 0);
	snprintf(path, sizeof(path), "%s/log-%" PRIu64, dir, task);
	s->log = open(path, O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0600);
	assert_true(s->log >= 0);
}

static void finish_stage(struct stage *s)
{
	close(s->out);
	close(s->log);
}

static void start(
	const struct stage *s, const char *program, const char *act, const struct launch_limits *limits)
{
	const struct launch_request request = {
		.task = s->task,
		.rootfs_fd = rootfs,
		.in_fd = in,
		.out_fd = s->out,
		.log_fd = s->log,
		.log_bytes_max = LOG_BYTES_MAX,
		.argv = (const char *const[]){program, act, NULL},
		.env = (const char *const[]){"HOME=/tmp", NULL},
		.limits = *limits,
	};

	assert_int_equal(launcher_start(launcher, &request), 0);
}

static off_t size_of(const struct stage *s)
{
	struct stat st;

	assert_int_equal(fstatat(s->out, "result", &st, 0), 0);
	return st.st_size;
}

/* Runs the act beside a good neighbour, whose result is checked; how the act ended. */
static struct launch_result run(const char *act, const struct launch_limits *limits, off_t *ret_size)
{
	static uint64_t next = 2;
	struct stage bad, good;
	char path[160];
	CLEAN_FREE char *copied = NULL;
	struct stat st;
	size_t len;

	n_ended = 0;
	make_stage(&bad, next++);
	make_stage(&good, next++);
	start(&bad, "/hostile", act, limits);
	start(&good, "/hostile", "good", &usual);
	while (n_ended < 2 && !gone[0])
		uv_run(&loop, UV_RUN_ONCE);
	if (gone[0])
		fail_msg("%s: %s", act, gone);
	assert_int_equal(ended[1].how, LAUNCH_EXITED);
	assert_int_equal(ended[1].code, 0);
	assert_string_equal(ended[1].last_line, "worked");
	snprintf(path, sizeof(path), "%s/result", good.out_path);
	assert_int_equal(file_read(path, 4096, &copied, &len), 0);
	assert_string_equal(copied, INPUT);
	assert_int_equal(fstat(bad.log, &st), 0);
	last_log_bytes = st.st_size;
	if (ret_size)
		*ret_size = size_of(&bad);
	finish_stage(&bad);
	finish_stage(&good);
	return ended[0];
}

static void assert_ended(const struct launch_result *r, enum launch_end how, int code, const char *reason)
{
	if (r->how != how || r->code != code || !strstr(r->reason, reason))
		fail_msg("%s, code %d: %s; %s", launch_end_name(r->how), r->code, r->reason, r->last_line);
}

static void assert_refused(const char *act)
{
	struct launch_result r = run(act, &usual, NULL);

	assert_ended(&r, LAUNCH_EXITED, 0, "exited with 0");
	assert_string_equal(r.last_line, "");
}

static struct launch_limits short_time(void)
{
	struct launch_limits l = usual;

	l.wall_ns = INT64_C(300000000);
	return l;
}

/* ---- Tests --------------------------------------------------------------------------------------------- */

static void test_ends(void **state)
{
	struct launch_result r = run("abort", &usual, NULL);

	assert_ended(&r, LAUNCH_SIGNALLED, SIGABRT, "signal 6");
	r = run("segv", &usual, NULL);
	assert_ended(&r, LAUNCH_SIGNALLED, SIGSEGV, "signal 11");
	r = run("fail", &usual, NULL);
	assert_ended(&r, LAUNCH_EXITED, 7, "exited with 7");
	assert_string_equal(r.last_line, "the scene is too dark");
	assert_false(r.log_cut);
	assert_int_equal(r.log_bytes, strlen("first\nthe scene is too dark\n"));
	assert_true(r.wall_ns > 0 && r.cpu_ns > 0 && r.peak_memory_bytes > 0);
	r = run("no such act", &usual, NULL);
	assert_ended(&r, LAUNCH_EXITED, 64, "exited with 64");
}

static void test_processes(void **state)
{
	struct launch_limits limits = short_time();
	struct launch_result r = run("fork-until-refused", &usual, NULL);

	assert_ended(&r, LAUNCH_LIMIT_PIDS, 3, "16 processes");
	r = run("threads-until-refused", &usual, NULL);
	assert_ended(&r, LAUNCH_LIMIT_PIDS, 3, "16 processes");
	r = run("fork-forever", &limits, NULL);
	assert_ended(&r, LAUNCH_LIMIT_TIME, SIGKILL, "0.300 s");
}

static void test_memory(void **state)
{
	struct launch_result r = run("eat-memory", &usual, NULL);

	assert_ended(&r, LAUNCH_LIMIT_MEMORY, SIGKILL, "16 MiB of memory");
	assert_in_range(r.peak_memory_bytes, 8 * MIB, 16 * MIB);
	r = run("eat-memory-in-child", &usual, NULL);
	assert_ended(&r, LAUNCH_LIMIT_MEMORY, 4, "16 MiB of memory");
	r = run("eat-tmp", &usual, NULL);
	assert_ended(&r, LAUNCH_EXITED, 0, "");
	r = run("eat-files", &usual, NULL);
	assert_ended(&r, LAUNCH_EXITED, 0, "");
}

static void test_output(void **state)
{
	off_t size;
	struct launch_result r = run("flood-output", &usual, &size);

	assert_ended(&r, LAUNCH_LIMIT_OUTPUT, SIGXFSZ, "more than 1 MiB");
	assert_int_equal(size, MIB);
	r = run("flood-output-deaf", &usual, &size);
	assert_ended(&r, LAUNCH_EXITED, 0, "");
	assert_int_equal(size, MIB);
}

static void test_log(void **state)
{
	struct launch_limits limits = short_time();
	struct launch_result r = run("talk-much", &usual, NULL);

	assert_ended(&r, LAUNCH_EXITED, 9, "");
	assert_true(r.log_cut);
	assert_int_equal(r.log_bytes, 256 * 1024);
	assert_int_equal(last_log_bytes, LOG_BYTES_MAX);
	assert_int_equal(strspn(r.last_line, "y"), LAUNCH_REASON_BYTES - 1);
	/* Drained at about 3 MB/s, and not as fast as it can write. */
	r = run("flood-log", &limits, NULL);
	assert_ended(&r, LAUNCH_LIMIT_TIME, SIGKILL, "0.300 s");
	assert_true(r.log_bytes < 32 * MIB);
	assert_in_range(last_log_bytes, 0, LOG_BYTES_MAX);
}

static void test_time(void **state)
{
	struct launch_limits limits = short_time();
	struct launch_result r = run("spin", &limits, NULL);

	assert_ended(&r, LAUNCH_LIMIT_TIME, SIGKILL, "0.300 s");
	r = run("daemon-and-wait", &limits, NULL);
	assert_ended(&r, LAUNCH_LIMIT_TIME, SIGKILL, "0.300 s");
}

/* What a stage leaves behind is dead when its end is heard of: its output does not grow any more. */
static void test_daemon(void **state)
{
	struct stage s;
	off_t size;

	n_ended = 0;
	make_stage(&s, 0);
	start(&s, "/hostile", "leave-daemon", &usual);
	while (n_ended < 1)
		uv_run(&loop, UV_RUN_ONCE);
	size = size_of(&s);
	assert_ended(&ended[0], LAUNCH_EXITED, 0, "");
	for (int i = 0; i < 20; i++) {
		(void)run("fail", &usual, NULL);
		assert_int_equal(size_of(&s), size);
	}
	finish_stage(&s);
}

static void test_refused(void **state)
{
	static const char *const act[] = {"kill-all", "ptrace", "mount", "unshare", "kernel", "sockets",
		"identity", "look-around", "out", "in", "tmp", "descriptors"};

	for (size_t i = 0; i < ARRAY_LEN(act); i++)
		assert_refused(act[i]);
}

static void test_setup_failures(void **state)
{
	struct launch_limits limits = usual;
	struct stage s;
	int path_only;

	make_stage(&s, 0);
	n_ended = 0;
	start(&s, "/absent", "x", &usual);
	while (n_ended < 1)
		uv_run(&loop, UV_RUN_ONCE);
	assert_ended(&ended[0], LAUNCH_SETUP_FAILED, 0, "/absent: No such file");
	/* A folder that one could not read oneself cannot be given to a stage. */
	n_ended = 0;
	path_only = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	close(s.out);
	s.out = path_only;
	start(&s, "/hostile", "good", &usual);
	while (n_ended < 1)
		uv_run(&loop, UV_RUN_ONCE);
	assert_ended(&ended[0], LAUNCH_SETUP_FAILED, 0, "/out");
	limits.pids = 0;
	const struct launch_request bad = {.task = 1,
		.argv = (const char *const[]){"/hostile", NULL},
		.env = (const char *const[]){NULL},
		.limits = limits};
	assert_int_equal(launcher_start(launcher, &bad), -EINVAL);
	assert_int_equal(launcher_kill(launcher, 77), ERR_UNKNOWN);
	finish_stage(&s);
}

static void wait_for_log(const struct stage *s)
{
	struct stat st = {0};

	while (fstat(s->log, &st) == 0 && st.st_size == 0)
		uv_run(&loop, UV_RUN_ONCE);
}

static void test_kill(void **state)
{
	struct stage s;

	n_ended = 0;
	make_stage(&s, 4);
	start(&s, "/hostile", "hold-lock", &usual);
	const struct launch_request again = {.task = 4,
		.argv = (const char *const[]){"/hostile", NULL},
		.env = (const char *const[]){NULL},
		.limits = usual};
	assert_int_equal(launcher_start(launcher, &again), -EEXIST);
	wait_for_log(&s);
	assert_int_equal(launcher_kill(launcher, 4), 0);
	while (n_ended < 1)
		uv_run(&loop, UV_RUN_ONCE);
	assert_ended(&ended[0], LAUNCH_KILLED, SIGKILL, "on request");
	assert_int_equal(launcher_running(launcher), 0);
	finish_stage(&s);
}

static void assert_stands_still(const struct stage *s)
{
	off_t size;

	/* It takes effect a moment after: what is asked of the launcher next is behind it. */
	(void)run("fail", &usual, NULL);
	size = size_of(s);
	for (int i = 0; i < 10; i++) {
		(void)run("fail", &usual, NULL);
		assert_int_equal(size_of(s), size);
	}
}

static void wait_for_growth(const struct stage *s)
{
	off_t size = size_of(s);

	while (size_of(s) == size)
		(void)run("fail", &usual, NULL);
}

static void wait_for_end(int parity)
{
	ended[parity].task = 0;
	while (!ended[parity].task)
		uv_run(&loop, UV_RUN_ONCE);
}

/* A stage that forks for ever stands still when it is frozen, all of it, and goes on when it is thawed. */
static void test_freeze(void **state)
{
	struct stage s;

	if (!launcher_can_freeze(launcher))
		skip();
	assert_int_equal(launcher_freeze(launcher, 2000, true), ERR_UNKNOWN);
	make_stage(&s, 2000);
	start(&s, "/hostile", "fork-and-write", &usual);
	wait_for_growth(&s);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(launcher_freeze(launcher, 2000, true), 0);
		assert_int_equal(launcher_freeze(launcher, 2000, true), 0);
		assert_stands_still(&s);
		assert_int_equal(launcher_freeze(launcher, 2000, false), 0);
		wait_for_growth(&s);
	}
	/* A frozen one is killed as any other, and takes nobody with it. */
	assert_int_equal(launcher_freeze(launcher, 2000, true), 0);
	assert_stands_still(&s);
	assert_int_equal(launcher_kill(launcher, 2000), 0);
	wait_for_end(0);
	assert_ended(&ended[0], LAUNCH_KILLED, SIGKILL, "on request");
	assert_true(ended[0].frozen_ns > 0);
	assert_false(ended[0].io_known);
	finish_stage(&s);
}

/* The time limit of a frozen stage does not pass. */
static void test_frozen_time(void **state)
{
	struct launch_limits limits = short_time();
	struct mono_time from = clock_mono();
	struct stage s;

	if (!launcher_can_freeze(launcher))
		skip();
	make_stage(&s, 2002);
	start(&s, "/hostile", "spin", &limits);
	assert_int_equal(launcher_freeze(launcher, 2002, true), 0);
	while (clock_mono().ns - from.ns < 2 * limits.wall_ns)
		(void)run("fail", &usual, NULL);
	ended[0].task = 0;
	assert_int_equal(launcher_running(launcher), 1);
	assert_int_equal(launcher_freeze(launcher, 2002, false), 0);
	wait_for_end(0);
	assert_int_equal(ended[0].task, 2002);
	assert_ended(&ended[0], LAUNCH_LIMIT_TIME, SIGKILL, "0.300 s");
	assert_true(ended[0].frozen_ns > (uint64_t)limits.wall_ns);
	assert_in_range(ended[0].wall_ns, limits.wall_ns, INT64_C(10) * limits.wall_ns);
	finish_stage(&s);
}

/* What a launcher that was killed left frozen does not stay. */
static void test_frozen_and_orphaned(void **state)
{
	struct stage s;
	int fd;

	if (!launcher_can_freeze(launcher))
		skip();
	make_stage(&s, 2004);
	start(&s, "/hostile", "hold-lock", &usual);
	wait_for_log(&s);
	assert_int_equal(launcher_freeze(launcher, 2004, true), 0);
	assert_refused("ptrace");
	assert_int_equal(kill(launcher_pid(launcher), SIGKILL), 0);
	while (!gone[0])
		uv_run(&loop, UV_RUN_ONCE);
	stop_launcher();
	assert_true(start_launcher());
	fd = openat(s.out, "result", O_RDWR | O_CLOEXEC);
	assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
	close(fd);
	finish_stage(&s);
}

static void test_io(void **state)
{
	struct launch_result r = run("write-much", &usual, NULL);
	struct stat st;

	assert_ended(&r, LAUNCH_EXITED, 0, "");
	assert_int_equal(r.io_known, access("/proc/self/io", F_OK) == 0);
	/* Of a folder in memory nothing is counted. */
	if (r.io_known && stat(dir, &st) == 0 && major(st.st_dev) != 0)
		assert_in_range(r.written_bytes, 256 * 1024, 2 * MIB);
	r = run("spin", &(struct launch_limits){16 * MIB, MIB, 0, 300000000, 1000, 16}, NULL);
	assert_false(r.io_known);
}

/* More than there are prepared cells, all at once. */
static void test_many(void **state)
{
	struct stage s[20];

	n_ended = 0;
	for (size_t i = 0; i < ARRAY_LEN(s); i++) {
		make_stage(&s[i], 1000 + i);
		start(&s[i], "/hostile", "good", &usual);
	}
	assert_int_equal(launcher_running(launcher), ARRAY_LEN(s));
	while (n_ended < ARRAY_LEN(s))
		uv_run(&loop, UV_RUN_ONCE);
	for (size_t i = 0; i < ARRAY_LEN(s); i++) {
		assert_int_equal(size_of(&s[i]), strlen(INPUT));
		finish_stage(&s[i]);
	}
}

static void on_second_ready(struct launcher *l, void *user)
{
	*(bool *)user = true;
}

/* A launcher that starts beside another leaves its stages alone. */
static void test_side_by_side(void **state)
{
	static const struct launcher_callbacks second_callbacks = {
		.on_end = on_end, .on_gone = on_gone, .on_ready = on_second_ready};
	struct launcher *second;
	bool second_ready = false;
	struct stage s;
	int fd;

	n_ended = 0;
	make_stage(&s, 8);
	start(&s, "/hostile", "hold-lock", &usual);
	wait_for_log(&s);
	assert_int_equal(launcher_create(&loop, LAUNCHER_PATH, &second_callbacks, &second_ready, &second), 0);
	while (!second_ready && !gone[0])
		uv_run(&loop, UV_RUN_ONCE);
	assert_string_equal(gone, "");
	launcher_destroy(second);
	fd = openat(s.out, "result", O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), -1);
	assert_int_equal(n_ended, 0);
	assert_int_equal(launcher_kill(launcher, 8), 0);
	while (n_ended < 1)
		uv_run(&loop, UV_RUN_ONCE);
	assert_ended(&ended[0], LAUNCH_KILLED, SIGKILL, "on request");
	assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
	close(fd);
	finish_stage(&s);
}

/* The launcher killed: its stages die, and the next one is ready only when nothing of them is left. */
static void test_launcher_killed(void **state)
{
	struct stage s;
	int fd;

	make_stage(&s, 6);
	start(&s, "/hostile", "hold-lock", &usual);
	wait_for_log(&s);
	fd = openat(s.out, "result", O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), -1);
	assert_int_equal(kill(launcher_pid(launcher), SIGKILL), 0);
	while (!gone[0])
		uv_run(&loop, UV_RUN_ONCE);
	const struct launch_request request = {.task = 7,
		.argv = (const char *const[]){"/hostile", NULL},
		.env = (const char *const[]){NULL},
		.limits = usual};
	assert_int_equal(launcher_start(launcher, &request), ERR_PEER);
	stop_launcher();
	assert_true(start_launcher());
	assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
	close(fd);
	finish_stage(&s);
	assert_refused("ptrace");
}

/* Nothing is left in any hierarchy of a launcher that has ended. */
static void test_nothing_left(void **state)
{
	char command[256];
	int pid = launcher_pid(launcher);

	stop_launcher();
	snprintf(command, sizeof(command),
		"test -z \"$(find /sys/fs/cgroup -type d -path '*/perigee-launcher/%d-*' 2>/dev/null)\"",
		pid);
	assert_int_equal(system(command), 0);
	assert_true(start_launcher());
}

/* ---- Setting up ---------------------------------------------------------------------------------------- */

static int put(const char *name, const char *text)
{
	char path[160];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return file_replace(path, text, strlen(text), 0444);
}

static int make_dirs(void)
{
	static const char *const name[] = {"root", "root/in", "root/out", "root/tmp", "root/dev", "root/proc",
		"root/run", "root/run/perigee", "in"};
	char path[160];

	for (size_t i = 0; i < ARRAY_LEN(name); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, name[i]);
		if (mkdir(path, 0755) < 0)
			return -errno;
	}
	return 0;
}

static int set_up(void **state)
{
	CLEAN_FREE char *program = NULL;
	char path[160];
	size_t len;

	if (!mkdtemp(dir) || make_dirs() < 0 || put("in/input", INPUT) < 0 || put("in/params.json", "{}") < 0)
		return -1;
	snprintf(path, sizeof(path), "%s/root/hostile", dir);
	if (file_read(HOSTILE_PATH, 16 * MIB, &program, &len) < 0 ||
		file_replace(path, program, len, 0755) < 0)
		return -1;
	snprintf(path, sizeof(path), "%s/root", dir);
	rootfs = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	snprintf(path, sizeof(path), "%s/in", dir);
	in = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return rootfs < 0 || in < 0 ? -1 : 0;
}

static int tear_down(void **state)
{
	stop_launcher();
	close(rootfs);
	close(in);
	return dir_remove(dir);
}

/* This process and its launchers see no control groups of version 2 any more. False where that cannot be
 * done. */
static bool hide_version_2(void)
{
	char line[1024];
	CLEAN_FILE FILE *mounts = NULL;

	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return false;
	mounts = fopen("/proc/self/mounts", "r");
	while (mounts && fgets(line, sizeof(line), mounts)) {
		char where[512], type[64];

		if (sscanf(line, "%*s %511s %63s", where, type) == 2 && strcmp(type, "cgroup2") == 0 &&
			umount2(where, MNT_DETACH) < 0)
			return false;
	}
	return mounts != NULL;
}

/* With --version-1 only what depends on the kind of control groups, on those of version 1. */
int main(int argc, char **argv)
{
	const struct CMUnitTest version_1[] = {
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_freeze),
		cmocka_unit_test(test_frozen_time),
		cmocka_unit_test(test_frozen_and_orphaned),
		cmocka_unit_test(test_nothing_left),
	};
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ends),
		cmocka_unit_test(test_processes),
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_output),
		cmocka_unit_test(test_log),
		cmocka_unit_test(test_time),
		cmocka_unit_test(test_daemon),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_setup_failures),
		cmocka_unit_test(test_kill),
		cmocka_unit_test(test_freeze),
		cmocka_unit_test(test_frozen_time),
		cmocka_unit_test(test_frozen_and_orphaned),
		cmocka_unit_test(test_io),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_side_by_side),
		cmocka_unit_test(test_launcher_killed),
		cmocka_unit_test(test_nothing_left),
	};
	int failed;

	umask(022);
	if (geteuid() != 0) {
		fprintf(stderr, "skipped: needs root\n");
		return 77;
	}
	if (argc > 1 && !hide_version_2()) {
		fprintf(stderr, "skipped: no mount namespace of its own\n");
		return 77;
	}
	assert_int_equal(uv_loop_init(&loop), 0);
	if (!start_launcher()) {
		/* EX_UNAVAILABLE: this machine has no control groups or namespaces for us. All else is a
		 * failure. */
		bool unavailable = strstr(gone, "exited with 69");

		fprintf(stderr, "%s: %s\n", unavailable ? "skipped" : "the launcher does not start", gone);
		return unavailable ? 77 : 1;
	}
	failed = argc > 1 ? cmocka_run_group_tests(version_1, set_up, tear_down)
			  : cmocka_run_group_tests(tests, set_up, tear_down);
	assert_int_equal(uv_loop_close(&loop), 0);
	return failed;
}
