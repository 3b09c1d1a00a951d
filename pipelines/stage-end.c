/* SPDX-License-Identifier: Apache-2.0 */
/* The end of a stage: what kind of end it was, and its outputs become artifacts if they are what was
 * declared. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "core/file.h"
#include "core/json.h"
#include "core/log.h"
#include "stage-run.h"

#define EXIT_TEMPFAIL 75 /* sysexits.h */

static void judge_exit(struct active *a)
{
	const struct stage_exit *e = &a->exit;
	const char *said = e->last_line;

	a->end = (struct task_end){
		.wall_ns = e->wall_ns, .cpu_ns = e->cpu_ns, .memory_peak_bytes = e->memory_peak_bytes};
	a->end.class = e->class;
	a->end.broke = e->broke;
	if (!e->exited) {
		snprintf(a->end.reason, sizeof(a->end.reason), "%s", e->reason);
	} else if (e->code == 0) {
		a->end.succeeded = true;
	} else {
		a->end.class = e->code == EXIT_TEMPFAIL ? CLASS_TEMPORARY : CLASS_FAILED;
		snprintf(a->end.reason, sizeof(a->end.reason), *said ? "exit %d: %s" : "exit %d", e->code,
			said);
	}
}

static int fail_output(struct active *a, size_t i, const char *fmt, ...) PRINTF(3, 4);
static int fail_output(struct active *a, size_t i, const char *fmt, ...)
{
	char what[160];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	a->end.succeeded = false;
	a->end.class = CLASS_OUTPUT;
	snprintf(a->end.reason, sizeof(a->end.reason), "output %s: %s", a->stage->outputs[i].name, what);
	return ERR_CHECKED;
}

/* An error of the system while an output is read or kept: the machine's, where the project's own codes judge
 * it. */
static int fail_reading(struct active *a, size_t i, int err)
{
	int r = fail_output(a, i, "cannot be kept: %s", err_text(err));

	if (err > ERR_FORMAT)
		a->end.class = CLASS_MACHINE;
	return r;
}

static int check_json(struct active *a, size_t i, int fd)
{
	const struct wf_output *o = &a->stage->outputs[i];
	CLEAN_JSON cJSON *j = NULL;
	int line, column;
	size_t len;
	int r = file_read_fd(fd, o->max_bytes, &a->results[i].json, &len);

	if (r == 0)
		r = json_parse(a->results[i].json, len, o->max_bytes, &j, &line, &column);
	if (r == ERR_FORMAT)
		return fail_output(a, i, "not JSON: a mistake at line %d, column %d", line, column);
	return r < 0 ? fail_reading(a, i, r) : 0;
}

/* In a worker: an output becomes an artifact if it is what was declared. */
static int keep_output(struct active *a, size_t i)
{
	const struct wf_output *o = &a->stage->outputs[i];
	char path[PATH_MAX];
	CLEAN_FD int fd = -1;
	int r = path_format(
		path, sizeof(path), "%s/tmp/%s", artifacts_dir(a->p->o.artifacts), a->tmp_names[i]);

	if (r == 0 && (fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)) < 0)
		r = -errno;
	struct stat st;
	if (r == 0 && fstat(fd, &st) < 0)
		r = -errno;
	if (r < 0)
		return fail_reading(a, i, r);
	if (st.st_size == 0)
		return fail_output(a, i, "the stage wrote nothing");
	if ((uint64_t)st.st_size > o->max_bytes)
		return fail_output(a, i, "%llu bytes, more than the %llu declared",
			(unsigned long long)st.st_size, (unsigned long long)o->max_bytes);
	r = o->type == WF_JSON ? check_json(a, i, fd) : 0;
	if (r < 0)
		return r;
	r = digest_fd(fd, &a->results[i].digest, &a->results[i].bytes);
	if (r == 0)
		r = artifact_keep(a->p->o.artifacts, a->tmp_names[i], &a->results[i].digest);
	if (r < 0)
		return fail_reading(a, i, r);
	a->tmp_names[i][0] = '\0';
	return 0;
}

static void drop_outputs(struct active *a)
{
	for (size_t i = 0; i < a->stage->n_outputs; i++) {
		if (a->tmp_names[i][0])
			artifact_drop(a->p->o.artifacts, a->tmp_names[i]);
		a->tmp_names[i][0] = '\0';
	}
}

/* Ten thousand elements that said nothing need no ten thousand files. */
static void drop_empty_log(struct active *a)
{
	struct stat st;

	if (a->task.item >= 0 && a->log_file >= 0 && fstat(a->log_file, &st) == 0 && st.st_size == 0)
		unlink(a->log);
}

/* A stage that fails while the disk is full may have failed by that: it is tried again when there is space.
 */
static void mind_full_disk(struct active *a)
{
	struct statvfs fs;
	char why[TASK_REASON_BYTES];
	bool by_itself = a->end.class == CLASS_FAILED || a->end.class == CLASS_TEMPORARY ||
			 a->end.class == CLASS_OUTPUT;

	if (a->end.succeeded || !by_itself || statvfs(a->p->state_dir, &fs) < 0 ||
		(uint64_t)fs.f_bavail * fs.f_frsize >= a->p->o.reserve_bytes)
		return;
	a->end.class = CLASS_MACHINE;
	snprintf(why, sizeof(why), "the disk is full: %.*s", (int)sizeof(why) - 24, a->end.reason);
	memcpy(a->end.reason, why, sizeof(why));
}

static void collect_worker(uv_work_t *req)
{
	struct active *a = req->data;

	judge_exit(a);
	for (size_t i = 0; a->end.succeeded && i < a->stage->n_outputs; i++)
		if (keep_output(a, i) < 0)
			break;
	mind_full_disk(a);
	drop_outputs(a);
	drop_empty_log(a);
	if (*a->work && dir_remove(a->work) < 0)
		log_warning("%s cannot be removed", a->work);
}

static int record_output(struct active *a, size_t i)
{
	const struct stage_result *result = &a->results[i];
	const char *name = a->stage->outputs[i].name;
	char digest[DIGEST_TEXT_BYTES];

	digest_format(&result->digest, digest);
	if (a->task.item >= 0) /* read again when they are joined */
		return store_exec(a->p->o.store,
			"INSERT OR REPLACE INTO run_item_output(run, stage, item, name, digest, bytes)"
			" VALUES(?, ?, ?, ?, ?, ?)",
			"ititti", a->task.run, a->stage->name, a->task.item, name, digest,
			(int64_t)result->bytes);
	return store_exec(a->p->o.store,
		"INSERT OR REPLACE INTO run_output(run, stage, name, digest, bytes, json) VALUES(?, "
		"?, ?, ?, ?, ?)",
		"itttit", a->task.run, a->stage->name, name, digest, (int64_t)result->bytes, result->json);
}

static int record_success(struct active *a)
{
	int r = store_change(a->p->o.store);

	for (size_t i = 0; r == 0 && i < a->stage->n_outputs; i++)
		r = record_output(a, i);
	if (r == 0 && *a->cache_key)
		r = cache_put(a->p, a->cache_key, a->task.run, a->stage, a->task.item, a->results);
	return r;
}

static void on_collected(uv_work_t *req, int status)
{
	struct active *a = req->data;
	int r = a->end.succeeded ? record_success(a) : 0;

	if (r == 0)
		r = scheduler_finish(a->p->o.scheduler, a->task.id, &a->end);
	if (r < 0) {
		log_error("task %lld: its end cannot be recorded: %s", (long long)a->task.id, err_text(r));
		store_fail(a->p->o.store);
	}
	stage_forget(a);
}

void stage_collect(struct active *a)
{
	a->work_req.data = a;
	int r = uv_queue_work(a->p->o.loop, &a->work_req, collect_worker, on_collected);
	ensure(r == 0); /* only a missing callback can fail it */
}

void stage_forget(struct active *a)
{
	for (struct active **at = &a->p->active; *at; at = &(*at)->next) {
		if (*at != a)
			continue;
		*at = a->next;
		break;
	}
	for (size_t i = 0; i < WF_OUTPUTS_MAX; i++)
		free(a->results[i].json);
	stage_values_finish(&a->values);
	stage_close_folders(a);
	if (a->log_file >= 0)
		close(a->log_file);
	free(a);
}

void stage_runs_abandon(struct pipelines *p)
{
	while (p->active)
		stage_forget(p->active);
}
