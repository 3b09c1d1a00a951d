/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Big-endian reading and writing of byte strings with lengths checked. Both cursors remember the first
 * failure (ERR_FORMAT when reading past the end, ERR_LIMIT when writing past it) and then read zeros and
 * write nothing, so a caller may do a whole record and test `err` once.
 */
#ifndef CORE_BYTES_H
#define CORE_BYTES_H

#include <stdint.h>
#include <string.h>

#include "core/err.h"

struct rbuf {
	const uint8_t *data; /* borrowed */
	size_t len, pos;
	int err;
};

struct wbuf {
	uint8_t *data; /* borrowed */
	size_t cap, len;
	int err;
};

static inline struct rbuf rbuf_of(const void *data, size_t len)
{
	return (struct rbuf){.data = data, .len = len};
}

static inline struct wbuf wbuf_of(void *data, size_t cap)
{
	return (struct wbuf){.data = data, .cap = cap};
}

static inline size_t rbuf_left(const struct rbuf *r)
{
	return r->err ? 0 : r->len - r->pos;
}

uint8_t rbuf_u8(struct rbuf *r);
uint16_t rbuf_u16(struct rbuf *r);
uint32_t rbuf_u32(struct rbuf *r);
uint64_t rbuf_u64(struct rbuf *r);
/* An unsigned big-endian integer of 1 to 8 bytes. */
uint64_t rbuf_uint(struct rbuf *r, size_t n_bytes);
/* Borrows n bytes from the buffer; NULL (and err set) when fewer are left. */
const uint8_t *rbuf_bytes(struct rbuf *r, size_t n);
/* A string of at most cap-1 bytes, written by wbuf_str: u16 length, then bytes without a zero byte inside.
 * ret_text is terminated always, empty on failure. */
int rbuf_str(struct rbuf *r, char *ret_text, size_t cap);

void wbuf_u8(struct wbuf *w, uint8_t v);
void wbuf_u16(struct wbuf *w, uint16_t v);
void wbuf_u32(struct wbuf *w, uint32_t v);
void wbuf_u64(struct wbuf *w, uint64_t v);
void wbuf_uint(struct wbuf *w, uint64_t v, size_t n_bytes);
void wbuf_bytes(struct wbuf *w, const void *data, size_t n);
void wbuf_str(struct wbuf *w, const char *text);

#endif
