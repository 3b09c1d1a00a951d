/* SPDX-License-Identifier: Apache-2.0 */
#include "runs.h"

#include <errno.h>
#include <string.h>

#include "core/file.h"
#include "core/json.h"
#include "core/log.h"

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

/* ---- the workflow of a run ---- */

static struct workflow *find_by_digest(struct pipelines *p, const char *digest)
{
	char text[DIGEST_TEXT_BYTES];

	for (size_t i = 0; i < p->n_workflows; i++) {
		digest_format(&p->workflows[i]->digest, text);
		if (!strcmp(text, digest))
			return p->workflows[i];
	}
	return NULL;
}

static int remember_workflow(struct pipelines *p, struct workflow *w, size_t at)
{
	struct workflow **grown = reallocarray(p->workflows, p->n_workflows + 1, sizeof(struct workflow *));

	if (!grown)
		return -ENOMEM;
	p->workflows = grown;
	memmove(grown + at + 1, grown + at, (p->n_workflows - at) * sizeof(struct workflow *));
	grown[at] = w;
	p->n_workflows++;
	return 0;
}

/* The text was good when its run began; a later version of the program may see it otherwise. */
static int parse_kept(
	struct pipelines *p, const char *name, const void *text, size_t len, struct workflow **ret)
{
	static const struct workflow_limits no_limits;
	struct complaints c;
	int r = complaints_init(&c, name);

	if (r < 0)
		return r;
	r = workflow_parse(text, len, &no_limits, &c, ret);
	if (r < 0)
		complaints_print(&c, stderr);
	complaints_finish(&c);
	if (r == 0 && (r = remember_workflow(p, *ret, p->n_workflows)) < 0)
		workflow_destroy(*ret);
	return r;
}

int runs_workflow(struct pipelines *p, int64_t run, struct workflow **ret_workflow)
{
	sqlite3_stmt *q = store_query(p->o.store,
		"SELECT run.digest, workflow_text.name, workflow_text.text FROM run"
		" JOIN workflow_text ON workflow_text.digest = run.digest WHERE run.id = ?",
		"i", run);

	if (!q)
		return ERR_STORE;
	if (sqlite3_step(q) != SQLITE_ROW) {
		sqlite3_reset(q);
		return ERR_UNKNOWN;
	}
	int r = 0;
	struct workflow *w = find_by_digest(p, (const char *)sqlite3_column_text(q, 0));
	if (!w)
		r = parse_kept(p, (const char *)sqlite3_column_text(q, 1), sqlite3_column_blob(q, 2),
			(size_t)sqlite3_column_bytes(q, 2), &w);
	sqlite3_reset(q);
	if (r == 0)
		*ret_workflow = w;
	return r;
}

/* ---- advancing a run ---- */

struct advance {
	struct pipelines *p;
	struct workflow *w;
	int64_t run;
	unsigned char *state; /* by stage, enum stage_state */
	struct utc_time age_from;
	cJSON **json; /* parsed outputs, WF_OUTPUTS_MAX a stage, when asked for */
};

static int load_states(struct advance *a)
{
	sqlite3_stmt *q = store_query(
		a->p->o.store, "SELECT position, state FROM run_stage WHERE run = ?", "i", a->run);
	int rc = SQLITE_ERROR;

	while (q && (rc = sqlite3_step(q)) == SQLITE_ROW) {
		int64_t at = sqlite3_column_int64(q, 0);
		if (at >= 0 && (uint64_t)at < a->w->n_stages)
			a->state[at] = (unsigned char)sqlite3_column_int64(q, 1);
	}
	return rc == SQLITE_DONE ? 0 : ERR_STORE;
}

static int set_stage(struct advance *a, size_t stage, enum stage_state state, const char *reason)
{
	int r = store_change(a->p->o.store);

	if (r == 0)
		r = store_exec(a->p->o.store,
			"UPDATE run_stage SET state = ?, reason = ?, ended_ns = CASE WHEN ?1 >= 3 THEN ? END"
			" WHERE run = ? AND stage = ?",
			"itiit", (int64_t)state, reason, clock_utc().ns, a->run, a->w->stages[stage].name);
	if (r < 0)
		return r;
	a->state[stage] = state;
	if (a->p->o.on_stage)
		a->p->o.on_stage(
			a->p->o.user, a->run, a->w->stages[stage].name, stage_state_name(state), reason);
	return 0;
}

static const cJSON *value_of_output(void *user, size_t stage, size_t output)
{
	struct advance *a = user;
	cJSON **slot = &a->json[stage * WF_OUTPUTS_MAX + output];

	if (*slot)
		return *slot;
	sqlite3_stmt *q = store_query(a->p->o.store,
		"SELECT json FROM run_output WHERE run = ? AND stage = ? AND name = ?", "itt", a->run,
		a->w->stages[stage].name, a->w->stages[stage].outputs[output].name);
	if (q && sqlite3_step(q) == SQLITE_ROW && sqlite3_column_text(q, 0))
		*slot = cJSON_Parse((const char *)sqlite3_column_text(q, 0));
	if (q)
		sqlite3_reset(q);
	return *slot;
}

static int queue_stage(struct advance *a, size_t stage)
{
	const struct wf_stage *s = &a->w->stages[stage];
	struct task_spec spec = {
		.run = a->run,
		.stage = s->name,
		.payload = a->w->payload,
		.workflow = a->w->name,
		.priority = a->w->priority,
		.age_from = a->age_from,
		.deadline.ns = a->w->deadline_ns ? a->age_from.ns + a->w->deadline_ns : 0,
		.cpus_milli = s->cpus_milli,
		.memory_bytes = s->memory_bytes,
		.time_ns = s->time_ns,
		.retry_limit = s->retry_limit,
		.backoff_ns = s->backoff_ns,
	};
	int64_t task;
	int r = scheduler_put(a->p->o.scheduler, &spec, &task);

	return r < 0 ? r : set_stage(a, stage, STAGE_QUEUED, NULL);
}

/* Settles one waiting stage if its needs are settled: 1 when it changed. */
static int consider(struct advance *a, size_t stage)
{
	const struct wf_stage *s = &a->w->stages[stage];
	char reason[EXPR_REASON_BYTES + 2 * 64 + 32] = "", seen[EXPR_REASON_BYTES];
	int r;

	for (size_t i = 0; i < s->n_needs; i++)
		if (a->state[s->needs[i]] < STAGE_DONE)
			return 0;
	for (size_t i = 0; i < s->n_needs && !*reason; i++)
		if (a->state[s->needs[i]] != STAGE_DONE)
			snprintf(reason, sizeof(reason), "needs %s, which %s", a->w->stages[s->needs[i]].name,
				a->state[s->needs[i]] == STAGE_FAILED ? "failed" : "was left out");
	if (*reason) {
		r = set_stage(a, stage, STAGE_SKIPPED, reason);
		return r < 0 ? r : 1;
	}
	int go = s->when ? expr_truth(s->when, value_of_output, a, seen) : 1;
	if (go > 0) {
		r = queue_stage(a, stage);
	} else if (go == 0) {
		snprintf(reason, sizeof(reason), "when %.120s: %s", s->when_text, seen);
		r = set_stage(a, stage, STAGE_SKIPPED, reason);
	} else {
		snprintf(reason, sizeof(reason), "when: %s", seen);
		r = set_stage(a, stage, STAGE_FAILED, reason);
	}
	return r < 0 ? r : 1;
}

static int put_products(struct advance *a)
{
	for (size_t i = 0; i < a->w->n_products; i++) {
		const struct wf_product *wp = &a->w->products[i];
		const struct wf_stage *s = &a->w->stages[wp->stage];
		const struct wf_output *o = &s->outputs[wp->output];
		struct run_product p = {.run = a->run,
			.workflow = a->w->name,
			.stage = s->name,
			.name = o->name,
			.type = o->type == WF_JSON ? "json" : "file",
			.priority = wp->priority};

		if (a->state[wp->stage] != STAGE_DONE)
			continue;
		sqlite3_stmt *q = store_query(a->p->o.store,
			"SELECT digest, bytes FROM run_output WHERE run = ? AND stage = ? AND name = ?",
			"itt", a->run, s->name, o->name);
		if (!q || sqlite3_step(q) != SQLITE_ROW ||
			digest_parse((const char *)sqlite3_column_text(q, 0), &p.digest) < 0)
			return ERR_STORE;
		p.bytes = (uint64_t)sqlite3_column_int64(q, 1);
		sqlite3_reset(q);
		int r = a->p->o.sink.put ? a->p->o.sink.put(a->p->o.sink.user, &p) : 0;
		if (r < 0)
			return r;
	}
	return 0;
}

static int end_run(struct advance *a)
{
	char reason[TASK_REASON_BYTES] = "";

	for (size_t i = 0; i < a->w->n_stages && !*reason; i++)
		if (a->state[i] == STAGE_FAILED)
			snprintf(reason, sizeof(reason), "stage %s failed", a->w->stages[i].name);
	int r = store_change(a->p->o.store);
	if (r == 0)
		r = store_exec(a->p->o.store,
			"UPDATE run SET state = ?, reason = ?, ended_ns = ? WHERE id = ?", "itii",
			(int64_t)(*reason ? RUN_FAILED : RUN_DONE), *reason ? reason : NULL, clock_utc().ns,
			a->run);
	if (r == 0)
		r = put_products(a);
	if (r < 0)
		return r;
	if (a->p->o.on_run_ended)
		a->p->o.on_run_ended(a->p->o.user, a->run);
	return 0;
}

static int settle(struct advance *a)
{
	bool changed = true, over = true;

	while (changed) {
		changed = false;
		for (size_t i = 0; i < a->w->n_stages; i++) {
			int r = a->state[i] == STAGE_WAITING ? consider(a, i) : 0;
			if (r < 0)
				return r;
			changed |= r > 0;
		}
	}
	for (size_t i = 0; i < a->w->n_stages; i++)
		over &= a->state[i] >= STAGE_DONE;
	return over ? end_run(a) : 0;
}

static int64_t age_of_run(struct pipelines *p, int64_t run)
{
	sqlite3_stmt *q = store_query(p->o.store, "SELECT age_from_ns FROM run WHERE id = ?", "i", run);
	int64_t age = q && sqlite3_step(q) == SQLITE_ROW ? sqlite3_column_int64(q, 0) : 0;

	if (q)
		sqlite3_reset(q);
	return age;
}

int run_advance(struct pipelines *p, int64_t run)
{
	struct advance a = {.p = p, .run = run};
	int r = runs_workflow(p, run, &a.w);

	if (r < 0)
		return r;
	a.state = calloc(a.w->n_stages, 1);
	a.json = calloc(a.w->n_stages * WF_OUTPUTS_MAX, sizeof(cJSON *));
	a.age_from.ns = age_of_run(p, run);
	r = a.state && a.json ? load_states(&a) : -ENOMEM;
	if (r == 0)
		r = settle(&a);
	for (size_t i = 0; a.json && i < a.w->n_stages * WF_OUTPUTS_MAX; i++)
		cJSON_Delete(a.json[i]);
	free(a.json);
	free(a.state);
	return r;
}

/* ---- making runs ---- */

static int make_run(struct pipelines *p, const struct workflow *w, struct utc_time age_from,
	const cJSON *event, const struct run_input *inputs, size_t n_inputs, int64_t *ret_run)
{
	struct store *s = p->o.store;
	char digest[DIGEST_TEXT_BYTES], in_digest[DIGEST_TEXT_BYTES];
	CLEAN_FREE char *event_text = cJSON_PrintUnformatted(event);

	if (!event_text)
		return -ENOMEM;
	digest_format(&w->digest, digest);
	int r = store_change(s);
	if (r == 0)
		r = store_exec(s, "INSERT OR IGNORE INTO workflow_text(digest, name, text) VALUES(?, ?, ?)",
			"ttb", digest, w->name, (const void *)w->text, (int)w->text_len);
	if (r == 0)
		r = store_exec(s,
			"INSERT INTO run(workflow, digest, payload, priority, created_ns, age_from_ns, event)"
			" VALUES(?, ?, ?, ?, ?, ?, ?)",
			"tttiiit", w->name, digest, w->payload, (int64_t)w->priority, clock_utc().ns,
			age_from.ns, event_text);
	if (r < 0)
		return r;
	int64_t run = sqlite3_last_insert_rowid(store_db(s));
	for (size_t i = 0; r == 0 && i < n_inputs; i++) {
		digest_format(&inputs[i].digest, in_digest);
		r = store_exec(s, "INSERT INTO run_input(run, name, digest, bytes) VALUES(?, ?, ?, ?)",
			"itti", run, inputs[i].name, in_digest, (int64_t)inputs[i].bytes);
	}
	for (size_t i = 0; r == 0 && i < w->n_stages; i++)
		r = store_exec(s, "INSERT INTO run_stage(run, stage, position, image) VALUES(?, ?, ?, ?)",
			"itit", run, w->stages[i].name, (int64_t)i, w->stages[i].image);
	if (r == 0)
		r = run_advance(p, run);
	if (r == 0)
		*ret_run = run;
	return r;
}

static cJSON *frame_json(const struct frame_event *e)
{
	char digest[DIGEST_TEXT_BYTES], time[UTC_TEXT_BYTES];
	cJSON *j = cJSON_CreateObject();

	digest_format(&e->digest, digest);
	utc_format(e->time, time);
	bool ok = j && cJSON_AddStringToObject(j, "event", "image.acquired") &&
		  cJSON_AddStringToObject(j, "device", e->device) &&
		  cJSON_AddStringToObject(j, "frame_id", e->frame_id) &&
		  cJSON_AddStringToObject(j, "time", time) && cJSON_AddStringToObject(j, "digest", digest) &&
		  cJSON_AddNumberToObject(j, "bytes", (double)e->bytes);
	cJSON *attrs = ok && e->attrs ? cJSON_Duplicate(e->attrs, true) : NULL;
	if (attrs)
		cJSON_AddItemToObject(j, "attrs", attrs);
	if (ok)
		return j;
	cJSON_Delete(j);
	return NULL;
}

static bool waits_for(const struct workflow *w, const struct frame_event *e)
{
	const char *const *granted = e->payloads;

	while (*granted && strcmp(*granted, w->payload))
		granted++;
	for (size_t i = 0; *granted && i < w->n_triggers; i++)
		if (!strcmp(w->triggers[i].device, e->device))
			return true;
	return false;
}

/* The camera names a frame that is known. The same image: 1. Another one, for a camera that was reset counts
 * anew: it is kept as well, told apart by its content, and 0. */
static int frame_again(struct pipelines *p, const struct frame_event *e, const char *digest)
{
	sqlite3_stmt *q = store_query(p->o.store,
		"SELECT 1 FROM frame WHERE device = ? AND digest = ? AND (frame_id = ? OR frame_id LIKE ?3 "
		"|| '#%')",
		"ttt", e->device, digest, e->frame_id);
	int rc = q ? sqlite3_step(q) : SQLITE_ERROR;

	if (q)
		sqlite3_reset(q);
	if (rc != SQLITE_DONE)
		return rc == SQLITE_ROW ? 1 : ERR_STORE;
	return store_exec(p->o.store,
		"INSERT INTO frame(device, frame_id, digest, bytes, time_ns) VALUES(?, ? || '#' || "
		"substr(?3, 1, 12), ?3, ?, ?)",
		"tttii", e->device, e->frame_id, digest, (int64_t)e->bytes, e->time.ns);
}

int pipelines_frame(struct pipelines *p, const struct frame_event *e)
{
	char digest[DIGEST_TEXT_BYTES];
	int64_t run;
	CLEAN_JSON cJSON *event = frame_json(e);

	if (!event)
		return -ENOMEM;
	digest_format(&e->digest, digest);
	int r = store_change(p->o.store);
	if (r == 0)
		r = store_exec(p->o.store,
			"INSERT INTO frame(device, frame_id, digest, bytes, time_ns) VALUES(?, ?, ?, ?, ?)",
			"tttii", e->device, e->frame_id, digest, (int64_t)e->bytes, e->time.ns);
	if (r == -EEXIST)
		r = frame_again(p, e, digest);
	if (r != 0)
		return r;
	struct run_input frame = {.name = "frame", .digest = e->digest, .bytes = e->bytes};
	for (size_t i = 0; r == 0 && i < p->n_on; i++)
		if (waits_for(p->workflows[i], e))
			r = make_run(p, p->workflows[i], e->time, event, &frame, 1, &run);
	return r;
}

int pipelines_run(
	struct pipelines *p, const char *workflow, const struct run_input *inputs, size_t n, int64_t *ret_run)
{
	CLEAN_JSON cJSON *event = cJSON_CreateObject();

	if (!event || !cJSON_AddStringToObject(event, "event", "command"))
		return -ENOMEM;
	for (size_t i = 0; i < p->n_on; i++)
		if (!strcmp(p->workflows[i]->name, workflow))
			return make_run(p, p->workflows[i], clock_utc(), event, inputs, n, ret_run);
	return ERR_UNKNOWN;
}

size_t pipelines_open_runs(struct pipelines *p)
{
	sqlite3_stmt *q = store_query(p->o.store, "SELECT count(*) FROM run WHERE state = 0", "");
	size_t n = q && sqlite3_step(q) == SQLITE_ROW ? (size_t)sqlite3_column_int64(q, 0) : 0;

	if (q)
		sqlite3_reset(q);
	return n;
}

/* ---- as the owner of tasks ---- */

static void on_task_started(void *user, const struct task *t, struct utc_time at)
{
	struct pipelines *p = user;
	struct stage_image image = {.digest = ""};
	char why[TASK_REASON_BYTES];
	struct workflow *w;
	size_t stage;

	/* A failure here is met again, and reported, when the effect starts the stage. */
	if (runs_workflow(p, t->run, &w) == 0 && workflow_find_stage(w, t->stage, &stage) &&
		p->o.launcher.resolve(p->o.launcher.user, w->stages[stage].image, &image, why, sizeof(why)) <
			0)
		image.digest[0] = '\0';
	if (store_exec(p->o.store,
		    "UPDATE run_stage SET state = 2, started_ns = ?, attempts = ?, image_digest = ?"
		    " WHERE run = ? AND stage = ?",
		    "iitit", at.ns, (int64_t)t->attempt, image.digest, t->run, t->stage) < 0)
		log_error("run %lld: the start of stage %s is not recorded", (long long)t->run, t->stage);
	if (p->o.on_stage)
		p->o.on_stage(p->o.user, t->run, t->stage, stage_state_name(STAGE_RUNNING), NULL);
}

static void on_task_ended(void *user, const struct task *t, enum task_state state, const struct task_end *end)
{
	struct pipelines *p = user;
	enum stage_state now = state == TASK_DONE ? STAGE_DONE : STAGE_FAILED;
	const char *reason = end->reason[0] ? end->reason : NULL;
	int r = store_exec(p->o.store,
		"UPDATE run_stage SET state = ?, reason = ?, ended_ns = ?, wall_ns = ?, cpu_ns = ?, "
		"memory_peak_bytes = ?"
		" WHERE run = ? AND stage = ?",
		"itiiiiit", (int64_t)now, reason, clock_utc().ns, end->wall_ns, end->cpu_ns,
		(int64_t)end->memory_peak_bytes, t->run, t->stage);

	if (p->o.on_stage)
		p->o.on_stage(p->o.user, t->run, t->stage, stage_state_name(now), reason);
	if (r == 0)
		r = run_advance(p, t->run);
	if (r < 0)
		log_error("run %lld cannot go on: %s", (long long)t->run, err_text(r));
}

/* ---- life ---- */

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
		&(struct task_owner){.on_started = on_task_started, .on_ended = on_task_ended, .user = p});
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
		if (p->o.launcher.resolve(p->o.launcher.user, w->stages[i].image, &image, why, sizeof(why)) <
			0)
			y_complain(c, y_get(w->stages[i].node, "image"), "%s", why);
	if (c->total)
		return ERR_CHECKED;
	int r = remember_workflow(p, w, p->n_on);
	if (r == 0)
		p->n_on++;
	return r;
}
