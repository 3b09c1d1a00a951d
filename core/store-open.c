/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening the database: checked whole; where it is damaged, or behind what was acknowledged, its copy is used
 * if that is the better one; and what was lost, if anything, is told.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "core/file.h"
#include "core/log.h"
#include "store-private.h"

#define CHECK_NS_MAX (30 * NS_PER_S)
#define DAMAGED_KEPT 2 /* databases moved aside */

/* What is said about damage within this file; outside it is ERR_STORE. */
#define DAMAGED ERR_DIGEST

static bool is_damage(int rc)
{
	switch (rc) {
	case SQLITE_IOERR_DATA:
	case SQLITE_IOERR_READ:
	case SQLITE_IOERR_SHORT_READ:
	case SQLITE_IOERR_CORRUPTFS:
		return true;
	default:
		return (rc & 0xff) == SQLITE_CORRUPT || (rc & 0xff) == SQLITE_NOTADB;
	}
}

static int say(sqlite3 *db, int rc, char *ret_reason, size_t cap)
{
	if (rc == SQLITE_IOERR_DATA)
		snprintf(ret_reason, cap, "a page is not as it was written");
	else
		snprintf(ret_reason, cap, "%s", db ? sqlite3_errmsg(db) : sqlite3_errstr(rc));
	return is_damage(rc) ? DAMAGED : ERR_STORE;
}

/* ---- the checks ---- */

static int out_of_time(void *end)
{
	return clock_mono().ns > ((struct mono_time *)end)->ns;
}

int check_pages(sqlite3 *db, char *ret_reason, size_t cap)
{
	struct mono_time end = {clock_mono().ns + CHECK_NS_MAX};
	sqlite3_stmt *q = NULL;

	/* A start may not take for ever; what it leaves out, the next copy reads. */
	sqlite3_progress_handler(db, 1000000, out_of_time, &end);
	int r = 0, rc = sqlite3_prepare_v2(db, "PRAGMA quick_check(1)", -1, &q, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(q);
	if (rc == SQLITE_ROW && strcmp((const char *)sqlite3_column_text(q, 0), "ok")) {
		snprintf(ret_reason, cap, "%s", (const char *)sqlite3_column_text(q, 0));
		r = DAMAGED;
	} else if (rc != SQLITE_ROW && rc != SQLITE_INTERRUPT) {
		r = say(db, rc, ret_reason, cap);
	}
	sqlite3_finalize(q);
	sqlite3_progress_handler(db, 0, NULL, NULL);
	return r;
}

int mark_read(sqlite3 *db, struct store_mark *ret_mark)
{
	sqlite3_stmt *q = NULL;
	int r = ERR_STORE;

	if (sqlite3_prepare_v2(db, "SELECT id, turn, at_ns FROM store_mark", -1, &q, NULL) == SQLITE_OK &&
		sqlite3_step(q) == SQLITE_ROW) {
		*ret_mark = (struct store_mark){.id = sqlite3_column_int64(q, 0),
			.turn = (uint64_t)sqlite3_column_int64(q, 1),
			.at.ns = sqlite3_column_int64(q, 2)};
		r = 0;
	}
	sqlite3_finalize(q);
	return r;
}

/* The mark in the database file itself, whatever its WAL says. */
static int mark_alone(const char *path, struct store_mark *ret_mark)
{
	char uri[3 * PATH_MAX];
	sqlite3 *db = NULL;
	size_t n = 0;

	n += (size_t)snprintf(uri, sizeof(uri), "file:");
	for (; *path && n + 32 < sizeof(uri); path++)
		n += (size_t)snprintf(
			uri + n, sizeof(uri) - n, strchr("%?#", *path) ? "%%%02X" : "%c", *path);
	snprintf(uri + n, sizeof(uri) - n, "?immutable=1");
	int rc = sqlite3_open_v2(uri, &db,
		SQLITE_OPEN_READONLY | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE,
		SUM_VFS);
	int r = rc == SQLITE_OK ? mark_read(db, ret_mark) : ERR_STORE;
	sqlite3_close(db);
	return r;
}

/* Opens, checks and asks a database that is not to be changed. */
static int look_at(const char *path, bool check, struct store_mark *ret_mark, char *ret_reason, size_t cap)
{
	sqlite3 *db = NULL;
	int r, rc = sqlite3_open_v2(path, &db,
		       SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, SUM_VFS);

	if (rc != SQLITE_OK)
		r = say(db, rc, ret_reason, cap);
	else if (check && (r = check_pages(db, ret_reason, cap)) < 0)
		;
	else if ((r = mark_read(db, ret_mark)) < 0)
		snprintf(ret_reason, cap, "it is not one of these databases");
	sqlite3_close(db);
	return r;
}

/* ---- the database ---- */

static int open_db(
	const char *path, int flags, const char *vfs, struct store **ret_store, char *ret_reason, size_t cap)
{
	int r = sum_vfs();
	struct store *s = r == 0 ? calloc(1, sizeof(*s)) : NULL;

	if (r < 0)
		return r;
	if (!s)
		return -ENOMEM;
	s->mark_fd = s->wal_fd = -1;
	int rc = sqlite3_open_v2(path, &s->db, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, vfs);
	if (rc == SQLITE_OK) {
		*ret_store = s;
		return 0;
	}
	r = say(s->db, rc, ret_reason, cap);
	store_close(s);
	return r;
}

static int make_mark(struct store *s)
{
	if (mark_read(s->db, &s->mark) == 0)
		return 0;
	int64_t id = 0;
	if (getrandom(&id, sizeof(id), 0) != (ssize_t)sizeof(id))
		return -EIO;
	s->mark = (struct store_mark){.id = id ? id : 1, .at = clock_utc()};
	char sql[256];
	snprintf(sql, sizeof(sql),
		"BEGIN IMMEDIATE; CREATE TABLE store_mark(one INTEGER PRIMARY KEY CHECK(one = 1),"
		" id INTEGER NOT NULL, turn INTEGER NOT NULL, at_ns INTEGER NOT NULL);"
		"INSERT INTO store_mark VALUES(1, %lld, 0, %lld); COMMIT",
		(long long)s->mark.id, (long long)s->mark.at.ns);
	int rc = sqlite3_exec(s->db, sql, NULL, NULL, NULL);
	if (rc == SQLITE_OK)
		return 0;
	sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
	return is_damage(rc) ? DAMAGED : ERR_STORE;
}

static int open_writable(const char *path, struct store **ret_store, char *ret_reason, size_t cap)
{
	struct store *s = NULL;
	int r = open_db(path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, SUM_VFS, &s, ret_reason, cap);

	if (r < 0)
		return r;
	ensure(s); /* the optimizer does not see that say() is negative */
	sqlite3_busy_timeout(s->db, 5000);
	/* Until it is known to be sound nothing is moved from its WAL into it: both are evidence. */
	sqlite3_db_config(s->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	r = sum_reserve(s->db);
	char pragmas[320];
	snprintf(pragmas, sizeof(pragmas),
		"PRAGMA page_size=%d; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA "
		"foreign_keys=ON;"
		"PRAGMA cache_size=-%d; PRAGMA temp_store=MEMORY;"
		"PRAGMA journal_size_limit=4194304; PRAGMA trusted_schema=OFF; PRAGMA cache_spill=OFF",
		SUM_PAGE_BYTES, PAGE_CACHE_KIB);
	int rc = r == 0 ? sqlite3_exec(s->db, pragmas, NULL, NULL, NULL) : SQLITE_ERROR;
	if (rc != SQLITE_OK)
		r = say(s->db, rc, ret_reason, cap);
	log_watch(s);
	if (r == 0)
		r = check_pages(s->db, ret_reason, cap);
	if (r == 0 && (r = make_mark(s)) < 0)
		snprintf(ret_reason, cap, "%s", sqlite3_errmsg(s->db));
	if (r < 0) {
		store_close(s);
		return r;
	}
	sqlite3_db_config(s->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, NULL);
	*ret_store = s;
	return 0;
}

int store_open_readonly(const char *path, struct store **ret_store)
{
	struct stat st;
	char why[256];

	if (stat(path, &st) < 0)
		return -errno;
	/* Unchecked: it is there to look, also at what another program wrote. */
	int r = open_db(path, SQLITE_OPEN_READONLY, NULL, ret_store, why, sizeof(why));
	if (r == 0)
		sqlite3_busy_timeout((*ret_store)->db, 5000);
	return r == DAMAGED ? ERR_STORE : r;
}

/* ---- damage ---- */

static uint64_t bytes_of(const char *path, const char *suffix)
{
	char name[PATH_MAX];
	struct stat st;

	return path_format(name, sizeof(name), "%s%s", path, suffix) == 0 && stat(name, &st) == 0
		       ? (uint64_t)st.st_size
		       : 0;
}

/* Moves PATH+suffix to TO+suffix; a missing one is fine. */
static int move(const char *path, const char *to, const char *suffix)
{
	char a[PATH_MAX], b[PATH_MAX];
	int r = path_format(a, sizeof(a), "%s%s", path, suffix);

	if (r == 0)
		r = path_format(b, sizeof(b), "%s%s", to, suffix);
	if (r < 0)
		return r;
	return rename(a, b) < 0 && errno != ENOENT ? -errno : 0;
}

static int is_damaged_one(const struct dirent *e)
{
	const char *at = strstr(e->d_name, ".damaged-");
	size_t n = strlen(e->d_name);

	return at && !(n > 4 && !strcmp(e->d_name + n - 4, "-wal"));
}

/* Damaged databases are evidence, but not for ever. */
static void forget_old_damage(const char *folder, const char *base)
{
	struct dirent **found = NULL;
	int n = scandir(folder, &found, is_damaged_one, alphasort), seen = 0;

	for (int i = n - 1; i >= 0; i--) {
		const char *name = found[i]->d_name;
		char path[PATH_MAX], wal[PATH_MAX];

		if (!strncmp(name, base, strlen(base)) && !strncmp(name + strlen(base), ".damaged-", 9) &&
			++seen > DAMAGED_KEPT &&
			path_format(path, sizeof(path), "%s/%s", folder, name) == 0 &&
			path_format(wal, sizeof(wal), "%s-wal", path) == 0) {
			unlink(path);
			unlink(wal);
		}
		free(found[i]);
	}
	free(found);
}

/* The database and its WAL go aside, the copy takes their place. May be broken off at any point, and done
 * again. */
static int use_copy(const char *path, struct store_report *report)
{
	char aside[PATH_MAX], copy[PATH_MAX], folder[PATH_MAX], now[UTC_TEXT_BYTES];
	const char *slash = strrchr(path, '/');
	int r = slash ? path_format(folder, sizeof(folder), "%.*s", (int)(slash - path + 1), path)
		      : path_format(folder, sizeof(folder), ".");

	utc_format(clock_utc(), now);
	if (r == 0)
		r = path_format(aside, sizeof(aside), "%s.damaged-%s", path, now);
	if (r == 0)
		r = path_format(copy, sizeof(copy), "%s.copy", path);
	/* The WAL first: beside another database it would be played into that. */
	if (r == 0)
		r = move(path, aside, "-wal");
	if (r == 0)
		r = move(path, aside, "-shm");
	if (r == 0)
		r = move(path, aside, "");
	if (r == 0 && rename(copy, path) < 0)
		r = -errno;
	if (r == 0)
		r = dir_sync(folder);
	if (r < 0)
		return r;
	char shm[PATH_MAX];
	if (path_format(shm, sizeof(shm), "%s-shm", aside) == 0)
		unlink(shm);
	const char *base = slash ? slash + 1 : path;
	snprintf(report->kept, sizeof(report->kept), "%s.damaged-%s", base, now);
	forget_old_damage(folder, base);
	return 0;
}

/* What is known about the files before the database is opened. */
struct situation {
	struct store_note note;
	struct store_mark alone, copy; /* of the database without its WAL; of the copy */
	bool has_note, has_alone, has_copy, fresh;
	char copy_reason[256];
};

static void look_around(const char *path, int mark_fd, struct situation *ret)
{
	char copy[PATH_MAX];

	memset(ret, 0, sizeof(*ret));
	ret->has_note = mark_load(mark_fd, &ret->note);
	if (path_format(copy, sizeof(copy), "%s.copy", path) < 0 || access(copy, F_OK) < 0)
		snprintf(ret->copy_reason, sizeof(ret->copy_reason), "there is no copy");
	else /* its pages are checked when it is needed */
		ret->has_copy =
			look_at(copy, false, &ret->copy, ret->copy_reason, sizeof(ret->copy_reason)) == 0;
	ret->fresh = bytes_of(path, "") == 0;
	ret->has_alone = !ret->fresh && mark_alone(path, &ret->alone) == 0;
}

static void tell_loss(struct store_report *report, const struct store_mark *from, const struct store_mark *to)
{
	if (to->id != from->id || to->turn < from->turn)
		return;
	report->lost_known = true;
	report->lost_turns = to->turn - from->turn;
	report->lost_ns = to->at.ns - from->at.ns;
}

/* Opens from the copy what cannot be opened, or is behind, for the reason in report->damage. */
static int open_copy(const char *path, const struct situation *now, const struct store_mark *last,
	struct store **ret_store, struct store_report *report, char *ret_reason, size_t cap)
{
	char copy[PATH_MAX], why[256];
	struct store_mark mark;
	int r = path_format(copy, sizeof(copy), "%s.copy", path);

	if (r == 0 && !now->has_copy) {
		snprintf(why, sizeof(why), "%s", now->copy_reason);
		r = ERR_STORE;
	} else if (r == 0) {
		r = look_at(copy, true, &mark, why, sizeof(why));
	}
	if (r == 0 && (r = use_copy(path, report)) < 0)
		snprintf(why, sizeof(why), "it could not be put in place: %s", err_text(r));
	if (r == 0)
		r = open_writable(path, ret_store, why, sizeof(why));
	if (r < 0) {
		snprintf(ret_reason, cap, "%s: %s; its copy: %s", path, report->damage, why);
		return ERR_STORE;
	}
	report->start = STORE_COPY_USED;
	if (last)
		tell_loss(report, &(*ret_store)->mark, last);
	return 0;
}

static int open_best(const char *path, int mark_fd, struct store **ret_store, struct store_report *report,
	char *ret_reason, size_t cap)
{
	struct situation now;
	struct store *s = NULL;
	struct store_mark seen = {0};
	char why[200] = "";

	look_around(path, mark_fd, &now);
	const struct store_mark *last = now.has_note ? &now.note.mark : NULL;
	bool was_there = now.has_copy || now.has_note || bytes_of(path, "-wal") > 0;
	if (now.fresh && was_there) {
		snprintf(report->damage, sizeof(report->damage), "it is %s",
			access(path, F_OK) == 0 ? "empty" : "gone");
		if (now.has_copy || bytes_of(path, "-wal") > 0)
			return open_copy(path, &now, last, ret_store, report, ret_reason, cap);
	}
	int r = now.has_note && !mark_foreign(&now.note, path) ? 0 : sum_missing(path);
	if (r == 0)
		r = open_writable(path, &s, why, sizeof(why));
	if (r == DAMAGED) {
		snprintf(report->damage, sizeof(report->damage), "%s", why);
		char ignored[64];
		/* The file beside it may be older than what the damaged one still says. */
		if (look_at(path, false, &seen, ignored, sizeof(ignored)) == 0 &&
			(!last || (seen.id == last->id && seen.turn > last->turn)))
			last = &seen;
		return open_copy(path, &now, last, ret_store, report, ret_reason, cap);
	}
	if (r < 0) {
		snprintf(ret_reason, cap, "%s: %s", path, *why ? why : err_text(r));
		return r;
	}
	/* Sound, but is it all, and of one time? SQLite takes a damaged WAL as far as it is sound: older
	 * pages would then be laid over newer ones that had been moved into the database already. (The mark
	 * is in one of its first pages, which are moved first.) */
	if (now.has_alone && now.alone.id == s->mark.id && now.alone.turn > s->mark.turn)
		snprintf(report->damage, sizeof(report->damage),
			"its WAL is damaged and ends at turn %llu, before what is in the database already",
			(unsigned long long)s->mark.turn);
	else if (now.has_copy && now.copy.id == s->mark.id && now.copy.turn > s->mark.turn)
		snprintf(report->damage, sizeof(report->damage), "it ends at turn %llu, its copy at %llu",
			(unsigned long long)s->mark.turn, (unsigned long long)now.copy.turn);
	if (*report->damage && !now.fresh) {
		sqlite3_db_config(s->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
		store_close(s);
		return open_copy(path, &now, last, ret_store, report, ret_reason, cap);
	}
	report->start = now.fresh ? STORE_NEW : STORE_INTACT;
	if (now.fresh && last) {
		report->lost_known = true;
		report->lost_turns = last->turn;
	} else if (last && last->id == s->mark.id && last->turn > s->mark.turn) {
		report->start = STORE_TURNS_LOST;
		snprintf(report->damage, sizeof(report->damage), "the end of its WAL is damaged");
		tell_loss(report, &s->mark, last);
	}
	*ret_store = s;
	return 0;
}

int store_open(const char *path, struct store **ret_store, char *ret_reason, size_t cap)
{
	CLEAN_FD int mark_fd = -1;
	struct store_report report = {0};
	struct store *s = NULL;

	int r = sum_vfs();
	if (r == 0)
		r = mark_open(path, &mark_fd);
	if (r < 0) {
		snprintf(ret_reason, cap, "%s: %s", path, err_text(r));
		return ERR_STORE;
	}
	room_spare_use(path);
	r = open_best(path, mark_fd, &s, &report, ret_reason, cap);
	if (r < 0)
		return r;
	report.turn = s->mark.turn;
	report.at = s->mark.at;
	s->report = report;
	s->path = strdup(path);
	if (!s->path) {
		store_close(s);
		return -ENOMEM;
	}
	s->mark_fd = TAKE_FD(mark_fd);
	mark_save(s->mark_fd, &s->mark);
	room_spare_make(path);
	*ret_store = s;
	return 0;
}

const struct store_report *store_report(const struct store *s)
{
	return &s->report;
}

void store_report_text(const struct store_report *report, char *ret_text, size_t cap)
{
	char at[UTC_TEXT_BYTES], lost[128] = "what was lost is not known";

	utc_format(report->at, at);
	if (report->lost_known && report->lost_turns == 0)
		snprintf(lost, sizeof(lost), "nothing was lost");
	else if (report->lost_known)
		snprintf(lost, sizeof(lost), "%llu turns of %.3f s were lost",
			(unsigned long long)report->lost_turns, (double)report->lost_ns / (double)NS_PER_S);
	switch (report->start) {
	case STORE_COPY_USED:
		snprintf(ret_text, cap,
			"%s; its copy of turn %llu, %s, is used: %s; the damaged one is kept as %s",
			report->damage, (unsigned long long)report->turn, at, lost, report->kept);
		break;
	case STORE_TURNS_LOST:
		snprintf(ret_text, cap, "%s: it goes on from turn %llu, %s: %s", report->damage,
			(unsigned long long)report->turn, at, lost);
		break;
	case STORE_NEW:
		snprintf(ret_text, cap, "%s%s%s", report->damage,
			*report->damage ? ": a new one is made: " : "new", *report->damage ? lost : "");
		break;
	default:
		snprintf(ret_text, cap, "intact at turn %llu, %s", (unsigned long long)report->turn, at);
	}
}
