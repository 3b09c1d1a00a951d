/* SPDX-License-Identifier: Apache-2.0 */
/* What a workflow file leaves open, filled in when a run or a task is made: its parameters, and the texts
 * "$params.NAME", "$item", "$item.member[0]" and "$index" in params, args, env and a written foreach list. A whole
 * text keeps the value's type in JSON; in words a number or a boolean is written out, a list or an object is a
 * mistake. "$$" at the start of a text is a dollar. */
#ifndef PIPELINES_WF_VALUES_H
#define PIPELINES_WF_VALUES_H

#include "workflow.h"

#define WF_REASON_BYTES 200

struct wf_scope {
	const cJSON *params; /* object with every parameter of the workflow: wf_params_make */
	const cJSON *item;   /* NULL: no foreach */
	int64_t index;
};

/* The workflow's defaults overlaid with what was given (object or NULL). ERR_CHECKED with the reason: an unknown
 * name (and the nearest), another type, out of range, one without default that was not given. *ret is owned. */
WARN_UNUSED int wf_params_make(const struct workflow *w, const cJSON *given, cJSON **ret_params,
	char ret_reason[WF_REASON_BYTES]);
/* A copy with everything filled in. ERR_CHECKED with the reason. *ret is owned. */
WARN_UNUSED int wf_fill_json(
	const cJSON *in, const struct wf_scope *scope, cJSON **ret_json, char ret_reason[WF_REASON_BYTES]);
/* A NULL-terminated copy, in one block with its texts: free it with free. NULL in gives NULL. */
WARN_UNUSED int wf_fill_words(const char *const *in, const struct wf_scope *scope, const char ***ret_words,
	char ret_reason[WF_REASON_BYTES]);

#endif
