/* SPDX-License-Identifier: Apache-2.0 */
#include "core/mission.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "core/clock.h"
#include "core/file.h"
#include "core/yaml.h"
#include "mission-queue.h"

#define CPUS_MAX 1024.0
#define MEMORY_BYTES_MAX (UINT64_C(1) << 46)
#define DEFAULT_LOG_BYTES (64u << 10)
#define DEFAULT_RESERVE_BYTES (UINT64_C(64) << 20)
#define DEFAULT_COPY_NS (300 * NS_PER_S)
#define DEFAULT_HISTORY_NS (30 * INT64_C(86400) * NS_PER_S)
#define DEFAULT_RUNS 10000
#define RUNS_MAX 10000000
#define DEFAULT_LOGS_BYTES (UINT64_C(64) << 20)
#define DEFAULT_ARTIFACTS_BYTES (UINT64_C(2) << 30)
#define STORAGE_BYTES_MAX (UINT64_C(1) << 50)
#define STORAGE_NS_MAX (INT64_C(10) * 365 * 86400 * NS_PER_S)
#define DEFAULT_BATCH_BYTES (1u << 20)

struct reader {
	struct complaints *c;
	struct mission *m;
	char *folder; /* of the mission file, ends with '/' */
};

/* The folder that relative names start from: absolute, so that a later chdir changes nothing. */
static char *folder_of(const char *path)
{
	char *real = realpath(path, NULL);

	if (!real)
		return NULL;
	char *slash = strrchr(real, '/');
	slash[1] = '\0';
	return real;
}

static char *absolute(const struct reader *r, const char *name)
{
	char *path = NULL;

	if (name[0] == '/')
		return strdup(name);
	return asprintf(&path, "%s%s", r->folder, name) < 0 ? NULL : path;
}

static void read_path(struct reader *r, struct ynode *n, char **ret_path)
{
	const char *text;

	if (!n || !y_text(r->c, n, &text))
		return;
	if (!*text) {
		y_complain(r->c, n, "expected a path, found an empty text");
		return;
	}
	*ret_path = absolute(r, text);
	if (!*ret_path)
		y_complain(r->c, n, "out of memory");
}

static void read_name(struct reader *r, struct ynode *n, char ret_name[MISSION_NAME_BYTES])
{
	const char *text;

	if (n && y_name(r->c, n, &text))
		snprintf(ret_name, MISSION_NAME_BYTES, "%s", text);
}

static void read_workflows(struct reader *r, struct ynode *list)
{
	if (!list || !y_is(r->c, list, YNODE_SEQ))
		return;
	if (list->n > MISSION_WORKFLOWS_MAX) {
		y_complain(r->c, list, "expected at most %d workflows, found %zu", MISSION_WORKFLOWS_MAX, list->n);
		return;
	}
	for (struct ynode *n = list->first; n; n = n->next) {
		read_path(r, n, &r->m->workflows[r->m->n_workflows]);
		if (r->m->workflows[r->m->n_workflows])
			r->m->n_workflows++;
	}
}

static void read_budget(struct reader *r, struct ynode *map)
{
	static const char *const known[] = {"cpus", "memory", "tasks"};
	double cpus = r->m->budget.cpus_milli / 1000.0;
	int64_t tasks = r->m->budget.tasks;

	if (!map || !y_is(r->c, map, YNODE_MAP))
		return;
	y_number(r->c, y_get(map, "cpus"), 0.001, CPUS_MAX, &cpus);
	y_size(r->c, y_get(map, "memory"), MEMORY_BYTES_MAX, &r->m->budget.memory_bytes);
	y_int(r->c, y_get(map, "tasks"), 1, 64, &tasks);
	y_no_others(r->c, map, known, ARRAY_LEN(known));
	r->m->budget.cpus_milli = (uint32_t)(cpus * 1000.0 + 0.5);
	r->m->budget.tasks = (uint32_t)tasks;
}

static void read_storage(struct reader *r, struct ynode *map)
{
	static const char *const known[] = {"reserve", "copy", "history", "runs", "logs", "artifacts"};
	int64_t runs = r->m->storage.runs;

	if (!map || !y_is(r->c, map, YNODE_MAP))
		return;
	y_size(r->c, y_get(map, "reserve"), STORAGE_BYTES_MAX, &r->m->storage.reserve_bytes);
	y_duration(r->c, y_get(map, "copy"), STORAGE_NS_MAX, &r->m->storage.copy_ns);
	y_duration(r->c, y_get(map, "history"), STORAGE_NS_MAX, &r->m->storage.history_ns);
	y_int(r->c, y_get(map, "runs"), 1, RUNS_MAX, &runs);
	y_size(r->c, y_get(map, "logs"), STORAGE_BYTES_MAX, &r->m->storage.logs_bytes);
	y_size(r->c, y_get(map, "artifacts"), STORAGE_BYTES_MAX, &r->m->storage.artifacts_bytes);
	r->m->storage.runs = (uint32_t)runs;
	y_no_others(r->c, map, known, ARRAY_LEN(known));
}

static void read_address(struct reader *r, struct ynode *n, struct sockaddr_in *ret_addr)
{
	const char *text;
	char host[64];

	if (!n || !y_text(r->c, n, &text))
		return;
	const char *colon = strrchr(text, ':');
	char *end = NULL;
	long port = colon ? strtol(colon + 1, &end, 10) : -1;
	struct sockaddr_in a = {.sin_family = AF_INET};

	if (colon && (size_t)(colon - text) < sizeof(host) && end != colon + 1 && !*end && port >= 0 && port <= 65535) {
		memcpy(host, text, (size_t)(colon - text));
		host[colon - text] = '\0';
		a.sin_port = htons((uint16_t)port);
		if (inet_pton(AF_INET, host, &a.sin_addr) == 1) {
			*ret_addr = a;
			return;
		}
	}
	y_complain(r->c, n, "expected an address and port such as 127.0.0.1:30501, found \"%s\"", text);
}

/* "10Mbit/s", "9600bit/s", "2MiB/s": data rates are quoted in bits on links and in bytes by people. */
static void read_rate(struct reader *r, struct ynode *n, uint64_t *ret_bytes_per_s)
{
	static const struct {
		const char *unit;
		double bytes;
	} units[] = {
		{"bit/s", 1.0 / 8}, {"kbit/s", 1e3 / 8}, {"Mbit/s", 1e6 / 8}, {"Gbit/s", 1e9 / 8}, {"B/s", 1},
		{"KiB/s", 1024}, {"MiB/s", 1048576},
	};
	const char *text;

	if (!n || !y_text(r->c, n, &text))
		return;
	char *end;
	double value = strtod(text, &end);
	for (size_t i = 0; end != text && i < ARRAY_LEN(units); i++) {
		if (strcmp(end, units[i].unit))
			continue;
		double rate = value * units[i].bytes;
		if (!(rate >= 1 && rate <= 1e12))
			break;
		*ret_bytes_per_s = (uint64_t)rate;
		return;
	}
	y_complain(r->c, n, "expected a data rate such as 2Mbit/s or 512KiB/s, found \"%s\"", text);
}

static void read_downlink(struct reader *r, struct ynode *map)
{
	static const char *const known[] = {"to", "from", "key", "batch", "rate"};
	struct mission *m = r->m;

	if (!map || !y_is(r->c, map, YNODE_MAP))
		return;
	m->downlink.on = true;
	m->downlink.from = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	m->downlink.batch_bytes_max = DEFAULT_BATCH_BYTES;
	read_address(r, y_need(r->c, map, "to"), &m->downlink.to);
	read_address(r, y_get(map, "from"), &m->downlink.from);
	read_path(r, y_need(r->c, map, "key"), &m->downlink.key);
	y_size(r->c, y_get(map, "batch"), UINT64_C(1) << 30, &m->downlink.batch_bytes_max);
	read_rate(r, y_get(map, "rate"), &m->downlink.rate_bytes_per_s);
	y_no_others(r->c, map, known, ARRAY_LEN(known));
}

static void read_unikernels(struct reader *r, struct ynode *map)
{
	static const char *const known[] = {"qemu"};

	if (!map || !y_is(r->c, map, YNODE_MAP))
		return;
	r->m->unikernels.on = true;
	read_path(r, y_get(map, "qemu"), &r->m->unikernels.qemu);
	y_no_others(r->c, map, known, ARRAY_LEN(known));
}

static void read_version(struct reader *r, struct ynode *n)
{
	const char *text;

	if (n && y_text(r->c, n, &text) && strcmp(text, "v1"))
		y_complain(r->c, n, "expected v1, found \"%s\"", text);
}

static void read_mission(struct reader *r, struct ynode *root)
{
	static const char *const known[] = {"perigee", "mission", "spacecraft", "workflows", "images", "policy",
		"state", "run-as", "budget", "queue", "quotas", "energy", "logs", "storage", "unikernels",
		"downlink"};
	struct mission *m = r->m;

	if (!y_is(r->c, root, YNODE_MAP))
		return;
	read_version(r, y_need(r->c, root, "perigee"));
	read_name(r, y_need(r->c, root, "mission"), m->name);
	snprintf(m->spacecraft, sizeof(m->spacecraft), "%s", m->name);
	read_name(r, y_get(root, "spacecraft"), m->spacecraft);
	read_workflows(r, y_need(r->c, root, "workflows"));
	read_path(r, y_need(r->c, root, "images"), &m->images);
	read_path(r, y_get(root, "policy"), &m->policy);
	read_path(r, y_get(root, "state"), &m->state);
	read_name(r, y_get(root, "run-as"), m->run_as);
	read_budget(r, y_get(root, "budget"));
	mission_read_energy(m, y_get(root, "energy"), r->c);
	mission_read_queue(m, y_get(root, "queue"), y_get(root, "quotas"), r->c);
	y_size(r->c, y_get(root, "logs"), UINT64_C(1) << 30, &m->log_bytes_max);
	read_storage(r, y_get(root, "storage"));
	read_unikernels(r, y_get(root, "unikernels"));
	read_downlink(r, y_get(root, "downlink"));
	y_no_others(r->c, root, known, ARRAY_LEN(known));
}

void mission_default_budget(struct mission *m)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	m->budget.cpus_milli = cpus > 0 ? (uint32_t)cpus * 1000 : 1000;
	m->budget.memory_bytes = UINT64_C(512) << 20;
	m->budget.tasks = cpus > 0 ? (uint32_t)cpus : 1;
}

int mission_load(const char *path, struct complaints *c, struct mission **ret_mission)
{
	struct mission *m = calloc(1, sizeof(*m));
	struct reader r = {.c = c, .m = m};

	if (!m)
		return -ENOMEM;
	mission_default_budget(m);
	m->log_bytes_max = DEFAULT_LOG_BYTES;
	m->storage.reserve_bytes = DEFAULT_RESERVE_BYTES;
	m->storage.copy_ns = DEFAULT_COPY_NS;
	m->storage.history_ns = DEFAULT_HISTORY_NS;
	m->storage.runs = DEFAULT_RUNS;
	m->storage.logs_bytes = DEFAULT_LOGS_BYTES;
	m->storage.artifacts_bytes = DEFAULT_ARTIFACTS_BYTES;

	struct ynode *root = yaml_load(path, c);
	if (root) {
		m->path = strdup(path);
		r.folder = folder_of(path);
		if (m->path && r.folder)
			read_mission(&r, root);
		else
			complain(c, 0, 0, "out of memory");
	}
	yaml_destroy(root);
	free(r.folder);
	if (c->total) {
		mission_destroy(m);
		return ERR_CHECKED;
	}
	*ret_mission = m;
	return 0;
}

void mission_destroy(struct mission *m)
{
	if (!m)
		return;
	for (size_t i = 0; i < m->n_workflows; i++)
		free(m->workflows[i]);
	free(m->path);
	free(m->images);
	free(m->policy);
	free(m->state);
	free(m->unikernels.qemu);
	free(m->downlink.key);
	free(m);
}
