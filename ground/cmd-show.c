/* SPDX-License-Identifier: Apache-2.0 */
/* perigee show: everything that is known of a run. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "cmd-look.h"
#include "cmd-tools.h"
#include "commands.h"
#include "core/json.h"
#include "pipelines.h"

static void print_files(const char *word, const cJSON *map)
{
	for (const cJSON *i = map ? map->child : NULL; i; i = i->next) {
		const char *digest = cJSON_IsString(i) ? i->valuestring : json_str(i, "digest");

		printf("    %-4s %-16s %.16s…", word, i->string, or_dash(digest));
		if (cJSON_IsObject(i))
			printf("  %.0f bytes", json_num(i, "bytes", 0));
		putchar('\n');
	}
}

static void print_object(const char *label, const cJSON *value)
{
	char *text = value && value->child ? cJSON_PrintUnformatted(value) : NULL;

	if (text) {
		printf("%s", label);
		print_harmless(stdout, text, strlen(text), false);
		putchar('\n');
	}
	free(text);
}

static void print_line(const char *label, const char *said)
{
	printf("    %s", label);
	print_harmless(stdout, said, strlen(said), false);
	putchar('\n');
}

/* Those that were not the last. */
static void print_attempts(const cJSON *attempts)
{
	const cJSON *a;

	cJSON_ArrayForEach(a, attempts)
	{
		printf("    attempt %.0f", json_num(a, "attempt", 0));
		if (cJSON_HasObjectItem(a, "element"))
			printf(" of element %.0f", json_num(a, "element", 0));
		printf(" ended %s: ", or_dash(json_str(a, "ended")));
		const char *reason = or_dash(json_str(a, "reason"));
		print_harmless(stdout, reason, strlen(reason), false);
		putchar('\n');
	}
}

/* Where it came from, if not from an execution of its own. */
static void print_origin(const cJSON *s)
{
	if (cJSON_HasObjectItem(s, "child"))
		printf("    is run %.0f: `perigee show %.0f`\n", json_num(s, "child", 0),
			json_num(s, "child", 0));
	if (cJSON_HasObjectItem(s, "elements"))
		printf("    %.0f elements, %.0f begun\n", json_num(s, "elements", 0),
			json_num(s, "elements_begun", 0));
	if (json_str(s, "decided_by"))
		print_line("decided by ", json_str(s, "decided_by"));
}

static void print_stage(const cJSON *run, const cJSON *s)
{
	const char *reason = json_str(s, "reason"), *state = or_dash(json_str(s, "state"));

	printf("\n  %-16s %s", or_dash(json_str(s, "stage")), state);
	if (cJSON_HasObjectItem(s, "wall_ms"))
		printf(", %.1f ms, %.1f ms of CPU, %.1f MiB at most, attempt %.0f", json_num(s, "wall_ms", 0),
			json_num(s, "cpu_ms", 0), json_num(s, "memory_peak_bytes", 0) / 1048576,
			json_num(s, "attempts", 0));
	putchar('\n');
	if (reason)
		print_line("", reason);
	if (!strcmp(state, "asking"))
		printf("    answer with `perigee approve %.0f %s`, or --reject\n", json_num(run, "run", 0),
			or_dash(json_str(s, "stage")));
	print_origin(s);
	print_attempts(cJSON_GetObjectItemCaseSensitive(s, "earlier_attempts"));
	print_files("in", cJSON_GetObjectItemCaseSensitive(s, "inputs"));
	print_files("out", cJSON_GetObjectItemCaseSensitive(s, "outputs"));
}

static void print_run(const cJSON *run)
{
	const cJSON *s;
	const char *reason = json_str(run, "reason");

	printf("run %.0f of %s (payload %s, priority %.0f): %s%s%s\n", json_num(run, "run", 0),
		or_dash(json_str(run, "workflow")), or_dash(json_str(run, "payload")),
		json_num(run, "priority", 0), or_dash(json_str(run, "state")), reason ? ": " : "",
		reason ? reason : "");
	printf("began %s, ended %s, started by %s\n", or_dash(json_str(run, "created")),
		or_dash(json_str(run, "ended")), look_subject(run));
	if (cJSON_HasObjectItem(run, "parent"))
		printf("inside run %.0f, for its stage %s\n", json_num(run, "parent", 0),
			or_dash(json_str(run, "parent_stage")));
	if (cJSON_HasObjectItem(run, "rerun_of"))
		printf("goes on from run %.0f\n", json_num(run, "rerun_of", 0));
	print_object("params ", cJSON_GetObjectItemCaseSensitive(run, "params"));
	cJSON_ArrayForEach(s, cJSON_GetObjectItemCaseSensitive(run, "stages"))
	{
		print_stage(run, s);
	}
}

int command_show(int argc, char **argv)
{
	static const char help[] = "Usage: perigee show RUN [--state DIR] [--json]\n"
				   "\n"
				   "Everything that is known of a run: each stage, how it ended and why, "
				   "time and memory, and the digests of\n"
				   "what went in and came out.\n"
				   "Exit status: 0, or 66 when there is no such run.\n";
	struct look l;
	struct store *s;
	int r = look_options(argc, argv, help, 1, 1, &l);

	if (r != 0)
		return r < 0 ? EX_USAGE : 0;
	r = look_open(&l, &s);
	if (r != 0)
		return r;
	CLEAN_JSON cJSON *run = run_provenance(s, whole_number(l.args[0], INT64_MAX));
	store_close(s);
	if (!run) {
		fprintf(stderr, "perigee: there is no run %s in %s; `perigee runs` lists them\n", l.args[0],
			l.state);
		return EX_NOINPUT;
	}
	if (l.json)
		print_json(run);
	else
		print_run(run);
	return 0;
}
