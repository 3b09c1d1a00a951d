/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "devices.h"

static void good_uris(void **state)
{
	static const struct {
		const char *text;
		enum device_uri_kind kind;
		uint16_t port;
	} rows[] = {
		{"ip:127.0.0.1", DEVICE_URI_IP, 30431},
		{"ip:192.0.2.7:1", DEVICE_URI_IP, 1},
		{"ip:192.0.2.7:65535", DEVICE_URI_IP, 65535},
		{"ip:2001:db8::7", DEVICE_URI_IP, 30431},
		{"ip:[2001:db8::7]:80", DEVICE_URI_IP, 80},
		{"ip:::1", DEVICE_URI_IP, 30431},
		{"local:", DEVICE_URI_LOCAL, 0},
		{"usb:", DEVICE_URI_USB, 0},
		{"usb:3.17.5", DEVICE_URI_USB, 0},
		{"xml:/etc/a.xml", DEVICE_URI_XML, 0},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct device_uri uri;
		const char *expected;

		assert_int_equal(device_uri_parse(rows[i].text, &uri, &expected), 0);
		assert_int_equal(uri.kind, rows[i].kind);
		assert_int_equal(uri.port, rows[i].port);
	}
}

static void bad_uris(void **state)
{
	static const char *const rows[] = {"", "ip", "ip:", "ip:pluto.local", "ip:1.2.3",
		"ip:1.2.3.4:", "ip:1.2.3.4:0", "ip:1.2.3.4:65536", "ip:1.2.3.4:0x50", "ip:1.2.3.4:80 ",
		"ip:[::1]", "ip:[::1:80", "ip:[1.2.3.4]:80", "ip::80", "local:x", "usb:a",
		"xml:", "xml:relative", "xml:/a\nb", "serial:/dev/x", "http://1.2.3.4",
		"ip:1111:2222:3333:4444:5555:6666:7777:8888:9999",
		"ip:11111111111111111111111111111111111111111111111111111111111"};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct device_uri uri;
		const char *expected = NULL;

		assert_int_equal(device_uri_parse(rows[i], &uri, &expected), ERR_FORMAT);
		assert_non_null(expected);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_uris),
		cmocka_unit_test(bad_uris),
	};

	return cmocka_run_group_tests_name("devices-class", tests, NULL, NULL);
}
