/* SPDX-License-Identifier: Apache-2.0 */
/* What explain and list share: JSON of tasks and orders. */
#ifndef SCHEDULER_VIEW_H
#define SCHEDULER_VIEW_H

#include "queue.h"

/* Adding never fails by itself; `bad` says at the end whether something is missing (no memory). */
struct view {
	bool bad;
};

cJSON *view_object(struct view *v, cJSON *parent, const char *name);
cJSON *view_array(struct view *v, cJSON *parent, const char *name);
cJSON *view_element(struct view *v, cJSON *array); /* an object in it */
void view_number(struct view *v, cJSON *o, const char *name, double number);
void view_text(struct view *v, cJSON *o, const char *name, const char *text);
void view_time(struct view *v, cJSON *o, const char *name, struct utc_time at);

void view_task(struct view *v, cJSON *o, const struct task *t);
void view_load(struct view *v, cJSON *o, const struct load *l);
void view_target(struct view *v, cJSON *o, const struct order *order);

#endif
