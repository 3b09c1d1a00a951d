/* SPDX-License-Identifier: Apache-2.0 */
/* The tree and its places, and what is refused. */
#include "core/yaml.h"
#include "helpers.h"

static struct complaints c;

static int setup(void **state)
{
	return complaints_init(&c, "f.yaml");
}

static int teardown(void **state)
{
	complaints_finish(&c);
	return 0;
}

static struct ynode *parse(const char *text)
{
	/* Of its own allocation, without a zero at the end. */
	size_t len = strlen(text);
	char *copy = malloc(len + !len);
	assert_non_null(copy);
	memcpy(copy, text, len);
	struct ynode *root = yaml_parse(copy, len, &c);
	free(copy);
	return root;
}

/* Parsing fails with exactly one complaint, "LINE:COLUMN: TEXT". */
static void refused_n(const char *text, size_t len, const char *expected)
{
	struct complaints own;
	char got[2048];

	assert_int_equal(complaints_init(&own, "f.yaml"), 0);
	struct ynode *root = yaml_parse(text, len, &own);
	if (root || own.n != 1)
		fail_msg("\"%s\": %zu complaints", text, own.total);
	snprintf(got, sizeof(got), "%d:%d: %s", own.item[0].line, own.item[0].column, own.item[0].text);
	assert_string_equal(got, expected);
	complaints_finish(&own);
}

static void refused(const char *text, const char *expected)
{
	refused_n(text, strlen(text), expected);
}

static void assert_at(const struct ynode *n, int line, int column)
{
	assert_non_null(n);
	assert_int_equal(n->line, line);
	assert_int_equal(n->column, column);
}

static void positions(void **state)
{
	struct ynode *root = parse("# comment\n"
				   "workflow: ship-count   # name\n"
				   "stages:\n"
				   "  cloud:\n"
				   "    inputs:  {scene: trigger.frame, \"q\": 'v'}\n"
				   "  \xc3\xa9\xc3\xa9: [a, b,\n"
				   "      c]\n"
				   "list:\n"
				   "  - x\n"
				   "  - {y: 1}\n"
				   "text: |\n"
				   "  two\n"
				   "  lines\n");
	assert_non_null(root);
	assert_at(root, 2, 1);
	assert_int_equal(root->kind, YNODE_MAP);
	assert_int_equal(root->n, 4);
	assert_null(root->key);

	struct ynode *n = y_get(root, "workflow");
	assert_at(n, 2, 11);
	assert_int_equal(n->kind, YNODE_SCALAR);
	assert_string_equal(n->text, "ship-count");
	assert_string_equal(n->key, "workflow");
	assert_int_equal(n->key_line, 2);
	assert_int_equal(n->key_column, 1);
	assert_true(n->plain);

	struct ynode *stages = y_get(root, "stages");
	assert_at(stages, 4, 3);
	struct ynode *inputs = y_get(y_get(stages, "cloud"), "inputs");
	assert_at(inputs, 5, 14);
	assert_int_equal(inputs->key_column, 5);
	assert_at(y_get(inputs, "scene"), 5, 22);
	assert_at(y_get(inputs, "q"), 5, 42);
	assert_false(y_get(inputs, "q")->plain);

	/* Columns count characters. */
	n = y_get(stages, "\xc3\xa9\xc3\xa9");
	assert_at(n, 6, 7);
	assert_int_equal(n->kind, YNODE_SEQ);
	assert_int_equal(n->n, 3);
	assert_at(n->first, 6, 8);
	assert_at(n->last, 7, 7);
	assert_ptr_equal(n->first->next->next, n->last);
	assert_null(n->last->next);

	n = y_get(root, "list");
	assert_at(n, 9, 3);
	assert_at(n->first, 9, 5);
	assert_at(n->last, 10, 5);
	assert_at(y_get(n->last, "y"), 10, 9);
	n = y_get(root, "text");
	assert_string_equal(n->text, "two\nlines\n");
	assert_at(n, 11, 7);
	yaml_destroy(root);
	assert_int_equal(c.total, 0);
}

static void other_roots_and_empty_values(void **state)
{
	struct ynode *root = parse("just text");
	assert_at(root, 1, 1);
	assert_string_equal(root->text, "just text");
	yaml_destroy(root);
	root = parse("- a\n-\n- ''\n");
	assert_int_equal(root->kind, YNODE_SEQ);
	assert_string_equal(root->first->next->text, "");
	assert_true(root->first->next->plain);
	assert_false(root->last->plain);
	yaml_destroy(root);
	root = parse("a:\nb: {}\nc: []\n");
	assert_string_equal(y_get(root, "a")->text, "");
	assert_int_equal(y_get(root, "b")->n, 0);
	assert_int_equal(y_get(root, "c")->kind, YNODE_SEQ);
	yaml_destroy(root);
	root = parse("%YAML 1.1\n---\na: 1\n...\n");
	assert_non_null(root);
	yaml_destroy(root);
	root = parse("\xef\xbb\xbf"
		     "a: b\n"); /* a byte order mark does not move the columns */
	assert_at(y_get(root, "a"), 1, 4);
	assert_int_equal(root->first->key_column, 1);
	yaml_destroy(root);
	yaml_destroy(NULL);
	assert_int_equal(c.total, 0);
}

static void nothing_in_it(void **state)
{
	refused("", "1:1: the file is empty");
	refused("\n\n  \n", "1:1: the file is empty");
	refused("# only a comment\n", "1:1: the file is empty");
	refused("\xef\xbb\xbf", "1:1: the file is empty");
}

static void several_documents(void **state)
{
	refused("a: 1\n---\nb: 2\n", "2:1: expected one document, found a second");
	refused("a: 1\n...\n---\nb: 2\n", "3:1: expected one document, found a second");
}

static void anchors_aliases_tags(void **state)
{
	refused("a: &x 1\nb: *x\n", "1:4: expected a plain value, found the anchor \"&x\"");
	refused("a: 1\nb:\n  - *x\n", "3:5: expected a plain value, found the alias \"*x\"");
	refused("a: &x {b: c}\n", "1:4: expected a plain value, found the anchor \"&x\"");
	refused("a: &x [b]\n", "1:4: expected a plain value, found the anchor \"&x\"");
	refused("&k a: 1\n", "1:1: expected a plain value, found the anchor \"&k\"");
	refused("*k : 1\n", "1:1: expected a plain value, found the alias \"*k\"");
	refused("a: !!int 1\n", "1:4: expected a plain value, found the tag \"tag:yaml.org,2002:int\"");
	refused("a: ! 1\n", "1:4: expected a plain value, found the tag \"!\"");
	refused("a: !x {b: c}\n", "1:4: expected a plain value, found the tag \"!x\"");
	refused("a: !x [b]\n", "1:4: expected a plain value, found the tag \"!x\"");
	refused("%TAG ! tag:evil,2000:\n---\na: 1\n", "1:1: expected a document, found a %TAG directive");
	/* The laughing billions never get to their first laugh. */
	refused("a: &a [x,x]\nb: &b [*a,*a]\n", "1:4: expected a plain value, found the anchor \"&a\"");
}

static void duplicate_keys(void **state)
{
	refused("a: 1\nb: 2\na: 3\n", "3:1: a: this key is here already, at line 1");
	refused("x: {k: 1, j: 2, \"k\": 3}\n", "1:17: k: this key is here already, at line 1");

	assert_null(parse("a: 1\na: 2\na: 3\nb: 1\nb: 2\n"));
	assert_int_equal(c.total, 3);
	assert_int_equal(c.item[0].line, 2);
	assert_int_equal(c.item[1].line, 3);
	assert_int_equal(c.item[2].line, 5);
}

/* As many keys as fit, in the time that sorting takes. */
static void many_keys(void **state)
{
	size_t cap = YAML_BYTES_MAX, len = 0;
	CLEAN_FREE char *text = malloc(cap);
	assert_non_null(text);
	for (int i = 0; i < YAML_NODES_MAX - 1; i++)
		len += (size_t)snprintf(text + len, cap - len, "k%x: %d\n", i, i % 10);
	struct ynode *root = yaml_parse(text, len, &c);
	assert_non_null(root);
	assert_int_equal(root->n, YAML_NODES_MAX - 1);
	yaml_destroy(root);
	len += (size_t)snprintf(text + len, cap - len, "one: more\n");
	refused_n(text, len, "200000:6: too large: more than 200000 values");
}

static void keys_that_are_none(void **state)
{
	refused("{a: b}: c\n", "1:1: expected a key, found a mapping");
	refused("? [a, b]\n: c\n", "1:3: expected a key, found a list");
	refused("? \n: c\n", "1:2: expected a key, found nothing before the colon");
	refused("\"\": c\n", "1:1: expected a key, found nothing before the colon");
	refused("x: {a: b, [c]: d}\n", "1:11: expected a key, found a list");
	refused("x: \"a\\0b\"\n", "1:4: expected text, found a zero byte in it");
	refused("\"a\\0b\": x\n", "1:1: expected text, found a zero byte in it");
}

static void depth(void **state)
{
	char text[512] = "";

	for (int i = 0; i < YAML_DEPTH_MAX; i++)
		strcat(text, "[");
	strcat(text, "x");
	for (int i = 0; i < YAML_DEPTH_MAX; i++)
		strcat(text, "]");
	struct ynode *root = parse(text);
	assert_non_null(root);
	yaml_destroy(root);
	char deeper[600];
	snprintf(deeper, sizeof(deeper), "[%s]", text);
	refused(deeper, "1:33: nested too deep: more than 32 levels");

	/* A hostile megabyte of brackets ends just as soon. */
	CLEAN_FREE char *brackets = malloc(1 << 20);
	assert_non_null(brackets);
	memset(brackets, '[', 1 << 20);
	refused_n(brackets, 1 << 20, "1:33: nested too deep: more than 32 levels");
	for (int i = 0; i < 1 << 20; i++)
		brackets[i] = "{a: "[i % 4];
	refused_n(brackets, 1 << 20, "1:129: nested too deep: more than 32 levels");
}

static void huge_scalar(void **state)
{
	size_t len = YAML_BYTES_MAX;
	CLEAN_FREE char *text = malloc(len + 1);
	assert_non_null(text);
	memset(text, 'a', len + 1);
	memcpy(text, "k: ", 3);
	struct ynode *root = yaml_parse(text, len, &c);
	assert_non_null(root);
	assert_int_equal(strlen(root->first->text), len - 3);
	/* A complaint about it stays short. */
	uint64_t v;
	assert_false(y_size(&c, root->first, 1, &v));
	assert_true(strlen(c.item[0].text) < 200);
	yaml_destroy(root);
	refused_n(text, len + 1, "0:0: too large: 4194305 bytes, expected at most 4194304");
}

static void broken_text(void **state)
{
	refused("a:\n\t- b\n", "2:1: expected spaces, found a tab");
	refused("a: b\n  c: d\n", "2:4: not valid YAML: mapping values are not allowed in this context");
	refused("a: [b\n",
		"2:1: not valid YAML: while parsing a flow sequence, did not find expected ',' or ']'");
	refused("a: \"b\n",
		"2:1: not valid YAML: while scanning a quoted scalar, found unexpected end of stream");
	refused("a: @b\n",
		"1:4: not valid YAML: while scanning for the next token, found character that cannot "
		"start any token");
	refused("a: b\nc\n", "3:1: not valid YAML: while scanning a simple key, could not find expected ':'");
}

static void not_utf8(void **state)
{
	refused("a: b\nc: d\xff\n", "2:5: not valid UTF-8 text: invalid leading UTF-8 octet (byte 0xff)");
	refused("a: \xc3\xa9\xc3(\n", "1:5: not valid UTF-8 text: invalid trailing UTF-8 octet (byte 0xc3)");
	refused("a: \xed\xa0\x80\n", "1:4: not valid UTF-8 text: invalid Unicode character (byte 0xed)");
	refused("a: \xc3", "1:4: not valid UTF-8 text: incomplete UTF-8 octet sequence (byte 0xc3)");
	refused("a: b\x01\n", "1:5: expected text, found the control character 0x01");
	refused_n("a: b\0c\n", 7, "1:5: expected text, found the control character 0x00");
	refused_n("\xff\xfe"
		  "a\0:\0",
		6, "1:1: not valid UTF-8 text: invalid leading UTF-8 octet (byte 0xff)"); /* UTF-16 */
}

/* Every way to count lines that libyaml has, with a place after each. */
static void line_breaks(void **state)
{
	refused("a: 1\r\nb: 2\rc: \xff",
		"3:4: not valid UTF-8 text: invalid leading UTF-8 octet (byte 0xff)");
	struct ynode *root = parse("a: 1\r\nb: 2\rc: 3\n");
	assert_at(y_get(root, "c"), 3, 4);
	yaml_destroy(root);
}

static void files(void **state)
{
	char dir[] = "/tmp/perigee-test-XXXXXX", path[64];

	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/f", dir);
	assert_null(yaml_load(path, &c));
	assert_string_equal(c.item[0].text, "cannot be read: No such file or directory");
	assert_int_equal(c.item[0].line, 0);
	assert_int_equal(file_replace(path, "a: 1\n", 5, 0600), 0);
	struct ynode *root = yaml_load(path, &c);
	assert_non_null(root);
	yaml_destroy(root);
	assert_int_equal(truncate(path, YAML_BYTES_MAX + 1), 0);
	assert_null(yaml_load(path, &c));
	assert_string_equal(c.item[1].text, "too large: expected at most 4194304 bytes");
	assert_int_equal(dir_remove(dir), 0);
}

/* Cut and damaged at every place: a tree or complaints, never both and never neither. */
static void damaged_everywhere(void **state)
{
	static const char text[] = "perigee: v1\nstages:\n  cloud:\n    inputs: {a: 'b', \"c\": d}\n"
				   "    list: [1, 2]\n  x: |\n    block\n  y: >-\n    folded\n";
	size_t len = sizeof(text) - 1;

	for (size_t i = 0; i < len * 9; i++) {
		char copy[sizeof(text)];
		size_t n = len;
		memcpy(copy, text, len);
		if (i < len)
			n = i;
		else
			copy[(i - len) / 8] ^= (char)(1 << (i - len) % 8);
		char *exact = malloc(n + !n);
		assert_non_null(exact);
		memcpy(exact, copy, n);
		assert_int_equal(setup(NULL), 0);
		struct ynode *root = yaml_parse(exact, n, &c);
		assert_true(root ? c.total == 0 : c.total > 0);
		for (size_t k = 0; k < c.n; k++)
			assert_true(c.item[k].line >= 1 && c.item[k].line <= 12 && c.item[k].column >= 1);
		yaml_destroy(root);
		free(exact);
		teardown(NULL);
	}
}

#define WITH_COMPLAINTS(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_COMPLAINTS(positions),
		WITH_COMPLAINTS(other_roots_and_empty_values),
		cmocka_unit_test(nothing_in_it),
		cmocka_unit_test(several_documents),
		cmocka_unit_test(anchors_aliases_tags),
		WITH_COMPLAINTS(duplicate_keys),
		WITH_COMPLAINTS(many_keys),
		cmocka_unit_test(keys_that_are_none),
		WITH_COMPLAINTS(depth),
		WITH_COMPLAINTS(huge_scalar),
		cmocka_unit_test(broken_text),
		cmocka_unit_test(not_utf8),
		WITH_COMPLAINTS(line_breaks),
		WITH_COMPLAINTS(files),
		cmocka_unit_test(damaged_everywhere),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
