/* SPDX-License-Identifier: Apache-2.0 */
#include "spacepacket.h"

#include "core/bytes.h"

int spacepacket_decode(const void *raw, size_t len, struct spacepacket *ret_packet)
{
	struct rbuf r = rbuf_of(raw, len);
	uint16_t id = rbuf_u16(&r);
	uint16_t sequence = rbuf_u16(&r);
	size_t data_len = (size_t)rbuf_u16(&r) + 1;
	const uint8_t *data = rbuf_bytes(&r, data_len);
	if (r.err)
		return r.err;
	if (id >> 13 != 0)
		return ERR_FORMAT;
	*ret_packet = (struct spacepacket){
		.type = (id >> 12) & 1 ? SPACEPACKET_TELECOMMAND : SPACEPACKET_TELEMETRY,
		.secondary = (id >> 11) & 1,
		.apid = id & SPACEPACKET_APID_MAX,
		.flags = (enum spacepacket_flags)(sequence >> 14),
		.count = sequence & SPACEPACKET_COUNT_MAX,
		.data = data,
		.len = data_len,
	};
	return (int)(SPACEPACKET_HEADER_BYTES + data_len);
}

int spacepacket_encode(const struct spacepacket *p, void *ret_raw, size_t cap)
{
	if (p->type >= SPACEPACKET_TYPE_MAX || p->apid > SPACEPACKET_APID_MAX ||
		p->flags >= SPACEPACKET_FLAGS_MAX || p->count > SPACEPACKET_COUNT_MAX || p->len < 1 ||
		p->len > SPACEPACKET_DATA_BYTES_MAX)
		return ERR_FORMAT;
	if (cap < SPACEPACKET_HEADER_BYTES + p->len)
		return ERR_LIMIT;
	struct wbuf w = wbuf_of(ret_raw, SPACEPACKET_HEADER_BYTES);
	wbuf_u16(&w, (uint16_t)((unsigned)p->type << 12 | (p->secondary ? 1u << 11 : 0) | p->apid));
	wbuf_u16(&w, (uint16_t)((unsigned)p->flags << 14 | p->count));
	wbuf_u16(&w, (uint16_t)(p->len - 1));
	memmove((uint8_t *)ret_raw + SPACEPACKET_HEADER_BYTES, p->data, p->len);
	return (int)(SPACEPACKET_HEADER_BYTES + p->len);
}

void spacepacket_account(struct spacepacket_counts *c, const struct spacepacket *p)
{
	uint16_t *next = &c->next[p->apid & SPACEPACKET_APID_MAX];
	c->received++;
	if (*next) {
		uint16_t ahead = (uint16_t)((p->count - (*next - 1)) & SPACEPACKET_COUNT_MAX);
		if (ahead > SPACEPACKET_COUNT_MAX / 2) {
			c->late++;
			return;
		}
		if (ahead) {
			c->gaps++;
			c->missing += ahead;
		}
	}
	*next = (uint16_t)(((p->count + 1) & SPACEPACKET_COUNT_MAX) + 1);
}
