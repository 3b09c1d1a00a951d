/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Image files as frames: PNG (8 or 16 bit, grey or RGB, alpha dropped), PGM, PPM, PAM, and band-sequential
 * raw files whose name ends in _BxHxW_u16le.bsq (B bands, H lines, W columns, 16 bits little-endian).
 */
#ifndef TWIN_IMAGE_H
#define TWIN_IMAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/err.h"
#include "core/pam.h"

#define IMAGE_FILE_BYTES_MAX (UINT64_C(256) << 20)
#define IMAGE_DATA_BYTES_MAX (UINT64_C(256) << 20)
#define IMAGE_REASON_BYTES 256
#define IMAGE_FILES_MAX 1024

struct image {
	struct pam form; /* samples interleaved by pixel, 16 bits big-endian */
	uint8_t *data;   /* owned: pam_data_bytes(&form) */
};

void image_finish(struct image *image);
/* Reads a file by the form its name and content say. ERR_IMAGE (malformed or of a form not known), ERR_LIMIT,
 * -errno; ret_reason says what is wrong, without the name. Blocks. */
WARN_UNUSED int image_load(const char *path, struct image *ret_image, char ret_reason[IMAGE_REASON_BYTES]);

/* A scene of a folder. */
struct image_file {
	char *path; /* owned */
	char *stem; /* owned: the name without folder and ending, in letters that a frame's id may have */
	struct pam form;
	double gsd_m; /* from STEM.json beside it ("gsd_m"); 0: not said */
};

struct image_files {
	struct image_file *item;
	size_t n;
};

/* Looks through a folder, in order of names. Files that are no scenes are left out and told to `warn` (with
 * the name in the text): masks and other single-band pictures, previews (X_rgb.png beside X_*.bsq), other
 * files; malformed ones too, as errors. -errno when the folder cannot be read; -ENOENT when no scene is in
 * it. */
WARN_UNUSED int image_files_scan(const char *dir, void (*warn)(void *user, bool error, const char *text),
	void *user, struct image_files *ret_files);
void image_files_finish(struct image_files *files);

#endif
