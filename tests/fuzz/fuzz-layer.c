/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A layer of an image, unpacked twice onto a root with a folder, a file and links out of it in place.
 * Whatever it is, nothing beside the root is touched, what is in the root is files, folders and links, and a
 * refusal has a reason.
 */
#include <fcntl.h>
#include <ftw.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "core/file.h"
#include "fuzz.h"
#include "unpack.h"

static char dir[64];
static int dir_fd = -1;

static void remove_dir(void)
{
	(void)!dir_remove(dir);
}

/* In memory where possible: unpacking makes every file durable. */
static void open_dir(void)
{
	strcpy(dir,
		access("/dev/shm", W_OK) == 0 ? "/dev/shm/perigee-fuzz-XXXXXX" : "/tmp/perigee-fuzz-XXXXXX");
	ensure(mkdtemp(dir));
	dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ensure(dir_fd >= 0);
	atexit(remove_dir);
}

static int check_kind(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	ensure(S_ISREG(st->st_mode) || S_ISDIR(st->st_mode) || S_ISLNK(st->st_mode));
	ensure(!(st->st_mode & (S_ISUID | S_ISGID)));
	return 0;
}

static void put(int at, const char *name)
{
	CLEAN_FD int fd = openat(at, name, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0644);

	ensure(fd >= 0 && write(fd, "safe", 4) == 4);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char root_path[96], reason[512] = "", safe[8] = "";
	struct unpack_budget budget = {.entries = 200, .bytes = 1 << 20};
	CLEAN_FD int blob = memfd_create("layer", MFD_CLOEXEC);
	CLEAN_FD int root = -1;
	CLEAN_FD int outside = -1;

	if (dir_fd < 0)
		open_dir();
	snprintf(root_path, sizeof(root_path), "%s/root", dir);
	ensure(dir_remove(root_path) == 0 && mkdir(root_path, 0755) == 0);
	put(dir_fd, "outside");
	root = open(root_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ensure(root >= 0 && mkdirat(root, "d", 0755) == 0);
	put(root, "file");
	ensure(symlinkat("..", root, "up") == 0 && symlinkat("../outside", root, "out") == 0);
	ensure(blob >= 0 && write_all(blob, data, len) == 0);
	for (int i = 0; i < 2; i++) {
		reason[0] = '\0';
		if (unpack_layer(blob, root, &budget, reason, sizeof(reason)) < 0)
			ensure(reason[0]);
	}
	ensure(nftw(root_path, check_kind, 8, FTW_PHYS) == 0);
	outside = openat(dir_fd, "outside", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	ensure(outside >= 0 && read(outside, safe, sizeof(safe)) == 4 && strcmp(safe, "safe") == 0);
	return 0;
}
