/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A batch: NAME.tar, an uncompressed ustar archive with nothing in it but
 *
 *   manifest.json      what it is, which products, and what is known of the runs that made them
 *   blobs/DIGEST       each product's bytes once, in the order in which the manifest first names them
 *
 * and NAME.tar.minisig, its signature. The archive is canonical: owner, time and mode are fixed, no padding
 * but tar's own, so the same products give the same bytes, and its length follows from the manifest.
 *
 * manifest.json: {perigee: "v1", batch, spacecraft, mission, created, runs: [{run, …}], products: [{run,
 * workflow, stage, name, type, digest, bytes, priority}]}
 */
#ifndef GROUND_BATCH_H
#define GROUND_BATCH_H

#include "core/clock.h"
#include "ground.h"
#include "minisign.h"

#define BATCH_NAME_BYTES 64
#define BATCH_MANIFEST_BYTES_MAX (4u << 20)
#define BATCH_PRODUCTS_MAX 1024
#define BATCH_RUNS_MAX 1024
#define BATCH_REASON_BYTES 256

/* The fields of a product as their limits are: names, type, run, priority. */
bool product_ok(const struct product *p);

/* ---- making one ---- */

/* The manifest; runs (an array) is taken over, also on failure. The caller deletes it. NULL: out of memory.
 */
cJSON *batch_manifest(const char *name, const char *spacecraft, const char *mission, struct utc_time created,
	cJSON *runs, const struct product *products, size_t n);

/* Writes the archive to an empty file. open_blob opens a product's artifact. When one cannot be opened, or is
 * not what its digest and bytes say, its index is in ret_bad and the error returned: leave it out and begin
 * again; otherwise ret_bad is n. Does not fsync. Blocks. */
WARN_UNUSED int batch_write(int fd, const cJSON *manifest, const struct product *products, size_t n,
	int (*open_blob)(void *user, const struct digest *digest, int *ret_fd), void *user, size_t *ret_bad);

/* ---- taking one ---- */

struct batch_blob {
	struct digest digest;
	uint64_t bytes;
};

struct batch {
	char name[BATCH_NAME_BYTES];
	const char *spacecraft, *mission, *created; /* borrowed from the manifest */
	cJSON *manifest;
	struct product *products;
	size_t n_products;
	struct batch_blob *blobs;
	size_t n_blobs;
	uint64_t bytes; /* of the archive */
};

/* Checks all of it: the signature first, before a byte of the archive is looked at; then the manifest; then
 * that each blob is there with its digest, and nothing else. `name` is what it must call itself. On refusal
 * the reason for people is in ret_reason (BATCH_REASON_BYTES): ERR_KEY, ERR_SIGNATURE, ERR_FORMAT, ERR_LIMIT,
 * ERR_DIGEST. Other negatives are failures of this machine. Blocks. */
WARN_UNUSED int batch_open(int fd, const char *signature, size_t signature_len,
	const struct minisign_public *key, const char *name, struct batch **ret_batch, char *ret_reason);
void batch_close(struct batch *b);
/* Writes each blob to DIR/DIGEST, durable, checked again while it is written. Blocks. */
WARN_UNUSED int batch_unpack(const struct batch *b, int fd, const char *dir);

#endif
