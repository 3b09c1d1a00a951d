/* SPDX-License-Identifier: Apache-2.0 */
/* Looking into JSON: ".tiles[0].name", as expressions, `foreach` and "$item.member" write it. */
#ifndef PIPELINES_MEMBERS_H
#define PIPELINES_MEMBERS_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>

/* Whether the whole text is a way into JSON; "" is one. */
bool members_valid(const char *members);
/* What is there; borrowed. NULL when there is no such member: then *ret_upto is the length of the way up to
 * and with the first one that is missing. ret_upto may be NULL. */
const cJSON *members_walk(const cJSON *from, const char *members, size_t *ret_upto);

#endif
