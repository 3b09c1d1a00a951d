/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cameras: one scan channel a band, one buffer a frame. Which frame a buffer delivered is told by the frame_*
 * attributes read after it, for the camera keeps that frame at its head until frame_release names it.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "iio-device.h"

static void band_name(const struct iio_channel *ch, char *ret_name, size_t cap)
{
	char label[DEVICE_VALUE_BYTES] = "";
	const char *text = label;

	if (iio_channel_find_attr(ch, "label")) {
		ssize_t n = iio_channel_attr_read(ch, "label", label, sizeof(label) - 1);

		label[n < 0 ? 0 : (size_t)n < sizeof(label) ? (size_t)n : sizeof(label) - 1] = 0;
		iio_clean(label, sizeof(label));
	}
	if (!*text) {
		text = iio_channel_get_name(ch) ? iio_channel_get_name(ch) : iio_channel_get_id(ch);
		/* The kernel's name for a light channel with a colour as its modifier. */
		if (strncmp(text, "intensity_", 10) == 0)
			text += 10;
	}
	snprintf(ret_name, cap, "%s", text);
}

static struct sample_layout layout_of(const struct iio_channel *ch)
{
	const struct iio_data_format *f = iio_channel_get_data_format(ch);

	if (f->is_signed || f->repeat != 1 || f->length % 8)
		return (struct sample_layout){0};
	return (struct sample_layout){
		.bytes = f->length / 8,
		.bits = f->bits,
		.shift = f->shift,
		.little_endian = f->length > 8 && !f->is_be,
	};
}

int iio_camera_setup(struct device *d, char *ret_reason)
{
	char names[IIO_BANDS_MAX][24];
	const char *bands[IIO_BANDS_MAX];
	uint32_t n = 0;

	for (unsigned int i = 0; i < iio_device_get_channels_count(d->dev); i++) {
		struct iio_channel *ch = iio_device_get_channel(d->dev, i);

		if (!iio_channel_is_scan_element(ch) || iio_channel_is_output(ch) ||
			iio_channel_get_index(ch) < 0)
			continue;
		struct sample_layout layout = layout_of(ch);
		if (!sample_layout_usable(&layout) ||
			(n > 0 && memcmp(&layout, &d->layout, sizeof(layout)) != 0)) {
			iio_say(ret_reason,
				"%s: channel %s: expected unsigned samples of 1 to 8 bits in a byte or 9 to "
				"16 in "
				"two, the same for all bands",
				d->spec.device, iio_channel_get_id(ch));
			return ERR_IMAGE;
		}
		if (n == IIO_BANDS_MAX) {
			iio_say(ret_reason, "%s: more than %u bands", d->spec.device,
				(unsigned int)IIO_BANDS_MAX);
			return ERR_IMAGE;
		}
		d->layout = layout;
		band_name(ch, names[n], sizeof(names[n]));
		bands[n] = names[n];
		n++;
		iio_channel_enable(ch);
	}
	if (n == 0) {
		iio_say(ret_reason, "%s has no scan channels: not a camera", d->spec.device);
		return ERR_IMAGE;
	}
	/* Channels that share an index share their samples: then a band is not a channel. */
	if (iio_device_get_sample_size(d->dev) != (ssize_t)(n * d->layout.bytes)) {
		iio_say(ret_reason, "%s: the bands do not follow each other", d->spec.device);
		return ERR_IMAGE;
	}
	d->pam.depth = n;
	d->pam.maxval = (1u << d->layout.bits) - 1;
	frame_tupltype(bands, n, d->pam.tupltype, sizeof(d->pam.tupltype));
	d->releases = iio_device_find_attr(d->dev, "frame_release") != NULL;
	return 0;
}

void iio_camera_close(struct device *d)
{
	if (!d->buffer)
		return;
	/* A cancelled buffer is closed without asking the far side, which may be the one that hangs. */
	iio_buffer_cancel(d->buffer);
	iio_buffer_destroy(d->buffer);
	d->buffer = NULL;
}

static int side(struct device *d, const char *attribute, uint32_t *ret_pixels, char *ret_reason)
{
	char text[DEVICE_VALUE_BYTES], *end;
	int r = iio_text(d, attribute, text);

	if (r < 0) {
		(void)iio_failure(ret_reason, attribute, r);
		return ERR_DEVICE;
	}
	unsigned long v = strtoul(text, &end, 10);
	if (end == text || *end || text[0] == '-' || v < 1 || v > PAM_SIDE_MAX) {
		iio_say(ret_reason, "%s: expected 1 to %u pixels, found \"%.40s\"", attribute, PAM_SIDE_MAX,
			text);
		return ERR_IMAGE;
	}
	*ret_pixels = (uint32_t)v;
	return 0;
}

static int geometry(struct device *d, struct pam *ret_pam, char *ret_reason)
{
	struct pam pam = d->pam;
	int r = side(d, "frame_width", &pam.width, ret_reason);

	if (r == 0)
		r = side(d, "frame_height", &pam.height, ret_reason);
	if (r < 0)
		return r;
	if (pam_data_bytes(&pam) > DEVICE_FRAME_BYTES_MAX - PAM_HEADER_BYTES_MAX) {
		iio_say(ret_reason, "a frame of %u x %u x %u is more than %u MiB", pam.width, pam.height,
			pam.depth, (unsigned int)(DEVICE_FRAME_BYTES_MAX >> 20));
		return ERR_IMAGE;
	}
	*ret_pam = pam;
	return 0;
}

static bool same_size(const struct pam *a, const struct pam *b)
{
	return a->width == b->width && a->height == b->height;
}

static int open_buffer(struct device *d, char *ret_reason)
{
	int r = geometry(d, &d->pam, ret_reason);

	if (r < 0)
		return r;
	errno = 0;
	d->buffer = iio_device_create_buffer(d->dev, (size_t)d->pam.width * d->pam.height, false);
	if (!d->buffer) {
		iio_reason(ret_reason, "opening the buffer", errno ? -errno : -EIO);
		return ERR_DEVICE;
	}
	return 0;
}

/* The refill failed. What that means is found out over the other connection, the one for attributes. */
static int refill_failed(struct device *d, int err, int64_t waited_ns, char *ret_reason)
{
	char text[DEVICE_VALUE_BYTES];
	struct pam now;

	iio_camera_close(d);
	bool waited = err == -ETIMEDOUT || (err == -EPIPE && waited_ns >= d->spec.timeout_ns * 9 / 10);
	int r = geometry(d, &now, text);
	if (r == 0 && !waited && !same_size(&now, &d->pam)) {
		iio_say(ret_reason, "frames are now %u x %u", now.width, now.height);
		return -EAGAIN;
	}
	if (r == 0 && waited) {
		/* It answers; does it say that it has a frame, which then has stalled? */
		bool names = iio_device_find_attr(d->dev, "frame_id") != NULL;

		r = names ? iio_text(d, "frame_id", text) : 0;
		if (r == 0 && names && *text) {
			iio_say(ret_reason, "frame %.96s did not arrive within %lld ms", text,
				(long long)(d->spec.timeout_ns / NS_PER_MS));
			return ERR_DEVICE;
		}
		if (r == 0) {
			iio_say(ret_reason, "no frame within %lld ms",
				(long long)(d->spec.timeout_ns / NS_PER_MS));
			return -ETIMEDOUT;
		}
	}
	iio_reason(ret_reason, "waiting for a frame", err);
	return ERR_DEVICE;
}

static bool is_metadata(const char *name)
{
	static const char *const others[] = {"frame_id", "frame_time", "frame_release"};

	if (strncmp(name, "frame_", 6) != 0)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		if (strcmp(name, others[i]) == 0)
			return false;
	}
	return true;
}

static int metadata(struct device *d, struct device_frame *f)
{
	char text[DEVICE_VALUE_BYTES];
	int r;

	f->time = clock_utc();
	if (iio_device_find_attr(d->dev, "frame_time")) {
		r = iio_text(d, "frame_time", text);
		if (r < 0)
			return r;
		if (utc_parse(text, &f->time) < 0)
			f->time = clock_utc();
	}
	if (iio_device_find_attr(d->dev, "frame_id")) {
		r = iio_text(d, "frame_id", text);
		if (r < 0)
			return r;
		if (strlen(text) >= sizeof(f->id))
			return -ENAMETOOLONG;
		snprintf(f->id, sizeof(f->id), "%s", text);
	}
	if (!f->id[0]) {
		utc_format(f->time, text);
		snprintf(f->id, sizeof(f->id), "%.31s-%llu", text, (unsigned long long)++d->made_ids);
	}

	unsigned int n = iio_device_get_attrs_count(d->dev);
	for (unsigned int i = 0; i < n && f->n_attrs < DEVICE_FRAME_ATTRS_MAX; i++) {
		const char *name = iio_device_get_attr(d->dev, i);
		struct device_attr *a = &f->attrs[f->n_attrs];

		if (!is_metadata(name) || strlen(name) >= sizeof(a->name))
			continue;
		r = iio_text(d, name, text);
		if (r < 0 && iio_broken(r))
			return r;
		if (r < 0 || strlen(text) >= sizeof(a->value))
			continue;
		snprintf(a->name, sizeof(a->name), "%s", name);
		iio_clean(a->name, sizeof(a->name));
		snprintf(a->value, sizeof(a->value), "%s", text);
		f->n_attrs++;
	}
	return 0;
}

/* The pages of a frame that is written are not needed while the next one is waited for. */
static void give_back_pages(struct iio_buffer *b)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	uintptr_t from = ((uintptr_t)iio_buffer_start(b) + page - 1) & ~(page - 1);
	uintptr_t to = (uintptr_t)iio_buffer_end(b) & ~(page - 1);

	if (from < to)
		(void)madvise((void *)from, to - from, MADV_DONTNEED); /* only a saving */
}

int iio_capture(struct device *d, int fd, struct device_frame *ret_frame, char *ret_reason)
{
	struct device_frame f = {.must_release = d->releases};
	struct pam now;
	int r;

	if (!d->buffer) {
		r = open_buffer(d, ret_reason);
		if (r < 0)
			return r;
	}
	struct mono_time began = clock_mono();
	ssize_t n = iio_buffer_refill(d->buffer);
	if (n < 0)
		return refill_failed(d, (int)n, clock_mono().ns - began.ns, ret_reason);
	if ((uint64_t)n != pam_data_bytes(&d->pam)) {
		iio_say(ret_reason, "the frame was cut off: %zd of %llu bytes", n,
			(unsigned long long)pam_data_bytes(&d->pam));
		return ERR_DEVICE;
	}

	r = metadata(d, &f);
	if (r < 0) {
		iio_reason(ret_reason, "reading what frame it is", r);
		return r == -ENAMETOOLONG ? ERR_IMAGE : ERR_DEVICE;
	}
	r = geometry(d, &now, ret_reason);
	if (r < 0)
		return r;
	if (!same_size(&now, &d->pam)) {
		iio_camera_close(d);
		iio_say(ret_reason, "frames are now %u x %u", now.width, now.height);
		return -EAGAIN;
	}
	r = frame_write(fd, &d->pam, &d->layout, iio_buffer_start(d->buffer), &f.digest, &f.bytes);
	give_back_pages(d->buffer);
	if (r < 0) {
		iio_say(ret_reason, "writing the frame: %s", err_text(r));
		return r;
	}
	*ret_frame = f;
	return 0;
}

int iio_release(struct device *d, const char *frame_id, char *ret_reason)
{
	if (!d->releases)
		return 0;
	ssize_t n = iio_device_attr_write(d->dev, "frame_release", frame_id);
	return n < 0 ? iio_failure(ret_reason, "frame_release", (int)n) : 0;
}
