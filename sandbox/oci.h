/* SPDX-License-Identifier: Apache-2.0 */
/* Reading an OCI image layout: from index.json to the manifest for this machine, its config and its layers.
 */
#ifndef SANDBOX_OCI_H
#define SANDBOX_OCI_H

#include <stdint.h>

#include "core/json.h"
#include "sandbox.h"

#define OCI_JSON_BYTES_MAX (4u << 20)
#define OCI_LAYERS_MAX 64

#define OCI_TYPE_INDEX "application/vnd.oci.image.index.v1+json"
#define OCI_TYPE_MANIFEST "application/vnd.oci.image.manifest.v1+json"
#define OCI_TYPE_CONFIG "application/vnd.oci.image.config.v1+json"
#define OCI_TYPE_LAYER "application/vnd.oci.image.layer.v1.tar"

struct oci_image {
	const char *layout; /* borrowed */
	int layout_fd;
	char digest[IMAGE_DIGEST_BYTES]; /* of the manifest */
	cJSON *manifest, *config;        /* owned */
};

/* Opens a layout and chooses the manifest for `architecture`. Manifest and config are verified; layers are
 * when they are opened. ERR_IMAGE with the reason. */
WARN_UNUSED int oci_open(const char *layout, const char *architecture, struct oci_image *ret_image,
	char *ret_reason, size_t cap);
void oci_close(struct oci_image *image);

size_t oci_layers(const struct oci_image *image);
/* Opens layer i, verified. */
WARN_UNUSED int oci_open_layer(
	const struct oci_image *image, size_t i, int *ret_fd, char *ret_reason, size_t cap);

/* "sha256:…" of a whole file, and its length. */
WARN_UNUSED int oci_digest_fd(int fd, char ret_digest[IMAGE_DIGEST_BYTES], uint64_t *ret_bytes);
void oci_digest_data(const void *data, size_t len, char ret_digest[IMAGE_DIGEST_BYTES]);

#endif
