/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is kept of the past, within the mission file's bounds. Two halves that take turns:
 *
 *   rows    in the loop, some milliseconds at a time: old runs, what belongs to them, and products that are
 * down files   in a worker with a database connection of its own: logs and artifacts that no row refers to
 * any more
 *
 * The worker counts what is left. When that is more than the mission allows, so much more history goes.
 */
#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sysexits.h>

#include "core/file.h"
#include "core/log.h"
#include "perigeed.h"

#define PASS_NS (60 * NS_PER_S)
#define YOUNG_NS (600 * NS_PER_S) /* between an import and its run nothing refers to an artifact */
#define STEP_NS (60 * NS_PER_S)   /* a clock that jumps further makes young files look old */
#define MORE_MS 10
#define RETENTION_MS 2000

/* ---- files: in a worker ---- */

static int wanted(void *user, const struct digest *digest)
{
	struct store *s = user;
	int r = runs_want(s, digest);

	return r == 0 ? products_want(s, digest) : r;
}

/* A snapshot a folder: a long one would keep the WAL from being moved. */
static int sweep_folder(struct perigeed *d, struct store *s, unsigned folder)
{
	struct retention *k = &d->retention;
	struct artifact_sweep sweep = {
		.wanted = wanted, .user = s, .older_than = {clock_utc().ns - YOUNG_NS}};
	int r = store_exec(s, "BEGIN", "");

	if (r == 0)
		r = artifacts_sweep(d->artifacts, folder, &sweep, &k->swept);
	int end = store_exec(s, "COMMIT", "");
	return r == 0 ? end : r;
}

static void files_worker(uv_work_t *w)
{
	struct perigeed *d = w->data;
	struct retention *k = &d->retention;
	char path[PATH_MAX];
	struct store *s = NULL;
	int r = path_format(path, sizeof(path), "%s/perigee.db", d->state);

	k->swept = (struct artifact_swept){0};
	if (r == 0)
		r = store_open_readonly(path, &s);
	if (r == 0)
		r = runs_trim_logs(s, d->state, d->mission->storage.logs_bytes, &k->stop, &k->logs);
	for (unsigned i = 0; r == 0 && i < ARTIFACT_FOLDERS && !atomic_load(&k->stop); i++)
		r = sweep_folder(d, s, i);
	store_close(s);
	k->result = r;
}

static void on_files(uv_work_t *w, int status)
{
	struct perigeed *d = w->data;
	struct retention *k = &d->retention;
	uint64_t budget = d->mission->storage.artifacts_bytes;

	k->working = false;
	if (status < 0 || atomic_load(&k->stop))
		return;
	k->removed.artifacts += k->swept.removed;
	k->removed.artifact_bytes += k->swept.removed_bytes;
	k->removed.log_bytes += k->logs.removed_bytes;
	k->next.ns = clock_mono().ns + PASS_NS;
	if (k->result < 0) {
		log_warning("old files cannot be cleared away: %s", err_text(k->result));
		return;
	}
	k->artifacts = k->swept;
	k->logs_bytes = k->logs.bytes;
	k->known = true;
	if (k->swept.removed || k->logs.removed_bytes)
		log_info("cleared away: %llu artifacts of %.1f MiB, logs of %.1f MiB",
			(unsigned long long)k->swept.removed, (double)k->swept.removed_bytes / (1 << 20),
			(double)k->logs.removed_bytes / (1 << 20));
	k->excess = k->swept.kept_bytes > budget ? k->swept.kept_bytes - budget : 0;
	k->rows_due = true;
}

/* ---- rows: in the loop ---- */

static int needed(void *user, int64_t run)
{
	return products_need(((struct perigeed *)user)->store, run);
}

static int forget(void *user, int64_t run)
{
	return products_forget(((struct perigeed *)user)->store, run);
}

/* 1: there is more. */
static int trim_rows(struct perigeed *d)
{
	struct retention *k = &d->retention;
	const struct mission *m = d->mission;
	struct pipelines_trimmed done;
	struct pipelines_trim t = {.ended_before = {clock_utc().ns - m->storage.history_ns},
		.runs = m->storage.runs,
		.bytes = k->excess,
		.needed = needed,
		.forget = forget,
		.user = d};
	int r = pipelines_trim(d->pipelines, &t, &done);

	k->removed.runs += done.runs;
	k->removed.frames += done.frames;
	k->removed.cached += done.cached;
	k->pass_removed += done.runs + done.frames + done.cached;
	k->excess -= done.bytes < k->excess ? done.bytes : k->excess;
	return r;
}

static void end_of_rows(struct perigeed *d)
{
	struct retention *k = &d->retention;

	if (k->pass_removed)
		log_info("cleared away: %llu runs and what belonged to them",
			(unsigned long long)k->pass_removed);
	/* Their artifacts are still there: look at once, when they are what is too much. */
	if (k->pass_removed && k->known && k->artifacts.kept_bytes > d->mission->storage.artifacts_bytes)
		k->next.ns = 0;
	k->next_rows.ns = clock_mono().ns + (k->pass_removed ? 0 : PASS_NS);
	k->pass_removed = 0;
	k->rows_due = false;
}

/* ---- when ---- */

static bool clock_is_steady(struct retention *k)
{
	int64_t now = clock_mono().ns, apart = clock_utc().ns - now, by = apart - k->apart_ns;

	if (by > STEP_NS || by < -STEP_NS)
		k->steady_from.ns = k->apart_known ? now + YOUNG_NS : 0;
	k->apart_ns = apart;
	k->apart_known = true;
	return now >= k->steady_from.ns;
}

static void start_files(struct perigeed *d)
{
	struct retention *k = &d->retention;

	k->work.data = d;
	k->working = uv_queue_work(&d->loop, &k->work, files_worker, on_files) == 0;
}

static void on_tick(uv_timer_t *t)
{
	struct perigeed *d = t->data;
	struct retention *k = &d->retention;

	/* What is not committed yet no worker can see; and what is removed needs room on the disk, too. */
	if (d->status != 0 || store_held(d->store))
		return;
	bool steady = clock_is_steady(k);
	k->rows_due |=
		pipelines_runs(d->pipelines) > d->mission->storage.runs && clock_mono().ns >= k->next_rows.ns;
	if (k->rows_due) {
		int r = trim_rows(d);
		if (r < 0) {
			log_error("old runs cannot be cleared away: %s", err_text(r));
			stop(d, EX_SOFTWARE);
		} else if (r > 0) {
			uv_timer_start(t, on_tick, MORE_MS, RETENTION_MS);
		} else {
			end_of_rows(d);
		}
		return;
	}
	if (!k->working && steady && clock_mono().ns >= k->next.ns)
		start_files(d);
}

/* Images that were being imported when the last process ended. */
static void remove_orphans(const char *state)
{
	char images[PATH_MAX], path[PATH_MAX];
	DIR *dir = path_format(images, sizeof(images), "%s/images", state) == 0 ? opendir(images) : NULL;

	for (struct dirent *e; dir && (e = readdir(dir));)
		if (!strncmp(e->d_name, "tmp-", 4) &&
			path_format(path, sizeof(path), "%s/%s", images, e->d_name) == 0 &&
			dir_remove(path) < 0)
			log_warning("%s cannot be removed", path);
	if (dir)
		closedir(dir);
}

int retention_prepare(struct perigeed *d)
{
	remove_orphans(d->state);
	int r = products_prepare(d->store);

	return r == -ENOSPC ? 0 : r; /* a full disk: what is there is what there is */
}

int retention_start(struct perigeed *d)
{
	struct retention *k = &d->retention;
	int r = uv_timer_init(&d->loop, &k->timer);

	k->timer.data = d;
	k->rows_due = true;
	return r == 0 ? uv_timer_start(&k->timer, on_tick, RETENTION_MS, RETENTION_MS) : r;
}

void retention_stop(struct perigeed *d)
{
	atomic_store(&d->retention.stop, true);
}

static void add(cJSON *j, const char *key, uint64_t value)
{
	cJSON_AddNumberToObject(j, key, (double)value);
}

cJSON *retention_status(struct perigeed *d)
{
	const struct retention *k = &d->retention;
	const struct mission *m = d->mission;
	cJSON *j = cJSON_CreateObject();
	cJSON *runs = cJSON_AddObjectToObject(j, "runs"), *removed = cJSON_AddObjectToObject(j, "removed");

	add(runs, "kept", (uint64_t)pipelines_runs(d->pipelines));
	add(runs, "limit", m->storage.runs);
	if (k->known) {
		cJSON *artifacts = cJSON_AddObjectToObject(j, "artifacts"),
		      *logs = cJSON_AddObjectToObject(j, "logs");

		add(artifacts, "kept", k->artifacts.kept);
		add(artifacts, "bytes", k->artifacts.kept_bytes);
		add(artifacts, "limit_bytes", m->storage.artifacts_bytes);
		add(logs, "bytes", k->logs_bytes);
		add(logs, "limit_bytes", m->storage.logs_bytes);
	}
	add(removed, "runs", k->removed.runs);
	add(removed, "frames", k->removed.frames);
	add(removed, "cached", k->removed.cached);
	add(removed, "artifacts", k->removed.artifacts);
	add(removed, "artifact_bytes", k->removed.artifact_bytes);
	add(removed, "log_bytes", k->removed.log_bytes);
	return j;
}
