/* SPDX-License-Identifier: Apache-2.0 */
/* What a workflow file leaves open, filled in when a run or a task is made: its parameters, and the texts
 * "$params.NAME", "$item", "$item.member[0]" and "$index" in params, args, env and a written foreach list. A
 * whole text keeps the value's type in JSON; in words a number or a boolean is written out, a list or an
 * object is a mistake. "$$" at the start of a text is a dollar. In words ("--limit=$params.limit",
 * "MODE=$params.mode") the text is what follows the first "=", or the whole word when it begins with "$" or
 * has none. */
#ifndef PIPELINES_WF_VALUES_H
#define PIPELINES_WF_VALUES_H

#include "workflow.h"

#define WF_REASON_BYTES 200
#define WF_TEXT_BYTES_MAX 4096 /* of a parameter that is a text, and of a word that was filled in */

/* ---- what is open in a text ---- */

struct wf_ref {
	enum wf_ref_kind { WF_REF_NONE, WF_REF_DOLLAR, WF_REF_PARAM, WF_REF_ITEM, WF_REF_INDEX } kind;
	const char
		*rest; /* NONE, DOLLAR: the text as it is meant; PARAM: the name; ITEM: "" or ".member[0]" */
};

/* ERR_FORMAT: it begins with a dollar and is none of these. *ret borrows from the text. */
WARN_UNUSED int wf_ref_parse(const char *text, struct wf_ref *ret);
/* Where the text of a word begins. */
const char *wf_word_value(const char *word);

/* ---- filling it in ---- */

struct wf_scope {
	const cJSON *params; /* object with every parameter of the workflow: wf_params_make */
	const cJSON *item;   /* NULL: no foreach */
	int64_t index;
};

/* Whether the value is of the parameter's type and in its bounds. ERR_CHECKED with the reason. */
WARN_UNUSED int wf_param_fits(const struct wf_param *p, const cJSON *value, char ret_reason[WF_REASON_BYTES]);
/* The value that a person means by this text, by the parameter's type: a list is JSON. Not yet checked for
 * its bounds. ERR_CHECKED with the reason. *ret is owned. */
WARN_UNUSED int wf_param_read(
	const struct wf_param *p, const char *text, cJSON **ret_value, char ret_reason[WF_REASON_BYTES]);
/* The workflow's defaults overlaid with what was given (object or NULL). ERR_CHECKED with the reason: an
 * unknown name (and the nearest), another type, out of range, one without default that was not given. *ret is
 * owned. */
WARN_UNUSED int wf_params_make(
	const struct workflow *w, const cJSON *given, cJSON **ret_params, char ret_reason[WF_REASON_BYTES]);
/* A copy with everything filled in. ERR_CHECKED with the reason. *ret is owned. */
WARN_UNUSED int wf_fill_json(
	const cJSON *in, const struct wf_scope *scope, cJSON **ret_json, char ret_reason[WF_REASON_BYTES]);
/* A NULL-terminated copy, in one block with its texts: free it with free. NULL in gives NULL. */
WARN_UNUSED int wf_fill_words(const char *const *in, const struct wf_scope *scope, const char ***ret_words,
	char ret_reason[WF_REASON_BYTES]);

#endif
