/* SPDX-License-Identifier: Apache-2.0 */
/* From a program to a layout: one layer with one file, without times, owners or names of this machine. */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "core/file.h"
#include "oci.h"
#include "rootfs.h"

#define PROGRAM_BYTES_MAX (256u << 20)
#define TAR_BLOCK 512

static int fail(char *ret_reason, size_t cap, const char *what, const char *why, int err)
{
	snprintf(ret_reason, cap, "%.300s: %s", what, why);
	return err;
}

struct bytes {
	char *data;
	size_t len, size;
};

static la_ssize_t grow(struct archive *a, void *user, const void *data, size_t len)
{
	struct bytes *b = user;

	if (b->len + len > b->size) {
		size_t size = 2 * (b->len + len);
		char *more = realloc(b->data, size);

		if (!more)
			return -1;
		b->data = more;
		b->size = size;
	}
	memcpy(b->data + b->len, data, len);
	b->len += len;
	return (la_ssize_t)len;
}

/* A ustar archive with the program as NAME, mode 0755, all else zero. The caller frees ret_tar->data. */
static int make_layer(const char *name, const char *program, size_t len, struct bytes *ret_tar)
{
	struct archive *a = archive_write_new();
	struct archive_entry *e = archive_entry_new();
	struct bytes tar = {0};
	bool ok = a && e;

	ok = ok && archive_write_set_format_ustar(a) == ARCHIVE_OK &&
	     archive_write_add_filter_none(a) == ARCHIVE_OK &&
	     archive_write_set_bytes_per_block(a, TAR_BLOCK) == ARCHIVE_OK &&
	     archive_write_open(a, &tar, NULL, grow, NULL) == ARCHIVE_OK;
	if (ok) {
		archive_entry_set_pathname(e, name);
		archive_entry_set_filetype(e, AE_IFREG);
		archive_entry_set_perm(e, 0755);
		archive_entry_set_size(e, (la_int64_t)len);
		archive_entry_set_mtime(e, 0, 0);
		ok = archive_write_header(a, e) == ARCHIVE_OK &&
		     archive_write_data(a, program, len) == (la_ssize_t)len &&
		     archive_write_close(a) == ARCHIVE_OK;
	}
	archive_entry_free(e);
	archive_write_free(a);
	if (!ok) {
		free(tar.data);
		return -ENOMEM;
	}
	*ret_tar = tar;
	return 0;
}

/* Writes a blob and makes its descriptor. NULL on failure. */
static cJSON *put_blob(const char *layout, const char *type, const void *data, size_t len)
{
	char digest[IMAGE_DIGEST_BYTES], path[PATH_MAX];
	cJSON *descriptor;

	oci_digest_data(data, len, digest);
	if (path_format(path, sizeof(path), "%s/blobs/sha256/%s", layout, digest + 7) < 0 ||
		file_replace(path, data, len, 0644) < 0)
		return NULL;
	descriptor = cJSON_CreateObject();
	if (!descriptor)
		return NULL;
	cJSON_AddStringToObject(descriptor, "mediaType", type);
	cJSON_AddStringToObject(descriptor, "digest", digest);
	cJSON_AddNumberToObject(descriptor, "size", (double)len);
	return descriptor;
}

static cJSON *put_json(const char *layout, const char *type, const cJSON *json)
{
	CLEAN_FREE char *text = cJSON_PrintUnformatted(json);

	return text ? put_blob(layout, type, text, strlen(text)) : NULL;
}

static cJSON *make_config(const char *name, const char *architecture, const char *layer_digest)
{
	cJSON *config = cJSON_CreateObject(), *run = cJSON_AddObjectToObject(config, "config");
	cJSON *entry = cJSON_AddArrayToObject(run, "Entrypoint");
	cJSON *rootfs = cJSON_AddObjectToObject(config, "rootfs"), *ids;
	char path[128];

	snprintf(path, sizeof(path), "/%s", name);
	cJSON_AddItemToArray(entry, cJSON_CreateString(path));
	cJSON_AddStringToObject(config, "architecture", architecture);
	cJSON_AddStringToObject(config, "os", "linux");
	cJSON_AddStringToObject(rootfs, "type", "layers");
	ids = cJSON_AddArrayToObject(rootfs, "diff_ids");
	cJSON_AddItemToArray(ids, cJSON_CreateString(layer_digest));
	return config;
}

/* Blobs for one architecture; the manifest's descriptor for the index, or NULL. */
static cJSON *put_image(
	const char *layout, const char *name, const char *architecture, const struct bytes *layer)
{
	cJSON *layer_descriptor = put_blob(layout, OCI_TYPE_LAYER, layer->data, layer->len);
	CLEAN_JSON cJSON *config =
		layer_descriptor ? make_config(name, architecture, json_str(layer_descriptor, "digest"))
				 : NULL;
	cJSON *config_descriptor = config ? put_json(layout, OCI_TYPE_CONFIG, config) : NULL;
	CLEAN_JSON cJSON *manifest = cJSON_CreateObject();
	cJSON *descriptor, *layers, *platform;

	cJSON_AddNumberToObject(manifest, "schemaVersion", 2);
	cJSON_AddStringToObject(manifest, "mediaType", OCI_TYPE_MANIFEST);
	cJSON_AddItemToObject(manifest, "config", config_descriptor);
	layers = cJSON_AddArrayToObject(manifest, "layers");
	cJSON_AddItemToArray(layers, layer_descriptor);
	if (!layer_descriptor || !config_descriptor || !layers)
		return NULL;
	descriptor = put_json(layout, OCI_TYPE_MANIFEST, manifest);
	platform = descriptor ? cJSON_AddObjectToObject(descriptor, "platform") : NULL;
	cJSON_AddStringToObject(platform, "architecture", architecture);
	cJSON_AddStringToObject(platform, "os", "linux");
	cJSON_AddStringToObject(cJSON_AddObjectToObject(descriptor, "annotations"),
		"org.opencontainers.image.ref.name", name);
	return descriptor;
}

/* The manifests that are there already for other architectures, in their order. */
static void keep_others(const char *index_path, const char *architecture, cJSON *manifests)
{
	CLEAN_JSON cJSON *old = NULL;
	const cJSON *m;

	if (json_load(index_path, OCI_JSON_BYTES_MAX, &old) < 0)
		return;
	cJSON_ArrayForEach(m, cJSON_GetObjectItemCaseSensitive(old, "manifests"))
	{
		const char *arch = json_str(cJSON_GetObjectItemCaseSensitive(m, "platform"), "architecture");

		if (arch && strcmp(arch, architecture) != 0)
			cJSON_AddItemToArray(manifests, cJSON_Duplicate(m, true));
	}
}

static int put_index(const char *layout, const char *architecture, cJSON *descriptor)
{
	static const char marker[] = "{\"imageLayoutVersion\":\"1.0.0\"}";
	CLEAN_JSON cJSON *index = cJSON_CreateObject();
	CLEAN_FREE char *text = NULL;
	char path[PATH_MAX];
	cJSON *manifests;
	int err = path_format(path, sizeof(path), "%s/index.json", layout);

	cJSON_AddNumberToObject(index, "schemaVersion", 2);
	cJSON_AddStringToObject(index, "mediaType", OCI_TYPE_INDEX);
	manifests = cJSON_AddArrayToObject(index, "manifests");
	if (err == 0)
		keep_others(path, architecture, manifests);
	cJSON_AddItemToArray(manifests, descriptor);
	text = cJSON_PrintUnformatted(index);
	if (!text)
		return -ENOMEM;
	if (err == 0)
		err = file_replace(path, text, strlen(text), 0644);
	if (err == 0)
		err = path_format(path, sizeof(path), "%s/oci-layout", layout);
	return err < 0 ? err : file_replace(path, marker, sizeof(marker) - 1, 0644);
}

static bool is_name(const char *name)
{
	return name[0] && strlen(name) < 64 &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-_.") == strlen(name) && name[0] != '.' &&
	       name[0] != '-';
}

/* The program's architecture, when it can be an image by itself. */
static int check_static(const char *program, const char **ret_architecture, char *ret_reason, size_t cap)
{
	CLEAN_FD int fd = open(program, O_RDONLY | O_CLOEXEC);
	char interpreter[ROOTFS_PATH_BYTES];
	const char *architecture;

	if (fd < 0)
		return fail(ret_reason, cap, program, err_text(-errno), -errno);
	architecture = elf_architecture(fd, interpreter, sizeof(interpreter));
	if (!architecture)
		return fail(ret_reason, cap, program, "not a 64-bit ELF program", ERR_IMAGE);
	if (interpreter[0])
		return fail(ret_reason, cap, program,
			"linked dynamically: an image of one program needs it linked with -static",
			ERR_IMAGE);
	*ret_architecture = architecture;
	return 0;
}

int image_build(const char *name, const char *program, const char *layout_dir, char *ret_reason, size_t cap)
{
	CLEAN_FREE char *data = NULL;
	const char *architecture = NULL;
	struct bytes layer;
	cJSON *descriptor;
	char blobs[PATH_MAX];
	size_t len;
	int err;

	if (!is_name(name))
		return fail(ret_reason, cap, name, "not a name of [a-z0-9._-]", -EINVAL);
	err = check_static(program, &architecture, ret_reason, cap);
	if (err < 0)
		return err;
	err = file_read(program, PROGRAM_BYTES_MAX, &data, &len);
	if (err < 0)
		return fail(ret_reason, cap, program, err_text(err), err);
	err = path_format(blobs, sizeof(blobs), "%s/blobs/sha256", layout_dir);
	if (err == 0)
		err = dir_make(blobs, 0755);
	if (err < 0)
		return fail(ret_reason, cap, layout_dir, err_text(err), err);
	err = make_layer(name, data, len, &layer);
	if (err < 0)
		return fail(ret_reason, cap, program, err_text(err), err);
	descriptor = put_image(layout_dir, name, architecture, &layer);
	free(layer.data);
	if (!descriptor)
		return fail(ret_reason, cap, layout_dir, "cannot write its blobs", -EIO);
	err = put_index(layout_dir, architecture, descriptor);
	return err < 0 ? fail(ret_reason, cap, layout_dir, err_text(err), err) : 0;
}
