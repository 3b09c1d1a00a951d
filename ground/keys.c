/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sodium.h>
#include <string.h>
#include <sys/stat.h>

#include "core/file.h"
#include "ground.h"
#include "minisign.h"

struct ground_key {
	struct minisign_secret secret;
};

int ground_key_load(const char *path, struct ground_key **ret_key)
{
	if (sodium_init() < 0)
		return ERR_KEY;
	struct ground_key *key = calloc(1, sizeof(*key));
	if (!key)
		return -ENOMEM;
	int r = minisign_secret_load(path, &key->secret);
	if (r < 0) {
		free(key);
		return r;
	}
	*ret_key = key;
	return 0;
}

void ground_key_destroy(struct ground_key *key)
{
	if (!key)
		return;
	minisign_secret_wipe(&key->secret);
	free(key);
}

const struct minisign_secret *ground_key_secret(const struct ground_key *key)
{
	return &key->secret;
}

int keys_generate(const char *prefix)
{
	char path[PATH_MAX], public_path[PATH_MAX], text[MINISIGN_TEXT_BYTES];
	struct minisign_public public;
	struct minisign_secret secret;

	int r = path_format(path, sizeof(path), "%s.key", prefix);
	if (r >= 0)
		r = path_format(public_path, sizeof(public_path), "%s.pub", prefix);
	if (r < 0)
		return r;
	if (sodium_init() < 0)
		return ERR_KEY;
	/* Never over another key: what it has signed could not be answered for any more. */
	CLEAN_FD int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	minisign_keys(&public, &secret);
	minisign_secret_format(&secret, text);
	r = write_all(fd, text, strlen(text));
	if (r >= 0 && fsync(fd) < 0)
		r = -errno;
	minisign_secret_wipe(&secret);
	sodium_memzero(text, sizeof(text));
	if (r >= 0) {
		minisign_public_format(&public, text);
		r = file_replace(public_path, text, strlen(text), 0644);
	}
	if (r < 0)
		(void)unlink(path);
	return r < 0 ? r : 0;
}
