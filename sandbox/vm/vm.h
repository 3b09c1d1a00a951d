/* SPDX-License-Identifier: Apache-2.0 */
/*
 * perigee-vm: the program that runs in a cell in the place of a stage, when the stage is a unikernel. It sees
 * what the stage would see (/in, /out, /tmp), puts it into a virtual machine, and ends as the stage ended. It
 * runs with the stage's own rights, which are none: it needs nothing of the supervisor or the launcher.
 *
 *   /in, /out --> order (memory) + one block device a file --> QEMU, sandbox/guest --> /out, exit status, log
 *
 * It links the C library alone.
 */
#ifndef SANDBOX_VM_H
#define SANDBOX_VM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../guest/order.h"

#define VM_BLOCKS_MAX 6 /* of the 8 devices of a microvm, one is the console and one is entropy */
#define VM_ARGS_MAX 128
#define VM_ROOT_BYTES_MAX 1000

/* Where things are in the root of a cell that vm_install has made. */
#define VM_CELL_QEMU "/usr/bin/qemu-system-x86_64"
#define VM_CELL_KERNEL "/boot/guest"
#define VM_CELL_SELF "/perigee-vm"

enum {                       /* sysexits.h, beside what the stage itself may say */
	VM_EXIT_GUEST = 70,  /* the guest itself failed, or cannot run this program */
	VM_EXIT_MACHINE = 71 /* QEMU cannot run, or died */
};

struct vm_file {
	char name[GUEST_NAME_BYTES];
	char path[VM_ROOT_BYTES_MAX + 80];
	enum guest_file_kind kind;
	uint64_t bytes; /* an input's length, or the most that an output may have */
	uint8_t device; /* given by vm_devices */
	uint64_t at;
};

struct vm {
	const char *root; /* "" in a cell; for tests another folder with in, out and tmp */
	const char *qemu, *kernel, *accel;
	uint64_t memory_mib, tmp_bytes, tsc_hz;
	const char *const *argv; /* of the stage; argv[0] is its program's path too */
	const char *const *env;
	struct vm_file files[GUEST_FILES_MAX];
	size_t n_files;
	struct {
		char path[VM_ROOT_BYTES_MAX + 80]; /* a file, or the description of several */
		bool writable, several;
	} devices[VM_BLOCKS_MAX];
	size_t n_devices;
	bool times; /* what the guest says of itself goes to the log */
	char order[VM_ROOT_BYTES_MAX + 80]; /* path of the order */
};

/* vm-files.c: reads /in, makes the outputs as long as they may get. Says what is wrong; negative. */
int vm_find_files(struct vm *vm);
/* Which file is on which device: one each, or several on one when there are too many. */
int vm_devices(struct vm *vm);
/* Outputs become as long as the guest says: lengths by file, -1 none. */
int vm_cut_outputs(const struct vm *vm, const int64_t *lengths);

/* vm-order.c */
int vm_write_order(struct vm *vm);

/* vm-run.c: starts QEMU and waits; how it ended. */
struct vm_end {
	char how[16]; /* "exited", "signal", "limit", "guest"; "" when nothing was said */
	char rest[256];
	int64_t lengths[GUEST_FILES_MAX];
	int qemu_status; /* of wait */
};
int vm_run(const struct vm *vm, struct vm_end *ret_end);

/* vm-install.c: makes DIR such a root. Says what is missing and what to install; negative. */
int vm_install(const char *dir, const char *qemu, const char *kernel);

#endif
