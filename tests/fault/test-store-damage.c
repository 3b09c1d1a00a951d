/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A database whose files are damaged on the disk: flipped bits, lost blocks, noise and cuts at thousands of
 * places of the database, its WAL and its copy. It is intact, or the copy is used, or turns are missing, and
 * then it says so and how many; it is never silently another one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "core/artifact.h"
#include "core/file.h"
#include "core/store.h"

#ifdef __SANITIZE_ADDRESS__
#define EFFORT 8
#else
#define EFFORT 1
#endif

#define TURNS 60
#define COPY_AT 30
#define CHECKPOINT_AT 40
#define BYTES_MAX (4u << 20)

static char folder[64], path[PATH_MAX];

/* The files as a supervisor leaves them that was killed: what each case starts from. */
static const char *const suffixes[] = {"", "-wal", ".turn", ".copy"};
enum part { DATABASE, WAL, MARK, COPY, PARTS };
static struct {
	uint8_t *data;
	size_t len;
} parts[PARTS];
static struct digest contents[TURNS + 1]; /* of the tables after each turn */
static bool with_copy;

static uint64_t rnd(uint64_t *state)
{
	uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

static void name_of(enum part part, char ret_name[PATH_MAX])
{
	assert_int_equal(path_format(ret_name, PATH_MAX, "%s%s", path, suffixes[part]), 0);
}

/* All rows of all tables. */
static struct digest content(struct store *s)
{
	static char text[BYTES_MAX];
	static const char *const sql[] = {"SELECT k, v FROM t ORDER BY k", "SELECT k, v FROM u ORDER BY v",
		"SELECT turn, at_ns FROM store_mark"};
	struct digest d;
	size_t len = 0;

	for (size_t i = 0; i < ARRAY_LEN(sql); i++) {
		sqlite3_stmt *q = store_query(s, sql[i], "");
		int rc = SQLITE_ERROR;

		assert_non_null(q);
		while ((rc = sqlite3_step(q)) == SQLITE_ROW) {
			len += (size_t)snprintf(text + len, sizeof(text) - len, "%lld|%s\n",
				(long long)sqlite3_column_int64(q, 0),
				(const char *)sqlite3_column_text(q, 1));
			assert_true(len < sizeof(text));
		}
		assert_int_equal(rc, SQLITE_DONE);
		sqlite3_reset(q);
	}
	digest_data(text, len, &d);
	return d;
}

static void a_turn(struct store *s, int64_t turn, uint64_t *seed)
{
	char v[12001];

	clock_set_fake((struct mono_time){turn * NS_PER_S}, (struct utc_time){turn * NS_PER_S});
	assert_int_equal(store_change(s), 0);
	/* Then only values of one length, in place: pages of different turns make a sound tree together. */
	if (turn > COPY_AT)
		assert_int_equal(store_exec(s, "UPDATE t SET v = substr(?1 || v, 5) WHERE k % 5 = ?2 % 5",
					 "ti", "turn", turn),
			0);
	for (int i = 0; i < 3 && turn <= COPY_AT; i++) {
		/* Some rows are longer than a page. */
		size_t len = rnd(seed) % (i == 0 ? sizeof(v) : 200);
		for (size_t k = 0; k < len; k++)
			v[k] = (char)('a' + rnd(seed) % 26);
		v[len] = '\0';
		int64_t key = (int64_t)(rnd(seed) % 90);
		assert_int_equal(
			store_exec(s, "INSERT OR REPLACE INTO t(k, v) VALUES(?, ?)", "it", key, v), 0);
		assert_int_equal(
			store_exec(s, "INSERT OR REPLACE INTO u(k, v) VALUES(?, ?)", "it", key, v), 0);
		assert_int_equal(
			store_exec(s, "DELETE FROM t WHERE k = ?", "i", (int64_t)(rnd(seed) % 90)), 0);
	}
	assert_int_equal(store_turn_end(s), 0);
}

static bool checkpoint_last;

static int make_template(void **state)
{
	static const char *const steps[] = {
		"CREATE TABLE t(k INTEGER PRIMARY KEY, v TEXT);"
		"CREATE TABLE u(k INTEGER PRIMARY KEY, v TEXT); CREATE INDEX u_v ON u(v)"};
	char why[256] = "";
	struct store *s = NULL;
	uint64_t seed = 5;

	strcpy(folder,
		access("/dev/shm", W_OK) == 0 ? "/dev/shm/perigee-test-XXXXXX" : "/tmp/perigee-test-XXXXXX");
	if (!mkdtemp(folder) || path_format(path, sizeof(path), "%s/perigee.db", folder) < 0)
		return -1;
	clock_set_fake((struct mono_time){0}, (struct utc_time){0});
	assert_int_equal(store_open(path, &s, why, sizeof(why)), 0);
	assert_int_equal(store_report(s)->start, STORE_NEW);
	assert_int_equal(store_schema(s, "test", steps, 1), 0);
	assert_int_equal(store_report(s)->turn, 0);
	sqlite3_wal_autocheckpoint(store_db(s), 0);
	contents[0] = content(s);
	for (int64_t turn = 1; turn <= TURNS; turn++) {
		struct store_copy copy;

		a_turn(s, turn, &seed);
		contents[turn] = content(s);
		if (turn == CHECKPOINT_AT || (turn == TURNS && checkpoint_last))
			assert_int_equal(sqlite3_wal_checkpoint_v2(store_db(s), NULL,
						 turn == TURNS ? SQLITE_CHECKPOINT_PASSIVE
							       : SQLITE_CHECKPOINT_TRUNCATE,
						 NULL, NULL),
				SQLITE_OK);
		if (turn == COPY_AT) {
			assert_int_equal(store_copy_make(path, NULL, &copy, why, sizeof(why)), 0);
			assert_int_equal(copy.turn, COPY_AT);
			assert_true(copy.bytes > 4096);
		}
	}
	for (int i = 0; i < PARTS; i++) {
		char name[PATH_MAX];
		name_of((enum part)i, name);
		assert_int_equal(file_read(name, BYTES_MAX, (char **)&parts[i].data, &parts[i].len), 0);
		assert_true(parts[i].len > 0);
	}
	store_close(s);
	return 0;
	(void)state;
}

static int drop_template(void **state)
{
	for (int i = 0; i < PARTS; i++)
		free(parts[i].data);
	clock_real();
	return dir_remove(folder);
	(void)state;
}

/* Lays the files out anew. */
static void lay_out(void)
{
	assert_int_equal(dir_remove(folder), 0);
	assert_int_equal(dir_make(folder, 0700), 0);
	for (int i = 0; i < PARTS; i++) {
		char name[PATH_MAX];

		if (i == COPY && !with_copy)
			continue;
		name_of((enum part)i, name);
		CLEAN_FD int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
		assert_true(fd >= 0);
		assert_int_equal(write_all(fd, parts[i].data, parts[i].len), 0);
	}
}

enum damage { FLIP, ZEROS, NOISE, CUT, LONGER, GONE, DAMAGES };
static const char *const damage_names[] = {
	"a flipped bit", "a block of zeros", "a block of noise", "cut", "longer", "gone"};

static void damage(enum part part, enum damage how, size_t at, uint64_t *seed)
{
	char name[PATH_MAX];
	uint8_t block[4096] = {0};
	size_t len = at + sizeof(block) <= parts[part].len ? sizeof(block) : parts[part].len - at;

	name_of(part, name);
	if (how == GONE) {
		assert_int_equal(unlink(name), 0);
		return;
	}
	if (how == CUT) {
		assert_int_equal(truncate(name, (off_t)at), 0);
		return;
	}
	CLEAN_FD int fd = open(name, O_WRONLY);
	assert_true(fd >= 0);
	if (how == FLIP) {
		block[0] = parts[part].data[at] ^ (uint8_t)(1u << rnd(seed) % 8);
		len = 1;
	}
	for (size_t i = 0; (how == NOISE || how == LONGER) && i < len; i++)
		block[i] = (uint8_t)rnd(seed);
	assert_int_equal(pwrite(fd, block, len, (off_t)(how == LONGER ? parts[part].len : at)), (ssize_t)len);
}

/* Nothing of it is left. */
static void ruin(void)
{
	char name[PATH_MAX];

	name_of(DATABASE, name);
	CLEAN_FD int fd = open(name, O_WRONLY);
	assert_true(fd >= 0);
	for (size_t at = 0; at < parts[DATABASE].len; at += 16)
		assert_int_equal(pwrite(fd, "sixteen bytes of", 16, (off_t)at), 16);
	name_of(WAL, name);
	assert_true(unlink(name) == 0 || errno == ENOENT);
}

static size_t outcomes[STORE_START_MAX + 1]; /* the last: refused */

static int entries_with(const char *text)
{
	DIR *dir = opendir(folder);
	int n = 0;

	assert_non_null(dir);
	for (struct dirent *e; (e = readdir(dir));)
		n += strstr(e->d_name, text) != NULL;
	closedir(dir);
	return n;
}

static void check(const char *what)
{
	char why[512] = "", text[512];
	struct store *s = NULL;

	if (store_open(path, &s, why, sizeof(why)) < 0) {
		/* Only with nothing to fall back on. */
		if (with_copy)
			fail_msg("%s: refused: %s", what, why);
		if (!strstr(why, path))
			fail_msg("%s: refused without saying what: %s", what, why);
		outcomes[STORE_START_MAX]++;
		return;
	}
	const struct store_report *r = store_report(s);
	struct digest now = content(s);
	store_report_text(r, text, sizeof(text));
	outcomes[r->start]++;
	bool right = r->turn <= TURNS && !memcmp(&now, &contents[r->turn], sizeof(now));
	switch (r->start) {
	case STORE_INTACT:
		right = right && r->turn == TURNS && !*r->damage;
		break;
	case STORE_COPY_USED:
		right = right && r->turn == COPY_AT && *r->damage && strstr(text, r->damage) &&
			(!r->lost_known || (r->lost_turns == TURNS - COPY_AT &&
						   r->lost_ns == (TURNS - COPY_AT) * NS_PER_S)) &&
			entries_with(".copy") == 0;
		break;
	case STORE_TURNS_LOST:
		right = right && r->lost_known && r->lost_turns == TURNS - r->turn && r->turn < TURNS &&
			*r->damage;
		break;
	default:
		right = false;
	}
	if (!right)
		fail_msg("%s: it is not what it says: %s", what, text);
	store_close(s);
}

static void everywhere(enum part part, size_t n_flips)
{
	uint64_t seed = 11 + part;
	char what[128];

	for (size_t i = 0; i < n_flips / EFFORT; i++) {
		/* The headers bit by bit, the rest by chance. */
		enum damage how = i % 10 < 6 ? FLIP : (enum damage)(ZEROS + i % 10 - 6);
		size_t at = i < 200 && i % 10 < 6 ? i / 2 : rnd(&seed) % parts[part].len;

		if (how == ZEROS || how == NOISE)
			at = at / 512 * 512;
		if (i < 30 && how == CUT)
			at = i / 10 * 4096;
		lay_out();
		damage(part, how, at, &seed);
		snprintf(what, sizeof(what), "%s at %zu of %zu of perigee.db%s (%s copy)", damage_names[how],
			at, parts[part].len, suffixes[part], with_copy ? "with a" : "without");
		check(what);
	}
}

static void nothing_is_wrong(void **state)
{
	memset(outcomes, 0, sizeof(outcomes));
	with_copy = true;
	lay_out();
	check("nothing");
	assert_int_equal(outcomes[STORE_INTACT], 1);
	(void)state;
}

static void the_database_with_a_copy(void **state)
{
	memset(outcomes, 0, sizeof(outcomes));
	with_copy = true;
	everywhere(DATABASE, 1200);
	assert_true(outcomes[STORE_COPY_USED] > (checkpoint_last ? 40 : 200) / EFFORT);
	assert_true(outcomes[STORE_INTACT] > 0); /* pages of which the WAL has newer ones */
	(void)state;
}

static void the_database_without(void **state)
{
	memset(outcomes, 0, sizeof(outcomes));
	with_copy = false;
	everywhere(DATABASE, 600);
	assert_true(outcomes[STORE_START_MAX] > 100 / EFFORT);
	(void)state;
}

static void the_wal(void **state)
{
	memset(outcomes, 0, sizeof(outcomes));
	for (int i = 0; i < 2; i++) {
		with_copy = i;
		everywhere(WAL, 600);
	}
	if (checkpoint_last)
		assert_true(outcomes[STORE_COPY_USED] > (checkpoint_last ? 40 : 200) / EFFORT);
	else
		assert_true(outcomes[STORE_TURNS_LOST] > 100 / EFFORT);
	(void)state;
}

static void what_is_gone(void **state)
{
	for (int i = 0; i < 2; i++) {
		with_copy = i;
		lay_out();
		damage(WAL, GONE, 0, NULL);
		check("the WAL gone");
	}
	with_copy = true;
	lay_out();
	damage(DATABASE, GONE, 0, NULL);
	check("the database gone");
	lay_out();
	damage(DATABASE, CUT, 0, NULL);
	damage(WAL, GONE, 0, NULL);
	check("the database empty");

	/* All that is left is the note that there was one. */
	char why[512], text[512];
	struct store *s = NULL;
	with_copy = false;
	lay_out();
	damage(DATABASE, GONE, 0, NULL);
	assert_int_equal(store_open(path, &s, why, sizeof(why)), ERR_STORE); /* its WAL is worth something */
	damage(WAL, GONE, 0, NULL);
	assert_int_equal(store_open(path, &s, why, sizeof(why)), 0);
	assert_int_equal(store_report(s)->start, STORE_NEW);
	assert_int_equal(store_report(s)->lost_turns, TURNS);
	store_report_text(store_report(s), text, sizeof(text));
	assert_non_null(strstr(text, "gone"));
	store_close(s);
	(void)state;
}

static void the_files_beside_it(void **state)
{
	uint64_t seed = 3;
	char why[512];
	struct store *s = NULL;

	/* A wrong mark is as none: nothing is lost by it. */
	with_copy = true;
	for (size_t at = 0; at < parts[MARK].len; at++) {
		lay_out();
		damage(MARK, FLIP, at, &seed);
		check("the mark");
	}
	/* A damaged copy is not used. */
	for (size_t i = 0; i < 100 / EFFORT; i++) {
		lay_out();
		damage(COPY, i % 2 ? NOISE : FLIP, rnd(&seed) % parts[COPY].len, &seed);
		if (i < 4) {
			check("the copy of a sound one"); /* it does not matter */
			continue;
		}
		ruin();
		int r = store_open(path, &s, why, sizeof(why));
		if (r == 0) { /* the damage was where nothing is */
			struct digest now = content(s);
			assert_memory_equal(&now, &contents[COPY_AT], sizeof(now));
			store_close(s);
		} else {
			assert_int_equal(r, ERR_STORE);
			assert_non_null(strstr(why, "its copy"));
		}
	}
	(void)state;
}

static void few_damaged_ones_are_kept(void **state)
{
	struct store *s = NULL;
	char why[512];

	with_copy = true;
	lay_out();
	for (int64_t i = 0; i < 5; i++) {
		struct store_copy copy;

		clock_set_fake((struct mono_time){0}, (struct utc_time){(1000 + i) * NS_PER_S});
		ruin();
		assert_int_equal(store_open(path, &s, why, sizeof(why)), 0);
		assert_int_equal(store_report(s)->start, STORE_COPY_USED);
		char kept[PATH_MAX];
		assert_int_equal(path_format(kept, sizeof(kept), "%s/%s", folder, store_report(s)->kept), 0);
		assert_int_equal(access(kept, F_OK), 0);
		assert_int_equal(store_copy_make(path, NULL, &copy, why, sizeof(why)), 0);
		store_close(s);
		assert_true(entries_with(".damaged-") <= 2);
	}
	assert_int_equal(entries_with(".damaged-"), 2);
	(void)state;
}

/* Another program moves the WAL into the database, and knows of no sums. */
static void another_program_wrote(void **state)
{
	sqlite3 *db = NULL;
	struct store *s = NULL;
	struct store_copy copy;
	char why[512];

	with_copy = true;
	lay_out();
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "SELECT count(*) FROM t", NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
	assert_int_equal(entries_with("-wal"), 0);
	check("after another program");
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "UPDATE t SET v = 'by hand'; VACUUM", NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
	assert_int_equal(store_open(path, &s, why, sizeof(why)), 0);
	assert_int_equal(store_report(s)->start, STORE_INTACT);
	assert_int_equal(store_copy_make(path, NULL, &copy, why, sizeof(why)), 0);
	store_close(s);
	(void)state;
}

/* Damage that comes while the supervisor works: the copy in the making finds it, and the one before stays. */
static void the_copy_finds_damage(void **state)
{
	uint64_t seed = 9;
	struct store *s = NULL;
	struct store_copy copy;
	atomic_bool stop = true;
	char why[512];
	size_t found = 0;

	with_copy = true;
	lay_out();
	assert_int_equal(store_open(path, &s, why, sizeof(why)), 0);
	assert_int_equal(store_copy_make(path, &stop, &copy, why, sizeof(why)), -ECANCELED);
	assert_int_equal(entries_with(".copy"), 1);
	store_close(s);
	for (size_t i = 0; i < 40; i++) {
		lay_out();
		assert_int_equal(store_open(path, &s, why, sizeof(why)), 0);
		assert_int_equal(
			sqlite3_wal_checkpoint_v2(store_db(s), NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL),
			SQLITE_OK);
		damage(DATABASE, FLIP, 4096 + rnd(&seed) % (parts[DATABASE].len - 4096), &seed);
		int r = store_copy_make(path, NULL, &copy, why, sizeof(why));
		if (r < 0) {
			assert_int_equal(r, ERR_STORE);
			assert_true(copy.damaged);
			found++;
		}
		sqlite3_db_config(store_db(s), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
		store_close(s);
		s = NULL;
		if (r < 0) {
			char name[PATH_MAX], *data = NULL;
			size_t len = 0;

			name_of(COPY, name);
			assert_int_equal(file_read(name, BYTES_MAX, &data, &len), 0);
			assert_int_equal(len, parts[COPY].len);
			assert_memory_equal(data, parts[COPY].data, len);
			free(data);
		}
	}
	assert_true(found > 30);
	(void)state;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_wrong),
		cmocka_unit_test(the_database_with_a_copy),
		cmocka_unit_test(the_database_without),
		cmocka_unit_test(the_wal),
		cmocka_unit_test(what_is_gone),
		cmocka_unit_test(the_files_beside_it),
		cmocka_unit_test(few_damaged_ones_are_kept),
		cmocka_unit_test(another_program_wrote),
		cmocka_unit_test(the_copy_finds_damage),
	};
	/* Killed between checkpoints, and right after one, when the WAL says again what the database has
	 * already. */
	checkpoint_last = false;
	int failed = cmocka_run_group_tests_name("between checkpoints", tests, make_template, drop_template);
	checkpoint_last = true;
	return failed +
	       cmocka_run_group_tests_name("after a checkpoint", tests, make_template, drop_template);
}
