/* SPDX-License-Identifier: Apache-2.0 */
/* Makes the root of the cells in which virtual machines run: QEMU, the libraries that it loads, its firmware,
 * the guest, this program, and nothing else of the host. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vm.h"

#define LOADER "/lib64/ld-linux-x86-64.so.2"
#define FILES_MAX 256

struct install {
	const char *dir;
	char *from[FILES_MAX], *to[FILES_MAX]; /* to: below dir */
	size_t n;
};

static int fail(const char *what, const char *remedy)
{
	fprintf(stderr, "perigee-vm: %s: %s%s%s\n", what, strerror(errno), remedy ? ": " : "",
		remedy ? remedy : "");
	return -1;
}

static int add(struct install *in, const char *from, const char *to)
{
	if (in->n == FILES_MAX || !(in->from[in->n] = strdup(from)) || !(in->to[in->n] = strdup(to))) {
		fprintf(stderr, "perigee-vm: QEMU needs too many files\n");
		return -1;
	}
	in->n++;
	return 0;
}

/* What the dynamic loader would load, as it says itself. */
static int add_libraries(struct install *in, const char *qemu)
{
	char command[PATH_MAX + 64], line[PATH_MAX], path[PATH_MAX];
	int r = 0;

	if (strpbrk(qemu, "'\"\\$` \n")) {
		fprintf(stderr, "perigee-vm: a path with odd characters: %s\n", qemu);
		return -1;
	}
	snprintf(command, sizeof(command), LOADER " --list %s", qemu);
	FILE *list = popen(command, "re");
	if (!list)
		return fail(LOADER, NULL);
	while (r == 0 && fgets(line, sizeof(line), list)) {
		const char *arrow = strstr(line, "=> ");
		if (sscanf(arrow ? arrow + 3 : line, " %4000s", path) == 1 && path[0] == '/')
			r = add(in, path, path);
	}
	if (pclose(list) != 0 && r == 0) {
		fprintf(stderr, "perigee-vm: %s --list %s failed\n", LOADER, qemu);
		r = -1;
	}
	return r;
}

static int make_parents(char *path)
{
	for (char *at = strchr(path + 1, '/'); at; at = strchr(at + 1, '/')) {
		*at = '\0';
		int r = mkdir(path, 0755);
		*at = '/';
		if (r < 0 && errno != EEXIST)
			return fail(path, NULL);
	}
	return 0;
}

static int copy_file(const char *from, const char *to)
{
	int in = open(from, O_RDONLY | O_CLOEXEC), out = -1, r = -1;
	struct stat st;
	off_t at = 0;

	if (in >= 0 && fstat(in, &st) == 0)
		out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, st.st_mode & 0111 ? 0755 : 0644);
	if (out >= 0) {
		r = 0;
		while (r == 0 && at < st.st_size)
			if (sendfile(out, in, &at, (size_t)(st.st_size - at)) <= 0)
				r = -1;
	}
	if (r < 0)
		fail(from, NULL);
	if (in >= 0)
		close(in);
	if (out >= 0 && close(out) < 0 && r == 0)
		r = fail(to, NULL);
	return r;
}

static int install_files(struct install *in)
{
	char to[PATH_MAX];
	static const char *const folders[] = {"in", "out", "tmp", "dev"};

	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
		snprintf(to, sizeof(to), "%s/%s", in->dir, folders[i]);
		if (mkdir(to, 0755) < 0 && errno != EEXIST)
			return fail(to, NULL);
	}
	for (size_t i = 0; i < in->n; i++) {
		snprintf(to, sizeof(to), "%s%s", in->dir, in->to[i]);
		if (make_parents(to) < 0 || copy_file(in->from[i], to) < 0)
			return -1;
	}
	return 0;
}

/* Debian's QEMU has its emulation in a module; another one may have it built in. */
static int add_modules(struct install *in)
{
	static const char module[] = "/usr/lib/x86_64-linux-gnu/qemu/accel-tcg-x86_64.so";

	if (access(module, R_OK) < 0)
		return 0;
	return add(in, module, module) < 0 ? -1 : add_libraries(in, module);
}

static int add_firmware(struct install *in, const char *qemu)
{
	static const char *const names[] = {"pvh.bin", "qboot.rom"};
	char path[PATH_MAX], folder[PATH_MAX];

	/* QEMU finds it beside itself: bin/../share/qemu. */
	snprintf(folder, sizeof(folder), "%s", qemu);
	*strrchr(folder, '/') = '\0';
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char to[PATH_MAX];
		if ((size_t)snprintf(path, sizeof(path), "%s/../share/qemu/%s", folder, names[i]) >=
			sizeof(path))
			return -1;
		snprintf(to, sizeof(to), "/usr/share/qemu/%s", names[i]);
		if (access(path, R_OK) < 0)
			return fail(path, "install the package qemu-system-data");
		if (add(in, path, to) < 0)
			return -1;
	}
	return 0;
}

int vm_install(const char *dir, const char *qemu, const char *kernel)
{
	static struct install in;
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	in.dir = dir;
	if (n < 0)
		return fail("/proc/self/exe", NULL);
	self[n] = '\0';
	if (access(qemu, X_OK) < 0)
		return fail(qemu, "install the package qemu-system-x86");
	if (access(kernel, R_OK) < 0)
		return fail(kernel, NULL);
	if (mkdir(dir, 0755) < 0 && errno != EEXIST)
		return fail(dir, NULL);
	if (add(&in, qemu, VM_CELL_QEMU) < 0 || add_libraries(&in, qemu) < 0 || add_modules(&in) < 0 ||
		add_firmware(&in, qemu) < 0 || add(&in, kernel, VM_CELL_KERNEL) < 0 ||
		add(&in, self, VM_CELL_SELF) < 0)
		return -1;
	return install_files(&in);
}
