/* SPDX-License-Identifier: Apache-2.0 */
/* The readers that a checker uses: each complains by itself, at the place, with what was found. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <string.h>

#include "core/yaml.h"

#define FOUND_BYTES 96

void y_complain(struct complaints *c, const struct ynode *at, const char *fmt, ...)
{
	char text[768];
	va_list args;

	va_start(args, fmt);
	int n = vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (n < 0)
		return;
	if (at->key)
		complain(c, at->line, at->column, "%.63s: %s", at->key, text);
	else
		complain(c, at->line, at->column, "%s", text);
}

/* What a person sees at this node, bounded. */
static const char *found(const struct ynode *n, char buf[FOUND_BYTES])
{
	if (n->kind == YNODE_MAP)
		return "a mapping";
	if (n->kind == YNODE_SEQ)
		return "a list";
	if (n->plain && !n->text[0])
		return "nothing";
	size_t len = strlen(n->text), cut = len;
	if (cut > 60) {
		cut = 60;
		while (cut > 0 && (n->text[cut] & 0xc0) == 0x80) /* not inside a character */
			cut--;
	}
	snprintf(buf, FOUND_BYTES, "\"%.*s%s\"", (int)cut, n->text, cut < len ? "..." : "");
	return buf;
}

static bool expected(struct complaints *c, const struct ynode *n, const char *what)
{
	char buf[FOUND_BYTES];

	y_complain(c, n, "expected %s, found %s", what, found(n, buf));
	return false;
}

struct ynode *y_get(struct ynode *map, const char *key)
{
	if (!map || map->kind != YNODE_MAP)
		return NULL;
	for (struct ynode *n = map->first; n; n = n->next) {
		if (strcmp(n->key, key) == 0) {
			n->seen = true;
			return n;
		}
	}
	return NULL;
}

struct ynode *y_need(struct complaints *c, struct ynode *map, const char *key)
{
	struct ynode *n = y_get(map, key);

	if (n || !map)
		return n;
	if (map->kind != YNODE_MAP)
		y_is(c, map, YNODE_MAP);
	else
		y_complain(c, map, "expected the key \"%s\", found none", key);
	return NULL;
}

void y_no_others(struct complaints *c, struct ynode *map, const char *const *known, size_t n_known)
{
	if (!map || map->kind != YNODE_MAP)
		return;
	for (struct ynode *n = map->first; n; n = n->next) {
		if (n->seen)
			continue;
		const char *near = nearest_name(n->key, known, n_known);
		if (near && strcmp(near, n->key) == 0)
			complain(c, n->key_line, n->key_column, "%.63s: not expected here", n->key);
		else if (near)
			complain(c, n->key_line, n->key_column,
				"%.63s: not a known key, did you mean \"%s\"?", n->key, near);
		else
			complain(c, n->key_line, n->key_column, "%.63s: not a known key", n->key);
	}
}

bool y_is(struct complaints *c, const struct ynode *n, enum ynode_kind kind)
{
	static const char *const names[] = {"a single value", "a mapping", "a list"};
	_Static_assert(ARRAY_LEN(names) == YNODE_KIND_MAX, "a name for each kind");

	if (!n)
		return false;
	return n->kind == kind || expected(c, n, names[kind]);
}

bool y_text(struct complaints *c, const struct ynode *n, const char **ret_borrowed)
{
	if (!n)
		return false;
	if (n->kind != YNODE_SCALAR || (n->plain && !n->text[0]))
		return expected(c, n, "a text");
	*ret_borrowed = n->text;
	return true;
}

static bool is_lower(char ch)
{
	return ch >= 'a' && ch <= 'z';
}

static bool is_digit(char ch)
{
	return ch >= '0' && ch <= '9';
}

bool y_name(struct complaints *c, const struct ynode *n, const char **ret_borrowed)
{
	if (!n)
		return false;
	bool good = n->kind == YNODE_SCALAR && is_lower(n->text[0]) && strlen(n->text) <= 63;
	for (const char *p = good ? n->text : ""; *p; p++)
		good = good && (is_lower(*p) || is_digit(*p) || *p == '-');
	if (!good)
		return expected(c, n,
			"a name (a lower-case letter, then lower-case letters, digits or \"-\", at most 63)");
	*ret_borrowed = n->text;
	return true;
}

bool y_file_name(struct complaints *c, const struct ynode *n, const char **ret_borrowed)
{
	if (!n)
		return false;
	bool good = n->kind == YNODE_SCALAR && n->text[0] && strlen(n->text) <= 63;
	for (const char *p = good ? n->text : ""; *p; p++) {
		bool inner = p > n->text && (*p == '.' || *p == '_' || *p == '-');
		good = good && (is_lower(*p) || (*p >= 'A' && *p <= 'Z') || is_digit(*p) || inner);
	}
	if (!good)
		return expected(c, n,
			"a file name (a letter or digit, then letters, digits, \".\", \"_\" or \"-\", at "
			"most 63)");
	*ret_borrowed = n->text;
	return true;
}

/* A decimal number as JSON has it, so that no reader of the file can take it for octal or the like. */
static bool is_decimal(const char *p, bool with_fraction)
{
	if (*p == '-')
		p++;
	if (!is_digit(*p) || (*p == '0' && is_digit(p[1])))
		return false;
	while (is_digit(*p))
		p++;
	if (with_fraction && *p == '.') {
		if (!is_digit(*++p))
			return false;
		while (is_digit(*p))
			p++;
	}
	if (with_fraction && (*p == 'e' || *p == 'E')) {
		p++;
		if (*p == '+' || *p == '-')
			p++;
		if (!is_digit(*p))
			return false;
		while (is_digit(*p))
			p++;
	}
	return *p == '\0';
}

bool y_int(struct complaints *c, const struct ynode *n, int64_t min, int64_t max, int64_t *ret)
{
	char what[96];

	if (!n)
		return false;
	if (n->kind == YNODE_SCALAR && n->plain && is_decimal(n->text, false)) {
		errno = 0;
		int64_t v = strtoll(n->text, NULL, 10);
		if (errno == 0 && v >= min && v <= max) {
			*ret = v;
			return true;
		}
	}
	snprintf(what, sizeof(what), "a whole number from %" PRId64 " to %" PRId64, min, max);
	return expected(c, n, what);
}

bool y_is_number(const struct ynode *n, double *ret)
{
	if (n->kind != YNODE_SCALAR || !n->plain || !is_decimal(n->text, true))
		return false;
	double v = strtod(n->text, NULL);
	if (!isfinite(v))
		return false;
	*ret = v;
	return true;
}

bool y_number(struct complaints *c, const struct ynode *n, double min, double max, double *ret)
{
	char what[96];

	if (!n)
		return false;
	double v;
	if (y_is_number(n, &v) && v >= min && v <= max) {
		*ret = v;
		return true;
	}
	snprintf(what, sizeof(what), "a number from %g to %g", min, max);
	return expected(c, n, what);
}

bool y_bool(struct complaints *c, const struct ynode *n, bool *ret)
{
	if (!n)
		return false;
	if (n->kind == YNODE_SCALAR && n->plain) {
		bool yes = strcmp(n->text, "true") == 0;
		if (yes || strcmp(n->text, "false") == 0) {
			*ret = yes;
			return true;
		}
	}
	return expected(c, n, "true or false");
}

/* value/unit with the largest unit that leaves no remainder. */
static void format_limit(char *ret_text, size_t cap, uint64_t value, const char *const *units,
	const uint64_t *factors, size_t n)
{
	size_t i = n - 1;

	while (i > 0 && (value == 0 || value % factors[i] != 0))
		i--;
	snprintf(ret_text, cap, "at most %" PRIu64 "%s", value / factors[i], units[i]);
}

bool y_size(struct complaints *c, const struct ynode *n, uint64_t max_bytes, uint64_t *ret_bytes)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB"};
	static const uint64_t factors[] = {1, 1u << 10, 1u << 20, 1u << 30};
	uint64_t v;

	if (!n)
		return false;
	if (n->kind != YNODE_SCALAR || parse_size(n->text, &v) < 0)
		return expected(c, n, "a size such as 64MiB");
	if (v > max_bytes) {
		char what[64];
		format_limit(what, sizeof(what), max_bytes, units, factors, ARRAY_LEN(units));
		return expected(c, n, what);
	}
	*ret_bytes = v;
	return true;
}

bool y_duration(struct complaints *c, const struct ynode *n, int64_t max_ns, int64_t *ret_ns)
{
	static const char *const units[] = {"ns", "us", "ms", "s", "m", "h", "d"};
	static const uint64_t factors[] = {1, 1000, 1000000, UINT64_C(1000000000), UINT64_C(60000000000),
		UINT64_C(3600000000000), UINT64_C(86400000000000)};
	int64_t v;

	if (!n)
		return false;
	if (n->kind != YNODE_SCALAR || parse_duration(n->text, &v) < 0)
		return expected(c, n, "a duration such as 30s");
	if (v > max_ns) {
		char what[64];
		format_limit(what, sizeof(what), (uint64_t)max_ns, units, factors, ARRAY_LEN(units));
		return expected(c, n, what);
	}
	*ret_ns = v;
	return true;
}

bool y_energy(struct complaints *c, const struct ynode *n, double max_j, double *ret_j)
{
	double v;

	if (!n)
		return false;
	if (n->kind != YNODE_SCALAR || parse_energy(n->text, &v) < 0)
		return expected(c, n, "an energy such as 60J");
	if (v > max_j) {
		char what[64];
		snprintf(what, sizeof(what), "at most %gJ", max_j);
		return expected(c, n, what);
	}
	*ret_j = v;
	return true;
}
