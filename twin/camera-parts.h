/* SPDX-License-Identifier: Apache-2.0 */
/* A camera's inside: the memory of frames (camera.c), their pixels (camera-pixels.c), its attributes
 * (camera-attrs.c). */
#ifndef TWIN_CAMERA_PARTS_H
#define TWIN_CAMERA_PARTS_H

#include "camera.h"
#include "core/clock.h"
#include "scene.h"

/* An exposure that waits: all that its pixels follow from. */
struct shot {
	uint64_t number; /* from 1 */
	struct utc_time time;
	double latitude_deg, longitude_deg;
	int64_t exposure_us;
	double gain;
};

/* Pixels, shared by the camera and by the clients that are just receiving them. */
struct pixels {
	struct iiod_frame frame; /* first: drop gets this */
	struct camera *camera;
	uint64_t number;
	size_t refs;
	uint8_t *data;
};

struct camera {
	struct camera_options opt;
	struct mono_time start;
	struct iiod_device device;
	struct iiod_channel channels[SCENE_BANDS];
	struct iiod_server *server;
	uv_loop_t *loop;
	uv_timer_t timer;
	bool closing;
	size_t refs; /* the owner, the timer, a job, pixels */

	int64_t exposure_us;
	double gain;
	struct shot memory[CAMERA_MEMORY_FRAMES];
	size_t n_waiting;
	char last_released[CAMERA_FRAME_ID_BYTES];
	struct camera_counts counts;

	struct pixels *head_pixels; /* of memory[0], or NULL */
	bool job_running;
	int failed; /* the job for failed_number ended so */
	uint64_t failed_number;
};

void camera_ref(struct camera *c);
void camera_unref(struct camera *c);
/* One exposure now. False: no room, or all were taken. */
bool camera_expose(struct camera *c);
/* Forgets a waiting frame. -ENOENT. */
WARN_UNUSED int camera_release(struct camera *c, const char *frame_id);
void camera_describe(struct camera *c); /* fills the device's tables */

/* The file that it is taken from, or NULL: it is rendered by this spec. */
const struct image_file *shot_file(const struct camera *c, const struct shot *s);
struct scene_spec shot_spec(const struct camera *c, const struct shot *s);
void shot_id(const struct camera *c, const struct shot *s, char ret_id[CAMERA_FRAME_ID_BYTES]);
/* "coast", or the file's stem. */
const char *shot_name(const struct camera *c, const struct shot *s);
/* Width and height as they will be delivered. */
void shot_size(const struct camera *c, const struct shot *s, uint32_t *ret_width, uint32_t *ret_height);
double shot_gsd(const struct camera *c, const struct shot *s);

/* The frame function of the device. */
int camera_frame(void *user, uint32_t n_samples, struct iiod_frame **ret_frame);
void pixels_unref(struct pixels *p);

#endif
