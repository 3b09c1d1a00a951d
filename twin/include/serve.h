/* SPDX-License-Identifier: Apache-2.0 */
/* The device server of the twin: cameras, thermometer and power monitor behind one IIOD port. */
#ifndef TWIN_SERVE_H
#define TWIN_SERVE_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "core/err.h"

struct serve_options {
	const char *bind; /* a numeric address */
	uint16_t port;    /* 0: any */
	uint32_t seed;
	const char *scenes; /* folder, or NULL: rendered */
	uint32_t rgb;       /* how many frames cam1 renders; 0: no cam1, unless scenes has pictures for it */
	bool count_given;
	uint64_t count; /* frames of each camera; 0: without end. Not given: each scene of the folder once, or
			 * without end when rendered. */
	int64_t interval_ns; /* between exposures; 0: whenever there is room; negative: on software triggers
				only */
	uint32_t width, height; /* of rendered frames */
	const char *truth_dir;  /* NULL: no */
	double time_scale;      /* of the power and heat model */
};

struct serve_counts {
	uint64_t frames_taken, frames_missed, frames_delivered, frames_released, frame_bytes;
};

struct serve;

/* 512 x 512, seed 1, 127.0.0.1:30431, an exposure every 2 s, without end. */
struct serve_options serve_defaults(void);
/* Reads the scenes, makes the devices, listens, begins to expose. `warn` (may be NULL) hears of files that are left out,
 * then and later of frames that cannot be had.
 * -errno; ret_reason (256 bytes) says what. Options are borrowed until destroyed. */
WARN_UNUSED int serve_create(uv_loop_t *loop, const struct serve_options *options,
	void (*warn)(void *user, bool error, const char *text), void *user, struct serve **ret_serve,
	char *ret_reason);
uint16_t serve_port(const struct serve *serve);
struct serve_counts serve_counts(const struct serve *serve);
/* Closes everything; run the loop once more until it ends, then serve_free. */
void serve_stop(struct serve *serve);
void serve_free(struct serve *serve);

#endif
