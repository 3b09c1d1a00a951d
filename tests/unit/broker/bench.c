/* SPDX-License-Identifier: Apache-2.0 */
#include "bench.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "core/file.h"

const char *bench_executable;

static void on_subscribed(struct broker_client *c, uint32_t sub, int status, const char *reason, void *user)
{
	struct bench *b = user;

	assert_int_equal(sub, b->sub);
	assert_true((status == 0) == (reason[0] == 0));
	b->sub_status = status;
	b->sub_answered = true;
}

static void on_frame(struct broker_client *c, const struct broker_frame *f, void *user)
{
	struct bench *b = user;

	assert_true(b->n_frames < BENCH_FRAMES_MAX);
	b->frames[b->n_frames++] = *f;
	if (b->keep) {
		assert_int_equal(broker_frame_kept(c, f->device, f->buffer), 0);
		bench_lend(b);
	}
}

static void on_value(struct broker_client *c, uint32_t req, int status, const char *text, void *user)
{
	struct bench *b = user;

	assert_int_equal(req, b->req);
	b->value_status = status;
	b->value_answered = true;
	snprintf(b->text, sizeof(b->text), "%s", text);
}

static void on_device(struct broker_client *c, const struct broker_device *d, void *user)
{
	struct bench *b = user;

	b->n_devices++;
	if (strcmp(d->name, "cam0") == 0) {
		b->cam0 = *d;
		if (d->state == BROKER_DEVICE_DOWN)
			snprintf(b->worst, sizeof(b->worst), "%s", d->reason);
	} else if (strcmp(d->name, "temp0") == 0) {
		b->temp0 = *d;
	}
}

static void on_gone(struct broker_client *c, int status, void *user)
{
	struct bench *b = user;

	assert_false(b->gone);
	b->gone = true;
	b->gone_status = status;
}

static void on_limit(uv_timer_t *timer)
{
	fail_msg("waited too long");
}

static void on_ready(struct broker_client *c, void *user)
{
	struct bench *b = user;

	b->ready = true;
	b->devices_when_ready = b->n_devices;
}

void bench_start_policy(struct bench *b, const char *policy)
{
	static const struct broker_callbacks callbacks = {.on_subscribed = on_subscribed,
		.on_frame = on_frame,
		.on_value = on_value,
		.on_device = on_device,
		.on_ready = on_ready,
		.on_gone = on_gone};

	memset(b, 0, sizeof(*b));
	for (size_t i = 0; i < ARRAY_LEN(b->fds); i++)
		b->fds[i] = -1;
	snprintf(b->dir, sizeof(b->dir), "/tmp/perigee-broker-XXXXXX");
	assert_non_null(mkdtemp(b->dir));
	snprintf(b->policy, sizeof(b->policy), "%s/policy.yaml", b->dir);
	assert_int_equal(file_replace(b->policy, policy, strlen(policy), 0644), 0);
	assert_int_equal(uv_loop_init(&b->loop), 0);
	uv_timer_init(&b->loop, &b->limit);
	uv_unref((uv_handle_t *)&b->limit);
	assert_int_equal(
		broker_client_create(&b->loop, bench_executable, b->policy, &callbacks, b, &b->client), 0);
}

void bench_start(struct bench *b, uint16_t cam_port, uint16_t temp_port, const char *timeout)
{
	char text[2048];

	snprintf(text, sizeof(text),
		"perigee: v1\n"
		"policy: bench\n"
		"devices:\n"
		"  cam0: {class: camera, driver: iio, uri: \"ip:127.0.0.1:%u\", device: cam0, timeout: %s}\n"
		"  temp0: {class: thermometer, driver: iio, uri: \"ip:127.0.0.1:%u\", device: temp0, "
		"timeout: 5s}\n"
		"  power0: {class: power-monitor, driver: iio, uri: \"ip:127.0.0.1:%u\", device: power0}\n"
		"grants:\n"
		"  - {payload: watch, device: cam0, operations: [capture, read]}\n"
		"  - {payload: other, device: cam0, operations: [capture]}\n"
		"  - {payload: perigee, device: temp0, operations: [read]}\n"
		"  - {payload: perigee, device: power0, operations: [read]}\n",
		cam_port, timeout, temp_port, temp_port);
	bench_start_policy(b, text);
}

void bench_stop(struct bench *b)
{
	broker_client_destroy(b->client);
	uv_close((uv_handle_t *)&b->limit, NULL);
	assert_int_equal(uv_run(&b->loop, UV_RUN_DEFAULT), 0);
	assert_int_equal(uv_loop_close(&b->loop), 0);
	for (size_t i = 0; i < ARRAY_LEN(b->fds); i++) {
		if (b->fds[i] >= 0)
			close(b->fds[i]);
	}
	assert_int_equal(dir_remove(b->dir), 0);
}

void bench_until(struct bench *b, bool (*done)(struct bench *b, size_t arg), size_t arg)
{
	uv_timer_start(&b->limit, on_limit, 30000, 0);
	while (!done(b, arg)) {
		/* When nothing can happen any more it never will. */
		if (uv_run(&b->loop, UV_RUN_ONCE) == 0 && !done(b, arg))
			fail_msg("the loop has nothing to wait for");
	}
	uv_timer_stop(&b->limit);
}

static bool subscribed(struct bench *b, size_t arg)
{
	return b->sub_answered || b->gone;
}

int bench_subscribe(struct bench *b, const char *payload, const char *device)
{
	b->sub_answered = false;
	assert_int_equal(broker_subscribe(b->client, payload, device, &b->sub), 0);
	bench_until(b, subscribed, 0);
	return b->sub_status;
}

static bool answered(struct bench *b, size_t arg)
{
	return b->value_answered || b->gone;
}

int bench_read(struct bench *b, const char *payload, const char *device, const char *attribute)
{
	b->value_answered = false;
	assert_int_equal(broker_read(b->client, payload, device, attribute, &b->req), 0);
	bench_until(b, answered, 0);
	assert_true(b->value_answered);
	return b->value_status;
}

uint64_t bench_lend(struct bench *b)
{
	char path[96];
	uint64_t id = ++b->last_buffer;

	assert_true(id < ARRAY_LEN(b->fds));
	snprintf(path, sizeof(path), "%s/buffer-%llu", b->dir, (unsigned long long)id);
	b->fds[id] = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	assert_true(b->fds[id] >= 0);
	assert_int_equal(broker_lend_buffer(b->client, "cam0", id, b->fds[id]), 0);
	return id;
}

bool has_frames(struct bench *b, size_t n)
{
	return b->n_frames >= n;
}

bool is_gone(struct bench *b, size_t arg)
{
	return b->gone;
}

void bench_check_frame(struct bench *b, const struct broker_frame *f, int number, uint32_t width)
{
	uint8_t data[PAM_HEADER_BYTES_MAX + FAULT_WIDTH * FAULT_HEIGHT * FAULT_BANDS * 2];
	char id[32];
	struct digest digest;
	uint64_t bytes;
	struct pam pam;

	assert_string_equal(f->device, "cam0");
	snprintf(id, sizeof(id), "frame-%d", number);
	assert_string_equal(f->frame_id, id);
	assert_true(f->buffer >= 1 && f->buffer <= b->last_buffer);
	int fd = b->fds[f->buffer];
	assert_int_equal(digest_fd(fd, &digest, &bytes), 0);
	assert_memory_equal(digest.bytes, f->digest.bytes, DIGEST_BYTES);
	assert_int_equal(bytes, f->bytes);
	ssize_t n = pread(fd, data, sizeof(data), 0);
	int at = pam_parse(data, (size_t)n, &pam);
	assert_true(at > 0);
	assert_int_equal(pam.width, width);
	assert_int_equal((uint64_t)n, (uint64_t)at + pam_data_bytes(&pam));
	for (size_t k = 0; k < pam_data_bytes(&pam) / 2; k++)
		assert_int_equal(data[at + (int)k * 2] << 8 | data[at + (int)k * 2 + 1],
			(k * 7 + (size_t)number) & 0xffff);
}
