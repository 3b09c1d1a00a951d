/* SPDX-License-Identifier: Apache-2.0 */
/* The mission file: what perigeed is started with. */
#ifndef CORE_MISSION_H
#define CORE_MISSION_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/complain.h"

#define MISSION_WORKFLOWS_MAX 64
#define MISSION_NAME_BYTES 64
#define MISSION_QUOTAS_MAX 64

/* Of one payload; 0: no limit. */
struct mission_quota {
	char payload[MISSION_NAME_BYTES];
	uint32_t tasks;         /* running at once */
	uint32_t waiting;       /* in the queue */
	int64_t cpu_ns_per_day; /* of CPU time in one day of UTC */
	int64_t cpu_ns_per_orbit;
	uint64_t energy_mj_per_day, energy_mj_per_orbit; /* millijoules */
};

struct mission {
	char *path; /* of the file; relative names in it start from its folder */
	char name[MISSION_NAME_BYTES];
	char spacecraft[MISSION_NAME_BYTES];
	char run_as[MISSION_NAME_BYTES]; /* user of the supervisor; "" = whoever called sudo, else as started */

	char *workflows[MISSION_WORKFLOWS_MAX]; /* absolute paths */
	size_t n_workflows;
	char *images;  /* absolute: a folder with one OCI image layout an image */
	char *policy;  /* absolute, or NULL: no broker, no devices */
	char *state;   /* absolute, or NULL: must be given on the command line */

	struct {
		uint32_t cpus_milli; /* thousandths of a CPU */
		uint64_t memory_bytes;
		uint32_t tasks; /* running at once */
	} budget;
	struct {
		uint16_t critical; /* from this priority on; 256: there is no critical class */
		int64_t ageing_ns; /* a run that has waited so long gains one priority; 0: never */
		uint32_t poison;   /* ends of the sandbox or the machine after which a task is given up; 0: never */
		uint32_t history;  /* tasks that are over and still kept */
		/* so much more priority preempts what runs; 256: only the critical class all others; 0: nothing */
		uint16_t preempt;
	} queue;
	struct {
		char device[MISSION_NAME_BYTES];  /* the power monitor, read as payload `perigee`; "": none */
		char battery[MISSION_NAME_BYTES]; /* its attributes: percent; 1 in sunlight, else 0 */
		char sunlight[MISSION_NAME_BYTES];
		int64_t every_ns; /* between two readings */
		double reserve_percent, resume_percent;
		double eclipse_more_percent; /* both are so much higher in eclipse */
		uint64_t mj_per_cpu_s;       /* millijoules that a second of CPU time takes; 0: not known */
		int64_t orbit_ns;
		uint64_t mj_per_orbit; /* for all tasks but the critical class; 0: no limit */
	} energy;
	struct mission_quota quotas[MISSION_QUOTAS_MAX];
	size_t n_quotas;
	uint64_t log_bytes_max; /* kept per attempt */

	struct {
		uint64_t reserve_bytes; /* left on the disk: below, nothing new starts */
		int64_t copy_ns; /* between two copies of the database, when it changed; 0: no copies */
		/* What is kept; the oldest goes first. */
		int64_t history_ns; /* of runs, since they ended */
		uint32_t runs;      /* those that go on counted too */
		uint64_t logs_bytes, artifacts_bytes; /* of all together */
	} storage;

	struct {
		bool on;
		char *qemu; /* absolute, or NULL: the one that was built in */
	} unikernels;

	struct {
		bool on;
		struct sockaddr_in to;   /* the ground's end of the spacecraft bus */
		struct sockaddr_in from; /* ours */
		char *key;               /* absolute: minisign secret key without password, mode 0600 */
		uint64_t batch_bytes_max;
		uint64_t rate_bytes_per_s; /* 0: as fast as the link takes it */
	} downlink;
};

/* Reads and checks the whole file. ERR_CHECKED with the complaints made. */
WARN_UNUSED int mission_load(const char *path, struct complaints *c, struct mission **ret_mission);
void mission_destroy(struct mission *m);
/* The budget where a file says nothing: what this machine has. */
void mission_default_budget(struct mission *m);

#endif
