/* SPDX-License-Identifier: Apache-2.0 */
/* What a stage links: its files, its log and its end, its parameters. One file, so that a stage is built with
 * one command. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "perigee.h"

#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- Files --------------------------------------------------------------------------------------------- */

static bool is_name(const char *name)
{
	size_t i;

	for (i = 0; name[i]; i++) {
		char c = name[i];
		bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');

		if (i >= PERIGEE_NAME_MAX || !(letter || (i > 0 && (c == '.' || c == '_' || c == '-'))))
			return false;
	}
	return i > 0;
}

static int open_below(const char *dir, const char *name, int flags)
{
	const char *root = getenv("PERIGEE_ROOT");
	char path[PATH_MAX];
	int n, fd;

	if (!is_name(name)) {
		errno = EINVAL;
		return -1;
	}
	n = snprintf(path, sizeof(path), "%s/%s/%s", root ? root : "", dir, name);
	if (n < 0 || (size_t)n >= sizeof(path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	do
		fd = open(path, flags | O_CLOEXEC, 0644);
	while (fd < 0 && errno == EINTR);
	return fd;
}

static void close_keep_errno(int fd)
{
	int saved = errno;

	close(fd);
	errno = saved;
}

int perigee_open_in(const char *name)
{
	return open_below("in", name, O_RDONLY);
}

const void *perigee_map_in(const char *name, size_t *ret_len)
{
	int fd = perigee_open_in(name);
	struct stat st;
	void *data;

	if (fd < 0)
		return NULL;
	if (fstat(fd, &st) < 0) {
		close_keep_errno(fd);
		return NULL;
	}
	if (st.st_size == 0) {
		close(fd);
		*ret_len = 0;
		return "";
	}
	if ((uint64_t)st.st_size > SIZE_MAX) {
		close(fd);
		errno = EFBIG;
		return NULL;
	}
	data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	close_keep_errno(fd);
	if (data == MAP_FAILED)
		return NULL;
	*ret_len = (size_t)st.st_size;
	return data;
}

void *perigee_read_in(const char *name, size_t max_bytes, size_t *ret_len)
{
	int fd = perigee_open_in(name);
	struct stat st;
	size_t len, have = 0;
	char *data;

	if (fd < 0)
		return NULL;
	if (fstat(fd, &st) < 0) {
		close_keep_errno(fd);
		return NULL;
	}
	if ((uint64_t)st.st_size > max_bytes || (uint64_t)st.st_size >= SIZE_MAX) {
		close(fd);
		errno = EFBIG;
		return NULL;
	}
	len = (size_t)st.st_size;
	data = malloc(len + 1);
	if (!data) {
		close_keep_errno(fd);
		return NULL;
	}
	while (have < len) {
		ssize_t n = read(fd, data + have, len - have);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			close_keep_errno(fd);
			free(data);
			return NULL;
		}
		if (n == 0)
			break;
		have += (size_t)n;
	}
	close(fd);
	data[have] = '\0';
	*ret_len = have;
	return data;
}

int perigee_create_out(const char *name)
{
	/* In a sandbox the file is there and O_CREAT does nothing; outside one it is made. */
	return open_below("out", name, O_RDWR | O_CREAT | O_TRUNC);
}

FILE *perigee_fopen_out(const char *name)
{
	int fd = perigee_create_out(name);
	FILE *f;

	if (fd < 0)
		return NULL;
	f = fdopen(fd, "w+");
	if (!f)
		close_keep_errno(fd);
	return f;
}

int perigee_write_all(int fd, const void *data, size_t len)
{
	const char *at = data;

	while (len > 0) {
		ssize_t n = write(fd, at, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

int perigee_write_out(const char *name, const void *data, size_t len)
{
	int fd = perigee_create_out(name);

	if (fd < 0)
		return -1;
	if (perigee_write_all(fd, data, len) < 0) {
		close_keep_errno(fd);
		return -1;
	}
	return close(fd);
}

/* ---- Log and end --------------------------------------------------------------------------------------- */

#define LINE_BYTES 1024

static void log_text(const char *fmt, va_list args)
{
	char line[LINE_BYTES];
	int n = vsnprintf(line, sizeof(line) - 1, fmt, args);
	size_t len;

	if (n < 0)
		return;
	len = (size_t)n < sizeof(line) - 1 ? (size_t)n : sizeof(line) - 2;
	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)line[i] < ' ' || line[i] == 0x7f)
			line[i] = ' ';
	}
	line[len++] = '\n';
	/* One write, so that lines of several threads do not mix; when the log is full there is nobody to
	 * tell. */
	(void)perigee_write_all(STDERR_FILENO, line, len);
}

void perigee_log(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	log_text(fmt, args);
	va_end(args);
}

void perigee_fail(const char *fmt, ...)
{
	va_list args;

	fflush(stdout);
	va_start(args, fmt);
	log_text(fmt, args);
	va_end(args);
	_exit(EXIT_FAILURE);
}

void perigee_retry(const char *fmt, ...)
{
	va_list args;

	fflush(stdout);
	va_start(args, fmt);
	log_text(fmt, args);
	va_end(args);
	_exit(PERIGEE_EXIT_RETRY);
}

/* ---- Parameters: one flat JSON object (RFC 8259) --------------------------------------------------------
 */

enum param_kind { PARAM_NUMBER, PARAM_STRING, PARAM_BOOL, PARAM_NULL, PARAM_NESTED, PARAM_KIND_MAX };

static const char *const param_kind_text[PARAM_KIND_MAX] = {
	[PARAM_NUMBER] = "a number",
	[PARAM_STRING] = "a string",
	[PARAM_BOOL] = "true or false",
	[PARAM_NULL] = "null",
	[PARAM_NESTED] = "an object or array",
};

struct param {
	const char *key, *text; /* within the file's text, unescaped in place */
	enum param_kind kind;
	double number;
	bool truth;
};

static struct {
	bool loaded;
	struct param *param;
	size_t n;
} params;

struct reader {
	const char *text;
	char *at;
};

static void __attribute__((noreturn)) bad_params(const struct reader *r, const char *expected)
{
	int line = 1, column = 1;

	for (const char *p = r->text; p < r->at; p++) {
		column = *p == '\n' ? 1 : column + 1;
		line += *p == '\n';
	}
	perigee_fail("/in/params.json:%d:%d: expected %s", line, column, expected);
}

static void skip_space(struct reader *r)
{
	while (*r->at == ' ' || *r->at == '\t' || *r->at == '\n' || *r->at == '\r')
		r->at++;
}

static unsigned read_hex4(struct reader *r)
{
	unsigned v = 0;

	for (int i = 0; i < 4; i++, r->at++) {
		char c = *r->at;

		v <<= 4;
		if (c >= '0' && c <= '9')
			v |= (unsigned)(c - '0');
		else if ((c | 32) >= 'a' && (c | 32) <= 'f')
			v |= (unsigned)((c | 32) - 'a' + 10);
		else
			bad_params(r, "four hexadecimal digits");
	}
	return v;
}

static char *put_utf8(char *to, unsigned c)
{
	if (c < 0x80) {
		*to++ = (char)c;
	} else if (c < 0x800) {
		*to++ = (char)(0xc0 | c >> 6);
		*to++ = (char)(0x80 | (c & 0x3f));
	} else if (c < 0x10000) {
		*to++ = (char)(0xe0 | c >> 12);
		*to++ = (char)(0x80 | (c >> 6 & 0x3f));
		*to++ = (char)(0x80 | (c & 0x3f));
	} else {
		*to++ = (char)(0xf0 | c >> 18);
		*to++ = (char)(0x80 | (c >> 12 & 0x3f));
		*to++ = (char)(0x80 | (c >> 6 & 0x3f));
		*to++ = (char)(0x80 | (c & 0x3f));
	}
	return to;
}

static char *put_escape(struct reader *r, char *to)
{
	static const char from[] = "\"\\/bfnrt", into[] = "\"\\/\b\f\n\r\t";
	const char *p = *r->at ? strchr(from, *r->at) : NULL;
	unsigned c;

	if (p) {
		r->at++;
		*to = into[p - from];
		return to + 1;
	}
	if (*r->at != 'u')
		bad_params(r, "an escape such as \\n or \\u00e9");
	r->at++;
	c = read_hex4(r);
	if (c >= 0xd800 && c < 0xdc00) {
		unsigned low = 0;

		if (r->at[0] == '\\' && r->at[1] == 'u') {
			r->at += 2;
			low = read_hex4(r);
		}
		if (low < 0xdc00 || low > 0xdfff)
			bad_params(r, "the second half of a surrogate pair");
		c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
	} else if (c == 0 || (c >= 0xdc00 && c <= 0xdfff)) {
		bad_params(r, "a character");
	}
	return put_utf8(to, c);
}

/* Unescapes in place: an escape is never shorter than what it stands for. */
static const char *read_string(struct reader *r)
{
	char *start, *to;

	if (*r->at != '"')
		bad_params(r, "a string in double quotes");
	start = to = ++r->at;
	while (*r->at != '"') {
		if ((unsigned char)*r->at < ' ')
			bad_params(r, "the end of the string");
		if (*r->at == '\\') {
			r->at++;
			to = put_escape(r, to);
		} else {
			*to++ = *r->at++;
		}
	}
	r->at++;
	*to = '\0';
	return start;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static void skip_digits(struct reader *r)
{
	if (!is_digit(*r->at))
		bad_params(r, "a digit");
	while (is_digit(*r->at))
		r->at++;
}

static double read_number(struct reader *r)
{
	const char *start = r->at;

	if (*r->at == '-')
		r->at++;
	if (*r->at == '0')
		r->at++;
	else
		skip_digits(r);
	if (*r->at == '.') {
		r->at++;
		skip_digits(r);
	}
	if (*r->at == 'e' || *r->at == 'E') {
		r->at++;
		if (*r->at == '+' || *r->at == '-')
			r->at++;
		skip_digits(r);
	}
	return strtod(start, NULL);
}

static bool read_word(struct reader *r, const char *word)
{
	size_t n = strlen(word);

	if (strncmp(r->at, word, n) != 0)
		return false;
	r->at += n;
	return true;
}

/* Steps over an object or array by its brackets; what is inside is of no use to a flat reader. */
static void skip_nested(struct reader *r)
{
	size_t depth = 0;

	do {
		char c = *r->at;

		if (c == '\0')
			bad_params(r, "the end of the object or array");
		if (c == '"') {
			(void)read_string(r);
			continue;
		}
		if (c == '{' || c == '[')
			depth++;
		if (c == '}' || c == ']')
			depth--;
		r->at++;
	} while (depth > 0);
}

static void read_value(struct reader *r, struct param *p)
{
	if (*r->at == '"') {
		p->kind = PARAM_STRING;
		p->text = read_string(r);
	} else if (*r->at == '-' || is_digit(*r->at)) {
		p->kind = PARAM_NUMBER;
		p->number = read_number(r);
	} else if (read_word(r, "true")) {
		p->kind = PARAM_BOOL;
		p->truth = true;
	} else if (read_word(r, "false")) {
		p->kind = PARAM_BOOL;
	} else if (read_word(r, "null")) {
		p->kind = PARAM_NULL;
	} else if (*r->at == '{' || *r->at == '[') {
		p->kind = PARAM_NESTED;
		skip_nested(r);
	} else {
		bad_params(r, "a value");
	}
}

static void read_object(struct reader *r)
{
	skip_space(r);
	if (*r->at != '{')
		bad_params(r, "one JSON object");
	r->at++;
	skip_space(r);
	while (*r->at != '}') {
		struct param *p = &params.param[params.n];

		if (params.n == PERIGEE_PARAMS_MAX)
			bad_params(r, "fewer parameters");
		p->key = read_string(r);
		skip_space(r);
		if (*r->at != ':')
			bad_params(r, "':'");
		r->at++;
		skip_space(r);
		read_value(r, p);
		params.n++;
		skip_space(r);
		if (*r->at == ',') {
			r->at++;
			skip_space(r);
			if (*r->at != '"')
				bad_params(r, "a string in double quotes");
		} else if (*r->at != '}') {
			bad_params(r, "',' or '}'");
		}
	}
	r->at++;
	skip_space(r);
}

static void load_params(void)
{
	struct reader r;
	size_t len;
	char *text;

	if (params.loaded)
		return;
	text = perigee_read_in("params.json", PERIGEE_PARAMS_BYTES, &len);
	if (!text) {
		if (errno != ENOENT)
			perigee_fail("/in/params.json: %s", strerror(errno));
		params.loaded = true;
		return;
	}
	/* Kept until the stage ends: the strings in it are lent out. */
	params.param = calloc(PERIGEE_PARAMS_MAX, sizeof(*params.param));
	if (!params.param)
		perigee_fail("/in/params.json: out of memory");
	r = (struct reader){.text = text, .at = text};
	read_object(&r);
	if (r.at != text + len)
		bad_params(&r, "nothing after the object");
	params.loaded = true;
}

/* The last of several with the same key, as most readers of JSON have it. */
static const struct param *find_param(const char *key)
{
	load_params();
	for (size_t i = params.n; i > 0; i--) {
		if (strcmp(params.param[i - 1].key, key) == 0)
			return &params.param[i - 1];
	}
	return NULL;
}

static const struct param *find_param_of(const char *key, enum param_kind kind)
{
	const struct param *p = find_param(key);

	if (p && p->kind != kind)
		perigee_fail("/in/params.json: %s: expected %s, found %s", key, param_kind_text[kind],
			param_kind_text[p->kind]);
	return p;
}

double perigee_param_number(const char *key, double otherwise)
{
	const struct param *p = find_param_of(key, PARAM_NUMBER);

	return p ? p->number : otherwise;
}

bool perigee_param_bool(const char *key, bool otherwise)
{
	const struct param *p = find_param_of(key, PARAM_BOOL);

	return p ? p->truth : otherwise;
}

const char *perigee_param_string(const char *key, const char *otherwise)
{
	const struct param *p = find_param_of(key, PARAM_STRING);

	return p ? p->text : otherwise;
}

bool perigee_has_param(const char *key)
{
	return find_param(key) != NULL;
}
