/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_WORKFLOW_H
#define BENCH_WORKFLOW_H

/* Runs of stages that do nothing, to their end: prints its figures. Negative when it could not. */
int bench_runs(unsigned elements);

#endif
