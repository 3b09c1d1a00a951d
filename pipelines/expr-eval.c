/* SPDX-License-Identifier: Apache-2.0 */
/* The language of `when`: what a tree is worth. */
#include <stdarg.h>
#include <string.h>

#include "expr-node.h"
#include "members.h"

struct value {
	enum { V_ERROR, V_NUMBER, V_TEXT, V_BOOL, V_NULL } type;
	double number;
	const char *text;
};

struct evaluation {
	const struct expr *e;
	const struct expr_scope *scope;
	char *reason;
	char seen[EXPR_REASON_BYTES - 64]; /* room for the words around it; what the references were */
};

static struct value number(double v)
{
	return (struct value){.type = V_NUMBER, .number = v};
}

static struct value truth(bool v)
{
	return (struct value){.type = V_BOOL, .number = v};
}

static struct value mistake(struct evaluation *ev, const char *fmt, ...) PRINTF(2, 3);
static struct value mistake(struct evaluation *ev, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(ev->reason, EXPR_REASON_BYTES, fmt, ap);
	va_end(ap);
	return (struct value){.type = V_ERROR};
}

static void note(struct evaluation *ev, const struct node *n, const struct value *v)
{
	size_t len = strlen(ev->seen);
	size_t left = sizeof(ev->seen) - len;
	const char *comma = len ? ", " : "";

	if (v->type == V_NUMBER)
		snprintf(ev->seen + len, left, "%s%s is %.4g", comma, n->text, v->number);
	else if (v->type == V_TEXT)
		snprintf(ev->seen + len, left, "%s%s is \"%s\"", comma, n->text, v->text);
	else
		snprintf(ev->seen + len, left, "%s%s is %s", comma, n->text,
			v->type == V_NULL ? "null"
			: v->number       ? "true"
					  : "false");
}

/* The JSON that a reference starts from, before its members. */
static const cJSON *start_of(const struct evaluation *ev, const struct node *n)
{
	switch (n->op) {
	case OP_REF:
		return ev->scope->value(ev->scope->user, n->stage, n->output);
	case OP_PARAM:
		return cJSON_GetObjectItemCaseSensitive(ev->scope->params, n->members);
	default:
		return ev->scope->item;
	}
}

static struct value read_reference(struct evaluation *ev, const struct node *n)
{
	const cJSON *j = start_of(ev, n);
	size_t upto;

	if (!j)
		return mistake(ev, "%s has no value", n->text);
	if (n->op != OP_PARAM && !(j = members_walk(j, n->members, &upto)))
		return mistake(ev, "%.*s: there is no such member",
			(int)((size_t)(n->members - n->text) + upto), n->text);
	struct value v = {.type = V_ERROR};
	if (cJSON_IsNumber(j))
		v = number(j->valuedouble);
	else if (cJSON_IsString(j))
		v = (struct value){.type = V_TEXT, .text = j->valuestring};
	else if (cJSON_IsBool(j))
		v = truth(cJSON_IsTrue(j));
	else if (cJSON_IsNull(j))
		v.type = V_NULL;
	else
		return mistake(ev, "%s is a list or an object, expected a single value", n->text);
	note(ev, n, &v);
	return v;
}

static struct value evaluate(struct evaluation *ev, short at);

static struct value evaluate_compare(struct evaluation *ev, enum op op, struct value a, struct value b)
{
	bool equality = op == OP_EQ || op == OP_NE;
	double order;

	if (equality && (a.type == V_NULL || b.type == V_NULL))
		return truth((a.type == b.type) == (op == OP_EQ));
	if (a.type != b.type || (!equality && a.type != V_NUMBER && a.type != V_TEXT))
		return mistake(ev, "values of different types cannot be compared (%s)", ev->seen);
	order = a.type == V_TEXT ? strcmp(a.text, b.text) : a.number - b.number;
	switch (op) {
	case OP_EQ:
		return truth(order == 0);
	case OP_NE:
		return truth(order != 0);
	case OP_LT:
		return truth(order < 0);
	case OP_LE:
		return truth(order <= 0);
	case OP_GT:
		return truth(order > 0);
	default:
		return truth(order >= 0);
	}
}

static struct value evaluate_arithmetic(struct evaluation *ev, enum op op, struct value a, struct value b)
{
	if (a.type != V_NUMBER || b.type != V_NUMBER)
		return mistake(ev, "only numbers can be calculated with (%s)", ev->seen);
	switch (op) {
	case OP_ADD:
		return number(a.number + b.number);
	case OP_SUB:
		return number(a.number - b.number);
	case OP_MUL:
		return number(a.number * b.number);
	default:
		return b.number == 0 ? mistake(ev, "division by zero (%s)", ev->seen)
				     : number(a.number / b.number);
	}
}

static struct value evaluate_logic(struct evaluation *ev, const struct node *n)
{
	struct value a = evaluate(ev, n->a);

	if (a.type == V_ERROR)
		return a;
	if (a.type != V_BOOL)
		return mistake(ev, "and, or, not need true or false (%s)", ev->seen);
	if (n->op == OP_NOT)
		return truth(!a.number);
	if ((n->op == OP_AND) == !a.number)
		return a; /* decided: the right side is not looked at */
	struct value b = evaluate(ev, n->b);
	if (b.type != V_ERROR && b.type != V_BOOL)
		return mistake(ev, "and, or, not need true or false (%s)", ev->seen);
	return b;
}

static struct value evaluate(struct evaluation *ev, short at)
{
	const struct node *n = &ev->e->nodes[at];

	switch (n->op) {
	case OP_NUMBER:
		return number(n->number);
	case OP_TEXT:
		return (struct value){.type = V_TEXT, .text = n->text};
	case OP_BOOL:
		return truth(n->number);
	case OP_REF:
	case OP_PARAM:
	case OP_ITEM:
		return read_reference(ev, n);
	case OP_INDEX:
		note(ev, n, &(struct value){.type = V_NUMBER, .number = (double)ev->scope->index});
		return number((double)ev->scope->index);
	case OP_AND:
	case OP_OR:
	case OP_NOT:
		return evaluate_logic(ev, n);
	default:
		break;
	}
	struct value a = evaluate(ev, n->a);
	if (a.type == V_ERROR)
		return a;
	if (n->op == OP_NEG)
		return evaluate_arithmetic(ev, OP_SUB, number(0), a);
	struct value b = evaluate(ev, n->b);
	if (b.type == V_ERROR)
		return b;
	return n->op <= OP_GE ? evaluate_compare(ev, n->op, a, b) : evaluate_arithmetic(ev, n->op, a, b);
}

int expr_truth(const struct expr *e, const struct expr_scope *scope, char ret_reason[EXPR_REASON_BYTES])
{
	struct evaluation ev = {.e = e, .scope = scope, .reason = ret_reason};

	ret_reason[0] = '\0';
	struct value v = evaluate(&ev, e->root);
	if (v.type == V_ERROR)
		return ERR_FORMAT;
	if (v.type != V_BOOL) {
		snprintf(ret_reason, EXPR_REASON_BYTES, "expected true or false (%s)", ev.seen);
		return ERR_FORMAT;
	}
	memcpy(ret_reason, ev.seen, sizeof(ev.seen));
	return v.number != 0;
}
