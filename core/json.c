/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cJSON is lenient (numbers like 01, raw control characters, any bytes in strings, 1000 levels) and tells a
 * place only roughly. So a strict pass by RFC 8259 goes first, which knows the place; cJSON then makes the
 * tree.
 */
#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "core/file.h"
#include "core/json.h"
#include "escape.h"

#define NUMBER_CHARS_MAX 63 /* what cJSON reads of one */

struct scan {
	const char *text;
	size_t len, pos;
	int depth;
};

static char peek(const struct scan *s)
{
	/* A zero byte stands for the end: it is valid nowhere in JSON. */
	return s->pos < s->len ? s->text[s->pos] : '\0';
}

static void skip_space(struct scan *s)
{
	while (peek(s) == ' ' || peek(s) == '\t' || peek(s) == '\n' || peek(s) == '\r')
		s->pos++;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static int scan_digits(struct scan *s)
{
	if (!is_digit(peek(s)))
		return ERR_FORMAT;
	while (is_digit(peek(s)))
		s->pos++;
	return 0;
}

static int scan_number(struct scan *s)
{
	size_t start = s->pos;
	int r = 0;

	if (peek(s) == '-')
		s->pos++;
	if (peek(s) == '0')
		s->pos++;
	else
		r = scan_digits(s);
	if (r == 0 && peek(s) == '.') {
		s->pos++;
		r = scan_digits(s);
	}
	if (r == 0 && (peek(s) == 'e' || peek(s) == 'E')) {
		s->pos++;
		if (peek(s) == '+' || peek(s) == '-')
			s->pos++;
		r = scan_digits(s);
	}
	if (r == 0 && s->pos - start > NUMBER_CHARS_MAX) {
		s->pos = start;
		return ERR_FORMAT;
	}
	return r;
}

/* The four digits after \u; -1 when they are not. */
static int scan_hex4(struct scan *s)
{
	int v = 0;

	for (int i = 0; i < 4; i++, s->pos++) {
		char c = peek(s);
		int d = is_digit(c)            ? c - '0'
			: c >= 'a' && c <= 'f' ? c - 'a' + 10
			: c >= 'A' && c <= 'F' ? c - 'A' + 10
					       : -1;
		if (d < 0)
			return -1;
		v = v * 16 + d;
	}
	return v;
}

static int scan_escape(struct scan *s)
{
	size_t start = s->pos;
	int v, low;

	s->pos++;
	char c = peek(s);
	if (c != 'u') {
		if (c == '\0' || !strchr("\"\\/bfnrt", c))
			return ERR_FORMAT;
		s->pos++;
		return 0;
	}
	s->pos++;
	v = scan_hex4(s);
	if (v < 0)
		return ERR_FORMAT;
	/* A zero character would cut the string where C reads it. */
	if (v == 0 || (v >= 0xdc00 && v <= 0xdfff))
		goto bad;
	if (v >= 0xd800 && v <= 0xdbff) { /* the first half of a pair */
		if (peek(s) != '\\')
			goto bad;
		s->pos++;
		if (peek(s) != 'u')
			goto bad;
		s->pos++;
		low = scan_hex4(s);
		if (low < 0xdc00 || low > 0xdfff)
			goto bad;
	}
	return 0;
bad:
	s->pos = start;
	return ERR_FORMAT;
}

static int scan_string(struct scan *s)
{
	if (peek(s) != '"')
		return ERR_FORMAT;
	s->pos++;
	while (s->pos < s->len) {
		unsigned char c = (unsigned char)s->text[s->pos];
		if (c == '"') {
			s->pos++;
			return 0;
		}
		if (c == '\\') {
			int r = scan_escape(s);
			if (r < 0)
				return r;
			continue;
		}
		size_t n = utf8_len((const unsigned char *)s->text + s->pos, s->len - s->pos);
		if (c < 0x20 || n == 0)
			return ERR_FORMAT;
		s->pos += n;
	}
	return ERR_FORMAT;
}

static int scan_word(struct scan *s, const char *word)
{
	for (; *word; word++, s->pos++)
		if (peek(s) != *word)
			return ERR_FORMAT;
	return 0;
}

static int scan_value(struct scan *s);

static int scan_members(struct scan *s, bool object)
{
	char end = object ? '}' : ']';

	if (s->depth == JSON_DEPTH_MAX)
		return ERR_LIMIT;
	s->depth++;
	s->pos++;
	skip_space(s);
	if (peek(s) == end) {
		s->pos++;
		s->depth--;
		return 0;
	}
	for (;;) {
		int r;
		if (object) {
			skip_space(s);
			r = scan_string(s);
			if (r < 0)
				return r;
			skip_space(s);
			if (peek(s) != ':')
				return ERR_FORMAT;
			s->pos++;
		}
		r = scan_value(s);
		if (r < 0)
			return r;
		skip_space(s);
		if (peek(s) == end) {
			s->pos++;
			s->depth--;
			return 0;
		}
		if (peek(s) != ',')
			return ERR_FORMAT;
		s->pos++;
	}
}

static int scan_value(struct scan *s)
{
	skip_space(s);
	switch (peek(s)) {
	case '{':
		return scan_members(s, true);
	case '[':
		return scan_members(s, false);
	case '"':
		return scan_string(s);
	case 't':
		return scan_word(s, "true");
	case 'f':
		return scan_word(s, "false");
	case 'n':
		return scan_word(s, "null");
	default:
		return scan_number(s);
	}
}

static void place_of(const struct scan *s, int *ret_line, int *ret_column)
{
	int line = 1, column = 1;

	for (size_t i = 0; i < s->pos && i < s->len; i++) {
		if (s->text[i] == '\n') {
			line++;
			column = 1;
		} else if ((s->text[i] & 0xc0) != 0x80) { /* characters, not bytes */
			column++;
		}
	}
	if (ret_line)
		*ret_line = line;
	if (ret_column)
		*ret_column = column;
}

int json_parse(
	const char *text, size_t len, size_t max_bytes, cJSON **ret_json, int *ret_line, int *ret_column)
{
	struct scan s = {.text = text, .len = len};

	if (len > max_bytes)
		return ERR_LIMIT;
	int r = scan_value(&s);
	if (r == 0) {
		skip_space(&s);
		if (s.pos != s.len)
			r = ERR_FORMAT;
	}
	if (r < 0) {
		if (r == ERR_FORMAT)
			place_of(&s, ret_line, ret_column);
		return r;
	}
	/* What passed the strict pass cJSON takes too: it can only be short of memory. */
	cJSON *json = cJSON_ParseWithLength(text, len);
	if (!json)
		return -ENOMEM;
	*ret_json = json;
	return 0;
}

int json_load(const char *path, size_t max_bytes, cJSON **ret_json)
{
	CLEAN_FREE char *text = NULL;
	size_t len;

	int r = file_read(path, max_bytes, &text, &len);
	if (r < 0)
		return r;
	return json_parse(text, len, max_bytes, ret_json, NULL, NULL);
}

const char *json_str(const cJSON *obj, const char *key)
{
	return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(obj, key));
}

double json_num(const cJSON *obj, const char *key, double otherwise)
{
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(obj, key);

	return cJSON_IsNumber(v) && isfinite(v->valuedouble) ? v->valuedouble : otherwise;
}

int64_t json_int(const cJSON *obj, const char *key, int64_t otherwise)
{
	const double limit = 9007199254740992.0; /* 2^53: up to there every integer is a double */
	double v = json_num(obj, key, NAN);

	if (!(v >= -limit && v <= limit) || v != (double)(int64_t)v)
		return otherwise;
	return (int64_t)v;
}
