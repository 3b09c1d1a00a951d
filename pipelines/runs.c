/* SPDX-License-Identifier: Apache-2.0 */
/* The tables, and the life of what works on them. */
#include "runs.h"

#include <errno.h>
#include <string.h>

static const char *const schema[] = {
	"CREATE TABLE workflow_text(digest TEXT PRIMARY KEY, name TEXT NOT NULL, text BLOB NOT NULL);"
	"CREATE TABLE frame("
	" device TEXT NOT NULL, frame_id TEXT NOT NULL, digest TEXT NOT NULL, bytes INTEGER NOT NULL,"
	" time_ns INTEGER NOT NULL, PRIMARY KEY(device, frame_id)) WITHOUT ROWID;"
	"CREATE TABLE run("
	" id INTEGER PRIMARY KEY, workflow TEXT NOT NULL, digest TEXT NOT NULL, payload TEXT NOT NULL,"
	" priority INTEGER NOT NULL, state INTEGER NOT NULL DEFAULT 0, reason TEXT,"
	" created_ns INTEGER NOT NULL, ended_ns INTEGER, age_from_ns INTEGER NOT NULL, event TEXT NOT NULL);"
	"CREATE INDEX run_open ON run(id) WHERE state = 0;"
	"CREATE TABLE run_input("
	" run INTEGER NOT NULL, name TEXT NOT NULL, digest TEXT NOT NULL, bytes INTEGER NOT NULL,"
	" PRIMARY KEY(run, name)) WITHOUT ROWID;"
	"CREATE TABLE run_stage("
	" run INTEGER NOT NULL, stage TEXT NOT NULL, position INTEGER NOT NULL, state INTEGER NOT NULL "
	"DEFAULT 0,"
	" reason TEXT, image TEXT NOT NULL, image_digest TEXT, attempts INTEGER NOT NULL DEFAULT 0,"
	" started_ns INTEGER, ended_ns INTEGER, wall_ns INTEGER, cpu_ns INTEGER, memory_peak_bytes INTEGER,"
	" PRIMARY KEY(run, stage)) WITHOUT ROWID;"
	"CREATE TABLE run_output("
	" run INTEGER NOT NULL, stage TEXT NOT NULL, name TEXT NOT NULL, digest TEXT NOT NULL,"
	" bytes INTEGER NOT NULL, json TEXT, PRIMARY KEY(run, stage, name)) WITHOUT ROWID",
};

const char *run_state_name(int64_t state)
{
	static const char *const names[] = {"open", "done", "failed"};

	return state >= 0 && state < RUN_STATE_MAX ? names[state] : "unknown";
}

const char *stage_state_name(int64_t state)
{
	static const char *const names[] = {"waiting", "queued", "running", "done", "failed", "skipped"};

	return state >= 0 && state < STAGE_STATE_MAX ? names[state] : "unknown";
}

static int resume_open_runs(struct pipelines *p)
{
	sqlite3_stmt *q;
	int64_t run = 0;
	int rc;

	/* One at a time: advancing changes the table that is read. */
	while ((q = store_query(p->o.store,
			"SELECT id FROM run WHERE state = 0 AND id > ? ORDER BY id LIMIT 1", "i", run)) &&
		(rc = sqlite3_step(q)) == SQLITE_ROW) {
		run = sqlite3_column_int64(q, 0);
		sqlite3_reset(q);
		int r = store_change(p->o.store);
		if (r == 0) /* what was running is back in the queue */
			r = store_exec(p->o.store,
				"UPDATE run_stage SET state = 1 WHERE run = ? AND state = 2", "i", run);
		if (r == 0)
			r = run_advance(p, run);
		if (r == ERR_CHECKED)
			r = store_exec(p->o.store,
				"UPDATE run SET state = ?, reason = ?, ended_ns = ? WHERE id = ?", "itii",
				(int64_t)RUN_FAILED,
				"this version does not understand the workflow that it began with",
				clock_utc().ns, run);
		if (r < 0)
			return r;
	}
	return q ? 0 : ERR_STORE;
}

int pipelines_create(const struct pipelines_options *o, struct pipelines **ret_pipelines)
{
	int r = store_schema(o->store, "pipelines", schema, ARRAY_LEN(schema));

	if (r < 0)
		return r;
	struct pipelines *p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	p->o = *o;
	p->state_dir = strdup(o->state_dir);
	p->o.state_dir = p->state_dir;
	scheduler_plug(o->scheduler, &(struct task_runner){.start = stage_start, .user = p},
		&(struct task_owner){
			.on_started = runs_task_started, .on_ended = runs_task_ended, .user = p});
	r = p->state_dir ? stage_runs_prepare(p) : -ENOMEM;
	if (r == 0)
		r = resume_open_runs(p);
	if (r < 0) {
		pipelines_destroy(p);
		return r;
	}
	*ret_pipelines = p;
	return 0;
}

void pipelines_destroy(struct pipelines *p)
{
	if (!p)
		return;
	stage_runs_abandon(p);
	for (size_t i = 0; i < p->n_workflows; i++)
		workflow_destroy(p->workflows[i]);
	free(p->workflows);
	free(p->state_dir);
	free(p);
}

int pipelines_add(struct pipelines *p, struct workflow *w, struct complaints *c)
{
	struct stage_image image;
	char why[256];

	for (size_t i = 0; i < p->n_on; i++)
		if (!strcmp(p->workflows[i]->name, w->name)) {
			complain(c, 1, 1, "there is a workflow %s already", w->name);
			return ERR_CHECKED;
		}
	for (size_t i = 0; i < w->n_stages; i++)
		if (w->stages[i].image && p->o.launcher.resolve(p->o.launcher.user, w->stages[i].image,
						  &image, why, sizeof(why)) < 0)
			y_complain(c, y_get(w->stages[i].node, "image"), "%s", why);
	for (size_t i = 0; i < w->n_stages; i++) {
		struct ynode *at = y_get(w->stages[i].node, "runtime");
		if (!w->stages[i].guest_bytes)
			continue;
		if (!p->o.launcher.check_unikernel)
			y_complain(c, at, "there are no unikernels here");
		else if (p->o.launcher.check_unikernel(p->o.launcher.user, w->stages[i].image, why, sizeof(why)) < 0)
			y_complain(c, at, "%s", why);
	}
	if (c->total)
		return ERR_CHECKED;
	int r = workflows_remember(p, w, p->n_on);
	if (r == 0)
		p->n_on++;
	return r;
}
