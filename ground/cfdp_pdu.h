/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CFDP protocol data units, CCSDS 727.0-B-5 section 5: bytes to struct and back. No state.
 *
 * A file's BLAKE2b-256 digest travels in the Metadata PDU as a Message to User (5.4.3, TLV type 2) that
 * begins with the nine bytes "perigee:b" and goes on with the digest. Other entities ignore it; ours
 * recognises by it a file that it has already kept, and checks what it received by more than a 32-bit
 * checksum.
 */
#ifndef GROUND_CFDP_PDU_H
#define GROUND_CFDP_PDU_H

#include <stdbool.h>
#include <stdint.h>

#include "core/artifact.h"
#include "core/err.h"

#define CFDP_NAME_BYTES 256 /* an LV holds at most 255 */
#define CFDP_NAK_SEGMENTS_MAX 160
/* Of everything that we send around a file data segment: header with 2-byte entities and 4-byte sequence
 * number, 8-byte offset, CRC. */
#define CFDP_DATA_OVERHEAD_BYTES (4 + 2 + 4 + 2 + 8 + 2)

enum cfdp_kind { /* directive codes, table 5-4; file data has none */
	CFDP_FILE_DATA = 0,
	CFDP_EOF = 4,
	CFDP_FINISHED = 5,
	CFDP_ACK = 6,
	CFDP_METADATA = 7,
	CFDP_NAK = 8,
	CFDP_PROMPT = 9,
	CFDP_KEEP_ALIVE = 12,
	CFDP_KIND_MAX
};

enum cfdp_condition { /* table 5-5 */
	CFDP_NO_ERROR = 0,
	CFDP_ACK_LIMIT = 1,
	CFDP_KEEP_ALIVE_LIMIT = 2,
	CFDP_INVALID_MODE = 3,
	CFDP_FILESTORE_REJECTION = 4,
	CFDP_CHECKSUM_FAILURE = 5,
	CFDP_FILE_SIZE_ERROR = 6,
	CFDP_NAK_LIMIT = 7,
	CFDP_INACTIVITY = 8,
	CFDP_INVALID_STRUCTURE = 9,
	CFDP_CHECK_LIMIT = 10,
	CFDP_UNSUPPORTED_CHECKSUM = 11,
	CFDP_SUSPENDED = 14,
	CFDP_CANCELLED = 15,
	CFDP_CONDITION_MAX
};

enum cfdp_file_status { CFDP_DISCARDED, CFDP_REJECTED, CFDP_RETAINED, CFDP_UNREPORTED, CFDP_FILE_STATUS_MAX };
enum cfdp_status { CFDP_UNDEFINED, CFDP_ACTIVE, CFDP_TERMINATED, CFDP_UNRECOGNIZED, CFDP_STATUS_MAX };
enum cfdp_checksum { /* SANA checksum identifiers */
	CFDP_MODULAR = 0,
	CFDP_CRC32C = 2,
	CFDP_CRC32 = 3,
	CFDP_NULL = 15,
	CFDP_CHECKSUM_MAX
};

struct cfdp_segment {
	uint64_t start, end; /* bytes [start, end); both 0 in a NAK: the metadata */
};

struct cfdp_pdu {
	enum cfdp_kind kind;
	bool toward_sender;
	bool unacknowledged;              /* class 1 */
	bool crc;                         /* ends with a CRC-16 */
	bool large;                       /* sizes and offsets have 64 bits */
	uint8_t id_bytes, sequence_bytes; /* 1 to 8 */
	uint64_t source, sequence, destination;
	union {
		struct {
			uint64_t offset;
			const uint8_t *data; /* borrowed */
			size_t len;
		} data;
		struct {
			enum cfdp_condition condition;
			uint32_t checksum;
			uint64_t bytes;
		} eof;
		struct {
			enum cfdp_condition condition;
			bool incomplete;
			enum cfdp_file_status file_status;
		} finished;
		struct {
			enum cfdp_kind of; /* CFDP_EOF or CFDP_FINISHED */
			enum cfdp_condition condition;
			enum cfdp_status status;
		} ack;
		struct {
			bool closure; /* class 1: the sender wants a Finished */
			enum cfdp_checksum checksum;
			uint64_t bytes;
			char source_name[CFDP_NAME_BYTES], name[CFDP_NAME_BYTES];
			bool has_digest;
			struct digest digest;
		} metadata;
		struct {
			uint64_t start, end; /* scope */
			size_t n;            /* more than fit are left out: they are asked for again */
			struct cfdp_segment segment[CFDP_NAK_SEGMENTS_MAX];
		} nak;
		struct {
			uint64_t progress;
		} keep_alive;
	};
};

/* Exactly one PDU. ERR_FORMAT: cut short, trailing bytes, wrong CRC, a reserved value or version, a name with
 * a zero byte inside. */
WARN_UNUSED int cfdp_decode(const void *raw, size_t len, struct cfdp_pdu *ret_pdu);
/* Number of bytes. ERR_LIMIT: cap too small or a value too large for its field. */
WARN_UNUSED int cfdp_encode(const struct cfdp_pdu *pdu, void *ret_raw, size_t cap);

/* The CRC of PDUs and of PUS packets (CRC-16-CCITT, polynomial 1021, start FFFF). */
uint16_t crc16(const void *data, size_t len);

/* File checksums, section 4.2.2, over a file that is read from its start to its end in order. */
struct cfdp_sum {
	enum cfdp_checksum type;
	uint32_t value;
	uint64_t at;
};
bool cfdp_sum_known(enum cfdp_checksum type);
void cfdp_sum_begin(struct cfdp_sum *sum, enum cfdp_checksum type);
void cfdp_sum_add(struct cfdp_sum *sum, const void *data, size_t len);
uint32_t cfdp_sum_end(const struct cfdp_sum *sum);
/* Of a whole file, and its BLAKE2b digest (ret_digest may be NULL). Blocks. */
WARN_UNUSED int cfdp_sum_fd(
	int fd, enum cfdp_checksum type, uint32_t *ret_sum, struct digest *ret_digest, uint64_t *ret_bytes);

/* May this be the name of a file here? [A-Za-z0-9][A-Za-z0-9._-]*, at most 127 bytes. */
bool cfdp_name_ok(const char *name);

#endif
