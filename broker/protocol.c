/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>

#include "protocol.h"

int get_text(struct rbuf *r, char *ret_text, size_t cap)
{
	rbuf_str(r, ret_text, cap);
	for (const char *c = ret_text; *c && !r->err; c++) {
		if (!isprint((unsigned char)*c))
			r->err = ERR_FORMAT;
	}
	if (r->err)
		ret_text[0] = 0;
	return r->err;
}

int get_name(struct rbuf *r, char *ret_text, size_t cap)
{
	if (get_text(r, ret_text, cap) == 0 && !*ret_text)
		r->err = ERR_FORMAT;
	return r->err;
}

void put_frame(struct wbuf *w, uint64_t buffer, const struct device_frame *f)
{
	wbuf_u64(w, buffer);
	wbuf_bytes(w, f->digest.bytes, DIGEST_BYTES);
	wbuf_u64(w, f->bytes);
	wbuf_u64(w, (uint64_t)f->time.ns);
	wbuf_str(w, f->id);
	wbuf_u16(w, (uint16_t)f->n_attrs);
	for (size_t i = 0; i < f->n_attrs; i++) {
		wbuf_str(w, f->attrs[i].name);
		wbuf_str(w, f->attrs[i].value);
	}
}

int get_frame(struct rbuf *r, uint64_t *ret_buffer, struct device_frame *ret_frame)
{
	struct device_frame f = {0};
	uint64_t buffer = rbuf_u64(r);
	const uint8_t *digest = rbuf_bytes(r, DIGEST_BYTES);

	if (digest)
		memcpy(f.digest.bytes, digest, DIGEST_BYTES);
	f.bytes = rbuf_u64(r);
	f.time.ns = (int64_t)rbuf_u64(r);
	get_name(r, f.id, sizeof(f.id));
	f.n_attrs = rbuf_u16(r);
	if (!r->err && (f.bytes > DEVICE_FRAME_BYTES_MAX || f.n_attrs > DEVICE_FRAME_ATTRS_MAX))
		r->err = ERR_FORMAT;
	for (size_t i = 0; i < f.n_attrs && !r->err; i++) {
		get_name(r, f.attrs[i].name, sizeof(f.attrs[i].name));
		get_text(r, f.attrs[i].value, sizeof(f.attrs[i].value));
	}
	if (r->err)
		return r->err;
	*ret_buffer = buffer;
	*ret_frame = f;
	return 0;
}
