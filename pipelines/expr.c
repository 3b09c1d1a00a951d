/* SPDX-License-Identifier: Apache-2.0 */
/* The language of `when`: from text to a tree. */
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <string.h>

#include "expr-node.h"

#define DEPTH_MAX 32

struct parser {
	struct expr *e;
	const char *text, *at;
	const char *token; /* where the current token starts */
	size_t token_len;
	enum { T_END, T_NUMBER, T_TEXT, T_WORD, T_OP, T_BAD } kind;
	int depth;
	const struct expr_names *names;
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

static short add_reference(struct parser *p, struct node n)
{
	next(p);
	return add(p, n);
}

/* item, item.member[0], index */
static short parse_item(struct parser *p, size_t first_len)
{
	struct node n = {.op = first_len == 4 ? OP_ITEM : OP_INDEX, .a = -1, .b = -1};

	if (!p->names->item)
		return fail(p, p->token, "%.*s is an element's: the stage has no foreach", (int)first_len,
			p->token);
	if (n.op == OP_INDEX && p->token_len > first_len)
		return fail(p, p->token, "index is a number, it has no members");
	n.at = (unsigned short)(p->token - p->text);
	n.text = keep_word(p, p->token, p->token_len);
	n.members = n.text + first_len;
	return add_reference(p, n);
}

static short parse_param(struct parser *p)
{
	struct node n = {.op = OP_PARAM, .a = -1, .b = -1};
	const char *name = p->token + strlen("params.");
	size_t len = p->token_len - strlen("params.");
	char why[EXPR_REASON_BYTES] = "there are no parameters here";

	if (memchr(name, '.', len) || memchr(name, '[', len))
		return fail(p, p->token, "expected params.NAME, found \"%.*s\"", (int)p->token_len, p->token);
	n.at = (unsigned short)(p->token - p->text);
	n.text = keep_word(p, p->token, p->token_len);
	n.members = keep_word(p, name, len);
	if (!p->names->param || p->names->param(p->names->user, n.members, &n.type, why) < 0)
		return fail(p, p->token, "%s", why);
	return add_reference(p, n);
}

static short parse_reference(struct parser *p)
{
	struct node n = {.op = OP_REF, .a = -1, .b = -1};
	char stage[64], output[64];
	const char *word = p->token;
	size_t first = 0;

	while (first < p->token_len && word[first] != '.' && word[first] != '[')
		first++;
	if ((first == 4 && !memcmp(word, "item", 4)) || (first == 5 && !memcmp(word, "index", 5)))
		return parse_item(p, first);
	if (first == p->token_len || word[first] != '.')
		return fail(p, word, "expected STAGE.OUTPUT.member, found \"%.*s\"", (int)p->token_len, word);
	if (first == 6 && !memcmp(word, "params", 6))
		return parse_param(p);
	const char *dot = word + first;
	size_t out_len = 0;
	size_t left = p->token_len - (size_t)(dot + 1 - word);
	while (out_len < left && dot[1 + out_len] != '.' && dot[1 + out_len] != '[')
		out_len++;
	if (first >= sizeof(stage) || out_len >= sizeof(output))
		return fail(p, word, "expected names of at most 63 bytes");
	snprintf(stage, sizeof(stage), "%.*s", (int)first, word);
	snprintf(output, sizeof(output), "%.*s", (int)out_len, dot + 1);
	char why[EXPR_REASON_BYTES] = "";
	if (p->names->output(p->names->user, stage, output, &n.stage, &n.output, why) < 0)
		return fail(p, word, "%s", why);
	n.at = (unsigned short)(word - p->text);
	n.text = keep_word(p, word, p->token_len);
	n.members = n.text + first + 1 + out_len;
	return add_reference(p, n);
}

static short parse_or(struct parser *p);

static short parse_primary(struct parser *p)
{
	struct node n = {.a = -1, .b = -1, .at = (unsigned short)(p->token - p->text)};

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
	unsigned short at = (unsigned short)(p->token - p->text);
	next(p);
	short a = parse_unary(p);
	p->depth--;
	return a < 0 ? a : add(p, (struct node){.op = OP_NEG, .a = a, .b = -1, .at = at});
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
		unsigned short at = (unsigned short)(p->token - p->text);
		next(p);
		short denied = parse_level(p, LEVEL_COMPARE);
		p->depth--;
		return denied < 0 ? denied
				  : add(p, (struct node){.op = OP_NOT, .a = denied, .b = -1, .at = at});
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
		unsigned short at = (unsigned short)(p->token - p->text);
		next(p);
		short b = parse_level(p, level + 1);
		if (b < 0)
			return b;
		a = add(p, (struct node){.op = levels[level].ops[i].op, .a = a, .b = b, .at = at});
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

int expr_parse(const char *text, const struct expr_names *names, struct expr **ret_expr,
	char ret_reason[EXPR_REASON_BYTES], size_t *ret_offset)
{
	struct parser p = {.text = text, .at = text, .names = names, .reason = ret_reason};

	ret_reason[0] = '\0';
	*ret_offset = 0;
	if (strlen(text) > EXPR_BYTES_MAX) {
		snprintf(ret_reason, EXPR_REASON_BYTES, "expected at most %d bytes", EXPR_BYTES_MAX);
		return ERR_FORMAT;
	}
	/* Each term is at least one character: a short text needs no room for all that there may be. */
	size_t terms = strlen(text) < EXPR_NODES_MAX ? strlen(text) : EXPR_NODES_MAX;
	p.e = calloc(1, sizeof(*p.e) + terms * sizeof(struct node));
	/* Each token is kept once, with a zero, a parameter's also without "params.": twice the length is
	 * enough. */
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
	if (ret_reason[0] || expr_check(p.e, ret_reason, &p.offset) < 0) {
		*ret_offset = p.offset;
		expr_destroy(p.e);
		return ERR_FORMAT;
	}
	struct expr *fitted = realloc(p.e, sizeof(*p.e) + (size_t)p.e->n * sizeof(struct node));
	*ret_expr = fitted ? fitted : p.e;
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

bool expr_reads_item(const struct expr *e)
{
	for (short i = 0; i < e->n; i++)
		if (e->nodes[i].op == OP_ITEM || e->nodes[i].op == OP_INDEX)
			return true;
	return false;
}
