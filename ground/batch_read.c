/* SPDX-License-Identifier: Apache-2.0 */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sodium.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#include "batch.h"
#include "cfdp_pdu.h"
#include "core/file.h"
#include "core/json.h"

#define TAR_BLOCK 512

struct reader {
	struct archive *a;
	char *reason;
};

PRINTF(3, 4) static int refuse(char *reason, int err, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(reason, BATCH_REASON_BYTES, fmt, ap);
	va_end(ap);
	return err;
}

void batch_close(struct batch *b)
{
	if (!b)
		return;
	cJSON_Delete(b->manifest);
	free(b->products);
	free(b->blobs);
	free(b);
}
DEFINE_CLEANUP(struct batch *, batch_close, cleanup_batch)

static void cleanup_reader(struct reader *r)
{
	if (r->a)
		archive_read_free(r->a);
}

static int reader_open(struct reader *r, int fd)
{
	if (lseek(fd, 0, SEEK_SET) < 0)
		return -errno;
	r->a = archive_read_new();
	if (!r->a)
		return -ENOMEM;
	/* Tar and nothing else: no compression, no other formats' code. */
	if (archive_read_support_filter_none(r->a) != ARCHIVE_OK ||
		archive_read_support_format_tar(r->a) != ARCHIVE_OK ||
		archive_read_open_fd(r->a, fd, 65536) != ARCHIVE_OK)
		return refuse(r->reason, ERR_FORMAT, "not a tar archive");
	return 0;
}

/* The next entry, which must be a file of this name. ret_bytes: its size. */
static int reader_entry(struct reader *r, const char *path, uint64_t *ret_bytes)
{
	struct archive_entry *entry;
	int n = archive_read_next_header(r->a, &entry);
	if (n == ARCHIVE_EOF)
		return refuse(r->reason, ERR_FORMAT, "%s is missing", path);
	if (n != ARCHIVE_OK)
		return refuse(r->reason, ERR_FORMAT, "a damaged archive before %s", path);
	const char *name = archive_entry_pathname(entry);
	if (!name || strcmp(name, path) != 0 || archive_entry_filetype(entry) != AE_IFREG ||
		archive_entry_hardlink(entry) || archive_entry_symlink(entry) ||
		!archive_entry_size_is_set(entry) || archive_entry_size(entry) < 0)
		return refuse(r->reason, ERR_FORMAT, "something else where %s should be", path);
	*ret_bytes = (uint64_t)archive_entry_size(entry);
	return 0;
}

/* All of `bytes`, to a buffer. */
static int reader_read(struct reader *r, const char *path, void *ret_data, size_t bytes)
{
	ssize_t n = archive_read_data(r->a, ret_data, bytes);
	return n == (ssize_t)bytes ? 0 : refuse(r->reason, ERR_FORMAT, "%s is cut short", path);
}

/* The entry's content, whose digest must be right, to a descriptor unless it is negative. */
static int reader_blob(struct reader *r, const struct batch_blob *blob, int to)
{
	char path[16 + DIGEST_TEXT_BYTES] = "blobs/";
	crypto_generichash_state hash;
	struct digest digest;
	uint64_t bytes, at = 0;
	CLEAN_FREE uint8_t *buf = malloc(65536);
	if (!buf)
		return -ENOMEM;

	digest_format(&blob->digest, path + strlen(path));
	int n = reader_entry(r, path, &bytes);
	if (n < 0)
		return n;
	if (bytes != blob->bytes)
		return refuse(r->reason, ERR_FORMAT, "%s has another length than the manifest says", path);
	crypto_generichash_init(&hash, NULL, 0, DIGEST_BYTES);
	while (at < bytes) {
		size_t want = bytes - at < 65536 ? (size_t)(bytes - at) : 65536;
		n = reader_read(r, path, buf, want);
		if (n >= 0 && to >= 0)
			n = write_all(to, buf, want);
		if (n < 0)
			return n;
		crypto_generichash_update(&hash, buf, want);
		at += want;
	}
	crypto_generichash_final(&hash, digest.bytes, DIGEST_BYTES);
	if (memcmp(&digest, &blob->digest, sizeof(digest)) != 0)
		return refuse(r->reason, ERR_DIGEST, "%s does not have that digest", path);
	return 0;
}

/* ---- the manifest ---- */

static int copy_text(const cJSON *o, const char *key, char *ret, size_t cap)
{
	const char *text = json_str(o, key);
	if (!text || strlen(text) >= cap)
		return ERR_FORMAT;
	memcpy(ret, text, strlen(text) + 1);
	return 0;
}

static int product_of(const cJSON *o, struct product *ret)
{
	struct product p = {.run = json_int(o, "run", 0)};
	const char *digest = json_str(o, "digest");
	int64_t bytes = json_int(o, "bytes", -1), priority = json_int(o, "priority", -1);
	if (copy_text(o, "workflow", p.workflow, sizeof(p.workflow)) < 0 ||
		copy_text(o, "stage", p.stage, sizeof(p.stage)) < 0 ||
		copy_text(o, "name", p.name, sizeof(p.name)) < 0 ||
		copy_text(o, "type", p.type, sizeof(p.type)) < 0 || !digest ||
		digest_parse(digest, &p.digest) < 0 || bytes < 0 || priority < 0 || priority > 255)
		return ERR_FORMAT;
	p.bytes = (uint64_t)bytes;
	p.priority = (int)priority;
	if (!product_ok(&p))
		return ERR_FORMAT;
	*ret = p;
	return 0;
}

/* Adds the product's blob unless it is there; contradictions are refused. */
static int add_blob(struct batch *b, const struct product *p)
{
	for (size_t i = 0; i < b->n_blobs; i++)
		if (memcmp(&b->blobs[i].digest, &p->digest, sizeof(p->digest)) == 0)
			return b->blobs[i].bytes == p->bytes ? 0 : ERR_FORMAT;
	b->blobs[b->n_blobs++] = (struct batch_blob){p->digest, p->bytes};
	return 0;
}

static int read_lists(struct batch *b, char *reason)
{
	const cJSON *runs = cJSON_GetObjectItemCaseSensitive(b->manifest, "runs");
	const cJSON *products = cJSON_GetObjectItemCaseSensitive(b->manifest, "products");
	const cJSON *at;
	if (!cJSON_IsArray(runs) || !cJSON_IsArray(products))
		return refuse(reason, ERR_FORMAT, "manifest.json: runs and products must be lists");
	int n = cJSON_GetArraySize(products);
	if (n > BATCH_PRODUCTS_MAX || cJSON_GetArraySize(runs) > BATCH_RUNS_MAX)
		return refuse(
			reason, ERR_LIMIT, "manifest.json: more products or runs than a batch may have");
	cJSON_ArrayForEach(at, runs)
	{
		if (!cJSON_IsObject(at) || json_int(at, "run", 0) < 1)
			return refuse(reason, ERR_FORMAT, "manifest.json: runs: each must have a number");
	}
	b->products = calloc((size_t)n + 1, sizeof(*b->products));
	b->blobs = calloc((size_t)n + 1, sizeof(*b->blobs));
	if (!b->products || !b->blobs)
		return -ENOMEM;
	cJSON_ArrayForEach(at, products)
	{
		struct product *p = &b->products[b->n_products];
		if (product_of(at, p) < 0 || add_blob(b, p) < 0)
			return refuse(reason, ERR_FORMAT, "manifest.json: products: number %zu is not valid",
				b->n_products + 1);
		b->n_products++;
	}
	return 0;
}

static int read_manifest(struct reader *r, struct batch *b, const char *name, size_t *ret_len)
{
	uint64_t bytes;
	int line = 0, column = 0;
	int n = reader_entry(r, "manifest.json", &bytes);
	if (n < 0)
		return n;
	if (bytes > BATCH_MANIFEST_BYTES_MAX)
		return refuse(r->reason, ERR_LIMIT, "manifest.json is longer than %u bytes",
			BATCH_MANIFEST_BYTES_MAX);
	CLEAN_FREE char *text = malloc((size_t)bytes + 1);
	if (!text)
		return -ENOMEM;
	n = reader_read(r, "manifest.json", text, (size_t)bytes);
	if (n < 0)
		return n;
	n = json_parse(text, (size_t)bytes, BATCH_MANIFEST_BYTES_MAX, &b->manifest, &line, &column);
	if (n == -ENOMEM)
		return n;
	if (n < 0)
		return refuse(r->reason, n, "manifest.json:%d:%d: %s", line, column, err_text(n));
	const char *version = json_str(b->manifest, "perigee"), *own = json_str(b->manifest, "batch");
	b->spacecraft = json_str(b->manifest, "spacecraft");
	b->mission = json_str(b->manifest, "mission");
	b->created = json_str(b->manifest, "created");
	struct utc_time t;
	if (!version || strcmp(version, "v1") != 0)
		return refuse(r->reason, ERR_FORMAT, "manifest.json: perigee: expected \"v1\"");
	if (!own || strcmp(own, name) != 0)
		return refuse(r->reason, ERR_FORMAT, "manifest.json: batch: expected \"%s\"", name);
	if (!b->spacecraft || !cfdp_name_ok(b->spacecraft) || !b->mission || strlen(b->mission) > 127 ||
		!b->created || utc_parse(b->created, &t) < 0)
		return refuse(r->reason, ERR_FORMAT,
			"manifest.json: spacecraft, mission and created must be a name, a text and a time");
	*ret_len = (size_t)bytes;
	return read_lists(b, r->reason);
}

static uint64_t padded(uint64_t bytes)
{
	return TAR_BLOCK + (bytes + TAR_BLOCK - 1) / TAR_BLOCK * TAR_BLOCK;
}

/* The archive is as long as its parts: nothing before, between or after them. */
static int check_length(const struct batch *b, size_t manifest_len, char *reason)
{
	uint64_t want = padded(manifest_len) + 2 * TAR_BLOCK;
	for (size_t i = 0; i < b->n_blobs; i++) {
		if (b->blobs[i].bytes > b->bytes)
			return refuse(reason, ERR_FORMAT, "the archive is shorter than what should be in it");
		want += padded(b->blobs[i].bytes);
	}
	if (want != b->bytes)
		return refuse(reason, ERR_FORMAT, "the archive has %llu bytes, its parts have %llu",
			(unsigned long long)b->bytes, (unsigned long long)want);
	return 0;
}

static int check_signature(
	int fd, const char *text, size_t len, const struct minisign_public *key, char *reason)
{
	struct minisign_signature sig;
	int n = minisign_signature_parse(text, len, &sig);
	if (n < 0)
		return refuse(reason, n, "the signature file is malformed");
	n = minisign_verify(key, fd, &sig);
	if (n == ERR_KEY)
		return refuse(reason, n, "signed with another key");
	if (n == ERR_SIGNATURE)
		return refuse(reason, n, "the signature does not verify");
	return n;
}

int batch_open(int fd, const char *signature, size_t signature_len, const struct minisign_public *key,
	const char *name, struct batch **ret_batch, char *ret_reason)
{
	CLEAN(cleanup_reader) struct reader r = {.reason = ret_reason};
	CLEAN(cleanup_batch) struct batch *b = NULL;
	struct archive_entry *entry;
	struct stat st;
	size_t manifest_len = 0;

	ret_reason[0] = 0;
	if (sodium_init() < 0)
		return -ENOSYS;
	if (strlen(name) >= BATCH_NAME_BYTES)
		return refuse(ret_reason, ERR_FORMAT, "its name is too long");
	int n = check_signature(fd, signature, signature_len, key, ret_reason);
	if (n < 0)
		return n;
	if (fstat(fd, &st) < 0)
		return -errno;
	b = calloc(1, sizeof(*b));
	if (!b)
		return -ENOMEM;
	memcpy(b->name, name, strlen(name) + 1);
	b->bytes = (uint64_t)st.st_size;
	n = reader_open(&r, fd);
	if (n >= 0)
		n = read_manifest(&r, b, name, &manifest_len);
	if (n >= 0)
		n = check_length(b, manifest_len, ret_reason);
	for (size_t i = 0; n >= 0 && i < b->n_blobs; i++)
		n = reader_blob(&r, &b->blobs[i], -1);
	if (n < 0)
		return n;
	if (archive_read_next_header(r.a, &entry) != ARCHIVE_EOF)
		return refuse(ret_reason, ERR_FORMAT, "something after the last blob");
	*ret_batch = TAKE_PTR(b);
	return 0;
}

int batch_unpack(const struct batch *b, int fd, const char *dir)
{
	char reason[BATCH_REASON_BYTES], path[PATH_MAX], digest[DIGEST_TEXT_BYTES];
	CLEAN(cleanup_reader) struct reader r = {.reason = reason};
	uint64_t bytes;
	int n = reader_open(&r, fd);
	if (n >= 0)
		n = reader_entry(&r, "manifest.json", &bytes);
	for (size_t i = 0; n >= 0 && i < b->n_blobs; i++) {
		digest_format(&b->blobs[i].digest, digest);
		n = path_format(path, sizeof(path), "%s/%s", dir, digest);
		if (n < 0)
			break;
		CLEAN_FD int to = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
		if (to < 0)
			return -errno;
		n = reader_blob(&r, &b->blobs[i], to);
		if (n >= 0 && fsync(to) < 0)
			n = -errno;
	}
	return n < 0 ? n : dir_sync(dir);
}
