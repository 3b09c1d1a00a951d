/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clouds in three visible bands, by brightness, whiteness and texture. Sure cloud is very bright, nearly
 * without colour (whiteness, Gomez-Chova et al., IEEE TGRS 45, 2007), and so over a square of 5 x 5 pixels,
 * which narrow roofs, roads and surf are not; from there it grows through what is still bright for this
 * scene.
 */
#include <stdlib.h>

#include "cloud.h"
#include "planes.h"
#include "water.h"

enum {
	SURE_MIN = 185,   /* brightness of sure cloud, 0..255 */
	WARM_MIN = 215,   /* … of sure cloud that the sensor could not follow */
	SEED_RADIUS = 2,  /* pixels: 5 x 5 */
	ABOVE_CLEAR = 50, /* brightness of its soft borders over that of the clear scene */
	WEAK_MIN = 110,   /* … and at least this */
	GROW = 8,         /* pixels that the soft border is wide */
};

static inline uint32_t brightness(const uint8_t *p)
{
	return (p[0] + (uint32_t)p[1] + p[2]) / 3;
}

/* From the brightest to the dimmest band. */
static inline uint32_t tint(const uint8_t *p)
{
	uint32_t lo = p[0], hi = p[0];

	for (int c = 1; c < 3; c++) {
		lo = p[c] < lo ? p[c] : lo;
		hi = p[c] > hi ? p[c] : hi;
	}
	return hi - lo;
}

/* A sensor whose blue saturates first draws clouds yellow: red and green alike, unlike sand. */
static inline bool saturated(const uint8_t *p, uint32_t y, uint32_t t)
{
	return y >= WARM_MIN && 4 * t < y && 20 * (uint32_t)abs(p[0] - p[1]) < y;
}

static uint32_t weak_from(const struct eo_image *im)
{
	uint32_t histogram[256] = {0}, from;

	for (size_t i = 0; i < eo_pixels(im); i++)
		histogram[brightness(im->px + 3 * i)]++;
	histogram[0] = 0; /* no data */
	from = eo_percentile(histogram, 256, 0.25) + ABOVE_CLEAR;
	return from < WEAK_MIN ? WEAK_MIN : from > SURE_MIN ? SURE_MIN : from;
}

static int find_clouds(const struct eo_image *im, uint8_t *cloud, uint8_t *weak)
{
	uint32_t from = weak_from(im);

	for (size_t i = 0; i < eo_pixels(im); i++) {
		const uint8_t *p = im->px + 3 * i;
		uint32_t y = brightness(p), t = tint(p);

		weak[i] = y >= from && 4 * t < y;
		cloud[i] = y >= SURE_MIN && (100 * t < 12 * y || saturated(p, y, t));
	}
	if (eo_open(cloud, im->width, im->height, SEED_RADIUS) < 0)
		return -1;
	eo_grow(cloud, weak, im->width, im->height, GROW);
	return 0;
}

int eo_cloud_visible(const struct eo_image *im, uint8_t *classes)
{
	size_t n = eo_pixels(im);
	uint8_t *cloud = malloc(n);
	int r;

	if (!cloud)
		return -1;
	r = find_clouds(im, cloud, classes);
	if (r == 0)
		r = eo_water_visible(im, classes);
	for (size_t i = 0; r == 0 && i < n; i++) {
		const uint8_t *p = im->px + 3 * i;

		if (cloud[i])
			classes[i] = EO_CLOUD;
		else if (classes[i])
			classes[i] = EO_WATER;
		else
			classes[i] = p[0] | p[1] | p[2] ? EO_LAND : EO_NODATA;
	}
	free(cloud);
	return r;
}
