/* SPDX-License-Identifier: Apache-2.0 */
/* The virtio transport over memory-mapped registers, version 2 (virtio 1.1, section 4.2), and split queues
 * (2.6). */
#ifndef GUEST_VIRTIO_H
#define GUEST_VIRTIO_H

#include "guest.h"

enum virtio_kind { VIRTIO_BLOCK = 2, VIRTIO_CONSOLE = 3, VIRTIO_ENTROPY = 4 };

#define QUEUE_SIZE 128 /* descriptors */

struct queue_descriptor {
	uint64_t address;
	uint32_t bytes;
	uint16_t flags, next;
};

struct virtio {
	volatile uint32_t *registers;
	uint64_t features;
};

struct queue {
	struct virtio *device;
	unsigned number;
	uint16_t size;
	struct queue_descriptor *descriptors;
	struct {
		uint16_t flags, index, ring[];
	} * available;
	volatile struct {
		uint16_t flags, index;
		struct {
			uint32_t id, bytes;
		} ring[];
	} * used;
	uint16_t seen; /* of used->index */
};

/* Calls for each device of a kind, in the order of the command line. */
void virtio_each(enum virtio_kind kind, void (*found)(volatile uint32_t *registers));
/* Negotiates: of `wanted` those that the device has. Panics when it cannot be used: we were made for it. */
void virtio_start(struct virtio *v, volatile uint32_t *registers, uint64_t wanted);
void virtio_ready(struct virtio *v);
void queue_start(struct queue *q, struct virtio *v, unsigned number);
uint32_t virtio_config32(const struct virtio *v, unsigned offset);

struct queue_piece {
	uint64_t address;
	uint32_t bytes;
	bool device_writes;
};
/* Offers one chain, from descriptor `first` on, and tells the device. */
void queue_offer(struct queue *q, uint16_t first, const struct queue_piece *pieces, size_t n);
/* Whether the device has finished one; which, and how much it wrote. */
bool queue_done(struct queue *q, uint16_t *ret_first, uint32_t *ret_bytes);
/* Waits for one. */
uint32_t queue_wait(struct queue *q);

#endif
