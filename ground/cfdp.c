/* SPDX-License-Identifier: Apache-2.0 */
/* The entity: which transaction a PDU belongs to, whose turn it is to send, when to look again. */
#include "cfdp_entity.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "core/file.h"

/* Hidden files of an earlier life are worth nothing: what they lack is not known any more. */
static int sweep(const char *inbox)
{
	DIR *dir = opendir(inbox);
	if (!dir)
		return -errno;
	struct dirent *d;
	while ((d = readdir(dir)))
		if (strncmp(d->d_name, ".part-", 6) == 0)
			(void)unlinkat(dirfd(dir), d->d_name, 0);
	closedir(dir);
	return 0;
}

int cfdp_create(const struct cfdp_options *o, struct cfdp **ret_entity)
{
	if (o->entity < 1 || o->entity > UINT16_MAX)
		return ERR_LIMIT;
	if (o->pdu_bytes && (o->pdu_bytes < 512 || o->pdu_bytes > CFDP_PDU_BYTES_MAX))
		return ERR_LIMIT;
	struct cfdp *e = calloc(1, sizeof(*e));
	if (!e)
		return -ENOMEM;
	e->o = *o;
	e->o.inbox = NULL;
	e->o.pdu_bytes = o->pdu_bytes ? o->pdu_bytes : CFDP_PDU_BYTES_MAX;
	e->o.ack_ns = o->ack_ns ? o->ack_ns : NS_PER_S;
	e->o.ack_max_ns = o->ack_max_ns ? o->ack_max_ns : 30 * NS_PER_S;
	e->o.inactivity_ns = o->inactivity_ns ? o->inactivity_ns : 7200 * NS_PER_S;
	e->o.finished_limit = o->finished_limit ? o->finished_limit : 16;
	for (size_t i = 0; i < CFDP_SENDERS_MAX; i++)
		e->sender[i].fd = -1;
	for (size_t i = 0; i < CFDP_RECEIVERS_MAX; i++)
		e->receiver[i].fd = -1;
	if (o->inbox) {
		int r = sweep(o->inbox);
		if (r >= 0 && !(e->o.inbox = strdup(o->inbox)))
			r = -ENOMEM;
		if (r < 0) {
			cfdp_destroy(e);
			return r;
		}
	}
	*ret_entity = e;
	return 0;
}

void cfdp_destroy(struct cfdp *e)
{
	if (!e)
		return;
	for (size_t i = 0; i < CFDP_SENDERS_MAX; i++)
		sender_drop(&e->sender[i]);
	for (size_t i = 0; i < CFDP_RECEIVERS_MAX; i++)
		receiver_drop(e, &e->receiver[i]);
	free((char *)e->o.inbox);
	free(e);
}

int cfdp_send(struct cfdp *e, const struct cfdp_file *f)
{
	if (f->fd < 0 || !cfdp_name_ok(f->name) || !cfdp_sum_known(f->checksum) || f->destination < 1 ||
		f->destination > UINT16_MAX || f->sequence < 1 || f->sequence > UINT32_MAX ||
		f->bytes > INT64_MAX)
		return ERR_FORMAT;
	struct sender *s = NULL;
	for (size_t i = 0; i < CFDP_SENDERS_MAX; i++) {
		if (e->sender[i].used && e->sender[i].id.sequence == f->sequence)
			return ERR_FORMAT;
		if (!e->sender[i].used && !s)
			s = &e->sender[i];
	}
	if (!s)
		return -EBUSY;
	*s = (struct sender){
		.used = true,
		.id = {.source = e->o.entity,
			.sequence = f->sequence,
			.destination = f->destination,
			.id_bytes = 2,
			.sequence_bytes = 4,
			.unacknowledged = f->unacknowledged,
			.large = f->bytes > UINT32_MAX,
			.crc = true},
		.fd = f->fd,
		.bytes = f->bytes,
		.checksum = f->checksum,
		.sum = f->sum,
		.has_digest = f->digest,
		.metadata_due = true,
		.eof_due = true,
		.wait_ns = e->o.ack_ns,
		.timer_ns = NEVER,
	};
	if (f->digest)
		s->digest = *f->digest;
	memcpy(s->name, f->name, strlen(f->name) + 1);
	return 0;
}

static struct recent *find_recent(struct cfdp *e, const struct cfdp_pdu *p)
{
	for (size_t i = 0; i < RECENT_MAX; i++)
		if (e->recent[i].used && e->recent[i].id.source == p->source &&
			e->recent[i].id.sequence == p->sequence)
			return &e->recent[i];
	return NULL;
}

/* A sender that lost its memory counts anew, and may use the number of another file. Metadata and EOF can
 * tell. */
static bool same_file(bool has_digest, const struct digest *digest, bool has_eof, uint32_t sum,
	uint64_t bytes, const struct cfdp_pdu *p)
{
	if (p->kind == CFDP_METADATA)
		return p->metadata.has_digest == has_digest &&
		       (!has_digest || memcmp(&p->metadata.digest, digest, sizeof(*digest)) == 0);
	if (p->kind == CFDP_EOF && has_eof)
		return sum == p->eof.checksum && bytes == p->eof.bytes;
	return true;
}

/* A PDU of a transaction that has ended. If it is really that one it is answered once more, for the sender
 * may not have seen our Finished. */
static bool feed_recent(struct cfdp *e, struct recent *old, const struct cfdp_pdu *p)
{
	bool answer = p->kind == CFDP_METADATA || p->kind == CFDP_EOF;
	if (!same_file(old->has_digest, &old->digest, old->has_eof, old->eof_sum, old->eof_bytes, p)) {
		old->used = false;
		return false;
	}
	if (answer && !old->id.unacknowledged) {
		struct cfdp_pdu out;
		if (p->kind == CFDP_EOF) {
			out = cfdp_pdu_of(&old->id, CFDP_ACK, true);
			out.ack.of = CFDP_EOF;
			out.ack.condition = p->eof.condition;
			out.ack.status = CFDP_TERMINATED;
			cfdp_reply(e, &out);
		}
		out = cfdp_pdu_of(&old->id, CFDP_FINISHED, true);
		cfdp_put_finished(&out, &old->finished);
		cfdp_reply(e, &out);
	}
	return true;
}

static int feed_receiver(struct cfdp *e, struct mono_time now, const struct cfdp_pdu *p)
{
	struct receiver *r = NULL;
	if (!e->o.inbox || p->destination != e->o.entity)
		return ERR_UNKNOWN;
	for (size_t i = 0; i < CFDP_RECEIVERS_MAX; i++)
		if (e->receiver[i].used && e->receiver[i].id.source == p->source &&
			e->receiver[i].id.sequence == p->sequence)
			r = &e->receiver[i];
	if (r && r->done && !same_file(r->has_digest, &r->digest, r->has_eof, r->eof_sum, r->eof_bytes, p)) {
		receiver_drop(e, r);
		r = NULL;
	}
	if (!r) {
		struct recent *old = find_recent(e, p);
		if (old && feed_recent(e, old, p))
			return 0;
		if (p->kind != CFDP_METADATA && p->kind != CFDP_FILE_DATA && p->kind != CFDP_EOF)
			return ERR_UNKNOWN;
		r = receiver_begin(e, now, p);
		if (!r)
			return ERR_LIMIT;
	}
	receiver_feed(e, r, now, p);
	return 0;
}

static int feed_sender(struct cfdp *e, struct mono_time now, const struct cfdp_pdu *p)
{
	if (p->source != e->o.entity)
		return ERR_UNKNOWN;
	for (size_t i = 0; i < CFDP_SENDERS_MAX; i++) {
		struct sender *s = &e->sender[i];
		if (s->used && s->id.sequence == p->sequence && s->id.destination == p->destination) {
			sender_feed(e, s, now, p);
			return 0;
		}
	}
	if (p->kind != CFDP_FINISHED || p->unacknowledged)
		return ERR_UNKNOWN;
	/* Our acknowledgement was lost, or we were restarted since. */
	struct cfdp_pdu out = *p;
	out.kind = CFDP_ACK;
	out.toward_sender = false;
	out.ack.of = CFDP_FINISHED;
	out.ack.condition = p->finished.condition;
	out.ack.status = CFDP_UNRECOGNIZED;
	cfdp_reply(e, &out);
	return 0;
}

int cfdp_feed(struct cfdp *e, struct mono_time now, const void *pdu, size_t len)
{
	struct cfdp_pdu p;
	int r = cfdp_decode(pdu, len, &p);
	if (r >= 0 && e->o.crc_required && !p.crc)
		r = ERR_FORMAT;
	if (r < 0) {
		e->stats.pdus_bad++;
		return r;
	}
	e->stats.pdus_in++;
	r = p.toward_sender ? feed_sender(e, now, &p) : feed_receiver(e, now, &p);
	if (r < 0)
		e->stats.pdus_stray++;
	return r;
}

size_t cfdp_next(struct cfdp *e, struct mono_time now, void *ret_pdu, size_t cap)
{
	ensure(cap >= e->o.pdu_bytes);
	if (e->n_replies) {
		size_t len = e->reply[0].len;
		memcpy(ret_pdu, e->reply[0].raw, len);
		memmove(e->reply, e->reply + 1, --e->n_replies * sizeof(e->reply[0]));
		e->stats.pdus_out++;
		e->stats.bytes_out += len;
		return len;
	}
	/* In turn, so that a large file does not keep a small one waiting. */
	for (size_t i = 0; i < CFDP_RECEIVERS_MAX + CFDP_SENDERS_MAX; i++) {
		size_t at = (e->turn + i) % (CFDP_RECEIVERS_MAX + CFDP_SENDERS_MAX), len;
		if (at < CFDP_RECEIVERS_MAX)
			len = receiver_next(e, &e->receiver[at], now, ret_pdu, cap);
		else
			len = sender_next(e, &e->sender[at - CFDP_RECEIVERS_MAX], now, ret_pdu, cap);
		if (len) {
			e->turn = at + 1;
			return len;
		}
	}
	return 0;
}

struct mono_time cfdp_deadline(const struct cfdp *e)
{
	int64_t at = NEVER;
	for (size_t i = 0; i < CFDP_SENDERS_MAX; i++)
		if (e->sender[i].used && e->sender[i].timer_ns < at)
			at = e->sender[i].timer_ns;
	for (size_t i = 0; i < CFDP_RECEIVERS_MAX; i++) {
		const struct receiver *r = &e->receiver[i];
		if (r->used && r->timer_ns < at)
			at = r->timer_ns;
		if (r->used && r->heard_ns + e->o.inactivity_ns < at)
			at = r->heard_ns + e->o.inactivity_ns;
	}
	return (struct mono_time){at};
}

size_t cfdp_busy(const struct cfdp *e)
{
	size_t n = 0;
	for (size_t i = 0; i < CFDP_SENDERS_MAX; i++)
		n += e->sender[i].used;
	for (size_t i = 0; i < CFDP_RECEIVERS_MAX; i++)
		n += e->receiver[i].used;
	return n;
}

const struct cfdp_stats *cfdp_stats(const struct cfdp *e)
{
	return &e->stats;
}

struct cfdp_pdu cfdp_pdu_of(const struct cfdp_id *id, enum cfdp_kind kind, bool toward_sender)
{
	return (struct cfdp_pdu){
		.kind = kind,
		.toward_sender = toward_sender,
		.unacknowledged = id->unacknowledged,
		.crc = id->crc,
		.large = id->large,
		.id_bytes = id->id_bytes,
		.sequence_bytes = id->sequence_bytes,
		.source = id->source,
		.sequence = id->sequence,
		.destination = id->destination,
	};
}

size_t cfdp_put(struct cfdp *e, const struct cfdp_pdu *pdu, void *ret_pdu, size_t cap)
{
	int len = cfdp_encode(pdu, ret_pdu, cap);
	if (len < 0)
		return 0;
	e->stats.pdus_out++;
	e->stats.bytes_out += (uint64_t)len;
	return (size_t)len;
}

void cfdp_reply(struct cfdp *e, const struct cfdp_pdu *pdu)
{
	if (e->n_replies == REPLIES_MAX)
		return;
	struct reply *reply = &e->reply[e->n_replies];
	int len = cfdp_encode(pdu, reply->raw, sizeof(reply->raw));
	if (len < 0)
		return;
	reply->len = (uint8_t)len;
	e->n_replies++;
}

void cfdp_put_finished(struct cfdp_pdu *pdu, const struct finished *f)
{
	pdu->finished.condition = f->condition;
	pdu->finished.incomplete = f->incomplete;
	pdu->finished.file_status = f->file_status;
}

int64_t cfdp_backoff(const struct cfdp *e, int64_t wait_ns)
{
	return 2 * wait_ns < e->o.ack_max_ns ? 2 * wait_ns : e->o.ack_max_ns;
}
