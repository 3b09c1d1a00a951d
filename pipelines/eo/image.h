/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scenes and masks in memory, and the growing buffer that the stages write into. A scene is hostile: nothing
 * is believed of it that eo_image_parse has not checked.
 */
#ifndef EO_IMAGE_H
#define EO_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/macro.h"
#include "core/pam.h"

#define EO_SIDE_MIN 16u          /* pixels: below, no statistic means anything */
#define EO_PIXELS_MAX (1u << 24) /* pixels in a scene: 4096 x 4096 */
#define EO_REASON_BYTES 200      /* of a complaint, for a person */
#define EO_BUF_MAX (64u << 20)   /* bytes of one output */

enum eo_band { EO_BLUE, EO_GREEN, EO_RED, EO_NIR, EO_SWIR16, EO_SWIR22, EO_BAND_MAX };

enum eo_kind {
	EO_RGB,   /* three bands of 8 bits, in the order red, green, blue */
	EO_MULTI, /* six bands of 16 bits, top-of-atmosphere reflectance x 10000 */
	EO_KIND_MAX
};

struct eo_image {
	enum eo_kind kind;
	uint32_t width, height; /* pixels */
	uint32_t depth;         /* samples a pixel: 3 or 6 */
	uint32_t sample_bytes;  /* 1 or 2 */
	const uint8_t *px;      /* samples, borrowed from the file */
};

/* The classes of a mask, one byte a pixel. */
enum eo_class { EO_NODATA, EO_WATER, EO_SHADOW, EO_LAND, EO_CLOUD, EO_CLASS_MAX };

struct eo_buf {
	uint8_t *data; /* owned; eo_buf_finish frees it */
	size_t len, cap;
	bool failed; /* out of memory or above EO_BUF_MAX: nothing more is taken */
};

/* Says why, and gives -1: `return eo_fail(reason, "…")`. */
int eo_fail(char reason[EO_REASON_BYTES], const char *fmt, ...) PRINTF(2, 3);

/* Checks a PAM or PPM scene of six or three bands. -1 with the reason. The image borrows data. */
WARN_UNUSED int eo_image_parse(
	const void *data, size_t len, struct eo_image *ret_image, char reason[EO_REASON_BYTES]);
/* Checks a PGM mask of this size and its classes; ret_classes borrows data. */
WARN_UNUSED int eo_mask_parse(const void *data, size_t len, uint32_t width, uint32_t height,
	const uint8_t **ret_classes, char reason[EO_REASON_BYTES]);

static inline size_t eo_pixels(const struct eo_image *im)
{
	return (size_t)im->width * im->height;
}

/* Sample of band b (as stored) of pixel i. */
static inline uint32_t eo_sample(const struct eo_image *im, size_t i, uint32_t b)
{
	const uint8_t *p = im->px + (i * im->depth + b) * im->sample_bytes;

	return im->sample_bytes == 1 ? p[0] : (uint32_t)p[0] << 8 | p[1];
}

void eo_buf_finish(struct eo_buf *b);
void eo_buf_add(struct eo_buf *b, const void *data, size_t len);
void eo_buf_printf(struct eo_buf *b, const char *fmt, ...) PRINTF(2, 3);

#endif
