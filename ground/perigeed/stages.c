/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>
#include <sysexits.h>

#include "core/file.h"
#include "core/log.h"
#include "perigeed.h"

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
	im->vm_root_fd = -1;
	d->n_images++;
	*ret_image = im;
	return 0;
}

int resolve_image(void *user, const char *name, struct stage_image *ret_image, char *ret_reason, size_t cap)
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

int start_stage(void *user, const struct stage_launch *l)
{
	struct perigeed *d = user;
	const char *argv[LAUNCH_WORDS_MAX], *env[LAUNCH_WORDS_MAX];
	struct vm_command command;

	if (!d->launcher)
		return -ECANCELED; /* ending: what is recorded of this is not committed */
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
	if (l->guest_bytes)
		r = as_unikernel(d, l, &command, &request);
	if (r == 0)
		r = launcher_start(d->launcher, &request);
	if (r != ERR_PEER)
		return r;
	/* The launcher died: so do we, and the task is interrupted, not failed. */
	stop(d, EX_SOFTWARE);
	return 0;
}

int stop_stage(void *user, int64_t task)
{
	struct perigeed *d = user;
	int r = launcher_kill(d->launcher, (uint64_t)task);

	return r == ERR_UNKNOWN ? 0 : r; /* over already: its end is on the way */
}

int freeze_stage(void *user, int64_t task, bool frozen)
{
	struct perigeed *d = user;

	int r = launcher_freeze(d->launcher, (uint64_t)task, frozen);

	return r == ERR_UNKNOWN ? 0 : r; /* as above */
}

bool can_freeze_stages(void *user)
{
	struct perigeed *d = user;

	return launcher_can_freeze(d->launcher);
}

static enum task_class class_of(enum launch_end how)
{
	switch (how) {
	case LAUNCH_LIMIT_TIME:
		return CLASS_TIMEOUT;
	case LAUNCH_LIMIT_MEMORY:
		return CLASS_MEMORY;
	case LAUNCH_LIMIT_OUTPUT:
		return CLASS_OUTPUT;
	case LAUNCH_SETUP_FAILED:
	case LAUNCH_BROKE:
		return CLASS_MACHINE;
	case LAUNCH_KILLED: /* because somebody wanted it so */
		return CLASS_BROKEN;
	default:
		return CLASS_FAILED;
	}
}

static void on_stage_end(struct launcher *l, const struct launch_result *res, void *user)
{
	struct perigeed *d = user;
	struct stage_exit e = {
		.task = (int64_t)res->task,
		.class = class_of(res->how),
		.exited = res->how == LAUNCH_EXITED,
		.broke = res->how == LAUNCH_BROKE,
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

const struct launcher_callbacks launcher_callbacks = {.on_end = on_stage_end, .on_gone = on_launcher_gone};
