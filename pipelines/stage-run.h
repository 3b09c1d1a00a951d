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

	/* Until it is launched: made by a worker. */
	bool preparing;
	bool stop_wanted, freeze_wanted; /* ordered meanwhile */
	struct digest sources[WF_INPUTS_MAX];
	bool has_source[WF_INPUTS_MAX]; /* a handler may do without */
	int in_fd, out_fd;
	int err; /* of what went wrong, and why */
	char why[TASK_REASON_BYTES - 32];

	bool over;
	struct stage_exit exit;
	uv_work_t work_req;
	struct task_end end; /* filled in the worker */
};

/* From what its inputs are made: a->sources. a->why says what is missing. */
WARN_UNUSED int stage_find_inputs(struct active *a);
/* In a worker: the folders with their files, and the log; a->in_fd, out_fd, log_file. a->why as above. */
WARN_UNUSED int stage_make_files(struct active *a);

/* The stage is over, as a->exit says: its outputs are kept in a worker, then the queue hears of it, and `a`
 * is forgotten. */
void stage_collect(struct active *a);
void stage_forget(struct active *a);
void stage_close_folders(struct active *a);

#endif
