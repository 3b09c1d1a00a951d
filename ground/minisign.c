/* SPDX-License-Identifier: Apache-2.0 */
#include "minisign.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sodium.h>
#include <string.h>
#include <sys/stat.h>

#include "core/file.h"

#define UNTRUSTED "untrusted comment: "
#define TRUSTED "trusted comment: "
#define B64 sodium_base64_VARIANT_ORIGINAL
#define HASH_BYTES 64
#define PUBLIC_RAW_BYTES (2 + MINISIGN_ID_BYTES + MINISIGN_PUBLIC_BYTES)
#define SIG_RAW_BYTES (2 + MINISIGN_ID_BYTES + MINISIGN_SIG_BYTES)
#define CHECK_BYTES 32

/* What a secret key file holds; all bytes, no padding. */
struct secret_raw {
	uint8_t alg[2], kdf[2], check_alg[2];
	uint8_t salt[32], opslimit[8], memlimit[8];
	uint8_t id[MINISIGN_ID_BYTES], key[MINISIGN_SECRET_BYTES], check[CHECK_BYTES];
};
_Static_assert(sizeof(struct secret_raw) == 158, "as the format says");

/* The next line without its end; a carriage return before it belongs to the end. false: there is none. */
static bool next_line(const char **at, const char *end, const char **ret_line, size_t *ret_len)
{
	if (*at >= end)
		return false;
	const char *nl = memchr(*at, '\n', (size_t)(end - *at));
	const char *stop = nl ? nl : end;
	*ret_line = *at;
	*ret_len = (size_t)(stop - *at);
	if (*ret_len && (*ret_line)[*ret_len - 1] == '\r')
		--*ret_len;
	*at = nl ? nl + 1 : end;
	return true;
}

static bool begins(const char *line, size_t len, const char *with)
{
	size_t n = strlen(with);
	return len >= n && memcmp(line, with, n) == 0;
}

/* Exactly n bytes in base 64, padded, nothing around it. */
static bool from_base64(const char *line, size_t len, uint8_t *ret_raw, size_t n)
{
	size_t got;
	const char *end;
	for (size_t i = 0; i < len; i++) /* libsodium 1.0.18 takes some bytes above 127 for letters */
		if (line[i] & 0x80)
			return false;
	return len && sodium_base642bin(ret_raw, n, line, len, NULL, &got, &end, B64) == 0 && got == n &&
	       end == line + len;
}

/* An untrusted comment and a line of n bytes. */
static bool two_lines(const char **at, const char *end, uint8_t *ret_raw, size_t n)
{
	const char *line;
	size_t len;
	return next_line(at, end, &line, &len) && begins(line, len, UNTRUSTED) &&
	       next_line(at, end, &line, &len) && from_base64(line, len, ret_raw, n);
}

int minisign_public_parse(const char *text, size_t len, struct minisign_public *ret_key)
{
	uint8_t raw[PUBLIC_RAW_BYTES];
	const char *at = text, *end = text + len;
	if (!two_lines(&at, end, raw, sizeof(raw)) || at != end || memcmp(raw, "Ed", 2) != 0)
		return ERR_KEY;
	memcpy(ret_key->id, raw + 2, MINISIGN_ID_BYTES);
	memcpy(ret_key->key, raw + 2 + MINISIGN_ID_BYTES, MINISIGN_PUBLIC_BYTES);
	return 0;
}

static void secret_check(const struct secret_raw *raw, uint8_t ret_check[CHECK_BYTES])
{
	crypto_generichash_state h;
	crypto_generichash_init(&h, NULL, 0, CHECK_BYTES);
	crypto_generichash_update(&h, raw->alg, sizeof(raw->alg));
	crypto_generichash_update(&h, raw->id, sizeof(raw->id));
	crypto_generichash_update(&h, raw->key, sizeof(raw->key));
	crypto_generichash_final(&h, ret_check, CHECK_BYTES);
}

static bool secret_ok(const struct secret_raw *raw)
{
	uint8_t check[CHECK_BYTES], public[MINISIGN_PUBLIC_BYTES], secret[MINISIGN_SECRET_BYTES];
	if (memcmp(raw->alg, "Ed", 2) != 0 || memcmp(raw->check_alg, "B2", 2) != 0)
		return false;
	if (raw->kdf[0] != 0 || raw->kdf[1] != 0)
		return false; /* it has a password */
	/* minisign -W leaves the check at zero. The public half must belong to the secret one in any case. */
	secret_check(raw, check);
	bool ok = sodium_is_zero(raw->check, CHECK_BYTES) || memcmp(check, raw->check, CHECK_BYTES) == 0;
	ok = crypto_sign_seed_keypair(public, secret, raw->key) == 0 && ok;
	ok = sodium_memcmp(secret, raw->key, sizeof(secret)) == 0 && ok;
	sodium_memzero(secret, sizeof(secret));
	return ok;
}

int minisign_secret_parse(const char *text, size_t len, struct minisign_secret *ret_key)
{
	struct secret_raw raw;
	const char *at = text, *end = text + len;
	int r = ERR_KEY;
	if (two_lines(&at, end, (uint8_t *)&raw, sizeof(raw)) && at == end && secret_ok(&raw)) {
		memcpy(ret_key->id, raw.id, sizeof(raw.id));
		memcpy(ret_key->key, raw.key, sizeof(raw.key));
		r = 0;
	}
	sodium_memzero(&raw, sizeof(raw));
	return r;
}

/* A comment is shown to people: no control characters but the tab that the tool writes, or it could rewrite
 * their terminal. */
static bool comment_ok(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (((unsigned char)text[i] < 32 && text[i] != '\t') || text[i] == 127)
			return false;
	return len < MINISIGN_COMMENT_BYTES;
}

int minisign_signature_parse(const char *text, size_t len, struct minisign_signature *ret_sig)
{
	uint8_t raw[SIG_RAW_BYTES];
	const char *at = text, *end = text + len, *line, *comment;
	size_t line_len, comment_len, skip = strlen(TRUSTED);
	struct minisign_signature s = {0};

	if (!two_lines(&at, end, raw, sizeof(raw)))
		return ERR_FORMAT;
	s.hashed = memcmp(raw, "ED", 2) == 0;
	if (!s.hashed && memcmp(raw, "Ed", 2) != 0)
		return ERR_FORMAT;
	memcpy(s.id, raw + 2, MINISIGN_ID_BYTES);
	memcpy(s.sig, raw + 2 + MINISIGN_ID_BYTES, MINISIGN_SIG_BYTES);
	if (!next_line(&at, end, &comment, &comment_len) || !begins(comment, comment_len, TRUSTED))
		return ERR_FORMAT;
	if (!comment_ok(comment + skip, comment_len - skip))
		return ERR_FORMAT;
	memcpy(s.comment, comment + skip, comment_len - skip);
	if (!next_line(&at, end, &line, &line_len) ||
		!from_base64(line, line_len, s.global, sizeof(s.global)) || at != end)
		return ERR_FORMAT;
	*ret_sig = s;
	return 0;
}

int minisign_public_load(const char *path, struct minisign_public *ret_key)
{
	CLEAN_FREE char *text = NULL;
	size_t len;
	int r = file_read(path, MINISIGN_TEXT_BYTES, &text, &len);
	return r < 0 ? r : minisign_public_parse(text, len, ret_key);
}

int minisign_secret_load(const char *path, struct minisign_secret *ret_key)
{
	CLEAN_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	struct stat st;
	char *text = NULL;
	size_t len;
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || (st.st_mode & 077))
		return ERR_KEY;
	int r = file_read_fd(fd, MINISIGN_TEXT_BYTES, &text, &len);
	if (r < 0)
		return r;
	r = minisign_secret_parse(text, len, ret_key);
	sodium_memzero(text, len);
	free(text);
	return r;
}

void minisign_secret_wipe(struct minisign_secret *key)
{
	sodium_memzero(key, sizeof(*key));
}

void minisign_keys(struct minisign_public *ret_public, struct minisign_secret *ret_secret)
{
	randombytes_buf(ret_public->id, MINISIGN_ID_BYTES);
	memcpy(ret_secret->id, ret_public->id, MINISIGN_ID_BYTES);
	crypto_sign_keypair(ret_public->key, ret_secret->key);
}

static void format_two(char ret_text[MINISIGN_TEXT_BYTES], const char *comment, const void *raw, size_t n)
{
	char text[512];
	sodium_bin2base64(text, sizeof(text), raw, n, B64);
	snprintf(ret_text, MINISIGN_TEXT_BYTES, UNTRUSTED "%s\n%s\n", comment, text);
	sodium_memzero(text, sizeof(text));
}

void minisign_public_format(const struct minisign_public *key, char ret_text[MINISIGN_TEXT_BYTES])
{
	uint8_t raw[PUBLIC_RAW_BYTES] = "Ed";
	char comment[64];
	uint64_t id = 0;
	memcpy(raw + 2, key->id, MINISIGN_ID_BYTES);
	memcpy(raw + 2 + MINISIGN_ID_BYTES, key->key, MINISIGN_PUBLIC_BYTES);
	for (int i = MINISIGN_ID_BYTES - 1; i >= 0; i--) /* as the tool prints it: little-endian */
		id = id << 8 | key->id[i];
	snprintf(comment, sizeof(comment), "minisign public key %" PRIX64, id);
	format_two(ret_text, comment, raw, sizeof(raw));
}

void minisign_secret_format(const struct minisign_secret *key, char ret_text[MINISIGN_TEXT_BYTES])
{
	struct secret_raw raw = {.alg = "Ed", .check_alg = "B2"};
	memcpy(raw.id, key->id, sizeof(raw.id));
	memcpy(raw.key, key->key, sizeof(raw.key));
	secret_check(&raw, raw.check);
	format_two(ret_text, "minisign secret key of perigee, without a password", &raw, sizeof(raw));
	sodium_memzero(&raw, sizeof(raw));
}

static int hash_fd(int fd, uint8_t ret_hash[HASH_BYTES])
{
	crypto_generichash_state h;
	uint8_t buf[16384];
	off_t at = 0;
	crypto_generichash_init(&h, NULL, 0, HASH_BYTES);
	for (;;) {
		ssize_t n = pread(fd, buf, sizeof(buf), at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		crypto_generichash_update(&h, buf, (size_t)n);
		at += n;
	}
	crypto_generichash_final(&h, ret_hash, HASH_BYTES);
	return 0;
}

/* The signature's bytes and the comment's: what the global signature is over. */
static size_t global_message(const uint8_t sig[MINISIGN_SIG_BYTES], const char *comment,
	uint8_t ret[MINISIGN_SIG_BYTES + MINISIGN_COMMENT_BYTES])
{
	size_t n = strlen(comment);
	memcpy(ret, sig, MINISIGN_SIG_BYTES);
	memcpy(ret + MINISIGN_SIG_BYTES, comment, n);
	return MINISIGN_SIG_BYTES + n;
}

int minisign_sign(
	const struct minisign_secret *key, int fd, const char *comment, char ret_text[MINISIGN_TEXT_BYTES])
{
	uint8_t hash[HASH_BYTES], raw[SIG_RAW_BYTES] = "ED", global[MINISIGN_SIG_BYTES];
	uint8_t message[MINISIGN_SIG_BYTES + MINISIGN_COMMENT_BYTES];
	char global_text[128];

	if (strlen(comment) >= MINISIGN_COMMENT_BYTES || !comment_ok(comment, strlen(comment)))
		return ERR_FORMAT;
	int r = hash_fd(fd, hash);
	if (r < 0)
		return r;
	uint8_t *sig = raw + 2 + MINISIGN_ID_BYTES;
	memcpy(raw + 2, key->id, MINISIGN_ID_BYTES);
	crypto_sign_detached(sig, NULL, hash, sizeof(hash), key->key);
	crypto_sign_detached(global, NULL, message, global_message(sig, comment, message), key->key);
	format_two(ret_text, "signature by perigee", raw, sizeof(raw));
	sodium_bin2base64(global_text, sizeof(global_text), global, sizeof(global), B64);
	size_t at = strlen(ret_text);
	snprintf(ret_text + at, MINISIGN_TEXT_BYTES - at, TRUSTED "%s\n%s\n", comment, global_text);
	return 0;
}

int minisign_verify(const struct minisign_public *key, int fd, const struct minisign_signature *sig)
{
	uint8_t hash[HASH_BYTES], message[MINISIGN_SIG_BYTES + MINISIGN_COMMENT_BYTES];
	CLEAN_FREE char *whole = NULL;
	const uint8_t *signed_data = hash;
	size_t len = sizeof(hash);
	int r;

	if (memcmp(key->id, sig->id, MINISIGN_ID_BYTES) != 0)
		return ERR_KEY;
	if (sig->hashed) {
		r = hash_fd(fd, hash);
	} else {
		r = file_read_fd(fd, MINISIGN_LEGACY_BYTES_MAX, &whole, &len);
		signed_data = (const uint8_t *)whole;
	}
	if (r < 0)
		return r;
	if (crypto_sign_verify_detached(sig->sig, signed_data, len, key->key) != 0)
		return ERR_SIGNATURE;
	len = global_message(sig->sig, sig->comment, message);
	return crypto_sign_verify_detached(sig->global, message, len, key->key) == 0 ? 0 : ERR_SIGNATURE;
}
