/* SPDX-License-Identifier: Apache-2.0 */
/* Memory that a process which mostly waits does not need while it waits. */
#ifndef CORE_MEMORY_H
#define CORE_MEMORY_H

/* Gives the kernel back what the heap has free, and lets go of the read-only pages of the program and its
 * libraries: most were touched by the dynamic linker alone, and what is needed again comes from the page
 * cache. For a process about to wait, after its start or after rare work; costs some 10 us for each page that
 * is needed again. */
void memory_give_back(void);

#endif
