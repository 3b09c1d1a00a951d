/* SPDX-License-Identifier: Apache-2.0 */
/* What the commands share: options, where the state is, asking the supervisor, printing. */
#ifndef GROUND_CMD_TOOLS_H
#define GROUND_CMD_TOOLS_H

#include <cjson/cJSON.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define STATE_OF_RUNS "perigee-runs" /* of `perigee run`, in the current folder */
#define STATE_OF_FLIGHT "/var/lib/perigee"

/* `given`, else $PERIGEE_STATE, else ./perigee-runs if it is there, else /var/lib/perigee. Borrowed. */
const char *state_dir(const char *given);

/* A whole number from 0 to max; -1 for anything else. */
int64_t whole_number(const char *text, int64_t max);

void print_json(const cJSON *j);
/* "-" for NULL. */
const char *or_dash(const char *text);
/* Text of a stage, on one line of a terminal: control characters are shown as \xNN, so that none can act. */
void print_harmless(FILE *to, const char *text, size_t len, bool keep_lines);

/* NAME=VALUE into an object; the value is JSON where it can be read as such, else text. -EINVAL. */
int add_param(cJSON *params, const char *arg);

/* Asks the supervisor of this state folder; takes `request` over. 0 with its answer, which the caller
 * deletes; else it has said on standard error what is wrong, and returns the exit status: 69 nobody answers,
 * 66 there is no such thing, 65 it is not in a state for that or the request has a mistake, 75 not now (a
 * limit, a full disk), 70. */
int ask_supervisor(
	const char *state, cJSON *request, const int *fds, size_t n_fds, int timeout_s, cJSON **ret_reply);

#define ASK_TIMEOUT_S 10

#endif
