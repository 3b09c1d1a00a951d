/* SPDX-License-Identifier: Apache-2.0 */
/* A folder of scenes and of what is none. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "core/file.h"
#include "image.h"
#include "picture.h"

struct heard {
	char text[16][512];
	bool error[16];
	size_t n;
};

static void hear(void *user, bool error, const char *text)
{
	struct heard *h = user;

	assert_true(h->n < 16);
	h->error[h->n] = error;
	(void)snprintf(h->text[h->n++], sizeof(h->text[0]), "%s", text);
}

static bool heard(const struct heard *h, const char *name, const char *what, bool error)
{
	for (size_t i = 0; i < h->n; i++)
		if (strstr(h->text[i], name) && strstr(h->text[i], what) && h->error[i] == error)
			return true;
	return false;
}

static void put(const char *dir, const char *name, const void *data, size_t len)
{
	char path[300];

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	assert_int_equal(file_replace(path, data, len, 0644), 0);
}

static void test_folder(void **state)
{
	char dir[] = "/tmp/perigee-files-XXXXXX", path[300];
	static const uint8_t samples[2 * 2 * 12];
	struct pam rgb = {.width = 2, .height = 2, .depth = 3, .maxval = 255, .tupltype = "RGB"};
	struct heard h = {.n = 0};
	struct image_files files;

	assert_non_null(mkdtemp(dir));
	put(dir, "bay_6x2x2_u16le.bsq", samples, sizeof(samples));
	put(dir, "bay_6x2x2_u16le.json", "{\"gsd_m\": 20}", 13);
	(void)snprintf(path, sizeof(path), "%s/bay_rgb.png", dir);
	assert_int_equal(picture_write(path, &rgb, samples, NULL, NULL, 0, NULL), 0);
	(void)snprintf(path, sizeof(path), "%s/port_rgb.png", dir); /* of no other scene: one by itself */
	assert_int_equal(picture_write(path, &rgb, samples, NULL, NULL, 0, NULL), 0);
	put(dir, "bay_mask.pgm", "P5\n2 2\n255\nabcd", 15);
	put(dir, "broken.png", "\x89PNG\r\n\x1a\n....", 12);
	put(dir, "short_6x2x2_u16le.bsq", samples, 5);
	put(dir, "a b;c.ppm", "P6\n1 1\n255\nabc", 14);
	put(dir, "a b;c.json", "{\"gsd_m\": -3}", 13);
	put(dir, "two.pam", "P7\nWIDTH 1\nHEIGHT 1\nDEPTH 2\nMAXVAL 255\nENDHDR\nab", 49);
	put(dir, "notes.txt", "hello", 5);
	put(dir, ".hidden.png", "x", 1);

	assert_int_equal(image_files_scan(dir, hear, &h, &files), 0);
	assert_int_equal(files.n, 3);
	assert_string_equal(files.item[0].stem, "a-b-c");
	assert_true(files.item[0].gsd_m == 0);
	assert_string_equal(files.item[1].stem, "bay_6x2x2_u16le");
	assert_true(files.item[1].gsd_m == 20);
	assert_int_equal(files.item[1].form.depth, 6);
	assert_string_equal(files.item[2].stem, "port_rgb");
	assert_true(heard(&h, "bay_rgb.png", "same scene as bay_6x2x2_u16le.bsq", false));
	assert_true(heard(&h, "bay_mask.pgm", "single band", false));
	assert_true(heard(&h, "notes.txt", "not an image", false));
	assert_true(heard(&h, "broken.png", "PNG: ", true));
	assert_true(heard(&h, "short_6x2x2_u16le.bsq", "48 bytes", true));
	assert_true(heard(&h, "two.pam", "2 bands", true));
	assert_true(heard(&h, "a b;c.json", "gsd_m", true));
	assert_int_equal(h.n, 7);
	image_files_finish(&files);
	assert_int_equal(dir_remove(dir), 0);
}

static void test_no_scene(void **state)
{
	char dir[] = "/tmp/perigee-files-XXXXXX";
	struct image_files files;

	assert_non_null(mkdtemp(dir));
	assert_int_equal(image_files_scan(dir, NULL, NULL, &files), -ENOENT);
	put(dir, "notes.txt", "hello", 5);
	assert_int_equal(image_files_scan(dir, NULL, NULL, &files), -ENOENT);
	assert_int_equal(dir_remove(dir), 0);
	assert_int_equal(image_files_scan(dir, NULL, NULL, &files), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_folder),
		cmocka_unit_test(test_no_scene),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
