/* SPDX-License-Identifier: Apache-2.0 */
#include "launcher-slots.h"

#include <errno.h>
#include <inttypes.h>

#include "core/log.h"

struct slot *slot_find(struct launcher_server *s, enum slot_state state)
{
	for (size_t i = 0; i < CELLS_MAX; i++) {
		if (s->slot[i].state == state && (state != SLOT_FREE || !s->slot[i].cell_lives))
			return &s->slot[i];
	}
	return NULL;
}

size_t slot_count(const struct launcher_server *s, enum slot_state state)
{
	size_t n = 0;

	for (size_t i = 0; i < CELLS_MAX; i++)
		n += s->slot[i].state == state;
	return n;
}

struct slot *slot_of_task(struct launcher_server *s, uint64_t task)
{
	for (size_t i = 0; i < CELLS_MAX; i++) {
		struct slot *t = &s->slot[i];

		if ((t->state == SLOT_RUNNING || (t->state == SLOT_ENDED && !t->told)) &&
			t->result.task == task)
			return t;
	}
	return NULL;
}

void slot_begin(struct launcher_server *s, struct slot *t, const struct launch_order *order)
{
	t->state = SLOT_RUNNING;
	t->told = false;
	t->kill = LAUNCH_EXITED;
	t->limits = order->limits;
	t->started = clock_mono();
	t->frozen = false;
	t->frozen_ns = 0;
	t->result = (struct launch_result){.task = order->task};
	t->cpu_ns_before = cgroup_cpu_ns(&s->groups, &t->cell.group);
}

void slot_kill(struct launcher_server *s, struct slot *t, enum launch_end why)
{
	if (t->state == SLOT_RUNNING && t->kill == LAUNCH_EXITED)
		t->kill = why;
	cell_kill(&t->cell);
	/* After the signal, so that its init runs no further. In version 1 a frozen process dies only thawed.
	 */
	if (t->frozen)
		slot_freeze(s, t, false);
}

void slot_freeze(struct launcher_server *s, struct slot *t, bool frozen)
{
	struct mono_time now = clock_mono();
	int err;

	if (t->frozen == frozen)
		return;
	err = cgroup_freeze(&s->groups, &t->cell.group, frozen);
	if (err < 0) {
		log_warning("task %" PRIu64 ": cannot %s: %s", t->result.task, frozen ? "freeze" : "thaw",
			err_text(err));
		return;
	}
	if (frozen)
		t->frozen_at = now;
	else
		t->frozen_ns += now.ns - t->frozen_at.ns;
	t->frozen = frozen;
}

int64_t slot_frozen_ns(const struct slot *t, struct mono_time now)
{
	return t->frozen_ns + (t->frozen ? now.ns - t->frozen_at.ns : 0);
}

int64_t slot_left_ns(const struct slot *t, struct mono_time now)
{
	return t->frozen ? INT64_MAX : t->started.ns + t->frozen_ns + t->limits.wall_ns - now.ns;
}

void slot_release(struct slot *t)
{
	if (t->state == SLOT_ENDED && t->told && !t->cell_lives)
		t->state = SLOT_FREE;
}
