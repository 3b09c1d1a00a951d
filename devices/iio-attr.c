/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attributes of an IIO device, and the quantities of its class computed from them as the kernel's IIO ABI
 * says (Documentation/ABI/testing/sysfs-bus-iio): in_*_input is processed, otherwise (raw + offset) * scale;
 * in thousandths of a degree Celsius, volt, ampere, watt.
 */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "iio-device.h"

static const struct quantity {
	const char *name;
	enum device_class class;
	enum iio_chan_type type;
} quantities[] = {
	{"temperature", DEVICE_THERMOMETER, IIO_TEMP},
	{"power", DEVICE_POWER_MONITOR, IIO_POWER},
	{"voltage", DEVICE_POWER_MONITOR, IIO_VOLTAGE},
	{"current", DEVICE_POWER_MONITOR, IIO_CURRENT},
};

static int number(const struct iio_channel *ch, const char *attribute, double *ret)
{
	char text[DEVICE_VALUE_BYTES], *end;
	ssize_t n = iio_channel_attr_read(ch, attribute, text, sizeof(text) - 1);

	if (n < 0)
		return (int)n;
	text[(size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1] = 0;
	iio_clean(text, sizeof(text));
	double v = strtod(text, &end);
	if (end == text || *end || !isfinite(v))
		return -EINVAL;
	*ret = v;
	return 0;
}

static int channel_quantity(const struct iio_channel *ch, double *ret)
{
	double v = 0, offset = 0, scale = 1;

	if (iio_channel_find_attr(ch, "input")) {
		int r = number(ch, "input", &v);

		if (r == 0)
			*ret = v / 1000;
		return r;
	}
	int r = number(ch, "raw", &v);
	if (r == 0 && iio_channel_find_attr(ch, "offset"))
		r = number(ch, "offset", &offset);
	if (r == 0 && iio_channel_find_attr(ch, "scale"))
		r = number(ch, "scale", &scale);
	if (r == 0)
		*ret = (v + offset) * scale / 1000;
	return r;
}

static struct iio_channel *channel_of_type(struct device *d, enum iio_chan_type type)
{
	for (unsigned int i = 0; i < iio_device_get_channels_count(d->dev); i++) {
		struct iio_channel *ch = iio_device_get_channel(d->dev, i);

		if (!iio_channel_is_output(ch) && iio_channel_get_type(ch) == type)
			return ch;
	}
	return NULL;
}

/* Splits "channel/attribute" and finds both; *ret_channel is NULL for an attribute of the device. */
static int find(struct device *d, const char *text, struct iio_channel **ret_channel,
	const char **ret_attribute, char *ret_reason)
{
	const char *slash = strchr(text, '/');
	char name[DEVICE_ATTR_BYTES];

	*ret_channel = NULL;
	*ret_attribute = NULL;
	if (!slash) {
		*ret_attribute = iio_device_find_attr(d->dev, text);
	} else if ((size_t)(slash - text) < sizeof(name)) {
		memcpy(name, text, (size_t)(slash - text));
		name[slash - text] = 0;
		for (int output = 0; output < 2 && !*ret_attribute; output++) {
			*ret_channel = iio_device_find_channel(d->dev, name, output);
			if (*ret_channel)
				*ret_attribute = iio_channel_find_attr(*ret_channel, slash + 1);
		}
	}
	if (*ret_attribute)
		return 0;
	iio_say(ret_reason, "%s has no attribute \"%.*s\"", d->spec.name, DEVICE_ATTR_BYTES, text);
	return ERR_UNKNOWN;
}

int iio_read(struct device *d, const char *attribute, char *ret_text, char *ret_reason)
{
	struct iio_channel *ch;
	const char *name;

	for (size_t i = 0; i < ARRAY_LEN(quantities); i++) {
		const struct quantity *q = &quantities[i];

		if (q->class != d->spec.class || strcmp(q->name, attribute) != 0)
			continue;
		ch = channel_of_type(d, q->type);
		if (!ch)
			break;
		double v = 0;
		int r = channel_quantity(ch, &v);
		if (r < 0)
			return iio_failure(ret_reason, attribute, r);
		snprintf(ret_text, DEVICE_VALUE_BYTES, "%.6g", v);
		return 0;
	}

	int r = find(d, attribute, &ch, &name, ret_reason);
	if (r < 0)
		return r;
	if (ch) {
		ssize_t n = iio_channel_attr_read(ch, name, ret_text, DEVICE_VALUE_BYTES - 1);

		r = n < 0 ? (int)n : 0;
		ret_text[n < 0 ? 0 : n < DEVICE_VALUE_BYTES ? n : DEVICE_VALUE_BYTES - 1] = 0;
		iio_clean(ret_text, DEVICE_VALUE_BYTES);
	} else {
		r = iio_text(d, name, ret_text);
	}
	return r < 0 ? iio_failure(ret_reason, attribute, r) : 0;
}

int iio_write(struct device *d, const char *attribute, const char *text, char *ret_reason)
{
	struct iio_channel *ch;
	const char *name;
	int r = find(d, attribute, &ch, &name, ret_reason);

	if (r < 0)
		return r;
	ssize_t n = ch ? iio_channel_attr_write(ch, name, text) : iio_device_attr_write(d->dev, name, text);
	return n < 0 ? iio_failure(ret_reason, attribute, (int)n) : 0;
}
