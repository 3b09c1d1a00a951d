/* SPDX-License-Identifier: Apache-2.0 */
/* Random bytes: ChaCha20 (RFC 8439, 2.3) as a generator whose key is replaced after each use, so that what it
 * gave cannot be found again. */
#include "guest.h"

static uint32_t key[8];

static uint32_t rotate(uint32_t v, int n)
{
	return v << n | v >> (32 - n);
}

static void quarter(uint32_t *s, int a, int b, int c, int d)
{
	s[a] += s[b], s[d] = rotate(s[d] ^ s[a], 16);
	s[c] += s[d], s[b] = rotate(s[b] ^ s[c], 12);
	s[a] += s[b], s[d] = rotate(s[d] ^ s[a], 8);
	s[c] += s[d], s[b] = rotate(s[b] ^ s[c], 7);
}

static void block(uint32_t counter, uint32_t out[16])
{
	uint32_t start[16] = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574, [12] = counter};

	memcpy(&start[4], key, sizeof(key));
	memcpy(out, start, sizeof(start));
	for (int i = 0; i < 10; i++) {
		quarter(out, 0, 4, 8, 12);
		quarter(out, 1, 5, 9, 13);
		quarter(out, 2, 6, 10, 14);
		quarter(out, 3, 7, 11, 15);
		quarter(out, 0, 5, 10, 15);
		quarter(out, 1, 6, 11, 12);
		quarter(out, 2, 7, 8, 13);
		quarter(out, 3, 4, 9, 14);
	}
	for (int i = 0; i < 16; i++)
		out[i] += start[i];
}

void random_seed(const uint8_t seed[32])
{
	memcpy(key, seed, sizeof(key));
}

void random_fill(void *to, size_t n)
{
	uint32_t out[16], counter = 1;

	for (size_t at = 0; at < n; counter++) {
		size_t len = MIN(n - at, sizeof(out));
		block(counter, out);
		memcpy((uint8_t *)to + at, out, len);
		at += len;
	}
	block(0, out);
	memcpy(key, out, sizeof(key));
	memset(out, 0, sizeof(out));
	barrier();
}

uint64_t random_below(uint64_t n)
{
	uint64_t v;

	random_fill(&v, sizeof(v));
	return v % n;
}
