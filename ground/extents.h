/* SPDX-License-Identifier: Apache-2.0 */
/* A bounded set of byte ranges: what of a file has come, or what of it is wanted again. */
#ifndef GROUND_EXTENTS_H
#define GROUND_EXTENTS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/err.h"

#define EXTENTS_MAX 4096 /* ranges: 64 KiB */

struct extent {
	uint64_t start, end; /* [start, end), never empty */
};

struct extents {           /* zero it to begin */
	struct extent *at; /* owned; ascending, never touching one another */
	size_t n, cap;
};

void extents_finish(struct extents *e);
/* Adds a range (an empty one is nothing). ERR_LIMIT when there would be more than EXTENTS_MAX, -ENOMEM: the
 * set is as it was. */
WARN_UNUSED int extents_add(struct extents *e, uint64_t start, uint64_t end);
/* Is all of [start, end) in it? */
bool extents_cover(const struct extents *e, uint64_t start, uint64_t end);
/* The first range of [from, end) that is not in it; false when there is none. */
bool extents_gap(const struct extents *e, uint64_t from, uint64_t end, struct extent *ret_gap);
/* Takes at most max bytes away from the front; false when empty. */
bool extents_take(struct extents *e, uint64_t max, struct extent *ret_taken);

#endif
