/* SPDX-License-Identifier: Apache-2.0 */
/* Parts of bench-queue: a process that keeps a mission queue and commits once a turn, and the load that is
 * put on it and on beanstalkd alike: 64 connections, each of which waits for an answer before it asks again.
 */
#ifndef QUEUE_BENCH_H
#define QUEUE_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define CONNECTIONS 64
#define BODY_BYTES 200
#define PRIORITIES 200 /* of the tasks, at random: 0 to 199, none of them critical */
#define WORKFLOWS 16   /* that they are of */

/* What goes over a connection to the queue: one packet each. */
struct queue_message {
	char what; /* put, take, finish; the answers are the same letters */
	uint8_t priority;
	int64_t task;
	char body[BODY_BYTES]; /* of a put */
};

struct queue_server {
	pid_t pid;
	int fds[CONNECTIONS]; /* the clients' ends */
};

/* A process with a queue in this new database, in which so many tasks wait already. Returns when it is ready.
 */
int queue_server_start(struct queue_server *s, const char *db, unsigned waiting);
void queue_server_stop(struct queue_server *s);
/* Of its resident memory, in MiB; negative when it cannot be read. */
double queue_server_memory_mib(const struct queue_server *s);

enum peer { PEER_QUEUE, PEER_BEANSTALKD };

/* Puts (cycle: puts, takes, finishes) over all connections for so long. How many a second; negative on
 * failure. */
double load_run(enum peer peer, const int fds[CONNECTIONS], bool cycle, double seconds);

#endif
