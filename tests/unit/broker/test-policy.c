/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "broker-policy.h"
#include "core/file.h"

static char path[64];

static int load(const char *text, struct complaints *c, struct policy **ret_policy)
{
	CLEAN_FD int fd = open(path, O_WRONLY | O_TRUNC); /* file_replace would wait for the disk each time */

	assert_true(fd >= 0);
	assert_int_equal(write_all(fd, text, strlen(text)), 0);
	assert_int_equal(complaints_init(c, "p.yaml"), 0);
	return policy_load(path, c, ret_policy);
}

static const char good[] =
	"perigee: v1\n"
	"policy: harbour-demo\n"
	"devices:\n"
	"  cam0:   {class: camera,        driver: iio, uri: \"ip:127.0.0.1:30431\", device: cam0, timeout: "
	"2s}\n"
	"  temp0:  {class: thermometer,   driver: iio, uri: \"local:\", device: temp0}\n"
	"  power0: {class: power-monitor, driver: iio, uri: \"xml:/x\", device: \"iio:device3\"}\n"
	"grants:\n"
	"  - {payload: harbour-watch, device: cam0, operations: [capture, read]}\n"
	"  - {payload: other, device: cam0, operations: [capture]}\n"
	"  - {payload: perigee, device: temp0, operations: [read]}\n";

static void good_policy(void **state)
{
	struct complaints c;
	struct policy *p = NULL;

	assert_int_equal(load(good, &c, &p), 0);
	assert_string_equal(p->name, "harbour-demo");
	assert_int_equal(p->n_devices, 3);
	assert_string_equal(p->devices[0].name, "cam0");
	assert_int_equal(p->devices[0].class, DEVICE_CAMERA);
	assert_string_equal(p->devices[0].driver, "iio");
	assert_string_equal(p->devices[0].uri, "ip:127.0.0.1:30431");
	assert_int_equal(p->devices[0].timeout_ns, 2 * NS_PER_S);
	assert_int_equal(p->uris[0].port, 30431);
	assert_int_equal(p->devices[1].timeout_ns, POLICY_TIMEOUT_DEFAULT_NS);
	assert_int_equal(p->uris[1].kind, DEVICE_URI_LOCAL);
	assert_string_equal(p->devices[2].device, "iio:device3");
	assert_string_equal(p->uris[2].path, "/x");

	/* Exactly what is granted, and nothing else. */
	static const char *const payloads[] = {"harbour-watch", "other", "perigee", "harbour-watc", ""};
	int allowed = 0;
	for (size_t i = 0; i < ARRAY_LEN(payloads); i++) {
		for (size_t d = 0; d < p->n_devices; d++) {
			for (int op = 0; op < POLICY_OPERATION_MAX; op++)
				allowed += policy_allows(p, payloads[i], d, (enum policy_operation)op);
		}
	}
	assert_int_equal(allowed, 4);
	assert_true(policy_allows(p, "harbour-watch", 0, POLICY_CAPTURE));
	assert_true(policy_allows(p, "harbour-watch", 0, POLICY_READ));
	assert_true(policy_allows(p, "other", 0, POLICY_CAPTURE));
	assert_true(policy_allows(p, "perigee", 1, POLICY_READ));
	assert_int_equal(policy_device(p, "power0"), 2);
	assert_int_equal(policy_device(p, "power"), ERR_UNKNOWN);
	policy_destroy(p);
	complaints_finish(&c);
}

/* Nothing granted is a policy too. */
static void empty_policy(void **state)
{
	struct complaints c;
	struct policy *p = NULL;

	assert_int_equal(load("perigee: v1\npolicy: none\ndevices: {}\ngrants: []\n", &c, &p), 0);
	assert_int_equal(p->n_devices, 0);
	assert_int_equal(p->n_grants, 0);
	policy_destroy(p);
	complaints_finish(&c);
}

#define HEAD "perigee: v1\npolicy: p\ndevices:\n"
#define CAM "  cam0: {class: camera, driver: iio, uri: \"local:\", device: c}\n"
#define TEMP "  temp0: {class: thermometer, driver: iio, uri: \"local:\", device: t}\n"

static void each_mistake_has_its_place(void **state)
{
	static const struct {
		const char *text;
		int line, column;
		const char *part;
	} rows[] = {
		{"perigee: v2\npolicy: p\ndevices: {}\ngrants: []\n", 1, 10, "expected \"v1\", found \"v2\""},
		{"policy: p\ndevices: {}\ngrants: []\n", 1, 1, "perigee"},
		{"perigee: v1\ndevices: {}\ngrants: []\n", 1, 1, "policy"},
		{"perigee: v1\npolicy: p\ngrants: []\n", 1, 1, "devices"},
		{"perigee: v1\npolicy: p\ndevices: {}\n", 1, 1, "grants"},
		{"perigee: v1\npolicy: Not a name\ndevices: {}\ngrants: []\n", 2, 9, "policy"},
		{"perigee: v1\npolicy: p\ndevices: []\ngrants: []\n", 3, 10, "devices"},
		{"perigee: v1\npolicy: p\ndevices: {}\ngrants: {}\n", 4, 9, "grants"},
		{"perigee: v1\npolicy: p\ndevices: {}\ngrants: []\ngrant: []\n", 5, 1, "grant"},
		{"- a\n", 1, 1, ""},
		{"perigee: [v1\n", 2, 1, "not valid YAML"},
		{HEAD "  cam0: {class: camra, driver: iio, uri: \"local:\", device: c}\ngrants: []\n", 4, 17,
			"did you mean \"camera\"?"},
		{HEAD "  cam0: {class: camera, driver: v4l, uri: \"local:\", device: c}\ngrants: []\n", 4, 33,
			"expected one of iio, found \"v4l\""},
		{HEAD "  cam0: {class: camera, driver: iio, uri: \"ip:pluto\", device: c}\ngrants: []\n", 4,
			43, "numeric address"},
		{HEAD "  cam0: {class: camera, driver: iio, uri: \"ftp:x\", device: c}\ngrants: []\n", 4, 43,
			"\"ip:ADDRESS[:PORT]\""},
		{HEAD "  cam0: {class: camera, driver: iio, uri: \"local:\"}\ngrants: []\n", 4, 0, "device"},
		{HEAD "  cam0: {class: camera, driver: iio, uri: \"local:\", device: \"\"}\ngrants: []\n", 4,
			61, "expected 1 to 63 bytes, found 0"},
		{HEAD "  cam0: {class: camera, driver: iio, uri: \"local:\", device: c, timeout: "
		      "1ms}\ngrants: []\n",
			4, 73, "at least 10ms"},
		{HEAD "  cam0: {class: camera, driver: iio, uri: \"local:\", device: c, timeout: 9 "
		      "fortnights}\n"
		      "grants: []\n",
			4, 73, "fortnights"},
		{HEAD "  cam0: {class: camera, driver: iio, uri: \"local:\", device: c, color: red}\ngrants: "
		      "[]\n",
			4, 0, "color"},
		{HEAD "  Cam 0: {class: camera, driver: iio, uri: \"local:\", device: c}\ngrants: []\n", 4, 3,
			"Cam 0"},
		{HEAD CAM CAM "grants: []\n", 5, 3, "cam0"},
		{HEAD CAM "grants:\n  - {payload: a, device: cam1, operations: [read]}\n", 6, 26,
			"did you mean \"cam0\"?"},
		{HEAD CAM "grants:\n  - {payload: a, device: other, operations: [read]}\n", 6, 26,
			"expected a device of this policy"},
		{HEAD CAM "grants:\n  - {payload: a, device: cam0, operations: [reed]}\n", 6, 45,
			"did you mean \"read\"?"},
		{HEAD CAM "grants:\n  - {payload: a, device: cam0, operations: []}\n", 6, 44, "at least one"},
		{HEAD CAM "grants:\n  - {payload: a, device: cam0, operations: read}\n", 6, 44, "operations"},
		{HEAD CAM "grants:\n  - {payload: a, device: cam0, operations: [read, read]}\n", 6, 51,
			"twice"},
		{HEAD TEMP "grants:\n  - {payload: a, device: temp0, operations: [capture]}\n", 6, 46,
			"no camera"},
		{HEAD CAM "grants:\n  - {payload: \"A B\", device: cam0, operations: [read]}\n", 6, 15,
			"payload"},
		{HEAD CAM "grants:\n  - {device: cam0, operations: [read]}\n", 6, 5, "payload"},
		{HEAD CAM "grants:\n  - {payload: a, device: cam0, operations: [read], quota: 3}\n", 6, 0,
			"quota"},
		{HEAD CAM "grants:\n  - {payload: a, device: cam0, operations: [read]}\n"
			  "  - {payload: a, device: cam0, operations: [capture]}\n",
			7, 5, "already"},
		{HEAD CAM "grants:\n  - read\n", 6, 5, ""},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct complaints c;
		struct policy *p = NULL;
		bool found = false;

		assert_int_equal(load(rows[i].text, &c, &p), ERR_CHECKED);
		assert_null(p);
		for (size_t j = 0; j < c.n; j++) {
			found = found ||
				(c.item[j].line == rows[i].line &&
					(rows[i].column == 0 || c.item[j].column == rows[i].column) &&
					strstr(c.item[j].text, rows[i].part));
		}
		if (!found) {
			complaints_print(&c, stderr);
			fail_msg("row %zu: expected %d:%d: …%s…", i, rows[i].line, rows[i].column,
				rows[i].part);
		}
		complaints_finish(&c);
	}
}

static void whole_file_is_checked(void **state)
{
	struct complaints c;
	struct policy *p = NULL;

	assert_int_equal(load("perigee: v0\npolicy: P\ndevices:\n  a: {class: x, driver: y, uri: z, device: "
			      "d}\ngrants: 7\n",
				 &c, &p),
		ERR_CHECKED);
	assert_int_equal(c.total, 6);
	complaints_finish(&c);
}

static void limits(void **state)
{
	static char text[200000];
	size_t n = 0;
	struct complaints c;
	struct policy *p = NULL;

	for (int devices = POLICY_DEVICES_MAX; devices <= POLICY_DEVICES_MAX + 1; devices++) {
		n = (size_t)sprintf(text, HEAD);
		for (int i = 0; i < devices; i++)
			n += (size_t)sprintf(text + n,
				"  d%d: {class: camera, driver: iio, uri: \"local:\", device: c}\n", i);
		n += (size_t)sprintf(text + n, "grants: []\n");
		assert_int_equal(load(text, &c, &p), devices > POLICY_DEVICES_MAX ? ERR_CHECKED : 0);
		if (devices <= POLICY_DEVICES_MAX)
			policy_destroy(p);
		complaints_finish(&c);
	}
	for (int grants = POLICY_GRANTS_MAX; grants <= POLICY_GRANTS_MAX + 1; grants++) {
		n = (size_t)sprintf(text, HEAD CAM "grants:\n");
		for (int i = 0; i < grants; i++)
			n += (size_t)sprintf(
				text + n, "  - {payload: p%d, device: cam0, operations: [read]}\n", i);
		assert_int_equal(load(text, &c, &p), grants > POLICY_GRANTS_MAX ? ERR_CHECKED : 0);
		if (grants <= POLICY_GRANTS_MAX) {
			assert_true(policy_allows(p, "p255", 0, POLICY_READ));
			policy_destroy(p);
		}
		complaints_finish(&c);
	}
}

static void anybody_may_write_it(void **state)
{
	struct complaints c;
	struct policy *p = NULL;

	assert_int_equal(file_replace(path, good, sizeof(good) - 1, 0644), 0);
	assert_int_equal(chmod(path, 0666), 0);
	assert_int_equal(complaints_init(&c, path), 0);
	assert_int_equal(policy_load(path, &c, &p), ERR_CHECKED);
	assert_int_equal(c.total, 1);
	complaints_finish(&c);
}

/* Cut and flipped files are refused or read, and never more than that. */
static void mangled(void **state)
{
	struct complaints c;
	struct policy *p;

	for (size_t i = 0; i < sizeof(good) - 1; i++) {
		char text[sizeof(good)];

		memcpy(text, good, sizeof(good));
		text[i] = (char)(text[i] ^ 1 << i % 8);
		if (text[i] == 0)
			text[i] = 1;
		if (load(text, &c, &p) == 0)
			policy_destroy(p);
		else
			assert_true(c.total > 0);
		complaints_finish(&c);
		text[i] = 0;
		if (load(text, &c, &p) == 0)
			policy_destroy(p);
		else
			assert_true(c.total > 0);
		complaints_finish(&c);
	}
}

static int setup(void **state)
{
	snprintf(path, sizeof(path), "/dev/shm/perigee-policy-XXXXXX");
	int fd = mkstemp(path);

	return fd < 0 ? -1 : close(fd);
}

static int teardown(void **state)
{
	return unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_policy),
		cmocka_unit_test(empty_policy),
		cmocka_unit_test(each_mistake_has_its_place),
		cmocka_unit_test(whole_file_is_checked),
		cmocka_unit_test(limits),
		cmocka_unit_test(anybody_may_write_it),
		cmocka_unit_test(mangled),
	};

	return cmocka_run_group_tests_name("broker-policy", tests, setup, teardown);
}
