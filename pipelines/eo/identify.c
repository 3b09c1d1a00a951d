/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What stands out of the water: pixels by constant false alarm rate (cfar.h) with two thresholds, a high one
 * that an object must reach somewhere and a low one down to which it extends; then connected components.
 */
#include <math.h>
#include <string.h>

#include "blobs.h"
#include "cfar.h"
#include "eo.h"
#include "identify.h"

enum {
	LOW = 14,       /* 3.5 standard deviations */
	HIGH = 26,      /* 6.5 */
	CLOSE = 1,      /* pixels: gaps of twice this are closed */
	SIDE_MAX = 250, /* pixels of a candidate's box: more is a wake, a front, or land that was taken for
			   water */
	MARGIN = 8,     /* pixels around the box in a crop */
	SHORE = 2,      /* pixels: nearer to what is not water is touching it */
	NEAR = 48,      /* pixels around the box in which cloud and land are counted */
};
static const double TOUCH_MAX = 0.25; /* of the candidate's pixels may touch the shore */

struct found {
	struct eo_candidate c;
	uint8_t *label; /* owned: 1 on the object, in a plane as large as its box */
	double strength;
};

struct finder {
	const struct eo_image *im;
	const uint8_t *classes;
	const uint8_t *shore; /* 1 within SHORE pixels of what is not water */
	struct eo_cfar cfar;
	uint32_t area_min, high_min; /* pixels of an object, and of it at the high threshold */
	struct found *found;
	size_t n, cap, left_out;
};

static void measure(const struct finder *f, const struct eo_blobs *b, size_t blob, uint32_t ox, uint32_t oy,
	struct found *ret)
{
	const struct eo_blob *o = &b->blobs[blob];
	struct eo_candidate *c = &ret->c;
	float mean[EO_CHANNELS_MAX], sigma[EO_CHANNELS_MAX];
	uint32_t touching = 0, channels = f->cfar.channels;
	double bright = 0, back = 0, zsum = 0;
	struct eo_shape s;

	eo_blob_shape(b, blob, &s);
	eo_cfar_background(&f->cfar, ox + (uint32_t)s.cx, oy + (uint32_t)s.cy, mean, sigma);
	for (uint32_t i = o->first; i != EO_NONE; i = b->runs[i].next)
		for (uint32_t x = b->runs[i].x0; x <= b->runs[i].x1; x++) {
			size_t at = (size_t)(oy + b->runs[i].y) * f->im->width + ox + x;
			double z = (double)f->cfar.z[at] / EO_Z_SCALE;

			for (uint32_t k = 0; k < channels; k++)
				bright += eo_sample(f->im, at, eo_cfar_band(f->im->kind, k));
			touching += f->shore[at];
			zsum += z;
			c->peak_sigma = fmax(c->peak_sigma, z);
		}
	for (uint32_t k = 0; k < channels; k++) {
		back += mean[k];
		c->background[k] = mean[k];
		c->sigma[k] = sigma[k];
	}
	c->x0 = ox + o->x0;
	c->y0 = oy + o->y0;
	c->x1 = ox + o->x1;
	c->y1 = oy + o->y1;
	c->x = ox + s.cx;
	c->y = oy + s.cy;
	c->area = o->area;
	c->length = s.length;
	c->width = s.width;
	c->brightness = bright / o->area / channels;
	c->contrast = c->brightness - back / channels;
	c->touching = (double)touching / o->area;
	ret->strength = zsum;
}

/* The part of the surroundings, without the box itself, that is of this class. */
static double near_part(const struct finder *f, const struct eo_candidate *c, uint8_t class)
{
	uint32_t x0 = c->x0 > NEAR ? c->x0 - NEAR : 0, y0 = c->y0 > NEAR ? c->y0 - NEAR : 0;
	uint32_t x1 = c->x1 + NEAR, y1 = c->y1 + NEAR, n = 0, total = 0;

	x1 = x1 < f->im->width ? x1 : f->im->width;
	y1 = y1 < f->im->height ? y1 : f->im->height;
	for (uint32_t y = y0; y < y1; y++)
		for (uint32_t x = x0; x < x1; x++) {
			if (x >= c->x0 && x < c->x1 && y >= c->y0 && y < c->y1)
				continue;
			n += f->classes[(size_t)y * f->im->width + x] == class;
			total++;
		}
	return total ? (double)n / total : 0;
}

/* Takes a component of a plane whose corner is at ox, oy in the scene. -1 when out of memory. */
static int take(struct finder *f, const struct eo_blobs *b, size_t blob, uint32_t ox, uint32_t oy)
{
	const struct eo_blob *o = &b->blobs[blob];
	uint32_t w = o->x1 - o->x0, h = o->y1 - o->y0;
	struct found r = {0};

	measure(f, b, blob, ox, oy, &r);
	if (r.c.touching > TOUCH_MAX)
		return 0;
	r.c.cloud_near = near_part(f, &r.c, EO_CLOUD);
	r.c.land_near = near_part(f, &r.c, EO_LAND);
	if (f->n == f->cap) {
		size_t cap = f->cap ? 2 * f->cap : 64;
		struct found *found = realloc(f->found, cap * sizeof(*found));

		if (!found)
			return -1;
		f->found = found;
		f->cap = cap;
	}
	r.label = calloc(w, h);
	if (!r.label)
		return -1;
	for (uint32_t i = o->first; i != EO_NONE; i = b->runs[i].next)
		memset(r.label + (size_t)(b->runs[i].y - o->y0) * w + b->runs[i].x0 - o->x0, 1,
			b->runs[i].x1 - b->runs[i].x0 + 1u);
	f->found[f->n++] = r;
	return 0;
}

static bool stands_out(
	const struct finder *f, const struct eo_blobs *b, size_t blob, uint32_t ox, uint32_t oy)
{
	uint32_t high = 0;

	if (b->blobs[blob].area < f->area_min)
		return false;
	for (uint32_t i = b->blobs[blob].first; i != EO_NONE; i = b->runs[i].next)
		for (uint32_t x = b->runs[i].x0; x <= b->runs[i].x1; x++)
			high += f->cfar.z[(size_t)(oy + b->runs[i].y) * f->im->width + ox + x] >= HIGH;
	return high >= f->high_min;
}

/*
 * A component that is too large may be a ship with a long wake: the threshold is raised until what is left
 * fits. It must then be nearly all that is left at that level; a breakwater or a front falls into many pieces
 * instead.
 */
static int take_core(struct finder *f, const struct eo_blobs *b, size_t blob)
{
	const struct eo_blob *o = &b->blobs[blob];
	uint32_t w = o->x1 - o->x0, h = o->y1 - o->y0, peak = 0;
	uint8_t *plane = calloc(w, h);
	int r = plane ? 0 : -1;

	for (uint32_t i = o->first; plane && i != EO_NONE; i = b->runs[i].next)
		for (uint32_t x = b->runs[i].x0; x <= b->runs[i].x1; x++) {
			uint8_t z = f->cfar.z[(size_t)b->runs[i].y * f->im->width + x];

			plane[(size_t)(b->runs[i].y - o->y0) * w + x - o->x0] = z;
			peak = z > peak ? z : peak;
		}
	for (uint32_t level = LOW * 3 / 2; r == 0 && level <= peak / 2; level = level * 5 / 4) {
		struct eo_blobs parts;
		size_t best = 0;
		uint64_t total = 0;
		bool fits;

		if (eo_blobs_find(plane, w, h, (uint8_t)level, 255, &parts) < 0) {
			r = -1;
			break;
		}
		for (size_t i = 0; i < parts.n_blobs; i++) {
			total += parts.blobs[i].area;
			if (parts.blobs[i].area > parts.blobs[best].area)
				best = i;
		}
		fits = parts.n_blobs && 10 * (uint64_t)parts.blobs[best].area >= 6 * total &&
		       parts.blobs[best].x1 - parts.blobs[best].x0 <= SIDE_MAX &&
		       parts.blobs[best].y1 - parts.blobs[best].y0 <= SIDE_MAX;
		if (fits && stands_out(f, &parts, best, o->x0, o->y0))
			r = take(f, &parts, best, o->x0, o->y0);
		eo_blobs_finish(&parts);
		if (fits)
			break;
	}
	free(plane);
	return r;
}

/* plane: a byte a pixel, overwritten. */
static int find(struct finder *f, uint8_t *plane)
{
	uint32_t w = f->im->width, h = f->im->height;
	struct eo_blobs blobs;
	int r = 0;

	for (size_t i = 0; i < eo_pixels(f->im); i++)
		plane[i] = f->cfar.z[i] >= LOW;
	if (eo_dilate(plane, w, h, CLOSE) < 0 || eo_erode(plane, w, h, CLOSE) < 0)
		return -1;
	for (size_t i = 0; i < eo_pixels(f->im); i++)
		plane[i] = plane[i] && f->classes[i] == EO_WATER;
	if (eo_blobs_find(plane, w, h, 1, 1, &blobs) < 0)
		return -1;
	for (size_t i = 0; r == 0 && i < blobs.n_blobs; i++) {
		const struct eo_blob *o = &blobs.blobs[i];

		if (!stands_out(f, &blobs, i, 0, 0))
			continue;
		if (o->x1 - o->x0 > SIDE_MAX || o->y1 - o->y0 > SIDE_MAX)
			r = take_core(f, &blobs, i);
		else
			r = take(f, &blobs, i, 0, 0);
	}
	eo_blobs_finish(&blobs);
	return r;
}

static void put_sample(uint8_t *to, uint32_t bytes, uint32_t v)
{
	if (bytes == 2)
		*to++ = (uint8_t)(v >> 8);
	*to = (uint8_t)v;
}

static struct pam crop_form(const struct eo_image *im, uint32_t width, uint32_t height)
{
	struct pam pam = {.width = width,
		.height = height,
		.depth = im->depth + 1,
		.maxval = im->sample_bytes == 1 ? 255 : 65535};

	snprintf(pam.tupltype, sizeof(pam.tupltype), "%s",
		im->kind == EO_RGB ? "RGB_ALPHA" : "BLUE,GREEN,RED,NIR,SWIR16,SWIR22,OBJECT");
	return pam;
}

static void add_header(const struct pam *pam, struct eo_buf *crops)
{
	char header[PAM_HEADER_BYTES_MAX];
	int n = pam_format(pam, header, sizeof(header));

	if (n < 0)
		crops->failed = true;
	else
		eo_buf_add(crops, header, (size_t)n);
}

/* One pixel of a crop: the scene's bands and one more, full on an object, half on water, 0 elsewhere. */
static void add_pixel(const struct finder *f, size_t at, bool object, struct eo_buf *crops)
{
	const struct eo_image *im = f->im;
	uint32_t full = im->sample_bytes == 1 ? 255 : 65535;
	uint8_t px[7 * 2];

	memcpy(px, im->px + at * im->depth * im->sample_bytes, im->depth * im->sample_bytes);
	put_sample(px + im->depth * im->sample_bytes, im->sample_bytes,
		object                       ? full
		: f->classes[at] == EO_WATER ? full / 2 + 1
					     : 0);
	eo_buf_add(crops, px, (im->depth + 1) * im->sample_bytes);
}

/* The first crop is the whole scene, small: whoever gets the crops alone sees where they are from, and a file
 * is there when nothing was found. */
static void add_overview(const struct finder *f, struct eo_buf *crops)
{
	const struct eo_image *im = f->im;
	uint32_t longest = im->width > im->height ? im->width : im->height;
	uint32_t step = (longest + EO_OVERVIEW_SIDE - 1) / EO_OVERVIEW_SIDE;
	struct pam pam = crop_form(im, (im->width + step - 1) / step, (im->height + step - 1) / step);

	add_header(&pam, crops);
	for (uint32_t y = 0; y < im->height; y += step)
		for (uint32_t x = 0; x < im->width; x += step)
			add_pixel(f, (size_t)y * im->width + x, false, crops);
}

/* The scene around a candidate. */
static void add_crop(const struct finder *f, struct found *r, struct eo_buf *crops)
{
	const struct eo_image *im = f->im;
	struct eo_candidate *c = &r->c;
	struct pam pam;

	c->crop_x = c->x0 > MARGIN ? c->x0 - MARGIN : 0;
	c->crop_y = c->y0 > MARGIN ? c->y0 - MARGIN : 0;
	pam = crop_form(im, (c->x1 + MARGIN < im->width ? c->x1 + MARGIN : im->width) - c->crop_x,
		(c->y1 + MARGIN < im->height ? c->y1 + MARGIN : im->height) - c->crop_y);
	add_header(&pam, crops);
	for (uint32_t y = c->crop_y; y < c->crop_y + pam.height; y++)
		for (uint32_t x = c->crop_x; x < c->crop_x + pam.width; x++) {
			bool in = x >= c->x0 && x < c->x1 && y >= c->y0 && y < c->y1;

			add_pixel(f, (size_t)y * im->width + x,
				in && r->label[(size_t)(y - c->y0) * (c->x1 - c->x0) + x - c->x0], crops);
		}
}

static int stronger(const void *a, const void *b)
{
	double x = ((const struct found *)a)->strength, y = ((const struct found *)b)->strength;

	return x > y ? -1 : x < y;
}

static int in_reading_order(const void *a, const void *b)
{
	const struct eo_candidate *x = &((const struct found *)a)->c, *y = &((const struct found *)b)->c;

	if (x->y0 != y->y0)
		return x->y0 < y->y0 ? -1 : 1;
	return x->x0 < y->x0 ? -1 : x->x0 > y->x0;
}

static void write_candidates(const struct finder *f, struct eo_buf *out)
{
	eo_buf_printf(out,
		"{\"method\": \"cfar\", \"width\": %u, \"height\": %u, \"bands\": %u, \"left_out\": %zu, "
		"\"candidates\": [",
		f->im->width, f->im->height, f->im->depth, f->left_out);
	for (size_t i = 0; i < f->n; i++) {
		const struct eo_candidate *c = &f->found[i].c;

		eo_buf_printf(out,
			"%s\n{\"box\": [%u, %u, %u, %u], \"x\": %.2f, \"y\": %.2f, \"area_px\": %u, "
			"\"length_px\": %.2f, "
			"\"width_px\": %.2f, \"brightness\": %.1f, \"contrast\": %.1f, \"peak_sigma\": %.2f",
			i ? "," : "", c->x0, c->y0, c->x1, c->y1, c->x, c->y, c->area, c->length, c->width,
			c->brightness, c->contrast, c->peak_sigma);
		eo_buf_printf(out,
			", \"touching\": %.3f, \"cloud_near\": %.4f, \"land_near\": %.4f, \"crop\": [%u, %u]",
			c->touching, c->cloud_near, c->land_near, c->crop_x, c->crop_y);
		for (int s = 0; s < 2; s++) {
			eo_buf_printf(out, s ? ", \"sigma\": [" : ", \"background\": [");
			for (uint32_t k = 0; k < f->cfar.channels; k++)
				eo_buf_printf(
					out, "%s%.2f", k ? ", " : "", s ? c->sigma[k] : c->background[k]);
			eo_buf_printf(out, "]");
		}
		eo_buf_printf(out, "}");
	}
	eo_buf_printf(out, "\n]}\n");
}

/* The strongest EO_CANDIDATES_MAX, as far as their crops fit, in reading order. */
static void choose(struct finder *f)
{
	size_t bytes = 0, keep = 0;

	qsort(f->found, f->n, sizeof(*f->found), stronger);
	for (; keep < f->n && keep < EO_CANDIDATES_MAX; keep++) {
		const struct eo_candidate *c = &f->found[keep].c;

		bytes += 128 + (size_t)(c->x1 - c->x0 + 2 * MARGIN) * (c->y1 - c->y0 + 2 * MARGIN) *
				       (f->im->depth + 1) * f->im->sample_bytes;
		if (bytes > EO_CROPS_BYTES_MAX)
			break;
	}
	f->left_out = f->n - keep;
	while (f->n > keep)
		free(f->found[--f->n].label);
	qsort(f->found, f->n, sizeof(*f->found), in_reading_order);
}

static int search(struct finder *f)
{
	size_t n = eo_pixels(f->im);
	uint8_t *shore = malloc(n), *plane = malloc(n);
	int r = -1;

	if (shore && plane) {
		for (size_t i = 0; i < n; i++)
			shore[i] = f->classes[i] != EO_WATER;
		f->shore = shore;
		r = eo_dilate(shore, f->im->width, f->im->height, SHORE);
		if (r == 0)
			r = eo_cfar_run(f->im, f->classes, &f->cfar);
		if (r == 0)
			r = find(f, plane);
	}
	free(shore);
	free(plane);
	return r;
}

int eo_stage_identify(const void *scene, size_t scene_len, const void *mask, size_t mask_len,
	const struct eo_params *params, struct eo_buf *candidates, struct eo_buf *crops,
	char reason[EO_REASON_BYTES])
{
	struct finder f = {0};
	struct eo_image im;
	double gsd;
	int r;

	if (eo_image_parse(scene, scene_len, &im, reason) < 0 ||
		eo_mask_parse(mask, mask_len, im.width, im.height, &f.classes, reason) < 0)
		return -1;
	f.im = &im;
	/* Half of the deck of the smallest ship that is counted, and a sixth of it. */
	gsd = eo_gsd(params, im.kind);
	f.area_min = (uint32_t)fmax(3, EO_SHIP_LENGTH_MIN_M * EO_SHIP_WIDTH_MIN_M / 2 / (gsd * gsd));
	f.high_min = f.area_min < 12 ? 2 : f.area_min / 6;
	r = search(&f);
	if (r == 0) {
		if (f.n)
			choose(&f);
		add_overview(&f, crops);
		for (size_t i = 0; i < f.n; i++)
			add_crop(&f, &f.found[i], crops);
		write_candidates(&f, candidates);
	}
	for (size_t i = 0; i < f.n; i++)
		free(f.found[i].label);
	free(f.found);
	eo_cfar_finish(&f.cfar);
	if (r < 0 || candidates->failed || crops->failed)
		return eo_fail(reason, "out of memory for a scene of %u x %u", im.width, im.height);
	return 0;
}
