/* SPDX-License-Identifier: Apache-2.0 */
/* The devices: blocks for artifacts (virtio 1.1, 5.2), ports for the log and the launcher (5.3), entropy
 * (5.4). */
#include "virtio.h"

#define BLOCKS_MAX 8
#define LOG_BYTES 4096

struct block {
	struct virtio virtio;
	struct queue queue;
	bool flush;
};

static struct block blocks[BLOCKS_MAX];
static size_t n_blocks;
static struct {
	struct virtio virtio;
	struct queue out[PORTS];
	bool started;
} ports;
static struct {
	struct virtio virtio;
	struct queue queue;
	bool started;
} entropy;

/* ---- blocks ---- */

#define BLOCK_FLUSH (1ull << 9)

static void on_block(volatile uint32_t *r)
{
	struct block *b = &blocks[n_blocks];

	if (n_blocks == BLOCKS_MAX)
		return;
	n_blocks++;
	virtio_start(&b->virtio, r, BLOCK_FLUSH);
	b->flush = b->virtio.features & BLOCK_FLUSH;
	queue_start(&b->queue, &b->virtio, 0);
	virtio_ready(&b->virtio);
}

size_t block_count(void)
{
	return n_blocks;
}

static int request(struct block *b, uint32_t kind, uint64_t sector, const struct piece *pieces, size_t n)
{
	static struct {
		uint32_t kind, spare;
		uint64_t sector;
	} header;
	static volatile uint8_t status;
	struct queue_piece chain[PIECES_MAX + 2];

	header.kind = kind;
	header.sector = sector;
	status = 0xff;
	chain[0] = (struct queue_piece){phys_of(&header), 16, false};
	for (size_t i = 0; i < n; i++)
		chain[i + 1] = (struct queue_piece){pieces[i].address, pieces[i].bytes, kind == 0};
	chain[n + 1] = (struct queue_piece){phys_of((const void *)&status), 1, true};
	queue_offer(&b->queue, 0, chain, n + 2);
	queue_wait(&b->queue);
	return status == 0 ? 0 : -EIO;
}

int block_transfer(size_t device, bool write, uint64_t sector, const struct piece *pieces, size_t n)
{
	ensure(n <= PIECES_MAX);
	return device < n_blocks ? request(&blocks[device], write ? 1 : 0, sector, pieces, n) : -EIO;
}

int block_flush(size_t device)
{
	struct block *b = &blocks[device];

	return b->flush ? request(b, 4, 0, NULL, 0) : 0;
}

/* ---- ports ---- */

#define CONSOLE_MULTIPORT (1ull << 1)
static void on_console(volatile uint32_t *r)
{
	if (ports.started)
		return;
	virtio_start(&ports.virtio, r, CONSOLE_MULTIPORT);
	if (!(ports.virtio.features & CONSOLE_MULTIPORT) || virtio_config32(&ports.virtio, 4) < PORTS)
		panic("the console has not the ports that we need");
	/* Queues: 0 and 1 are port 0's, 2 and 3 control, then two for each further port; the first is the
	 * device's to fill. We only write, and for that a port need not be announced: the control queues, and six
	 * round trips, are left out. */
	queue_start(&ports.out[0], &ports.virtio, 1);
	for (unsigned i = 1; i < PORTS; i++)
		queue_start(&ports.out[i], &ports.virtio, 2 + 2 * i + 1);
	virtio_ready(&ports.virtio);
	ports.started = true;
}

void port_write(enum port port, const void *data, size_t n)
{
	static uint8_t page[LOG_BYTES] __attribute__((aligned(4096)));
	const uint8_t *from = data;

	while (ports.started && n) {
		size_t len = MIN(n, sizeof(page));
		struct queue_piece piece = {phys_of(page), (uint32_t)len, false};

		memcpy(page, from, len);
		queue_offer(&ports.out[port], 0, &piece, 1);
		queue_wait(&ports.out[port]);
		from += len;
		n -= len;
	}
}

/* ---- entropy ---- */

static void on_entropy(volatile uint32_t *r)
{
	if (entropy.started)
		return;
	virtio_start(&entropy.virtio, r, 0);
	queue_start(&entropy.queue, &entropy.virtio, 0);
	virtio_ready(&entropy.virtio);
	entropy.started = true;
}

/* The processor's own generator: under emulation it is the host's. */
static bool from_processor(uint8_t *to, size_t n)
{
	uint32_t a = 1, b, c = 0, d;

	__asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
	if (!(c >> 30 & 1))
		return false;
	for (size_t at = 0, tries = 0; at < n; tries++) {
		uint64_t v;
		uint8_t ok;
		__asm__ volatile("rdrand %0; setc %1" : "=r"(v), "=qm"(ok) : : "cc");
		if (ok) {
			memcpy(to + at, &v, MIN(n - at, sizeof(v)));
			at += MIN(n - at, sizeof(v));
		} else if (tries > 100) {
			return false;
		}
	}
	return true;
}

void entropy_fill(void *to, size_t n)
{
	static uint8_t buffer[64];

	ensure(n <= sizeof(buffer));
	if (from_processor(to, n))
		return;
	virtio_each(VIRTIO_ENTROPY, on_entropy);
	if (!entropy.started)
		panic("no source of entropy");
	for (size_t at = 0; at < n;) {
		struct queue_piece piece = {phys_of(buffer), (uint32_t)(n - at), true};
		queue_offer(&entropy.queue, 0, &piece, 1);
		uint32_t got = MIN(queue_wait(&entropy.queue), (uint32_t)(n - at));
		memcpy((uint8_t *)to + at, buffer, got);
		at += got;
	}
	memset(buffer, 0, sizeof(buffer));
}

void devices_start(void)
{
	virtio_each(VIRTIO_CONSOLE, on_console);
	virtio_each(VIRTIO_BLOCK, on_block);
}
