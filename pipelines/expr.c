/* SPDX-License-Identifier: Apache-2.0 */
#include "expr.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <string.h>

#define DEPTH_MAX 32

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
	struct node nodes[EXPR_NODES_MAX];
	short n, root;
	char *words; /* owned: every text and reference, zero-terminated one after the other */
	size_t words_len;
};

struct parser {
	struct expr *e;
	const char *text, *at;
	const char *token; /* where the current token starts */
	size_t token_len;
	enum { T_END, T_NUMBER, T_TEXT, T_WORD, T_OP, T_BAD } kind;
	int depth;
	expr_resolve_fn resolve;
	void *user;
	char *reason; /* EXPR_REASON_BYTES, "" while all is well */
	size_t offset;
};

static short fail(struct parser *p, const char *at, const char *fmt, ...) PRINTF(3, 4);
static short fail(struct parser *p, const char *at, const char *fmt, ...)
{
	va_list ap;

	if (p->reason[0])
		return -1;
	va_start(ap, fmt);
	vsnprintf(p->reason, EXPR_REASON_BYTES, fmt, ap);
	va_end(ap);
	p->offset = (size_t)(at - p->text);
	return -1;
}

static bool word_start(char c)
{
	return isalpha((unsigned char)c) || c == '_';
}

static bool word_char(char c)
{
	return isalnum((unsigned char)c) || c == '_';
}

/* STAGE.OUTPUT.member[3]: dots, indices, and dashes between two word characters belong to the word. */
static size_t word_length(const char *s)
{
	size_t n = 0;

	while (s[n]) {
		if (word_char(s[n]) || (s[n] == '-' && n && word_char(s[n - 1]) && word_char(s[n + 1])) ||
			(s[n] == '.' && word_start(s[n + 1]))) {
			n++;
			continue;
		}
		if (s[n] != '[')
			break;
		size_t k = n + 1;
		while (isdigit((unsigned char)s[k]))
			k++;
		if (k == n + 1 || s[k] != ']')
			break;
		n = k + 1;
	}
	return n;
}

static void next(struct parser *p)
{
	static const char *const ops[] = {
		"==", "!=", "<=", ">=", "&&", "||", "<", ">", "+", "-", "*", "/", "(", ")", "!"};

	while (isspace((unsigned char)*p->at))
		p->at++;
	p->token = p->at;
	p->kind = T_BAD;
	p->token_len = 1;
	if (!*p->at) {
		p->kind = T_END;
		p->token_len = 0;
	} else if (isdigit((unsigned char)*p->at)) {
		char *end;
		double v = strtod(p->at, &end);
		p->token_len = (size_t)(end - p->at);
		p->kind = isfinite(v) && !word_char(*end) ? T_NUMBER : T_BAD;
	} else if (*p->at == '\'' || *p->at == '"') {
		const char *close = strchr(p->at + 1, *p->at);
		p->kind = close ? T_TEXT : T_BAD;
		p->token_len = close ? (size_t)(close - p->at) + 1 : strlen(p->at);
	} else if (word_start(*p->at)) {
		p->kind = T_WORD;
		p->token_len = word_length(p->at);
	} else {
		for (size_t i = 0; i < ARRAY_LEN(ops); i++) {
			if (strncmp(p->at, ops[i], strlen(ops[i])))
				continue;
			p->kind = T_OP;
			p->token_len = strlen(ops[i]);
			break;
		}
	}
	p->at += p->token_len;
}

static bool is(const struct parser *p, const char *spelling)
{
	return (p->kind == T_OP || p->kind == T_WORD) && strlen(spelling) == p->token_len &&
	       !strncmp(p->token, spelling, p->token_len);
}

static short add(struct parser *p, struct node n)
{
	if (p->e->n == EXPR_NODES_MAX)
		return fail(p, p->token, "expected at most %d terms", EXPR_NODES_MAX);
	p->e->nodes[p->e->n] = n;
	return p->e->n++;
}

static const char *keep_word(struct parser *p, const char *text, size_t len)
{
	char *kept = p->e->words + p->e->words_len;

	memcpy(kept, text, len);
	kept[len] = '\0';
	p->e->words_len += len + 1;
	return kept;
}

static short parse_reference(struct parser *p)
{
	struct node n = {.op = OP_REF, .a = -1, .b = -1};
	char stage[64], output[64];
	const char *word = p->token;
	const char *dot = memchr(word, '.', p->token_len);

	if (!dot)
		return fail(p, word, "expected STAGE.OUTPUT.member, found \"%.*s\"", (int)p->token_len, word);
	size_t out_len = 0;
	size_t left = p->token_len - (size_t)(dot + 1 - word);
	while (out_len < left && dot[1 + out_len] != '.' && dot[1 + out_len] != '[')
		out_len++;
	if ((size_t)(dot - word) >= sizeof(stage) || out_len >= sizeof(output))
		return fail(p, word, "expected names of at most 63 bytes");
	snprintf(stage, sizeof(stage), "%.*s", (int)(dot - word), word);
	snprintf(output, sizeof(output), "%.*s", (int)out_len, dot + 1);
	char why[EXPR_REASON_BYTES] = "";
	if (p->resolve(p->user, stage, output, &n.stage, &n.output, why) < 0)
		return fail(p, word, "%s", why);
	n.text = keep_word(p, word, p->token_len);
	n.members = n.text + (dot - word) + 1 + out_len;
	next(p);
	return add(p, n);
}

static short parse_or(struct parser *p);

static short parse_primary(struct parser *p)
{
	struct node n = {.a = -1, .b = -1};

	if (p->kind == T_NUMBER) {
		n.op = OP_NUMBER;
		n.number = strtod(p->token, NULL);
	} else if (p->kind == T_TEXT) {
		n.op = OP_TEXT;
		n.text = keep_word(p, p->token + 1, p->token_len - 2);
	} else if (is(p, "true") || is(p, "false")) {
		n.op = OP_BOOL;
		n.number = is(p, "true");
	} else if (is(p, "(")) {
		next(p);
		short inner = parse_or(p);
		if (inner >= 0 && !is(p, ")"))
			return fail(p, p->token, "expected \")\"");
		next(p);
		return inner;
	} else if (p->kind == T_WORD && !is(p, "and") && !is(p, "or") && !is(p, "not")) {
		return parse_reference(p);
	} else if (p->kind == T_END) {
		return fail(p, p->token, "expected a value, found the end");
	} else {
		return fail(p, p->token, "expected a value, found \"%.*s\"", (int)p->token_len, p->token);
	}
	next(p);
	return add(p, n);
}

static short parse_unary(struct parser *p)
{
	if (!is(p, "-"))
		return parse_primary(p);
	if (++p->depth > DEPTH_MAX)
		return fail(p, p->token, "nested deeper than %d", DEPTH_MAX);
	next(p);
	short a = parse_unary(p);
	p->depth--;
	return a < 0 ? a : add(p, (struct node){.op = OP_NEG, .a = a, .b = -1});
}

/* Binary operators by binding strength, weakest first. */
static const struct level {
	struct {
		const char *spelling;
		enum op op;
	} ops[8];
} levels[] = {
	{{{"or", OP_OR}, {"||", OP_OR}}},
	{{{"and", OP_AND}, {"&&", OP_AND}}},
	{{{"==", OP_EQ}, {"!=", OP_NE}, {"<=", OP_LE}, {">=", OP_GE}, {"<", OP_LT}, {">", OP_GT}}},
	{{{"+", OP_ADD}, {"-", OP_SUB}}},
	{{{"*", OP_MUL}, {"/", OP_DIV}}},
};

#define LEVEL_COMPARE 2

static short parse_level(struct parser *p, size_t level)
{
	/* `not a == b` denies the comparison, as in the languages that spell it so. */
	if (level == LEVEL_COMPARE && (is(p, "not") || is(p, "!"))) {
		if (++p->depth > DEPTH_MAX)
			return fail(p, p->token, "nested deeper than %d", DEPTH_MAX);
		next(p);
		short denied = parse_level(p, LEVEL_COMPARE);
		p->depth--;
		return denied < 0 ? denied : add(p, (struct node){.op = OP_NOT, .a = denied, .b = -1});
	}
	if (level == ARRAY_LEN(levels))
		return parse_unary(p);
	short a = parse_level(p, level + 1);
	while (a >= 0) {
		size_t i = 0;
		while (i < ARRAY_LEN(levels[level].ops) && levels[level].ops[i].spelling &&
			!is(p, levels[level].ops[i].spelling))
			i++;
		if (i == ARRAY_LEN(levels[level].ops) || !levels[level].ops[i].spelling)
			break;
		next(p);
		short b = parse_level(p, level + 1);
		if (b < 0)
			return b;
		a = add(p, (struct node){.op = levels[level].ops[i].op, .a = a, .b = b});
	}
	return a;
}

static short parse_or(struct parser *p)
{
	if (++p->depth > DEPTH_MAX)
		return fail(p, p->token, "nested deeper than %d", DEPTH_MAX);
	short n = parse_level(p, 0);
	p->depth--;
	return n;
}

int expr_parse(const char *text, expr_resolve_fn resolve, void *user, struct expr **ret_expr,
	char ret_reason[EXPR_REASON_BYTES], size_t *ret_offset)
{
	struct parser p = {.text = text, .at = text, .resolve = resolve, .user = user, .reason = ret_reason};

	ret_reason[0] = '\0';
	*ret_offset = 0;
	if (strlen(text) > EXPR_BYTES_MAX) {
		snprintf(ret_reason, EXPR_REASON_BYTES, "expected at most %d bytes", EXPR_BYTES_MAX);
		return ERR_FORMAT;
	}
	p.e = calloc(1, sizeof(*p.e));
	/* Each token is kept once at most, with a zero: twice the length is enough. */
	char *words = malloc(2 * strlen(text) + 2);
	if (!p.e || !words) {
		free(p.e);
		free(words);
		snprintf(ret_reason, EXPR_REASON_BYTES, "out of memory");
		return -ENOMEM;
	}
	p.e->words = words;
	next(&p);
	p.e->root = parse_or(&p);
	if (p.e->root >= 0 && p.kind != T_END)
		fail(&p, p.token, "expected an operator or the end, found \"%.*s\"", (int)p.token_len,
			p.token);
	if (ret_reason[0]) {
		*ret_offset = p.offset;
		expr_destroy(p.e);
		return ERR_FORMAT;
	}
	*ret_expr = p.e;
	return 0;
}

void expr_destroy(struct expr *e)
{
	if (!e)
		return;
	free(e->words);
	free(e);
}

void expr_each_stage(const struct expr *e, void (*fn)(void *user, size_t stage, size_t output), void *user)
{
	for (short i = 0; i < e->n; i++)
		if (e->nodes[i].op == OP_REF)
			fn(user, e->nodes[i].stage, e->nodes[i].output);
}

/* ---- evaluation ---- */

struct value {
	enum { V_ERROR, V_NUMBER, V_TEXT, V_BOOL, V_NULL } type;
	double number;
	const char *text;
};

struct evaluation {
	const struct expr *e;
	expr_value_fn value;
	void *user;
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

static struct value read_reference(struct evaluation *ev, const struct node *n)
{
	const cJSON *j = ev->value(ev->user, n->stage, n->output);
	const char *m = n->members;

	if (!j)
		return mistake(ev, "%s has no value", n->text);
	while (*m) {
		size_t len = 1 + strcspn(m + 1, ".[");
		const cJSON *inner = NULL;

		if (*m == '[') {
			inner = cJSON_IsArray(j) ? cJSON_GetArrayItem(j, atoi(m + 1)) : NULL;
		} else {
			char member[128];
			snprintf(member, sizeof(member), "%.*s", (int)(len - 1), m + 1);
			inner = cJSON_IsObject(j) ? cJSON_GetObjectItemCaseSensitive(j, member) : NULL;
		}
		if (!inner)
			return mistake(
				ev, "%.*s: there is no such member", (int)(m + len - n->text), n->text);
		j = inner;
		m += len;
	}
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
		return read_reference(ev, n);
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

int expr_truth(const struct expr *e, expr_value_fn value, void *user, char ret_reason[EXPR_REASON_BYTES])
{
	struct evaluation ev = {.e = e, .value = value, .user = user, .reason = ret_reason};

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
