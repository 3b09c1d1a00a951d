/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Executing one stage: stage-run.c has it started, stage-files.c makes what it sees as /in and /out and its
 * log, stage-end.c turns what it left into artifacts.
 */
#ifndef PIPELINES_STAGE_RUN_H
#define PIPELINES_STAGE_RUN_H

#include <limits.h>

#include "runs.h"

struct active {
	struct active *next;
	struct pipelines *p;
	struct task task;
	struct workflow *w;
	size_t at;                    /* the stage's number */
	const struct wf_stage *stage; /* that stage */
	struct stage_values values;
	char work[PATH_MAX]; /* folder with in/ and out/ */
	char log[PATH_MAX];
	int log_file;
	char cache_key[DIGEST_TEXT_BYTES];                   /* "": its success is not remembered */
	char tmp_names[WF_OUTPUTS_MAX][ARTIFACT_NAME_BYTES]; /* "" when handed over or dropped */
	struct stage_result results[WF_OUTPUTS_MAX];

	bool over;
	struct stage_exit exit;
	uv_work_t work_req;
	struct task_end end; /* filled in the worker */
};

/* Makes the folders with their files; the descriptors are the caller's. ret_why says what is missing. */
WARN_UNUSED int stage_make_folders(struct active *a, int *ret_in, int *ret_out, char *ret_why, size_t cap);
WARN_UNUSED int stage_open_log(struct active *a);

/* The stage is over, as a->exit says: its outputs are kept in a worker, then the queue hears of it, and `a`
 * is forgotten. */
void stage_collect(struct active *a);
void stage_forget(struct active *a);

#endif
