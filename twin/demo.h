/* SPDX-License-Identifier: Apache-2.0 */
/*
 * perigee-twin demo: the whole chain on one machine, from the twin's camera to a verified result on the
 * ground, with the binaries that fly. The parts: its mission's folder, its processes, its report.
 */
#ifndef TWIN_DEMO_H
#define TWIN_DEMO_H

#include <cjson/cJSON.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/err.h"

struct demo {
	/* as asked for */
	const char *scenes; /* NULL: rendered */
	char out[PATH_MAX];
	uint32_t seed;
	unsigned count; /* of rendered scenes; with --scenes, of files */
	unsigned rgb;   /* of them, by cam1 */
	bool json, keep;
	bool out_made; /* there was no such folder before */

	char work[PATH_MAX]; /* the mission's folder, the state in it; removed at the end */
	int iiod_port, ground_port;
	int interrupted; /* the signal that broke it off, or 0 */
	double seconds;  /* from the first process to the last result */
};

/* demo-out.c: the folder of results. Made, and emptied of what an earlier demonstration left, but of nothing
 * else. */
WARN_UNUSED int demo_out_prepare(struct demo *d, const char *wanted);
/* Whoever called sudo owns what was put there; nothing changes otherwise. */
void demo_out_hand_over(const struct demo *d);

/* demo-mission.c: writes the mission into demo->work: keys, policy, mission file, workflow, images. */
WARN_UNUSED int demo_mission_folder(struct demo *d);
WARN_UNUSED int demo_mission_files(struct demo *d);

/* demo-processes.c: starts the camera, the ground and the supervisor, follows them until every image has its
 * result on the ground, or SIGINT, SIGTERM or SIGHUP comes, which the caller has blocked; ends them. Says
 * what went wrong on standard error. */
WARN_UNUSED int demo_fly(struct demo *d);

/* demo-report.c: what came down, held against what was there; writes the pictures and report.json. The caller
 * deletes the report. */
WARN_UNUSED int demo_report(struct demo *d, cJSON **ret_report);
/* demo-table.c: the same for a person. */
void demo_table(const struct demo *d, const cJSON *report);

#endif
