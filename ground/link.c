/* SPDX-License-Identifier: Apache-2.0 */
#include "link.h"

#include <errno.h>
#include <sys/socket.h>

#define SOCKET_BYTES (4 << 20)
#define BURST_NS (5 * NS_PER_MS) /* sent without waiting; timers are no finer than 1 ms */

struct link {
	struct cfdp *entity;
	uv_udp_t udp;
	uv_timer_t timer;
	unsigned open; /* handles */
	struct sockaddr_in peer;
	bool fixed_peer, telecommand, closing, pumping;
	uint64_t rate;
	int64_t paid_ns; /* until when the rate has been used up */
	uint16_t count;  /* of the next packet */
	struct spacepacket_counts counts;
	struct link_stats stats;
	void (*on_turn)(void *user);
	void *user;
	uint8_t in[65536];
	uint8_t out[LINK_DATAGRAM_BYTES];
	size_t out_len; /* a datagram that the socket had no room for */
};

static void pump(struct link *l);

static void on_timer(uv_timer_t *t)
{
	pump(t->data);
}

static void arm(struct link *l, int64_t at_ns)
{
	if (at_ns == INT64_MAX) {
		uv_timer_stop(&l->timer);
		return;
	}
	int64_t wait = at_ns - clock_mono().ns;
	uv_update_time(l->udp.loop);
	(void)uv_timer_start(
		&l->timer, on_timer, wait <= 0 ? 0 : (uint64_t)(wait + NS_PER_MS - 1) / NS_PER_MS, 0);
}

/* 1: sent or lost, 0: no room now. */
static int transmit(struct link *l)
{
	uv_buf_t buf = uv_buf_init((char *)l->out, (unsigned)l->out_len);
	int r = uv_udp_try_send(&l->udp, &buf, 1, (const struct sockaddr *)&l->peer);
	if (r == UV_EAGAIN || r == UV_ENOBUFS)
		return 0;
	if (r < 0)
		l->stats.send_errors++; /* as lost as if the link had lost it */
	else
		l->stats.datagrams_out++;
	l->out_len = 0;
	return 1;
}

static bool prepare(struct link *l, struct mono_time now)
{
	size_t len = cfdp_next(l->entity, now, l->out + SPACEPACKET_HEADER_BYTES, CFDP_PDU_BYTES_MAX);
	if (!len)
		return false;
	struct spacepacket p = {
		.type = l->telecommand ? SPACEPACKET_TELECOMMAND : SPACEPACKET_TELEMETRY,
		.apid = LINK_APID,
		.flags = SPACEPACKET_WHOLE,
		.count = l->count,
		.data = l->out + SPACEPACKET_HEADER_BYTES,
		.len = len,
	};
	int n = spacepacket_encode(&p, l->out, sizeof(l->out));
	ensure(n > 0);
	l->out_len = (size_t)n;
	l->count = (l->count + 1) & SPACEPACKET_COUNT_MAX;
	return true;
}

/* Sends what may go now, and arms the timer for the rest. */
static void pump(struct link *l)
{
	if (l->closing || l->pumping)
		return;
	l->pumping = true; /* callbacks of the entity may send */
	struct mono_time now = clock_mono();
	int64_t again = INT64_MAX;
	if (l->paid_ns < now.ns - BURST_NS)
		l->paid_ns = now.ns - BURST_NS;
	while (l->peer.sin_family && !l->closing) {
		if (l->paid_ns > now.ns) {
			again = l->paid_ns;
			break;
		}
		if (!l->out_len && !prepare(l, now))
			break;
		size_t len = l->out_len;
		if (!transmit(l)) {
			again = now.ns + NS_PER_MS;
			break;
		}
		l->paid_ns += (int64_t)((uint64_t)len * (uint64_t)NS_PER_S / l->rate);
	}
	l->pumping = false;
	if (l->closing)
		return;
	int64_t deadline = cfdp_deadline(l->entity).ns;
	arm(l, again < deadline ? again : deadline);
	if (l->on_turn)
		l->on_turn(l->user);
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *ret_buf)
{
	struct link *l = h->data;
	*ret_buf = uv_buf_init((char *)l->in, sizeof(l->in));
}

static void on_datagram(
	uv_udp_t *udp, ssize_t n, const uv_buf_t *buf, const struct sockaddr *from, unsigned flags)
{
	struct link *l = udp->data;
	struct spacepacket p;
	if (l->closing || !from || n < 0)
		return;
	const struct sockaddr_in *sender = (const struct sockaddr_in *)(const void *)from;
	l->stats.datagrams_in++;
	int used = spacepacket_decode(buf->base, (size_t)n, &p);
	enum spacepacket_type other = l->telecommand ? SPACEPACKET_TELEMETRY : SPACEPACKET_TELECOMMAND;
	if (used != n || p.type != other || p.apid != LINK_APID || p.secondary ||
		p.flags != SPACEPACKET_WHOLE || (flags & UV_UDP_PARTIAL) || from->sa_family != AF_INET ||
		/* Where the peer is known, nobody else is heard: not yet authentic, but no stranger's packet.
		 */
		(l->fixed_peer && (sender->sin_addr.s_addr != l->peer.sin_addr.s_addr ||
					  sender->sin_port != l->peer.sin_port))) {
		l->stats.datagrams_bad++;
		return;
	}
	if (cfdp_feed(l->entity, clock_mono(), p.data, p.len) < 0)
		return;
	spacepacket_account(&l->counts, &p);
	if (!l->fixed_peer && !l->closing)
		l->peer = *sender;
	pump(l);
}

static void on_closed(uv_handle_t *h)
{
	struct link *l = h->data;
	if (--l->open == 0) {
		cfdp_destroy(l->entity);
		free(l);
	}
}

void link_destroy(struct link *l)
{
	if (!l)
		return;
	l->closing = true;
	l->on_turn = NULL;
	uv_close((uv_handle_t *)&l->udp, on_closed);
	uv_close((uv_handle_t *)&l->timer, on_closed);
}

static void enlarge(struct link *l)
{
	/* As large as the machine lets us; what is lost nevertheless is repeated. */
	int fd, size = SOCKET_BYTES;
	if (uv_fileno((uv_handle_t *)&l->udp, &fd) < 0)
		return;
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
}

int link_create(uv_loop_t *loop, const struct link_options *o, struct link **ret_link)
{
	struct link *l = calloc(1, sizeof(*l));
	if (!l)
		return -ENOMEM;
	int r = cfdp_create(&o->cfdp, &l->entity);
	if (r >= 0)
		r = uv_udp_init_ex(loop, &l->udp, AF_INET);
	if (r < 0) {
		cfdp_destroy(l->entity);
		free(l);
		return r;
	}
	l->udp.data = l->timer.data = l;
	(void)uv_timer_init(loop, &l->timer);
	l->open = 2;
	l->peer = o->to;
	l->fixed_peer = o->to.sin_family != 0;
	l->telecommand = o->telecommand;
	l->rate = o->rate_bytes_per_s ? o->rate_bytes_per_s : LINK_RATE_MAX;
	l->on_turn = o->on_turn;
	l->user = o->user;
	enlarge(l);
	r = uv_udp_bind(&l->udp, (const struct sockaddr *)&o->from, 0);
	if (r >= 0)
		r = uv_udp_recv_start(&l->udp, on_alloc, on_datagram);
	if (r < 0) {
		link_destroy(l);
		return r;
	}
	*ret_link = l;
	return 0;
}

int link_send(struct link *l, const struct cfdp_file *file)
{
	int r = cfdp_send(l->entity, file);
	if (r >= 0 && !l->pumping)
		arm(l, clock_mono().ns); /* from the loop, not from here: callbacks may come */
	return r;
}

struct cfdp *link_entity(struct link *l)
{
	return l->entity;
}

void link_stats(const struct link *l, struct link_stats *ret_stats)
{
	*ret_stats = l->stats;
	ret_stats->gaps = l->counts.gaps;
	ret_stats->missing = l->counts.missing;
	ret_stats->late = l->counts.late;
}

uint16_t link_port(const struct link *l)
{
	struct sockaddr_in a = {0};
	int n = sizeof(a);
	if (uv_udp_getsockname(&l->udp, (struct sockaddr *)&a, &n) < 0)
		return 0;
	return ntohs(a.sin_port);
}
