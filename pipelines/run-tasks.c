/* SPDX-License-Identifier: Apache-2.0 */
/* Pipelines as the owner of tasks: what their starts and ends mean for the stages of a run. */
#include <string.h>

#include "core/log.h"
#include "runs.h"

void runs_task_started(void *user, const struct task *t, struct utc_time at)
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

void runs_task_ended(void *user, const struct task *t, enum task_state state, const struct task_end *end)
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
