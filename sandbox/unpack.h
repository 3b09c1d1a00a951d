/* SPDX-License-Identifier: Apache-2.0 */
/* Layers of an image, which are hostile tar files, onto a root folder. */
#ifndef SANDBOX_UNPACK_H
#define SANDBOX_UNPACK_H

#include <stdint.h>

#include "core/err.h"

#define UNPACK_ENTRIES_MAX 100000
#define UNPACK_BYTES_MAX (UINT64_C(4) << 30)

/* What all layers of one image may still use. */
struct unpack_budget {
	uint64_t entries, bytes;
};

/* Unpacks one layer (tar, plain or gzip) from the start of `blob` onto `root`, honouring its whiteouts (OCI
 * image layer specification, "Whiteouts"). Owners and times are not kept; modes become 0755 or 0644; set-uid
 * bits go; device nodes, fifos, sockets, absolute paths and ".." are refused. ERR_IMAGE with the reason, or
 * -errno. */
WARN_UNUSED int unpack_layer(int blob, int root, struct unpack_budget *budget, char *ret_reason, size_t cap);

#endif
