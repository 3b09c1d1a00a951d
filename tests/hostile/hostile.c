/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stages that misbehave, each chosen by the first argument. Those that try what they may not end with 0 when
 * every attempt was refused, and with 1 and a line "breach: …" when one was not. Those that use too much just
 * do.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define ENDLESS __attribute__((noreturn))

static _Noreturn void breach(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static _Noreturn void breach(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	fprintf(stderr, "breach: ");
	vfprintf(stderr, fmt, args);
	fprintf(stderr, "\n");
	exit(1);
}

/* The call must fail. */
#define refused(call)                                                                                        \
	do {                                                                                                 \
		if ((long)(call) != -1)                                                                      \
			breach("%s", #call);                                                                 \
	} while (0)

/* The call must fail with EPERM: by the filter, before the kernel looks at it. */
#define filtered(call)                                                                                       \
	do {                                                                                                 \
		errno = 0;                                                                                   \
		if ((long)(call) != -1 || errno != EPERM)                                                    \
			breach("%s: %s", #call, strerror(errno));                                            \
	} while (0)

/* ---- Using too much ------------------------------------------------------------------------------------ */

static int fork_until_refused(void)
{
	for (int i = 0; i < 1000; i++) {
		pid_t pid = fork();

		if (pid == 0)
			for (;;)
				pause();
		if (pid < 0 && errno == EAGAIN)
			return 3;
	}
	breach("1000 processes");
}

static ENDLESS int fork_forever(void)
{
	for (;;)
		(void)fork();
}

static int threads_until_refused(void)
{
	static char stack[64][4096];

	for (size_t i = 0; i < 64; i++) {
		pid_t pid = clone((int (*)(void *))(void *)pause, stack[i] + sizeof(stack[i]) - 16,
			CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD, NULL);

		if (pid < 0)
			return 3;
	}
	breach("64 threads");
}

static ENDLESS int eat_memory(void)
{
	for (;;) {
		char *p = malloc(1 << 20);

		if (p)
			memset(p, 1, 1 << 20);
	}
}

static int eat_memory_in_child(void)
{
	int status = 0;

	if (fork() == 0)
		eat_memory();
	(void)wait(&status);
	return 4;
}

/* Memory that is not the process's own: files in /tmp. */
static int eat_tmp(void)
{
	static char block[65536];
	int fd = open("/tmp/file", O_CREAT | O_WRONLY, 0600);
	size_t total = 0;
	ssize_t n = 0;

	if (fd < 0)
		return 5;
	(void)signal(SIGXFSZ, SIG_IGN);
	while (total < (64u << 20) && (n = write(fd, block, sizeof(block))) > 0)
		total += (size_t)n;
	if (n > 0)
		breach("64 MiB in /tmp");
	return errno == ENOSPC || errno == EFBIG ? 0 : 6;
}

static int eat_files(void)
{
	char name[64];

	for (int i = 0; i < 100000; i++) {
		snprintf(name, sizeof(name), "/tmp/%d", i);
		if (mkdir(name, 0700) < 0)
			return errno == ENOSPC ? 0 : 6;
	}
	breach("100000 folders in /tmp");
}

static int flood_output(void)
{
	static char block[65536];
	int fd = open("/out/result", O_WRONLY);

	while (write(fd, block, sizeof(block)) > 0)
		;
	return 5;
}

static int flood_output_deaf(void)
{
	(void)signal(SIGXFSZ, SIG_IGN);
	(void)flood_output();
	return errno == EFBIG ? 0 : 6;
}

static ENDLESS int flood_log(void)
{
	static char line[4096];

	memset(line, 'x', sizeof(line) - 1);
	line[sizeof(line) - 1] = '\n';
	for (;;)
		(void)write(STDERR_FILENO, line, sizeof(line));
}

static ENDLESS int spin(void)
{
	for (volatile unsigned long i = 0;; i++)
		;
}

static int talk_much(void)
{
	static char line[1024];

	memset(line, 'y', sizeof(line) - 1);
	line[sizeof(line) - 1] = '\n';
	for (int i = 0; i < 256; i++) {
		if (write(STDOUT_FILENO, line, sizeof(line)) != sizeof(line))
			return 5;
	}
	return 9;
}

/* ---- Getting away -------------------------------------------------------------------------------------- */

static _Noreturn void write_on(void)
{
	int fd = open("/out/result", O_WRONLY | O_APPEND);

	for (;;)
		(void)write(fd, "x", 1);
}

/* A grandchild in a session of its own goes on writing after the stage has ended. */
static int leave_daemon(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		(void)setsid();
		(void)signal(SIGHUP, SIG_IGN);
		(void)signal(SIGTERM, SIG_IGN);
		if (fork() == 0)
			write_on();
		_exit(0);
	}
	(void)waitpid(pid, NULL, 0);
	return 0;
}

/* And one whose stage never ends. */
static ENDLESS int daemon_and_wait(void)
{
	(void)leave_daemon();
	for (;;)
		pause();
}

/* Children without end, each of which leaves a byte in the output and goes. */
static ENDLESS int fork_and_write(void)
{
	int fd = open("/out/result", O_WRONLY | O_APPEND);

	for (;;) {
		pid_t pid = fork();

		if (pid == 0) {
			(void)!write(fd, "x", 1);
			_exit(0);
		}
		(void)waitpid(pid, NULL, 0);
	}
}

/* Reads nothing, and writes 256 KiB to a file that is on a disk. */
static int write_much(void)
{
	static char block[65536];
	int fd = open("/out/result", O_WRONLY);

	for (int i = 0; i < 4; i++) {
		if (write(fd, block, sizeof(block)) != sizeof(block))
			return 5;
	}
	return fsync(fd) == 0 ? 0 : 6;
}

static int kill_all(void)
{
	for (int i = 1; i < NSIG; i++) {
		if (i != SIGSTOP && i != SIGTSTP)
			(void)kill(1, i);
	}
	(void)kill(1, SIGSTOP);
	(void)kill(-1, SIGKILL);
	for (pid_t pid = 3; pid < 40000; pid++) {
		if (kill(pid, SIGKILL) == 0)
			breach("there was a process %d", pid);
	}
	return 0;
}

static ENDLESS int hold_lock(void)
{
	int fd = open("/out/result", O_RDWR);

	if (fd < 0 || flock(fd, LOCK_EX) < 0 || write(STDERR_FILENO, "locked\n", 7) != 7)
		exit(5);
	if (fork() == 0)
		(void)setsid();
	for (;;)
		pause();
}

/* ---- Trying what is not allowed ------------------------------------------------------------------------ */

static int try_ptrace(void)
{
	char byte;
	struct {
		void *base;
		size_t len;
	} here = {&byte, 1}, there = {&byte, 1};

	filtered(ptrace(PTRACE_TRACEME, 0, 0, 0));
	filtered(ptrace(PTRACE_ATTACH, 1, 0, 0));
	filtered(ptrace(PTRACE_SEIZE, 1, 0, 0));
	filtered(syscall(SYS_process_vm_readv, 1, &here, 1, &there, 1, 0));
	filtered(syscall(SYS_process_vm_writev, 1, &here, 1, &there, 1, 0));
	filtered(syscall(SYS_kcmp, 1, 1, 0, 0, 0));
	filtered(syscall(SYS_pidfd_open, 1, 0));
	filtered(syscall(438 /* pidfd_getfd */, 0, 0, 0));
	return 0;
}

static int try_mount(void)
{
	filtered(mount("tmpfs", "/tmp", "tmpfs", 0, NULL));
	filtered(mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND, NULL));
	filtered(mount("proc", "/proc", "proc", 0, NULL));
	filtered(umount2("/in", MNT_DETACH));
	filtered(chroot("/tmp"));
	filtered(syscall(SYS_pivot_root, ".", "."));
	filtered(syscall(428 /* open_tree */, AT_FDCWD, "/", 1));
	filtered(syscall(429 /* move_mount */, -1, "", -1, "", 0));
	filtered(syscall(430 /* fsopen */, "tmpfs", 0));
	filtered(syscall(442 /* mount_setattr */, AT_FDCWD, "/", 0, NULL, 0));
	filtered(syscall(SYS_open_by_handle_at, -1, NULL, 0));
	filtered(syscall(SYS_name_to_handle_at, AT_FDCWD, "/", NULL, NULL, 0));
	return 0;
}

static int try_unshare(void)
{
	static const unsigned long flag[] = {CLONE_NEWUSER, CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWNET,
		CLONE_NEWIPC, CLONE_NEWUTS, CLONE_NEWCGROUP, CLONE_NEWUSER | CLONE_NEWNS};

	for (size_t i = 0; i < sizeof(flag) / sizeof(flag[0]); i++) {
		filtered(unshare((int)flag[i]));
		filtered(syscall(SYS_clone, flag[i] | SIGCHLD, 0, 0, 0, 0));
	}
	filtered(setns(-1, 0));
	errno = 0;
	if (syscall(SYS_clone3, NULL, 0) != -1 || errno != ENOSYS)
		breach("clone3: %s", strerror(errno));
	return 0;
}

static int try_kernel(void)
{
	char name[] = "user";

	filtered(syscall(SYS_keyctl, 0, -3, 1));
	filtered(syscall(SYS_add_key, name, name, name, 1, -3));
	filtered(syscall(SYS_request_key, name, name, NULL, -3));
	filtered(syscall(SYS_bpf, 0, NULL, 0));
	filtered(syscall(SYS_perf_event_open, NULL, 0, -1, -1, 0));
	filtered(syscall(SYS_userfaultfd, 0));
	filtered(syscall(425 /* io_uring_setup */, 8, NULL));
	filtered(syscall(SYS_init_module, NULL, 0, ""));
	filtered(syscall(SYS_finit_module, -1, "", 0));
	filtered(syscall(SYS_kexec_load, 0, 0, NULL, 0));
	filtered(syscall(SYS_reboot, 0xfee1dead, 672274793, 0x1234567, NULL));
	filtered(syscall(SYS_swapon, "/out/result", 0));
	filtered(syscall(SYS_acct, "/out/result"));
	filtered(syscall(SYS_syslog, 2, name, 1));
	filtered(syscall(SYS_quotactl, 0, NULL, 0, NULL));
	filtered(syscall(SYS_clock_settime, 0, NULL));
	filtered(syscall(SYS_settimeofday, NULL, NULL));
	filtered(syscall(SYS_adjtimex, NULL));
	filtered(sethostname(name, 4));
	filtered(syscall(SYS_memfd_create, name, 0));
	filtered(syscall(SYS_personality, 0x0040000));
	filtered(syscall(SYS_seccomp, 1, 0, NULL));
	filtered(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0));
	filtered(prctl(PR_CAP_AMBIENT, 2, 0, 0, 0));
	filtered(syscall(SYS_shmget, 0, 4096, 01600));
	filtered(syscall(SYS_msgget, 0, 01600));
	filtered(syscall(SYS_semget, 0, 1, 01600));
	filtered(syscall(SYS_mq_open, name, O_CREAT | O_RDWR, 0600, NULL));
	filtered(syscall(SYS_fanotify_init, 0, 0));
	filtered(syscall(SYS_sched_setscheduler, 0, 1, NULL));
	filtered(syscall(SYS_setpriority, 0, 0, -20));
	filtered(syscall(SYS_ioprio_set, 1, 0, 0));
	filtered(syscall(SYS_mbind, 0, 0, 0, 0, 0, 0));
	filtered(syscall(9999));
#ifdef __x86_64__
	filtered(syscall(SYS_iopl, 3));
	filtered(syscall(SYS_ioperm, 0, 1, 1));
	filtered(syscall(SYS_modify_ldt, 0, NULL, 0));
	filtered(syscall(0x40000000 + 39)); /* getpid of the x32 ABI */
#endif
	return 0;
}

static int try_sockets(void)
{
	int pair[2];

	for (int family = 0; family < 46; family++) {
		filtered(socket(family, SOCK_STREAM, 0));
		filtered(socket(family, SOCK_DGRAM, 0));
		filtered(socket(family, SOCK_RAW, 0));
		if (family != AF_UNIX)
			filtered(socketpair(family, SOCK_STREAM, 0, pair));
	}
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
		return 5;
	filtered(connect(pair[0], NULL, 0));
	filtered(bind(pair[0], NULL, 0));
	filtered(listen(pair[0], 1));
	return 0;
}

static int try_identity(void)
{
	struct rlimit more = {RLIM_INFINITY, RLIM_INFINITY};

	if (getuid() != 1000 || geteuid() != 1000 || getgid() != 1000 || getgroups(0, NULL) != 0)
		breach("user %d, group %d, %d groups", (int)geteuid(), (int)getegid(), getgroups(0, NULL));
	filtered(syscall(SYS_setuid, 0));
	filtered(syscall(SYS_setgid, 0));
	filtered(syscall(SYS_setresuid, 0, 0, 0));
	filtered(syscall(SYS_setgroups, 0, NULL));
	filtered(syscall(SYS_capset, NULL, NULL));
	for (int i = 0; i < RLIM_NLIMITS; i++) {
		struct rlimit now;

		if (syscall(SYS_prlimit64, 0, i, NULL, &now) == 0 && now.rlim_max != RLIM_INFINITY)
			refused(syscall(SYS_prlimit64, 0, i, &more, NULL));
	}
	filtered(syscall(SYS_prlimit64, 1, RLIMIT_CORE, NULL, &more));
	return 0;
}

static void list(const char *path, const char *expected)
{
	char found[1024] = "";
	struct dirent **entry;
	int n = scandir(path, &entry, NULL, alphasort);

	for (int i = 0; i < n; i++) {
		if (entry[i]->d_name[0] != '.' &&
			strlen(found) + strlen(entry[i]->d_name) + 2 < sizeof(found)) {
			strcat(found, entry[i]->d_name);
			strcat(found, " ");
		}
	}
	if (n < 0 || strcmp(found, expected) != 0)
		breach("in %s there is: %s", path, found);
}

static int look_around(void)
{
	static const char *const path[] = {"/proc/self/status", "/proc/1/root", "/proc/sys", "/proc/kcore",
		"/sys/kernel", "/sys/fs/cgroup", "/dev/mem", "/dev/kmsg", "/dev/tty", "/dev/pts", "/dev/shm",
		"/dev/fuse", "/dev/kvm", "/etc", "/etc/passwd", "/root", "/home", "/usr",
		"/run/perigee/broker", "/var", "/lib"};

	for (size_t i = 0; i < sizeof(path) / sizeof(path[0]); i++)
		refused(open(path[i], O_RDONLY));
	list("/", "dev hostile in out proc run tmp ");
	list("/proc", "");
	list("/run/perigee", "");
	list("/dev", "full null random urandom zero ");
	list("/in", "input params.json ");
	list("/out", "result ");
	list("/tmp", "");
	refused(chdir("../../../../etc"));
	return 0;
}

static int try_out(void)
{
	refused(open("/out/other", O_CREAT | O_WRONLY, 0666));
	refused(link("/out/result", "/out/other"));
	refused(link("/in/input", "/out/other"));
	refused(symlink("/in/input", "/out/other"));
	refused(mkdir("/out/other", 0777));
	refused(mknod("/out/other", S_IFCHR | 0666, 1 << 8 | 3));
	refused(mknod("/out/other", S_IFREG | 0666, 0));
	refused(mkfifo("/out/other", 0666));
	refused(unlink("/out/result"));
	refused(rename("/out/result", "/out/other"));
	refused(rename("/tmp", "/out/other"));
	refused(chmod("/out/result", 04777));
	refused(chown("/out/result", 1000, 1000));
	refused(open("/out", O_TMPFILE | O_RDWR, 0600));
	refused(rmdir("/out"));
	return 0;
}

static int try_in(void)
{
	refused(open("/in/input", O_WRONLY));
	refused(open("/in/input", O_RDWR | O_TRUNC));
	refused(truncate("/in/input", 0));
	refused(open("/in/other", O_CREAT | O_WRONLY, 0666));
	refused(unlink("/in/input"));
	refused(rename("/in/input", "/in/other"));
	refused(chmod("/in/input", 0777));
	refused(open("/other", O_CREAT | O_WRONLY, 0666));
	refused(mkdir("/other", 0777));
	refused(unlink("/hostile"));
	refused(open("/hostile", O_WRONLY));
	refused(open("/dev/other", O_CREAT | O_WRONLY, 0666));
	refused(unlink("/dev/null"));
	refused(chmod("/dev/null", 0));
	return 0;
}

static int try_tmp(void)
{
	char block[65536];
	char *args[] = {(char *)"/tmp/program", (char *)"nothing", NULL};
	int from = open("/hostile", O_RDONLY), to = open("/tmp/program", O_CREAT | O_WRONLY, 0755);
	ssize_t n;

	refused(mknod("/tmp/node", S_IFCHR | 0666, 1 << 8 | 1));
	refused(symlink("/dev/null", "/tmp/link"));
	refused(mkfifo("/tmp/fifo", 0666));
	(void)signal(SIGXFSZ, SIG_IGN);
	while ((n = read(from, block, sizeof(block))) > 0)
		(void)write(to, block, (size_t)n);
	close(to);
	refused(execve("/tmp/program", args, NULL));
	refused(mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, open("/tmp/program", O_RDONLY), 0) ==
				MAP_FAILED
			? -1
			: 0);
	return 0;
}

static int look_for_descriptors(void)
{
	struct stat null, in;

	for (int fd = 3; fd < 65536; fd++)
		refused(fcntl(fd, F_GETFD));
	if (fstat(0, &in) < 0 || stat("/dev/null", &null) < 0 || in.st_rdev != null.st_rdev)
		breach("standard input");
	refused(openat(1, "..", O_RDONLY));
	return 0;
}

/* ---- Just failing, and being good ---------------------------------------------------------------------- */

static ENDLESS int be_killed_by_itself(void)
{
	abort();
}

static int divide(void)
{
	raise(SIGSEGV);
	return 0;
}

static int fail_with_reason(void)
{
	fprintf(stderr, "first\nthe scene is too dark\n");
	return 7;
}

static int be_good(void)
{
	char text[64];
	int in = open("/in/input", O_RDONLY), out = open("/out/result", O_WRONLY);
	ssize_t n = read(in, text, sizeof(text));

	if (n <= 0)
		return 5;
	/* Some work, with a child, a temporary file and a thread's worth of memory. */
	for (volatile int i = 0; i < 1000000; i++)
		;
	if (fork() == 0) {
		int fd = open("/tmp/part", O_CREAT | O_RDWR, 0600);

		_exit(fd < 0 || write(fd, text, (size_t)n) != n);
	}
	int status;
	if (wait(&status) < 0 || status != 0)
		return 6;
	printf("worked\n");
	return write(out, text, (size_t)n) == n && close(out) == 0 && fflush(stdout) == 0 ? 0 : 7;
}

static const struct {
	const char *name;
	int (*run)(void);
} acts[] = {
	{"fork-until-refused", fork_until_refused},
	{"fork-forever", fork_forever},
	{"threads-until-refused", threads_until_refused},
	{"eat-memory", eat_memory},
	{"eat-memory-in-child", eat_memory_in_child},
	{"eat-tmp", eat_tmp},
	{"eat-files", eat_files},
	{"flood-output", flood_output},
	{"flood-output-deaf", flood_output_deaf},
	{"flood-log", flood_log},
	{"talk-much", talk_much},
	{"spin", spin},
	{"leave-daemon", leave_daemon},
	{"daemon-and-wait", daemon_and_wait},
	{"fork-and-write", fork_and_write},
	{"write-much", write_much},
	{"kill-all", kill_all},
	{"hold-lock", hold_lock},
	{"ptrace", try_ptrace},
	{"mount", try_mount},
	{"unshare", try_unshare},
	{"kernel", try_kernel},
	{"sockets", try_sockets},
	{"identity", try_identity},
	{"look-around", look_around},
	{"out", try_out},
	{"in", try_in},
	{"tmp", try_tmp},
	{"descriptors", look_for_descriptors},
	{"abort", be_killed_by_itself},
	{"segv", divide},
	{"fail", fail_with_reason},
	{"good", be_good},
};

int main(int argc, char **argv)
{
	for (size_t i = 0; argc == 2 && i < sizeof(acts) / sizeof(acts[0]); i++) {
		if (strcmp(argv[1], acts[i].name) == 0)
			return acts[i].run();
	}
	return 64;
}
