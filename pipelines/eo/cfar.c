/* SPDX-License-Identifier: Apache-2.0 */
#include "cfar.h"

#include <math.h>
#include <string.h>

enum {
	CELL = 16,         /* pixels */
	OUTER = 4,         /* cells from the middle to the end of the window */
	GUARD = 1,         /* … of the guard */
	SAMPLES_MIN = 256, /* pixels of water below which there is no background */
	PASSES = 4,
	CENSOR = 3 * EO_Z_SCALE, /* deviations above which a pixel is not background */
};

struct sums {
	uint32_t n;
	uint64_t s[EO_CHANNELS_MAX], ss[EO_CHANNELS_MAX];
};

/* Water is never measured to be smoother than this, in sample steps: quantisation and compression hide its
 * noise. */
static float sigma_floor(const struct eo_image *im, float mean)
{
	return im->kind == EO_RGB ? 2.0f : 20.0f + 0.02f * mean;
}

static void sum_cells(
	const struct eo_image *im, const uint8_t *classes, const struct eo_cfar *c, struct sums *cells)
{
	memset(cells, 0, eo_grid_cells(&c->grid) * sizeof(*cells));
	for (uint32_t y = 0; y < im->height; y++)
		for (uint32_t x = 0; x < im->width; x++) {
			size_t i = (size_t)y * im->width + x;
			struct sums *s = &cells[(size_t)(y / CELL) * c->grid.cols + x / CELL];

			if (classes[i] != EO_WATER || c->z[i] > CENSOR)
				continue;
			s->n++;
			for (uint32_t k = 0; k < c->channels; k++) {
				uint64_t v = eo_sample(im, i, eo_cfar_band(im->kind, k));

				s->s[k] += v;
				s->ss[k] += v * v;
			}
		}
}

static void add(struct sums *to, const struct sums *s, uint32_t channels)
{
	to->n += s->n;
	for (uint32_t k = 0; k < channels; k++) {
		to->s[k] += s->s[k];
		to->ss[k] += s->ss[k];
	}
}

/* The window around one cell. Where the guard leaves too little water, the guard is looked at too. */
static struct sums window(const struct eo_cfar *c, const struct sums *cells, uint32_t col, uint32_t row)
{
	struct sums ring = {0}, guard = {0};

	for (int dy = -OUTER; dy <= OUTER; dy++)
		for (int dx = -OUTER; dx <= OUTER; dx++) {
			int64_t u = (int64_t)col + dx, v = (int64_t)row + dy;
			bool inner = abs(dx) <= GUARD && abs(dy) <= GUARD;

			if (u >= 0 && v >= 0 && u < c->grid.cols && v < c->grid.rows)
				add(inner ? &guard : &ring, &cells[v * c->grid.cols + u], c->channels);
		}
	if (ring.n < SAMPLES_MIN)
		add(&ring, &guard, c->channels);
	return ring;
}

static void statistics(const struct eo_image *im, const struct eo_cfar *c, const struct sums *cells)
{
	for (uint32_t row = 0; row < c->grid.rows; row++)
		for (uint32_t col = 0; col < c->grid.cols; col++) {
			struct sums w = window(c, cells, col, row);
			size_t at = ((size_t)row * c->grid.cols + col) * c->channels;

			for (uint32_t k = 0; k < c->channels; k++) {
				double mean, var;
				float floor;

				c->mean[at + k] = c->sigma[at + k] = 0;
				if (w.n < SAMPLES_MIN)
					continue;
				mean = (double)w.s[k] / w.n;
				var = (double)w.ss[k] / w.n - mean * mean;
				floor = sigma_floor(im, (float)mean);
				c->mean[at + k] = (float)mean;
				c->sigma[at + k] = var > 0 ? fmaxf((float)sqrt(var), floor) : floor;
			}
		}
}

/* Between cells the background is interpolated, unless one of the four has none: then the nearest cell's is
 * taken. */
static void background(const struct eo_cfar *c, uint32_t x, uint32_t y, float *ret_mean, float *ret_sigma)
{
	const struct eo_grid *g = &c->grid;
	uint32_t xa, xb, ya, yb;
	float wx, wy;
	size_t k4[4];
	bool whole = true;

	eo_grid_axis(x, CELL, g->cols, &xa, &xb, &wx);
	eo_grid_axis(y, CELL, g->rows, &ya, &yb, &wy);
	k4[0] = (size_t)ya * g->cols + xa;
	k4[1] = (size_t)ya * g->cols + xb;
	k4[2] = (size_t)yb * g->cols + xa;
	k4[3] = (size_t)yb * g->cols + xb;
	for (int i = 0; i < 4; i++)
		whole &= c->sigma[k4[i] * c->channels] > 0;
	if (!whole) {
		xa = xb = x / CELL;
		ya = yb = y / CELL;
		wx = wy = 0;
	}
	for (uint32_t k = 0; k < c->channels; k++) {
		ret_mean[k] = eo_grid_at(c->mean + k, c->channels, g->cols, xa, xb, wx, ya, yb, wy);
		ret_sigma[k] = eo_grid_at(c->sigma + k, c->channels, g->cols, xa, xb, wx, ya, yb, wy);
	}
}

void eo_cfar_background(const struct eo_cfar *c, uint32_t x, uint32_t y, float ret_mean[EO_CHANNELS_MAX],
	float ret_sigma[EO_CHANNELS_MAX])
{
	background(c, x, y, ret_mean, ret_sigma);
}

static void deviations(const struct eo_image *im, const uint8_t *classes, struct eo_cfar *c)
{
	for (uint32_t y = 0; y < im->height; y++)
		for (uint32_t x = 0; x < im->width; x++) {
			size_t i = (size_t)y * im->width + x;
			float mean[EO_CHANNELS_MAX], sigma[EO_CHANNELS_MAX], z = 0;

			c->z[i] = 0;
			if (classes[i] != EO_WATER)
				continue;
			background(c, x, y, mean, sigma);
			if (sigma[0] <= 0)
				continue;
			for (uint32_t k = 0; k < c->channels; k++) {
				float d = ((float)eo_sample(im, i, eo_cfar_band(im->kind, k)) - mean[k]) /
					  sigma[k];

				z = d > z ? d : z;
			}
			z *= EO_Z_SCALE;
			c->z[i] = z >= 255 ? 255 : (uint8_t)z;
		}
}

int eo_cfar_run(const struct eo_image *im, const uint8_t *classes, struct eo_cfar *ret_cfar)
{
	struct eo_cfar c = {
		.grid = eo_grid_of(im->width, im->height, CELL), .channels = eo_cfar_channels(im->kind)};
	size_t cells = eo_grid_cells(&c.grid);
	struct sums *sums = malloc(cells * sizeof(*sums));

	c.mean = calloc(cells * c.channels, sizeof(*c.mean));
	c.sigma = calloc(cells * c.channels, sizeof(*c.sigma));
	c.z = calloc(eo_pixels(im), 1);
	if (!sums || !c.mean || !c.sigma || !c.z) {
		free(sums);
		eo_cfar_finish(&c);
		return -1;
	}
	for (int pass = 0; pass < PASSES; pass++) {
		sum_cells(im, classes, &c, sums);
		statistics(im, &c, sums);
		deviations(im, classes, &c);
	}
	free(sums);
	*ret_cfar = c;
	return 0;
}

void eo_cfar_finish(struct eo_cfar *c)
{
	free(c->mean);
	free(c->sigma);
	free(c->z);
	*c = (struct eo_cfar){0};
}
