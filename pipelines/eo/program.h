/* SPDX-License-Identifier: Apache-2.0 */
/* What the three programs have in common: files in, files out, parameters. */
#ifndef EO_PROGRAM_H
#define EO_PROGRAM_H

#include <stdlib.h>

#include "eo.h"
#include "perigee.h"

static inline const void *program_input(const char *name, size_t *ret_len)
{
	const void *data = perigee_map_in(name, ret_len);

	if (!data)
		perigee_fail("%s: %s", name, strerror(errno));
	return data;
}

static inline void program_output(const char *name, struct eo_buf *b)
{
	if (perigee_write_out(name, b->data, b->len) < 0)
		perigee_fail("%s: %s", name, strerror(errno));
	eo_buf_finish(b);
}

static inline double program_gsd(const char *key)
{
	double gsd = perigee_param_number(key, 0);

	if (!(gsd == 0 || (gsd >= 0.1 && gsd <= 1000)))
		perigee_fail("%s: expected metres a pixel, 0.1 to 1000, or 0 for the default", key);
	return gsd;
}

static inline struct eo_params program_params(void)
{
	return (struct eo_params){
		.gsd_rgb_m = program_gsd("gsd_rgb_m"), .gsd_multi_m = program_gsd("gsd_multi_m")};
}

#endif
