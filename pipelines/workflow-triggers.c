/* SPDX-License-Identifier: Apache-2.0 */
/* Reading what makes runs: triggers, and how many runs may be open at once. */
#include <string.h>

#include "workflow-read.h"

#define EVERY_NS_MIN NS_PER_S
#define RUNS_MAX 1000

static const char *const events[] = {"image.acquired", "pass.begin", "pass.end", "region.enter",
	"region.leave", "sunlight.begin", "sunlight.end"};

/* What the broker tells of images is no orbit event. */
bool workflow_is_orbit_event(const char *name, const char **ret_near)
{
	for (size_t i = 1; i < ARRAY_LEN(events); i++)
		if (!strcmp(name, events[i]))
			return true;
	*ret_near = nearest_name(name, events + 1, ARRAY_LEN(events) - 1);
	return false;
}

static void read_event(struct wf_reader *r, struct wf_trigger *t, struct ynode *map, struct ynode *event)
{
	struct ynode *place = y_get(map, "place"), *device = y_get(map, "device");
	const char *text;
	int which;

	t->kind = WF_TRIGGER_FRAME;
	if (!y_text(r->c, event, &text))
		return;
	for (which = 0; which < (int)ARRAY_LEN(events) && strcmp(text, events[which]); which++)
		;
	if (which == (int)ARRAY_LEN(events)) {
		const char *near = wf_near(r, text, events, ARRAY_LEN(events));
		if (near)
			y_complain(r->c, event, "expected an event, found \"%.60s\"; did you mean %s?", text,
				near);
		else
			y_complain(r->c, event,
				"expected image.acquired, pass.begin, pass.end, region.enter, region.leave, "
				"sunlight.begin or sunlight.end, found \"%.60s\"",
				text);
		return;
	}
	t->event = events[which];
	if (which == 0) {
		y_name(r->c, y_need(r->c, map, "device"), &t->device);
		if (place)
			y_complain(r->c, place, "an image has a device, not a place");
		return;
	}
	t->kind = WF_TRIGGER_ORBIT;
	if (device)
		y_complain(r->c, device, "only image.acquired has a device");
	if (place && !strncmp(t->event, "sunlight.", 9))
		y_complain(r->c, place, "sunlight has no place");
	else
		y_name(r->c, place, &t->place);
}

static void read_every(struct wf_reader *r, struct wf_trigger *t, struct ynode *n)
{
	t->kind = WF_TRIGGER_EVERY;
	if (wf_duration(r, n, &t->every_ns) && t->every_ns < EVERY_NS_MIN)
		y_complain(r->c, n, "expected at least 1s, found \"%s\"", n->text);
}

static void read_cron(struct wf_reader *r, struct wf_trigger *t, struct ynode *n)
{
	char reason[CRON_REASON_BYTES];

	t->kind = WF_TRIGGER_CRON;
	if (!y_text(r->c, n, &t->cron_text))
		return;
	if (cron_parse(t->cron_text, &t->cron, reason) < 0)
		y_complain(r->c, n, "%s", reason);
	else if (cron_next(&t->cron, (struct utc_time){0}).ns == 0)
		y_complain(r->c, n, "there is no such day, found \"%.60s\"", t->cron_text);
}

static void read_completed(struct wf_reader *r, struct wf_trigger *t, struct ynode *map, struct ynode *n)
{
	static const char *const ends[] = {"done", "failed", "any"};
	static const enum wf_completed_on bits[] = {WF_ON_DONE, WF_ON_FAILED, WF_ON_ANY};
	int which = 0;

	t->kind = WF_TRIGGER_COMPLETED;
	if (y_name(r->c, n, &t->workflow) && r->w->name && !strcmp(t->workflow, r->w->name))
		y_complain(r->c, n, "the workflow %s would start itself again without end", t->workflow);
	wf_choice(r, y_get(map, "on"), ends, ARRAY_LEN(ends), &which);
	t->on = bits[which];
}

static void read_trigger(struct wf_reader *r, struct wf_trigger *t, struct ynode *n)
{
	static const char *const kinds[] = {"event", "every", "cron", "completed"};
	static const char *const known[] = {"event", "every", "cron", "completed", "device", "place", "on"};
	struct ynode *kind = NULL;

	if (!y_is(r->c, n, YNODE_MAP))
		return;
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		struct ynode *k = y_get(n, kinds[i]);

		if (k && kind)
			y_complain(r->c, k, "a trigger is one of event, every, cron or completed");
		else if (k)
			kind = k;
	}
	if (!kind) {
		y_complain(r->c, n, "expected event, every, cron or completed, found none");
	} else if (!strcmp(kind->key, "event")) {
		read_event(r, t, n, kind);
	} else if (!strcmp(kind->key, "every")) {
		read_every(r, t, kind);
	} else if (!strcmp(kind->key, "cron")) {
		read_cron(r, t, kind);
	} else {
		read_completed(r, t, n, kind);
	}
	y_no_others(r->c, n, known, ARRAY_LEN(known));
}

void wf_read_triggers(struct wf_reader *r, struct ynode *list)
{
	struct workflow *w = r->w;

	if (!list || !y_is(r->c, list, YNODE_SEQ))
		return;
	if (list->n > WF_TRIGGERS_MAX) {
		y_complain(r->c, list, "expected at most %d triggers, found %zu", WF_TRIGGERS_MAX, list->n);
		return;
	}
	for (struct ynode *n = list->first; n; n = n->next)
		read_trigger(r, &w->triggers[w->n_triggers++], n);
}

void wf_read_max_runs(struct wf_reader *r, struct ynode *n)
{
	static const char *const known[] = {"limit", "when_full"}, *const ways[] = {
									   "queue", "latest", "skip"};
	struct ynode *limit = n;
	int64_t v = 0;
	int way = WF_QUEUE;

	if (!n)
		return;
	if (n->kind == YNODE_MAP) {
		limit = y_need(r->c, n, "limit");
		wf_choice(r, y_get(n, "when_full"), ways, ARRAY_LEN(ways), &way);
		y_no_others(r->c, n, known, ARRAY_LEN(known));
	}
	y_int(r->c, limit, 1, RUNS_MAX, &v);
	r->w->max_runs = (uint32_t)v;
	r->w->when_full = (enum wf_when_full)way;
}
