/* SPDX-License-Identifier: Apache-2.0 */
/* perigee lint: checks workflow, mission and policy files whole. */
#include <errno.h>
#include <getopt.h>
#include <string.h>
#include <sysexits.h>

#include "commands.h"
#include "core/file.h"
#include "core/mission.h"
#include "core/yaml.h"
#include "pipelines.h"

#define FILES_MAX 256

/* A file that was named, or that a mission names. */
struct linted {
	struct complaints c;
	const char *what;
	struct workflow *w; /* owned; NULL when it is none, or a bad one */
};

struct lint {
	const struct lint_kind *kinds;
	size_t n_kinds;
	struct linted file[FILES_MAX];
	size_t n;
	bool missions; /* one was among them: then its workflows are all there are */
};

static void help(FILE *to)
{
	fputs("Usage: perigee lint [--json] FILE...\n"
	      "\n"
	      "Checks workflow, mission and policy files whole, without doing anything with them: of a "
	      "mission "
	      "also its\n"
	      "workflows, against its budget and against each other. Every complaint has file, line, column, "
	      "what was\n"
	      "found, and what was expected:\n"
	      "\n"
	      "  ship-count.yaml:14:16: memory: expected a size such as 64MiB, found \"64 megs\"\n"
	      "  ship-count.yaml:12:15: warning: cloud.mask is used by nobody: ...\n"
	      "\n"
	      "  --json   the complaints as a JSON list on standard output\n"
	      "\n"
	      "Exit status: 0 no mistake (there may be warnings), 65 mistakes, 64 usage.\n",
		to);
}

static struct linted *add_file(struct lint *l, const char *path)
{
	struct linted *f = l->n < FILES_MAX ? &l->file[l->n] : NULL;

	if (!f || complaints_init(&f->c, path) < 0)
		return NULL;
	l->n++;
	return f;
}

static bool named_already(const struct lint *l, const char *path)
{
	for (size_t i = 0; i < l->n; i++)
		if (!strcmp(l->file[i].c.file, path))
			return true;
	return false;
}

static int check_workflow(struct linted *f, const struct workflow_limits *limits)
{
	return workflow_load(f->c.file, limits, &f->c, &f->w);
}

/* A quota of a payload that has no workflow is most often a slip of the pen: then its workflows have none. */
static void check_quotas(const struct lint *l, struct linted *f, const struct mission *m)
{
	const char *payloads[FILES_MAX];
	size_t n = 0;

	for (size_t i = 0; i < l->n; i++)
		if (l->file[i].w)
			payloads[n++] = workflow_payload(l->file[i].w);
	for (size_t q = 0; q < m->n_quotas; q++) {
		size_t i = 0;

		while (i < n && strcmp(payloads[i], m->quotas[q].payload))
			i++;
		const char *near = i == n ? nearest_name(m->quotas[q].payload, payloads, n) : NULL;
		if (near)
			complain_warning(&f->c, 0, 0,
				"quotas: no workflow is of the payload %s; did you mean \"%s\"?",
				m->quotas[q].payload, near);
		else if (i == n)
			complain_warning(&f->c, 0, 0, "quotas: no workflow is of the payload %s",
				m->quotas[q].payload);
	}
}

static int check_mission(struct lint *l, struct linted *f)
{
	struct mission *m = NULL;
	int r = mission_load(f->c.file, &f->c, &m);

	if (r < 0)
		return r;
	l->missions = true;
	struct workflow_limits limits = workflow_limits_of(m);
	limits.images = m->images;
	for (size_t i = 0; i < m->n_workflows; i++) {
		if (named_already(l, m->workflows[i]))
			continue;
		struct linted *w = add_file(l, m->workflows[i]);
		if (!w) {
			complain(&f->c, 0, 0, "too many files: expected at most %d", FILES_MAX);
			break;
		}
		w->what = "workflow file";
		if (check_workflow(w, &limits) < 0 && w->c.total == 0)
			complain(&w->c, 0, 0, "cannot be checked");
	}
	check_quotas(l, f, m);
	mission_destroy(m);
	return 0;
}

/* What a file is, by the key that names it; NULL with the complaint made. */
static const struct lint_kind *find_kind(const struct lint *l, struct linted *f)
{
	const struct lint_kind *found = NULL;
	struct ynode *root = yaml_load(f->c.file, &f->c);

	if (!root)
		return NULL;
	for (size_t i = 0; root->kind == YNODE_MAP && i < l->n_kinds && !found; i++)
		if (y_get(root, l->kinds[i].key))
			found = &l->kinds[i];
	if (!found)
		complain(&f->c, root->line, root->column,
			"expected a workflow file (workflow: NAME), a mission file (mission: NAME) or a "
			"policy (policy: NAME)");
	yaml_destroy(root);
	return found;
}

static void check_file(struct lint *l, struct linted *f)
{
	const struct lint_kind *kind = find_kind(l, f);
	int r = 0;

	if (!kind)
		return;
	f->what = kind->what;
	if (kind->check)
		r = kind->check(f->c.file, &f->c);
	else if (!strcmp(kind->key, "mission"))
		r = check_mission(l, f);
	else
		r = check_workflow(f, &(struct workflow_limits){0});
	if (r < 0 && f->c.total == 0)
		complain(&f->c, 0, 0, "cannot be checked");
}

/* How the workflows refer to each other. */
static int check_together(struct lint *l)
{
	struct workflow *list[FILES_MAX];
	struct complaints *c[FILES_MAX];
	size_t n = 0;

	for (size_t i = 0; i < l->n; i++) {
		if (!l->file[i].w)
			continue;
		list[n] = l->file[i].w;
		c[n++] = &l->file[i].c;
	}
	int r = workflow_check_uses(list, n, l->missions, c);
	return r == ERR_CHECKED ? 0 : r;
}

static void print_json(const struct lint *l)
{
	cJSON *all = cJSON_CreateArray(), *item;

	for (size_t i = 0; i < l->n; i++) {
		cJSON *list = complaints_json(&l->file[i].c);
		while (list && (item = cJSON_DetachItemFromArray(list, 0)))
			cJSON_AddItemToArray(all, item);
		cJSON_Delete(list);
	}
	char *text = cJSON_Print(all);
	puts(text ? text : "[]");
	free(text);
	cJSON_Delete(all);
}

static void print_text(const struct lint *l)
{
	for (size_t i = 0; i < l->n; i++) {
		const struct linted *f = &l->file[i];

		complaints_print(&f->c, stderr);
		if (f->c.total == 0)
			printf("%s: a good %s\n", f->c.file, f->what);
	}
}

static int lint_all(struct lint *l, char **paths, int n)
{
	bool mistakes = false;

	for (int i = 0; i < n; i++) {
		if (named_already(l, paths[i]))
			continue;
		struct linted *f = add_file(l, paths[i]);
		if (!f) {
			fprintf(stderr, "perigee lint: expected at most %d files\n", FILES_MAX);
			return EX_USAGE;
		}
		check_file(l, f);
	}
	if (check_together(l) < 0)
		return EX_OSERR;
	for (size_t i = 0; i < l->n; i++)
		mistakes |= l->file[i].c.total > 0;
	return mistakes ? EX_DATAERR : 0;
}

int command_lint(int argc, char **argv, const struct lint_kind *kinds, size_t n_kinds)
{
	static const struct option longs[] = {
		{"json", no_argument, NULL, 'j'}, {"help", no_argument, NULL, 'h'}, {0}};
	bool json = false;

	for (int o; (o = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
		if (o == 'j') {
			json = true;
			continue;
		}
		help(o == 'h' ? stdout : stderr);
		return o == 'h' ? 0 : EX_USAGE;
	}
	if (optind == argc) {
		help(stderr);
		return EX_USAGE;
	}
	struct lint *l = calloc(1, sizeof(*l));
	if (!l)
		return EX_OSERR;
	l->kinds = kinds;
	l->n_kinds = n_kinds;
	int status = lint_all(l, argv + optind, argc - optind);
	if (json)
		print_json(l);
	else
		print_text(l);
	for (size_t i = 0; i < l->n; i++) {
		workflow_destroy(l->file[i].w);
		complaints_finish(&l->file[i].c);
	}
	free(l);
	return status;
}
