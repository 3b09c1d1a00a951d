/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which candidates are ships: by size on the ground and by shape. A hull is long, and fills the rectangle
 * around it. A candidate that does not have that shape may be a hull with its wake, which is dimmer: so the
 * threshold is raised step by step, and the first level at which the brightest piece is a hull counts. In six
 * bands the short-wave infrared shows hulls without wakes, for foam is water and dark there.
 */
#include <math.h>
#include <string.h>

#include "blobs.h"
#include "eo.h"
#include "identify.h"
#include "planes.h"

enum {
	LEVEL_FIRST = 14,   /* as the low threshold of the identify stage */
	SWIR_AREA_PART = 8, /* a hull in the short-wave infrared is at least 1/8 of the candidate */
};

static const double ASPECT_MIN = 1.9, ASPECT_MAX = 9.5;
static const double FILL_MIN = 0.52;                         /* of the rectangle around it */
static const double CLOUD_NEAR = 0.02, CLOUD_NEAR_MAX = 0.6; /* part of the surroundings */
static const double CLOUDY_SHARP_MIN = 0.64, CLOUDY_ASPECT_MIN = 3;
static const double PEAK_MIN = 14; /* deviations: foam and swell reach less */
/* Boats, buoys and breaking waves are as long as the smallest ships: what is short must be bright and
 * slender. */
static const double SHORT_M = 55, SHORT_PEAK_MIN = 24, SHORT_ASPECT_MIN = 2.6;
/* Beam against length, with what lies alongside; and what the sensor's blur adds, in pixels. */
static const double BEAM_M = 15, BEAM_PER_LENGTH = 0.22, BLUR_PX = 1.2;
static const double SHARP_MIN = 0.48;
/* At the scene's border the rest is out of sight: only what is surely a hull even so, and reaches well into
 * it. */
static const double BORDER_LENGTH_MIN_M = 60, BORDER_ASPECT_MIN = 3, BORDER_REACH_MIN = 0.5;
static const double EDGE = 0.45; /* of the median deviation: where the border of a hull is drawn */

struct crop {
	uint32_t width, height, pixels;
	uint8_t *z;     /* deviations of the strongest channel, EO_Z_SCALE */
	uint8_t *swir;  /* … of the last channel alone */
	uint8_t *label; /* 1 on the candidate */
	uint8_t *plane; /* scratch */
};

struct ship {
	struct eo_shape shape;
	uint32_t x0, y0, x1, y1; /* in the scene */
	double confidence, sharpness;
};

static void crop_finish(struct crop *c)
{
	free(c->z);
	*c = (struct crop){0};
}

static uint32_t sample(const uint8_t *p, uint32_t bytes)
{
	return bytes == 1 ? p[0] : (uint32_t)p[0] << 8 | p[1];
}

static uint8_t deviation(double v, double mean, double sigma)
{
	double z = sigma > 0 ? (v - mean) / sigma * EO_Z_SCALE : 0;

	return z >= 255 ? 255 : z > 0 ? (uint8_t)z : 0;
}

/* Reads the crop at the start of data. The bytes it takes, or -1 with the reason. */
static int64_t crop_read(const uint8_t *data, size_t len, uint32_t bands, const struct eo_candidate *c,
	struct crop *ret, char reason[EO_REASON_BYTES])
{
	enum eo_kind kind = bands == 3 ? EO_RGB : EO_MULTI;
	uint32_t channels = eo_cfar_channels(kind), bytes;
	struct pam pam;
	int header = pam_parse(data, len, &pam);

	if (header < 0)
		return eo_fail(
			reason, "crops: no image where one is expected, %zu bytes before the end", len);
	if (pam.depth != bands + 1 || pam.maxval != (bands == 3 ? 255 : 65535))
		return eo_fail(reason, "crops: an image of depth %u and maxval %u, expected %u and %u",
			pam.depth, pam.maxval, bands + 1, bands == 3 ? 255 : 65535);
	if (pam.width > EO_CROP_SIDE_MAX || pam.height > EO_CROP_SIDE_MAX || c->x1 > c->crop_x + pam.width ||
		c->y1 > c->crop_y + pam.height)
		return eo_fail(reason, "crops: an image of %u x %u does not fit its candidate", pam.width,
			pam.height);
	if (len - (size_t)header < pam_data_bytes(&pam))
		return eo_fail(reason, "crops: cut short in an image of %u x %u", pam.width, pam.height);
	*ret = (struct crop){.width = pam.width, .height = pam.height, .pixels = pam.width * pam.height};
	ret->z = calloc(4, ret->pixels);
	if (!ret->z)
		return eo_fail(reason, "out of memory for a crop");
	ret->swir = ret->z + ret->pixels;
	ret->label = ret->swir + ret->pixels;
	ret->plane = ret->label + ret->pixels;
	bytes = (uint32_t)pam_sample_bytes(&pam);
	for (uint32_t i = 0; i < ret->pixels; i++) {
		const uint8_t *p = data + header + (size_t)i * pam.depth * bytes;

		ret->label[i] = sample(p + (size_t)bands * bytes, bytes) == pam.maxval;
		for (uint32_t k = 0; k < channels; k++) {
			uint8_t z = deviation(sample(p + eo_cfar_band(kind, k) * bytes, bytes),
				c->background[k], c->sigma[k]);

			ret->z[i] = z > ret->z[i] ? z : ret->z[i];
			ret->swir[i] = z; /* the last channel stays */
		}
	}
	return header + (int64_t)pam_data_bytes(&pam);
}

/* A value that rises from 0 at `from` to 1 at `to` (or falls, when to < from). */
static double ramp(double v, double from, double to)
{
	double r = (v - from) / (to - from);

	return r < 0 ? 0 : r > 1 ? 1 : r;
}

/* How sure it is that this shape is a hull, 0: it is none. */
static double hull(const struct eo_shape *s, uint32_t area, double peak, double gsd)
{
	/* What a sensor draws of a hull is wider than it by about a pixel each way. */
	double length = s->length * gsd, width = fmax(s->width - 0.5, 0.7) * gsd;
	double aspect = s->length / s->width, fill = area / (s->extent_long * s->extent_short);
	/* Of few pixels the corners are missing, whatever the shape. */
	bool coarse = s->width < 4;

	if (length < EO_SHIP_LENGTH_MIN_M || length > EO_SHIP_LENGTH_MAX_M || width < EO_SHIP_WIDTH_MIN_M ||
		width > EO_SHIP_WIDTH_MAX_M)
		return 0;
	if (aspect < (coarse ? 1.5 : ASPECT_MIN) || aspect > ASPECT_MAX || fill < (coarse ? 0.45 : FILL_MIN))
		return 0;
	if (s->width * gsd > BEAM_M + BEAM_PER_LENGTH * length + BLUR_PX * gsd)
		return 0;
	if (length < SHORT_M && (peak < SHORT_PEAK_MIN || (!coarse && aspect < SHORT_ASPECT_MIN)))
		return 0;
	return 0.4 + 0.6 * ramp(aspect, 1.5, 3.0) * ramp(fill, 0.4, 0.75);
}

/* Leaves the largest piece of `plane`'s set pixels in it, and judges it. 0 when it is no hull, -1 when out of
 * memory. */
static int judge(struct crop *c, double peak, double gsd, double *ret_sure, struct eo_blob *ret_blob,
	struct eo_shape *ret_shape)
{
	struct eo_blobs blobs;
	size_t best = 0;

	*ret_sure = 0;
	if (eo_blobs_find(c->plane, c->width, c->height, 1, 255, &blobs) < 0)
		return -1;
	for (size_t i = 1; i < blobs.n_blobs; i++)
		if (blobs.blobs[i].area > blobs.blobs[best].area)
			best = i;
	*ret_blob = (struct eo_blob){0};
	if (blobs.n_blobs) {
		*ret_blob = blobs.blobs[best];
		eo_blob_shape(&blobs, best, ret_shape);
		*ret_sure = hull(ret_shape, ret_blob->area, peak, gsd);
		memset(c->plane, 0, c->pixels);
		eo_blob_paint(&blobs, best, c->plane, c->width, 1);
	}
	eo_blobs_finish(&blobs);
	return 0;
}

/* Selects the candidate's pixels at or above a level of a plane. */
static void select_level(struct crop *c, const uint8_t *of, uint32_t level)
{
	for (uint32_t i = 0; i < c->pixels; i++)
		c->plane[i] = c->label[i] && of[i] >= level;
}

/* The level at which a candidate has its true size: the sensor's blur spreads it above the low threshold. The
 * median is that of the deck, whatever bright superstructure stands on it. */
static uint32_t edge_level(const struct crop *c, const uint8_t *of)
{
	uint32_t histogram[256] = {0}, level;

	for (uint32_t i = 0; i < c->pixels; i++)
		if (c->label[i] && of[i] >= LEVEL_FIRST)
			histogram[of[i]]++;
	level = (uint32_t)(eo_percentile(histogram, 256, 0.5) * EDGE);
	return level < LEVEL_FIRST ? LEVEL_FIRST : level;
}

/* Of the hull in `plane` and what is beside it: how much of what lies above a third of the deck's deviation
 * lies above three quarters of it. A hull ends in a step, a wisp of cloud in a slope. -1 when out of memory.
 */
static double sharpness(struct crop *c)
{
	uint32_t histogram[256] = {0}, median, low = 0, high = 0;

	for (uint32_t i = 0; i < c->pixels; i++)
		if (c->plane[i])
			histogram[c->z[i]]++;
	median = eo_percentile(histogram, 256, 0.5);
	if (eo_dilate(c->plane, c->width, c->height, 2) < 0)
		return -1;
	for (uint32_t i = 0; i < c->pixels; i++)
		if (c->plane[i] && c->label[i]) {
			low += c->z[i] * 10u >= median * 3;
			high += c->z[i] * 4u >= median * 3;
		}
	return low ? (double)high / low : 0;
}

/* Whether the scene's border leaves too little of it to tell. */
static bool cut_off(const struct eo_candidate *c, const struct eo_shape *s, double gsd)
{
	if (!c->at_border_x && !c->at_border_y)
		return false;
	return s->length * gsd < BORDER_LENGTH_MIN_M || s->length < BORDER_ASPECT_MIN * s->width ||
	       (c->at_border_x && c->x1 - c->x0 < BORDER_REACH_MIN * s->length) ||
	       (c->at_border_y && c->y1 - c->y0 < BORDER_REACH_MIN * s->length);
}

/* Near clouds, most bright things are clouds: only what is long and ends sharply is none. */
static bool stands_apart(const struct ship *s, const struct eo_candidate *c)
{
	return s->sharpness > CLOUDY_SHARP_MIN && s->shape.length > CLOUDY_ASPECT_MIN * s->shape.width &&
	       c->cloud_near < CLOUD_NEAR_MAX;
}

/* 1 with the ship, 0 when the candidate is none, -1 when out of memory. */
static int confirm(struct crop *c, const struct eo_candidate *cand, bool multi, double gsd, struct ship *ret)
{
	double sure = 0;
	struct eo_blob blob;
	uint32_t level;

	if (cand->peak_sigma < PEAK_MIN)
		return 0;
	if (multi) {
		select_level(c, c->swir, edge_level(c, c->swir));
		if (judge(c, cand->peak_sigma, gsd, &sure, &blob, &ret->shape) < 0)
			return -1;
		if (blob.area * SWIR_AREA_PART < cand->area)
			sure = 0;
	}
	for (level = edge_level(c, c->z); !multi && sure <= 0 && level < 200; level = level * 5 / 4) {
		select_level(c, c->z, level);
		/* The identify stage closed small gaps; so does this. */
		if (eo_dilate(c->plane, c->width, c->height, 1) < 0 ||
			eo_erode(c->plane, c->width, c->height, 1) < 0 ||
			judge(c, cand->peak_sigma, gsd, &sure, &blob, &ret->shape) < 0)
			return -1;
		if (!blob.area || blob.area * 16 < cand->area)
			break;
	}
	if (sure <= 0)
		return 0;
	ret->x0 = cand->crop_x + blob.x0;
	ret->y0 = cand->crop_y + blob.y0;
	ret->x1 = cand->crop_x + blob.x1;
	ret->y1 = cand->crop_y + blob.y1;
	ret->sharpness = sharpness(c);
	if (ret->sharpness < 0)
		return -1;
	if (ret->sharpness < SHARP_MIN || (cand->cloud_near > CLOUD_NEAR && !stands_apart(ret, cand)))
		return 0;
	if (cut_off(cand, &ret->shape, gsd))
		return 0;
	ret->shape.cx += cand->crop_x;
	ret->shape.cy += cand->crop_y;
	ret->confidence = sure * (0.5 + 0.5 * ramp(cand->peak_sigma, 5, 15)) *
			  (1 - 0.5 * ramp(cand->touching, 0, 0.25));
	return 1;
}

/* Along the hull, clockwise from up; bow and stern are not told apart, so 0 <= heading < 180. */
static double heading_deg(const struct eo_shape *s)
{
	double a = atan2(s->ax, -s->ay) * (180 / M_PI);

	a = fmod(a + 360, 180);
	return a > 179.95 ? 0 : a;
}

static void write_ship(const struct ship *s, bool first, double gsd, struct eo_buf *out)
{
	eo_buf_printf(out,
		"%s\n{\"x\": %.1f, \"y\": %.1f, \"length_px\": %.1f, \"width_px\": %.1f, \"length_m\": %.0f, "
		"\"width_m\": %.0f, \"heading_deg\": %.1f, \"box\": [%u, %u, %u, %u], \"sharpness\": %.3f, "
		"\"confidence\": %.2f}",
		first ? "" : ",", s->shape.cx, s->shape.cy, s->shape.length, s->shape.width,
		s->shape.length * gsd, s->shape.width * gsd, heading_deg(&s->shape), s->x0, s->y0, s->x1,
		s->y1, s->sharpness, s->confidence);
}

/* Steps over the small whole scene that comes first. Its bytes, or -1 with the reason. */
static int64_t skip_overview(const uint8_t *data, size_t len, char reason[EO_REASON_BYTES])
{
	struct pam pam;
	int header = pam_parse(data, len, &pam);

	if (header < 0 || pam.width > EO_OVERVIEW_SIDE || pam.height > EO_OVERVIEW_SIDE ||
		len - (size_t)header < pam_data_bytes(&pam))
		return eo_fail(reason, "crops: do not begin with the small image of the scene");
	return header + (int64_t)pam_data_bytes(&pam);
}

static int count(const struct eo_candidate *cands, int n, uint32_t bands, const uint8_t *crops, size_t len,
	double gsd, struct eo_buf *report, char reason[EO_REASON_BYTES])
{
	struct eo_buf list = {0};
	uint32_t ships = 0;
	int64_t overview = skip_overview(crops, len, reason);

	if (overview < 0)
		return -1;
	crops += overview;
	len -= (size_t)overview;
	for (int i = 0; i < n; i++) {
		struct crop crop = {0};
		struct ship ship;
		int64_t used = crop_read(crops, len, bands, &cands[i], &crop, reason);
		int is;

		if (used < 0) {
			eo_buf_finish(&list);
			return -1;
		}
		crops += used;
		len -= (size_t)used;
		is = confirm(&crop, &cands[i], bands == 6, gsd, &ship);
		crop_finish(&crop);
		if (is < 0) {
			eo_buf_finish(&list);
			return eo_fail(reason, "out of memory");
		}
		if (is)
			write_ship(&ship, ships++ == 0, gsd, &list);
	}
	eo_buf_printf(
		report, "{\"count\": %u, \"candidates\": %d, \"gsd_m\": %.3g, \"ships\": [", ships, n, gsd);
	if (list.len)
		eo_buf_add(report, list.data, list.len);
	eo_buf_printf(report, "%s]}\n", ships ? "\n" : "");
	if (list.failed)
		report->failed = true;
	eo_buf_finish(&list);
	if (len)
		return eo_fail(reason, "crops: %zu bytes after the last candidate's", len);
	return report->failed ? eo_fail(reason, "out of memory") : 0;
}

int eo_stage_count(const void *candidates, size_t candidates_len, const void *crops, size_t crops_len,
	const struct eo_params *params, struct eo_buf *report, char reason[EO_REASON_BYTES])
{
	struct eo_candidate *cands = malloc(EO_CANDIDATES_MAX * sizeof(*cands));
	uint32_t bands;
	int n, r;

	if (!cands)
		return eo_fail(reason, "out of memory");
	n = eo_candidates_read(candidates, candidates_len, cands, &bands, reason);
	r = n < 0 ? -1
		  : count(cands, n, bands, crops, crops_len, eo_gsd(params, bands == 3 ? EO_RGB : EO_MULTI),
			    report, reason);
	free(cands);
	return r;
}
