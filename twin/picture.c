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

/* Where black and white lie for 16-bit samples: for each colour its own black (the air's light differs with
 * the wavelength), for all one range, so that hues stay. Clouds do not count, or a cloudy scene would be
 * dark. */
static int find_stretch(const struct pam *form, const uint8_t *data, const uint8_t *mask, const size_t at[3],
	float ret_black[3], float *ret_range)
{
	size_t n = (size_t)form->width * form->height, counted = 0;
	CLEAN_FREE uint32_t *count = calloc(65536, sizeof(*count));
	float range = 0;

	if (!count)
		return -ENOMEM;
	for (size_t k = 0; k < 3; k++) {
		memset(count, 0, 65536 * sizeof(*count));
		counted = 0;
		for (size_t i = 0; i < n; i++) {
			if (mask && mask[i] == MASK_CLOUD)
				continue;
			count[sample(form, data, i, at[k])]++;
			counted++;
		}
		size_t below = 0, low = 0, high = 0;
		for (size_t v = 0; v < 65536; v++) {
			if (!count[v])
				continue;
			if (below <= counted / 200)
				low = v;
			if (below <= counted - counted / 50)
				high = v;
			below += count[v];
		}
		ret_black[k] = (float)low;
		range = fmaxf(range, (float)(high - low));
	}
	/* A calm sea fills few numbers: do not make a storm of its noise. 16-bit frames are reflectances x
	 * 10000. */
	*ret_range = fminf(fmaxf(range * 1.15f, 900), 3500);
	return 0;
}

static uint32_t colour(const struct pam *form, const uint8_t *data, size_t pixel, const size_t at[3],
	const float black[3], float range)
{
	uint32_t rgb = 0;

	for (size_t k = 0; k < 3; k++) {
		float v = ((float)sample(form, data, pixel, at[k]) - black[k]) / range;
		v = fminf(fmaxf(v, 0), 1);
		if (form->maxval > 255)
			v = 0.06f + 0.94f * powf(v, 0.75f);
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
	float black[3] = {0}, range = form->maxval;
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
		int err = find_stretch(form, data, mask, at, black, &range);
		if (err)
			return err;
	}
	for (uint32_t y = 0; y < form->height; y++) {
		for (uint32_t x = 0; x < form->width; x++) {
			size_t i = (size_t)y * form->width + x;
			uint32_t c = colour(form, data, i, at, black, range);
			if (mask && mask[i] == MASK_CLOUD)
				c = tint(c, 0xff5fa2, 0.38f);
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
