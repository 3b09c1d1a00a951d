/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Value noise, interpolated with the cubic B-spline (smooth, and without the grid that linear interpolation
 * shows), one row at a time: the lattice rows are mixed first, so that a pixel costs four multiplications an
 * octave.
 */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "scene-parts.h"

/* Standard deviation of uniform [-1,1) lattice values after B-spline interpolation in two directions. */
#define SPLINE_SD 0.277

uint64_t rng_mix(uint64_t v)
{
	v += 0x9e3779b97f4a7c15u;
	v = (v ^ v >> 30) * 0xbf58476d1ce4e5b9u;
	v = (v ^ v >> 27) * 0x94d049bb133111ebu;
	return v ^ v >> 31;
}

uint64_t rng_next(struct rng *r)
{
	r->state += 0x9e3779b97f4a7c15u;
	return rng_mix(r->state);
}

double rng_range(struct rng *r, double low, double high)
{
	return low + (high - low) * (double)(rng_next(r) >> 11) * 0x1p-53;
}

static void spline(double t, float w[4])
{
	double t2 = t * t, t3 = t2 * t;

	w[0] = (float)((1 - 3 * t + 3 * t2 - t3) / 6);
	w[1] = (float)((4 - 6 * t2 + 3 * t3) / 6);
	w[2] = (float)((1 + 3 * t + 3 * t2 - 3 * t3) / 6);
	w[3] = (float)(t3 / 6);
}

/* Where a pixel of a row lies in the lattice. */
struct tap {
	uint32_t at;
	float w[4];
};

static int octave(float *out, uint32_t w, uint32_t h, double cell_px, float strength, uint64_t key)
{
	size_t columns = (size_t)((double)w / cell_px) + 5, rows = (size_t)((double)h / cell_px) + 5;
	CLEAN_FREE float *lattice = malloc(columns * rows * sizeof(*lattice));
	CLEAN_FREE float *mixed = malloc(columns * sizeof(*mixed));
	CLEAN_FREE struct tap *taps = malloc(w * sizeof(*taps));
	/* Octaves begin at different places of their cells, so that they share no lattice point. */
	double dx = hash_unit(key, 1, 0), dy = hash_unit(key, 0, 1);

	if (!lattice || !mixed || !taps)
		return -ENOMEM;
	for (size_t j = 0; j < rows; j++)
		for (size_t i = 0; i < columns; i++)
			lattice[j * columns + i] =
				strength * (float)(2 * hash_unit(key, (int64_t)i + 8, (int64_t)j + 8) - 1);
	for (uint32_t x = 0; x < w; x++) {
		double gx = x / cell_px + dx;
		taps[x].at = (uint32_t)gx;
		spline(gx - taps[x].at, taps[x].w);
	}
	for (uint32_t y = 0; y < h; y++) {
		double gy = y / cell_px + dy;
		size_t j = (size_t)gy;
		float wy[4];
		spline(gy - (double)j, wy);
		const float *l = lattice + j * columns;
		for (size_t i = 0; i < columns; i++)
			mixed[i] = wy[0] * l[i] + wy[1] * l[i + columns] + wy[2] * l[i + 2 * columns] +
				   wy[3] * l[i + 3 * columns];
		float *line = out + (size_t)y * w;
		for (uint32_t x = 0; x < w; x++) {
			const float *m = mixed + taps[x].at, *wx = taps[x].w;
			line[x] += wx[0] * m[0] + wx[1] * m[1] + wx[2] * m[2] + wx[3] * m[3];
		}
	}
	return 0;
}

int noise_add(float *out, uint32_t w, uint32_t h, double cell_px, int octaves, double fall, double strength,
	uint64_t key)
{
	double power = 0, a = 1;
	int n = 0;

	for (double cell = cell_px; n < octaves && cell >= 1; cell /= 2, n++, a *= fall)
		power += a * a;
	a = strength / (SPLINE_SD * sqrt(power > 0 ? power : 1));
	for (int i = 0; i < n; i++, cell_px /= 2, a *= fall) {
		int err = octave(out, w, h, cell_px, (float)a, rng_mix(key + (uint64_t)i));
		if (err)
			return err;
	}
	return 0;
}

int field_quantile(const float *field, size_t n, double share, float *ret_value)
{
	enum { BINS = 4096 };
	CLEAN_FREE uint32_t *count = calloc(BINS, sizeof(*count));
	float low = field[0], high = field[0];

	if (!count)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		low = fminf(low, field[i]);
		high = fmaxf(high, field[i]);
	}
	float step = (high - low) / BINS;
	if (step <= 0) {
		*ret_value = low;
		return 0;
	}
	for (size_t i = 0; i < n; i++) {
		size_t bin = (size_t)((field[i] - low) / step);
		count[bin < BINS ? bin : BINS - 1]++;
	}
	double below = 0;
	size_t bin = 0;
	while (bin < BINS && below + count[bin] <= share * (double)n)
		below += count[bin++];
	*ret_value = low + (float)bin * step;
	return 0;
}
