/* SPDX-License-Identifier: Apache-2.0 */
/* What an operator orders of the queue and of runs. Each is within one turn; the answer follows its commit.
 */
#include <errno.h>
#include <string.h>

#include "asks.h"
#include "core/json.h"

static int bad(char *ret_reason, size_t cap, const char *text)
{
	snprintf(ret_reason, cap, "%s", text);
	return -EINVAL;
}

/* One of task, run, workflow, payload, all; names are borrowed from the request. */
static int read_target(const cJSON *request, struct queue_target *ret, char *ret_reason, size_t cap)
{
	static const struct {
		const char *key;
		enum queue_scope scope;
	} keys[] = {{"task", QUEUE_TASK}, {"run", QUEUE_RUN}, {"workflow", QUEUE_WORKFLOW},
		{"payload", QUEUE_PAYLOAD}, {"all", QUEUE_ALL}};
	static const char which[] =
		"name one of task (a number), run (a number), workflow, payload, all (true)";
	struct queue_target t = {.scope = QUEUE_SCOPE_MAX};

	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		if (!cJSON_HasObjectItem(request, keys[i].key))
			continue;
		if (t.scope != QUEUE_SCOPE_MAX)
			return bad(ret_reason, cap, which);
		t.scope = keys[i].scope;
		t.id = json_int(request, keys[i].key, 0);
		t.name = json_str(request, keys[i].key);
	}
	switch (t.scope) {
	case QUEUE_TASK:
	case QUEUE_RUN:
		if (t.id <= 0)
			return bad(ret_reason, cap, which);
		break;
	case QUEUE_WORKFLOW:
	case QUEUE_PAYLOAD:
		if (!t.name || !*t.name)
			return bad(ret_reason, cap, which);
		break;
	case QUEUE_ALL:
		if (!cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(request, "all")))
			return bad(ret_reason, cap, which);
		break;
	default:
		return bad(ret_reason, cap, which);
	}
	*ret = t;
	return 0;
}

/* The answer to an order that concerned `n` tasks or runs. */
static int changed(int n, const char *what, cJSON **ret_body)
{
	cJSON *j = n < 0 ? NULL : cJSON_CreateObject();

	if (n < 0)
		return n;
	cJSON_AddNumberToObject(j, what, n);
	*ret_body = j;
	return ASK_CHANGED;
}

int ask_hold(struct perigeed *d, struct control_call *call, const cJSON *request, cJSON **ret_body,
	char *ret_reason, size_t cap)
{
	struct queue_target t;
	int r = read_target(request, &t, ret_reason, cap);

	return r < 0 ? r : changed(scheduler_hold(d->scheduler, &t, ret_reason, cap), "tasks", ret_body);
}

int ask_release(struct perigeed *d, struct control_call *call, const cJSON *request, cJSON **ret_body,
	char *ret_reason, size_t cap)
{
	struct queue_target t;
	int r = read_target(request, &t, ret_reason, cap);

	return r < 0 ? r : changed(scheduler_release(d->scheduler, &t, ret_reason, cap), "tasks", ret_body);
}

int ask_priority(struct perigeed *d, struct control_call *call, const cJSON *request, cJSON **ret_body,
	char *ret_reason, size_t cap)
{
	const cJSON *value = cJSON_GetObjectItemCaseSensitive(request, "priority");
	int64_t priority = cJSON_IsNull(value) ? QUEUE_PRIORITY_DECLARED : json_int(request, "priority", -2);
	struct queue_target t;
	int r = read_target(request, &t, ret_reason, cap);

	if (r == 0 && (priority < QUEUE_PRIORITY_DECLARED || priority > 255 ||
			      (priority == QUEUE_PRIORITY_DECLARED && !cJSON_IsNull(value))))
		r = bad(ret_reason, cap, "priority: expected 0 to 255, or null for that of the workflow");
	if (r < 0)
		return r;
	return changed(
		scheduler_reprioritise(d->scheduler, &t, (int)priority, ret_reason, cap), "tasks", ret_body);
}

int ask_cancel(struct perigeed *d, struct control_call *call, const cJSON *request, cJSON **ret_body,
	char *ret_reason, size_t cap)
{
	const char *why = json_str(request, "why");
	char text[TASK_REASON_BYTES], who[ASK_WHO_BYTES];
	struct queue_target t;
	int r = read_target(request, &t, ret_reason, cap);

	if (r < 0)
		return r;
	ask_who(call, who);
	snprintf(text, sizeof(text), "cancelled by %s%s%.150s", who, why ? ": " : "", why ? why : "");
	r = pipelines_cancel(d->pipelines, &t, text, ret_reason, cap);
	return changed(r, "cancelled", ret_body);
}

static int read_run(const cJSON *request, int64_t *ret_run, char *ret_reason, size_t cap)
{
	*ret_run = json_int(request, "run", 0);
	return *ret_run > 0 ? 0 : bad(ret_reason, cap, "run: expected a number");
}

int ask_approve(struct perigeed *d, struct control_call *call, const cJSON *request, cJSON **ret_body,
	char *ret_reason, size_t cap)
{
	const char *stage = json_str(request, "stage");
	const cJSON *yes = cJSON_GetObjectItemCaseSensitive(request, "yes");
	char who[ASK_WHO_BYTES];
	int64_t run;
	int r = read_run(request, &run, ret_reason, cap);

	if (r == 0 && (!stage || !cJSON_IsBool(yes)))
		r = bad(ret_reason, cap, "expected stage (a name) and yes (true or false)");
	if (r < 0)
		return r;
	ask_who(call, who);
	r = pipelines_approve(d->pipelines, run, stage, cJSON_IsTrue(yes), who, ret_reason, cap);
	return changed(r < 0 ? r : 1, "stages", ret_body);
}

int ask_rerun(struct perigeed *d, struct control_call *call, const cJSON *request, cJSON **ret_body,
	char *ret_reason, size_t cap)
{
	char who[ASK_WHO_BYTES];
	int64_t run, again;
	int r = read_run(request, &run, ret_reason, cap);

	if (r < 0)
		return r;
	ask_who(call, who);
	r = pipelines_rerun(d->pipelines, run, json_str(request, "from"), who, &again, ret_reason, cap);
	if (r < 0)
		return r;
	*ret_body = cJSON_CreateObject();
	cJSON_AddNumberToObject(*ret_body, "run", (double)again);
	return ASK_CHANGED;
}

int ask_event(struct perigeed *d, struct control_call *call, const cJSON *request, cJSON **ret_body,
	char *ret_reason, size_t cap)
{
	struct orbit_event e = {.event = json_str(request, "event"),
		.place = json_str(request, "place"),
		.time = clock_utc()};

	if (!e.event)
		return bad(ret_reason, cap, "event: expected a name such as pass.begin");
	return changed(pipelines_event(d->pipelines, &e, ret_reason, cap), "runs", ret_body);
}
