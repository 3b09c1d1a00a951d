/* SPDX-License-Identifier: Apache-2.0 */
/* Image files: each form gives its samples; damaged ones give a reason and nothing else. */
#include <errno.h>
#include <png.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "core/file.h"
#include "image-read.h"

static char dir[] = "/tmp/perigee-image-XXXXXX";

static const char *path_of(const char *name)
{
	static char path[300];

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static int load(
	const char *name, const void *data, size_t len, struct image *ret, char reason[IMAGE_REASON_BYTES])
{
	reason[0] = 0;
	assert_int_equal(file_replace(path_of(name), data, len, 0644), 0);
	return image_load(path_of(name), ret, reason);
}

/* A PNG in memory with libpng's simple interface. */
static size_t make_png(uint32_t format, uint32_t w, uint32_t h, const void *pixels, uint8_t *out, size_t cap)
{
	png_image head = {.version = PNG_IMAGE_VERSION, .width = w, .height = h, .format = format};
	png_alloc_size_t len = cap;

	assert_true(png_image_write_to_memory(&head, out, &len, 0, pixels, 0, NULL));
	return len;
}

static void test_png(void **state)
{
	uint8_t file[4096], rgb[4 * 3 * 3], rgba[4 * 3 * 4], grey[4 * 3];
	char reason[IMAGE_REASON_BYTES];
	struct image image;

	for (size_t i = 0; i < sizeof(rgb); i++)
		rgb[i] = (uint8_t)(i * 7);
	size_t len = make_png(PNG_FORMAT_RGB, 4, 3, rgb, file, sizeof(file));
	assert_int_equal(load("a.png", file, len, &image, reason), 0);
	assert_int_equal(image.form.width, 4);
	assert_int_equal(image.form.height, 3);
	assert_int_equal(image.form.depth, 3);
	assert_int_equal(image.form.maxval, 255);
	assert_string_equal(image.form.tupltype, "RGB");
	assert_memory_equal(image.data, rgb, sizeof(rgb));
	image_finish(&image);

	for (size_t i = 0; i < 12; i++) {
		memcpy(rgba + 4 * i, rgb + 3 * i, 3);
		rgba[4 * i + 3] = (uint8_t)(i * 20); /* transparency does not change what was measured */
		grey[i] = (uint8_t)(i * 21);
	}
	len = make_png(PNG_FORMAT_RGBA, 4, 3, rgba, file, sizeof(file));
	assert_int_equal(load("a.png", file, len, &image, reason), 0);
	assert_int_equal(image.form.depth, 3);
	assert_memory_equal(image.data, rgb, sizeof(rgb));
	image_finish(&image);

	len = make_png(PNG_FORMAT_GRAY, 4, 3, grey, file, sizeof(file));
	assert_int_equal(load("a.png", file, len, &image, reason), 0);
	assert_int_equal(image.form.depth, 1);
	assert_memory_equal(image.data, grey, sizeof(grey));
	image_finish(&image);
}

static void test_damaged_png(void **state)
{
	uint8_t file[4096], bad[4096], rgb[16 * 16 * 3];
	char reason[IMAGE_REASON_BYTES];
	struct image image;
	size_t taken = 0;

	for (size_t i = 0; i < sizeof(rgb); i++)
		rgb[i] = (uint8_t)(i * i >> 3);
	size_t len = make_png(PNG_FORMAT_RGB, 16, 16, rgb, file, sizeof(file));
	for (size_t cut = 0; cut < len; cut++) {
		reason[0] = 0;
		int err = cut < 8 ? ERR_IMAGE : image_read_png(file, cut, &image, reason);
		assert_int_equal(err, ERR_IMAGE);
		if (cut >= 8)
			assert_true(reason[0]);
	}
	for (size_t bit = 0; bit < len * 8; bit++) {
		memcpy(bad, file, len);
		bad[bit / 8] ^= (uint8_t)(1u << bit % 8);
		int err = image_read_png(bad, len, &image, reason);
		if (err == 0) { /* only what no checksum of a needed chunk covers */
			taken++;
			image_finish(&image);
		}
	}
	assert_true(taken < len); /* an eighth of the bits */
}

static void test_huge_png(void **state)
{
	/* A header of 65535 x 65535: refused before anything is allocated. */
	static const uint8_t file[] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n', 0, 0, 0, 13, 'I', 'H',
		'D', 'R', 0, 0, 0xff, 0xff, 0, 0, 0xff, 0xff, 8, 2, 0, 0, 0, 0x3c, 0x11, 0x5e, 0x3d, 0, 0, 0,
		0, 'I', 'D', 'A', 'T'};
	char reason[IMAGE_REASON_BYTES];
	struct image image;

	assert_true(image_read_png(file, sizeof(file), &image, reason) < 0);
}

static void test_netpbm(void **state)
{
	char reason[IMAGE_REASON_BYTES];
	struct image image;

	assert_int_equal(load("a.ppm", "P6\n2 1\n255\nabcdef", 17, &image, reason), 0);
	assert_int_equal(image.form.depth, 3);
	assert_memory_equal(image.data, "abcdef", 6);
	image_finish(&image);
	static const char pam[] =
		"P7\nWIDTH 1\nHEIGHT 2\nDEPTH 6\nMAXVAL 65535\nTUPLTYPE BLUE,GREEN,RED,NIR,SWIR16,SWIR22\n"
		"ENDHDR\nAaBbCcDdEeFfGgHhIiJjKkLl";
	assert_int_equal(load("a.pam", pam, sizeof(pam) - 1, &image, reason), 0);
	assert_int_equal(image.form.depth, 6);
	assert_int_equal(image.form.height, 2);
	assert_memory_equal(image.data, "AaBbCcDdEeFfGgHhIiJjKkLl", 24);
	image_finish(&image);
	assert_int_equal(load("a.pam", pam, sizeof(pam) - 2, &image, reason), ERR_IMAGE);
	assert_non_null(strstr(reason, "cut off"));
	for (size_t cut = 0; cut < sizeof(pam) - 1; cut++)
		assert_int_equal(image_read_netpbm((const uint8_t *)pam, cut, &image, reason), ERR_IMAGE);
	assert_int_equal(load("a.ppm", "P3\n1 1\n255\n1 2 3", 16, &image, reason), ERR_IMAGE);
	assert_int_equal(load("a.pgm", "P5\n1 1\n9\n\x0a", 10, &image, reason), ERR_IMAGE);
	assert_non_null(strstr(reason, "above"));
	assert_int_equal(load("a.ppm", "P6\n60000 60000\n255\n", 19, &image, reason), ERR_IMAGE);
	assert_int_equal(load("a.png", "hello", 5, &image, reason), ERR_IMAGE);
}

static void test_bsq(void **state)
{
	uint8_t file[6 * 2 * 3 * 2];
	char reason[IMAGE_REASON_BYTES];
	struct image image;

	for (size_t i = 0; i < sizeof(file) / 2; i++) {
		file[2 * i] = (uint8_t)i;
		file[2 * i + 1] = (uint8_t)(i / 6); /* the band */
	}
	assert_int_equal(load("x_y_6x2x3_u16le.bsq", file, sizeof(file), &image, reason), 0);
	assert_int_equal(image.form.width, 3);
	assert_int_equal(image.form.height, 2);
	assert_string_equal(image.form.tupltype, "BLUE,GREEN,RED,NIR,SWIR16,SWIR22");
	for (size_t p = 0; p < 6; p++) {
		for (size_t b = 0; b < 6; b++) {
			assert_int_equal(image.data[12 * p + 2 * b], b);
			assert_int_equal(image.data[12 * p + 2 * b + 1], b * 6 + p);
		}
	}
	image_finish(&image);
	assert_int_equal(load("x_6x2x3_u16le.bsq", file, sizeof(file) - 1, &image, reason), ERR_IMAGE);
	assert_non_null(strstr(reason, "72 bytes"));
	static const char *const names[] = {"x.bsq", "x_u16le.bsq", "x_6x2_u16le.bsq", "x_0x2x3_u16le.bsq",
		"x_6x2x3_u8.bsq", "x_6x2x3x1_u16le.bsq", "x_6x99999999999999999999x3_u16le.bsq",
		"x_-6x2x3_u16le.bsq", "x_7x2x3_u16le.bsq", "x_6x65536x3_u16le.bsq"};
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (load(names[i], file, sizeof(file), &image, reason) != ERR_IMAGE || !reason[0])
			fail_msg("taken: %s", names[i]);
	assert_int_equal(image_load(path_of("absent.png"), &image, reason), -ENOENT);
}

static int setup(void **state)
{
	return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
	return dir_remove(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_png),
		cmocka_unit_test(test_damaged_png),
		cmocka_unit_test(test_huge_png),
		cmocka_unit_test(test_netpbm),
		cmocka_unit_test(test_bsq),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
