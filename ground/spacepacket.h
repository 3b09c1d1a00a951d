/* SPDX-License-Identifier: Apache-2.0 */
/* CCSDS space packets, 133.0-B-2 section 4.1: the primary header, and what is missing between them. */
#ifndef GROUND_SPACEPACKET_H
#define GROUND_SPACEPACKET_H

#include <stdbool.h>
#include <stdint.h>

#include "core/err.h"

#define SPACEPACKET_HEADER_BYTES 6
#define SPACEPACKET_DATA_BYTES_MAX 65536 /* the data field, at least one byte (4.1.3.5) */
#define SPACEPACKET_APID_MAX 2047
#define SPACEPACKET_APID_IDLE 2047 /* fill: carries nothing */
#define SPACEPACKET_COUNT_MAX 16383

enum spacepacket_type { SPACEPACKET_TELEMETRY, SPACEPACKET_TELECOMMAND, SPACEPACKET_TYPE_MAX };
enum spacepacket_flags {
	SPACEPACKET_CONTINUES,
	SPACEPACKET_FIRST,
	SPACEPACKET_LAST,
	SPACEPACKET_WHOLE, /* not segmented */
	SPACEPACKET_FLAGS_MAX
};

struct spacepacket {
	enum spacepacket_type type;
	bool secondary; /* the data field begins with a secondary header */
	uint16_t apid;
	enum spacepacket_flags flags;
	uint16_t count;      /* sequence count of this APID, modulo 16384 */
	const uint8_t *data; /* borrowed */
	size_t len;          /* bytes of the data field */
};

/* The packet at the start of `raw`; its number of bytes, which may be fewer than len. ERR_FORMAT: cut short,
 * or not version 1 (number 0). */
WARN_UNUSED int spacepacket_decode(const void *raw, size_t len, struct spacepacket *ret_packet);
/* Number of bytes written. ERR_FORMAT: a field out of range; ERR_LIMIT: cap is too small. The data may lie in
 * its place in the buffer already (raw + SPACEPACKET_HEADER_BYTES). */
WARN_UNUSED int spacepacket_encode(const struct spacepacket *packet, void *ret_raw, size_t cap);

/* What the sequence counts say about a link. Zero it to begin. */
struct spacepacket_counts {
	uint16_t next[SPACEPACKET_APID_MAX + 1]; /* the count expected, plus one; 0: nothing seen yet */
	uint64_t received;
	uint64_t gaps;    /* times that packets were missing */
	uint64_t missing; /* packets missing, modulo 16384 each time */
	uint64_t late;    /* came after a later one, or twice */
};

void spacepacket_account(struct spacepacket_counts *counts, const struct spacepacket *packet);

#endif
