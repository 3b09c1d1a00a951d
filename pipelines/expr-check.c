/* SPDX-License-Identifier: Apache-2.0 */
/* The language of `when`: the types that are known before anything runs. */
#include <stdarg.h>
#include <stdio.h>

#include "expr-node.h"

struct checker {
	const struct expr *e;
	char *reason; /* EXPR_REASON_BYTES, "" while all is well */
	size_t offset;
};

static enum expr_type mistake(struct checker *k, const struct node *n, const char *fmt, ...) PRINTF(3, 4);
static enum expr_type mistake(struct checker *k, const struct node *n, const char *fmt, ...)
{
	va_list ap;

	if (k->reason[0])
		return EXPR_ANY;
	va_start(ap, fmt);
	vsnprintf(k->reason, EXPR_REASON_BYTES, fmt, ap);
	va_end(ap);
	k->offset = n->at;
	return EXPR_ANY;
}

static const char *type_name(enum expr_type t)
{
	static const char *const names[] = {"any value", "a number", "a text", "true or false", "a list"};
	_Static_assert(ARRAY_LEN(names) == EXPR_TYPE_MAX, "a name for each type");

	return names[t];
}

static enum expr_type check(struct checker *k, short at);

static void want(struct checker *k, short at, enum expr_type type)
{
	enum expr_type is = check(k, at);

	if (is != EXPR_ANY && is != type)
		mistake(k, &k->e->nodes[at], "expected %s, this is %s", type_name(type), type_name(is));
}

static enum expr_type check_compare(struct checker *k, const struct node *n)
{
	enum expr_type a = check(k, n->a), b = check(k, n->b);
	bool equality = n->op == OP_EQ || n->op == OP_NE;

	if (a != EXPR_ANY && b != EXPR_ANY && a != b)
		mistake(k, n, "%s and %s cannot be compared", type_name(a), type_name(b));
	if (!equality && (a == EXPR_BOOL || b == EXPR_BOOL))
		mistake(k, n, "true or false has no order: only == and != compare it");
	return EXPR_BOOL;
}

static enum expr_type check(struct checker *k, short at)
{
	const struct node *n = &k->e->nodes[at];

	switch (n->op) {
	case OP_OR:
	case OP_AND:
		want(k, n->a, EXPR_BOOL);
		want(k, n->b, EXPR_BOOL);
		return EXPR_BOOL;
	case OP_NOT:
		want(k, n->a, EXPR_BOOL);
		return EXPR_BOOL;
	case OP_EQ:
	case OP_NE:
	case OP_LT:
	case OP_LE:
	case OP_GT:
	case OP_GE:
		return check_compare(k, n);
	case OP_DIV:
		if (k->e->nodes[n->b].op == OP_NUMBER && k->e->nodes[n->b].number == 0)
			mistake(k, n, "division by zero");
		__attribute__((fallthrough));
	case OP_ADD:
	case OP_SUB:
	case OP_MUL:
		want(k, n->a, EXPR_NUMBER);
		want(k, n->b, EXPR_NUMBER);
		return EXPR_NUMBER;
	case OP_NEG:
		want(k, n->a, EXPR_NUMBER);
		return EXPR_NUMBER;
	case OP_NUMBER:
	case OP_INDEX:
		return EXPR_NUMBER;
	case OP_TEXT:
		return EXPR_TEXT;
	case OP_BOOL:
		return EXPR_BOOL;
	case OP_PARAM:
		return n->type == EXPR_LIST ? mistake(k, n, "%s is a list, expected a single value", n->text)
					    : n->type;
	case OP_REF:
	case OP_ITEM:
		break;
	}
	return EXPR_ANY;
}

int expr_check(const struct expr *e, char ret_reason[EXPR_REASON_BYTES], size_t *ret_offset)
{
	struct checker k = {.e = e, .reason = ret_reason};

	ret_reason[0] = '\0';
	want(&k, e->root, EXPR_BOOL);
	*ret_offset = k.offset;
	return ret_reason[0] ? ERR_FORMAT : 0;
}
