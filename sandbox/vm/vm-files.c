/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vm.h"

#define SECTOR 512
#define INLINE_BYTES_MAX 65536 /* params.json: it need not be a device */

static uint64_t sectors(uint64_t bytes)
{
	return (bytes + SECTOR - 1) / SECTOR;
}

static int add_input(struct vm *vm, const char *name)
{
	struct vm_file *f = &vm->files[vm->n_files];
	struct stat st;

	if (vm->n_files == GUEST_FILES_MAX || strlen(name) >= sizeof(f->name)) {
		fprintf(stderr, "perigee-vm: /in/%s: a name that is too long, or one file too many\n", name);
		return -1;
	}
	*f = (struct vm_file){.kind = GUEST_FILE_IN};
	snprintf(f->name, sizeof(f->name), "%s", name);
	if ((size_t)snprintf(f->path, sizeof(f->path), "%s/in/%s", vm->root, name) >= sizeof(f->path) ||
		stat(f->path, &st) < 0) {
		fprintf(stderr, "perigee-vm: /in/%s: %s\n", name, strerror(errno));
		return -1;
	}
	f->bytes = (uint64_t)st.st_size;
	if (f->bytes == 0 || (f->bytes <= INLINE_BYTES_MAX && !strcmp(name, "params.json")))
		f->kind = GUEST_FILE_INLINE;
	vm->n_files++;
	return 0;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int not_hidden(const struct dirent *e)
{
	return e->d_name[0] != '.';
}

int vm_find_files(struct vm *vm)
{
	struct dirent **list;
	char path[VM_ROOT_BYTES_MAX + 80];
	int r = 0, n;

	/* The outputs were given on the command line, and are in the list already. */
	for (size_t i = 0; i < vm->n_files; i++) {
		struct vm_file *f = &vm->files[i];
		snprintf(f->path, sizeof(f->path), "%s/out/%s", vm->root, f->name);
		if (truncate(f->path, (off_t)(sectors(f->bytes) * SECTOR)) < 0) {
			fprintf(stderr, "perigee-vm: /out/%s: %s\n", f->name, strerror(errno));
			return -1;
		}
	}
	snprintf(path, sizeof(path), "%s/in", vm->root);
	n = scandir(path, &list, not_hidden, by_name);
	if (n < 0) {
		fprintf(stderr, "perigee-vm: /in: %s\n", strerror(errno));
		return -1;
	}
	for (int i = 0; i < n; i++) {
		if (r == 0)
			r = add_input(vm, list[i]->d_name);
		free(list[i]);
	}
	free(list);
	return r;
}

static bool on_device(const struct vm_file *f, enum guest_file_kind kind)
{
	return f->kind == kind && f->kind != GUEST_FILE_INLINE;
}

static size_t count(const struct vm *vm, enum guest_file_kind kind)
{
	size_t n = 0;

	for (size_t i = 0; i < vm->n_files; i++)
		n += on_device(&vm->files[i], kind);
	return n;
}

static void one_each(struct vm *vm, enum guest_file_kind kind)
{
	for (size_t i = 0; i < vm->n_files; i++) {
		struct vm_file *f = &vm->files[i];
		if (!on_device(f, kind))
			continue;
		f->device = (uint8_t)vm->n_devices;
		snprintf(vm->devices[vm->n_devices].path, sizeof(vm->devices[0].path), "%s", f->path);
		vm->devices[vm->n_devices++].writable = kind == GUEST_FILE_OUT;
	}
}

/* QEMU reads a VMDK description as one disk of many files, one after the other: nothing is copied. */
static int several_on_one(struct vm *vm, enum guest_file_kind kind)
{
	char *path = vm->devices[vm->n_devices].path;
	uint64_t at = 0;

	snprintf(path, sizeof(vm->devices[0].path), "%s/tmp/.perigee-%s.vmdk", vm->root,
		kind == GUEST_FILE_OUT ? "out" : "in");
	FILE *d = fopen(path, "we");
	if (!d) {
		fprintf(stderr, "perigee-vm: %s: %s\n", path, strerror(errno));
		return -1;
	}
	fprintf(d, "# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\n"
		   "createType=\"twoGbMaxExtentFlat\"\n");
	for (size_t i = 0; i < vm->n_files; i++) {
		struct vm_file *f = &vm->files[i];
		if (!on_device(f, kind))
			continue;
		f->device = (uint8_t)vm->n_devices;
		f->at = at * SECTOR;
		/* "RW" for inputs too: QEMU passes over the others. That they are only read is said with the
		 * drive. */
		fprintf(d, "RW %llu FLAT \"%s\" 0\n", (unsigned long long)sectors(f->bytes), f->path);
		at += sectors(f->bytes);
	}
	fprintf(d,
		"ddb.virtualHWVersion = \"4\"\nddb.geometry.cylinders = \"1\"\nddb.geometry.heads = \"16\"\n"
		"ddb.geometry.sectors = \"63\"\nddb.adapterType = \"ide\"\n");
	if (fclose(d) != 0) {
		fprintf(stderr, "perigee-vm: %s: %s\n", path, strerror(errno));
		return -1;
	}
	vm->devices[vm->n_devices].several = true;
	vm->devices[vm->n_devices++].writable = kind == GUEST_FILE_OUT;
	return 0;
}

int vm_devices(struct vm *vm)
{
	size_t ins = count(vm, GUEST_FILE_IN), outs = count(vm, GUEST_FILE_OUT);
	int r = 0;

	if (ins + outs <= VM_BLOCKS_MAX) {
		one_each(vm, GUEST_FILE_OUT);
		one_each(vm, GUEST_FILE_IN);
		return 0;
	}
	if (outs < VM_BLOCKS_MAX)
		one_each(vm, GUEST_FILE_OUT);
	else
		r = several_on_one(vm, GUEST_FILE_OUT);
	if (r == 0 && ins + vm->n_devices <= VM_BLOCKS_MAX)
		one_each(vm, GUEST_FILE_IN);
	else if (r == 0)
		r = several_on_one(vm, GUEST_FILE_IN);
	return r;
}

int vm_cut_outputs(const struct vm *vm, const int64_t *lengths)
{
	for (size_t i = 0; i < vm->n_files; i++) {
		const struct vm_file *f = &vm->files[i];
		if (f->kind != GUEST_FILE_OUT)
			continue;
		if (truncate(f->path, lengths[i] > 0 ? (off_t)lengths[i] : 0) < 0) {
			fprintf(stderr, "perigee-vm: /out/%s: %s\n", f->name, strerror(errno));
			return -1;
		}
	}
	return 0;
}
