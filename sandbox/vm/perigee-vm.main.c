/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "vm.h"

static const char help[] =
	"Usage: perigee-vm [OPTION...] PROGRAM [ARGUMENT...]\n"
	"       perigee-vm --install DIR [--qemu PATH] [--kernel PATH]\n"
	"\n"
	"Runs the stage PROGRAM, a static ELF file for x86-64, in a virtual machine, with the files in /in "
	"and /out, and "
	"ends\nas it ended. The launcher starts it in a cell; by hand it serves to try a stage as a "
	"unikernel:\n"
	"\n"
	"  mkdir -p try/in try/out try/tmp && cp scene.pam try/in/scene\n"
	"  perigee-vm --root try --out report=4096 ./my-stage\n"
	"\n"
	"  --install DIR   makes DIR the root of a cell for virtual machines: QEMU and the files that it "
	"needs, no more\n"
	"  --root DIR      where in, out and tmp are (default: /)\n"
	"  --memory MIB    of the machine (default 64)\n"
	"  --tmp BYTES     that files in the stage's /tmp may have (default: a quarter of the memory)\n"
	"  --out NAME=MAX  an output and the most bytes it may have; once for each\n"
	"  --accel HOW     tcg (default) or kvm\n"
	"  --tsc-hz N      frequency of the processor's counter (default: measured, which takes 20 ms)\n"
	"  --times         say in the log how long the guest took to start, and what it used\n"
	"  --qemu PATH, --kernel PATH\n"
	"                  other programs than the ones that were built in\n"
	"\n"
	"Exit status: the stage's own; 64 usage, 70 the guest cannot run the program, 71 QEMU does not run. "
	"When a "
	"signal\nended the stage, it ends by that signal.\n";

static int add_output(struct vm *vm, const char *text)
{
	const char *is = strchr(text, '=');
	char *end;
	struct vm_file *f = &vm->files[vm->n_files];

	if (!is || is == text || (size_t)(is - text) >= sizeof(f->name) || vm->n_files == GUEST_FILES_MAX)
		return -1;
	*f = (struct vm_file){.kind = GUEST_FILE_OUT};
	memcpy(f->name, text, (size_t)(is - text));
	f->bytes = strtoull(is + 1, &end, 10);
	if (*end || !is[1] || strchr(f->name, '/') || f->bytes == 0)
		return -1;
	vm->n_files++;
	return 0;
}

static uint64_t number(const char *text, uint64_t max)
{
	char *end;
	unsigned long long v = strtoull(text, &end, 10);

	return *end || !*text || v > max ? 0 : v;
}

static uint64_t ticks(void)
{
	return __builtin_ia32_rdtsc();
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t measure_tsc(void)
{
	uint64_t from_ns = now_ns(), from = ticks(), to_ns;
	const struct timespec pause = {.tv_nsec = 20000000};

	nanosleep(&pause, NULL);
	to_ns = now_ns();
	return (uint64_t)((double)(ticks() - from) * 1e9 / (double)(to_ns - from_ns));
}

/* Ends as the stage did. */
static int end_as(const struct vm_end *e)
{
	int code = atoi(e->rest);

	if (!strcmp(e->how, "exited"))
		return code & 255;
	if (!strcmp(e->how, "guest")) {
		fprintf(stderr, "guest: %s\n", e->rest);
		return VM_EXIT_GUEST;
	}
	fprintf(stderr, "guest: %s\n", e->rest + strcspn(e->rest, " ") + (strchr(e->rest, ' ') != NULL));
	if (!strcmp(e->how, "limit"))
		code = !strncmp(e->rest, "output", 6) ? SIGXFSZ : SIGKILL;
	if (code > 0 && code < NSIG) {
		const struct rlimit none = {0, 0};
		setrlimit(RLIMIT_CORE, &none);
		signal(code, SIG_DFL);
		raise(code);
	}
	return 128 + (code & 127);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"install", required_argument, NULL, 'i'},
		{"root", required_argument, NULL, 'r'},
		{"memory", required_argument, NULL, 'm'},
		{"tmp", required_argument, NULL, 't'},
		{"out", required_argument, NULL, 'o'},
		{"accel", required_argument, NULL, 'a'},
		{"tsc-hz", required_argument, NULL, 'z'},
		{"qemu", required_argument, NULL, 'q'},
		{"kernel", required_argument, NULL, 'k'},
		{"times", no_argument, NULL, 's'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	static struct vm vm; /* large, and all of it zero in the file */
	static struct vm_end end;
	extern char **environ;
	const char *install = NULL;
	int o, bad = 0;

	vm.root = "";
	vm.qemu = VM_QEMU;
	vm.kernel = VM_KERNEL;
	vm.accel = "tcg";
	vm.memory_mib = 64;
	while ((o = getopt_long(argc, argv, "+", options, NULL)) >= 0) {
		switch (o) {
		case 'i':
			install = optarg;
			break;
		case 'r':
			vm.root = realpath(optarg, NULL);
			bad |= !vm.root || strlen(vm.root) > VM_ROOT_BYTES_MAX;
			break;
		case 'm':
			bad |= (vm.memory_mib = number(optarg, 3072)) == 0;
			break;
		case 't':
			vm.tmp_bytes = number(optarg, UINT64_C(3) << 30);
			break;
		case 'o':
			bad |= add_output(&vm, optarg) < 0;
			break;
		case 'a':
			vm.accel = optarg;
			bad |= strcmp(optarg, "tcg") && strcmp(optarg, "kvm");
			break;
		case 'z':
			bad |= (vm.tsc_hz = number(optarg, UINT64_C(100000000000))) == 0;
			break;
		case 'q':
			vm.qemu = optarg;
			break;
		case 'k':
			vm.kernel = optarg;
			break;
		case 's':
			vm.times = true;
			break;
		case 'h':
			fputs(help, stdout);
			return 0;
		default:
			bad = 1;
		}
	}
	if (!bad && install && optind == argc)
		return vm_install(install, vm.qemu, vm.kernel) < 0 ? EX_CANTCREAT : 0;
	if (bad || install || optind == argc) {
		fputs("perigee-vm: see perigee-vm --help\n", stderr);
		return EX_USAGE;
	}
	vm.argv = (const char *const *)argv + optind;
	vm.env = (const char *const *)environ;
	if (!vm.tmp_bytes)
		vm.tmp_bytes = vm.memory_mib << 18;
	if (!vm.tsc_hz)
		vm.tsc_hz = measure_tsc();
	if (vm_find_files(&vm) < 0 || vm_devices(&vm) < 0 || vm_write_order(&vm) < 0 || vm_run(&vm, &end) < 0)
		return VM_EXIT_MACHINE;
	if (!end.how[0]) {
		fprintf(stderr, "perigee-vm: the virtual machine ended without a word (status %d)\n",
			end.qemu_status);
		return VM_EXIT_MACHINE;
	}
	return vm_cut_outputs(&vm, end.lengths) < 0 ? VM_EXIT_MACHINE : end_as(&end);
}
