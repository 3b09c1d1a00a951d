/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "frame.h"

/* Writes a frame and returns its samples as they are in the file. */
static void write_and_read(const struct sample_layout *layout, uint32_t width, const void *samples,
	uint8_t *ret, size_t len, uint32_t maxval)
{
	struct pam pam = {.width = width, .height = 2, .depth = 1, .maxval = maxval, .tupltype = "GRAYSCALE"};
	uint8_t header[PAM_HEADER_BYTES_MAX];
	struct digest digest, again;
	uint64_t bytes, bytes_again;
	struct pam got;
	CLEAN_FD int fd = memfd_create("frame", 0);

	assert_true(fd >= 0);
	/* What is in the file already does not matter. */
	assert_int_equal(write(fd, "old", 3), 3);
	assert_int_equal(frame_write(fd, &pam, layout, samples, &digest, &bytes), 0);
	assert_int_equal(digest_fd(fd, &again, &bytes_again), 0);
	assert_memory_equal(digest.bytes, again.bytes, DIGEST_BYTES);
	assert_int_equal(bytes, bytes_again);

	ssize_t n = pread(fd, header, sizeof(header), 0);
	int at = pam_parse(header, (size_t)n, &got);
	assert_true(at > 0);
	assert_int_equal(got.width, width);
	assert_int_equal(got.height, 2);
	assert_int_equal(got.maxval, maxval);
	assert_int_equal(bytes, (uint64_t)at + len);
	assert_int_equal(pread(fd, ret, len, at), (ssize_t)len);
}

static void layouts(void **state)
{
	static const uint8_t in[8] = {0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde, 0xf0};
	static const struct {
		struct sample_layout layout;
		uint32_t maxval;
		uint8_t out[8];
	} rows[] = {
		{{2, 16, 0, false}, 65535, {0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde, 0xf0}},
		{{2, 16, 0, true}, 65535, {0x34, 0x12, 0x78, 0x56, 0xbc, 0x9a, 0xf0, 0xde}},
		{{2, 12, 4, false}, 4095, {0x01, 0x23, 0x05, 0x67, 0x09, 0xab, 0x0d, 0xef}},
		{{2, 12, 0, false}, 4095, {0x02, 0x34, 0x06, 0x78, 0x0a, 0xbc, 0x0e, 0xf0}},
		{{2, 10, 2, true}, 1023, {0x01, 0x04, 0x02, 0x15, 0x03, 0x26, 0x00, 0x37}},
		{{1, 8, 0, false}, 255, {0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde, 0xf0}},
		{{1, 4, 4, false}, 15, {1, 3, 5, 7, 9, 11, 13, 15}},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint8_t out[8];

		assert_true(sample_layout_usable(&rows[i].layout));
		write_and_read(
			&rows[i].layout, 4 / rows[i].layout.bytes, in, out, sizeof(out), rows[i].maxval);
		assert_memory_equal(out, rows[i].out, sizeof(out));
	}
}

/* More than a chunk, and not a whole number of them. */
static void large(void **state)
{
	const uint32_t width = 300001;
	size_t len = (size_t)width * 2 * 2;
	CLEAN_FREE uint8_t *in = malloc(len), *out = malloc(len);

	assert_non_null(in);
	assert_non_null(out);
	for (size_t i = 0; i < len; i++)
		in[i] = (uint8_t)(i * 31 + i / 256);
	struct pam pam = {.width = 60000, .height = 10, .depth = 1, .tupltype = "GRAYSCALE"};
	struct sample_layout little = {2, 16, 0, true};
	struct digest digest;
	uint64_t bytes;
	CLEAN_FD int fd = memfd_create("frame", 0);
	assert_int_equal(frame_write(fd, &pam, &little, in, &digest, &bytes), 0);
	uint64_t data = pam_data_bytes(&pam);
	assert_int_equal(pread(fd, out, data, (off_t)(bytes - data)), (ssize_t)data);
	for (size_t i = 0; i < data; i += 2) {
		if (out[i] != in[i + 1] || out[i + 1] != in[i])
			fail_msg("sample at byte %zu", i);
	}
}

static void unusable(void **state)
{
	static const struct sample_layout rows[] = {{0, 0, 0, false}, {1, 0, 0, false}, {1, 9, 0, false},
		{1, 8, 1, false}, {2, 8, 0, false}, {2, 17, 0, false}, {2, 12, 5, false}, {4, 32, 0, false},
		{3, 24, 0, false}};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_false(sample_layout_usable(&rows[i]));
}

static void write_fails(void **state)
{
	struct pam pam = {.width = 2, .height = 2, .depth = 1, .tupltype = "GRAYSCALE"};
	struct sample_layout layout = {1, 8, 0, false};
	struct digest digest;
	uint64_t bytes;
	CLEAN_FD int fd = open("/proc/self/exe", O_RDONLY);

	assert_true(frame_write(fd, &pam, &layout, "abcd", &digest, &bytes) < 0);
	pam.width = 0;
	CLEAN_FD int good = memfd_create("frame", 0);
	assert_int_equal(frame_write(good, &pam, &layout, "abcd", &digest, &bytes), ERR_IMAGE);
}

static void tupltypes(void **state)
{
	const char *rgb[] = {"red", "Green", "blue"}, *bgr[] = {"blue", "green", "red"};
	const char *six[] = {"blue", "green", "red", "nir", "swir16", "swir22"}, *odd[] = {"a b", "c,d"};
	char text[128], small[8];

	frame_tupltype(rgb, 1, text, sizeof(text));
	assert_string_equal(text, "GRAYSCALE");
	frame_tupltype(rgb, 3, text, sizeof(text));
	assert_string_equal(text, "RGB");
	frame_tupltype(bgr, 3, text, sizeof(text));
	assert_string_equal(text, "BLUE,GREEN,RED");
	frame_tupltype(six, 6, text, sizeof(text));
	assert_string_equal(text, "BLUE,GREEN,RED,NIR,SWIR16,SWIR22");
	frame_tupltype(odd, 2, text, sizeof(text));
	assert_string_equal(text, "A_B,C_D");
	frame_tupltype(six, 6, small, sizeof(small));
	assert_string_equal(small, "BLUE,GR");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(layouts),
		cmocka_unit_test(large),
		cmocka_unit_test(unusable),
		cmocka_unit_test(write_fails),
		cmocka_unit_test(tupltypes),
	};

	return cmocka_run_group_tests_name("devices-frame", tests, NULL, NULL);
}
