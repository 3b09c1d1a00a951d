/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clouds, water and snow in six bands of top-of-atmosphere reflectance.
 *
 * [1] Zhu, Woodcock: Object-based cloud and cloud shadow detection in Landsat imagery. Remote Sensing of
 * Environment 118 (2012): the basic test (SWIR 2.2, NDVI), whiteness, the haze test, the water test, a
 * threshold relative to the clear part of the scene, dilation. [2] Zhang, Guindon, Cihlar: An image transform
 * to characterize and compensate for spatial variations in thin cloud contamination of Landsat images. RSE 82
 * (2002): the haze optimised transformation (HOT), blue - 0.5 red. [3] Gomez-Chova et al.: Cloud-screening
 * algorithm for ENVISAT/MERIS multispectral images. IEEE TGRS 45 (2007): whiteness. [4] Xu: Modification of
 * normalised difference water index. Int. J. Remote Sensing 27 (2006): MNDWI. [5] Hall, Riggs, Salomonson:
 * Development of methods for mapping global snow cover. RSE 54 (1995): NDSI.
 *
 * There is no thermal band, so the dynamic threshold of [1] is on blue and HOT, relative to the clear scene:
 * haze and molecules add the same to a whole scene, and thin cloud adds to that.
 */
#include <string.h>

#include "blobs.h"
#include "cloud.h"
#include "planes.h"

/* Reflectance x 10000. */
enum {
	CLEAR_BLUE_MAX =
		1300, /* blue of a clear scene's darker part is no brighter, whatever the percentile says */
	CLEAR_HOT2_MAX = 2000, /* twice HOT, the same */
	BLUE_ABOVE = 500,      /* above the clear scene's: may be cloud */
	BLUE_SEED = 600,       /* … is cloud, if its neighbours are as well */
	HOT2_ABOVE = 240,
	SATURATED_ABOVE = 1200,
	SWIR22_MIN = 120, /* [1] has 300; the shadowed sides of clouds are darker */
	GROW = 2,         /* pixels that weak cloud may lie from sure cloud */
	SPECK = 9,        /* pixels: smaller clouds are roofs */
};

struct clear {
	int32_t blue, hot2; /* of the clear scene */
	int32_t saturated;  /* blue from here on is the sensor's end of scale */
};

static int clear_scene(const struct eo_image *im, struct clear *ret_clear)
{
	/* Blue in steps of 16; twice HOT in steps of 16 from -65536. */
	uint32_t *blue = calloc(4096 + 16384, sizeof(*blue)), *hot2 = blue + 4096;
	uint32_t max = 0;
	uint64_t n = 0, top = 0;

	if (!blue)
		return -1;
	for (size_t i = 0; i < eo_pixels(im); i++) {
		uint32_t b = eo_sample(im, i, EO_BLUE), r = eo_sample(im, i, EO_RED);

		if (!b)
			continue;
		blue[b / 16]++;
		hot2[(2 * b + 65536 - r) / 16]++;
		max = b > max ? b : max;
		n++;
	}
	ret_clear->blue = (int32_t)eo_percentile(blue, 4096, 0.10) * 16;
	ret_clear->hot2 = (int32_t)eo_percentile(hot2, 16384, 0.25) * 16 - 65536;
	for (uint32_t i = max * 98 / 100 / 16; i < 4096; i++)
		top += blue[i];
	free(blue);
	if (ret_clear->blue > CLEAR_BLUE_MAX)
		ret_clear->blue = CLEAR_BLUE_MAX;
	if (ret_clear->hot2 > CLEAR_HOT2_MAX)
		ret_clear->hot2 = CLEAR_HOT2_MAX;
	/* Many pixels at the very top of the scale are the sensor's limit: there blue no longer follows red,
	 * and HOT and whiteness mean nothing [1]. */
	ret_clear->saturated = top * 500 > n ? (int32_t)(max * 98 / 100) : INT32_MAX;
	return 0;
}

/* What one pixel is by itself: a class, with EO_CLOUD for sure and EO_CLASS_MAX for weak cloud. */
static uint8_t pixel_class(const struct eo_image *im, size_t i, const struct clear *clear)
{
	int32_t b = (int32_t)eo_sample(im, i, EO_BLUE), g = (int32_t)eo_sample(im, i, EO_GREEN);
	int32_t r = (int32_t)eo_sample(im, i, EO_RED), nir = (int32_t)eo_sample(im, i, EO_NIR);
	int32_t s16 = (int32_t)eo_sample(im, i, EO_SWIR16), s22 = (int32_t)eo_sample(im, i, EO_SWIR22);
	int32_t sum = b + g + r, mean3, dev3;
	bool bright, white, snow, saturated;

	if (!(b | g | r | nir | s16 | s22))
		return EO_NODATA;
	/* Whiteness [3]: the mean deviation of the visible bands from their mean, relative to it, below 0.7.
	 * All times 3, to stay in integers. */
	mean3 = sum;
	dev3 = abs(3 * b - mean3) + abs(3 * g - mean3) + abs(3 * r - mean3);
	white = 10 * dev3 < 7 * mean3;
	/* Snow [5] with a dark short-wave infrared, which ice clouds do not have to this degree. */
	snow = 10 * (g - s16) > 4 * (g + s16) && g > 1000 && nir > 1100 && s16 < 2000;
	saturated = b >= clear->saturated && b - clear->blue > SATURATED_ABOVE;
	bright = b - clear->blue > BLUE_ABOVE && 2 * b - r - clear->hot2 > HOT2_ABOVE;
	/* NDVI below 0.8, and not dark at 2.2 um [1]. */
	if (((bright && white) || saturated) && !snow && s22 > SWIR22_MIN && 10 * (nir - r) < 8 * (nir + r))
		return b - clear->blue > BLUE_SEED ? EO_CLOUD : EO_CLASS_MAX;
	if (snow)
		return EO_LAND;
	/* Water: the test of [1] (NDVI < 0.01 and NIR < 0.11, or NDVI < 0.1 and NIR < 0.05), or open water by
	 * two indices, each with MNDWI [4] above zero so that shadows on bare ground stay land. */
	if (g > s16 &&
		((100 * (nir - r) < nir + r && nir < 1100) || (10 * (nir - r) < nir + r && nir < 500) ||
			(g > nir && 10 * (g - s16) > 2 * (g + s16))))
		return EO_WATER;
	return EO_LAND;
}

/* Sure cloud is kept where 2 x 2 pixels of it lie together, and weak cloud within GROW pixels of that,
 * through cloud; the rest becomes land. */
static int settle(uint8_t *classes, uint32_t w, uint32_t h)
{
	size_t n = (size_t)w * h;
	uint8_t *sure = calloc(2, n), *cloudy = sure + n;

	if (!sure)
		return -1;
	for (uint32_t y = 0; y + 1 < h; y++)
		for (uint32_t x = 0; x + 1 < w; x++) {
			size_t i = (size_t)y * w + x;

			if (classes[i] == EO_CLOUD && classes[i + 1] == EO_CLOUD &&
				classes[i + w] == EO_CLOUD && classes[i + w + 1] == EO_CLOUD)
				sure[i] = sure[i + 1] = sure[i + w] = sure[i + w + 1] = 1;
		}
	for (size_t i = 0; i < n; i++)
		cloudy[i] = classes[i] >= EO_CLOUD;
	eo_grow(sure, cloudy, w, h, GROW);
	for (size_t i = 0; i < n; i++)
		if (classes[i] >= EO_CLOUD)
			classes[i] = sure[i] ? EO_CLOUD : EO_LAND;
	free(sure);
	return 0;
}

static int drop_specks(uint8_t *classes, uint32_t w, uint32_t h)
{
	struct eo_blobs clouds;

	if (eo_blobs_find(classes, w, h, EO_CLOUD, EO_CLOUD, &clouds) < 0)
		return -1;
	for (size_t i = 0; i < clouds.n_blobs; i++)
		if (clouds.blobs[i].area < SPECK)
			eo_blob_paint(&clouds, i, classes, w, EO_LAND);
	eo_blobs_finish(&clouds);
	return 0;
}

int eo_cloud_spectral(const struct eo_image *im, uint8_t *classes)
{
	struct clear clear;

	if (clear_scene(im, &clear) < 0)
		return -1;
	for (size_t i = 0; i < eo_pixels(im); i++)
		classes[i] = pixel_class(im, i, &clear);
	if (settle(classes, im->width, im->height) < 0)
		return -1;
	return drop_specks(classes, im->width, im->height);
}
