/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of the cloud stage. */
#ifndef EO_CLOUD_H
#define EO_CLOUD_H

#include "image.h"

/* Each fills classes (width x height bytes). -1 when out of memory. */
WARN_UNUSED int eo_cloud_spectral(const struct eo_image *im, uint8_t *classes);
WARN_UNUSED int eo_cloud_visible(const struct eo_image *im, uint8_t *classes);

/* Shadow: changes clear dark land into EO_SHADOW where clouds throw it. For six bands. */
WARN_UNUSED int eo_cloud_shadow(const struct eo_image *im, uint8_t *classes);

/* Gives small things that lie in water on all sides back to the water, so that the next stage looks at them:
 * ships are not water by their spectrum. Small compact clouds stay clouds, islets land. gsd: metres a pixel.
 */
WARN_UNUSED int eo_cloud_objects(uint8_t *classes, uint32_t width, uint32_t height, double gsd);

#endif
