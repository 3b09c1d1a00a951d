/* SPDX-License-Identifier: Apache-2.0 */
/* Morphology on byte planes and statistics on coarse grids. All run in place or into planes the caller gives.
 */
#ifndef EO_PLANES_H
#define EO_PLANES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/macro.h"

/* Dilates and erodes the set of non-zero pixels (to 0 and 1) by a square of side 2 radius + 1. What lies
 * outside the plane counts as empty for the dilation and as full for the erosion. -1 when out of memory. */
WARN_UNUSED int eo_dilate(uint8_t *plane, uint32_t width, uint32_t height, uint32_t radius);
WARN_UNUSED int eo_erode(uint8_t *plane, uint32_t width, uint32_t height, uint32_t radius);

/* Erodes and dilates again: what is nowhere as wide as the square goes. */
WARN_UNUSED int eo_open(uint8_t *plane, uint32_t width, uint32_t height, uint32_t radius);
/* Grows the set `seed` (0 and 1) by one pixel in all directions, `steps` times, through non-zero pixels of
 * `through` only. */
void eo_grow(uint8_t *seed, const uint8_t *through, uint32_t width, uint32_t height, uint32_t steps);

/* The smallest bin of a histogram at which at least `part` (0..1) of the total is reached; 0 when it is
 * empty. */
uint32_t eo_percentile(const uint32_t *histogram, uint32_t bins, double part);

/* Smooth interpolation of values kept at the centres of square cells. */
struct eo_grid {
	uint32_t cols, rows, cell; /* cells across and down; pixels a cell's side */
};

static inline struct eo_grid eo_grid_of(uint32_t width, uint32_t height, uint32_t cell)
{
	return (struct eo_grid){(width + cell - 1) / cell, (height + cell - 1) / cell, cell};
}

static inline size_t eo_grid_cells(const struct eo_grid *g)
{
	return (size_t)g->cols * g->rows;
}

/* The two cells around a pixel coordinate along one axis, and the weight of the second. */
static inline void eo_grid_axis(
	uint32_t pixel, uint32_t cell, uint32_t n, uint32_t *ret_a, uint32_t *ret_b, float *ret_weight)
{
	float at = ((float)pixel + 0.5f) / (float)cell - 0.5f;

	if (at < 0)
		at = 0;
	if (at > (float)(n - 1))
		at = (float)(n - 1);
	*ret_a = (uint32_t)at;
	*ret_b = *ret_a + 1 < n ? *ret_a + 1 : *ret_a;
	*ret_weight = at - (float)*ret_a;
}

/* Bilinear value of one of `stride` interleaved values of each cell. */
static inline float eo_grid_at(const float *v, size_t stride, uint32_t cols, uint32_t xa, uint32_t xb,
	float wx, uint32_t ya, uint32_t yb, float wy)
{
	float top =
		v[((size_t)ya * cols + xa) * stride] * (1 - wx) + v[((size_t)ya * cols + xb) * stride] * wx;
	float low =
		v[((size_t)yb * cols + xa) * stride] * (1 - wx) + v[((size_t)yb * cols + xb) * stride] * wx;

	return top * (1 - wy) + low * wy;
}

#endif
