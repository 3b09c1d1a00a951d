/* SPDX-License-Identifier: Apache-2.0 */
/* What several of core's tests need. */
#ifndef TESTS_UNIT_CORE_HELPERS_H
#define TESTS_UNIT_CORE_HELPERS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include "core/file.h"

/* splitmix64: the same numbers on every machine. */
static inline uint64_t rnd(uint64_t *state)
{
	uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

/* Entries of a folder, without . and .. */
static inline int count_entries(const char *path)
{
	DIR *dir = opendir(path);
	int n = 0;

	assert_non_null(dir);
	for (struct dirent *e; (e = readdir(dir));)
		n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
	closedir(dir);
	return n;
}

static inline int count_fds(void)
{
	return count_entries("/proc/self/fd") - 1; /* not the one that looks */
}

/* A fresh folder as the state of a cmocka test, removed afterwards. */
static inline int setup_dir(void **state)
{
	char *path = strdup("/tmp/perigee-test-XXXXXX");

	if (!path || !mkdtemp(path))
		return -1;
	*state = path;
	return 0;
}

static inline int teardown_dir(void **state)
{
	int r = dir_remove(*state);
	free(*state);
	return r;
}

#endif
