/* SPDX-License-Identifier: Apache-2.0 */
/* Where things lie; for C and for assembly. */
#ifndef GUEST_LAYOUT_H
#define GUEST_LAYOUT_H

#define KERNEL_BASE 0xffffffff80000000
#define KERNEL_STACK_BYTES 16384
#define PHYSMAP_SLOT 256
#define PHYSMAP 0xffff800000000000 /* physical memory, 4 GiB of it */
#define USER_END 0x00007ffffffff000

#define KERNEL_CODE 0x08
#define KERNEL_DATA 0x10
#define USER_DATA 0x1b
#define USER_CODE 0x23
#define TASK_STATE 0x28

#endif
