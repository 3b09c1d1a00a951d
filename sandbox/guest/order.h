/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the launcher gives the guest: the order, one module in memory (QEMU's -initrd), little-endian, and
 * what the guest says back on its control port, lines of text.
 *
 * Order: the header, then n_words texts ended by zero bytes (arguments, then the environment), then n_files
 * entries each followed by its name, then the bytes of inline files, then the program. All offsets from the
 * start.
 *
 * Control port: "start NS" (nanoseconds from the guest's first instruction to the stage's first), for each
 * output "out INDEX BYTES" (INDEX of its entry), "use PAGES-AT-MOST BYTES-READ BYTES-WRITTEN", "crash …"
 * lines for a person, and as the last "end exited CODE", "end signal NUMBER WHY", "end limit WHICH WHY" or
 * "end guest WHY".
 */
#ifndef GUEST_ORDER_H
#define GUEST_ORDER_H

#include <stdint.h>

#define GUEST_ORDER_MAGIC 0x3154535545475250ull /* "PRGUEST1" */
#define GUEST_FILES_MAX 1024
#define GUEST_WORDS_MAX 256
#define GUEST_NAME_BYTES 64
#define GUEST_CONTROL_BYTES_MAX 65536

struct guest_order {
	uint64_t magic;
	uint32_t bytes; /* of the whole order */
	uint16_t n_args, n_env;
	uint32_t words_at, words_bytes;
	uint32_t files_at, n_files;
	uint32_t program_at, program_bytes;
	uint64_t utc_ns; /* when the order was made */
	uint64_t tsc_hz;
	uint64_t tmp_bytes; /* of all files in /tmp */
};

enum guest_file_kind { GUEST_FILE_IN, GUEST_FILE_OUT, GUEST_FILE_INLINE };

struct guest_file {
	char name[GUEST_NAME_BYTES]; /* zero-ended */
	uint8_t kind;                /* enum guest_file_kind; inline files lie in /in */
	uint8_t device;              /* number of the block device, in the order of the command line */
	uint8_t spare[6];
	uint64_t at;    /* IN, OUT: byte on the device, a multiple of 512; INLINE: offset in the order */
	uint64_t bytes; /* IN, INLINE: its length; OUT: the most that it may have */
};

#endif
