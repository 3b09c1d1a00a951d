/* SPDX-License-Identifier: Apache-2.0 */
/* What a camera tells and takes by its attributes. */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "camera-parts.h"

#define EXPOSURE_US_MIN 10
#define EXPOSURE_US_MAX 100000
#define GAIN_MIN 0.1
#define GAIN_MAX 16.0

/* Of the frame at the head; the value is empty while none waits, except for the sizes. */
enum head_item {
	HEAD_ID,
	HEAD_TIME,
	HEAD_LATITUDE,
	HEAD_LONGITUDE,
	HEAD_GSD,
	HEAD_NAME,
	HEAD_WIDTH,
	HEAD_HEIGHT
};

static int read_head(void *user, int item, char *text, size_t cap)
{
	const struct camera *c = user;
	const struct shot *s = c->n_waiting ? &c->memory[0] : NULL;
	char part[CAMERA_FRAME_ID_BYTES > UTC_TEXT_BYTES ? CAMERA_FRAME_ID_BYTES : UTC_TEXT_BYTES] = "";
	uint32_t w = c->opt.width, h = c->opt.height;

	if (s)
		shot_size(c, s, &w, &h);
	if (item == HEAD_WIDTH || item == HEAD_HEIGHT) {
		(void)snprintf(text, cap, "%u", item == HEAD_WIDTH ? w : h);
		return 0;
	}
	text[0] = 0;
	if (!s)
		return 0;
	switch ((enum head_item)item) {
	case HEAD_ID:
		shot_id(c, s, part);
		(void)snprintf(text, cap, "%s", part);
		break;
	case HEAD_TIME:
		utc_format(s->time, part);
		(void)snprintf(text, cap, "%s", part);
		break;
	case HEAD_LATITUDE:
		(void)snprintf(text, cap, "%.6f", s->latitude_deg);
		break;
	case HEAD_LONGITUDE:
		(void)snprintf(text, cap, "%.6f", s->longitude_deg);
		break;
	case HEAD_GSD:
		(void)snprintf(text, cap, "%g", shot_gsd(c, s));
		break;
	default:
		(void)snprintf(text, cap, "%s", shot_name(c, s));
		break;
	}
	return 0;
}

static int read_waiting(void *user, int arg, char *text, size_t cap)
{
	const struct camera *c = user;

	(void)snprintf(text, cap, "%zu", c->n_waiting);
	return 0;
}

static int read_taken(void *user, int arg, char *text, size_t cap)
{
	const struct camera *c = user;

	(void)snprintf(text, cap, "%llu", (unsigned long long)c->counts.taken);
	return 0;
}

static int read_exposure(void *user, int arg, char *text, size_t cap)
{
	const struct camera *c = user;

	(void)snprintf(text, cap, "%lld", (long long)c->exposure_us);
	return 0;
}

static int write_exposure(void *user, int arg, const char *text)
{
	struct camera *c = user;
	char *end;

	errno = 0;
	long long v = strtoll(text, &end, 10);
	if (end == text || *end || errno || v < EXPOSURE_US_MIN || v > EXPOSURE_US_MAX)
		return -EINVAL;
	c->exposure_us = v;
	return 0;
}

static int read_gain(void *user, int arg, char *text, size_t cap)
{
	const struct camera *c = user;

	(void)snprintf(text, cap, "%.3f", c->gain);
	return 0;
}

static int write_gain(void *user, int arg, const char *text)
{
	struct camera *c = user;
	char *end;
	double v = strtod(text, &end);

	if (end == text || *end || !(v >= GAIN_MIN && v <= GAIN_MAX))
		return -EINVAL;
	c->gain = v;
	return 0;
}

/* The kernel's form of a range: smallest, step, largest. */
static int read_exposure_range(void *user, int arg, char *text, size_t cap)
{
	(void)snprintf(text, cap, "[%d 1 %d]", EXPOSURE_US_MIN, EXPOSURE_US_MAX);
	return 0;
}

static int read_gain_range(void *user, int arg, char *text, size_t cap)
{
	(void)snprintf(text, cap, "[%.3f 0.001 %.3f]", GAIN_MIN, GAIN_MAX);
	return 0;
}

static int read_released(void *user, int arg, char *text, size_t cap)
{
	const struct camera *c = user;

	(void)snprintf(text, cap, "%s", c->last_released);
	return 0;
}

static int write_release(void *user, int arg, const char *text)
{
	return camera_release(user, text);
}

/* A software trigger: so many exposures now. */
static int write_trigger(void *user, int arg, const char *text)
{
	struct camera *c = user;
	char *end;
	long n = strtol(text, &end, 10);

	if (end == text || *end || n < 1 || n > CAMERA_MEMORY_FRAMES)
		return -EINVAL;
	for (long i = 0; i < n; i++)
		if (!camera_expose(c))
			return i ? 0 : -ENOSPC;
	return 0;
}

static int read_trigger(void *user, int arg, char *text, size_t cap)
{
	(void)snprintf(text, cap, "0"); /* none is pending: they happen at once */
	return 0;
}

static int read_missed(void *user, int arg, char *text, size_t cap)
{
	const struct camera *c = user;

	(void)snprintf(text, cap, "%llu", (unsigned long long)c->counts.missed);
	return 0;
}

static int read_delivered(void *user, int arg, char *text, size_t cap)
{
	const struct camera *c = user;

	(void)snprintf(text, cap, "%llu", (unsigned long long)c->counts.delivered);
	return 0;
}

static int read_blocked(void *user, int arg, char *text, size_t cap)
{
	const struct camera *c = user;

	(void)snprintf(text, cap, "%zu", c->server ? iiod_server_waiting(c->server, &c->device) : 0);
	return 0;
}

static const struct iiod_attr camera_attrs[] = {
	{.name = "exposure_us", .read = read_exposure, .write = write_exposure},
	{.name = "exposure_us_available", .read = read_exposure_range},
	{.name = "frame_gsd_m", .read = read_head, .arg = HEAD_GSD},
	{.name = "frame_height", .read = read_head, .arg = HEAD_HEIGHT},
	{.name = "frame_id", .read = read_head, .arg = HEAD_ID},
	{.name = "frame_latitude", .read = read_head, .arg = HEAD_LATITUDE},
	{.name = "frame_longitude", .read = read_head, .arg = HEAD_LONGITUDE},
	{.name = "frame_name", .read = read_head, .arg = HEAD_NAME},
	{.name = "frame_release", .read = read_released, .write = write_release},
	{.name = "frame_time", .read = read_head, .arg = HEAD_TIME},
	{.name = "frame_width", .read = read_head, .arg = HEAD_WIDTH},
	{.name = "frames_taken", .read = read_taken},
	{.name = "frames_waiting", .read = read_waiting},
	{.name = "gain", .read = read_gain, .write = write_gain},
	{.name = "gain_available", .read = read_gain_range},
	{.name = "trigger_exposures", .read = read_trigger, .write = write_trigger},
};

static const struct iiod_attr debug_attrs[] = {
	{.name = "buffers_blocked", .read = read_blocked},
	{.name = "frames_delivered", .read = read_delivered},
	{.name = "frames_missed", .read = read_missed},
};

/* Centre wavelengths as those of Sentinel-2's bands 2, 3, 4, 8, 11, 12. */
static int read_wavelength(void *user, int nm, char *text, size_t cap)
{
	(void)snprintf(text, cap, "%d", nm);
	return 0;
}

static int read_scale(void *user, int arg, char *text, size_t cap)
{
	const struct camera *c = user;

	/* At the nominal exposure and gain; a colour camera's numbers are shades. */
	(void)snprintf(text, cap, "%s", c->opt.rgb ? "1" : "0.0001");
	return 0;
}

#define BAND(band, nm)                                                                                       \
	{                                                                                                    \
		"intensity_" band, band,                                                                     \
		{                                                                                            \
			{.name = "scale", .filename = "in_intensity_" band "_scale", .read = read_scale},    \
			{                                                                                    \
				.name = "wavelength_nm", .filename = "in_intensity_" band "_wavelength_nm",  \
				.read = read_wavelength, .arg = nm                                           \
			}                                                                                    \
		}                                                                                            \
	}

static const struct {
	const char *id, *name; /* as the kernel calls a light channel with a colour, and short */
	struct iiod_attr attrs[2];
} bands[SCENE_BANDS] = {
	BAND("blue", 492),
	BAND("green", 560),
	BAND("red", 665),
	BAND("nir", 833),
	BAND("swir16", 1614),
	BAND("swir22", 2202),
};

void camera_describe(struct camera *c)
{
	static const size_t colours[3] = {2, 1, 0};
	size_t n = c->opt.rgb ? 3 : SCENE_BANDS;

	for (size_t i = 0; i < n; i++) {
		size_t b = c->opt.rgb ? colours[i] : i;
		c->channels[i] = (struct iiod_channel){
			.id = bands[b].id,
			.name = bands[b].name,
			.format = c->opt.rgb ? "le:u8/8>>0" : "be:u16/16>>0",
			.bytes = c->opt.rgb ? 1 : 2,
			.attrs = bands[b].attrs,
			.n_attrs = ARRAY_LEN(bands[b].attrs),
		};
	}
	c->device = (struct iiod_device){
		.id = c->opt.id,
		.name = c->opt.name,
		.channels = c->channels,
		.n_channels = n,
		.attrs = camera_attrs,
		.n_attrs = ARRAY_LEN(camera_attrs),
		.debug_attrs = debug_attrs,
		.n_debug_attrs = ARRAY_LEN(debug_attrs),
		.user = c,
		.frame = camera_frame,
	};
}
