/* SPDX-License-Identifier: Apache-2.0 */
/* JSON from outside, through cJSON, with limits on size and depth and the place of a mistake. */
#ifndef CORE_JSON_H
#define CORE_JSON_H

#include <cjson/cJSON.h>
#include <stdint.h>

#include "core/err.h"

#define JSON_DEPTH_MAX 32

/* Parses exactly one value, at most max_bytes long. ERR_LIMIT (too long or too deep), ERR_FORMAT (ret_line and
 * ret_column, from 1, say where when not NULL), -ENOMEM. The caller deletes it with cJSON_Delete. */
WARN_UNUSED int json_parse(const char *text, size_t len, size_t max_bytes, cJSON **ret_json, int *ret_line,
	int *ret_column);
/* Reads and parses a file. */
WARN_UNUSED int json_load(const char *path, size_t max_bytes, cJSON **ret_json);

/* Members of an object, NULL or the default when absent or of another type; strings are borrowed. */
const char *json_str(const cJSON *obj, const char *key);
double json_num(const cJSON *obj, const char *key, double otherwise);
/* An integer in [-2^53, 2^53]. */
int64_t json_int(const cJSON *obj, const char *key, int64_t otherwise);

static inline void cleanup_json_(cJSON **j)
{
	cJSON_Delete(*j);
}
#define CLEAN_JSON __attribute__((cleanup(cleanup_json_)))

#endif
