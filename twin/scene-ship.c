/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ships: hulls with a pointed bow, deck, hatches and a superstructure aft, on open water, with their shadow;
 * those under way have a turbulent wake and the two arms of a Kelvin wake at 19.5 degrees.
 */
#include <errno.h>
#include <math.h>

#include "scene-parts.h"

#define SUBSAMPLES 5    /* a side, of a pixel */
#define HULL_COVER 0.3f /* of a pixel, to count into the box */

static const float white_paint[SCENE_BANDS] = {0.40f, 0.40f, 0.41f, 0.43f, 0.39f, 0.34f};
static const float foam[SCENE_BANDS] = {0.235f, 0.215f, 0.200f, 0.150f, 0.055f, 0.035f};
static const float decks[][SCENE_BANDS] = {
	{0.135f, 0.125f, 0.265f, 0.310f, 0.300f, 0.260f}, /* red oxide */
	{0.150f, 0.195f, 0.160f, 0.240f, 0.235f, 0.200f}, /* green */
	{0.225f, 0.225f, 0.230f, 0.260f, 0.260f, 0.235f}, /* grey */
	{0.330f, 0.330f, 0.335f, 0.350f, 0.320f, 0.280f}, /* light grey */
	{0.190f, 0.205f, 0.270f, 0.330f, 0.330f, 0.290f}, /* rust and cargo */
};

struct hull {
	const struct scene_ship *ship;
	double ux, uy;       /* towards the bow */
	double length, beam; /* pixels */
	size_t deck;
	uint64_t key;
};

/* u: -0.5 stern .. 0.5 bow, v: -0.5..0.5 of the beam. False: not on the ship. */
static bool hull_colour(const struct hull *h, double u, double v, float ret[SCENE_BANDS])
{
	double half = 0.5;

	if (u < -0.5 || u > 0.5)
		return false;
	if (u > 0.3)
		half = 0.5 * sqrt(fmax(0, 1 - pow((u - 0.3) / 0.2, 2)));
	else if (u < -0.44)
		half = 0.42;
	if (fabs(v) > half)
		return false;
	bool house = u > -0.44 && u < -0.30 && fabs(v) < 0.42;
	const float *paint = house ? white_paint : decks[h->deck];
	double shade = house ? 1 : 0.9 + 0.25 * hash_unit(h->key, (int64_t)floor((u + 0.5) * 14), v > 0);
	for (int b = 0; b < SCENE_BANDS; b++)
		ret[b] = paint[b] * (float)shade;
	return true;
}

static void to_ship(const struct hull *h, double x, double y, double *ret_u, double *ret_v)
{
	double dx = x - h->ship->x, dy = y - h->ship->y;

	*ret_u = (dx * h->ux + dy * h->uy) / h->length;
	*ret_v = (dy * h->ux - dx * h->uy) / h->beam;
}

/* Share of the pixel that the hull, moved by (dx, dy), covers, and the mean colour of that share. */
static float cover(const struct hull *h, double x, double y, float ret_colour[SCENE_BANDS])
{
	float sum[SCENE_BANDS] = {0}, one[SCENE_BANDS] = {0};
	int hits = 0;

	for (int j = 0; j < SUBSAMPLES; j++) {
		for (int i = 0; i < SUBSAMPLES; i++) {
			double u, v;
			to_ship(h, x + (i + 0.5) / SUBSAMPLES, y + (j + 0.5) / SUBSAMPLES, &u, &v);
			if (!hull_colour(h, u, v, one))
				continue;
			hits++;
			for (int b = 0; b < SCENE_BANDS; b++)
				sum[b] += one[b];
		}
	}
	for (int b = 0; b < SCENE_BANDS; b++)
		ret_colour[b] = hits ? sum[b] / (float)hits : 0;
	return (float)hits / (SUBSAMPLES * SUBSAMPLES);
}

static void paint_wake(struct canvas *c, const struct hull *h)
{
	const double tan_arm = 0.354; /* 19.5 degrees */
	double strength = fmin(h->ship->speed_m_s / 9, 1.1);
	double reach = (4 + 4 * strength) * h->length;
	int far = (int)(reach * 1.1) + 2;

	for (int y = (int)h->ship->y - far; y <= (int)h->ship->y + far; y++) {
		for (int x = (int)h->ship->x - far; x <= (int)h->ship->x + far; x++) {
			if (x < 0 || y < 0 || x >= (int)c->w || y >= (int)c->h)
				continue;
			size_t i = (size_t)y * c->w + (size_t)x;
			double u, v;
			to_ship(h, x + 0.5, y + 0.5, &u, &v);
			double behind = (-0.46 - u) * h->length, aside = fabs(v * h->beam); /* pixels */
			if (c->land[i] || behind <= 0 || behind > reach)
				continue;
			double fade = 1 - behind / reach;
			double width = h->beam * 0.32 + 0.035 * behind;
			double core = strength * (0.34 * exp(-behind / (0.7 * h->length)) + 0.07 * fade) *
				      exp(-pow(aside / width, 2));
			/* The arms begin at the bow. */
			double arm_at = tan_arm * (behind + 0.9 * h->length);
			double arm_width = fmax(0.7, 3.5 / c->spec->gsd_m) + 0.012 * behind;
			double arms =
				strength * 0.10 * fade * fade * exp(-pow((aside - arm_at) / arm_width, 2));
			double patchy = 0.6 + 0.8 * hash_unit(h->key ^ 7, x, y);
			blend(c, i, foam, (float)fmin((core + arms) * patchy, 0.8));
		}
	}
}

static void paint_hull(struct canvas *c, struct scene_ship *ship, const struct hull *h)
{
	double tall_px =
		9 / tan(c->truth->sun_elevation_deg * M_PI / 180) / c->spec->gsd_m; /* 9 m of freeboard */
	int reach = (int)(h->length / 2 + tall_px) + 2;
	float colour[SCENE_BANDS];

	ship->x0 = ship->y0 = INT32_MAX;
	ship->x1 = ship->y1 = -1;
	for (int y = (int)ship->y - reach; y <= (int)ship->y + reach; y++) {
		for (int x = (int)ship->x - reach; x <= (int)ship->x + reach; x++) {
			if (x < 0 || y < 0 || x >= (int)c->w || y >= (int)c->h)
				continue;
			size_t i = (size_t)y * c->w + (size_t)x;
			float dark = cover(h, x + c->sun_x * tall_px, y + c->sun_y * tall_px, colour);
			for (int b = 0; b < c->n_bands; b++)
				c->band[b][i] *= 1 - 0.3f * dark;
			float part = cover(h, x, y, colour);
			blend(c, i, colour, part);
			if (part >= HULL_COVER) {
				ship->x0 = x < ship->x0 ? x : ship->x0;
				ship->y0 = y < ship->y0 ? y : ship->y0;
				ship->x1 = x > ship->x1 ? x : ship->x1;
				ship->y1 = y > ship->y1 ? y : ship->y1;
			}
		}
	}
}

/* Open water, clear of the shore, of the frame's edge and of other ships. */
static bool fits(const struct canvas *c, const struct scene_ship *s)
{
	double half = s->length_m / 2 / c->spec->gsd_m, clear = fmax(70 / c->spec->gsd_m, 4);
	double edge = half + 3;

	if (s->x < edge || s->y < edge || s->x > c->w - edge || s->y > c->h - edge)
		return false;
	if (c->shore_px[(size_t)s->y * c->w + (size_t)s->x] < half + clear)
		return false;
	for (size_t k = 0; k < c->truth->n_ships; k++) {
		const struct scene_ship *o = &c->truth->ships[k];
		if (hypot(o->x - s->x, o->y - s->y) < half + o->length_m / 2 / c->spec->gsd_m + clear)
			return false;
	}
	return true;
}

int ships_paint(struct canvas *c)
{
	struct rng r = rng_of(c->key, 'h');
	struct scene_truth *t = c->truth;
	double area = (double)c->n * c->spec->gsd_m * c->spec->gsd_m / (5120.0 * 5120.0);
	double busy = fmin(fmax(sqrt(area), 0.6), 5) * fmin(1, 0.25 + t->water_fraction);
	size_t wanted = t->kind == SCENE_LAND ? 0 : (size_t)lround(rng_range(&r, 2.5, 10.5) * busy);
	double longest = fmin(300, fmin(c->w, c->h) * c->spec->gsd_m / 4), shortest = fmin(40, longest);

	if (wanted > SCENE_SHIPS_MAX)
		wanted = SCENE_SHIPS_MAX;
	for (size_t tries = 0; t->n_ships < wanted && tries < wanted * 200; tries++) {
		struct scene_ship s = {.x = rng_range(&r, 0, c->w), .y = rng_range(&r, 0, c->h)};
		s.length_m = shortest * pow(longest / shortest, rng_range(&r, 0, 1));
		s.beam_m = fmax(s.length_m / rng_range(&r, 5.6, 7.4), 9);
		s.heading_deg = rng_range(&r, 0, 360);
		double speed = rng_range(&r, -6, 11);
		s.speed_m_s = speed > 2 ? speed : 0;
		uint64_t key = rng_next(&r);
		if (!fits(c, &s))
			continue;
		struct scene_ship *ship = &t->ships[t->n_ships++];
		*ship = s;
		struct hull h = {
			.ship = ship,
			.ux = sin(s.heading_deg * M_PI / 180),
			.uy = -cos(s.heading_deg * M_PI / 180),
			.length = s.length_m / c->spec->gsd_m,
			.beam = s.beam_m / c->spec->gsd_m,
			.deck = (size_t)(hash_unit(key, 1, 1) * ARRAY_LEN(decks)),
			.key = key,
		};
		if (s.speed_m_s > 0)
			paint_wake(c, &h);
		paint_hull(c, ship, &h);
		if (ship->x1 < 0) { /* thinner than the pixels can show */
			t->n_ships--;
			continue;
		}
	}
	return 0;
}
