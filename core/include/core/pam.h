/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Netpbm headers (PAM "P7", PPM "P6", PGM "P5"), the form in which a frame is an artifact: self-describing,
 * samples interleaved by pixel as IIO delivers them, 16-bit samples most significant byte first.
 * TUPLTYPE of a multispectral frame lists its bands: "BLUE,GREEN,RED,NIR,SWIR16,SWIR22"; otherwise "RGB" or
 * "GRAYSCALE". Depends on the C library alone: stages compile it too.
 */
#ifndef CORE_PAM_H
#define CORE_PAM_H

#include <stddef.h>
#include <stdint.h>

#define PAM_HEADER_BYTES_MAX 1024
#define PAM_SIDE_MAX 65535u /* pixels */
#define PAM_DEPTH_MAX 32u   /* samples a pixel */

struct pam {
	uint32_t width, height; /* pixels */
	uint32_t depth;         /* samples a pixel */
	uint32_t maxval;        /* 1..65535; above 255 a sample has two bytes */
	char tupltype[128];
};

/* Reads a header at the start of data. The number of header bytes, or -1 when it is not one. */
int pam_parse(const void *data, size_t len, struct pam *ret_pam);
/* Writes a P7 header. The number of bytes, or -1 when cap is too small or the values are not valid. */
int pam_format(const struct pam *pam, char *ret_text, size_t cap);
static inline size_t pam_sample_bytes(const struct pam *p)
{
	return p->maxval > 255 ? 2 : 1;
}
static inline uint64_t pam_data_bytes(const struct pam *p)
{
	return (uint64_t)p->width * p->height * p->depth * pam_sample_bytes(p);
}

#endif
