/* SPDX-License-Identifier: Apache-2.0 */
/* perigee hold, release, priority, cancel: what an operator orders of the queue. */
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "cmd-tools.h"
#include "commands.h"
#include "core/json.h"

#define TARGET_HELP                                                                                          \
	"  --task N        one task (`perigee queue` has the numbers)\n"                                     \
	"  --run N         all tasks of a run\n"                                                             \
	"  --workflow W    all runs of a workflow\n"                                                         \
	"  --payload P     all that a payload owns\n"                                                        \
	"  --all           everything\n"                                                                     \
	"  --state DIR     the supervisor's folder\n"                                                        \
	"  --json          the answer as JSON\n"
#define EXIT_HELP                                                                                            \
	"Exit status: 0, 64 usage, 65 it is over or not in a state for that, 66 there is no such thing, 69 " \
	"no\n"                                                                                               \
	"supervisor answers, 75 it cannot be written down now (the disk is full).\n"

enum { OPT_TARGET_FIRST = 256, OPT_TASK = OPT_TARGET_FIRST, OPT_RUN, OPT_WORKFLOW, OPT_PAYLOAD, OPT_ALL };

struct order {
	const char *state;
	bool json;
	cJSON *request; /* with the target in it */
	char **args;
	int n_args;
};

static const struct option longs[] = {{"task", required_argument, NULL, OPT_TASK},
	{"run", required_argument, NULL, OPT_RUN}, {"workflow", required_argument, NULL, OPT_WORKFLOW},
	{"payload", required_argument, NULL, OPT_PAYLOAD}, {"all", no_argument, NULL, OPT_ALL},
	{"why", required_argument, NULL, 'w'}, {"json", no_argument, NULL, 'j'},
	{"state", required_argument, NULL, 's'}, {"help", no_argument, NULL, 'h'}, {0}};

static bool add_target(cJSON *request, int option, const char *arg)
{
	static const char *const keys[] = {"task", "run", "workflow", "payload", "all"};
	const char *key = keys[option - OPT_TARGET_FIRST];
	int64_t number = option <= OPT_RUN ? whole_number(arg, INT64_C(1) << 53) : 0;

	if (option == OPT_ALL)
		return cJSON_AddTrueToObject(request, key);
	if (option <= OPT_RUN && number < 1) {
		fprintf(stderr, "perigee: --%s: expected a number, found \"%s\"\n", key, arg);
		return false;
	}
	return option <= OPT_RUN ? cJSON_AddNumberToObject(request, key, (double)number) != NULL
				 : cJSON_AddStringToObject(request, key, arg) != NULL;
}

/* 0 with the order, whose request the caller owns; 1 help was printed; negative usage. */
static int read_order(int argc, char **argv, const char *ask, const char *help, int n_args, struct order *ret)
{
	struct order o = {.request = cJSON_CreateObject()};
	const char *state = NULL;
	int targets = 0, r = cJSON_AddStringToObject(o.request, "ask", ask) ? 0 : -1;

	for (int c; r == 0 && (c = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
		if (c >= OPT_TARGET_FIRST) {
			targets++;
			r = add_target(o.request, c, optarg) ? 0 : -1;
		} else if (c == 'w' && !strcmp(ask, "cancel")) {
			cJSON_AddStringToObject(o.request, "why", optarg);
		} else if (c == 'j') {
			o.json = true;
		} else if (c == 's') {
			state = optarg;
		} else {
			fputs(help, c == 'h' ? stdout : stderr);
			r = c == 'h' ? 1 : -1;
		}
	}
	o.args = argv + optind;
	o.n_args = argc - optind;
	if (r == 0 && (targets != 1 || o.n_args != n_args)) {
		fputs(help, stderr);
		r = -1;
	}
	if (r != 0) {
		cJSON_Delete(o.request);
		return r;
	}
	o.state = state_dir(state);
	*ret = o;
	return 0;
}

static int order(const struct order *o, const char *done)
{
	CLEAN_JSON cJSON *reply = NULL;
	int r = ask_supervisor(o->state, o->request, NULL, 0, ASK_TIMEOUT_S, &reply);

	if (r != 0)
		return r;
	if (o->json) {
		print_json(reply);
		return 0;
	}
	if (cJSON_HasObjectItem(reply, "cancelled"))
		printf("%s: %.0f\n", done, json_num(reply, "cancelled", 0));
	else
		printf("%s: %.0f in the queue\n", done, json_num(reply, "tasks", 0));
	return 0;
}

int command_hold(int argc, char **argv)
{
	static const char help[] =
		"Usage: perigee hold (--task N | --run N | --workflow W | --payload P | --all)\n"
		"\n"
		"Nothing of it starts from now on, also not what comes into the queue later, and also not "
		"after a\n"
		"restart, until it is released. What runs goes on. Deadlines pass as ever. The narrowest "
		"order about\n"
		"a task counts: after `hold --all`, `release --payload P` lets that payload alone go on.\n"
		"\n" TARGET_HELP EXIT_HELP;
	struct order o;
	int r = read_order(argc, argv, "hold", help, 0, &o);

	return r == 0 ? order(&o, "held") : r < 0 ? EX_USAGE : 0;
}

int command_release(int argc, char **argv)
{
	static const char help[] =
		"Usage: perigee release (--task N | --run N | --workflow W | --payload P | --all)\n"
		"\n"
		"What was held may start again.\n"
		"\n" TARGET_HELP EXIT_HELP;
	struct order o;
	int r = read_order(argc, argv, "release", help, 0, &o);

	return r == 0 ? order(&o, "released") : r < 0 ? EX_USAGE : 0;
}

int command_priority(int argc, char **argv)
{
	static const char help[] = "Usage: perigee priority (0..255 | declared) (--task N | --run N | "
				   "--workflow W | --payload P | --all)\n"
				   "\n"
				   "Larger is more important. It stands for what comes into the queue later, "
				   "too, until `declared` gives\n"
				   "back the priority that each workflow has declared.\n"
				   "\n" TARGET_HELP EXIT_HELP;
	struct order o;
	int r = read_order(argc, argv, "priority", help, 1, &o);

	if (r != 0)
		return r < 0 ? EX_USAGE : 0;
	int64_t priority = whole_number(o.args[0], 255);
	bool declared = !strcmp(o.args[0], "declared");
	if (priority < 0 && !declared) {
		fprintf(stderr, "perigee: priority: expected 0 to 255 or `declared`, found \"%s\"\n",
			o.args[0]);
		cJSON_Delete(o.request);
		return EX_USAGE;
	}
	if (declared)
		cJSON_AddNullToObject(o.request, "priority");
	else
		cJSON_AddNumberToObject(o.request, "priority", (double)priority);
	return order(&o, "changed");
}

int command_cancel(int argc, char **argv)
{
	static const char help[] =
		"Usage: perigee cancel (--task N | --run N | --workflow W | --payload P | --all) [--why "
		"TEXT]\n"
		"\n"
		"Ends runs: what waits is cancelled, what runs is stopped, stages of on_exit still run. With "
		"--task only\n"
		"the stage that the task is of. What comes later is not concerned: hold it.\n"
		"\n" TARGET_HELP "  --why TEXT      kept with what is cancelled\n" EXIT_HELP;
	struct order o;
	int r = read_order(argc, argv, "cancel", help, 0, &o);

	return r == 0 ? order(&o, "cancelled") : r < 0 ? EX_USAGE : 0;
}
