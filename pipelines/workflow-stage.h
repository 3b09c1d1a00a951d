/* SPDX-License-Identifier: Apache-2.0 */
/* Reading one stage of a workflow file. */
#ifndef PIPELINES_WORKFLOW_STAGE_H
#define PIPELINES_WORKFLOW_STAGE_H

#include "workflow.h"

struct wf_reader {
	struct complaints *c;
	struct workflow *w;
	const struct workflow_limits *limits;
	const char **stage_names; /* as known so far: all of them, from the first pass */
};

/* First pass: name, outputs: what others may refer to. */
void wf_read_outputs(struct wf_reader *r, struct wf_stage *s);
/* Second pass: everything else, needs included. */
void wf_read_stage(struct wf_reader *r, struct wf_stage *s);
/* STAGE.OUTPUT, with suggestions; complains and returns false. */
bool wf_resolve(
	struct wf_reader *r, const struct ynode *at, const char *ref, size_t *ret_stage, size_t *ret_output);
void wf_stage_finish(struct wf_stage *s);

#endif
