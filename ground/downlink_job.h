/* SPDX-License-Identifier: Apache-2.0 */
/* What the downlink's worker does: makes a batch durable, or looks again at one that is. No database, no
 * link. */
#ifndef GROUND_DOWNLINK_JOB_H
#define GROUND_DOWNLINK_JOB_H

#include <uv.h>

#include "batch.h"
#include "cfdp.h"

#define BATCH_FILES 2 /* the archive, then its signature */

struct batch_file {
	char name[BATCH_NAME_BYTES + 16];
	uint64_t bytes;
	uint32_t sum; /* CFDP_CRC32C */
	struct digest digest;
};

struct job {
	uv_work_t work; /* for who starts it */
	void *owner;    /* the same; borrowed */
	char *dir;      /* owned */
	int64_t seq;
	char name[BATCH_NAME_BYTES];
	bool build;

	/* To build: */
	struct artifacts *artifacts; /* borrowed */
	struct minisign_secret secret;
	cJSON *manifest;          /* owned */
	struct product *products; /* owned */
	int64_t *ids;             /* owned; of the rows of the products */
	size_t n;

	/* To look again: what the archive must be. */
	struct digest expected;

	/* The outcome. */
	int status;
	size_t bad; /* the product that is to blame, or n */
	struct batch_file file[BATCH_FILES];
};

void job_destroy(struct job *j);
/* In the worker. A file is under its own name only when it is whole and durable. */
void job_run(struct job *j);
/* Path of one of the files. */
WARN_UNUSED int job_path(const char *dir, const char *name, char *ret_path, size_t cap);
/* "NAME.tar", "NAME.tar.minisig". */
void job_file_names(struct job *j);

#endif
