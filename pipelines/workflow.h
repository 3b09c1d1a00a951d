/* SPDX-License-Identifier: Apache-2.0 */
/* A workflow file, read and checked whole (DESIGN section 5). Names are borrowed from the file's tree. */
#ifndef PIPELINES_WORKFLOW_H
#define PIPELINES_WORKFLOW_H

#include "core/artifact.h"
#include "core/complain.h"
#include "core/yaml.h"
#include "expr.h"
#include "pipelines.h"

#define WF_STAGES_MAX 1024
#define WF_INPUTS_MAX 64
#define WF_OUTPUTS_MAX 16
#define WF_ARGS_MAX 64
#define WF_TRIGGERS_MAX 16
#define WF_PRODUCTS_MAX 64
#define WF_JSON_BYTES_MAX (1u << 20) /* a JSON output is read by the supervisor: a limit of its own */

enum wf_source { WF_FROM_TRIGGER, WF_FROM_STAGE };

struct wf_input {
	const char *name;
	enum wf_source from;
	const char *trigger_name; /* WF_FROM_TRIGGER */
	size_t stage, output;     /* WF_FROM_STAGE */
};

enum wf_type { WF_FILE, WF_JSON };

struct wf_output {
	const char *name;
	uint64_t max_bytes;
	enum wf_type type;
};

struct wf_stage {
	const char *name;
	struct ynode *node; /* for complaints */
	const char *image;
	struct wf_input *inputs;
	size_t n_inputs;
	struct wf_output *outputs;
	size_t n_outputs;
	size_t *needs; /* stages that must be done before: written, and implied by inputs and `when` */
	size_t n_needs;
	struct expr *when; /* NULL: always */
	const char *when_text;
	const char **args, **env; /* NULL-terminated; NULL: the image's own */
	char *params_json;        /* owned: the text of /in/params.json */
	uint32_t cpus_milli, pids;
	uint64_t memory_bytes;
	int64_t time_ns;
	uint32_t retry_limit;
	int64_t backoff_ns;
};

struct wf_trigger {
	const char *event, *device;
};

struct wf_product {
	size_t stage, output;
	uint8_t priority;
};

struct workflow {
	struct digest digest; /* of the text */
	char *text;           /* owned: a run continues with the text that it began with */
	size_t text_len;
	struct ynode *root; /* owned */
	const char *name, *payload;
	uint8_t priority;
	int64_t deadline_ns; /* after the event; 0: none */
	struct wf_trigger triggers[WF_TRIGGERS_MAX];
	size_t n_triggers;
	struct wf_stage *stages;
	size_t n_stages;
	size_t *by_name; /* the stages' numbers, sorted by name: a thousand stages refer to each other often
			  */
	struct wf_product products[WF_PRODUCTS_MAX];
	size_t n_products;
};

/* ERR_CHECKED with the complaints made. */
WARN_UNUSED int workflow_parse(const char *text, size_t len, const struct workflow_limits *limits,
	struct complaints *c, struct workflow **ret_workflow);
bool workflow_find_stage(const struct workflow *w, const char *name, size_t *ret_stage);

#endif
