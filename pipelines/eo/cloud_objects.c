/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Small things in the water. By its spectrum a ship is land or cloud; what makes it a candidate is that water
 * lies around it. So small components of anything but water, with nothing but water beside them, become water
 * again.
 */
#include "blobs.h"
#include "cloud.h"

enum {
	AREA_MAX = 8000, /* pixels */
	SIDE_MAX = 250,
	BORDER_AREA_MAX = 1000, /* at the scene's border the rest is out of sight */
	CLOUD_AREA_MIN = 12,    /* a white thing of this size that is not long is rather a cloud */
};
static const double WIDTH_MAX_M = 120;    /* wider than any ship with the foam beside it */
static const double AREA_MAX_M2 = 80000;  /* a ship of 400 m has 24000; with its wake more */
static const double ISLET_AREA_M2 = 9000; /* what is not long is an islet from this size on */

/* How much of the component's pixels are of this class. */
static double part_of(
	const struct eo_blobs *b, size_t blob, const uint8_t *classes, uint32_t w, uint8_t class)
{
	uint32_t n = 0;

	for (uint32_t i = b->blobs[blob].first; i != EO_NONE; i = b->runs[i].next) {
		const struct eo_run *r = &b->runs[i];

		for (uint32_t x = r->x0; x <= r->x1; x++)
			n += classes[(size_t)r->y * w + x] == class;
	}
	return (double)n / b->blobs[blob].area;
}

/* Whether the component touches the scene's border: then it may go on beyond it. */
static bool at_border(const struct eo_blob *o, uint32_t w, uint32_t h)
{
	return o->x0 == 0 || o->y0 == 0 || o->x1 == w || o->y1 == h;
}

/* Whether a component of anything but water is to be looked at as an object in it. */
static bool is_object(
	const struct eo_blobs *b, size_t blob, const uint8_t *classes, uint32_t w, uint32_t h, double gsd)
{
	const struct eo_blob *o = &b->blobs[blob];
	struct eo_shape s;
	bool compact;

	if (o->area > AREA_MAX || o->x1 - o->x0 > SIDE_MAX || o->y1 - o->y0 > SIDE_MAX)
		return false;
	if (at_border(o, w, h) && o->area > BORDER_AREA_MAX)
		return false;
	if (part_of(b, blob, classes, w, EO_NODATA) > 0)
		return false;
	eo_blob_shape(b, blob, &s);
	compact = s.length < 2 * s.width;
	if (s.width * gsd > WIDTH_MAX_M || o->area * gsd * gsd > (compact ? ISLET_AREA_M2 : AREA_MAX_M2))
		return false;
	return !(compact && o->area >= CLOUD_AREA_MIN && part_of(b, blob, classes, w, EO_CLOUD) > 0.5);
}

int eo_cloud_objects(uint8_t *classes, uint32_t width, uint32_t height, double gsd)
{
	size_t n = (size_t)width * height;
	uint8_t *other = malloc(n);
	struct eo_blobs things;

	if (!other)
		return -1;
	for (size_t i = 0; i < n; i++)
		other[i] = classes[i] != EO_WATER;
	if (eo_blobs_find(other, width, height, 1, 1, &things) < 0) {
		free(other);
		return -1;
	}
	free(other);
	for (size_t i = 0; i < things.n_blobs; i++)
		if (is_object(&things, i, classes, width, height, gsd))
			eo_blob_paint(&things, i, classes, width, EO_WATER);
	eo_blobs_finish(&things);
	return 0;
}
