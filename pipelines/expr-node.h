/* SPDX-License-Identifier: Apache-2.0 */
/* Between the two halves of expr.h: what parsing makes and evaluating reads. */
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
	OP_REF,
};

struct node {
	enum op op;
	short a, b; /* operands, -1 none */
	double number;
	const char *text;    /* OP_TEXT, and OP_REF's whole spelling: in expr.words */
	const char *members; /* OP_REF: what follows STAGE.OUTPUT, "" or ".x[0].y" */
	size_t stage, output;
};

struct expr {
	short n, root;
	char *words; /* owned: every text and reference, zero-terminated one after the other */
	size_t words_len;
	struct node nodes[]; /* n */
};

#endif
