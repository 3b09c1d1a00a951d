/* SPDX-License-Identifier: Apache-2.0 */
/* What is left to a broker, and to one of its workers, that has been taken over. Each attempt is made by a
 * process that has confined itself as they do. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "bench.h"
#include "serve.h"

static struct fault_iiod allowed, other;
static struct policy policy;

static int reach(uint16_t port)
{
	struct sockaddr_in at = {
		.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	int r = fd < 0 || connect(fd, (struct sockaddr *)&at, sizeof(at)) < 0 ? -errno : 0;

	if (fd >= 0)
		close(fd);
	return r;
}

static bool has_landlock_net(void)
{
	return syscall(444 /* landlock_create_ruleset */, NULL, 0, 1 /* version */) >= 4;
}

/* Each returns 0 when it is as it should be. */
static int reaches_its_server(void)
{
	return reach(allowed.port);
}

static int reaches_no_other(void)
{
	return reach(other.port) == -EACCES ? 0 : 1;
}

static int opens_no_file(void)
{
	return open("/etc/passwd", O_RDONLY) < 0 && open("/tmp/perigee-no", O_CREAT | O_WRONLY, 0600) < 0 ? 0
													  : 1;
}

static int executes_nothing(void)
{
	execl("/bin/true", "true", (char *)NULL);
	return errno == EPERM ? 0 : 1;
}

static int has_no_privileges(void)
{
	if (geteuid() == 0 || prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1 || prctl(PR_GET_DUMPABLE) != 0)
		return 1;
	return setuid(0) == 0;
}

static int makes_no_server(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	return fd >= 0 && listen(fd, 1) < 0 && errno == EPERM ? 0 : 1;
}

static int forks_nothing(void)
{
	return fork() < 0 && errno == EPERM ? 0 : 1;
}

static int kills_nobody(void)
{
	return kill(getppid(), 0) < 0 && errno == EPERM ? 0 : 1;
}

static int writes_what_is_lent(void)
{
	char c = 'x';

	return write(9, &c, 1) == 1 && fsync(9) == 0 && lseek(9, 0, SEEK_SET) == 0 && ftruncate(9, 0) == 0
		       ? 0
		       : 1;
}

static int traces_nobody(void)
{
	ptrace(PTRACE_TRACEME, 0, NULL, NULL);
	return 1; /* it should not have lived to say so */
}

static int outcome(bool worker, int (*attempt)(void))
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		int file = memfd_create("lent", 0);

		if (dup2(file, 9) < 0 || confine_broker(&policy) < 0 ||
			(worker && confine_worker(&policy.uris[0]) < 0))
			_exit(98);
		_exit(attempt());
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) ? 1000 + WTERMSIG(status) : WEXITSTATUS(status);
}

static void both(void **state)
{
	for (int worker = 0; worker < 2; worker++) {
		assert_int_equal(outcome(worker, reaches_its_server), 0);
		assert_int_equal(outcome(worker, opens_no_file), 0);
		assert_int_equal(outcome(worker, executes_nothing), 0);
		assert_int_equal(outcome(worker, makes_no_server), 0);
		assert_int_equal(outcome(worker, writes_what_is_lent), 0);
#ifndef __SANITIZE_ADDRESS__ /* there the leak check is let through */
		assert_int_equal(outcome(worker, traces_nobody), 1000 + SIGSYS);
#else
		(void)traces_nobody;
#endif
	}
	/* Which a worker inherits, and cannot even ask. */
	if (geteuid() == 0)
		assert_int_equal(outcome(false, has_no_privileges), 0);
}

static void worker_alone(void **state)
{
#ifdef __SANITIZE_ADDRESS__
	skip(); /* clone is let through there */
#endif
	assert_int_equal(outcome(true, forks_nothing), 0);
	assert_int_equal(outcome(true, kills_nobody), 0);
}

static void ports(void **state)
{
	if (!has_landlock_net())
		skip();
	assert_int_equal(outcome(false, reaches_no_other), 0);
	assert_int_equal(outcome(true, reaches_no_other), 0);
}

static int setup(void **state)
{
	allowed = fault_iiod_start(FAULT_NONE, 0, 0);
	other = fault_iiod_start(FAULT_NONE, 0, 0);
	policy.n_devices = 1;
	policy.uris[0] = (struct device_uri){.kind = DEVICE_URI_IP, .port = allowed.port};
	return 0;
}

static int teardown(void **state)
{
	fault_iiod_stop(&allowed);
	fault_iiod_stop(&other);
	return 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both),
		cmocka_unit_test(worker_alone),
		cmocka_unit_test(ports),
	};

	return cmocka_run_group_tests_name("broker-confine", tests, setup, teardown);
}
