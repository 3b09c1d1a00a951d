/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include <sysexits.h>

#include "core/log.h"
#include "perigeed.h"

static void print_line(void *arg)
{
	puts(arg);
	fflush(stdout);
	free(arg);
}

static void emit(struct perigeed *d, cJSON *event)
{
	char *line = event ? cJSON_PrintUnformatted(event) : NULL;

	cJSON_Delete(event);
	if (line && store_effect(d->store, print_line, line, free) < 0)
		free(line);
}

void on_stage(void *user, int64_t run, const char *stage, const char *state, const char *reason)
{
	struct perigeed *d = user;
	cJSON *j;

	if (!strcmp(state, "failed"))
		log_warning("run %lld: stage %s failed: %s", (long long)run, stage, reason ? reason : "");
	else
		log_debug("run %lld: stage %s: %s %s", (long long)run, stage, state, reason ? reason : "");
	if (!d->o->events || !(j = cJSON_CreateObject()))
		return;
	cJSON_AddStringToObject(j, "event", "stage");
	cJSON_AddNumberToObject(j, "run", (double)run);
	cJSON_AddStringToObject(j, "stage", stage);
	cJSON_AddStringToObject(j, "state", state);
	if (reason)
		cJSON_AddStringToObject(j, "reason", reason);
	emit(d, j);
}

void on_storage(struct perigeed *d, const char *state, const char *reason)
{
	cJSON *j = d->o->events ? cJSON_CreateObject() : NULL;

	if (!j)
		return;
	cJSON_AddStringToObject(j, "event", "storage");
	cJSON_AddStringToObject(j, "state", state);
	if (reason)
		cJSON_AddStringToObject(j, "reason", reason);
	/* Not after the commit: that may be what waits. */
	char *line = cJSON_PrintUnformatted(j);
	cJSON_Delete(j);
	if (line)
		print_line(line);
}

static void stop_after_run(void *arg)
{
	stop(arg, 0);
}

void on_run_ended(void *user, int64_t run)
{
	struct perigeed *d = user;

	if (d->o->events) {
		cJSON *j = cJSON_CreateObject();
		cJSON_AddStringToObject(j, "event", "run");
		cJSON_AddItemToObject(j, "run", run_provenance(d->store, run));
		emit(d, j);
	}
	if (d->o->run && run == d->run && store_effect(d->store, stop_after_run, d, NULL) < 0)
		stop(d, EX_SOFTWARE);
}
