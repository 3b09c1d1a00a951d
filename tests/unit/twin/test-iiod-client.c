/* SPDX-License-Identifier: Apache-2.0 */
/* The server as libiio's own client sees it. */
#include <errno.h>
#include <iio.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "core/file.h"
#include "core/pam.h"
#include "scene.h"
#include "served.h"

#define SIDE 64

static struct serve_options small(void)
{
	struct serve_options o = serve_defaults();

	o.port = 0;
	o.seed = 9;
	o.width = SIDE;
	o.height = SIDE;
	o.interval_ns = -1; /* exposures are triggered here, so that nothing depends on time */
	return o;
}

static struct iio_context *connect_to(const struct served *s)
{
	char uri[64];

	(void)snprintf(uri, sizeof(uri), "ip:127.0.0.1:%u", served_port(s));
	struct iio_context *ctx = iio_create_context_from_uri(uri);
	assert_non_null(ctx);
	assert_int_equal(iio_context_set_timeout(ctx, 0), 0);
	return ctx;
}

static struct iio_device *camera(struct iio_context *ctx)
{
	struct iio_device *d = iio_context_find_device(ctx, "cam0");

	assert_non_null(d);
	return d;
}

static void get(struct iio_device *d, const char *name, char text[256])
{
	assert_true(iio_device_attr_read(d, name, text, 256) > 0);
}

static void trigger(struct iio_device *d, const char *n)
{
	assert_true(iio_device_attr_write(d, "trigger_exposures", n) > 0);
}

static struct iio_buffer *open_all(struct iio_device *d, size_t n_samples)
{
	for (unsigned i = 0; i < iio_device_get_channels_count(d); i++)
		iio_channel_enable(iio_device_get_channel(d, i));
	struct iio_buffer *b = iio_device_create_buffer(d, n_samples, false);
	assert_non_null(b);
	return b;
}

/* What frame `number` of the server must be. The caller frees it. */
static uint8_t *expected(uint64_t number, double exposure, double gain, size_t *ret_bytes)
{
	struct scene_spec spec = {.seed = 9,
		.index = number - 1,
		.width = SIDE,
		.height = SIDE,
		.gsd_m = 10,
		.exposure = exposure,
		.gain = gain};
	struct pam form = scene_form(&spec);
	uint8_t *data = malloc((size_t)pam_data_bytes(&form));

	assert_non_null(data);
	assert_int_equal(scene_render(&spec, data, NULL, NULL), 0);
	*ret_bytes = (size_t)pam_data_bytes(&form);
	return data;
}

static void check_frame(struct iio_buffer *b, uint64_t number)
{
	size_t bytes = 0;
	uint8_t *want = expected(number, 1, 1, &bytes);

	assert_int_equal(iio_buffer_refill(b), bytes);
	assert_memory_equal(iio_buffer_start(b), want, bytes);
	free(want);
}

static void test_context(void **state)
{
	struct serve_options o = small();
	o.rgb = 2;
	struct served *s = served_start(&o);
	struct iio_context *ctx = connect_to(s);
	unsigned major, minor;
	char tag[8];

	assert_int_equal(iio_context_get_devices_count(ctx), 4);
	assert_int_equal(iio_context_get_version(ctx, &major, &minor, tag), 0);
	assert_int_equal(major, 0);
	assert_int_equal(minor, 24);
	struct iio_device *d = camera(ctx);
	assert_int_equal(iio_device_get_channels_count(d), 6);
	static const char *const names[] = {"blue", "green", "red", "nir", "swir16", "swir22"};
	for (unsigned i = 0; i < 6; i++) {
		struct iio_channel *ch = iio_device_find_channel(d, names[i], false);
		assert_non_null(ch);
		assert_int_equal(iio_channel_get_index(ch), i);
		assert_true(iio_channel_is_scan_element(ch));
		const struct iio_data_format *f = iio_channel_get_data_format(ch);
		assert_true(f->is_be && !f->is_signed && f->bits == 16 && f->length == 16 && f->shift == 0);
	}
	struct iio_device *colour = iio_context_find_device(ctx, "cam1");
	assert_non_null(colour);
	assert_int_equal(iio_device_get_channels_count(colour), 3);
	assert_string_equal(iio_channel_get_name(iio_device_get_channel(colour, 0)), "red");
	const struct iio_device *trig;
	assert_int_equal(iio_device_get_trigger(d, &trig), -ENOENT);
	assert_int_equal(iio_device_set_kernel_buffers_count(d, 1), 0);
	assert_int_equal(iio_device_set_kernel_buffers_count(d, 0), -EINVAL);
	iio_context_destroy(ctx);
	served_stop(s);
}

static int count_attr(struct iio_device *d, const char *attr, const char *value, size_t len, void *user)
{
	char text[256];

	assert_true(iio_device_attr_read(d, attr, text, sizeof(text)) > 0);
	assert_string_equal(value, text);
	++*(unsigned *)user;
	return 0;
}

static void test_attributes(void **state)
{
	struct serve_options o = small();
	struct served *s = served_start(&o);
	struct iio_context *ctx = connect_to(s);
	struct iio_device *d = camera(ctx);
	char text[256];
	unsigned n = 0;

	get(d, "frame_width", text);
	assert_string_equal(text, "64"); /* none waits: the configured size */
	get(d, "frame_id", text);
	assert_string_equal(text, "");
	assert_true(iio_device_attr_write(d, "gain", "2.5") > 0);
	get(d, "gain", text);
	assert_string_equal(text, "2.500");
	assert_int_equal(iio_device_attr_write(d, "gain", "0"), -EINVAL);
	assert_int_equal(iio_device_attr_write(d, "gain", "nan"), -EINVAL);
	assert_int_equal(iio_device_attr_write(d, "gain", "2x"), -EINVAL);
	assert_int_equal(iio_device_attr_write(d, "exposure_us", "5"), -EINVAL);
	assert_int_equal(iio_device_attr_write(d, "frame_id", "mine"), -EACCES);
	/* All at once gives the same as one by one. */
	assert_int_equal(iio_device_attr_read_all(d, count_attr, &n), 0);
	assert_int_equal(n, iio_device_get_attrs_count(d));
	struct iio_channel *t = iio_device_find_channel(iio_context_find_device(ctx, "temp0"), "temp", false);
	long long raw, offset, input;
	double scale;
	assert_int_equal(iio_channel_attr_read_longlong(t, "raw", &raw), 0);
	assert_int_equal(iio_channel_attr_read_longlong(t, "offset", &offset), 0);
	assert_int_equal(iio_channel_attr_read_longlong(t, "input", &input), 0);
	assert_int_equal(iio_channel_attr_read_double(t, "scale", &scale), 0);
	assert_true(input > -40000 && input < 80000);
	assert_true((double)(raw + offset) * scale > (double)input - 100 &&
		    (double)(raw + offset) * scale < (double)input + 100);
	iio_context_destroy(ctx);
	served_stop(s);
}

static void test_kept_until_released(void **state)
{
	struct serve_options o = small();
	struct served *s = served_start(&o);
	struct iio_context *ctx = connect_to(s);
	struct iio_device *d = camera(ctx);
	char id[256], other[256];

	trigger(d, "3");
	struct iio_buffer *b = open_all(d, SIDE * SIDE);
	check_frame(b, 1);
	check_frame(b, 1); /* the same again */
	iio_buffer_destroy(b);
	iio_context_destroy(ctx); /* the reader dies without having released */

	ctx = connect_to(s);
	d = camera(ctx);
	b = open_all(d, SIDE * SIDE);
	check_frame(b, 1);
	get(d, "frame_id", id);
	assert_string_equal(id, "cam0-9-000001");
	assert_int_equal(iio_device_attr_write(d, "frame_release", "cam0-9-000009"), -ENOENT);
	assert_true(iio_device_attr_write(d, "frame_release", id) > 0);
	assert_int_equal(iio_device_attr_write(d, "frame_release", id), -ENOENT);
	check_frame(b, 2);
	get(d, "frame_id", other);
	assert_string_equal(other, "cam0-9-000002");
	get(d, "frames_waiting", other);
	assert_string_equal(other, "2");
	/* One that waits behind the head can be forgotten too. */
	assert_true(iio_device_attr_write(d, "frame_release", "cam0-9-000003") > 0);
	check_frame(b, 2);
	get(d, "frames_waiting", other);
	assert_string_equal(other, "1");
	iio_buffer_destroy(b);
	iio_context_destroy(ctx);
	served_stop(s);
}

static void *refill(void *user)
{
	return (void *)(intptr_t)iio_buffer_refill(user);
}

static void test_blocked_while_others_are_served(void **state)
{
	struct serve_options o = small();
	struct served *s = served_start(&o);
	struct iio_context *waits = connect_to(s), *other = connect_to(s);
	struct iio_buffer *b = open_all(camera(waits), SIDE * SIDE);
	struct iio_device *d = camera(other);
	char text[256] = "";
	pthread_t thread;
	size_t bytes = 0;
	void *got = NULL;

	assert_int_equal(pthread_create(&thread, NULL, refill, b), 0);
	/* Each turn is an answer to the other client while the first is blocked, or about to be. */
	while (strcmp(text, "1"))
		assert_true(iio_device_debug_attr_read(d, "buffers_blocked", text, sizeof(text)) > 0);
	get(d, "frames_taken", text);
	assert_string_equal(text, "0");
	assert_true(iio_device_attr_write(d, "exposure_us", "2000") > 0);
	trigger(d, "1");
	assert_int_equal(pthread_join(thread, &got), 0);
	uint8_t *want = expected(1, 2, 1, &bytes);
	assert_int_equal((intptr_t)got, bytes);
	assert_memory_equal(iio_buffer_start(b), want, bytes);
	free(want);
	iio_buffer_destroy(b);
	iio_context_destroy(waits);
	iio_context_destroy(other);
	served_stop(s);
}

/* A reader that gives up waiting leaves nothing behind. */
static void test_cancelled(void **state)
{
	struct serve_options o = small();
	struct served *s = served_start(&o);
	struct iio_context *waits = connect_to(s), *other = connect_to(s);
	struct iio_buffer *b = open_all(camera(waits), SIDE * SIDE);
	struct iio_device *d = camera(other);
	char text[256] = "";
	pthread_t thread;
	void *got = NULL;

	assert_int_equal(pthread_create(&thread, NULL, refill, b), 0);
	while (strcmp(text, "1"))
		assert_true(iio_device_debug_attr_read(d, "buffers_blocked", text, sizeof(text)) > 0);
	iio_buffer_cancel(b);
	assert_int_equal(pthread_join(thread, &got), 0);
	assert_true((intptr_t)got < 0);
	iio_buffer_destroy(b);
	while (strcmp(text, "0"))
		assert_true(iio_device_debug_attr_read(d, "buffers_blocked", text, sizeof(text)) > 0);
	trigger(d, "1");
	b = open_all(d, SIDE * SIDE);
	check_frame(b, 1);
	iio_buffer_destroy(b);
	iio_context_destroy(waits);
	iio_context_destroy(other);
	served_stop(s);
}

static void test_some_channels(void **state)
{
	struct serve_options o = small();
	struct served *s = served_start(&o);
	struct iio_context *ctx = connect_to(s);
	struct iio_device *d = camera(ctx);
	size_t bytes = 0;
	uint8_t *want = expected(1, 1, 1, &bytes);

	trigger(d, "1");
	iio_channel_enable(iio_device_find_channel(d, "red", false));
	iio_channel_enable(iio_device_find_channel(d, "swir16", false));
	struct iio_buffer *b = iio_device_create_buffer(d, SIDE * SIDE, false);
	assert_non_null(b);
	assert_int_equal(iio_buffer_refill(b), SIDE * SIDE * 4);
	const uint8_t *got = iio_buffer_start(b);
	for (size_t i = 0; i < SIDE * SIDE; i++) {
		assert_memory_equal(got + 4 * i, want + 12 * i + 4, 2);
		assert_memory_equal(got + 4 * i + 2, want + 12 * i + 8, 2);
	}
	free(want);
	iio_buffer_destroy(b);
	iio_context_destroy(ctx);
	served_stop(s);
}

struct reader {
	const struct served *served;
	pthread_t thread;
	uint8_t *got;
	size_t bytes;
};

static void *read_frame(void *user)
{
	struct reader *r = user;
	struct iio_context *ctx = connect_to(r->served);
	struct iio_buffer *b = open_all(camera(ctx), SIDE * SIDE);
	ssize_t n = iio_buffer_refill(b);

	if (n > 0) {
		r->bytes = (size_t)n;
		r->got = malloc(r->bytes);
		memcpy(r->got, iio_buffer_start(b), r->bytes);
	}
	iio_buffer_destroy(b);
	iio_context_destroy(ctx);
	return NULL;
}

static void test_many_at_once(void **state)
{
	struct serve_options o = small();
	struct served *s = served_start(&o);
	struct iio_context *ctx = connect_to(s);
	struct reader readers[8];
	size_t bytes = 0;
	uint8_t *want = expected(1, 1, 1, &bytes);

	for (size_t i = 0; i < ARRAY_LEN(readers); i++) {
		readers[i] = (struct reader){.served = s};
		assert_int_equal(pthread_create(&readers[i].thread, NULL, read_frame, &readers[i]), 0);
	}
	trigger(camera(ctx), "1");
	for (size_t i = 0; i < ARRAY_LEN(readers); i++) {
		assert_int_equal(pthread_join(readers[i].thread, NULL), 0);
		assert_int_equal(readers[i].bytes, bytes);
		assert_memory_equal(readers[i].got, want, bytes);
		free(readers[i].got);
	}
	free(want);
	iio_context_destroy(ctx);
	served_stop(s);
}

/* Scenes of two sizes in one folder: the open buffer does not fit the second. */
static void write_bsq(const char *dir, const char *name, size_t h, size_t w, unsigned base)
{
	char path[256];
	uint8_t *data = malloc(12 * h * w);

	for (size_t i = 0; i < 6 * h * w; i++) {
		data[2 * i] = (uint8_t)(base + i);
		data[2 * i + 1] = (uint8_t)(i / (h * w));
	}
	assert_int_equal(path_format(path, sizeof(path), "%s/%s_6x%zux%zu_u16le.bsq", dir, name, h, w), 0);
	assert_int_equal(file_replace(path, data, 12 * h * w, 0644), 0);
	free(data);
}

static void test_stale_size(void **state)
{
	char dir[] = "/tmp/perigee-twin-XXXXXX", id[256];
	struct serve_options o = small();

	assert_non_null(mkdtemp(dir));
	write_bsq(dir, "a", 5, 7, 1);
	write_bsq(dir, "b", 4, 9, 2);
	o.scenes = dir;
	struct served *s = served_start(&o);
	struct iio_context *ctx = connect_to(s);
	struct iio_device *d = camera(ctx);
	trigger(d, "1");
	assert_true(iio_device_attr_write(d, "gain", "3") > 0); /* for the second */
	trigger(d, "1");
	struct iio_buffer *b = open_all(d, 5 * 7);
	assert_int_equal(iio_buffer_refill(b), 12 * 5 * 7);
	/* Sample 1 of band 2 of the file, there little-endian. */
	const uint8_t *got = iio_buffer_start(b);
	assert_int_equal(got[12 + 4], 2);
	assert_int_equal(got[12 + 5], (1 + 2 * 35 + 1) & 255);
	get(d, "frame_id", id);
	assert_string_equal(id, "cam0-9-000001-a_6x5x7_u16le");
	assert_true(iio_device_attr_write(d, "frame_release", id) > 0);
	assert_int_equal(iio_buffer_refill(b), -ESTALE);
	iio_buffer_destroy(b);
	get(d, "frame_width", id);
	assert_string_equal(id, "9");
	b = open_all(d, 4 * 9);
	assert_int_equal(iio_buffer_refill(b), 12 * 4 * 9);
	got = iio_buffer_start(b);
	unsigned sample = 3 * (2u << 8 | ((2 + 2 * 36 + 1) & 255));
	assert_int_equal(got[12 + 4], sample >> 8);
	assert_int_equal(got[12 + 5], sample & 255);
	iio_buffer_destroy(b);
	/* Each file once: there is no third. */
	assert_int_equal(iio_device_attr_write(d, "trigger_exposures", "1"), -ENOSPC);
	iio_context_destroy(ctx);
	served_stop(s);
	assert_int_equal(dir_remove(dir), 0);
}

/* Pictures of three bands go to the colour camera, those of 16 bits as shades of 8. */
static void test_colour_files(void **state)
{
	static const uint8_t shades[] = {0, 128, 255, 1, 2, 3};
	char dir[] = "/tmp/perigee-twin-XXXXXX", path[64], text[256];
	struct serve_options o = small();

	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/a.ppm", dir);
	assert_int_equal(file_replace(path, "P6\n2 1\n255\n\0\x80\xff\1\2\3", 17, 0644), 0);
	(void)snprintf(path, sizeof(path), "%s/b.ppm", dir);
	assert_int_equal(file_replace(path, "P6\n1 1\n65535\n\0\0\x80\x80\xff\xff", 19, 0644), 0);
	o.scenes = dir;
	o.interval_ns = 0;
	struct served *s = served_start(&o);
	struct iio_context *ctx = connect_to(s);
	assert_null(iio_context_find_device(ctx, "cam0"));
	struct iio_device *d = iio_context_find_device(ctx, "cam1");
	assert_non_null(d);
	struct iio_buffer *b = open_all(d, 2);
	assert_int_equal(iio_buffer_refill(b), 6);
	assert_memory_equal(iio_buffer_start(b), shades, 6);
	iio_buffer_destroy(b);
	get(d, "frame_id", text);
	assert_string_equal(text, "cam1-9-000001-a");
	assert_true(iio_device_attr_write(d, "frame_release", text) > 0);
	b = open_all(d, 1);
	assert_int_equal(iio_buffer_refill(b), 3);
	assert_memory_equal(iio_buffer_start(b), shades, 3);
	iio_buffer_destroy(b);
	assert_int_equal(dir_remove(dir), 0);
	iio_context_destroy(ctx);
	served_stop(s);
}

/* A file that goes away is an error of this frame, not of the server. */
static void test_vanished_file(void **state)
{
	char dir[] = "/tmp/perigee-twin-XXXXXX", text[256];
	struct serve_options o = small();

	assert_non_null(mkdtemp(dir));
	write_bsq(dir, "a", 2, 2, 1);
	o.scenes = dir;
	o.interval_ns = 0;
	struct served *s = served_start(&o);
	struct iio_context *ctx = connect_to(s);
	struct iio_device *d = camera(ctx);
	assert_int_equal(dir_remove(dir), 0);
	struct iio_buffer *b = open_all(d, 4);
	assert_int_equal(iio_buffer_refill(b), -EIO);
	assert_int_equal(iio_buffer_refill(b), -EIO); /* asked again, looked for again */
	get(d, "frame_id", text);
	assert_true(iio_device_attr_write(d, "frame_release", text) > 0);
	get(d, "frames_waiting", text);
	assert_string_equal(text, "0");
	iio_buffer_destroy(b);
	iio_context_destroy(ctx);
	served_stop(s);
}

static void test_wrong_buffers(void **state)
{
	struct serve_options o = small();
	struct served *s = served_start(&o);
	struct iio_context *ctx = connect_to(s);
	struct iio_device *d = camera(ctx);

	trigger(d, "1");
	struct iio_buffer *b = open_all(d, 16);
	assert_int_equal(iio_buffer_refill(b), -ESTALE);
	iio_buffer_destroy(b);
	errno = 0;
	assert_null(iio_device_create_buffer(d, SIDE * SIDE, true)); /* cyclic */
	assert_int_equal(errno, EINVAL);
	iio_context_destroy(ctx);
	served_stop(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_context),
		cmocka_unit_test(test_attributes),
		cmocka_unit_test(test_kept_until_released),
		cmocka_unit_test(test_blocked_while_others_are_served),
		cmocka_unit_test(test_cancelled),
		cmocka_unit_test(test_some_channels),
		cmocka_unit_test(test_many_at_once),
		cmocka_unit_test(test_stale_size),
		cmocka_unit_test(test_colour_files),
		cmocka_unit_test(test_vanished_file),
		cmocka_unit_test(test_wrong_buffers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
