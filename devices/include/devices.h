/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Devices behind one interface: a device has a class (what it is: camera, thermometer, power monitor) and a
 * driver (how it is reached: iio). Everything here blocks, and trusts a device as little as its library does;
 * so it is for the broker's worker processes, which may hang or die without harm.
 */
#ifndef DEVICES_H
#define DEVICES_H

#include <stdbool.h>
#include <stdint.h>

#include "core/artifact.h"
#include "core/clock.h"

enum device_class { DEVICE_CAMERA, DEVICE_THERMOMETER, DEVICE_POWER_MONITOR, DEVICE_CLASS_MAX };

#define DEVICE_NAME_BYTES 64
#define DEVICE_URI_BYTES 256
#define DEVICE_REASON_BYTES 256 /* why something failed, for a person; cut when longer */
#define DEVICE_VALUE_BYTES 1024 /* one attribute's text */
#define DEVICE_ATTR_BYTES 96    /* "attribute" or "channel/attribute" */
#define DEVICE_FRAME_BYTES_MAX (UINT64_C(256) << 20)
#define DEVICE_FRAME_ID_BYTES 97 /* unique text of one frame of one camera */
#define DEVICE_FRAME_ATTRS_MAX 16
#define DEVICE_FRAME_ATTR_NAME_BYTES 33
#define DEVICE_FRAME_ATTR_VALUE_BYTES 97

struct device_spec {
	char name[DEVICE_NAME_BYTES]; /* ours */
	enum device_class class;
	const char *driver; /* static: from device_driver_names */
	char uri[DEVICE_URI_BYTES];
	char device[DEVICE_NAME_BYTES]; /* the driver's: an IIO device's name or id */
	int64_t timeout_ns;             /* without an answer for this long something is wrong */
};

/* Names for files that people write; no driver library is needed for these. */
extern const char *const device_class_names[DEVICE_CLASS_MAX];
extern const char *const device_driver_names[];
extern const size_t device_driver_names_n;

enum device_uri_kind { DEVICE_URI_IP, DEVICE_URI_LOCAL, DEVICE_URI_USB, DEVICE_URI_XML, DEVICE_URI_KIND_MAX };

struct device_uri {
	enum device_uri_kind kind;
	uint16_t port;    /* ip: TCP port */
	const char *path; /* xml: borrowed from the text */
};

/* Checks the form of a URI: "ip:ADDRESS[:PORT]" (numeric, IPv6 with a port in brackets; names are not
 * resolved), "local:", "usb:[…]", "xml:FILE". ERR_FORMAT, with what was expected in *ret_expected (static).
 */
WARN_UNUSED int device_uri_parse(const char *text, struct device_uri *ret_uri, const char **ret_expected);

struct device_attr {
	char name[DEVICE_FRAME_ATTR_NAME_BYTES];
	char value[DEVICE_FRAME_ATTR_VALUE_BYTES];
};

struct device_frame {
	struct digest digest; /* of the whole file */
	uint64_t bytes;       /* of the whole file */
	struct utc_time time; /* the camera's, or ours when it gives none */
	char id[DEVICE_FRAME_ID_BYTES];
	bool must_release; /* the camera delivers no other frame until this one is released */
	struct device_attr attrs[DEVICE_FRAME_ATTRS_MAX]; /* the camera's other frame_* attributes, its size
							     among them */
	size_t n_attrs;
};

struct device; /* an open one; each driver has its own */

/* Of each function: ret_reason (DEVICE_REASON_BYTES) is set when it fails. ERR_DEVICE means that the session
 * is of no use any more: close it and open another later. */
struct device_driver {
	const char *name;
	/* Connects. ERR_DEVICE, -ENODEV (connected, but there is no such device there), ERR_IMAGE (a camera
	 * that delivers what we cannot use), -ENOMEM. */
	int (*open)(const struct device_spec *spec, struct device **ret_device, char *ret_reason);
	void (*close)(struct device *d); /* takes NULL */

	/* `attribute` is a quantity of the class (thermometer: temperature, in degrees Celsius; power
	 * monitor: power, voltage, current, in W, V, A), an attribute of the device, or "channel/attribute".
	 * ERR_UNKNOWN, ERR_DEVICE, or what the device answered (-errno). Text: printable, terminated, in
	 * DEVICE_VALUE_BYTES. */
	int (*read)(struct device *d, const char *attribute, char *ret_text, char *ret_reason);
	int (*write)(struct device *d, const char *attribute, const char *text, char *ret_reason);

	/* Cameras: waits for one frame and writes it as PAM into the file, from its start, durable.
	 *   -ETIMEDOUT  no frame within the timeout, and the camera answers: it is idle. Call again.
	 *   -EAGAIN     the frame's size changed. Call again at once.
	 *   ERR_DEVICE  failed; a frame may have been cut off (it is then still in the camera, or lost)
	 *   ERR_IMAGE   the camera's format or the frame's size is not one that we can use
	 *   other       writing the file failed (-ENOSPC, …): the frame is still in the camera
	 * On failure the file holds garbage. */
	int (*capture)(struct device *d, int fd, struct device_frame *ret_frame, char *ret_reason);
	/* The camera may forget the frame. ERR_DEVICE, or what the camera answered (-errno). */
	int (*release)(struct device *d, const char *frame_id, char *ret_reason);
};

/* NULL when there is no such driver. */
const struct device_driver *device_driver_find(const char *name);

#endif
