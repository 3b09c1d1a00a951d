/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <errno.h>
#include <sodium.h>
#include <string.h>

#include "core/file.h"
#include "frame.h"

#define CHUNK_BYTES (256u << 10)

bool sample_layout_usable(const struct sample_layout *l)
{
	if (l->bytes == 1)
		return l->bits >= 1 && l->bits + l->shift <= 8;
	/* Up to 8 bits in two bytes would become one byte in PAM: no known camera does that. */
	return l->bytes == 2 && l->bits > 8 && l->bits + l->shift <= 16;
}

static bool as_delivered(const struct sample_layout *l)
{
	return l->shift == 0 && l->bits == 8 * l->bytes && (l->bytes == 1 || !l->little_endian);
}

static void convert(const struct sample_layout *l, const uint8_t *in, uint8_t *out, size_t len)
{
	unsigned int mask = (1u << l->bits) - 1;

	if (l->bytes == 1) {
		for (size_t i = 0; i < len; i++)
			out[i] = (uint8_t)((unsigned int)(in[i] >> l->shift) & mask);
		return;
	}
	size_t high = l->little_endian ? 1 : 0;

	for (size_t i = 0; i + 1 < len; i += 2) {
		unsigned int v = (unsigned int)in[i + high] << 8 | in[i + 1 - high];

		v = (v >> l->shift) & mask;
		out[i] = (uint8_t)(v >> 8);
		out[i + 1] = (uint8_t)v;
	}
}

static int put(int fd, crypto_generichash_state *hash, const void *data, size_t len)
{
	crypto_generichash_update(hash, data, len);
	return write_all(fd, data, len);
}

int frame_write(int fd, struct pam *pam, const struct sample_layout *layout, const void *samples,
	struct digest *ret_digest, uint64_t *ret_bytes)
{
	char header[PAM_HEADER_BYTES_MAX];
	CLEAN_FREE uint8_t *converted = NULL;
	crypto_generichash_state hash;
	bool plain = as_delivered(layout);

	pam->maxval = (1u << layout->bits) - 1;
	int header_len = pam_format(pam, header, sizeof(header));
	if (header_len < 0)
		return ERR_IMAGE;
	if (sodium_init() < 0)
		return -EIO;
	if (!plain) {
		converted = malloc(CHUNK_BYTES);
		if (!converted)
			return -ENOMEM;
	}
	if (lseek(fd, 0, SEEK_SET) < 0 || ftruncate(fd, 0) < 0)
		return -errno;

	crypto_generichash_init(&hash, NULL, 0, DIGEST_BYTES);
	int r = put(fd, &hash, header, (size_t)header_len);
	uint64_t total = pam_data_bytes(pam);

	for (uint64_t at = 0; r >= 0 && at < total; at += CHUNK_BYTES) {
		size_t len = total - at < CHUNK_BYTES ? (size_t)(total - at) : CHUNK_BYTES;
		const uint8_t *in = (const uint8_t *)samples + at;

		if (!plain)
			convert(layout, in, converted, len);
		r = put(fd, &hash, plain ? in : converted, len);
	}
	if (r < 0)
		return r;
	if (fsync(fd) < 0)
		return -errno;
	crypto_generichash_final(&hash, ret_digest->bytes, DIGEST_BYTES);
	*ret_bytes = total + (uint64_t)header_len;
	return 0;
}

void frame_tupltype(const char *const *bands, size_t n_bands, char *ret_text, size_t cap)
{
	static const char *const rgb[] = {"red", "green", "blue"};
	size_t len = 0;

	if (n_bands == 1) {
		snprintf(ret_text, cap, "GRAYSCALE");
		return;
	}
	if (n_bands == 3 && strcasecmp(bands[0], rgb[0]) == 0 && strcasecmp(bands[1], rgb[1]) == 0 &&
		strcasecmp(bands[2], rgb[2]) == 0) {
		snprintf(ret_text, cap, "RGB");
		return;
	}
	for (size_t b = 0; b < n_bands; b++) {
		if (b > 0 && len + 1 < cap)
			ret_text[len++] = ',';
		for (const char *c = bands[b]; *c && len + 1 < cap; c++)
			ret_text[len++] = isalnum((unsigned char)*c) ? (char)toupper((unsigned char)*c) : '_';
	}
	ret_text[len] = 0;
}
