/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk that loses power: a SQLite VFS over the default one that writes down every change of every file, in
 * order, with its bytes. What a disk may hold after a power cut at any of these points can then be laid out
 * as files, again and again, from one recording. It can also refuse any chosen change, as a disk does that is
 * full or broken.
 *
 * The rules of the disk: what was written before a file's sync is there after it; of what came later each
 * piece may be there, or not, or in part, whatever the order; nothing outside of a written range changes.
 */
#ifndef TESTS_FAULT_VFS_H
#define TESTS_FAULT_VFS_H

#include <stddef.h>
#include <stdint.h>

enum change_kind { CHANGE_WRITE, CHANGE_TRUNCATE, CHANGE_SYNC, CHANGE_DELETE, CHANGE_KIND_MAX };

/* Becomes the default VFS; the recording begins, empty. Files that are there already are not known to it. */
void vfs_install(void);
/* The default is what it was before; the recording stays until the next vfs_install. All databases are
 * closed. */
void vfs_remove(void);

/* Changes so far: a point in the recording. */
size_t vfs_changes(void);
size_t vfs_changes_of(enum change_kind kind);

enum refusal {
	REFUSE_IO,   /* EIO: nothing of it is done */
	REFUSE_FULL, /* ENOSPC: half of a write is done */
	REFUSE_TORN, /* EIO, and half of a write is done, the rest of its range is noise */
	REFUSAL_MAX
};
/* Refuses the change number `n` (from 0) of the recording, and `how_many` in all. */
void vfs_refuse(size_t n, size_t how_many, enum refusal how);
/* How often it has refused since vfs_install. */
size_t vfs_refused(void);

enum cut {
	CUT_NOTHING_MORE, /* only what was synced */
	CUT_ALL,          /* everything, as when only the process dies */
	CUT_TORN, /* of what was not synced: by the seed, some pieces, some of them in part or with noise */
	CUT_MAX
};
/* Lays the files out in the folder `dir` (emptied first) as a cut after the first n changes leaves them. */
void vfs_lay_out(const char *dir, size_t n, enum cut cut, uint64_t seed);

#endif
