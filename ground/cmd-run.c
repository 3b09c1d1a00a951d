/* SPDX-License-Identifier: Apache-2.0 */
/*
 * perigee run: one workflow on this machine, without devices. The supervisor that runs it is perigeed itself,
 * started for this one run: what works here works on board.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <spawn.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sysexits.h>

#include "cmd-tools.h"
#include "commands.h"
#include "core/artifact.h"
#include "core/file.h"
#include "core/json.h"
#include "core/program.h"
#include "pipelines.h"

#define ARGS_MAX 64
#define NAME_BYTES 64

extern char **environ;

struct run_options {
	const char *workflow, *images, *state, *out;
	char *inputs[ARGS_MAX / 4];
	size_t n_inputs;
	bool json, verbose;
};

static void help(FILE *to)
{
	fputs("Usage: perigee run WORKFLOW.yaml --input NAME=FILE... [options]\n"
	      "\n"
	      "Runs one workflow on this machine, each stage in its sandbox, without devices and without a "
	      "running\n"
	      "supervisor. Needs root, for the sandboxes.\n"
	      "\n"
	      "  --input NAME=FILE  what the workflow reads as trigger.NAME (frame, for image.acquired)\n"
	      "  --images DIR       folder with one OCI image layout an image; else $PERIGEE_IMAGES, images/ "
	      "beside the\n"
	      "                     workflow, or the images that were built with this program\n"
	      "  --out DIR          copy the outputs there, as STAGE.OUTPUT\n"
	      "  --state DIR        where the run is kept, for runs, show and logs (default ./perigee-runs)\n"
	      "  --verbose          show the supervisor's log\n"
	      "  --json             the whole run as JSON on standard output\n"
	      "\n"
	      "Exit status: 0 the run is done, 1 it failed, 64 usage, 65 the workflow has mistakes, 66 a "
	      "file is missing,\n"
	      "77 not root.\n"
	      "Afterwards: perigee show RUN, perigee logs RUN [STAGE].\n",
		to);
}

static int read_options(int argc, char **argv, struct run_options *o)
{
	static const struct option longs[] = {{"input", required_argument, NULL, 'i'},
		{"images", required_argument, NULL, 'm'}, {"out", required_argument, NULL, 'o'},
		{"state", required_argument, NULL, 's'}, {"json", no_argument, NULL, 'j'},
		{"verbose", no_argument, NULL, 'v'}, {"help", no_argument, NULL, 'h'}, {0}};

	for (int c; (c = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
		switch (c) {
		case 'i':
			if (o->n_inputs == ARRAY_LEN(o->inputs) || !strchr(optarg, '='))
				return -EINVAL;
			o->inputs[o->n_inputs++] = optarg;
			break;
		case 'm':
			o->images = optarg;
			break;
		case 'o':
			o->out = optarg;
			break;
		case 's':
			o->state = optarg;
			break;
		case 'j':
			o->json = true;
			break;
		case 'v':
			o->verbose = true;
			break;
		case 'h':
			return 1;
		default:
			return -EINVAL;
		}
	}
	if (argc - optind != 1)
		return -EINVAL;
	o->workflow = argv[optind];
	return 0;
}

static bool is_folder(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static int find_images(const struct run_options *o, char ret_path[PATH_MAX])
{
	const char *env = getenv("PERIGEE_IMAGES");
	char self[PATH_MAX], candidate[PATH_MAX], beside[PATH_MAX];
	const char *slash = strrchr(o->workflow, '/');
	int dir = slash ? (int)(slash - o->workflow) + 1 : 0;
	const char *given = o->images ? o->images : env && *env ? env : NULL;

	if (given)
		return realpath(given, ret_path) ? 0 : -errno;
	int r = path_format(beside, sizeof(beside), "%.*simages", dir, o->workflow);
	if (r == 0 && is_folder(beside))
		return realpath(beside, ret_path) ? 0 : -errno;
	r = program_folder(self);
	static const char *const places[] = {"%s/../share/perigee/images", "%s/../pipelines/eo/images"};
	for (size_t i = 0; r == 0 && i < ARRAY_LEN(places); i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		r = path_format(candidate, sizeof(candidate), places[i], self);
#pragma GCC diagnostic pop
		if (r == 0 && is_folder(candidate))
			return realpath(candidate, ret_path) ? 0 : -errno;
	}
	return r < 0 ? r : -ENOENT;
}

/* JSON is YAML: quoting a path is cJSON's work. */
static int write_mission(const char *path, const char *workflow, const char *images)
{
	CLEAN_JSON cJSON *j = cJSON_CreateObject();
	const char *list[] = {workflow};

	cJSON_AddStringToObject(j, "perigee", "v1");
	cJSON_AddStringToObject(j, "mission", "bench");
	cJSON_AddItemToObject(j, "workflows", cJSON_CreateStringArray(list, 1));
	cJSON_AddStringToObject(j, "images", images);
	CLEAN_FREE char *text = cJSON_Print(j);
	return text ? file_replace(path, text, strlen(text), 0644) : -ENOMEM;
}

/* ---- what the supervisor says ---- */

static void show_stage(const cJSON *j, bool terminal)
{
	const char *state = json_str(j, "state"), *reason = json_str(j, "reason");

	if (!state || !strcmp(state, "queued"))
		return;
	if (terminal && !strcmp(state, "running")) {
		fprintf(stderr, "\r\033[K%s …", json_str(j, "stage"));
		return;
	}
	if (terminal)
		fputs("\r\033[K", stderr);
	fprintf(stderr, "%-16s %s%s%s\n", json_str(j, "stage"), state, reason ? ": " : "",
		reason ? reason : "");
}

static int copy_output(
	const char *state, const char *out, const char *stage, const char *name, const char *digest)
{
	char from[PATH_MAX], to[PATH_MAX], buf[65536];
	int r = path_format(from, sizeof(from), "%s/artifacts/%.2s/%s", state, digest, digest + 2);

	if (r == 0)
		r = path_format(to, sizeof(to), "%s/%s.%s", out, stage, name);
	if (r < 0)
		return r;
	CLEAN_FD int in = open(from, O_RDONLY | O_CLOEXEC);
	CLEAN_FD int fd = in < 0 ? -1 : open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	ssize_t n = in < 0 || fd < 0 ? -1 : 1;
	while (n > 0 && (n = read(in, buf, sizeof(buf))) > 0 && (r = write_all(fd, buf, (size_t)n)) == 0)
		;
	return n < 0 ? -errno : r;
}

static int copy_outputs(const struct run_options *o, const char *state, const cJSON *run)
{
	const cJSON *stage;
	int r = dir_make(o->out, 0755);

	cJSON_ArrayForEach(stage, cJSON_GetObjectItemCaseSensitive(run, "stages"))
	{
		const cJSON *outputs = cJSON_GetObjectItemCaseSensitive(stage, "outputs");
		for (const cJSON *i = outputs ? outputs->child : NULL; r == 0 && i; i = i->next) {
			const char *digest = json_str(i, "digest");
			r = digest ? copy_output(state, o->out, json_str(stage, "stage"), i->string, digest)
				   : ERR_FORMAT;
		}
	}
	if (r < 0)
		fprintf(stderr, "perigee: the outputs cannot be copied to %s: %s\n", o->out, err_text(r));
	return r;
}

static void show_end(const struct run_options *o, const cJSON *run)
{
	const cJSON *stage;

	printf("run %.0f of %s: %s\n", json_num(run, "run", 0), json_str(run, "workflow"),
		json_str(run, "state"));
	cJSON_ArrayForEach(stage, cJSON_GetObjectItemCaseSensitive(run, "stages"))
	{
		const char *reason = json_str(stage, "reason");
		printf("  %-16s %-8s", json_str(stage, "stage"), json_str(stage, "state"));
		if (cJSON_HasObjectItem(stage, "wall_ms"))
			printf(" %7.1f ms", json_num(stage, "wall_ms", 0));
		printf("%s%s\n", reason ? "  " : "", reason ? reason : "");
	}
	if (o->out)
		printf("outputs are in %s\n", o->out);
}

/* Reads the supervisor's events to their end; the last one of a run is the run. */
static cJSON *follow(const struct run_options *o, FILE *events)
{
	bool terminal = isatty(STDERR_FILENO) == 1;
	CLEAN_FREE char *line = NULL;
	size_t cap = 0;
	cJSON *run = NULL;

	for (ssize_t n; (n = getline(&line, &cap, events)) > 0;) {
		cJSON *j = cJSON_Parse(line);
		const char *event = json_str(j, "event");

		if (event && !strcmp(event, "stage") && !o->json)
			show_stage(j, terminal);
		if (event && !strcmp(event, "run")) {
			cJSON_Delete(run);
			run = cJSON_DetachItemFromObjectCaseSensitive(j, "run");
		}
		cJSON_Delete(j);
	}
	return run;
}

static int start_supervisor(const struct run_options *o, const char *state, const char *mission,
	const char *name, pid_t *ret_pid, FILE **ret_events)
{
	char exe[PATH_MAX], self[PATH_MAX];
	const char *argv[ARGS_MAX];
	size_t n = 0;
	int fds[2];
	int r = program_folder(self);

	if (r == 0)
		r = path_format(exe, sizeof(exe), "%s/perigeed", self);
	if (r < 0 || pipe2(fds, O_CLOEXEC) < 0)
		return r < 0 ? r : -errno;
	argv[n++] = exe;
	argv[n++] = "--mission";
	argv[n++] = mission;
	argv[n++] = "--state";
	argv[n++] = state;
	argv[n++] = "--events";
	argv[n++] = o->verbose ? "--verbose" : "--quiet";
	argv[n++] = "--run";
	argv[n++] = name;
	for (size_t i = 0; i < o->n_inputs; i++) {
		argv[n++] = "--input";
		argv[n++] = o->inputs[i];
	}
	argv[n] = NULL;
	posix_spawn_file_actions_t actions;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, fds[1], STDOUT_FILENO);
	r = -posix_spawn(ret_pid, exe, &actions, NULL, (char *const *)argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	close(fds[1]);
	*ret_events = r == 0 ? fdopen(fds[0], "r") : NULL;
	if (!*ret_events)
		close(fds[0]);
	return r == 0 && !*ret_events ? -errno : r;
}

/* The workflow's name, after its mistakes have been shown. */
static int read_workflow(const char *path, char ret_name[NAME_BYTES])
{
	struct complaints c;
	struct workflow *w = NULL;
	int r = complaints_init(&c, path);

	if (r < 0)
		return r;
	r = workflow_load(path, &(struct workflow_limits){0}, &c, &w);
	complaints_print(&c, stderr);
	complaints_finish(&c);
	if (r < 0)
		return r;
	snprintf(ret_name, NAME_BYTES, "%s", workflow_name(w));
	workflow_destroy(w);
	return 0;
}

int command_run(int argc, char **argv)
{
	struct run_options o = {0};
	char name[NAME_BYTES], images[PATH_MAX], workflow[PATH_MAX], state[PATH_MAX], mission[PATH_MAX];
	FILE *events = NULL;
	pid_t pid;
	int r = read_options(argc, argv, &o);

	if (r != 0) {
		help(r > 0 ? stdout : stderr);
		return r > 0 ? 0 : EX_USAGE;
	}
	if (read_workflow(o.workflow, name) < 0)
		return EX_DATAERR;
	if (geteuid() != 0) {
		fputs("perigee: the sandboxes need root to be made: sudo perigee run …\n", stderr);
		return EX_NOPERM;
	}
	r = find_images(&o, images);
	if (r < 0) {
		fprintf(stderr,
			"perigee: the images of the stages are not found (%s): name their folder with "
			"--images DIR\n",
			err_text(r));
		return EX_NOINPUT;
	}
	const char *wanted = o.state ? o.state : STATE_OF_RUNS;
	r = dir_make(wanted, 0755);
	if (r == 0 && (!realpath(wanted, state) || !realpath(o.workflow, workflow)))
		r = -errno;
	if (r == 0)
		r = path_format(mission, sizeof(mission), "%s/bench.yaml", state);
	if (r == 0)
		r = write_mission(mission, workflow, images);
	if (r == 0)
		r = start_supervisor(&o, state, mission, name, &pid, &events);
	if (r < 0) {
		fprintf(stderr, "perigee: the run cannot be started: %s\n", err_text(r));
		return EX_OSERR;
	}
	CLEAN_JSON cJSON *run = follow(&o, events);
	int status;
	fclose(events);
	if (waitpid(pid, &status, 0) < 0 || !run)
		return WIFEXITED(status) && WEXITSTATUS(status) ? WEXITSTATUS(status) : EX_SOFTWARE;
	if (o.out && copy_outputs(&o, state, run) < 0)
		return EX_CANTCREAT;
	const char *end = json_str(run, "state");
	bool done = end && !strcmp(end, "done");
	if (o.json) {
		CLEAN_FREE char *text = cJSON_Print(run);
		puts(text);
	} else {
		show_end(&o, run);
	}
	return done ? 0 : 1;
}
