/* SPDX-License-Identifier: Apache-2.0 */
/* perigee queue, explain: what runs next, and why. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "cmd-tools.h"
#include "commands.h"
#include "core/json.h"

struct question {
	const char *state;
	bool json;
	int64_t limit; /* -1: not given */
	char **args;
};

/* 0, 1 help was printed, negative usage. */
static int read_options(int argc, char **argv, const char *help, int n_args, struct question *ret)
{
	static const struct option longs[] = {{"json", no_argument, NULL, 'j'},
		{"state", required_argument, NULL, 's'}, {"limit", required_argument, NULL, 'l'},
		{"help", no_argument, NULL, 'h'}, {0}};
	struct question q = {.limit = -1};
	const char *state = NULL;

	for (int o; (o = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
		if (o == 'j') {
			q.json = true;
		} else if (o == 's') {
			state = optarg;
		} else if (o == 'l' && (q.limit = whole_number(optarg, INT32_MAX)) >= 0) {
			continue;
		} else {
			fputs(help, o == 'h' ? stdout : stderr);
			return o == 'h' ? 1 : -1;
		}
	}
	if (argc - optind != n_args) {
		fputs(help, stderr);
		return -1;
	}
	q.args = argv + optind;
	q.state = state_dir(state);
	*ret = q;
	return 0;
}

/* ---- printing ---- */

static const char *text(const cJSON *o, const char *key)
{
	return or_dash(json_str(o, key));
}

static const cJSON *list(const cJSON *o, const char *key)
{
	return cJSON_GetObjectItemCaseSensitive(o, key);
}

/* "12:03:44Z", of a time as the supervisor writes it. */
static const char *clock_of(const cJSON *o, const char *key, char buf[16])
{
	const char *t = json_str(o, key);

	snprintf(buf, 16, "%.8sZ", t && strlen(t) > 18 ? t + 11 : "-");
	return buf;
}

/* "7.cloud", "7.count[12]" */
static const char *place_of(const cJSON *t, char buf[96])
{
	int n = snprintf(buf, 96, "%.0f.%s", json_num(t, "run", 0), text(t, "stage"));

	if (cJSON_HasObjectItem(t, "item") && n < 80)
		snprintf(buf + n, 96 - (size_t)n, "[%.0f]", json_num(t, "item", 0));
	return buf;
}

static void print_task(const cJSON *t)
{
	char place[96];

	printf("%7.0f  %-28s %-18s %-16s %4.0f", json_num(t, "task", 0), place_of(t, place),
		text(t, "workflow"), text(t, "payload"), json_num(t, "priority", 0));
}

static void print_energy(const cJSON *j)
{
	const cJSON *energy = list(j, "energy"), *power = list(j, "power");

	if (power && cJSON_IsTrue(list(power, "known")))
		printf("battery: %.0f %%, in %s%s\n", json_num(power, "battery_percent", 0),
			cJSON_IsTrue(list(power, "in_sunlight")) ? "sunlight" : "eclipse",
			cJSON_IsTrue(list(power, "only_critical")) ? "; only the critical class starts" : "");
	else if (power)
		printf("battery: not known; only the critical class starts\n");
	if (json_num(energy, "orbit_budget_j", 0) > 0)
		printf("energy: %.1f of %.1f J in this orbit, %.1f J declared by what runs\n",
			json_num(energy, "orbit_j", 0), json_num(energy, "orbit_budget_j", 0),
			json_num(energy, "reserved_j", 0));
}

static void print_running(const cJSON *j)
{
	const cJSON *t, *budget = list(j, "budget"), *used = list(j, "used");
	char at[16];

	printf("running: %.0f of %.0f tasks, %.2f of %.2f CPUs, %.0f of %.0f MiB\n",
		json_num(used, "tasks", 0), json_num(budget, "tasks", 0),
		json_num(used, "cpus_milli", 0) / 1000, json_num(budget, "cpus_milli", 0) / 1000,
		json_num(used, "memory_bytes", 0) / 1048576, json_num(budget, "memory_bytes", 0) / 1048576);
	cJSON_ArrayForEach(t, list(j, "running"))
	{
		print_task(t);
		printf("  since %s", clock_of(t, "started", at));
		if (json_str(t, "ends_by"))
			printf(", ends by %s", clock_of(t, "ends_by", at));
		if (json_str(t, "why"))
			printf("; %s", text(t, "why"));
		putchar('\n');
	}
}

static void print_waiting(const cJSON *j)
{
	const cJSON *t, *waiting = list(j, "waiting");
	double more = json_num(j, "more", 0);
	char at[16];

	printf("waiting: %.0f, as they would run\n", json_num(list(j, "counts"), "ready", 0));
	cJSON_ArrayForEach(t, waiting)
	{
		const char *before = "  ";

		print_task(t);
		if (json_str(t, "deadline")) {
			printf("%sdeadline %s", before, clock_of(t, "deadline", at));
			before = "; ";
		}
		if (json_str(t, "why"))
			printf("%s%s", before, text(t, "why"));
		if (json_str(t, "until"))
			printf(", until %s", clock_of(t, "until", at));
		putchar('\n');
	}
	if (more > 0)
		printf("         and %.0f more\n", more);
}

static void print_target(const cJSON *o)
{
	printf("%s", text(o, "scope"));
	if (cJSON_HasObjectItem(o, "id"))
		printf(" %.0f", json_num(o, "id", 0));
	if (json_str(o, "name"))
		printf(" %s", text(o, "name"));
}

static void print_orders(const cJSON *j)
{
	const cJSON *o, *orders = list(j, "orders");

	if (cJSON_GetArraySize(orders))
		printf("orders that stand:\n");
	cJSON_ArrayForEach(o, orders)
	{
		const char *hold = json_str(o, "hold");

		printf("         ");
		print_target(o);
		if (hold)
			printf(": %s", !strcmp(hold, "held") ? "held" : "released, whatever wider is held");
		if (cJSON_HasObjectItem(o, "priority"))
			printf("%s priority %.0f", hold ? "," : ":", json_num(o, "priority", 0));
		putchar('\n');
	}
}

int command_queue(int argc, char **argv)
{
	static const char help[] = "Usage: perigee queue [--limit N] [--state DIR] [--json]\n"
				   "\n"
				   "The queue as it would run: what runs and until when at the latest, what "
				   "waits in its order, and after\n"
				   "that what something else than its place keeps waiting (held, at a quota, "
				   "between two attempts), and\n"
				   "the orders that stand. `perigee explain TASK` says more about one.\n"
				   "\n"
				   "  --limit N    waiting tasks shown (default 50, at most 1000)\n"
				   "Exit status: 0, 64 usage, 69 no supervisor answers.\n";
	struct question q;
	CLEAN_JSON cJSON *reply = NULL;
	cJSON *request;
	int r = read_options(argc, argv, help, 0, &q);

	if (r != 0)
		return r < 0 ? EX_USAGE : 0;
	request = cJSON_CreateObject();
	cJSON_AddStringToObject(request, "ask", "queue");
	if (q.limit >= 0)
		cJSON_AddNumberToObject(request, "limit", (double)q.limit);
	r = ask_supervisor(q.state, request, NULL, 0, ASK_TIMEOUT_S, &reply);
	if (r != 0)
		return r;
	if (q.json) {
		print_json(reply);
		return 0;
	}
	if (*text(reply, "paused_by") && strcmp(text(reply, "paused_by"), "-"))
		printf("nothing starts: %s\n", text(reply, "paused_by"));
	printf("%7s  %-28s %-18s %-16s %4s\n", "TASK", "RUN.STAGE", "WORKFLOW", "PAYLOAD", "PRIO");
	print_energy(reply);
	print_running(reply);
	print_waiting(reply);
	print_orders(reply);
	return 0;
}

/* ---- explain ---- */

static void print_missing(const cJSON *m)
{
	const char *before = "  missing: ";

	if (cJSON_HasObjectItem(m, "tasks")) {
		printf("%s%.0f more task at once", before, json_num(m, "tasks", 0));
		before = ", ";
	}
	if (cJSON_HasObjectItem(m, "cpus_milli")) {
		printf("%s%.2f CPUs", before, json_num(m, "cpus_milli", 0) / 1000);
		before = ", ";
	}
	if (cJSON_HasObjectItem(m, "memory_bytes"))
		printf("%s%.1f MiB of memory", before, json_num(m, "memory_bytes", 0) / 1048576);
	putchar('\n');
}

static void print_other(const char *label, const cJSON *t)
{
	char place[96];

	printf("  %s: task %.0f", label, json_num(t, "task", 0));
	if (json_str(t, "stage"))
		printf(", %s of %s, priority %.0f", place_of(t, place), text(t, "workflow"),
			json_num(t, "priority", 0));
	putchar('\n');
}

static void print_explained(const cJSON *j)
{
	const cJSON *t;
	char place[96];

	printf("task %.0f, %s of %s (payload %s, priority %.0f", json_num(j, "task", 0), place_of(j, place),
		text(j, "workflow"), text(j, "payload"), json_num(j, "priority", 0));
	if (json_num(j, "declared_priority", 0) != json_num(j, "priority", 0))
		printf(", declared %.0f", json_num(j, "declared_priority", 0));
	printf("): %s\n  %s\n", text(j, "state"), text(j, "why"));
	if (cJSON_HasObjectItem(j, "missing"))
		print_missing(list(j, "missing"));
	if (cJSON_HasObjectItem(j, "held_by")) {
		const cJSON *by = list(j, "held_by");

		printf("  held by the order about ");
		print_target(by);
		printf("; `perigee release --%s", text(by, "scope"));
		if (cJSON_HasObjectItem(by, "id"))
			printf(" %.0f", json_num(by, "id", 0));
		if (json_str(by, "name"))
			printf(" %s", text(by, "name"));
		puts("` ends that");
	}
	cJSON_ArrayForEach(t, list(j, "ahead"))
	{
		print_other("ahead", t);
	}
	double ahead = json_num(j, "ahead_count", 0), shown = cJSON_GetArraySize(list(j, "ahead"));
	if (ahead > shown)
		printf("  ahead: and %s%.0f more\n", list(j, "ahead_more") ? "more than " : "",
			ahead - shown);
	if (list(j, "over"))
		print_other("chosen over", list(j, "over"));
	if (json_str(j, "until"))
		printf("  until %s\n", text(j, "until"));
	if (json_str(j, "started"))
		printf("  started %s%s%s\n", text(j, "started"), json_str(j, "ended") ? ", ended " : "",
			json_str(j, "ended") ? text(j, "ended") : "");
	cJSON_ArrayForEach(t, list(j, "attempts"))
	{
		printf("  attempt %.0f: %s after %.3f s%s%s\n", json_num(t, "attempt", 0), text(t, "outcome"),
			json_num(t, "wall_s", 0), *text(t, "reason") ? ": " : "", text(t, "reason"));
	}
}

/* TASK, RUN.STAGE or RUN.STAGE[ITEM]. */
static bool add_task(cJSON *request, const char *arg)
{
	int64_t task = whole_number(arg, INT64_C(1) << 53);
	long long run, item;
	char stage[64], end;

	if (task > 0)
		return cJSON_AddNumberToObject(request, "task", (double)task);
	int n = sscanf(arg, "%lld.%63[^[][%lld%c", &run, stage, &item, &end);
	if (n < 2 || (strchr(arg, '[') && n != 4) || (n == 4 && (end != ']' || item < 0)) || run < 1)
		return false;
	if (n == 4)
		cJSON_AddNumberToObject(request, "item", (double)item);
	return cJSON_AddNumberToObject(request, "run", (double)run) &&
	       cJSON_AddStringToObject(request, "stage", stage);
}

int command_explain(int argc, char **argv)
{
	static const char help[] =
		"Usage: perigee explain (TASK | RUN.STAGE | RUN.STAGE[ITEM]) [--state DIR] [--json]\n"
		"\n"
		"Why a task waits: what is missing, who is ahead of it, until when; or why it was chosen, "
		"and over whom;\n"
		"and how its earlier attempts ended. `perigee queue` has the numbers of tasks.\n"
		"Exit status: 0, 64 usage, 66 there is no such task, 69 no supervisor answers.\n";
	struct question q;
	CLEAN_JSON cJSON *reply = NULL;
	cJSON *request;
	int r = read_options(argc, argv, help, 1, &q);

	if (r != 0)
		return r < 0 ? EX_USAGE : 0;
	request = cJSON_CreateObject();
	cJSON_AddStringToObject(request, "ask", "explain");
	if (!add_task(request, q.args[0]) || q.limit >= 0) {
		fprintf(stderr,
			"perigee: explain: expected the number of a task, or RUN.STAGE, found \"%s\"\n",
			q.args[0]);
		cJSON_Delete(request);
		return EX_USAGE;
	}
	r = ask_supervisor(q.state, request, NULL, 0, ASK_TIMEOUT_S, &reply);
	if (r != 0)
		return r;
	if (q.json)
		print_json(reply);
	else
		print_explained(reply);
	return 0;
}
