/* SPDX-License-Identifier: Apache-2.0 */
/* Stages that run in virtual machines: what these need is put together once, before privileges are given up.
 */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>

#include "core/file.h"
#include "core/log.h"
#include "core/program.h"
#include "perigeed.h"

extern char **environ;

static int run_program(char *const argv[])
{
	pid_t pid;
	int status, r = posix_spawn(&pid, argv[0], NULL, NULL, argv, environ);

	if (r != 0)
		return -r;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : ERR_SANDBOX;
}

int prepare_unikernels(struct perigeed *d)
{
	char program[PATH_MAX], dir[PATH_MAX];
	int r = program_find("sandbox/vm", "perigee-vm", program);

	if (r < 0) {
		log_error("unikernels: perigee-vm is not beside perigeed: %s", err_text(r));
		return r;
	}
	r = path_format(dir, sizeof(dir), "%s/vm", d->state);
	if (r == 0)
		r = dir_remove(dir);
	if (r < 0)
		return r;
	char *argv[] = {program, (char *)"--install", dir,
		d->mission->unikernels.qemu ? (char *)"--qemu" : NULL, d->mission->unikernels.qemu, NULL};
	r = run_program(argv);
	if (r < 0)
		log_error("unikernels: virtual machines cannot be prepared in %s", dir);
	return r;
}

static struct image *image_of(struct perigeed *d, const char *digest)
{
	for (size_t i = 0; i < d->n_images; i++)
		if (!strcmp(d->images[i].image.digest, digest))
			return &d->images[i];
	return NULL;
}

static int find_root(struct perigeed *d, struct image *im, char *ret_reason, size_t cap)
{
	char vm[PATH_MAX], dir[PATH_MAX];
	int r = path_format(vm, sizeof(vm), "%s/vm", d->state);

	if (im->vm_root_fd >= 0)
		return 0;
	if (!d->mission->unikernels.on) {
		snprintf(ret_reason, cap,
			"the mission has no virtual machines: add `unikernels: {}` to its file");
		return ERR_IMAGE;
	}
	if (r == 0)
		r = path_format(dir, sizeof(dir), "%s/images/sha256-%s/vm", d->state, im->image.digest + 7);
	return r == 0 ? vm_root_make(&im->image, vm, dir, &im->vm_root_fd, ret_reason, cap) : r;
}

int check_unikernel(void *user, const char *name, char *ret_reason, size_t cap)
{
	struct stage_image found;
	int r = resolve_image(user, name, &found, ret_reason, cap);
	struct image *im = r == 0 ? image_of(user, found.digest) : NULL;

	if (r < 0)
		return r;
	ensure(im != NULL);
	return find_root(user, im, ret_reason, cap);
}

int as_unikernel(struct perigeed *d, const struct stage_launch *l, struct vm_command *command,
	struct launch_request *request)
{
	struct vm_output outputs[64];
	struct image *im = image_of(d, l->image->digest);
	char reason[IMAGE_REASON_BYTES] = "";

	if (!im || l->n_outputs > ARRAY_LEN(outputs))
		return ERR_LIMIT;
	int r = find_root(d, im, reason, sizeof(reason));
	if (r < 0) {
		log_error("%s: %s", l->label, *reason ? reason : err_text(r));
		return r;
	}
	for (size_t i = 0; i < l->n_outputs; i++)
		outputs[i] = (struct vm_output){l->outputs[i].name, l->outputs[i].max_bytes};
	r = vm_command_make(command, l->guest_bytes, outputs, l->n_outputs, request->argv);
	request->rootfs_fd = im->vm_root_fd;
	request->argv = command->argv;
	request->limits.guest_bytes = l->guest_bytes;
	/* The monitor writes whole sectors, and its own order first; it lowers the limit itself before QEMU
	 * runs. */
	request->limits.file_bytes = (request->limits.file_bytes + 511) & ~UINT64_C(511);
	if (request->limits.file_bytes < VM_FILE_BYTES)
		request->limits.file_bytes = VM_FILE_BYTES;
	if (request->limits.pids < VM_PIDS)
		request->limits.pids = VM_PIDS;
	return r;
}
