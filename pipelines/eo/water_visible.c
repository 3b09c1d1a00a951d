/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Water in three visible bands. Without an infrared band water has no spectrum of its own: what tells it is
 * that it is smooth, darker than most of what is not, and wide. So blocks of 8 x 8 pixels are judged first;
 * smooth blocks that continue each other's colour make regions; only wide regions are water; the shore is
 * then drawn pixel by pixel, by likeness to the water beside it.
 */
#include <math.h>
#include <string.h>

#include "blobs.h"
#include "planes.h"
#include "water.h"

enum {
	CELL = 8,           /* pixels a block's side */
	DARK_MAX = 165,     /* mean brightness of water, 0..255 */
	STEP_MAX = 9,       /* between neighbouring blocks, in any band */
	SHADE_STEP = 30,    /* … when all bands fall together, as at the edge of a cloud's shadow */
	SHADE_SKEW = 10,    /* how much less one band may fall than another there */
	REGION_BLOCKS = 60, /* the least region: as much as a square of 62 pixels … */
	REGION_PART = 100,  /* … and at least this part (1/100) of the scene */
	REACH = 3,          /* blocks around a region in which the shore is drawn */
};
static const float ROUGH_MAX = 6.0f;    /* standard deviation of brightness in a block of water */
static const float SHADE_ROUGH = 12.0f; /* … with the edge of a shadow in it */
static const float LIKE_MIN = 11.0f;    /* distance from the water's colour that is always like water */
static const float LIKE_SIGMA = 4.0f;   /* … or in standard deviations of the water */

struct block {
	float mean[3]; /* red, green, blue; of a block beside a region: of the water near it */
	float rough;   /* standard deviation of brightness */
	uint32_t region, weight;
};

static void measure(const struct eo_image *im, const struct eo_grid *g, struct block *blocks)
{
	for (uint32_t row = 0; row < g->rows; row++)
		for (uint32_t col = 0; col < g->cols; col++) {
			uint32_t x1 = (col + 1) * CELL, y1 = (row + 1) * CELL, n = 0;
			uint32_t sum[3] = {0}, sy = 0;
			uint64_t syy = 0;
			struct block *b = &blocks[(size_t)row * g->cols + col];

			x1 = x1 < im->width ? x1 : im->width;
			y1 = y1 < im->height ? y1 : im->height;
			for (uint32_t y = row * CELL; y < y1; y++)
				for (uint32_t x = col * CELL; x < x1; x++) {
					const uint8_t *p = im->px + ((size_t)y * im->width + x) * 3;
					uint32_t bright = p[0] + (uint32_t)p[1] + p[2];

					sum[0] += p[0];
					sum[1] += p[1];
					sum[2] += p[2];
					sy += bright;
					syy += (uint64_t)bright * bright;
					n++;
				}
			for (int c = 0; c < 3; c++)
				b->mean[c] = (float)sum[c] / (float)n;
			b->rough = sqrtf((float)(syy * n - (uint64_t)sy * sy)) / (3 * (float)n);
			b->region = EO_NONE;
			b->weight = 0;
		}
}

static bool may_be_water(const struct block *b)
{
	float r = b->mean[0], g = b->mean[1], blue = b->mean[2], y = (r + g + blue) / 3;

	/* Sand, soil and roofs are warm; not even muddy water is that much. Nothing at all is no data. */
	return b->rough < ROUGH_MAX && y < DARK_MAX && r - blue < 8 + 0.25f * y && y > 0;
}

static bool continues(const struct block *a, const struct block *b)
{
	for (int c = 0; c < 3; c++)
		if (fabsf(a->mean[c] - b->mean[c]) > STEP_MAX)
			return false;
	return true;
}

/* Joins blocks to regions from seeds whose eight neighbours are smooth too, so that a region is nowhere
 * thinner than three blocks. Regions that are too small lose their number again. */
static int find_regions(const struct eo_image *im, const struct eo_grid *g, struct block *blocks)
{
	size_t n = eo_grid_cells(g);
	uint32_t *queue = malloc(n * sizeof(*queue)), regions = 0;
	uint8_t *core = calloc(n, 1);

	if (!queue || !core) {
		free(queue);
		free(core);
		return -1;
	}
	for (size_t i = 0; i < n; i++)
		core[i] = may_be_water(&blocks[i]);
	if (eo_erode(core, g->cols, g->rows, 1) < 0) {
		free(queue);
		free(core);
		return -1;
	}
	for (size_t seed = 0; seed < n; seed++) {
		uint32_t head = 0, tail = 0;

		if (!core[seed] || blocks[seed].region != EO_NONE)
			continue;
		blocks[seed].region = regions;
		queue[tail++] = (uint32_t)seed;
		while (head < tail) {
			uint32_t at = queue[head++], col = at % g->cols, row = at / g->cols;
			const uint32_t next[4] = {at - 1, at + 1, at - g->cols, at + g->cols};
			const bool there[4] = {col > 0, col + 1 < g->cols, row > 0, row + 1 < g->rows};

			for (int k = 0; k < 4; k++)
				if (there[k] && core[next[k]] && blocks[next[k]].region == EO_NONE &&
					continues(&blocks[at], &blocks[next[k]])) {
					blocks[next[k]].region = regions;
					queue[tail++] = next[k];
				}
		}
		if (tail < REGION_BLOCKS || (uint64_t)tail * REGION_PART < n)
			for (uint32_t k = 0; k < tail; k++) {
				blocks[queue[k]].region = EO_NONE;
				core[queue[k]] = 0; /* and is no seed again */
			}
		else
			regions++;
	}
	free(queue);
	free(core);
	return (int)(regions > INT32_MAX ? INT32_MAX : regions);
}

/* Whether water goes on in the shade: all bands fall together from `a` to `b`, or stay. */
static bool shades(const struct block *a, const struct block *b)
{
	float least = INFINITY, most = -INFINITY;

	if (b->rough > SHADE_ROUGH || b->mean[0] - b->mean[2] > 8 + 0.25f * b->mean[1])
		return false;
	for (int c = 0; c < 3; c++) {
		least = fminf(least, a->mean[c] - b->mean[c]);
		most = fmaxf(most, a->mean[c] - b->mean[c]);
	}
	return least > -STEP_MAX && most < SHADE_STEP && most - least < SHADE_SKEW;
}

/* Carries the regions on into the shadows of clouds on the water, whose edges are too rough for find_regions.
 * No block that is brighter than its region joins this way. */
static int add_shade(const struct eo_grid *g, struct block *blocks, int regions)
{
	size_t n = eo_grid_cells(g);
	uint32_t *queue = malloc(n * sizeof(*queue)), head = 0, tail = 0;
	struct block *mean = calloc((size_t)regions, sizeof(*mean));

	if (!queue || !mean) {
		free(queue);
		free(mean);
		return -1;
	}
	for (size_t i = 0; i < n; i++) {
		if (blocks[i].region == EO_NONE)
			continue;
		for (int c = 0; c < 3; c++)
			mean[blocks[i].region].mean[c] += blocks[i].mean[c];
		mean[blocks[i].region].weight++;
		queue[tail++] = (uint32_t)i;
	}
	for (int k = 0; k < regions; k++)
		for (int c = 0; c < 3; c++)
			mean[k].mean[c] /= (float)mean[k].weight;
	while (head < tail) {
		uint32_t at = queue[head++], col = at % g->cols, row = at / g->cols;
		const uint32_t next[4] = {at - 1, at + 1, at - g->cols, at + g->cols};
		const bool there[4] = {col > 0, col + 1 < g->cols, row > 0, row + 1 < g->rows};
		const struct block *whole = &mean[blocks[at].region];

		for (int k = 0; k < 4; k++) {
			struct block *b = there[k] ? &blocks[next[k]] : NULL;

			if (!b || b->region != EO_NONE || !shades(&blocks[at], b) ||
				b->mean[0] > whole->mean[0] + STEP_MAX ||
				b->mean[1] > whole->mean[1] + STEP_MAX)
				continue;
			b->region = blocks[at].region;
			queue[tail++] = next[k];
		}
	}
	free(queue);
	free(mean);
	return 0;
}

/* Gives the blocks around the regions the mean colour of the water next to them, ring by ring. */
static void extend(const struct eo_grid *g, struct block *blocks)
{
	for (size_t i = 0; i < eo_grid_cells(g); i++)
		blocks[i].weight = blocks[i].region != EO_NONE;
	for (uint32_t ring = 1; ring <= REACH; ring++)
		for (uint32_t row = 0; row < g->rows; row++)
			for (uint32_t col = 0; col < g->cols; col++) {
				struct block *b = &blocks[(size_t)row * g->cols + col];
				struct block sum = {.region = EO_NONE};
				float n = 0;

				if (b->weight)
					continue;
				for (uint32_t v = row ? row - 1 : 0; v <= row + 1 && v < g->rows; v++)
					for (uint32_t u = col ? col - 1 : 0; u <= col + 1 && u < g->cols;
						u++) {
						const struct block *o = &blocks[(size_t)v * g->cols + u];

						/* Weight is the ring in which a block got its value. */
						if (!o->weight || o->weight > ring)
							continue;
						for (int c = 0; c < 3; c++)
							sum.mean[c] += o->mean[c];
						sum.rough += o->rough;
						n++;
					}
				if (n == 0)
					continue;
				for (int c = 0; c < 3; c++)
					b->mean[c] = sum.mean[c] / n;
				b->rough = sum.rough / n;
				b->weight = ring + 1;
			}
}

/* Mean of a band over 3 x 3 pixels: the shore is drawn through less noise. */
static float mean3(const struct eo_image *im, uint32_t x, uint32_t y, int c)
{
	uint32_t sum = 0, n = 0;

	for (uint32_t v = y ? y - 1 : 0; v <= y + 1 && v < im->height; v++)
		for (uint32_t u = x ? x - 1 : 0; u <= x + 1 && u < im->width; u++) {
			sum += im->px[((size_t)v * im->width + u) * 3 + (size_t)c];
			n++;
		}
	return (float)sum / (float)n;
}

static void draw(
	const struct eo_image *im, const struct eo_grid *g, const struct block *blocks, uint8_t *water)
{
	for (uint32_t y = 0; y < im->height; y++)
		for (uint32_t x = 0; x < im->width; x++) {
			const struct block *b = &blocks[(size_t)(y / CELL) * g->cols + x / CELL];
			float like = b->rough * LIKE_SIGMA;
			bool far = false;

			if (!b->weight) {
				water[(size_t)y * im->width + x] = 0;
				continue;
			}
			if (like < LIKE_MIN)
				like = LIKE_MIN;
			for (int c = 0; c < 3; c++)
				far |= fabsf(mean3(im, x, y, c) - b->mean[c]) > like;
			water[(size_t)y * im->width + x] = !far;
		}
}

/* Likeness alone leaves specks of land that have the water's colour: only wide pieces are kept. */
static int keep_wide(uint8_t *water, uint32_t w, uint32_t h)
{
	struct eo_blobs pieces;

	if (eo_blobs_find(water, w, h, 1, 1, &pieces) < 0)
		return -1;
	for (size_t i = 0; i < pieces.n_blobs; i++)
		if (pieces.blobs[i].area < REGION_BLOCKS * CELL * CELL)
			eo_blob_paint(&pieces, i, water, w, 0);
	eo_blobs_finish(&pieces);
	return 0;
}

int eo_water_visible(const struct eo_image *im, uint8_t *water)
{
	struct eo_grid g = eo_grid_of(im->width, im->height, CELL);
	struct block *blocks = malloc(eo_grid_cells(&g) * sizeof(*blocks));
	int regions;

	if (!blocks)
		return -1;
	measure(im, &g, blocks);
	regions = find_regions(im, &g, blocks);
	if (regions > 0 && add_shade(&g, blocks, regions) < 0)
		regions = -1;
	if (regions > 0) {
		extend(&g, blocks);
		draw(im, &g, blocks, water);
	} else if (regions == 0) {
		memset(water, 0, eo_pixels(im));
	}
	free(blocks);
	return regions < 0 ? -1 : keep_wide(water, im->width, im->height);
}
