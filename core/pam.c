/* SPDX-License-Identifier: Apache-2.0 */
/* Netpbm headers. The C library alone, and nothing of core: stages compile this file too. */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "core/pam.h"

struct cursor {
	const unsigned char *p, *end;
};

static bool is_space(int c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static int next(struct cursor *c)
{
	return c->p < c->end ? *c->p++ : -1;
}

/* White space and comments (from # to the end of the line) between the fields of P5 and P6. */
static void skip_blank(struct cursor *c)
{
	while (c->p < c->end && (is_space(*c->p) || *c->p == '#')) {
		if (*c->p == '#')
			while (c->p < c->end && *c->p != '\n')
				c->p++;
		else
			c->p++;
	}
}

static bool read_number(struct cursor *c, uint32_t max, uint32_t *ret)
{
	uint32_t v = 0;
	const unsigned char *start = c->p;

	while (c->p < c->end && *c->p >= '0' && *c->p <= '9') {
		v = v * 10 + (uint32_t)(*c->p++ - '0');
		if (v > max) /* max * 10 + 9 fits by far */
			return false;
	}
	*ret = v;
	return c->p > start && v >= 1;
}

static bool parse_old(struct cursor *c, uint32_t depth, const char *tupltype, struct pam *pam)
{
	if (c->p == c->end || !(is_space(*c->p) || *c->p == '#'))
		return false;
	skip_blank(c);
	if (!read_number(c, PAM_SIDE_MAX, &pam->width))
		return false;
	skip_blank(c);
	if (!read_number(c, PAM_SIDE_MAX, &pam->height))
		return false;
	skip_blank(c);
	if (!read_number(c, 65535, &pam->maxval) || !is_space(next(c)))
		return false;
	pam->depth = depth;
	strcpy(pam->tupltype, tupltype);
	return true;
}

/* Several TUPLTYPE lines are one value, joined by spaces (pam(5)). */
static bool add_tupltype(struct pam *pam, const char *value)
{
	size_t have = strlen(pam->tupltype), n = strlen(value);

	if (have + (have > 0) + n >= sizeof(pam->tupltype))
		return false;
	for (const char *p = value; *p; p++)
		if (*p < 0x20 || *p > 0x7e)
			return false;
	if (have > 0)
		pam->tupltype[have++] = ' ';
	memcpy(pam->tupltype + have, value, n + 1);
	return true;
}

static bool parse_field(struct pam *pam, unsigned *seen, char *line)
{
	static const struct {
		const char *name;
		uint32_t max;
		size_t at;
	} fields[] = {
		{"WIDTH", PAM_SIDE_MAX, offsetof(struct pam, width)},
		{"HEIGHT", PAM_SIDE_MAX, offsetof(struct pam, height)},
		{"DEPTH", PAM_DEPTH_MAX, offsetof(struct pam, depth)},
		{"MAXVAL", 65535, offsetof(struct pam, maxval)},
	};
	size_t name_len = 0;

	while (line[name_len] && !is_space((unsigned char)line[name_len]))
		name_len++;
	char *value = line + name_len;
	while (is_space((unsigned char)*value))
		value++;
	size_t n = strlen(value);
	while (n > 0 && is_space((unsigned char)value[n - 1]))
		value[--n] = '\0';
	line[name_len] = '\0';

	if (strcmp(line, "TUPLTYPE") == 0)
		return n > 0 && add_tupltype(pam, value);
	for (unsigned i = 0; i < 4; i++) {
		if (strcmp(line, fields[i].name) != 0)
			continue;
		struct cursor c = {(unsigned char *)value, (unsigned char *)value + n};
		uint32_t v;
		if ((*seen & 1u << i) || !read_number(&c, fields[i].max, &v) || c.p != c.end)
			return false;
		*seen |= 1u << i;
		memcpy((char *)pam + fields[i].at, &v, sizeof(v));
		return true;
	}
	return false;
}

static bool parse_pam(struct cursor *c, struct pam *pam)
{
	unsigned seen = 0;

	if (next(c) != '\n')
		return false;
	for (;;) {
		char line[256];
		size_t n = 0;
		int ch;
		while ((ch = next(c)) != '\n') {
			if (ch <= 0 || n == sizeof(line) - 1)
				return false;
			line[n++] = (char)ch;
		}
		line[n] = '\0';
		char *p = line;
		while (is_space((unsigned char)*p))
			p++;
		if (*p == '\0' || *line == '#')
			continue;
		if (strcmp(line, "ENDHDR") == 0)
			return seen == 15;
		if (!parse_field(pam, &seen, p))
			return false;
	}
}

int pam_parse(const void *data, size_t len, struct pam *ret_pam)
{
	const unsigned char *start = data;
	struct pam pam = {0};
	bool good;

	if (len > PAM_HEADER_BYTES_MAX)
		len = PAM_HEADER_BYTES_MAX;
	if (len < 3 || start[0] != 'P')
		return -1;
	struct cursor c = {start + 2, start + len};
	if (start[1] == '7')
		good = parse_pam(&c, &pam);
	else if (start[1] == '6')
		good = parse_old(&c, 3, "RGB", &pam);
	else if (start[1] == '5')
		good = parse_old(&c, 1, "GRAYSCALE", &pam);
	else
		return -1;
	if (!good)
		return -1;
	*ret_pam = pam;
	return (int)(c.p - start);
}

int pam_format(const struct pam *pam, char *ret_text, size_t cap)
{
	const char *type = pam->tupltype;
	size_t n_type = strnlen(type, sizeof(pam->tupltype));

	if (pam->width < 1 || pam->width > PAM_SIDE_MAX || pam->height < 1 || pam->height > PAM_SIDE_MAX ||
		pam->depth < 1 || pam->depth > PAM_DEPTH_MAX || pam->maxval < 1 || pam->maxval > 65535 ||
		n_type == sizeof(pam->tupltype))
		return -1;
	for (size_t i = 0; i < n_type; i++)
		if (type[i] < 0x20 || type[i] > 0x7e)
			return -1;
	/* A reader would take these away. */
	if (n_type > 0 && (type[0] == ' ' || type[n_type - 1] == ' '))
		return -1;
	int n = snprintf(ret_text, cap, "P7\nWIDTH %u\nHEIGHT %u\nDEPTH %u\nMAXVAL %u\n%s%s%sENDHDR\n",
		(unsigned)pam->width, (unsigned)pam->height, (unsigned)pam->depth, (unsigned)pam->maxval,
		n_type ? "TUPLTYPE " : "", type, n_type ? "\n" : "");
	return n > 0 && (size_t)n < cap ? n : -1;
}
