/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ship-count, the Earth-observation sample payload: its three stages as functions from bytes to bytes. The
 * programs eo-*.main.c only carry files in and out; everything here runs natively in tests as well.
 *
 * Each returns 0, or -1 with the reason, for a person, in `reason`. Outputs are written into buffers that the
 * caller finishes with eo_buf_finish; on failure they may hold part of an output. Inputs are hostile.
 */
#ifndef EO_EO_H
#define EO_EO_H

#include "image.h"

/* The parameters, from /in/params.json; nothing else is ever tuned to a scene. Metres on the ground a pixel,
 * for the two kinds of scene; 0: not given, then EO_GSD_*_M. */
struct eo_params {
	double gsd_rgb_m, gsd_multi_m;
};
#define EO_GSD_RGB_M 3.0    /* as of the small satellites that have three bands */
#define EO_GSD_MULTI_M 10.0 /* as of Sentinel-2 */

static inline double eo_gsd(const struct eo_params *p, enum eo_kind kind)
{
	double gsd = kind == EO_RGB ? p->gsd_rgb_m : p->gsd_multi_m;

	return gsd > 0 ? gsd : kind == EO_RGB ? EO_GSD_RGB_M : EO_GSD_MULTI_M;
}

/*
 * scene (PAM or PPM, see image.h) -> mask (PGM, classes of enum eo_class) and report (JSON: method "spectral"
 * or "brightness", width, height, {cloud,water,shadow,land,nodata}_fraction; all but the last relative to the
 * pixels that have data).
 */
WARN_UNUSED int eo_stage_cloud(const void *scene, size_t scene_len, const struct eo_params *params,
	struct eo_buf *mask, struct eo_buf *report, char reason[EO_REASON_BYTES]);

/*
 * scene, mask -> candidates (JSON) and crops (PAMs one after the other: the whole scene, small, then one a
 * candidate, in the same order; each has the scene's bands and a last one that is full on the candidate, half
 * on water, else 0).
 */
WARN_UNUSED int eo_stage_identify(const void *scene, size_t scene_len, const void *mask, size_t mask_len,
	const struct eo_params *params, struct eo_buf *candidates, struct eo_buf *crops,
	char reason[EO_REASON_BYTES]);

/* candidates, crops -> report (JSON: count, ships). */
WARN_UNUSED int eo_stage_count(const void *candidates, size_t candidates_len, const void *crops,
	size_t crops_len, const struct eo_params *params, struct eo_buf *report,
	char reason[EO_REASON_BYTES]);

#endif
