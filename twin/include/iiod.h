/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A server of the IIOD network protocol (text protocol 0.x as libiio 0.24's network backend speaks it, TCP)
 * for devices that exist only in this process. One libuv loop; nothing in it blocks: a READBUF whose frame is
 * not there yet is answered when iiod_server_ready says that it is.
 *
 * A device is described by tables that stay valid as long as the server. Its functions are called in the
 * loop's thread and must not block.
 */
#ifndef TWIN_IIOD_H
#define TWIN_IIOD_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "core/err.h"

#define IIOD_PORT 30431
#define IIOD_LINE_MAX 1024  /* bytes of a command line, its end included */
#define IIOD_VALUE_MAX 2048 /* bytes of an attribute's value, its final zero included */
#define IIOD_CLIENTS_MAX 64 /* connections at once; libiio has one per context and one per open buffer */
#define IIOD_DEVICES_MAX 16
#define IIOD_CHANNELS_MAX 32 /* of one device: one word of mask */
#define IIOD_STALL_MS                                                                                        \
	30000 /* a client that takes nothing for so long while data is on its way is dropped                 \
	       */

/* An attribute. read writes a text of at most cap-1 bytes and its zero; both return 0 or -errno, which goes
 * to the client as it is. A missing one is -EACCES. `arg` tells apart attributes that share a function. */
struct iiod_attr {
	const char *name;
	const char *filename; /* in sysfs, of a channel's attribute; NULL: the name */
	int (*read)(void *user, int arg, char *ret_text, size_t cap);
	int (*write)(void *user, int arg, const char *text);
	int arg;
};

struct iiod_channel {
	const char *id;     /* "intensity_blue", "temp" */
	const char *name;   /* "blue", another name for it; NULL: none */
	const char *format; /* of a scan element, "be:u16/16>>0"; NULL: not one. Input channels only. */
	uint32_t bytes;     /* of one sample of a scan element; the same in all of one device */
	const struct iiod_attr *attrs;
	size_t n_attrs;
};

/* A frame on its way to clients. The device owns the memory; the server gives each one back with drop, once.
 */
struct iiod_frame {
	const uint8_t *data; /* n_samples times the samples of all scan channels, in order */
	uint32_t n_samples;  /* pixels */
	void *user;
	void (*drop)(struct iiod_frame *frame);
};

struct iiod_device {
	const char *id;                      /* "iio:device0" */
	const char *name;                    /* "cam0" */
	const struct iiod_channel *channels; /* scan elements first */
	size_t n_channels;
	const struct iiod_attr *attrs;
	size_t n_attrs;
	const struct iiod_attr *debug_attrs;
	size_t n_debug_attrs;
	void *user;
	/* The frame that a buffer of n_samples shall deliver now. 0; -EAGAIN: none yet, iiod_server_ready
	 * will be called; another -errno refuses this READBUF. NULL: the device has no buffer. */
	int (*frame)(void *user, uint32_t n_samples, struct iiod_frame **ret_frame);
};

struct iiod_server;

/* Listens on host:port (a numeric address; port 0: any). The array and the devices are borrowed until the
 * loop has run the close callbacks. -EADDRINUSE and the like; -EINVAL for a bad address or tables. */
WARN_UNUSED int iiod_server_create(uv_loop_t *loop, const char *host, uint16_t port,
	const struct iiod_device *const *devices, size_t n_devices, struct iiod_server **ret_server);
uint16_t iiod_server_port(const struct iiod_server *server);
/* A device may have a frame now: those who wait for it are asked again. */
void iiod_server_ready(struct iiod_server *server, const struct iiod_device *device);
/* READBUF commands that wait for this device now. */
size_t iiod_server_waiting(const struct iiod_server *server, const struct iiod_device *device);
/* Clients connected now. */
size_t iiod_server_clients(const struct iiod_server *server);
/* Frame data bytes handed to the network so far. */
uint64_t iiod_server_bytes(const struct iiod_server *server);
/* Ends all connections. The memory goes when the loop has run the close callbacks; frames are dropped at
 * once. */
void iiod_server_destroy(struct iiod_server *server);

/* The context description that PRINT answers with (libiio's XML form). The caller frees it. */
WARN_UNUSED int iiod_xml(
	const struct iiod_device *const *devices, size_t n_devices, char **ret_xml, size_t *ret_len);

#endif
