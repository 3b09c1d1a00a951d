/* SPDX-License-Identifier: Apache-2.0 */
/* What the ground's tests share: the reference data, a folder of their own, a generator of numbers from a
 * seed. */
#ifndef TESTS_GROUND_DATA_H
#define TESTS_GROUND_DATA_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after these: */
#include <cmocka.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/file.h"

/* The path of a reference file, or NULL when the data is not on this machine (the test skips). */
static inline const char *data_path(const char *rel)
{
	static char path[PATH_MAX];
	const char *root = getenv("PERIGEE_DATA");
	snprintf(path, sizeof(path), "%s/%s", root ? root : "../shared/data", rel);
	return access(path, R_OK) == 0 ? path : NULL;
}

static inline size_t from_hex(const char *hex, uint8_t *ret, size_t cap)
{
	size_t n = 0;
	unsigned v;
	int used;
	for (; sscanf(hex, " %2x%n", &v, &used) == 1 && n < cap; hex += used)
		ret[n++] = (uint8_t)v;
	return n;
}

/* A folder of this test, removed by folder_remove. In memory where there is such a place: every step that we
 * test is made durable, and nothing here pulls the plug. */
static inline void folder_make(char ret_path[PATH_MAX])
{
	const char *tmp = getenv("TMPDIR");
	if (!tmp)
		tmp = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
	snprintf(ret_path, PATH_MAX, "%s/perigee-ground-XXXXXX", tmp);
	assert_non_null(mkdtemp(ret_path));
}

static inline void folder_remove(const char *path)
{
	assert_int_equal(dir_remove(path), 0);
}

/* splitmix64: the same numbers from the same seed everywhere. */
static inline uint64_t rnd(uint64_t *seed)
{
	uint64_t z = (*seed += UINT64_C(0x9e3779b97f4a7c15));
	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

/* True in `percent` of a hundred cases. */
static inline bool chance(uint64_t *seed, unsigned percent)
{
	return rnd(seed) % 100 < percent;
}

#endif
