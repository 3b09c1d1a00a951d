/* SPDX-License-Identifier: Apache-2.0 */
/* The words of a policy about devices. No driver is referenced here, so that a checker links none. */
#include <arpa/inet.h>
#include <ctype.h>
#include <string.h>

#include "devices.h"

#define IIOD_PORT 30431

const char *const device_class_names[DEVICE_CLASS_MAX] = {
	[DEVICE_CAMERA] = "camera",
	[DEVICE_THERMOMETER] = "thermometer",
	[DEVICE_POWER_MONITOR] = "power-monitor",
};
const char *const device_driver_names[] = {"iio"};
const size_t device_driver_names_n = ARRAY_LEN(device_driver_names);

static bool port_parse(const char *text, uint16_t *ret_port)
{
	unsigned long v = 0;

	if (!*text || strlen(text) > 5)
		return false;
	for (; *text; text++) {
		if (!isdigit((unsigned char)*text))
			return false;
		v = v * 10 + (unsigned long)(*text - '0');
	}
	if (v < 1 || v > 65535)
		return false;
	*ret_port = (uint16_t)v;
	return true;
}

/* The four forms that libiio's network backend tells apart: a single colon is a port, several are IPv6. */
static int ip_parse(const char *text, struct device_uri *ret_uri)
{
	char host[INET6_ADDRSTRLEN + 1];
	uint8_t addr[16];
	const char *colon = strchr(text, ':'), *port = NULL;
	size_t len = strlen(text);
	bool six = colon && strchr(colon + 1, ':');

	if (six && text[0] == '[') {
		const char *end = strstr(text, "]:");

		if (!end)
			return ERR_FORMAT;
		port = end + 2;
		len = (size_t)(end - ++text);
	} else if (colon && !six) {
		port = colon + 1;
		len = (size_t)(colon - text);
	}
	if (len >= sizeof(host))
		return ERR_FORMAT;
	memcpy(host, text, len);
	host[len] = 0;
	if (inet_pton(six ? AF_INET6 : AF_INET, host, addr) != 1)
		return ERR_FORMAT;

	ret_uri->port = IIOD_PORT;
	if (port && !port_parse(port, &ret_uri->port))
		return ERR_FORMAT;
	return 0;
}

int device_uri_parse(const char *text, struct device_uri *ret_uri, const char **ret_expected)
{
	struct device_uri uri = {.kind = DEVICE_URI_KIND_MAX};
	int err = ERR_FORMAT;

	*ret_expected = "\"ip:ADDRESS[:PORT]\", \"local:\", \"usb:\" or \"xml:FILE\"";
	for (const char *c = text; *c; c++) {
		if (!isprint((unsigned char)*c) || c - text >= DEVICE_URI_BYTES - 1)
			return ERR_FORMAT;
	}
	if (strncmp(text, "ip:", 3) == 0) {
		*ret_expected = "a numeric address, such as \"ip:192.0.2.7\", \"ip:192.0.2.7:30431\" or "
				"\"ip:[2001:db8::7]:30431\"";
		uri.kind = DEVICE_URI_IP;
		err = ip_parse(text + 3, &uri);
	} else if (strcmp(text, "local:") == 0) {
		uri.kind = DEVICE_URI_LOCAL;
		err = 0;
	} else if (strncmp(text, "usb:", 4) == 0) {
		*ret_expected = "\"usb:\" or \"usb:BUS.ADDRESS[.INTERFACE]\"";
		uri.kind = DEVICE_URI_USB;
		err = strspn(text + 4, "0123456789.") == strlen(text + 4) ? 0 : ERR_FORMAT;
	} else if (strncmp(text, "xml:", 4) == 0) {
		*ret_expected = "\"xml:\" and the absolute path of a file";
		uri.kind = DEVICE_URI_XML;
		uri.path = text + 4;
		err = text[4] == '/' ? 0 : ERR_FORMAT;
	}
	if (err == 0)
		*ret_uri = uri;
	return err;
}
