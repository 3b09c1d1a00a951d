/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "identify.h"
#include "jsonin.h"

static void read_numbers(struct jsonin *j, double *ret, size_t min, size_t max)
{
	size_t n = 0;

	jsonin_begin(j, '[');
	while (jsonin_item(j)) {
		double v = jsonin_number(j);

		if (n == max)
			j->bad = true;
		else
			ret[n++] = v;
	}
	if (n < min)
		j->bad = true;
}

/* A whole number of pixels. */
static uint32_t pixels(struct jsonin *j, double v)
{
	if (!(v >= 0 && v <= PAM_SIDE_MAX && v == (double)(uint32_t)v)) {
		j->bad = true;
		return 0;
	}
	return (uint32_t)v;
}

static void read_candidate(struct jsonin *j, struct eo_candidate *c)
{
	static const struct {
		const char *key;
		size_t at;
	} numbers[] = {
		{"x", offsetof(struct eo_candidate, x)},
		{"y", offsetof(struct eo_candidate, y)},
		{"length_px", offsetof(struct eo_candidate, length)},
		{"width_px", offsetof(struct eo_candidate, width)},
		{"brightness", offsetof(struct eo_candidate, brightness)},
		{"contrast", offsetof(struct eo_candidate, contrast)},
		{"peak_sigma", offsetof(struct eo_candidate, peak_sigma)},
		{"touching", offsetof(struct eo_candidate, touching)},
		{"cloud_near", offsetof(struct eo_candidate, cloud_near)},
		{"land_near", offsetof(struct eo_candidate, land_near)},
	};
	double v[EO_CHANNELS_MAX];
	char key[32];

	jsonin_begin(j, '{');
	while (jsonin_key(j, key, sizeof(key))) {
		bool known = false;

		for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
			if (!strcmp(key, numbers[i].key)) {
				double number = jsonin_number(j);

				memcpy((char *)c + numbers[i].at, &number, sizeof(number));
				known = true;
			}
		if (known)
			continue;
		memset(v, 0, sizeof(v));
		if (!strcmp(key, "box")) {
			read_numbers(j, v, 4, 4);
			c->x0 = pixels(j, v[0]);
			c->y0 = pixels(j, v[1]);
			c->x1 = pixels(j, v[2]);
			c->y1 = pixels(j, v[3]);
		} else if (!strcmp(key, "crop")) {
			read_numbers(j, v, 2, 2);
			c->crop_x = pixels(j, v[0]);
			c->crop_y = pixels(j, v[1]);
		} else if (!strcmp(key, "background") || !strcmp(key, "sigma")) {
			float *to = key[0] == 'b' ? c->background : c->sigma;

			read_numbers(j, v, 3, EO_CHANNELS_MAX);
			for (int k = 0; k < EO_CHANNELS_MAX; k++)
				to[k] = (float)v[k];
		} else if (!strcmp(key, "area_px")) {
			c->area = (uint32_t)fabs(fmin(jsonin_number(j), EO_PIXELS_MAX));
		} else {
			jsonin_skip(j);
		}
	}
	if (c->x0 >= c->x1 || c->y0 >= c->y1 || c->crop_x > c->x0 || c->crop_y > c->y0)
		j->bad = true;
}

int eo_candidates_read(const void *json, size_t len, struct eo_candidate *ret, uint32_t *ret_bands,
	char reason[EO_REASON_BYTES])
{
	struct jsonin j = {.at = json, .end = (const char *)json + len};
	uint32_t bands = 0, width = 0, height = 0;
	char key[32];
	int n = -1;

	jsonin_begin(&j, '{');
	while (jsonin_key(&j, key, sizeof(key)))
		if (!strcmp(key, "bands")) {
			bands = pixels(&j, jsonin_number(&j));
		} else if (!strcmp(key, "width")) {
			width = pixels(&j, jsonin_number(&j));
		} else if (!strcmp(key, "height")) {
			height = pixels(&j, jsonin_number(&j));
		} else if (!strcmp(key, "candidates")) {
			n = 0;
			jsonin_begin(&j, '[');
			while (jsonin_item(&j)) {
				if (n == EO_CANDIDATES_MAX)
					return eo_fail(reason, "candidates: more than %d", EO_CANDIDATES_MAX);
				ret[n] = (struct eo_candidate){0};
				read_candidate(&j, &ret[n++]);
			}
		} else {
			jsonin_skip(&j);
		}
	if (!jsonin_end(&j))
		return eo_fail(reason, "candidates: not the JSON that is expected, at byte %zu of %zu",
			(size_t)(j.at - (const char *)json), len);
	if (n < 0 || (bands != 3 && bands != 6))
		return eo_fail(reason, "candidates: \"candidates\" or \"bands\" (3 or 6) is missing");
	for (int i = 0; i < n; i++) {
		if (ret[i].x1 > width || ret[i].y1 > height)
			return eo_fail(reason, "candidates: box %d lies outside the scene", i);
		ret[i].at_border_x = !ret[i].x0 || ret[i].x1 == width;
		ret[i].at_border_y = !ret[i].y0 || ret[i].y1 == height;
	}
	*ret_bands = bands;
	return n;
}
