/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connected components (8-connected) of a byte plane, kept as runs: memory follows the number of runs, not
 * the size of the plane, and the pixels of one component can be walked without searching for them.
 */
#ifndef EO_BLOBS_H
#define EO_BLOBS_H

#include <stdint.h>

#include "core/macro.h"

#define EO_NONE UINT32_MAX

struct eo_run {
	uint16_t y, x0, x1; /* pixels x0..x1, both in */
	uint32_t blob;      /* index of its component */
	uint32_t next;      /* next run of the same component, top to bottom, or EO_NONE */
};

struct eo_blob {
	uint32_t area;           /* pixels */
	uint16_t x0, y0, x1, y1; /* bounding box, x1 and y1 one past the end */
	uint32_t first, last;    /* runs */
};

struct eo_blobs {
	struct eo_run *runs;
	size_t n_runs, cap_runs;
	struct eo_blob *blobs;
	size_t n_blobs;
};

/* Components of the pixels with lo <= value <= hi. width and height up to 65535. -1 when out of memory. */
WARN_UNUSED int eo_blobs_find(const uint8_t *plane, uint32_t width, uint32_t height, uint8_t lo, uint8_t hi,
	struct eo_blobs *ret_blobs);
void eo_blobs_finish(struct eo_blobs *b);
/* Sets the pixels of one component. */
void eo_blob_paint(const struct eo_blobs *b, size_t blob, uint8_t *plane, uint32_t width, uint8_t value);

/* Length, width and direction by second moments: the rectangle with the same moments. */
struct eo_shape {
	double cx, cy;        /* centroid, pixel centres at integers */
	double length, width; /* pixels; length >= width */
	double ax, ay;        /* unit vector along the length */
	double extent_long;   /* pixels, projection of the component onto its long axis */
	double extent_short;  /* … and onto the short one */
};

void eo_blob_shape(const struct eo_blobs *b, size_t blob, struct eo_shape *ret_shape);

#endif
