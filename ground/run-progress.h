/* SPDX-License-Identifier: Apache-2.0 */
/* How a run goes, for who watches it: on a terminal a tree of its stages, redrawn in place; else a line a
 * change. */
#ifndef GROUND_RUN_PROGRESS_H
#define GROUND_RUN_PROGRESS_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdio.h>

#include "pipelines.h"

struct progress;

/* Draws on `to`, as a tree when it is a terminal of `columns` and `rows` (0: it is none). NULL: out of
 * memory. */
struct progress *progress_create(FILE *to, size_t columns, size_t rows, const struct workflow *w);
void progress_destroy(struct progress *p);
/* {"event": "stage", "run": N, "stage": NAME, "state": STATE, "reason": TEXT}, as perigeed says it. A stage
 * of another run (of `uses`) is shown below, with its run. Anything else is ignored. */
void progress_event(struct progress *p, const cJSON *event);

#endif
