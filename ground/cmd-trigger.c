/* SPDX-License-Identifier: Apache-2.0 */
/* perigee trigger, event, rerun, approve: what makes runs, or lets them go on, in a running supervisor. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "cmd-tools.h"
#include "commands.h"
#include "control.h"
#include "core/file.h"
#include "core/json.h"

#define TRIGGER_TIMEOUT_S 300 /* the files are copied and hashed first */

struct asking {
	const char *state;
	bool json;
	cJSON *request;
	int fds[CONTROL_FDS_MAX];
	size_t n_fds;
};

enum { OPT_FROM = 256, OPT_REJECT, OPT_PLACE, OPT_INPUT, OPT_PARAM };

/* The options of all, and the end. */
#define SHARED                                                                                               \
	{"json", no_argument, NULL, 'j'}, {"state", required_argument, NULL, 's'},                           \
		{"help", no_argument, NULL, 'h'},                                                            \
	{                                                                                                    \
		0                                                                                            \
	}

static void finish(struct asking *a)
{
	cJSON_Delete(TAKE_PTR(a->request));
	for (size_t i = 0; i < a->n_fds; i++)
		close(a->fds[i]);
}

/* --input NAME=FILE. 0 or the exit status. */
static int add_input(struct asking *a, const char *arg)
{
	const char *eq = strchr(arg, '=');
	cJSON *names = cJSON_GetObjectItemCaseSensitive(a->request, "inputs");
	char name[64];

	if (!eq || eq == arg || !eq[1] || (size_t)(eq - arg) >= sizeof(name)) {
		fprintf(stderr, "perigee: expected --input NAME=FILE, found \"%s\"\n", arg);
		return EX_USAGE;
	}
	if (a->n_fds == CONTROL_FDS_MAX) {
		fprintf(stderr, "perigee: more than %d inputs\n", CONTROL_FDS_MAX);
		return EX_USAGE;
	}
	snprintf(name, sizeof(name), "%.*s", (int)(eq - arg), arg);
	int fd = open(eq + 1, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0) {
		fprintf(stderr, "perigee: %s: %s\n", eq + 1, strerror(errno));
		return EX_NOINPUT;
	}
	a->fds[a->n_fds++] = fd;
	if (!names)
		names = cJSON_AddArrayToObject(a->request, "inputs");
	cJSON_AddItemToArray(names, cJSON_CreateString(name));
	return 0;
}

/* One option of any of these commands. 0 or the exit status; -1: not one that it knows. */
static int take_option(struct asking *a, int option, const char *arg)
{
	cJSON *params;

	switch (option) {
	case 'j':
		a->json = true;
		return 0;
	case 's':
		a->state = arg;
		return 0;
	case OPT_FROM:
		return cJSON_AddStringToObject(a->request, "from", arg) ? 0 : EX_OSERR;
	case OPT_PLACE:
		return cJSON_AddStringToObject(a->request, "place", arg) ? 0 : EX_OSERR;
	case OPT_REJECT:
		return cJSON_ReplaceItemInObject(a->request, "yes", cJSON_CreateFalse()) ? 0 : EX_OSERR;
	case OPT_INPUT:
		return add_input(a, arg);
	case OPT_PARAM:
		params = cJSON_GetObjectItemCaseSensitive(a->request, "params");
		if (!params)
			params = cJSON_AddObjectToObject(a->request, "params");
		if (add_param(params, arg) == 0)
			return 0;
		fprintf(stderr, "perigee: expected --param NAME=VALUE, found \"%s\"\n", arg);
		return EX_USAGE;
	default:
		return -1;
	}
}

#define HELP_SHOWN (-2)

/* Reads options; `n_args` words are left behind optind. 0, or the exit status or HELP_SHOWN: then there is
 * nothing to finish. */
static int read_asking(
	int argc, char **argv, const struct option *longs, const char *help, int n_args, struct asking *a)
{
	int r = 0;

	for (int c; r == 0 && (c = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
		r = c == 'h' ? HELP_SHOWN : take_option(a, c, optarg);
		if (r < 0)
			fputs(help, c == 'h' ? stdout : stderr);
		if (r == -1)
			r = EX_USAGE;
	}
	if (r == 0 && argc - optind != n_args) {
		fputs(help, stderr);
		r = EX_USAGE;
	}
	if (r != 0)
		finish(a);
	else
		a->state = state_dir(a->state);
	return r;
}

static struct asking asking(const char *ask)
{
	struct asking a = {.request = cJSON_CreateObject()};

	cJSON_AddStringToObject(a.request, "ask", ask);
	return a;
}

/* Asks, and prints the answer if it is to be JSON. 0 with the answer, or the exit status. */
static int put_question(struct asking *a, int timeout_s, cJSON **ret_reply)
{
	int r = ask_supervisor(a->state, TAKE_PTR(a->request), a->fds, a->n_fds, timeout_s, ret_reply);

	finish(a);
	if (r == 0 && a->json)
		print_json(*ret_reply);
	return r;
}

static int64_t read_run(const char *text)
{
	int64_t run = whole_number(text, INT64_C(1) << 53);

	if (run < 1)
		fprintf(stderr, "perigee: expected the number of a run, found \"%s\"\n", text);
	return run;
}

#define EXIT_HELP                                                                                            \
	"Exit status: 0, 64 usage, 65 a mistake in it, or it is not in a state for that, 66 there is no "    \
	"such\n"                                                                                             \
	"thing, 69 no supervisor answers, 75 not now (a quota, a full disk).\n"

int command_trigger(int argc, char **argv)
{
	static const char help[] = "Usage: perigee trigger WORKFLOW [--input NAME=FILE]... [--param "
				   "NAME=VALUE]... [--state DIR] [--json]\n"
				   "\n"
				   "Makes a run of a workflow in the running supervisor. A file is what the "
				   "workflow reads as trigger.NAME;\n"
				   "it is read by this command and copied into the supervisor's store. A "
				   "value is JSON where it can be\n"
				   "read as such (0.5, true, [1,2], \"5\"), else text.\n" EXIT_HELP;
	static const struct option longs[] = {{"input", required_argument, NULL, OPT_INPUT},
		{"param", required_argument, NULL, OPT_PARAM}, SHARED};
	struct asking a = asking("trigger");
	CLEAN_JSON cJSON *reply = NULL;
	int r = read_asking(argc, argv, longs, help, 1, &a);

	if (r != 0)
		return r == HELP_SHOWN ? 0 : r;
	cJSON_AddStringToObject(a.request, "workflow", argv[optind]);
	r = put_question(&a, TRIGGER_TIMEOUT_S, &reply);
	if (r == 0 && !a.json)
		printf("run %.0f of %s\n", json_num(reply, "run", 0), argv[optind]);
	return r;
}

int command_event(int argc, char **argv)
{
	static const char help[] = "Usage: perigee event NAME [--place PLACE] [--state DIR] [--json]\n"
				   "\n"
				   "Tells the running supervisor of an orbit event, as an ephemeris would: "
				   "pass.begin, pass.end,\n"
				   "region.enter, region.leave, sunlight.begin, sunlight.end. Each workflow "
				   "that waits for it gets a run.\n" EXIT_HELP;
	static const struct option longs[] = {{"place", required_argument, NULL, OPT_PLACE}, SHARED};
	struct asking a = asking("event");
	CLEAN_JSON cJSON *reply = NULL;
	int r = read_asking(argc, argv, longs, help, 1, &a);

	if (r != 0)
		return r == HELP_SHOWN ? 0 : r;
	cJSON_AddStringToObject(a.request, "event", argv[optind]);
	r = put_question(&a, ASK_TIMEOUT_S, &reply);
	if (r == 0 && !a.json)
		printf("%.0f run%s\n", json_num(reply, "runs", 0),
			json_num(reply, "runs", 0) == 1 ? "" : "s");
	return r;
}

int command_rerun(int argc, char **argv)
{
	static const char help[] = "Usage: perigee rerun RUN [--from STAGE] [--state DIR] [--json]\n"
				   "\n"
				   "Makes a new run with the workflow, inputs and parameters of one that is "
				   "over. It takes over the results\n"
				   "of the stages that were done and do not come after STAGE (without "
				   "--from: of all that were done), and\n"
				   "runs the others.\n" EXIT_HELP;
	static const struct option longs[] = {{"from", required_argument, NULL, OPT_FROM}, SHARED};
	struct asking a = asking("rerun");
	CLEAN_JSON cJSON *reply = NULL;
	int r = read_asking(argc, argv, longs, help, 1, &a);
	int64_t run;

	if (r != 0)
		return r == HELP_SHOWN ? 0 : r;
	run = read_run(argv[optind]);
	if (run < 1) {
		finish(&a);
		return EX_USAGE;
	}
	cJSON_AddNumberToObject(a.request, "run", (double)run);
	r = put_question(&a, ASK_TIMEOUT_S, &reply);
	if (r == 0 && !a.json)
		printf("run %.0f goes on from run %lld\n", json_num(reply, "run", 0), (long long)run);
	return r;
}

int command_approve(int argc, char **argv)
{
	static const char help[] = "Usage: perigee approve RUN STAGE [--reject] [--state DIR] [--json]\n"
				   "\n"
				   "Lets a stage that asks for approval go on (`perigee show RUN` says which "
				   "and what it asks), or, with\n"
				   "--reject, fail.\n" EXIT_HELP;
	static const struct option longs[] = {{"reject", no_argument, NULL, OPT_REJECT}, SHARED};
	struct asking a = asking("approve");
	CLEAN_JSON cJSON *reply = NULL;
	int64_t run;

	cJSON_AddTrueToObject(a.request, "yes");
	int r = read_asking(argc, argv, longs, help, 2, &a);
	if (r != 0)
		return r == HELP_SHOWN ? 0 : r;
	run = read_run(argv[optind]);
	if (run < 1) {
		finish(&a);
		return EX_USAGE;
	}
	cJSON_AddNumberToObject(a.request, "run", (double)run);
	cJSON_AddStringToObject(a.request, "stage", argv[optind + 1]);
	bool yes = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(a.request, "yes"));
	r = put_question(&a, ASK_TIMEOUT_S, &reply);
	if (r == 0 && !a.json)
		puts(yes ? "approved" : "rejected");
	return r;
}
