/* SPDX-License-Identifier: Apache-2.0 */
#include "cloud.h"
#include "eo.h"

static void write_report(const struct eo_image *im, const uint8_t *classes, struct eo_buf *report)
{
	size_t n[EO_CLASS_MAX] = {0}, total = eo_pixels(im);
	double seen;

	for (size_t i = 0; i < total; i++)
		n[classes[i]]++;
	seen = total > n[EO_NODATA] ? (double)(total - n[EO_NODATA]) : 1;
	eo_buf_printf(report,
		"{\"method\": \"%s\", \"width\": %u, \"height\": %u, \"cloud_fraction\": %.4f, "
		"\"water_fraction\": %.4f, "
		"\"shadow_fraction\": %.4f, \"land_fraction\": %.4f, \"nodata_fraction\": %.4f}\n",
		im->kind == EO_MULTI ? "spectral" : "brightness", im->width, im->height,
		(double)n[EO_CLOUD] / seen, (double)n[EO_WATER] / seen, (double)n[EO_SHADOW] / seen,
		(double)n[EO_LAND] / seen, (double)n[EO_NODATA] / (double)total);
}

int eo_stage_cloud(const void *scene, size_t scene_len, const struct eo_params *params, struct eo_buf *mask,
	struct eo_buf *report, char reason[EO_REASON_BYTES])
{
	struct eo_image im;
	uint8_t *classes;
	int r;

	if (eo_image_parse(scene, scene_len, &im, reason) < 0)
		return -1;
	classes = malloc(eo_pixels(&im));
	if (!classes)
		return eo_fail(reason, "out of memory for a scene of %u x %u", im.width, im.height);
	if (im.kind == EO_MULTI) {
		r = eo_cloud_spectral(&im, classes);
		if (r == 0)
			r = eo_cloud_shadow(&im, classes);
	} else {
		r = eo_cloud_visible(&im, classes);
	}
	if (r == 0)
		r = eo_cloud_objects(classes, im.width, im.height, eo_gsd(params, im.kind));
	if (r == 0) {
		eo_buf_printf(mask, "P5\n%u %u\n255\n", im.width, im.height);
		eo_buf_add(mask, classes, eo_pixels(&im));
		write_report(&im, classes, report);
	}
	free(classes);
	if (r < 0 || mask->failed || report->failed)
		return eo_fail(reason, "out of memory for a scene of %u x %u", im.width, im.height);
	return 0;
}
