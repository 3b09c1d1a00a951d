/* SPDX-License-Identifier: Apache-2.0 */
/* Between the parts of expr.h: what parsing makes, and checking and evaluating read. */
#ifndef PIPELINES_EXPR_NODE_H
#define PIPELINES_EXPR_NODE_H

#include "expr.h"

enum op {
	OP_OR,
	OP_AND,
	OP_NOT,
	OP_EQ,
	OP_NE,
	OP_LT,
	OP_LE,
	OP_GT,
	OP_GE,
	OP_ADD,
	OP_SUB,
	OP_MUL,
	OP_DIV,
	OP_NEG,
	OP_NUMBER,
	OP_TEXT,
	OP_BOOL,
	OP_REF,   /* STAGE.OUTPUT */
	OP_PARAM, /* params.NAME */
	OP_ITEM,
	OP_INDEX,
};

struct node {
	enum op op;
	enum expr_type type; /* OP_PARAM */
	short a, b;          /* operands, -1 none */
	unsigned short at;   /* where in the text it is written: of an operator, the operator */
	double number;
	const char *text;    /* OP_TEXT, and a reference's whole spelling: in expr.words */
	const char *members; /* what follows STAGE.OUTPUT or item, "" or ".x[0].y"; OP_PARAM: its name */
	size_t stage, output;
};

struct expr {
	short n, root;
	char *words; /* owned: every text and reference, zero-terminated one after the other */
	size_t words_len;
	struct node nodes[]; /* n */
};

/* expr-check.c: the types that are known fit, and the whole is true or false. ERR_FORMAT with the reason and
 * where. */
WARN_UNUSED int expr_check(const struct expr *e, char ret_reason[EXPR_REASON_BYTES], size_t *ret_offset);

#endif
