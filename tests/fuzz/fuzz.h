/* SPDX-License-Identifier: Apache-2.0 */
/* The one function of a fuzzer. Always returns 0; what must hold is checked with ensure(). */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#endif
