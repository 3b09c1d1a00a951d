/* SPDX-License-Identifier: Apache-2.0 */
/* Where this project's own programs and files are: beside the one that runs, or where a build tree has them.
 */
#ifndef CORE_PROGRAM_H
#define CORE_PROGRAM_H

#include <limits.h>

#include "core/err.h"

/* The folder of the running program. */
WARN_UNUSED int program_folder(char ret_path[PATH_MAX]);
/* `name` beside the running program, else in ../folder/ from there. -ENOENT when it is in neither. */
WARN_UNUSED int program_find(const char *folder, const char *name, char ret_path[PATH_MAX]);

#endif
