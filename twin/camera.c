/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "camera-parts.h"
#include "orbit.h"

void camera_ref(struct camera *c)
{
	c->refs++;
}

void camera_unref(struct camera *c)
{
	if (--c->refs == 0)
		free(c);
}

const struct image_file *shot_file(const struct camera *c, const struct shot *s)
{
	return c->opt.n_files ? c->opt.files[(s->number - 1) % c->opt.n_files] : NULL;
}

struct scene_spec shot_spec(const struct camera *c, const struct shot *s)
{
	return (struct scene_spec){
		.seed = c->opt.seed,
		.index = s->number - 1,
		.width = c->opt.width,
		.height = c->opt.height,
		.gsd_m = c->opt.gsd_m,
		.rgb = c->opt.rgb,
		.exposure = (double)s->exposure_us / CAMERA_EXPOSURE_US,
		.gain = s->gain,
	};
}

const char *shot_name(const struct camera *c, const struct shot *s)
{
	const struct image_file *file = shot_file(c, s);
	struct scene_spec spec = shot_spec(c, s);

	return file ? file->stem : scene_name(&spec);
}

void shot_id(const struct camera *c, const struct shot *s, char ret_id[CAMERA_FRAME_ID_BYTES])
{
	bool file = shot_file(c, s) != NULL;

	(void)snprintf(ret_id, CAMERA_FRAME_ID_BYTES, "%s-%u-%06llu%s%s", c->opt.name, c->opt.seed,
		(unsigned long long)s->number, file ? "-" : "", file ? shot_name(c, s) : "");
}

void shot_size(const struct camera *c, const struct shot *s, uint32_t *ret_width, uint32_t *ret_height)
{
	const struct image_file *file = shot_file(c, s);

	*ret_width = file ? file->form.width : c->opt.width;
	*ret_height = file ? file->form.height : c->opt.height;
}

double shot_gsd(const struct camera *c, const struct shot *s)
{
	const struct image_file *file = shot_file(c, s);

	return file && file->gsd_m > 0 ? file->gsd_m : c->opt.gsd_m;
}

bool camera_expose(struct camera *c)
{
	if (c->opt.count && c->counts.taken >= c->opt.count)
		return false;
	if (c->n_waiting == CAMERA_MEMORY_FRAMES) {
		c->counts.missed++;
		return false;
	}
	struct orbit_place at =
		orbit_at(c->opt.seed, (double)(clock_mono().ns - c->start.ns) / (double)NS_PER_S);
	c->memory[c->n_waiting++] = (struct shot){
		.number = ++c->counts.taken,
		.time = clock_utc(),
		.latitude_deg = at.latitude_deg,
		.longitude_deg = at.longitude_deg,
		.exposure_us = c->exposure_us,
		.gain = c->gain,
	};
	if (c->n_waiting == 1 && c->server)
		iiod_server_ready(c->server, &c->device);
	return true;
}

static bool all_taken(const struct camera *c)
{
	return c->opt.count && c->counts.taken >= c->opt.count;
}

/* An interval of 0: the memory is kept full. */
static void fill_memory(struct camera *c)
{
	while (c->opt.interval_ns == 0 && !all_taken(c) && c->n_waiting < CAMERA_MEMORY_FRAMES)
		(void)camera_expose(c);
}

static void on_timer(uv_timer_t *t)
{
	struct camera *c = t->data;

	(void)camera_expose(c);
	if (all_taken(c))
		uv_timer_stop(t);
}

int camera_release(struct camera *c, const char *frame_id)
{
	char id[CAMERA_FRAME_ID_BYTES];
	size_t at = 0;

	for (; at < c->n_waiting; at++) {
		shot_id(c, &c->memory[at], id);
		if (!strcmp(id, frame_id))
			break;
	}
	if (at == c->n_waiting)
		return -ENOENT;
	memcpy(c->last_released, id, sizeof(id));
	memmove(&c->memory[at], &c->memory[at + 1], (c->n_waiting - at - 1) * sizeof(c->memory[0]));
	c->n_waiting--;
	c->counts.released++;
	if (at == 0 && c->head_pixels)
		pixels_unref(TAKE_PTR(c->head_pixels));
	fill_memory(c);
	/* Who waited for the pixels of the old head now waits for the new one. */
	if (at == 0 && c->n_waiting && c->server)
		iiod_server_ready(c->server, &c->device);
	return 0;
}

int camera_create(uv_loop_t *loop, const struct camera_options *options, struct camera **ret_camera)
{
	struct camera *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->opt = *options;
	c->start = clock_mono();
	c->loop = loop;
	c->exposure_us = CAMERA_EXPOSURE_US;
	c->gain = 1;
	c->refs = 1;
	camera_describe(c);
	int err = uv_timer_init(loop, &c->timer);
	if (err) {
		free(c);
		return err;
	}
	c->timer.data = c;
	c->refs++;
	*ret_camera = c;
	return 0;
}

const struct iiod_device *camera_device(struct camera *c)
{
	return &c->device;
}

void camera_start(struct camera *c, struct iiod_server *server)
{
	c->server = server;
	if (c->opt.interval_ns > 0) {
		uint64_t ms = (uint64_t)(c->opt.interval_ns / NS_PER_MS);
		uv_timer_start(&c->timer, on_timer, 0, ms ? ms : 1);
	}
	fill_memory(c);
}

struct camera_counts camera_counts(const struct camera *c)
{
	struct camera_counts counts = c->counts;

	counts.waiting = c->n_waiting;
	return counts;
}

static void on_timer_closed(uv_handle_t *h)
{
	camera_unref(h->data);
}

void camera_destroy(struct camera *c)
{
	if (!c)
		return;
	c->closing = true;
	c->server = NULL;
	if (c->head_pixels)
		pixels_unref(TAKE_PTR(c->head_pixels));
	uv_close((uv_handle_t *)&c->timer, on_timer_closed);
	camera_unref(c);
}
