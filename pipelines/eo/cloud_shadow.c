/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cloud shadows in six bands. As in Zhu and Woodcock (RSE 118, 2012) a shadow is land that is dark in the
 * near infrared compared with what is around it, at the place where a cloud throws it. The sun's direction is
 * not in the frame, but all clouds of a scene throw their shadows the same way, so the one shift of the cloud
 * mask that finds the most dark land gives the direction; the clouds' heights differ, so shadows are looked
 * for along it.
 */
#include <string.h>

#include "cloud.h"
#include "planes.h"

enum {
	CELL = 32,      /* pixels a cell's side for the surroundings' brightness */
	STEP = 4,       /* the shift is looked for at a quarter of the resolution … */
	SHIFT_MAX = 20, /* … up to 80 pixels */
	TRAIL = 8,      /* places along the direction, from a quarter to twice the shift */
	SLACK = 3,      /* pixels that a shadow may be beside its place */
};

/* Near infrared of the clear land around each cell, high percentile over 3 x 3 cells; 0 where there is none.
 */
static int surroundings(
	const struct eo_image *im, const uint8_t *classes, const struct eo_grid *g, float *nir)
{
	uint32_t *histogram = malloc(1024 * sizeof(*histogram));

	if (!histogram)
		return -1;
	for (uint32_t row = 0; row < g->rows; row++)
		for (uint32_t col = 0; col < g->cols; col++) {
			uint32_t x0 = col ? (col - 1) * CELL : 0, y0 = row ? (row - 1) * CELL : 0;
			uint32_t x1 = (col + 2) * CELL, y1 = (row + 2) * CELL;

			x1 = x1 < im->width ? x1 : im->width;
			y1 = y1 < im->height ? y1 : im->height;
			memset(histogram, 0, 1024 * sizeof(*histogram));
			/* Every second pixel of every second row is plenty. */
			for (uint32_t y = y0; y < y1; y += 2)
				for (uint32_t x = x0; x < x1; x += 2) {
					size_t i = (size_t)y * im->width + x;

					if (classes[i] == EO_LAND)
						histogram[eo_sample(im, i, EO_NIR) / 64]++;
				}
			nir[(size_t)row * g->cols + col] = (float)eo_percentile(histogram, 1024, 0.7) * 64;
		}
	free(histogram);
	return 0;
}

static void find_dark(const struct eo_image *im, const uint8_t *classes, const struct eo_grid *g,
	const float *nir, uint8_t *dark)
{
	for (uint32_t y = 0; y < im->height; y++)
		for (uint32_t x = 0; x < im->width; x++) {
			size_t i = (size_t)y * im->width + x;
			uint32_t xa, xb, ya, yb;
			float wx, wy, around;

			eo_grid_axis(x, CELL, g->cols, &xa, &xb, &wx);
			eo_grid_axis(y, CELL, g->rows, &ya, &yb, &wy);
			around = eo_grid_at(nir, 1, g->cols, xa, xb, wx, ya, yb, wy);
			dark[i] = classes[i] == EO_LAND && (float)eo_sample(im, i, EO_NIR) < 0.66f * around;
		}
}

/* The shift, in steps, under which the clouds cover the most dark land beyond what they would by chance. */
static bool find_shift(const uint8_t *cloud, const uint8_t *dark, int w, int h, int *ret_dx, int *ret_dy)
{
	double best = 0;
	int64_t n_dark = 0;

	for (int i = 0; i < w * h; i++)
		n_dark += dark[i];
	for (int dy = -SHIFT_MAX; dy <= SHIFT_MAX; dy++)
		for (int dx = -SHIFT_MAX; dx <= SHIFT_MAX; dx++) {
			int64_t hit = 0, tried = 0;
			double score;

			if (dx * dx + dy * dy < 4 || dx * dx + dy * dy > SHIFT_MAX * SHIFT_MAX)
				continue;
			for (int y = dy > 0 ? dy : 0; y < h && y - dy < h; y++)
				for (int x = dx > 0 ? dx : 0; x < w && x - dx < w; x++)
					if (cloud[(y - dy) * w + x - dx] && !cloud[y * w + x]) {
						tried++;
						hit += dark[y * w + x];
					}
			score = (double)hit - (double)tried * (double)n_dark / ((double)w * h);
			if (score > best) {
				best = score;
				*ret_dx = dx;
				*ret_dy = dy;
			}
		}
	/* Without shadows there is always some best shift: it must explain a part of the dark land. */
	return best > 0.05 * (double)n_dark && best > 4;
}

static void shrink(const uint8_t *classes, const uint8_t *dark, uint32_t width, int w, int h,
	uint8_t *ret_cloud, uint8_t *ret_dark)
{
	for (int y = 0; y < h; y++)
		for (int x = 0; x < w; x++) {
			int clouds = 0, darks = 0;

			for (int v = 0; v < STEP; v++)
				for (int u = 0; u < STEP; u++) {
					size_t i = (size_t)(y * STEP + v) * width + (size_t)(x * STEP + u);

					clouds += classes[i] == EO_CLOUD;
					darks += dark[i];
				}
			ret_cloud[y * w + x] = clouds > STEP * STEP / 2;
			ret_dark[y * w + x] = darks > STEP * STEP / 2;
		}
}

/* Sets `place` where a shadow may lie. */
static int mark_places(
	const uint8_t *classes, uint32_t width, uint32_t height, int dx, int dy, uint8_t *place)
{
	memset(place, 0, (size_t)width * height);
	for (int k = 1; k <= TRAIL; k++) {
		int64_t sx = dx * STEP * k / 4, sy = dy * STEP * k / 4;

		for (int64_t y = sy > 0 ? sy : 0; y < height && y - sy < height; y++)
			for (int64_t x = sx > 0 ? sx : 0; x < width && x - sx < width; x++)
				if (classes[(y - sy) * width + x - sx] == EO_CLOUD)
					place[y * width + x] = 1;
	}
	return eo_dilate(place, width, height, SLACK);
}

int eo_cloud_shadow(const struct eo_image *im, uint8_t *classes)
{
	struct eo_grid g = eo_grid_of(im->width, im->height, CELL);
	int w = (int)(im->width / STEP), h = (int)(im->height / STEP), dx = 0, dy = 0, r = -1;
	size_t n = eo_pixels(im), n_small = (size_t)w * (size_t)h;
	float *nir = malloc(eo_grid_cells(&g) * sizeof(*nir));
	uint8_t *dark = malloc(n), *place = malloc(n), *small = malloc(2 * n_small);

	if (!nir || !dark || !place || !small || surroundings(im, classes, &g, nir) < 0)
		goto end;
	find_dark(im, classes, &g, nir, dark);
	shrink(classes, dark, im->width, w, h, small, small + n_small);
	r = 0;
	if (!find_shift(small, small + n_small, w, h, &dx, &dy))
		goto end;
	r = mark_places(classes, im->width, im->height, dx, dy, place);
	for (size_t i = 0; r == 0 && i < n; i++)
		if (dark[i] && place[i])
			classes[i] = EO_SHADOW;
end:
	free(nir);
	free(dark);
	free(place);
	free(small);
	return r;
}
