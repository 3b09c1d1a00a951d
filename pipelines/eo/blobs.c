/* SPDX-License-Identifier: Apache-2.0 */
#include "blobs.h"

#include <math.h>
#include <string.h>

static uint32_t root_of(struct eo_run *runs, uint32_t i)
{
	while (runs[i].blob != i) {
		runs[i].blob = runs[runs[i].blob].blob; /* path halving */
		i = runs[i].blob;
	}
	return i;
}

static void unite(struct eo_run *runs, uint32_t a, uint32_t b)
{
	a = root_of(runs, a);
	b = root_of(runs, b);
	/* The earlier run is the root, so that components are numbered in reading order. */
	if (a < b)
		runs[b].blob = a;
	else
		runs[a].blob = b;
}

static int add_run(struct eo_blobs *b, uint32_t y, uint32_t x0, uint32_t x1)
{
	if (b->n_runs == b->cap_runs) {
		size_t cap = b->cap_runs ? b->cap_runs * 2 : 1024;
		struct eo_run *runs = realloc(b->runs, cap * sizeof(*runs));

		if (!runs)
			return -1;
		b->runs = runs;
		b->cap_runs = cap;
	}
	b->runs[b->n_runs] = (struct eo_run){.y = (uint16_t)y,
		.x0 = (uint16_t)x0,
		.x1 = (uint16_t)x1,
		.blob = (uint32_t)b->n_runs,
		.next = EO_NONE};
	b->n_runs++;
	return 0;
}

/* Joins the runs of a row with those of the row above: both are sorted, so one pass does it. */
static void join_rows(struct eo_run *runs, size_t above, size_t row, size_t end)
{
	size_t a = above;

	for (size_t i = row; i < end; i++) {
		while (a < row && runs[a].x1 + 1 < runs[i].x0)
			a++;
		for (size_t k = a; k < row && runs[k].x0 <= runs[i].x1 + 1; k++)
			unite(runs, (uint32_t)k, (uint32_t)i);
	}
}

/* Numbers the roots, gives each run its component's number and chains it. */
static int collect(struct eo_blobs *b)
{
	size_t n = 0;

	for (size_t i = 0; i < b->n_runs; i++)
		n += b->runs[i].blob == i;
	b->blobs = calloc(n ? n : 1, sizeof(*b->blobs));
	if (!b->blobs)
		return -1;
	/* A root comes before its runs, so `next` of a root can carry its number until its chain is made. */
	for (uint32_t i = 0; i < b->n_runs; i++) {
		uint32_t root = root_of(b->runs, i);

		if (root == i)
			b->runs[i].next = (uint32_t)b->n_blobs++;
		else
			b->runs[i].next = b->runs[root].next;
	}
	for (uint32_t i = 0; i < b->n_runs; i++) {
		struct eo_run *r = &b->runs[i];
		uint32_t number = r->next;
		struct eo_blob *o = &b->blobs[number];

		r->blob = number;
		r->next = EO_NONE;
		if (!o->area) {
			*o = (struct eo_blob){.x0 = r->x0, .y0 = r->y, .first = i};
		} else {
			b->runs[o->last].next = i;
		}
		o->last = i;
		o->area += r->x1 - r->x0 + 1u;
		o->x0 = r->x0 < o->x0 ? r->x0 : o->x0;
		o->x1 = r->x1 + 1 > o->x1 ? (uint16_t)(r->x1 + 1) : o->x1;
		o->y1 = (uint16_t)(r->y + 1);
	}
	return 0;
}

int eo_blobs_find(const uint8_t *plane, uint32_t width, uint32_t height, uint8_t lo, uint8_t hi,
	struct eo_blobs *ret_blobs)
{
	struct eo_blobs b = {0};
	size_t above = 0, row = 0;

	for (uint32_t y = 0; y < height; y++) {
		const uint8_t *p = plane + (size_t)y * width;

		for (uint32_t x = 0; x < width; x++) {
			uint32_t x0 = x;

			while (x < width && p[x] >= lo && p[x] <= hi)
				x++;
			if (x > x0 && add_run(&b, y, x0, x - 1) < 0)
				goto no_memory;
		}
		join_rows(b.runs, above, row, b.n_runs);
		above = row;
		row = b.n_runs;
	}
	if (collect(&b) < 0)
		goto no_memory;
	*ret_blobs = b;
	return 0;

no_memory:
	eo_blobs_finish(&b);
	return -1;
}

void eo_blobs_finish(struct eo_blobs *b)
{
	free(b->runs);
	free(b->blobs);
	*b = (struct eo_blobs){0};
}

void eo_blob_paint(const struct eo_blobs *b, size_t blob, uint8_t *plane, uint32_t width, uint8_t value)
{
	for (uint32_t i = b->blobs[blob].first; i != EO_NONE; i = b->runs[i].next) {
		const struct eo_run *r = &b->runs[i];

		memset(plane + (size_t)r->y * width + r->x0, value, r->x1 - r->x0 + 1u);
	}
}

void eo_blob_shape(const struct eo_blobs *b, size_t blob, struct eo_shape *ret_shape)
{
	const struct eo_blob *o = &b->blobs[blob];
	double n = o->area, sx = 0, sy = 0, sxx = 0, syy = 0, sxy = 0;
	double lo_l = INFINITY, hi_l = -INFINITY, lo_s = INFINITY, hi_s = -INFINITY;
	double mxx, myy, mxy, mean, root, ax, ay;

	/* Relative to the box corner, so that the sums stay small and exact. */
	for (uint32_t i = o->first; i != EO_NONE; i = b->runs[i].next) {
		const struct eo_run *r = &b->runs[i];
		double y = r->y - o->y0;

		for (uint32_t x = r->x0; x <= r->x1; x++) {
			double dx = x - o->x0;

			sx += dx;
			sy += y;
			sxx += dx * dx;
			syy += y * y;
			sxy += dx * y;
		}
	}
	sx /= n;
	sy /= n;
	/* A pixel is a square, not a point: 1/12 is its own second moment. */
	mxx = sxx / n - sx * sx + 1.0 / 12;
	myy = syy / n - sy * sy + 1.0 / 12;
	mxy = sxy / n - sx * sy;
	mean = (mxx + myy) / 2;
	root = sqrt((mxx - myy) * (mxx - myy) / 4 + mxy * mxy);
	/* The eigenvector of the larger eigenvalue, from whichever row is not nearly zero. */
	if (mxx >= myy) {
		ax = mean + root - myy;
		ay = mxy;
	} else {
		ax = mxy;
		ay = mean + root - mxx;
	}
	if (ax == 0 && ay == 0)
		ax = 1;
	mean = sqrt(ax * ax + ay * ay);
	ax /= mean;
	ay /= mean;
	for (uint32_t i = o->first; i != EO_NONE; i = b->runs[i].next) {
		const struct eo_run *r = &b->runs[i];

		for (int end = 0; end < 2; end++) {
			double x = (end ? r->x1 : r->x0) - o->x0 - sx, y = r->y - o->y0 - sy;
			double l = x * ax + y * ay, s = y * ax - x * ay;

			lo_l = fmin(lo_l, l);
			hi_l = fmax(hi_l, l);
			lo_s = fmin(lo_s, s);
			hi_s = fmax(hi_s, s);
		}
	}
	mean = (mxx + myy) / 2;
	*ret_shape = (struct eo_shape){
		.cx = o->x0 + sx,
		.cy = o->y0 + sy,
		.length = sqrt(12 * (mean + root)),
		.width = sqrt(12 * fmax(mean - root, 1.0 / 12)),
		.ax = ax,
		.ay = ay,
		.extent_long = hi_l - lo_l + 1,
		.extent_short = hi_s - lo_s + 1,
	};
}
