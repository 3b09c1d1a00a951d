/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of the queue share: a queue on a database in memory, a runner and an owner that keep what
 * they hear, a fake clock. */
#ifndef QUEUE_BENCH_H
#define QUEUE_BENCH_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/boot.h"
#include <errno.h>

#include "core/file.h"
#include "scheduler.h"

#define HEARD_MAX 512
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

extern struct store *store;
extern struct scheduler *sched;
extern struct scheduler_budget budget; /* 2 CPUs, 1000 bytes, 2 tasks until changed; read by open_all */
extern char db_path[96];

/* What the runner and the owner heard, in order. */
struct heard_end {
	int64_t id;
	enum task_state state;
	struct task_end end;
};
struct heard_again {
	int64_t id;
	struct utc_time not_before;
	char reason[TASK_REASON_BYTES];
};
extern struct task started[HEARD_MAX];
extern struct heard_end ended[HEARD_MAX];
extern struct heard_again again[HEARD_MAX];
extern int64_t stopped[HEARD_MAX];
/* What the runner was told to freeze and thaw, and what the owner heard of it. */
struct heard_freeze {
	int64_t id;
	bool frozen;
};
extern struct heard_freeze frozen[HEARD_MAX], told_frozen[HEARD_MAX];
extern size_t n_started, n_ended, n_again, n_stopped, n_frozen, n_told_frozen;
extern int start_result, freeze_result; /* of the runner's start and freeze */
extern bool can_freeze;                 /* the runner's answer */
extern uint64_t commits_at_start;

int setup(void **state); /* UTC 1000 s, monotonic 0 */
int teardown(void **state);
void open_all(void);
void close_all(void);  /* what is not committed is lost, as in a crash */
void reopen_all(void); /* both, for another budget */
void empty_database(void);
void turn(void);
void at(int64_t s); /* the clock: so many seconds after the start */

int64_t put(uint8_t priority, int64_t age_s, uint32_t cpus_milli);
int64_t put_spec(struct task_spec spec); /* stage "s" and payload "p" unless said */
void succeed(int64_t id);
void failed(int64_t id, enum task_class class);
void broke(int64_t id);             /* its sandbox broke */
void was_stopped(int64_t id);       /* by the runner, as it was told */
int64_t number_of(const char *sql); /* the first column of the first row */

#endif
