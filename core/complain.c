/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

#include "core/complain.h"
#include "escape.h"

#define COMPLAINT_TEXT_BYTES 1024
#define NAME_COMPARED_MAX 64 /* longer names are not compared */

int complaints_init(struct complaints *c, const char *file)
{
	char *copy = strdup(file);
	if (!copy)
		return -ENOMEM;
	*c = (struct complaints){.file = copy};
	return 0;
}

void complaints_finish(struct complaints *c)
{
	for (size_t i = 0; i < c->n; i++)
		free(c->item[i].text);
	free(c->file);
	*c = (struct complaints){0};
}

static void keep(struct complaints *c, bool warning, int line, int column, const char *fmt, va_list args)
	__attribute__((format(printf, 5, 0)));
static void keep(struct complaints *c, bool warning, int line, int column, const char *fmt, va_list args)
{
	char raw[COMPLAINT_TEXT_BYTES], text[COMPLAINT_TEXT_BYTES];

	if (c->n == COMPLAINTS_MAX || vsnprintf(raw, sizeof(raw), fmt, args) < 0)
		return;
	/* It quotes what a stranger wrote, and goes to a terminal. */
	text_escape(raw, strnlen(raw, sizeof(raw) - 1), text, sizeof(text));
	char *kept = strdup(text);
	if (!kept)
		return;
	c->item[c->n++] =
		(struct complaint){.line = line, .column = column, .text = kept, .warning = warning};
}

void complain(struct complaints *c, int line, int column, const char *fmt, ...)
{
	va_list args;

	c->total++;
	va_start(args, fmt);
	keep(c, false, line, column, fmt, args);
	va_end(args);
}

void complain_warning(struct complaints *c, int line, int column, const char *fmt, ...)
{
	va_list args;

	if (c->warnings++ >= COMPLAINTS_MAX / 2)
		return;
	va_start(args, fmt);
	keep(c, true, line, column, fmt, args);
	va_end(args);
}

void complaints_print(const struct complaints *c, FILE *to)
{
	char file[512];

	text_escape(c->file, strlen(c->file), file, sizeof(file));
	for (size_t i = 0; i < c->n; i++) {
		const struct complaint *it = &c->item[i];
		const char *warning = it->warning ? "warning: " : "";
		if (it->line > 0)
			fprintf(to, "%s:%d:%d: %s%s\n", file, it->line, it->column, warning, it->text);
		else
			fprintf(to, "%s: %s%s\n", file, warning, it->text);
	}
	if (c->total + c->warnings > c->n)
		fprintf(to, "%s: and %zu more\n", file, c->total + c->warnings - c->n);
}

cJSON *complaints_json(const struct complaints *c)
{
	cJSON *all = cJSON_CreateArray();
	if (!all)
		return NULL;
	for (size_t i = 0; i < c->n; i++) {
		cJSON *one = cJSON_CreateObject();
		if (!one || !cJSON_AddItemToArray(all, one)) {
			cJSON_Delete(one);
			goto fail;
		}
		if (!cJSON_AddStringToObject(one, "file", c->file) ||
			!cJSON_AddNumberToObject(one, "line", c->item[i].line) ||
			!cJSON_AddNumberToObject(one, "column", c->item[i].column) ||
			!cJSON_AddStringToObject(one, "text", c->item[i].text) ||
			(c->item[i].warning && !cJSON_AddTrueToObject(one, "warning")))
			goto fail;
	}
	return all;
fail:
	cJSON_Delete(all);
	return NULL;
}

static size_t min3(size_t a, size_t b, size_t c)
{
	size_t m = a < b ? a : b;
	return m < c ? m : c;
}

/* How many letters must be changed, added, left out or swapped with their neighbour (optimal string
 * alignment). */
static size_t distance(const char *a, size_t na, const char *b, size_t nb)
{
	size_t rows[3][NAME_COMPARED_MAX + 1];
	size_t *before = rows[0], *above = rows[1], *row = rows[2];

	for (size_t j = 0; j <= nb; j++)
		before[j] = above[j] = j;
	for (size_t i = 1; i <= na; i++) {
		row[0] = i;
		for (size_t j = 1; j <= nb; j++) {
			row[j] = min3(row[j - 1] + 1, above[j] + 1, above[j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
				before[j - 2] + 1 < row[j])
				row[j] = before[j - 2] + 1;
		}
		size_t *free_row = before;
		before = above;
		above = row;
		row = free_row;
	}
	return above[nb];
}

const char *nearest_name(const char *name, const char *const *known, size_t n_known)
{
	size_t len = strlen(name);
	size_t best = len / 3 + 1;
	const char *ret = NULL;

	if (len > NAME_COMPARED_MAX)
		return NULL;
	for (size_t i = 0; i < n_known; i++) {
		size_t known_len = strlen(known[i]);
		if (known_len > NAME_COMPARED_MAX)
			continue;
		size_t d = distance(name, len, known[i], known_len);
		if (d < best) {
			best = d;
			ret = known[i];
		}
	}
	return ret;
}
