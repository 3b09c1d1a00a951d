/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PNG through libpng, with limits. Palettes are expanded, transparency and gamma are ignored: samples are
 * taken as they are in the file. libpng jumps out on an error, so what must be freed lives in a struct
 * outside.
 */
#include <errno.h>
#include <png.h>
#include <setjmp.h>
#include <string.h>

#include "image-read.h"

struct reading {
	const uint8_t *file;
	size_t len, at;
	char *reason;
	struct image image;
	png_bytep *rows;
	int err;
};

static void on_error(png_structp png, const char *text)
{
	struct reading *r = png_get_error_ptr(png);

	if (!r->err)
		r->err = image_bad(r->reason, "PNG: %s", text);
	longjmp(png_jmpbuf(png), 1);
}

static void on_warning(png_structp png, const char *text)
{
}

static void on_data(png_structp png, png_bytep to, size_t n)
{
	struct reading *r = png_get_io_ptr(png);

	if (n > r->len - r->at)
		png_error(png, "cut off");
	memcpy(to, r->file + r->at, n);
	r->at += n;
}

static void read_all(png_structp png, png_infop info, struct reading *r)
{
	png_set_user_limits(png, PAM_SIDE_MAX, PAM_SIDE_MAX);
	png_set_chunk_malloc_max(png, 8u << 20);
	png_set_read_fn(png, r, on_data);
	png_read_info(png, info);
	png_set_expand(png);
	png_set_strip_alpha(png);
	(void)png_set_interlace_handling(png);
	png_read_update_info(png, info);

	struct pam form = {
		.width = png_get_image_width(png, info),
		.height = png_get_image_height(png, info),
		.depth = png_get_channels(png, info),
		.maxval = png_get_bit_depth(png, info) == 16 ? 65535 : 255,
	};
	snprintf(form.tupltype, sizeof(form.tupltype), "%s", form.depth == 3 ? "RGB" : "GRAYSCALE");
	if (form.depth != 1 && form.depth != 3)
		png_error(png, "neither grey nor RGB");
	r->err = image_allocate(&form, &r->image, r->reason);
	if (r->err)
		png_error(png, "too large");
	size_t stride = (size_t)form.width * form.depth * pam_sample_bytes(&form);
	if (png_get_rowbytes(png, info) != stride)
		png_error(png, "rows of an unexpected length");
	r->rows = malloc(form.height * sizeof(*r->rows));
	if (!r->rows)
		png_error(png, "out of memory");
	for (uint32_t y = 0; y < form.height; y++)
		r->rows[y] = r->image.data + y * stride;
	png_read_image(png, r->rows);
	png_read_end(png, NULL);
}

int image_read_png(const uint8_t *file, size_t len, struct image *ret_image, char reason[IMAGE_REASON_BYTES])
{
	struct reading r = {.file = file, .len = len, .reason = reason};
	png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &r, on_error, on_warning);
	png_infop info = png ? png_create_info_struct(png) : NULL;

	if (!info) {
		png_destroy_read_struct(&png, NULL, NULL);
		(void)image_bad(reason, "out of memory");
		return -ENOMEM;
	}
	if (!setjmp(png_jmpbuf(png)))
		read_all(png, info, &r);
	png_destroy_read_struct(&png, &info, NULL);
	free(r.rows);
	if (r.err) {
		image_finish(&r.image);
		return r.err;
	}
	*ret_image = r.image;
	return 0;
}
