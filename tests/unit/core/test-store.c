/* SPDX-License-Identifier: Apache-2.0 */
/* Commit, then act: in order, after the commit, never without it; and what is on disk after a process dies.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/wait.h>

#include "core/file.h"
#include "core/store.h"
#include "helpers.h"

static struct store *s;
static char path[PATH_MAX], reason[256];

static const char *const steps[] = {
	"CREATE TABLE t(k INTEGER PRIMARY KEY, v TEXT, b BLOB, d REAL)",
	"CREATE TABLE u(k INTEGER PRIMARY KEY REFERENCES t(k)); INSERT INTO t(k, v) VALUES(-1, 'by the "
	"schema')",
};

static int setup(void **state)
{
	if (setup_dir(state) < 0)
		return -1;
	if (path_format(path, sizeof(path), "%s/perigee.db", (char *)*state) < 0)
		return -1;
	int r = store_open(path, &s, reason, sizeof(reason));
	return r < 0 ? r : store_schema(s, "test", steps, 2);
}

static int teardown(void **state)
{
	store_close(s);
	s = NULL;
	return teardown_dir(state);
}

static void reopen(void)
{
	store_close(s);
	s = NULL;
	assert_int_equal(store_open(path, &s, reason, sizeof(reason)), 0);
}

static int put(int64_t k, const char *v)
{
	int r = store_change(s);

	return r < 0 ? r : store_exec(s, "INSERT INTO t(k, v) VALUES(?, ?)", "it", k, v);
}

static int64_t count(struct store *of)
{
	sqlite3_stmt *q = store_query(of, "SELECT count(*) FROM t WHERE k >= 0", "");

	assert_non_null(q);
	assert_int_equal(sqlite3_step(q), SQLITE_ROW);
	int64_t n = sqlite3_column_int64(q, 0);
	sqlite3_reset(q);
	return n;
}

/* What effects did, as text; d is a drop. */
static char done[4096];

static void act(void *arg)
{
	strcat(done, (char *)arg);
}

static void drop(void *arg)
{
	strcat(done, "d");
	strcat(done, (char *)arg);
}

static int clear_done(void **state)
{
	done[0] = '\0';
	return setup(state);
}

static char A[] = "A", B[] = "B", C[] = "C";

static void durable_settings(void **state)
{
	static const struct {
		const char *pragma, *value;
	} expected[] = {
		{"PRAGMA journal_mode", "wal"}, {"PRAGMA synchronous", "2"}, {"PRAGMA foreign_keys", "1"}};

	for (size_t i = 0; i < ARRAY_LEN(expected); i++) {
		sqlite3_stmt *q = store_query(s, expected[i].pragma, "");
		assert_int_equal(sqlite3_step(q), SQLITE_ROW);
		assert_string_equal(sqlite3_column_text(q, 0), expected[i].value);
		sqlite3_reset(q);
	}
}

static void values_of_every_type(void **state)
{
	assert_int_equal(store_change(s), 0);
	assert_int_equal(store_exec(s, "INSERT INTO t(k, v, b, d) VALUES(?, ?, ?, ?)", "itbd", INT64_MAX,
				 "text", "\0\1\2", 3, 0.5),
		0);
	assert_int_equal(store_exec(s, "INSERT INTO t(k, v) VALUES(?, ?)", "it", INT64_C(1), NULL), 0);
	assert_int_equal(store_turn_end(s), 0);
	sqlite3_stmt *q = store_query(s, "SELECT v, b, d FROM t WHERE k = ?", "i", INT64_MAX);
	assert_int_equal(sqlite3_step(q), SQLITE_ROW);
	assert_string_equal(sqlite3_column_text(q, 0), "text");
	assert_int_equal(sqlite3_column_bytes(q, 1), 3);
	assert_memory_equal(sqlite3_column_blob(q, 1), "\0\1\2", 3);
	assert_true(sqlite3_column_double(q, 2) == 0.5);
	q = store_query(s, "SELECT v, b, d FROM t WHERE k = ?", "i", INT64_C(1));
	assert_int_equal(sqlite3_step(q), SQLITE_ROW);
	assert_int_equal(sqlite3_column_type(q, 0), SQLITE_NULL);
	sqlite3_reset(q);
}

static void refusals(void **state)
{
	assert_int_equal(put(1, "a"), 0);
	assert_int_equal(put(1, "b"), -EEXIST);
	assert_int_equal(put(2, "c"), 0); /* the turn goes on */
	assert_null(store_query(s, "SELECT nothing FROM nowhere", ""));
	assert_int_equal(store_exec(s, "NOT SQL", ""), ERR_STORE);
	assert_int_equal(store_turn_end(s), 0);
	assert_int_equal(count(s), 2);
}

static void one_commit_a_turn(void **state)
{
	uint64_t before = store_commits(s);

	assert_false(store_changing(s));
	for (int64_t k = 0; k < 10; k++)
		assert_int_equal(put(k, "x"), 0);
	assert_true(store_changing(s));
	assert_int_equal(store_turn_end(s), 0);
	assert_false(store_changing(s));
	assert_int_equal(store_commits(s) - before, 1);
	assert_int_equal(store_turn_end(s), 0); /* nothing changed: no commit */
	assert_int_equal(store_commits(s) - before, 1);
}

static void effects_after_the_commit_in_order(void **state)
{
	assert_int_equal(store_effect(s, act, A, drop), 0);
	assert_int_equal(put(1, "x"), 0);
	assert_int_equal(store_effect(s, act, B, NULL), 0);
	assert_int_equal(store_effect(s, act, C, drop), 0);
	assert_string_equal(done, "");
	assert_int_equal(store_turn_end(s), 0);
	assert_string_equal(done, "ABC");
	assert_int_equal(store_turn_end(s), 0);
	assert_string_equal(done, "ABC"); /* once */
	assert_int_equal(store_effect(s, act, A, NULL), 0);
	assert_int_equal(store_turn_end(s), 0); /* also when nothing changed */
	assert_string_equal(done, "ABCA");
}

/* Another connection sees the change when the effect runs, and not before. */
static struct store *other;

static void act_and_look(void *arg)
{
	assert_int_equal(count(other), 1);
	assert_false(store_changing(s));
	act(arg);
}

static void an_effect_sees_the_commit(void **state)
{
	assert_int_equal(store_open_readonly(path, &other), 0);
	assert_int_equal(put(1, "x"), 0);
	assert_int_equal(store_effect(s, act_and_look, A, NULL), 0);
	assert_int_equal(count(other), 0);
	assert_int_equal(store_turn_end(s), 0);
	assert_string_equal(done, "A");
	/* The reader cannot write. */
	assert_int_equal(store_exec(other, "INSERT INTO t(k) VALUES(9)", ""), ERR_STORE);
	store_close(other);
}

/* Effects that change and add effects: each round is committed before the next acts. */
static int rounds;

static void chain(void *arg)
{
	uint64_t *commits = arg;

	act(B);
	assert_int_equal(store_commits(s), *commits);
	if (rounds++ == 3)
		return;
	assert_int_equal(put(100 + rounds, "x"), 0);
	++*commits;
	assert_int_equal(store_effect(s, chain, commits, NULL), 0);
}

static void effects_that_make_changes(void **state)
{
	uint64_t commits = store_commits(s) + 1;

	rounds = 0;
	assert_int_equal(put(1, "x"), 0);
	assert_int_equal(store_effect(s, chain, &commits, NULL), 0);
	assert_int_equal(store_effect(s, act, A, NULL), 0);
	assert_int_equal(store_turn_end(s), 0);
	assert_string_equal(done, "BABBB");
	assert_int_equal(count(s), 4);
	assert_int_equal(store_commits(s), commits);
}

static void many_effects(void **state)
{
	for (int i = 0; i < 1000; i++)
		assert_int_equal(store_effect(s, act, A, NULL), 0);
	assert_int_equal(store_turn_end(s), 0);
	assert_int_equal(strlen(done), 1000);
}

static void close_drops_what_was_not_committed(void **state)
{
	assert_int_equal(put(1, "x"), 0);
	assert_int_equal(store_effect(s, act, A, drop), 0);
	assert_int_equal(store_effect(s, act, B, NULL), 0);
	reopen();
	assert_string_equal(done, "dA");
	assert_int_equal(count(s), 0);
	store_close(NULL);
}

static int veto(void *arg)
{
	return 1;
}

static void a_failed_commit_acts_on_nothing(void **state)
{
	uint64_t before = store_commits(s);

	assert_int_equal(put(1, "x"), 0);
	assert_int_equal(store_effect(s, act, A, drop), 0);
	sqlite3_commit_hook(store_db(s), veto, NULL);
	assert_true(store_turn_end(s) < 0);
	assert_string_equal(done, "dA");
	assert_false(store_changing(s));
	assert_int_equal(store_commits(s), before);
	assert_int_equal(count(s), 0);
}

/* With a change, and with nothing but an effect; what comes after is another turn. */
static void a_turn_that_was_failed_commits_nothing(void **state)
{
	for (int i = 0; i < 2; i++) {
		uint64_t before = store_commits(s);

		done[0] = '\0';
		if (i == 0)
			assert_int_equal(put(1, "x"), 0);
		assert_int_equal(store_effect(s, act, A, drop), 0);
		store_fail(s);
		assert_int_equal(store_turn_end(s), ERR_STORE);
		assert_string_equal(done, "dA");
		assert_false(store_changing(s));
		assert_int_equal(store_commits(s), before);
		assert_int_equal(count(s), 0);
	}
	assert_int_equal(put(1, "x"), 0);
	assert_int_equal(store_turn_end(s), 0);
	assert_int_equal(count(s), 1);
}

static void a_statement_is_kept_and_comes_clean(void **state)
{
	static const char sql[] = "SELECT k FROM t WHERE k > ? ORDER BY k";

	for (int64_t k = 0; k < 3; k++)
		assert_int_equal(put(k, "x"), 0);
	sqlite3_stmt *q = store_query(s, sql, "i", INT64_C(0));
	assert_int_equal(sqlite3_step(q), SQLITE_ROW);
	assert_ptr_equal(store_stmt(s, sql), q); /* the same one, back at its start, unbound */
	assert_int_equal(sqlite3_step(q), SQLITE_DONE);
	/* A reader left open does not hold the commit up. */
	q = store_query(s, sql, "i", INT64_C(0));
	assert_int_equal(sqlite3_step(q), SQLITE_ROW);
	assert_int_equal(store_turn_end(s), 0);
}

static void schema_goes_on_where_it_was(void **state)
{
	static const char *const longer[] = {"SELECT * FROM must_not_run_again",
		"SELECT * FROM must_not_run_again",
		"ALTER TABLE t ADD COLUMN e INTEGER; CREATE INDEX t_by_v ON t(v)"};
	static const char *const broken[] = {"", "", "", "CREATE TABLE w(k); CREATE TABLE w(k)"};

	assert_int_equal(put(1, "kept"), 0);
	assert_int_equal(store_turn_end(s), 0);
	reopen();
	assert_int_equal(store_schema(s, "test", longer, 2), 0); /* nothing to do */
	assert_int_equal(store_schema(s, "test", longer, 3), 0);
	assert_int_equal(store_schema(s, "test", broken, 4), ERR_STORE); /* whole or not at all */
	assert_int_equal(store_exec(s, "CREATE TABLE w(k)", ""), 0);
	assert_int_equal(store_schema(s, "test", steps, 2), ERR_STORE); /* an older program refuses */
	assert_int_equal(store_schema(s, "another", (const char *const[]){"CREATE TABLE x(k)"}, 1), 0);
	assert_int_equal(count(s), 1);
	assert_int_equal(store_exec(s, "UPDATE t SET e = 5 WHERE k = 1", ""), 0);
}

static void what_is_no_database(void **state)
{
	struct store *none = NULL;
	char file[PATH_MAX];

	assert_int_equal(store_open_readonly("/nowhere/perigee.db", &none), -ENOENT);
	assert_int_equal(store_open("/nowhere/perigee.db", &none, reason, sizeof(reason)), ERR_STORE);
	assert_non_null(strstr(reason, "/nowhere/perigee.db: "));
	assert_int_equal(path_format(file, sizeof(file), "%s/garbage", (char *)*state), 0);
	static const char garbage[8192] = "this is no database at all";
	assert_int_equal(file_replace(file, garbage, sizeof(garbage), 0600), 0);
	assert_int_equal(store_open(file, &none, reason, sizeof(reason)), ERR_STORE);
	assert_non_null(strstr(reason, "not a database"));
	assert_null(none);
}

static void a_damaged_database_is_found(void **state)
{
	struct store *none = NULL;
	uint64_t seed = 7;
	char big[600];

	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	for (int64_t k = 0; k < 200; k++)
		assert_int_equal(put(k, big), 0);
	assert_int_equal(store_turn_end(s), 0);
	store_close(s); /* moves all of it into the one file */
	s = NULL;
	CLEAN_FD int fd = open(path, O_WRONLY);
	uint8_t noise[4096];
	for (size_t i = 0; i < sizeof(noise); i++)
		noise[i] = (uint8_t)rnd(&seed);
	assert_int_equal(pwrite(fd, noise, sizeof(noise), 5 * 4096), sizeof(noise));
	assert_int_equal(store_open(path, &none, reason, sizeof(reason)), ERR_STORE);
	assert_non_null(strstr(reason, path));
	assert_null(none);
}

/*
 * A child commits turns and says so after each (the effect); it is killed at some moment. What it said it had
 * committed must be there, whole turns only, and at most the one more that it had no time to speak of.
 */
static int say_fd;

static void say(void *arg)
{
	ensure(write(say_fd, arg, 1) == 1);
}

static void killed_at_any_moment(void **state)
{
	uint64_t seed = 8;

	store_close(s);
	s = NULL;
	int64_t before = 0;
	for (int round = 0; round < 12; round++) {
		int fds[2];
		assert_int_equal(pipe(fds), 0);
		pid_t pid = fork();
		if (pid == 0) {
			say_fd = fds[1];
			close(fds[0]);
			if (store_open(path, &s, reason, sizeof(reason)) < 0)
				_exit(1);
			for (int64_t k = before;; k += 3) {
				for (int64_t i = 0; i < 3; i++)
					if (put(k + i, "x") < 0)
						_exit(2);
				if (store_effect(s, say, A, NULL) < 0 || store_turn_end(s) < 0)
					_exit(3);
			}
		}
		close(fds[1]);
		/* Not after a time but after so many words: the moment within a turn is the scheduler's. */
		int64_t said = 0;
		char c;
		for (uint64_t n = 1 + rnd(&seed) % 20; n > 0 && read(fds[0], &c, 1) == 1; n--)
			said++;
		kill(pid, SIGKILL);
		int status;
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status));
		while (read(fds[0], &c, 1) == 1)
			said++;
		close(fds[0]);
		assert_true(said > 0);

		assert_int_equal(store_open(path, &s, reason, sizeof(reason)), 0);
		int64_t now = count(s);
		assert_int_equal(now % 3, 0);
		assert_in_range((now - before) / 3, said, said + 1);
		before = now;
		store_close(s);
		s = NULL;
	}
}

#define WITH_STORE(f) cmocka_unit_test_setup_teardown(f, clear_done, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_STORE(durable_settings),
		WITH_STORE(values_of_every_type),
		WITH_STORE(refusals),
		WITH_STORE(one_commit_a_turn),
		WITH_STORE(effects_after_the_commit_in_order),
		WITH_STORE(an_effect_sees_the_commit),
		WITH_STORE(effects_that_make_changes),
		WITH_STORE(many_effects),
		WITH_STORE(close_drops_what_was_not_committed),
		WITH_STORE(a_failed_commit_acts_on_nothing),
		WITH_STORE(a_turn_that_was_failed_commits_nothing),
		WITH_STORE(a_statement_is_kept_and_comes_clean),
		WITH_STORE(schema_goes_on_where_it_was),
		WITH_STORE(what_is_no_database),
		WITH_STORE(a_damaged_database_is_found),
		WITH_STORE(killed_at_any_moment),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
