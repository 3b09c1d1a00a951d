/* SPDX-License-Identifier: Apache-2.0 */
/* perigee graph: a picture of a workflow, or of a run as it is. */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <string.h>
#include <sysexits.h>

#include "cmd-tools.h"
#include "commands.h"
#include "core/file.h"
#include "pipelines.h"

static const char help[] =
	"Usage: perigee graph FILE [--dot | --json] [--out FILE]\n"
	"       perigee graph --run N [--state DIR] [--dot | --json] [--out FILE]\n"
	"\n"
	"Draws the stages of a workflow file and what they need, as SVG: every browser shows it. Of a run "
	"also\n"
	"the state of each stage, coloured. Dashed boxes are handlers, a stack is a foreach, a dotted line "
	"is\n"
	"for order alone. What a stage reads, writes and waits for is shown when the mouse rests on it.\n"
	"\n"
	"  --run N      this run instead of a file\n"
	"  --state DIR  the state folder of its supervisor\n"
	"  --dot        Graphviz's language instead of SVG\n"
	"  --json       what would be drawn, for scripts\n"
	"  --out FILE   instead of standard output\n"
	"\n"
	"Exit status: 0 drawn, 64 usage, 65 the file has mistakes, 66 no such run, 73 it cannot be "
	"written.\n";

struct graph_command {
	const char *file, *state, *out;
	int64_t run; /* 0: none */
	enum graph_form form;
};

/* 0 go on, 1 help was printed, negative usage. */
static int read_command(int argc, char **argv, struct graph_command *c)
{
	static const struct option longs[] = {{"run", required_argument, NULL, 'r'},
		{"state", required_argument, NULL, 's'}, {"dot", no_argument, NULL, 'd'},
		{"json", no_argument, NULL, 'j'}, {"out", required_argument, NULL, 'o'},
		{"help", no_argument, NULL, 'h'}, {0}};

	for (int o; (o = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
		switch (o) {
		case 'r':
			c->run = whole_number(optarg, INT64_MAX);
			if (c->run < 1) {
				fprintf(stderr,
					"perigee graph: --run: expected the number of a run, found \"%s\"\n",
					optarg);
				return -EINVAL;
			}
			break;
		case 's':
			c->state = optarg;
			break;
		case 'd':
			c->form = GRAPH_DOT;
			break;
		case 'j':
			c->form = GRAPH_JSON;
			break;
		case 'o':
			c->out = optarg;
			break;
		default:
			fputs(help, o == 'h' ? stdout : stderr);
			return o == 'h' ? 1 : -EINVAL;
		}
	}
	c->file = argv[optind];
	if (argc - optind == (c->run ? 0 : 1))
		return 0;
	fputs(help, stderr);
	return -EINVAL;
}

static int draw_file(const struct graph_command *c, FILE *to)
{
	struct workflow *w = NULL;
	struct complaints complaints;

	if (complaints_init(&complaints, c->file) < 0)
		return -ENOMEM;
	int r = workflow_load(c->file, &(struct workflow_limits){0}, &complaints, &w);
	if (r < 0)
		complaints_print(&complaints, stderr);
	complaints_finish(&complaints);
	if (r < 0)
		return r;
	r = workflow_draw(w, c->form, NULL, to);
	workflow_destroy(w);
	return r;
}

static int draw_run(const struct graph_command *c, FILE *to)
{
	char path[PATH_MAX];
	struct store *store;
	int r = path_format(path, sizeof(path), "%s/perigee.db", state_dir(c->state));

	if (r == 0)
		r = store_open_readonly(path, &store);
	if (r < 0) {
		fprintf(stderr, "perigee graph: %s: %s\n", path, err_text(r));
		return ERR_UNKNOWN;
	}
	r = run_draw(store, c->run, c->form, to);
	store_close(store);
	if (r == ERR_UNKNOWN)
		fprintf(stderr, "perigee graph: there is no run %lld in %s\n", (long long)c->run,
			state_dir(c->state));
	else if (r == ERR_CHECKED)
		fprintf(stderr,
			"perigee graph: this version does not understand the workflow that run %lld began "
			"with\n",
			(long long)c->run);
	return r;
}

int command_graph(int argc, char **argv)
{
	struct graph_command c = {.form = GRAPH_SVG};
	CLEAN_FREE char *picture = NULL;
	size_t bytes = 0;
	int r = read_command(argc, argv, &c);

	if (r != 0)
		return r > 0 ? 0 : EX_USAGE;
	/* Whole or not at all: a mistake leaves no half file. */
	FILE *memory = open_memstream(&picture, &bytes);
	if (!memory)
		return EX_OSERR;
	r = c.run ? draw_run(&c, memory) : draw_file(&c, memory);
	if (fclose(memory) != 0 && r == 0)
		r = -ENOMEM;
	if (r < 0) {
		if (r != ERR_CHECKED && r != ERR_UNKNOWN)
			fprintf(stderr, "perigee graph: %s\n", err_text(r));
		return r == ERR_CHECKED ? EX_DATAERR : r == ERR_UNKNOWN ? EX_NOINPUT : EX_SOFTWARE;
	}
	FILE *to = c.out ? fopen(c.out, "we") : stdout;
	bool good = to && fwrite(picture, 1, bytes, to) == bytes && fflush(to) == 0;
	if (!good)
		fprintf(stderr, "perigee graph: %s: %s\n", c.out ? c.out : "standard output",
			strerror(errno));
	if (to && c.out)
		fclose(to);
	return good ? 0 : EX_CANTCREAT;
}
