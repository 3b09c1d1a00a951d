/* SPDX-License-Identifier: Apache-2.0 */
/* The readers of image.c, one file each. All take a whole file in memory, hostile as any. */
#ifndef TWIN_IMAGE_READ_H
#define TWIN_IMAGE_READ_H

#include "image.h"

/* Says why and returns ERR_IMAGE. */
PRINTF(2, 3) int image_bad(char reason[IMAGE_REASON_BYTES], const char *fmt, ...);
/* Checks sides and total of a form and allocates its data (zeros). ERR_LIMIT, -ENOMEM. */
WARN_UNUSED int image_allocate(
	const struct pam *form, struct image *ret_image, char reason[IMAGE_REASON_BYTES]);

WARN_UNUSED int image_read_png(
	const uint8_t *file, size_t len, struct image *ret_image, char reason[IMAGE_REASON_BYTES]);
/* PGM, PPM, PAM. */
WARN_UNUSED int image_read_netpbm(
	const uint8_t *file, size_t len, struct image *ret_image, char reason[IMAGE_REASON_BYTES]);
/* Band-sequential; name: the file's, without folder. */
WARN_UNUSED int image_read_bsq(const char *name, const uint8_t *file, size_t len, struct image *ret_image,
	char reason[IMAGE_REASON_BYTES]);

#endif
