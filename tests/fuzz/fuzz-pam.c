/* SPDX-License-Identifier: Apache-2.0 */
/* A header that is taken is within its limits, and written and read again it is the same. */
#include <string.h>

#include "core/macro.h"
#include "core/pam.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct pam p, q;
	char text[PAM_HEADER_BYTES_MAX];
	int n = pam_parse(data, len, &p);

	if (n < 0)
		return 0;
	ensure(n > 0 && (size_t)n <= len && n <= PAM_HEADER_BYTES_MAX);
	ensure(p.width >= 1 && p.width <= PAM_SIDE_MAX && p.height >= 1 && p.height <= PAM_SIDE_MAX);
	ensure(p.depth >= 1 && p.depth <= PAM_DEPTH_MAX && p.maxval >= 1 && p.maxval <= 65535);
	int written = pam_format(&p, text, sizeof(text));
	ensure(written > 0);
	ensure(pam_parse(text, (size_t)written, &q) == written);
	ensure(p.width == q.width && p.height == q.height && p.depth == q.depth && p.maxval == q.maxval);
	ensure(strcmp(p.tupltype, q.tupltype) == 0);
	return 0;
}
