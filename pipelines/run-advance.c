/* SPDX-License-Identifier: Apache-2.0 */
/* Advancing a run: what became ready is begun, what will not run is left out, and when all is settled the run
 * goes on to its handlers, and ends. All within the turn. */
#include <errno.h>
#include <string.h>

#include "core/log.h"
#include "runs.h"

/* ---- which runs ---- */

void runs_enter(struct pipelines *p)
{
	p->depth++;
}

int run_touch(struct pipelines *p, int64_t run)
{
	ensure(p->depth > 0);
	for (size_t i = 0; i < p->n_touched; i++)
		if (p->touched[i] == run)
			return 0;
	if (p->n_touched == p->cap_touched) {
		size_t cap = p->cap_touched ? 2 * p->cap_touched : 16;
		int64_t *grown = reallocarray(p->touched, cap, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		p->touched = grown;
		p->cap_touched = cap;
	}
	p->touched[p->n_touched++] = run;
	return 0;
}

static int advance(struct pipelines *p, int64_t run);

int runs_leave(struct pipelines *p, int r)
{
	ensure(p->depth > 0);
	for (size_t i = 0; p->depth == 1 && r >= 0 && i < p->n_touched; i++) {
		int64_t run = p->touched[i];

		p->touched[i] = 0; /* from here on it can be touched again */
		int advanced = advance(p, run);
		if (advanced < 0) {
			store_fail(p->o.store);
			r = advanced;
		}
	}
	if (--p->depth == 0)
		p->n_touched = 0;
	/* A refusal changes nothing; these may come half way. */
	if (r == ERR_STORE || r == -ENOMEM)
		store_fail(p->o.store);
	return r;
}

/* ---- one stage ---- */

struct reading {
	size_t stage;
	bool found;
};

static void look_for(void *user, size_t stage, size_t output)
{
	struct reading *reading = user;

	reading->found |= stage == reading->stage;
}

/* Whether a stage needs what another one makes, and not only its end. */
static bool reads(const struct wf_stage *s, size_t other)
{
	struct reading reading = {.stage = other};

	for (size_t i = 0; i < s->n_inputs; i++)
		if (s->inputs[i].from == WF_FROM_STAGE && s->inputs[i].stage == other)
			return true;
	if (s->foreach.source == WF_OVER_OUTPUT && s->foreach.stage == other)
		return true;
	if (s->when)
		expr_each_stage(s->when, look_for, &reading);
	return reading.found;
}

static bool passes(const struct run_now *run, size_t stage, size_t need)
{
	unsigned char state = run->stages[need].state;

	if (state == STAGE_DONE || run->w->stages[stage].role != WF_NORMAL)
		return true; /* handlers take what there is */
	return (state == STAGE_FAILED || state == STAGE_CANCELLED) &&
	       run->w->stages[need].on_failure == WF_CONTINUE && !reads(&run->w->stages[stage], need);
}

static const char *end_in_words(unsigned char state)
{
	return state == STAGE_FAILED ? "failed" : state == STAGE_CANCELLED ? "was cancelled" : "was left out";
}

int run_put_task(struct run_now *run, size_t stage, int64_t item, int64_t *ret_task)
{
	const struct wf_stage *s = &run->w->stages[stage];
	struct task_spec spec = {
		.run = run->id,
		.stage = s->name,
		.item = item,
		.payload = run->w->payload,
		.workflow = run->w->name,
		.priority = run->priority,
		.age_from = run->age_from,
		/* Handlers run in any case. */
		.deadline = s->role == WF_NORMAL ? run->deadline : (struct utc_time){0},
		.cpus_milli = s->cpus_milli,
		.memory_bytes = s->memory_bytes,
		.time_ns = s->time_ns,
		.energy_mj = s->energy_mj,
		.retry = {.limit = s->retry.limit,
			.on = s->retry.on,
			.backoff_ns = s->retry.backoff_ns,
			.max_backoff_ns = s->retry.max_backoff_ns,
			.jitter = s->retry.jitter},
	};
	return scheduler_put(run->p->o.scheduler, &spec, ret_task);
}

static int queue_stage(struct run_now *run, size_t stage)
{
	int r = store_change(run->p->o.store);
	int64_t task;

	if (r == 0)
		r = run_put_task(run, stage, -1, &task);
	if (r == 0)
		r = store_exec(run->p->o.store, "UPDATE run_stage SET task = ? WHERE run = ? AND stage = ?",
			"iit", task, run->id, run->w->stages[stage].name);
	if (r < 0)
		return r;
	run->stages[stage].task = task;
	return run_set_stage(run, stage, STAGE_QUEUED, NULL);
}

int run_begin_stage(struct run_now *run, size_t stage)
{
	const struct wf_stage *s = &run->w->stages[stage];
	int r = 0;

	if (s->uses)
		return uses_begin(run, stage);
	if (s->foreach.source != WF_NO_FOREACH)
		return foreach_begin(run, stage);
	if (s->cache)
		r = cache_take(run, stage, -1, NULL);
	return r == 0 ? queue_stage(run, stage) : r < 0 ? r : 0;
}

/* It is the stage's turn: 1 when it changed. */
static int begin(struct run_now *run, size_t stage)
{
	const struct wf_stage *s = &run->w->stages[stage];
	int r = timeout_begin(run, stage);

	if (r == 0 && s->approve && !run->stages[stage].approved)
		r = run_set_stage(run, stage, STAGE_ASKING, *s->approve_text ? s->approve_text : NULL);
	else if (r == 0)
		r = run_begin_stage(run, stage);
	return r < 0 ? r : 1;
}

/* Settles one waiting stage if its needs are settled: 1 when it changed. */
static int consider(struct run_now *run, size_t stage)
{
	const struct wf_stage *s = &run->w->stages[stage];
	char reason[EXPR_REASON_BYTES + 2 * 64 + 32] = "", seen[EXPR_REASON_BYTES];
	struct expr_scope scope = {.value = run_json_of, .user = run, .params = run->params};
	int r;

	if ((int64_t)s->role != run->phase)
		return 0;
	for (size_t i = 0; i < s->n_needs; i++)
		if (!stage_settled(run->stages[s->needs[i]].state))
			return 0;
	for (size_t i = 0; i < s->n_needs && !*reason; i++)
		if (!passes(run, stage, s->needs[i]))
			snprintf(reason, sizeof(reason), "needs %s, which %s",
				run->w->stages[s->needs[i]].name,
				end_in_words(run->stages[s->needs[i]].state));
	if (*reason) {
		r = run_set_stage(run, stage, STAGE_SKIPPED, reason);
		return r < 0 ? r : 1;
	}
	int go = s->when && !s->when_item ? expr_truth(s->when, &scope, seen) : 1;
	if (go > 0)
		return begin(run, stage);
	if (go == 0)
		snprintf(reason, sizeof(reason), "when %.120s: %s", s->when_text, seen);
	else
		snprintf(reason, sizeof(reason), "when: %s", seen);
	r = run_set_stage(run, stage, go == 0 ? STAGE_SKIPPED : STAGE_FAILED, reason);
	return r < 0 ? r : 1;
}

/* ---- the run ---- */

/* The first stage whose end the run does not bear; WF_NONE. */
static size_t unbearable(const struct run_now *run, enum wf_on_failure at_least)
{
	for (size_t i = 0; i < run->w->n_stages; i++) {
		const struct wf_stage *s = &run->w->stages[i];
		unsigned char state = run->stages[i].state;

		if (s->role == WF_NORMAL && (state == STAGE_FAILED || state == STAGE_CANCELLED) &&
			s->on_failure != WF_CONTINUE && (at_least != WF_CANCEL || s->on_failure == WF_CANCEL))
			return i;
	}
	return WF_NONE;
}

static void describe_failure(const struct run_now *run, size_t stage, char *ret_text, size_t cap)
{
	snprintf(ret_text, cap, "stage %s %s", run->w->stages[stage].name,
		end_in_words(run->stages[stage].state));
}

static int set_outcome(struct run_now *run, enum run_state outcome, const char *reason)
{
	char *copy = reason ? strdup(reason) : NULL;

	if (reason && !copy)
		return -ENOMEM;
	free(run->reason);
	run->reason = copy;
	run->outcome = outcome;
	return 0;
}

static int decide_outcome(struct run_now *run)
{
	char text[TASK_REASON_BYTES];
	size_t bad = unbearable(run, WF_FAIL);

	if (bad == WF_NONE)
		return set_outcome(run, RUN_DONE, NULL);
	describe_failure(run, bad, text, sizeof(text));
	return set_outcome(run, RUN_FAILED, text);
}

static bool has_role(const struct run_now *run, enum wf_role role)
{
	for (size_t i = 0; i < run->w->n_stages; i++)
		if (run->w->stages[i].role == role)
			return true;
	return false;
}

static int skip_failure_handlers(struct run_now *run)
{
	for (size_t i = 0; i < run->w->n_stages; i++) {
		if (run->w->stages[i].role != WF_ON_FAILURE || stage_settled(run->stages[i].state))
			continue;
		int r = run_set_stage(run, i, STAGE_SKIPPED, "the run has not failed");
		if (r < 0)
			return r;
	}
	return 0;
}

/* All of this phase is settled. */
static int next_phase(struct run_now *run)
{
	int r = 0;

	if (run->phase == PHASE_STAGES) {
		if (run->outcome < 0)
			r = decide_outcome(run);
		if (r == 0 && run->outcome != RUN_FAILED)
			r = skip_failure_handlers(run);
		run->phase = run->outcome == RUN_FAILED ? PHASE_ON_FAILURE : PHASE_ON_EXIT;
	} else {
		run->phase = PHASE_ON_EXIT;
	}
	if (run->phase == PHASE_ON_FAILURE && !has_role(run, WF_ON_FAILURE))
		run->phase = PHASE_ON_EXIT;
	if (r < 0 || !has_role(run, (enum wf_role)run->phase))
		return r;
	r = store_change(run->p->o.store);
	return r == 0 ? store_exec(run->p->o.store,
				"UPDATE run SET phase = ?, outcome = ?, reason = ? WHERE id = ?", "iiti",
				run->phase, run->outcome, run->reason, run->id)
		      : r;
}

static bool phase_settled(const struct run_now *run)
{
	for (size_t i = 0; i < run->w->n_stages; i++)
		if ((int64_t)run->w->stages[i].role == run->phase && !stage_settled(run->stages[i].state))
			return false;
	return true;
}

/* `on_failure: cancel` of a stage that has failed. */
static int cancel_rest(struct run_now *run)
{
	char text[TASK_REASON_BYTES];
	size_t bad = run->outcome < 0 ? unbearable(run, WF_CANCEL) : WF_NONE;

	if (bad == WF_NONE)
		return 0;
	describe_failure(run, bad, text, sizeof(text));
	return run_cancel(run, RUN_FAILED, text);
}

static int settle(struct run_now *run)
{
	for (;;) {
		bool changed = true;
		int r = 0;

		while (changed && r == 0) {
			changed = false;
			for (size_t i = 0; i < run->w->n_stages && r >= 0; i++) {
				r = run->stages[i].state == STAGE_WAITING ? consider(run, i) : 0;
				changed |= r > 0;
			}
			if (r >= 0)
				r = cancel_rest(run);
		}
		if (r < 0 || !phase_settled(run))
			return r;
		if (run->phase == PHASE_ON_EXIT)
			return run_end(run);
		r = next_phase(run);
		if (r < 0)
			return r;
	}
}

static int advance(struct pipelines *p, int64_t id)
{
	struct run_now run;
	int r = run_load(p, id, &run);

	if (r == ERR_CHECKED) {
		r = store_change(p->o.store);
		if (r == 0)
			r = store_exec(p->o.store,
				"UPDATE run SET state = ?, reason = ?, ended_ns = ? WHERE id = ?", "itii",
				(int64_t)RUN_FAILED,
				"this version does not understand the workflow that it began with",
				clock_utc().ns, id);
		return r == 0 ? run_ended(p, id) : r;
	}
	if (r < 0)
		return r;
	if (run.state == RUN_OPEN)
		r = settle(&run);
	run_finish(&run);
	return r;
}
