/* SPDX-License-Identifier: Apache-2.0 */
/* QEMU's command line, its life, and what the guest says on the control port, which is as hostile as the
 * stage. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vm.h"

#define TEXT_BYTES 16384

struct command {
	char *argv[VM_ARGS_MAX];
	size_t n, used;
	char text[TEXT_BYTES];
};

__attribute__((format(printf, 2, 3))) static void add(struct command *c, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(c->text + c->used, sizeof(c->text) - c->used, fmt, ap);
	va_end(ap);
	/* All of it is bounded by the limits in vm.h. */
	if (n < 0 || (size_t)n >= sizeof(c->text) - c->used || c->n + 1 >= VM_ARGS_MAX)
		abort();
	c->argv[c->n++] = c->text + c->used;
	c->used += (size_t)n + 1;
}

static void make_command(const struct vm *vm, int control, struct command *c)
{
	add(c, "%s", vm->qemu);
	add(c, "-M");
	add(c, "microvm,acpi=off,pit=off,pic=off,rtc=off,isa-serial=off,auto-kernel-cmdline=off");
	add(c, "-accel");
	add(c, "%s", vm->accel);
	add(c, "-cpu");
	add(c, "max");
	add(c, "-m");
	add(c, "%lluM", (unsigned long long)vm->memory_mib);
	for (const char *const *o =
			(const char *const[]){"-nodefaults", "-no-user-config", "-no-reboot", NULL};
		*o; o++)
		add(c, "%s", *o);
	add(c, "-display");
	add(c, "none");
	add(c, "-kernel");
	add(c, "%s", vm->kernel);
	add(c, "-initrd");
	add(c, "%s", vm->order);
	add(c, "-global");
	add(c, "virtio-mmio.force-legacy=false");
	add(c, "-device");
	add(c, "isa-debug-exit,iobase=0x501,iosize=1");
	add(c, "-device");
	add(c, "virtio-serial-device,max_ports=2");
	add(c, "-chardev");
	add(c, "stdio,id=log,signal=off");
	add(c, "-device");
	add(c, "virtconsole,chardev=log,nr=0");
	add(c, "-chardev");
	add(c, "socket,id=control,fd=%d", control);
	add(c, "-device");
	add(c, "virtserialport,chardev=control,nr=1");
	add(c, "-device");
	add(c, "virtio-rng-device");
	for (size_t i = 0; i < vm->n_devices; i++) {
		add(c, "-drive");
		add(c, "if=none,id=d%zu,format=%s,file=%s,file.locking=off,readonly=%s,cache=unsafe", i,
			vm->devices[i].several ? "vmdk" : "raw", vm->devices[i].path,
			vm->devices[i].writable ? "off" : "on");
		add(c, "-device");
		add(c, "virtio-blk-device,drive=d%zu", i);
	}
	c->argv[c->n] = NULL;
}

/* One line of the control port. Anything unknown is passed over. */
static void on_line(const struct vm *vm, char *line, struct vm_end *end)
{
	unsigned long long index, bytes;
	char how[16];
	int at = 0;

	for (char *p = line; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = '?';
	if (end->how[0])
		return; /* nothing counts after the end */
	if (sscanf(line, "out %llu %llu", &index, &bytes) == 2) {
		if (index < vm->n_files && vm->files[index].kind == GUEST_FILE_OUT &&
			bytes <= vm->files[index].bytes)
			end->lengths[index] = (int64_t)bytes;
	} else if (vm->times && (!strncmp(line, "start ", 6) || !strncmp(line, "use ", 4))) {
		fprintf(stderr, "guest: %s\n", line);
	} else if (!strncmp(line, "crash ", 6)) {
		fprintf(stderr, "guest: %s\n", line + 6);
	} else if (sscanf(line, "end %15s %n", how, &at) == 1 && at > 0) {
		snprintf(end->how, sizeof(end->how), "%s", how);
		snprintf(end->rest, sizeof(end->rest), "%s", line + at);
	}
}

static void read_control(const struct vm *vm, int fd, struct vm_end *end)
{
	char buffer[4096], line[256];
	size_t len = 0, total = 0;
	ssize_t n;

	while ((n = read(fd, buffer, sizeof(buffer))) > 0 || (n < 0 && errno == EINTR)) {
		for (ssize_t i = 0; i < n; i++) {
			if (++total > GUEST_CONTROL_BYTES_MAX)
				continue; /* read on, so that the machine is not held up, and forget it */
			if (buffer[i] == '\n') {
				line[len] = '\0';
				on_line(vm, line, end);
				len = 0;
			} else if (len < sizeof(line) - 1) {
				line[len++] = buffer[i];
			}
		}
	}
}

/* The order may be larger than any output. From here on nothing is written but outputs. */
static int limit_files(const struct vm *vm)
{
	uint64_t most = 0;

	for (size_t i = 0; i < vm->n_files; i++)
		if (vm->files[i].kind == GUEST_FILE_OUT && vm->files[i].bytes > most)
			most = vm->files[i].bytes;
	most = (most + 511) & ~UINT64_C(511);
	return setrlimit(RLIMIT_FSIZE, &(struct rlimit){most, most});
}

int vm_run(const struct vm *vm, struct vm_end *end)
{
	static struct command c;
	int control[2];

	memset(end, 0, sizeof(*end));
	for (size_t i = 0; i < GUEST_FILES_MAX; i++)
		end->lengths[i] = -1;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, control) < 0)
		return -1;
	make_command(vm, control[1], &c);
	pid_t pid = fork();
	if (pid < 0)
		return -1;
	if (pid == 0) {
		int null = open("/dev/null", O_RDONLY);
		char *const none[] = {NULL};
		if (fcntl(control[1], F_SETFD, 0) == 0 && dup2(null, 0) == 0 && limit_files(vm) == 0)
			execve(c.argv[0], c.argv, none);
		fprintf(stderr, "perigee-vm: %s: %s\n", c.argv[0], strerror(errno));
		_exit(127);
	}
	close(control[1]);
	read_control(vm, control[0], end);
	close(control[0]);
	while (waitpid(pid, &end->qemu_status, 0) < 0)
		if (errno != EINTR)
			return -1;
	return 0;
}
