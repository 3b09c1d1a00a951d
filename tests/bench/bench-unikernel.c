/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a unikernel costs beside its floors: the same no-op as in bench-sandbox from request to result, beside
 * the same QEMU command with a guest of three instructions; the guest's start by its own clock; its size; how
 * fast it reads and writes beside the same program on the host. In turns, in one process. Needs root and
 * QEMU.
 */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "core/clock.h"
#include "core/file.h"
#include "sandbox.h"

#define ROUNDS 25
#define TRANSFERS 5
#define MIB (UINT64_C(1) << 20)
#define QEMU "/usr/bin/qemu-system-x86_64"

extern char **environ;

static uv_loop_t loop;
static char dir[] = "/tmp/perigee-bench-XXXXXX";
static bool ready, ended, gone;
static struct launch_result last;
static int root = -1, in = -1, out = -1;

struct series {
	const char *name, *unit;
	double value[ROUNDS];
	size_t n;
};

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(struct series *s)
{
	qsort(s->value, s->n, sizeof(s->value[0]), compare);
	return s->n ? s->value[s->n / 2] : 0;
}

static void print(struct series *s)
{
	if (s->n)
		printf("figure %s %.3f %s\n", s->name, median(s), s->unit);
}

static double ms_since(struct mono_time t)
{
	return (double)(clock_mono().ns - t.ns) / (double)NS_PER_MS;
}

static void on_end(struct launcher *l, const struct launch_result *result, void *user)
{
	last = *result;
	ended = true;
}

static void on_gone(struct launcher *l, const char *reason, void *user)
{
	fprintf(stderr, "bench-unikernel: %s\n", reason);
	gone = true;
}

static void on_ready(struct launcher *l, void *user)
{
	ready = true;
}

static int launch(struct launcher *l, struct series *s)
{
	static uint64_t task;
	static const char *const stage[] = {"/stage", NULL};
	static struct vm_command command;
	struct mono_time before = clock_mono();
	int err = vm_command_make(&command, 16 * MIB, NULL, 0, stage);
	const struct launch_request request = {
		.task = ++task,
		.rootfs_fd = root,
		.in_fd = in,
		.out_fd = out,
		.log_fd = -1,
		.argv = command.argv,
		.env = (const char *const[]){NULL},
		.limits = {.memory_bytes = 16 * MIB + VM_OVERHEAD_BYTES,
			.guest_bytes = 16 * MIB,
			.file_bytes = VM_FILE_BYTES,
			.wall_ns = 20 * NS_PER_S,
			.cpus_milli = 1000,
			.pids = VM_PIDS},
	};

	ended = false;
	if (err == 0)
		err = launcher_start(l, &request);
	while (err == 0 && !ended && !gone)
		uv_run(&loop, UV_RUN_ONCE);
	if (err < 0 || gone)
		return err < 0 ? err : ERR_PEER;
	if (last.how != LAUNCH_EXITED || last.code != 0) {
		fprintf(stderr, "bench-unikernel: %s; %s\n", last.reason, last.last_line);
		return ERR_SANDBOX;
	}
	s->value[s->n++] = ms_since(before);
	return 0;
}

static int spawn(char *const argv[], const char *log)
{
	posix_spawn_file_actions_t actions;
	int status = -1, err;
	pid_t pid;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_addopen(
		&actions, STDERR_FILENO, log ? log : "/dev/null", O_WRONLY | O_CREAT | O_TRUNC, 0600);
	posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO);
	err = posix_spawn(&pid, argv[0], &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	if (err != 0)
		return -err;
	(void)waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : ERR_SANDBOX;
}

/* The command that vm-run.c makes, with another guest. */
static int run_floor(struct series *s)
{
	char *argv[] = {(char *)QEMU, (char *)"-M",
		(char *)"microvm,acpi=off,pit=off,pic=off,rtc=off,isa-serial=off,auto-kernel-cmdline=off",
		(char *)"-accel", (char *)"tcg", (char *)"-cpu", (char *)"max", (char *)"-m", (char *)"16M",
		(char *)"-nodefaults", (char *)"-no-user-config", (char *)"-no-reboot", (char *)"-display",
		(char *)"none", (char *)"-kernel", (char *)FLOOR_PATH, (char *)"-initrd", (char *)NOOP_PATH,
		(char *)"-global", (char *)"virtio-mmio.force-legacy=false", (char *)"-device",
		(char *)"isa-debug-exit,iobase=0x501,iosize=1", (char *)"-device",
		(char *)"virtio-serial-device,max_ports=2", (char *)"-chardev",
		(char *)"stdio,id=log,signal=off", (char *)"-device", (char *)"virtconsole,chardev=log,nr=0",
		(char *)"-chardev", (char *)"null,id=control", (char *)"-device",
		(char *)"virtserialport,chardev=control,nr=1", (char *)"-device", (char *)"virtio-rng-device",
		NULL};
	struct mono_time before = clock_mono();
	int r = spawn(argv, NULL);

	if (r != 1) /* what isa-debug-exit makes of 0 */
		return r < 0 ? r : ERR_SANDBOX;
	s->value[s->n++] = ms_since(before);
	return 0;
}

/* Two numbers after a word in the log. */
static int read_numbers(const char *log, const char *word, double *a, double *b)
{
	CLEAN_FREE char *text = NULL;
	size_t len;
	int err = file_read(log, 1 << 20, &text, &len);
	const char *at = err == 0 ? strstr(text, word) : NULL;

	if (!at)
		return err < 0 ? err : ERR_FORMAT;
	*b = 0;
	return sscanf(at + strlen(word), "%lf %lf", a, b) >= 1 ? 0 : ERR_FORMAT;
}

static int run_by_hand(const char *program, const char *memory, const char *log)
{
	char *argv[] = {(char *)VM_PATH, (char *)"--times", (char *)"--root", dir, (char *)"--memory",
		(char *)memory, (char *)"--out", (char *)"data=134217728", (char *)program, NULL};

	return spawn(argv, log);
}

static int measure_guest(struct series *boot)
{
	char log[160];
	double ns, nothing;
	int err = 0;

	snprintf(log, sizeof(log), "%s/log", dir);
	for (int i = 0; err == 0 && i < ROUNDS; i++) {
		err = run_by_hand(NOOP_PATH, "16", log);
		if (err == 0)
			err = read_numbers(log, "guest: start ", &ns, &nothing);
		if (err == 0)
			boot->value[boot->n++] = ns / 1000;
	}
	for (int mib = 3; err == 0 && mib < 64; mib++) {
		char memory[8];
		snprintf(memory, sizeof(memory), "%d", mib);
		if (run_by_hand(NOOP_PATH, memory, log) == 0) {
			printf("figure sandbox.guest_min_mib %d MiB\n", mib);
			break;
		}
	}
	return err;
}

static int measure_transfer(void)
{
	struct series read_vm = {"sandbox.read_mib_s", "MiB/s"}, write_vm = {"sandbox.write_mib_s", "MiB/s"};
	struct series read_host = {"floor.read_mib_s", "MiB/s"}, write_host = {"floor.write_mib_s", "MiB/s"};
	char log[160];
	char *host[] = {(char *)TRANSFER_PATH, dir, NULL};
	int err = 0;

	snprintf(log, sizeof(log), "%s/log", dir);
	for (int i = 0; err == 0 && i < TRANSFERS; i++) {
		err = spawn(host, log);
		if (err == 0)
			err = read_numbers(log, "transfer ", &read_host.value[i], &write_host.value[i]);
		/* What the host's copy wrote would be there already. */
		if (err == 0 && spawn((char *[]){(char *)"/usr/bin/truncate", (char *)"-s", (char *)"0",
					      (char *)"-c", strcat(strcpy(log, dir), "/out/data"), NULL},
					NULL) != 0)
			err = ERR_SANDBOX;
		snprintf(log, sizeof(log), "%s/log", dir);
		if (err == 0)
			err = run_by_hand(TRANSFER_PATH, "32", log);
		if (err == 0)
			err = read_numbers(log, "transfer ", &read_vm.value[i], &write_vm.value[i]);
		read_vm.n = write_vm.n = read_host.n = write_host.n = (size_t)i + 1;
	}
	if (err == 0) {
		print(&read_vm);
		print(&read_host);
		print(&write_vm);
		print(&write_host);
	}
	return err < 0 ? err : err > 0 ? ERR_SANDBOX : 0;
}

static int set_up(void)
{
	char path[200], command[600];

	if (!mkdtemp(dir) || chmod(dir, 0755) < 0)
		return -errno;
	snprintf(command, sizeof(command),
		"cd %s && mkdir in out tmp && %s --install vm && install -m 755 %s vm/stage && "
		"head -c 67108864 /dev/zero > in/data && : > out/data && mkdir none && chmod 777 out/data",
		dir, VM_PATH, NOOP_PATH);
	if (system(command) != 0)
		return ERR_SANDBOX;
	snprintf(path, sizeof(path), "%s/vm", dir);
	root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	snprintf(path, sizeof(path), "%s/none", dir);
	in = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	out = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return root < 0 || in < 0 || out < 0 ? -errno : 0;
}

static int measure(struct launcher *l)
{
	struct series cold = {"sandbox.unikernel_cold_ms", "ms"}, floor = {"floor.qemu_ms", "ms"};
	struct series boot = {"sandbox.guest_boot_us", "us"};
	struct stat st;
	int err = 0;

	for (int i = 0; i < ROUNDS && err == 0; i++) {
		err = run_floor(&floor);
		if (err == 0)
			err = launch(l, &cold);
	}
	if (err < 0)
		return err;
	print(&cold);
	print(&floor);
	printf("figure sandbox.unikernel_cold_over_floor %.3f x\n", median(&cold) / median(&floor));
	err = measure_guest(&boot);
	print(&boot);
	if (err == 0 && stat(GUEST_PATH, &st) == 0)
		printf("figure sandbox.guest_bytes %lld bytes\n", (long long)st.st_size);
	return err == 0 ? measure_transfer() : err;
}

int main(void)
{
	const struct launcher_callbacks callbacks = {
		.on_end = on_end, .on_gone = on_gone, .on_ready = on_ready};
	struct launcher *l;
	int err;

	umask(022);
	if (geteuid() != 0 || access(QEMU, X_OK) < 0) {
		fprintf(stderr, "bench-unikernel: needs root and QEMU: nothing measured\n");
		return 0;
	}
	err = uv_loop_init(&loop);
	if (err == 0)
		err = set_up();
	if (err == 0)
		err = launcher_create(&loop, LAUNCHER_PATH, &callbacks, NULL, &l);
	if (err < 0) {
		fprintf(stderr, "bench-unikernel: %s\n", err_text(err));
		(void)!dir_remove(dir);
		return 1;
	}
	while (!ready && !gone)
		uv_run(&loop, UV_RUN_ONCE);
	err = gone ? ERR_PEER : measure(l);
	if (err < 0)
		fprintf(stderr, "bench-unikernel: %s\n", err_text(err));
	launcher_destroy(l);
	uv_run(&loop, UV_RUN_DEFAULT);
	(void)!dir_remove(dir);
	return err < 0;
}
