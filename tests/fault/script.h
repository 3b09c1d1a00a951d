/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scripts of the mission queue, driven through its public face, beside a model of what it must hold: what the
 * fault tests break off at any point.
 */
#ifndef TESTS_FAULT_SCRIPT_H
#define TESTS_FAULT_SCRIPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "scheduler.h"

#define SCRIPT_TASKS_MAX 512
#define SCRIPT_TURNS_MAX 1024

enum model_state { MODEL_WAITING, MODEL_RUNNING, MODEL_DONE, MODEL_FAILED };

struct model_task {
	int64_t id, age_ns;
	uint8_t priority, failed_tries, attempts;
	uint8_t state; /* enum model_state */
	bool begun;    /* the runner has heard of it: it may end */
};

struct model {
	struct model_task tasks[SCRIPT_TASKS_MAX];
	size_t n;
};

/* The queue and its model; one at a time. */
struct script {
	struct store *store;
	struct scheduler *scheduler;
	struct model model;
	uint64_t seed;
	int64_t turn;
	/* After each turn that the store has acknowledged; called with the model as that turn left it. */
	void (*on_turn)(void *user, const struct model *m);
	void *user;
};

/* Opens the database and the queue on it. Negative: of the store. */
WARN_UNUSED int script_open(struct script *s, const char *path);
void script_close(struct script *s);
/* Some puts, ends and starts, as the seed has it, and the end of the turn. Negative: the store refused, and
 * the process would end here. STORE_HELD. */
WARN_UNUSED int script_turn(struct script *s);
/* Its last part alone. */
WARN_UNUSED int script_end_of_turn(struct script *s);
/*
 * Runs everything that the database still has to its end, one task after the other, and compares: the counts
 * at the start, what runs and in which order must be as one of the models has it. The number of that model,
 * or -1: of none (why is said on standard error).
 */
int script_check(const char *path, const struct model *const *models, size_t n_models);

#endif
