/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keeper of a crash-only process: a small parent that keeps the privileges and starts the child again
 * when it was killed or broke off (EX_SOFTWARE). Start-up is the one path of recovery, for a crash as for a
 * power cut.
 */
#ifndef CORE_KEEPER_H
#define CORE_KEEPER_H

#include "core/macro.h"

/* Runs run(arg) in a child, with growing delays between quick deaths. SIGTERM and SIGINT are passed on, and
 * end it. The child dies with the keeper, as long as it does not change its user: then it must ask again
 * (PR_SET_PDEATHSIG). Any other exit status of the child ends the keeper with it. Returns an exit status. */
WARN_UNUSED int keep_running(const char *name, int (*run)(void *arg), void *arg);

#endif
