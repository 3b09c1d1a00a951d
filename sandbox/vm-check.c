/* SPDX-License-Identifier: Apache-2.0 */
/* Finds the system calls in a program: each `syscall` instruction, and the number that is put into eax
 * shortly before. Numbers that come from elsewhere (the function syscall()) are not seen. */
#include "vm-check.h"

#include <elf.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "guest/calls.h"
#include "rootfs.h"
#include "stage-syscalls.h"

#define PROGRAM_BYTES_MAX (64 << 20)
#define LOOK_BACK 64 /* bytes */

struct program {
	const unsigned char *bytes;
	size_t len;
	const Elf64_Sym *symbols;
	size_t n_symbols;
	const char *texts;
	size_t texts_len;
};

static bool answered(unsigned number)
{
#define NUMBER(number, function) number,
	static const unsigned numbers[] = {GUEST_CALLS(NUMBER)};

	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		if (numbers[i] == number)
			return true;
	return false;
}

static const char *name_of(unsigned number)
{
	for (size_t i = 0; i < stage_syscalls_n; i++)
		if ((unsigned)stage_syscalls[i].number == number)
			return stage_syscalls[i].name;
	return NULL;
}

static bool inside(const struct program *p, uint64_t at, uint64_t len)
{
	return at <= p->len && len <= p->len - at;
}

static void find_symbols(struct program *p, const Elf64_Ehdr *h)
{
	const Elf64_Shdr *sections = (const void *)(p->bytes + h->e_shoff);

	if (h->e_shoff % 8 || h->e_shentsize != sizeof(*sections) ||
		!inside(p, h->e_shoff, (uint64_t)h->e_shnum * sizeof(*sections)))
		return;
	for (size_t i = 0; i < h->e_shnum; i++) {
		const Elf64_Shdr *s = &sections[i];
		if (s->sh_type != SHT_SYMTAB || s->sh_link >= h->e_shnum || s->sh_offset % 8 ||
			!inside(p, s->sh_offset, s->sh_size))
			continue;
		const Elf64_Shdr *t = &sections[s->sh_link];
		if (!inside(p, t->sh_offset, t->sh_size) || t->sh_size == 0 ||
			p->bytes[t->sh_offset + t->sh_size - 1])
			continue;
		p->symbols = (const void *)(p->bytes + s->sh_offset);
		p->n_symbols = s->sh_size / sizeof(Elf64_Sym);
		p->texts = (const char *)p->bytes + t->sh_offset;
		p->texts_len = t->sh_size;
	}
}

static const char *function_at(const struct program *p, uint64_t va)
{
	for (size_t i = 0; i < p->n_symbols; i++) {
		const Elf64_Sym *s = &p->symbols[i];
		if (ELF64_ST_TYPE(s->st_info) == STT_FUNC && va >= s->st_value &&
			va - s->st_value < s->st_size && s->st_name < p->texts_len)
			return p->texts + s->st_name;
	}
	return "";
}

/* The number that eax has at code[at], or -1: the nearest instruction before that sets it. */
static int number_before(const unsigned char *code, size_t at)
{
	for (size_t back = 2; back <= LOOK_BACK && back <= at; back++) {
		const unsigned char *c = code + at - back;
		uint32_t v;
		if (back >= 5 && c[0] == 0xb8) { /* mov eax, imm32 */
			memcpy(&v, c + 1, 4);
			if (v < 1024)
				return (int)v;
		}
		if (back >= 7 && c[0] == 0x48 && c[1] == 0xc7 && c[2] == 0xc0) { /* mov rax, imm32 */
			memcpy(&v, c + 3, 4);
			if (v < 1024)
				return (int)v;
		}
		if (c[0] == 0x31 && c[1] == 0xc0) /* xor eax, eax */
			return 0;
		if (back >= 3 && c[0] == 0x6a && c[2] == 0x58) /* push imm8; pop rax */
			return c[1];
	}
	return -1;
}

static void add(struct vm_check *check, unsigned number, const char *in)
{
	for (size_t i = 0; i < check->n_misses; i++)
		if (check->misses[i].number == number)
			return;
	if (check->n_misses == VM_MISSES_MAX)
		return;
	struct vm_miss *m = &check->misses[check->n_misses++];
	*m = (struct vm_miss){.number = number, .name = name_of(number)};
	snprintf(m->in, sizeof(m->in), "%s", in);
}

static void look(const struct program *p, struct vm_check *check)
{
	Elf64_Ehdr h;

	memcpy(&h, p->bytes, sizeof(h));
	for (size_t i = 0; i < h.e_phnum; i++) {
		Elf64_Phdr s;
		uint64_t at = h.e_phoff + i * sizeof(s);
		if (!inside(p, at, sizeof(s)))
			return;
		memcpy(&s, p->bytes + at, sizeof(s));
		if (s.p_type != PT_LOAD || !(s.p_flags & PF_X) || !inside(p, s.p_offset, s.p_filesz))
			continue;
		const unsigned char *code = p->bytes + s.p_offset;
		for (size_t c = 0; c + 2 <= s.p_filesz; c++) {
			int number = code[c] == 0x0f && code[c + 1] == 0x05 ? number_before(code, c) : -1;
			if (number >= 0 && !answered((unsigned)number))
				add(check, (unsigned)number, function_at(p, s.p_vaddr + c));
		}
	}
}

int vm_check(const struct sandbox_image *image, struct vm_check *ret)
{
	char interpreter[ROOTFS_PATH_BYTES] = "";
	CLEAN_FD int fd = -1;
	struct stat st;
	int r = rootfs_open(image->rootfs_fd, image->argv[0], &fd);

	if (r < 0)
		return r;
	memset(ret, 0, sizeof(*ret));
	const char *architecture = elf_architecture(fd, interpreter, sizeof(interpreter));
	if (!architecture || strcmp(architecture, "amd64") != 0 || interpreter[0]) {
		snprintf(ret->why, sizeof(ret->why),
			"%.200s: it must be a static ELF program for x86-64 (link it with -static)",
			image->argv[0]);
		return 0;
	}
	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_size > PROGRAM_BYTES_MAX) {
		snprintf(ret->why, sizeof(ret->why), "%.200s: larger than %d MiB", image->argv[0],
			PROGRAM_BYTES_MAX >> 20);
		return 0;
	}
	struct program p = {.len = (size_t)st.st_size};
	void *bytes = mmap(NULL, p.len, PROT_READ, MAP_PRIVATE, fd, 0);
	if (bytes == MAP_FAILED)
		return -errno;
	p.bytes = bytes;
	ret->can = true;
	find_symbols(&p, bytes);
	look(&p, ret);
	munmap(bytes, p.len);
	return 0;
}
