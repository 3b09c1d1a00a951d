/* SPDX-License-Identifier: Apache-2.0 */
/* Connecting to an IIO device, and what all parts of the driver share. */
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "iio-device.h"

void iio_say(char *ret_reason, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(ret_reason, DEVICE_REASON_BYTES, fmt, args);
	va_end(args);
}

void iio_reason(char *ret_reason, const char *what, int err)
{
	char text[128] = "";

	iio_strerror(err < 0 ? -err : err, text, sizeof(text));
	/* "local:" has its colon already. */
	iio_say(ret_reason, "%s%s %s", what, *what && what[strlen(what) - 1] == ':' ? "" : ":", text);
}

bool iio_broken(int err)
{
	switch (-err) {
	case EPIPE:
	case ECONNRESET:
	case ECONNREFUSED:
	case ENOTCONN:
	case EBADF:
	case ETIMEDOUT:
	case EAGAIN:
	case EIO:
	case EPROTO:
	case ENODEV:
	case ESHUTDOWN:
		return true;
	default:
		return false;
	}
}

int iio_failure(char *ret_reason, const char *what, int err)
{
	iio_reason(ret_reason, what, err);
	return iio_broken(err) ? ERR_DEVICE : err;
}

void iio_clean(char *text, size_t len)
{
	size_t n = strnlen(text, len);

	while (n > 0 && isspace((unsigned char)text[n - 1]))
		n--;
	text[n] = 0;
	for (size_t i = 0; i < n; i++) {
		if (!isprint((unsigned char)text[i]))
			text[i] = '?';
	}
}

int iio_text(struct device *d, const char *attribute, char *ret_text)
{
	ssize_t n = iio_device_attr_read(d->dev, attribute, ret_text, DEVICE_VALUE_BYTES - 1);

	if (n < 0) {
		ret_text[0] = 0;
		return (int)n;
	}
	ret_text[n < DEVICE_VALUE_BYTES ? n : DEVICE_VALUE_BYTES - 1] = 0;
	iio_clean(ret_text, DEVICE_VALUE_BYTES);
	return 0;
}

static void iio_close(struct device *d)
{
	if (!d)
		return;
	iio_camera_close(d);
	if (d->ctx)
		iio_context_destroy(d->ctx);
	free(d);
}
DEFINE_CLEANUP(struct device *, iio_close, cleanup_device_)

static int iio_open(const struct device_spec *spec, struct device **ret_device, char *ret_reason)
{
	CLEAN(cleanup_device_) struct device *d = calloc(1, sizeof(*d));
	char uri[DEVICE_URI_BYTES];

	if (!d) {
		iio_reason(ret_reason, spec->uri, -ENOMEM);
		return -ENOMEM;
	}
	d->spec = *spec;
	/* libiio cuts host and port apart within the text it is given. */
	snprintf(uri, sizeof(uri), "%s", spec->uri);
	errno = 0;
	d->ctx = iio_create_context_from_uri(uri);
	if (!d->ctx) {
		iio_reason(ret_reason, spec->uri, errno ? -errno : -EIO);
		return ERR_DEVICE;
	}

	/* Bounds each wait for the other end, and those of a buffer opened later; the far side is told half
	 * of it. Only the network and USB backends have such a thing. */
	int r = iio_context_set_timeout(d->ctx, (unsigned int)(spec->timeout_ns / NS_PER_MS));
	if (r < 0 && r != -ENOSYS) {
		iio_reason(ret_reason, spec->uri, r);
		return ERR_DEVICE;
	}
	d->dev = iio_context_find_device(d->ctx, spec->device);
	if (!d->dev) {
		iio_say(ret_reason, "%s has no device \"%s\"", spec->uri, spec->device);
		return -ENODEV;
	}
	if (spec->class == DEVICE_CAMERA) {
		r = iio_camera_setup(d, ret_reason);
		if (r < 0)
			return r;
	}
	*ret_device = TAKE_PTR(d);
	return 0;
}

const struct device_driver iio_driver = {
	.name = "iio",
	.open = iio_open,
	.close = iio_close,
	.read = iio_read,
	.write = iio_write,
	.capture = iio_capture,
	.release = iio_release,
};
