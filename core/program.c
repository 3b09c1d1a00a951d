/* SPDX-License-Identifier: Apache-2.0 */
#include "core/program.h"

#include <errno.h>
#include <string.h>

#include "core/file.h"

int program_folder(char ret_path[PATH_MAX])
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (n < 0)
		return -errno;
	self[n] = '\0';
	*strrchr(self, '/') = '\0';
	return path_format(ret_path, PATH_MAX, "%s", self);
}

int program_find(const char *folder, const char *name, char ret_path[PATH_MAX])
{
	char self[PATH_MAX];
	int r = program_folder(self);

	if (r == 0)
		r = path_format(ret_path, PATH_MAX, "%s/%s", self, name);
	if (r == 0 && access(ret_path, F_OK) < 0)
		r = path_format(ret_path, PATH_MAX, "%s/../%s/%s", self, folder, name);
	return r == 0 && access(ret_path, F_OK) < 0 ? -errno : r;
}
