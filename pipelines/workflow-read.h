/* SPDX-License-Identifier: Apache-2.0 */
/* Between the parts that read a workflow file. Each complains by itself, at the place. */
#ifndef PIPELINES_WORKFLOW_READ_H
#define PIPELINES_WORKFLOW_READ_H

#include "workflow.h"

#define WF_DURATION_NS_MAX (INT64_C(366) * 86400 * NS_PER_S)

struct wf_reader {
	struct complaints *c;
	struct workflow *w;
	const struct workflow_limits *limits;
	const char **stage_names; /* all of them, from the first pass */
	const char *param_names[WF_PARAMS_MAX];
	struct wf_stage *stage; /* the one that is read */
};

/* ---- help for all (workflow-names.c) ---- */

/* Zeroed, of at least one element; complains when there is none. */
void *wf_memory(struct wf_reader *r, const struct ynode *at, size_t n, size_t size);
/* A node that stands for the key of n, to complain at. */
struct ynode wf_key(const struct ynode *n);
/* The nearest of the known names, or NULL, also when nobody would see it any more. */
const char *wf_near(struct wf_reader *r, const char *name, const char *const *known, size_t n_known);
/* The number of a text among `names`; complains with the names and returns false. */
bool wf_choice(
	struct wf_reader *r, const struct ynode *n, const char *const *names, size_t n_names, int *ret);
/* A stage by its name; complains and returns false. */
bool wf_stage_named(struct wf_reader *r, const struct ynode *at, const char *name, size_t *ret_stage);
/* STAGE.OUTPUT; complains and returns false. Of a stage that `uses` a workflow the output is noted. */
bool wf_resolve(
	struct wf_reader *r, const struct ynode *at, const char *ref, size_t *ret_stage, size_t *ret_output);
/* The same in two parts, for what looks into it (json) or takes it as it is; the reason in ret_reason. */
WARN_UNUSED int wf_resolve_names(struct wf_reader *r, const char *stage, const char *output, bool json,
	size_t *ret_stage, size_t *ret_output, char ret_reason[EXPR_REASON_BYTES]);
bool wf_param_named(const struct workflow *w, const char *name, size_t *ret_param);
/* A whole number of units above zero; complains. */
bool wf_duration(struct wf_reader *r, const struct ynode *n, int64_t *ret_ns);
void wf_priority(struct wf_reader *r, const struct ynode *n, uint8_t *ret_priority);

/* ---- the parts of a file ---- */

void wf_read_params(struct wf_reader *r, struct ynode *map);                       /* workflow-params.c */
void wf_read_triggers(struct wf_reader *r, struct ynode *list);                    /* workflow-triggers.c */
void wf_read_max_runs(struct wf_reader *r, struct ynode *n);                       /* workflow-triggers.c */
void wf_read_handlers(struct wf_reader *r, struct ynode *list, enum wf_role role); /* workflow-results.c */
void wf_read_results(struct wf_reader *r, struct ynode *map);                      /* workflow-results.c */
void wf_read_products(struct wf_reader *r, struct ynode *list);                    /* workflow-results.c */

/* ---- the parts of a stage ---- */

/* First pass: image or uses, outputs: what others may refer to. */
void wf_read_outputs(struct wf_reader *r, struct wf_stage *s); /* workflow-outputs.c */
void wf_check_image(struct wf_reader *r, const struct ynode *at, const char *name); /* workflow-images.c */
/* Second pass: everything else, needs included. */
void wf_read_stage(struct wf_reader *r, struct wf_stage *s);        /* workflow-stage.c */
void wf_read_inputs(struct wf_reader *r, struct wf_stage *s);       /* workflow-needs.c */
void wf_read_needs(struct wf_reader *r, struct wf_stage *s);        /* workflow-needs.c; first: makes room */
void wf_read_when(struct wf_reader *r, struct wf_stage *s);         /* workflow-needs.c */
void wf_add_need(struct wf_stage *s, size_t stage);                 /* workflow-needs.c */
void wf_read_foreach(struct wf_reader *r, struct wf_stage *s);      /* workflow-foreach.c */
void wf_read_resources(struct wf_reader *r, struct wf_stage *s);    /* workflow-limits.c */
void wf_read_retry(struct wf_reader *r, struct wf_stage *s);        /* workflow-limits.c */
void wf_read_stage_params(struct wf_reader *r, struct wf_stage *s); /* workflow-values.c */
void wf_read_args(struct wf_reader *r, struct wf_stage *s);         /* workflow-values.c */
void wf_read_env(struct wf_reader *r, struct wf_stage *s);          /* workflow-values.c */
/* Any JSON that a person writes; its references ("$params.x") are checked. NULL with the complaint made. */
cJSON *wf_read_json(struct wf_reader *r, const struct ynode *n, bool with_item); /* workflow-values.c */
/* The same without references. */
cJSON *wf_json_of(const struct ynode *n); /* workflow-values.c */
void wf_stage_finish(struct wf_stage *s);

/* ---- what only the whole file shows (workflow-check.c, workflow-cycle.c) ---- */

void wf_check_cycles(struct wf_reader *r);
void wf_check_whole(struct wf_reader *r);

#endif
