/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "core/clock.h"
#include "core/log.h"
#include "escape.h"

#define LOG_LINE_BYTES 2048

static const char *log_process = "perigee";
static enum log_level log_shown = LOG_LEVEL_INFO;

static const char *const level_names[] = {"error", "warning", "info", "debug"};
_Static_assert(ARRAY_LEN(level_names) == LOG_LEVEL_MAX, "a name for each level");

void log_init(const char *process, enum log_level shown)
{
	log_process = process;
	log_shown = shown;
}

void log_line(enum log_level level, const char *fmt, ...)
{
	int saved_errno = errno;
	char text[LOG_LINE_BYTES], line[LOG_LINE_BYTES], when[UTC_TEXT_BYTES];
	va_list args;

	if (level > log_shown)
		return;
	va_start(args, fmt);
	int n = vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (n < 0)
		n = 0;
	size_t len = strnlen(text, sizeof(text) - 1);

	utc_format(clock_utc(), when);
	int head = snprintf(line, 512, "%s %s %s: ", when, log_process, level_names[level]);
	if (head > 511)
		head = 511;
	size_t used = (size_t)head;
	used += text_escape(text, len, line + used, sizeof(line) - used - 1);
	line[used++] = '\n';

	/* One write, so that lines of several processes do not mix. A log that nobody reads is not an error.
	 */
	ssize_t written = write(STDERR_FILENO, line, used);
	(void)written;
	errno = saved_errno;
}
