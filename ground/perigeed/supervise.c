/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sysexits.h>

#include "core/boot.h"
#include "core/file.h"
#include "core/log.h"
#include "perigeed.h"

static int put_product(void *user, const struct run_product *p)
{
	struct perigeed *d = user;
	struct product g = {.run = p->run, .priority = p->priority, .bytes = p->bytes, .digest = p->digest, .keep_ns = p->keep_ns};

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

static int set_queue_rules(struct perigeed *d)
{
	const struct mission *m = d->mission;
	struct queue_rules rules = {.critical = m->queue.critical,
		.ageing_ns = m->queue.ageing_ns,
		.poison = m->queue.poison,
		.history = m->queue.history,
		.preempt = m->queue.preempt,
		.energy = {.guarded = *m->energy.device != '\0',
			.reserve_percent = m->energy.reserve_percent,
			.resume_percent = m->energy.resume_percent,
			.eclipse_more_percent = m->energy.eclipse_more_percent,
			.mj_per_cpu_s = m->energy.mj_per_cpu_s,
			.orbit_ns = m->energy.orbit_ns,
			.mj_per_orbit = m->energy.mj_per_orbit},
		.n_quotas = m->n_quotas};

	_Static_assert(MISSION_QUOTAS_MAX <= QUEUE_QUOTAS_MAX, "every quota of the file has room");
	for (size_t i = 0; i < m->n_quotas; i++) {
		const struct mission_quota *from = &m->quotas[i];
		struct queue_quota *q = &rules.quotas[i];

		snprintf(q->payload, sizeof(q->payload), "%s", from->payload);
		q->tasks = from->tasks;
		q->waiting = from->waiting;
		q->cpu_ns_per_day = from->cpu_ns_per_day;
		q->cpu_ns_per_orbit = from->cpu_ns_per_orbit;
		q->energy_mj_per_day = from->energy_mj_per_day;
		q->energy_mj_per_orbit = from->energy_mj_per_orbit;
	}
	return scheduler_set_rules(d->scheduler, &rules);
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
		.reserve_bytes = m->storage.reserve_bytes,
		.launcher = {.resolve = resolve_image,
			.check_unikernel = check_unikernel,
			.start = start_stage,
			.stop = stop_stage,
			.freeze = freeze_stage,
			.can_freeze = can_freeze_stages,
			.user = d},
		.sink = {.put = put_product, .user = d},
		.on_run_ended = on_run_ended,
		.on_stage = on_stage,
		.user = d,
	};
	char path[PATH_MAX];
	int r = open_store(d);

	if (r == 0)
		r = scheduler_create(d->store, &budget, &d->scheduler);
	if (r == 0)
		r = set_queue_rules(d);
	if (r == 0 && scheduler_interrupted(d->scheduler))
		log_info("%zu interrupted tasks will run again", scheduler_interrupted(d->scheduler));
	if (r == 0)
		r = store_turn_end(d->store); /* tables are made outside a turn */
	if (r == STORE_HELD)                  /* a full disk: what is there is what there is */
		r = 0;
	if (r == 0)
		r = retention_prepare(d);
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
		r = pipelines_resume(d->pipelines);
	if (r == 0)
		r = path_format(path, sizeof(path), "%s/control.sock", d->state);
	if (r == 0)
		r = control_create(&d->loop, path, answer, d, &d->control);
	if (r == 0)
		r = storage_start(d);
	if (r == 0)
		r = retention_start(d);
	if (r == 0)
		r = power_start(d);
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
		(uv_handle_t *)&d->on_int, (uv_handle_t *)&d->storage.timer, (uv_handle_t *)&d->power.timer,
		(uv_handle_t *)&d->retention.timer};

	storage_stop(d);
	retention_stop(d);
	launcher_destroy(TAKE_PTR(d->launcher)); /* a stage that is being prepared finds it gone */
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
	for (size_t i = 0; i < d->n_images; i++) {
		sandbox_image_finish(&d->images[i].image);
		if (d->images[i].vm_root_fd >= 0)
			close(d->images[i].vm_root_fd);
	}
	cameras_finish(d);
	uv_loop_close(&d->loop);
	mission_destroy(d->mission);
}

/* Only one supervisor at a time on a state folder. The lock goes with the process. */
static int lock_state(const char *state)
{
	char path[PATH_MAX];
	int r = path_format(path, sizeof(path), "%s/lock", state);
	int fd = r == 0 ? open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600) : -1;

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
	case ERR_STORE: /* a damaged database does not mend itself */
	case ERR_FORMAT:
	case -ENOENT:
	case -EACCES:
	case -EADDRINUSE:
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

int supervise(void *options)
{
	const struct options *o = options;
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
	/* It may have died before that, without a signal for us. */
	if (r == 0 && o->keeper && getppid() != o->keeper_pid) {
		log_error("the keeper is gone");
		r = ERR_PEER;
	}
	(void)boot_id(); /* what a confined process can no longer read */
	if (r == 0)
		r = confine(d);
	if (r == 0)
		r = turn_start(d);
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
