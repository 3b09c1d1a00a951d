/* SPDX-License-Identifier: Apache-2.0 */
#include "planes.h"

#include <string.h>

/* One line with a stride: a pixel is set when a set one is within radius (or, eroding, no unset one is).
 * `line` holds a copy. Eroding is dilating the complement, whose outside is empty too. */
static void spread(uint8_t *at, size_t stride, uint32_t n, uint32_t radius, bool erode, uint8_t *line)
{
	uint32_t until = 0; /* set up to here, exclusive */

	for (uint32_t i = 0; i < n; i++)
		line[i] = (uint8_t)((at[i * stride] != 0) != erode);
	for (uint32_t i = 0, ahead = 0; i < n; i++) {
		uint32_t end = n - i > radius ? i + radius + 1 : n;

		for (; ahead < end; ahead++)
			if (line[ahead])
				until = ahead + radius + 1;
		at[i * stride] = (uint8_t)((i < until) != erode);
	}
}

static int square(uint8_t *plane, uint32_t width, uint32_t height, uint32_t radius, bool erode)
{
	uint8_t *line = malloc(width > height ? width : height);

	if (!line)
		return -1;
	for (uint32_t y = 0; y < height; y++)
		spread(plane + (size_t)y * width, 1, width, radius, erode, line);
	for (uint32_t x = 0; x < width; x++)
		spread(plane + x, width, height, radius, erode, line);
	free(line);
	return 0;
}

int eo_dilate(uint8_t *plane, uint32_t width, uint32_t height, uint32_t radius)
{
	return square(plane, width, height, radius, false);
}

int eo_erode(uint8_t *plane, uint32_t width, uint32_t height, uint32_t radius)
{
	return square(plane, width, height, radius, true);
}

int eo_open(uint8_t *plane, uint32_t width, uint32_t height, uint32_t radius)
{
	if (eo_erode(plane, width, height, radius) < 0)
		return -1;
	return eo_dilate(plane, width, height, radius);
}

/* Whether one of the neighbours belonged to the set before this step (bit 0). */
static bool beside(const uint8_t *seed, uint32_t w, uint32_t h, uint32_t x, uint32_t y)
{
	uint32_t x0 = x ? x - 1 : 0, x1 = x + 1 < w ? x + 1 : x;
	uint32_t y0 = y ? y - 1 : 0, y1 = y + 1 < h ? y + 1 : y;

	for (uint32_t v = y0; v <= y1; v++)
		for (uint32_t u = x0; u <= x1; u++)
			if (seed[(size_t)v * w + u] & 1)
				return true;
	return false;
}

void eo_grow(uint8_t *seed, const uint8_t *through, uint32_t width, uint32_t height, uint32_t steps)
{
	size_t n = (size_t)width * height, added = 1;

	for (; steps && added; steps--) {
		added = 0;
		/* What a step adds is marked 2 until its end, so that it does not run on along the row. */
		for (uint32_t y = 0; y < height; y++)
			for (uint32_t x = 0; x < width; x++) {
				size_t i = (size_t)y * width + x;

				if (!seed[i] && through[i] && beside(seed, width, height, x, y)) {
					seed[i] = 2;
					added++;
				}
			}
		for (size_t i = 0; i < n; i++)
			seed[i] = seed[i] != 0;
	}
}

uint32_t eo_percentile(const uint32_t *histogram, uint32_t bins, double part)
{
	uint64_t total = 0, sum = 0;

	for (uint32_t i = 0; i < bins; i++)
		total += histogram[i];
	for (uint32_t i = 0; i < bins; i++) {
		sum += histogram[i];
		if (sum && (double)sum >= part * (double)total)
			return i;
	}
	return 0;
}
