/* SPDX-License-Identifier: Apache-2.0 */
/* A plan in JSON, for people and scripts. */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "core/json.h"
#include "plan.h"

#define TIMES_SHOWN 3 /* of a schedule */

static bool text(cJSON *j, const char *key, const char *value)
{
	return !value || cJSON_AddStringToObject(j, key, value);
}

static bool number(cJSON *j, const char *key, double value)
{
	return cJSON_AddNumberToObject(j, key, value);
}

/* Of nanoseconds; nothing for 0. */
static bool duration(cJSON *j, const char *key, int64_t ns)
{
	return ns == 0 || number(j, key, (double)ns / 1e9);
}

static bool owned(cJSON *j, const char *key, cJSON *value)
{
	if (value && cJSON_AddItemToObject(j, key, value))
		return true;
	cJSON_Delete(value);
	return false;
}

/* ---- what starts it ---- */

static bool add_times(cJSON *j, const struct wf_trigger *t, struct utc_time now)
{
	cJSON *list = cJSON_AddArrayToObject(j, "next");
	char formatted[UTC_TEXT_BYTES];

	for (int i = 0; list && i < TIMES_SHOWN; i++) {
		now = t->kind == WF_TRIGGER_CRON ? cron_next(&t->cron, now)
						 : (struct utc_time){now.ns + t->every_ns};
		if (now.ns == 0)
			break;
		utc_format(now, formatted);
		cJSON_AddItemToArray(list, cJSON_CreateString(formatted));
	}
	return list;
}

static cJSON *trigger_json(const struct wf_trigger *t, struct utc_time now)
{
	static const char *const on[] = {"", "done", "failed", "any"};
	cJSON *j = cJSON_CreateObject();
	bool ok = j;

	switch (t->kind) {
	case WF_TRIGGER_FRAME:
		ok = ok && text(j, "event", t->event) && text(j, "device", t->device);
		break;
	case WF_TRIGGER_ORBIT:
		ok = ok && text(j, "event", t->event) && text(j, "place", t->place);
		break;
	case WF_TRIGGER_EVERY:
		ok = ok && duration(j, "every_s", t->every_ns) && add_times(j, t, now);
		break;
	case WF_TRIGGER_CRON:
		ok = ok && text(j, "cron", t->cron_text) && add_times(j, t, now);
		break;
	case WF_TRIGGER_COMPLETED:
		ok = ok && text(j, "completed", t->workflow) && text(j, "on", on[t->on]);
		break;
	}
	if (ok)
		return j;
	cJSON_Delete(j);
	return NULL;
}

static bool add_start(cJSON *j, const struct workflow *w, struct utc_time now)
{
	cJSON *triggers = cJSON_AddArrayToObject(j, "triggers"),
	      *inputs = cJSON_AddArrayToObject(j, "inputs");
	const char *name;

	for (size_t i = 0; triggers && i < w->n_triggers; i++) {
		cJSON *one = trigger_json(&w->triggers[i], now);
		if (!one || !cJSON_AddItemToArray(triggers, one))
			return false;
	}
	for (size_t i = 0; inputs && (name = workflow_trigger_input(w, i)); i++)
		cJSON_AddItemToArray(inputs, cJSON_CreateString(name));
	return triggers && inputs;
}

/* ---- stages ---- */

/* The node that ends when all of this one does: a run inside ends later than its stage began. */
static double end_of(const struct plan *p, size_t node)
{
	for (size_t g = 1; p->nodes[node].stage->uses && g < p->n_groups; g++)
		if (p->groups[g].node == node)
			return p->nodes[p->groups[g].last].end_s;
	return p->nodes[node].end_s;
}

static bool add_needs(cJSON *j, const struct plan *p, const struct plan_node *n)
{
	const struct workflow *w = p->groups[n->group].w;
	cJSON *list = cJSON_AddArrayToObject(j, "needs");

	for (size_t i = 0; list && i < n->stage->n_needs; i++)
		cJSON_AddItemToArray(list, cJSON_CreateString(w->stages[n->stage->needs[i]].name));
	return list;
}

static bool add_cost(cJSON *j, const struct plan_node *n)
{
	const struct wf_stage *s = n->stage;

	return number(j, "cpus", s->cpus_milli / 1000.0) &&
	       number(j, "memory_bytes", (double)s->memory_bytes) && duration(j, "time_s", s->time_ns) &&
	       number(j, "attempts", s->retry.limit + 1.0) &&
	       (!s->energy_mj || number(j, "energy_j", (double)s->energy_mj / 1000));
}

static bool add_foreach(cJSON *j, const struct plan_node *n)
{
	return n->stage->foreach.source == WF_NO_FOREACH ||
	       (number(j, n->elements_known ? "elements" : "elements_at_most", n->elements) &&
		       number(j, "parallel", n->parallel));
}

static cJSON *stage_json(const struct plan *p, size_t node)
{
	static const char *const roles[] = {NULL, "on_failure", "on_exit"};
	const struct plan_node *n = &p->nodes[node];
	const struct wf_stage *s = n->stage;
	cJSON *j = cJSON_CreateObject();
	bool ok = j && text(j, "stage", n->name) && text(j, "image", s->image) && text(j, "uses", s->uses) &&
		  text(j, "runtime",
			  !s->image        ? NULL
			  : s->guest_bytes ? "unikernel"
					   : "container") &&
		  text(j, "role", roles[s->role]) && add_needs(j, p, n) && text(j, "when", s->when_text) &&
		  text(j, "approve", s->approve ? s->approve_text : NULL) &&
		  duration(j, "timeout_s", s->timeout_ns) &&
		  (!s->cache || cJSON_AddTrueToObject(j, "cache")) && (s->uses || add_cost(j, n)) &&
		  add_foreach(j, n);

	if (ok && n->left_out)
		ok = text(j, "left_out", n->why);
	else if (ok && isnan(n->start_s))
		ok = text(j, "left_out", "if all before it takes its longest, a timeout or the deadline comes first");
	else if (ok)
		ok = number(j, "wave", (double)n->wave) && number(j, "starts_s", n->start_s) &&
		     number(j, "ends_s", end_of(p, node)) &&
		     (!n->capped || cJSON_AddTrueToObject(j, "cut_short"));
	if (ok)
		return j;
	cJSON_Delete(j);
	return NULL;
}

struct place {
	const struct plan_node *n;
	size_t node;
};

/* What is left out comes last. */
static int by_time(const void *a, const void *b)
{
	const struct place *x = a, *y = b;
	double s = isnan(x->n->start_s) ? INFINITY : x->n->start_s,
	       t = isnan(y->n->start_s) ? INFINITY : y->n->start_s;

	if (s < t || t < s)
		return s < t ? -1 : 1;
	return x->node < y->node ? -1 : x->node > y->node;
}

static bool add_stages(cJSON *j, const struct plan *p)
{
	CLEAN_FREE struct place *order = calloc(p->n_nodes, sizeof(*order));
	cJSON *list = cJSON_AddArrayToObject(j, "stages");
	size_t n = 0;

	for (size_t i = 0; order && i < p->n_nodes; i++)
		if (p->nodes[i].stage)
			order[n++] = (struct place){.n = &p->nodes[i], .node = i};
	if (!order || !list)
		return false;
	qsort(order, n, sizeof(*order), by_time);
	for (size_t i = 0; i < n; i++) {
		cJSON *stage = stage_json(p, order[i].node);
		if (!stage || !cJSON_AddItemToArray(list, stage))
			return false;
	}
	return true;
}

/* From the event to the end that comes last: each began because the one before it ended. */
static bool add_path(cJSON *j, const struct plan *p, size_t last)
{
	cJSON *list = cJSON_AddArrayToObject(j, "critical_path");

	for (size_t at = last; list && at != PLAN_NONE; at = p->nodes[at].because)
		if (p->nodes[at].stage)
			cJSON_InsertItemInArray(list, 0, cJSON_CreateString(p->nodes[at].name));
	return list;
}

/* ---- all of it ---- */

static bool add_sums(cJSON *j, const struct plan *p)
{
	cJSON *asks = cJSON_CreateArray(), *lists = cJSON_CreateArray(), *unknown = cJSON_CreateArray();
	double executions = 0, cpu_s = 0, energy_j = 0;
	bool energy_known = true;

	for (size_t i = 0; asks && lists && unknown && i < p->n_nodes; i++) {
		const struct plan_node *n = &p->nodes[i];
		const struct wf_stage *s = n->stage;

		if (!s || n->left_out)
			continue;
		if (s->approve)
			cJSON_AddItemToArray(asks, cJSON_CreateString(n->name));
		if (!n->elements_known)
			cJSON_AddItemToArray(lists, cJSON_CreateString(n->name));
		if (n->unknown)
			cJSON_AddItemToArray(unknown, cJSON_CreateString(n->name));
		if (s->uses)
			continue;
		double times = n->elements * (s->retry.limit + 1.0);
		executions += times;
		cpu_s += times * s->cpus_milli / 1000.0 * ((double)s->time_ns / 1e9);
		energy_j += times * (double)s->energy_mj / 1000;
		energy_known = energy_known && s->energy_mj;
	}
	bool ok = owned(j, "waits_for_approval", asks);
	ok = owned(j, "elements_not_known", lists) && ok;
	ok = owned(j, "runs_not_known", unknown) && ok;
	return ok && number(j, "executions_at_most", executions) && number(j, "cpu_s_at_most", cpu_s) &&
	       number(j, "energy_j_declared", energy_j) &&
	       cJSON_AddBoolToObject(j, "energy_declared_by_all", energy_known);
}

static bool add_room(cJSON *j, const char *key, const struct plan_room *room)
{
	cJSON *o = cJSON_AddObjectToObject(j, key);

	return o && number(o, "cpus", room->cpus_milli / 1000.0) &&
	       number(o, "memory_bytes", (double)room->memory_bytes) && number(o, "tasks", room->tasks);
}

static bool add_products(cJSON *j, const struct plan *p)
{
	const struct workflow *w = p->groups[0].w;
	cJSON *list = cJSON_AddArrayToObject(j, "downlink");
	double total = 0;

	for (size_t i = 0; list && i < w->n_products; i++) {
		const struct wf_product *product = &w->products[i];
		const struct wf_stage *s = &w->stages[product->stage];
		const struct wf_output *o = &s->outputs[product->output];
		char name[2 * 64 + 2];
		cJSON *one = cJSON_CreateObject();
		double bytes = (double)o->max_bytes;

		for (size_t k = 0; s->foreach.source != WF_NO_FOREACH && k < p->n_nodes; k++)
			if (p->nodes[k].stage == s && p->nodes[k].group == 0)
				bytes = fmin(bytes * p->nodes[k].elements,
					o->type == WF_JSON ? WF_JOINED_JSON_BYTES_MAX : WF_OUTPUT_BYTES_MAX);
		snprintf(name, sizeof(name), "%s.%s", s->name, o->name);
		total += bytes;
		if (!one || !cJSON_AddItemToArray(list, one) || !text(one, "product", name) ||
			!number(one, "priority", product->priority) ||
			(!s->uses && !number(one, "bytes_at_most", bytes)) ||
			!duration(one, "keep_s", product->keep_ns))
			return false;
	}
	return list && number(j, "downlink_bytes_at_most", total);
}

static bool add_head(cJSON *j, const struct plan *p, struct utc_time now)
{
	const struct workflow *w = p->groups[0].w;

	return text(j, "workflow", w->name) && text(j, "payload", w->payload) &&
	       number(j, "priority", w->priority) && duration(j, "deadline_s", w->deadline_ns) &&
	       duration(j, "timeout_s", w->timeout_ns) &&
	       (!w->max_runs || number(j, "max_runs", w->max_runs)) && add_start(j, w, now) &&
	       owned(j, "params", cJSON_Duplicate(p->groups[0].params, true));
}

/* Elements that were told of: of a foreach whose list a stage makes. */
static int check_elements(const struct plan *p, const cJSON *elements)
{
	const cJSON *one;

	cJSON_ArrayForEach(one, elements)
	{
		const struct wf_stage *s = NULL;

		for (size_t i = 0; i < p->n_nodes && !s; i++)
			if (p->nodes[i].name && !strcmp(p->nodes[i].name, one->string))
				s = p->nodes[i].stage;
		if (s && s->foreach.source == WF_OVER_OUTPUT && one->valuedouble >= 0 &&
			one->valuedouble <= WF_ITEMS_MAX)
			continue;
		snprintf(p->why, WF_REASON_BYTES,
			!s ? "there is no stage \"%.60s\""
			: s->foreach.source == WF_OVER_OUTPUT
				? "elements of %.60s: expected at most 10000"
				: "the elements of %.60s are known: its list is not made by a stage",
			one->string);
		return ERR_CHECKED;
	}
	return 0;
}

int workflow_plan(const struct plan_request *request, cJSON **ret_plan, char *ret_reason, size_t cap)
{
	char why[WF_REASON_BYTES] = "";
	struct plan p = {.others = request->others,
		.n_others = request->n_others,
		.items = request->elements,
		.why = why};
	struct plan_room room = {request->cpus_milli ? request->cpus_milli : UINT32_MAX / 2, request->tasks,
		request->memory_bytes ? request->memory_bytes : UINT64_MAX / 2};
	struct plan_result alone, late, result;
	int r = plan_build(&p, request->workflow, request->params);

	if (r == 0)
		r = check_elements(&p, request->elements);
	if (r == 0)
		r = plan_simulate(&p, &room, &(struct plan_course){0}, &alone);
	if (r == 0)
		r = plan_simulate(&p, &room, &(struct plan_course){.timeouts = true, .late = true}, &late);
	if (r == 0)
		r = plan_simulate(&p, &room, &(struct plan_course){.timeouts = true}, &result);
	cJSON *j = r == 0 ? cJSON_CreateObject() : NULL;
	bool ok = j && add_head(j, &p, request->now) && add_stages(j, &p) && add_path(j, &p, result.last) &&
		  add_room(j, "needs_at_once", &result.peak) && number(j, "stages_end_s", alone.end_s) &&
		  number(j, "ends_s", result.end_s) && add_sums(j, &p) && add_products(j, &p);
	if (ok)
		ok = isfinite(late.end_s) ? number(j, "ends_at_the_latest_s", fmax(late.end_s, result.end_s))
					  : cJSON_AddNullToObject(j, "ends_at_the_latest_s") != NULL;
	plan_finish(&p);
	if (ok) {
		*ret_plan = j;
		return 0;
	}
	cJSON_Delete(j);
	snprintf(ret_reason, cap, "%s", r < 0 && *why ? why : err_text(r < 0 ? r : -ENOMEM));
	return r < 0 ? r : -ENOMEM;
}
