/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The folder into which CFDP puts files on the ground. Whoever can reach the port can put files there; what
 * they are shows only when a batch and its signature are both there. Files without their other half are kept
 * for a while, not for ever.
 */
#ifndef GROUND_INBOX_H
#define GROUND_INBOX_H

#include <stdbool.h>
#include <stdint.h>

#include "batch.h"

#define INBOX_TAR ".tar"
#define INBOX_SIG ".tar.minisig"
#define INBOX_LONE_TARS_MAX 8 /* the newest stay */
#define INBOX_LONE_SIGS_MAX 256
#define INBOX_ENTRIES_MAX 4096

struct inbox_entry {
	char name[BATCH_NAME_BYTES]; /* without the suffix */
	bool tar, sig;               /* which of the two files are there */
	int64_t mtime_ns;            /* of the newer one */
};

/* Everything in the folder, oldest first. Files that are neither half of a batch, and lone halves beyond the
 * limits (the oldest), are removed. The caller frees the list. */
WARN_UNUSED int inbox_list(const char *path, struct inbox_entry **ret_list, size_t *ret_n);

#endif
