/* SPDX-License-Identifier: Apache-2.0 */
#include "oci.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <string.h>
#include <sys/stat.h>

#include "core/file.h"

#define NESTED_MAX 3 /* an index may name an index */

static int bad(char *ret_reason, size_t cap, const char *layout, const char *file, const char *what)
{
	snprintf(ret_reason, cap, "%.200s/%.100s: %.180s", layout, file, what);
	return ERR_IMAGE;
}

static void format_digest(
	const unsigned char hash[crypto_hash_sha256_BYTES], char ret_digest[IMAGE_DIGEST_BYTES])
{
	memcpy(ret_digest, "sha256:", 7);
	sodium_bin2hex(ret_digest + 7, IMAGE_DIGEST_BYTES - 7, hash, crypto_hash_sha256_BYTES);
}

void oci_digest_data(const void *data, size_t len, char ret_digest[IMAGE_DIGEST_BYTES])
{
	unsigned char hash[crypto_hash_sha256_BYTES];

	crypto_hash_sha256(hash, data, len);
	format_digest(hash, ret_digest);
}

int oci_digest_fd(int fd, char ret_digest[IMAGE_DIGEST_BYTES], uint64_t *ret_bytes)
{
	unsigned char hash[crypto_hash_sha256_BYTES], block[65536];
	crypto_hash_sha256_state state;
	uint64_t bytes = 0;
	ssize_t n;

	crypto_hash_sha256_init(&state);
	while ((n = pread(fd, block, sizeof(block), (off_t)bytes)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		crypto_hash_sha256_update(&state, block, (size_t)n);
		bytes += (uint64_t)n;
	}
	crypto_hash_sha256_final(&state, hash);
	format_digest(hash, ret_digest);
	*ret_bytes = bytes;
	return 0;
}

static bool is_digest(const char *text)
{
	return text && strncmp(text, "sha256:", 7) == 0 && strlen(text) == 7 + 64 &&
	       strspn(text + 7, "0123456789abcdef") == 64;
}

/* Opens the blob of a descriptor {mediaType, digest, size}, verified. */
static int open_blob(int layout_fd, const char *layout, const cJSON *descriptor, const char *of, int *ret_fd,
	char *ret_reason, size_t cap)
{
	const char *digest = json_str(descriptor, "digest");
	int64_t size = json_int(descriptor, "size", -1);
	char file[128], found[IMAGE_DIGEST_BYTES];
	CLEAN_FD int fd = -1;
	struct stat st;
	uint64_t bytes;
	int err;

	if (!is_digest(digest))
		return bad(ret_reason, cap, layout, of, "a digest that is not \"sha256:\" and 64 digits");
	snprintf(file, sizeof(file), "blobs/sha256/%s", digest + 7);
	fd = openat(layout_fd, file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return bad(ret_reason, cap, layout, file, "cannot be opened: copy the layout again, whole");
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return bad(ret_reason, cap, layout, file, "not a regular file");
	if (st.st_size != size)
		return bad(ret_reason, cap, layout, file,
			"not as long as its descriptor says: copy the layout again, whole");
	err = oci_digest_fd(fd, found, &bytes);
	if (err < 0)
		return bad(ret_reason, cap, layout, file, err_text(err));
	if (strcmp(found, digest) != 0)
		return bad(ret_reason, cap, layout, file,
			"its SHA-256 is not its name: it was changed or damaged, copy the layout again");
	*ret_fd = TAKE_FD(fd);
	return 0;
}

static int parse_fd(
	int fd, const char *layout, const char *file, cJSON **ret_json, char *ret_reason, size_t cap)
{
	CLEAN_FREE char *text = NULL;
	size_t len;
	int line = 0, column = 0;
	int err = file_read_fd(fd, OCI_JSON_BYTES_MAX, &text, &len);

	if (err == 0)
		err = json_parse(text, len, OCI_JSON_BYTES_MAX, ret_json, &line, &column);
	if (err == ERR_FORMAT) {
		snprintf(ret_reason, cap, "%.200s/%.100s:%d:%d: not JSON", layout, file, line, column);
		return ERR_IMAGE;
	}
	return err < 0 ? bad(ret_reason, cap, layout, file, err_text(err)) : 0;
}

static int open_json_blob(int layout_fd, const char *layout, const cJSON *descriptor, const char *of,
	cJSON **ret_json, char *ret_reason, size_t cap)
{
	CLEAN_FD int fd = -1;
	int err = open_blob(layout_fd, layout, descriptor, of, &fd, ret_reason, cap);

	return err < 0 ? err
		       : parse_fd(fd, layout, json_str(descriptor, "digest"), ret_json, ret_reason, cap);
}

static bool is_index(const cJSON *descriptor)
{
	const char *type = json_str(descriptor, "mediaType");

	return type &&
	       (strcmp(type, OCI_TYPE_INDEX) == 0 ||
		       strcmp(type, "application/vnd.docker.distribution.manifest.list.v2+json") == 0);
}

static bool is_manifest(const cJSON *descriptor)
{
	const char *type = json_str(descriptor, "mediaType");

	return type && (strcmp(type, OCI_TYPE_MANIFEST) == 0 ||
			       strcmp(type, "application/vnd.docker.distribution.manifest.v2+json") == 0);
}

/* Finds the manifest for an architecture in an index, and in the indexes that it names; a copy, which the
 * caller deletes. Left NULL when there is none. */
static int find_manifest(struct oci_image *o, cJSON *index, const char *architecture, unsigned depth,
	cJSON **ret_descriptor, char *ret_reason, size_t cap)
{
	const cJSON *manifests = cJSON_GetObjectItemCaseSensitive(index, "manifests"), *m;

	if (!cJSON_IsArray(manifests))
		return bad(ret_reason, cap, o->layout, "index.json", "has no list \"manifests\"");
	cJSON_ArrayForEach(m, manifests)
	{
		const cJSON *platform = cJSON_GetObjectItemCaseSensitive(m, "platform");
		const char *os = json_str(platform, "os"), *arch = json_str(platform, "architecture");
		cJSON *nested = NULL;
		int err;

		/* Without a platform it fits when its config says so, which is checked later. */
		if (platform && (!os || strcmp(os, "linux") != 0 || !arch || strcmp(arch, architecture) != 0))
			continue;
		if (is_manifest(m)) {
			*ret_descriptor = cJSON_Duplicate(m, true);
			return *ret_descriptor ? 0 : -ENOMEM;
		}
		if (!is_index(m) || depth == NESTED_MAX)
			continue;
		err = open_json_blob(o->layout_fd, o->layout, m, "index.json", &nested, ret_reason, cap);
		if (err == 0)
			err = find_manifest(
				o, nested, architecture, depth + 1, ret_descriptor, ret_reason, cap);
		cJSON_Delete(nested);
		if (err < 0 || *ret_descriptor)
			return err;
	}
	return 0;
}

static int open_index(struct oci_image *o, cJSON **ret_index, char *ret_reason, size_t cap)
{
	CLEAN_FD int marker = -1;
	CLEAN_FD int fd = -1;
	CLEAN_JSON cJSON *layout = NULL;
	const char *version;
	int err;

	o->layout_fd = open(o->layout, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (o->layout_fd < 0) {
		snprintf(ret_reason, cap, "%.300s: no image layout there: %.100s", o->layout,
			err_text(-errno));
		return ERR_IMAGE;
	}
	marker = openat(o->layout_fd, "oci-layout", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (marker < 0)
		return bad(ret_reason, cap, o->layout, "oci-layout",
			"missing: this folder is not an OCI image layout");
	err = parse_fd(marker, o->layout, "oci-layout", &layout, ret_reason, cap);
	if (err < 0)
		return err;
	version = json_str(layout, "imageLayoutVersion");
	if (!version || strncmp(version, "1.", 2) != 0)
		return bad(ret_reason, cap, o->layout, "oci-layout", "expected imageLayoutVersion 1.0.0");
	fd = openat(o->layout_fd, "index.json", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return bad(ret_reason, cap, o->layout, "index.json", "missing: copy the layout again, whole");
	return parse_fd(fd, o->layout, "index.json", ret_index, ret_reason, cap);
}

static int choose(struct oci_image *o, const char *architecture, char *ret_reason, size_t cap)
{
	CLEAN_JSON cJSON *index = NULL, *descriptor = NULL;
	const char *os, *arch;
	int err = open_index(o, &index, ret_reason, cap);

	if (err == 0)
		err = find_manifest(o, index, architecture, 0, &descriptor, ret_reason, cap);
	if (err < 0)
		return err;
	if (!descriptor) {
		snprintf(ret_reason, cap,
			"%.300s/index.json: no image for linux/%s: build the image for this architecture too",
			o->layout, architecture);
		return ERR_IMAGE;
	}
	err = open_json_blob(
		o->layout_fd, o->layout, descriptor, "index.json", &o->manifest, ret_reason, cap);
	if (err < 0)
		return err;
	snprintf(o->digest, sizeof(o->digest), "%s", json_str(descriptor, "digest"));
	err = open_json_blob(o->layout_fd, o->layout, cJSON_GetObjectItemCaseSensitive(o->manifest, "config"),
		o->digest, &o->config, ret_reason, cap);
	if (err < 0)
		return err;
	os = json_str(o->config, "os");
	arch = json_str(o->config, "architecture");
	if (!os || strcmp(os, "linux") != 0 || !arch || strcmp(arch, architecture) != 0) {
		snprintf(ret_reason, cap,
			"%.250s: an image for %.30s/%.30s, and this machine is linux/%s: build it for "
			"this architecture too",
			o->layout, os ? os : "?", arch ? arch : "?", architecture);
		return ERR_IMAGE;
	}
	if (oci_layers(o) > OCI_LAYERS_MAX)
		return bad(ret_reason, cap, o->layout, o->digest, "more than 64 layers");
	return 0;
}

int oci_open(const char *layout, const char *architecture, struct oci_image *ret_image, char *ret_reason,
	size_t cap)
{
	struct oci_image o = {.layout = layout, .layout_fd = -1};
	int err = choose(&o, architecture, ret_reason, cap);

	if (err < 0) {
		oci_close(&o);
		return err;
	}
	*ret_image = o;
	return 0;
}

void oci_close(struct oci_image *image)
{
	if (image->layout_fd >= 0)
		close(TAKE_FD(image->layout_fd));
	cJSON_Delete(TAKE_PTR(image->manifest));
	cJSON_Delete(TAKE_PTR(image->config));
}

size_t oci_layers(const struct oci_image *image)
{
	const cJSON *layers = cJSON_GetObjectItemCaseSensitive(image->manifest, "layers");

	return cJSON_IsArray(layers) ? (size_t)cJSON_GetArraySize(layers) : 0;
}

int oci_open_layer(const struct oci_image *image, size_t i, int *ret_fd, char *ret_reason, size_t cap)
{
	const cJSON *layer =
		cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(image->manifest, "layers"), (int)i);
	const char *type = json_str(layer, "mediaType");

	/* gzip is recognised by its content. */
	if (!type || (strcmp(type, OCI_TYPE_LAYER) != 0 && strcmp(type, OCI_TYPE_LAYER "+gzip") != 0 &&
			     strcmp(type, "application/vnd.docker.image.rootfs.diff.tar.gzip") != 0))
		return bad(ret_reason, cap, image->layout, image->digest,
			"a layer that is neither tar nor tar+gzip: convert the image");
	return open_blob(image->layout_fd, image->layout, layer, image->digest, ret_fd, ret_reason, cap);
}
