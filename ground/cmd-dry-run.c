/* SPDX-License-Identifier: Apache-2.0 */
/* perigee dry-run: what would run of a workflow, needing what, ending when. */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <string.h>
#include <sysexits.h>

#include "cmd-dry-run.h"
#include "cmd-tools.h"
#include "commands.h"
#include "core/clock.h"
#include "core/file.h"
#include "core/json.h"
#include "core/mission.h"
#include "pipelines.h"

static const char help[] =
	"Usage: perigee dry-run FILE [--param NAME=VALUE]... [--elements STAGE=N]... [--mission FILE] "
	"[--json]\n"
	"\n"
	"What a run of the workflow would be, without running anything: its stages in the order in which "
	"they\n"
	"start, what they need, until when they end at the latest, what depends on conditions or approval, "
	"when\n"
	"schedules fire, what goes to the ground. Reckoned as if it were alone on the machine, with every "
	"attempt\n"
	"using its whole time limit, and all the retries.\n"
	"\n"
	"  --param NAME=VALUE  a parameter of the workflow, as of `perigee run`; conditions that it decides "
	"are\n"
	"                      decided\n"
	"  --elements STAGE=N  how many elements the list of a foreach will have (else 10,000 are reckoned "
	"with)\n"
	"  --mission FILE      with the budget and the workflows of this mission; else as `perigee run` on "
	"this\n"
	"                      machine\n"
	"  --json              the same facts and more, for scripts\n"
	"\n"
	"Exit status: 0, 64 usage, 65 a file has mistakes, or a value does not fit, 66 a file is missing.\n";

struct dry_run {
	const char *file, *mission_file;
	cJSON *params, *elements; /* owned */
	bool json;
	struct mission *mission;                          /* owned; NULL: none */
	struct workflow *list[MISSION_WORKFLOWS_MAX + 1]; /* owned */
	struct complaints complaints[MISSION_WORKFLOWS_MAX + 1];
	size_t n;  /* of complaints; list[i] is NULL where a file was bad */
	size_t at; /* the workflow that is asked about */
	struct workflow_limits limits;
	uint32_t tasks;
};

/* 0 go on, 1 help was printed, negative usage. */
static int read_command(int argc, char **argv, struct dry_run *d)
{
	static const struct option longs[] = {{"param", required_argument, NULL, 'p'},
		{"elements", required_argument, NULL, 'e'}, {"mission", required_argument, NULL, 'm'},
		{"json", no_argument, NULL, 'j'}, {"help", no_argument, NULL, 'h'}, {0}};
	int r = 0;

	for (int o; r == 0 && (o = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
		const char *eq = optarg ? strchr(optarg, '=') : NULL;

		if (o == 'p') {
			r = add_param(d->params, optarg);
		} else if (o == 'e') {
			r = eq && whole_number(eq + 1, INT32_MAX) >= 0 ? add_param(d->elements, optarg)
								       : -EINVAL;
		} else if (o == 'm') {
			d->mission_file = optarg;
		} else if (o == 'j') {
			d->json = true;
		} else {
			fputs(help, o == 'h' ? stdout : stderr);
			return o == 'h' ? 1 : -EINVAL;
		}
		if (r < 0)
			fprintf(stderr, "perigee: expected --%s, found \"%s\"\n",
				o == 'p' ? "param NAME=VALUE" : "elements STAGE=N", or_dash(optarg));
	}
	if (r < 0)
		return r;
	d->file = argv[optind];
	if (argc - optind == 1)
		return 0;
	fputs(help, stderr);
	return -EINVAL;
}

static bool same_file(const char *a, const char *b)
{
	char x[PATH_MAX], y[PATH_MAX];

	return realpath(a, x) && realpath(b, y) && !strcmp(x, y);
}

/* 0, or the exit status. A bad file is noted among the complaints. */
static int load(struct dry_run *d, const char *path)
{
	if (complaints_init(&d->complaints[d->n], path) < 0)
		return EX_OSERR;
	size_t i = d->n++;
	int r = workflow_load(path, &d->limits, &d->complaints[i], &d->list[i]);
	return r < 0 && r != ERR_CHECKED ? EX_OSERR : 0;
}

static int load_mission(struct dry_run *d)
{
	struct mission defaults;
	struct complaints c;

	if (!d->mission_file) {
		mission_default_budget(&defaults);
		d->limits = (struct workflow_limits){.cpus_milli = defaults.budget.cpus_milli,
			.memory_bytes = defaults.budget.memory_bytes};
		d->tasks = defaults.budget.tasks;
		return 0;
	}
	if (complaints_init(&c, d->mission_file) < 0)
		return EX_OSERR;
	int r = mission_load(d->mission_file, &c, &d->mission);
	complaints_print(&c, stderr);
	complaints_finish(&c);
	if (r < 0)
		return EX_DATAERR;
	d->limits = workflow_limits_of(d->mission);
	d->tasks = d->mission->budget.tasks;
	for (size_t i = 0; r == 0 && i < d->mission->n_workflows; i++)
		if (!same_file(d->mission->workflows[i], d->file))
			r = load(d, d->mission->workflows[i]);
	return r;
}

/* The workflow and those that it may refer to; what is wrong with them is said. 0, or the exit status. */
static int load_all(struct dry_run *d)
{
	struct workflow *good[ARRAY_LEN(d->list)];
	struct complaints *c[ARRAY_LEN(d->list)];
	size_t n = 0, mistakes = 0;
	int r = load_mission(d);

	if (r == 0) {
		d->at = d->n;
		r = load(d, d->file);
	}
	for (size_t i = 0; r == 0 && i < d->n; i++) {
		mistakes += d->complaints[i].total;
		if (!d->list[i])
			continue;
		good[n] = d->list[i];
		c[n++] = &d->complaints[i];
	}
	if (r == 0 && !mistakes && workflow_check_uses(good, n, d->mission, c) < 0)
		mistakes++;
	for (size_t i = 0; i < d->n; i++)
		if (i == d->at || d->complaints[i].total)
			complaints_print(&d->complaints[i], stderr);
	return r == 0 && mistakes ? EX_DATAERR : r;
}

/* What its CPU time takes, and what there is for all in an orbit. */
static void add_mission(cJSON *j, const struct mission *m)
{
	double per_cpu_s = (double)m->energy.mj_per_cpu_s / 1000;

	cJSON_AddStringToObject(j, "mission", m->name);
	if (per_cpu_s > 0) {
		cJSON_AddNumberToObject(j, "energy_j_per_cpu_s", per_cpu_s);
		cJSON_AddNumberToObject(j, "energy_j_at_most", json_num(j, "cpu_s_at_most", 0) * per_cpu_s);
	}
	if (m->energy.mj_per_orbit)
		cJSON_AddNumberToObject(j, "energy_j_per_orbit", (double)m->energy.mj_per_orbit / 1000);
}

static int plan(struct dry_run *d)
{
	const struct plan_request request = {.workflow = d->list[d->at],
		.others = d->list,
		.n_others = d->n,
		.params = d->params,
		.elements = d->elements,
		.cpus_milli = d->limits.cpus_milli,
		.memory_bytes = d->limits.memory_bytes,
		.tasks = d->tasks,
		.now = clock_utc()};
	CLEAN_JSON cJSON *j = NULL;
	char reason[256];
	int r = workflow_plan(&request, &j, reason, sizeof(reason));

	if (r < 0) {
		fprintf(stderr, "perigee: dry-run: %s\n", reason);
		return r == ERR_CHECKED || r == ERR_LIMIT ? EX_DATAERR : EX_SOFTWARE;
	}
	cJSON *room = cJSON_AddObjectToObject(j, "budget");
	cJSON_AddNumberToObject(room, "cpus", d->limits.cpus_milli / 1000.0);
	cJSON_AddNumberToObject(room, "memory_bytes", (double)d->limits.memory_bytes);
	cJSON_AddNumberToObject(room, "tasks", d->tasks);
	if (d->mission)
		add_mission(j, d->mission);
	if (d->json)
		print_json(j);
	else
		dry_run_print(j);
	return 0;
}

int command_dry_run(int argc, char **argv)
{
	struct dry_run d = {.params = cJSON_CreateObject(), .elements = cJSON_CreateObject()};
	int r = read_command(argc, argv, &d);

	if (r != 0) {
		r = r > 0 ? 0 : EX_USAGE;
	} else if (access(d.file, R_OK) < 0 || (d.mission_file && access(d.mission_file, R_OK) < 0)) {
		fprintf(stderr, "perigee: %s: %s\n", access(d.file, R_OK) < 0 ? d.file : d.mission_file,
			strerror(errno));
		r = EX_NOINPUT;
	} else {
		r = load_all(&d);
		if (r == 0)
			r = plan(&d);
	}
	for (size_t i = 0; i < d.n; i++) {
		workflow_destroy(d.list[i]);
		complaints_finish(&d.complaints[i]);
	}
	mission_destroy(d.mission);
	cJSON_Delete(d.params);
	cJSON_Delete(d.elements);
	return r;
}
