/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The artifact store: immutable files named by their BLAKE2b-256 digest, in DIR/ab/cdef…, mode 0444.
 * New ones are written in DIR/tmp and moved into place, durable before their name is known to anybody.
 */
#ifndef CORE_ARTIFACT_H
#define CORE_ARTIFACT_H

#include <stdint.h>
#include <sys/types.h>

#include "core/clock.h"
#include "core/err.h"

#define DIGEST_BYTES 32
#define DIGEST_TEXT_BYTES 65 /* 64 hexadecimal digits and a zero */

struct digest {
	uint8_t bytes[DIGEST_BYTES];
};

void digest_format(const struct digest *d, char ret_text[DIGEST_TEXT_BYTES]);
WARN_UNUSED int digest_parse(const char *text, struct digest *ret_digest);
/* Streaming BLAKE2b-256 of a descriptor from its start; does not move the file offset. Blocks: worker only. */
WARN_UNUSED int digest_fd(int fd, struct digest *ret_digest, uint64_t *ret_bytes);
void digest_data(const void *data, size_t len, struct digest *ret_digest);

struct artifacts;

/* Opens (makes) the store and empties its tmp folder. */
WARN_UNUSED int artifacts_open(const char *dir, struct artifacts **ret_store);
void artifacts_close(struct artifacts *store);
const char *artifacts_dir(const struct artifacts *store);

#define ARTIFACT_NAME_BYTES 64
/* A new empty temporary file, mode `mode`, opened read-write and close-on-exec; its name (within tmp) tells it
 * apart. */
WARN_UNUSED int artifact_new(
	struct artifacts *store, mode_t mode, char ret_name[ARTIFACT_NAME_BYTES], int *ret_fd);
/* Makes a finished temporary file an artifact under this digest: fsync, mode 0444, rename, fsync of the folder.
 * One that is there already is kept and the temporary one removed. Blocks: worker only. Thread-safe. */
WARN_UNUSED int artifact_keep(struct artifacts *store, const char *tmp_name, const struct digest *digest);
void artifact_drop(struct artifacts *store, const char *tmp_name);
/* Copies a file in from outside (perigee run --input). Blocks. */
WARN_UNUSED int artifact_import_fd(
	struct artifacts *store, int fd, struct digest *ret_digest, uint64_t *ret_bytes);
/* Opens read-only; ERR_UNKNOWN when there is none. */
WARN_UNUSED int artifact_open(struct artifacts *store, const struct digest *digest, int *ret_fd);
/* Absolute path; exists or not. */
WARN_UNUSED int artifact_path(
	struct artifacts *store, const struct digest *digest, char *ret_path, size_t cap);


/* ---- retention ---- */

#define ARTIFACT_FOLDERS 256

struct artifact_sweep {
	/* Whether anything refers to it: 1, 0, negative ends the sweep. */
	int (*wanted)(void *user, const struct digest *digest);
	void *user;
	struct utc_time older_than; /* those that were kept later stay, whatever `wanted` would say */
};

struct artifact_swept {
	uint64_t kept, kept_bytes, removed, removed_bytes;
};

/* Removes what is old and not wanted of one folder (0..ARTIFACT_FOLDERS - 1), and adds to *ret_swept. Blocks: worker
 * only. Thread-safe: an artifact that is kept anew meanwhile stays. */
WARN_UNUSED int artifacts_sweep(struct artifacts *store, unsigned folder, const struct artifact_sweep *s,
	struct artifact_swept *ret_swept);

#endif
