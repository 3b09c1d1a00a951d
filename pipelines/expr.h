/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The small typed language of `when`:
 *
 *   or and not   == != < <= > >=   + - * /   ( )   1.5  'text'  true false
 *   STAGE.OUTPUT.member[0].member   params.NAME   item.member[0]   index
 *
 * A dash inside a word belongs to the word (cloud-2.report.x); a minus has spaces around it. Values are
 * numbers, texts, booleans or null; a comparison between different types is a mistake, not false. Where types
 * are known before anything runs (parameters, `index`, what is written), they are checked when it is parsed.
 */
#ifndef PIPELINES_EXPR_H
#define PIPELINES_EXPR_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/err.h"

#define EXPR_BYTES_MAX 2048
#define EXPR_NODES_MAX 256
#define EXPR_REASON_BYTES 200

struct expr;

/* EXPR_ANY: known only when it is evaluated. */
enum expr_type { EXPR_ANY, EXPR_NUMBER, EXPR_TEXT, EXPR_BOOL, EXPR_LIST, EXPR_TYPE_MAX };

/* The names that an expression may use. */
struct expr_names {
	/* Says whether STAGE.OUTPUT can be referred to and gives them numbers; negative, with the reason, if
	 * not. */
	int (*output)(void *user, const char *stage, const char *output, size_t *ret_stage,
		size_t *ret_output, char ret_reason[EXPR_REASON_BYTES]);
	/* The same of a parameter and its type. NULL: there are none. */
	int (*param)(
		void *user, const char *name, enum expr_type *ret_type, char ret_reason[EXPR_REASON_BYTES]);
	bool item; /* `item` and `index` are known */
	void *user;
};

/* Parses, and checks the types that are known. ERR_FORMAT with the reason and the offset in bytes from the
 * start of the text. */
WARN_UNUSED int expr_parse(const char *text, const struct expr_names *names, struct expr **ret_expr,
	char ret_reason[EXPR_REASON_BYTES], size_t *ret_offset);
void expr_destroy(struct expr *e);

/* The stages that the expression reads: calls fn for each reference. */
void expr_each_stage(const struct expr *e, void (*fn)(void *user, size_t stage, size_t output), void *user);
/* Whether it reads `item` or `index`. */
bool expr_reads_item(const struct expr *e);

/* The JSON value of an output of a finished stage; borrowed; NULL when it has none. */
typedef const cJSON *(*expr_value_fn)(void *user, size_t stage, size_t output);

/* What the names are worth. */
struct expr_scope {
	expr_value_fn value;
	void *user;          /* of value */
	const cJSON *params; /* object with every parameter; NULL when there are none */
	const cJSON *item;   /* of a foreach; NULL: none */
	int64_t index;
};

/* 1 true, 0 false, ERR_FORMAT with the reason when it has no truth value. ret_reason then, or on success,
 * says in words what the values were ("cloud.report.cloud_fraction is 0.93"). */
WARN_UNUSED int expr_truth(
	const struct expr *e, const struct expr_scope *scope, char ret_reason[EXPR_REASON_BYTES]);

#endif
