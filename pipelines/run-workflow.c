/* SPDX-License-Identifier: Apache-2.0 */
/* The workflow of a run: from memory, or from the text that was kept with it. */
#include <errno.h>
#include <string.h>

#include "runs.h"

static struct workflow *find_by_digest(struct pipelines *p, const char *digest)
{
	char text[DIGEST_TEXT_BYTES];

	for (size_t i = 0; i < p->n_workflows; i++) {
		digest_format(&p->workflows[i]->digest, text);
		if (!strcmp(text, digest))
			return p->workflows[i];
	}
	return NULL;
}

const struct workflow *pipelines_workflow(struct pipelines *p, const char *name)
{
	return workflows_find(p, name);
}

struct workflow *workflows_find(struct pipelines *p, const char *name)
{
	for (size_t i = 0; i < p->n_on; i++)
		if (!strcmp(p->workflows[i]->name, name))
			return p->workflows[i];
	return NULL;
}

int workflows_remember(struct pipelines *p, struct workflow *w, size_t at)
{
	struct workflow **grown = reallocarray(p->workflows, p->n_workflows + 1, sizeof(struct workflow *));

	if (!grown)
		return -ENOMEM;
	p->workflows = grown;
	memmove(grown + at + 1, grown + at, (p->n_workflows - at) * sizeof(struct workflow *));
	grown[at] = w;
	p->n_workflows++;
	return 0;
}

/* The text was good when its run began; a later version of the program may see it otherwise. */
static int parse_kept(
	struct pipelines *p, const char *name, const void *text, size_t len, struct workflow **ret)
{
	static const struct workflow_limits no_limits;
	struct complaints c;
	int r = complaints_init(&c, name);

	if (r < 0)
		return r;
	r = workflow_parse(text, len, &no_limits, &c, ret);
	if (r < 0)
		complaints_print(&c, stderr);
	complaints_finish(&c);
	if (r == 0 && (r = workflows_remember(p, *ret, p->n_workflows)) < 0)
		workflow_destroy(*ret);
	return r;
}

int runs_workflow(struct pipelines *p, int64_t run, struct workflow **ret_workflow)
{
	sqlite3_stmt *q = store_query(p->o.store,
		"SELECT run.digest, workflow_text.name, workflow_text.text FROM run"
		" JOIN workflow_text ON workflow_text.digest = run.digest WHERE run.id = ?",
		"i", run);

	if (!q)
		return ERR_STORE;
	if (sqlite3_step(q) != SQLITE_ROW) {
		sqlite3_reset(q);
		return ERR_UNKNOWN;
	}
	int r = 0;
	struct workflow *w = find_by_digest(p, (const char *)sqlite3_column_text(q, 0));
	if (!w)
		r = parse_kept(p, (const char *)sqlite3_column_text(q, 1), sqlite3_column_blob(q, 2),
			(size_t)sqlite3_column_bytes(q, 2), &w);
	sqlite3_reset(q);
	if (r == 0)
		*ret_workflow = w;
	return r;
}
