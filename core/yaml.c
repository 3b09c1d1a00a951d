/* SPDX-License-Identifier: Apache-2.0 */
/* From libyaml's events to a tree. What is refused here never reaches a checker. */
#include <errno.h>
#include <string.h>
#include <yaml.h>

#include "core/file.h"
#include "core/yaml.h"
#include "escape.h"

struct builder {
	struct complaints *c;
	struct ynode *root;
	struct ynode
		*open[YAML_DEPTH_MAX]; /* the mappings and sequences that have not ended; part of the tree */
	size_t depth;
	size_t n_nodes;
	char *key; /* owned: read, its value not yet */
	int key_line, key_column;
};

/* ---- places ---- */

struct place {
	size_t offset; /* bytes */
	int line, column;
};

/* One character on, counting lines as libyaml does (YAML 1.1 section 5.4: CR, LF, NEL, LS and PS break). */
static void place_step(const char *text, size_t len, struct place *p)
{
	const unsigned char *s = (const unsigned char *)text + p->offset;
	size_t left = len - p->offset;
	size_t n = utf8_len(s, left);

	if (n == 0)
		n = 1;
	bool breaks = s[0] == '\n' || (n == 2 && s[0] == 0xc2 && s[1] == 0x85) ||
		      (n == 3 && s[0] == 0xe2 && s[1] == 0x80 && (s[2] == 0xa8 || s[2] == 0xa9));
	if (s[0] == '\r') {
		breaks = true;
		if (left > 1 && s[1] == '\n')
			n = 2;
	}
	p->offset += n;
	if (breaks) {
		p->line++;
		p->column = 1;
	} else {
		p->column++;
	}
}

/* The place of a byte, or of the first character before it that is not UTF-8: libyaml points into the middle
 * of it. */
static struct place place_of_offset(const char *text, size_t len, size_t offset)
{
	struct place p = {.line = 1, .column = 1};

	while (p.offset < offset && p.offset < len &&
		utf8_len((const unsigned char *)text + p.offset, len - p.offset) > 0)
		place_step(text, len, &p);
	return p;
}

/* The byte at a line and column, or 0 beyond the end. */
static char byte_at(const char *text, size_t len, int line, int column)
{
	struct place p = {.line = 1, .column = 1};

	while (p.offset < len && (p.line < line || (p.line == line && p.column < column)))
		place_step(text, len, &p);
	return p.offset < len ? text[p.offset] : '\0';
}

static void complain_syntax(struct complaints *c, const yaml_parser_t *parser, const char *text, size_t len)
{
	if (parser->error == YAML_MEMORY_ERROR) {
		complain(c, 0, 0, "out of memory");
		return;
	}
	if (parser->error == YAML_READER_ERROR) {
		struct place p = place_of_offset(text, len, parser->problem_offset);
		size_t n =
			p.offset < len ? utf8_len((const unsigned char *)text + p.offset, len - p.offset) : 0;
		if (n == 0)
			complain(c, p.line, p.column, "not valid UTF-8 text: %s (byte 0x%02x)",
				parser->problem, p.offset < len ? (unsigned char)text[p.offset] : 0);
		else
			complain(c, p.line, p.column, "expected text, found the control character 0x%02x",
				(unsigned)(parser->problem_value & 0xffff));
		return;
	}
	int line = (int)parser->problem_mark.line + 1, column = (int)parser->problem_mark.column + 1;
	if (byte_at(text, len, line, column) == '\t') {
		complain(c, line, column, "expected spaces, found a tab");
		return;
	}
	const char *problem = parser->problem ? parser->problem : "malformed";
	if (parser->context)
		complain(c, line, column, "not valid YAML: %s, %s", parser->context, problem);
	else
		complain(c, line, column, "not valid YAML: %s", problem);
}

/* ---- the tree ---- */

void yaml_destroy(struct ynode *root)
{
	/* The depth is limited to YAML_DEPTH_MAX, so the recursion is too. */
	if (!root)
		return;
	for (struct ynode *n = root->first, *next; n; n = next) {
		next = n->next;
		yaml_destroy(n);
	}
	free(root->text);
	free(root->key);
	free(root);
}

static int line_of(const yaml_event_t *e)
{
	return (int)e->start_mark.line + 1;
}

static int column_of(const yaml_event_t *e)
{
	return (int)e->start_mark.column + 1;
}

/* A new node in its place. NULL with the complaint made. */
static struct ynode *add_node(struct builder *b, const yaml_event_t *e, enum ynode_kind kind)
{
	if (b->n_nodes == YAML_NODES_MAX) {
		complain(b->c, line_of(e), column_of(e), "too large: more than %d values", YAML_NODES_MAX);
		return NULL;
	}
	if (kind != YNODE_SCALAR && b->depth == YAML_DEPTH_MAX) {
		complain(b->c, line_of(e), column_of(e), "nested too deep: more than %d levels",
			YAML_DEPTH_MAX);
		return NULL;
	}
	struct ynode *n = calloc(1, sizeof(*n));
	if (!n) {
		complain(b->c, 0, 0, "out of memory");
		return NULL;
	}
	b->n_nodes++;
	n->kind = kind;
	n->line = line_of(e);
	n->column = column_of(e);
	if (b->depth == 0) {
		b->root = n;
	} else {
		struct ynode *parent = b->open[b->depth - 1];
		n->key = TAKE_PTR(b->key);
		n->key_line = b->key_line;
		n->key_column = b->key_column;
		if (parent->last)
			parent->last->next = n;
		else
			parent->first = n;
		parent->last = n;
		parent->n++;
	}
	if (kind != YNODE_SCALAR)
		b->open[b->depth++] = n;
	return n;
}

static bool no_properties(
	struct builder *b, const yaml_event_t *e, const yaml_char_t *anchor, const yaml_char_t *tag)
{
	if (anchor)
		complain(b->c, line_of(e), column_of(e),
			"expected a plain value, found the anchor \"&%.40s\"", (const char *)anchor);
	if (tag)
		complain(b->c, line_of(e), column_of(e), "expected a plain value, found the tag \"%.40s\"",
			(const char *)tag);
	return !anchor && !tag;
}

/* True when the next event is a key of the innermost mapping. */
static bool at_key(const struct builder *b)
{
	return b->depth > 0 && b->open[b->depth - 1]->kind == YNODE_MAP && !b->key;
}

static bool on_scalar(struct builder *b, const yaml_event_t *e)
{
	const char *value = (const char *)e->data.scalar.value;
	size_t len = e->data.scalar.length;

	if (!no_properties(b, e, e->data.scalar.anchor, e->data.scalar.tag))
		return false;
	if (memchr(value, 0, len)) {
		complain(b->c, line_of(e), column_of(e), "expected text, found a zero byte in it");
		return false;
	}
	if (at_key(b)) {
		if (len == 0) {
			complain(b->c, line_of(e), column_of(e),
				"expected a key, found nothing before the colon");
			return false;
		}
		b->key = strndup(value, len);
		b->key_line = line_of(e);
		b->key_column = column_of(e);
		if (!b->key)
			complain(b->c, 0, 0, "out of memory");
		return b->key;
	}
	struct ynode *n = add_node(b, e, YNODE_SCALAR);
	if (!n)
		return false;
	n->plain = e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	n->text = strndup(value, len);
	if (!n->text)
		complain(b->c, 0, 0, "out of memory");
	return n->text;
}

static bool on_start(struct builder *b, const yaml_event_t *e, enum ynode_kind kind)
{
	const yaml_char_t *anchor, *tag;

	if (kind == YNODE_MAP) {
		anchor = e->data.mapping_start.anchor;
		tag = e->data.mapping_start.tag;
	} else {
		anchor = e->data.sequence_start.anchor;
		tag = e->data.sequence_start.tag;
	}
	if (!no_properties(b, e, anchor, tag))
		return false;
	if (at_key(b)) {
		complain(b->c, line_of(e), column_of(e), "expected a key, found a %s",
			kind == YNODE_MAP ? "mapping" : "list");
		return false;
	}
	return add_node(b, e, kind);
}

static int by_key(const void *a, const void *b)
{
	const struct ynode *x = *(struct ynode *const *)a, *y = *(struct ynode *const *)b;
	int r = strcmp(x->key, y->key);

	if (r != 0)
		return r;
	if (x->key_line != y->key_line)
		return x->key_line < y->key_line ? -1 : 1;
	return x->key_column < y->key_column ? -1 : x->key_column > y->key_column;
}

/* Sorted rather than compared each with each: the file may have 200 000 keys for us. */
static bool no_duplicates(struct builder *b, const struct ynode *map)
{
	if (map->n < 2)
		return true;
	CLEAN_FREE struct ynode **sorted = calloc(map->n, sizeof(struct ynode *));
	if (!sorted) {
		complain(b->c, 0, 0, "out of memory");
		return false;
	}
	size_t n = 0;
	for (struct ynode *it = map->first; it; it = it->next)
		sorted[n++] = it;
	qsort(sorted, n, sizeof(struct ynode *), by_key);
	bool good = true;
	for (size_t i = 1, first = 0; i < n; i++) {
		if (strcmp(sorted[i]->key, sorted[first]->key) != 0) {
			first = i;
			continue;
		}
		complain(b->c, sorted[i]->key_line, sorted[i]->key_column,
			"%.63s: this key is here already, at line %d", sorted[i]->key,
			sorted[first]->key_line);
		good = false;
	}
	return good;
}

/* One event; false when parsing must end. */
static bool on_event(struct builder *b, const yaml_event_t *e)
{
	switch (e->type) {
	case YAML_DOCUMENT_START_EVENT:
		if (b->root) {
			complain(b->c, line_of(e), column_of(e), "expected one document, found a second");
			return false;
		}
		if (e->data.document_start.tag_directives.start !=
			e->data.document_start.tag_directives.end) {
			complain(b->c, line_of(e), column_of(e),
				"expected a document, found a %%TAG directive");
			return false;
		}
		return true;
	case YAML_ALIAS_EVENT:
		complain(b->c, line_of(e), column_of(e), "expected a plain value, found the alias \"*%.40s\"",
			(const char *)e->data.alias.anchor);
		return false;
	case YAML_SCALAR_EVENT:
		return on_scalar(b, e);
	case YAML_MAPPING_START_EVENT:
		return on_start(b, e, YNODE_MAP);
	case YAML_SEQUENCE_START_EVENT:
		return on_start(b, e, YNODE_SEQ);
	case YAML_MAPPING_END_EVENT:
		return no_duplicates(b, b->open[--b->depth]);
	case YAML_SEQUENCE_END_EVENT:
		b->depth--;
		return true;
	default:
		return true;
	}
}

struct ynode *yaml_parse(const char *text, size_t len, struct complaints *c)
{
	struct builder b = {.c = c};
	yaml_parser_t parser;

	if (len > YAML_BYTES_MAX) {
		complain(c, 0, 0, "too large: %zu bytes, expected at most %u", len, YAML_BYTES_MAX);
		return NULL;
	}
	/* Without the mark that some editors put in front, columns are what the person sees. */
	if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
		text += 3;
		len -= 3;
	}
	if (!yaml_parser_initialize(&parser)) {
		complain(c, 0, 0, "out of memory");
		return NULL;
	}
	yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);

	bool good;
	yaml_event_type_t type;
	do {
		yaml_event_t e;
		if (!yaml_parser_parse(&parser, &e)) {
			complain_syntax(c, &parser, text, len);
			good = false;
			break;
		}
		type = e.type;
		good = on_event(&b, &e);
		yaml_event_delete(&e);
	} while (good && type != YAML_STREAM_END_EVENT);
	yaml_parser_delete(&parser);

	if (good && !b.root) {
		complain(c, 1, 1, "the file is empty");
		good = false;
	}
	if (!good) {
		free(b.key);
		yaml_destroy(b.root);
		return NULL;
	}
	return b.root;
}

struct ynode *yaml_load(const char *path, struct complaints *c)
{
	CLEAN_FREE char *text = NULL;
	size_t len;

	int r = file_read(path, YAML_BYTES_MAX, &text, &len);
	if (r == ERR_LIMIT) {
		complain(c, 0, 0, "too large: expected at most %u bytes", YAML_BYTES_MAX);
		return NULL;
	}
	if (r < 0) {
		complain(c, 0, 0, "cannot be read: %s", err_text(r));
		return NULL;
	}
	return yaml_parse(text, len, c);
}
