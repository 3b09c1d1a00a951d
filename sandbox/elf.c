/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a program of an image can run here: looked at before anything is started, so that the reason can be
 * said. */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "rootfs.h"

#define HEADERS_MAX 128 /* program headers */

static const struct {
	unsigned machine;
	const char *name;
} architecture[] = {
	{EM_X86_64, "amd64"},
	{EM_AARCH64, "arm64"},
	{EM_RISCV, "riscv64"},
};

const char *machine_architecture(void)
{
#if defined(__x86_64__)
	return "amd64";
#elif defined(__aarch64__)
	return "arm64";
#elif defined(__riscv) && __riscv_xlen == 64
	return "riscv64";
#else
#error "say here what OCI calls this architecture"
#endif
}

static bool read_at(int fd, void *to, size_t len, uint64_t at)
{
	return at <= INT64_MAX && pread(fd, to, len, (off_t)at) == (ssize_t)len;
}

const char *elf_architecture(int fd, char *ret_interpreter, size_t cap)
{
	Elf64_Ehdr e;
	const char *name = NULL;

	if (!read_at(fd, &e, sizeof(e), 0) || memcmp(e.e_ident, ELFMAG, SELFMAG) != 0)
		return NULL;
	if (e.e_ident[EI_CLASS] != ELFCLASS64 || e.e_ident[EI_DATA] != ELFDATA2LSB ||
		(e.e_type != ET_EXEC && e.e_type != ET_DYN) || e.e_phentsize != sizeof(Elf64_Phdr) ||
		e.e_phnum > HEADERS_MAX)
		return NULL;
	for (size_t i = 0; i < ARRAY_LEN(architecture); i++) {
		if (architecture[i].machine == e.e_machine)
			name = architecture[i].name;
	}
	if (!name)
		return NULL;
	ret_interpreter[0] = '\0';
	for (size_t i = 0; i < e.e_phnum; i++) {
		Elf64_Phdr p;

		if (!read_at(fd, &p, sizeof(p), e.e_phoff + i * sizeof(p)))
			return NULL;
		if (p.p_type != PT_INTERP)
			continue;
		if (p.p_filesz == 0 || p.p_filesz >= cap ||
			!read_at(fd, ret_interpreter, p.p_filesz, p.p_offset))
			return NULL;
		ret_interpreter[p.p_filesz] = '\0';
	}
	return name;
}

static int check_elf(int root, int fd, const char *path, char *ret_reason, size_t cap)
{
	char interpreter[ROOTFS_PATH_BYTES];
	const char *name = elf_architecture(fd, interpreter, sizeof(interpreter));
	CLEAN_FD int other = -1;

	if (!name) {
		snprintf(ret_reason, cap,
			"%s: not a 64-bit ELF program for an architecture that is known here", path);
		return ERR_IMAGE;
	}
	if (strcmp(name, machine_architecture()) != 0) {
		snprintf(ret_reason, cap, "%s: a program for %s, and this machine is %s", path, name,
			machine_architecture());
		return ERR_IMAGE;
	}
	if (interpreter[0] && rootfs_open(root, interpreter, &other) < 0) {
		snprintf(ret_reason, cap,
			"%s: linked dynamically, and its interpreter %.200s is not in the image: link it "
			"with "
			"-static, or add the interpreter and its libraries",
			path, interpreter);
		return ERR_IMAGE;
	}
	return 0;
}

int rootfs_check_program(int root, const char *path, char *ret_reason, size_t cap)
{
	CLEAN_FD int fd = -1;
	CLEAN_FD int script = -1;
	char line[256] = "";
	struct stat st;
	int err = rootfs_open(root, path, &fd);

	if (err < 0) {
		snprintf(ret_reason, cap, "%s: the image has no such program: %s", path, err_text(err));
		return ERR_IMAGE;
	}
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || !(st.st_mode & S_IXOTH)) {
		snprintf(ret_reason, cap, "%s: not a file that everybody may execute", path);
		return ERR_IMAGE;
	}
	if (pread(fd, line, sizeof(line) - 1, 0) >= 3 && line[0] == '#' && line[1] == '!') {
		char *interpreter = line + 2 + strspn(line + 2, " \t");

		interpreter[strcspn(interpreter, " \t\n")] = '\0';
		err = rootfs_open(root, interpreter, &script);
		if (err < 0) {
			snprintf(ret_reason, cap, "%s: a script, and its interpreter %s is not in the image",
				path, interpreter);
			return ERR_IMAGE;
		}
		return check_elf(root, script, interpreter, ret_reason, cap);
	}
	return check_elf(root, fd, path, ret_reason, cap);
}
