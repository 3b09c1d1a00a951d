/* SPDX-License-Identifier: Apache-2.0 */
#include "serve.h"

#include <errno.h>
#include <string.h>

#include "camera.h"
#include "core/clock.h"
#include "core/file.h"
#include "sensors.h"

#define REASON_BYTES 256
#define GSD_M 10.0     /* of cam0 */
#define GSD_RGB_M 3.0  /* of cam1 */
#define EXPOSURE_J 6.0 /* of work for one exposure */
#define DELIVERY_J 4.0 /* and for reading it out */

struct serve {
	struct image_files files;
	const struct image_file **multi, **colour; /* of files, by camera */
	size_t n_multi, n_colour;
	struct camera *cameras[2];
	size_t n_cameras;
	struct sensors *sensors;
	const struct iiod_device *devices[4];
	struct iiod_server *server;
	uint16_t port;
	void (*warn)(void *user, bool error, const char *text);
	void *user;
};

struct serve_options serve_defaults(void)
{
	return (struct serve_options){
		.bind = "127.0.0.1",
		.port = IIOD_PORT,
		.seed = 1,
		.interval_ns = 2 * NS_PER_S,
		.width = 512,
		.height = 512,
		.time_scale = 1,
	};
}

static double camera_work(void *user)
{
	const struct serve *s = user;
	double j = 0;

	for (size_t i = 0; i < s->n_cameras; i++) {
		struct camera_counts c = camera_counts(s->cameras[i]);
		j += (double)c.taken * EXPOSURE_J + (double)c.delivered * DELIVERY_J;
	}
	return j;
}

static int read_scenes(struct serve *s, const char *dir,
	void (*warn)(void *user, bool error, const char *text), void *user, char *ret_reason)
{
	int err = image_files_scan(dir, warn, user, &s->files);

	if (err < 0) {
		(void)snprintf(ret_reason, REASON_BYTES, "%s: %s", dir,
			err == -ENOENT && !access(dir, F_OK) ? "no scene in this folder" : err_text(err));
		return err;
	}
	s->multi = calloc(s->files.n, sizeof(*s->multi));
	s->colour = calloc(s->files.n, sizeof(*s->colour));
	if (!s->multi || !s->colour)
		return -ENOMEM;
	for (size_t i = 0; i < s->files.n; i++) {
		const struct image_file *f = &s->files.item[i];
		if (f->form.depth == 3)
			s->colour[s->n_colour++] = f;
		else
			s->multi[s->n_multi++] = f;
	}
	return 0;
}

static int add_camera(struct serve *s, uv_loop_t *loop, const struct serve_options *o, bool rgb)
{
	struct camera_options c = {
		.id = rgb ? "iio:device1" : "iio:device0",
		.name = rgb ? "cam1" : "cam0",
		.rgb = rgb,
		.seed = o->seed,
		.width = o->width,
		.height = o->height,
		.gsd_m = rgb ? GSD_RGB_M : GSD_M,
		.count = o->count_given ? o->count : 0,
		.interval_ns = o->interval_ns,
		.files = rgb ? s->colour : s->multi,
		.n_files = rgb ? s->n_colour : s->n_multi,
		.truth_dir = o->truth_dir,
		.warn = s->warn,
		.user = s->user,
	};
	if (!o->count_given && c.n_files)
		c.count = c.n_files;
	if (rgb && !c.n_files)
		c.count = o->rgb;
	int err = camera_create(loop, &c, &s->cameras[s->n_cameras]);
	if (err)
		return err;
	s->devices[s->n_cameras] = camera_device(s->cameras[s->n_cameras]);
	s->n_cameras++;
	return 0;
}

static int make_devices(struct serve *s, uv_loop_t *loop, const struct serve_options *o)
{
	int err = 0;

	if (!o->scenes || s->n_multi)
		err = add_camera(s, loop, o, false);
	if (!err && (s->n_colour || o->rgb))
		err = add_camera(s, loop, o, true);
	if (!err)
		err = sensors_create(o->seed, o->time_scale, camera_work, s, &s->sensors);
	if (!err)
		sensors_devices(s->sensors, s->devices + s->n_cameras);
	return err;
}

int serve_create(uv_loop_t *loop, const struct serve_options *o,
	void (*warn)(void *user, bool error, const char *text), void *user, struct serve **ret_serve,
	char *ret_reason)
{
	struct serve *s = calloc(1, sizeof(*s));
	int err = s ? 0 : -ENOMEM;

	ret_reason[0] = 0;
	if (s) {
		s->warn = warn;
		s->user = user;
	}
	if (!err && o->scenes)
		err = read_scenes(s, o->scenes, warn, user, ret_reason);
	if (!err && o->truth_dir) {
		err = dir_make(o->truth_dir, 0755);
		if (err < 0)
			(void)snprintf(ret_reason, REASON_BYTES, "%s: %s", o->truth_dir, err_text(err));
	}
	if (!err)
		err = make_devices(s, loop, o);
	if (!err) {
		err = iiod_server_create(loop, o->bind, o->port, s->devices, s->n_cameras + 2, &s->server);
		if (err)
			(void)snprintf(ret_reason, REASON_BYTES, "cannot listen on %s:%u: %s", o->bind,
				o->port, err_text(err));
	}
	if (err) {
		if (!ret_reason[0])
			(void)snprintf(ret_reason, REASON_BYTES, "%s", err_text(err));
		if (s) {
			serve_stop(s);
			uv_run(loop, UV_RUN_DEFAULT);
			serve_free(s);
		}
		return err;
	}
	s->port = iiod_server_port(s->server);
	for (size_t i = 0; i < s->n_cameras; i++)
		camera_start(s->cameras[i], s->server);
	*ret_serve = s;
	return 0;
}

uint16_t serve_port(const struct serve *s)
{
	return s->port;
}

struct serve_counts serve_counts(const struct serve *s)
{
	struct serve_counts n = {.frame_bytes = s->server ? iiod_server_bytes(s->server) : 0};

	for (size_t i = 0; i < s->n_cameras; i++) {
		struct camera_counts c = camera_counts(s->cameras[i]);
		n.frames_taken += c.taken;
		n.frames_missed += c.missed;
		n.frames_delivered += c.delivered;
		n.frames_released += c.released;
	}
	return n;
}

void serve_stop(struct serve *s)
{
	iiod_server_destroy(TAKE_PTR(s->server));
	for (size_t i = 0; i < s->n_cameras; i++)
		camera_destroy(s->cameras[i]);
	s->n_cameras = 0;
}

void serve_free(struct serve *s)
{
	if (!s)
		return;
	sensors_destroy(s->sensors);
	free(s->multi);
	free(s->colour);
	image_files_finish(&s->files);
	free(s);
}
