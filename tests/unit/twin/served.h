/* SPDX-License-Identifier: Apache-2.0 */
/* The device server in a thread of the test, on a port of its own. */
#ifndef TEST_SERVED_H
#define TEST_SERVED_H

#include "serve.h"

struct served;

/* Fails the test when it cannot be started. */
struct served *served_start(const struct serve_options *options);
uint16_t served_port(const struct served *served);
/* Ends it and waits; fails the test when the loop does not come to its end. */
void served_stop(struct served *served);

#endif
