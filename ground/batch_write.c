/* SPDX-License-Identifier: Apache-2.0 */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <sodium.h>
#include <string.h>

#include "batch.h"
#include "cfdp_pdu.h"
#include "core/json.h"

#define COPY_BYTES 65536

static bool ends(const char *text, size_t cap)
{
	return memchr(text, 0, cap) != NULL;
}

bool product_ok(const struct product *p)
{
	return p->run > 0 && p->run <= INT64_C(1) << 53 && p->priority >= 0 && p->priority <= 255 &&
	       p->bytes <= INT64_MAX && ends(p->workflow, sizeof(p->workflow)) && cfdp_name_ok(p->workflow) &&
	       ends(p->stage, sizeof(p->stage)) && cfdp_name_ok(p->stage) && ends(p->name, sizeof(p->name)) &&
	       cfdp_name_ok(p->name) && ends(p->type, sizeof(p->type)) &&
	       (p->type[0] == 0 || cfdp_name_ok(p->type));
}

static cJSON *product_json(const struct product *p)
{
	char digest[DIGEST_TEXT_BYTES];
	cJSON *o = cJSON_CreateObject();
	digest_format(&p->digest, digest);
	if (o && cJSON_AddNumberToObject(o, "run", (double)p->run) &&
		cJSON_AddStringToObject(o, "workflow", p->workflow) &&
		cJSON_AddStringToObject(o, "stage", p->stage) &&
		cJSON_AddStringToObject(o, "name", p->name) && cJSON_AddStringToObject(o, "type", p->type) &&
		cJSON_AddStringToObject(o, "digest", digest) &&
		cJSON_AddNumberToObject(o, "bytes", (double)p->bytes) &&
		cJSON_AddNumberToObject(o, "priority", p->priority))
		return o;
	cJSON_Delete(o);
	return NULL;
}

cJSON *batch_manifest(const char *name, const char *spacecraft, const char *mission, struct utc_time created,
	cJSON *runs, const struct product *products, size_t n)
{
	char time[UTC_TEXT_BYTES];
	CLEAN_JSON cJSON *kept_runs = runs;
	CLEAN_JSON cJSON *m = cJSON_CreateObject();
	utc_format(created, time);
	if (!m || !runs || !cJSON_AddStringToObject(m, "perigee", "v1") ||
		!cJSON_AddStringToObject(m, "batch", name) ||
		!cJSON_AddStringToObject(m, "spacecraft", spacecraft) ||
		!cJSON_AddStringToObject(m, "mission", mission) ||
		!cJSON_AddStringToObject(m, "created", time))
		return NULL;
	cJSON_AddItemToObject(m, "runs", TAKE_PTR(kept_runs));
	cJSON *list = cJSON_AddArrayToObject(m, "products");
	for (size_t i = 0; list && i < n; i++) {
		cJSON *o = product_json(&products[i]);
		if (!o)
			return NULL;
		cJSON_AddItemToArray(list, o);
	}
	return list ? TAKE_PTR(m) : NULL;
}

static int archive_err(struct archive *a)
{
	int r = archive_errno(a);
	return r > 0 ? -r : -EIO;
}

static int begin_entry(struct archive *a, const char *path, uint64_t bytes)
{
	struct archive_entry *entry = archive_entry_new();
	if (!entry)
		return -ENOMEM;
	archive_entry_set_pathname(entry, path);
	archive_entry_set_size(entry, (int64_t)bytes);
	archive_entry_set_filetype(entry, AE_IFREG);
	archive_entry_set_perm(entry, 0644);
	archive_entry_set_mtime(entry, 0, 0);
	int r = archive_write_header(a, entry) == ARCHIVE_OK ? 0 : archive_err(a);
	archive_entry_free(entry);
	return r;
}

static int put(struct archive *a, const void *data, size_t len)
{
	return archive_write_data(a, data, len) == (ssize_t)len ? 0 : archive_err(a);
}

/* The bytes of an artifact, hashed on the way: what is sent is what its name says. */
static int put_blob(struct archive *a, const struct product *p, int fd)
{
	crypto_generichash_state hash;
	struct digest digest;
	uint64_t at = 0;
	CLEAN_FREE uint8_t *buf = malloc(COPY_BYTES);
	if (!buf)
		return -ENOMEM;
	crypto_generichash_init(&hash, NULL, 0, DIGEST_BYTES);
	while (at < p->bytes) {
		size_t want = p->bytes - at < COPY_BYTES ? (size_t)(p->bytes - at) : COPY_BYTES;
		ssize_t n = pread(fd, buf, want, (off_t)at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return ERR_DIGEST; /* shorter than it was */
		crypto_generichash_update(&hash, buf, (size_t)n);
		int r = put(a, buf, (size_t)n);
		if (r < 0)
			return r;
		at += (uint64_t)n;
	}
	if (pread(fd, buf, 1, (off_t)at) != 0)
		return ERR_DIGEST;
	crypto_generichash_final(&hash, digest.bytes, DIGEST_BYTES);
	return memcmp(&digest, &p->digest, sizeof(digest)) == 0 ? 0 : ERR_DIGEST;
}

/* Does an earlier product have the same bytes? */
static bool seen(const struct product *products, size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (memcmp(&products[k].digest, &products[i].digest, sizeof(products[i].digest)) == 0)
			return true;
	return false;
}

static int write_all_of(struct archive *a, const cJSON *manifest, const struct product *products, size_t n,
	int (*open_blob)(void *, const struct digest *, int *), void *user, size_t *ret_bad)
{
	CLEAN_FREE char *text = cJSON_Print(manifest);
	if (!text)
		return -ENOMEM;
	size_t len = strlen(text);
	if (len > BATCH_MANIFEST_BYTES_MAX)
		return ERR_LIMIT;
	int r = begin_entry(a, "manifest.json", len);
	if (r >= 0)
		r = put(a, text, len);
	for (size_t i = 0; r >= 0 && i < n; i++) {
		char path[16 + DIGEST_TEXT_BYTES] = "blobs/";
		CLEAN_FD int fd = -1;
		if (seen(products, i))
			continue;
		digest_format(&products[i].digest, path + strlen(path));
		r = open_blob(user, &products[i].digest, &fd);
		if (r < 0) {
			*ret_bad = i;
			break;
		}
		r = begin_entry(a, path, products[i].bytes);
		if (r >= 0)
			r = put_blob(a, &products[i], fd);
		if (r == ERR_DIGEST)
			*ret_bad = i;
	}
	if (r >= 0 && archive_write_close(a) != ARCHIVE_OK)
		r = archive_err(a);
	return r < 0 ? r : 0;
}

int batch_write(int fd, const cJSON *manifest, const struct product *products, size_t n,
	int (*open_blob)(void *user, const struct digest *digest, int *ret_fd), void *user, size_t *ret_bad)
{
	*ret_bad = n;
	if (sodium_init() < 0)
		return -ENOSYS;
	struct archive *a = archive_write_new();
	if (!a)
		return -ENOMEM;
	int r = -EIO;
	if (archive_write_set_format_ustar(a) == ARCHIVE_OK &&
		archive_write_add_filter_none(a) == ARCHIVE_OK &&
		archive_write_set_bytes_in_last_block(a, 1) == ARCHIVE_OK &&
		archive_write_open_fd(a, fd) == ARCHIVE_OK)
		r = write_all_of(a, manifest, products, n, open_blob, user, ret_bad);
	archive_write_free(a);
	return r;
}
