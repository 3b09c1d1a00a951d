/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of a CFDP entity, shared by cfdp.c, cfdp_sender.c and cfdp_receiver.c. */
#ifndef GROUND_CFDP_ENTITY_H
#define GROUND_CFDP_ENTITY_H

#include "cfdp.h"
#include "extents.h"

#define NEVER INT64_MAX
#define RECENT_MAX 32  /* finished receive transactions that we remember */
#define REPLIES_MAX 16 /* small PDUs that belong to no transaction */

struct cfdp_id {
	uint64_t source, sequence, destination;
	uint8_t id_bytes, sequence_bytes;
	bool unacknowledged, large, crc;
};

struct finished {
	enum cfdp_condition condition;
	bool incomplete;
	enum cfdp_file_status file_status;
};

struct sender {
	bool used;
	struct cfdp_id id;
	int fd;
	char name[CFDP_NAME_BYTES];
	uint64_t bytes;
	enum cfdp_checksum checksum;
	uint32_t sum;
	bool has_digest;
	struct digest digest;

	uint64_t next;        /* first byte never sent */
	struct extents again; /* asked for by the peer */
	bool metadata_due, eof_due, ack_finished_due;
	bool eof_sent; /* at least once: the timer runs */
	int failed;    /* local failure: cancel */
	int64_t wait_ns, timer_ns;
};

struct receiver {
	bool used;
	struct cfdp_id id;
	int fd; /* of the hidden file, -1 before the first data and after the end */
	bool has_metadata, has_eof;
	char name[CFDP_NAME_BYTES];
	uint64_t bytes;
	enum cfdp_checksum checksum;
	bool closure, has_digest;
	struct digest digest;
	uint32_t eof_sum;
	uint64_t eof_bytes;
	struct extents got;
	uint64_t reach; /* the largest end of any data received */

	bool ack_eof_due, nak_due, finished_due;
	bool done; /* `finished` holds */
	struct finished finished;
	unsigned n_finished; /* times sent */
	uint64_t nak_from;   /* where this round of NAKs goes on */
	int64_t wait_ns, timer_ns, nak_ns, heard_ns;
};

struct recent { /* a receive transaction that has ended */
	bool used;
	struct cfdp_id id;
	struct finished finished;
	bool has_digest, has_eof;
	struct digest digest;
	uint32_t eof_sum;
	uint64_t eof_bytes;
};

struct reply {
	uint8_t len;
	uint8_t raw[60];
};

struct cfdp {
	struct cfdp_options o; /* o.inbox is owned */
	struct cfdp_stats stats;
	struct sender sender[CFDP_SENDERS_MAX];
	struct receiver receiver[CFDP_RECEIVERS_MAX];
	struct recent recent[RECENT_MAX];
	size_t recent_at;
	struct reply reply[REPLIES_MAX];
	size_t n_replies;
	size_t turn; /* which transaction's turn it is */
};

/* A PDU of a transaction, with everything but its body. */
struct cfdp_pdu cfdp_pdu_of(const struct cfdp_id *id, enum cfdp_kind kind, bool toward_sender);
/* Encodes into what cfdp_next gives out; counts it. 0 when it does not fit, which is a bug. */
size_t cfdp_put(struct cfdp *e, const struct cfdp_pdu *pdu, void *ret_pdu, size_t cap);
/* Queues a small PDU outside any transaction; dropped when there are too many. */
void cfdp_reply(struct cfdp *e, const struct cfdp_pdu *pdu);
void cfdp_put_finished(struct cfdp_pdu *pdu, const struct finished *f);
/* The wait doubles, within its limit. */
int64_t cfdp_backoff(const struct cfdp *e, int64_t wait_ns);

void sender_drop(struct sender *s);
void sender_feed(struct cfdp *e, struct sender *s, struct mono_time now, const struct cfdp_pdu *pdu);
size_t sender_next(struct cfdp *e, struct sender *s, struct mono_time now, void *ret_pdu, size_t cap);

/* Begins a transaction, in a free place or the one that has been silent for longest. NULL: all are busy. */
struct receiver *receiver_begin(struct cfdp *e, struct mono_time now, const struct cfdp_pdu *pdu);
void receiver_drop(struct cfdp *e, struct receiver *r);
void receiver_feed(struct cfdp *e, struct receiver *r, struct mono_time now, const struct cfdp_pdu *pdu);
size_t receiver_next(struct cfdp *e, struct receiver *r, struct mono_time now, void *ret_pdu, size_t cap);

#endif
