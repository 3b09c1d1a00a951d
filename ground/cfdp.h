/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A CFDP entity (CCSDS 727.0-B-5), class 2 and class 1, sender and receiver, without any input or output of
 * PDUs and without a clock: PDUs are fed in, taken out, and the time is told with each call.
 *
 *   cfdp_feed(e, now, pdu)      after a PDU has come
 *   cfdp_next(e, now, buf)      until it returns 0, whenever the link can take one more
 *   cfdp_deadline(e)            when to ask cfdp_next again though nothing came
 *
 * Files stay on disk: a sender reads segments from a descriptor, a receiver writes to a hidden file in its
 * inbox and renames it when it is whole, checked and durable. Memory is bounded: CFDP_SENDERS_MAX and
 * CFDP_RECEIVERS_MAX transactions with at most EXTENTS_MAX ranges each; what does not fit is treated as lost,
 * and asked for again.
 *
 * What a restart does. A sender that starts again sends the file anew with a new sequence number; the
 * receiver, when it has kept the file already, recognises it by its digest in the Metadata PDU and finishes
 * at once. A receiver that starts again has forgotten the transaction, meets its next EOF, and asks for the
 * metadata and all data.
 *
 * A sender never gives up by itself: its EOF is repeated, with the wait doubling to ack_max_ns, until the
 * peer answers. Every answer sets the wait back.
 */
#ifndef GROUND_CFDP_H
#define GROUND_CFDP_H

#include "cfdp_pdu.h"
#include "core/clock.h"

#define CFDP_SENDERS_MAX 8
#define CFDP_RECEIVERS_MAX 16
#define CFDP_PDU_BYTES_MAX 1394 /* in a space packet, one datagram of 1400 bytes */

struct cfdp_options {
	uint64_t entity;         /* ours, 1 to 65535 */
	size_t pdu_bytes;        /* the largest PDU that we send, at least 512; 0: CFDP_PDU_BYTES_MAX */
	int64_t ack_ns;          /* first wait for an answer; 0: 1 s */
	int64_t ack_max_ns;      /* longest wait; 0: 30 s */
	int64_t inactivity_ns;   /* receiver: how long an unfinished file may be silent; 0: 2 h */
	unsigned finished_limit; /* receiver: repetitions of Finished; 0: 16 */
	uint64_t file_bytes_max; /* receiver: larger files are rejected */
	const char *
		inbox; /* receiver: folder of what has come, must exist; NULL: nothing is received. Copied. */

	/* Refuse PDUs without a CRC. Where the peer always sends one, as ours does: else a flipped bit in the
	 * header takes the check away, and the CRC's bytes for data. */
	bool crc_required;

	/* Is this file kept already? May be NULL. */
	bool (*known)(void *user, const char *name, uint64_t bytes, const struct digest *digest);
	/* A file is whole, checked and durable at `path` in the inbox. */
	void (*on_file)(void *user, const char *name, const char *path, uint64_t bytes);
	/* A file that was sent ended: 0 kept by the peer (class 1: sent), ERR_DIGEST its checksum failed
	 * there, ERR_PEER refused there, negative errno when it could not be read here. Exactly once a
	 * cfdp_send, never from inside it. */
	void (*on_sent)(void *user, uint64_t sequence, int status);
	void *user;
};

struct cfdp_file {
	int fd;           /* readable; the entity owns it when cfdp_send succeeds */
	const char *name; /* there and here; cfdp_name_ok. Copied. */
	uint64_t bytes;
	enum cfdp_checksum checksum;
	uint32_t sum;                /* of the whole file, as cfdp_sum_fd gives it */
	const struct digest *digest; /* or NULL. Copied. */
	uint64_t destination;        /* entity, 1 to 65535 */
	uint64_t sequence;           /* 1 to 2^32-1; never used before by this entity, restarts included */
	bool unacknowledged;         /* class 1 */
};

struct cfdp_stats {
	uint64_t pdus_in, pdus_bad, pdus_stray; /* not a PDU; for nobody here */
	uint64_t pdus_out, bytes_out;
	uint64_t data_again_bytes; /* file data sent because a NAK asked for it */
	uint64_t files_sent, files_received, files_known, files_failed;
};

struct cfdp;

/* ERR_LIMIT: an option is out of range. -errno: the inbox cannot be read. */
WARN_UNUSED int cfdp_create(const struct cfdp_options *options, struct cfdp **ret_entity);
/* Drops all transactions without a word to anybody. */
void cfdp_destroy(struct cfdp *e);
/* -EBUSY: CFDP_SENDERS_MAX are under way; ERR_FORMAT: a field is out of range. */
WARN_UNUSED int cfdp_send(struct cfdp *e, const struct cfdp_file *file);
/* 0, ERR_FORMAT (not a PDU), ERR_UNKNOWN (for nobody here). Completing a file blocks while it is checked. */
int cfdp_feed(struct cfdp *e, struct mono_time now, const void *pdu, size_t len);
/* The number of bytes of the next PDU to send now, 0 when there is none. cap at least CFDP_PDU_BYTES_MAX. */
size_t cfdp_next(struct cfdp *e, struct mono_time now, void *ret_pdu, size_t cap);
/* When cfdp_next may have something again though nothing is fed; ns = INT64_MAX: never. */
struct mono_time cfdp_deadline(const struct cfdp *e);
/* Transactions under way, in both directions. */
size_t cfdp_busy(const struct cfdp *e);
const struct cfdp_stats *cfdp_stats(const struct cfdp *e); /* borrowed */

#endif
