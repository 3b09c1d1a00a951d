/* SPDX-License-Identifier: Apache-2.0 */
/* From QEMU's hands (PVH: 32-bit protected mode, paging off, %ebx is the start info) to guest_main in 64-bit mode. */
#include "layout.h"

#define PHYS(x) ((x) - KERNEL_BASE)

	.section .note.xen, "a", @note
	.align 4
	.long 4, 4, 18 /* XEN_ELFNOTE_PHYS32_ENTRY */
	.asciz "Xen"
	.long PHYS(boot32)

	.section .boot, "ax", @progbits
	.code32
	.global boot32
boot32:
	cli
	cld
	mov	%ebx, %ebp
	rdtsc
	mov	%eax, PHYS(boot_tsc)
	mov	%edx, PHYS(boot_tsc) + 4

	/* The first 4 GiB in pages of 2 MiB: PHYSMAP, and for this moment at address 0 too. */
	mov	$PHYS(physmap_tables), %edi
	mov	$0x83, %eax /* present, writable, large */
	xor	%edx, %edx
	mov	$2048, %ecx
1:	cmp	$0xc0000000, %eax
	jb	2f
	or	$0x10, %eax /* devices live above 3 GiB: not cached */
2:	mov	%eax, (%edi)
	mov	%edx, 4(%edi)
	add	$8, %edi
	add	$0x200000, %eax
	loop	1b

	mov	$PHYS(boot_pdpt), %edi
	mov	$PHYS(physmap_tables) + 3, %eax
	mov	$4, %ecx
3:	mov	%eax, (%edi)
	add	$8, %edi
	add	$4096, %eax
	loop	3b
	movl	$PHYS(physmap_tables) + 3, PHYS(kernel_pdpt) + 510 * 8 /* -2 GiB, until guest_main maps it finely */
	movl	$PHYS(boot_pdpt) + 3, PHYS(kernel_pml4)
	movl	$PHYS(boot_pdpt) + 3, PHYS(kernel_pml4) + PHYSMAP_SLOT * 8
	movl	$PHYS(kernel_pdpt) + 3, PHYS(kernel_pml4) + 511 * 8

	mov	$PHYS(kernel_pml4), %eax
	mov	%eax, %cr3
	mov	$0x6a0, %eax /* PAE, PGE, OSFXSR, OSXMMEXCPT */
	mov	%eax, %cr4
	mov	$0xc0000080, %ecx
	rdmsr
	or	$0x901, %eax /* syscall, long mode, no-execute */
	wrmsr
	mov	$0x80010033, %eax /* paging, write-protect for us too, FPU, protected mode */
	mov	%eax, %cr0
	lgdt	PHYS(boot_gdt_pointer)
	ljmp	$0x08, $PHYS(boot64)

	.code64
boot64:
	mov	$0x10, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %ss
	xor	%eax, %eax
	mov	%eax, %fs
	mov	%eax, %gs
	movabs	$boot_high, %rax
	jmp	*%rax
boot_high:
	mov	$kernel_stack_top, %rsp
	lgdt	gdt_pointer(%rip)
	mov	%ebp, %edi
	xor	%ebp, %ebp
	call	guest_main
	ud2

	.section .data
	.align 8
	/* Null, our code, our data, the stage's data, the stage's code, the task state (two entries; trap.c). */
	.global gdt
gdt:	.quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0x00cff3000000ffff, 0x00affb000000ffff, 0, 0
gdt_end:
boot_gdt_pointer:
	.word gdt_end - gdt - 1
	.long PHYS(gdt)
gdt_pointer:
	.word gdt_end - gdt - 1
	.quad gdt
	.align 8
	.global boot_tsc
boot_tsc: .quad 0

	.section .bss
	.align 4096
	.global kernel_pml4, kernel_pdpt, physmap_tables
kernel_pml4: .skip 4096
kernel_pdpt: .skip 4096
boot_pdpt: .skip 4096
physmap_tables: .skip 4 * 4096
	.skip 4096 /* the guard of the stack: main.c unmaps it */
	.global kernel_stack_guard, kernel_stack_top
	.set kernel_stack_guard, . - 4096
	.skip KERNEL_STACK_BYTES
kernel_stack_top:

	.section .note.GNU-stack, "", @progbits
