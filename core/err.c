/* SPDX-License-Identifier: Apache-2.0 */
/* Names and texts of errors, and the end of a process that found a bug in itself. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/err.h"

static const struct {
	int number;
	const char *name;
	const char *text;
} project_errs[] = {
#define X(name, number, text) {number, #name, text},
	ERR_LIST(X)
#undef X
};

const char *err_text(int err)
{
	if (err >= 0)
		return "success";
	for (size_t i = 0; i < ARRAY_LEN(project_errs); i++)
		if (project_errs[i].number == err)
			return project_errs[i].text;
	/* Beyond the kernel's last errno the negation cannot be one (and would overflow for INT_MIN). */
	const char *text = err >= -4095 ? strerrordesc_np(-err) : NULL;
	return text ? text : "unknown error";
}

const char *err_name(int err)
{
	if (err >= 0)
		return "OK";
	for (size_t i = 0; i < ARRAY_LEN(project_errs); i++)
		if (project_errs[i].number == err)
			return project_errs[i].name;
	const char *name = err >= -4095 ? strerrorname_np(-err) : NULL;
	return name ? name : "EUNKNOWN";
}

_Noreturn void ensure_failed_(const char *cond, const char *file, int line, const char *func)
{
	/* One write and no allocation: whatever is broken, this much still works. */
	char text[512];
	int n = snprintf(text, sizeof(text), "bug: %s:%d: %s: ensure(%s) failed\n", file, line, func, cond);
	if (n >= (int)sizeof(text)) {
		n = sizeof(text) - 1;
		text[n - 1] = '\n';
	}
	if (n > 0 && write(STDERR_FILENO, text, (size_t)n) < 0)
		abort(); /* nobody listens */
	abort();
}
