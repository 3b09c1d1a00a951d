/* SPDX-License-Identifier: Apache-2.0 */
#include "core/boot.h"

#include <fcntl.h>
#include <stdbool.h>
#include <string.h>

#include "core/file.h"

static const char *fake;

const char *boot_id(void)
{
	static char id[BOOT_ID_BYTES];
	static bool read_before;

	if (fake)
		return fake;
	if (read_before)
		return id;
	read_before = true;
	CLEAN_FD int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	if (fd < 0 || read(fd, id, sizeof(id) - 1) != (ssize_t)sizeof(id) - 1)
		id[0] = '\0';
	return id;
}

void boot_id_set_fake(const char *id)
{
	fake = id;
}
