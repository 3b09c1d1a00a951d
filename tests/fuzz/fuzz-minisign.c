/* SPDX-License-Identifier: Apache-2.0 */
/* Public keys, secret keys and signatures: what is taken can be written again and is taken again as the same.
 */
#include <sodium.h>
#include <string.h>

#include "fuzz.h"
#include "minisign.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const char *text = (const char *)data;
	char again[MINISIGN_TEXT_BYTES];
	struct minisign_public public, public2;
	struct minisign_secret secret, secret2;
	struct minisign_signature sig;

	ensure(sodium_init() >= 0);
	int r = minisign_public_parse(text, len, &public);
	ensure(r == 0 || r == ERR_KEY);
	if (r == 0) {
		minisign_public_format(&public, again);
		ensure(minisign_public_parse(again, strlen(again), &public2) == 0);
		ensure(memcmp(&public, &public2, sizeof(public)) == 0);
	}
	r = minisign_secret_parse(text, len, &secret);
	ensure(r == 0 || r == ERR_KEY);
	if (r == 0) {
		minisign_secret_format(&secret, again);
		ensure(minisign_secret_parse(again, strlen(again), &secret2) == 0);
		ensure(memcmp(&secret, &secret2, sizeof(secret)) == 0);
	}
	r = minisign_signature_parse(text, len, &sig);
	ensure(r == 0 || r == ERR_FORMAT);
	if (r == 0)
		for (const char *c = sig.comment; *c; c++)
			ensure((unsigned char)*c >= 32 || *c == '\t');
	return 0;
}
