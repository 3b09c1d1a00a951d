/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is wrong with a file that a person wrote: every complaint with file, line, column, what was found and
 * what was expected. A checker collects all of them before anything is done with the file.
 */
#ifndef CORE_COMPLAIN_H
#define CORE_COMPLAIN_H

#include <cjson/cJSON.h>

#include "core/err.h"

#define COMPLAINTS_MAX 64 /* the rest is counted, not kept */

struct complaint {
	int line, column; /* from 1; 0 when the whole file is meant */
	char *text;       /* owned */
};

struct complaints {
	char *file; /* owned: as the person named it */
	struct complaint item[COMPLAINTS_MAX];
	size_t n;     /* kept */
	size_t total; /* made */
};

WARN_UNUSED int complaints_init(struct complaints *c, const char *file);
void complaints_finish(struct complaints *c);
/* Adds one. Never fails: what cannot be kept is counted. */
void complain(struct complaints *c, int line, int column, const char *fmt, ...) PRINTF(4, 5);
/* "file:line:column: text", one a line, then how many were left out. */
void complaints_print(const struct complaints *c, FILE *to);
/* [{"file":…,"line":…,"column":…,"text":…}]; the caller deletes it; NULL when out of memory. */
cJSON *complaints_json(const struct complaints *c);
/* The known name nearest to `name` within a third of its length, or NULL. Borrowed from `known`. */
const char *nearest_name(const char *name, const char *const *known, size_t n_known);

#endif
