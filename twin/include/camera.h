/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A camera of the twin as an IIO device. It exposes frames into its memory and keeps each until frame_release
 * names it; a buffer delivers the frame at the head of the memory. What waits is only a note of what was
 * exposed when and how: pixels are rendered (or read from a file) in a worker when a READBUF needs them, and
 * the same again after they were evicted. At most one frame's pixels are kept, and those that are on their
 * way to clients.
 */
#ifndef TWIN_CAMERA_H
#define TWIN_CAMERA_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "core/clock.h"
#include "iiod.h"
#include "image.h"

#define CAMERA_MEMORY_FRAMES 64 /* frames that wait at most; while it is full nothing is exposed */
#define CAMERA_FRAME_ID_BYTES 64
#define CAMERA_EXPOSURE_US 1000 /* nominal: reflectances come out as they are */

struct camera_options {
	const char *id, *name; /* "iio:device0", "cam0" */
	bool rgb;              /* three 8-bit colours instead of six bands */
	uint32_t seed;
	uint32_t width, height; /* of rendered scenes, pixels */
	double gsd_m;
	uint64_t count;      /* frames to expose in all; 0: without end */
	int64_t interval_ns; /* between exposures; 0: whenever there is room; negative: only on software
				triggers */
	/* Scenes to take instead of rendering, in turn; NULL or none: render. Borrowed, like all the texts.
	 */
	const struct image_file *const *files;
	size_t n_files;
	const char *truth_dir; /* NULL: truth is not written */
	/* Hears, in the loop's thread, of frames that cannot be had and of truth that cannot be written; or
	 * NULL. */
	void (*warn)(void *user, bool error, const char *text);
	void *user;
};

struct camera;

/* Counters, for the end of a session and for the power model. */
struct camera_counts {
	uint64_t taken, missed, delivered, released, waiting;
};

WARN_UNUSED int camera_create(
	uv_loop_t *loop, const struct camera_options *options, struct camera **ret_camera);
/* The device's tables; valid until the camera is destroyed. */
const struct iiod_device *camera_device(struct camera *camera);
/* Begins to expose. `server` is told when a frame may be there. */
void camera_start(struct camera *camera, struct iiod_server *server);
struct camera_counts camera_counts(const struct camera *camera);
/* The memory goes when the loop has run the callbacks and the last frame on its way was dropped. */
void camera_destroy(struct camera *camera);

#endif
