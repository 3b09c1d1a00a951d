/* SPDX-License-Identifier: Apache-2.0 */
#include "image.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "core/file.h"
#include "image-read.h"

int image_bad(char reason[IMAGE_REASON_BYTES], const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(reason, IMAGE_REASON_BYTES, fmt, args);
	va_end(args);
	return ERR_IMAGE;
}

int image_allocate(const struct pam *form, struct image *ret_image, char reason[IMAGE_REASON_BYTES])
{
	if (!form->width || !form->height || form->width > PAM_SIDE_MAX || form->height > PAM_SIDE_MAX)
		return image_bad(reason, "%u x %u pixels: expected sides of 1 to %u", form->width,
			form->height, PAM_SIDE_MAX);
	if (pam_data_bytes(form) > IMAGE_DATA_BYTES_MAX) {
		(void)image_bad(reason, "%u x %u pixels of %u bands are more than %llu MiB", form->width,
			form->height, form->depth, (unsigned long long)(IMAGE_DATA_BYTES_MAX >> 20));
		return ERR_LIMIT;
	}
	uint8_t *data = calloc(1, (size_t)pam_data_bytes(form));
	if (!data) {
		(void)image_bad(reason, "out of memory");
		return -ENOMEM;
	}
	*ret_image = (struct image){.form = *form, .data = data};
	return 0;
}

void image_finish(struct image *image)
{
	free(image->data);
	*image = (struct image){0};
}

static bool ends_in(const char *name, const char *end)
{
	size_t n = strlen(name), e = strlen(end);

	return n >= e && !strcmp(name + n - e, end);
}

/* The number at *at, 1..65535; moves past it. */
static uint32_t side(const char **at)
{
	char *end = NULL;

	if (**at < '0' || **at > '9')
		return 0;
	unsigned long v = strtoul(*at, &end, 10);
	*at = end;
	return v <= PAM_SIDE_MAX ? (uint32_t)v : 0;
}

int image_read_bsq(const char *name, const uint8_t *file, size_t len, struct image *ret_image,
	char reason[IMAGE_REASON_BYTES])
{
	/* "…_BxHxW_u16le.bsq": the last but one part of the name says the form. */
	size_t stem = ends_in(name, "_u16le.bsq") ? strlen(name) - strlen("_u16le.bsq") : 0;
	const char *at = name;

	for (size_t i = 0; i < stem; i++)
		if (name[i] == '_')
			at = name + i + 1;
	struct pam form = {.maxval = 65535};
	form.depth = side(&at);
	if (*at == 'x')
		at++, form.height = side(&at);
	if (*at == 'x')
		at++, form.width = side(&at);
	if (!stem || at != name + stem || !form.depth || !form.height || !form.width)
		return image_bad(
			reason, "a band-sequential file's name must end in _BANDSxLINESxCOLUMNS_u16le.bsq");
	if (form.depth != 6)
		return image_bad(reason, "%u bands: expected 6 (blue, green, red, NIR, SWIR 1.6, SWIR 2.2)",
			form.depth);
	snprintf(form.tupltype, sizeof(form.tupltype), "BLUE,GREEN,RED,NIR,SWIR16,SWIR22");
	if (len != pam_data_bytes(&form))
		return image_bad(reason,
			"the name says %u x %u x %u samples of 2 bytes, that is %llu bytes, but it has %zu",
			form.depth, form.height, form.width, (unsigned long long)pam_data_bytes(&form), len);
	struct image image;
	int err = image_allocate(&form, &image, reason);
	if (err)
		return err;
	size_t n = (size_t)form.width * form.height;
	for (size_t b = 0; b < form.depth; b++) {
		for (size_t i = 0; i < n; i++) {
			const uint8_t *from = file + 2 * (b * n + i);
			uint8_t *to = image.data + 2 * (i * form.depth + b);
			to[0] = from[1];
			to[1] = from[0];
		}
	}
	*ret_image = image;
	return 0;
}

int image_load(const char *path, struct image *ret_image, char ret_reason[IMAGE_REASON_BYTES])
{
	static const uint8_t png_start[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
	CLEAN_FREE char *file = NULL;
	size_t len = 0;

	int err = file_read(path, IMAGE_FILE_BYTES_MAX, &file, &len);
	if (err < 0) {
		(void)image_bad(ret_reason, "%s", err_text(err));
		return err;
	}
	const char *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;
	if (ends_in(name, ".bsq"))
		return image_read_bsq(name, (const uint8_t *)file, len, ret_image, ret_reason);
	if (len >= sizeof(png_start) && !memcmp(file, png_start, sizeof(png_start)))
		return image_read_png((const uint8_t *)file, len, ret_image, ret_reason);
	if (len >= 2 && file[0] == 'P' && file[1] >= '1' && file[1] <= '7')
		return image_read_netpbm((const uint8_t *)file, len, ret_image, ret_reason);
	return image_bad(ret_reason, "neither PNG nor PGM, PPM, PAM");
}
