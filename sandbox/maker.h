/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The maker: a second process of the launcher that does nothing but make cells, one at a time. Making one
 * waits in the kernel for several milliseconds (network namespaces, grace periods of control groups), which
 * must not delay a start, an end or a time limit. Cells are cloned as children of the launcher, and die with
 * it.
 */
#ifndef SANDBOX_MAKER_H
#define SANDBOX_MAKER_H

#include "cell.h"

struct maker {
	pid_t pid;
	int sock;
};

/* Forks it. `close_fds` (n of them) are closed in it: descriptors whose end somebody waits for. */
WARN_UNUSED int maker_start(
	const struct cell_kind *kind, const int *close_fds, size_t n, struct maker *ret_maker);
/* It ends by itself when its socket is closed. */
void maker_stop(struct maker *maker);

/* Asks for cell `number`; the answer makes maker->sock readable. */
WARN_UNUSED int maker_ask(struct maker *maker, unsigned number);
/* Waits for the answer. ERR_SANDBOX with the reason when the cell could not be made, ERR_PEER when the maker
 * is gone. */
WARN_UNUSED int maker_answer(struct maker *maker, const struct cell_kind *kind, unsigned number,
	struct cell *ret_cell, char *ret_reason, size_t cap);

#endif
