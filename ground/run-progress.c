/* SPDX-License-Identifier: Apache-2.0 */
#include "run-progress.h"

#include <stdlib.h>
#include <string.h>

#include "cmd-tools.h"
#include "core/clock.h"
#include "core/json.h"

#define LINES_MAX 4096 /* stages of the run and of those that it uses; what is beyond is not shown */
#define INDENT_MAX 12

struct line {
	int64_t run; /* 0: not heard of yet: of the run itself */
	char *stage;
	size_t depth;
	char state[16];
	char *reason; /* may be NULL */
	struct utc_time since;
};

struct progress {
	FILE *to;
	size_t columns, rows;
	int64_t run; /* the first that was heard of */
	struct line *lines;
	size_t n, cap;
	size_t drawn; /* lines on the terminal that are ours */
};

/* ---- the lines ---- */

static struct line *add_line(struct progress *p, int64_t run, const char *stage)
{
	if (p->n == LINES_MAX)
		return NULL;
	if (p->n == p->cap) {
		size_t cap = p->cap ? 2 * p->cap : 16;
		struct line *lines = realloc(p->lines, cap * sizeof(*lines));
		if (!lines)
			return NULL;
		p->lines = lines;
		p->cap = cap;
	}
	struct line *l = &p->lines[p->n];
	*l = (struct line){.run = run, .stage = strdup(stage), .state = "waiting"};
	if (!l->stage)
		return NULL;
	p->n++;
	return l;
}

/* How many stages come one after the other before it. The file's order is not one by needs: again until
 * nothing changes, at most once a stage. */
static void find_depths(struct progress *p, const struct workflow *w)
{
	bool changed = true;

	for (size_t turns = 0; changed && turns <= p->n; turns++) {
		changed = false;
		for (size_t i = 0; i < p->n; i++) {
			size_t need;

			for (size_t k = 0; (need = workflow_stage_need(w, i, k)) < p->n; k++) {
				if (p->lines[i].depth > p->lines[need].depth)
					continue;
				p->lines[i].depth = p->lines[need].depth + 1;
				changed = true;
			}
		}
	}
}

static struct line *find_line(struct progress *p, int64_t run, const char *stage)
{
	if (run == p->run)
		run = 0;
	for (size_t i = 0; i < p->n; i++)
		if (p->lines[i].run == run && !strcmp(p->lines[i].stage, stage))
			return &p->lines[i];
	return add_line(p, run, stage);
}

struct progress *progress_create(FILE *to, size_t columns, size_t rows, const struct workflow *w)
{
	struct progress *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->to = to;
	p->columns = columns;
	p->rows = rows;
	for (size_t i = 0; i < workflow_stage_count(w) && add_line(p, 0, workflow_stage_name(w, i)); i++)
		;
	if (p->n == workflow_stage_count(w))
		find_depths(p, w);
	return p;
}

void progress_destroy(struct progress *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < p->n; i++) {
		free(p->lines[i].stage);
		free(p->lines[i].reason);
	}
	free(p->lines);
	free(p);
}

/* ---- drawing ---- */

static const char *sign_of(const char *state)
{
	static const struct {
		const char *state, *sign;
	} signs[] = {{"running", ">"}, {"done", "+"}, {"failed", "!"}, {"cancelled", "x"}, {"expired", "x"},
		{"skipped", "-"}, {"retrying", "~"}, {"asking", "?"}, {"queued", "."}, {"frozen", "="}};

	for (size_t i = 0; i < ARRAY_LEN(signs); i++)
		if (!strcmp(signs[i].state, state))
			return signs[i].sign;
	return " ";
}

/* One line as text: at most `cap` bytes, which are as many columns or more. */
static void format_line(const struct line *l, char *ret, size_t cap)
{
	char since[UTC_TEXT_BYTES] = "", run[32] = "";
	size_t depth = l->depth < INDENT_MAX ? l->depth : INDENT_MAX;

	if (!strcmp(l->state, "running"))
		utc_format(l->since, since);
	if (l->run)
		snprintf(run, sizeof(run), "run %lld: ", (long long)l->run);
	snprintf(ret, cap, "%*s%s %s%-*s %s%s%.12s%s%s", (int)(2 * depth), "", sign_of(l->state), run,
		(int)(28 - 2 * depth), l->stage, l->state, *since ? " since " : "", *since ? since + 11 : "",
		l->reason ? ": " : "", l->reason ? l->reason : "");
	/* Not in the middle of a character. */
	size_t len = strlen(ret);
	if (len == cap - 1)
		while (len > 0 && ((unsigned char)ret[--len] & 0xc0) == 0x80)
			ret[len] = '\0';
}

static bool settled(const struct line *l)
{
	return strcmp(l->state, "running") && strcmp(l->state, "frozen") && strcmp(l->state, "retrying") &&
	       strcmp(l->state, "asking") && strcmp(l->state, "failed");
}

static void put_line(struct progress *p, const char *text)
{
	fputs("\r\033[K", p->to);
	print_harmless(p->to, text, strlen(text), false);
	fputc('\n', p->to);
	p->drawn++;
}

/* What does not fit on the terminal is counted: what runs or has failed comes first. */
static void draw(struct progress *p)
{
	size_t room = p->rows > 3 ? p->rows - 2 : 1, left_out = 0, shown = 0;
	size_t width = p->columns > 20 ? p->columns : 20;
	bool all = p->n <= room;
	char text[1024], summary[64];

	if (p->drawn)
		fprintf(p->to, "\033[%zuA", p->drawn);
	size_t before = p->drawn;
	p->drawn = 0;
	for (size_t i = 0; i < p->n; i++) {
		if ((!all && settled(&p->lines[i])) || shown >= room) {
			left_out++;
			continue;
		}
		format_line(&p->lines[i], text, width < sizeof(text) ? width : sizeof(text));
		put_line(p, text);
		shown++;
	}
	if (left_out) {
		snprintf(summary, sizeof(summary), "  and %zu more", left_out);
		put_line(p, summary);
	}
	/* What was longer before. */
	for (size_t i = p->drawn; i < before; i++)
		fputs("\r\033[K\n", p->to);
	if (before > p->drawn)
		fprintf(p->to, "\033[%zuA", before - p->drawn);
	fflush(p->to);
}

static void print_change(struct progress *p, const struct line *l)
{
	if (l->run)
		fprintf(p->to, "run %lld: ", (long long)l->run);
	fprintf(p->to, "%-16s %s", l->stage, l->state);
	if (l->reason) {
		fputs(": ", p->to);
		print_harmless(p->to, l->reason, strlen(l->reason), false);
	}
	fputc('\n', p->to);
}

/* Owned; NULL: none. Who is asked is told how to answer. */
static char *reason_of(int64_t run, const char *stage, const char *state, const char *reason)
{
	char *text = NULL;

	if (strcmp(state, "asking"))
		return reason ? strdup(reason) : NULL;
	/* First, for the line may be cut. */
	return asprintf(&text, "`perigee approve %lld %s`%s%s", (long long)run, stage,
		       reason && *reason ? ": " : "", reason ? reason : "") < 0
		       ? NULL
		       : text;
}

void progress_event(struct progress *p, const cJSON *event)
{
	const char *what = json_str(event, "event"), *stage = json_str(event, "stage"),
		   *state = json_str(event, "state"), *reason = json_str(event, "reason");
	int64_t run = json_int(event, "run", 0);

	if (!what || strcmp(what, "stage") || !stage || !state || run <= 0)
		return;
	if (!p->run)
		p->run = run;
	struct line *l = find_line(p, run, stage);
	if (!l)
		return;
	if (!strcmp(l->state, state) && !strcmp(l->reason ? l->reason : "", reason ? reason : ""))
		return;
	snprintf(l->state, sizeof(l->state), "%s", state);
	free(l->reason);
	l->reason = reason_of(run, stage, state, reason);
	l->since = clock_utc();
	if (p->columns)
		draw(p);
	else
		print_change(p, l);
}
