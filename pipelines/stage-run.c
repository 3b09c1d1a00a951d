/* SPDX-License-Identifier: Apache-2.0 */
/* Executing one stage: has the launcher start it, and takes its end. */
#include "stage-run.h"

#include <errno.h>
#include <string.h>

#include "core/json.h"
#include "core/log.h"

#define SCRATCH_BYTES (1u << 20) /* of one file in /tmp, for a stage without outputs */

static struct active *find(struct pipelines *p, int64_t task)
{
	struct active *a = p->active;

	while (a && a->task.id != task)
		a = a->next;
	return a;
}

void pipelines_stage_exited(struct pipelines *p, const struct stage_exit *e)
{
	struct active *a = find(p, e->task);

	if (!a || a->over)
		return;
	a->over = true;
	a->exit = *e;
	stage_collect(a);
}

int stage_stop(void *user, int64_t task)
{
	struct pipelines *p = user;
	struct active *a = find(p, task);

	if (!a || a->over)
		return 0; /* its end is on the way */
	if (a->preparing) {
		a->stop_wanted = true;
		return 0;
	}
	return p->o.launcher.stop ? p->o.launcher.stop(p->o.launcher.user, task) : ERR_STATE;
}

int stage_freeze(void *user, int64_t task, bool frozen)
{
	struct pipelines *p = user;
	struct active *a = find(p, task);

	if (!a || a->over || !p->o.launcher.freeze)
		return ERR_STATE;
	if (a->preparing) {
		a->freeze_wanted = frozen;
		return 0;
	}
	return p->o.launcher.freeze(p->o.launcher.user, task, frozen);
}

bool stage_can_freeze(void *user)
{
	const struct stage_launcher *l = &((struct pipelines *)user)->o.launcher;

	return l->freeze && (!l->can_freeze || l->can_freeze(l->user));
}

/* ---- the start ---- */

static int find_stage(struct active *a)
{
	int r = runs_workflow(a->p, a->task.run, &a->w);

	if (r < 0)
		return r;
	if (!workflow_find_stage(a->w, a->task.stage, &a->at))
		return ERR_UNKNOWN;
	a->stage = &a->w->stages[a->at];
	return 0;
}

/* The JSON of the element; NULL when the task is none. */
static int read_item(struct active *a, char **ret_text)
{
	if (a->task.item < 0)
		return 0;
	sqlite3_stmt *q = store_query(a->p->o.store,
		"SELECT value FROM run_item WHERE run = ? AND stage = ? AND item = ?", "iti", a->task.run,
		a->task.stage, a->task.item);
	int rc = q ? sqlite3_step(q) : SQLITE_ERROR;
	if (rc == SQLITE_ROW)
		*ret_text = strdup((const char *)sqlite3_column_text(q, 0));
	if (q)
		sqlite3_reset(q);
	if (rc != SQLITE_ROW)
		return rc == SQLITE_DONE ? ERR_UNKNOWN : ERR_STORE;
	return *ret_text ? 0 : -ENOMEM;
}

static int fill_values(struct active *a)
{
	CLEAN_FREE char *item = NULL;
	char why[WF_REASON_BYTES] = "";
	CLEAN_JSON cJSON *read = NULL;
	/* Ten thousand elements must not read the run's parameters ten thousand times. */
	const cJSON *params = a->task.item >= 0 ? foreach_params(a->p, a->task.run, a->task.stage) : NULL;
	int r = read_item(a, &item);

	if (r == 0 && !params) {
		r = run_params(a->p->o.store, a->task.run, &read);
		params = read;
	}
	if (r == 0)
		r = stage_values_make(a->stage, params, item, a->task.item, &a->values, why);
	if (r < 0)
		snprintf(a->why, sizeof(a->why), "%s", why);
	return r;
}

static uint64_t largest_output(const struct wf_stage *s)
{
	uint64_t max = s->n_outputs ? 0 : SCRATCH_BYTES;

	for (size_t i = 0; i < s->n_outputs; i++)
		if (s->outputs[i].max_bytes > max)
			max = s->outputs[i].max_bytes;
	return max;
}

static void write_label(const struct active *a, char *ret_label, size_t cap)
{
	if (a->task.item >= 0)
		snprintf(ret_label, cap, "run-%lld.%s#%lld", (long long)a->task.run, a->stage->name,
			(long long)a->task.item);
	else
		snprintf(ret_label, cap, "run-%lld.%s", (long long)a->task.run, a->stage->name);
}

static int launch(struct active *a)
{
	struct pipelines *p = a->p;
	struct stage_image image;
	struct stage_output outputs[WF_OUTPUTS_MAX];
	char label[TASK_STAGE_BYTES + 64];
	int r = p->o.launcher.resolve(p->o.launcher.user, a->stage->image, &image, a->why, sizeof(a->why));

	if (r == 0 && a->stage->cache)
		r = cache_key(p, a->w, a->task.run, a->at, image.digest, &a->values, a->cache_key);
	if (r < 0)
		return r;
	for (size_t i = 0; i < a->stage->n_outputs; i++)
		outputs[i] = (struct stage_output){a->stage->outputs[i].name, a->stage->outputs[i].max_bytes};
	write_label(a, label, sizeof(label));
	struct stage_launch l = {
		.task = a->task.id,
		.label = label,
		.image = &image,
		.argv = a->values.args,
		.env = a->values.env,
		.in_fd = a->in_fd,
		.out_fd = a->out_fd,
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
static void fail_start(struct active *a, int err)
{
	/* What the workflow or the image asks for stays wrong; what the machine lacks may come back. */
	bool its_own = err == -EINVAL || err == ERR_LIMIT || err == ERR_IMAGE || err == ERR_UNKNOWN ||
		       err == ERR_CHECKED || err == -ECANCELED;
	struct stage_exit e = {.task = a->task.id, .class = its_own ? CLASS_BROKEN : CLASS_MACHINE};

	snprintf(e.reason, sizeof(e.reason), "could not be started: %s", *a->why ? a->why : err_text(err));
	a->over = true;
	a->exit = e;
	stage_collect(a);
}

static void prepare_worker(uv_work_t *req)
{
	struct active *a = req->data;

	a->err = stage_make_files(a);
}

void stage_close_folders(struct active *a)
{
	if (a->in_fd >= 0)
		close(a->in_fd);
	if (a->out_fd >= 0)
		close(a->out_fd);
	a->in_fd = a->out_fd = -1;
}

static void on_prepared(uv_work_t *req, int status)
{
	struct active *a = req->data;
	const struct stage_launcher *launcher = &a->p->o.launcher;
	int r = a->err;

	a->preparing = false;
	if (r == 0 && a->stop_wanted) {
		r = -ECANCELED;
		snprintf(a->why, sizeof(a->why), "it was to be stopped");
	}
	if (r == 0)
		r = launch(a);
	stage_close_folders(a);
	if (r < 0)
		fail_start(a, r);
	else if (a->freeze_wanted && launcher->freeze(launcher->user, a->task.id, true) < 0)
		log_warning("task %lld could not be frozen", (long long)a->task.id);
}

/* Making files may wait for the disk: the loop does not. */
static void prepare(struct active *a)
{
	a->preparing = true;
	a->work_req.data = a;
	int r = uv_queue_work(a->p->o.loop, &a->work_req, prepare_worker, on_prepared);
	ensure(r == 0); /* only a missing callback can fail it */
}

int stage_start(void *user, const struct task *task)
{
	struct pipelines *p = user;
	struct active *a = calloc(1, sizeof(*a));

	if (!a)
		return -ENOMEM;
	a->p = p;
	a->task = *task;
	a->log_file = a->in_fd = a->out_fd = -1;
	int r = find_stage(a);
	if (r < 0) {
		free(a);
		return r;
	}
	a->next = p->active;
	p->active = a;
	r = fill_values(a);
	if (r == 0)
		r = stage_find_inputs(a);
	if (r < 0)
		fail_start(a, r);
	else
		prepare(a);
	return 0;
}
