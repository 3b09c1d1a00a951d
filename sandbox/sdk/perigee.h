/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the author of a stage includes. A stage is one program, linked statically:
 *
 *	musl-gcc -static -O2 -I sandbox/sdk -o my-stage my-stage.c sandbox/sdk/perigee.c
 *
 * The contract, which holds in every runtime (container or unikernel):
 *
 *	/in/NAME          each input of the workflow, a file that can only be read
 *	/in/params.json   the parameters of the workflow, one flat JSON object
 *	/out/NAME         each declared output: it is there already, empty; write it. No other file can be
 *made. /tmp              a small scratch folder in memory, which counts against the stage's memory limit
 *	standard error    the log, kept with the run (standard output too); bounded, the rest is cut off
 *	exit 0            done: every declared output is taken as it is now
 *	exit 75           not done, but may be tried again (perigee_retry)
 *	any other exit    failed; the last line of the log is kept as the reason (perigee_fail)
 *
 * There is no network, no device and no other file. Memory, time, CPUs, processes and the size of outputs are
 * limited by the workflow; the run says which limit ended a stage.
 *
 * A whole stage:
 *
 *	#include "perigee.h"
 *
 *	int main(void)
 *	{
 *		size_t len;
 *		const unsigned char *scene = perigee_map_in("scene", &len);
 *		double threshold = perigee_param_number("threshold", 0.5);
 *		size_t bright = 0;
 *
 *		if (!scene)
 *			perigee_fail("cannot read the scene: %s", strerror(errno));
 *		for (size_t i = 0; i < len; i++)
 *			bright += scene[i] > threshold * 255;
 *		char text[64];
 *		int n = snprintf(text, sizeof(text), "{\"bright\": %zu}\n", bright);
 *		if (perigee_write_out("report", text, (size_t)n) < 0)
 *			perigee_fail("cannot write the report: %s", strerror(errno));
 *		return 0;
 *	}
 *
 * To try a stage without any sandbox, lay out a folder and name it in the environment:
 *
 *	mkdir -p try/in try/out && cp scene.ppm try/in/scene && echo '{"threshold": 0.7}' > try/in/params.json
 *	PERIGEE_ROOT=try ./my-stage
 *
 * Functions that return int or a pointer fail with -1 or NULL and set errno. Nothing here starts a thread or
 * depends on anything but the C library; perigee_param_* are not for use from several threads at once.
 */
#ifndef PERIGEE_H
#define PERIGEE_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PERIGEE_EXIT_RETRY 75      /* EX_TEMPFAIL */
#define PERIGEE_NAME_MAX 63        /* bytes of an input's or output's name, [A-Za-z0-9][A-Za-z0-9._-]* */
#define PERIGEE_PARAMS_MAX 256     /* parameters */
#define PERIGEE_PARAMS_BYTES 65536 /* of params.json */

#define PERIGEE_PRINTF_ __attribute__((format(printf, 1, 2)))

/* ---- Inputs -------------------------------------------------------------------------------------------- */

/* Opens input NAME for reading. A descriptor, or -1: EINVAL (not a name), ENOENT (no such input), … */
int perigee_open_in(const char *name);

/* Maps input NAME whole, read-only; *ret_len is its length in bytes. It stays until the stage ends. An empty
 * input gives a pointer to nothing with length 0. NULL on failure. */
const void *perigee_map_in(const char *name, size_t *ret_len);

/* Reads input NAME whole, if it is no longer than max_bytes (else EFBIG). One zero byte follows the data and
 * is not counted, so a text can be used as a string. The caller frees it. NULL on failure. */
void *perigee_read_in(const char *name, size_t max_bytes, size_t *ret_len);

/* ---- Outputs ------------------------------------------------------------------------------------------- */

/* Opens output NAME for writing and reading, emptied. A descriptor, or -1: EINVAL (not a name), EACCES (the
 * workflow does not declare it), … Writing beyond the declared size ends the stage with that reason. */
int perigee_create_out(const char *name);

/* The same as a stream, "w+". Check what fclose() returns: what is buffered may fail to be written. */
FILE *perigee_fopen_out(const char *name);

/* Writes output NAME whole. 0 or -1. */
int perigee_write_out(const char *name, const void *data, size_t len);

/* Writes all of it, whatever write() says. 0 or -1. */
int perigee_write_all(int fd, const void *data, size_t len);

/* ---- Parameters ---------------------------------------------------------------------------------------- */

/*
 * The parameter KEY of /in/params.json, or `otherwise` when it is not there (or the whole file is not). A
 * parameter of another type than asked for, or a file that is not one JSON object, ends the stage through
 * perigee_fail with a reason that names it: a stage never computes with a parameter that it misread.
 */
double perigee_param_number(const char *key, double otherwise);
bool perigee_param_bool(const char *key, bool otherwise);
/* Borrowed until the stage ends. UTF-8, without zero bytes inside. */
const char *perigee_param_string(const char *key, const char *otherwise);
/* Whether KEY is there, with a value of any type. */
bool perigee_has_param(const char *key);

/* ---- Log and end --------------------------------------------------------------------------------------- */

/* One line to the log; the end of the line is added. */
void perigee_log(const char *fmt, ...) PERIGEE_PRINTF_;

/* Ends the stage as failed; the text is the reason that the run shows. Control characters in it become
 * spaces, so that it stays one line. */
void perigee_fail(const char *fmt, ...) PERIGEE_PRINTF_ __attribute__((noreturn));

/* Ends the stage as one that may be tried again (the workflow's `retry`); the text is the reason. For what
 * may pass by itself: a device that is busy, a lease that was taken away. */
void perigee_retry(const char *fmt, ...) PERIGEE_PRINTF_ __attribute__((noreturn));

#ifdef __cplusplus
}
#endif

#endif
