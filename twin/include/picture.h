/* SPDX-License-Identifier: Apache-2.0 */
/* Pictures for people: a frame in true colour with clouds tinted, objects boxed and a line of text, as PNG.
 */
#ifndef TWIN_PICTURE_H
#define TWIN_PICTURE_H

#include <stdint.h>

#include "core/err.h"
#include "core/pam.h"

#define PICTURE_BOXES_MAX 4096

struct picture_box {
	int x0, y0, x1, y1; /* first and last pixel of the object; the line is drawn outside of it */
	const char *label;  /* NULL or "": none. Borrowed. */
	uint32_t rgb;       /* 0xrrggbb; 0: the usual yellow */
};

/* Writes a PNG (8 bit RGB; replaced whole). data: as form says. Colours: the bands that tupltype calls RED,
 * GREEN and BLUE, else the first three, or grey; 16-bit samples are stretched between the darkest and the
 * brightest that are not cloud, 8-bit ones are taken as they are. mask, if not NULL: width*height values, 4
 * cloud (tinted), 2 cloud shadow (tinted a little), others as they are. title, if not NULL: a line above the
 * picture. -EINVAL for a form without pixels or too many boxes, -errno. Blocks. */
WARN_UNUSED int picture_write(const char *png, const struct pam *form, const uint8_t *data,
	const uint8_t *mask, const struct picture_box *boxes, size_t n_boxes, const char *title);

#endif
