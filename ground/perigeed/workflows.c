/* SPDX-License-Identifier: Apache-2.0 */
/* The mission's workflows: read, checked alone and against each other, and the good ones given to pipelines.
 */
#include <errno.h>
#include <string.h>

#include "core/log.h"
#include "perigeed.h"

struct loaded {
	struct workflow *w[MISSION_WORKFLOWS_MAX]; /* owned; the good ones, close together */
	struct complaints *c[MISSION_WORKFLOWS_MAX];
	size_t n;
	struct complaints all[MISSION_WORKFLOWS_MAX]; /* by number in the mission file */
};

static void load(struct perigeed *d, struct loaded *l)
{
	const struct mission *m = d->mission;
	const struct workflow_limits limits = workflow_limits_of(m);

	for (size_t i = 0; i < m->n_workflows; i++)
		if (workflow_load(m->workflows[i], &limits, &l->all[i], &l->w[l->n]) == 0)
			l->c[l->n++] = &l->all[i];
}

static void drop(struct loaded *l, size_t i)
{
	workflow_destroy(l->w[i]);
	l->n--;
	memmove(&l->w[i], &l->w[i + 1], (l->n - i) * sizeof(struct workflow *));
	memmove(&l->c[i], &l->c[i + 1], (l->n - i) * sizeof(struct complaints *));
}

/* What uses one that is left out is left out as well, until the rest hold together. */
static int check_together(struct loaded *l)
{
	int r;

	while ((r = workflow_check_uses(l->w, l->n, true, l->c)) == ERR_CHECKED)
		for (size_t i = l->n; i-- > 0;)
			if (l->c[i]->total)
				drop(l, i);
	return r;
}

static int take(struct perigeed *d, struct loaded *l)
{
	int r = 0;

	for (size_t i = 0; i < l->n; i++) {
		int added = pipelines_add(d->pipelines, l->w[i], l->c[i]);
		if (added < 0)
			workflow_destroy(l->w[i]);
		else
			added = subscribe(d, l->w[i]);
		if (added == 0) /* so that it can be held before it ever ran */
			added = scheduler_know(
				d->scheduler, workflow_payload(l->w[i]), workflow_name(l->w[i]));
		if (added < 0 && l->c[i]->total == 0)
			complain(l->c[i], 0, 0, "cannot be taken: %s", err_text(added));
		if (added < 0 && r == 0)
			r = added;
	}
	return r;
}

int load_workflows(struct perigeed *d)
{
	const struct mission *m = d->mission;
	struct loaded *l = calloc(1, sizeof(*l));
	size_t n = 0;
	int r = l ? 0 : -ENOMEM;

	while (r == 0 && n < m->n_workflows && (r = complaints_init(&l->all[n], m->workflows[n])) == 0)
		n++;
	if (r == 0) {
		load(d, l);
		r = check_together(l);
		if (r == 0)
			r = take(d, l);
		else
			while (l->n)
				drop(l, l->n - 1);
	}
	for (size_t i = 0; i < n; i++) {
		if (l->all[i].total || !d->o->run) /* `perigee run` has shown the warnings */
			complaints_print(&l->all[i], stderr);
		/* The others go on without it. */
		if (l->all[i].total) {
			log_error("workflow %s is left out", m->workflows[i]);
			r = r ? r : ERR_CHECKED;
		}
		complaints_finish(&l->all[i]);
	}
	free(l);
	return d->o->run || r == -ENOMEM ? r : 0;
}
