/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The launcher: takes start and kill requests from one socket, keeps one or two cells prepared, watches time
 * limits, reports ends. Single-threaded; never blocks for longer than making a cell takes (a few
 * milliseconds).
 */
#ifndef SANDBOX_LAUNCHER_H
#define SANDBOX_LAUNCHER_H

#include "core/err.h"

struct launcher_server;

/* `sock` is the supervisor's socket, non-blocking from here on; owned. Negative with the reason. */
WARN_UNUSED int launcher_server_create(
	int sock, struct launcher_server **ret_server, char *ret_reason, size_t cap);
/* Runs until the supervisor is gone or SIGTERM. 0, or negative. Every stage is dead when it returns. */
WARN_UNUSED int launcher_server_run(struct launcher_server *s);
void launcher_server_destroy(struct launcher_server *s);

#endif
