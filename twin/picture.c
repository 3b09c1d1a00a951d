/* SPDX-License-Identifier: Apache-2.0 */
#include "picture.h"

#include <errno.h>
#include <math.h>
#include <png.h>
#include <stdbool.h>
#include <string.h>

#include "core/file.h"
#include "picture-font.h"

#define TITLE_HEIGHT 14 /* pixels above the picture */
#define BOX_AWAY 3      /* pixels between an object and its line */
#define USUAL_RGB 0xffd21e

enum { MASK_SHADOW = 2, MASK_CLOUD = 4 };

struct paper {
	uint32_t w, h;
	uint8_t *rgb;
};

static void dot(struct paper *p, int x, int y, uint32_t rgb)
{
	if (x < 0 || y < 0 || x >= (int)p->w || y >= (int)p->h)
		return;
	uint8_t *at = p->rgb + 3 * ((size_t)y * p->w + (size_t)x);
	at[0] = (uint8_t)(rgb >> 16);
	at[1] = (uint8_t)(rgb >> 8);
	at[2] = (uint8_t)rgb;
}

static void text(struct paper *p, int x, int y, const char *s, uint32_t rgb)
{
	for (; *s && x < (int)p->w; s++, x += FONT_STEP) {
		const uint8_t *rows = font_glyph(*s);
		for (int j = 0; j < FONT_HEIGHT; j++)
			for (int i = 0; i < FONT_WIDTH; i++)
				if (rows[j] >> (FONT_WIDTH - 1 - i) & 1)
					dot(p, x + i, y + j, rgb);
	}
}

/* Which samples are red, green and blue. */
static void find_colours(const struct pam *form, size_t ret_at[3])
{
	static const char *const names[3] = {"RED", "GREEN", "BLUE"};
	size_t position = 0, found = 0;
	const char *s = form->tupltype;

	for (size_t k = 0; k < 3; k++)
		ret_at[k] = form->depth >= 3 ? k : 0;
	size_t at[3] = {0};
	while (*s && position < form->depth) {
		size_t len = strcspn(s, ",");
		for (size_t k = 0; k < 3; k++) {
			if (len == strlen(names[k]) && !strncmp(s, names[k], len)) {
				at[k] = position;
				found |= (size_t)1 << k;
			}
		}
		s += len + (s[len] == ',');
		position++;
	}
	if (found == 7)
		memcpy(ret_at, at, sizeof(at));
}

static unsigned sample(const struct pam *form, const uint8_t *data, size_t pixel, size_t k)
{
	size_t i = pixel * form->depth + k;

	return pam_sample_bytes(form) == 2 ? (unsigned)data[2 * i] << 8 | data[2 * i + 1] : data[i];
}

/* How numbers become shades. */
struct stretch {
	float black[3], range; /* for each colour its own black, for all one range, so that hues stay */
	float cloud;           /* what is white where the mask says cloud, so that clouds keep their relief */
	float gamma, lift;
};

/* The samples of one colour, of cloud or of the rest: the values below which `low` and `high` of them lie. */
static void find_range(const struct pam *form, const uint8_t *data, const uint8_t *mask, size_t at,
	bool cloud, double low, double high, uint32_t count[65536], float *ret_low, float *ret_high)
{
	size_t n = (size_t)form->width * form->height, counted = 0, below = 0;

	memset(count, 0, 65536 * sizeof(*count));
	for (size_t i = 0; i < n; i++) {
		if ((mask && mask[i] == MASK_CLOUD) != cloud)
			continue;
		count[sample(form, data, i, at)]++;
		counted++;
	}
	*ret_low = *ret_high = 0;
	for (size_t v = 0; v < 65536; v++) {
		if (!count[v])
			continue;
		if ((double)below <= (double)counted * low)
			*ret_low = (float)v;
		if ((double)below <= (double)counted * high)
			*ret_high = (float)v;
		below += count[v];
	}
}

/* For 16-bit samples. Black differs with the colour (the air's own light does); clouds do not count for the
 * range, or a cloudy scene would be dark. */
static int find_stretch(const struct pam *form, const uint8_t *data, const uint8_t *mask, const size_t at[3],
	struct stretch *ret_stretch)
{
	CLEAN_FREE uint32_t *count = malloc(65536 * sizeof(*count));
	struct stretch s = {.gamma = 0.75f, .lift = 0.06f};
	float low, high;

	if (!count)
		return -ENOMEM;
	for (size_t k = 0; k < 3; k++) {
		find_range(form, data, mask, at[k], false, 0.005, 0.98, count, &s.black[k], &high);
		s.range = fmaxf(s.range, high - s.black[k]);
	}
	find_range(form, data, mask, at[1], true, 0, 0.99, count, &low, &high);
	s.cloud = fmaxf(high, 1);
	/* A calm sea fills few numbers: do not make a storm of its noise. 16-bit frames are reflectances x
	 * 10000. */
	s.range = fminf(fmaxf(s.range * 1.15f, 900), 3500);
	*ret_stretch = s;
	return 0;
}

static uint32_t colour(const struct pam *form, const uint8_t *data, size_t pixel, const size_t at[3],
	const struct stretch *s, bool cloud)
{
	uint32_t rgb = 0;

	for (size_t k = 0; k < 3; k++) {
		float v = (float)sample(form, data, pixel, at[k]);
		if (cloud)
			v /= s->cloud;
		else
			v = (v - s->black[k]) / s->range;
		v = fminf(fmaxf(v, 0), 1);
		if (!cloud && s->gamma != 1)
			v = s->lift + (1 - s->lift) * powf(v, s->gamma);
		rgb = rgb << 8 | (uint32_t)lrintf(255 * v);
	}
	return rgb;
}

static uint32_t tint(uint32_t rgb, uint32_t with, float part)
{
	uint32_t out = 0;

	for (int shift = 16; shift >= 0; shift -= 8) {
		float a = (float)(rgb >> shift & 255), b = (float)(with >> shift & 255);
		out |= (uint32_t)lrintf(a + (b - a) * part) << shift;
	}
	return out;
}

static void draw_box(struct paper *p, const struct picture_box *b, int top)
{
	uint32_t rgb = b->rgb ? b->rgb : USUAL_RGB;
	int x0 = b->x0 - BOX_AWAY, x1 = b->x1 + BOX_AWAY, y0 = b->y0 - BOX_AWAY, y1 = b->y1 + BOX_AWAY;

	/* The frame is a stranger's: lines are walked over the picture only. */
	int w = (int)p->w, h = (int)p->h - top;
	for (int x = x0 < 0 ? 0 : x0; x <= x1 && x < w; x++) {
		if (y0 >= 0)
			dot(p, x, y0 + top, rgb);
		if (y1 < h)
			dot(p, x, y1 + top, rgb);
	}
	for (int y = y0 < 0 ? 0 : y0; y <= y1 && y < h; y++) {
		if (x0 >= 0)
			dot(p, x0, y + top, rgb);
		if (x1 < w)
			dot(p, x1, y + top, rgb);
	}
	if (b->label && b->label[0]) {
		int y = y0 >= FONT_HEIGHT + 1 ? y0 - FONT_HEIGHT - 1 : y1 + 2;
		text(p, x0 < 1 ? 1 : x0, y + top, b->label, rgb);
	}
}

static bool in_int(const struct picture_box *b)
{
	const int far = 1 << 24;

	return abs(b->x0) < far && abs(b->y0) < far && abs(b->x1) < far && abs(b->y1) < far &&
	       b->x0 <= b->x1 && b->y0 <= b->y1;
}

int picture_write(const char *png, const struct pam *form, const uint8_t *data, const uint8_t *mask,
	const struct picture_box *boxes, size_t n_boxes, const char *title)
{
	int top = title ? TITLE_HEIGHT : 0;
	struct stretch stretch = {.range = form->maxval, .cloud = form->maxval, .gamma = 1};
	size_t at[3];

	if (!form->width || !form->height || !form->depth || !form->maxval || n_boxes > PICTURE_BOXES_MAX)
		return -EINVAL;
	struct paper p = {.w = form->width, .h = form->height + (uint32_t)top};
	CLEAN_FREE uint8_t *rgb = calloc((size_t)p.w * p.h, 3);
	if (!rgb)
		return -ENOMEM;
	p.rgb = rgb;
	find_colours(form, at);
	if (form->maxval > 255) {
		int err = find_stretch(form, data, mask, at, &stretch);
		if (err)
			return err;
	}
	for (uint32_t y = 0; y < form->height; y++) {
		for (uint32_t x = 0; x < form->width; x++) {
			size_t i = (size_t)y * form->width + x;
			bool cloud = mask && mask[i] == MASK_CLOUD;
			uint32_t c = colour(form, data, i, at, &stretch, cloud);
			if (cloud)
				c = tint(c, 0xff5fa2, 0.33f);
			else if (mask && mask[i] == MASK_SHADOW)
				c = tint(c, 0x3a3aff, 0.18f);
			dot(&p, (int)x, (int)y + top, c);
		}
	}
	for (size_t i = 0; i < n_boxes; i++)
		if (in_int(&boxes[i]))
			draw_box(&p, &boxes[i], top);
	if (title)
		text(&p, 4, (TITLE_HEIGHT - FONT_HEIGHT) / 2, title, 0xe8e8e8);

	png_image head = {.version = PNG_IMAGE_VERSION,
		.width = p.w,
		.height = p.h,
		.format = PNG_FORMAT_RGB,
		.flags = PNG_IMAGE_FLAG_FAST};
	png_alloc_size_t bytes = PNG_IMAGE_PNG_SIZE_MAX(head);
	CLEAN_FREE void *file = malloc(bytes);
	if (!file)
		return -ENOMEM;
	if (!png_image_write_to_memory(&head, file, &bytes, 0, p.rgb, 0, NULL))
		return -EIO;
	return file_replace(png, file, bytes, 0644);
}
