/* SPDX-License-Identifier: Apache-2.0 */
/* Going through a plan on a clock of its own: what starts when, and ends when at the latest. */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "plan.h"

#define ROUNDS_MAX                                                                                           \
	100 /* batches of a foreach with very many elements: each of more of them, one after the other */
#define TASKS_MAX 64

/* Elements that began together and end together. */
struct batch {
	double end_s;
	size_t node;
	uint32_t slots;
};

struct simulation {
	struct plan *p;
	struct plan_course course;
	struct plan_room budget, used, peak;
	struct batch *batches;
	size_t n_batches;
	size_t *ready; /* in the order in which they became so */
	size_t n_ready;
	size_t *over; /* nodes whose end has not been told to those that wait for them */
	size_t n_over;
	double now_s;
	size_t freed; /* the node that ended last */
	bool endless;
};

static double group_cap(const struct plan *p, size_t group)
{
	const struct plan_group *g = &p->groups[group];
	double cap = g->w->timeout_ns ? g->start_s + (double)g->w->timeout_ns / 1e9 : INFINITY;

	return g->node == PLAN_NONE ? cap : fmin(cap, p->nodes[g->node].cap_s);
}

/* From the event on, also of a run inside another. What a handler brings about has none from outside. */
static double group_deadline(const struct plan *p, size_t group)
{
	const struct plan_group *g = &p->groups[group];
	double own = g->w->deadline_ns ? (double)g->w->deadline_ns / 1e9 : INFINITY;

	return g->node == PLAN_NONE ? own : fmin(own, p->nodes[g->node].deadline_s);
}

static void set_limits(struct simulation *s, struct plan_node *n)
{
	bool handler = n->stage->role != WF_NORMAL;

	n->cap_s = n->deadline_s = INFINITY;
	if (!s->course.timeouts)
		return;
	if (n->stage->timeout_ns)
		n->cap_s = s->now_s + (double)n->stage->timeout_ns / 1e9;
	if (!handler) {
		n->cap_s = fmin(n->cap_s, group_cap(s->p, n->group));
		n->deadline_s = group_deadline(s->p, n->group);
	}
}

static void add_batch(struct simulation *s, size_t node, uint32_t slots, double end_s)
{
	s->batches[s->n_batches++] = (struct batch){.end_s = end_s, .node = node, .slots = slots};
	s->p->nodes[node].at_once += slots;
}

/* Nothing is heard until a limit is met. */
static void wait_for_limit(struct simulation *s, size_t node)
{
	struct plan_node *n = &s->p->nodes[node];
	double until = fmax(s->now_s, fmin(n->cap_s, n->deadline_s));

	n->begun = n->elements;
	n->capped = true;
	if (!isfinite(until)) {
		s->endless = true;
		until = s->now_s;
	}
	s->batches[s->n_batches++] = (struct batch){.end_s = until, .node = node};
}

static void make_ready(struct simulation *s, size_t node)
{
	struct plan_node *n = &s->p->nodes[node];

	n->ready_s = s->now_s;
	if (n->opens)
		s->p->groups[n->group].start_s = s->now_s;
	if (n->stage)
		set_limits(s, n);
	if (n->stage && !n->left_out && s->course.late && (n->stage->approve || n->unknown)) {
		wait_for_limit(s, node);
	} else if (!n->stage || n->left_out || n->stage->uses || n->elements == 0) {
		if (n->stage && !n->left_out)
			n->start_s = s->now_s;
		s->over[s->n_over++] = node;
	} else {
		s->ready[s->n_ready++] = node;
	}
}

static void tell_ends(struct simulation *s)
{
	while (s->n_over) {
		struct plan_node *n = &s->p->nodes[s->over[--s->n_over]];
		size_t self = (size_t)(n - s->p->nodes);

		n->end_s = s->now_s;
		for (size_t i = 0; i < n->n_after; i++) {
			struct plan_node *after = &s->p->nodes[n->after[i]];
			if (--after->waits)
				continue;
			after->because = self;
			make_ready(s, n->after[i]);
		}
	}
}

static uint32_t least(uint64_t a, uint64_t b)
{
	return (uint32_t)(a < b ? a : b);
}

/* How many elements of it have room now. */
static uint32_t room_for(const struct simulation *s, const struct plan_node *n)
{
	const struct wf_stage *st = n->stage;
	uint32_t m = least(n->elements - n->begun, s->budget.tasks - s->used.tasks);

	if (s->used.tasks == 0 && m > 0 &&
		(st->cpus_milli > s->budget.cpus_milli || st->memory_bytes > s->budget.memory_bytes))
		return 1; /* more than there is: the checker has said so */
	m = least(m, n->parallel - n->at_once);
	if (s->used.cpus_milli > s->budget.cpus_milli || s->used.memory_bytes > s->budget.memory_bytes)
		return 0;
	m = least(m, st->cpus_milli ? (s->budget.cpus_milli - s->used.cpus_milli) / st->cpus_milli : m);
	return least(
		m, st->memory_bytes ? (s->budget.memory_bytes - s->used.memory_bytes) / st->memory_bytes : m);
}

static void take(struct simulation *s, const struct wf_stage *st, uint32_t slots)
{
	s->used.tasks += slots;
	s->used.cpus_milli += slots * st->cpus_milli;
	s->used.memory_bytes += slots * st->memory_bytes;
	if (s->used.tasks > s->peak.tasks)
		s->peak.tasks = s->used.tasks;
	if (s->used.cpus_milli > s->peak.cpus_milli)
		s->peak.cpus_milli = s->used.cpus_milli;
	if (s->used.memory_bytes > s->peak.memory_bytes)
		s->peak.memory_bytes = s->used.memory_bytes;
}

static void begin(struct simulation *s, size_t node, uint32_t slots)
{
	struct plan_node *n = &s->p->nodes[node];
	uint32_t most = (n->elements + n->parallel * ROUNDS_MAX - 1) / (n->parallel * ROUNDS_MAX);
	uint32_t elements = least(n->elements - n->begun, (uint64_t)slots * (most ? most : 1));
	double rounds = ceil((double)elements / slots);
	double end = fmin(n->cap_s, n->deadline_s + (double)n->stage->time_ns / 1e9);
	double wanted = s->now_s + rounds * n->element_s;

	if (n->begun == 0) {
		n->start_s = s->now_s;
		if (s->now_s > n->ready_s)
			n->because = s->freed;
	}
	n->begun += elements;
	n->capped |= end < wanted;
	take(s, n->stage, slots);
	add_batch(s, node, slots, fmin(wanted, end));
}

/* What is past its limits begins no further element. */
static bool cut_short(const struct simulation *s, struct plan_node *n)
{
	if (n->begun == n->elements || s->now_s < fmin(n->cap_s, n->deadline_s))
		return false;
	n->begun = n->elements;
	n->capped = true;
	return true;
}

/* Strictly in order: what does not fit holds up what is behind it, as at worst it would. */
static void begin_what_fits(struct simulation *s)
{
	size_t kept = 0;
	bool full = false;

	for (size_t i = 0; i < s->n_ready; i++) {
		size_t node = s->ready[i];
		struct plan_node *n = &s->p->nodes[node];
		uint32_t slots;

		if (cut_short(s, n) && n->at_once == 0)
			s->over[s->n_over++] = node;
		while (!full && n->begun < n->elements && n->at_once < n->parallel) {
			slots = room_for(s, n);
			full = slots == 0;
			if (slots)
				begin(s, node, slots);
		}
		if (n->begun < n->elements)
			s->ready[kept++] = node;
	}
	s->n_ready = kept;
}

/* To the next moment at which something ends. false: there is none. */
static bool go_on(struct simulation *s)
{
	double next = INFINITY;
	size_t kept = 0;

	for (size_t i = 0; i < s->n_batches; i++)
		next = fmin(next, s->batches[i].end_s);
	for (size_t i = 0; i < s->n_ready; i++) {
		const struct plan_node *n = &s->p->nodes[s->ready[i]];
		next = fmin(next, fmin(n->cap_s, n->deadline_s));
	}
	if (!isfinite(next))
		return false;
	s->now_s = fmax(s->now_s, next);
	for (size_t i = 0; i < s->n_batches; i++) {
		struct batch b = s->batches[i];
		struct plan_node *n = &s->p->nodes[b.node];

		if (b.end_s > s->now_s) {
			s->batches[kept++] = b;
			continue;
		}
		n->at_once -= b.slots;
		s->used.tasks -= b.slots;
		s->used.cpus_milli -= b.slots * n->stage->cpus_milli;
		s->used.memory_bytes -= b.slots * n->stage->memory_bytes;
		s->freed = b.node;
		cut_short(s, n);
		if (n->begun == n->elements && n->at_once == 0)
			s->over[s->n_over++] = b.node;
	}
	s->n_batches = kept;
	/* One that was cut short just now was told of above: it is not ready any more. */
	kept = 0;
	for (size_t i = 0; i < s->n_ready; i++)
		if (s->p->nodes[s->ready[i]].begun < s->p->nodes[s->ready[i]].elements)
			s->ready[kept++] = s->ready[i];
	s->n_ready = kept;
	return true;
}

static void reset(struct plan *p)
{
	for (size_t i = 0; i < p->n_nodes; i++) {
		struct plan_node *n = &p->nodes[i];

		n->waits = n->n_before;
		n->begun = n->at_once = 0;
		n->ready_s = n->end_s = 0;
		n->start_s = NAN;
		n->cap_s = n->deadline_s = INFINITY;
		n->because = PLAN_NONE;
		n->capped = false;
	}
}

int plan_simulate(struct plan *p, const struct plan_room *budget, const struct plan_course *course,
	struct plan_result *ret_result)
{
	struct simulation s = {.p = p, .course = *course, .budget = *budget, .freed = PLAN_NONE};
	CLEAN_FREE struct batch *batches = calloc(p->n_nodes + TASKS_MAX, sizeof(*batches));
	CLEAN_FREE size_t *ready = calloc(p->n_nodes, sizeof(*ready)),
			  *over = calloc(p->n_nodes, sizeof(*over));
	size_t last = PLAN_NONE;

	if (!batches || !ready || !over)
		return -ENOMEM;
	if (s.budget.tasks == 0 || s.budget.tasks > TASKS_MAX)
		s.budget.tasks = TASKS_MAX;
	s.batches = batches;
	s.ready = ready;
	s.over = over;
	reset(p);
	make_ready(&s, p->groups[0].first);
	do {
		/* An end lets others begin, at the same moment. */
		do {
			tell_ends(&s);
			begin_what_fits(&s);
		} while (s.n_over);
	} while (go_on(&s));
	for (size_t i = 0; i < p->n_nodes; i++)
		if (p->nodes[i].stage && !isnan(p->nodes[i].start_s) &&
			(last == PLAN_NONE || p->nodes[i].end_s > p->nodes[last].end_s))
			last = i;
	*ret_result = (struct plan_result){.end_s = s.endless ? INFINITY : p->nodes[p->groups[0].last].end_s,
		.last = last,
		.peak = s.peak};
	return 0;
}
