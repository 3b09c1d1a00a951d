/* SPDX-License-Identifier: Apache-2.0 */
/* A tree or complaints, never both; the tree within its limits; each reader true or complaining. */
#include <string.h>

#include "core/yaml.h"
#include "fuzz.h"

static void check_value(struct complaints *c, const struct ynode *n, bool good, size_t before)
{
	ensure(good ? c->total == before : c->total == before + 1);
	if (c->n > 0)
		ensure(strlen(c->item[c->n - 1].text) < 1024 && !strchr(c->item[c->n - 1].text, '\n'));
}

static void read_as_everything(struct complaints *c, const struct ynode *n)
{
	const char *text = NULL;
	int64_t i = 0;
	uint64_t u = 0;
	double d = 0;
	bool b;
	bool good;

#define READ(call)                                                                                           \
	do {                                                                                                 \
		size_t before = c->total;                                                                    \
		good = call;                                                                                 \
		check_value(c, n, good, before);                                                             \
	} while (0)
	READ(y_text(c, n, &text));
	ensure(!good || text);
	READ(y_name(c, n, &text));
	ensure(!good || (strlen(text) >= 1 && strlen(text) <= 63));
	READ(y_file_name(c, n, &text));
	ensure(!good || (text[0] != '.' && !strchr(text, '/')));
	READ(y_int(c, n, -10, 1000, &i));
	ensure(!good || (i >= -10 && i <= 1000));
	READ(y_number(c, n, -1.5, 10, &d));
	ensure(!good || (d >= -1.5 && d <= 10));
	READ(y_bool(c, n, &b));
	READ(y_size(c, n, 1u << 30, &u));
	ensure(!good || u <= 1u << 30);
	READ(y_duration(c, n, INT64_C(1) << 50, &i));
	ensure(!good || (i >= 0 && i <= INT64_C(1) << 50));
	READ(y_energy(c, n, 1e6, &d));
	ensure(!good || (d >= 0 && d <= 1e6));
#undef READ
}

static void walk(struct complaints *c, struct ynode *n, int depth, size_t *n_nodes)
{
	size_t children = 0;

	ensure(++*n_nodes <= YAML_NODES_MAX);
	ensure(n->line >= 1 && n->column >= 1);
	if (n->kind == YNODE_SCALAR)
		ensure(n->text && !n->first);
	else
		ensure(depth <= YAML_DEPTH_MAX);
	for (struct ynode *it = n->first; it; it = it->next, children++) {
		if (n->kind == YNODE_MAP) {
			ensure(it->key && it->key[0]);
			ensure(y_get(n, it->key) == it); /* the first of this name, and so the only one */
		} else {
			ensure(!it->key);
		}
		walk(c, it, depth + 1, n_nodes);
	}
	ensure(children == n->n);
	read_as_everything(c, n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct complaints c;
	size_t n_nodes = 0;

	if (complaints_init(&c, "f") < 0)
		return 0;
	struct ynode *root = yaml_parse((const char *)data, len, &c);
	ensure(root ? c.total == 0 : c.total > 0);
	if (root)
		walk(&c, root, 1, &n_nodes);
	for (size_t i = 0; i < c.n; i++)
		ensure(c.item[i].line >= 0 && c.item[i].column >= 0);
	yaml_destroy(root);
	complaints_finish(&c);
	return 0;
}
