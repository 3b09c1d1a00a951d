/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clouds: an optical depth from noise above a level that gives the wanted cover, lit from the Sun's side,
 * bright and flat in the visible and the near infrared, a little darker in the SWIR as water droplets are.
 * Each casts its shadow away from the Sun, as far as its height says. A shadow takes away the direct part of
 * the light that the ground sends back, less of it in the blue, which the sky still gives; the air's own
 * light above it stays.
 */
#include <errno.h>
#include <math.h>

#include "scene-parts.h"

static const float droplets[SCENE_BANDS] = {1.00f, 0.98f, 0.99f, 1.06f, 0.80f, 0.62f};
/* The air's own light, in every pixel that no cloud covers. */
static const float path_light[SCENE_BANDS] = {0.066f, 0.036f, 0.021f, 0.009f, 0.002f, 0.001f};
static const float direct_light[SCENE_BANDS] = {0.45f, 0.55f, 0.62f, 0.72f, 0.78f, 0.80f};

/* The field whose heights are clouds: large smooth heaps, and on them the billows that make their edges. The
 * billows grow with the heaps, so that a clear sky is not full of shreds. Standard deviation about 1. */
static int shape(float *field, uint32_t w, uint32_t h, double cell_px, double cover, struct rng *r)
{
	size_t n = (size_t)w * h;
	CLEAN_FREE float *billows = calloc(n, sizeof(*billows));
	float foot, step = 0.55f;

	if (!billows)
		return -ENOMEM;
	int err = noise_add(field, w, h, cell_px, 3, 0.5, 1, rng_next(r));
	if (!err)
		err = noise_add(billows, w, h, cell_px / 5, 6, 0.62, 0.42, rng_next(r));
	if (!err)
		err = field_quantile(field, n, fmax(0, 1 - cover * 1.6), &foot);
	if (err)
		return err;
	for (size_t i = 0; i < n; i++)
		field[i] += billows[i] * fminf(fmaxf((field[i] - foot) / step, 0), 1);
	return 0;
}

int clouds_paint(struct canvas *c, double target)
{
	struct rng r = rng_of(c->key, 'c');
	double m = 1 / c->spec->gsd_m;
	double height_m = rng_range(&r, 350, 900), cell_m = rng_range(&r, 700, 2000);
	double depth =
		rng_range(&r, 2.6, 7.0); /* optical depth for each standard deviation above the level */
	double away_px = height_m / tan(c->truth->sun_elevation_deg * M_PI / 180) * m;
	int dx = (int)lround(c->sun_x * away_px), dy = (int)lround(c->sun_y * away_px);
	uint32_t w = c->w + (uint32_t)abs(dx), h = c->h + (uint32_t)abs(dy);
	size_t ox = dx < 0 ? (size_t)-dx : 0,
	       oy = dy < 0 ? (size_t)-dy : 0; /* the picture in the padded field */

	if (target < 0.004)
		return 0;
	CLEAN_FREE float *field = calloc((size_t)w * h, sizeof(float));
	CLEAN_FREE float *inside = malloc(c->n * sizeof(float));
	CLEAN_FREE float *mottle = calloc(c->n, sizeof(float));
	if (!field || !inside || !mottle)
		return -ENOMEM;
	int err = shape(field, w, h, cell_m * m, target, &r);
	if (!err)
		err = noise_add(mottle, c->w, c->h, 260 * m, 5, 0.6, 1, rng_next(&r));
	if (err)
		return err;
	for (size_t y = 0; y < c->h; y++)
		for (size_t x = 0; x < c->w; x++)
			inside[y * c->w + x] = field[(y + oy) * w + x + ox];
	float level;
	err = field_quantile(inside, c->n, 1 - target, &level);
	if (err)
		return err;
	level += (float)(log(1 - CLOUD_OPACITY) /
			 depth);                   /* there the opacity is CLOUD_OPACITY at the quantile */
	int relief = (int)fmax(1, lround(25 * m)); /* pixels */

	for (size_t y = 0; y < c->h; y++) {
		for (size_t x = 0; x < c->w; x++) {
			size_t i = y * c->w + x;
			float tau = fmaxf(0, (inside[i] - level) * (float)depth);
			float alpha = 1 - expf(-tau);
			float above = field[(size_t)((int64_t)(y + oy) + dy) * w +
					    (size_t)((int64_t)(x + ox) + dx)];
			float dark = 1 - expf(-fmaxf(0, (above - level) * (float)depth));
			size_t sx = (size_t)fmin(fmax((double)x + c->sun_x * relief, 0), c->w - 1);
			size_t sy = (size_t)fmin(fmax((double)y + c->sun_y * relief, 0), c->h - 1);
			/* The side that falls towards the Sun is the brighter one. */
			float lit = fminf(fmaxf((inside[i] - inside[sy * c->w + sx]) * 0.35f, -0.16f), 0.16f);
			float white = (0.34f + 0.34f * (1 - expf(-0.45f * tau))) * (1 + lit) *
				      (1 + 0.035f * mottle[i]);
			c->cloud[i] = alpha;
			c->shadow[i] = dark;
			for (int b = 0; b < c->n_bands; b++) {
				float sent = fmaxf(c->band[b][i] - path_light[b], 0);
				float ground = c->band[b][i] - sent * direct_light[b] * dark;
				c->band[b][i] = ground * (1 - alpha) + alpha * white * droplets[b];
			}
		}
	}
	return 0;
}
