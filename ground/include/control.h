/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control socket: how a command on the same machine asks a running supervisor. A Unix stream socket; one
 * JSON object a line each way: {"ask": "status"} gives {"ok": true, …} or {"ok": false, "error": "…"}.
 */
#ifndef CONTROL_H
#define CONTROL_H

#include <cjson/cJSON.h>
#include <uv.h>

#include "core/err.h"

#define CONTROL_LINE_BYTES_MAX 4096 /* of a request */
#define CONTROL_REPLY_BYTES_MAX (1u << 20)
#define CONTROL_CLIENTS_MAX 8

struct control;

/* Answers `ask`: an object, which the server then owns, or NULL when it does not know it. */
typedef cJSON *(*control_answer_fn)(void *user, const char *ask, const cJSON *request);

/* Listens at `path` (an old socket there is replaced), mode 0660. -errno. */
WARN_UNUSED int control_create(uv_loop_t *loop, const char *path, control_answer_fn answer, void *user,
	struct control **ret_control);
/* Memory is freed when the loop has closed the handles. Takes NULL. */
void control_destroy(struct control *c);

/* The other side, blocking: -ENOENT or -ECONNREFUSED when no supervisor is there. The caller deletes the
 * reply. */
WARN_UNUSED int control_ask(const char *path, const char *ask, cJSON **ret_reply);

#endif
