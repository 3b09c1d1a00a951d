/* SPDX-License-Identifier: Apache-2.0 */
#include <stdbool.h>

#include "core/bytes.h"

uint64_t rbuf_uint(struct rbuf *r, size_t n_bytes)
{
	uint64_t v = 0;

	ensure(n_bytes >= 1 && n_bytes <= 8);
	const uint8_t *p = rbuf_bytes(r, n_bytes);
	if (!p)
		return 0;
	for (size_t i = 0; i < n_bytes; i++)
		v = v << 8 | p[i];
	return v;
}

uint8_t rbuf_u8(struct rbuf *r)
{
	return (uint8_t)rbuf_uint(r, 1);
}

uint16_t rbuf_u16(struct rbuf *r)
{
	return (uint16_t)rbuf_uint(r, 2);
}

uint32_t rbuf_u32(struct rbuf *r)
{
	return (uint32_t)rbuf_uint(r, 4);
}

uint64_t rbuf_u64(struct rbuf *r)
{
	return rbuf_uint(r, 8);
}

const uint8_t *rbuf_bytes(struct rbuf *r, size_t n)
{
	static const uint8_t nothing[1];

	if (r->err)
		return NULL;
	if (n > r->len - r->pos) {
		r->err = ERR_FORMAT;
		return NULL;
	}
	if (n == 0)
		return r->data ? r->data + r->pos : nothing;
	const uint8_t *p = r->data + r->pos;
	r->pos += n;
	return p;
}

int rbuf_str(struct rbuf *r, char *ret_text, size_t cap)
{
	ensure(cap > 0);
	ret_text[0] = '\0';
	size_t n = rbuf_u16(r);
	const uint8_t *p = rbuf_bytes(r, n);
	if (!p)
		return r->err;
	if (n >= cap)
		return r->err = ERR_LIMIT;
	if (memchr(p, 0, n))
		return r->err = ERR_FORMAT;
	memcpy(ret_text, p, n);
	ret_text[n] = '\0';
	return 0;
}

/* Room for n more bytes, or NULL with the error set. */
static uint8_t *room(struct wbuf *w, size_t n)
{
	if (w->err)
		return NULL;
	if (n > w->cap - w->len) {
		w->err = ERR_LIMIT;
		return NULL;
	}
	uint8_t *p = w->data + w->len;
	w->len += n;
	return p;
}

void wbuf_uint(struct wbuf *w, uint64_t v, size_t n_bytes)
{
	ensure(n_bytes >= 1 && n_bytes <= 8);
	ensure(n_bytes == 8 || v >> (8 * n_bytes) == 0);
	uint8_t *p = room(w, n_bytes);
	if (!p)
		return;
	for (size_t i = n_bytes; i-- > 0; v >>= 8)
		p[i] = (uint8_t)v;
}

void wbuf_u8(struct wbuf *w, uint8_t v)
{
	wbuf_uint(w, v, 1);
}

void wbuf_u16(struct wbuf *w, uint16_t v)
{
	wbuf_uint(w, v, 2);
}

void wbuf_u32(struct wbuf *w, uint32_t v)
{
	wbuf_uint(w, v, 4);
}

void wbuf_u64(struct wbuf *w, uint64_t v)
{
	wbuf_uint(w, v, 8);
}

void wbuf_bytes(struct wbuf *w, const void *data, size_t n)
{
	if (n == 0)
		return;
	uint8_t *p = room(w, n);
	if (p)
		memcpy(p, data, n);
}

void wbuf_str(struct wbuf *w, const char *text)
{
	size_t n = strlen(text);

	if (w->err)
		return;
	/* Whole or not at all: a length without its bytes would be a lie to whoever reads on. */
	if (n > UINT16_MAX || n + 2 > w->cap - w->len) {
		w->err = ERR_LIMIT;
		return;
	}
	wbuf_u16(w, (uint16_t)n);
	wbuf_bytes(w, text, n);
}
