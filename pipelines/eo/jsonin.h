/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading JSON front to back without a tree: as much as a stage needs, with no library in its static binary.
 *The first mistake sets `bad`, after which every reader gives nothing, so that a caller may test it once.
 *
 *	jsonin_begin(&j, '{');
 *	while (jsonin_key(&j, key, sizeof(key)))
 *		if (!strcmp(key, "x"))
 *			x = jsonin_number(&j);
 *		else
 *			jsonin_skip(&j);
 */
#ifndef EO_JSONIN_H
#define EO_JSONIN_H

#include <stdbool.h>
#include <stddef.h>

#define JSONIN_DEPTH_MAX 16

struct jsonin {
	const char *at, *end; /* borrowed */
	bool first;           /* no comma is due before the next key or item */
	bool bad;
};

/* Enters an object ('{') or an array ('['). */
void jsonin_begin(struct jsonin *j, char bracket);
/* The next key of the object, or false at its end. A key longer than cap - 1 bytes, or with escapes, is a
 * mistake. */
bool jsonin_key(struct jsonin *j, char *ret_key, size_t cap);
/* Whether the array has another item, which must then be read. */
bool jsonin_item(struct jsonin *j);
/* A finite number; 0 when bad. */
double jsonin_number(struct jsonin *j);
/* Any value. */
void jsonin_skip(struct jsonin *j);
/* Nothing but white space may follow. */
bool jsonin_end(struct jsonin *j);

#endif
