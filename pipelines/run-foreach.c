/* SPDX-License-Identifier: Apache-2.0 */
/*
 * foreach: one task an element. The list is parsed in a worker and stays in memory; an element gets a row
 * when it is queued, of which at most `parallel` are at once, so that each end costs the same however long
 * the list is. An element before `next_item` that has no row was left out by `when`. After a restart the list
 * is parsed again, and the rows say how far it had come.
 */
#include "run-foreach.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "core/file.h"
#include "core/json.h"
#include "core/log.h"
#include "members.h"

#define ELEMENTS_A_SLICE 64 /* that one turn looks at */
#define TRIES_MAX 8
#define AGAIN_NS (2 * NS_PER_S)

static const char *name_of(const struct expansion *x)
{
	return x->now.w->stages[x->stage].name;
}

static struct expansion *find(struct pipelines *p, int64_t run, const char *stage)
{
	struct expansion *x = p->expansions;

	while (x && (x->now.id != run || strcmp(name_of(x), stage)))
		x = x->next_one;
	return x;
}

const cJSON *foreach_params(struct pipelines *p, int64_t run, const char *stage)
{
	struct expansion *x = find(p, run, stage);

	return x ? x->now.params : NULL;
}

static void forget_joined(struct expansion *x)
{
	for (size_t i = 0; i < WF_OUTPUTS_MAX; i++) {
		free(x->joined[i].json);
		x->joined[i].json = NULL;
	}
}

static void expansion_destroy(struct expansion *x)
{
	for (struct expansion **at = &x->now.p->expansions; *at; at = &(*at)->next_one) {
		if (*at != x)
			continue;
		*at = x->next_one;
		break;
	}
	run_finish(&x->now);
	forget_joined(x);
	free(x->source_text);
	free(x->texts);
	free(x->at);
	free(x);
}

void foreach_abandon(struct pipelines *p)
{
	while (p->expansions)
		expansion_destroy(p->expansions);
}

/* ---- the list: in a worker ---- */

static int keep_texts(struct expansion *x, const cJSON *list)
{
	const cJSON *element;
	size_t len = 0, cap = 0;

	x->n = cJSON_GetArraySize(list);
	x->at = calloc((size_t)x->n + 1, sizeof(*x->at));
	if (!x->at)
		return -ENOMEM;
	int64_t i = 0;
	cJSON_ArrayForEach(element, list)
	{
		CLEAN_FREE char *text = cJSON_PrintUnformatted(element);
		size_t more = text ? strlen(text) + 1 : 0;

		if (!text)
			return -ENOMEM;
		if (len + more > UINT32_MAX)
			return ERR_LIMIT;
		if (len + more > cap) {
			cap = 2 * (len + more);
			char *grown = realloc(x->texts, cap);
			if (!grown)
				return -ENOMEM;
			x->texts = grown;
		}
		memcpy(x->texts + len, text, more);
		x->at[i++] = (uint32_t)len;
		len += more;
	}
	return 0;
}

static int read_source(struct expansion *x, cJSON **ret_json)
{
	CLEAN_FREE char *text = NULL;
	CLEAN_FD int fd = -1;
	size_t len;

	if (x->source_text)
		return json_parse(
			x->source_text, strlen(x->source_text), WF_JSON_BYTES_MAX, ret_json, NULL, NULL);
	int r = artifact_open(x->now.p->o.artifacts, &x->source, &fd);
	if (r == 0)
		r = file_read_fd(fd, WF_JSON_BYTES_MAX, &text, &len);
	return r == 0 ? json_parse(text, len, WF_JSON_BYTES_MAX, ret_json, NULL, NULL) : r;
}

static void read_list(struct expansion *x)
{
	const struct wf_foreach *f = &x->now.w->stages[x->stage].foreach;
	CLEAN_JSON cJSON *json = NULL;

	x->err = read_source(x, &json);
	const cJSON *list = x->err == 0 ? json : NULL;
	if (list && f->source == WF_OVER_OUTPUT)
		list = members_walk(list, f->members, NULL);
	if (x->err < 0) {
		snprintf(x->reason, sizeof(x->reason), "foreach: its list cannot be read: %s",
			err_text(x->err));
	} else if (!list || !cJSON_IsArray(list)) {
		x->err = ERR_FORMAT;
		snprintf(x->reason, sizeof(x->reason), "foreach: expected a list, found %s",
			list ? "something else" : "no such member");
	} else if (cJSON_GetArraySize(list) > WF_ITEMS_MAX) {
		x->err = ERR_LIMIT;
		snprintf(x->reason, sizeof(x->reason), "foreach: %d elements, more than %d",
			cJSON_GetArraySize(list), WF_ITEMS_MAX);
	} else {
		x->err = keep_texts(x, list);
	}
}

static void worker(uv_work_t *req)
{
	struct expansion *x = req->data;

	x->err = 0;
	x->reason[0] = '\0';
	if (x->step == EXPAND_LIST)
		read_list(x);
	else
		foreach_join(x);
}

static void on_worked(uv_work_t *req, int status);

static void start_work(void *arg)
{
	struct expansion *x = arg;

	x->work.data = x;
	int r = uv_queue_work(x->now.p->o.loop, &x->work, worker, on_worked);
	ensure(r == 0); /* only a missing callback can fail it */
}

/* After the commit: a join reads what the elements' ends have written. */
static int plan_work(struct expansion *x)
{
	x->working = true;
	x->again.ns = 0;
	return store_effect(x->now.p->o.store, start_work, x, NULL);
}

/* ---- elements ---- */

static int queue_element(struct expansion *x, int64_t item, const char *text)
{
	const struct wf_stage *s = &x->now.w->stages[x->stage];
	int64_t task = 0;
	int taken = s->cache ? cache_take(&x->now, x->stage, item, text) : 0;

	if (taken < 0)
		return taken;
	int r = taken ? 0 : run_put_task(&x->now, x->stage, item, &task);
	if (r == 0)
		r = store_exec(x->now.p->o.store,
			"INSERT INTO run_item(run, stage, item, value, state, task) VALUES(?, ?, ?, ?, ?,"
			" nullif(?, 0))",
			"ititii", x->now.id, s->name, item, text,
			(int64_t)(taken ? STAGE_DONE : STAGE_QUEUED), task);
	x->done += taken;
	x->in_flight += !taken;
	return r;
}

/* Whether `when` lets it run: 1, 0, or ERR_FORMAT with the reason. */
static int asks_for(struct expansion *x, int64_t item, const char *text, char *ret_reason)
{
	const struct wf_stage *s = &x->now.w->stages[x->stage];

	if (!s->when || !s->when_item)
		return 1;
	CLEAN_JSON cJSON *value = cJSON_Parse(text);
	if (!value)
		return -ENOMEM;
	struct expr_scope scope = {
		.value = run_json_of, .user = &x->now, .params = x->now.params, .item = value, .index = item};
	return expr_truth(s->when, &scope, ret_reason);
}

static int close_early(struct expansion *x, enum stage_state then, const char *why);

/* Queues as many as there is room for. */
static int fill(struct expansion *x)
{
	const struct wf_stage *s = &x->now.w->stages[x->stage];
	char why[EXPR_REASON_BYTES], reason[TASK_REASON_BYTES];
	int64_t from = x->next;
	int r = store_change(x->now.p->o.store);

	while (r == 0 && x->next < x->n && x->in_flight < s->foreach.parallel) {
		int64_t item = x->next;
		const char *text = x->texts + x->at[item];

		if (item - from == ELEMENTS_A_SLICE) {
			x->now.p->more = true;
			break;
		}
		int go = asks_for(x, item, text, why);
		if (go == ERR_FORMAT) {
			snprintf(reason, sizeof(reason), "element %lld: when: %s", (long long)item, why);
			r = close_early(x, STAGE_FAILED, reason);
			break;
		}
		if (go != 0)
			r = go < 0 ? go : queue_element(x, item, text);
		x->next += r == 0;
	}
	if (r == 0 && x->next != from)
		r = store_exec(x->now.p->o.store,
			"UPDATE run_stage SET next_item = ? WHERE run = ? AND stage = ?", "iit", x->next,
			x->now.id, s->name);
	return r;
}

static int settle(struct expansion *x, enum stage_state state, const char *reason)
{
	struct pipelines *p = x->now.p;
	int r = store_change(p->o.store);

	if (r == 0)
		r = store_exec(p->o.store,
			"UPDATE run_stage SET wall_ns = ?, cpu_ns = ?, memory_peak_bytes = ?"
			" WHERE run = ? AND stage = ?",
			"iiiit", x->wall_ns, x->cpu_ns, x->memory_peak_bytes, x->now.id, name_of(x));
	if (r == 0)
		r = run_set_stage(&x->now, x->stage, state, reason && *reason ? reason : NULL);
	if (r == 0)
		r = run_touch(p, x->now.id);
	if (r == 0)
		expansion_destroy(x);
	return r;
}

static int settle_closed(struct expansion *x)
{
	char reason[TASK_REASON_BYTES] = "";
	sqlite3_stmt *q = store_query(x->now.p->o.store,
		"SELECT reason FROM run_stage WHERE run = ? AND stage = ?", "it", x->now.id, name_of(x));

	if (q && sqlite3_step(q) == SQLITE_ROW && sqlite3_column_text(q, 0))
		snprintf(reason, sizeof(reason), "%s", (const char *)sqlite3_column_text(q, 0));
	if (q)
		sqlite3_reset(q);
	return settle(x, x->closing, reason);
}

/* What can be done now. May destroy x. */
static int step(struct expansion *x)
{
	int r = 0;

	if (x->working || x->again.ns)
		return 0;
	if (x->step == EXPAND_WORK && !x->closing)
		r = fill(x);
	if (r < 0 || x->in_flight > 0)
		return r;
	if (x->closing)
		return settle_closed(x);
	if (x->step != EXPAND_WORK || x->next < x->n)
		return 0;
	x->step = EXPAND_JOIN;
	return plan_work(x);
}

/* ---- what the worker brought ---- */

static int record_joined(struct expansion *x)
{
	const struct wf_stage *s = &x->now.w->stages[x->stage];
	char digest[DIGEST_TEXT_BYTES], reason[96] = "";
	int r = store_change(x->now.p->o.store);

	for (size_t i = 0; r == 0 && i < s->n_outputs; i++) {
		digest_format(&x->joined[i].digest, digest);
		r = store_exec(x->now.p->o.store,
			"INSERT OR REPLACE INTO run_output(run, stage, name, digest, bytes, json)"
			" VALUES(?, ?, ?, ?, ?, ?)",
			"itttit", x->now.id, s->name, s->outputs[i].name, digest, (int64_t)x->joined[i].bytes,
			x->joined[i].json);
	}
	if (x->done < x->n)
		snprintf(reason, sizeof(reason), "%lld of %lld elements were left out",
			(long long)(x->n - x->done), (long long)x->n);
	return r == 0 ? settle(x, STAGE_DONE, reason) : r;
}

static int take_list(struct expansion *x)
{
	int r = store_change(x->now.p->o.store);

	x->step = EXPAND_WORK;
	if (r == 0)
		r = store_exec(x->now.p->o.store,
			"UPDATE run_stage SET items = ? WHERE run = ? AND stage = ?", "iit", x->n, x->now.id,
			name_of(x));
	return r == 0 ? step(x) : r;
}

/* An error of the system may pass; what is wrong with the list or the outputs stays wrong. A full disk is
 * waited out, however long: nothing of the stage's work is lost meanwhile. */
static int take_error(struct expansion *x)
{
	bool full = x->err == -ENOSPC || x->err == -EDQUOT;

	if (full || (x->err > ERR_FORMAT && ++x->tries < TRIES_MAX)) {
		x->again.ns = clock_mono().ns + AGAIN_NS;
		return 0;
	}
	return settle(x, STAGE_FAILED, *x->reason ? x->reason : err_text(x->err));
}

static int take_work(struct expansion *x)
{
	if (x->closing)
		return step(x);
	if (x->err < 0)
		return take_error(x);
	x->tries = 0;
	return x->step == EXPAND_LIST ? take_list(x) : record_joined(x);
}

static void on_worked(uv_work_t *req, int status)
{
	struct expansion *x = req->data;
	struct pipelines *p = x->now.p;
	int64_t run = x->now.id;

	x->working = false;
	runs_enter(p);
	int r = runs_leave(p, take_work(x));
	if (r < 0) {
		log_error("run %lld cannot go on: %s", (long long)run, err_text(r));
		store_fail(p->o.store);
	}
}

/* ---- beginning ---- */

static int find_source(struct expansion *x)
{
	const struct wf_stage *s = &x->now.w->stages[x->stage];
	struct wf_scope scope = {.params = x->now.params};
	char digest[DIGEST_TEXT_BYTES];
	CLEAN_JSON cJSON *filled = NULL;
	const cJSON *list;
	uint64_t bytes;
	int r = 0;

	if (s->foreach.source == WF_OVER_OUTPUT) {
		struct wf_input from = {
			.from = WF_FROM_STAGE, .stage = s->foreach.stage, .output = s->foreach.output};
		r = run_input_of(x->now.p->o.store, x->now.w, x->now.id, &from, digest, &bytes);
		if (r == ERR_UNKNOWN)
			snprintf(x->reason, sizeof(x->reason), "foreach: its list is not there");
		return r == 0 ? digest_parse(digest, &x->source) : r;
	}
	if (s->foreach.source == WF_OVER_PARAM) {
		list = cJSON_GetObjectItemCaseSensitive(
			x->now.params, x->now.w->params[s->foreach.param].name);
	} else {
		char why[WF_REASON_BYTES] = "";
		r = wf_fill_json(s->foreach.list, &scope, &filled, why);
		snprintf(x->reason, sizeof(x->reason), "foreach: %s", why);
		list = filled;
	}
	if (r == 0)
		x->source_text = cJSON_PrintUnformatted(list);
	return r < 0 ? r : x->source_text ? 0 : -ENOMEM;
}

static int make(struct run_now *run, size_t stage, struct expansion **ret_x)
{
	struct expansion *x = calloc(1, sizeof(*x));

	if (!x)
		return -ENOMEM;
	int r = run_load(run->p, run->id, &x->now);
	if (r < 0) {
		free(x);
		return r;
	}
	x->stage = stage;
	x->next_one = run->p->expansions;
	run->p->expansions = x;
	*ret_x = x;
	return 0;
}

static int begin_list(struct run_now *run, struct expansion *x)
{
	int r = find_source(x);

	if (r == ERR_UNKNOWN || r == ERR_CHECKED) {
		r = run_set_stage(run, x->stage, STAGE_FAILED, x->reason);
		expansion_destroy(x);
		return r;
	}
	return r == 0 ? plan_work(x) : r;
}

int foreach_begin(struct run_now *run, size_t stage)
{
	struct expansion *x;
	int r = run_set_stage(run, stage, STAGE_QUEUED, NULL);

	if (r == 0)
		r = make(run, stage, &x);
	return r == 0 ? begin_list(run, x) : r;
}

static int read_progress(struct expansion *x)
{
	struct store *s = x->now.p->o.store;
	sqlite3_stmt *q = store_query(s,
		"SELECT count(*), sum(state IN (1, 2, 6)), sum(state = 3), sum(wall_ns), sum(cpu_ns),"
		" max(memory_peak_bytes) FROM run_item WHERE run = ? AND stage = ?",
		"it", x->now.id, name_of(x));

	if (!q || sqlite3_step(q) != SQLITE_ROW)
		return ERR_STORE;
	x->in_flight = sqlite3_column_int64(q, 1);
	x->done = sqlite3_column_int64(q, 2);
	x->wall_ns = sqlite3_column_int64(q, 3);
	x->cpu_ns = sqlite3_column_int64(q, 4);
	x->memory_peak_bytes = sqlite3_column_int64(q, 5);
	sqlite3_reset(q);
	q = store_query(s, "SELECT next_item, ending FROM run_stage WHERE run = ? AND stage = ?", "it",
		x->now.id, name_of(x));
	if (!q || sqlite3_step(q) != SQLITE_ROW)
		return ERR_STORE;
	x->next = sqlite3_column_int64(q, 0);
	x->closing = (enum stage_state)sqlite3_column_int64(q, 1);
	sqlite3_reset(q);
	return 0;
}

int foreach_resume(struct run_now *run, size_t stage)
{
	struct expansion *x = NULL;
	int r = store_change(run->p->o.store);

	if (r == 0) /* what was running is back in the queue */
		r = store_exec(run->p->o.store,
			"UPDATE run_item SET state = 1 WHERE run = ? AND stage = ? AND state = 2", "it",
			run->id, run->w->stages[stage].name);
	if (r == 0)
		r = make(run, stage, &x);
	if (r == 0)
		r = read_progress(x);
	if (r < 0)
		return r;
	ensure(x);
	return x->closing ? step(x) : begin_list(run, x);
}

/* ---- tasks ---- */

void foreach_started(struct pipelines *p, const struct task *t, struct utc_time at, const char *image_digest)
{
	struct expansion *x = find(p, t->run, t->stage);
	int r = store_exec(p->o.store,
		"UPDATE run_item SET state = 2, started_ns = ?, attempts = ?, reason = NULL"
		" WHERE run = ? AND stage = ? AND item = ?",
		"iiiti", at.ns, (int64_t)t->attempt, t->run, t->stage, t->item);

	if (r == 0 && x && !x->running) {
		x->running = true;
		r = store_exec(p->o.store,
			"UPDATE run_stage SET started_ns = ifnull(started_ns, ?), image_digest = ?,"
			" attempts = 1 WHERE run = ? AND stage = ?",
			"itit", at.ns, image_digest, t->run, t->stage);
		if (r == 0 && !x->closing)
			r = run_set_stage(&x->now, x->stage, STAGE_RUNNING, NULL);
	}
	if (r < 0) {
		log_error("run %lld: the start of %s is not recorded", (long long)t->run, t->stage);
		store_fail(p->o.store);
	}
}

int foreach_again(struct pipelines *p, const struct task *t, const char *reason)
{
	return store_exec(p->o.store,
		"UPDATE run_item SET state = 6, reason = ? WHERE run = ? AND stage = ? AND item = ?", "titi",
		reason, t->run, t->stage, t->item);
}

static void add_use(struct expansion *x, const struct task_end *end)
{
	x->wall_ns += end->wall_ns;
	x->cpu_ns += end->cpu_ns;
	if ((int64_t)end->memory_peak_bytes > x->memory_peak_bytes)
		x->memory_peak_bytes = (int64_t)end->memory_peak_bytes;
}

int foreach_ended(
	struct pipelines *p, const struct task *t, enum task_state state, const struct task_end *end)
{
	struct expansion *x = find(p, t->run, t->stage);
	enum stage_state now = state == TASK_DONE        ? STAGE_DONE
			       : state == TASK_CANCELLED ? STAGE_CANCELLED
							 : STAGE_FAILED;
	char reason[TASK_REASON_BYTES];
	int r = store_exec(p->o.store,
		"UPDATE run_item SET state = ?, reason = ?, ended_ns = ?, wall_ns = ?, cpu_ns = ?,"
		" memory_peak_bytes = ? WHERE run = ? AND stage = ? AND item = ?",
		"itiiiiiti", (int64_t)now, *end->reason ? end->reason : NULL, clock_utc().ns, end->wall_ns,
		end->cpu_ns, (int64_t)end->memory_peak_bytes, t->run, t->stage, t->item);

	if (r < 0 || !x)
		return r;
	x->in_flight--;
	x->done += now == STAGE_DONE;
	add_use(x, end);
	/* An element that an operator cancelled is left out; one that fails, fails the stage. */
	if (now == STAGE_FAILED && !x->closing) {
		int n = snprintf(reason, sizeof(reason), "element %lld: ", (long long)t->item);
		snprintf(reason + n, sizeof(reason) - (size_t)n, "%.*s", (int)sizeof(reason) - n - 1,
			end->reason);
		r = close_early(x, STAGE_FAILED, reason);
	}
	return r == 0 ? step(x) : r;
}

/* ---- an early end ---- */

/* Tasks that wait end within this call and are heard of as any other. */
static int cancel_elements(struct expansion *x, const char *why)
{
	struct pipelines *p = x->now.p;
	int64_t tasks[WF_PARALLEL_MAX];
	size_t n = 0;
	sqlite3_stmt *q = store_query(p->o.store,
		"SELECT task FROM run_item WHERE run = ? AND stage = ? AND item >= ? AND state IN (1, 2, 6)",
		"iti", x->now.id, name_of(x), (int64_t)0);

	int rc = SQLITE_ERROR;
	while (q && n < ARRAY_LEN(tasks) && (rc = sqlite3_step(q)) == SQLITE_ROW)
		tasks[n++] = sqlite3_column_int64(q, 0);
	if (q)
		sqlite3_reset(q);
	if (rc != SQLITE_DONE && rc != SQLITE_ROW)
		return ERR_STORE;
	for (size_t i = 0; i < n; i++) {
		struct queue_target target = {.scope = QUEUE_TASK, .id = tasks[i]};
		char reason[TASK_REASON_BYTES];
		int r = scheduler_cancel(p->o.scheduler, &target, why, reason, sizeof(reason));
		if (r < 0 && r != ERR_STATE && r != ERR_UNKNOWN) /* those are over already */
			return r;
	}
	return 0;
}

/* No further element begins, those in flight are ended. `step` goes on when the last of them is over. */
static int close_early(struct expansion *x, enum stage_state then, const char *why)
{
	struct pipelines *p = x->now.p;
	bool was_working = x->working;
	int r = store_exec(p->o.store,
		"UPDATE run_stage SET ending = ?, reason = ? WHERE run = ? AND stage = ?", "itit",
		(int64_t)then, why, x->now.id, name_of(x));

	x->closing = then;
	x->again.ns = 0;
	/* Held, so that an element that ends within the call does not take it from under our feet. */
	x->working = true;
	if (r == 0)
		r = cancel_elements(x, why);
	x->working = was_working;
	return r;
}

int foreach_stop(struct run_now *run, size_t stage, enum stage_state then, const char *why)
{
	struct expansion *x = find(run->p, run->id, run->w->stages[stage].name);

	if (!x)
		return run_set_stage(run, stage, then, why);
	int r = store_change(run->p->o.store);
	if (r == 0)
		r = close_early(x, then, why);
	return r == 0 ? step(x) : r;
}

int foreach_more(struct pipelines *p)
{
	struct mono_time now = clock_mono();
	int r = 0;

	for (struct expansion *x = p->expansions, *next; x && r == 0; x = next) {
		next = x->next_one;
		if (x->again.ns && x->again.ns <= now.ns)
			r = plan_work(x);
		else if (x->step == EXPAND_WORK)
			r = step(x);
	}
	return r;
}

struct mono_time foreach_again_at(const struct pipelines *p)
{
	struct mono_time first = {0};

	for (const struct expansion *x = p->expansions; x; x = x->next_one)
		if (x->again.ns && (first.ns == 0 || x->again.ns < first.ns))
			first = x->again;
	return first;
}
