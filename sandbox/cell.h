/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A cell: one container, from its preparation to its end. It is made ahead of its stage: namespaces, groups,
 * ids and /dev take most of the time, and need to know nothing about the stage.
 *
 * Two processes are in it. The cell's init is pid 1: it starts nothing but the stage, reaps, and when the
 * stage has ended kills what it left and reports; with it dies the pid namespace. (A stage that were pid 1
 * itself would not get its own SIGABRT or SIGXFSZ, for the kernel protects pid 1 from signals that it does
 * not handle, and would have to reap its orphans.) The other waits for the start message and then becomes the
 * stage.
 *
 * On the cell's socket, cell to launcher: one of the bytes of enum cell_word, then its argument.
 */
#ifndef SANDBOX_CELL_H
#define SANDBOX_CELL_H

#include <linux/filter.h>
#include <sys/types.h>

#include "cgroup.h"
#include "core/msg.h"

#define CELL_HOST_ID_FIRST 0x70000000u /* user and group of cell n outside: this + n, which owns nothing */
#define CELL_INSIDE_ID 1000u

enum cell_word {
	CELL_READY = 'R',  /* prepared, nothing follows */
	CELL_FAILED = 'F', /* the text of what went wrong follows; the cell ends */
	CELL_ENDED = 'E',  /* struct cell_end follows: all its processes are dead */
};

/* Between two parts of the same executable, on one machine: as it is in memory. */
struct cell_end {
	int status;                         /* of the stage, as wait gives it */
	uint64_t read_bytes, written_bytes; /* from and to block devices, by all its processes */
};

#define CELL_WORD_BYTES 256

struct cell {
	unsigned number;
	pid_t init;
	int pidfd;
	int sock;
	struct cgroup group;
};

/* What every cell of this launcher shares. */
struct cell_kind {
	struct cgroups *groups;
	struct sock_fprog filter;
};

/* In the maker: clones it as a child of the launcher, puts it into its groups and gives it its ids; it goes
 * on preparing itself and then says CELL_READY. Negative with the step that failed in ret_reason. */
WARN_UNUSED int cell_make(
	const struct cell_kind *kind, unsigned number, struct cell *ret_cell, char *ret_reason, size_t cap);
/* Closes this process's descriptors of a cell, which lives on. */
void cell_forget(const struct cell_kind *kind, struct cell *cell);
/* Sets the limits and sends the start message on, with mounts in place of its folders. The message's body is
 * that of LAUNCH_MSG_START and was checked; its descriptors stay the caller's. */
WARN_UNUSED int cell_start(const struct cell_kind *kind, struct cell *cell, struct msg *start,
	const struct launch_limits *limits, char *ret_reason, size_t cap);
/* Kills everything in it. The end is seen on pidfd. */
void cell_kill(struct cell *cell);
/* When pidfd is readable: reaps init, removes the groups, closes. */
void cell_finish(const struct cell_kind *kind, struct cell *cell);

/* Inside (cell-init.c): never returns. `sock` is the only descriptor needed. */
_Noreturn void cell_main(int sock, const struct sock_fprog *filter);

#endif
