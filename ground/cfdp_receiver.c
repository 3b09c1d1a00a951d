/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The receiving side of one transaction (727.0-B-5 sections 4.6.1.2, 4.6.2, 4.6.4 and 4.7).
 *
 * NAKs are deferred: nothing is asked for before the EOF has come. Then at once, when an EOF comes again and
 * the last NAK is not quite fresh, and else after a silence of wait_ns, which doubles while nothing new
 * arrives.
 */
#include "cfdp_entity.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "core/file.h"

static int part_path(const struct cfdp *e, const struct receiver *r, char *ret_path, size_t cap)
{
	return path_format(
		ret_path, cap, "%s/.part-%" PRIu64 "-%" PRIu64, e->o.inbox, r->id.source, r->id.sequence);
}

static void discard(struct cfdp *e, struct receiver *r)
{
	char path[PATH_MAX];
	if (r->fd < 0)
		return;
	close(r->fd);
	r->fd = -1;
	if (part_path(e, r, path, sizeof(path)) >= 0)
		(void)unlink(path);
}

void receiver_drop(struct cfdp *e, struct receiver *r)
{
	if (!r->used)
		return;
	discard(e, r);
	extents_finish(&r->got);
	*r = (struct receiver){.fd = -1};
}

/* The transaction is over; what a late or repeated PDU of it needs is remembered. */
static void retire(struct cfdp *e, struct receiver *r)
{
	struct recent *old = &e->recent[e->recent_at++ % RECENT_MAX];
	*old = (struct recent){
		.used = true,
		.id = r->id,
		.finished = r->finished,
		.has_digest = r->has_digest,
		.has_eof = r->has_eof,
		.digest = r->digest,
		.eof_sum = r->eof_sum,
		.eof_bytes = r->eof_bytes,
	};
	receiver_drop(e, r);
}

struct receiver *receiver_begin(struct cfdp *e, struct mono_time now, const struct cfdp_pdu *p)
{
	struct receiver *r = NULL;
	for (size_t i = 0; i < CFDP_RECEIVERS_MAX; i++) {
		struct receiver *at = &e->receiver[i];
		if (!at->used) {
			r = at;
			break;
		}
		/* Otherwise the one that has been silent for longest, if it has been for long. */
		if (now.ns - at->heard_ns > e->o.ack_max_ns && (!r || at->heard_ns < r->heard_ns))
			r = at;
	}
	if (!r)
		return NULL;
	receiver_drop(e, r);
	*r = (struct receiver){
		.used = true,
		.id = {.source = p->source,
			.sequence = p->sequence,
			.destination = p->destination,
			.id_bytes = p->id_bytes,
			.sequence_bytes = p->sequence_bytes,
			.unacknowledged = p->unacknowledged,
			.large = p->large,
			.crc = p->crc},
		.fd = -1,
		.wait_ns = e->o.ack_ns,
		.timer_ns = NEVER,
		.nak_ns = INT64_MIN / 2,
		.heard_ns = now.ns,
	};
	return r;
}

static void finish(
	struct cfdp *e, struct receiver *r, enum cfdp_condition condition, enum cfdp_file_status status)
{
	r->done = true;
	r->finished = (struct finished){
		.condition = condition,
		.incomplete = condition != CFDP_NO_ERROR,
		.file_status = status,
	};
	discard(e, r);
	extents_finish(&r->got);
	r->nak_due = false;
	r->finished_due = !r->id.unacknowledged || r->closure;
	r->wait_ns = e->o.ack_ns;
	r->timer_ns = NEVER;
	if (condition != CFDP_NO_ERROR)
		e->stats.files_failed++;
}

static void supersede(struct cfdp *e, const struct receiver *by)
{
	for (size_t i = 0; i < CFDP_RECEIVERS_MAX; i++) {
		struct receiver *at = &e->receiver[i];
		if (at != by && at->used && !at->done && at->has_metadata && at->id.source == by->id.source &&
			strcmp(at->name, by->name) == 0)
			receiver_drop(e, at);
	}
}

static int open_part(struct cfdp *e, struct receiver *r)
{
	char path[PATH_MAX];
	if (r->fd >= 0)
		return 0;
	int n = part_path(e, r, path, sizeof(path));
	if (n < 0)
		return n;
	r->fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0640);
	return r->fd < 0 ? -errno : 0;
}

static int keep(struct cfdp *e, struct receiver *r, char *ret_path, size_t cap)
{
	char part[PATH_MAX];
	int n = part_path(e, r, part, sizeof(part));
	if (n >= 0)
		n = path_format(ret_path, cap, "%s/%s", e->o.inbox, r->name);
	if (n < 0)
		return n;
	if (fsync(r->fd) < 0 || rename(part, ret_path) < 0)
		return -errno;
	close(r->fd);
	r->fd = -1;
	return dir_sync(e->o.inbox);
}

/* Everything is there: check it, keep it, and only then say so. */
static void complete(struct cfdp *e, struct receiver *r)
{
	char path[PATH_MAX], name[CFDP_NAME_BYTES];
	struct digest digest;
	uint32_t sum;
	int n = open_part(e, r); /* an empty file has had no data */
	if (n >= 0)
		n = cfdp_sum_fd(r->fd, r->checksum, &sum, &digest, NULL);
	if (n < 0) {
		finish(e, r, CFDP_FILESTORE_REJECTION, CFDP_REJECTED);
		return;
	}
	if (sum != r->eof_sum || (r->has_digest && memcmp(&digest, &r->digest, sizeof(digest)) != 0)) {
		finish(e, r, CFDP_CHECKSUM_FAILURE, CFDP_DISCARDED);
		return;
	}
	if (keep(e, r, path, sizeof(path)) < 0) {
		finish(e, r, CFDP_FILESTORE_REJECTION, CFDP_REJECTED);
		return;
	}
	e->stats.files_received++;
	memcpy(name, r->name, sizeof(name));
	finish(e, r, CFDP_NO_ERROR, CFDP_RETAINED);
	if (e->o.on_file)
		e->o.on_file(e->o.user, name, path, r->bytes);
}

static void feed_metadata(struct cfdp *e, struct receiver *r, const struct cfdp_pdu *p)
{
	if (r->has_metadata) {
		/* The same number for another file: a sender that lost its memory. */
		if (r->has_digest && p->metadata.has_digest &&
			memcmp(&r->digest, &p->metadata.digest, sizeof(r->digest)) != 0) {
			discard(e, r);
			extents_finish(&r->got);
			r->has_metadata = r->has_eof = false;
			r->reach = 0;
		} else {
			return;
		}
	}
	r->has_metadata = true;
	memcpy(r->name, p->metadata.name, sizeof(r->name));
	r->bytes = p->metadata.bytes;
	r->checksum = p->metadata.checksum;
	r->closure = p->metadata.closure;
	r->has_digest = p->metadata.has_digest;
	r->digest = p->metadata.digest;
	if (!cfdp_name_ok(r->name) || r->bytes > e->o.file_bytes_max)
		finish(e, r, CFDP_FILESTORE_REJECTION, CFDP_REJECTED);
	else if (!cfdp_sum_known(r->checksum))
		finish(e, r, CFDP_UNSUPPORTED_CHECKSUM, CFDP_DISCARDED);
	else if (r->reach > r->bytes)
		finish(e, r, CFDP_FILE_SIZE_ERROR, CFDP_DISCARDED);
	else if (r->has_digest && e->o.known && e->o.known(e->o.user, r->name, r->bytes, &r->digest)) {
		e->stats.files_known++;
		finish(e, r, CFDP_NO_ERROR, CFDP_RETAINED);
	} else {
		supersede(e, r);
	}
}

static void feed_data(struct cfdp *e, struct receiver *r, const struct cfdp_pdu *p)
{
	uint64_t stop = p->data.offset + p->data.len;
	uint64_t most = r->has_metadata ? r->bytes : e->o.file_bytes_max;
	if (stop > most || (r->has_eof && stop > r->eof_bytes)) {
		finish(e, r, CFDP_FILE_SIZE_ERROR, CFDP_DISCARDED);
		return;
	}
	if (extents_cover(&r->got, p->data.offset, stop))
		return;
	if (open_part(e, r) < 0) {
		finish(e, r, CFDP_FILESTORE_REJECTION, CFDP_REJECTED);
		return;
	}
	for (size_t at = 0; at < p->data.len;) {
		ssize_t n = pwrite(r->fd, p->data.data + at, p->data.len - at, (off_t)(p->data.offset + at));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			finish(e, r, CFDP_FILESTORE_REJECTION, CFDP_REJECTED);
			return;
		}
		at += (size_t)n;
	}
	if (extents_add(&r->got, p->data.offset, stop) < 0)
		return; /* no room to note it: as if it had been lost */
	if (stop > r->reach)
		r->reach = stop;
	r->wait_ns = e->o.ack_ns;
}

static void feed_eof(struct cfdp *e, struct receiver *r, struct mono_time now, const struct cfdp_pdu *p)
{
	r->ack_eof_due = !r->id.unacknowledged;
	if (p->eof.condition != CFDP_NO_ERROR) {
		if (!r->done)
			finish(e, r, p->eof.condition, CFDP_DISCARDED);
		return;
	}
	if (r->done) {
		r->finished_due = true; /* it repeats because it has not seen that */
		return;
	}
	r->has_eof = true;
	r->eof_sum = p->eof.checksum;
	r->eof_bytes = p->eof.bytes;
	if (r->eof_bytes > e->o.file_bytes_max || r->reach > r->eof_bytes) {
		finish(e, r, CFDP_FILE_SIZE_ERROR, CFDP_DISCARDED);
		return;
	}
	if (!r->id.unacknowledged && now.ns - r->nak_ns >= e->o.ack_ns / 4) {
		r->nak_due = true;
		r->nak_from = 0;
	}
}

void receiver_feed(struct cfdp *e, struct receiver *r, struct mono_time now, const struct cfdp_pdu *p)
{
	r->heard_ns = now.ns;
	switch (p->kind) {
	case CFDP_METADATA:
		if (!r->done)
			feed_metadata(e, r, p);
		break;
	case CFDP_FILE_DATA:
		if (!r->done)
			feed_data(e, r, p);
		break;
	case CFDP_EOF:
		feed_eof(e, r, now, p);
		break;
	case CFDP_ACK:
		if (r->done && p->ack.of == CFDP_FINISHED) {
			retire(e, r);
			return;
		}
		break;
	default: /* prompt: what it asks for comes anyway */
		break;
	}
	if (!r->done && r->has_metadata && r->has_eof) {
		if (r->bytes != r->eof_bytes)
			finish(e, r, CFDP_FILE_SIZE_ERROR, CFDP_DISCARDED);
		else if (extents_cover(&r->got, 0, r->bytes))
			complete(e, r);
	}
	if (!r->done && r->has_eof && !r->nak_due)
		r->timer_ns = now.ns + r->wait_ns;
	if (r->done && !r->finished_due && !r->ack_eof_due && r->id.unacknowledged)
		retire(e, r);
}

static size_t put_ack(struct cfdp *e, struct receiver *r, void *ret_pdu, size_t cap)
{
	struct cfdp_pdu p = cfdp_pdu_of(&r->id, CFDP_ACK, true);
	p.ack.of = CFDP_EOF;
	p.ack.condition = r->done ? r->finished.condition : CFDP_NO_ERROR;
	p.ack.status = CFDP_ACTIVE;
	return cfdp_put(e, &p, ret_pdu, cap);
}

/* One PDU of the round; the round goes on while nak_due is set. */
static size_t put_nak(struct cfdp *e, struct receiver *r, struct mono_time now, void *ret_pdu, size_t cap)
{
	struct cfdp_pdu p = cfdp_pdu_of(&r->id, CFDP_NAK, true);
	size_t most = (e->o.pdu_bytes - 64) / (r->id.large ? 16 : 8);
	struct extent gap;
	if (most > CFDP_NAK_SEGMENTS_MAX)
		most = CFDP_NAK_SEGMENTS_MAX;

	p.nak.start = r->nak_from;
	p.nak.end = r->eof_bytes;
	if (r->nak_from == 0 && !r->has_metadata)
		p.nak.segment[p.nak.n++] = (struct cfdp_segment){0, 0};
	r->nak_due = false;
	while (extents_gap(&r->got, r->nak_from, r->eof_bytes, &gap)) {
		if (p.nak.n == most) {
			p.nak.end = r->nak_from;
			r->nak_due = true;
			break;
		}
		p.nak.segment[p.nak.n++] = (struct cfdp_segment){gap.start, gap.end};
		r->nak_from = gap.end;
	}
	r->nak_ns = now.ns;
	r->timer_ns = r->nak_due ? NEVER : now.ns + r->wait_ns;
	return p.nak.n ? cfdp_put(e, &p, ret_pdu, cap) : 0;
}

static size_t put_finished(
	struct cfdp *e, struct receiver *r, struct mono_time now, void *ret_pdu, size_t cap)
{
	struct cfdp_pdu p = cfdp_pdu_of(&r->id, CFDP_FINISHED, true);
	cfdp_put_finished(&p, &r->finished);
	size_t len = cfdp_put(e, &p, ret_pdu, cap);
	r->finished_due = false;
	r->timer_ns = now.ns + r->wait_ns;
	if (r->id.unacknowledged || ++r->n_finished >= e->o.finished_limit)
		retire(e, r);
	return len;
}

static void on_timer(struct cfdp *e, struct receiver *r)
{
	r->timer_ns = NEVER;
	if (r->done) {
		r->finished_due = true;
	} else if (r->id.unacknowledged) { /* class 1: what is missing after that long will not come */
		finish(e, r, CFDP_CHECK_LIMIT, CFDP_DISCARDED);
		if (!r->finished_due)
			retire(e, r);
		return;
	} else {
		r->nak_due = true;
		r->nak_from = 0;
	}
	r->wait_ns = cfdp_backoff(e, r->wait_ns);
}

size_t receiver_next(struct cfdp *e, struct receiver *r, struct mono_time now, void *ret_pdu, size_t cap)
{
	if (!r->used)
		return 0;
	if (now.ns - r->heard_ns >= e->o.inactivity_ns) {
		if (!r->done)
			e->stats.files_failed++;
		receiver_drop(e, r);
		return 0;
	}
	if (r->timer_ns <= now.ns) {
		on_timer(e, r);
		if (!r->used)
			return 0;
	}
	if (r->ack_eof_due) {
		r->ack_eof_due = false;
		return put_ack(e, r, ret_pdu, cap);
	}
	if (r->finished_due)
		return put_finished(e, r, now, ret_pdu, cap);
	if (r->nak_due && !r->done && !r->id.unacknowledged)
		return put_nak(e, r, now, ret_pdu, cap);
	return 0;
}
