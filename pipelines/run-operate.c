/* SPDX-License-Identifier: Apache-2.0 */
/* What an operator decides about a run: a stage that asks for approval. */
#include <errno.h>
#include <string.h>

#include "core/log.h"
#include "runs.h"

static int find_asking(struct run_now *run, const char *stage, size_t *ret_at, char *ret_reason, size_t cap)
{
	if (!workflow_find_stage(run->w, stage, ret_at)) {
		snprintf(ret_reason, cap, "run %lld has no stage %s", (long long)run->id, stage);
		return ERR_UNKNOWN;
	}
	if (run->state != RUN_OPEN || run->stages[*ret_at].state != STAGE_ASKING) {
		snprintf(ret_reason, cap, "stage %s does not ask for approval: it is %s", stage,
			stage_state_name(run->stages[*ret_at].state));
		return ERR_STATE;
	}
	return 0;
}

static int decide(struct run_now *run, size_t at, bool yes, const char *who)
{
	char reason[160];
	int r = store_change(run->p->o.store);

	if (r == 0)
		r = store_exec(run->p->o.store,
			"UPDATE run_stage SET approved_by = ?, approved_ns = ? WHERE run = ? AND stage = ?",
			"tiit", who, clock_utc().ns, run->id, run->w->stages[at].name);
	if (r < 0)
		return r;
	run->stages[at].approved = true;
	if (yes)
		return run_begin_stage(run, at);
	snprintf(reason, sizeof(reason), "rejected by %s", who);
	return run_set_stage(run, at, STAGE_FAILED, reason);
}

int pipelines_approve(struct pipelines *p, int64_t id, const char *stage, bool yes, const char *who,
	char *ret_reason, size_t cap)
{
	struct run_now run;
	size_t at;
	int r = run_load(p, id, &run);

	ret_reason[0] = '\0';
	if (r < 0) {
		snprintf(ret_reason, cap, "run %lld: %s", (long long)id,
			r == ERR_UNKNOWN ? "there is no such run" : err_text(r));
		return r;
	}
	r = find_asking(&run, stage, &at, ret_reason, cap);
	if (r == 0) {
		runs_enter(p);
		r = decide(&run, at, yes, who);
		if (r == 0)
			r = run_touch(p, id);
		r = runs_leave(p, r);
	}
	run_finish(&run);
	if (r < 0 && !ret_reason[0])
		snprintf(ret_reason, cap, "%s", err_text(r));
	return r;
}
