/* SPDX-License-Identifier: Apache-2.0 */
/* Small constructed scenes for the tests: a background with noise, and things painted on it. */
#ifndef EO_SYNTH_H
#define EO_SYNTH_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "eo.h"

struct synth {
	uint32_t w, h, depth, bytes; /* bytes: of a sample */
	uint8_t *file;               /* owned: the PAM */
	size_t len;
	uint8_t *px; /* in file */
	uint64_t state;
};

static inline uint32_t synth_random(struct synth *s)
{
	s->state = s->state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(s->state >> 33);
}

/* About normal, standard deviation 1. */
static inline double synth_noise(struct synth *s)
{
	double sum = 0;

	for (int i = 0; i < 4; i++)
		sum += synth_random(s) / 2147483648.0;
	return (sum - 2) * 1.732;
}

static inline void synth_set(struct synth *s, uint32_t x, uint32_t y, const double *v, double sigma)
{
	for (uint32_t b = 0; b < s->depth; b++) {
		double max = s->bytes == 1 ? 255 : 65535, d = v[b] + sigma * synth_noise(s);
		uint32_t n = (uint32_t)(d < 0 ? 0 : d > max ? max : d + 0.5);
		uint8_t *p = s->px + (((size_t)y * s->w + x) * s->depth + b) * s->bytes;

		if (s->bytes == 2)
			*p++ = (uint8_t)(n >> 8);
		*p = (uint8_t)n;
	}
}

/* A rectangle, turned clockwise by angle_deg from pointing up. */
static inline void synth_box(struct synth *s, double cx, double cy, double length, double width,
	double angle_deg, const double *v, double sigma)
{
	double a = angle_deg * M_PI / 180, ux = sin(a), uy = -cos(a);

	for (uint32_t y = 0; y < s->h; y++)
		for (uint32_t x = 0; x < s->w; x++) {
			double dx = x - cx, dy = y - cy;

			if (fabs(dx * ux + dy * uy) <= length / 2 && fabs(dx * uy - dy * ux) <= width / 2)
				synth_set(s, x, y, v, sigma);
		}
}

static inline void synth_fill(struct synth *s, const double *v, double sigma)
{
	for (uint32_t y = 0; y < s->h; y++)
		for (uint32_t x = 0; x < s->w; x++)
			synth_set(s, x, y, v, sigma);
}

static inline struct synth synth_new(uint32_t w, uint32_t h, uint32_t depth)
{
	struct synth s = {.w = w, .h = h, .depth = depth, .bytes = depth == 3 ? 1 : 2, .state = 42};
	struct pam pam = {.width = w, .height = h, .depth = depth, .maxval = depth == 3 ? 255 : 65535};
	char header[PAM_HEADER_BYTES_MAX];
	int n;

	strcpy(pam.tupltype, depth == 3 ? "RGB" : "BLUE,GREEN,RED,NIR,SWIR16,SWIR22");
	n = pam_format(&pam, header, sizeof(header));
	assert_true(n > 0);
	s.len = (size_t)n + pam_data_bytes(&pam);
	s.file = malloc(s.len);
	assert_non_null(s.file);
	memcpy(s.file, header, (size_t)n);
	s.px = s.file + n;
	return s;
}

static inline void synth_free(struct synth *s)
{
	free(s->file);
}

/* Spectra. */
static const double SEA3[3] = {60, 75, 70}, DECK3[3] = {170, 110, 90}, WHITE3[3] = {235, 235, 230};
static const double SEA6[6] = {900, 650, 400, 200, 60, 30}, FOREST6[6] = {950, 850, 500, 3000, 1500, 700};
static const double SOIL6[6] = {1400, 1500, 1900, 2500, 3000, 2600},
		    CLOUD6[6] = {5000, 4900, 4900, 5200, 4000, 3000};
static const double SNOW6[6] = {8500, 8600, 8400, 7800, 900, 600},
		    DECK6[6] = {1500, 1400, 2600, 3000, 2900, 2500};

struct synth_run {
	struct eo_buf mask, cloud, candidates, crops, ships;
	char reason[EO_REASON_BYTES];
	const uint8_t *classes;
};

static inline void synth_run(const struct synth *s, struct synth_run *ret)
{
	const struct eo_params params = {0};

	*ret = (struct synth_run){0};
	assert_int_equal(eo_stage_cloud(s->file, s->len, &params, &ret->mask, &ret->cloud, ret->reason), 0);
	assert_int_equal(eo_stage_identify(s->file, s->len, ret->mask.data, ret->mask.len, &params,
				 &ret->candidates, &ret->crops, ret->reason),
		0);
	assert_int_equal(eo_stage_count(ret->candidates.data, ret->candidates.len, ret->crops.data,
				 ret->crops.len, &params, &ret->ships, ret->reason),
		0);
	ret->classes = ret->mask.data + ret->mask.len - (size_t)s->w * s->h;
	eo_buf_add(&ret->cloud, "", 1); /* as strings */
	eo_buf_add(&ret->ships, "", 1);
}

static inline void synth_run_free(struct synth_run *r)
{
	eo_buf_finish(&r->mask);
	eo_buf_finish(&r->cloud);
	eo_buf_finish(&r->candidates);
	eo_buf_finish(&r->crops);
	eo_buf_finish(&r->ships);
}

/* The number after "key": in a JSON text. */
static inline double synth_number(const struct eo_buf *json, const char *key)
{
	const char *at = strstr((const char *)json->data, key);

	assert_non_null(at);
	return strtod(at + strlen(key) + 2, NULL);
}

#endif
