/* SPDX-License-Identifier: Apache-2.0 */
/* A workflow as a picture that needs nothing beside itself (SVG 1.1). */
#include <string.h>

#include "graph.h"

#define LEGEND_HEIGHT 34.0
#define NAME_SHOWN 24
#define REMARKS_SHOWN 34

/* Text of a file into XML: what XML cannot hold becomes "?". */
static void put_text(FILE *to, const char *text, size_t max)
{
	size_t n = 0;

	for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
		n += (*p & 0xc0) != 0x80;
		if (n > max) {
			fputs("…", to);
			return;
		}
		if (*p == '<')
			fputs("&lt;", to);
		else if (*p == '>')
			fputs("&gt;", to);
		else if (*p == '&')
			fputs("&amp;", to);
		else if (*p == '"')
			fputs("&quot;", to);
		else
			fputc(*p < 0x20 || *p == 0x7f ? (*p == '\n' || *p == '\t' ? ' ' : '?') : *p, to);
	}
}

static double right_of(const struct graph_node *n)
{
	return n->x + GRAPH_BOX_WIDTH;
}

static void put_curve(FILE *to, double x1, double y1, double x2, double y2)
{
	double bow = (x2 - x1) / 2;

	fprintf(to, " C%.1f %.1f %.1f %.1f %.1f %.1f", x1 + bow, y1, x2 - bow, y2, x2, y2);
}

static void put_edge(const struct graph *g, const struct graph_edge *e, FILE *to)
{
	const struct graph_node *from = &g->nodes[e->from], *end = &g->nodes[e->to];
	double x = right_of(from), y = from->y;

	fprintf(to, "<path class=\"e%s\" d=\"M%.1f %.1f", e->order_alone ? " o" : "", x, y);
	for (size_t i = 0; i < e->n_bends; i++) {
		const struct graph_node *bend = &g->nodes[e->bend + i];

		put_curve(to, x, y, bend->x, bend->y);
		fprintf(to, " L%.1f %.1f", right_of(bend), bend->y);
		x = right_of(bend);
		y = bend->y;
	}
	put_curve(to, x, y, end->x - 6, end->y);
	fprintf(to, "\" marker-end=\"url(#a)\"><title>%s → %s</title></path>\n", g->w->stages[e->from].name,
		g->w->stages[e->to].name);
}

static void put_title(const struct workflow *w, const struct wf_stage *s, const char *state, FILE *to)
{
	fprintf(to, "<title>%s", s->name);
	if (state)
		fprintf(to, ": %s", state);
	for (size_t i = 0; i < s->n_inputs; i++) {
		const struct wf_input *in = &s->inputs[i];
		if (in->from == WF_FROM_TRIGGER)
			fprintf(to, "\nin %s: trigger.%s", in->name, in->trigger_name);
		else
			fprintf(to, "\nin %s: %s.%s", in->name, w->stages[in->stage].name,
				w->stages[in->stage].outputs[in->output].name);
	}
	for (size_t i = 0; i < s->n_outputs; i++)
		fprintf(to, "\nout %s", s->outputs[i].name);
	if (s->when_text) {
		fputs("\nwhen ", to);
		put_text(to, s->when_text, EXPR_BYTES_MAX);
	}
	fputs("</title>\n", to);
}

static void put_stage(const struct graph *g, size_t i, const char *state, FILE *to)
{
	const struct wf_stage *s = &g->w->stages[i];
	const struct graph_node *n = &g->nodes[i];
	double top = n->y - GRAPH_BOX_HEIGHT / 2.0, middle = n->x + GRAPH_BOX_WIDTH / 2.0;
	char remarks[160];

	fputs("<g>", to);
	put_title(g->w, s, state, to);
	if (s->foreach.source != WF_NO_FOREACH) /* a stack of elements */
		fprintf(to,
			"<rect class=\"b\" x=\"%.1f\" y=\"%.1f\" width=\"%d\" height=\"%d\" rx=\"8\" "
			"fill=\"%s\"/>\n",
			n->x + 4, top + 4, GRAPH_BOX_WIDTH, GRAPH_BOX_HEIGHT, graph_colour(state));
	fprintf(to,
		"<rect class=\"b%s\" x=\"%.1f\" y=\"%.1f\" width=\"%d\" height=\"%d\" rx=\"8\" "
		"fill=\"%s\"/>\n",
		s->role == WF_NORMAL ? "" : " h", n->x, top, GRAPH_BOX_WIDTH, GRAPH_BOX_HEIGHT,
		graph_colour(state));
	fprintf(to, "<text class=\"n\" x=\"%.1f\" y=\"%.1f\">", middle, top + 19);
	put_text(to, s->name, NAME_SHOWN);
	fprintf(to, "</text><text x=\"%.1f\" y=\"%.1f\">", middle, top + 34);
	fputs(s->uses ? "uses " : "", to);
	put_text(to, s->uses ? s->uses : s->image, NAME_SHOWN);
	graph_remarks(s, remarks, sizeof(remarks));
	fprintf(to, "</text><text class=\"r\" x=\"%.1f\" y=\"%.1f\">", middle, top + 49);
	put_text(to, remarks, REMARKS_SHOWN);
	fputs("</text></g>\n", to);
}

/* The states that are there, in their order. */
static void put_legend(const struct graph *g, const char *const *states, double y, FILE *to)
{
	double x = 24;

	for (size_t k = 0; k < GRAPH_STATES_MAX; k++) {
		size_t n = 0;
		for (size_t i = 0; i < g->w->n_stages; i++)
			n += states[i] && !strcmp(states[i], graph_states[k]);
		if (!n)
			continue;
		fprintf(to,
			"<rect class=\"b\" x=\"%.1f\" y=\"%.1f\" width=\"14\" height=\"14\" rx=\"3\" "
			"fill=\"%s\"/>"
			"<text class=\"l\" x=\"%.1f\" y=\"%.1f\">%s (%zu)</text>\n",
			x, y, graph_colour(graph_states[k]), x + 20, y + 11.5, graph_states[k], n);
		x += 110;
	}
}

void graph_svg(const struct graph *g, const char *const *states, FILE *to)
{
	double height = g->height + (states ? LEGEND_HEIGHT : 0), width = g->width;
	size_t n_states = 0;

	for (size_t k = 0; states && k < GRAPH_STATES_MAX; k++)
		for (size_t i = 0; i < g->w->n_stages; i++)
			if (states[i] && !strcmp(states[i], graph_states[k])) {
				n_states++;
				break;
			}
	if (width < 24 + 110.0 * (double)n_states)
		width = 24 + 110.0 * (double)n_states;
	fprintf(to,
		"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
		"<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%.0f\" height=\"%.0f\" viewBox=\"0 0 %.0f "
		"%.0f\">\n"
		"<title>%s</title>\n"
		"<defs><marker id=\"a\" viewBox=\"0 0 8 8\" refX=\"2\" refY=\"4\" markerWidth=\"8\" "
		"markerHeight=\"8\" markerUnits=\"userSpaceOnUse\" orient=\"auto\"><path d=\"M0 0L8 4L0 8z\" "
		"fill=\"#5b6573\"/></marker></defs>\n"
		"<style>text{font:11px "
		"sans-serif;fill:#30363d;text-anchor:middle}.n{font-weight:bold;font-size:13px}"
		".r{font-size:10px;fill:#57606a}.l{text-anchor:start}.b{stroke:#57606a;stroke-width:1.2}"
		".h{stroke-dasharray:5 3}.e{fill:none;stroke:#5b6573;stroke-width:1.4}.o{stroke-dasharray:2 "
		"3}"
		"</style>\n"
		"<rect width=\"100%%\" height=\"100%%\" fill=\"#ffffff\"/>\n",
		width, height, width, height, g->w->name);
	for (size_t i = 0; i < g->n_edges; i++)
		put_edge(g, &g->edges[i], to);
	for (size_t i = 0; i < g->w->n_stages; i++)
		put_stage(g, i, states ? states[i] : NULL, to);
	if (states)
		put_legend(g, states, g->height - 4, to);
	fputs("</svg>\n", to);
}
