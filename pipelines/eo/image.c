/* SPDX-License-Identifier: Apache-2.0 */
#include "image.h"

#include <stdarg.h>
#include <string.h>

int eo_fail(char reason[EO_REASON_BYTES], const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(reason, EO_REASON_BYTES, fmt, ap);
	va_end(ap);
	return -1;
}

static int kind_of(const struct pam *pam, enum eo_kind *ret_kind, char reason[EO_REASON_BYTES])
{
	if (pam->depth == 6) {
		if (strcmp(pam->tupltype, "BLUE,GREEN,RED,NIR,SWIR16,SWIR22"))
			return eo_fail(reason,
				"scene: six bands must have TUPLTYPE BLUE,GREEN,RED,NIR,SWIR16,SWIR22, found "
				"\"%.60s\"",
				pam->tupltype);
		/* Reflectance x 10000 goes above 10000 on snow and cloud; a maximum below it cannot be that.
		 */
		if (pam->maxval < 10000)
			return eo_fail(reason, "scene: six bands must be reflectance x 10000, maxval is %u",
				pam->maxval);
		*ret_kind = EO_MULTI;
		return 0;
	}
	if (pam->depth == 3) {
		if (pam->tupltype[0] && strcmp(pam->tupltype, "RGB"))
			return eo_fail(reason, "scene: three bands must have TUPLTYPE RGB, found \"%.60s\"",
				pam->tupltype);
		if (pam->maxval != 255)
			return eo_fail(
				reason, "scene: three bands must have maxval 255, found %u", pam->maxval);
		*ret_kind = EO_RGB;
		return 0;
	}
	return eo_fail(reason, "scene: expected 3 or 6 bands, found %u", pam->depth);
}

int eo_image_parse(const void *data, size_t len, struct eo_image *ret_image, char reason[EO_REASON_BYTES])
{
	struct pam pam;
	enum eo_kind kind = EO_RGB;
	int header = pam_parse(data, len, &pam);

	if (header < 0)
		return eo_fail(reason, "scene: not a PAM or PPM image (%zu bytes)", len);
	if (kind_of(&pam, &kind, reason) < 0)
		return -1;
	if (pam.width < EO_SIDE_MIN || pam.height < EO_SIDE_MIN)
		return eo_fail(reason, "scene: %u x %u pixels is too small, at least %u x %u", pam.width,
			pam.height, EO_SIDE_MIN, EO_SIDE_MIN);
	if ((uint64_t)pam.width * pam.height > EO_PIXELS_MAX)
		return eo_fail(reason, "scene: %u x %u pixels is too large, at most %u in all", pam.width,
			pam.height, EO_PIXELS_MAX);
	if (len - (size_t)header < pam_data_bytes(&pam))
		return eo_fail(reason, "scene: cut short: %llu bytes of samples expected, %zu found",
			(unsigned long long)pam_data_bytes(&pam), len - (size_t)header);
	*ret_image = (struct eo_image){
		.kind = kind,
		.width = pam.width,
		.height = pam.height,
		.depth = pam.depth,
		.sample_bytes = (uint32_t)pam_sample_bytes(&pam),
		.px = (const uint8_t *)data + header,
	};
	return 0;
}

int eo_mask_parse(const void *data, size_t len, uint32_t width, uint32_t height, const uint8_t **ret_classes,
	char reason[EO_REASON_BYTES])
{
	struct pam pam;
	int header = pam_parse(data, len, &pam);
	const uint8_t *classes;

	if (header < 0)
		return eo_fail(reason, "mask: not a PGM image (%zu bytes)", len);
	if (pam.depth != 1 || pam_sample_bytes(&pam) != 1)
		return eo_fail(reason, "mask: expected one byte a pixel, found depth %u, maxval %u",
			pam.depth, pam.maxval);
	if (pam.width != width || pam.height != height)
		return eo_fail(reason, "mask: is %u x %u, the scene is %u x %u", pam.width, pam.height, width,
			height);
	if (len - (size_t)header < pam_data_bytes(&pam))
		return eo_fail(reason, "mask: cut short: %llu bytes expected, %zu found",
			(unsigned long long)pam_data_bytes(&pam), len - (size_t)header);
	classes = (const uint8_t *)data + header;
	for (size_t i = 0; i < (size_t)width * height; i++)
		if (classes[i] >= EO_CLASS_MAX)
			return eo_fail(reason, "mask: pixel %zu,%zu has no known class: %u", i % width,
				i / width, classes[i]);
	*ret_classes = classes;
	return 0;
}

void eo_buf_finish(struct eo_buf *b)
{
	free(b->data);
	*b = (struct eo_buf){0};
}

static bool buf_reserve(struct eo_buf *b, size_t len)
{
	size_t cap = b->cap ? b->cap : 4096;
	uint8_t *data;

	if (b->failed || len > EO_BUF_MAX - b->len) {
		b->failed = true;
		return false;
	}
	while (cap < b->len + len)
		cap *= 2;
	if (cap == b->cap)
		return true;
	data = realloc(b->data, cap);
	if (!data) {
		b->failed = true;
		return false;
	}
	b->data = data;
	b->cap = cap;
	return true;
}

void eo_buf_add(struct eo_buf *b, const void *data, size_t len)
{
	if (!buf_reserve(b, len))
		return;
	memcpy(b->data + b->len, data, len);
	b->len += len;
}

void eo_buf_printf(struct eo_buf *b, const char *fmt, ...)
{
	char text[512];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof(text))
		b->failed = true;
	else
		eo_buf_add(b, text, (size_t)n);
}
