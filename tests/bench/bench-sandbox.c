/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What it costs to run a no-op stage in a container, from the request to the result that the supervisor would
 * record, with bubblewrap and runc beside it, in turns, in the same process. Each runs the same static
 * program with a read-only root, its own namespaces, /in, /out, /tmp and /dev. (Only ours and runc set
 * limits; only ours has a filter of system calls here.) Needs root.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "core/clock.h"
#include "core/file.h"
#include "sandbox.h"

#define ROUNDS 40

extern char **environ;

static uv_loop_t loop;
static char dir[] = "/tmp/perigee-bench-XXXXXX";
static int root = -1, in = -1, out = -1;
static struct launch_result last;
static bool ready, ended, gone;

struct series {
	const char *name;
	double ms[ROUNDS];
	size_t n;
	bool off; /* not installed, or does not work here */
};

static double ms_since(struct mono_time t)
{
	return (double)(clock_mono().ns - t.ns) / (double)NS_PER_MS;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void print(struct series *s)
{
	if (s->off || s->n == 0)
		return;
	qsort(s->ms, s->n, sizeof(s->ms[0]), compare);
	printf("figure %s %.3f ms\n", s->name, s->ms[s->n / 2]);
}

/* ---- Ours ---------------------------------------------------------------------------------------------- */

static void on_end(struct launcher *l, const struct launch_result *result, void *user)
{
	last = *result;
	ended = true;
}

static void on_gone(struct launcher *l, const char *reason, void *user)
{
	fprintf(stderr, "bench-sandbox: %s\n", reason);
	gone = true;
}

static void on_ready(struct launcher *l, void *user)
{
	ready = true;
}

static int launch(struct launcher *l, struct series *s)
{
	static uint64_t task;
	const struct launch_request request = {
		.task = ++task,
		.rootfs_fd = root,
		.in_fd = in,
		.out_fd = out,
		.log_fd = -1,
		.argv = (const char *const[]){"/noop", NULL},
		.env = (const char *const[]){NULL},
		.limits = {.memory_bytes = 16 << 20,
			.file_bytes = 1 << 20,
			.wall_ns = 10 * NS_PER_S,
			.cpus_milli = 1000,
			.pids = 16},
	};
	struct mono_time before = clock_mono();
	int err;

	ended = false;
	err = launcher_start(l, &request);
	if (err < 0)
		return err;
	while (!ended && !gone)
		uv_run(&loop, UV_RUN_ONCE);
	if (gone)
		return ERR_PEER;
	s->ms[s->n++] = ms_since(before);
	if (last.how != LAUNCH_EXITED || last.code != 0) {
		fprintf(stderr, "bench-sandbox: %s\n", last.reason);
		return ERR_SANDBOX;
	}
	return 0;
}

/* ---- The others ---------------------------------------------------------------------------------------- */

static void spawn(char *const argv[], struct series *s)
{
	struct mono_time before = clock_mono();
	posix_spawn_file_actions_t actions;
	int status = -1, err;
	pid_t pid;

	if (s->off)
		return;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
	err = posix_spawnp(&pid, argv[0], &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	if (err == 0)
		(void)waitpid(pid, &status, 0);
	if (err != 0 || status != 0) {
		if (err == 0)
			fprintf(stderr, "bench-sandbox: %s does not run here (status %d)\n", argv[0], status);
		s->off = true;
		return;
	}
	s->ms[s->n++] = ms_since(before);
}

static const char runc_config[] =
	"{\"ociVersion\":\"1.0.2\",\"process\":{\"terminal\":false,\"user\":{\"uid\":1000,\"gid\":1000},"
	"\"args\":[\"/noop\"],\"env\":[],\"cwd\":\"/\",\"noNewPrivileges\":true,\"capabilities\":{}},"
	"\"root\":{\"path\":\"root\",\"readonly\":true},\"hostname\":\"stage\",\"mounts\":["
	"{\"destination\":\"/proc\",\"type\":\"proc\",\"source\":\"proc\"},"
	"{\"destination\":\"/"
	"dev\",\"type\":\"tmpfs\",\"source\":\"tmpfs\",\"options\":[\"nosuid\",\"mode=755\"]},"
	"{\"destination\":\"/"
	"tmp\",\"type\":\"tmpfs\",\"source\":\"tmpfs\",\"options\":[\"nosuid\",\"nodev\",\"noexec\"]},"
	"{\"destination\":\"/in\",\"type\":\"bind\",\"source\":\"%s/"
	"in\",\"options\":[\"bind\",\"ro\",\"nosuid\",\"nodev\"]},"
	"{\"destination\":\"/out\",\"type\":\"bind\",\"source\":\"%s/"
	"out\",\"options\":[\"bind\",\"rw\",\"nosuid\","
	"\"nodev\"]}],"
	"\"linux\":{\"namespaces\":[{\"type\":\"pid\"},{\"type\":\"network\"},{\"type\":\"ipc\"},{\"type\":"
	"\"uts\"},"
	"{\"type\":\"mount\"},{\"type\":\"user\"}],"
	"\"uidMappings\":[{\"containerID\":0,\"hostID\":1879048192,\"size\":2000}],"
	"\"gidMappings\":[{\"containerID\":0,\"hostID\":1879048192,\"size\":2000}],"
	"\"resources\":{\"memory\":{\"limit\":16777216},\"pids\":{\"limit\":16}}}}";

static void run_bwrap(struct series *s)
{
	static char root_path[160], in_path[160], out_path[160];
	char *argv[] = {(char *)"bwrap", (char *)"--unshare-all", (char *)"--die-with-parent",
		(char *)"--cap-drop", (char *)"ALL", (char *)"--ro-bind", root_path, (char *)"/",
		(char *)"--ro-bind", in_path, (char *)"/in", (char *)"--bind", out_path, (char *)"/out",
		(char *)"--tmpfs", (char *)"/tmp", (char *)"--dev", (char *)"/dev", (char *)"/noop", NULL};

	snprintf(root_path, sizeof(root_path), "%s/root", dir);
	snprintf(in_path, sizeof(in_path), "%s/in", dir);
	snprintf(out_path, sizeof(out_path), "%s/out", dir);
	spawn(argv, s);
}

static void run_runc(struct series *s)
{
	static char id[64];
	char *argv[] = {(char *)"runc", (char *)"run", (char *)"--bundle", dir, id, NULL};

	snprintf(id, sizeof(id), "perigee-bench-%d-%zu", (int)getpid(), s->n);
	spawn(argv, s);
}

static void run_floor(struct series *s)
{
	static char path[160];
	char *argv[] = {path, NULL};

	snprintf(path, sizeof(path), "%s/root/noop", dir);
	spawn(argv, s);
}

/* ---- Setting up ---------------------------------------------------------------------------------------- */

static int open_dir(const char *name, int *ret_fd)
{
	char path[160];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	*ret_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return *ret_fd < 0 ? -errno : 0;
}

static int set_up(void)
{
	static const char *const name[] = {
		"root", "root/in", "root/out", "root/tmp", "root/dev", "root/proc", "in", "out"};
	CLEAN_FREE char *program = NULL;
	char path[160], config[4096];
	size_t len;
	int err = 0;

	if (!mkdtemp(dir) || chmod(dir, 0755) < 0)
		return -errno;
	for (size_t i = 0; i < ARRAY_LEN(name); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, name[i]);
		if (mkdir(path, 0755) < 0)
			return -errno;
	}
	snprintf(path, sizeof(path), "%s/root/noop", dir);
	err = file_read(NOOP_PATH, 16 << 20, &program, &len);
	if (err == 0)
		err = file_replace(path, program, len, 0755);
	snprintf(path, sizeof(path), "%s/config.json", dir);
	snprintf(config, sizeof(config), runc_config, dir, dir);
	if (err == 0)
		err = file_replace(path, config, strlen(config), 0644);
	if (err == 0)
		err = open_dir("root", &root);
	if (err == 0)
		err = open_dir("in", &in);
	return err < 0 ? err : open_dir("out", &out);
}

static int measure(struct launcher *l)
{
	struct series ours = {.name = "sandbox.container_ms"}, burst = {.name = "sandbox.back_to_back_ms"};
	struct series floor = {.name = "floor.clone_exec_ms"};
	struct series bwrap = {.name = "peer.bwrap_ms"}, runc = {.name = "peer.runc_ms"};
	int err = 0;

	for (int i = 0; i < ROUNDS && err == 0; i++) {
		run_floor(&floor);
		run_bwrap(&bwrap);
		run_runc(&runc);
		err = launch(l, &ours);
	}
	/* Faster than cells are prepared. */
	for (int i = 0; i < ROUNDS && err == 0; i++)
		err = launch(l, &burst);
	if (err < 0)
		return err;
	print(&ours);
	print(&burst);
	print(&bwrap);
	print(&runc);
	print(&floor);
	return 0;
}

int main(void)
{
	const struct launcher_callbacks callbacks = {
		.on_end = on_end, .on_gone = on_gone, .on_ready = on_ready};
	struct launcher *l;
	int err;

	umask(022);
	if (geteuid() != 0) {
		fprintf(stderr, "bench-sandbox: needs root: nothing measured\n");
		return 0;
	}
	err = uv_loop_init(&loop);
	if (err == 0)
		err = set_up();
	if (err == 0)
		err = launcher_create(&loop, LAUNCHER_PATH, &callbacks, NULL, &l);
	if (err < 0) {
		fprintf(stderr, "bench-sandbox: %s\n", err_text(err));
		(void)!dir_remove(dir);
		return 1;
	}
	while (!ready && !gone)
		uv_run(&loop, UV_RUN_ONCE);
	err = gone ? ERR_PEER : measure(l);
	launcher_destroy(l);
	uv_run(&loop, UV_RUN_DEFAULT);
	(void)!dir_remove(dir);
	return err < 0;
}
