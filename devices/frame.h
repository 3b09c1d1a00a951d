/* SPDX-License-Identifier: Apache-2.0 */
/* Samples as a device delivers them, written as a PAM file and hashed on the way. */
#ifndef DEVICES_FRAME_H
#define DEVICES_FRAME_H

#include <stdbool.h>

#include "core/artifact.h"
#include "core/pam.h"

struct sample_layout {
	unsigned int bytes; /* of one sample as delivered: 1 or 2 */
	unsigned int bits;  /* that count */
	unsigned int shift; /* to the right, to get them */
	bool little_endian; /* as delivered */
};

/* Can it be written as PAM without loss? */
bool sample_layout_usable(const struct sample_layout *l);
/* Writes header and samples from the start of the file, cuts it there, makes it durable. `pam` gives the
 * shape; its maxval is set from the layout. `samples`: pam_data_bytes() bytes. -errno from writing. */
WARN_UNUSED int frame_write(int fd, struct pam *pam, const struct sample_layout *layout, const void *samples,
	struct digest *ret_digest, uint64_t *ret_bytes);
/* The TUPLTYPE of these bands (lower or upper case names). Names are cut to what fits and is allowed. */
void frame_tupltype(const char *const *bands, size_t n_bands, char *ret_text, size_t cap);

#endif
