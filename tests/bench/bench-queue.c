/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The mission queue beside beanstalkd, both durable: an answer comes when what it says is on the disk. The
 * queue's process commits once a loop turn, as perigeed does; beanstalkd syncs each write (-f0).
 *
 * A cycle is put, take by priority, finish. TMPDIR says on which disk.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/file.h"
#include "queue-bench.h"

#define SECONDS 3.0
#define ROUNDS 5
#define ROUND_SECONDS 1.5
#define MANY 1000000
#define FEW 1000

static char dir[256];

static char *in_dir(const char *name)
{
	char *path = NULL;

	return asprintf(&path, "%s/%s", dir, name) < 0 ? NULL : path;
}

static int figure(const char *name, double value, const char *unit, int decimals)
{
	if (value < 0)
		return -1;
	printf("figure %s %.*f %s\n", name, decimals, value, unit);
	fflush(stdout);
	return 0;
}

/* ---- beanstalkd ---- */

static int free_port(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(a);
	CLEAN_FD int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 ||
		getsockname(fd, (struct sockaddr *)&a, &len) < 0)
		return -errno;
	return ntohs(a.sin_port);
}

static int connect_to(int port)
{
	struct sockaddr_in a = {.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
		.sin_port = htons((uint16_t)port)};
	int on = 1;

	/* It needs a moment to listen. */
	for (int i = 0; i < 200; i++) {
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (fd < 0)
			return -errno;
		if (connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0) {
			setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
			return fd;
		}
		close(fd);
		usleep(10000);
	}
	return -ECONNREFUSED;
}

static int bench_beanstalkd(void)
{
	int port = free_port(), fds[CONNECTIONS], r = 0;
	CLEAN_FREE char *store = in_dir("beanstalkd");
	char port_text[16];
	pid_t pid;

	if (port < 0 || !store || mkdir(store, 0700) < 0)
		return -1;
	snprintf(port_text, sizeof(port_text), "%d", port);
	const char *const argv[] = {
		"beanstalkd", "-l", "127.0.0.1", "-p", port_text, "-b", store, "-f0", NULL};
	if (posix_spawnp(&pid, argv[0], NULL, NULL, (char *const *)argv, environ) != 0) {
		fprintf(stderr, "bench-queue: there is no beanstalkd here\n");
		return -1;
	}
	for (size_t i = 0; i < CONNECTIONS; i++)
		if ((fds[i] = connect_to(port)) < 0)
			r = -1;
	if (r == 0)
		r = figure("peer.beanstalkd_put_per_s", load_run(PEER_BEANSTALKD, fds, false, SECONDS), "1/s",
			0);
	if (r == 0)
		r = figure("peer.beanstalkd_cycle_per_s", load_run(PEER_BEANSTALKD, fds, true, SECONDS),
			"1/s", 0);
	kill(pid, SIGKILL);
	(void)waitpid(pid, NULL, 0);
	for (size_t i = 0; i < CONNECTIONS; i++)
		close(fds[i]);
	return r;
}

/* ---- the queue ---- */

static int bench_empty(void)
{
	CLEAN_FREE char *put_db = in_dir("put.db"), *cycle_db = in_dir("cycle.db");
	struct queue_server s;

	if (!put_db || !cycle_db || queue_server_start(&s, put_db, 0) < 0)
		return -1;
	int r = figure("queue.put_per_s", load_run(PEER_QUEUE, s.fds, false, SECONDS), "1/s", 0);
	queue_server_stop(&s);
	if (r < 0 || queue_server_start(&s, cycle_db, 0) < 0)
		return -1;
	r = figure("queue.cycle_per_s", load_run(PEER_QUEUE, s.fds, true, SECONDS), "1/s", 0);
	queue_server_stop(&s);
	return r;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* In turns, so that what else the machine does meets both. */
static int bench_many(void)
{
	CLEAN_FREE char *few_db = in_dir("few.db"), *many_db = in_dir("many.db");
	struct queue_server few, many;
	double ratio[ROUNDS];
	int r = 0;

	if (!few_db || !many_db || queue_server_start(&few, few_db, FEW) < 0)
		return -1;
	if (queue_server_start(&many, many_db, MANY) < 0)
		r = -1;
	if (r == 0)
		r = figure("queue.memory_1M", queue_server_memory_mib(&many), "MiB", 1);
	for (int i = 0; r == 0 && i < ROUNDS; i++) {
		double fast = load_run(PEER_QUEUE, few.fds, true, ROUND_SECONDS);
		double slow = load_run(PEER_QUEUE, many.fds, true, ROUND_SECONDS);
		if (fast <= 0 || slow <= 0)
			r = -1;
		ratio[i] = fast / slow;
	}
	if (r == 0) {
		qsort(ratio, ROUNDS, sizeof(ratio[0]), by_value);
		r = figure("queue.cycle_1M_over_1k", ratio[ROUNDS / 2], "x", 2);
	}
	if (r == 0)
		r = figure("queue.memory_1M_worked", queue_server_memory_mib(&many), "MiB", 1);
	queue_server_stop(&few);
	queue_server_stop(&many);
	return r;
}

/* With an argument, only this part: beanstalkd, empty, many. */
int main(int argc, char **argv)
{
	const char *only = argc > 1 ? argv[1] : NULL;
	const char *tmp = getenv("TMPDIR");

	signal(SIGPIPE, SIG_IGN);
	snprintf(dir, sizeof(dir), "%s/perigee-bench-queue-XXXXXX", tmp ? tmp : "/var/tmp");
	if (!mkdtemp(dir)) {
		perror(dir);
		return 1;
	}
	const struct {
		const char *name;
		int (*run)(void);
	} parts[] = {{"beanstalkd", bench_beanstalkd}, {"empty", bench_empty}, {"many", bench_many}};
	int r = 0;
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		if ((!only || !strcmp(only, parts[i].name)) && parts[i].run() < 0)
			r = -1;
	if (dir_remove(dir) < 0)
		fprintf(stderr, "bench-queue: %s is left over\n", dir);
	return r < 0;
}
