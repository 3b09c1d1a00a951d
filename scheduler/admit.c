/* SPDX-License-Identifier: Apache-2.0 */
#include "admit.h"

#include <stdlib.h>

void load_add(struct load *sum, const struct load *l)
{
	sum->tasks += l->tasks;
	sum->cpus_milli += l->cpus_milli;
	sum->memory_bytes += l->memory_bytes;
}

void load_take(struct load *sum, const struct load *l)
{
	sum->tasks -= l->tasks;
	sum->cpus_milli -= l->cpus_milli;
	sum->memory_bytes -= l->memory_bytes;
}

bool load_fits(const struct load *budget, const struct load *used, const struct load *l)
{
	return used->tasks + l->tasks <= budget->tasks &&
	       used->cpus_milli + l->cpus_milli <= budget->cpus_milli &&
	       used->memory_bytes + l->memory_bytes <= budget->memory_bytes;
}

static int by_end(const void *a, const void *b)
{
	const struct holding *x = a, *y = b;

	return (x->ends_ns > y->ends_ns) - (x->ends_ns < y->ends_ns);
}

static uint64_t left(uint64_t of, uint64_t used)
{
	return of > used ? of - used : 0;
}

bool reserve(const struct load *budget, struct holding *running, size_t n, const struct load *head,
	int64_t now_ns, struct reservation *ret_reservation)
{
	/* What is over its limit, or has none, may end at any moment: from then on the head may have its
	 * room.
	 */
	for (size_t i = 0; i < n; i++)
		if (running[i].ends_ns < now_ns)
			running[i].ends_ns = now_ns;
	qsort(running, n, sizeof(*running), by_end);

	/* From the last end backwards: the head fits at every end from some end on. */
	struct load used = {0};
	int64_t at_ns = n ? running[n - 1].ends_ns : now_ns;
	if (!load_fits(budget, &used, head))
		return false;
	for (size_t i = n; i-- > 0;) {
		load_add(&used, &running[i].load);
		if (!load_fits(budget, &used, head)) {
			load_take(&used, &running[i].load);
			at_ns = running[i].ends_ns;
			break;
		}
		at_ns = i ? running[i - 1].ends_ns : now_ns;
	}
	/* Those that end at the same instant are gone by then as well. */
	used = (struct load){0};
	for (size_t i = 0; i < n; i++)
		if (running[i].ends_ns > at_ns)
			load_add(&used, &running[i].load);
	load_add(&used, head);
	ret_reservation->at_ns = at_ns;
	ret_reservation->spare = (struct load){.tasks = left(budget->tasks, used.tasks),
		.cpus_milli = left(budget->cpus_milli, used.cpus_milli),
		.memory_bytes = left(budget->memory_bytes, used.memory_bytes)};
	return true;
}

bool backfill(struct reservation *r, const struct load *l, int64_t time_ns, int64_t now_ns)
{
	if (time_ns > 0 && time_ns <= r->at_ns - now_ns)
		return true;
	if (l->tasks > r->spare.tasks || l->cpus_milli > r->spare.cpus_milli ||
		l->memory_bytes > r->spare.memory_bytes)
		return false;
	load_take(&r->spare, l);
	return true;
}
