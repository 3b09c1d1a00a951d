/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The subcommands of `perigee` that look at files and at a supervisor's state. Each takes argv from its own
 * name on and returns an exit status: 0 good, 1 the thing asked about failed, 64 usage (EX_USAGE), 65 a file
 * has mistakes (EX_DATAERR), 66 no such file or run (EX_NOINPUT), 69 no supervisor answers (EX_UNAVAILABLE),
 * 70 broke off.
 */
#ifndef COMMANDS_H
#define COMMANDS_H

#include "core/complain.h"

/* A kind of file that a person writes, told by the key that names it. */
struct lint_kind {
	const char *key;  /* "workflow" */
	const char *what; /* "workflow file" */
	/* NULL: workflow and mission files, which lint knows itself. */
	int (*check)(const char *path, struct complaints *c);
};

int command_lint(int argc, char **argv, const struct lint_kind *kinds, size_t n_kinds);
int command_dry_run(int argc, char **argv);
int command_graph(int argc, char **argv);
int command_lineage(int argc, char **argv);
int command_run(int argc, char **argv);
int command_queue(int argc, char **argv);
int command_explain(int argc, char **argv);
int command_hold(int argc, char **argv);
int command_release(int argc, char **argv);
int command_priority(int argc, char **argv);
int command_cancel(int argc, char **argv);
int command_approve(int argc, char **argv);
int command_trigger(int argc, char **argv);
int command_rerun(int argc, char **argv);
int command_event(int argc, char **argv);
int command_status(int argc, char **argv);
int command_runs(int argc, char **argv);
int command_show(int argc, char **argv);
int command_logs(int argc, char **argv);
int command_keys(int argc, char **argv);

#endif
