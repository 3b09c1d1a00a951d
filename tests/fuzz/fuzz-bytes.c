/* SPDX-License-Identifier: Apache-2.0 */
/* The first byte says how many of the following say what to read from the rest; what was read is written
 * again. */
#include <string.h>

#include "core/bytes.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static uint8_t out[1 << 16];
	char text[40];

	if (len < 1 || data[0] >= len)
		return 0;
	const uint8_t *ops = data + 1;
	size_t n_ops = data[0];
	struct rbuf r = rbuf_of(ops + n_ops, len - 1 - n_ops);
	struct wbuf w = wbuf_of(out, sizeof(out));

	for (size_t i = 0; i < n_ops; i++) {
		size_t before = r.pos;
		int err_before = r.err;
		if (ops[i] < 8) {
			wbuf_uint(&w, rbuf_uint(&r, ops[i] + 1u), ops[i] + 1u);
		} else if (ops[i] < 16) {
			int err = rbuf_str(&r, text, (size_t)(ops[i] - 8) * 5 + 1);
			ensure(err == r.err);
			ensure(strlen(text) <= (size_t)(ops[i] - 8) * 5);
			ensure(err == 0 || text[0] == '\0');
			wbuf_str(&w, text);
		} else {
			size_t n = ops[i] == 255 ? SIZE_MAX : ops[i] - 16u;
			const uint8_t *p = rbuf_bytes(&r, n);
			ensure(!p == (r.err != 0));
			if (p)
				wbuf_bytes(&w, p, n);
		}
		ensure(r.pos <= r.len && r.pos >= before);
		ensure(!err_before || (r.err == err_before && r.pos == before));
		ensure(w.len <= w.cap);
		if (r.err) {
			ensure(rbuf_left(&r) == 0);
			return 0;
		}
	}
	/* Without a failure it was all copied. */
	ensure(w.err || (w.len == r.pos && memcmp(out, r.data, w.len) == 0));
	return 0;
}
