/* SPDX-License-Identifier: Apache-2.0 */
/* A workflow file, read and checked whole (DESIGN section 5). Names are borrowed from the file's tree. */
#ifndef PIPELINES_WORKFLOW_H
#define PIPELINES_WORKFLOW_H

#include "core/artifact.h"
#include "core/complain.h"
#include "core/yaml.h"
#include "cron.h"
#include "expr.h"
#include "pipelines.h"

#define WF_STAGES_MAX 1024
#define WF_INPUTS_MAX 64
#define WF_OUTPUTS_MAX 16
#define WF_ARGS_MAX 64
#define WF_TRIGGERS_MAX 16
#define WF_PRODUCTS_MAX 64
#define WF_PARAMS_MAX 64
#define WF_ITEMS_MAX 10000 /* elements of a foreach */
#define WF_PARALLEL_MAX 64
#define WF_PARALLEL_DEFAULT 4
#define WF_JSON_BYTES_MAX (1u << 20) /* a JSON output is read by the supervisor: a limit of its own */
#define WF_OUTPUT_BYTES_MAX (UINT64_C(4) << 30)
#define WF_JOINED_JSON_BYTES_MAX                                                                             \
	(UINT64_C(16) << 20) /* of all elements of a foreach: read by the supervisor, too */
#define WF_NONE SIZE_MAX
#define WF_GUEST_BYTES_MIN (UINT64_C(4) << 20)
#define WF_GUEST_OVERHEAD_BYTES                                                                              \
	(UINT64_C(64) << 20) /* of the monitor of a virtual machine, beside the stage's memory */

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
	uint64_t max_bytes; /* of one element, when the stage has a foreach */
	enum wf_type type;
};

/* A typed parameter of the workflow. */
struct wf_param {
	const char *name;
	enum wf_param_type { WF_NUMBER, WF_TEXT, WF_BOOL, WF_LIST } type;
	cJSON *value;     /* owned: the default; NULL: a run must give it */
	double min, max;  /* WF_NUMBER; -INFINITY, INFINITY when there is none */
	cJSON *one_of;    /* owned: array of allowed values; may be NULL */
	const char *help; /* may be NULL */
};

/* The classes of ends, as bits: which are tried again. */
enum wf_end_class {
	WF_END_TEMPORARY = 1 << 0, /* exit 75 */
	WF_END_FAILED = 1 << 1,    /* another exit code, or a signal */
	WF_END_TIMEOUT = 1 << 2,
	WF_END_MEMORY = 1 << 3,
	WF_END_OUTPUT = 1 << 4, /* not what was declared: missing, too large, not JSON */
};

struct wf_retry {
	uint32_t limit; /* further attempts */
	unsigned on;    /* enum wf_end_class */
	int64_t backoff_ns, max_backoff_ns;
	double jitter; /* 0..1: the fraction that may be taken off at random */
};

enum wf_foreach_source {
	WF_NO_FOREACH,
	WF_OVER_OUTPUT, /* of a stage, or a member of it */
	WF_OVER_PARAM,
	WF_OVER_LIST, /* written in the file */
};

struct wf_foreach {
	enum wf_foreach_source source;
	size_t stage, output; /* WF_OVER_OUTPUT */
	const char *members;  /* WF_OVER_OUTPUT: what follows STAGE.OUTPUT: "" or ".tiles[0].parts" */
	size_t param;         /* WF_OVER_PARAM */
	cJSON *list;          /* WF_OVER_LIST: owned; its `$params.x` not yet replaced */
	uint32_t parallel;
};

enum wf_on_failure { WF_FAIL, WF_CONTINUE, WF_CANCEL };

/* When a stage may run. */
enum wf_role { WF_NORMAL, WF_ON_FAILURE, WF_ON_EXIT };

struct wf_stage {
	const char *name;
	struct ynode *node; /* for complaints */
	enum wf_role role;
	const char *image; /* NULL when `uses` is set */
	const char *uses;  /* another workflow's name; NULL when `image` is set */
	struct wf_input *inputs;
	size_t n_inputs;
	struct wf_output *outputs; /* with `uses`: names that others here refer to, max_bytes 0, type WF_JSON
				    * when an expression or a foreach looks into it; checked against the other
				    * workflow by workflow_check_uses */
	size_t n_outputs;
	size_t *needs; /* stages that must be done before: written, and implied by inputs, `when` and
			  `foreach` */
	size_t n_needs;
	struct expr *when; /* NULL: always */
	const char *when_text;
	bool when_item; /* `when` reads item or index: asked for each element */
	struct wf_foreach foreach;
	const char **args, **env; /* NULL-terminated; NULL: the image's own. May hold "$params.x" (env:
				     "NAME=$params.x") */
	cJSON *params; /* owned: an object; its texts "$params.x", "$item…" not yet replaced (see wf_values.h)
			*/
	uint32_t cpus_milli, pids;
	uint64_t memory_bytes;
	uint64_t guest_bytes; /* runtime: unikernel: what the machine has of memory_bytes; 0: a container */
	int64_t time_ns;      /* of one attempt */
	int64_t timeout_ns;   /* of the stage; 0: none */
	uint64_t energy_mj;   /* millijoules of one attempt; 0: not said */
	struct wf_retry retry;
	bool cache;
	bool approve;
	const char *approve_text; /* "" when there is none */
	enum wf_on_failure on_failure;
};

enum wf_trigger_kind {
	WF_TRIGGER_FRAME, /* event: image.acquired */
	WF_TRIGGER_EVERY,
	WF_TRIGGER_CRON,
	WF_TRIGGER_ORBIT,
	WF_TRIGGER_COMPLETED,
};

enum wf_completed_on { WF_ON_DONE = 1, WF_ON_FAILED = 2, WF_ON_ANY = 3 };

struct wf_trigger {
	enum wf_trigger_kind kind;
	const char *event;  /* FRAME, ORBIT */
	const char *device; /* FRAME */
	const char *place;  /* ORBIT; NULL: any */
	int64_t every_ns;   /* EVERY */
	struct cron cron;   /* CRON */
	const char *cron_text;
	const char *workflow; /* COMPLETED */
	enum wf_completed_on on;
};

struct wf_product {
	size_t stage, output;
	uint8_t priority;
	int64_t keep_ns; /* 0: not said */
};

/* What others can read of a run of this workflow. */
struct wf_result {
	const char *name;
	size_t stage, output;
};

enum wf_when_full { WF_QUEUE, WF_LATEST, WF_SKIP };

struct workflow {
	struct digest digest; /* of the text */
	char *text;           /* owned: a run continues with the text that it began with */
	size_t text_len;
	int64_t refused;    /* in a mission: the run on record for the events since the last run that were not
			       taken; 0: none */
	struct ynode *root; /* owned */
	const char *name, *payload;
	uint8_t priority;
	int64_t deadline_ns; /* after the event; 0: none */
	int64_t timeout_ns;  /* of a run; 0: none */
	uint32_t max_runs;   /* open at once; 0: no limit */
	enum wf_when_full when_full;
	struct wf_param *params;
	size_t n_params;
	struct wf_trigger triggers[WF_TRIGGERS_MAX];
	size_t n_triggers;
	struct wf_stage *stages;
	size_t n_stages;
	size_t *by_name; /* the stages' numbers, sorted by name: a thousand stages refer to each other often
			  */
	struct wf_product products[WF_PRODUCTS_MAX];
	size_t n_products;
	struct wf_result results[WF_OUTPUTS_MAX];
	size_t n_results;
};

/* ERR_CHECKED with the complaints made. */
WARN_UNUSED int workflow_parse(const char *text, size_t len, const struct workflow_limits *limits,
	struct complaints *c, struct workflow **ret_workflow);
bool workflow_find_stage(const struct workflow *w, const char *name, size_t *ret_stage);

/* Whether a trigger can wait for it as an orbit event; if not, the known one that was meant, or NULL. */
bool workflow_is_orbit_event(const char *name, const char **ret_near);

#endif
