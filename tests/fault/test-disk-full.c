/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk that is full, at any moment, on a file system of its own: the turn is held back and goes on, nothing
 * of it is acknowledged, and all of it is there when there is space again. Also a start finds room.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <sys/wait.h>

#include "core/file.h"
#include "script.h"

#define DISK "size=6m,mode=0700"

static char folder[64], path[PATH_MAX], ballast[PATH_MAX];
static struct model acknowledged;

static void on_turn(void *user, const struct model *m)
{
	acknowledged = *m;
	(void)user;
}

static uint64_t rnd(uint64_t *state)
{
	uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

static int setup(void **state)
{
	strcpy(folder, "/tmp/perigee-test-XXXXXX");
	if (!mkdtemp(folder) || mount("perigee-test", folder, "tmpfs", 0, DISK) < 0)
		return -1;
	memset(&acknowledged, 0, sizeof(acknowledged));
	(void)state;
	return path_format(path, sizeof(path), "%s/perigee.db", folder) |
	       path_format(ballast, sizeof(ballast), "%s/ballast", folder);
}

static int teardown(void **state)
{
	clock_real();
	(void)state;
	return umount2(folder, MNT_DETACH) < 0 || rmdir(folder) < 0 ? -1 : 0;
}

/* Something else takes the disk, but for so many bytes. */
static void fill(uint64_t leave)
{
	static const char block[4096];
	struct statvfs fs;
	CLEAN_FD int fd = open(ballast, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	while (statvfs(folder, &fs) == 0 && (uint64_t)fs.f_bavail * fs.f_frsize > leave)
		if (write(fd, block, sizeof(block)) <= 0)
			break;
}

static void free_space(void)
{
	assert_true(unlink(ballast) == 0 || errno == ENOENT);
}

static void held_back_and_all_there_later(void **state)
{
	struct script s = {.seed = 1, .on_turn = on_turn};
	int held = 0;

	assert_int_equal(script_open(&s, path), 0);
	for (int i = 0; i < 10; i++)
		assert_int_equal(script_turn(&s), 0);
	fill(0);
	uint64_t commits = store_commits(s.store);
	while (!store_held(s.store)) { /* what is reserved lasts a while */
		assert_in_range(script_turn(&s), 0, STORE_HELD);
		assert_true(s.turn < 150);
	}
	assert_true(store_commits(s.store) >= commits);
	commits = store_commits(s.store);
	/* The supervisor goes on: what ends, ends. */
	for (int i = 0; i < 20; i++)
		held += script_turn(&s) == STORE_HELD;
	assert_int_equal(held, 20);
	assert_int_equal(store_commits(s.store), commits);
	assert_memory_not_equal(&acknowledged, &s.model, sizeof(s.model));
	free_space();
	assert_int_equal(script_end_of_turn(&s), 0);
	assert_false(store_held(s.store));
	assert_true(store_commits(s.store) > commits);
	assert_memory_equal(&acknowledged, &s.model, sizeof(s.model));
	for (int i = 0; i < 10; i++)
		assert_int_equal(script_turn(&s), 0);
	script_close(&s);
	assert_int_equal(script_check(path, (const struct model *const[]){&acknowledged}, 1), 0);
	(void)state;
}

/* More or less space at any time; the process is never made to end. */
static void space_comes_and_goes(void **state)
{
	size_t held = 0, gone_on = 0;

	for (uint64_t seed = 20; seed < 26; seed++) {
		struct script s = {.seed = seed, .on_turn = on_turn};
		uint64_t luck = seed;
		bool was_held = false;

		assert_int_equal(script_open(&s, path), 0);
		sqlite3_wal_autocheckpoint(store_db(s.store), seed % 2 ? 100 : 1000);
		for (int i = 0; i < 150; i++) {
			if (rnd(&luck) % 16 == 0)
				free_space();
			else
				fill(rnd(&luck) % (64u << 10));
			int r = script_turn(&s);
			assert_in_range(r, 0, STORE_HELD);
			held += r == STORE_HELD;
			gone_on += was_held && r == 0;
			was_held = r == STORE_HELD;
		}
		free_space();
		assert_int_equal(script_end_of_turn(&s), 0);
		script_close(&s);
		assert_int_equal(script_check(path, (const struct model *const[]){&acknowledged}, 1), 0);
		assert_int_equal(unlink(path), 0);
		char mark[PATH_MAX];
		assert_int_equal(path_format(mark, sizeof(mark), "%s.turn", path), 0);
		assert_int_equal(unlink(mark), 0);
		memset(&acknowledged, 0, sizeof(acknowledged));
	}
	assert_true(held > 20);
	assert_true(gone_on > 3);
	(void)state;
}

/* Killed with a full disk, and started again on it. */
static void a_start_on_a_full_disk(void **state)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		struct script s = {.seed = 3};

		if (script_open(&s, path) < 0)
			_exit(1);
		for (int i = 0; i < 40; i++)
			if (script_turn(&s) != 0)
				_exit(2);
		fill(0);
		while (!store_held(s.store))
			if (script_turn(&s) < 0)
				_exit(3);
		kill(getpid(), SIGKILL);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	fill(0);

	struct store *store = NULL;
	char why[256] = "";
	for (int i = 0; i < 3; i++) {
		if (store_open(path, &store, why, sizeof(why)) < 0)
			fail_msg("start %d: %s", i, why);
		assert_int_equal(store_report(store)->start, STORE_INTACT);
		/* Its turns may be held back, but it lives. */
		assert_int_equal(store_change(store), 0);
		assert_int_equal(store_exec(store, "UPDATE task SET priority = priority + 0", ""), 0);
		assert_in_range(store_turn_end(store), 0, STORE_HELD);
		fill(0);
		store_close(store);
		fill(0);
	}
	free_space();
	assert_int_equal(store_open(path, &store, why, sizeof(why)), 0);
	store_close(store);
	(void)state;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(held_back_and_all_there_later, setup, teardown),
		cmocka_unit_test_setup_teardown(space_comes_and_goes, setup, teardown),
		cmocka_unit_test_setup_teardown(a_start_on_a_full_disk, setup, teardown),
	};

	/* A file system of our own, seen by nobody else. */
	if (unshare(CLONE_NEWNS | (geteuid() == 0 ? 0 : CLONE_NEWUSER)) < 0 ||
		mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
		fprintf(stderr, "no file system can be mounted here: %s\n", strerror(errno));
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
