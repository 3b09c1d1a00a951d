/* SPDX-License-Identifier: Apache-2.0 */
/* Between the commands that look at a state folder. */
#ifndef GROUND_CMD_LOOK_H
#define GROUND_CMD_LOOK_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/store.h"

struct look {
	const char *state;
	bool json;
	int64_t limit;
	char **args;
	int n_args;
};

/* --state, --json, --limit, --help. 0 go on, 1 help was printed, negative usage. */
int look_options(int argc, char **argv, const char *help, int args_min, int args_max, struct look *ret_look);
/* 0, or the exit status after it said why. The caller closes the store. */
int look_open(const struct look *l, struct store **ret_store);
/* What started a run: its frame, or its event. Borrowed. */
const char *look_subject(const cJSON *run);

#endif
