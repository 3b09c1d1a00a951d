/* SPDX-License-Identifier: Apache-2.0 */
/* What the two halves of the server share: connections (iiod-server.c) and commands (iiod-command.c). */
#ifndef TWIN_IIOD_SERVER_H
#define TWIN_IIOD_SERVER_H

#include "iiod-parse.h"
#include "iiod.h"

#define IIOD_IN_BYTES 4096   /* of commands not yet executed, and of a value being written */
#define IIOD_OUT_BYTES 65536 /* of an answer, or of one piece of a frame */

enum iiod_state {
	IIOD_IDLE,      /* the next command may be executed */
	IIOD_PAYLOAD,   /* WRITE: the value's bytes are still coming */
	IIOD_WAITING,   /* READBUF: the device has no frame yet */
	IIOD_STREAMING, /* READBUF: a frame is on its way */
	IIOD_LEAVING,   /* closed as soon as the last answer is out */
};

/* An OPEN of this connection. */
struct iiod_buffer {
	bool open;
	uint32_t n_samples, mask;
	uint32_t sample_bytes; /* of all enabled channels of one pixel */
};

struct iiod_client {
	struct iiod_server *server;
	struct iiod_client *prev, *next;
	uv_tcp_t tcp;
	uv_timer_t stall; /* runs while a write is under way */
	uv_write_t write;
	int n_handles;
	bool closing, writing, reading, eof;
	uint64_t last_used; /* uv_now */

	enum iiod_state state;
	struct iiod_command command; /* WRITE, READBUF under way */
	struct iiod_buffer buffers[IIOD_DEVICES_MAX];

	size_t device; /* READBUF: which */
	struct iiod_frame *frame;
	uint64_t sent, total, asked; /* READBUF: bytes of the frame as this client sees it */

	size_t in_len, out_len;
	const char *tail; /* borrowed: goes out after `out` */
	size_t tail_len;
	uint8_t in[IIOD_IN_BYTES];
	uint8_t out[IIOD_OUT_BYTES];
};

struct iiod_server {
	uv_loop_t *loop;
	uv_tcp_t tcp;
	bool closing;
	size_t n_handles; /* that the loop still knows */
	uint16_t port;
	const struct iiod_device *const *devices;
	size_t n_devices;
	char *xml; /* with a line end */
	size_t xml_len;
	struct iiod_client *first;
	size_t n_clients;
	uint64_t frame_bytes;
};

/* Executes one command: changes the client's state and appends its answer to `out`. */
void iiod_execute(struct iiod_client *c, const struct iiod_command *command);
/* WRITE: the value has come. */
void iiod_write_value(struct iiod_client *c, const uint8_t *value, size_t len);
/* READBUF: asks the device for the frame; answers with an error, goes on waiting, or begins to stream. */
void iiod_try_frame(struct iiod_client *c);
/* READBUF: the next piece; appended to `out` or borrowed as `tail`. False when all is out. */
bool iiod_next_piece(struct iiod_client *c);
void iiod_drop_frame(struct iiod_client *c);

#endif
