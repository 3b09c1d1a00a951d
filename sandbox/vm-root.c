/* SPDX-License-Identifier: Apache-2.0 */
/* How a stage becomes a unikernel: the root of its cell, and the words that start its machine. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/clock.h"
#include "core/file.h"
#include "rootfs.h"
#include "sandbox.h"
#include "vm/vm.h"

#define DEPTH_MAX 8
#define MEASURE_NS (100 * NS_PER_MS)

/* Links every file below one folder into another. */
static int link_tree(int from, int to, int depth)
{
	int copy = openat(from, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
	DIR *d = copy < 0 ? NULL : fdopendir(copy);

	if (!d)
		return -errno;
	for (struct dirent *e; r == 0 && (e = readdir(d));) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		if (e->d_type != DT_DIR) {
			if (linkat(from, e->d_name, to, e->d_name, 0) < 0)
				r = -errno;
			continue;
		}
		if (depth == DEPTH_MAX || (mkdirat(to, e->d_name, 0755) < 0 && errno != EEXIST)) {
			r = depth == DEPTH_MAX ? -ELOOP : -errno;
			continue;
		}
		CLEAN_FD int in = openat(from, e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		CLEAN_FD int out = openat(to, e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		r = in < 0 || out < 0 ? -errno : link_tree(in, out, depth + 1);
	}
	closedir(d);
	return r;
}

/* The program at the same path as in the image, so that it has the same name in both runtimes. */
static int link_program(const struct sandbox_image *image, int root)
{
	char clean[ROOTFS_PATH_BYTES], name[ROOTFS_PATH_BYTES], to_name[ROOTFS_PATH_BYTES];
	CLEAN_FD int from = -1;
	CLEAN_FD int to = -1;
	int r = rootfs_clean(image->argv[0], clean);

	if (r == 0)
		r = rootfs_parent(image->rootfs_fd, clean, false, &from, name);
	if (r == 0)
		r = rootfs_parent(root, clean, true, &to, to_name);
	if (r == 0 && linkat(from, name, to, to_name, 0) < 0)
		r = -errno;
	return r;
}

static int check_program(const struct sandbox_image *image, char *ret_reason, size_t cap)
{
	char interpreter[ROOTFS_PATH_BYTES] = "";
	CLEAN_FD int fd = -1;
	int r = rootfs_open(image->rootfs_fd, image->argv[0], &fd);
	const char *architecture = r == 0 ? elf_architecture(fd, interpreter, sizeof(interpreter)) : NULL;

	if (architecture && !strcmp(architecture, "amd64") && !interpreter[0])
		return 0;
	snprintf(ret_reason, cap,
		"%.200s cannot run as a unikernel: it must be a static ELF program for x86-64 (link it with "
		"-static)",
		image->argv[0]);
	return ERR_IMAGE;
}

int vm_root_make(const struct sandbox_image *image, const char *vm_dir, const char *dir, int *ret_fd,
	char *ret_reason, size_t cap)
{
	CLEAN_FD int from = open(vm_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CLEAN_FD int to = -1;
	int r = check_program(image, ret_reason, cap);

	if (r < 0)
		return r;
	if (from < 0) {
		snprintf(ret_reason, cap,
			"there are no virtual machines here: add `unikernels: {}` to the mission file, and "
			"install "
			"qemu-system-x86");
		return ERR_IMAGE;
	}
	r = dir_remove(dir); /* made of an older QEMU, perhaps */
	if (r == 0 && mkdir(dir, 0755) < 0)
		r = -errno;
	if (r == 0 && (to = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
		r = -errno;
	if (r == 0)
		r = link_tree(from, to, 0);
	if (r == 0)
		r = link_program(image, to);
	if (r < 0) {
		snprintf(ret_reason, cap, "%.200s cannot be made: %s", dir, err_text(r));
		return r;
	}
	*ret_fd = TAKE_FD(to);
	return 0;
}

/* ---- the command ---- */

/* The frequency of the processor's counter, against our clock since the first call; 0: too early to tell. */
static uint64_t tsc_hz(void)
{
#if defined(__x86_64__)
	static uint64_t first_ticks;
	static int64_t first_ns;
	uint64_t ticks = __builtin_ia32_rdtsc();
	int64_t ns = clock_mono().ns;

	if (!first_ns) {
		first_ns = ns;
		first_ticks = ticks;
	}
	if (ns - first_ns < MEASURE_NS)
		return 0;
	return (uint64_t)((double)(ticks - first_ticks) * (double)NS_PER_S / (double)(ns - first_ns));
#else
	return 0;
#endif
}

static int add_word(struct vm_command *c, const char *fmt, ...) PRINTF(2, 3);
static int add_word(struct vm_command *c, const char *fmt, ...)
{
	size_t left = sizeof(c->text) - c->used;
	va_list ap;

	va_start(ap, fmt);
	int n = vsnprintf(c->text + c->used, left, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= left || c->n + 1 >= ARRAY_LEN(c->argv))
		return ERR_LIMIT;
	c->argv[c->n++] = c->text + c->used;
	c->used += (size_t)n + 1;
	return 0;
}

static int add_option(struct vm_command *c, const char *option, uint64_t value)
{
	int r = add_word(c, "%s", option);

	return r == 0 ? add_word(c, "%" PRIu64, value) : r;
}

int vm_command_make(struct vm_command *c, uint64_t guest_bytes, const struct vm_output *outputs, size_t n,
	const char *const *argv)
{
	uint64_t hz = tsc_hz();
	int r;

	c->n = c->used = 0;
	r = add_word(c, "%s", VM_CELL_SELF);
	if (r == 0)
		r = add_word(c, "--qemu");
	if (r == 0)
		r = add_word(c, "%s", VM_CELL_QEMU);
	if (r == 0)
		r = add_word(c, "--kernel");
	if (r == 0)
		r = add_word(c, "%s", VM_CELL_KERNEL);
	if (r == 0)
		r = add_option(c, "--memory", guest_bytes >> 20);
	if (r == 0 && hz)
		r = add_option(c, "--tsc-hz", hz);
	for (size_t i = 0; r == 0 && i < n; i++) {
		r = add_word(c, "--out");
		if (r == 0)
			r = add_word(c, "%s=%" PRIu64, outputs[i].name, outputs[i].max_bytes);
	}
	for (; r == 0 && *argv; argv++)
		r = add_word(c, "%s", *argv);
	c->argv[c->n] = NULL;
	return r;
}
