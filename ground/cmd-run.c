/* SPDX-License-Identifier: Apache-2.0 */
/*
 * perigee run: one workflow on this machine, without devices. The supervisor that runs it is perigeed itself,
 * started for this one run: what works here works on board.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/ioctl.h>
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
#include "run-progress.h"

#define ARGS_MAX 64
#define NAME_BYTES 64

extern char **environ;

struct run_options {
	const char *workflow, *images, *state, *out;
	char *inputs[ARGS_MAX / 4];
	size_t n_inputs;
	cJSON *params; /* owned; NULL: none */
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
	      "  --param NAME=VALUE a parameter of the workflow; JSON where it can be read as such (0.5, "
	      "true, [1,2], "
	      "\"5\"), else text\n"
	      "  --images DIR       folder with one OCI image layout an image; else $PERIGEE_IMAGES, images/ "
	      "beside the\n"
	      "                     workflow, or the images that were built with this program\n"
	      "  --out DIR          copy the outputs there, as STAGE.OUTPUT\n"
	      "  --state DIR        where the run is kept, for runs, show and logs (default ./perigee-runs)\n"
	      "  --verbose          show the supervisor's log\n"
	      "  --json             the whole run as JSON on standard output\n"
	      "\n"
	      "Exit status: 0 the run is done, 1 it failed or was cancelled, 64 usage (also: an input is not "
	      "given), 65 "
	      "the workflow\n"
	      "has mistakes, 66 a file is missing, 70 the supervisor broke off, 73 a folder cannot be "
	      "written, 75 another "
	      "supervisor\n"
	      "has the state folder or ^C, 77 not root.\n"
	      "Afterwards: perigee show RUN, perigee logs RUN [STAGE].\n",
		to);
}

static int read_options(int argc, char **argv, struct run_options *o)
{
	static const struct option longs[] = {{"input", required_argument, NULL, 'i'},
		{"param", required_argument, NULL, 'p'}, {"images", required_argument, NULL, 'm'},
		{"out", required_argument, NULL, 'o'}, {"state", required_argument, NULL, 's'},
		{"json", no_argument, NULL, 'j'}, {"verbose", no_argument, NULL, 'v'},
		{"help", no_argument, NULL, 'h'}, {0}};

	for (int c; (c = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
		switch (c) {
		case 'i':
			if (o->n_inputs == ARRAY_LEN(o->inputs) || !strchr(optarg, '='))
				return -EINVAL;
			o->inputs[o->n_inputs++] = optarg;
			break;
		case 'p':
			if (!o->params)
				o->params = cJSON_CreateObject();
			if (add_param(o->params, optarg) < 0)
				return -EINVAL;
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
static int write_mission(const char *path, const char *workflow, const char *images, bool unikernels)
{
	CLEAN_JSON cJSON *j = cJSON_CreateObject();
	const char *list[] = {workflow};

	cJSON_AddStringToObject(j, "perigee", "v1");
	cJSON_AddStringToObject(j, "mission", "bench");
	if (unikernels)
		cJSON_AddObjectToObject(j, "unikernels");
	cJSON_AddItemToObject(j, "workflows", cJSON_CreateStringArray(list, 1));
	cJSON_AddStringToObject(j, "images", images);
	CLEAN_FREE char *text = cJSON_Print(j);
	return text ? file_replace(path, text, strlen(text), 0644) : -ENOMEM;
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
		printf("  %-16s %-9s", json_str(stage, "stage"), json_str(stage, "state"));
		if (cJSON_HasObjectItem(stage, "wall_ms"))
			printf(" %7.1f ms", json_num(stage, "wall_ms", 0));
		printf("%s%s\n", reason ? "  " : "", reason ? reason : "");
	}
	if (o->out)
		printf("outputs are in %s\n", o->out);
}

static struct progress *watch(const struct workflow *w)
{
	struct winsize size = {0};

	if (isatty(STDERR_FILENO) != 1 || ioctl(STDERR_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_col == 0)
		size = (struct winsize){0};
	return progress_create(stderr, size.ws_col, size.ws_row, w);
}

/* Reads the supervisor's events to their end; the last one of the run (others are of workflows that it uses)
 * is the run. */
static cJSON *follow(const struct run_options *o, const struct workflow *w, FILE *events)
{
	struct progress *progress = o->json ? NULL : watch(w);
	CLEAN_FREE char *line = NULL;
	size_t cap = 0;
	cJSON *run = NULL;

	for (ssize_t n; (n = getline(&line, &cap, events)) > 0;) {
		cJSON *j = cJSON_Parse(line);
		const char *event = json_str(j, "event");
		cJSON *ended =
			event && !strcmp(event, "run") ? cJSON_GetObjectItemCaseSensitive(j, "run") : NULL;
		const char *name = json_str(ended, "workflow");

		if (progress)
			progress_event(progress, j);
		if (name && !strcmp(name, workflow_name(w))) {
			cJSON_Delete(run);
			run = cJSON_DetachItemViaPointer(j, ended);
		}
		cJSON_Delete(j);
	}
	progress_destroy(progress);
	return run;
}

static int start_supervisor(const struct run_options *o, const char *state, const char *mission,
	const char *name, pid_t *ret_pid, FILE **ret_events)
{
	char exe[PATH_MAX], self[PATH_MAX];
	const char *argv[ARGS_MAX];
	CLEAN_FREE char *params = o->params ? cJSON_PrintUnformatted(o->params) : NULL;
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
	if (params) {
		argv[n++] = "--params";
		argv[n++] = params;
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

/* The workflow, after its mistakes have been shown. 0 or the exit status. */
static int read_workflow(const char *path, struct workflow **ret_workflow)
{
	struct complaints c;

	if (access(path, R_OK) < 0) {
		fprintf(stderr, "perigee: %s: %s\n", path, strerror(errno));
		return EX_NOINPUT;
	}
	if (complaints_init(&c, path) < 0)
		return EX_OSERR;
	int r = workflow_load(path, &(struct workflow_limits){0}, &c, ret_workflow);
	complaints_print(&c, stderr);
	complaints_finish(&c);
	return r < 0 ? EX_DATAERR : 0;
}

/* That each file is there, and each input has one: said before anything is started. 0 or the exit status. */
static int check_inputs(const struct run_options *o, const struct workflow *w)
{
	const char *given[ARGS_MAX / 4], *needed;

	for (size_t i = 0; i < o->n_inputs; i++) {
		char name[NAME_BYTES];
		const char *eq = strchr(o->inputs[i], '=');

		snprintf(name, sizeof(name), "%.*s", (int)(eq - o->inputs[i]), o->inputs[i]);
		given[i] = workflow_input_name(w, name);
		if (!given[i]) {
			fprintf(stderr, "perigee: workflow %s has no input \"%s\"\n", workflow_name(w), name);
			return EX_USAGE;
		}
		if (access(eq + 1, R_OK) < 0) {
			fprintf(stderr, "perigee: input %s: %s: %s\n", name, eq + 1, strerror(errno));
			return EX_NOINPUT;
		}
	}
	for (size_t i = 0; (needed = workflow_trigger_input(w, i)); i++) {
		size_t k = 0;

		while (k < o->n_inputs && strcmp(given[k], needed))
			k++;
		if (k == o->n_inputs) {
			fprintf(stderr, "perigee: workflow %s needs --input %s=FILE\n", workflow_name(w),
				needed);
			return EX_USAGE;
		}
	}
	return 0;
}

/* How the supervisor ended when it did not say how the run did. */
static int explain_no_run(int status)
{
	if (WIFEXITED(status) && WEXITSTATUS(status))
		return WEXITSTATUS(status); /* it has said why */
	if (WIFEXITED(status)) {
		fputs("perigee: broken off before the run was over\n", stderr);
		return EX_TEMPFAIL;
	}
	fprintf(stderr, "perigee: the supervisor was killed by signal %d\n", WTERMSIG(status));
	return EX_SOFTWARE;
}

static int run_it(const struct run_options *o, const struct workflow *w)
{
	char images[PATH_MAX], workflow[PATH_MAX], state[PATH_MAX], mission[PATH_MAX];
	const char *wanted = o->state ? o->state : STATE_OF_RUNS;
	FILE *events = NULL;
	pid_t pid;
	int r = find_images(o, images);

	if (r < 0) {
		fprintf(stderr,
			"perigee: the images of the stages are not found (%s): name their folder with "
			"--images DIR\n",
			err_text(r));
		return EX_NOINPUT;
	}
	r = dir_make(wanted, 0755);
	if (r == 0 && (!realpath(wanted, state) || !realpath(o->workflow, workflow)))
		r = -errno;
	if (r == 0)
		r = path_format(mission, sizeof(mission), "%s/bench.yaml", state);
	if (r == 0)
		r = write_mission(mission, workflow, images, workflow_has_unikernel(w));
	if (r < 0) {
		fprintf(stderr, "perigee: the state folder %s cannot be made: %s\n", wanted, err_text(r));
		return EX_CANTCREAT;
	}
	r = start_supervisor(o, state, mission, workflow_name(w), &pid, &events);
	if (r < 0) {
		fprintf(stderr, "perigee: the run cannot be started: %s\n", err_text(r));
		return EX_OSERR;
	}
	/* ^C is for the supervisor, which ends; its end is ours. */
	signal(SIGINT, SIG_IGN);
	CLEAN_JSON cJSON *run = follow(o, w, events);
	int status = 0;
	fclose(events);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (!run)
		return explain_no_run(status);
	if (o->out && copy_outputs(o, state, run) < 0)
		return EX_CANTCREAT;
	const char *end = json_str(run, "state");
	if (o->json)
		print_json(run);
	else
		show_end(o, run);
	return end && !strcmp(end, "done") ? 0 : 1;
}

int command_run(int argc, char **argv)
{
	struct run_options o = {0};
	struct workflow *w = NULL;
	int r = read_options(argc, argv, &o);

	if (r != 0) {
		help(r > 0 ? stdout : stderr);
		return r > 0 ? 0 : EX_USAGE;
	}
	r = read_workflow(o.workflow, &w);
	if (r == 0)
		r = check_inputs(&o, w);
	if (r == 0 && geteuid() != 0) {
		fputs("perigee: the sandboxes need root to be made: sudo perigee run …\n", stderr);
		r = EX_NOPERM;
	}
	if (r == 0)
		r = run_it(&o, w);
	workflow_destroy(w);
	cJSON_Delete(o.params);
	return r;
}
