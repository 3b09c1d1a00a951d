/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <png.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "core/file.h"
#include "image.h"
#include "picture.h"

#define W 40
#define H 30

static char dir[] = "/tmp/perigee-picture-XXXXXX";
static char path[64];

static struct image draw(const struct pam *form, const uint8_t *data, const uint8_t *mask,
	const struct picture_box *boxes, size_t n, const char *title)
{
	struct image image;
	char reason[IMAGE_REASON_BYTES];

	assert_int_equal(picture_write(path, form, data, mask, boxes, n, title), 0);
	assert_int_equal(image_load(path, &image, reason), 0);
	return image;
}

static const uint8_t *at(const struct image *image, int x, int y)
{
	return image->data + 3 * ((size_t)y * image->form.width + (size_t)x);
}

static void test_eight_bits_as_they_are(void **state)
{
	struct pam form = {.width = W, .height = H, .depth = 3, .maxval = 255, .tupltype = "RGB"};
	uint8_t data[W * H * 3];

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 13);
	struct image image = draw(&form, data, NULL, NULL, 0, NULL);
	assert_int_equal(image.form.width, W);
	assert_int_equal(image.form.height, H);
	assert_memory_equal(image.data, data, sizeof(data));
	image_finish(&image);
}

/* Red, green and blue are found by name; a mask tints; boxes lie around their object; a title adds a line
 * above. */
static void test_six_bands(void **state)
{
	struct pam form = {.width = W,
		.height = H,
		.depth = 6,
		.maxval = 65535,
		.tupltype = "BLUE,GREEN,RED,NIR,SWIR16,SWIR22"};
	uint8_t *data = calloc(W * H, 12), mask[W * H];
	struct picture_box boxes[] = {{10, 10, 14, 12, "7", 0x00ff00}, {-50, -50, 400, 400, NULL, 0},
		{W - 2, H - 2, W + 5, H + 5, "edge", 0}, {INT32_MIN, 0, INT32_MAX, 5, NULL, 0},
		{9, 9, 3, 3, "inside out", 0}};

	memset(mask, 1, sizeof(mask));
	for (size_t i = 0; i < W * H; i++) {
		unsigned red = i % W < W / 2 ? 3000 : 400;
		data[12 * i + 4] = (uint8_t)(red >> 8);
		data[12 * i + 5] = (uint8_t)red;
	}
	mask[20 * W + 5] = 4;
	struct image plain = draw(&form, data, NULL, NULL, 0, NULL);
	struct image image = draw(&form, data, mask, boxes, ARRAY_LEN(boxes), "cloud 3 % of it");
	int top = (int)image.form.height - H;
	assert_true(top > 7);
	assert_true(at(&plain, 2, 2)[0] > 200 && at(&plain, 2, 2)[1] < 60); /* the left half is red */
	assert_true(at(&plain, W - 2, 2)[0] < 60);
	assert_true(memcmp(at(&image, 5, 20 + top), at(&image, 6, 20 + top), 3) != 0);
	assert_memory_equal(at(&image, 7, 7 + top), ((uint8_t[]){0, 255, 0}), 3);
	assert_memory_equal(at(&image, 17, 15 + top), ((uint8_t[]){0, 255, 0}), 3);
	assert_memory_equal(at(&image, 12, 11 + top), at(&plain, 12, 11), 3); /* not over the object */
	image_finish(&plain);
	image_finish(&image);
	free(data);
}

static void test_odd_forms(void **state)
{
	struct pam form = {.width = 1, .height = 1, .depth = 1, .maxval = 65535, .tupltype = "GRAYSCALE"};
	uint8_t data[32] = {1, 2};

	struct image image = draw(&form, data, NULL, NULL, 0, "a title longer than the picture \xff\x01");
	image_finish(&image);
	strcpy(form.tupltype, ",,RED,,,,GREEN,BLUE,,,");
	image = draw(&form, data, NULL, NULL, 0, NULL);
	image_finish(&image);
	form.depth = 2;
	image = draw(&form, data, NULL, NULL, 0, "");
	image_finish(&image);
	form.width = 0;
	assert_int_equal(picture_write(path, &form, data, NULL, NULL, 0, NULL), -EINVAL);
	form.width = 1;
	assert_int_equal(picture_write("/nonexistent/x.png", &form, data, NULL, NULL, 0, NULL), -ENOENT);
}

static int setup(void **state)
{
	if (!mkdtemp(dir))
		return -1;
	(void)snprintf(path, sizeof(path), "%s/p.png", dir);
	return 0;
}

static int teardown(void **state)
{
	return dir_remove(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_eight_bits_as_they_are),
		cmocka_unit_test(test_six_bands),
		cmocka_unit_test(test_odd_forms),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
