/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Constant false alarm rate: how many standard deviations of the water around it a pixel stands above that
 * water. The water around is a window of 9 x 9 cells of 16 pixels, without a guard of 3 x 3 cells in its
 * middle, so that a ship is not compared with itself. As in iterative censoring (Crisp: The state-of-the-art
 * in ship detection in synthetic aperture radar imagery, DSTO-RR-0272, 2004) what stands out is left out of
 * the statistics and they are made again.
 */
#ifndef EO_CFAR_H
#define EO_CFAR_H

#include "image.h"
#include "planes.h"

#define EO_CHANNELS_MAX 4
#define EO_Z_SCALE 4 /* of the plane of deviations: 1/4 standard deviation a step, 63.75 at most */

struct eo_cfar {
	struct eo_grid grid;
	uint32_t channels; /* that are looked at */
	float *mean;       /* [cell][channel]; owned */
	float *sigma;      /* [cell][channel]; 0 in all: no water around; owned */
	uint8_t *z;        /* a byte a pixel, owned */
};

/* How many channels are looked at, and which band of the scene each is: red, green, blue; or green, red, NIR,
 * SWIR 1.6. In the infrared water is dark and ships are not; blue is mostly air. */
static inline uint32_t eo_cfar_channels(enum eo_kind kind)
{
	return kind == EO_RGB ? 3 : 4;
}
static inline uint32_t eo_cfar_band(enum eo_kind kind, uint32_t channel)
{
	return kind == EO_RGB ? channel : channel + EO_GREEN;
}

/* -1 when out of memory. */
WARN_UNUSED int eo_cfar_run(const struct eo_image *im, const uint8_t *classes, struct eo_cfar *ret_cfar);
void eo_cfar_finish(struct eo_cfar *c);
/* Mean and standard deviation of the water around a pixel. */
void eo_cfar_background(const struct eo_cfar *c, uint32_t x, uint32_t y, float ret_mean[EO_CHANNELS_MAX],
	float ret_sigma[EO_CHANNELS_MAX]);

#endif
