/* SPDX-License-Identifier: Apache-2.0 */
/* Drawing a workflow: columns of stages, each right of those it needs. Inside pipelines. */
#ifndef PIPELINES_GRAPH_H
#define PIPELINES_GRAPH_H

#include "workflow.h"

#define GRAPH_BOX_WIDTH 190
#define GRAPH_BOX_HEIGHT 58
#define GRAPH_BENDS_MAX 20000 /* places where long edges pass a column; above that they go straight */

/* A stage, or a bend of an edge that passes its column. */
struct graph_node {
	size_t stage; /* WF_NONE: a bend */
	size_t column, row;
	double x, y; /* of the left edge, of the middle */
	double wanted;
};

struct graph_edge {
	size_t from, to;  /* stages */
	size_t bend;      /* number of its first bend; the others follow it */
	size_t n_bends;   /* 0: it goes straight */
	bool order_alone; /* nothing is handed over */
};

struct graph {
	const struct workflow *w;
	struct graph_node *nodes; /* the stages first, by their numbers; then the bends */
	size_t n_nodes;
	struct graph_edge *edges;
	size_t n_edges;
	size_t n_columns;
	double width, height;
};

/* Lays it out. -ENOMEM. The caller calls graph_finish in any case. */
WARN_UNUSED int graph_init(struct graph *g, const struct workflow *w);
void graph_finish(struct graph *g);

/* What the drawing says of a stage in a few words: "foreach 8, when, retry 2". */
void graph_remarks(const struct wf_stage *s, char *ret_text, size_t cap);
/* The colour of a state, "#rrggbb"; of NULL and of a state that is not known the paper's. */
const char *graph_colour(const char *state);
#define GRAPH_STATES_MAX 10
extern const char *const graph_states[GRAPH_STATES_MAX];

/* graph-svg.c, graph-dot.c: states by stage; NULL: of no run. */
void graph_svg(const struct graph *g, const char *const *states, FILE *to);
void graph_dot(const struct workflow *w, const char *const *states, FILE *to);

#endif
