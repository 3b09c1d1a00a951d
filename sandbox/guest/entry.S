/* SPDX-License-Identifier: Apache-2.0 */
/* The ways into the kernel and out of it. The stage runs with interrupts off: they are let through in one place
 * only, while we wait for a device. One processor, one thread: one kernel stack. */
#include "layout.h"

	.text
	/* struct frame of guest.h, from its end to its start. */
	.macro save_registers
	push	%rax
	push	%rcx
	push	%rdx
	push	%rbx
	push	%rbp
	push	%rsi
	push	%rdi
	push	%r8
	push	%r9
	push	%r10
	push	%r11
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	.endm
	.macro restore_registers
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%r11
	pop	%r10
	pop	%r9
	pop	%r8
	pop	%rdi
	pop	%rsi
	pop	%rbp
	pop	%rbx
	pop	%rdx
	pop	%rcx
	pop	%rax
	.endm

	.global enter_syscall
enter_syscall:
	mov	%rsp, user_stack(%rip)
	mov	$kernel_stack_top, %rsp
	push	$USER_DATA
	push	user_stack(%rip)
	push	%r11
	push	$USER_CODE
	push	%rcx
	push	$0 /* no error code */
	push	$256 /* the number that no trap has */
	save_registers
	mov	%rsp, %rdi
	call	on_syscall
	/* What the kernel used must not be seen by the stage; the ABI lets rcx and r11 go. */
	restore_registers
	add	$16, %rsp
	pop	%rcx
	add	$8, %rsp
	pop	%r11
	pop	%rsp
	sysretq

	/* void enter_user(uint64_t ip, uint64_t sp) */
	.global enter_user
enter_user:
	push	$USER_DATA
	push	%rsi
	push	$2 /* interrupts off */
	push	$USER_CODE
	push	%rdi
	xor	%eax, %eax
	xor	%ebx, %ebx
	xor	%ecx, %ecx
	xor	%edx, %edx
	xor	%ebp, %ebp
	xor	%esi, %esi
	xor	%edi, %edi
	xor	%r8d, %r8d
	xor	%r9d, %r9d
	xor	%r10d, %r10d
	xor	%r11d, %r11d
	xor	%r12d, %r12d
	xor	%r13d, %r13d
	xor	%r14d, %r14d
	xor	%r15d, %r15d
	iretq

	/* One stub for each of the 32 exceptions; some bring an error code. */
	.altmacro
	.macro stub n
	.align 16
	.if \n == 8 || (\n >= 10 && \n <= 14) || \n == 17 || \n == 21 || \n == 29 || \n == 30
	.else
	push	$0
	.endif
	push	$\n
	jmp	enter_trap
	.endm
	.align 16
	.global trap_stubs
trap_stubs:
	.set i, 0
	.rept 32
	stub %i
	.set i, i + 1
	.endr

enter_trap:
	save_registers
	mov	%rsp, %rdi
	cld
	call	on_trap
	restore_registers
	add	$16, %rsp
	iretq

	/* A device wants to be looked at: that alone ends the wait. */
	.align 16
	.global enter_interrupt
enter_interrupt:
	push	%rax
	movabs	$PHYSMAP + 0xfee000b0, %rax
	movl	$0, (%rax) /* end of interrupt */
	pop	%rax
	iretq

	.bss
	.align 8
user_stack: .skip 8

	.section .note.GNU-stack, "", @progbits
