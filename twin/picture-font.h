/* SPDX-License-Identifier: Apache-2.0 */
/* Capital letters, digits and some signs, 5 by 7 pixels. */
#ifndef TWIN_PICTURE_FONT_H
#define TWIN_PICTURE_FONT_H

#include <stdint.h>

#define FONT_WIDTH 5
#define FONT_HEIGHT 7
#define FONT_STEP 6 /* to the next character */

/* Seven rows of five bits, the left pixel the highest. Small letters look like capitals; what is not known
 * looks like a box. Borrowed for ever. */
const uint8_t *font_glyph(char c);

#endif
