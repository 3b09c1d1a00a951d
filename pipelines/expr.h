/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The small typed language of `when`:
 *
 *   or and not   == != < <= > >=   + - * /   ( )   1.5  'text'  true false   STAGE.OUTPUT.member[0].member
 *
 * A dash inside a word belongs to the word (cloud-2.report.x); a minus has spaces around it. Values are
 * numbers, texts, booleans or null; a comparison between different types is a mistake, not false.
 */
#ifndef PIPELINES_EXPR_H
#define PIPELINES_EXPR_H

#include <cjson/cJSON.h>
#include <stdbool.h>

#include "core/err.h"

#define EXPR_BYTES_MAX 2048
#define EXPR_NODES_MAX 256
#define EXPR_REASON_BYTES 200

struct expr;

/* Says whether STAGE.OUTPUT can be referred to and gives them numbers; negative, with the reason, if not. */
typedef int (*expr_resolve_fn)(void *user, const char *stage, const char *output, size_t *ret_stage,
	size_t *ret_output, char ret_reason[EXPR_REASON_BYTES]);

/* Parses. ERR_FORMAT with the reason and the offset in bytes from the start of the text. */
WARN_UNUSED int expr_parse(const char *text, expr_resolve_fn resolve, void *user, struct expr **ret_expr,
	char ret_reason[EXPR_REASON_BYTES], size_t *ret_offset);
void expr_destroy(struct expr *e);

/* The stages that the expression reads: calls fn for each reference. */
void expr_each_stage(const struct expr *e, void (*fn)(void *user, size_t stage, size_t output), void *user);

/* The JSON value of an output of a finished stage; borrowed; NULL when it has none. */
typedef const cJSON *(*expr_value_fn)(void *user, size_t stage, size_t output);

/* 1 true, 0 false, ERR_FORMAT with the reason when it has no truth value. ret_reason then, or on success,
 * says in words what the values were ("cloud.report.cloud_fraction is 0.93"). */
WARN_UNUSED int expr_truth(
	const struct expr *e, expr_value_fn value, void *user, char ret_reason[EXPR_REASON_BYTES]);

#endif
