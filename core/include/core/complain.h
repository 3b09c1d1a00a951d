/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is wrong with a file that a person wrote: every complaint with file, line, column, what was found and
 * what was expected. A checker collects all of them before anything is done with the file.
 */
#ifndef CORE_COMPLAIN_H
#define CORE_COMPLAIN_H

#include <cjson/cJSON.h>
#include <stdbool.h>

#include "core/err.h"

#define COMPLAINTS_MAX 64 /* the rest is counted, not kept */

struct complaint {
	int line, column; /* from 1; 0 when the whole file is meant */
	char *text;       /* owned */
	bool warning;     /* worth a look, but nothing is refused for it */
};

struct complaints {
	char *file; /* owned: as the person named it */
	struct complaint item[COMPLAINTS_MAX];
	size_t n;        /* kept: mistakes and warnings in the order in which they were met */
	size_t total;    /* mistakes made: a file with none of them is taken */
	size_t warnings; /* made; at most half of what is kept, so that they never hide a mistake */
};

WARN_UNUSED int complaints_init(struct complaints *c, const char *file);
void complaints_finish(struct complaints *c);
/* Adds one. Never fails: what cannot be kept is counted. */
void complain(struct complaints *c, int line, int column, const char *fmt, ...) PRINTF(4, 5);
/* The same, of what is no mistake: total does not count it. */
void complain_warning(struct complaints *c, int line, int column, const char *fmt, ...) PRINTF(4, 5);
/* "file:line:column: text", "warning: " in front of the text of one, one a line, then how many were left out.
 */
void complaints_print(const struct complaints *c, FILE *to);
/* [{"file":…,"line":…,"column":…,"text":…}], with "warning":true in those that are; the caller deletes it;
 * NULL when out of memory. */
cJSON *complaints_json(const struct complaints *c);
/* The known name nearest to `name` within a third of its length, or NULL. Borrowed from `known`. */
const char *nearest_name(const char *name, const char *const *known, size_t n_known);

#endif
