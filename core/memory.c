/* SPDX-License-Identifier: Apache-2.0 */
#include <link.h>
#include <malloc.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/memory.h"

/* Only segments that were never writable: there each page is as it is in the file, so that dropping it loses
 * nothing. (What relocation has changed is in writable segments, though it is protected later.) */
static int let_go(struct dl_phdr_info *info, size_t size, void *user)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);

	(void)size;
	(void)user;
	for (size_t i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];

		/* Text relocations would be such a change: their objects are left alone. */
		if (p->p_type == PT_DYNAMIC) {
			for (const ElfW(Dyn) *d = (const ElfW(Dyn) *)(info->dlpi_addr + p->p_vaddr);
				d->d_tag != DT_NULL; d++) {
				if (d->d_tag == DT_TEXTREL ||
					(d->d_tag == DT_FLAGS && (d->d_un.d_val & DF_TEXTREL)))
					return 0;
			}
		}
	}
	for (size_t i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];

		if (p->p_type != PT_LOAD || (p->p_flags & PF_W))
			continue;
		uintptr_t from = (info->dlpi_addr + p->p_vaddr) & ~(page - 1);
		uintptr_t to = (info->dlpi_addr + p->p_vaddr + p->p_memsz) & ~(page - 1);
		if (from < to)
			(void)madvise((void *)from, to - from, MADV_DONTNEED); /* only a saving */
	}
	return 0;
}

void memory_give_back(void)
{
	malloc_trim(0);
	dl_iterate_phdr(let_go, NULL);
}
