/* SPDX-License-Identifier: Apache-2.0 */
/* The order that the guest starts from: sandbox/guest/order.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "vm.h"

#define PAGE 4096u
#define ORDER_BYTES_MAX (64u << 20)

static size_t words_bytes(const char *const *words, size_t *n)
{
	size_t bytes = 0;

	for (*n = 0; words[*n]; (*n)++)
		bytes += strlen(words[*n]) + 1;
	return bytes;
}

static int fail(const char *what)
{
	fprintf(stderr, "perigee-vm: %s: %s\n", what, strerror(errno));
	return -1;
}

static int read_into(const char *path, unsigned char *to, size_t len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), r = fd < 0 ? -1 : 0;

	for (size_t done = 0; r == 0 && done < len;) {
		ssize_t n = read(fd, to + done, len - done);
		if (n <= 0)
			r = -1;
		else
			done += (size_t)n;
	}
	if (r < 0)
		fail(path);
	if (fd >= 0)
		close(fd);
	return r;
}

static unsigned char *put_words(unsigned char *to, const char *const *words)
{
	for (; *words; words++)
		to = (unsigned char *)stpcpy((char *)to, *words) + 1;
	return to;
}

static int fill(struct vm *vm, unsigned char *order, struct guest_order *o, size_t inline_at)
{
	struct guest_file *files = (struct guest_file *)(order + o->files_at);
	struct timespec now;

	put_words(put_words(order + o->words_at, vm->argv), vm->env);
	for (size_t i = 0; i < vm->n_files; i++) {
		struct vm_file *f = &vm->files[i];
		if (f->kind == GUEST_FILE_INLINE) {
			f->at = inline_at;
			if (f->bytes && read_into(f->path, order + inline_at, f->bytes) < 0)
				return -1;
			inline_at += f->bytes;
		}
		files[i] = (struct guest_file){
			.kind = (uint8_t)f->kind, .device = f->device, .at = f->at, .bytes = f->bytes};
		memcpy(files[i].name, f->name, sizeof(f->name));
	}
	if (read_into(vm->argv[0], order + o->program_at, o->program_bytes) < 0)
		return -1;
	clock_gettime(CLOCK_REALTIME, &now);
	o->utc_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
	memcpy(order, o, sizeof(*o));
	return 0;
}

int vm_write_order(struct vm *vm)
{
	struct guest_order o = {.magic = GUEST_ORDER_MAGIC, .tsc_hz = vm->tsc_hz, .tmp_bytes = vm->tmp_bytes};
	size_t n_args, n_env, inline_bytes = 0;
	struct stat st;

	if (stat(vm->argv[0], &st) < 0)
		return fail(vm->argv[0]);
	o.words_at = (sizeof(o) + 7) & ~7u;
	size_t args = words_bytes(vm->argv, &n_args), env = words_bytes(vm->env, &n_env);
	for (size_t i = 0; i < vm->n_files; i++)
		if (vm->files[i].kind == GUEST_FILE_INLINE)
			inline_bytes += vm->files[i].bytes;
	size_t files_at = (o.words_at + args + env + 7) & ~(size_t)7,
	       inline_at = files_at + vm->n_files * sizeof(struct guest_file),
	       program_at = (inline_at + inline_bytes + PAGE - 1) & ~(size_t)(PAGE - 1),
	       total = program_at + (size_t)st.st_size;
	if (n_args + n_env > GUEST_WORDS_MAX || total > ORDER_BYTES_MAX) {
		fprintf(stderr, "perigee-vm: too many words, or a program above %u MiB\n",
			ORDER_BYTES_MAX >> 20);
		return -1;
	}
	o.bytes = (uint32_t)total;
	o.n_args = (uint16_t)n_args;
	o.n_env = (uint16_t)n_env;
	o.words_bytes = (uint32_t)(args + env);
	o.files_at = (uint32_t)files_at;
	o.n_files = (uint32_t)vm->n_files;
	o.program_at = (uint32_t)program_at;
	o.program_bytes = (uint32_t)st.st_size;
	snprintf(vm->order, sizeof(vm->order), "%s/tmp/.perigee-order", vm->root);
	int fd = open(vm->order, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, (off_t)total) < 0)
		return fail(vm->order);
	unsigned char *order = mmap(NULL, total, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (order == MAP_FAILED)
		return fail(vm->order);
	int r = fill(vm, order, &o, inline_at);
	munmap(order, total);
	return r;
}
