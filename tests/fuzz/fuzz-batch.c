/* SPDX-License-Identifier: Apache-2.0 */
/* An archive with a signature that is right: what is behind it meets the input as a signer gone wrong would
 * make it. */
#include <sodium.h>
#include <string.h>
#include <sys/mman.h>

#include "batch.h"
#include "core/file.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const uint8_t seed[32] = "a key for nothing but this test";
	static struct minisign_public public;
	static struct minisign_secret secret;
	static char signature[MINISIGN_TEXT_BYTES];
	char reason[BATCH_REASON_BYTES];
	struct batch *b = NULL;

	if (!signature[0]) {
		ensure(sodium_init() >= 0);
		ensure(crypto_sign_seed_keypair(public.key, secret.key, seed) == 0);
	}
	CLEAN_FD int fd = memfd_create("batch", MFD_CLOEXEC);
	ensure(fd >= 0 && write_all(fd, data, len) == 0);
	ensure(minisign_sign(&secret, fd, "fuzz", signature) == 0);
	int r = batch_open(fd, signature, strlen(signature), &public, "SAT-000001", &b, reason);
	if (r < 0) {
		ensure(!b && reason[0]);
		return 0;
	}
	uint64_t bytes = 0;
	for (size_t i = 0; i < b->n_blobs; i++)
		bytes += b->blobs[i].bytes;
	ensure(bytes < len && b->n_blobs <= b->n_products && strcmp(b->name, "SAT-000001") == 0);
	for (size_t i = 0; i < b->n_products; i++)
		ensure(product_ok(&b->products[i]));
	batch_close(b);
	return 0;
}
