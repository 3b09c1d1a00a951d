/* SPDX-License-Identifier: Apache-2.0 */
/* What each command does and answers. Numbers that go out are those of iiod: a count, or -errno. */
#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "iiod-server.h"

#define BUFFERS_COUNT_MAX 64

static const char help[] =
	"perigee-twin speaks the IIOD protocol 0.x. Commands, one a line:\n"
	"  VERSION                           version of this server\n"
	"  PRINT                             the devices, as XML\n"
	"  TIMEOUT MS                        accepted, without effect: nothing here blocks\n"
	"  READ DEV [DEBUG|BUFFER|INPUT CH] [ATTR]\n"
	"  WRITE DEV [DEBUG|BUFFER|INPUT CH] ATTR BYTES, then that many bytes\n"
	"  OPEN DEV SAMPLES MASK             SAMPLES must be frame_width * frame_height\n"
	"  READBUF DEV BYTES                 waits until there is a frame\n"
	"  CLOSE DEV\n"
	"  SET DEV BUFFERS_COUNT N, GETTRIG DEV, SETTRIG DEV [TRIGGER]\n"
	"  EXIT\n";

PRINTF(2, 3) static void say(struct iiod_client *c, const char *fmt, ...)
{
	va_list args;
	size_t left = sizeof(c->out) - c->out_len;

	va_start(args, fmt);
	int n = vsnprintf((char *)c->out + c->out_len, left, fmt, args);
	va_end(args);
	ensure(n >= 0 && (size_t)n < left); /* each answer was bounded before it was made */
	c->out_len += (size_t)n;
}

static void say_number(struct iiod_client *c, int64_t v)
{
	say(c, "%lld\n", (long long)v);
}

static const struct iiod_device *find_device(const struct iiod_client *c, const char *name, size_t *ret_index)
{
	for (size_t i = 0; i < c->server->n_devices; i++) {
		const struct iiod_device *d = c->server->devices[i];
		if (!strcmp(d->name, name) || !strcmp(d->id, name)) {
			*ret_index = i;
			return d;
		}
	}
	return NULL;
}

/* The attributes that a READ or WRITE names. -ENODEV, -ENXIO as iiod. */
static int find_attrs(const struct iiod_client *c, const struct iiod_command *cmd,
	const struct iiod_device **ret_device, const struct iiod_attr **ret_attrs, size_t *ret_n)
{
	size_t index;
	const struct iiod_device *d = find_device(c, cmd->device, &index);

	if (!d)
		return -ENODEV;
	*ret_device = d;
	switch (cmd->scope) {
	case IIOD_OF_DEVICE:
		*ret_attrs = d->attrs;
		*ret_n = d->n_attrs;
		return 0;
	case IIOD_OF_DEBUG:
		*ret_attrs = d->debug_attrs;
		*ret_n = d->n_debug_attrs;
		return 0;
	case IIOD_OF_BUFFER:
		*ret_attrs = NULL;
		*ret_n = 0;
		return 0;
	case IIOD_OF_INPUT:
		for (size_t i = 0; i < d->n_channels; i++) {
			const struct iiod_channel *ch = &d->channels[i];
			if (strcmp(ch->id, cmd->channel) && (!ch->name || strcmp(ch->name, cmd->channel)))
				continue;
			*ret_attrs = ch->attrs;
			*ret_n = ch->n_attrs;
			return 0;
		}
		return -ENXIO;
	default:
		return -ENXIO; /* no output channels here */
	}
}

static const struct iiod_attr *find_attr(const struct iiod_attr *attrs, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(attrs[i].name, name))
			return &attrs[i];
	return NULL;
}

/* The value with its final zero, as the kernel's text without its line end reaches iiod's clients. */
static int read_value(
	const struct iiod_device *d, const struct iiod_attr *a, char value[IIOD_VALUE_MAX], size_t *ret)
{
	if (!a->read)
		return -EACCES;
	int err = a->read(d->user, a->arg, value, IIOD_VALUE_MAX);
	if (err < 0)
		return err;
	*ret = strnlen(value, IIOD_VALUE_MAX - 1) + 1;
	value[*ret - 1] = 0;
	return 0;
}

/* All attributes at once: for each its length or -errno as 32 bits big-endian, then the value padded to four.
 */
static void read_all(
	struct iiod_client *c, const struct iiod_device *d, const struct iiod_attr *attrs, size_t n_attrs)
{
	static uint8_t all[IIOD_OUT_BYTES - 64]; /* the loop has one thread */
	char value[IIOD_VALUE_MAX];
	size_t len = 0;

	for (size_t i = 0; i < n_attrs && len + 4 + IIOD_VALUE_MAX <= sizeof(all); i++) {
		size_t value_len = 0;
		int err = read_value(d, &attrs[i], value, &value_len);
		uint32_t head = err < 0 ? (uint32_t)err : (uint32_t)value_len;
		for (int b = 0; b < 4; b++)
			all[len++] = (uint8_t)(head >> (24 - 8 * b));
		memcpy(all + len, value, value_len);
		for (len += value_len; len % 4; len++)
			all[len] = 0;
	}
	say_number(c, (int64_t)len);
	memcpy(c->out + c->out_len, all, len);
	c->out_len += len;
	say(c, "\n");
}

static void do_read(struct iiod_client *c, const struct iiod_command *cmd)
{
	const struct iiod_device *d = NULL;
	const struct iiod_attr *attrs = NULL;
	size_t n = 0, len = 0;
	char value[IIOD_VALUE_MAX];
	int err = find_attrs(c, cmd, &d, &attrs, &n);

	if (!err && !cmd->attr[0]) {
		read_all(c, d, attrs, n);
		return;
	}
	if (!err) {
		const struct iiod_attr *a = find_attr(attrs, n, cmd->attr);
		err = a ? read_value(d, a, value, &len) : -ENOENT;
	}
	if (err < 0) {
		say_number(c, err);
		return;
	}
	say_number(c, (int64_t)len);
	memcpy(c->out + c->out_len, value, len);
	c->out_len += len;
	say(c, "\n");
}

void iiod_write_value(struct iiod_client *c, const uint8_t *value, size_t len)
{
	const struct iiod_device *d = NULL;
	const struct iiod_attr *attrs = NULL;
	char text[IIOD_VALUE_MAX + 1];
	size_t n = 0, text_len = len;
	int err = find_attrs(c, &c->command, &d, &attrs, &n);

	c->state = IIOD_IDLE;
	memcpy(text, value, len);
	/* libiio sends the final zero of a string, a shell its line end. */
	while (text_len &&
		(text[text_len - 1] == 0 || text[text_len - 1] == '\n' || text[text_len - 1] == '\r'))
		text_len--;
	text[text_len] = 0;
	if (!err && !c->command.attr[0])
		err = -ENOSYS; /* writing all attributes at once */
	if (!err && strlen(text) != text_len)
		err = -EINVAL;
	if (!err) {
		const struct iiod_attr *a = find_attr(attrs, n, c->command.attr);
		err = !a ? -ENOENT : !a->write ? -EACCES : a->write(d->user, a->arg, text);
	}
	say_number(c, err < 0 ? err : (int64_t)len);
}

static int do_open(struct iiod_client *c, const struct iiod_command *cmd)
{
	size_t index;
	const struct iiod_device *d = find_device(c, cmd->device, &index);
	struct iiod_buffer b = {.open = true, .n_samples = (uint32_t)cmd->number, .mask = cmd->mask};
	uint32_t known = 0;

	if (!d)
		return -ENODEV;
	if (!d->frame)
		return -ENOSYS;
	if (cmd->cyclic || cmd->mask_words != 1 || cmd->number == 0 || cmd->number > UINT32_MAX)
		return -EINVAL;
	for (size_t i = 0; i < d->n_channels; i++) {
		if (!d->channels[i].format)
			continue;
		known |= UINT32_C(1) << i;
		if (cmd->mask >> i & 1)
			b.sample_bytes += d->channels[i].bytes;
	}
	if (!b.sample_bytes || cmd->mask & ~known)
		return -EINVAL;
	if (c->buffers[index].open)
		return -EBUSY;
	c->buffers[index] = b;
	return 0;
}

static int do_close(struct iiod_client *c, const struct iiod_command *cmd)
{
	size_t index;

	if (!find_device(c, cmd->device, &index))
		return -ENODEV;
	if (!c->buffers[index].open)
		return -ENXIO;
	c->buffers[index].open = false;
	return 0;
}

static void do_readbuf(struct iiod_client *c, const struct iiod_command *cmd)
{
	size_t index;

	if (!find_device(c, cmd->device, &index)) {
		say_number(c, -ENODEV);
		return;
	}
	const struct iiod_buffer *b = &c->buffers[index];
	if (!b->open) {
		say_number(c, -EBADF);
		return;
	}
	if (cmd->number < b->sample_bytes) {
		say_number(c, 0);
		return;
	}
	c->device = index;
	c->asked = cmd->number;
	c->state = IIOD_WAITING;
	iiod_try_frame(c);
}

void iiod_try_frame(struct iiod_client *c)
{
	const struct iiod_device *d = c->server->devices[c->device];
	const struct iiod_buffer *b = &c->buffers[c->device];
	struct iiod_frame *frame = NULL;
	int err = d->frame(d->user, b->n_samples, &frame);

	if (err == -EAGAIN)
		return;
	if (err < 0) {
		c->state = IIOD_IDLE;
		say_number(c, err);
		return;
	}
	uint64_t total = (uint64_t)frame->n_samples * b->sample_bytes;
	if (c->asked < total)
		total = c->asked / b->sample_bytes * b->sample_bytes;
	c->frame = frame;
	c->state = IIOD_STREAMING;
	c->sent = 0;
	c->total = total;
	say_number(c, (int64_t)total);
	say(c, "%08x\n", b->mask);
}

void iiod_drop_frame(struct iiod_client *c)
{
	struct iiod_frame *frame = TAKE_PTR(c->frame);

	if (frame)
		frame->drop(frame);
}

/* Copies the enabled channels of whole pixels. */
static size_t pick_channels(const struct iiod_device *d, const struct iiod_buffer *b, const uint8_t *from,
	size_t pixel_bytes, size_t n_pixels, uint8_t *to)
{
	uint8_t *start = to;

	for (size_t p = 0; p < n_pixels; p++) {
		const uint8_t *at = from + p * pixel_bytes;
		for (size_t i = 0; i < d->n_channels && d->channels[i].format; i++) {
			if (b->mask >> i & 1)
				for (uint32_t k = 0; k < d->channels[i].bytes; k++)
					*to++ = at[k];
			at += d->channels[i].bytes;
		}
	}
	return (size_t)(to - start);
}

bool iiod_next_piece(struct iiod_client *c)
{
	const struct iiod_device *d = c->server->devices[c->device];
	const struct iiod_buffer *b = &c->buffers[c->device];
	size_t pixel_bytes = 0;

	if (c->sent == c->total) {
		iiod_drop_frame(c);
		c->state = IIOD_IDLE;
		if (c->total < c->asked)
			say_number(c, 0); /* a buffer is one frame: the client shall not wait for more */
		return false;
	}
	for (size_t i = 0; i < d->n_channels && d->channels[i].format; i++)
		pixel_bytes += d->channels[i].bytes;
	uint64_t left = c->total - c->sent;
	if (b->sample_bytes == pixel_bytes) {
		c->tail = (const char *)c->frame->data + c->sent;
		c->tail_len = left < IIOD_OUT_BYTES ? (size_t)left : IIOD_OUT_BYTES;
	} else {
		size_t n = (IIOD_OUT_BYTES - c->out_len) / b->sample_bytes;
		if (left / b->sample_bytes < n)
			n = (size_t)(left / b->sample_bytes);
		const uint8_t *from = c->frame->data + c->sent / b->sample_bytes * pixel_bytes;
		c->tail_len = pick_channels(d, b, from, pixel_bytes, n, c->out + c->out_len);
		c->tail = (const char *)c->out + c->out_len;
	}
	c->sent += c->tail_len;
	c->server->frame_bytes += c->tail_len;
	return true;
}

void iiod_execute(struct iiod_client *c, const struct iiod_command *cmd)
{
	size_t index;
	bool known = find_device(c, cmd->device, &index) != NULL;

	switch (cmd->verb) {
	case IIOD_EMPTY:
		break;
	case IIOD_HELP:
		say(c, "%s", help);
		break;
	case IIOD_EXIT:
		c->state = IIOD_LEAVING;
		break;
	case IIOD_VERSION:
		say(c, "0.24.perigee\n"); /* libiio wants seven characters of "git tag" */
		break;
	case IIOD_PRINT:
		say_number(c, (int64_t)c->server->xml_len - 1);
		c->tail = c->server->xml;
		c->tail_len = c->server->xml_len;
		break;
	case IIOD_TIMEOUT:
		say_number(c, 0);
		break;
	case IIOD_OPEN:
		say_number(c, do_open(c, cmd));
		break;
	case IIOD_CLOSE:
		say_number(c, do_close(c, cmd));
		break;
	case IIOD_READ:
		do_read(c, cmd);
		break;
	case IIOD_WRITE:
		if (cmd->number > IIOD_VALUE_MAX) {
			say_number(c, -EFBIG);
			c->state = IIOD_LEAVING; /* what follows cannot be told from commands */
			break;
		}
		c->command = *cmd;
		c->state = IIOD_PAYLOAD;
		break;
	case IIOD_READBUF:
		do_readbuf(c, cmd);
		break;
	case IIOD_WRITEBUF:
		say_number(c, known ? -EPERM : -ENODEV); /* no device here takes samples */
		break;
	case IIOD_GETTRIG:
	case IIOD_SETTRIG:
		say_number(c, known ? -ENOENT : -ENODEV); /* no device here has a trigger */
		break;
	case IIOD_SET_BUFFERS:
		say_number(c, !known                                               ? -ENODEV
			      : cmd->number < 1 || cmd->number > BUFFERS_COUNT_MAX ? -EINVAL
										   : 0);
		break;
	case IIOD_VERB_MAX:
		break;
	}
}
