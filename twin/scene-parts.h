/* SPDX-License-Identifier: Apache-2.0 */
/* The stations of a scene: ground, ships, clouds; each adds to the one before. Private to scene-*.c. */
#ifndef TWIN_SCENE_PARTS_H
#define TWIN_SCENE_PARTS_H

#include "scene.h"

enum band { BLUE, GREEN, RED, NIR, SWIR16, SWIR22 };

/* A pseudo-random stream (splitmix64): the same everywhere. */
struct rng {
	uint64_t state;
};

uint64_t rng_mix(uint64_t v); /* a hash of 64 bits */
uint64_t rng_next(struct rng *r);
double rng_range(struct rng *r, double low, double high);
static inline struct rng rng_of(uint64_t key, uint64_t salt)
{
	return (struct rng){.state = rng_mix(key ^ rng_mix(salt))};
}
static inline double hash_unit(uint64_t key, int64_t x, int64_t y)
{
	return (double)(rng_mix(key ^ rng_mix((uint64_t)x * 0x9e3779b97f4a7c15u ^
					      (uint64_t)y * 0xc2b2ae3d27d4eb4fu)) >>
			11) *
	       0x1p-53;
}

/* Adds smooth noise to out (w*h): octaves from cells of cell_px downwards, each `fall` times as strong as the
 * one before; together of standard deviation `strength` about 0. -ENOMEM. */
WARN_UNUSED int noise_add(float *out, uint32_t w, uint32_t h, double cell_px, int octaves, double fall,
	double strength, uint64_t key);
/* The value below which `share` of the values lie. -ENOMEM. */
WARN_UNUSED int field_quantile(const float *field, size_t n, double share, float *ret_value);

struct canvas {
	const struct scene_spec *spec;
	uint64_t key; /* of this scene */
	uint32_t w, h;
	size_t n;                 /* w*h */
	int n_bands;              /* 3 (blue, green, red) or 6 */
	float *band[SCENE_BANDS]; /* top-of-atmosphere reflectance */
	uint8_t *land;            /* 1: land */
	float *shore_px;          /* on water: distance to the nearest land, at most SHORE_FAR_PX */
	float *cloud, *shadow;    /* opacities, 0..1 */
	double sun_x, sun_y;      /* unit vector towards the Sun in the picture (y down) */
	struct scene_truth *truth;
};
#define SHORE_FAR_PX 1e6f
#define CLOUD_OPACITY 0.35f  /* from here on a pixel counts as cloud */
#define SHADOW_OPACITY 0.40f /* and, of the cloud above it, as shadow */

/* Chooses kind, Sun and cover of the scene from seed and index alone. */
void scene_plan(const struct scene_spec *spec, struct scene_truth *ret_truth, double *ret_cloud_target);

WARN_UNUSED int ground_paint(struct canvas *c);
WARN_UNUSED int ships_paint(struct canvas *c);
WARN_UNUSED int clouds_paint(struct canvas *c, double target);

/* Mixes a spectrum over a pixel. */
static inline void blend(struct canvas *c, size_t i, const float spectrum[SCENE_BANDS], float alpha)
{
	for (int b = 0; b < c->n_bands; b++)
		c->band[b][i] += (spectrum[b] - c->band[b][i]) * alpha;
}

#endif
