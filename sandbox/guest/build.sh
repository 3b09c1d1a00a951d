#!/bin/sh
# build.sh CC SOURCE-DIR BUILD-DIR OUTPUT PRIVATE-DIR SOURCE...: compiles and links the guest kernel.
set -eu
cc=$1 source=$2 build=$3 output=$4 private=$5
shift 5
mkdir -p "$private"
objects=
for file in "$@"; do
  object=$private/$(basename "$file").o
  # No register but the general ones: those of the stage are not saved. No red zone: interrupts use our stack.
  "$cc" -std=gnu17 -O2 -Wall -Wextra -Werror -Wno-unused-parameter -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
    -ffreestanding -fno-pic -mcmodel=kernel -mno-red-zone -mgeneral-regs-only -fno-strict-aliasing \
    -fstack-protector-strong -mstack-protector-guard=global -fcf-protection=none -fno-asynchronous-unwind-tables \
    -ffunction-sections -fdata-sections -I "$source" -I "$build" -c "$file" -o "$object"
  objects="$objects $object"
done
# shellcheck disable=SC2086
"$cc" -nostdlib -static -no-pie -Wl,--build-id=none -Wl,-T,"$source/guest.ld" -Wl,--gc-sections \
  -Wl,-z,max-page-size=4096 -o "$output" $objects
