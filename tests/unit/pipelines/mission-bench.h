/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bench for runs: the real queue, store and artifacts on a clock that stands still; only the launcher is
 * ours. The stages of a workflow say in their `args` what they do:
 *
 *   OUT=TEXT       write the text to /out/OUT           exit=3, exit=75@2   this code (at the first 2
 * attempts) OUT<params     write /in/params.json to /out/OUT    end=memory          ended by that class:
 * failed timeout memory machine OUT<in/NAME    write an input to /out/OUT           hold                does
 * not end by itself
 *
 * An output called z is written without being told. What happens is written down as "stage:state" words,
 * "2.stage:state" for runs other than the first, and "run1:state" at the end of a run.
 */
#ifndef TEST_MISSION_BENCH_H
#define TEST_MISSION_BENCH_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include "pipelines.h"
#include "runs.h"

#define BENCH_STARTS_MAX 512
#define BENCH_TRACE_BYTES 8192

struct bench_start {
	char label[96];
	struct stage_exit exit;
	bool held, reported, stopped;
};

struct bench {
	char dir[64];
	uv_loop_t loop;
	struct store *store;
	struct scheduler *scheduler;
	struct artifacts *artifacts;
	struct pipelines *pipelines;
	const char *texts[4]; /* of workflows */
	struct bench_start starts[BENCH_STARTS_MAX];
	size_t n_starts;
	char trace[BENCH_TRACE_BYTES];
	char products[512];
	int sink_err; /* what the sink of products answers, if not 0 */
	int64_t now_s, mono_s;
	char image[80];
	uint32_t tasks;   /* at once */
	uint32_t waiting; /* as many as payload p may have; 0: any number */
	uint64_t reserve; /* less than so much is left on the disk when it is UINT64_MAX */
};
extern struct bench bench;

/* cmocka's setup and teardown: an empty state folder in memory, no workflows. */
int bench_setup(void **state);
int bench_teardown(void **state);
/* Opens all of it with bench.texts; closes it as a power cut would. */
void bench_open(void);
void bench_close(void);
/* Turns of the loop until nothing is left to do. */
void bench_settle(void);
/* One turn. */
void bench_turn(void);
/* Both clocks go on. */
void bench_pass(int64_t seconds);
/* Runs the script: words separated by ';'. See mission-bench.c. */
void bench_script(const char *script);
/* The text of an output; the caller frees it; NULL: there is none. */
char *bench_output(int64_t run, const char *stage, const char *name);
/* "done: a done; b skipped (why);" */
void bench_describe(int64_t run, char *ret_text, size_t cap);

#endif
