/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio.h"

#define SLOTS 24 /* as many as QEMU's microvm has at most; those that are not there answer with nothing */
#define SLOT_FIRST 0xfeb00000ull
#define SLOT_BYTES 512
#define IO_APIC 0xfec00000ull
#define LOCAL_APIC 0xfee00000ull
#define IRQ_FIRST 5 /* of slot 0 on a microvm without ACPI */
#define VECTOR 0x40
#define SPINS 2000

enum { /* registers, in words */
	MAGIC = 0x00 / 4,
	VERSION = 0x04 / 4,
	KIND = 0x08 / 4,
	DEVICE_FEATURES = 0x10 / 4,
	DEVICE_FEATURES_SELECT = 0x14 / 4,
	DRIVER_FEATURES = 0x20 / 4,
	DRIVER_FEATURES_SELECT = 0x24 / 4,
	QUEUE_SELECT = 0x30 / 4,
	QUEUE_MOST = 0x34 / 4,
	QUEUE_NUMBER = 0x38 / 4,
	QUEUE_READY = 0x44 / 4,
	QUEUE_NOTIFY = 0x50 / 4,
	INTERRUPT_STATUS = 0x60 / 4,
	INTERRUPT_ACK = 0x64 / 4,
	STATUS = 0x70 / 4,
	QUEUE_DESCRIPTORS = 0x80 / 4,
	QUEUE_AVAILABLE = 0x90 / 4,
	QUEUE_USED = 0xa0 / 4,
	CONFIG = 0x100 / 4,
};

enum { ACKNOWLEDGE = 1, DRIVER = 2, DRIVER_OK = 4, FEATURES_OK = 8 };
#define VERSION_1 (1ull << 32)

static void io_apic_write(uint32_t index, uint32_t v)
{
	volatile uint32_t *io = phys(IO_APIC);

	io[0] = index;
	io[4] = v;
}

static void interrupts_start(void)
{
	volatile uint32_t *local = phys(LOCAL_APIC);

	local[0xf0 / 4] = 0x1ff;
	for (unsigned pin = IRQ_FIRST; pin < 24; pin++) {
		io_apic_write(0x10 + 2 * pin + 1, 0);
		io_apic_write(0x10 + 2 * pin, VECTOR);
	}
}

void virtio_each(enum virtio_kind kind, void (*found)(volatile uint32_t *registers))
{
	static bool started;

	if (!started)
		interrupts_start();
	started = true;
	/* QEMU fills the slots from the last to the first. */
	for (int i = 8 - 1; i >= 0; i--) {
		volatile uint32_t *r = phys(SLOT_FIRST + (uint64_t)i * SLOT_BYTES);
		if (r[MAGIC] == 0x74726976 && r[KIND] == kind)
			found(r);
	}
}

void virtio_start(struct virtio *v, volatile uint32_t *r, uint64_t wanted)
{
	if (r[VERSION] != 2)
		panic("a virtio device of version %u", r[VERSION]);
	v->registers = r;
	r[STATUS] = 0;
	r[STATUS] = ACKNOWLEDGE;
	r[STATUS] = ACKNOWLEDGE | DRIVER;
	r[DEVICE_FEATURES_SELECT] = 0;
	v->features = r[DEVICE_FEATURES];
	r[DEVICE_FEATURES_SELECT] = 1;
	v->features |= (uint64_t)r[DEVICE_FEATURES] << 32;
	v->features &= wanted | VERSION_1;
	r[DRIVER_FEATURES_SELECT] = 0;
	r[DRIVER_FEATURES] = (uint32_t)v->features;
	r[DRIVER_FEATURES_SELECT] = 1;
	r[DRIVER_FEATURES] = (uint32_t)(v->features >> 32);
	r[STATUS] = ACKNOWLEDGE | DRIVER | FEATURES_OK;
	if (!(r[STATUS] & FEATURES_OK))
		panic("a virtio device refused its features");
}

void virtio_ready(struct virtio *v)
{
	v->registers[STATUS] = ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK;
}

uint32_t virtio_config32(const struct virtio *v, unsigned offset)
{
	return v->registers[CONFIG + offset / 4];
}

static void set_address(volatile uint32_t *r, unsigned at, const volatile void *p)
{
	uint64_t address = phys_of((const void *)p);

	r[at] = (uint32_t)address;
	r[at + 1] = (uint32_t)(address >> 32);
}

void queue_start(struct queue *q, struct virtio *v, unsigned number)
{
	volatile uint32_t *r = v->registers;
	uint64_t page = pages_take(1);

	ensure(page != 0);
	r[QUEUE_SELECT] = number;
	q->device = v;
	q->number = number;
	q->size = (uint16_t)MIN(r[QUEUE_MOST], (uint32_t)QUEUE_SIZE);
	ensure(q->size > 0);
	/* 128 descriptors, the two rings: 2048 + 260 + 1030 bytes, one page. */
	q->descriptors = phys(page);
	q->available = phys(page + 2048);
	q->used = phys(page + 2560);
	r[QUEUE_NUMBER] = q->size;
	set_address(r, QUEUE_DESCRIPTORS, q->descriptors);
	set_address(r, QUEUE_AVAILABLE, q->available);
	set_address(r, QUEUE_USED, q->used);
	r[QUEUE_READY] = 1;
}

void queue_offer(struct queue *q, uint16_t first, const struct queue_piece *pieces, size_t n)
{
	for (size_t i = 0; i < n; i++)
		q->descriptors[first + i] = (struct queue_descriptor){pieces[i].address, pieces[i].bytes,
			(uint16_t)((i + 1 < n ? 1 : 0) | (pieces[i].device_writes ? 2 : 0)),
			(uint16_t)(first + i + 1)};
	q->available->ring[q->available->index % q->size] = first;
	barrier();
	q->available->index++;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	q->device->registers[QUEUE_NOTIFY] = q->number;
}

bool queue_done(struct queue *q, uint16_t *ret_first, uint32_t *ret_bytes)
{
	if (q->used->index == q->seen)
		return false;
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	*ret_first = (uint16_t)q->used->ring[q->seen % q->size].id;
	*ret_bytes = q->used->ring[q->seen % q->size].bytes;
	q->seen++;
	return true;
}

uint32_t queue_wait(struct queue *q)
{
	volatile uint32_t *r = q->device->registers;
	uint16_t first;
	uint32_t bytes;

	for (unsigned spins = 0; !queue_done(q, &first, &bytes);) {
		if (++spins < SPINS) {
			__asm__ volatile("pause");
			continue;
		}
		/* An interrupt that came before the check is pending and ends the halt at once. */
		if (q->used->index == q->seen)
			__asm__ volatile("sti; hlt; cli" : : : "memory");
		r[INTERRUPT_ACK] = r[INTERRUPT_STATUS];
	}
	r[INTERRUPT_ACK] = r[INTERRUPT_STATUS];
	return bytes;
}
