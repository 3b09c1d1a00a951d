/* SPDX-License-Identifier: Apache-2.0 */
#include "iiod-parse.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#define WORDS_MAX 8

struct word {
	const char *text;
	size_t len;
};

/* iiod's words: letters, digits, "-", "_", ".", and in a device's id "iio:" or in a channel's "vendor,". */
static bool word_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
	       c == '_' || c == '.' || c == ':' || c == ',';
}

static int split(const char *line, size_t len, struct word words[WORDS_MAX], size_t *ret_n)
{
	size_t n = 0, at = 0;

	while (at < len) {
		if (line[at] == ' ' || line[at] == '\t') {
			at++;
			continue;
		}
		if (n == WORDS_MAX)
			return -EINVAL;
		words[n].text = line + at;
		while (at < len && word_char(line[at]))
			at++;
		words[n].len = (size_t)(line + at - words[n].text);
		/* Also refuses control characters and zero bytes. */
		if (!words[n].len || (at < len && line[at] != ' ' && line[at] != '\t'))
			return -EINVAL;
		n++;
	}
	*ret_n = n;
	return 0;
}

/* All upper case or all lower case, as iiod takes them. */
static bool is(const struct word *w, const char *keyword)
{
	size_t len = strlen(keyword);

	if (w->len != len || strncasecmp(w->text, keyword, len))
		return false;
	bool lower = w->text[0] >= 'a';
	for (size_t i = 0; i < len; i++)
		if (w->text[i] != '_' && (w->text[i] >= 'a') != lower)
			return false;
	return true;
}

static int keep(const struct word *w, char out[IIOD_WORD_BYTES])
{
	if (w->len >= IIOD_WORD_BYTES)
		return -EINVAL;
	memcpy(out, w->text, w->len);
	out[w->len] = 0;
	return 0;
}

static int number(const struct word *w, uint64_t *ret)
{
	uint64_t v = 0;

	if (w->len > 18)
		return -EINVAL;
	for (size_t i = 0; i < w->len; i++) {
		if (w->text[i] < '0' || w->text[i] > '9')
			return -EINVAL;
		v = v * 10 + (uint64_t)(w->text[i] - '0');
	}
	*ret = v;
	return 0;
}

/* The mask: eight hexadecimal digits for each 32 channels, the highest channels first. */
static int mask(const struct word *w, struct iiod_command *c)
{
	uint32_t v = 0;

	if (!w->len || w->len % 8)
		return -EINVAL;
	for (size_t i = 0; i < w->len; i++) {
		char ch = w->text[i];
		uint32_t digit;
		if (ch >= '0' && ch <= '9')
			digit = (uint32_t)(ch - '0');
		else if (ch >= 'a' && ch <= 'f')
			digit = (uint32_t)(ch - 'a' + 10);
		else if (ch >= 'A' && ch <= 'F')
			digit = (uint32_t)(ch - 'A' + 10);
		else
			return -EINVAL;
		if (i + 8 < w->len && digit)
			return -EINVAL; /* a channel that no device of ours has */
		v = v << 4 | digit;
	}
	c->mask = v;
	c->mask_words = w->len / 8;
	return 0;
}

/* What follows READ DEVICE and WRITE DEVICE; for WRITE the byte count is the last word. */
static int attribute(const struct word *w, size_t n, struct iiod_command *c)
{
	if (c->verb == IIOD_WRITE) {
		if (!n || number(&w[n - 1], &c->number))
			return -EINVAL;
		n--;
	}
	c->scope = IIOD_OF_DEVICE;
	if (n) {
		if (is(&w[0], "DEBUG"))
			c->scope = IIOD_OF_DEBUG;
		else if (is(&w[0], "BUFFER"))
			c->scope = IIOD_OF_BUFFER;
		else if (is(&w[0], "INPUT"))
			c->scope = IIOD_OF_INPUT;
		else if (is(&w[0], "OUTPUT"))
			c->scope = IIOD_OF_OUTPUT;
		if (c->scope != IIOD_OF_DEVICE) {
			w++;
			n--;
		}
	}
	if (c->scope == IIOD_OF_INPUT || c->scope == IIOD_OF_OUTPUT) {
		if (!n || keep(&w[0], c->channel))
			return -EINVAL;
		w++;
		n--;
	}
	if (n > 1)
		return -EINVAL;
	return n ? keep(&w[0], c->attr) : 0;
}

static const struct {
	const char *keyword;
	enum iiod_verb verb;
	size_t min, max; /* words after it */
} verbs[] = {
	{"HELP", IIOD_HELP, 0, 0},
	{"EXIT", IIOD_EXIT, 0, 0},
	{"QUIT", IIOD_EXIT, 0, 0},
	{"VERSION", IIOD_VERSION, 0, 0},
	{"PRINT", IIOD_PRINT, 0, 0},
	{"TIMEOUT", IIOD_TIMEOUT, 1, 1},
	{"OPEN", IIOD_OPEN, 3, 4},
	{"CLOSE", IIOD_CLOSE, 1, 1},
	{"READ", IIOD_READ, 1, 4},
	{"WRITE", IIOD_WRITE, 2, 5},
	{"READBUF", IIOD_READBUF, 2, 2},
	{"WRITEBUF", IIOD_WRITEBUF, 2, 2},
	{"GETTRIG", IIOD_GETTRIG, 1, 1},
	{"SETTRIG", IIOD_SETTRIG, 1, 2},
	{"SET", IIOD_SET_BUFFERS, 3, 3},
};

int iiod_parse(const char *line, size_t len, struct iiod_command *ret_command)
{
	struct word w[WORDS_MAX];
	struct iiod_command c = {.verb = IIOD_VERB_MAX};
	size_t n;

	if (split(line, len, w, &n))
		return -EINVAL;
	if (!n) {
		*ret_command = (struct iiod_command){.verb = IIOD_EMPTY};
		return 0;
	}
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
		if (is(&w[0], verbs[i].keyword) && n - 1 >= verbs[i].min && n - 1 <= verbs[i].max)
			c.verb = verbs[i].verb;
	int err = 0;
	switch (c.verb) {
	case IIOD_TIMEOUT:
		err = number(&w[1], &c.number);
		break;
	case IIOD_OPEN:
		err = number(&w[2], &c.number) || mask(&w[3], &c) || (n == 5 && !is(&w[4], "CYCLIC"));
		c.cyclic = n == 5;
		break;
	case IIOD_READBUF:
	case IIOD_WRITEBUF:
		err = number(&w[2], &c.number);
		break;
	case IIOD_READ:
	case IIOD_WRITE:
		err = attribute(w + 2, n - 2, &c);
		break;
	case IIOD_SET_BUFFERS:
		err = !is(&w[2], "BUFFERS_COUNT") || number(&w[3], &c.number);
		break;
	case IIOD_VERB_MAX:
		return -EINVAL;
	default:
		break;
	}
	if (c.verb >= IIOD_OPEN)
		err = err || keep(&w[1], c.device);
	if (err)
		return -EINVAL;
	*ret_command = c;
	return 0;
}
