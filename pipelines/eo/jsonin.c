/* SPDX-License-Identifier: Apache-2.0 */
#include "jsonin.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void space(struct jsonin *j)
{
	while (j->at < j->end && (*j->at == ' ' || *j->at == '\n' || *j->at == '\t' || *j->at == '\r'))
		j->at++;
}

static bool take(struct jsonin *j, char c)
{
	space(j);
	if (j->bad || j->at == j->end || *j->at != c)
		return false;
	j->at++;
	return true;
}

void jsonin_begin(struct jsonin *j, char bracket)
{
	if (!take(j, bracket))
		j->bad = true;
	j->first = true;
}

/* Before an item or key: the end, or the comma that is due. */
static bool another(struct jsonin *j, char close)
{
	if (j->bad)
		return false;
	if (take(j, close)) {
		j->first = false;
		return false;
	}
	if (!j->first && !take(j, ',')) {
		j->bad = true;
		return false;
	}
	j->first = false;
	return true;
}

bool jsonin_item(struct jsonin *j)
{
	return another(j, ']');
}

bool jsonin_key(struct jsonin *j, char *ret_key, size_t cap)
{
	size_t n = 0;

	if (!another(j, '}'))
		return false;
	if (!take(j, '"'))
		goto bad;
	while (j->at < j->end && *j->at != '"') {
		if (*j->at == '\\' || (unsigned char)*j->at < 0x20 || n + 1 >= cap)
			goto bad;
		ret_key[n++] = *j->at++;
	}
	ret_key[n] = 0;
	if (take(j, '"') && take(j, ':'))
		return true;
bad:
	j->bad = true;
	return false;
}

double jsonin_number(struct jsonin *j)
{
	char text[40];
	size_t n = 0;
	char *end;
	double v;

	space(j);
	while (!j->bad && j->at < j->end && n + 1 < sizeof(text) && *j->at &&
		strchr("+-0123456789.eE", *j->at))
		text[n++] = *j->at++;
	text[n] = 0;
	v = strtod(text, &end);
	if (j->bad || !n || *end || !isfinite(v)) {
		j->bad = true;
		return 0;
	}
	j->first = false;
	return v;
}

static void skip_string(struct jsonin *j)
{
	if (!take(j, '"')) {
		j->bad = true;
		return;
	}
	while (j->at < j->end && *j->at != '"') {
		if (*j->at == '\\' && j->at + 1 < j->end)
			j->at++;
		j->at++;
	}
	if (!take(j, '"'))
		j->bad = true;
}

static void skip_word(struct jsonin *j, const char *word)
{
	size_t n = strlen(word);

	if ((size_t)(j->end - j->at) >= n && !memcmp(j->at, word, n))
		j->at += n;
	else
		j->bad = true;
}

void jsonin_skip(struct jsonin *j)
{
	int depth = 0;

	/* Brackets are matched by count alone: what is skipped need not be understood, only got over. */
	do {
		space(j);
		if (j->bad || j->at == j->end) {
			j->bad = true;
			return;
		}
		switch (*j->at) {
		case '{':
		case '[':
			if (++depth > JSONIN_DEPTH_MAX)
				j->bad = true;
			j->at++;
			break;
		case '}':
		case ']':
			if (--depth < 0)
				j->bad = true;
			j->at++;
			break;
		case ',':
		case ':':
			if (!depth)
				j->bad = true;
			j->at++;
			break;
		case '"':
			skip_string(j);
			break;
		case 't':
			skip_word(j, "true");
			break;
		case 'f':
			skip_word(j, "false");
			break;
		case 'n':
			skip_word(j, "null");
			break;
		default:
			jsonin_number(j);
		}
	} while (!j->bad && depth);
	j->first = false;
}

bool jsonin_end(struct jsonin *j)
{
	space(j);
	return !j->bad && j->at == j->end;
}
