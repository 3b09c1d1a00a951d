/* SPDX-License-Identifier: Apache-2.0 */
/* Reads the real scenes of ../shared/data for the tests and benches of the sample payload. */
#ifndef EO_DATA_H
#define EO_DATA_H

#include <stddef.h>
#include <stdint.h>

#include "core/macro.h"
#include "eo.h"

struct raster {
	uint8_t *data; /* owned: a PAM file, ready to be a scene; or bare samples (eo_data_gray) */
	size_t len;
	uint32_t width, height;
};

void raster_finish(struct raster *r);
/* An 8-bit PNG as a PAM of three bands. -1 when it cannot be read. */
WARN_UNUSED int eo_data_rgb(const char *path, struct raster *ret);
/* An 8-bit grey PNG as bare bytes. */
WARN_UNUSED int eo_data_gray(const char *path, struct raster *ret);
/* Six band-sequential little-endian bands of side x side pixels as a PAM. */
WARN_UNUSED int eo_data_bsq6(const char *path, uint32_t side, struct raster *ret);

#define EO_DATA_BOXES_MAX 256
struct data_box {
	double x0, y0, x1, y1;
};
/* Columns xmin,ymin,xmax,ymax of a table with the header cx,cy,xmin,ymin,xmax,ymax. The number, or -1. */
WARN_UNUSED int eo_data_boxes(const char *path, struct data_box ret[EO_DATA_BOXES_MAX]);
/* The boxes of a report of the count stage. The number, or -1 when it is not one. */
WARN_UNUSED int eo_data_ships(const void *json, size_t len, struct data_box ret[EO_DATA_BOXES_MAX]);
/* Matches found boxes with true ones, best overlap first, at this least intersection over union. */
struct data_score {
	int hits, missed, extra;
	double f1;
};
struct data_score eo_data_match(
	const struct data_box *found, int n_found, const struct data_box *truth, int n_truth, double iou_min);
/* Cohen's kappa of "is this class" between two masks. */
double eo_data_kappa(const uint8_t *a, const uint8_t *b, size_t n, uint8_t class);

/* Runs the stages one after the other, natively. Outputs are owned; eo_run_finish frees them. -1 with the
 * reason. */
struct eo_run_of {
	struct eo_buf mask, cloud, candidates, crops, ships;
	double ms[3];
	char reason[EO_REASON_BYTES];
};
WARN_UNUSED int eo_data_run(const struct raster *scene, struct eo_run_of *ret);
void eo_run_finish(struct eo_run_of *r);
/* The classes in a mask file of this many pixels. */
static inline const uint8_t *eo_data_classes(const struct eo_buf *mask, size_t pixels)
{
	return mask->data + mask->len - pixels;
}

/* Intersection over union. */
double box_iou(const struct data_box *a, const struct data_box *b);

#endif
