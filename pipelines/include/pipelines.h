/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Workflows and their runs: the face of the folder.
 *
 *   event -> trigger -> run -> tasks (in the scheduler's queue) -> stage in a sandbox -> artifacts -> next
 * tasks
 *                                                                                    \-> products (downlink)
 *
 * A run, its stages and which artifact came from what are rows of the supervisor's database. What executes a
 * stage and what takes products are small interfaces, plugged in by perigeed.
 */
#ifndef PIPELINES_H
#define PIPELINES_H

#include <cjson/cJSON.h>
#include <stdio.h>
#include <uv.h>

#include "core/artifact.h"
#include "core/clock.h"
#include "core/complain.h"
#include "core/store.h"
#include "scheduler.h"

/* ---- workflow files ---- */

struct workflow;

/* What the mission owns: a stage that asks for more is refused. 0: not known. */
struct workflow_limits {
	uint32_t cpus_milli;
	uint64_t memory_bytes;
	uint64_t energy_mj; /* in an orbit, for workflows whose priority is below `critical`; 0: no limit */
	uint16_t critical;
	const char *images; /* the folder of the images: one that is not there is worth a warning; NULL: not
			       looked at */
};

struct mission;
/* As the mission file says; its images are not looked at. */
struct workflow_limits workflow_limits_of(const struct mission *m);
/* Reads and checks a file. ERR_CHECKED with the complaints made. */
WARN_UNUSED int workflow_load(const char *path, const struct workflow_limits *limits, struct complaints *c,
	struct workflow **ret_workflow);
void workflow_destroy(struct workflow *w);
/* Checks how the workflows of a mission refer to each other (`uses`, `completed`); complaints about list[i]
 * go to c[i]. whole_mission: these are all, so that one that is not there is a mistake. ERR_CHECKED, -ENOMEM.
 */
WARN_UNUSED int workflow_check_uses(
	struct workflow *const *list, size_t n, bool whole_mission, struct complaints *const *c);
const char *workflow_name(const struct workflow *w);
const char *workflow_payload(const struct workflow *w);
size_t workflow_stage_count(const struct workflow *w);
/* Whether a stage of it is a unikernel. */
bool workflow_has_unikernel(const struct workflow *w);
/* Stage i in the file's order. */
const char *workflow_stage_name(const struct workflow *w, size_t i);
/* The number of the k-th stage that it needs, smaller than workflow_stage_count; SIZE_MAX past the last. */
size_t workflow_stage_need(const struct workflow *w, size_t i, size_t k);
/* The device that trigger i waits for, or NULL past the last. */
const char *workflow_trigger_device(const struct workflow *w, size_t i);
/* The trigger input that a person means by `name`: itself, or the stage input that is fed from it. NULL if
 * none. */
const char *workflow_input_name(const struct workflow *w, const char *name);
/* The i-th different trigger input that the stages read ("frame"), or NULL past the last. */
const char *workflow_trigger_input(const struct workflow *w, size_t i);

/* A picture of the stages and what they need: SVG that needs nothing beside itself, or Graphviz's language;
 * or what it would show, for scripts. */
enum graph_form { GRAPH_SVG, GRAPH_DOT, GRAPH_JSON };
/* states by stage (names as `perigee show` has them), coloured; NULL: of no run. -ENOMEM, -EIO. */
WARN_UNUSED int workflow_draw(
	const struct workflow *w, enum graph_form form, const char *const *states, FILE *to);
/* A run, as it is. Also ERR_UNKNOWN (no such run), ERR_CHECKED (its workflow is not understood any more),
 * ERR_STORE. */
WARN_UNUSED int run_draw(struct store *store, int64_t run, enum graph_form form, FILE *to);

/* What would run, in which order, needing what, and when it ends at the latest: as if it were alone on the
 * machine, with every attempt using its whole time limit, and all the retries. Nothing is run. */
struct plan_request {
	const struct workflow *workflow; /* all borrowed */
	struct workflow *const *others;  /* of the mission, for `uses`; may hold the same one */
	size_t n_others;
	const cJSON *params;   /* object of what differs from the defaults; may be NULL */
	const cJSON *elements; /* {"STAGE": N}: how many a foreach over an output will find (else 10,000); may
				  be NULL */
	uint32_t cpus_milli, tasks; /* what the mission has; 0: not known, then there is room for all */
	uint64_t memory_bytes;
	struct utc_time now; /* for schedules */
};
/* *ret_plan is owned: an object with workflow, payload, priority, triggers, inputs, params, stages in the
 * order in which they start (starts_s and ends_s after the event), critical_path, needs_at_once, stages_end_s
 * (limits of the stages alone), ends_s (with timeouts and deadlines), ends_at_the_latest_s (also when
 * approvals come late; null: no end is known), sums and downlink. ERR_CHECKED: a parameter or a count of
 * elements does not fit; ERR_LIMIT: too large; -ENOMEM; the reason in ret_reason. */
WARN_UNUSED int workflow_plan(
	const struct plan_request *request, cJSON **ret_plan, char *ret_reason, size_t cap);

/* ---- what pipelines needs from outside ---- */

struct stage_image {
	char digest[80];                      /* "sha256:…" of the image's manifest */
	int rootfs_fd;                        /* borrowed until the next resolve */
	const char *const *argv, *const *env; /* borrowed likewise; NULL-terminated */
};

struct stage_output {
	const char *name;
	uint64_t max_bytes;
};

struct stage_launch {
	int64_t task;
	const char *label; /* "run-7.cloud" */
	const struct stage_image *image;
	const char *const *argv, *const *env; /* NULL-terminated */
	int in_fd, out_fd;                    /* borrowed during the call */
	int log_fd; /* borrowed until the stage has exited; gets at most log_bytes_max */
	uint64_t log_bytes_max;
	uint32_t cpus_milli, pids;
	uint64_t memory_bytes, output_bytes_max;
	uint64_t guest_bytes; /* of memory_bytes, what a virtual machine is to have; 0: a container */
	const struct stage_output *outputs;
	size_t n_outputs;
	int64_t time_ns;
};

struct stage_exit {
	int64_t task;
	bool exited; /* by itself, with this code */
	int code;
	bool broke;                            /* its sandbox ended under it, after it had begun */
	enum task_class class;                 /* when it did not exit by itself */
	char reason[TASK_REASON_BYTES];        /* when it did not exit by itself: which limit, which signal */
	char last_line[TASK_REASON_BYTES / 2]; /* of its log, printable */
	int64_t wall_ns, cpu_ns;
	uint64_t memory_peak_bytes;
};

struct stage_launcher {
	/* ERR_IMAGE or other with the reason. */
	int (*resolve)(
		void *user, const char *image, struct stage_image *ret_image, char *ret_reason, size_t cap);
	/* Whether this image can run as a unikernel here: ERR_IMAGE or other with the reason. NULL: none can.
	 */
	int (*check_unikernel)(void *user, const char *image, char *ret_reason, size_t cap);
	/* 0: pipelines_stage_exited follows, once, from a later callback. */
	int (*start)(void *user, const struct stage_launch *launch);
	/* Ends a stage early; pipelines_stage_exited follows as ever. NULL: it ends by itself. */
	int (*stop)(void *user, int64_t task);
	/* Its clock stands still with it. NULL: cannot be done. */
	int (*freeze)(void *user, int64_t task, bool frozen);
	/* Whether this machine can; NULL: if there is `freeze`. */
	bool (*can_freeze)(void *user);
	void *user;
};

struct run_product {
	int64_t run;
	const char *workflow, *stage, *name; /* name of the output */
	const char *type;                    /* "json" or "file" */
	struct digest digest;
	uint64_t bytes;
	uint8_t priority;
	int64_t keep_ns; /* as the workflow says; 0: not said */
};

/* Takes what goes to the ground, within the turn. */
struct product_sink {
	int (*put)(void *user, const struct run_product *p);
	void *user;
};

/* ---- runs ---- */

struct pipelines;

struct pipelines_options {
	struct store *store;         /* all borrowed, they outlive it */
	struct scheduler *scheduler; /* pipelines plugs itself in as runner and owner */
	struct artifacts *artifacts;
	uv_loop_t *loop;
	const char *state_dir; /* work/ and logs/ are made in it; work/ is emptied: what it holds died with
				  its run */
	uint64_t log_bytes_max;
	uint64_t reserve_bytes; /* a stage that fails while less is left on the disk is tried again */
	struct stage_launcher launcher;
	struct product_sink sink;
	/* Heard of, within the turn, when a run has ended. May be NULL. */
	void (*on_run_ended)(void *user, int64_t run);
	/* Heard of when a stage changes; for progress. May be NULL. */
	void (*on_stage)(void *user, int64_t run, const char *stage, const char *state, const char *reason);
	void *user;
};

/* Makes the tables. */
WARN_UNUSED int pipelines_create(const struct pipelines_options *o, struct pipelines **ret_pipelines);
/* Only when no work is in the loop's threads. A stage that was running is interrupted, as far as the database
 * knows. */
void pipelines_destroy(struct pipelines *p);
/* Takes the workflow over. From now on its triggers make runs. Checks that its images can be resolved. */
WARN_UNUSED int pipelines_add(struct pipelines *p, struct workflow *w, struct complaints *c);
/* Takes up the runs that were going on. Once, when all workflows are added: what becomes ready may use them.
 */
WARN_UNUSED int pipelines_resume(struct pipelines *p);
/* One that was taken over, by its name; NULL. Borrowed. */
const struct workflow *pipelines_workflow(struct pipelines *p, const char *name);
void pipelines_stage_exited(struct pipelines *p, const struct stage_exit *e);

struct frame_event {
	const char *device, *frame_id;
	struct digest digest;
	uint64_t bytes;
	struct utc_time time;
	const cJSON *attrs;          /* object of texts; borrowed */
	const char *const *payloads; /* NULL-terminated: those that the broker grants this device's frames */
};

/* image.acquired. Makes a run for each workflow that waits for it. 0 new, 1 seen before (then nothing is
 * done): a camera delivers a frame again until it heard that it was kept. */
WARN_UNUSED int pipelines_frame(struct pipelines *p, const struct frame_event *e);

struct orbit_event {
	const char *event; /* "pass.begin", …: LANGUAGE.md */
	const char *place; /* NULL: none */
	struct utc_time time;
	const cJSON *attrs; /* object of texts; borrowed; may be NULL */
};

/* Makes a run for each workflow that waits for it: how many. One that was told before (the same event, place
 * and time) makes none. ERR_UNKNOWN: no such event; the reason in ret_reason (cap bytes). */
WARN_UNUSED int pipelines_event(
	struct pipelines *p, const struct orbit_event *e, char *ret_reason, size_t cap);

struct run_input {
	const char *name; /* as workflow_trigger_input says */
	struct digest digest;
	uint64_t bytes;
};

struct run_request {
	const char *workflow;
	const struct run_input *inputs;
	size_t n_inputs;
	const cJSON *params; /* object of what differs from the defaults; borrowed; may be NULL */
	const char *who;     /* for the record; may be NULL */
};

/* All that follow: durable within the turn. On failure the reason is in words in ret_reason (cap bytes).
 * ERR_UNKNOWN: there is no such thing. ERR_STATE: it is over already, or not in that state. */

/* One run by hand. ERR_CHECKED: a parameter does not fit. -EINVAL: an input is missing. ERR_LIMIT: as many
 * runs or tasks as are allowed. */
WARN_UNUSED int pipelines_run(struct pipelines *p, const struct run_request *request, int64_t *ret_run,
	char *ret_reason, size_t cap);
/* What waits is cancelled, what runs is stopped, `on_exit` stages still run. QUEUE_TASK: that stage (or
 * element) alone. Other scopes: the runs that are open or pending; many of them are worked off in slices. How
 * many. */
WARN_UNUSED int pipelines_cancel(struct pipelines *p, const struct queue_target *target, const char *why,
	char *ret_reason, size_t cap);
/* Of a stage that asks. */
WARN_UNUSED int pipelines_approve(struct pipelines *p, int64_t run, const char *stage, bool yes,
	const char *who, char *ret_reason, size_t cap);
/* A new run with the workflow, inputs and parameters of one that is over, which takes over the stages that
 * were done and do not come after stage `from` (NULL: all that were done). */
WARN_UNUSED int pipelines_rerun(struct pipelines *p, int64_t run, const char *from, const char *who,
	int64_t *ret_run, char *ret_reason, size_t cap);
size_t pipelines_open_runs(struct pipelines *p);

/* When time alone has something to do here (timeouts, schedules, work that is done in slices): call
 * pipelines_poke then. .ns 0: never. To be asked at the end of each turn. */
struct utc_time pipelines_wake_at(const struct pipelines *p);
void pipelines_poke(struct pipelines *p);

/* ---- retention ---- */

struct pipelines_trim {
	struct utc_time ended_before; /* runs that ended before are removed; */
	int64_t runs;                 /* while there are more than these, others too, the oldest first; */
	uint64_t bytes; /* and until so much has been given up; then what `cache: true` remembers */
	/* Whether a run must stay for a reason outside: 1, 0, negative. May be NULL. */
	int (*needed)(void *user, int64_t run);
	/* Within the turn: what others know of it goes, too. May be NULL. */
	int (*forget)(void *user, int64_t run);
	void *user;
};

struct pipelines_trimmed {
	uint64_t runs, frames, cached;
	uint64_t bytes; /* of the artifacts that rows referred to: others may do so still */
};

/* One slice of some milliseconds: 1 when there is more to do, 0 at the end. What is removed is removed whole:
 * a run with the runs inside it, their tasks and their frames; the newest run stays. Logs and artifacts
 * follow by runs_trim_logs and runs_want. */
WARN_UNUSED int pipelines_trim(
	struct pipelines *p, const struct pipelines_trim *t, struct pipelines_trimmed *ret_done);
/* How many runs are kept. */
int64_t pipelines_runs(const struct pipelines *p);

/* For a worker, with a store of its own (store_open_readonly). */

/* Whether a run, a frame or the cache refers to an artifact: 1, 0, ERR_STORE. */
WARN_UNUSED int runs_want(struct store *store, const struct digest *digest);

struct logs_kept {
	uint64_t bytes, removed_bytes; /* as they are on the disk */
};
/* Removes the logs of runs that are gone, and while all together are more than max_bytes the oldest. Blocks.
 */
WARN_UNUSED int runs_trim_logs(struct store *store, const char *state_dir, uint64_t max_bytes,
	const atomic_bool *stop, struct logs_kept *ret_kept);

/* ---- what is known of runs: JSON, from the database alone; NULL: out of memory or no such run ---- */

cJSON *runs_list(struct store *store, size_t limit);
cJSON *run_provenance(struct store *store, int64_t run);
/* Which inputs, images and parameters made the artifact with this digest (64 hexadecimal digits): {digest,
 * made_by:
 * [{run, stage, output, element, workflow, workflow_digest, event, inputs, params, steps: [{stage, image,
 * image_digest, params, args, env, inputs, from, foreach, …}]}]}, the newest run first; steps are the stages
 * whose outputs went into it, `from` says of each input which: "trigger.frame", "cloud.mask". NULL when no
 * run made it. */
cJSON *product_lineage(struct store *store, const char *digest);
/* The digest of the product that a person means: RUN.STAGE.OUTPUT, RUN.STAGE[ELEMENT].OUTPUT, or a digest or
 * at least its first 8 digits. ERR_FORMAT: none of these; ERR_UNKNOWN; ERR_LIMIT: more than one begins so;
 * ERR_STORE. */
WARN_UNUSED int product_find(struct store *store, const char *text, char ret_digest[DIGEST_TEXT_BYTES]);
/* The newest task of a stage, or of element `item` of a foreach (-1: none). ERR_UNKNOWN. */
WARN_UNUSED int run_stage_task(
	struct store *store, int64_t run, const char *stage, int64_t item, int64_t *ret_task);
/* Path of the newest log of a stage, or of element `item` of a foreach (-1: none). ERR_UNKNOWN. An element
 * that wrote nothing has none. */
WARN_UNUSED int run_log_path(struct store *store, const char *state_dir, int64_t run, const char *stage,
	int64_t item, char *ret_path, size_t cap);

#endif
