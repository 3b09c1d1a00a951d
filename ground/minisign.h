/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys and signatures in the minisign format (Ed25519 over BLAKE2b-512 of the file, "ED"; the older "Ed" over
 * the file itself is verified too), so that the ordinary `minisign` tool checks what we sign and we check
 * what it signs.
 *
 * Secret keys are without a password (minisign -W), protected by their mode: a file that anybody but its
 * owner may read is refused. One that has a password is refused too: there is nobody on board to type it.
 */
#ifndef GROUND_MINISIGN_H
#define GROUND_MINISIGN_H

#include <stdbool.h>
#include <stdint.h>

#include "core/err.h"

#define MINISIGN_ID_BYTES 8
#define MINISIGN_PUBLIC_BYTES 32
#define MINISIGN_SECRET_BYTES 64
#define MINISIGN_SIG_BYTES 64
#define MINISIGN_COMMENT_BYTES 1024           /* trusted comment that we write or take, with its zero */
#define MINISIGN_TEXT_BYTES 4096              /* any of the files */
#define MINISIGN_LEGACY_BYTES_MAX (64u << 20) /* an "Ed" signature needs the whole file in memory */

struct minisign_public {
	uint8_t id[MINISIGN_ID_BYTES];
	uint8_t key[MINISIGN_PUBLIC_BYTES];
};

struct minisign_secret {
	uint8_t id[MINISIGN_ID_BYTES];
	uint8_t key[MINISIGN_SECRET_BYTES];
};

struct minisign_signature {
	bool hashed; /* "ED" */
	uint8_t id[MINISIGN_ID_BYTES];
	uint8_t sig[MINISIGN_SIG_BYTES];
	uint8_t global[MINISIGN_SIG_BYTES]; /* over sig and the trusted comment */
	char comment[MINISIGN_COMMENT_BYTES];
};

/* Texts to structs; ERR_KEY or ERR_FORMAT when they are not of the format, byte for byte. */
WARN_UNUSED int minisign_public_parse(const char *text, size_t len, struct minisign_public *ret_key);
WARN_UNUSED int minisign_secret_parse(const char *text, size_t len, struct minisign_secret *ret_key);
WARN_UNUSED int minisign_signature_parse(const char *text, size_t len, struct minisign_signature *ret_sig);

WARN_UNUSED int minisign_public_load(const char *path, struct minisign_public *ret_key);
/* Refuses a file that is not a regular one of mode 0600 or less (ERR_KEY). */
WARN_UNUSED int minisign_secret_load(const char *path, struct minisign_secret *ret_key);
/* Forgets it. */
void minisign_secret_wipe(struct minisign_secret *key);

/* Makes a key pair. */
void minisign_keys(struct minisign_public *ret_public, struct minisign_secret *ret_secret);
void minisign_public_format(const struct minisign_public *key, char ret_text[MINISIGN_TEXT_BYTES]);
void minisign_secret_format(const struct minisign_secret *key, char ret_text[MINISIGN_TEXT_BYTES]);

/* Signs a file from its start; the text of the .minisig. The comment may hold no control characters:
 * ERR_FORMAT. Blocks. */
WARN_UNUSED int minisign_sign(
	const struct minisign_secret *key, int fd, const char *comment, char ret_text[MINISIGN_TEXT_BYTES]);
/* ERR_KEY: made with another key. ERR_SIGNATURE: of the file or of the comment. Blocks. */
WARN_UNUSED int minisign_verify(
	const struct minisign_public *key, int fd, const struct minisign_signature *sig);

/* What is inside a key of the face. Borrowed. */
struct ground_key;
const struct minisign_secret *ground_key_secret(const struct ground_key *key);

#endif
