/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "asks.h"

static void add_counts(
	cJSON *j, const char *key, const int64_t *counts, size_t n, const char *(*name)(size_t i))
{
	cJSON *o = cJSON_AddObjectToObject(j, key);

	for (size_t i = 0; o && i < n; i++)
		cJSON_AddNumberToObject(o, name(i), (double)counts[i]);
}

static const char *task_count_name(size_t i)
{
	return task_state_name((enum task_state)i);
}

static cJSON *devices_json(struct perigeed *d)
{
	cJSON *list = cJSON_CreateArray();

	for (size_t i = 0; list && i < d->n_devices; i++) {
		const struct broker_device *dev = &d->devices[i];
		cJSON *j = cJSON_CreateObject();

		if (!j || !cJSON_AddItemToArray(list, j))
			break;
		cJSON_AddStringToObject(j, "device", dev->name);
		cJSON_AddStringToObject(j, "class", dev->class);
		cJSON_AddStringToObject(j, "state", broker_device_state_names[dev->state]);
		if (dev->reason[0])
			cJSON_AddStringToObject(j, "reason", dev->reason);
		cJSON_AddNumberToObject(j, "frames", (double)dev->frames);
		cJSON_AddNumberToObject(j, "dropped", (double)dev->dropped);
		cJSON_AddNumberToObject(j, "reopened", (double)dev->reopened);
	}
	return list;
}

/* How long the loop was not waiting, at most: in that time nobody was answered. */
static void add_supervisor(struct perigeed *d, cJSON *j)
{
	cJSON *o = cJSON_AddObjectToObject(j, "supervisor");

	cJSON_AddNumberToObject(o, "loop_max_ms", (double)d->busy.max_ns / NS_PER_MS);
	cJSON_AddNumberToObject(o, "loop_max_ms_since_asked", (double)d->busy.asked_max_ns / NS_PER_MS);
	cJSON_AddNumberToObject(o, "commit_max_ms", (double)d->busy.commit_max_ns / NS_PER_MS);
	cJSON_AddNumberToObject(o, "turns", (double)d->busy.turns);
	cJSON_AddNumberToObject(o, "commits", (double)store_commits(d->store));
	d->busy.asked_max_ns = 0;
}

int ask_status(struct perigeed *d, struct control_call *call, const cJSON *request, cJSON **ret_body,
	char *ret_reason, size_t cap)
{
	int64_t tasks[TASK_STATE_MAX] = {0};
	cJSON *j = cJSON_CreateObject();

	if (!j)
		return -ENOMEM;
	cJSON_AddStringToObject(j, "mission", d->mission->name);
	cJSON_AddStringToObject(j, "spacecraft", d->mission->spacecraft);
	cJSON_AddStringToObject(j, "version", PERIGEE_VERSION);
	cJSON_AddNumberToObject(j, "uptime_s", (double)((clock_mono().ns - d->started.ns) / NS_PER_S));
	cJSON *pids = cJSON_AddObjectToObject(j, "processes");
	cJSON_AddNumberToObject(pids, "perigeed", getpid());
	cJSON_AddNumberToObject(pids, "perigee-launcher", launcher_pid(d->launcher));
	if (d->broker)
		cJSON_AddNumberToObject(pids, "perigee-broker", broker_client_pid(d->broker));
	cJSON_AddNumberToObject(j, "open_runs", (double)pipelines_open_runs(d->pipelines));
	if (scheduler_counts(d->scheduler, tasks) == 0)
		add_counts(j, "tasks", tasks, TASK_STATE_MAX, task_count_name);
	cJSON_AddItemToObject(j, "devices", devices_json(d));
	if (d->downlink)
		cJSON_AddItemToObject(j, "downlink", downlink_status(d->downlink));
	add_supervisor(d, j);
	cJSON_AddItemToObject(j, "storage", storage_status(d));
	*ret_body = j;
	return ASK_ANSWERED;
}
