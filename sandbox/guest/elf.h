/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of the ELF format (System V ABI, gABI 4.1) that are needed. */
#ifndef GUEST_ELF_H
#define GUEST_ELF_H

#include <stdint.h>

enum { ELF_EXEC = 2, ELF_DYN = 3, ELF_X86_64 = 62 };
enum { ELF_LOAD = 1, ELF_INTERPRETER = 3, ELF_TLS = 7, ELF_STACK = 0x6474e551 };
enum { ELF_SYMBOLS = 2, ELF_NO_BITS = 8, ELF_FUNCTION = 2 };

struct elf_header {
	uint8_t ident[16];
	uint16_t kind, machine;
	uint32_t version;
	uint64_t entry, segments_at, sections_at;
	uint32_t flags;
	uint16_t header_bytes, segment_bytes, n_segments, section_bytes, n_sections, names;
};

struct elf_segment {
	uint32_t kind, flags; /* 1 execute, 2 write, 4 read */
	uint64_t at, va, pa, file_bytes, bytes, align;
};

struct elf_section {
	uint32_t name, kind;
	uint64_t flags, va, at, bytes;
	uint32_t link, info;
	uint64_t align, entry_bytes;
};

struct elf_symbol {
	uint32_t name;
	uint8_t info, other;
	uint16_t section;
	uint64_t value, bytes;
};

#endif
