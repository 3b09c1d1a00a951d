/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sodium.h>
#include <stdbool.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "artifact-private.h"
#include "core/clock.h"
#include "core/file.h"

#define COPY_BYTES (256u << 10)


/* ---- digests ---- */

void digest_format(const struct digest *d, char ret_text[DIGEST_TEXT_BYTES])
{
	static const char hex[] = "0123456789abcdef";

	for (size_t i = 0; i < DIGEST_BYTES; i++) {
		ret_text[2 * i] = hex[d->bytes[i] >> 4];
		ret_text[2 * i + 1] = hex[d->bytes[i] & 15];
	}
	ret_text[2 * DIGEST_BYTES] = '\0';
}

int digest_parse(const char *text, struct digest *ret_digest)
{
	struct digest d;

	/* Lower case only: one artifact has one name. */
	for (size_t i = 0; i < 2 * DIGEST_BYTES; i++) {
		char c = text[i];
		uint8_t v;
		if (c >= '0' && c <= '9')
			v = (uint8_t)(c - '0');
		else if (c >= 'a' && c <= 'f')
			v = (uint8_t)(c - 'a' + 10);
		else
			return ERR_FORMAT;
		d.bytes[i / 2] = (uint8_t)(i % 2 ? d.bytes[i / 2] | v : v << 4);
	}
	if (text[2 * DIGEST_BYTES] != '\0')
		return ERR_FORMAT;
	*ret_digest = d;
	return 0;
}

/* libsodium picks its fastest code in sodium_init, which may be called often and from any thread. */
static void hash_begin(crypto_generichash_state *h)
{
	ensure(sodium_init() >= 0);
	ensure(crypto_generichash_init(h, NULL, 0, DIGEST_BYTES) == 0);
}

int digest_fd(int fd, struct digest *ret_digest, uint64_t *ret_bytes)
{
	crypto_generichash_state h;
	uint64_t at = 0;
	CLEAN_FREE unsigned char *buf = malloc(COPY_BYTES);
	if (!buf)
		return -ENOMEM;
	hash_begin(&h);
	for (;;) {
		ssize_t n = pread(fd, buf, COPY_BYTES, (off_t)at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		crypto_generichash_update(&h, buf, (size_t)n);
		at += (uint64_t)n;
	}
	crypto_generichash_final(&h, ret_digest->bytes, DIGEST_BYTES);
	*ret_bytes = at;
	return 0;
}

void digest_data(const void *data, size_t len, struct digest *ret_digest)
{
	crypto_generichash_state h;

	hash_begin(&h);
	crypto_generichash_update(&h, data, len);
	crypto_generichash_final(&h, ret_digest->bytes, DIGEST_BYTES);
}

/* ---- the store ---- */

void artifact_rel(const struct digest *d, char ret_rel[REL_BYTES])
{
	char text[DIGEST_TEXT_BYTES];

	digest_format(d, text);
	memcpy(ret_rel, text, 2);
	ret_rel[2] = '/';
	memcpy(ret_rel + 3, text + 2, DIGEST_TEXT_BYTES - 2);
}

/* Makes all 256 folders at once, so that a new artifact needs no other fsync than that of its own folder. */
static int make_folders(int fd)
{
	for (unsigned i = 0; i < 256; i++) {
		char name[3];
		snprintf(name, sizeof(name), "%02x", i);
		if (mkdirat(fd, name, 0755) < 0 && errno != EEXIST)
			return -errno;
	}
	return fsync(fd) < 0 ? -errno : 0;
}

int artifacts_open(const char *dir, struct artifacts **ret_store)
{
	char tmp[PATH_MAX];
	int r = dir_make(dir, 0755);
	if (r < 0)
		return r;
	struct artifacts *s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->fd = s->tmp_fd = -1;
	pthread_mutex_init(&s->lock, NULL);
	s->dir = realpath(dir, NULL);
	if (!s->dir) {
		r = -errno;
		goto fail;
	}
	s->fd = open(s->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->fd < 0) {
		r = -errno;
		goto fail;
	}
	r = path_format(tmp, sizeof(tmp), "%s/tmp", s->dir);
	if (r == 0)
		r = dir_remove(tmp);
	if (r == 0)
		r = dir_make(tmp, 0700);
	if (r == 0)
		r = make_folders(s->fd);
	if (r < 0)
		goto fail;
	s->tmp_fd = openat(s->fd, "tmp", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (s->tmp_fd < 0) {
		r = -errno;
		goto fail;
	}
	*ret_store = s;
	return 0;
fail:
	artifacts_close(s);
	return r;
}

void artifacts_close(struct artifacts *store)
{
	if (!store)
		return;
	if (store->tmp_fd >= 0)
		close(store->tmp_fd);
	if (store->fd >= 0)
		close(store->fd);
	pthread_mutex_destroy(&store->lock);
	free(store->dir);
	free(store);
}

const char *artifacts_dir(const struct artifacts *store)
{
	return store->dir;
}

/* The names that artifact_new makes, and no others: no path can hide in one. */
static bool is_tmp_name(const char *name)
{
	size_t n = strnlen(name, ARTIFACT_NAME_BYTES);

	return n > 4 && n < ARTIFACT_NAME_BYTES && memcmp(name, "new-", 4) == 0 &&
	       strspn(name + 4, "0123456789abcdef") == n - 4;
}

int artifact_new(struct artifacts *store, mode_t mode, char ret_name[ARTIFACT_NAME_BYTES], int *ret_fd)
{
	char name[ARTIFACT_NAME_BYTES];

	for (int tries = 0; tries < 4; tries++) {
		uint64_t random[2];
		if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
			return -EIO;
		snprintf(name, sizeof(name), "new-%016llx%016llx", (unsigned long long)random[0],
			(unsigned long long)random[1]);
		CLEAN_FD int fd =
			openat(store->tmp_fd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
		if (fd < 0 && errno == EEXIST)
			continue;
		if (fd < 0)
			return -errno;
		if (fchmod(fd, mode) < 0) { /* whatever the umask says */
			int r = -errno;
			unlinkat(store->tmp_fd, name, 0);
			return r;
		}
		memcpy(ret_name, name, ARTIFACT_NAME_BYTES);
		*ret_fd = TAKE_FD(fd);
		return 0;
	}
	return -EEXIST;
}

/* Moves without replacing. */
static int move_new(int from_dir, const char *from, int to_dir, const char *to)
{
	if (renameat2(from_dir, from, to_dir, to, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -errno;
	/* A file system without the flag: link has the same meaning, in two steps. */
	if (linkat(from_dir, from, to_dir, to, 0) < 0)
		return -errno;
	return unlinkat(from_dir, from, 0) < 0 ? -errno : 0;
}

int artifact_keep(struct artifacts *store, const char *tmp_name, const struct digest *digest)
{
	char rel[REL_BYTES], folder[3];
	struct stat st;

	if (!is_tmp_name(tmp_name))
		return -EINVAL;
	artifact_rel(digest, rel);
	memcpy(folder, rel, 2);
	folder[2] = '\0';

	CLEAN_FD int fd = openat(store->tmp_fd, tmp_name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	if (fchmod(fd, 0444) < 0 || fsync(fd) < 0)
		return -errno;
	CLEAN_FD int folder_fd = openat(store->fd, folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (folder_fd < 0)
		return -errno;
	/* From now on it is a young one, also where it was there before: nothing may refer to it yet. */
	int64_t utc_ns = clock_utc().ns;
	struct timespec now[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = utc_ns / NS_PER_S, .tv_nsec = utc_ns % NS_PER_S}};
	pthread_mutex_lock(&store->lock);
	int r = move_new(store->tmp_fd, tmp_name, folder_fd, rel + 3);
	if (r == -EEXIST)
		r = unlinkat(store->tmp_fd, tmp_name, 0) < 0 ? -errno : 0;
	if (r == 0 && utimensat(folder_fd, rel + 3, now, AT_SYMLINK_NOFOLLOW) < 0)
		r = -errno;
	pthread_mutex_unlock(&store->lock);
	if (r < 0)
		return r;
	/* Also for one that was there: whoever put it there may not have come this far yet. */
	return fsync(folder_fd) < 0 ? -errno : 0;
}

void artifact_drop(struct artifacts *store, const char *tmp_name)
{
	if (is_tmp_name(tmp_name))
		unlinkat(store->tmp_fd, tmp_name, 0);
}

/* Copies what is left to read in `from`, hashing it on the way. */
static int copy_hashing(int from, int to, struct digest *ret_digest, uint64_t *ret_bytes)
{
	crypto_generichash_state h;
	uint64_t total = 0;
	CLEAN_FREE unsigned char *buf = malloc(COPY_BYTES);
	if (!buf)
		return -ENOMEM;
	hash_begin(&h);
	for (;;) {
		ssize_t n = read(from, buf, COPY_BYTES);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		int r = write_all(to, buf, (size_t)n);
		if (r < 0)
			return r;
		crypto_generichash_update(&h, buf, (size_t)n);
		total += (uint64_t)n;
	}
	crypto_generichash_final(&h, ret_digest->bytes, DIGEST_BYTES);
	*ret_bytes = total;
	return 0;
}

int artifact_import_fd(struct artifacts *store, int fd, struct digest *ret_digest, uint64_t *ret_bytes)
{
	char name[ARTIFACT_NAME_BYTES];
	struct digest digest;
	uint64_t bytes = 0;
	CLEAN_FD int to = -1;

	int r = artifact_new(store, 0600, name, &to);
	if (r < 0)
		return r;
	r = copy_hashing(fd, to, &digest, &bytes);
	if (r == 0)
		r = artifact_keep(store, name, &digest);
	if (r < 0) {
		artifact_drop(store, name);
		return r;
	}
	*ret_digest = digest;
	*ret_bytes = bytes;
	return 0;
}

int artifact_open(struct artifacts *store, const struct digest *digest, int *ret_fd)
{
	char rel[REL_BYTES];

	artifact_rel(digest, rel);
	int fd = openat(store->fd, rel, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? ERR_UNKNOWN : -errno;
	*ret_fd = fd;
	return 0;
}

int artifact_path(struct artifacts *store, const struct digest *digest, char *ret_path, size_t cap)
{
	char rel[REL_BYTES];

	artifact_rel(digest, rel);
	return path_format(ret_path, cap, "%s/%s", store->dir, rel);
}
