/* SPDX-License-Identifier: Apache-2.0 */
/*
 * perigeed: the supervisor. Composes the queue, the workflows, the launcher, the broker and the ground link
 * on one loop, and holds nothing of its own but the wiring.
 *
 * Crash-only: whatever cannot go on (a helper died, a commit failed) ends the process, and the keeper, a
 * small parent that still has the privileges, starts it again. Start-up is the one path of recovery.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "core/keeper.h"
#include "core/log.h"
#include "perigeed.h"

#ifdef __SANITIZE_ADDRESS__
/* The leak check wants to trace the process and to read all of its /proc: what confinement is there to
 * prevent. */
const char *__asan_default_options(void) __attribute__((visibility("default")));
const char *__asan_default_options(void)
{
	return "detect_leaks=0";
}
#endif

static void help(FILE *to)
{
	fputs("Usage: perigeed --mission FILE [--state DIR]\n"
	      "\n"
	      "Supervises the payload work that the mission file describes: takes frames from the broker, "
	      "runs the\n"
	      "workflows, and sends what they made to the ground. Starts perigee-launcher and "
	      "perigee-broker, which\n"
	      "keep the privileges that it gives up. Needs root to start.\n"
	      "\n"
	      "  --mission FILE      the mission file (YAML)\n"
	      "  --state DIR         where the database, the artifacts and the logs are; before `state:` in "
	      "the file\n"
	      "  --no-keeper         do not start again after a crash: end, for a service manager to do "
	      "that\n"
	      "  --run NAME          run the first workflow of the mission once, with the --input files, and "
	      "end\n"
	      "  --input NAME=FILE   an input of that run; may be given several times\n"
	      "  --params JSON       parameters of that run, as one object\n"
	      "  --events            print what happens, one JSON object a line, on standard output\n"
	      "  --verbose, --quiet  log more, or errors only, on standard error\n"
	      "  --help, --version\n"
	      "\n"
	      "Look at it with `perigee status`, `perigee runs`, `perigee show RUN`, `perigee logs RUN "
	      "[STAGE]`.\n"
	      "Exit status: 0 ended on request or the run is over, 64 usage, 65 a file has mistakes, 66 an "
	      "input "
	      "is missing,\n"
	      "70 broke off, "
	      "75 another perigeed has the state folder, 78 the mission cannot be started on this machine.\n",
		to);
}

/* 0, or the exit status. */
static int add_input(struct options *o, char *arg)
{
	char *eq = strchr(arg, '=');

	if (!eq || eq == arg || !eq[1] || o->n_inputs == INPUTS_MAX) {
		fprintf(stderr, "perigeed: expected --input NAME=FILE, found \"%s\"\n", arg);
		return EX_USAGE;
	}
	*eq = '\0';
	int fd = open(eq + 1, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0) {
		fprintf(stderr, "perigeed: %s: %s\n", eq + 1, strerror(errno));
		return EX_NOINPUT;
	}
	o->input_names[o->n_inputs] = arg;
	o->input_fds[o->n_inputs++] = fd;
	return 0;
}

int main(int argc, char **argv)
{
	enum {
		OPT_MISSION = 1,
		OPT_STATE,
		OPT_NO_KEEPER,
		OPT_RUN,
		OPT_INPUT,
		OPT_PARAMS,
		OPT_EVENTS,
		OPT_VERBOSE,
		OPT_QUIET,
		OPT_HELP,
		OPT_VERSION
	};
	static const struct option longs[] = {
		{"mission", required_argument, NULL, OPT_MISSION},
		{"state", required_argument, NULL, OPT_STATE},
		{"no-keeper", no_argument, NULL, OPT_NO_KEEPER},
		{"run", required_argument, NULL, OPT_RUN},
		{"input", required_argument, NULL, OPT_INPUT},
		{"params", required_argument, NULL, OPT_PARAMS},
		{"events", no_argument, NULL, OPT_EVENTS},
		{"verbose", no_argument, NULL, OPT_VERBOSE},
		{"quiet", no_argument, NULL, OPT_QUIET},
		{"help", no_argument, NULL, OPT_HELP},
		{"version", no_argument, NULL, OPT_VERSION},
		{0},
	};
	struct options o = {.keeper = true, .keeper_pid = getpid()};
	enum log_level shown = LOG_LEVEL_INFO;
	int status;

	/* Whoever started us may have left us descriptors, which the helpers and stages must not inherit. */
	if (close_range(STDERR_FILENO + 1, ~0U, 0) < 0)
		return EX_OSERR;

	for (int c; (c = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
		switch (c) {
		case OPT_MISSION:
			o.mission = optarg;
			break;
		case OPT_STATE:
			o.state = optarg;
			break;
		case OPT_NO_KEEPER:
			o.keeper = false;
			break;
		case OPT_RUN:
			o.run = optarg;
			o.keeper = false;
			break;
		case OPT_INPUT:
			status = add_input(&o, optarg);
			if (status != 0)
				return status;
			break;
		case OPT_PARAMS:
			o.params = optarg;
			break;
		case OPT_EVENTS:
			o.events = true;
			break;
		case OPT_VERBOSE:
			shown = LOG_LEVEL_DEBUG;
			break;
		case OPT_QUIET:
			shown = LOG_LEVEL_ERROR;
			break;
		case OPT_HELP:
			help(stdout);
			return 0;
		case OPT_VERSION:
			puts("perigeed " PERIGEE_VERSION);
			return 0;
		default:
			help(stderr);
			return EX_USAGE;
		}
	}
	if (!o.mission || optind != argc) {
		help(stderr);
		return EX_USAGE;
	}
	log_init("perigeed", shown);
	signal(SIGPIPE, SIG_IGN);
	return o.keeper ? keep_running("perigeed", supervise, &o) : supervise(&o);
}
