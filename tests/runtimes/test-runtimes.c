/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each stage as a container and as a unikernel, through the real launcher: the same outputs byte for byte,
 * the same end; and what a hostile stage tries in a virtual machine. Needs root, control groups and QEMU:
 * skipped (77) without.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "core/clock.h"
#include "core/file.h"
#include "sandbox.h"

#define MIB (UINT64_C(1) << 20)
#define OVERHEAD_BYTES (128 * MIB) /* of QEMU itself */

static uv_loop_t loop;
static struct launcher *launcher;
static char dir[] = "/tmp/perigee-runtimes-XXXXXX";
static bool ready, ended;
static char gone[128];
static struct launch_result last;

static void on_end(struct launcher *l, const struct launch_result *result, void *user)
{
	last = *result;
	ended = true;
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

static int shell(const char *fmt, ...) PRINTF(1, 2);
static int shell(const char *fmt, ...)
{
	char command[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(command, sizeof(command), fmt, ap);
	va_end(ap);
	int status = system(command);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int open_dir(const char *fmt, ...) PRINTF(1, 2);
static int open_dir(const char *fmt, ...)
{
	char path[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(path, sizeof(path), fmt, ap);
	va_end(ap);
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

struct act {
	const char *program, *argument;
	const char *outs[8]; /* "NAME=MAX" */
	int64_t wall_ns;
	uint64_t memory_bytes;
	char log[4096];
};

enum runtime { CONTAINER, UNIKERNEL };

/* A root with the program as /stage: its own, or one made of links to that of all virtual machines. */
static int make_root(const char *program, enum runtime runtime)
{
	if (runtime == CONTAINER)
		assert_int_equal(
			shell("rm -rf %s/root && mkdir %s/root && cd %s/root && mkdir in out tmp dev && "
			      "install -m 755 %s stage",
				dir, dir, dir, program),
			0);
	else
		assert_int_equal(
			shell("rm -rf %s/root && cp -al %s/vm %s/root && install -m 755 %s %s/root/stage",
				dir, dir, dir, program, dir),
			0);
	return open_dir("%s/root", dir);
}

static void make_outputs(const struct act *a, enum runtime runtime)
{
	assert_int_equal(shell("rm -rf %s/out%d && mkdir %s/out%d", dir, runtime, dir, runtime), 0);
	for (const char *const *o = a->outs; *o; o++)
		assert_int_equal(shell("cd %s/out%d && : > %.*s && chmod 666 %.*s", dir, runtime,
					 (int)strcspn(*o, "="), *o, (int)strcspn(*o, "="), *o),
			0);
}

static struct launch_result run(struct act *a, enum runtime runtime)
{
	static uint64_t task;
	const char *argv[40];
	char memory[32], log_path[128];
	size_t n = 0;

	make_outputs(a, runtime);
	CLEAN_FD int root = make_root(a->program, runtime);
	CLEAN_FD int in = open_dir("%s/in", dir);
	CLEAN_FD int out = open_dir("%s/out%d", dir, runtime);
	snprintf(log_path, sizeof(log_path), "%s/log", dir);
	CLEAN_FD int log = open(log_path, O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0600);
	uint64_t guest_bytes = a->memory_bytes ? a->memory_bytes : 64 * MIB;
	if (runtime == UNIKERNEL) {
		snprintf(memory, sizeof(memory), "%" PRIu64, guest_bytes / MIB);
		argv[n++] = "/perigee-vm";
		argv[n++] = "--memory";
		argv[n++] = memory;
		argv[n++] = "--qemu";
		argv[n++] = "/usr/bin/qemu-system-x86_64";
		argv[n++] = "--kernel";
		argv[n++] = "/boot/guest";
		for (const char *const *o = a->outs; *o; o++) {
			argv[n++] = "--out";
			argv[n++] = *o;
		}
	}
	argv[n++] = "/stage";
	if (a->argument)
		argv[n++] = a->argument;
	argv[n] = NULL;
	const struct launch_request request = {
		.task = ++task,
		.rootfs_fd = root,
		.in_fd = in,
		.out_fd = out,
		.log_fd = log,
		.log_bytes_max = sizeof(a->log) - 1,
		.argv = argv,
		.env = (const char *const[]){"COLOUR=green", NULL},
		.limits = {.memory_bytes = guest_bytes + (runtime == UNIKERNEL ? OVERHEAD_BYTES : 0),
			.file_bytes = 8 * MIB,
			.wall_ns = a->wall_ns ? a->wall_ns : 60 * NS_PER_S,
			.cpus_milli = 1000,
			.pids = 32,
			.guest_bytes = runtime == UNIKERNEL ? guest_bytes : 0},
	};
	ended = false;
	assert_int_equal(launcher_start(launcher, &request), 0);
	while (!ended && !gone[0])
		uv_run(&loop, UV_RUN_ONCE);
	if (gone[0])
		fail_msg("%s", gone);
	ssize_t len = pread(log, a->log, sizeof(a->log) - 1, 0);
	a->log[len > 0 ? len : 0] = '\0';
	return last;
}

static void assert_same_outputs(const struct act *a)
{
	if (shell("diff -r %s/out0 %s/out1 >&2", dir, dir) != 0)
		fail_msg("%s %s: the outputs differ; %s", a->program, a->argument ? a->argument : "", a->log);
}

static void both(struct act *a, enum launch_end how, int code)
{
	for (enum runtime r = CONTAINER; r <= UNIKERNEL; r++) {
		struct launch_result end = run(a, r);
		if (end.how != how || end.code != code)
			fail_msg("%s %s as %s: %s; log: %s", a->program, a->argument ? a->argument : "",
				r == CONTAINER ? "container" : "unikernel", end.reason, a->log);
	}
	assert_same_outputs(a);
}

static void both_probe(const char *argument, enum launch_end how, int code)
{
	struct act a = {.program = PROBE_PATH,
		.argument = argument,
		.outs = {"result=1048576", "data=1048576", NULL}};

	both(&a, how, code);
}

static void test_same_outputs(void **state)
{
	assert_int_equal(
		shell("cd %s/in && echo '{}' > params.json && seq 100000 > numbers && printf x > one && "
		      ": > empty && head -c 65536 /dev/urandom > even",
			dir),
		0);
	static const char *const acts[] = {"files", "pieces", "memory", "scratch", "mathematics", "clocks"};
	for (size_t i = 0; i < ARRAY_LEN(acts); i++)
		both_probe(acts[i], LAUNCH_EXITED, 0);
}

static void both_eo(const char *program, const char *out_a, const char *out_b)
{
	char path[256];
	struct act a = {.program = path, .outs = {out_a, out_b, NULL}};

	snprintf(path, sizeof(path), EO_DIR "/%s", program);
	both(&a, LAUNCH_EXITED, 0);
	/* What one leaves the next one reads. */
	assert_int_equal(shell("cp %s/out1/* %s/in/", dir, dir), 0);
}

/* The sample payload, on a rendered scene. */
static void test_sample_stages(void **state)
{
	assert_int_equal(shell("cd %s/in && rm -f * && %s frame scene --rgb --index 2 >/dev/null && "
			       "echo '{\"gsd_rgb_m\": 3, \"gsd_multi_m\": 10}' > params.json",
				 dir, TWIN_PATH),
		0);
	both_eo("eo-cloud", "mask=8388608", "report=4096");
	both_eo("eo-identify", "candidates=262144", "crops=4194304");
	both_eo("eo-count", "report=65536", NULL);
}

/* More files than a machine has devices: several lie on one. */
static void test_many_files(void **state)
{
	assert_int_equal(shell("cd %s/in && for i in $(seq 40); do seq $i $((i * 300)) > f$i; done", dir), 0);
	struct act a = {.program = PROBE_PATH,
		.argument = "files",
		.outs = {"result=65536", "a=512", "b=512", "c=512", "d=512", "e=512", "f=512", NULL}};
	both(&a, LAUNCH_EXITED, 0);
	assert_int_equal(shell("rm %s/in/f*", dir), 0);
}

static void test_same_ends(void **state)
{
	both_probe("exit", LAUNCH_EXITED, 42);
	both_probe("again", LAUNCH_EXITED, 75);
	both_probe("abort", LAUNCH_SIGNALLED, SIGABRT);
	both_probe("fault", LAUNCH_SIGNALLED, SIGSEGV);
	both_probe("stack", LAUNCH_SIGNALLED, SIGSEGV);
	both_probe("illegal", LAUNCH_SIGNALLED, SIGILL);
	both_probe("privileged", LAUNCH_SIGNALLED, SIGSEGV);
	both_probe("port", LAUNCH_SIGNALLED, SIGSEGV);
	both_probe("kernel-read", LAUNCH_SIGNALLED, SIGSEGV);
	both_probe("physmap-read", LAUNCH_SIGNALLED, SIGSEGV);
}

static struct launch_result unikernel(struct act *a)
{
	return run(a, UNIKERNEL);
}

static void test_crash_report(void **state)
{
	struct act a = {.program = PROBE_PATH, .argument = "fault", .outs = {"result=512", NULL}};

	unikernel(&a);
	assert_non_null(strstr(a.log, "address 0x10"));
	assert_non_null(strstr(a.log, "in fall"));
	assert_non_null(strstr(a.log, "caller 0x"));
	assert_non_null(strstr(a.log, "rip") ? a.log : strstr(a.log, "rax "));
	assert_non_null(strstr(last.last_line, "memory that is not there"));
}

static void test_limits(void **state)
{
	struct act too_much = {
		.program = PROBE_PATH, .argument = "too-much", .outs = {"result=1000000", NULL}};
	struct act bomb = {.program = PROBE_PATH,
		.argument = "bomb",
		.outs = {"result=512", NULL},
		.memory_bytes = 16 * MIB};
	struct act endless = {.program = PROBE_PATH,
		.argument = "endless",
		.outs = {"result=512", NULL},
		.wall_ns = 2 * NS_PER_S};
	struct act flood = {.program = PROBE_PATH,
		.argument = "flood",
		.outs = {"result=512", NULL},
		.wall_ns = 2 * NS_PER_S};
	struct launch_result r = unikernel(&too_much);

	assert_int_equal(r.how, LAUNCH_LIMIT_OUTPUT);
	assert_non_null(strstr(r.last_line, "result"));
	r = unikernel(&bomb);
	assert_int_equal(r.how, LAUNCH_LIMIT_MEMORY);
	assert_non_null(strstr(r.last_line, "memory"));
	r = unikernel(&endless);
	assert_int_equal(r.how, LAUNCH_LIMIT_TIME);
	r = unikernel(&flood);
	assert_int_equal(r.how, LAUNCH_LIMIT_TIME);
	assert_true(r.log_cut);
}

static void test_missing_call_is_named(void **state)
{
	struct act a = {.program = PROBE_PATH, .argument = "missing", .outs = {"result=512", NULL}};
	struct launch_result r = unikernel(&a);

	assert_int_equal(r.how, LAUNCH_EXITED);
	assert_non_null(strstr(a.log, "guest: there is no system call "));
}

/* Writable memory is not executable. */
static void test_code_is_not_data(void **state)
{
	struct act code = {.program = PROBE_PATH, .argument = "code", .outs = {"result=512", NULL}};
	struct launch_result r = unikernel(&code);

	assert_int_equal(r.how, LAUNCH_EXITED);
	assert_int_equal(r.code, 0);
	both_probe("code-jump", LAUNCH_SIGNALLED, SIGSEGV);
	both_probe("rodata-write", LAUNCH_SIGNALLED, SIGSEGV);
}

static void test_small_memory(void **state)
{
	struct act a = {.program = PROBE_PATH,
		.argument = "scratch",
		.outs = {"result=512", NULL},
		.memory_bytes = 4 * MIB};
	struct launch_result r = unikernel(&a);

	assert_int_equal(r.how, LAUNCH_EXITED);
	assert_int_equal(r.code, 0);
}

static int set_up(void **state)
{
	if (geteuid() != 0)
		return -1;
	umask(022);
	assert_int_equal(uv_loop_init(&loop), 0);
	assert_non_null(mkdtemp(dir));
	assert_int_equal(chmod(dir, 0755), 0);
	assert_int_equal(shell("mkdir %s/in", dir), 0);
	assert_int_equal(launcher_create(&loop, LAUNCHER_PATH, &callbacks, NULL, &launcher), 0);
	while (!ready && !gone[0])
		uv_run(&loop, UV_RUN_ONCE);
	assert_int_equal(shell("%s --install %s/vm", VM_PATH, dir), 0);
	return ready ? 0 : -1;
}

static int tear_down(void **state)
{
	launcher_destroy(launcher);
	uv_run(&loop, UV_RUN_DEFAULT);
	return dir_remove(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same_outputs),
		cmocka_unit_test(test_many_files),
		cmocka_unit_test(test_sample_stages),
		cmocka_unit_test(test_same_ends),
		cmocka_unit_test(test_crash_report),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_missing_call_is_named),
		cmocka_unit_test(test_code_is_not_data),
		cmocka_unit_test(test_small_memory),
	};

	if (geteuid() != 0 || access("/usr/bin/qemu-system-x86_64", X_OK) < 0) {
		fprintf(stderr, "needs root and QEMU: skipped\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
