/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What fits now, and what may go in front of a task that does not. Arithmetic on declared sizes and time
 * limits alone: no database, no clock.
 */
#ifndef SCHEDULER_ADMIT_H
#define SCHEDULER_ADMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct load {
	uint64_t tasks, cpus_milli, memory_bytes;
};

/* Something that runs, and gives back what it has at the latest then. */
struct holding {
	struct load load;
	int64_t ends_ns; /* monotonic; 0: nobody knows, so at any moment */
};

struct reservation {
	int64_t at_ns;     /* by then what waits at the head has room, whatever happens */
	struct load spare; /* of the budget, beside it, at that instant */
};

void load_add(struct load *sum, const struct load *l);
void load_take(struct load *sum, const struct load *l);
bool load_fits(const struct load *budget, const struct load *used, const struct load *l);

/* `running` is put in order of its ends. False: not even with everything free. */
bool reserve(const struct load *budget, struct holding *running, size_t n, const struct load *head,
	int64_t now_ns, struct reservation *ret_reservation);
/* May a task that fits now start in front of the head? Takes from the spare room what it keeps beyond the
 * reservation. time_ns 0: it has no limit. */
bool backfill(struct reservation *r, const struct load *l, int64_t time_ns, int64_t now_ns);

#endif
