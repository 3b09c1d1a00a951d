/* SPDX-License-Identifier: Apache-2.0 */
/* An IIO device through libiio (0.24). */
#ifndef DEVICES_IIO_DEVICE_H
#define DEVICES_IIO_DEVICE_H

#include <iio.h>

#include "devices.h"
#include "frame.h"

#define IIO_BANDS_MAX PAM_DEPTH_MAX

struct device {
	struct device_spec spec;
	struct iio_context *ctx;
	struct iio_device *dev;

	/* cameras */
	struct iio_buffer *buffer; /* NULL: none open */
	struct pam pam;            /* the shape of the open buffer's frames; depth and tupltype always */
	struct sample_layout layout;
	uint64_t made_ids; /* for a camera that names no frames */
	bool releases;     /* has frame_release */
};

extern const struct device_driver iio_driver;

/* Says why, cut to DEVICE_REASON_BYTES. */
void iio_say(char *ret_reason, const char *fmt, ...) PRINTF(2, 3);
/* Says why, in front of it what was done: "frame_width: Connection reset by peer". */
void iio_reason(char *ret_reason, const char *what, int err);
/* Does this answer mean that the connection is gone, rather than that the device said no? */
bool iio_broken(int err);
/* What libiio answered, as one of ours. */
int iio_failure(char *ret_reason, const char *what, int err);
/* Reads an attribute of the device as clean text (DEVICE_VALUE_BYTES). libiio's -errno. */
WARN_UNUSED int iio_text(struct device *d, const char *attribute, char *ret_text);
/* Makes what the device sent printable, without line ends. */
void iio_clean(char *text, size_t len);

/* iio-attr.c */
int iio_read(struct device *d, const char *attribute, char *ret_text, char *ret_reason);
int iio_write(struct device *d, const char *attribute, const char *text, char *ret_reason);

/* iio-camera.c */
WARN_UNUSED int iio_camera_setup(struct device *d, char *ret_reason);
void iio_camera_close(struct device *d);
int iio_capture(struct device *d, int fd, struct device_frame *ret_frame, char *ret_reason);
int iio_release(struct device *d, const char *frame_id, char *ret_reason);

#endif
