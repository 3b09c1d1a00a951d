/* SPDX-License-Identifier: Apache-2.0 */
/* Text from outside on its way to a terminal or a log: printable, one line, bounded. */
#ifndef CORE_ESCAPE_H
#define CORE_ESCAPE_H

#include <stddef.h>

/* The length (1..4) of the UTF-8 character at p, or 0 when it is not well-formed (RFC 3629: no surrogates, no
 * overlong forms). len > 0. */
size_t utf8_len(const unsigned char *p, size_t len);

/* Copies text, with control characters (C0, DEL, C1) and bytes that are not UTF-8 as \xNN. Cuts before a
 * whole character with "..." when it does not fit. Terminates (cap at least 8). Returns the length. */
size_t text_escape(const char *text, size_t len, char *ret_text, size_t cap);

#endif
