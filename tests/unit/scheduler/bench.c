/* SPDX-License-Identifier: Apache-2.0 */
#include "bench.h"

struct store *store;
struct scheduler *sched;
struct scheduler_budget budget;
static char dir[64];
char db_path[96];

struct task started[HEARD_MAX];
struct heard_end ended[HEARD_MAX];
struct heard_again again[HEARD_MAX];
int64_t stopped[HEARD_MAX];
struct heard_freeze frozen[HEARD_MAX], told_frozen[HEARD_MAX];
size_t n_started, n_ended, n_again, n_stopped, n_frozen, n_told_frozen;
int start_result, freeze_result;
bool can_freeze;
uint64_t commits_at_start;

static int on_start(void *user, const struct task *t)
{
	/* Commit, then act: the row is on disk before the runner hears of it. (What follows from an effect
	 * that fails is the next commit's.) */
	assert_true(!store_changing(store) || freeze_result < 0);
	commits_at_start = store_commits(store);
	assert_true(n_started < HEARD_MAX);
	started[n_started++] = *t;
	return start_result;
}

static int on_stop(void *user, int64_t task)
{
	assert_false(store_changing(store));
	assert_true(n_stopped < HEARD_MAX);
	stopped[n_stopped++] = task;
	return 0;
}

static int on_freeze(void *user, int64_t task, bool freeze)
{
	assert_false(store_changing(store));
	assert_true(n_frozen < HEARD_MAX);
	frozen[n_frozen++] = (struct heard_freeze){task, freeze};
	return freeze_result;
}

static bool on_can_freeze(void *user)
{
	return can_freeze;
}

static void on_frozen(void *user, const struct task *t, bool freeze, const char *reason)
{
	assert_true(store_changing(store));
	assert_true(n_told_frozen < HEARD_MAX);
	assert_int_equal(reason != NULL, freeze);
	told_frozen[n_told_frozen++] = (struct heard_freeze){t->id, freeze};
}

static void on_started(void *user, const struct task *t, struct utc_time now)
{
	assert_true(store_changing(store));
}

static void on_again(void *user, const struct task *t, struct utc_time not_before, const char *reason)
{
	assert_true(store_changing(store));
	assert_true(n_again < HEARD_MAX);
	again[n_again] = (struct heard_again){.id = t->id, .not_before = not_before};
	snprintf(again[n_again++].reason, TASK_REASON_BYTES, "%s", reason);
}

static void on_ended(void *user, const struct task *t, enum task_state state, const struct task_end *end)
{
	assert_true(store_changing(store));
	assert_true(n_ended < HEARD_MAX);
	ended[n_ended++] = (struct heard_end){.id = t->id, .state = state, .end = *end};
}

void open_all(void)
{
	char why[128];

	assert_int_equal(store_open(db_path, &store, why, sizeof(why)), 0);
	assert_int_equal(scheduler_create(store, &budget, &sched), 0);
	scheduler_seed(sched, 1);
	scheduler_plug(sched,
		&(struct task_runner){
			.start = on_start, .stop = on_stop, .freeze = on_freeze, .can_freeze = on_can_freeze},
		&(struct task_owner){.on_started = on_started,
			.on_again = on_again,
			.on_frozen = on_frozen,
			.on_ended = on_ended});
	assert_int_equal(store_turn_end(store), 0);
}

void close_all(void)
{
	scheduler_destroy(sched);
	store_close(store);
}

void reopen_all(void)
{
	close_all();
	open_all();
}

void empty_database(void)
{
	static const char *const files[] = {"", "-wal", "-shm"};
	char name[128];

	close_all();
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		snprintf(name, sizeof(name), "%s%s", db_path, files[i]);
		unlink(name);
	}
	open_all();
}

void turn(void)
{
	do {
		assert_int_equal(scheduler_dispatch(sched), 0);
		assert_int_equal(store_turn_end(store), 0);
	} while (scheduler_dirty(sched));
}

void at(int64_t s)
{
	clock_set_fake((struct mono_time){s * NS_PER_S}, (struct utc_time){(1000 + s) * NS_PER_S});
	scheduler_poke(sched);
}

int64_t put_spec(struct task_spec spec)
{
	int64_t id;

	if (!spec.stage)
		spec.stage = "s";
	if (!spec.payload)
		spec.payload = "p";
	assert_int_equal(scheduler_put(sched, &spec, &id), 0);
	return id;
}

int64_t put(uint8_t priority, int64_t age_s, uint32_t cpus_milli)
{
	return put_spec((struct task_spec){.run = 1,
		.item = -1,
		.priority = priority,
		.age_from.ns = age_s * NS_PER_S,
		.cpus_milli = cpus_milli,
		.memory_bytes = 1,
		.retry = {.limit = 2, .backoff_ns = NS_PER_S}});
}

static void finish(int64_t id, struct task_end end)
{
	snprintf(end.reason, sizeof(end.reason), "%s", end.succeeded ? "" : "because");
	end.cpu_ns = 5;
	assert_int_equal(scheduler_finish(sched, id, &end), 0);
}

void succeed(int64_t id)
{
	finish(id, (struct task_end){.succeeded = true});
}

void failed(int64_t id, enum task_class class)
{
	finish(id, (struct task_end){.class = class});
}

void broke(int64_t id)
{
	finish(id, (struct task_end){.class = CLASS_MACHINE, .broke = true});
}

void was_stopped(int64_t id)
{
	finish(id, (struct task_end){.class = CLASS_BROKEN});
}

int64_t number_of(const char *sql)
{
	sqlite3_stmt *q;

	assert_int_equal(sqlite3_prepare_v2(store_db(store), sql, -1, &q, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(q), SQLITE_ROW);
	int64_t n = sqlite3_column_int64(q, 0);
	sqlite3_finalize(q);
	return n;
}

int setup(void **state)
{
	/* Memory: what the disk does is not tested here. */
	strcpy(dir,
		access("/dev/shm", W_OK) == 0 ? "/dev/shm/perigee-test-XXXXXX" : "/tmp/perigee-test-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(db_path, sizeof(db_path), "%s/db", dir);
	budget = (struct scheduler_budget){.cpus_milli = 2000, .memory_bytes = 1000, .tasks = 2};
	n_started = n_ended = n_again = n_stopped = n_frozen = n_told_frozen = 0;
	start_result = freeze_result = 0;
	can_freeze = true;
	boot_id_set_fake("first");
	clock_set_fake((struct mono_time){0}, (struct utc_time){1000 * NS_PER_S});
	open_all();
	return 0;
}

int teardown(void **state)
{
	close_all();
	clock_real();
	boot_id_set_fake(NULL);
	return dir_remove(dir);
}
