/* SPDX-License-Identifier: Apache-2.0 */
/*
 * perigee status, runs, logs: what a supervisor does and has done. `status` asks the running one; the
 * others read its database, whether it runs or not.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <string.h>
#include <sysexits.h>

#include "cmd-look.h"
#include "cmd-tools.h"
#include "commands.h"
#include "core/file.h"
#include "core/json.h"
#include "pipelines.h"

#define RUNS_SHOWN 50
#define LOG_BYTES_MAX (1u << 30) /* the largest that a mission file may allow */

int look_options(int argc, char **argv, const char *help, int args_min, int args_max, struct look *ret_look)
{
	static const struct option longs[] = {{"json", no_argument, NULL, 'j'},
		{"state", required_argument, NULL, 's'}, {"limit", required_argument, NULL, 'l'},
		{"help", no_argument, NULL, 'h'}, {0}};
	struct look l = {.limit = RUNS_SHOWN};
	const char *state = NULL;

	for (int o; (o = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
		if (o == 'j') {
			l.json = true;
		} else if (o == 's') {
			state = optarg;
		} else if (o == 'l') {
			l.limit = atoll(optarg);
		} else {
			fputs(help, o == 'h' ? stdout : stderr);
			return o == 'h' ? 1 : -EINVAL;
		}
	}
	l.args = argv + optind;
	l.n_args = argc - optind;
	if (l.n_args < args_min || l.n_args > args_max || l.limit < 1) {
		fputs(help, stderr);
		return -EINVAL;
	}
	l.state = state_dir(state);
	*ret_look = l;
	return 0;
}

/* ---- status ---- */

static void print_counts(const cJSON *o)
{
	for (const cJSON *i = o ? o->child : NULL; i; i = i->next)
		if (cJSON_IsNumber(i))
			printf("%s%s %.0f", i == o->child ? "" : ", ", i->string, i->valuedouble);
	putchar('\n');
}

static void print_status(const cJSON *j)
{
	const cJSON *dev, *tasks = cJSON_GetObjectItemCaseSensitive(j, "tasks");

	printf("mission     %s (spacecraft %s), perigee %s, up %.0f s\n", or_dash(json_str(j, "mission")),
		or_dash(json_str(j, "spacecraft")), or_dash(json_str(j, "version")),
		json_num(j, "uptime_s", 0));
	printf("runs open   %.0f\n", json_num(j, "open_runs", 0));
	printf("tasks       ");
	print_counts(tasks);
	cJSON_ArrayForEach(dev, cJSON_GetObjectItemCaseSensitive(j, "devices"))
	{
		const char *reason = json_str(dev, "reason");
		printf("device      %s (%s) %s, frames %.0f, dropped %.0f, reopened %.0f%s%s\n",
			or_dash(json_str(dev, "device")), or_dash(json_str(dev, "class")),
			or_dash(json_str(dev, "state")), json_num(dev, "frames", 0),
			json_num(dev, "dropped", 0), json_num(dev, "reopened", 0), reason ? ": " : "",
			reason ? reason : "");
	}
	const cJSON *loop = cJSON_GetObjectItemCaseSensitive(j, "supervisor");
	printf("supervisor  %.0f turns, %.0f commits, longest turn %.1f ms (%.1f ms since last asked)\n",
		json_num(loop, "turns", 0), json_num(loop, "commits", 0), json_num(loop, "loop_max_ms", 0),
		json_num(loop, "loop_max_ms_since_asked", 0));
	const cJSON *down = cJSON_GetObjectItemCaseSensitive(j, "downlink");
	if (down) {
		printf("downlink    ");
		print_counts(down);
	}
}

int command_status(int argc, char **argv)
{
	static const char help[] =
		"Usage: perigee status [--state DIR] [--json]\n"
		"\n"
		"Asks the running supervisor what it does: open runs, tasks by state, devices, downlink.\n"
		"Exit status: 0, or 69 when no supervisor answers there.\n";
	struct look l;
	CLEAN_JSON cJSON *request = cJSON_CreateObject();
	CLEAN_JSON cJSON *j = NULL;
	int r = look_options(argc, argv, help, 0, 0, &l);

	if (r != 0)
		return r < 0 ? EX_USAGE : 0;
	cJSON_AddStringToObject(request, "ask", "status");
	r = ask_supervisor(l.state, TAKE_PTR(request), NULL, 0, ASK_TIMEOUT_S, &j);
	if (r != 0)
		return r;
	if (l.json)
		print_json(j);
	else
		print_status(j);
	return 0;
}

/* ---- runs, logs ---- */

int look_open(const struct look *l, struct store **ret_store)
{
	char path[PATH_MAX];
	int r = path_format(path, sizeof(path), "%s/perigee.db", l->state);

	if (r == 0)
		r = store_open_readonly(path, ret_store);
	if (r == 0)
		return 0;
	fprintf(stderr,
		"perigee: %s/perigee.db cannot be read: %s\nName the supervisor's folder with --state DIR.\n",
		l->state, err_text(r));
	return EX_NOINPUT;
}

const char *look_subject(const cJSON *run)
{
	const cJSON *event = cJSON_GetObjectItemCaseSensitive(run, "event");
	const char *frame = json_str(event, "frame_id");

	return frame ? frame : or_dash(json_str(event, "event"));
}

int command_runs(int argc, char **argv)
{
	static const char help[] = "Usage: perigee runs [--state DIR] [--limit N] [--json]\n"
				   "\n"
				   "Lists runs, newest first: number, workflow, state, when it began, what "
				   "started it, why it failed,\n"
				   "whether it waits for somebody's approval.\n"
				   "Exit status: 0, or 66 when there is no such state folder.\n";
	struct look l;
	struct store *s;
	int r = look_options(argc, argv, help, 0, 0, &l);

	if (r != 0)
		return r < 0 ? EX_USAGE : 0;
	r = look_open(&l, &s);
	if (r != 0)
		return r;
	CLEAN_JSON cJSON *list = runs_list(s, (size_t)l.limit);
	store_close(s);
	if (l.json) {
		print_json(list);
		return 0;
	}
	const cJSON *run, *asking;
	printf("%5s  %-20s %-9s %-24s  %s\n", "RUN", "WORKFLOW", "STATE", "BEGAN", "STARTED BY");
	cJSON_ArrayForEach(run, list)
	{
		const char *reason = json_str(run, "reason");
		printf("%5.0f  %-20s %-9s %-24s  %s%s%s", json_num(run, "run", 0),
			or_dash(json_str(run, "workflow")), or_dash(json_str(run, "state")),
			or_dash(json_str(run, "created")), look_subject(run), reason ? "; " : "",
			reason ? reason : "");
		cJSON_ArrayForEach(asking, cJSON_GetObjectItemCaseSensitive(run, "asking"))
		{
			printf("; waits for `perigee approve %.0f %s`", json_num(run, "run", 0),
				asking->valuestring);
		}
		putchar('\n');
	}
	return 0;
}

static int print_log(const char *path, const char *stage, cJSON *list)
{
	CLEAN_FREE char *text = NULL;
	size_t len;
	int r = file_read(path, LOG_BYTES_MAX, &text, &len);

	if (r < 0)
		return r;
	if (!list) {
		printf("--- %s ---\n", stage);
		/* On a terminal what a stage writes must not act; into a file it goes as it is. */
		if (isatty(STDOUT_FILENO))
			print_harmless(stdout, text, len, true);
		else
			fwrite(text, 1, len, stdout);
		if (len && text[len - 1] != '\n')
			putchar('\n');
		return 0;
	}
	cJSON *j = cJSON_CreateObject();
	cJSON_AddStringToObject(j, "stage", stage);
	cJSON_AddStringToObject(j, "log", text);
	cJSON_AddItemToArray(list, j);
	return 0;
}

/* STAGE or STAGE[ITEM]. */
static bool read_element(const char *arg, char ret_stage[64], long long *ret_item)
{
	char end = '\0', more;
	int n = sscanf(arg, "%63[^[][%lld%c%c", ret_stage, ret_item, &end, &more);

	return strchr(arg, '[') ? n == 3 && end == ']' && *ret_item >= 0 : n == 1;
}

struct logs {
	struct store *store;
	const char *state;
	int64_t run;
	cJSON *list; /* NULL: to be printed as they are */
	size_t printed;
};

/* Of a stage (item -1) or an element. */
static void print_one_log(struct logs *l, const char *stage, int64_t item)
{
	char path[PATH_MAX], title[96];

	if (item < 0)
		snprintf(title, sizeof(title), "%s", stage);
	else
		snprintf(title, sizeof(title), "%s[%lld]", stage, (long long)item);
	if (run_log_path(l->store, l->state, l->run, stage, item, path, sizeof(path)) == 0 &&
		print_log(path, title, l->list) == 0)
		l->printed++;
}

/* A foreach has the logs of its elements. */
static void print_logs(struct logs *l, const cJSON *stage, int64_t item)
{
	const char *name = json_str(stage, "stage");
	double elements = json_num(stage, "elements", 0);

	if (item >= 0 || elements == 0)
		print_one_log(l, name, item);
	else
		for (int64_t i = 0; i < (int64_t)elements; i++)
			print_one_log(l, name, i);
}

int command_logs(int argc, char **argv)
{
	static const char help[] =
		"Usage: perigee logs RUN [STAGE | STAGE[ITEM]] [--state DIR] [--json]\n"
		"\n"
		"What the stages of a run wrote to standard output and error, at their last attempt.\n"
		"Elements of a foreach have logs of their own: those that wrote something, of STAGE or all,\n"
		"or that of element number ITEM.\n"
		"Exit status: 0, or 66 when there is no such run, stage or log.\n";
	struct look l;
	struct store *s;
	char stage_name[64];
	long long item = -1;
	int r = look_options(argc, argv, help, 1, 2, &l);

	if (r != 0)
		return r < 0 ? EX_USAGE : 0;
	r = look_open(&l, &s);
	if (r != 0)
		return r;
	int64_t number = whole_number(l.args[0], INT64_MAX);
	if (l.n_args == 2 && !read_element(l.args[1], stage_name, &item)) {
		fprintf(stderr, "perigee: expected STAGE or STAGE[ITEM], found \"%s\"\n", l.args[1]);
		store_close(s);
		return EX_USAGE;
	}
	CLEAN_JSON cJSON *run = run_provenance(s, number);
	CLEAN_JSON cJSON *list = l.json ? cJSON_CreateArray() : NULL;
	struct logs logs = {.store = s, .state = l.state, .run = number, .list = list};
	const cJSON *stage;
	cJSON_ArrayForEach(stage, cJSON_GetObjectItemCaseSensitive(run, "stages"))
	{
		const char *name = json_str(stage, "stage");

		if (name && (l.n_args < 2 || !strcmp(name, stage_name)))
			print_logs(&logs, stage, item);
	}
	store_close(s);
	if (!logs.printed) {
		fprintf(stderr, "perigee: no log of run %s%s%s in %s\n", l.args[0],
			l.n_args == 2 ? ", stage " : "", l.n_args == 2 ? l.args[1] : "", l.state);
		return EX_NOINPUT;
	}
	if (l.json)
		print_json(list);
	return 0;
}
