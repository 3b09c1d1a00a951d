/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log of a stage: the supervisor's end of the pipe that is its standard output and error. What comes is
 * kept up to a limit; after that it is drained slowly, so that a flood blocks the stage instead of busying
 * us.
 */
#ifndef SANDBOX_STAGE_LOG_H
#define SANDBOX_STAGE_LOG_H

#include "sandbox.h"

struct stage_logs; /* all of one launcher */
struct stage_log;

WARN_UNUSED int stage_logs_create(uv_loop_t *loop, struct stage_logs **ret_logs);
/* Every log must be closed. Memory is freed when the loop has closed the handles. */
void stage_logs_destroy(struct stage_logs *logs);

/* `keep_fd` (or -1) is borrowed until stage_log_close. The caller closes ret_write_fd when it is handed over.
 */
WARN_UNUSED int stage_log_open(struct stage_logs *logs, int keep_fd, uint64_t max_bytes,
	struct stage_log **ret_log, int *ret_write_fd);
/* Takes what is still in the pipe. Fills the result's log_bytes, log_cut and last_line when it is not NULL.
 */
void stage_log_close(struct stage_log *log, struct launch_result *result);

#endif
