/* SPDX-License-Identifier: Apache-2.0 */
/* Where everything is drawn: columns by the longest way, few crossings, long edges around the stages. */
#include <errno.h>
#include <string.h>

#include "core/file.h"
#include "graph.h"

#define MARGIN 24.0
#define COLUMN_GAP 84.0
#define ROW_GAP 18.0
#define BEND_HEIGHT 10.0
#define SWEEPS 8

/* The column of each stage: one more than the furthest of those it needs. There are no cycles. */
static int find_columns(struct graph *g)
{
	const struct workflow *w = g->w;
	CLEAN_FREE size_t *left = calloc(w->n_stages, sizeof(*left));
	CLEAN_FREE size_t *ready = calloc(w->n_stages, sizeof(*ready));
	CLEAN_FREE size_t *head = calloc(w->n_stages + 1, sizeof(*head));
	CLEAN_FREE size_t *users = calloc(g->n_edges + 1, sizeof(*users));
	size_t n = 0;

	if (!left || !ready || !head || !users)
		return -ENOMEM;
	/* Who needs a stage, as one list cut by head[]. */
	for (size_t i = 0; i < g->n_edges; i++)
		head[g->edges[i].from + 1]++;
	for (size_t i = 0; i < w->n_stages; i++) {
		head[i + 1] += head[i];
		left[i] = w->stages[i].n_needs;
		if (!left[i])
			ready[n++] = i;
	}
	CLEAN_FREE size_t *fill = calloc(w->n_stages, sizeof(*fill));
	if (!fill)
		return -ENOMEM;
	for (size_t i = 0; i < g->n_edges; i++)
		users[head[g->edges[i].from] + fill[g->edges[i].from]++] = g->edges[i].to;
	for (size_t at = 0; at < n; at++)
		for (size_t k = head[ready[at]]; k < head[ready[at] + 1]; k++) {
			struct graph_node *user = &g->nodes[users[k]];

			if (user->column < g->nodes[ready[at]].column + 1)
				user->column = g->nodes[ready[at]].column + 1;
			if (--left[users[k]] == 0)
				ready[n++] = users[k];
		}
	return 0;
}

/* Handlers come after everything else, a handler that needs another after that. */
static void move_handlers(struct graph *g)
{
	size_t last = 0;

	for (size_t i = 0; i < g->w->n_stages; i++)
		if (g->w->stages[i].role == WF_NORMAL && g->nodes[i].column > last)
			last = g->nodes[i].column;
	for (bool moved = true; moved;) {
		moved = false;
		for (size_t i = 0; i < g->w->n_stages; i++) {
			size_t column = last + 1;
			if (g->w->stages[i].role == WF_NORMAL)
				continue;
			for (size_t k = 0; k < g->w->stages[i].n_needs; k++)
				if (g->nodes[g->w->stages[i].needs[k]].column + 1 > column)
					column = g->nodes[g->w->stages[i].needs[k]].column + 1;
			moved |= g->nodes[i].column != column;
			g->nodes[i].column = column;
		}
	}
}

static void count_columns(struct graph *g)
{
	g->n_columns = 0;
	for (size_t i = 0; i < g->n_nodes; i++)
		if (g->nodes[i].column + 1 > g->n_columns)
			g->n_columns = g->nodes[i].column + 1;
}

static int add_bends(struct graph *g)
{
	size_t all = 0;

	for (size_t i = 0; i < g->n_edges; i++) {
		struct graph_edge *e = &g->edges[i];
		size_t from = g->nodes[e->from].column, to = g->nodes[e->to].column;

		e->n_bends = to > from ? to - from - 1 : 0;
		if (all + e->n_bends > GRAPH_BENDS_MAX)
			e->n_bends = 0;
		e->bend = g->n_nodes + all;
		all += e->n_bends;
	}
	struct graph_node *grown = reallocarray(g->nodes, g->n_nodes + all, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	g->nodes = grown;
	for (size_t i = 0; i < g->n_edges; i++)
		for (size_t k = 0; k < g->edges[i].n_bends; k++)
			g->nodes[g->n_nodes++] = (struct graph_node){
				.stage = WF_NONE, .column = g->nodes[g->edges[i].from].column + 1 + k};
	return 0;
}

/* ---- rows ---- */

struct rows {
	struct graph *g;
	size_t *in_column; /* node numbers, column by column, by row */
	size_t *first;     /* where a column begins */
	double *sum;       /* by node, of the neighbours' rows or heights */
	unsigned *n;
};

static double height_of(const struct graph_node *n)
{
	return n->stage == WF_NONE ? BEND_HEIGHT : GRAPH_BOX_HEIGHT;
}

/* The pieces of an edge, from node to node. */
static void each_piece(
	struct rows *r, void (*fn)(struct rows *r, size_t a, size_t b, bool forward), bool forward)
{
	for (size_t i = 0; i < r->g->n_edges; i++) {
		const struct graph_edge *e = &r->g->edges[i];
		size_t at = e->from;

		for (size_t k = 0; k < e->n_bends; k++) {
			fn(r, at, e->bend + k, forward);
			at = e->bend + k;
		}
		fn(r, at, e->to, forward);
	}
}

static void add_row(struct rows *r, size_t a, size_t b, bool forward)
{
	size_t to = forward ? b : a, from = forward ? a : b;

	r->sum[to] += (double)r->g->nodes[from].row;
	r->n[to]++;
}

static void add_height(struct rows *r, size_t a, size_t b, bool forward)
{
	size_t to = forward ? b : a, from = forward ? a : b;

	r->sum[to] += r->g->nodes[from].y;
	r->n[to]++;
}

static int by_wanted(const void *a, const void *b, void *nodes)
{
	const struct graph_node *x = (struct graph_node *)nodes + *(const size_t *)a,
				*y = (struct graph_node *)nodes + *(const size_t *)b;

	if (x->wanted != y->wanted)
		return x->wanted < y->wanted ? -1 : 1;
	return (x->row > y->row) - (x->row < y->row);
}

static void want(struct rows *r, bool rows, bool forward)
{
	size_t n = r->g->n_nodes;

	memset(r->sum, 0, n * sizeof(*r->sum));
	memset(r->n, 0, n * sizeof(*r->n));
	each_piece(r, rows ? add_row : add_height, forward);
	for (size_t i = 0; i < n; i++)
		r->g->nodes[i].wanted = r->n[i] ? r->sum[i] / r->n[i]
					: rows  ? (double)r->g->nodes[i].row
						: r->g->nodes[i].y;
}

/* Fewer crossings: each column in the order of the middle of what its nodes are joined to. */
static void order_rows(struct rows *r)
{
	for (int sweep = 0; sweep < SWEEPS; sweep++) {
		for (size_t k = 0; k < r->g->n_columns; k++) {
			size_t c = sweep % 2 ? r->g->n_columns - 1 - k : k;
			size_t *column = r->in_column + r->first[c];
			size_t n = r->first[c + 1] - r->first[c];

			if (k == 0 || r->g->n_nodes < 4000)
				want(r, true, sweep % 2 == 0);
			qsort_r(column, n, sizeof(*column), by_wanted, r->g->nodes);
			for (size_t i = 0; i < n; i++)
				r->g->nodes[column[i]].row = i;
		}
	}
}

/* Each as near as it can to what it is joined to, in order and apart from each other. */
static void place_column(struct rows *r, size_t c)
{
	size_t *column = r->in_column + r->first[c];
	size_t n = r->first[c + 1] - r->first[c];
	double off = 0;

	for (size_t i = 0; i < n; i++) {
		struct graph_node *at = &r->g->nodes[column[i]];

		at->y = at->wanted;
		if (i) {
			const struct graph_node *above = &r->g->nodes[column[i - 1]];
			double least = above->y + (height_of(above) + height_of(at)) / 2 + ROW_GAP;
			if (at->y < least)
				at->y = least;
		}
		off += at->y - at->wanted;
	}
	for (size_t i = 0; i < n; i++)
		r->g->nodes[column[i]].y -= off / (double)n;
}

static int by_height(const void *a, const void *b, void *nodes)
{
	const struct graph_node *x = (struct graph_node *)nodes + *(const size_t *)a,
				*y = (struct graph_node *)nodes + *(const size_t *)b;
	double top_x = x->y - height_of(x) / 2, top_y = y->y - height_of(y) / 2;

	return (top_x > top_y) - (top_x < top_y);
}

/* Where nothing is drawn over the whole width, what is below moves up. */
static void close_gaps(struct rows *r)
{
	struct graph *g = r->g;
	double bottom = 0, up = 0;

	for (size_t i = 0; i < g->n_nodes; i++)
		r->in_column[i] = i; /* the columns are not needed any more */
	qsort_r(r->in_column, g->n_nodes, sizeof(*r->in_column), by_height, g->nodes);
	for (size_t i = 0; i < g->n_nodes; i++) {
		struct graph_node *n = &g->nodes[r->in_column[i]];
		double top = n->y - height_of(n) / 2;

		if (i && top - bottom > ROW_GAP)
			up += top - bottom - ROW_GAP;
		if (i == 0 || top + height_of(n) > bottom)
			bottom = top + height_of(n);
		n->y -= up;
	}
}

static void place(struct rows *r)
{
	struct graph *g = r->g;
	double top = 0, bottom = 0;

	for (size_t i = 0; i < g->n_nodes; i++)
		g->nodes[i].y = (double)g->nodes[i].row * (GRAPH_BOX_HEIGHT + ROW_GAP);
	for (int sweep = 0; sweep < SWEEPS; sweep++)
		for (size_t k = 0; k < g->n_columns; k++) {
			if (k == 0 || g->n_nodes < 4000)
				want(r, false, sweep % 2 == 0);
			place_column(r, sweep % 2 ? g->n_columns - 1 - k : k);
		}
	close_gaps(r);
	for (size_t i = 0; i < g->n_nodes; i++) {
		const struct graph_node *n = &g->nodes[i];
		top = i == 0 || n->y - height_of(n) / 2 < top ? n->y - height_of(n) / 2 : top;
		bottom = i == 0 || n->y + height_of(n) / 2 > bottom ? n->y + height_of(n) / 2 : bottom;
	}
	for (size_t i = 0; i < g->n_nodes; i++) {
		g->nodes[i].y += MARGIN - top;
		g->nodes[i].x = MARGIN + (double)g->nodes[i].column * (GRAPH_BOX_WIDTH + COLUMN_GAP);
	}
	g->width = 2 * MARGIN + (double)g->n_columns * (GRAPH_BOX_WIDTH + COLUMN_GAP) - COLUMN_GAP;
	g->height = bottom - top + 2 * MARGIN;
}

static int find_places(struct graph *g)
{
	CLEAN_FREE size_t *in_column = calloc(g->n_nodes + 1, sizeof(*in_column));
	CLEAN_FREE size_t *first = calloc(g->n_columns + 2, sizeof(*first));
	CLEAN_FREE double *sum = calloc(g->n_nodes + 1, sizeof(*sum));
	CLEAN_FREE unsigned *n = calloc(g->n_nodes + 1, sizeof(*n));
	struct rows r = {.g = g, .in_column = in_column, .first = first, .sum = sum, .n = n};

	if (!in_column || !first || !sum || !n)
		return -ENOMEM;
	for (size_t i = 0; i < g->n_nodes; i++)
		g->nodes[i].row = first[g->nodes[i].column + 1]++;
	for (size_t c = 0; c < g->n_columns; c++)
		first[c + 1] += first[c];
	for (size_t i = 0; i < g->n_nodes; i++)
		in_column[first[g->nodes[i].column] + g->nodes[i].row] = i;
	order_rows(&r);
	place(&r);
	return 0;
}

static bool hands_over(const struct wf_stage *s, size_t from)
{
	for (size_t i = 0; i < s->n_inputs; i++)
		if (s->inputs[i].from == WF_FROM_STAGE && s->inputs[i].stage == from)
			return true;
	return s->foreach.source == WF_OVER_OUTPUT && s->foreach.stage == from;
}

int graph_init(struct graph *g, const struct workflow *w)
{
	size_t n_edges = 0;

	for (size_t i = 0; i < w->n_stages; i++)
		n_edges += w->stages[i].n_needs;
	*g = (struct graph){.w = w,
		.nodes = calloc(w->n_stages, sizeof(struct graph_node)),
		.edges = calloc(n_edges + 1, sizeof(struct graph_edge)),
		.n_nodes = w->n_stages};
	if (!g->nodes || !g->edges)
		return -ENOMEM;
	for (size_t i = 0; i < w->n_stages; i++) {
		g->nodes[i].stage = i;
		for (size_t k = 0; k < w->stages[i].n_needs; k++)
			g->edges[g->n_edges++] = (struct graph_edge){.from = w->stages[i].needs[k],
				.to = i,
				.order_alone = !hands_over(&w->stages[i], w->stages[i].needs[k])};
	}
	int r = find_columns(g);
	if (r < 0)
		return r;
	move_handlers(g);
	r = add_bends(g);
	count_columns(g);
	return r < 0 ? r : find_places(g);
}

void graph_finish(struct graph *g)
{
	free(g->nodes);
	free(g->edges);
}
