/* SPDX-License-Identifier: Apache-2.0 */
/* Each test confines a child of its own. The child reports by its exit: 0, or the line that was wrong. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "core/confine.h"
#include "core/file.h"
#include "helpers.h"

#define NOBODY 65534

static const char *dir; /* of the test */

/* In a child: what must hold. Only async-signal-safe things follow a failure. */
#define must(cond)                                                                                           \
	do {                                                                                                 \
		if (!(cond)) {                                                                               \
			dprintf(STDERR_FILENO, "%s:%d: %s (errno %d)\n", __FILE__, __LINE__, #cond, errno);  \
			_exit(1);                                                                            \
		}                                                                                            \
	} while (0)

static int in_child(void (*fn)(void))
{
	int status;

	fflush(NULL);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		signal(SIGABRT, SIG_DFL);
		fn();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static int setup(void **state)
{
	int r = setup_dir(state);
	dir = *state;
	return r;
}

static void skip_unless_root(void)
{
	if (geteuid() != 0)
		skip();
}

/* ---- user ---- */

static uint64_t status_mask(const char *field)
{
	char *text, *p;
	size_t len;

	must(file_read("/proc/self/status", 65536, &text, &len) == 0);
	p = strstr(text, field);
	must(p);
	uint64_t v = strtoull(p + strlen(field) + 1, NULL, 16);
	free(text);
	return v;
}

static void become_nobody(void)
{
	gid_t extra[] = {4, 20};

	must(setgroups(2, extra) == 0);
	must(confine_user(NOBODY, NOBODY) == 0);
	must(getuid() == NOBODY && geteuid() == NOBODY && getgid() == NOBODY && getegid() == NOBODY);
	must(getgroups(0, NULL) == 0);
	must(setuid(0) < 0 && errno == EPERM);
	must(setgid(0) < 0 && errno == EPERM);
	must(setgroups(1, extra) < 0 && errno == EPERM);
	must(status_mask("\nCapEff:") == 0);
	must(status_mask("\nCapPrm:") == 0);
	must(status_mask("\nCapInh:") == 0);
	must(status_mask("\nCapBnd:") == 0);
	must(status_mask("\nCapAmb:") == 0);
	must(status_mask("\nNoNewPrivs:") == 1);
	/* The work of root is not ours any more. */
	must(open("/etc/perigee-test", O_CREAT | O_WRONLY, 0600) < 0);
	must(chroot("/") < 0 && errno == EPERM);
	must(ptrace(PTRACE_ATTACH, getppid(), NULL, NULL) < 0 && errno == EPERM);
	must(kill(getppid(), 0) < 0 && errno == EPERM);
	/* Once more is fine: that is who we are. Another is not. */
	must(confine_user(NOBODY, NOBODY) == 0);
	must(confine_user(NOBODY - 1, NOBODY) == -EPERM);
}

static void user_for_good(void **state)
{
	skip_unless_root();
	assert_int_equal(in_child(become_nobody), 0);
}

static void stay_who_we_are(void)
{
	uid_t uid = getuid();

	must(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0);
	must(confine_user(uid, getgid()) == 0);
	must(getuid() == uid);
	must(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
}

static void user_as_started(void **state)
{
	assert_int_equal(in_child(stay_who_we_are), 0);
}

/* ---- Landlock ---- */

static char *in_dir(const char *name)
{
	static char path[256];

	must(path_format(path, sizeof(path), "%s/%s", dir, name) == 0);
	return path;
}

static void only_these_paths(void)
{
	char read_only[256], writable[256];
	must(path_format(read_only, sizeof(read_only), "%s/r", dir) == 0);
	must(path_format(writable, sizeof(writable), "%s/w", dir) == 0);
	must(dir_make(read_only, 0755) == 0);
	must(dir_make(in_dir("w/one"), 0755) == 0);
	must(dir_make(in_dir("w/two"), 0755) == 0);
	must(dir_make(in_dir("other"), 0755) == 0);
	must(file_replace(in_dir("r/f"), "x", 1, 0644) == 0);
	must(file_replace(in_dir("file"), "x", 1, 0644) == 0);
	must(file_replace(in_dir("other/f"), "x", 1, 0644) == 0);
	char *file = strdup(in_dir("file"));
	int open_before = open(in_dir("other/f"), O_RDWR);

	const struct confine_path paths[] = {
		{.path = read_only},
		{.path = writable, .write = true},
		{.path = file, .write = true},
		{.path = "/nowhere/at/all", .write = true},
		{.path = "/bin", .execute = true},
		{.path = "/usr", .execute = true},
		{.path = "/lib", .execute = true},
		{.path = "/lib64", .execute = true},
		{.path = "/proc"},
	};
	int r = confine_paths(paths, ARRAY_LEN(paths));
	must(r >= 0);
	if (r == 0)
		_exit(77); /* no Landlock here */

	must(open(in_dir("r/f"), O_RDONLY) >= 0);
	must(open(in_dir("r/f"), O_WRONLY) < 0 && errno == EACCES);
	must(open(in_dir("r/new"), O_CREAT | O_WRONLY, 0600) < 0 && errno == EACCES);
	must(unlink(in_dir("r/f")) < 0 && errno == EACCES);
	must(truncate(in_dir("r/f"), 0) < 0 || syscall(SYS_landlock_create_ruleset, NULL, 0, 1) < 3);
	must(open(in_dir("other/f"), O_RDONLY) < 0 && errno == EACCES);
	must(open("/etc/passwd", O_RDONLY) < 0 && errno == EACCES);
	must(write(open_before, "y", 1) == 1); /* what was open stays open */

	must(file_replace(in_dir("w/one/f"), "x", 1, 0644) == 0);
	char *from = strdup(in_dir("w/one/f"));
	must(rename(from, in_dir("w/two/f")) == 0); /* as artifacts are kept */
	must(rename(in_dir("w/two/f"), file) < 0);
	must(mkdir(in_dir("w/d"), 0755) == 0 && rmdir(in_dir("w/d")) == 0);
	must(unlink(in_dir("w/two/f")) == 0);
	must(mknod(in_dir("w/dev"), S_IFCHR | 0600, 0) < 0);
	int fd = open(file, O_WRONLY | O_TRUNC);
	must(fd >= 0 && write(fd, "z", 1) == 1);
	must(unlink(file) < 0);

	if (syscall(SYS_landlock_create_ruleset, NULL, 0, 1) >= 4) {
		struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
		int s = socket(AF_INET, SOCK_STREAM, 0);
		must(s < 0 || (bind(s, (struct sockaddr *)&in, sizeof(in)) < 0 && errno == EACCES));
		in.sin_port = htons(9);
		must(s < 0 || (connect(s, (struct sockaddr *)&in, sizeof(in)) < 0 && errno == EACCES));
	}

	/* Execution only where it is allowed; children are confined too. */
	pid_t pid = fork();
	if (pid == 0) {
		execl("/bin/true", "true", (char *)NULL);
		_exit(9);
	}
	int status;
	must(waitpid(pid, &status, 0) == pid && status == 0);
	must(confine_paths(NULL, 0) == 1); /* tighter still */
	must(open(in_dir("r/f"), O_RDONLY) < 0 && errno == EACCES);
	free(from);
	free(file);
}

static void paths_only(void **state)
{
	int status = in_child(only_these_paths);

	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		skip();
	assert_int_equal(status, 0);
}

/* Two listeners, made before; only one of their ports is allowed. */
static int listener(uint16_t *ret_port)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t len = sizeof(in);
	int s = socket(AF_INET, SOCK_STREAM, 0);

	must(s >= 0 && bind(s, (struct sockaddr *)&in, sizeof(in)) == 0 && listen(s, 4) == 0);
	must(getsockname(s, (struct sockaddr *)&in, &len) == 0);
	*ret_port = ntohs(in.sin_port);
	return s;
}

static int try_connect(uint16_t port)
{
	struct sockaddr_in in = {
		.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}, .sin_port = htons(port)};
	int s = socket(AF_INET, SOCK_STREAM, 0);

	must(s >= 0);
	return connect(s, (struct sockaddr *)&in, sizeof(in)) == 0 ? 0 : -errno;
}

static void only_this_port(void)
{
	uint16_t allowed, other;

	listener(&allowed);
	listener(&other);
	must(try_connect(other) == 0);
	int r = confine_paths_and_ports(NULL, 0, &allowed, 1);
	must(r >= 0);
	must(try_connect(allowed) == 0);
	if (r == 0 || syscall(SYS_landlock_create_ruleset, NULL, 0, 1) < 4)
		_exit(77); /* a kernel without rules for ports */
	must(try_connect(other) == -EACCES);
	int s = socket(AF_INET, SOCK_STREAM, 0);
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	must(bind(s, (struct sockaddr *)&in, sizeof(in)) < 0 && errno == EACCES);
}

static void ports_only(void **state)
{
	int status = in_child(only_this_port);

	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		skip();
	assert_int_equal(status, 0);
}

/* ioctl on a device goes with writing to it. */
static void only_this_device(void)
{
	const struct confine_path paths[] = {{.path = "/dev/ptmx", .write = true}, {.path = "/dev/tty"}};
	int n;

	int r = confine_paths(paths, ARRAY_LEN(paths));
	must(r >= 0);
	int fd = open("/dev/ptmx", O_RDWR | O_NOCTTY);
	if (r == 0 || fd < 0)
		_exit(77);
	must(ioctl(fd, TIOCGPTN, &n) == 0);
	must(open("/dev/tty", O_RDWR) < 0);
}

static void devices(void **state)
{
	int status = in_child(only_this_device);

	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		skip();
	assert_int_equal(status, 0);
}

static void *wait_for_ever(void *arg)
{
	pause();
	return NULL;
}

/* Landlock would leave the other thread free. */
static void with_a_second_thread(void)
{
	pthread_t thread;

	must(pthread_create(&thread, NULL, wait_for_ever, NULL) == 0);
	int r = confine_paths(NULL, 0);
	must(r == ERR_STATE || r == 0);
	must(open("/", O_RDONLY) >= 0);
}

static void paths_refuse_threads(void **state)
{
	assert_int_equal(in_child(with_a_second_thread), 0);
}

/* ---- seccomp ---- */

/* getpid's number, so that no library caches it. */
#define LISTED "read", "write", "close", "exit_group", "exit", "rt_sigreturn", "getpid", "no_such_call"

static void only_these_calls(void)
{
	static const char *const names[] = {LISTED};
	int open_before = open("/dev/null", O_WRONLY);

	must(confine_syscalls(names, ARRAY_LEN(names)) == 0);
	must(write(open_before, "x", 1) == 1);
	must(syscall(SYS_getpid) > 0);
	must(syscall(SYS_getppid) < 0 && errno == EPERM);
	must(socket(AF_UNIX, SOCK_STREAM, 0) < 0 && errno == EPERM);
	must(syscall(SYS_mount, NULL, NULL, NULL, 0, NULL) < 0 && errno == EPERM);
}

static void calls_only(void **state)
{
	assert_int_equal(in_child(only_these_calls), 0);
}

static long fatal_call;

static void call_the_fatal(void)
{
	/* Also when somebody listed it. */
	static const char *const names[] = {LISTED, "bpf", "kexec_load", "process_vm_writev", "reboot"};

	must(confine_syscalls(names, ARRAY_LEN(names)) == 0);
	syscall(fatal_call, 0, 0, 0, 0, 0, 0);
}

static void a_few_calls_are_fatal(void **state)
{
	static const long calls[] = {
		SYS_bpf, SYS_kexec_load, SYS_process_vm_writev, SYS_add_key, SYS_perf_event_open};

	for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
		fatal_call = calls[i];
		int status = in_child(call_the_fatal);
		assert_true(WIFSIGNALED(status));
		assert_int_equal(WTERMSIG(status), SIGSYS);
	}
}

static volatile int other_answer;

static void *try_later(void *arg)
{
	int *go = arg;
	char c;

	/* Its own start is over and its end never comes: both make calls that are not listed. */
	if (write(go[1], "x", 1) == 1 && read(go[0], &c, 1) == 1)
		other_answer = syscall(SYS_getppid) < 0 && errno == EPERM ? 1 : 2;
	if (write(go[1], "x", 1) < 0 || read(go[0], &c, 1) < 0)
		other_answer = 3;
	return NULL;
}

/* Unlike Landlock, the filter reaches threads that run already. */
static void calls_of_every_thread(void)
{
	static const char *const names[] = {LISTED};
	int to[2], from[2];
	pthread_t thread;
	char c;

	must(pipe(to) == 0 && pipe(from) == 0);
	int ends[2] = {to[0], from[1]};
	must(pthread_create(&thread, NULL, try_later, ends) == 0);
	must(read(from[0], &c, 1) == 1);
	must(confine_syscalls(names, ARRAY_LEN(names)) == 0);
	must(write(to[1], "x", 1) == 1);
	must(read(from[0], &c, 1) == 1);
	must(other_answer == 1);
}

static void calls_in_threads(void **state)
{
	assert_int_equal(in_child(calls_of_every_thread), 0);
}

/* All three one after the other, as our processes do. */
static void everything(void)
{
	static const char *const names[] = {LISTED, "openat", "open"};
	const struct confine_path paths[] = {{.path = "/usr"}};

	must(confine_user(NOBODY, NOBODY) == 0);
	int r = confine_paths(paths, 1);
	must(r >= 0);
	must(confine_syscalls(names, ARRAY_LEN(names)) == 0);
	must(open("/usr", O_RDONLY) >= 0);
	must(open("/etc/passwd", O_RDONLY) < 0 || r == 0);
	must(open("/usr/perigee-test", O_CREAT | O_WRONLY, 0600) < 0);
	must(syscall(SYS_getppid) < 0 && errno == EPERM);
}

static void all_together(void **state)
{
	skip_unless_root();
	assert_int_equal(in_child(everything), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(user_for_good),
		cmocka_unit_test(user_as_started),
		cmocka_unit_test_setup_teardown(paths_only, setup, teardown_dir),
		cmocka_unit_test(ports_only),
		cmocka_unit_test(devices),
		cmocka_unit_test(paths_refuse_threads),
		cmocka_unit_test(calls_only),
		cmocka_unit_test(a_few_calls_are_fatal),
		cmocka_unit_test(calls_in_threads),
		cmocka_unit_test(all_together),
	};
	int r = cmocka_run_group_tests(tests, NULL, NULL);
	return r == 0 && geteuid() != 0 ? 77 : r; /* without root the most of it is skipped */
}
