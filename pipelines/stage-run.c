/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Executing one stage: makes the folders that it will see as /in and /out, has the launcher start it, keeps
 * its log, and turns what it left into artifacts.
 *
 * /in holds hard links to artifacts, /out hard links to empty temporary files of the artifact store: no byte
 * is copied to get in or out, and the stage, which is another user, can create nothing beside what it
 * declared.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#include "core/file.h"
#include "core/json.h"
#include "core/log.h"
#include "runs.h"

#define EXIT_TEMPFAIL 75 /* sysexits.h */

struct kept_output {
	char tmp_name[ARTIFACT_NAME_BYTES]; /* "" when handed over or dropped */
	struct digest digest;
	uint64_t bytes;
	char *json; /* owned: the text of a JSON output */
};

struct active {
	struct active *next;
	struct pipelines *p;
	struct task task;
	struct workflow *w;
	const struct wf_stage *stage;
	char work[PATH_MAX]; /* folder with in/ and out/ */
	struct kept_output outputs[WF_OUTPUTS_MAX];

	int log_file;
	bool over;
	struct stage_exit exit;
	uv_work_t work_req;
	struct task_end end; /* filled in the worker */
};

/* ---- folders ---- */

static int link_input(struct active *a, const struct wf_input *in)
{
	struct pipelines *p = a->p;
	sqlite3_stmt *q;
	struct digest digest;
	char from[PATH_MAX], to[PATH_MAX];

	if (in->from == WF_FROM_TRIGGER)
		q = store_query(p->o.store, "SELECT digest FROM run_input WHERE run = ? AND name = ?", "it",
			a->task.run, in->trigger_name);
	else
		q = store_query(p->o.store,
			"SELECT digest FROM run_output WHERE run = ? AND stage = ? AND name = ?", "itt",
			a->task.run, a->w->stages[in->stage].name,
			a->w->stages[in->stage].outputs[in->output].name);
	int r = q ? ERR_UNKNOWN : ERR_STORE;
	if (q && sqlite3_step(q) == SQLITE_ROW)
		r = digest_parse((const char *)sqlite3_column_text(q, 0), &digest);
	if (q)
		sqlite3_reset(q);
	if (r == 0)
		r = artifact_path(p->o.artifacts, &digest, from, sizeof(from));
	if (r == 0)
		r = path_format(to, sizeof(to), "%s/in/%s", a->work, in->name);
	if (r == 0 && link(from, to) < 0)
		r = -errno;
	if (r < 0)
		log_warning("run %lld, stage %s: input %s: %s", (long long)a->task.run, a->stage->name,
			in->name, err_text(r));
	return r;
}

static int write_params(struct active *a)
{
	char path[PATH_MAX];
	int r = path_format(path, sizeof(path), "%s/in/params.json", a->work);

	if (r < 0)
		return r;
	CLEAN_FREE char *text = cJSON_PrintUnformatted(a->stage->params);
	if (!text)
		return -ENOMEM;
	CLEAN_FD int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
	return fd < 0 ? -errno : write_all(fd, text, strlen(text));
}

static int make_output(struct active *a, size_t i)
{
	char from[PATH_MAX], to[PATH_MAX], name[ARTIFACT_NAME_BYTES];
	CLEAN_FD int fd = -1;
	int r = artifact_new(a->p->o.artifacts, 0666, name, &fd);

	if (r < 0)
		return r;
	memcpy(a->outputs[i].tmp_name, name, sizeof(name));
	r = path_format(from, sizeof(from), "%s/tmp/%s", artifacts_dir(a->p->o.artifacts), name);
	if (r == 0)
		r = path_format(to, sizeof(to), "%s/out/%s", a->work, a->stage->outputs[i].name);
	if (r == 0 && link(from, to) < 0)
		r = -errno;
	return r;
}

static int open_folder(const struct active *a, const char *name, int *ret_fd)
{
	char path[PATH_MAX];
	int r = path_format(path, sizeof(path), "%s/%s", a->work, name);

	if (r == 0 && mkdir(path, 0755) < 0)
		r = -errno;
	if (r < 0)
		return r;
	*ret_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return *ret_fd < 0 ? -errno : 0;
}

static int make_folders(struct active *a, int *ret_in, int *ret_out)
{
	int r = path_format(a->work, sizeof(a->work), "%s/work/%lld", a->p->state_dir, (long long)a->task.id);

	if (r == 0)
		r = dir_remove(a->work); /* of an attempt before */
	if (r == 0 && mkdir(a->work, 0700) < 0)
		r = -errno;
	if (r == 0)
		r = open_folder(a, "in", ret_in);
	if (r == 0)
		r = open_folder(a, "out", ret_out);
	for (size_t i = 0; r == 0 && i < a->stage->n_inputs; i++)
		r = link_input(a, &a->stage->inputs[i]);
	if (r == 0)
		r = write_params(a);
	for (size_t i = 0; r == 0 && i < a->stage->n_outputs; i++)
		r = make_output(a, i);
	return r;
}

int stage_runs_prepare(struct pipelines *p)
{
	char path[PATH_MAX];
	int r = path_format(path, sizeof(path), "%s/work", p->state_dir);

	if (r == 0)
		r = dir_remove(path);
	if (r == 0)
		r = dir_make(path, 0700);
	if (r == 0)
		r = path_format(path, sizeof(path), "%s/logs", p->state_dir);
	return r == 0 ? dir_make(path, 0755) : r;
}

/* ---- the log ---- */

static int open_log(struct active *a)
{
	char path[PATH_MAX];
	int r = path_format(path, sizeof(path), "%s/logs/%lld", a->p->state_dir, (long long)a->task.run);

	if (r == 0)
		r = dir_make(path, 0755);
	if (r == 0)
		r = path_format(path, sizeof(path), "%s/logs/%lld/%s.%u.log", a->p->state_dir,
			(long long)a->task.run, a->stage->name, a->task.attempt);
	if (r < 0)
		return r;
	a->log_file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	return a->log_file < 0 ? -errno : 0;
}

/* ---- the end ---- */

static void judge_exit(struct active *a)
{
	const struct stage_exit *e = &a->exit;
	const char *said = e->last_line;

	a->end = (struct task_end){
		.wall_ns = e->wall_ns, .cpu_ns = e->cpu_ns, .memory_peak_bytes = e->memory_peak_bytes};
	a->end.class = e->class;
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

/* In a worker: an output becomes an artifact if it is what was declared. */
static int keep_output(struct active *a, size_t i)
{
	const struct wf_output *o = &a->stage->outputs[i];
	struct kept_output *k = &a->outputs[i];
	char path[PATH_MAX];
	CLEAN_FD int fd = -1;
	int r = path_format(path, sizeof(path), "%s/tmp/%s", artifacts_dir(a->p->o.artifacts), k->tmp_name);

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
	if (o->type == WF_JSON) {
		CLEAN_JSON cJSON *j = NULL;
		size_t len;
		int line, column;
		r = file_read_fd(fd, o->max_bytes, &k->json, &len);
		if (r == 0 && (r = json_parse(k->json, len, o->max_bytes, &j, &line, &column)) == ERR_FORMAT)
			return fail_output(a, i, "not JSON: a mistake at line %d, column %d", line, column);
		if (r < 0)
			return fail_reading(a, i, r);
	}
	r = digest_fd(fd, &k->digest, &k->bytes);
	if (r == 0)
		r = artifact_keep(a->p->o.artifacts, k->tmp_name, &k->digest);
	if (r < 0)
		return fail_reading(a, i, r);
	k->tmp_name[0] = '\0';
	return 0;
}

static void drop_outputs(struct active *a)
{
	for (size_t i = 0; i < a->stage->n_outputs; i++) {
		if (a->outputs[i].tmp_name[0])
			artifact_drop(a->p->o.artifacts, a->outputs[i].tmp_name);
		a->outputs[i].tmp_name[0] = '\0';
	}
}

static void collect_worker(uv_work_t *req)
{
	struct active *a = req->data;

	judge_exit(a);
	for (size_t i = 0; a->end.succeeded && i < a->stage->n_outputs; i++)
		if (keep_output(a, i) < 0)
			break;
	drop_outputs(a);
	if (dir_remove(a->work) < 0)
		log_warning("%s cannot be removed", a->work);
}

static void forget(struct active *a)
{
	for (struct active **at = &a->p->active; *at; at = &(*at)->next) {
		if (*at != a)
			continue;
		*at = a->next;
		break;
	}
	for (size_t i = 0; i < WF_OUTPUTS_MAX; i++)
		free(a->outputs[i].json);
	if (a->log_file >= 0)
		close(a->log_file);
	free(a);
}

void stage_runs_abandon(struct pipelines *p)
{
	while (p->active)
		forget(p->active);
}

static int record_outputs(struct active *a)
{
	char digest[DIGEST_TEXT_BYTES];
	int r = store_change(a->p->o.store);

	for (size_t i = 0; r == 0 && i < a->stage->n_outputs; i++) {
		digest_format(&a->outputs[i].digest, digest);
		r = store_exec(a->p->o.store,
			"INSERT OR REPLACE INTO run_output(run, stage, name, digest, bytes, json) VALUES(?, "
			"?, ?, ?, ?, ?)",
			"itttit", a->task.run, a->stage->name, a->stage->outputs[i].name, digest,
			(int64_t)a->outputs[i].bytes, a->outputs[i].json);
	}
	return r;
}

static void on_collected(uv_work_t *req, int status)
{
	struct active *a = req->data;
	int r = a->end.succeeded ? record_outputs(a) : 0;

	if (r == 0)
		r = scheduler_finish(a->p->o.scheduler, a->task.id, &a->end);
	if (r < 0)
		log_error("task %lld: its end cannot be recorded: %s", (long long)a->task.id, err_text(r));
	forget(a);
}

static void collect(struct active *a)
{
	a->work_req.data = a;
	int r = uv_queue_work(a->p->o.loop, &a->work_req, collect_worker, on_collected);
	ensure(r == 0); /* only a missing callback can fail it */
}

void pipelines_stage_exited(struct pipelines *p, const struct stage_exit *e)
{
	struct active *a = p->active;

	while (a && a->task.id != e->task)
		a = a->next;
	if (!a || a->over)
		return;
	a->over = true;
	a->exit = *e;
	collect(a);
}

/* ---- the start ---- */

static int find_stage(struct active *a)
{
	size_t stage;
	int r = runs_workflow(a->p, a->task.run, &a->w);

	if (r < 0)
		return r;
	if (!workflow_find_stage(a->w, a->task.stage, &stage))
		return ERR_UNKNOWN;
	a->stage = &a->w->stages[stage];
	return 0;
}

static uint64_t largest_output(const struct wf_stage *s)
{
	uint64_t max = 0;

	for (size_t i = 0; i < s->n_outputs; i++)
		if (s->outputs[i].max_bytes > max)
			max = s->outputs[i].max_bytes;
	return max;
}

static int launch(struct active *a, int in_fd, int out_fd, char *ret_why, size_t cap)
{
	struct pipelines *p = a->p;
	struct stage_image image;
	struct stage_output outputs[WF_OUTPUTS_MAX];
	char label[TASK_STAGE_BYTES + 32];
	int r = p->o.launcher.resolve(p->o.launcher.user, a->stage->image, &image, ret_why, cap);

	if (r < 0)
		return r;
	snprintf(label, sizeof(label), "run-%lld.%s", (long long)a->task.run, a->stage->name);
	for (size_t i = 0; i < a->stage->n_outputs; i++)
		outputs[i] = (struct stage_output){a->stage->outputs[i].name, a->stage->outputs[i].max_bytes};
	struct stage_launch l = {
		.task = a->task.id,
		.label = label,
		.image = &image,
		.argv = a->stage->args ? (const char *const *)a->stage->args : NULL,
		.env = a->stage->env ? (const char *const *)a->stage->env : NULL,
		.in_fd = in_fd,
		.out_fd = out_fd,
		.log_fd = a->log_file,
		.log_bytes_max = p->o.log_bytes_max,
		.cpus_milli = a->stage->cpus_milli,
		.pids = a->stage->pids,
		.memory_bytes = a->stage->memory_bytes,
		.output_bytes_max = largest_output(a->stage),
		.guest_bytes = a->stage->guest_bytes,
		.outputs = outputs,
		.n_outputs = a->stage->n_outputs,
		.time_ns = a->stage->time_ns,
	};
	return p->o.launcher.start(p->o.launcher.user, &l);
}

/* A start that fails half way goes the same way as a stage that ended: folders removed, reported once. */
static void fail_start(struct active *a, int err, const char *why)
{
	/* What the workflow or the image asks for stays wrong; what the machine lacks may come back. */
	bool its_own = err == -EINVAL || err == ERR_LIMIT || err == ERR_IMAGE || err == ERR_UNKNOWN;
	struct stage_exit e = {.task = a->task.id, .class = its_own ? CLASS_BROKEN : CLASS_MACHINE};

	snprintf(e.reason, sizeof(e.reason), "could not be started: %s", why);
	a->over = true;
	a->exit = e;
	collect(a);
}

int stage_start(void *user, const struct task *task)
{
	struct pipelines *p = user;
	struct active *a = calloc(1, sizeof(*a));
	CLEAN_FD int in_fd = -1, out_fd = -1;
	char why[200] = "";

	if (!a)
		return -ENOMEM;
	a->p = p;
	a->task = *task;
	a->log_file = -1;
	int r = find_stage(a);
	if (r < 0) {
		free(a);
		return r;
	}
	a->next = p->active;
	p->active = a;
	r = make_folders(a, &in_fd, &out_fd);
	if (r == 0)
		r = open_log(a);
	if (r == 0)
		r = launch(a, in_fd, out_fd, why, sizeof(why));
	if (r < 0)
		fail_start(a, r, *why ? why : err_text(r));
	return 0;
}
