/* SPDX-License-Identifier: Apache-2.0 */
/* The driver against a device server that answers, says no, waits, or breaks off. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "core/pam.h"
#include "devices.h"
#include "fault-iiod.h"

static const struct device_driver *iio;
static char reason[DEVICE_REASON_BYTES];

static struct device_spec spec_of(
	const struct fault_iiod *s, enum device_class class, const char *device, int64_t ms)
{
	struct device_spec spec = {.class = class, .driver = "iio", .timeout_ns = ms * NS_PER_MS};

	snprintf(spec.name, sizeof(spec.name), "%s", device);
	snprintf(spec.device, sizeof(spec.device), "%s", device);
	snprintf(spec.uri, sizeof(spec.uri), "ip:127.0.0.1:%u", s->port);
	return spec;
}

static struct device *open_camera(const struct fault_iiod *s, int64_t ms)
{
	struct device_spec spec = spec_of(s, DEVICE_CAMERA, "cam0", ms);
	struct device *d = NULL;

	assert_int_equal(iio->open(&spec, &d, reason), 0);
	return d;
}

static void check_file(int fd, const struct device_frame *f, int number, uint32_t width)
{
	uint8_t data[PAM_HEADER_BYTES_MAX + FAULT_WIDTH * FAULT_HEIGHT * FAULT_BANDS * 2];
	struct digest digest;
	uint64_t bytes;
	struct pam pam;
	ssize_t n = pread(fd, data, sizeof(data), 0);
	int at = pam_parse(data, (size_t)n, &pam);

	assert_true(at > 0);
	assert_int_equal(pam.width, width);
	assert_int_equal(pam.height, FAULT_HEIGHT);
	assert_int_equal(pam.maxval, 65535);
	assert_string_equal(pam.tupltype, "RGB");
	assert_int_equal((uint64_t)n, (uint64_t)at + pam_data_bytes(&pam));
	for (size_t k = 0; k < pam_data_bytes(&pam) / 2; k++)
		assert_int_equal(data[at + (int)k * 2] << 8 | data[at + (int)k * 2 + 1],
			(k * 7 + (size_t)number) & 0xffff);
	assert_int_equal(digest_fd(fd, &digest, &bytes), 0);
	assert_memory_equal(digest.bytes, f->digest.bytes, DIGEST_BYTES);
	assert_int_equal(bytes, f->bytes);
}

static void frames(void **state)
{
	struct fault_iiod s = fault_iiod_start(FAULT_NONE, 0, 2);
	struct device *d = open_camera(&s, 5000);
	CLEAN_FD int fd = memfd_create("frame", 0);
	char time[UTC_TEXT_BYTES];

	for (int n = 1; n <= 2; n++) {
		struct device_frame f;
		char id[16];

		snprintf(id, sizeof(id), "frame-%d", n);
		assert_int_equal(iio->capture(d, fd, &f, reason), 0);
		check_file(fd, &f, n, FAULT_WIDTH);
		assert_string_equal(f.id, id);
		assert_true(f.must_release);
		utc_format(f.time, time);
		assert_string_equal(time, "2026-11-25T10:00:00.500Z");
		assert_int_equal(f.n_attrs, 4);
		assert_string_equal(f.attrs[0].name, "frame_width");
		assert_string_equal(f.attrs[0].value, "40");
		assert_string_equal(f.attrs[1].name, "frame_height");
		assert_string_equal(f.attrs[2].name, "frame_name");
		assert_string_equal(
			f.attrs[2].value, "bay???"); /* what is not printable is not let through */
		assert_string_equal(f.attrs[3].name, "frame_empty");
		assert_string_equal(f.attrs[3].value, "");
		/* The same frame until it is released. */
		assert_int_equal(iio->capture(d, fd, &f, reason), 0);
		assert_string_equal(f.id, id);
		assert_int_equal(iio->release(d, f.id, reason), 0);
	}
	iio->close(d);
	fault_iiod_stop(&s);
}

static void idle(void **state)
{
	struct fault_iiod s = fault_iiod_start(FAULT_NO_FRAMES, 0, 0);
	struct device *d = open_camera(&s, 100);
	CLEAN_FD int fd = memfd_create("frame", 0);
	struct device_frame f;

	for (int i = 0; i < 2; i++)
		assert_int_equal(iio->capture(d, fd, &f, reason), -ETIMEDOUT);
	iio->close(d);
	fault_iiod_stop(&s);
}

static void broken_frames(void **state)
{
	static const enum fault faults[] = {FAULT_CUT, FAULT_STALL, FAULT_FRAME_GARBAGE, FAULT_SHORT};

	for (size_t i = 0; i < ARRAY_LEN(faults); i++) {
		struct fault_iiod s = fault_iiod_start(faults[i], 1, 1);
		struct device *d = open_camera(&s, 200);
		CLEAN_FD int fd = memfd_create("frame", 0);
		struct device_frame f;

		reason[0] = 0;
		assert_int_equal(iio->capture(d, fd, &f, reason), ERR_DEVICE);
		assert_true(reason[0]);
		iio->close(d);
		/* It is still there for whoever asks properly. */
		d = open_camera(&s, 5000);
		assert_int_equal(iio->capture(d, fd, &f, reason), 0);
		check_file(fd, &f, 1, FAULT_WIDTH);
		iio->close(d);
		fault_iiod_stop(&s);
	}
}

static void size_changes(void **state)
{
	struct fault_iiod s = fault_iiod_start(FAULT_SIZE, 1, 1);
	struct device *d = open_camera(&s, 5000);
	CLEAN_FD int fd = memfd_create("frame", 0);
	struct device_frame f;

	assert_int_equal(iio->capture(d, fd, &f, reason), -EAGAIN);
	assert_int_equal(iio->capture(d, fd, &f, reason), 0);
	check_file(fd, &f, 1, FAULT_WIDTH / 2);
	iio->close(d);
	fault_iiod_stop(&s);
}

static void made_ids(void **state)
{
	struct fault_iiod s = fault_iiod_start(FAULT_NO_ID, 0, 2);
	struct device *d = open_camera(&s, 5000);
	CLEAN_FD int fd = memfd_create("frame", 0);
	struct device_frame a, b;

	assert_int_equal(iio->capture(d, fd, &a, reason), 0);
	assert_int_equal(iio->capture(d, fd, &b, reason), 0);
	assert_false(a.must_release);
	assert_string_equal(a.id, "2026-11-25T10:00:00.500Z-1");
	assert_string_equal(b.id, "2026-11-25T10:00:00.500Z-2");
	assert_int_equal(iio->release(d, a.id, reason), 0);
	iio->close(d);
	fault_iiod_stop(&s);
}

static void no_file(void **state)
{
	struct fault_iiod s = fault_iiod_start(FAULT_NONE, 0, 1);
	struct device *d = open_camera(&s, 5000);
	CLEAN_FD int full = memfd_create("frame", MFD_ALLOW_SEALING);
	CLEAN_FD int fd = memfd_create("frame", 0);
	struct device_frame f;

	assert_int_equal(fcntl(full, F_ADD_SEALS, F_SEAL_GROW), 0);
	assert_int_equal(iio->capture(d, full, &f, reason), -EPERM);
	/* The camera still has it, and the session is good. */
	assert_int_equal(iio->capture(d, fd, &f, reason), 0);
	check_file(fd, &f, 1, FAULT_WIDTH);
	iio->close(d);
	fault_iiod_stop(&s);
}

static void attributes(void **state)
{
	struct fault_iiod s = fault_iiod_start(FAULT_NONE, 0, 1);
	struct device_spec spec = spec_of(&s, DEVICE_THERMOMETER, "temp0", 5000);
	char text[DEVICE_VALUE_BYTES];
	struct device *d = NULL;

	assert_int_equal(iio->open(&spec, &d, reason), 0);
	assert_int_equal(iio->read(d, "temperature", text, reason), 0);
	assert_string_equal(text, "20"); /* (100 - 60) * 500 thousandths */
	assert_int_equal(iio->read(d, "temp/raw", text, reason), 0);
	assert_string_equal(text, "100");
	static const char *const unknown[] = {
		"power", "raw", "temp/none", "none/raw", "temp/", "/raw", "temp/raw/x"};
	for (size_t i = 0; i < ARRAY_LEN(unknown); i++)
		assert_int_equal(iio->read(d, unknown[i], text, reason), ERR_UNKNOWN);
	iio->close(d);

	spec = spec_of(&s, DEVICE_POWER_MONITOR, "power0", 5000);
	assert_int_equal(iio->open(&spec, &d, reason), 0);
	assert_int_equal(iio->read(d, "power", text, reason), 0);
	assert_string_equal(text, "12.5");
	iio->close(d);

	d = open_camera(&s, 5000);
	assert_int_equal(iio->read(d, "exposure_us", text, reason), 0);
	assert_string_equal(text, "250");
	assert_int_equal(iio->write(d, "frame_release", "frame-1", reason), 0);
	assert_int_equal(iio->read(d, "frame_id", text, reason), 0);
	assert_string_equal(text, ""); /* it took the frame at its word */
	fault_iiod_stop(&s);
	assert_int_equal(iio->read(d, "exposure_us", text, reason), ERR_DEVICE);
	assert_int_equal(iio->release(d, "frame-1", reason), ERR_DEVICE);
	iio->close(d);
}

static void denied(void **state)
{
	struct fault_iiod s = fault_iiod_start(FAULT_RELEASE_DENIED, 1, 1);
	struct device *d = open_camera(&s, 5000);

	assert_int_equal(iio->release(d, "frame-1", reason), -EPERM);
	assert_non_null(strstr(reason, "not permitted"));
	assert_int_equal(iio->release(d, "frame-1", reason), 0);
	iio->close(d);
	fault_iiod_stop(&s);
}

static void no_size(void **state)
{
	struct fault_iiod s = fault_iiod_start(FAULT_BAD_XML, 1, 0);
	struct device_spec spec = spec_of(&s, DEVICE_CAMERA, "cam0", 5000);
	struct device *d = NULL;

	assert_int_equal(iio->open(&spec, &d, reason), ERR_IMAGE);
	fault_iiod_stop(&s);
}

static void not_opened(void **state)
{
	struct fault_iiod s = fault_iiod_start(FAULT_GARBAGE, 1, 0);
	struct device_spec spec = spec_of(&s, DEVICE_CAMERA, "cam0", 5000);
	struct device *d = NULL;

	assert_int_equal(iio->open(&spec, &d, reason), ERR_DEVICE);
	snprintf(spec.device, sizeof(spec.device), "cam9");
	assert_int_equal(iio->open(&spec, &d, reason), -ENODEV);
	assert_non_null(strstr(reason, "cam9"));
	snprintf(spec.device, sizeof(spec.device), "temp0");
	assert_int_equal(iio->open(&spec, &d, reason), ERR_IMAGE);
	fault_iiod_stop(&s);
	assert_int_equal(iio->open(&spec, &d, reason), ERR_DEVICE);
	assert_non_null(strstr(reason, "refused"));
	assert_null(d);
}

/* A description without a server: it can be found, and not read. */
static void xml(void **state)
{
	char path[] = "/tmp/perigee-xml-XXXXXX", text[DEVICE_VALUE_BYTES];
	struct device_spec spec = {.name = "t",
		.class = DEVICE_THERMOMETER,
		.driver = "iio",
		.device = "t0",
		.timeout_ns = NS_PER_S};
	CLEAN_FD int fd = mkstemp(path);
	struct device *d = NULL;

	assert_true(
		dprintf(fd, "<?xml version=\"1.0\"?><!DOCTYPE context [<!ELEMENT context (device)*><!ATTLIST "
			    "context name "
			    "CDATA #REQUIRED><!ELEMENT device (channel)*><!ATTLIST device id CDATA #REQUIRED "
			    "name CDATA "
			    "#IMPLIED><!ELEMENT channel (attribute)*><!ATTLIST channel id CDATA #REQUIRED "
			    "type (input|output) "
			    "#REQUIRED><!ELEMENT attribute EMPTY><!ATTLIST attribute name CDATA #REQUIRED>]>"
			    "<context name=\"x\"><device id=\"iio:device0\" name=\"t0\"><channel id=\"temp\" "
			    "type=\"input\"><attribute name=\"input\"/></channel></device></context>") > 0);
	snprintf(spec.uri, sizeof(spec.uri), "xml:%s", path);
	assert_int_equal(iio->open(&spec, &d, reason), 0);
	assert_int_equal(iio->read(d, "temperature", text, reason), -ENOSYS);
	iio->close(d);
	unlink(path);
}

static int setup(void **state)
{
	signal(SIGPIPE, SIG_IGN);
	iio = device_driver_find("iio");
	return iio && !device_driver_find("oii") ? 0 : -1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames),
		cmocka_unit_test(idle),
		cmocka_unit_test(broken_frames),
		cmocka_unit_test(size_changes),
		cmocka_unit_test(made_ids),
		cmocka_unit_test(no_file),
		cmocka_unit_test(attributes),
		cmocka_unit_test(denied),
		cmocka_unit_test(no_size),
		cmocka_unit_test(not_opened),
		cmocka_unit_test(xml),
	};

	return cmocka_run_group_tests_name("devices-iio", tests, setup, NULL);
}
