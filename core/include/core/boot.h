/* SPDX-License-Identifier: Apache-2.0 */
/* Which start of the machine this is: a restart of a process and a restart of the machine are told apart by
 * it. */
#ifndef CORE_BOOT_H
#define CORE_BOOT_H

#define BOOT_ID_BYTES 37

/* The kernel's random id of this boot, read once: call it first before a confinement that hides /proc. ""
 * when it cannot be known. Static text. */
const char *boot_id(void);
/* Tests: from now on this is it. NULL: the real one again. Not copied. */
void boot_id_set_fake(const char *id);

#endif
