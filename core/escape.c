/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "core/macro.h"
#include "escape.h"

size_t utf8_len(const unsigned char *p, size_t len)
{
	size_t n;
	unsigned char low = 0x80, high = 0xbf; /* of the second byte */

	if (p[0] < 0x80)
		return 1;
	if (p[0] >= 0xc2 && p[0] <= 0xdf) {
		n = 2;
	} else if ((p[0] & 0xf0) == 0xe0) {
		n = 3;
		if (p[0] == 0xe0)
			low = 0xa0;
		if (p[0] == 0xed)
			high = 0x9f;
	} else if (p[0] >= 0xf0 && p[0] <= 0xf4) {
		n = 4;
		if (p[0] == 0xf0)
			low = 0x90;
		if (p[0] == 0xf4)
			high = 0x8f;
	} else {
		return 0;
	}
	if (len < n || p[1] < low || p[1] > high)
		return 0;
	for (size_t i = 2; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	return n;
}

static int is_control(const unsigned char *p, size_t n)
{
	if (n == 1)
		return p[0] < 0x20 || p[0] == 0x7f;
	return n == 2 && p[0] == 0xc2 && p[1] < 0xa0;
}

size_t text_escape(const char *text, size_t len, char *ret_text, size_t cap)
{
	const unsigned char *p = (const unsigned char *)text;
	size_t out = 0, fits = 0; /* fits: how far the output goes when it must be cut */

	ensure(cap >= 8);
	for (size_t i = 0; i < len;) {
		size_t n = utf8_len(p + i, len - i);
		char piece[9];
		size_t piece_len;

		if (n > 0 && !is_control(p + i, n)) {
			memcpy(piece, p + i, n);
			piece_len = n;
		} else {
			piece_len = 0;
			n = n ? n : 1;
			for (size_t k = 0; k < n; k++)
				piece_len += (size_t)snprintf(
					piece + piece_len, sizeof(piece) - piece_len, "\\x%02x", p[i + k]);
		}
		if (out + piece_len > cap - 1) {
			memcpy(ret_text + fits, "...", 3);
			ret_text[fits + 3] = '\0';
			return fits + 3;
		}
		memcpy(ret_text + out, piece, piece_len);
		out += piece_len;
		i += n;
		if (out <= cap - 4)
			fits = out;
	}
	ret_text[out] = '\0';
	return out;
}
