/* SPDX-License-Identifier: Apache-2.0 */
/* One line of the IIOD text protocol as a value. Pure: no device is known here. */
#ifndef TWIN_IIOD_PARSE_H
#define TWIN_IIOD_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"

#define IIOD_WORD_BYTES 128 /* of a device, channel or attribute name, its zero included */

enum iiod_verb {
	IIOD_EMPTY,
	IIOD_HELP,
	IIOD_EXIT,
	IIOD_VERSION,
	IIOD_PRINT,
	IIOD_TIMEOUT,
	IIOD_OPEN,
	IIOD_CLOSE,
	IIOD_READ,
	IIOD_WRITE,
	IIOD_READBUF,
	IIOD_WRITEBUF,
	IIOD_GETTRIG,
	IIOD_SETTRIG,
	IIOD_SET_BUFFERS,
	IIOD_VERB_MAX
};

enum iiod_scope {
	IIOD_OF_DEVICE,
	IIOD_OF_DEBUG,
	IIOD_OF_BUFFER,
	IIOD_OF_INPUT,
	IIOD_OF_OUTPUT,
	IIOD_SCOPE_MAX
};

struct iiod_command {
	enum iiod_verb verb;
	enum iiod_scope scope; /* READ, WRITE */
	char device[IIOD_WORD_BYTES];
	char channel[IIOD_WORD_BYTES];
	char attr[IIOD_WORD_BYTES]; /* READ, WRITE: "" = all */
	uint64_t number; /* OPEN: samples; READBUF, WRITEBUF, WRITE: bytes; SET: count; TIMEOUT: ms */
	uint32_t mask;   /* OPEN, of the first 32 channels */
	size_t mask_words;
	bool cyclic;
};

/* Reads a line without its end. 0; -EINVAL: not a command (iiod answers that too). */
WARN_UNUSED int iiod_parse(const char *line, size_t len, struct iiod_command *ret_command);

#endif
