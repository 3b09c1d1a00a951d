/* SPDX-License-Identifier: Apache-2.0 */
/* perigee lineage: which inputs, images and parameters made a product, as a tree. */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <string.h>
#include <sysexits.h>

#include "cmd-tools.h"
#include "commands.h"
#include "core/file.h"
#include "core/json.h"
#include "pipelines.h"

#define DEPTH_MAX 64 /* shown */

static const char help[] = "Usage: perigee lineage (DIGEST | RUN.STAGE.OUTPUT | RUN.STAGE[ELEMENT].OUTPUT) "
			   "[--state DIR] [--json]\n"
			   "\n"
			   "What made a product: the stage, its image and parameters, what it read, and so "
			   "on back to what came in\n"
			   "from outside. Read from the database alone, also beside a supervisor or without "
			   "one. Of a digest the\n"
			   "first 8 digits are enough; `perigee show RUN` has them.\n"
			   "\n"
			   "  --json   all that is known, of every run that made the same bytes\n"
			   "\n"
			   "Exit status: 0, 64 usage, 66 there is no such product.\n";

static const cJSON *list(const cJSON *o, const char *key)
{
	return cJSON_GetObjectItemCaseSensitive(o, key);
}

static const cJSON *step_of(const cJSON *maker, const char *stage, size_t len)
{
	const cJSON *s;

	cJSON_ArrayForEach(s, list(maker, "steps"))
	{
		const char *name = json_str(s, "stage");
		if (name && strlen(name) == len && !strncmp(name, stage, len))
			return s;
	}
	return NULL;
}

static void print_value(const char *label, const cJSON *value)
{
	char *text = value && value->child ? cJSON_PrintUnformatted(value) : NULL;

	if (text) {
		printf("%s", label);
		print_harmless(stdout, text, strlen(text), false);
	}
	free(text);
}

/* A branch of the tree: what was before its last column, and whether more follow beside it. */
struct branch {
	char before[4 * DEPTH_MAX + 1];
	size_t depth;
};

static void print_branch(const struct branch *b, bool last)
{
	printf("%s%s", b->before, last ? "`-- " : "|-- ");
}

static struct branch below(const struct branch *b, bool last)
{
	struct branch next = *b;
	size_t len = strlen(next.before);

	snprintf(next.before + len, sizeof(next.before) - len, "%s", last ? "    " : "|   ");
	next.depth++;
	return next;
}

static void print_step(const cJSON *maker, const cJSON *step, const struct branch *b, bool *shown);

/* A source: an output of a stage of this run, which was made in turn, or what came in. */
static void print_source(const cJSON *maker, const char *from, const struct branch *b, bool last, bool *shown)
{
	const char *dot = strchr(from, '.');
	const cJSON *step =
		dot && strncmp(from, "trigger.", 8) ? step_of(maker, from, (size_t)(dot - from)) : NULL;
	struct branch next = below(b, last);

	putchar('\n');
	if (step)
		print_step(maker, step, &next, shown);
}

static size_t index_of(const cJSON *maker, const cJSON *step)
{
	size_t i = 0;

	for (const cJSON *s = list(maker, "steps")->child; s != step; s = s->next)
		i++;
	return i;
}

static void print_sources(const cJSON *maker, const cJSON *step, const struct branch *b, bool *shown)
{
	const cJSON *inputs = list(step, "inputs"), *in;
	const char *over = json_str(step, "foreach");

	cJSON_ArrayForEach(in, inputs)
	{
		const char *from = json_str(list(step, "from"), in->string);
		bool last = !in->next && !over;

		print_branch(b, last);
		printf("%s = %s  %.16s…", in->string, or_dash(from), in->valuestring);
		print_source(maker, or_dash(from), b, last, shown);
	}
	if (!over)
		return;
	print_branch(b, true);
	printf("its list = %s", over);
	print_source(maker, over, b, true, shown);
}

static void print_step(const cJSON *maker, const cJSON *step, const struct branch *b, bool *shown)
{
	size_t i = index_of(maker, step);

	print_branch(b, true);
	printf("stage %s", or_dash(json_str(step, "stage")));
	if (shown[i] || b->depth + 2 > DEPTH_MAX) {
		puts(shown[i] ? ", see above" : ", and so on: --json has it");
		return;
	}
	shown[i] = true;
	if (json_str(step, "uses"))
		printf(", the workflow %s as run %.0f", json_str(step, "uses"), json_num(step, "run", 0));
	else
		printf(", image %s %.23s…", or_dash(json_str(step, "image")),
			or_dash(json_str(step, "image_digest")));
	if (list(step, "from_run"))
		printf(", taken over from run %.0f", json_num(step, "from_run", 0));
	print_value(", params ", list(step, "params"));
	print_value(", args ", list(step, "args"));
	print_value(", env ", list(step, "env"));
	putchar('\n');
	struct branch next = below(b, true);
	print_sources(maker, step, &next, shown);
}

static int print_tree(const cJSON *j)
{
	const cJSON *maker = list(j, "made_by")->child, *event = list(maker, "event");
	const char *stage = or_dash(json_str(maker, "stage"));
	const cJSON *step = step_of(maker, stage, strlen(stage));
	size_t n = (size_t)cJSON_GetArraySize(list(maker, "steps"));
	CLEAN_FREE bool *shown = calloc(n + 1, sizeof(*shown));
	int others = cJSON_GetArraySize(list(j, "made_by")) - 1;
	struct branch root = {0};

	if (!shown)
		return EX_OSERR;
	printf("%s\n", or_dash(json_str(j, "digest")));
	printf("is %.0f.%s", json_num(maker, "run", 0), stage);
	if (list(maker, "element"))
		printf("[%.0f]", json_num(maker, "element", 0));
	printf(".%s, of a run of %s (workflow file %.16s…, payload %s)\n", or_dash(json_str(maker, "output")),
		or_dash(json_str(maker, "workflow")), or_dash(json_str(maker, "workflow_digest")),
		or_dash(json_str(maker, "payload")));
	print_value("that was started by ", event);
	putchar('\n');
	if (list(maker, "params") && list(maker, "params")->child) {
		print_value("with the parameters ", list(maker, "params"));
		putchar('\n');
	}
	if (step)
		print_step(maker, step, &root, shown);
	else
		puts("this version does not understand the workflow that the run began with");
	if (others)
		printf("%d other run%s or element%s made the same bytes: --json has them\n", others,
			others == 1 ? "" : "s", others == 1 ? "" : "s");
	return 0;
}

static int complain_about(int r, const char *what, const char *state)
{
	if (r == ERR_FORMAT)
		fprintf(stderr,
			"perigee: lineage: expected RUN.STAGE.OUTPUT or a digest, found \"%s\"; `perigee "
			"show RUN` has "
			"both\n",
			what);
	else if (r == ERR_LIMIT)
		fprintf(stderr, "perigee: more than one product begins with %s: give more digits\n", what);
	else if (r == ERR_UNKNOWN)
		fprintf(stderr, "perigee: no run in %s made %s; `perigee runs` lists them\n", state, what);
	else
		fprintf(stderr, "perigee: lineage: %s\n", err_text(r));
	return r == ERR_FORMAT || r == ERR_LIMIT ? EX_USAGE : r == ERR_UNKNOWN ? EX_NOINPUT : EX_SOFTWARE;
}

int command_lineage(int argc, char **argv)
{
	static const struct option longs[] = {{"json", no_argument, NULL, 'j'},
		{"state", required_argument, NULL, 's'}, {"help", no_argument, NULL, 'h'}, {0}};
	char path[PATH_MAX], digest[DIGEST_TEXT_BYTES];
	const char *state = NULL;
	struct store *store;
	bool json = false;

	for (int o; (o = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
		if (o == 'j') {
			json = true;
		} else if (o == 's') {
			state = optarg;
		} else {
			fputs(help, o == 'h' ? stdout : stderr);
			return o == 'h' ? 0 : EX_USAGE;
		}
	}
	if (argc - optind != 1) {
		fputs(help, stderr);
		return EX_USAGE;
	}
	state = state_dir(state);
	int r = path_format(path, sizeof(path), "%s/perigee.db", state);
	if (r == 0)
		r = store_open_readonly(path, &store);
	if (r < 0) {
		fprintf(stderr,
			"perigee: %s/perigee.db cannot be read: %s\nName the supervisor's folder with "
			"--state DIR.\n",
			state, err_text(r));
		return EX_NOINPUT;
	}
	r = product_find(store, argv[optind], digest);
	CLEAN_JSON cJSON *j = r == 0 ? product_lineage(store, digest) : NULL;
	store_close(store);
	if (r < 0 || !j)
		return complain_about(r < 0 ? r : -ENOMEM, argv[optind], state);
	if (!json)
		return print_tree(j);
	print_json(j);
	return 0;
}
