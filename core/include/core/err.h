/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Errors. Functions return int: 0 or more is success, negative is failure, which is either -errno
 * or one of the project's codes below. The project's numbers never change, for telemetry carries them.
 */
#ifndef CORE_ERR_H
#define CORE_ERR_H

#include "core/macro.h"

/*       name            number  what a person reads */
#define ERR_LIST(X)                                                                                \
	X(ERR_FORMAT,    -4096, "malformed data")                                                  \
	X(ERR_LIMIT,     -4097, "a limit was exceeded")                                            \
	X(ERR_CHECKED,   -4098, "the file has mistakes")                                           \
	X(ERR_DIGEST,    -4099, "the digest does not match the content")                           \
	X(ERR_SIGNATURE, -4100, "the signature does not verify")                                   \
	X(ERR_DENIED,    -4101, "not granted by the policy")                                       \
	X(ERR_STATE,     -4102, "not possible in this state")                                      \
	X(ERR_PEER,      -4103, "the other process is gone")                                       \
	X(ERR_STORE,     -4104, "the database reported an error")                                  \
	X(ERR_DEVICE,    -4105, "the device failed")                                               \
	X(ERR_KEY,       -4106, "not a usable key")                                                \
	X(ERR_UNKNOWN,   -4107, "no such thing")                                                   \
	X(ERR_IMAGE,     -4108, "not a usable image")                                              \
	X(ERR_SANDBOX,   -4109, "the sandbox could not be made")

enum err {
#define X(name, number, text) name = number,
	ERR_LIST(X)
#undef X
};

/* Static text for a negative return value; borrowed for ever. */
const char *err_text(int err);
/* The symbolic name ("ERR_FORMAT", "ENOENT"); borrowed for ever. */
const char *err_name(int err);

#endif
