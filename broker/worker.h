/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process that holds the session with one device: it alone calls the driver's library, which may hang,
 * crash or be overrun by what is at the other end. It knows no policy, and has nothing but its socket to the
 * broker.
 */
#ifndef BROKER_WORKER_H
#define BROKER_WORKER_H

#include "devices.h"

/* One process captures frames, another answers reads, so that neither waits for the other. */
enum worker_role { WORKER_CAPTURES, WORKER_READS, WORKER_ROLE_MAX };

#define BACKOFF_MIN_NS (100 * NS_PER_MS)
#define BACKOFF_MAX_NS (30 * NS_PER_S)

/* The next wait after a failure: doubled up to the maximum; ret_wait_ns is it less a random part of up to a
 * half. */
int64_t backoff_next(int64_t last_ns, int64_t *ret_wait_ns);

/* Runs until the broker's end of the socket closes; the exit status. The socket is blocking. */
int worker_run(enum worker_role role, const struct device_spec *spec, int sock);

#endif
