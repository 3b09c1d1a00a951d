/* SPDX-License-Identifier: Apache-2.0 */
/* Checksums: of PDUs (CRC-16) and of files (modular, CRC-32C, CRC-32). */
#include <errno.h>
#include <sodium.h>
#include <string.h>

#include "cfdp_pdu.h"

uint16_t crc16(const void *data, size_t len)
{
	const uint8_t *p = data;
	uint16_t crc = 0xffff;
	for (size_t i = 0; i < len; i++) {
		crc = (uint16_t)(crc ^ p[i] << 8);
		for (int k = 0; k < 8; k++)
			crc = (uint16_t)(crc & 0x8000 ? crc << 1 ^ 0x1021 : crc << 1);
	}
	return crc;
}

/* A nibble at a time: sixteen entries, made from the reflected polynomial, are small enough to make anew for
 * each call, so that there is no table to start up and none to share between threads. */
static uint32_t crc32_add(uint32_t crc, uint32_t polynomial, const uint8_t *p, size_t len)
{
	uint32_t table[16];
	for (uint32_t i = 0; i < 16; i++) {
		uint32_t v = i;
		for (int k = 0; k < 4; k++)
			v = v & 1 ? v >> 1 ^ polynomial : v >> 1;
		table[i] = v;
	}
	for (size_t i = 0; i < len; i++) {
		crc ^= p[i];
		crc = crc >> 4 ^ table[crc & 15];
		crc = crc >> 4 ^ table[crc & 15];
	}
	return crc;
}

bool cfdp_sum_known(enum cfdp_checksum type)
{
	return type == CFDP_MODULAR || type == CFDP_CRC32C || type == CFDP_CRC32 || type == CFDP_NULL;
}

void cfdp_sum_begin(struct cfdp_sum *s, enum cfdp_checksum type)
{
	*s = (struct cfdp_sum){
		.type = type, .value = type == CFDP_CRC32C || type == CFDP_CRC32 ? UINT32_MAX : 0};
}

void cfdp_sum_add(struct cfdp_sum *s, const void *data, size_t len)
{
	const uint8_t *p = data;
	switch (s->type) {
	case CFDP_MODULAR: /* 4.2.2.4: the sum of the file's 4-byte words, big-endian, zeros after its end */
		for (size_t i = 0; i < len; i++)
			s->value += (uint32_t)p[i] << (24 - 8 * ((s->at + i) & 3));
		break;
	case CFDP_CRC32C:
		s->value = crc32_add(s->value, 0x82f63b78, p, len);
		break;
	case CFDP_CRC32:
		s->value = crc32_add(s->value, 0xedb88320, p, len);
		break;
	default:
		break;
	}
	s->at += len;
}

uint32_t cfdp_sum_end(const struct cfdp_sum *s)
{
	return s->type == CFDP_CRC32C || s->type == CFDP_CRC32 ? ~s->value : s->value;
}

int cfdp_sum_fd(
	int fd, enum cfdp_checksum type, uint32_t *ret_sum, struct digest *ret_digest, uint64_t *ret_bytes)
{
	crypto_generichash_state hash;
	struct cfdp_sum sum;
	uint8_t buf[16384];
	uint64_t at = 0;

	cfdp_sum_begin(&sum, type);
	crypto_generichash_init(&hash, NULL, 0, DIGEST_BYTES);
	for (;;) {
		ssize_t n = pread(fd, buf, sizeof(buf), (off_t)at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		cfdp_sum_add(&sum, buf, (size_t)n);
		crypto_generichash_update(&hash, buf, (size_t)n);
		at += (uint64_t)n;
	}
	*ret_sum = cfdp_sum_end(&sum);
	if (ret_digest)
		crypto_generichash_final(&hash, ret_digest->bytes, DIGEST_BYTES);
	if (ret_bytes)
		*ret_bytes = at;
	return 0;
}

bool cfdp_name_ok(const char *name)
{
	size_t n = strlen(name);
	if (n < 1 || n > 127)
		return false;
	for (size_t i = 0; i < n; i++) {
		char c = name[i];
		bool alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
		if (!alnum && (i == 0 || (c != '.' && c != '_' && c != '-')))
			return false;
	}
	return true;
}
