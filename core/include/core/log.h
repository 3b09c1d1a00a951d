/* SPDX-License-Identifier: Apache-2.0 */
/* Log lines on standard error. Processes log; libraries return errors. */
#ifndef CORE_LOG_H
#define CORE_LOG_H

#include "core/macro.h"

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG, LOG_LEVEL_MAX };

/* Names the process in each line and sets what is shown. `process` is borrowed for ever. */
void log_init(const char *process, enum log_level shown);
void log_line(enum log_level level, const char *fmt, ...) PRINTF(2, 3);

#define log_error(...) log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_line(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...) log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif
