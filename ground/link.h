/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A CFDP entity on a libuv loop: its PDUs travel in space packets (133.0-B-2) of APID 2045, one packet a UDP
 * datagram. Paced to a rate, so that neither the link nor the socket at its end is overrun. What UDP loses
 * CFDP repeats.
 */
#ifndef GROUND_LINK_H
#define GROUND_LINK_H

#include <netinet/in.h>
#include <uv.h>

#include "cfdp.h"
#include "spacepacket.h"

#define LINK_APID 2045                     /* CFDP by convention, wireshark knows it */
#define LINK_RATE_MAX (UINT64_C(32) << 20) /* bytes/s, when none is given */
#define LINK_DATAGRAM_BYTES (SPACEPACKET_HEADER_BYTES + CFDP_PDU_BYTES_MAX)

struct link_options {
	struct sockaddr_in from;   /* ours; port 0: any */
	struct sockaddr_in to;     /* the peer's; family 0: whoever sent the last valid PDU */
	bool telecommand;          /* packet type: ground to spacecraft */
	uint64_t rate_bytes_per_s; /* space packets; 0: LINK_RATE_MAX */
	struct cfdp_options cfdp;
	/* After each datagram or timer that something may have ended. May be NULL. */
	void (*on_turn)(void *user);
	void *user;
};

struct link_stats {
	uint64_t datagrams_in, datagrams_bad; /* not one space packet of ours */
	uint64_t datagrams_out, send_errors;
	uint64_t gaps, missing, late; /* sequence counts of what came */
};

struct link;

/* Binds and listens. -errno of the socket, or as cfdp_create. */
WARN_UNUSED int link_create(uv_loop_t *loop, const struct link_options *options, struct link **ret_link);
/* Closes the handles and frees all of it when they have closed; no callback comes after this call. */
void link_destroy(struct link *l);
/* As cfdp_send; the sending begins by itself. */
WARN_UNUSED int link_send(struct link *l, const struct cfdp_file *file);
struct cfdp *link_entity(struct link *l);
void link_stats(const struct link *l, struct link_stats *ret_stats);
/* The port that was bound. */
uint16_t link_port(const struct link *l);

#endif
