/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The mission queue and a crash at every point of every commit: power cuts of all kinds, from a recording of
 * all that goes to the disk; changes that the disk refuses; the process killed. What was acknowledged is
 * there, what was not is there whole or not at all, nothing runs twice, and the order is right.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "core/file.h"
#include "script.h"
#include "vfs.h"

#ifdef __SANITIZE_ADDRESS__
#define EFFORT 8 /* everything is so much slower */
#else
#define EFFORT 1
#endif

static char folder[64], path[PATH_MAX], cut_folder[PATH_MAX], cut_path[PATH_MAX];

/* The model after each acknowledged turn, and the point of the recording at which it was acknowledged. */
static struct {
	struct model model;
	size_t at;
} turns[SCRIPT_TURNS_MAX];
static size_t n_turns;

static void acknowledged(void *user, const struct model *m)
{
	assert_true(n_turns < SCRIPT_TURNS_MAX);
	turns[n_turns].model = *m;
	turns[n_turns++].at = vfs_changes();
	(void)user;
}

static int setup(void **state)
{
	/* On a file system of memory: what a sync means is decided by the recording. */
	strcpy(folder,
		access("/dev/shm", W_OK) == 0 ? "/dev/shm/perigee-test-XXXXXX" : "/tmp/perigee-test-XXXXXX");
	if (!mkdtemp(folder) || path_format(path, sizeof(path), "%s/live/perigee.db", folder) < 0 ||
		path_format(cut_folder, sizeof(cut_folder), "%s/cut", folder) < 0 ||
		path_format(cut_path, sizeof(cut_path), "%s/cut/perigee.db", folder) < 0)
		return -1;
	n_turns = 0;
	return 0;
	(void)state;
}

static int teardown(void **state)
{
	clock_real();
	return dir_remove(folder);
	(void)state;
}

static void fresh(void)
{
	char live[PATH_MAX];

	assert_int_equal(path_format(live, sizeof(live), "%s/live", folder), 0);
	assert_int_equal(dir_remove(live), 0);
	assert_int_equal(dir_make(live, 0700), 0);
	n_turns = 0;
}

/* So that scripts of some dozens of turns meet checkpoints. */
static void small_wal(struct script *s)
{
	assert_int_equal(sqlite3_wal_autocheckpoint(store_db(s->store), 24), SQLITE_OK);
}

/* Whether the database is as of the last acknowledged turn at point n, or of the one on its way. */
static void check_cut(const char *db, size_t n, const char *what)
{
	static const struct model nothing;
	const struct model *models[2];
	size_t n_models = 0, last = 0;

	while (last < n_turns && turns[last].at <= n)
		last++;
	models[n_models++] = last ? &turns[last - 1].model : &nothing;
	if (last < n_turns)
		models[n_models++] = &turns[last].model;
	if (script_check(db, models, n_models) < 0)
		fail_msg("%s at change %zu of %zu, after turn %zu of %zu", what, n, vfs_changes(), last,
			n_turns);
}

static void record(uint64_t seed, int n)
{
	struct script s = {.seed = seed, .on_turn = acknowledged};

	fresh();
	vfs_install();
	assert_int_equal(script_open(&s, path), 0);
	small_wal(&s);
	for (int i = 0; i < n; i++)
		assert_int_equal(script_turn(&s), 0);
	script_close(&s);
	vfs_remove();
}

static void power_cut_at_every_point(void **state)
{
	static const char *const what[] = {"nothing more", "all of it", "torn"};

	record(1, 40 / EFFORT);
	/* The script is worth something: it met checkpoints and the end of the WAL. */
	assert_true(vfs_changes() > 200 / EFFORT);
	assert_true(vfs_changes_of(CHANGE_SYNC) > n_turns);
	assert_true(vfs_changes_of(CHANGE_DELETE) > 0);
	for (size_t n = 0; n <= vfs_changes(); n++)
		for (int cut = 0; cut < CUT_MAX; cut++)
			for (uint64_t seed = 0; seed < (cut == CUT_TORN ? 2 : 1); seed++) {
				vfs_lay_out(cut_folder, n, (enum cut)cut, 1000 * n + seed);
				check_cut(cut_path, n, what[cut]);
			}
	(void)state;
}

static void power_cuts_of_random_scripts(void **state)
{
	for (uint64_t seed = 2; seed < 6; seed++) {
		record(seed, 120 / EFFORT);
		for (size_t k = 0; k < 60 / EFFORT; k++) {
			size_t n = (seed * 7919 + k * 104729) % (vfs_changes() + 1);
			vfs_lay_out(cut_folder, n, CUT_TORN, seed + k);
			check_cut(cut_path, n, "torn");
		}
	}
	(void)state;
}

static void refused_at_every_point(void **state)
{
	static const char *const what[] = {"an I/O error", "a full disk", "a torn write"};

	record(13, 16 / EFFORT);
	size_t all = vfs_changes(), stopped = 0, refused = 0;
	for (size_t n = 0; n < all; n++) {
		for (int how = 0; how < REFUSAL_MAX; how++) {
			struct script s = {.seed = 13, .on_turn = acknowledged};

			fresh();
			vfs_install();
			vfs_refuse(n, 1, (enum refusal)how);
			int r = script_open(&s, path);
			if (r == 0)
				small_wal(&s);
			for (int i = 0; r == 0 && i < 16 / EFFORT; i++)
				r = script_turn(&s);
			/* The process ends: nothing is tidied up but what the kernel does. */
			size_t at = vfs_changes();
			vfs_remove();
			if (r < 0) {
				stopped++;
				/* The turn that failed is there whole or not at all. */
				acknowledged(NULL, &s.model);
				turns[n_turns - 1].at = SIZE_MAX;
			}
			vfs_lay_out(cut_folder, at, CUT_ALL, 0);
			refused += vfs_refused();
			check_cut(cut_path, at, what[how]);
			vfs_lay_out(cut_folder, at, CUT_NOTHING_MORE, 0);
			check_cut(cut_path, at, what[how]);
			script_close(&s);
		}
	}
	assert_true(refused >= all);
	assert_true(stopped > all / 2);
	(void)state;
}

/* ---- the process killed ---- */

static int said_fd;

static void say(void *user, const struct model *m)
{
	/* A pipe takes so much at once or not at all; the reader counts. */
	if (write(said_fd, "t", 1) != 1)
		_exit(3);
	(void)user, (void)m;
}

/* The same script without the kill, for its models. */
static void foresee(uint64_t seed, int n)
{
	struct script s = {.seed = seed, .on_turn = acknowledged};

	fresh();
	assert_int_equal(script_open(&s, path), 0);
	for (int i = 0; i < n; i++)
		assert_int_equal(script_turn(&s), 0);
	script_close(&s);
}

static void killed_at_random_instants(void **state)
{
	const int n = 100;

	for (uint64_t round = 0; round < 16 / EFFORT; round++) {
		int fds[2], status;
		char c;

		foresee(100 + round, n);
		size_t foreseen = n_turns;
		fresh();
		n_turns = foreseen;
		assert_int_equal(pipe(fds), 0);
		pid_t pid = fork();
		if (pid == 0) {
			struct script s = {.seed = 100 + round, .on_turn = say};

			close(fds[0]);
			said_fd = fds[1];
			if (script_open(&s, path) < 0)
				_exit(1);
			small_wal(&s);
			for (int i = 0; i < n; i++)
				if (script_turn(&s) < 0)
					_exit(2);
			for (;;)
				pause();
		}
		close(fds[1]);
		/* After so many words; where in its next turn it then is, is the machine's choice. */
		size_t said = 0;
		for (size_t wait = 1 + (round * 37) % (foreseen - 1); wait > 0; wait--)
			said += read(fds[0], &c, 1) == 1;
		for (volatile uint64_t spin = (round * 7919) % 20000; spin > 0; spin--)
			;
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status));
		while (read(fds[0], &c, 1) == 1)
			said++;
		close(fds[0]);
		assert_true(said > 0 && said <= foreseen);
		for (size_t i = 0; i < foreseen; i++)
			turns[i].at = i < said ? 0 : SIZE_MAX;
		check_cut(path, 0, "killed");
	}
	(void)state;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(power_cut_at_every_point, setup, teardown),
		cmocka_unit_test_setup_teardown(power_cuts_of_random_scripts, setup, teardown),
		cmocka_unit_test_setup_teardown(refused_at_every_point, setup, teardown),
		cmocka_unit_test_setup_teardown(killed_at_random_instants, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
