/* SPDX-License-Identifier: Apache-2.0 */
/* Names for addresses of the stage, where its ELF file has them. Nothing in the file is trusted. */
#include "elf.h"
#include "guest.h"

static const uint8_t *file;
static size_t file_len;
static uint64_t file_bias;

void symbols_start(const uint8_t *elf, size_t len, uint64_t bias)
{
	file = elf;
	file_len = len;
	file_bias = bias;
}

static bool inside(uint64_t at, uint64_t len)
{
	return at <= file_len && len <= file_len - at;
}

static bool section(size_t i, struct elf_section *ret)
{
	struct elf_header h;

	memcpy(&h, file, sizeof(h));
	if (i >= h.n_sections || h.section_bytes != sizeof(*ret) ||
		!inside(h.sections_at, (uint64_t)h.n_sections * sizeof(*ret)))
		return false;
	memcpy(ret, file + h.sections_at + i * sizeof(*ret), sizeof(*ret));
	return inside(ret->at, ret->kind == ELF_NO_BITS ? 0 : ret->bytes);
}

static bool find_symbols(struct elf_section *ret_symbols, struct elf_section *ret_texts)
{
	for (size_t i = 0; section(i, ret_symbols); i++)
		if (ret_symbols->kind == ELF_SYMBOLS)
			return section(ret_symbols->link, ret_texts) && ret_texts->bytes > 0 &&
			       file[ret_texts->at + ret_texts->bytes - 1] == 0;
	return false;
}

const char *symbol_at(uint64_t va, uint64_t *ret_offset)
{
	struct elf_section symbols, texts;
	const char *best = NULL;

	if (!file || !find_symbols(&symbols, &texts))
		return NULL;
	va -= file_bias;
	for (uint64_t at = 0; at + sizeof(struct elf_symbol) <= symbols.bytes;
		at += sizeof(struct elf_symbol)) {
		struct elf_symbol s;
		memcpy(&s, file + symbols.at + at, sizeof(s));
		if ((s.info & 15) != ELF_FUNCTION || va < s.value ||
			va - s.value >= (s.bytes ? s.bytes : 1) || s.name >= texts.bytes)
			continue;
		best = (const char *)file + texts.at + s.name;
		*ret_offset = va - s.value;
	}
	return best;
}
