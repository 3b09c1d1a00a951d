/* SPDX-License-Identifier: Apache-2.0 */
/* perigee: the one command that people type. A table of subcommands. */
#include <string.h>
#include <sysexits.h>

#include "broker-policy.h"
#include "commands.h"
#include "core/log.h"
#include "ground.h"
#include "sandbox.h"

static int check_policy(const char *path, struct complaints *c)
{
	struct policy *p = NULL;
	int r = policy_load(path, c, &p);

	if (r == 0)
		policy_destroy(p);
	return r;
}

static const struct lint_kind lint_kinds[] = {
	{"workflow", "workflow file", NULL},
	{"mission", "mission file", NULL},
	{"policy", "policy", check_policy},
};

static int command_lint_all(int argc, char **argv)
{
	return command_lint(argc, argv, lint_kinds, ARRAY_LEN(lint_kinds));
}

static int command_help(int argc, char **argv);

static const struct command {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *does;
} commands[] = {
	{"lint", command_lint_all, "check a workflow, mission or policy file"},
	{"graph", command_graph, "a picture of a workflow, or of a run as it is"},
	{"dry-run", command_dry_run, "what would run of a workflow, needing what, ending when"},
	{"run", command_run, "run one workflow on this machine"},
	{"queue", command_queue, "what runs and what waits, as it would run"},
	{"explain", command_explain, "why a task waits or was chosen"},
	{"hold", command_hold, "let nothing of a task, run, workflow or payload start"},
	{"release", command_release, "let what was held start again"},
	{"priority", command_priority, "change how important something in the queue is"},
	{"cancel", command_cancel, "end a task, a run, or all of a workflow or payload"},
	{"approve", command_approve, "let a stage that asks for approval go on, or reject it"},
	{"trigger", command_trigger, "make a run of a workflow in the running supervisor"},
	{"rerun", command_rerun, "run a run again from one of its stages on"},
	{"event", command_event, "tell of an orbit event"},
	{"status", command_status, "what a running supervisor does"},
	{"runs", command_runs, "list the runs"},
	{"show", command_show, "everything about one run"},
	{"logs", command_logs, "what the stages of a run wrote"},
	{"lineage", command_lineage, "which inputs, images and parameters made a product"},
	{"receive", receive_main, "receive, verify and keep the results on the ground"},
	{"keys", command_keys, "make a key pair for signing"},
	{"image", image_main, "make and check images of stages"},
	{"help", command_help, "this, or the help of a command"},
};

static void help(FILE *to)
{
	fputs("Usage: perigee COMMAND [ARGUMENTS]\n\n"
	      "Payload work on a satellite: write a workflow, try it, look at what it did, receive its "
	      "results.\n\n",
		to);
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		fprintf(to, "  %-9s %s\n", commands[i].name, commands[i].does);
	fputs("\nperigee COMMAND --help says more. A first walk:\n"
	      "  perigee lint ship-count.yaml\n"
	      "  sudo perigee run ship-count.yaml --input frame=scene.pam --out results\n"
	      "  perigee show 1\n"
	      "  perigee logs 1 identify\n",
		to);
}

static const struct command *find(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		if (!strcmp(commands[i].name, name))
			return &commands[i];
	return NULL;
}

static int command_help(int argc, char **argv)
{
	const struct command *c = argc > 1 ? find(argv[1]) : NULL;
	char *ask[] = {argc > 1 ? argv[1] : NULL, (char *)"--help", NULL};

	if (c && c->run != command_help)
		return c->run(2, ask);
	help(stdout);
	return 0;
}

int main(int argc, char **argv)
{
	log_init("perigee", LOG_LEVEL_INFO);
	if (argc < 2) {
		help(stderr);
		return EX_USAGE;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))
		return command_help(1, argv);
	if (!strcmp(argv[1], "--version")) {
		puts("perigee " PERIGEE_VERSION);
		return 0;
	}
	const struct command *c = find(argv[1]);
	if (!c) {
		const char *names[ARRAY_LEN(commands)];

		for (size_t i = 0; i < ARRAY_LEN(commands); i++)
			names[i] = commands[i].name;
		const char *near = nearest_name(argv[1], names, ARRAY_LEN(names));
		fprintf(stderr,
			near ? "perigee: there is no command \"%s\"; did you mean \"%s\"?\n"
			     : "perigee: there is no command \"%s\"; `perigee help` lists them\n",
			argv[1], near);
		return EX_USAGE;
	}
	return c->run(argc - 1, argv + 1);
}
