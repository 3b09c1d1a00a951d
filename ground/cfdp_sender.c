/* SPDX-License-Identifier: Apache-2.0 */
/* The sending side of one transaction (727.0-B-5 sections 4.6.1, 4.6.3, 4.6.4 and 4.7). */
#include <errno.h>
#include <string.h>

#include "cfdp_entity.h"

void sender_drop(struct sender *s)
{
	if (!s->used)
		return;
	close(s->fd);
	extents_finish(&s->again);
	*s = (struct sender){.fd = -1};
}

static void end(struct cfdp *e, struct sender *s, int status)
{
	uint64_t sequence = s->id.sequence;
	sender_drop(s);
	if (status == 0)
		e->stats.files_sent++;
	else
		e->stats.files_failed++;
	if (e->o.on_sent)
		e->o.on_sent(e->o.user, sequence, status);
}

static void feed_nak(struct sender *s, const struct cfdp_pdu *p)
{
	for (size_t i = 0; i < p->nak.n; i++) {
		uint64_t start = p->nak.segment[i].start, stop = p->nak.segment[i].end;
		if (start == 0 && stop == 0) {
			s->metadata_due = true;
			continue;
		}
		/* What was never sent comes anyway. What finds no room is asked for again. */
		if (stop > s->next)
			stop = s->next;
		if (extents_add(&s->again, start, stop) < 0)
			break;
	}
	/* When all of it has gone out, another EOF makes the peer look at once at what is still missing. */
	if (s->again.n || s->metadata_due)
		s->eof_due = true;
}

void sender_feed(struct cfdp *e, struct sender *s, struct mono_time now, const struct cfdp_pdu *p)
{
	if (s->id.unacknowledged)
		return;
	s->wait_ns = e->o.ack_ns; /* somebody is there */
	switch (p->kind) {
	case CFDP_NAK:
		feed_nak(s, p);
		break;
	case CFDP_FINISHED: {
		struct cfdp_pdu out = cfdp_pdu_of(&s->id, CFDP_ACK, false);
		out.ack.of = CFDP_FINISHED;
		out.ack.condition = p->finished.condition;
		out.ack.status = CFDP_TERMINATED;
		cfdp_reply(e, &out);
		bool kept = p->finished.condition == CFDP_NO_ERROR && !p->finished.incomplete;
		end(e, s, kept ? 0 : p->finished.condition == CFDP_CHECKSUM_FAILURE ? ERR_DIGEST : ERR_PEER);
		return;
	}
	default: /* ACK(EOF), keep alive: heard, nothing to do */
		break;
	}
	if (s->eof_sent)
		s->timer_ns = now.ns + s->wait_ns;
}

static size_t put_data(
	struct cfdp *e, struct sender *s, uint64_t offset, size_t len, void *ret_pdu, size_t cap)
{
	uint8_t buf[CFDP_PDU_BYTES_MAX];
	size_t have = 0;
	while (have < len) {
		ssize_t n = pread(s->fd, buf + have, len - have, (off_t)(offset + have));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			s->failed = n < 0 ? -errno : -EIO; /* it became shorter */
			return 0;
		}
		have += (size_t)n;
	}
	struct cfdp_pdu p = cfdp_pdu_of(&s->id, CFDP_FILE_DATA, false);
	p.data.offset = offset;
	p.data.data = buf;
	p.data.len = len;
	return cfdp_put(e, &p, ret_pdu, cap);
}

static size_t put_metadata(struct cfdp *e, struct sender *s, void *ret_pdu, size_t cap)
{
	struct cfdp_pdu p = cfdp_pdu_of(&s->id, CFDP_METADATA, false);
	p.metadata.checksum = s->checksum;
	p.metadata.bytes = s->bytes;
	memcpy(p.metadata.source_name, s->name, sizeof(s->name));
	memcpy(p.metadata.name, s->name, sizeof(s->name));
	p.metadata.has_digest = s->has_digest;
	p.metadata.digest = s->digest;
	return cfdp_put(e, &p, ret_pdu, cap);
}

static size_t put_eof(struct cfdp *e, struct sender *s, void *ret_pdu, size_t cap)
{
	struct cfdp_pdu p = cfdp_pdu_of(&s->id, CFDP_EOF, false);
	p.eof.condition = s->failed ? CFDP_CANCELLED : CFDP_NO_ERROR;
	p.eof.checksum = s->failed ? 0 : s->sum;
	p.eof.bytes = s->failed ? s->next : s->bytes;
	return cfdp_put(e, &p, ret_pdu, cap);
}

size_t sender_next(struct cfdp *e, struct sender *s, struct mono_time now, void *ret_pdu, size_t cap)
{
	if (!s->used)
		return 0;
	size_t len = 0, room = e->o.pdu_bytes - CFDP_DATA_OVERHEAD_BYTES;
	struct extent x;

	if (s->timer_ns <= now.ns) { /* no answer: ask again */
		s->eof_due = true;
		s->timer_ns = NEVER;
		s->wait_ns = cfdp_backoff(e, s->wait_ns);
	}
	if (s->metadata_due) {
		s->metadata_due = false;
		return put_metadata(e, s, ret_pdu, cap);
	}
	if (extents_take(&s->again, room, &x)) {
		len = put_data(e, s, x.start, (size_t)(x.end - x.start), ret_pdu, cap);
		e->stats.data_again_bytes += len ? x.end - x.start : 0;
	} else if (s->next < s->bytes) {
		uint64_t left = s->bytes - s->next;
		size_t n = left < room ? (size_t)left : room;
		len = put_data(e, s, s->next, n, ret_pdu, cap);
		if (len)
			s->next += n;
	}
	if (len || (!s->eof_due && !s->failed))
		return len;
	len = put_eof(e, s, ret_pdu, cap);
	s->eof_due = false;
	s->eof_sent = true;
	s->timer_ns = now.ns + s->wait_ns;
	if (s->failed)
		end(e, s, s->failed);
	else if (s->id.unacknowledged)
		end(e, s, 0);
	return len;
}
