/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sysexits.h>

#include "core/file.h"
#include "core/json.h"
#include "core/log.h"
#include "perigeed.h"

#define BUFFERS_PER_CAMERA 2

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
	if (r == -ENOSPC || r == -EDQUOT) {
		/* Until there is space its frames wait, or are dropped and counted, at the broker. */
		log_warning("%s: no file can be lent for its frames: the disk is full", cam->device);
		cam->short_of++;
		free(b);
		return;
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

	struct digest found;
	uint64_t bytes;
	char path[PATH_MAX];
	CLEAN_FD int fd = -1;

	/* The broker's workers speak with devices through libiio: what they say of the file is not taken on
	 * trust. */
	b->kept = path_format(path, sizeof(path), "%s/tmp/%s", artifacts_dir(b->d->artifacts), b->tmp_name);
	if (b->kept == 0 && (fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC)) < 0)
		b->kept = -errno;
	if (b->kept == 0)
		b->kept = digest_fd(fd, &found, &bytes);
	if (b->kept == 0 &&
		(bytes != b->frame.bytes || memcmp(found.bytes, b->frame.digest.bytes, sizeof(found.bytes))))
		b->kept = ERR_DIGEST;
	if (b->kept == 0)
		b->kept = artifact_keep(b->d->artifacts, b->tmp_name, &found);
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

/* Its device captures nothing until this frame is released: it is tried again when there is space. */
static void leave_frame(struct buffer *b)
{
	log_warning("%s: frame %s waits: the disk is full", b->frame.device, b->frame.frame_id);
	b->next = b->camera->waiting;
	b->camera->waiting = b;
}

static void on_frame_kept(uv_work_t *w, int status)
{
	struct buffer *b = w->data;
	struct perigeed *d = b->d;

	/* Runs that are made while a commit waits for room would be in memory alone, and ever more of them. */
	if (b->kept == -ENOSPC || b->kept == -EDQUOT || store_held(d->store)) {
		leave_frame(b);
		return;
	}
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

static void keep(struct perigeed *d, struct buffer *b)
{
	b->work.data = b;
	int r = uv_queue_work(&d->loop, &b->work, keep_worker, on_frame_kept);
	ensure(r == 0);
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
			keep(d, b);
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

static void on_broker_ready(struct broker_client *c, void *user)
{
	struct perigeed *d = user;

	d->policy_taken = true;
	power_ready(d);
}

static void on_value(struct broker_client *c, uint32_t req, int status, const char *text, void *user)
{
	power_value(user, req, status, text);
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
int subscribe(struct perigeed *d, const struct workflow *w)
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

void cameras_resume(struct perigeed *d)
{
	for (size_t i = 0; i < d->n_cameras; i++) {
		size_t n = d->cameras[i].short_of;
		struct buffer *waiting = TAKE_PTR(d->cameras[i].waiting);

		for (struct buffer *b = waiting, *next; b; b = next) {
			next = b->next;
			if (b->kept == 0) /* an artifact already: it was the commit that had no room */
				on_frame_kept(&b->work, 0);
			else
				keep(d, b);
		}

		for (d->cameras[i].short_of = 0; n > 0; n--)
			lend(&d->cameras[i], d);
	}
}

static void free_buffers(struct buffer *b)
{
	while (b) {
		struct buffer *next = b->next;
		free(b);
		b = next;
	}
}

void cameras_finish(struct perigeed *d)
{
	for (size_t i = 0; i < d->n_cameras; i++) {
		free_buffers(d->cameras[i].lent);
		free_buffers(d->cameras[i].waiting);
	}
}

const struct broker_callbacks broker_callbacks = {.on_subscribed = on_subscribed,
	.on_frame = on_frame,
	.on_value = on_value,
	.on_device = on_device,
	.on_ready = on_broker_ready,
	.on_gone = on_broker_gone};
