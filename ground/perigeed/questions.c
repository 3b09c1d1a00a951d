/* SPDX-License-Identifier: Apache-2.0 */
/* What can be asked about the queue. Nothing changes by it. */
#include <errno.h>
#include <string.h>

#include "asks.h"
#include "core/json.h"

#define QUEUE_SHOWN 50

int ask_queue(struct perigeed *d, struct control_call *call, const cJSON *request, cJSON **ret_body,
	char *ret_reason, size_t cap)
{
	int64_t limit = json_int(request, "limit", QUEUE_SHOWN);

	if (limit < 0 || limit > QUEUE_LIST_MAX) {
		snprintf(ret_reason, cap, "limit: expected 0 to %d", QUEUE_LIST_MAX);
		return -EINVAL;
	}
	int r = scheduler_list(d->scheduler, (size_t)limit, ret_body);
	return r < 0 ? r : ASK_ANSWERED;
}

int ask_explain(struct perigeed *d, struct control_call *call, const cJSON *request, cJSON **ret_body,
	char *ret_reason, size_t cap)
{
	int64_t task = json_int(request, "task", 0), run = json_int(request, "run", 0);
	const char *stage = json_str(request, "stage");
	int r = 0;

	if (run > 0 && stage)
		r = run_stage_task(d->store, run, stage, json_int(request, "item", -1), &task);
	if (r == ERR_UNKNOWN)
		snprintf(ret_reason, cap, "no task of run %lld, stage %.64s is or was in the queue",
			(long long)run, stage);
	else if (r == 0 && task <= 0)
		r = -EINVAL;
	if (r == -EINVAL)
		snprintf(ret_reason, cap, "expected task (a number), or run (a number) and stage (a name)");
	if (r < 0)
		return r;
	r = scheduler_explain(d->scheduler, task, ret_body);
	if (r == ERR_UNKNOWN)
		snprintf(ret_reason, cap,
			"there is no task %lld, or it is over for so long that it was forgotten",
			(long long)task);
	return r < 0 ? r : ASK_ANSWERED;
}
