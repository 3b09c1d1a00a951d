/* SPDX-License-Identifier: Apache-2.0 */
#include "cfdp_pdu.h"

#include "core/bytes.h"

#define VERSION 1 /* 727.0-B-5, table 5-1 */
#define TLV_MESSAGE 2
static const char digest_tag[] = "perigee:b";
#define DIGEST_TAG_BYTES (sizeof(digest_tag) - 1)

static enum cfdp_condition condition_of(struct rbuf *r, unsigned code)
{
	if (code > CFDP_CANCELLED || code == 12 || code == 13)
		r->err = ERR_FORMAT;
	return (enum cfdp_condition)code;
}

static uint64_t size_of(struct rbuf *r, const struct cfdp_pdu *p)
{
	return rbuf_uint(r, p->large ? 8 : 4);
}

/* A length and that many bytes, as a text: a zero inside would hide the rest of a name. */
static void lv_name(struct rbuf *r, char ret_name[CFDP_NAME_BYTES])
{
	size_t n = rbuf_u8(r);
	const uint8_t *p = rbuf_bytes(r, n);
	ret_name[0] = 0;
	if (r->err)
		return;
	if (memchr(p, 0, n)) {
		r->err = ERR_FORMAT;
		return;
	}
	memcpy(ret_name, p, n);
	ret_name[n] = 0;
}

static void decode_options(struct rbuf *r, struct cfdp_pdu *p)
{
	while (!r->err && rbuf_left(r)) {
		uint8_t type = rbuf_u8(r);
		size_t n = rbuf_u8(r);
		const uint8_t *value = rbuf_bytes(r, n);
		if (r->err)
			return;
		if (p->kind == CFDP_METADATA && type == TLV_MESSAGE && n == DIGEST_TAG_BYTES + DIGEST_BYTES &&
			memcmp(value, digest_tag, DIGEST_TAG_BYTES) == 0) {
			p->metadata.has_digest = true;
			memcpy(p->metadata.digest.bytes, value + DIGEST_TAG_BYTES, DIGEST_BYTES);
		}
	}
}

static void decode_nak(struct rbuf *r, struct cfdp_pdu *p)
{
	p->nak.start = size_of(r, p);
	p->nak.end = size_of(r, p);
	while (!r->err && rbuf_left(r)) {
		struct cfdp_segment s = {.start = size_of(r, p)};
		s.end = size_of(r, p);
		if (s.end < s.start)
			r->err = ERR_FORMAT;
		if (!r->err && p->nak.n < CFDP_NAK_SEGMENTS_MAX)
			p->nak.segment[p->nak.n++] = s;
	}
}

static void decode_directive(struct rbuf *r, struct cfdp_pdu *p)
{
	unsigned code = rbuf_u8(r), b;
	p->kind = (enum cfdp_kind)code;
	switch (code) {
	case CFDP_EOF:
		p->eof.condition = condition_of(r, rbuf_u8(r) >> 4);
		p->eof.checksum = rbuf_u32(r);
		p->eof.bytes = size_of(r, p);
		decode_options(r, p); /* fault location */
		break;
	case CFDP_FINISHED:
		b = rbuf_u8(r);
		p->finished.condition = condition_of(r, b >> 4);
		p->finished.incomplete = b & 4;
		p->finished.file_status = (enum cfdp_file_status)(b & 3);
		decode_options(r, p); /* filestore responses, fault location */
		break;
	case CFDP_ACK:
		b = rbuf_u8(r);
		p->ack.of = (enum cfdp_kind)(b >> 4);
		if (p->ack.of != CFDP_EOF && p->ack.of != CFDP_FINISHED)
			r->err = ERR_FORMAT;
		b = rbuf_u8(r);
		p->ack.condition = condition_of(r, b >> 4);
		p->ack.status = (enum cfdp_status)(b & 3);
		break;
	case CFDP_METADATA:
		b = rbuf_u8(r);
		p->metadata.closure = b & 0x40;
		p->metadata.checksum = (enum cfdp_checksum)(b & 15);
		p->metadata.bytes = size_of(r, p);
		lv_name(r, p->metadata.source_name);
		lv_name(r, p->metadata.name);
		decode_options(r, p);
		break;
	case CFDP_NAK:
		decode_nak(r, p);
		break;
	case CFDP_PROMPT:
		rbuf_u8(r);
		break;
	case CFDP_KEEP_ALIVE:
		p->keep_alive.progress = size_of(r, p);
		break;
	default:
		r->err = ERR_FORMAT;
	}
}

static void decode_data(struct rbuf *r, struct cfdp_pdu *p, bool metadata)
{
	p->kind = CFDP_FILE_DATA;
	if (metadata) /* 5.3: record continuation state and the segment's metadata, which we have no use for
		       */
		rbuf_bytes(r, rbuf_u8(r) & 63);
	p->data.offset = size_of(r, p);
	p->data.len = rbuf_left(r);
	p->data.data = rbuf_bytes(r, p->data.len);
	if (p->data.offset > UINT64_MAX - p->data.len)
		r->err = ERR_FORMAT;
}

int cfdp_decode(const void *raw, size_t len, struct cfdp_pdu *ret_pdu)
{
	struct rbuf r = rbuf_of(raw, len);
	struct cfdp_pdu p = {0};

	uint8_t b = rbuf_u8(&r);
	if (b >> 5 != VERSION)
		return ERR_FORMAT;
	bool data = b & 16;
	p.toward_sender = b & 8;
	p.unacknowledged = b & 4;
	p.crc = b & 2;
	p.large = b & 1;
	size_t field = rbuf_u16(&r);
	b = rbuf_u8(&r);
	bool segment_metadata = b & 8;
	p.id_bytes = (uint8_t)((b >> 4 & 7) + 1);
	p.sequence_bytes = (uint8_t)((b & 7) + 1);
	p.source = rbuf_uint(&r, p.id_bytes);
	p.sequence = rbuf_uint(&r, p.sequence_bytes);
	p.destination = rbuf_uint(&r, p.id_bytes);
	if (r.err || rbuf_left(&r) != field)
		return ERR_FORMAT;
	if (p.crc) {
		const uint8_t *end = (const uint8_t *)raw + len - 2;
		if (field < 2 || crc16(raw, len - 2) != (end[0] << 8 | end[1]))
			return ERR_FORMAT;
		r.len -= 2;
	}
	if (data)
		decode_data(&r, &p, segment_metadata);
	else
		decode_directive(&r, &p);
	if (r.err || rbuf_left(&r))
		return ERR_FORMAT;
	*ret_pdu = p;
	return 0;
}

static void put_size(struct wbuf *w, const struct cfdp_pdu *p, uint64_t v)
{
	if (!p->large && v > UINT32_MAX)
		w->err = ERR_LIMIT;
	else
		wbuf_uint(w, v, p->large ? 8 : 4);
}

static void put_name(struct wbuf *w, const char *name)
{
	size_t n = strlen(name);
	wbuf_u8(w, (uint8_t)n);
	wbuf_bytes(w, name, n);
}

static void put_id(struct wbuf *w, uint64_t v, size_t n_bytes)
{
	if (n_bytes < 8 && v >> (8 * n_bytes))
		w->err = ERR_LIMIT;
	else
		wbuf_uint(w, v, n_bytes);
}

static void encode_body(struct wbuf *w, const struct cfdp_pdu *p)
{
	if (p->kind != CFDP_FILE_DATA)
		wbuf_u8(w, (uint8_t)p->kind);
	switch (p->kind) {
	case CFDP_FILE_DATA:
		put_size(w, p, p->data.offset);
		wbuf_bytes(w, p->data.data, p->data.len);
		break;
	case CFDP_EOF:
		wbuf_u8(w, (uint8_t)(p->eof.condition << 4));
		wbuf_u32(w, p->eof.checksum);
		put_size(w, p, p->eof.bytes);
		if (p->eof.condition !=
			CFDP_NO_ERROR) { /* fault location: entity ID TLV (type 6) of the sender */
			wbuf_u8(w, 6);
			wbuf_u8(w, p->id_bytes);
			put_id(w, p->source, p->id_bytes);
		}
		break;
	case CFDP_FINISHED:
		wbuf_u8(w, (uint8_t)(p->finished.condition << 4 | (p->finished.incomplete ? 4 : 0) |
				     p->finished.file_status));
		if (p->finished.condition != CFDP_NO_ERROR &&
			p->finished.condition != CFDP_UNSUPPORTED_CHECKSUM) {
			wbuf_u8(w, 6);
			wbuf_u8(w, p->id_bytes);
			put_id(w, p->destination, p->id_bytes);
		}
		break;
	case CFDP_ACK:
		wbuf_u8(w, (uint8_t)(p->ack.of << 4 | (p->ack.of == CFDP_FINISHED ? 1 : 0)));
		wbuf_u8(w, (uint8_t)(p->ack.condition << 4 | p->ack.status));
		break;
	case CFDP_METADATA:
		wbuf_u8(w, (uint8_t)((p->metadata.closure ? 0x40 : 0) | p->metadata.checksum));
		put_size(w, p, p->metadata.bytes);
		put_name(w, p->metadata.source_name);
		put_name(w, p->metadata.name);
		if (p->metadata.has_digest) {
			wbuf_u8(w, TLV_MESSAGE);
			wbuf_u8(w, DIGEST_TAG_BYTES + DIGEST_BYTES);
			wbuf_bytes(w, digest_tag, DIGEST_TAG_BYTES);
			wbuf_bytes(w, p->metadata.digest.bytes, DIGEST_BYTES);
		}
		break;
	case CFDP_NAK:
		put_size(w, p, p->nak.start);
		put_size(w, p, p->nak.end);
		for (size_t i = 0; i < p->nak.n; i++) {
			put_size(w, p, p->nak.segment[i].start);
			put_size(w, p, p->nak.segment[i].end);
		}
		break;
	case CFDP_PROMPT:
		wbuf_u8(w, 0);
		break;
	case CFDP_KEEP_ALIVE:
		put_size(w, p, p->keep_alive.progress);
		break;
	default:
		w->err = ERR_LIMIT;
	}
}

int cfdp_encode(const struct cfdp_pdu *p, void *ret_raw, size_t cap)
{
	ensure(p->id_bytes >= 1 && p->id_bytes <= 8 && p->sequence_bytes >= 1 && p->sequence_bytes <= 8);
	struct wbuf w = wbuf_of(ret_raw, cap);
	wbuf_u8(&w,
		(uint8_t)(VERSION << 5 | (p->kind == CFDP_FILE_DATA ? 16 : 0) | (p->toward_sender ? 8 : 0) |
			  (p->unacknowledged ? 4 : 0) | (p->crc ? 2 : 0) | (p->large ? 1 : 0)));
	wbuf_u16(&w, 0);
	wbuf_u8(&w, (uint8_t)((p->id_bytes - 1) << 4 | (p->sequence_bytes - 1)));
	put_id(&w, p->source, p->id_bytes);
	put_id(&w, p->sequence, p->sequence_bytes);
	put_id(&w, p->destination, p->id_bytes);
	size_t header = w.len;
	encode_body(&w, p);
	if (w.err)
		return w.err;
	size_t field = w.len - header + (p->crc ? 2 : 0);
	if (field > UINT16_MAX)
		return ERR_LIMIT;
	w.data[1] = (uint8_t)(field >> 8);
	w.data[2] = (uint8_t)field;
	if (p->crc)
		wbuf_u16(&w, crc16(w.data, w.len));
	return w.err ? w.err : (int)w.len;
}
