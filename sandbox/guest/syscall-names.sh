#!/bin/sh
# The names of Linux's system calls by number, from the headers of the C library: for the log.
set -eu
echo '/* Made by syscall-names.sh. */'
echo 'static const char *const syscall_names[] = {'
echo '#include <asm/unistd_64.h>' | "$1" -E -dM - |
  sed -n 's/^#define __NR_\([a-z0-9_]*\) \([0-9]*\)$/\t[\2] = "\1",/p' | sort -t'[' -k2n
echo '};'
