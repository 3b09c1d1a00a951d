/* SPDX-License-Identifier: Apache-2.0 */
/*
 * perigeed: the supervisor. Composes the queue, the workflows, the launcher, the broker and the ground link
 * on one loop, and holds nothing of its own but the wiring.
 *
 * Crash-only: whatever cannot go on (a helper died, a commit failed) ends the process, and the keeper, a
 * small parent that still has the privileges, starts it again. Start-up is the one path of recovery.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <pwd.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <uv.h>

#include "broker.h"
#include "control.h"
#include "core/confine.h"
#include "core/file.h"
#include "core/json.h"
#include "core/log.h"
#include "core/mission.h"
#include "ground.h"
#include "pipelines.h"
#include "sandbox.h"
#include "scheduler.h"

#define IMAGES_MAX 64
#define CAMERAS_MAX 32
#define SUBSCRIPTIONS_MAX 64
#define BUFFERS_PER_CAMERA 2
#define INPUTS_MAX 16
#define RESPAWN_MIN_MS 100
#define RESPAWN_MAX_MS 5000

struct options {
	const char *mission, *state, *run;
	const char *input_names[INPUTS_MAX];
	const char *input_paths[INPUTS_MAX];
	int input_fds[INPUTS_MAX];
	size_t n_inputs;
	bool events, keeper;
};

struct image {
	char name[64];
	struct sandbox_image image;
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
	struct buffer *lent;
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

	struct store *store;
	struct scheduler *scheduler;
	struct artifacts *artifacts;
	struct pipelines *pipelines;
	struct launcher *launcher;
	struct broker_client *broker;
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

static void stop(struct perigeed *d, int status)
{
	if (d->status == 0)
		d->status = status;
	uv_stop(&d->loop);
}

/* ---- the turn: dispatch, commit, act ---- */

static void on_wake(uv_timer_t *t)
{
	struct perigeed *d = t->data;

	scheduler_poke(d->scheduler);
}

static void set_wake(struct perigeed *d)
{
	struct utc_time at = scheduler_wake_at(d->scheduler);

	if (at.ns == 0) {
		uv_timer_stop(&d->wake);
		return;
	}
	int64_t left_ms = (at.ns - clock_utc().ns) / NS_PER_MS + 1;
	uv_timer_start(&d->wake, on_wake, left_ms > 0 ? (uint64_t)left_ms : 0, 0);
}

static void end_turn(struct perigeed *d)
{
	bool looked = false;

	/* What goes wrong because something is gone is not an end of a task: it stays as the last commit has
	 * it. */
	if (d->status != 0)
		return;
	do {
		looked |= scheduler_dirty(d->scheduler);
		int r = scheduler_dispatch(d->scheduler);
		if (r == 0)
			r = store_turn_end(d->store);
		if (r < 0) {
			log_error("the database cannot be written; starting again from what it holds");
			stop(d, EX_SOFTWARE);
			return;
		}
	} while (scheduler_dirty(d->scheduler));
	if (looked)
		set_wake(d);
}

static void on_turn(uv_prepare_t *h)
{
	end_turn(h->data);
}

/* ---- events for whoever started us with --events ---- */

static void print_line(void *arg)
{
	puts(arg);
	fflush(stdout);
	free(arg);
}

static void emit(struct perigeed *d, cJSON *event)
{
	char *line = event ? cJSON_PrintUnformatted(event) : NULL;

	cJSON_Delete(event);
	if (line && store_effect(d->store, print_line, line, free) < 0)
		free(line);
}

static void on_stage(void *user, int64_t run, const char *stage, const char *state, const char *reason)
{
	struct perigeed *d = user;
	cJSON *j;

	if (!strcmp(state, "failed"))
		log_warning("run %lld: stage %s failed: %s", (long long)run, stage, reason ? reason : "");
	else
		log_debug("run %lld: stage %s: %s %s", (long long)run, stage, state, reason ? reason : "");
	if (!d->o->events || !(j = cJSON_CreateObject()))
		return;
	cJSON_AddStringToObject(j, "event", "stage");
	cJSON_AddNumberToObject(j, "run", (double)run);
	cJSON_AddStringToObject(j, "stage", stage);
	cJSON_AddStringToObject(j, "state", state);
	if (reason)
		cJSON_AddStringToObject(j, "reason", reason);
	emit(d, j);
}

static void stop_after_run(void *arg)
{
	stop(arg, 0);
}

static void on_run_ended(void *user, int64_t run)
{
	struct perigeed *d = user;

	if (d->o->events) {
		cJSON *j = cJSON_CreateObject();
		cJSON_AddStringToObject(j, "event", "run");
		cJSON_AddItemToObject(j, "run", run_provenance(d->store, run));
		emit(d, j);
	}
	if (d->o->run && run == d->run && store_effect(d->store, stop_after_run, d, NULL) < 0)
		stop(d, EX_SOFTWARE);
}

/* ---- the launcher, as pipelines sees it ---- */

static int find_image(
	struct perigeed *d, const char *name, struct image **ret_image, char *ret_reason, size_t cap)
{
	char layout[PATH_MAX], store[PATH_MAX];

	for (size_t i = 0; i < d->n_images; i++) {
		if (strcmp(d->images[i].name, name))
			continue;
		*ret_image = &d->images[i];
		return 0;
	}
	if (d->n_images == IMAGES_MAX) {
		snprintf(ret_reason, cap, "more than %d images", IMAGES_MAX);
		return ERR_LIMIT;
	}
	struct image *im = &d->images[d->n_images];
	int r = path_format(layout, sizeof(layout), "%s/%s", d->mission->images, name);
	if (r == 0)
		r = path_format(store, sizeof(store), "%s/images", d->state);
	if (r == 0)
		r = image_import(layout, store, &im->image, ret_reason, cap);
	if (r < 0)
		return r;
	snprintf(im->name, sizeof(im->name), "%s", name);
	d->n_images++;
	*ret_image = im;
	return 0;
}

static int resolve_image(
	void *user, const char *name, struct stage_image *ret_image, char *ret_reason, size_t cap)
{
	struct image *im;
	int r = find_image(user, name, &im, ret_reason, cap);

	if (r < 0)
		return r;
	snprintf(ret_image->digest, sizeof(ret_image->digest), "%s", im->image.digest);
	ret_image->rootfs_fd = im->image.rootfs_fd;
	ret_image->argv = (const char *const *)im->image.argv;
	ret_image->env = (const char *const *)im->image.env;
	return 0;
}

/* The image's own words, then the workflow's. */
static int join(const char *const *first, const char *const *second, const char **ret_list, size_t cap)
{
	size_t n = 0;

	for (; first && *first && n < cap; first++)
		ret_list[n++] = *first;
	for (; second && *second && n < cap; second++)
		ret_list[n++] = *second;
	if (n == cap)
		return ERR_LIMIT;
	ret_list[n] = NULL;
	return 0;
}

static int start_stage(void *user, const struct stage_launch *l)
{
	struct perigeed *d = user;
	const char *argv[LAUNCH_WORDS_MAX], *env[LAUNCH_WORDS_MAX];
	int r = join(l->image->argv, l->argv, argv, ARRAY_LEN(argv));

	if (r == 0)
		r = join(l->image->env, l->env, env, ARRAY_LEN(env));
	if (r < 0)
		return r;
	struct launch_request request = {
		.task = (uint64_t)l->task,
		.rootfs_fd = l->image->rootfs_fd,
		.in_fd = l->in_fd,
		.out_fd = l->out_fd,
		.log_fd = l->log_fd,
		.log_bytes_max = l->log_bytes_max,
		.argv = argv,
		.env = env,
		.limits = {.memory_bytes = l->memory_bytes,
			.file_bytes = l->output_bytes_max,
			.wall_ns = l->time_ns,
			.cpus_milli = l->cpus_milli,
			.pids = l->pids},
	};
	r = launcher_start(d->launcher, &request);
	if (r != ERR_PEER)
		return r;
	/* The launcher died: so do we, and the task is interrupted, not failed. */
	stop(d, EX_SOFTWARE);
	return 0;
}

static void on_stage_end(struct launcher *l, const struct launch_result *res, void *user)
{
	struct perigeed *d = user;
	struct stage_exit e = {
		.task = (int64_t)res->task,
		.exited = res->how == LAUNCH_EXITED,
		.code = res->code,
		.wall_ns = (int64_t)res->wall_ns,
		.cpu_ns = (int64_t)res->cpu_ns,
		.memory_peak_bytes = res->peak_memory_bytes,
	};

	snprintf(e.reason, sizeof(e.reason), "%s", res->reason);
	snprintf(e.last_line, sizeof(e.last_line), "%.*s", (int)sizeof(e.last_line) - 1, res->last_line);
	pipelines_stage_exited(d->pipelines, &e);
}

static void on_launcher_gone(struct launcher *l, const char *reason, void *user)
{
	log_error("the launcher is gone: %s", reason);
	stop(user, EX_SOFTWARE);
}

/* ---- the broker: frames into the store, then into runs ---- */

static void lend(struct camera *cam, struct perigeed *d)
{
	struct buffer *b = calloc(1, sizeof(*b));
	CLEAN_FD int fd = -1;
	int r = b ? artifact_new(d->artifacts, 0600, b->tmp_name, &fd) : -ENOMEM;

	if (r == 0) {
		b->d = d;
		b->camera = cam;
		b->number = ++d->buffer_number;
		r = broker_lend_buffer(d->broker, cam->device, b->number, fd);
	}
	if (r < 0) {
		log_error("%s: no file can be lent for its frames: %s", cam->device, err_text(r));
		free(b);
		stop(d, EX_SOFTWARE);
		return;
	}
	b->next = cam->lent;
	cam->lent = b;
}

static void on_subscribed(struct broker_client *c, uint32_t sub, int status, const char *reason, void *user)
{
	struct perigeed *d = user;
	struct subscription *s = d->subs;

	while (s < d->subs + d->n_subs && s->sub != sub)
		s++;
	if (s == d->subs + d->n_subs)
		return;
	if (status < 0) {
		log_error("payload %s gets no frames of %s: %s", s->payload, s->camera->device, reason);
		return;
	}
	for (int i = 0; !s->camera->lending && i < BUFFERS_PER_CAMERA; i++)
		lend(s->camera, d);
	s->camera->lending = true;
}

static void keep_worker(uv_work_t *w)
{
	struct buffer *b = w->data;

	b->kept = artifact_keep(b->d->artifacts, b->tmp_name, &b->frame.digest);
}

/* The frame is committed: the camera may forget it, and gets a new file. */
static void frame_committed(void *arg)
{
	struct buffer *b = arg;

	if (broker_frame_kept(b->d->broker, b->camera->device, b->number) < 0)
		log_warning("%s: it will deliver frame %s again", b->camera->device, b->frame.frame_id);
	lend(b->camera, b->d);
	free(b);
}

static int put_frame(struct buffer *b)
{
	struct perigeed *d = b->d;
	const char *payloads[BROKER_SUBS_MAX + 1];
	size_t n = 0;
	CLEAN_JSON cJSON *attrs = cJSON_CreateObject();

	for (size_t i = 0; attrs && i < b->frame.n_attrs; i++)
		cJSON_AddStringToObject(attrs, b->frame.attrs[i].name, b->frame.attrs[i].value);
	for (size_t i = 0; i < b->frame.n_subs; i++)
		for (size_t k = 0; k < d->n_subs; k++)
			if (d->subs[k].sub == b->frame.subs[i])
				payloads[n++] = d->subs[k].payload;
	payloads[n] = NULL;
	struct frame_event e = {.device = b->frame.device,
		.frame_id = b->frame.frame_id,
		.digest = b->frame.digest,
		.bytes = b->frame.bytes,
		.time = b->frame.time,
		.attrs = attrs,
		.payloads = payloads};
	return pipelines_frame(d->pipelines, &e);
}

static void on_frame_kept(uv_work_t *w, int status)
{
	struct buffer *b = w->data;
	struct perigeed *d = b->d;
	int r = b->kept < 0 ? b->kept : put_frame(b);

	if (r == 0)
		log_info("image.acquired %s %s, %llu bytes", b->frame.device, b->frame.frame_id,
			(unsigned long long)b->frame.bytes);
	else if (r == 1)
		log_info("%s: frame %s had been kept before", b->frame.device, b->frame.frame_id);
	if (r >= 0)
		r = store_effect(d->store, frame_committed, b, free);
	if (r < 0) {
		log_error("%s: frame %s cannot be kept: %s", b->frame.device, b->frame.frame_id, err_text(r));
		free(b);
		stop(d, EX_SOFTWARE);
	}
}

static void on_frame(struct broker_client *c, const struct broker_frame *f, void *user)
{
	struct perigeed *d = user;

	for (size_t i = 0; i < d->n_cameras; i++) {
		for (struct buffer **at = &d->cameras[i].lent; *at; at = &(*at)->next) {
			struct buffer *b = *at;

			if (b->number != f->buffer || strcmp(d->cameras[i].device, f->device))
				continue;
			*at = b->next;
			b->frame = *f;
			b->work.data = b;
			int r = uv_queue_work(&d->loop, &b->work, keep_worker, on_frame_kept);
			ensure(r == 0);
			return;
		}
	}
	log_warning("the broker names a file that was not lent to it");
}

static void on_device(struct broker_client *c, const struct broker_device *dev, void *user)
{
	struct perigeed *d = user;
	struct broker_device *known = d->devices;

	while (known < d->devices + d->n_devices && strcmp(known->name, dev->name))
		known++;
	if (known == d->devices + d->n_devices) {
		if (d->n_devices == ARRAY_LEN(d->devices))
			return;
		d->n_devices++;
	} else if (known->state != dev->state) {
		log_info("device %s is %s%s%s", dev->name, broker_device_state_names[dev->state],
			dev->reason[0] ? ": " : "", dev->reason);
	}
	*known = *dev;
}

static void on_broker_gone(struct broker_client *c, int status, void *user)
{
	log_error("the broker is gone (status %d)", status);
	stop(user, status == EX_DATAERR ? EX_DATAERR : EX_SOFTWARE);
}

static struct camera *find_camera(struct perigeed *d, const char *device)
{
	for (size_t i = 0; i < d->n_cameras; i++)
		if (!strcmp(d->cameras[i].device, device))
			return &d->cameras[i];
	if (d->n_cameras == CAMERAS_MAX)
		return NULL;
	d->cameras[d->n_cameras].device = device;
	return &d->cameras[d->n_cameras++];
}

/* Each payload asks once for each device that its workflows wait for. */
static int subscribe(struct perigeed *d, const struct workflow *w)
{
	const char *device;

	for (size_t i = 0; d->broker && (device = workflow_trigger_device(w, i)); i++) {
		struct subscription s = {.payload = workflow_payload(w), .camera = find_camera(d, device)};
		bool asked = false;

		for (size_t k = 0; k < d->n_subs; k++)
			asked |= d->subs[k].camera == s.camera && !strcmp(d->subs[k].payload, s.payload);
		if (asked)
			continue;
		if (!s.camera || d->n_subs == SUBSCRIPTIONS_MAX)
			return ERR_LIMIT;
		int r = broker_subscribe(d->broker, s.payload, device, &s.sub);
		if (r < 0)
			return r;
		d->subs[d->n_subs++] = s;
	}
	return 0;
}

/* ---- the ground ---- */

static int put_product(void *user, const struct run_product *p)
{
	struct perigeed *d = user;
	struct product g = {.run = p->run, .priority = p->priority, .bytes = p->bytes, .digest = p->digest};

	if (!d->downlink)
		return 0;
	snprintf(g.workflow, sizeof(g.workflow), "%s", p->workflow);
	snprintf(g.stage, sizeof(g.stage), "%s", p->stage);
	snprintf(g.name, sizeof(g.name), "%s", p->name);
	snprintf(g.type, sizeof(g.type), "%s", p->type);
	return downlink_product(d->downlink, &g);
}

static cJSON *provenance_for_ground(void *user, int64_t run)
{
	struct perigeed *d = user;

	return run_provenance(d->store, run);
}

/* ---- status ---- */

static void add_counts(
	cJSON *j, const char *key, const int64_t *counts, size_t n, const char *(*name)(size_t i))
{
	cJSON *o = cJSON_AddObjectToObject(j, key);

	for (size_t i = 0; o && i < n; i++)
		cJSON_AddNumberToObject(o, name(i), (double)counts[i]);
}

static const char *task_count_name(size_t i)
{
	return task_state_name((enum task_state)i);
}

static cJSON *devices_json(struct perigeed *d)
{
	cJSON *list = cJSON_CreateArray();

	for (size_t i = 0; list && i < d->n_devices; i++) {
		const struct broker_device *dev = &d->devices[i];
		cJSON *j = cJSON_CreateObject();

		if (!j || !cJSON_AddItemToArray(list, j))
			break;
		cJSON_AddStringToObject(j, "device", dev->name);
		cJSON_AddStringToObject(j, "class", dev->class);
		cJSON_AddStringToObject(j, "state", broker_device_state_names[dev->state]);
		if (dev->reason[0])
			cJSON_AddStringToObject(j, "reason", dev->reason);
		cJSON_AddNumberToObject(j, "frames", (double)dev->frames);
		cJSON_AddNumberToObject(j, "dropped", (double)dev->dropped);
		cJSON_AddNumberToObject(j, "reopened", (double)dev->reopened);
	}
	return list;
}

static cJSON *answer(void *user, const char *ask, const cJSON *request)
{
	struct perigeed *d = user;
	int64_t tasks[TASK_STATE_MAX] = {0};
	cJSON *j;

	if (strcmp(ask, "status") || !(j = cJSON_CreateObject()))
		return NULL;
	cJSON_AddStringToObject(j, "mission", d->mission->name);
	cJSON_AddStringToObject(j, "spacecraft", d->mission->spacecraft);
	cJSON_AddStringToObject(j, "version", PERIGEE_VERSION);
	cJSON_AddNumberToObject(j, "uptime_s", (double)((clock_mono().ns - d->started.ns) / NS_PER_S));
	cJSON *pids = cJSON_AddObjectToObject(j, "processes");
	cJSON_AddNumberToObject(pids, "perigeed", getpid());
	cJSON_AddNumberToObject(pids, "perigee-launcher", launcher_pid(d->launcher));
	if (d->broker)
		cJSON_AddNumberToObject(pids, "perigee-broker", broker_client_pid(d->broker));
	cJSON_AddNumberToObject(j, "open_runs", (double)pipelines_open_runs(d->pipelines));
	if (scheduler_counts(d->scheduler, tasks) == 0)
		add_counts(j, "tasks", tasks, TASK_STATE_MAX, task_count_name);
	cJSON_AddItemToObject(j, "devices", devices_json(d));
	if (d->downlink)
		cJSON_AddItemToObject(j, "downlink", downlink_status(d->downlink));
	return j;
}

/* ---- start ---- */

/* A helper lies beside us when installed, in its own folder in a build tree. */
static int find_helper(const char *folder, const char *name, char *ret_path)
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (n < 0)
		return -errno;
	self[n] = '\0';
	*strrchr(self, '/') = '\0';
	int r = path_format(ret_path, PATH_MAX, "%s/%s", self, name);
	if (r == 0 && access(ret_path, X_OK) < 0)
		r = path_format(ret_path, PATH_MAX, "%s/../%s/%s", self, folder, name);
	if (r == 0 && access(ret_path, X_OK) < 0)
		r = -errno;
	if (r < 0)
		log_error("%s is neither beside perigeed nor in ../%s: %s", name, folder, err_text(r));
	return r;
}

static const struct launcher_callbacks launcher_callbacks = {
	.on_end = on_stage_end, .on_gone = on_launcher_gone};
static const struct broker_callbacks broker_callbacks = {.on_subscribed = on_subscribed,
	.on_frame = on_frame,
	.on_device = on_device,
	.on_gone = on_broker_gone};

/* What needs privileges: the two helpers, the private key, the state folder, the owner of the process. */
static int start_privileged(struct perigeed *d)
{
	char path[PATH_MAX];
	const struct mission *m = d->mission;
	struct passwd *user = NULL;

	if (m->run_as[0] && !(user = getpwnam(m->run_as))) {
		log_error("%s: run-as: there is no user %s on this machine", m->path, m->run_as);
		return -EINVAL;
	}
	int r = find_helper("sandbox", "perigee-launcher", path);
	if (r == 0)
		r = launcher_create(&d->loop, path, &launcher_callbacks, d, &d->launcher);
	if (r == 0 && m->policy) {
		r = find_helper("broker", "perigee-broker", path);
		if (r == 0)
			r = broker_client_create(&d->loop, path, m->policy, &broker_callbacks, d, &d->broker);
	}
	if (r == 0 && m->downlink.on) {
		r = ground_key_load(m->downlink.key, &d->key);
		if (r < 0)
			log_error("downlink key %s: %s", m->downlink.key, err_text(r));
	}
	if (r == 0 && user && getuid() == 0 && chown(d->state, user->pw_uid, user->pw_gid) < 0)
		r = -errno;
	if (r < 0)
		return r;
	/* The folder stays with the user that it was made for; a later start as another user is told so by
	 * SQLite. */
	return confine_user(user && getuid() == 0 ? user->pw_uid : getuid(),
		user && getuid() == 0 ? user->pw_gid : getgid());
}

static int open_store(struct perigeed *d)
{
	char path[PATH_MAX], why[256] = "";
	int r = path_format(path, sizeof(path), "%s/perigee.db", d->state);

	if (r == 0)
		r = store_open(path, &d->store, why, sizeof(why));
	if (r < 0) {
		log_error("the database: %s", *why ? why : err_text(r));
		return r;
	}
	r = path_format(path, sizeof(path), "%s/artifacts", d->state);
	return r == 0 ? artifacts_open(path, &d->artifacts) : r;
}

static int start_downlink(struct perigeed *d)
{
	char dir[PATH_MAX];
	const struct mission *m = d->mission;
	int r = path_format(dir, sizeof(dir), "%s/downlink", d->state);
	struct downlink_options o = {
		.spacecraft = m->spacecraft,
		.mission = m->name,
		.dir = dir,
		.to = m->downlink.to,
		.from = m->downlink.from,
		.batch_bytes_max = m->downlink.batch_bytes_max,
		.rate_bytes_per_s = m->downlink.rate_bytes_per_s,
		.key = d->key,
		.run_provenance = provenance_for_ground,
		.user = d,
	};

	return r == 0 ? downlink_create(&d->loop, d->store, d->artifacts, &o, &d->downlink) : r;
}

static int load_workflows(struct perigeed *d)
{
	const struct mission *m = d->mission;
	struct workflow_limits limits = {
		.cpus_milli = m->budget.cpus_milli, .memory_bytes = m->budget.memory_bytes};
	int worst = 0;

	for (size_t i = 0; i < m->n_workflows; i++) {
		struct complaints c;
		struct workflow *w = NULL;
		int r = complaints_init(&c, m->workflows[i]);

		if (r == 0 && (r = workflow_load(m->workflows[i], &limits, &c, &w)) == 0) {
			r = pipelines_add(d->pipelines, w, &c);
			if (r < 0)
				workflow_destroy(w);
		}
		if (r == 0)
			r = subscribe(d, w);
		complaints_print(&c, stderr);
		complaints_finish(&c);
		/* The others go on without it. */
		if (r < 0)
			log_error("workflow %s is left out: %s", m->workflows[i], err_text(r));
		if (r < 0 && worst == 0)
			worst = r;
	}
	return d->o->run ? worst : 0;
}

static int start_run(struct perigeed *d)
{
	struct run_input in[INPUTS_MAX] = {0};
	struct complaints c;
	struct workflow *w;
	int r = 0;

	if (!d->o->run)
		return 0;
	/* Read again for its input names only: the one that runs has been taken over. */
	if (complaints_init(&c, d->mission->workflows[0]) < 0 ||
		workflow_load(d->mission->workflows[0], &(struct workflow_limits){0}, &c, &w) < 0)
		return ERR_CHECKED;
	complaints_finish(&c);
	for (size_t i = 0; r == 0 && i < d->o->n_inputs; i++) {
		in[i].name = workflow_input_name(w, d->o->input_names[i]);
		if (!in[i].name) {
			log_error("workflow %s has no input %s", workflow_name(w), d->o->input_names[i]);
			r = ERR_UNKNOWN;
			break;
		}
		r = artifact_import_fd(d->artifacts, d->o->input_fds[i], &in[i].digest, &in[i].bytes);
	}
	const char *needed;
	for (size_t i = 0; r == 0 && (needed = workflow_trigger_input(w, i)); i++) {
		size_t k = 0;
		while (k < d->o->n_inputs && strcmp(in[k].name, needed))
			k++;
		if (k == d->o->n_inputs) {
			log_error("workflow %s needs --input %s=FILE", workflow_name(w), needed);
			r = -EINVAL;
		}
	}
	if (r == 0)
		r = pipelines_run(d->pipelines, workflow_name(w), in, d->o->n_inputs, &d->run);
	workflow_destroy(w);
	return r;
}

static int confine(struct perigeed *d)
{
	/* What one event loop with SQLite, worker threads and UDP has a reason to call. */
	static const char *const calls[] = {"read", "write", "readv", "writev", "pread64", "pwrite64",
		"preadv", "pwritev", "open", "openat", "close", "close_range", "lseek", "stat", "fstat",
		"lstat", "newfstatat", "statx", "access", "faccessat", "faccessat2", "readlink", "readlinkat",
		"fcntl", "flock", "fsync", "fdatasync", "ftruncate", "truncate", "fallocate", "rename",
		"renameat", "renameat2", "link", "linkat", "unlink", "unlinkat", "mkdir", "mkdirat", "rmdir",
		"chmod", "fchmod", "fchmodat", "utimensat", "getdents64", "dup", "dup2", "dup3", "pipe2",
		"eventfd2", "epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait", "poll", "ppoll",
		"mmap", "munmap", "mremap", "mprotect", "madvise", "brk", "futex", "clone", "clone3",
		"set_robust_list", "rseq", "sched_yield", "sched_getaffinity", "prctl", "getrandom",
		"clock_gettime", "clock_nanosleep", "nanosleep", "gettimeofday", "time", "socket",
		"socketpair", "bind", "listen", "accept4", "connect", "getsockname", "getsockopt",
		"setsockopt", "sendto", "sendmsg", "sendmmsg", "recvfrom", "recvmsg", "recvmmsg", "shutdown",
		"ioctl", "getpid", "gettid", "getppid", "getuid", "geteuid", "getgid", "getegid", "kill",
		"tgkill", "wait4", "waitid", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack",
		"restart_syscall", "exit", "exit_group", "sysinfo", "uname", "getrusage", "fchown", "umask",
		"fadvise64", "copy_file_range", "pselect6", "membarrier"};
	struct confine_path paths[8 + MISSION_WORKFLOWS_MAX] = {
		{.path = d->state, .write = true},
		{.path = d->mission->images},
		{.path = "/etc/localtime"},
		{.path = "/dev/urandom"},
		{.path = "/dev/null", .write = true},
		{.path = "/proc/self"},
	};
	size_t n = 6;
	for (size_t i = 0; i < d->mission->n_workflows; i++)
		paths[n++].path = d->mission->workflows[i];
	int r = confine_paths(paths, n);

	if (r == 0)
		log_warning("this kernel has no Landlock: the supervisor is confined by its user and by "
			    "seccomp alone");
	return r < 0 ? r : confine_syscalls(calls, ARRAY_LEN(calls));
}

static void on_signal(uv_signal_t *s, int number)
{
	log_info("ending on request");
	stop(s->data, 0);
	(void)number;
}

static int start_loop_handles(struct perigeed *d)
{
	int r = uv_prepare_init(&d->loop, &d->turn);

	d->turn.data = d->wake.data = d->on_term.data = d->on_int.data = d;
	if (r == 0)
		r = uv_timer_init(&d->loop, &d->wake);
	if (r == 0)
		r = uv_signal_init(&d->loop, &d->on_term);
	if (r == 0)
		r = uv_signal_init(&d->loop, &d->on_int);
	if (r == 0)
		r = uv_signal_start(&d->on_term, on_signal, SIGTERM);
	if (r == 0)
		r = uv_signal_start(&d->on_int, on_signal, SIGINT);
	return r == 0 ? uv_prepare_start(&d->turn, on_turn) : r;
}

static int start_parts(struct perigeed *d)
{
	const struct mission *m = d->mission;
	struct scheduler_budget budget = {.cpus_milli = m->budget.cpus_milli,
		.memory_bytes = m->budget.memory_bytes,
		.tasks = m->budget.tasks};
	struct pipelines_options po = {
		.loop = &d->loop,
		.state_dir = d->state,
		.log_bytes_max = m->log_bytes_max,
		.launcher = {.resolve = resolve_image, .start = start_stage, .user = d},
		.sink = {.put = put_product, .user = d},
		.on_run_ended = on_run_ended,
		.on_stage = on_stage,
		.user = d,
	};
	char path[PATH_MAX];
	int r = open_store(d);

	if (r == 0)
		r = scheduler_create(d->store, &budget, &d->scheduler);
	if (r == 0 && scheduler_interrupted(d->scheduler))
		log_info("%zu interrupted tasks will run again", scheduler_interrupted(d->scheduler));
	if (r == 0)
		r = store_turn_end(d->store); /* tables are made outside a turn */
	if (r == 0 && m->downlink.on)
		r = start_downlink(d);
	po.store = d->store;
	po.scheduler = d->scheduler;
	po.artifacts = d->artifacts;
	if (r == 0)
		r = pipelines_create(&po, &d->pipelines);
	if (r == 0)
		r = load_workflows(d);
	if (r == 0)
		r = path_format(path, sizeof(path), "%s/control.sock", d->state);
	if (r == 0)
		r = control_create(&d->loop, path, answer, d, &d->control);
	if (r == 0)
		r = start_run(d);
	return r;
}

static void close_handle(uv_handle_t *h, void *arg)
{
	if (!uv_is_closing(h) && uv_handle_get_type(h) != UV_UNKNOWN_HANDLE)
		uv_close(h, NULL);
	(void)arg;
}

static void finish(struct perigeed *d)
{
	uv_handle_t *own[] = {(uv_handle_t *)&d->turn, (uv_handle_t *)&d->wake, (uv_handle_t *)&d->on_term,
		(uv_handle_t *)&d->on_int};

	launcher_destroy(d->launcher);
	broker_client_destroy(d->broker);
	control_destroy(d->control);
	downlink_destroy(
		TAKE_PTR(d->downlink)); /* a worker's end may still want it; what it does is not committed */
	for (size_t i = 0; i < ARRAY_LEN(own); i++)
		if (uv_handle_get_type(own[i]) != UV_UNKNOWN_HANDLE)
			close_handle(own[i], NULL);
	uv_run(&d->loop, UV_RUN_DEFAULT); /* the workers end, the handles close */
	pipelines_destroy(d->pipelines);
	scheduler_destroy(d->scheduler);
	store_close(d->store);
	artifacts_close(d->artifacts);
	ground_key_destroy(d->key);
	for (size_t i = 0; i < d->n_images; i++)
		sandbox_image_finish(&d->images[i].image);
	for (size_t i = 0; i < d->n_cameras; i++)
		for (struct buffer *b = d->cameras[i].lent, *next; b; b = next) {
			next = b->next;
			free(b);
		}
	uv_loop_close(&d->loop);
	mission_destroy(d->mission);
}

/* Only one supervisor at a time on a state folder. The lock goes with the process. */
static int lock_state(const char *state)
{
	char path[PATH_MAX];
	int r = path_format(path, sizeof(path), "%s/lock", state);
	int fd = r == 0 ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;

	if (fd < 0)
		return r < 0 ? r : -errno;
	return flock(fd, LOCK_EX | LOCK_NB) < 0 ? -errno : 0; /* fd stays open on purpose */
}

static int choose_state(struct perigeed *d)
{
	const char *state = d->o->state ? d->o->state : d->mission->state;

	if (!state) {
		log_error("%s names no state folder: add `state: DIR`, or start with --state DIR",
			d->mission->path);
		return -EINVAL;
	}
	int r = dir_make(state, 0755);
	if (r < 0 || !realpath(state, d->state)) {
		log_error("the state folder %s cannot be made: %s", state, err_text(r < 0 ? r : -errno));
		return r < 0 ? r : -errno;
	}
	r = lock_state(d->state);
	if (r < 0)
		log_error("%s: %s", d->state,
			r == -EWOULDBLOCK ? "another perigeed works on this state folder" : err_text(r));
	return r;
}

static int load_mission(struct perigeed *d)
{
	struct complaints c;
	int r = complaints_init(&c, d->o->mission);

	if (r < 0)
		return r;
	r = mission_load(d->o->mission, &c, &d->mission);
	complaints_print(&c, stderr);
	complaints_finish(&c);
	return r;
}

static int exit_status(int err)
{
	switch (err) {
	case ERR_CHECKED:
		return EX_DATAERR;
	case -EINVAL:
	case ERR_UNKNOWN:
	case ERR_KEY:
		return EX_CONFIG;
	case -EWOULDBLOCK:
		return EX_TEMPFAIL;
	default:
		return EX_SOFTWARE;
	}
}

static int supervise(const struct options *o)
{
	struct perigeed *d = calloc(1, sizeof(*d));
	int r;

	if (!d)
		return EX_OSERR;
	d->o = o;
	d->started = clock_mono();
	umask(022);
	uv_loop_init(&d->loop);
	r = load_mission(d);
	if (r == 0)
		r = choose_state(d);
	if (r == 0)
		r = start_privileged(d);
	/* A change of user takes the parent-death signal away: after it. */
	if (r == 0 && o->keeper && prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		r = -errno;
	if (r == 0)
		r = confine(d);
	if (r == 0)
		r = start_loop_handles(d);
	if (r == 0)
		r = start_parts(d);
	if (r == 0) {
		log_info("mission %s: supervising", d->mission->name);
		uv_run(&d->loop, UV_RUN_DEFAULT);
	} else {
		log_error("cannot start: %s", err_text(r));
		d->status = exit_status(r);
	}
	int status = d->status;
	finish(d);
	free(d);
	return status;
}

/* ---- the keeper ---- */

static bool worth_another(int wait_status)
{
	return WIFSIGNALED(wait_status) ||
	       (WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == EX_SOFTWARE);
}

static int keep(const struct options *o)
{
	sigset_t waited, before;
	int64_t delay_ms = RESPAWN_MIN_MS;

	sigemptyset(&waited);
	sigaddset(&waited, SIGCHLD);
	sigaddset(&waited, SIGTERM);
	sigaddset(&waited, SIGINT);
	sigprocmask(SIG_BLOCK, &waited, &before);
	prctl(PR_SET_NAME, "perigeed-keeper");
	for (;;) {
		struct mono_time started = clock_mono();
		pid_t keeper = getpid(), pid = fork();
		bool ending = false;
		int status, signal;

		if (pid < 0)
			return EX_OSERR;
		if (pid == 0) {
			prctl(PR_SET_NAME, "perigeed");
			if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != keeper)
				_exit(EX_OSERR);
			sigprocmask(SIG_SETMASK, &before, NULL);
			exit(supervise(o));
		}
		while (waitpid(pid, &status, WNOHANG) == 0) {
			signal = sigwaitinfo(&waited, NULL);
			if (signal == SIGTERM || signal == SIGINT) {
				ending = true;
				kill(pid, SIGTERM);
			}
		}
		if (ending || !worth_another(status))
			return WIFEXITED(status) ? WEXITSTATUS(status) : EX_SOFTWARE;
		if (clock_mono().ns - started.ns > 10 * NS_PER_S)
			delay_ms = RESPAWN_MIN_MS;
		log_error("the supervisor ended (%s %d); starting it again in %lld ms",
			WIFSIGNALED(status) ? "signal" : "status",
			WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status), (long long)delay_ms);
		struct timespec wait = {.tv_sec = delay_ms / 1000, .tv_nsec = delay_ms % 1000 * NS_PER_MS};
		signal = sigtimedwait(&waited, NULL, &wait);
		if (signal == SIGTERM || signal == SIGINT)
			return 0;
		delay_ms = 2 * delay_ms < RESPAWN_MAX_MS ? 2 * delay_ms : RESPAWN_MAX_MS;
	}
}

/* ---- the command line ---- */

static void help(FILE *to)
{
	fputs("Usage: perigeed --mission FILE [--state DIR]\n"
	      "\n"
	      "Supervises the payload work that the mission file describes: takes frames from the broker, "
	      "runs the\n"
	      "workflows, and sends what they made to the ground. Starts perigee-launcher and "
	      "perigee-broker, which\n"
	      "keep the privileges that it gives up. Needs root to start.\n"
	      "\n"
	      "  --mission FILE      the mission file (YAML)\n"
	      "  --state DIR         where the database, the artifacts and the logs are; before `state:` in "
	      "the file\n"
	      "  --no-keeper         do not start again after a crash: end, for a service manager to do "
	      "that\n"
	      "  --run NAME          run the first workflow of the mission once, with the --input files, and "
	      "end\n"
	      "  --input NAME=FILE   an input of that run; may be given several times\n"
	      "  --events            print what happens, one JSON object a line, on standard output\n"
	      "  --verbose, --quiet  log more, or errors only, on standard error\n"
	      "  --help, --version\n"
	      "\n"
	      "Look at it with `perigee status`, `perigee runs`, `perigee show RUN`, `perigee logs RUN "
	      "[STAGE]`.\n"
	      "Exit status: 0 ended on request or the run is over, 64 usage, 65 a file has mistakes, 70 "
	      "broke off,\n"
	      "75 another perigeed has the state folder, 78 the mission cannot be started on this machine.\n",
		to);
}

static int add_input(struct options *o, char *arg)
{
	char *eq = strchr(arg, '=');

	if (!eq || eq == arg || !eq[1] || o->n_inputs == INPUTS_MAX) {
		fprintf(stderr, "perigeed: expected --input NAME=FILE, found \"%s\"\n", arg);
		return -EINVAL;
	}
	*eq = '\0';
	int fd = open(eq + 1, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0) {
		fprintf(stderr, "perigeed: %s: %s\n", eq + 1, strerror(errno));
		return -errno;
	}
	o->input_names[o->n_inputs] = arg;
	o->input_paths[o->n_inputs] = eq + 1;
	o->input_fds[o->n_inputs++] = fd;
	return 0;
}

int main(int argc, char **argv)
{
	enum {
		OPT_MISSION = 1,
		OPT_STATE,
		OPT_NO_KEEPER,
		OPT_RUN,
		OPT_INPUT,
		OPT_EVENTS,
		OPT_VERBOSE,
		OPT_QUIET,
		OPT_HELP,
		OPT_VERSION
	};
	static const struct option longs[] = {
		{"mission", required_argument, NULL, OPT_MISSION},
		{"state", required_argument, NULL, OPT_STATE},
		{"no-keeper", no_argument, NULL, OPT_NO_KEEPER},
		{"run", required_argument, NULL, OPT_RUN},
		{"input", required_argument, NULL, OPT_INPUT},
		{"events", no_argument, NULL, OPT_EVENTS},
		{"verbose", no_argument, NULL, OPT_VERBOSE},
		{"quiet", no_argument, NULL, OPT_QUIET},
		{"help", no_argument, NULL, OPT_HELP},
		{"version", no_argument, NULL, OPT_VERSION},
		{0},
	};
	struct options o = {.keeper = true};
	enum log_level shown = LOG_LEVEL_INFO;

	for (int c; (c = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
		switch (c) {
		case OPT_MISSION:
			o.mission = optarg;
			break;
		case OPT_STATE:
			o.state = optarg;
			break;
		case OPT_NO_KEEPER:
			o.keeper = false;
			break;
		case OPT_RUN:
			o.run = optarg;
			o.keeper = false;
			break;
		case OPT_INPUT:
			if (add_input(&o, optarg) < 0)
				return EX_USAGE;
			break;
		case OPT_EVENTS:
			o.events = true;
			break;
		case OPT_VERBOSE:
			shown = LOG_LEVEL_DEBUG;
			break;
		case OPT_QUIET:
			shown = LOG_LEVEL_ERROR;
			break;
		case OPT_HELP:
			help(stdout);
			return 0;
		case OPT_VERSION:
			puts("perigeed " PERIGEE_VERSION);
			return 0;
		default:
			help(stderr);
			return EX_USAGE;
		}
	}
	if (!o.mission || optind != argc) {
		help(stderr);
		return EX_USAGE;
	}
	log_init("perigeed", shown);
	signal(SIGPIPE, SIG_IGN);
	return o.keeper ? keep(&o) : supervise(&o);
}
