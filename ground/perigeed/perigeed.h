/* SPDX-License-Identifier: Apache-2.0 */
/*
 * perigeed, inside: the wiring between the faces of the folders. These files belong to the executable and to
 * nothing else; only they may see every face.
 */
#ifndef PERIGEED_H
#define PERIGEED_H

#include <limits.h>
#include <uv.h>

#include "broker.h"
#include "control.h"
#include "core/mission.h"
#include "ground.h"
#include "pipelines.h"
#include "sandbox.h"
#include "scheduler.h"

#define IMAGES_MAX 64
#define CAMERAS_MAX 32
#define SUBSCRIPTIONS_MAX 64
#define INPUTS_MAX 16

struct options {
	const char *mission, *state, *run, *params;
	const char *input_names[INPUTS_MAX];
	int input_fds[INPUTS_MAX];
	size_t n_inputs;
	bool events, keeper;
	pid_t keeper_pid; /* of the process that main began in */
};

struct image {
	char name[64];
	struct sandbox_image image;
	int vm_root_fd; /* -1: not needed so far */
};

struct subscription {
	uint32_t sub;
	const char *payload; /* borrowed from its workflow */
	struct camera *camera;
};

/* One lent file, then the frame in it on its way into the store. */
struct buffer {
	struct perigeed *d;
	struct camera *camera;
	struct buffer *next;
	uint64_t number;
	char tmp_name[ARTIFACT_NAME_BYTES];
	struct broker_frame frame;
	uv_work_t work;
	int kept; /* of artifact_keep */
};

struct camera {
	const char *device; /* borrowed from a workflow */
	bool lending;
	size_t short_of; /* files that could not be lent: the disk was full */
	struct buffer *waiting; /* frames that the disk had no room for */
	struct buffer *lent;
};

/* How long the loop was busy between two waits. In nanoseconds. */
struct busy {
	uint64_t turns;
	uint64_t ended_ns,
		idle_ns; /* when the last turn ended, and how long the loop had waited until then */
	uint64_t max_ns, asked_max_ns; /* since the start, and since somebody asked */
	uint64_t commit_max_ns;        /* the part of it that dispatch, commit and effects took */
};

/* The disk, and the second copy of the database. */
/* The power monitor's readings. */
struct power {
	uv_timer_t timer;
	uint32_t battery_req, sunlight_req;
	bool battery_asked, sunlight_asked;
	bool was_read, troubled;
	struct mono_time read_at;
	bool sun_known, in_sunlight;
};

struct storage {
	uv_timer_t timer;
	uint64_t left_bytes;
	bool full; /* less is left than the reserve, or a commit waits for room */
	struct utc_time since;
	char why[128];

	uv_work_t work;
	bool copying;
	atomic_bool stop;
	int result; /* of the worker; as the next two */
	struct store_copy made;
	char reason[256];
	struct mono_time next_copy;
	bool has_copy; /* made since the start */
	struct store_copy copy;
	char copy_failed[256]; /* "": it did not */
};

/* What is kept of the past. */
struct retention {
	uv_timer_t timer;
	bool rows_due;         /* a pass over the rows is going on */
	uint64_t pass_removed; /* in it */
	struct mono_time next_rows; /* when there are more than the mission allows */
	uint64_t excess;       /* bytes of artifacts that are to be given up */

	uv_work_t work;
	bool working;
	atomic_bool stop;
	int result; /* of the worker; as the next two */
	struct artifact_swept swept;
	struct logs_kept logs;
	struct mono_time next;

	bool known; /* the next two are */
	struct artifact_swept artifacts;
	uint64_t logs_bytes;
	struct {
		uint64_t runs, frames, cached, artifacts, artifact_bytes, log_bytes;
	} removed; /* since the start */

	bool apart_known;
	int64_t apart_ns; /* of UTC from the monotonic clock */
	struct mono_time steady_from;
};

struct perigeed {
	const struct options *o;
	struct mission *mission;
	char state[PATH_MAX];
	int status; /* of the process, when the loop ends */
	uv_loop_t loop;
	uv_prepare_t turn;
	uv_timer_t wake;
	uv_signal_t on_term, on_int;
	struct mono_time started;
	struct busy busy;
	struct storage storage;
	struct retention retention;
	uv_work_t log_work;
	bool moving_log;
	struct power power;

	struct store *store;
	struct scheduler *scheduler;
	struct artifacts *artifacts;
	struct pipelines *pipelines;
	struct launcher *launcher;
	struct broker_client *broker;
	bool policy_taken; /* the broker has said so. Before, no task is started. */
	struct downlink *downlink;
	struct ground_key *key;
	struct control *control;

	struct image images[IMAGES_MAX];
	size_t n_images;
	struct camera cameras[CAMERAS_MAX];
	size_t n_cameras;
	struct subscription subs[SUBSCRIPTIONS_MAX];
	size_t n_subs;
	uint64_t buffer_number;
	struct broker_device devices[CAMERAS_MAX];
	size_t n_devices;
	int64_t run; /* of --run */
};

/* turn.c: the end of each loop turn: dispatch, commit, act. */
WARN_UNUSED int turn_start(struct perigeed *d);
/* Ends the loop; the first status that is not 0 is the process's. From then on nothing is committed. */
void stop(struct perigeed *d, int status);

/* events.c: what happens, for whoever started us with --events, and for the log. */
void on_stage(void *user, int64_t run, const char *stage, const char *state, const char *reason);
void on_run_ended(void *user, int64_t run);
void on_storage(struct perigeed *d, const char *state, const char *reason);

/* stages.c: the launcher and the images, as pipelines sees them. */
extern const struct launcher_callbacks launcher_callbacks;
int resolve_image(void *user, const char *name, struct stage_image *ret_image, char *ret_reason, size_t cap);
int start_stage(void *user, const struct stage_launch *l);
int stop_stage(void *user, int64_t task);
int freeze_stage(void *user, int64_t task, bool frozen);
bool can_freeze_stages(void *user);
/* unikernels.c: what virtual machines need; privileged, before the confinement. */
WARN_UNUSED int prepare_unikernels(struct perigeed *d);
int check_unikernel(void *user, const char *image, char *ret_reason, size_t cap);
/* A request for a container becomes one for a virtual machine. */
WARN_UNUSED int as_unikernel(
	struct perigeed *d, const struct stage_launch *l, struct vm_command *command, struct launch_request *request);

/* cameras.c: frames from the broker into the store, then into runs. */
extern const struct broker_callbacks broker_callbacks;
WARN_UNUSED int subscribe(struct perigeed *d, const struct workflow *w);
/* There is space on the disk again: files that could not be lent are. */
void cameras_resume(struct perigeed *d);
void cameras_finish(struct perigeed *d);

/* power.c: the battery and the sun. */
WARN_UNUSED int power_start(struct perigeed *d);
/* The broker has its policy. */
void power_ready(struct perigeed *d);
/* A value was read, or could not be, whoever asked. */
void power_value(struct perigeed *d, uint32_t req, int status, const char *text);

/* storage.c: space on the disk, the copy of the database. */
WARN_UNUSED int storage_start(struct perigeed *d);
/* A commit was held back. */
void storage_held(struct perigeed *d);
/* After each turn: has a worker move the WAL into the database when it has grown. */
void storage_move_log(struct perigeed *d);
/* Its worker ends soon. */
void storage_stop(struct perigeed *d);
cJSON *storage_status(struct perigeed *d);

/* retention.c: old runs, logs and artifacts are cleared away. */
WARN_UNUSED int retention_prepare(struct perigeed *d);
WARN_UNUSED int retention_start(struct perigeed *d);
/* Its worker ends soon. */
void retention_stop(struct perigeed *d);
cJSON *retention_status(struct perigeed *d);

/* workflows.c: what the mission file names, as far as it is good. */
WARN_UNUSED int load_workflows(struct perigeed *d);

/* asks.c: answers on the control socket. */
void answer(void *user, struct control_call *call, const char *ask, const cJSON *request);

/* privileges.c: what needs them, giving them up, and the confinement that stays. */
WARN_UNUSED int start_privileged(struct perigeed *d);
WARN_UNUSED int confine(struct perigeed *d);

/* once.c: the run of --run. */
WARN_UNUSED int start_run(struct perigeed *d);

/* supervise.c: starts the parts, runs the loop, ends the parts. An exit status. */
int supervise(void *options);

#endif
