/* SPDX-License-Identifier: Apache-2.0 */
/* Between cmd-dry-run.c and its printing. */
#ifndef GROUND_CMD_DRY_RUN_H
#define GROUND_CMD_DRY_RUN_H

#include <cjson/cJSON.h>

/* Of workflow_plan, with `budget` and `mission` added. */
void dry_run_print(const cJSON *plan);

#endif
