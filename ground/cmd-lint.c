/* SPDX-License-Identifier: Apache-2.0 */
/* perigee lint: checks a workflow, mission or policy file whole. */
#include <getopt.h>
#include <string.h>
#include <sysexits.h>

#include "commands.h"
#include "core/file.h"
#include "core/mission.h"
#include "core/yaml.h"
#include "pipelines.h"

static void help(FILE *to)
{
	fputs("Usage: perigee lint [--json] FILE...\n"
	      "\n"
	      "Checks workflow, mission and policy files whole, without doing anything with them. Every "
	      "complaint has\n"
	      "file, line, column, what was found, and what was expected:\n"
	      "\n"
	      "  ship-count.yaml:14:16: memory: expected a size such as 64MiB, found \"64 megs\"\n"
	      "\n"
	      "  --json   the complaints as a JSON list on standard output\n"
	      "\n"
	      "Exit status: 0 no complaint, 65 mistakes, 64 usage.\n",
		to);
}

int check_workflow(const char *path, struct complaints *c)
{
	struct workflow *w = NULL;
	int r = workflow_load(path, &(struct workflow_limits){0}, c, &w);

	if (r == 0)
		workflow_destroy(w);
	return r;
}

int check_mission(const char *path, struct complaints *c)
{
	struct mission *m = NULL;
	int r = mission_load(path, c, &m);

	if (r == 0)
		mission_destroy(m);
	return r;
}

/* What a file is, by the key that names it; NULL with the complaint made. */
static const struct lint_kind *find_kind(
	const char *path, const struct lint_kind *kinds, size_t n_kinds, struct complaints *c)
{
	const struct lint_kind *found = NULL;
	struct ynode *root = yaml_load(path, c);

	if (!root)
		return NULL;
	for (size_t i = 0; root->kind == YNODE_MAP && i < n_kinds && !found; i++)
		if (y_get(root, kinds[i].key))
			found = &kinds[i];
	if (!found)
		complain(c, root->line, root->column,
			"expected a workflow file (workflow: NAME), a mission file (mission: NAME) or a "
			"policy (policy: NAME)");
	yaml_destroy(root);
	return found;
}

int command_lint(int argc, char **argv, const struct lint_kind *kinds, size_t n_kinds)
{
	static const struct option longs[] = {
		{"json", no_argument, NULL, 'j'}, {"help", no_argument, NULL, 'h'}, {0}};
	bool json = false, mistakes = false;

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
	cJSON *all = cJSON_CreateArray();
	for (; optind < argc; optind++) {
		struct complaints c;

		if (complaints_init(&c, argv[optind]) < 0)
			return EX_OSERR;
		const struct lint_kind *kind = find_kind(argv[optind], kinds, n_kinds, &c);
		if (kind && kind->check(argv[optind], &c) < 0 && c.total == 0)
			complain(&c, 0, 0, "cannot be checked");
		mistakes |= c.total > 0;
		if (json) {
			cJSON *list = complaints_json(&c), *item;
			while (list && (item = cJSON_DetachItemFromArray(list, 0)))
				cJSON_AddItemToArray(all, item);
			cJSON_Delete(list);
		} else {
			complaints_print(&c, stderr);
			if (c.total == 0)
				printf("%s: a good %s\n", argv[optind], kind->what);
		}
		complaints_finish(&c);
	}
	if (json) {
		char *text = cJSON_Print(all);
		puts(text ? text : "[]");
		free(text);
	}
	cJSON_Delete(all);
	return mistakes ? EX_DATAERR : 0;
}
