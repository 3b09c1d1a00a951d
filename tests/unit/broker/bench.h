/* SPDX-License-Identifier: Apache-2.0 */
/* A supervisor for tests: the real client with the real perigee-broker, on a loop that runs until something
 * holds. */
#ifndef TEST_BROKER_BENCH_H
#define TEST_BROKER_BENCH_H

#include <uv.h>

#include "broker.h"
#include "core/pam.h"
#include "fault-iiod.h"

#define BENCH_FRAMES_MAX 32

struct bench {
	uv_loop_t loop;
	uv_timer_t limit;
	struct broker_client *client;
	char dir[64], policy[96];
	uint64_t last_buffer;
	int fds[256]; /* by buffer */

	struct broker_frame frames[BENCH_FRAMES_MAX];
	size_t n_frames;
	struct broker_device cam0, temp0;
	bool ready; /* on_ready was called */
	size_t devices_when_ready;
	size_t n_devices;                /* times that on_device was called */
	char worst[BROKER_REASON_BYTES]; /* the last reason for which cam0 was down */
	uint32_t sub, req;
	int sub_status, value_status;
	bool sub_answered, value_answered, gone;
	char text[BROKER_VALUE_BYTES];
	int gone_status;
	bool keep; /* say that each frame is kept, and lend another buffer */
};

extern const char *bench_executable;

/* Writes a policy for cam0 (of the first server), temp0 and power0 (of the second), and starts a broker with
 * it. */
void bench_start(struct bench *b, uint16_t cam_port, uint16_t temp_port, const char *timeout);
void bench_start_policy(struct bench *b, const char *policy);
void bench_stop(struct bench *b);
/* Runs the loop until done(b, arg); fails the test when that takes longer than 30 s. */
void bench_until(struct bench *b, bool (*done)(struct bench *b, size_t arg), size_t arg);
int bench_subscribe(struct bench *b, const char *payload, const char *device);
int bench_read(struct bench *b, const char *payload, const char *device, const char *attribute);
uint64_t bench_lend(struct bench *b);

bool has_frames(struct bench *b, size_t n);
bool is_gone(struct bench *b, size_t arg);
/* Holds the frame's file against its announcement and what the test server delivers. */
void bench_check_frame(struct bench *b, const struct broker_frame *f, int number, uint32_t width);

#endif
