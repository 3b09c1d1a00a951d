/* SPDX-License-Identifier: Apache-2.0 */
#ifndef EO_WATER_H
#define EO_WATER_H

#include "image.h"

/* Sets water[i] to 1 where a scene of three 8-bit bands shows open water, else 0. -1 when out of memory. */
WARN_UNUSED int eo_water_visible(const struct eo_image *im, uint8_t *water);

#endif
