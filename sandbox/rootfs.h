/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files below the root of an unpacked image, whose links are hostile: paths are resolved here, component by
 * component, so that nothing outside the root is ever opened.
 */
#ifndef SANDBOX_ROOTFS_H
#define SANDBOX_ROOTFS_H

#include <stdbool.h>

#include "core/err.h"

#define ROOTFS_PATH_BYTES 1024

/* Brings a path into the form "a/b/c": ERR_FORMAT for "..", ERR_LIMIT when it is too long. "" for the root.
 */
WARN_UNUSED int rootfs_clean(const char *path, char ret_path[ROOTFS_PATH_BYTES]);

/* Opens the folder that holds the last component of a clean path, which is copied out; no link is followed.
 * With `make`, missing folders are made (0755). -ENOTDIR, -ENOENT, -ELOOP, … */
WARN_UNUSED int rootfs_parent(
	int root, const char *clean, bool make, int *ret_dir, char ret_name[ROOTFS_PATH_BYTES]);

/* Opens a file read-only as a program in that root would see it, links followed within the root. */
WARN_UNUSED int rootfs_open(int root, const char *path, int *ret_fd);

/* Removes a file, or a folder with all that is in it, without following links. A missing one is fine. */
WARN_UNUSED int rootfs_remove(int dir, const char *name);
/* Removes all that is in a folder. */
WARN_UNUSED int rootfs_empty(int dir);

/* Whether a program can run in that root on this machine: an ELF file for its architecture, static, or with
 * its interpreter in the image; or a script whose interpreter is such a file. ERR_IMAGE with the reason. */
WARN_UNUSED int rootfs_check_program(int root, const char *path, char *ret_reason, size_t cap);

/* The OCI name of an ELF file's architecture ("amd64", "arm64", "riscv64"), or NULL when it is not an ELF
 * file for one that we know. *ret_interpreter is whether it asks for one (is not static). Reads from the
 * start of fd. */
const char *elf_architecture(int fd, char *ret_interpreter, size_t cap);
/* That of this machine. */
const char *machine_architecture(void);

#endif
