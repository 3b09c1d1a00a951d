/* SPDX-License-Identifier: Apache-2.0 */
/* The smallest guest: it ends its machine. */
	.section .note.xen, "a", @note
	.align 4
	.long 4, 4, 18
	.asciz "Xen"
	.long start
	.text
	.code32
	.global start
start:	mov	$0x501, %dx
	mov	$0, %al
	outb	%al, %dx
	.section .note.GNU-stack, "", @progbits
