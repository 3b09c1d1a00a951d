/* SPDX-License-Identifier: Apache-2.0 */
/* The broker with the twin's devices: another server of the same protocol, which renders frames as it goes.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "bench.h"
#include "core/file.h"

static const char *twin_executable;

struct twin {
	pid_t pid;
	unsigned int port;
};

/* Serves until it is stopped. `port` 0: any. */
static struct twin twin_start(unsigned int port, const char *const *more)
{
	const char *args[16] = {twin_executable, "serve", "--port", NULL};
	struct twin t = {0};
	char text[16], line[256];
	size_t n = 3;
	int out[2];

	snprintf(text, sizeof(text), "%u", port);
	args[n++] = text;
	while (*more)
		args[n++] = *more++;
	assert_int_equal(pipe(out), 0);
	t.pid = fork();
	if (t.pid == 0) {
		dup2(out[1], STDOUT_FILENO);
		close(out[0]);
		execv(twin_executable, (char **)args);
		_exit(99);
	}
	close(out[1]);
	FILE *f = fdopen(out[0], "r");
	assert_non_null(f);
	assert_non_null(fgets(line, sizeof(line), f));
	assert_int_equal(sscanf(line, "listening on 127.0.0.1:%u", &t.port), 1);
	fclose(f);
	return t;
}

static void twin_stop(struct twin *t)
{
	kill(t->pid, SIGKILL);
	waitpid(t->pid, NULL, 0);
}

static void start(struct bench *b, unsigned int port, const char *camera)
{
	char text[1024];

	snprintf(text, sizeof(text),
		"perigee: v1\n"
		"policy: twin\n"
		"devices:\n"
		"  cam0: {class: camera, driver: iio, uri: \"ip:127.0.0.1:%u\", device: %s, timeout: 2s}\n"
		"  temp0: {class: thermometer, driver: iio, uri: \"ip:127.0.0.1:%u\", device: temp0}\n"
		"  power0: {class: power-monitor, driver: iio, uri: \"ip:127.0.0.1:%u\", device: power0}\n"
		"grants:\n"
		"  - {payload: watch, device: cam0, operations: [capture]}\n"
		"  - {payload: perigee, device: temp0, operations: [read]}\n"
		"  - {payload: perigee, device: power0, operations: [read]}\n",
		port, camera, port, port);
	bench_start_policy(b, text);
	b->keep = true;
	bench_lend(b);
	bench_lend(b);
	assert_int_equal(bench_subscribe(b, "watch", "cam0"), 0);
}

static void check(
	struct bench *b, const struct broker_frame *f, uint32_t width, uint32_t height, const char *tupltype)
{
	uint8_t header[PAM_HEADER_BYTES_MAX];
	struct digest digest;
	uint64_t bytes;
	struct pam pam;

	assert_int_equal(digest_fd(b->fds[f->buffer], &digest, &bytes), 0);
	assert_memory_equal(digest.bytes, f->digest.bytes, DIGEST_BYTES);
	assert_int_equal(bytes, f->bytes);
	int at = pam_parse(header, (size_t)pread(b->fds[f->buffer], header, sizeof(header), 0), &pam);
	assert_true(at > 0);
	assert_int_equal(pam.width, width);
	assert_int_equal(pam.height, height);
	assert_string_equal(pam.tupltype, tupltype);
	assert_int_equal(bytes, (uint64_t)at + pam_data_bytes(&pam));
}

static const char six[] = "BLUE,GREEN,RED,NIR,SWIR16,SWIR22";

static void frames_and_sensors(void **state)
{
	static const char *const args[] = {"--count", "4", "--interval", "0s", "--size", "96x64", NULL};
	struct twin t = twin_start(0, args);
	struct bench b;

	start(&b, t.port, "cam0");
	bench_until(&b, has_frames, 4);
	for (size_t i = 0; i < 4; i++) {
		check(&b, &b.frames[i], 96, 64, six);
		assert_true(b.frames[i].n_attrs >= 3);
		for (size_t j = 0; j < i; j++) {
			assert_string_not_equal(b.frames[i].frame_id, b.frames[j].frame_id);
			assert_memory_not_equal(
				b.frames[i].digest.bytes, b.frames[j].digest.bytes, DIGEST_BYTES);
		}
	}
	assert_int_equal(bench_read(&b, "perigee", "temp0", "temperature"), 0);
	double v = strtod(b.text, NULL);
	assert_true(v > -60 && v < 120);
	static const char *const quantities[] = {"power", "voltage", "current"};
	for (size_t i = 0; i < ARRAY_LEN(quantities); i++) {
		assert_int_equal(bench_read(&b, "perigee", "power0", quantities[i]), 0);
		assert_true(strtod(b.text, NULL) > 0);
	}
	assert_int_equal(b.cam0.dropped, 0);
	bench_stop(&b);
	twin_stop(&t);
}

static bool down(struct bench *b, size_t arg)
{
	return b->cam0.state == BROKER_DEVICE_DOWN;
}

/* It disappears and comes back: the session is opened again, and frames go on. */
static void it_comes_back(void **state)
{
	static const char *const args[] = {"--count", "2", "--interval", "0s", "--size", "64x64", NULL};
	struct twin t = twin_start(0, args);
	struct bench b;

	start(&b, t.port, "cam0");
	bench_until(&b, has_frames, 2);
	twin_stop(&t);
	bench_until(&b, down, 0);
	t = twin_start(t.port, args);
	bench_until(&b, has_frames, 4);
	for (size_t i = 0; i < 4; i++)
		check(&b, &b.frames[i], 64, 64, six);
	assert_true(b.cam0.reopened >= 1);
	bench_stop(&b);
	twin_stop(&t);
}

/* Pictures of several sizes: no frame is lost, and none counts as dropped. */
static void sizes_change(void **state)
{
	static const unsigned int sizes[][2] = {{80, 60}, {33, 77}, {33, 77}, {160, 20}};
	char dir[] = "/tmp/perigee-scenes-XXXXXX", path[64];
	struct bench b;

	assert_non_null(mkdtemp(dir));
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		snprintf(path, sizeof(path), "%s/%zu.ppm", dir, i);
		FILE *f = fopen(path, "w");
		assert_non_null(f);
		fprintf(f, "P6\n%u %u\n255\n", sizes[i][0], sizes[i][1]);
		for (unsigned int k = 0; k < sizes[i][0] * sizes[i][1] * 3; k++)
			fputc((int)(k * 11 + i), f);
		assert_int_equal(fclose(f), 0);
	}
	const char *const args[] = {"--scenes", dir, "--interval", "0s", NULL};
	struct twin t = twin_start(0, args);
	start(&b, t.port, "cam1");
	bench_until(&b, has_frames, ARRAY_LEN(sizes));
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
		check(&b, &b.frames[i], sizes[i][0], sizes[i][1], "RGB");
	assert_int_equal(b.cam0.dropped, 0);
	assert_int_equal(b.cam0.reopened, 0);
	bench_stop(&b);
	twin_stop(&t);
	assert_int_equal(dir_remove(dir), 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_and_sensors),
		cmocka_unit_test(it_comes_back),
		cmocka_unit_test(sizes_change),
	};

	if (argc != 3)
		return 2;
	bench_executable = argv[1];
	twin_executable = argv[2];
	return cmocka_run_group_tests_name("broker-twin", tests, NULL, NULL);
}
