/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Water and land. A height field from noise decides the shore; land cover is forest, fields in parcels, towns
 * in blocks, beaches, and at a coast a port with piers. Spectra are typical top-of-atmosphere reflectances of
 * the six Landsat and Sentinel-2 bands, so water is dark in the infrared and plants have their red edge.
 */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "scene-parts.h"

/*                                            blue    green   red     NIR     SWIR16  SWIR22 */
static const float water_deep[SCENE_BANDS] = {0.086f, 0.058f, 0.036f, 0.020f, 0.009f, 0.006f};
static const float water_silt[SCENE_BANDS] = {0.104f, 0.098f, 0.078f, 0.038f, 0.012f, 0.008f};
static const float water_green[SCENE_BANDS] = {0.090f, 0.083f, 0.047f, 0.024f, 0.009f, 0.006f};
static const float forest[SCENE_BANDS] = {0.086f, 0.072f, 0.046f, 0.245f, 0.125f, 0.056f};
static const float grass[SCENE_BANDS] = {0.096f, 0.092f, 0.072f, 0.300f, 0.205f, 0.105f};
static const float scrub[SCENE_BANDS] = {0.105f, 0.101f, 0.098f, 0.220f, 0.240f, 0.155f};
static const float sand[SCENE_BANDS] = {0.160f, 0.190f, 0.235f, 0.300f, 0.370f, 0.330f};
static const float concrete[SCENE_BANDS] = {0.150f, 0.152f, 0.160f, 0.200f, 0.225f, 0.205f};
static const float asphalt[SCENE_BANDS] = {0.108f, 0.098f, 0.095f, 0.120f, 0.130f, 0.120f};
static const float crops[][SCENE_BANDS] = {
	{0.088f, 0.086f, 0.052f, 0.390f, 0.190f, 0.086f}, /* in full leaf */
	{0.092f, 0.094f, 0.064f, 0.340f, 0.205f, 0.100f},
	{0.105f, 0.113f, 0.105f, 0.270f, 0.280f, 0.180f}, /* ripe */
	{0.112f, 0.112f, 0.128f, 0.200f, 0.285f, 0.235f}, /* bare soil */
	{0.125f, 0.131f, 0.156f, 0.235f, 0.330f, 0.275f},
	{0.097f, 0.090f, 0.098f, 0.165f, 0.225f, 0.190f}, /* wet soil */
};
static const float roofs[][SCENE_BANDS] = {
	{0.118f, 0.108f, 0.132f, 0.185f, 0.215f, 0.190f}, /* tiles */
	{0.145f, 0.142f, 0.148f, 0.180f, 0.200f, 0.185f},
	{0.205f, 0.205f, 0.210f, 0.245f, 0.260f, 0.235f}, /* bright metal */
	{0.100f, 0.092f, 0.090f, 0.120f, 0.135f, 0.125f},
};

struct fields {
	float *height, *wet, *town, *fine;
	double port_x, port_y; /* pixels; outside when there is no port */
	double turn_x, turn_y; /* unit vector of the parcels' grid */
};

/* Distance to land by two sweeps with steps 1 and sqrt 2. */
static void measure_shore(struct canvas *c)
{
	const float diagonal = 1.41421356f;
	size_t w = c->w;

	for (size_t i = 0; i < c->n; i++)
		c->shore_px[i] = c->land[i] ? 0 : SHORE_FAR_PX;
	for (size_t y = 0; y < c->h; y++) {
		for (size_t x = 0; x < w; x++) {
			float *d = c->shore_px + y * w + x;
			if (x)
				*d = fminf(*d, d[-1] + 1);
			if (y)
				*d = fminf(*d, *(d - w) + 1);
			if (x && y)
				*d = fminf(*d, *(d - w - 1) + diagonal);
			if (y && x + 1 < w)
				*d = fminf(*d, *(d - w + 1) + diagonal);
		}
	}
	for (size_t y = c->h; y-- > 0;) {
		for (size_t x = w; x-- > 0;) {
			float *d = c->shore_px + y * w + x;
			if (x + 1 < w)
				*d = fminf(*d, d[1] + 1);
			if (y + 1 < c->h)
				*d = fminf(*d, d[w] + 1);
			if (x + 1 < w && y + 1 < c->h)
				*d = fminf(*d, d[w + 1] + diagonal);
			if (y + 1 < c->h && x)
				*d = fminf(*d, d[w - 1] + diagonal);
		}
	}
}

/* Land where the height is above the level that leaves the wanted share of water. */
static int raise_land(struct canvas *c, struct fields *f)
{
	struct rng r = rng_of(c->key, 'l');
	double water = c->truth->kind == SCENE_SEA ? 1 : rng_range(&r, 0, 0.05);
	double ramp = 0, direction = rng_range(&r, 0, 2 * M_PI);
	float level = 0;

	if (c->truth->kind == SCENE_COAST) {
		water = rng_range(&r, 0.45, 0.75);
		ramp = 3.0 / fmax(c->w, c->h);
	}
	int err = noise_add(f->height, c->w, c->h, 1600 / c->spec->gsd_m, 6, 0.48, 1, rng_next(&r));
	if (err)
		return err;
	for (uint32_t y = 0; y < c->h; y++)
		for (uint32_t x = 0; x < c->w; x++)
			f->height[(size_t)y * c->w + x] +=
				(float)(ramp * (x * cos(direction) + y * sin(direction)));
	if (c->truth->kind != SCENE_SEA) {
		err = field_quantile(f->height, c->n, water, &level);
		if (err)
			return err;
	}
	for (size_t i = 0; i < c->n; i++) {
		f->height[i] -= level;
		c->land[i] = c->truth->kind != SCENE_SEA && f->height[i] > 0;
	}
	return 0;
}

static bool on_land(const struct canvas *c, double x, double y)
{
	return x >= 0 && y >= 0 && x < c->w && y < c->h && c->land[(size_t)y * c->w + (size_t)x] == 1;
}

/* A pier on the line through (x, y) towards (dx, dy): from where that line leaves the land. */
static void put_pier(
	struct canvas *c, double x, double y, double dx, double dy, double length_px, double half_px)
{
	double root = length_px;

	while (root > -1.5 * length_px && !on_land(c, x + root * dx, y + root * dy))
		root -= 0.5;
	if (root <= -1.5 * length_px || root > 0.6 * length_px)
		return; /* no land to stand on, or no water to reach */
	x += root * dx;
	y += root * dy;
	int reach = (int)(length_px + half_px) + 1;
	for (int py = (int)y - reach; py <= (int)y + reach; py++) {
		for (int px = (int)x - reach; px <= (int)x + reach; px++) {
			double u = (px + 0.5 - x) * dx + (py + 0.5 - y) * dy;
			double v = (py + 0.5 - y) * dx - (px + 0.5 - x) * dy;
			if (px < 0 || py < 0 || px >= (int)c->w || py >= (int)c->h)
				continue;
			if (u >= -1.5 * half_px && u <= length_px && fabs(v) <= half_px)
				c->land[(size_t)py * c->w + (size_t)px] = 2; /* built */
		}
	}
}

/* A port: somewhere at the shore, piers out into the water. */
static void build_port(struct canvas *c, struct fields *f)
{
	struct rng r = rng_of(c->key, 'p');
	double m = 1 / c->spec->gsd_m;

	f->port_x = f->port_y = -1e9;
	if (c->truth->kind != SCENE_COAST)
		return;
	for (int tries = 0; tries < 4000; tries++) {
		uint32_t x = (uint32_t)rng_range(&r, 0.15 * c->w, 0.85 * c->w);
		uint32_t y = (uint32_t)rng_range(&r, 0.15 * c->h, 0.85 * c->h);
		uint32_t step = (uint32_t)fmax(2, 60 * m);
		if (x < step || y < step || x + step >= c->w || y + step >= c->h)
			continue;
		const float *h = f->height + (size_t)y * c->w + x;
		double gx = h[step] - *(h - step), gy = h[(size_t)step * c->w] - *(h - (size_t)step * c->w);
		double g = hypot(gx, gy);
		if (!c->land[(size_t)y * c->w + x] || *h > 0.05f || g < 1e-4)
			continue;
		double dx = -gx / g, dy = -gy / g; /* downhill: out to the water */
		f->port_x = x;
		f->port_y = y;
		int piers = 2 + (int)rng_range(&r, 0, 4);
		double length = rng_range(&r, 160, 330) * m, gap = rng_range(&r, 110, 180) * m;
		for (int i = 0; i < piers; i++) {
			double along = (i - (piers - 1) / 2.0) * gap;
			put_pier(c, x - dy * along, y + dx * along, dx, dy, length * rng_range(&r, 0.7, 1),
				rng_range(&r, 10, 22) * m);
		}
		return;
	}
}

static void paint_water(struct canvas *c, const struct fields *f, size_t i)
{
	float near = 1 / (1 + c->shore_px[i] * (float)c->spec->gsd_m / 250); /* 1 at the shore */
	float silt = fminf(fmaxf(0.12f + 0.11f * f->wet[i] + 0.45f * near, 0), 1);
	float green = fminf(fmaxf(0.35f + 0.25f * f->town[i], 0), 1);

	for (int b = 0; b < c->n_bands; b++)
		c->band[b][i] = water_deep[b] + (water_green[b] - water_deep[b]) * green;
	blend(c, i, water_silt, silt);
	float glint = 0.0016f * f->fine[i];
	for (int b = 0; b < c->n_bands; b++)
		c->band[b][i] = fmaxf(c->band[b][i] + glint * (b < NIR ? 1 : 0.6f), 0.001f);
}

/* Parcels: a turned grid of sections, each cut into strips by its own hash; lanes between them. */
static void paint_fields(struct canvas *c, const struct fields *f, size_t i, double u, double v)
{
	const double section = 620; /* metres */
	int64_t su = (int64_t)floor(u / section), sv = (int64_t)floor(v / section);
	double fu = u / section - (double)su, fv = v / section - (double)sv;
	double strips = 1 + floor(4 * hash_unit(c->key ^ 11, su, sv)),
	       cross = 1 + floor(2.5 * hash_unit(c->key ^ 12, su, sv));
	bool upright = hash_unit(c->key ^ 13, su, sv) < 0.5;
	double a = upright ? fu * strips : fv * strips, b = upright ? fv * cross : fu * cross;
	int64_t parcel = su * 131071 + sv * 8191 + (int64_t)floor(a) * 17 + (int64_t)floor(b);
	size_t kind = (size_t)(hash_unit(c->key ^ 14, parcel, 0) * ARRAY_LEN(crops));

	for (int k = 0; k < c->n_bands; k++)
		c->band[k][i] =
			crops[kind][k] *
			(1 + 0.05f * f->fine[i] + 0.10f * ((float)hash_unit(c->key ^ 15, parcel, 1) - 0.5f));
	double lane = 12 / section;
	if (fu < lane || fv < lane)
		blend(c, i, scrub, 0.8f);
}

static void paint_town(struct canvas *c, const struct fields *f, size_t i, double u, double v)
{
	const double block = 130, lot = 26; /* metres */
	double fu = u / block - floor(u / block), fv = v / block - floor(v / block);
	int64_t lu = (int64_t)floor(u / lot), lv = (int64_t)floor(v / lot);
	double what = hash_unit(c->key ^ 21, lu, lv);

	if (fu < 0.12 || fv < 0.12) {
		blend(c, i, asphalt, 1);
	} else if (what < 0.25) {
		blend(c, i, grass, 0.9f);
	} else {
		size_t kind = (size_t)(hash_unit(c->key ^ 22, lu, lv) * ARRAY_LEN(roofs));
		blend(c, i, roofs[kind], 0.95f);
	}
	for (int b = 0; b < c->n_bands; b++)
		c->band[b][i] *= 1 + 0.04f * f->fine[i];
}

static void paint_land(struct canvas *c, const struct fields *f, uint32_t x, uint32_t y)
{
	size_t i = (size_t)y * c->w + x;
	double mx = x * c->spec->gsd_m, my = y * c->spec->gsd_m;
	double u = mx * f->turn_x + my * f->turn_y, v = my * f->turn_x - mx * f->turn_y;
	float height = f->height[i];
	double to_port = hypot(x - f->port_x, y - f->port_y) * c->spec->gsd_m;
	double town = f->town[i] + 2.2 * exp(-to_port / 700) - (c->truth->kind == SCENE_LAND ? 1.5 : 1.2);

	/* The blocks of forest have an edge, the change from scrub to grass has none. */
	for (int b = 0; b < c->n_bands; b++)
		c->band[b][i] =
			scrub[b] + (grass[b] - scrub[b]) * fminf(fmaxf(0.5f + 0.5f * f->wet[i], 0), 1);
	if (c->land[i] == 2) {
		blend(c, i, concrete, 1);
		for (int b = 0; b < c->n_bands; b++)
			c->band[b][i] *= 1 + 0.05f * f->fine[i];
		return;
	}
	if (town > 0) {
		paint_town(c, f, i, u, v);
	} else if (height < 0.02f + 0.02f * f->wet[i] && c->truth->kind == SCENE_COAST) {
		blend(c, i, sand, 0.9f);
	} else if (f->wet[i] > 0.35f + 0.1f * f->fine[i]) {
		blend(c, i, forest, 0.95f);
		for (int b = 0; b < c->n_bands; b++)
			c->band[b][i] *= 1 + 0.07f * f->fine[i];
	} else if (f->wet[i] > -1.2f) {
		paint_fields(c, f, i, u, v);
	} else {
		/* Heath: patches of grass and bare ground. */
		float bare = 0.5f + 0.35f * f->fine[i];
		blend(c, i, crops[4], fminf(fmaxf(bare, 0), 1) * 0.6f);
	}
	for (int b = 0; b < c->n_bands; b++)
		c->band[b][i] = fmaxf(c->band[b][i], 0.004f);
}

/* Swell: a few waves about one direction, seen only where a pixel is finer than they are. */
static void add_swell(struct canvas *c)
{
	struct rng r = rng_of(c->key, 's');
	double wind = rng_range(&r, 0, 2 * M_PI);

	for (int k = 0; k < 4; k++) {
		double length_px = rng_range(&r, 22, 70) / c->spec->gsd_m,
		       turn = wind + rng_range(&r, -0.4, 0.4);
		double fx = 2 * M_PI * cos(turn) / length_px, fy = 2 * M_PI * sin(turn) / length_px;
		float size = (float)rng_range(&r, 0.0004, 0.0012);
		if (length_px < 4)
			continue;
		for (uint32_t y = 0; y < c->h; y++) {
			for (uint32_t x = 0; x < c->w; x++) {
				size_t i = (size_t)y * c->w + x;
				if (c->land[i])
					continue;
				float s = size * sinf((float)(x * fx + y * fy));
				for (int b = 0; b < c->n_bands; b++)
					c->band[b][i] += s;
			}
		}
	}
}

int ground_paint(struct canvas *c)
{
	CLEAN_FREE float *height = calloc(c->n, sizeof(float));
	CLEAN_FREE float *wet = calloc(c->n, sizeof(float));
	CLEAN_FREE float *town = calloc(c->n, sizeof(float));
	CLEAN_FREE float *fine = calloc(c->n, sizeof(float));
	struct rng r = rng_of(c->key, 'g');
	double turn = rng_range(&r, 0, M_PI), m = 1 / c->spec->gsd_m;
	struct fields f = {height, wet, town, fine, 0, 0, cos(turn), sin(turn)};

	if (!height || !wet || !town || !fine)
		return -ENOMEM;
	int err = raise_land(c, &f);
	if (!err)
		err = noise_add(wet, c->w, c->h, 900 * m, 6, 0.55, 1, rng_next(&r));
	if (!err)
		err = noise_add(town, c->w, c->h, 1500 * m, 4, 0.5, 1, rng_next(&r));
	if (!err)
		err = noise_add(fine, c->w, c->h, fmax(60 * m, 3), 4, 0.8, 1, rng_next(&r));
	if (err)
		return err;
	build_port(c, &f);
	measure_shore(c);
	size_t water = 0;
	for (uint32_t y = 0; y < c->h; y++) {
		for (uint32_t x = 0; x < c->w; x++) {
			size_t i = (size_t)y * c->w + x;
			if (c->land[i]) {
				paint_land(c, &f, x, y);
			} else {
				paint_water(c, &f, i);
				water++;
			}
		}
	}
	add_swell(c);
	c->truth->water_fraction = (double)water / (double)c->n;
	return 0;
}
