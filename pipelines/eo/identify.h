/* SPDX-License-Identifier: Apache-2.0 */
/* What passes from the identify stage to the count stage, and its limits. */
#ifndef EO_IDENTIFY_H
#define EO_IDENTIFY_H

#include "cfar.h"

/* The ships that are counted, on the water line, in metres. */
#define EO_SHIP_LENGTH_MIN_M 34.0
#define EO_SHIP_LENGTH_MAX_M 460.0
#define EO_SHIP_WIDTH_MIN_M 5.0
#define EO_SHIP_WIDTH_MAX_M 80.0

#define EO_CANDIDATES_MAX 256
#define EO_CROPS_BYTES_MAX (3u << 20) /* of all crops together */
#define EO_OVERVIEW_SIDE 48u          /* pixels: of the small whole scene that comes first */
#define EO_CROP_SIDE_MAX 512u         /* pixels: a box of 250 and its margin fit */

struct eo_candidate {
	uint32_t x0, y0, x1, y1;       /* box in the scene, x1 and y1 one past the end */
	double x, y;                   /* centroid, pixels */
	uint32_t area;                 /* pixels */
	double length, width;          /* pixels, by moments */
	double brightness;             /* mean of the channels, samples */
	double contrast;               /* … above the water around */
	double peak_sigma;             /* deviations of the brightest pixel */
	double touching;               /* part of its pixels that touch what is not water */
	double cloud_near, land_near;  /* part of its surroundings */
	bool at_border_x, at_border_y; /* left or right, upper or lower one of the scene */
	uint32_t crop_x, crop_y;       /* where the crop's corner is in the scene */
	float background[EO_CHANNELS_MAX], sigma[EO_CHANNELS_MAX]; /* of the water around, samples */
};

/* Reads what the identify stage wrote. ret holds EO_CANDIDATES_MAX. The number, or -1 with the reason. */
WARN_UNUSED int eo_candidates_read(const void *json, size_t len, struct eo_candidate *ret,
	uint32_t *ret_bands, char reason[EO_REASON_BYTES]);

#endif
