/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The disk: how much of it is left, and the second copy of the database. When less is left than the mission's
 * reserve nothing new starts, what runs ends, and the control socket answers as ever; all goes on when there
 * is space.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sysexits.h>

#include "core/file.h"
#include "core/log.h"
#include "perigeed.h"

#define LOOK_MS 2000
#define COPY_RETRY_NS (60 * NS_PER_S)

/* ---- how much is left ---- */

static uint64_t bytes_left(const struct perigeed *d)
{
	struct statvfs fs;

	/* Of what cannot be asked nothing is known to be missing. */
	if (statvfs(d->state, &fs) < 0)
		return UINT64_MAX;
	/* A disk without inodes has no room either; some file systems do not count them. */
	return fs.f_files > 0 && fs.f_favail == 0 ? 0 : (uint64_t)fs.f_bavail * fs.f_frsize;
}

static void raise_full(struct perigeed *d, bool full)
{
	struct storage *s = &d->storage;

	s->full = full;
	s->since = clock_utc();
	if (full) {
		snprintf(s->why, sizeof(s->why),
			"the disk is full: %.1f MiB are left, the reserve is %.1f MiB",
			(double)s->left_bytes / (1 << 20),
			(double)d->mission->storage.reserve_bytes / (1 << 20));
		log_error("%s; nothing new starts", s->why);
	} else {
		log_info("the disk has space again: %.1f MiB are left", (double)s->left_bytes / (1 << 20));
	}
	scheduler_pause(d->scheduler, full ? s->why : NULL);
	on_storage(d, full ? "full" : "space", full ? s->why : NULL);
}

static void look(struct perigeed *d)
{
	struct storage *s = &d->storage;
	uint64_t reserve = d->mission->storage.reserve_bytes;
	bool held = store_held(d->store) || !store_has_room(d->store);

	s->left_bytes = bytes_left(d);
	/* A quarter more than the reserve, so that it does not come and go with each file. */
	if (!s->full && (s->left_bytes < reserve || held))
		raise_full(d, true);
	else if (s->full && !held && s->left_bytes >= reserve + reserve / 4)
		raise_full(d, false);
	if (!s->full)
		store_spare(d->store);
}

void storage_held(struct perigeed *d)
{
	if (!d->storage.full)
		look(d);
}

/* ---- the second copy ---- */

static void copy_worker(uv_work_t *w)
{
	struct perigeed *d = w->data;
	struct storage *s = &d->storage;
	char path[PATH_MAX];

	s->reason[0] = '\0';
	s->result = path_format(path, sizeof(path), "%s/perigee.db", d->state);
	if (s->result == 0)
		s->result = store_copy_make(path, &s->stop, &s->made, s->reason, sizeof(s->reason));
}

static void on_copied(uv_work_t *w, int status)
{
	struct perigeed *d = w->data;
	struct storage *s = &d->storage;

	s->copying = false;
	if (s->result == 0 && status == 0) {
		s->copy = s->made;
		s->has_copy = true;
		s->copy_failed[0] = '\0';
		s->next_copy.ns = clock_mono().ns + d->mission->storage.copy_ns;
		return;
	}
	if (status < 0 || s->result == -ECANCELED)
		return;
	snprintf(s->copy_failed, sizeof(s->copy_failed), "%s", s->reason);
	s->next_copy.ns = clock_mono().ns + COPY_RETRY_NS;
	if (!s->made.damaged) {
		log_error("the second copy of the database could not be made: %s", s->reason);
		return;
	}
	/* The start looks again, and uses the copy that is there. */
	log_error("the database is damaged: %s; starting again", s->reason);
	stop(d, EX_SOFTWARE);
}

/* The copy must not be what fills the disk. */
static bool room_for_copy(const struct perigeed *d)
{
	char path[PATH_MAX];
	struct stat st;

	return path_format(path, sizeof(path), "%s/perigee.db", d->state) == 0 && stat(path, &st) == 0 &&
	       d->storage.left_bytes >= (uint64_t)st.st_size + d->mission->storage.reserve_bytes;
}

static void copy_if_due(struct perigeed *d)
{
	struct storage *s = &d->storage;

	if (s->copying || s->full || d->mission->storage.copy_ns == 0 || clock_mono().ns < s->next_copy.ns ||
		(s->has_copy && s->copy.turn == store_turn(d->store)) || !room_for_copy(d))
		return;
	s->work.data = d;
	s->copying = uv_queue_work(&d->loop, &s->work, copy_worker, on_copied) == 0;
}

/* ---- the WAL ---- */

static void log_worker(uv_work_t *w)
{
	struct perigeed *d = w->data;
	char path[PATH_MAX];
	int r = path_format(path, sizeof(path), "%s/perigee.db", d->state);

	if (r == 0)
		r = store_log_move(path);
	if (r < 0)
		log_warning("the database's log could not be moved: %s", err_text(r));
}

static void on_log_moved(uv_work_t *w, int status)
{
	struct perigeed *d = w->data;

	d->moving_log = false;
}

void storage_move_log(struct perigeed *d)
{
	if (d->status != 0 || d->moving_log || !store_log_due(d->store))
		return;
	d->log_work.data = d;
	d->moving_log = uv_queue_work(&d->loop, &d->log_work, log_worker, on_log_moved) == 0;
}

/* ---- the wiring ---- */

static void on_look(uv_timer_t *t)
{
	struct perigeed *d = t->data;

	if (d->status != 0)
		return;
	look(d);
	/* Also after a shortage that nobody saw here. */
	if (!d->storage.full)
		cameras_resume(d);
	copy_if_due(d);
}

int storage_start(struct perigeed *d)
{
	const struct store_report *report = store_report(d->store);

	if (report->start == STORE_COPY_USED || report->start == STORE_TURNS_LOST || *report->damage) {
		char text[640];
		store_report_text(report, text, sizeof(text));
		log_error("the database was damaged: %s", text);
	}
	d->storage.timer.data = d;
	int r = uv_timer_init(&d->loop, &d->storage.timer);
	if (r == 0)
		r = uv_timer_start(&d->storage.timer, on_look, LOOK_MS, LOOK_MS);
	if (r == 0)
		look(d);
	return r;
}

void storage_stop(struct perigeed *d)
{
	atomic_store(&d->storage.stop, true);
}

cJSON *storage_status(struct perigeed *d)
{
	const struct store_report *report = store_report(d->store);
	const struct storage *s = &d->storage;
	static const char *const starts[] = {"intact", "new", "turns-lost", "copy-used"};
	char text[640], at[UTC_TEXT_BYTES];
	cJSON *j = cJSON_CreateObject();

	cJSON_AddNumberToObject(j, "left_bytes", (double)s->left_bytes);
	cJSON_AddNumberToObject(j, "reserve_bytes", (double)d->mission->storage.reserve_bytes);
	cJSON_AddBoolToObject(j, "full", s->full);
	cJSON_AddBoolToObject(j, "commit_held", store_held(d->store));
	if (s->full) {
		utc_format(s->since, at);
		cJSON_AddStringToObject(j, "since", at);
		cJSON_AddStringToObject(j, "why", s->why);
	}
	cJSON *db = cJSON_AddObjectToObject(j, "database");
	cJSON_AddNumberToObject(db, "turn", (double)store_turn(d->store));
	cJSON_AddStringToObject(db, "found", starts[report->start]);
	if (*report->damage) {
		store_report_text(report, text, sizeof(text));
		cJSON_AddStringToObject(db, "report", text);
	}
	if (report->lost_known)
		cJSON_AddNumberToObject(db, "lost_turns", (double)report->lost_turns);
	cJSON *copy = s->has_copy ? cJSON_AddObjectToObject(db, "copy") : NULL;
	if (copy) {
		utc_format(s->copy.at, at);
		cJSON_AddNumberToObject(copy, "turn", (double)s->copy.turn);
		cJSON_AddStringToObject(copy, "at", at);
		cJSON_AddNumberToObject(copy, "bytes", (double)s->copy.bytes);
	}
	if (*s->copy_failed)
		cJSON_AddStringToObject(db, "copy_failed", s->copy_failed);
	cJSON_AddItemToObject(j, "retention", retention_status(d));
	return j;
}
