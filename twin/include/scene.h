/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rendered scenes with a known truth: sea, coast or land from noise at several scales, ships with wakes,
 * clouds with soft edges and shadows, sensor noise. All of it follows from seed and index: the same spec
 * gives the same bytes. Pure and thread-safe; a 512 x 512 scene takes some tens of milliseconds, so call it
 * in a worker.
 */
#ifndef TWIN_SCENE_H
#define TWIN_SCENE_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/err.h"
#include "core/pam.h"

#define SCENE_BANDS 6     /* blue, green, red, near infrared, SWIR 1.6 um, SWIR 2.2 um */
#define SCENE_SIDE_MIN 32 /* pixels */
#define SCENE_SIDE_MAX 2048
#define SCENE_SHIPS_MAX 64

enum scene_kind { SCENE_SEA, SCENE_COAST, SCENE_LAND, SCENE_KIND_MAX };

/* Values of a truth mask. */
enum scene_class { SCENE_NODATA, SCENE_CLASS_WATER, SCENE_CLASS_SHADOW, SCENE_CLASS_LAND, SCENE_CLASS_CLOUD };

struct scene_spec {
	uint64_t seed, index;
	uint32_t width, height; /* pixels, SCENE_SIDE_MIN..SCENE_SIDE_MAX */
	double gsd_m;           /* metres a pixel */
	bool rgb;               /* red, green, blue in 8 bits instead of six bands of reflectance x 10000 */
	double exposure;        /* relative to the nominal one; 1: the numbers are reflectances */
	double gain;            /* factor after the sensor: brightens, saturates, does not add signal */
};

struct scene_ship {
	double x, y; /* centre, pixels, (0,0) the upper left corner of the upper left pixel */
	double length_m, beam_m;
	double heading_deg; /* clockwise from up */
	double speed_m_s;   /* 0: at anchor, no wake */
	int x0, y0, x1, y1; /* its box: first and last pixel of the hull */
	double cloud;       /* mean cloud opacity over the hull, 0..1 */
	bool hidden;        /* by cloud: cloud > 0.5 */
};

struct scene_truth {
	enum scene_kind kind;
	double sun_azimuth_deg, sun_elevation_deg;
	double cloud_fraction, shadow_fraction,
		water_fraction; /* of all pixels; water as if there were no cloud */
	size_t n_ships;
	struct scene_ship ships[SCENE_SHIPS_MAX];
};

/* The form of a frame of this spec (samples interleaved by pixel, 16 bits big-endian). */
struct pam scene_form(const struct scene_spec *spec);
/* "sea", "coast", "land"; known without rendering. */
const char *scene_name(const struct scene_spec *spec);
/* Renders into out (pam_data_bytes of the form); mask (width*height, enum scene_class) and truth may be NULL.
 * -EINVAL for a spec out of range, -ENOMEM. */
WARN_UNUSED int scene_render(
	const struct scene_spec *spec, uint8_t *out, uint8_t *mask, struct scene_truth *ret_truth);
/* The truth as JSON, with the spec; the caller deletes it. NULL: out of memory. */
cJSON *scene_truth_json(const struct scene_spec *spec, const struct scene_truth *truth, const char *frame_id);
/* Writes DIR/FRAME_ID.json and DIR/FRAME_ID_mask.pgm. */
WARN_UNUSED int scene_truth_write(const char *dir, const struct scene_spec *spec,
	const struct scene_truth *truth, const uint8_t *mask, const char *frame_id);

#endif
