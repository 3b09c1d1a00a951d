/* SPDX-License-Identifier: Apache-2.0 */
/* A plan, for a person. */
#include <stdio.h>
#include <string.h>

#include "cmd-dry-run.h"
#include "cmd-tools.h"
#include "core/json.h"

#define SPAN_BYTES 32
#define BYTES_TEXT 24

static const cJSON *list(const cJSON *o, const char *key)
{
	return cJSON_GetObjectItemCaseSensitive(o, key);
}

static const char *text(const cJSON *o, const char *key)
{
	return or_dash(json_str(o, key));
}

/* "1m 33s", "250ms", "2d 3h": the two largest units. */
static const char *span(double s, char ret[SPAN_BYTES])
{
	static const struct {
		double s;
		const char *unit;
	} units[] = {{86400, "d"}, {3600, "h"}, {60, "m"}, {1, "s"}};
	size_t i = 0;

	if (s < 10 && s != (double)(long long)s) {
		snprintf(ret, SPAN_BYTES, "%.3gs", s);
		return ret;
	}
	/* Up, so that it never says less. */
	if (s > (double)(long long)s && s < 1e15)
		s = (double)(long long)s + 1;
	while (i < 3 && s < units[i].s)
		i++;
	double large = (double)(long long)(s / units[i].s), rest = s - large * units[i].s;
	int n = snprintf(ret, SPAN_BYTES, "%.0f%s", large, units[i].unit);
	if (i < 3 && n > 0 && (double)(long long)(rest / units[i + 1].s) > 0)
		snprintf(ret + n, SPAN_BYTES - (size_t)n, " %.0f%s",
			(double)(long long)(rest / units[i + 1].s), units[i + 1].unit);
	return ret;
}

static const char *bytes(double n, char ret[BYTES_TEXT])
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
	size_t i = 0;

	while (n >= 1024 && i < 4) {
		n /= 1024;
		i++;
	}
	snprintf(ret, BYTES_TEXT, "%.4g %s", n, units[i]);
	return ret;
}

/* ---- what starts it ---- */

static void print_trigger(const cJSON *t)
{
	char buf[SPAN_BYTES];
	const cJSON *next;

	if (json_str(t, "event")) {
		printf("%s", text(t, "event"));
		if (json_str(t, "device"))
			printf(" of %s", text(t, "device"));
		if (json_str(t, "place"))
			printf(" at %s", text(t, "place"));
	} else if (json_str(t, "completed")) {
		const char *on = text(t, "on");
		printf("a run of %s ends%s%s", text(t, "completed"), strcmp(on, "any") ? " as " : "",
			strcmp(on, "any") ? on : "");
	} else if (json_str(t, "cron")) {
		printf("cron \"%s\"", text(t, "cron"));
	} else {
		printf("every %s, counted from its first start", span(json_num(t, "every_s", 0), buf));
	}
	const char *before = json_str(t, "cron") ? ": next " : ": if that is now, ";
	cJSON_ArrayForEach(next, list(t, "next"))
	{
		printf("%s%.16sZ", before, next->valuestring);
		before = ", ";
	}
}

static void print_start(const cJSON *j)
{
	const cJSON *t, *param, *inputs = list(j, "inputs"), *in;
	const char *before = "starts when  ";

	cJSON_ArrayForEach(t, list(j, "triggers"))
	{
		printf("%s", before);
		print_trigger(t);
		putchar('\n');
		before = "     or when ";
	}
	printf("%s`perigee trigger %s",
		cJSON_GetArraySize(list(j, "triggers")) ? "     or by   " : "starts by    ",
		text(j, "workflow"));
	cJSON_ArrayForEach(in, inputs)
	{
		printf(" --input %s=FILE", in->valuestring);
	}
	puts("`");
	before = "with params  ";
	cJSON_ArrayForEach(param, list(j, "params"))
	{
		char *value = cJSON_PrintUnformatted(param);
		printf("%s%s: ", before, param->string);
		if (value)
			print_harmless(stdout, value, strlen(value), false);
		free(value);
		before = ", ";
	}
	if (cJSON_GetArraySize(list(j, "params")))
		putchar('\n');
}

/* ---- stages ---- */

static void print_note(const char *label, const char *said)
{
	printf("%6s  %s", "", label);
	print_harmless(stdout, said, strlen(said), false);
	putchar('\n');
}

static void print_foreach(const cJSON *s)
{
	bool known = list(s, "elements");

	if (!list(s, "parallel"))
		return;
	printf("%6s  foreach: %s%.0f elements, at most %.0f at once", "", known ? "" : "up to ",
		json_num(s, known ? "elements" : "elements_at_most", 0), json_num(s, "parallel", 0));
	if (known)
		putchar('\n');
	else
		printf("; `--elements %s=N` reckons with fewer\n", text(s, "stage"));
}

static void print_notes(const cJSON *s)
{
	char buf[SPAN_BYTES];

	if (json_str(s, "role"))
		print_note(!strcmp(text(s, "role"), "on_exit")
				   ? "on exit: runs at the end in any case"
				   : "on failure: runs only if the run has failed",
			"");
	if (json_str(s, "when") && !json_str(s, "left_out"))
		print_note("only when ", text(s, "when"));
	if (json_str(s, "approve"))
		print_note("waits for `perigee approve`: ", text(s, "approve"));
	print_foreach(s);
	if (list(s, "timeout_s"))
		print_note("timeout of the stage: ", span(json_num(s, "timeout_s", 0), buf));
	if (list(s, "cut_short"))
		print_note("a timeout or the deadline cuts this short", "");
}

static void print_stage(const cJSON *s)
{
	char from[SPAN_BYTES], to[SPAN_BYTES], time[SPAN_BYTES], mem[BYTES_TEXT];

	if (json_str(s, "left_out")) {
		printf("%6s  %-24s left out: ", "-", text(s, "stage"));
		print_harmless(stdout, text(s, "left_out"), strlen(text(s, "left_out")), false);
		putchar('\n');
		return;
	}
	printf("%6.0f  %-24s %9s %9s", json_num(s, "wave", 0), text(s, "stage"),
		span(json_num(s, "starts_s", 0), from), span(json_num(s, "ends_s", 0), to));
	if (json_str(s, "uses")) {
		printf("  the workflow %s\n", text(s, "uses"));
	} else {
		double attempts = json_num(s, "attempts", 1);
		printf("  %4.3g %9s  %7s", json_num(s, "cpus", 0), bytes(json_num(s, "memory_bytes", 0), mem),
			span(json_num(s, "time_s", 0), time));
		if (attempts > 1)
			printf(" x %-3.0f", attempts);
		else
			printf("      ");
		if (list(s, "energy_j"))
			printf(" %5.4g J", json_num(s, "energy_j", 0));
		else
			printf(" %7s", "-");
		printf("  %s%s\n", text(s, "image"),
			!strcmp(text(s, "runtime"), "unikernel") ? " (unikernel)" : "");
	}
	print_notes(s);
}

/* ---- the end ---- */

static void print_names(const char *label, const cJSON *names, const char *between)
{
	const cJSON *one;
	const char *before = label;

	cJSON_ArrayForEach(one, names)
	{
		printf("%s%s", before, one->valuestring);
		before = between;
	}
	if (cJSON_GetArraySize(names))
		putchar('\n');
}

static void print_end(const cJSON *j)
{
	char a[SPAN_BYTES], b[SPAN_BYTES];
	double ends = json_num(j, "ends_s", 0), alone = json_num(j, "stages_end_s", 0);
	const cJSON *latest = list(j, "ends_at_the_latest_s");
	bool unknown = cJSON_GetArraySize(list(j, "waits_for_approval")) ||
		       cJSON_GetArraySize(list(j, "runs_not_known"));

	printf("\nends         after %s at the latest", span(ends, a));
	if (ends < alone)
		printf(" (timeouts and the deadline; the limits of the stages alone allow %s)",
			span(alone, b));
	putchar('\n');
	print_names("             by way of ", list(j, "critical_path"), " > ");
	print_names("             and as long as an operator takes to approve ",
		list(j, "waits_for_approval"), ", ");
	print_names("             and as long as the workflow takes that is used by ",
		list(j, "runs_not_known"), ", ");
	if (cJSON_GetArraySize(list(j, "runs_not_known")))
		puts("             (--mission FILE knows it)");
	if (unknown && cJSON_IsNumber(latest))
		printf("             all of it within %s, by timeouts and the deadline\n",
			span(latest->valuedouble, a));
}

static void print_energy(const cJSON *j)
{
	const char *before = "energy       ";

	if (json_num(j, "energy_j_declared", 0) > 0) {
		printf("%sat most %.4g J as declared%s\n", before, json_num(j, "energy_j_declared", 0),
			cJSON_IsTrue(list(j, "energy_declared_by_all"))
				? ""
				: ", and that of the stages that declare none");
		before = "             ";
	}
	if (list(j, "energy_j_at_most"))
		printf("%sat most %.4g J by its CPU time, at %.4g J a second\n", before,
			json_num(j, "energy_j_at_most", 0), json_num(j, "energy_j_per_cpu_s", 0));
	if (list(j, "energy_j_per_orbit"))
		printf("             of %.4g J that an orbit has for all\n",
			json_num(j, "energy_j_per_orbit", 0));
}

static void print_cost(const cJSON *j)
{
	const cJSON *peak = list(j, "needs_at_once"), *p;
	char a[SPAN_BYTES], m[BYTES_TEXT];

	printf("needs        %.3g CPUs, %s, %.0f task%s at once; at most %.0f executions and %s of CPU "
	       "time\n",
		json_num(peak, "cpus", 0), bytes(json_num(peak, "memory_bytes", 0), m),
		json_num(peak, "tasks", 0), json_num(peak, "tasks", 0) == 1 ? "" : "s",
		json_num(j, "executions_at_most", 0), span(json_num(j, "cpu_s_at_most", 0), a));
	print_energy(j);
	const char *before = "sends down   ";
	cJSON_ArrayForEach(p, list(j, "downlink"))
	{
		printf("%s%s, priority %.0f", before, text(p, "product"), json_num(p, "priority", 0));
		if (list(p, "bytes_at_most"))
			printf(", at most %s", bytes(json_num(p, "bytes_at_most", 0), m));
		putchar('\n');
		before = "             ";
	}
}

void dry_run_print(const cJSON *j)
{
	const cJSON *s, *room = list(j, "budget");
	char mem[BYTES_TEXT];

	printf("%s, payload %s, priority %.0f\n", text(j, "workflow"), text(j, "payload"),
		json_num(j, "priority", 0));
	print_start(j);
	printf("room for     %.3g CPUs, %s, %.0f task%s at once (%s%s)\n\n", json_num(room, "cpus", 0),
		bytes(json_num(room, "memory_bytes", 0), mem), json_num(room, "tasks", 0),
		json_num(room, "tasks", 0) == 1 ? "" : "s",
		json_str(j, "mission") ? "mission " : "as `perigee run` on this machine",
		json_str(j, "mission") ? text(j, "mission") : "");
	printf("%6s  %-24s %9s %9s  %4s %9s  %7s %-5s %7s  %s\n", "WAVE", "STAGE", "STARTS BY", "ENDS BY",
		"CPUS", "MEMORY", "TIME", "TRIES", "ENERGY", "IMAGE");
	cJSON_ArrayForEach(s, list(j, "stages"))
	{
		print_stage(s);
	}
	print_end(j);
	print_cost(j);
}
