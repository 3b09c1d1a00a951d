/* SPDX-License-Identifier: Apache-2.0 */
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
}

static void set_wake(struct perigeed *d)
{
	struct utc_time at = scheduler_wake_at(d->scheduler);

	if (at.ns == 0) {
		uv_timer_stop(&d->wake);
		return;
	}
	int64_t left_ms = (at.ns - clock_utc().ns) / NS_PER_MS + 1;
	uv_timer_start(&d->wake, on_wake, left_ms > 0 ? (uint64_t)left_ms : 0, 0);
}

static void end_turn(struct perigeed *d)
{
	bool looked = false;

	/* What goes wrong because something is gone is not an end of a task: it stays as the last commit has
	 * it. */
	if (d->status != 0)
		return;
	bool may_start = !d->broker || d->policy_taken;
	do {
		looked |= scheduler_dirty(d->scheduler);
		int r = may_start ? scheduler_dispatch(d->scheduler) : 0;
		if (r == 0)
			r = store_turn_end(d->store);
		if (r < 0) {
			log_error("the database cannot be written; starting again from what it holds");
			stop(d, EX_SOFTWARE);
			return;
		}
	} while (may_start && scheduler_dirty(d->scheduler));
	if (looked)
		set_wake(d);
}

static void on_turn(uv_prepare_t *h)
{
	end_turn(h->data);
}

static void on_signal(uv_signal_t *s, int number)
{
	struct perigeed *d = s->data;

	log_info("ending on request");
	/* The machine may be shut down next: not because of a task. */
	int r = d->status == 0 ? scheduler_retire(d->scheduler) : 0;
	if (r == 0)
		r = store_turn_end(d->store);
	if (r < 0)
		log_error("the end on request is not on record: %s", err_text(r));
	stop(s->data, 0);
	(void)number;
}

int turn_start(struct perigeed *d)
{
	int r = uv_prepare_init(&d->loop, &d->turn);

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
