/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_ARTIFACT_PRIVATE_H
#define CORE_ARTIFACT_PRIVATE_H

#include <pthread.h>

#include "core/artifact.h"

struct artifacts {
	char *dir; /* absolute */
	int fd;    /* dir */
	int tmp_fd;
	pthread_mutex_t lock; /* between keeping an artifact and removing it for its age */
};

#define REL_BYTES (DIGEST_TEXT_BYTES + 1) /* "ab/cdef…" */

void artifact_rel(const struct digest *d, char ret_rel[REL_BYTES]);

#endif
