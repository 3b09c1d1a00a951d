/* SPDX-License-Identifier: Apache-2.0 */
/* Files: bounded reading, whole writing, durable replacing. */
#ifndef CORE_FILE_H
#define CORE_FILE_H

#include <stdint.h>
#include <sys/types.h>

#include "core/err.h"

/* The whole of a regular file, zero-terminated (the zero is not counted). ERR_LIMIT when it is longer than
 * max_bytes. The caller frees it. */
WARN_UNUSED int file_read(const char *path, size_t max_bytes, char **ret_data, size_t *ret_len);
WARN_UNUSED int file_read_fd(int fd, size_t max_bytes, char **ret_data, size_t *ret_len);
/* Writes all of it, whatever write() says. */
WARN_UNUSED int write_all(int fd, const void *data, size_t len);
/* Durable and atomic: temporary file in the same folder, fsync, rename, fsync of the folder. */
WARN_UNUSED int file_replace(const char *path, const void *data, size_t len, mode_t mode);
WARN_UNUSED int dir_sync(const char *path);
/* mkdir -p; existing folders are fine. */
WARN_UNUSED int dir_make(const char *path, mode_t mode);
/* rm -r, not following links; a missing path is fine. */
WARN_UNUSED int dir_remove(const char *path);
/* snprintf that fails instead of cutting: -ENAMETOOLONG. */
WARN_UNUSED int path_format(char *ret_path, size_t cap, const char *fmt, ...) PRINTF(3, 4);

#endif
