/* SPDX-License-Identifier: Apache-2.0 */
#include "view.h"

cJSON *view_object(struct view *v, cJSON *parent, const char *name)
{
	cJSON *o = cJSON_AddObjectToObject(parent, name);

	v->bad |= !o;
	return o;
}

cJSON *view_array(struct view *v, cJSON *parent, const char *name)
{
	cJSON *a = cJSON_AddArrayToObject(parent, name);

	v->bad |= !a;
	return a;
}

cJSON *view_element(struct view *v, cJSON *array)
{
	cJSON *o = cJSON_CreateObject();

	if (o && cJSON_AddItemToArray(array, o))
		return o;
	cJSON_Delete(o);
	v->bad = true;
	return NULL;
}

void view_number(struct view *v, cJSON *o, const char *name, double number)
{
	v->bad |= !cJSON_AddNumberToObject(o, name, number);
}

void view_text(struct view *v, cJSON *o, const char *name, const char *text)
{
	v->bad |= !cJSON_AddStringToObject(o, name, text);
}

void view_time(struct view *v, cJSON *o, const char *name, struct utc_time at)
{
	char text[UTC_TEXT_BYTES];

	utc_format(at, text);
	view_text(v, o, name, text);
}

void view_task(struct view *v, cJSON *o, const struct task *t)
{
	view_number(v, o, "task", (double)t->id);
	view_number(v, o, "run", (double)t->run);
	view_text(v, o, "stage", t->stage);
	if (t->item >= 0)
		view_number(v, o, "item", (double)t->item);
	view_text(v, o, "payload", t->payload);
	view_text(v, o, "workflow", t->workflow);
	view_number(v, o, "priority", t->priority);
	view_number(v, o, "attempt", t->attempt);
	view_number(v, o, "cpus_milli", t->cpus_milli);
	view_number(v, o, "memory_bytes", (double)t->memory_bytes);
}

void view_load(struct view *v, cJSON *o, const struct load *l)
{
	view_number(v, o, "tasks", (double)l->tasks);
	view_number(v, o, "cpus_milli", (double)l->cpus_milli);
	view_number(v, o, "memory_bytes", (double)l->memory_bytes);
}

void view_target(struct view *v, cJSON *o, const struct order *order)
{
	static const char *const scopes[QUEUE_SCOPE_MAX] = {"task", "run", "workflow", "payload", "all"};

	view_text(v, o, "scope", (unsigned)order->scope < QUEUE_SCOPE_MAX ? scopes[order->scope] : "unknown");
	if (order->scope <= QUEUE_RUN)
		view_number(v, o, "id", (double)order->id);
	else if (order->scope != QUEUE_ALL)
		view_text(v, o, "name", order->name);
}
