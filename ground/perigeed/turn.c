/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <signal.h>
#include <sysexits.h>

#include "core/log.h"
#include "perigeed.h"

void stop(struct perigeed *d, int status)
{
	if (d->status == 0)
		d->status = status;
	uv_stop(&d->loop);
}

/* ---- the turn: dispatch, commit, act ---- */

static void on_wake(uv_timer_t *t)
{
	struct perigeed *d = t->data;

	scheduler_poke(d->scheduler);
	pipelines_poke(d->pipelines);
}

static void set_wake(struct perigeed *d)
{
	struct utc_time at = scheduler_wake_at(d->scheduler), runs = pipelines_wake_at(d->pipelines);

	if (runs.ns && (at.ns == 0 || runs.ns < at.ns))
		at = runs;
	/* Without room nothing is decided, and what is due stays due: the look at the disk wakes us. */
	if (at.ns == 0 || store_held(d->store) || !store_has_room(d->store)) {
		uv_timer_stop(&d->wake);
		return;
	}
	int64_t left_ms = (at.ns - clock_utc().ns) / NS_PER_MS + 1;
	uv_timer_start(&d->wake, on_wake, left_ms > 0 ? (uint64_t)left_ms : 0, 0);
}

static void end_turn(struct perigeed *d)
{
	/* What goes wrong because something is gone is not an end of a task: it stays as the last commit has
	 * it. */
	if (d->status != 0)
		return;
	bool may_start = !d->broker || d->policy_taken;
	if (may_start && scheduler_dirty(d->scheduler) && !store_has_room(d->store)) {
		storage_held(d);
		may_start = false;
	}
	do {
		int r = may_start ? scheduler_dispatch(d->scheduler) : 0;
		if (r == 0)
			r = store_turn_end(d->store);
		if (r == STORE_HELD) {
			storage_held(d);
			break;
		}
		if (r < 0) {
			log_error("the database cannot be written; starting again from what it holds");
			stop(d, EX_SOFTWARE);
			return;
		}
	} while (may_start && scheduler_dirty(d->scheduler));
	set_wake(d);
}

/* From the end of one turn to the end of the next, less what libuv has waited in between: callbacks of timers
 * and of what was polled, and the turn's end itself. By libuv's clock, as its time of waiting is. */
static void measure(struct busy *b, uv_loop_t *loop, uint64_t began_ns)
{
	uint64_t now_ns = uv_hrtime(), idle_ns = uv_metrics_idle_time(loop);
	uint64_t busy_ns = now_ns - b->ended_ns - (idle_ns - b->idle_ns);
	bool first = b->turns++ == 0; /* what came before it was the start */

	b->ended_ns = now_ns;
	b->idle_ns = idle_ns;
	if (now_ns - began_ns > b->commit_max_ns)
		b->commit_max_ns = now_ns - began_ns;
	if (!first && busy_ns > b->max_ns)
		b->max_ns = busy_ns;
	if (!first && busy_ns > b->asked_max_ns)
		b->asked_max_ns = busy_ns;
}

static void on_turn(uv_prepare_t *h)
{
	struct perigeed *d = h->data;
	uint64_t began_ns = uv_hrtime();

	end_turn(d);
	storage_move_log(d);
	measure(&d->busy, h->loop, began_ns);
}

static void on_signal(uv_signal_t *s, int number)
{
	struct perigeed *d = s->data;

	log_info("ending on request");
	/* The machine may be shut down next: not because of a task. */
	int r = d->status == 0 ? scheduler_retire(d->scheduler) : 0;
	if (r == 0)
		r = store_turn_end(d->store);
	if (r != 0)
		log_error("the end on request is not on record: %s", err_text(r == STORE_HELD ? -ENOSPC : r));
	stop(s->data, 0);
	(void)number;
}

int turn_start(struct perigeed *d)
{
	int r = uv_loop_configure(&d->loop, UV_METRICS_IDLE_TIME);

	if (r == 0)
		r = uv_prepare_init(&d->loop, &d->turn);
	d->turn.data = d->wake.data = d->on_term.data = d->on_int.data = d;
	if (r == 0)
		r = uv_timer_init(&d->loop, &d->wake);
	if (r == 0)
		r = uv_signal_init(&d->loop, &d->on_term);
	if (r == 0)
		r = uv_signal_init(&d->loop, &d->on_int);
	if (r == 0)
		r = uv_signal_start(&d->on_term, on_signal, SIGTERM);
	if (r == 0)
		r = uv_signal_start(&d->on_int, on_signal, SIGINT);
	return r == 0 ? uv_prepare_start(&d->turn, on_turn) : r;
}
