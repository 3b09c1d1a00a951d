/* SPDX-License-Identifier: Apache-2.0 */
/* A scene from its plan to the sensor's numbers. */
#include "scene.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "scene-parts.h"

#define FULL_WELL_REFLECTANCE 1.6 /* at the nominal exposure: where a pixel of the sensor is full */
#define FULL_WELL_ELECTRONS 30000.0
#define READ_NOISE_ELECTRONS 11.0

static uint64_t scene_key(const struct scene_spec *spec)
{
	return rng_mix(spec->seed ^ rng_mix(spec->index * 2 + spec->rgb));
}

/* Four frames in a row have four different skies, one of them overcast, and each kind of ground: whoever
 * looks at a few frames sees both ways that a workflow can take. */
void scene_plan(const struct scene_spec *spec, struct scene_truth *ret_truth, double *ret_cloud_target)
{
	static const double cover[4][2] = {{0, 0.05}, {0.08, 0.22}, {0.25, 0.50}, {0.80, 0.98}};
	static const enum scene_kind kinds[2][4] = {{SCENE_SEA, SCENE_COAST, SCENE_COAST, SCENE_LAND},
		{SCENE_SEA, SCENE_COAST, SCENE_COAST, SCENE_SEA}};
	uint64_t block = spec->index / 4, place = spec->index % 4;
	struct rng shuffle = rng_of(spec->seed ^ (spec->rgb ? 0x5a5a : 0), block + 1000);
	size_t sky[4] = {0, 1, 2, 3}, ground[4] = {0, 1, 2, 3};

	for (size_t i = 3; i > 0; i--) {
		size_t a = rng_next(&shuffle) % (i + 1), b = rng_next(&shuffle) % (i + 1), t;
		t = sky[i], sky[i] = sky[a], sky[a] = t;
		t = ground[i], ground[i] = ground[b], ground[b] = t;
	}
	struct rng r = rng_of(scene_key(spec), 'k');
	*ret_truth = (struct scene_truth){.kind = kinds[block % 2][ground[place]]};
	*ret_cloud_target = rng_range(&r, cover[sky[place]][0], cover[sky[place]][1]);
	ret_truth->sun_azimuth_deg = rng_range(&r, 110, 200);
	ret_truth->sun_elevation_deg = rng_range(&r, 38, 62);
}

const char *scene_name(const struct scene_spec *spec)
{
	static const char *const names[SCENE_KIND_MAX] = {"sea", "coast", "land"};
	struct scene_truth truth;
	double target;

	scene_plan(spec, &truth, &target);
	return names[truth.kind];
}

struct pam scene_form(const struct scene_spec *spec)
{
	struct pam form = {.width = spec->width,
		.height = spec->height,
		.depth = spec->rgb ? 3 : 6,
		.maxval = spec->rgb ? 255 : 65535};

	snprintf(form.tupltype, sizeof(form.tupltype), "%s",
		spec->rgb ? "RGB" : "BLUE,GREEN,RED,NIR,SWIR16,SWIR22");
	return form;
}

/* About normal, mean 0, standard deviation 1: the number of ones in 64 random bits. */
static inline float noise_unit(uint64_t bits, uint64_t more)
{
	return ((float)__builtin_popcountll(bits) - 32 + (float)(more & 0xffff) / 65536 - 0.5f) / 4.01f;
}

/* Light to electrons with their noise, and back to a reflectance as the exposure makes it. */
static inline float expose(float reflectance, double exposure, struct rng *r)
{
	double per_unit = FULL_WELL_ELECTRONS / FULL_WELL_REFLECTANCE;
	double electrons = reflectance * exposure * per_unit;

	electrons += sqrt(electrons + READ_NOISE_ELECTRONS * READ_NOISE_ELECTRONS) *
		     (double)noise_unit(rng_next(r), r->state >> 7);
	return (float)(fmin(fmax(electrons, 0), FULL_WELL_ELECTRONS) / per_unit);
}

static void sense(const struct canvas *c, uint8_t *out)
{
	static const double haze[3] = {
		0.070, 0.040, 0.024}; /* what an RGB product takes away of the air's own light */
	static const int order[3] = {RED, GREEN, BLUE};
	struct rng r = rng_of(c->key, 'n');
	double gain = c->spec->gain;

	for (size_t i = 0; i < c->n; i++) {
		if (!c->spec->rgb) {
			for (int b = 0; b < SCENE_BANDS; b++) {
				double dn = expose(c->band[b][i], c->spec->exposure, &r) * 10000 * gain;
				uint16_t v = (uint16_t)fmin(lround(dn), 65535);
				*out++ = (uint8_t)(v >> 8);
				*out++ = (uint8_t)v;
			}
			continue;
		}
		for (int k = 0; k < 3; k++) {
			double v = (expose(c->band[order[k]][i], c->spec->exposure, &r) - haze[order[k]]) /
				   0.42 * gain;
			*out++ = (uint8_t)lround(255 * pow(fmin(fmax(v, 0), 1), 0.60));
		}
	}
}

static void settle_truth(const struct canvas *c, uint8_t *mask)
{
	struct scene_truth *t = c->truth;
	size_t cloud = 0, shadow = 0;

	for (size_t i = 0; i < c->n; i++) {
		enum scene_class is = c->land[i] ? SCENE_CLASS_LAND : SCENE_CLASS_WATER;
		if (c->cloud[i] >= CLOUD_OPACITY)
			is = SCENE_CLASS_CLOUD;
		else if (c->shadow[i] >= SHADOW_OPACITY)
			is = SCENE_CLASS_SHADOW;
		cloud += is == SCENE_CLASS_CLOUD;
		shadow += is == SCENE_CLASS_SHADOW;
		if (mask)
			mask[i] = (uint8_t)is;
	}
	t->cloud_fraction = (double)cloud / (double)c->n;
	t->shadow_fraction = (double)shadow / (double)c->n;
	for (size_t k = 0; k < t->n_ships; k++) {
		struct scene_ship *s = &t->ships[k];
		double sum = 0;
		for (int y = s->y0; y <= s->y1; y++)
			for (int x = s->x0; x <= s->x1; x++)
				sum += c->cloud[(size_t)y * c->w + (size_t)x];
		s->cloud = sum / ((s->x1 - s->x0 + 1.0) * (s->y1 - s->y0 + 1.0));
		s->hidden = s->cloud > 0.5;
	}
}

static bool in_range(const struct scene_spec *s)
{
	return s->width >= SCENE_SIDE_MIN && s->width <= SCENE_SIDE_MAX && s->height >= SCENE_SIDE_MIN &&
	       s->height <= SCENE_SIDE_MAX && s->gsd_m >= 0.5 && s->gsd_m <= 100 && s->exposure > 0 &&
	       s->exposure <= 1000 && s->gain > 0 && s->gain <= 1000;
}

int scene_render(const struct scene_spec *spec, uint8_t *out, uint8_t *mask, struct scene_truth *ret_truth)
{
	if (!in_range(spec))
		return -EINVAL;
	size_t n = (size_t)spec->width * spec->height;
	struct scene_truth truth;
	double target;
	scene_plan(spec, &truth, &target);
	double azimuth = truth.sun_azimuth_deg * M_PI / 180;
	struct canvas c = {
		.spec = spec,
		.key = scene_key(spec),
		.w = spec->width,
		.h = spec->height,
		.n = n,
		.n_bands = spec->rgb ? 3 : SCENE_BANDS,
		.sun_x = sin(azimuth),
		.sun_y = -cos(azimuth),
		.truth = &truth,
	};
	CLEAN_FREE float *planes = calloc(n * (size_t)(c.n_bands + 3), sizeof(float));
	CLEAN_FREE uint8_t *land = calloc(n, 1);

	if (!planes || !land)
		return -ENOMEM;
	for (int b = 0; b < c.n_bands; b++)
		c.band[b] = planes + n * (size_t)b;
	c.shore_px = planes + n * (size_t)c.n_bands;
	c.cloud = c.shore_px + n;
	c.shadow = c.cloud + n;
	c.land = land;
	int err = ground_paint(&c);
	if (!err)
		err = ships_paint(&c);
	if (!err)
		err = clouds_paint(&c, target);
	if (err)
		return err;
	sense(&c, out);
	settle_truth(&c, mask);
	if (ret_truth)
		*ret_truth = truth;
	return 0;
}
