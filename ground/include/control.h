/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control socket: how a command on the same machine asks a running supervisor. A Unix stream socket; one
 * JSON object a line each way: {"ask": "status"} gives {"ok": true, …}, or {"ok": false, "error": "…",
 * "code": "ERR_UNKNOWN"}. Files go along as descriptors (SCM_RIGHTS): the supervisor opens none by name.
 *
 * Whoever may write to the socket (mode 0660) may ask everything, but is not trusted to be sane: lines,
 * replies, descriptors and clients are bounded, and who says nothing makes room for who does.
 */
#ifndef CONTROL_H
#define CONTROL_H

#include <cjson/cJSON.h>
#include <sys/types.h>
#include <uv.h>

#include "core/err.h"

#define CONTROL_LINE_BYTES_MAX 16384 /* of a request */
#define CONTROL_REPLY_BYTES_MAX (4u << 20)
#define CONTROL_CLIENTS_MAX 8
#define CONTROL_FDS_MAX 16 /* of a request */

/* ---- the supervisor's side ---- */

struct control;

/* One request, to be answered once: at once or later, for instance after the commit of what it has changed.
 */
struct control_call;

/* `ask` and `request` (with all members) are borrowed during the call. */
typedef void (*control_answer_fn)(
	void *user, struct control_call *call, const char *ask, const cJSON *request);

/* Listens at `path` (an old socket there is replaced), mode 0660. -errno. */
WARN_UNUSED int control_create(uv_loop_t *loop, const char *path, control_answer_fn answer, void *user,
	struct control **ret_control);
/* Memory is freed when the loop has closed the handles. Calls may still be answered; nobody hears it. Takes
 * NULL. */
void control_destroy(struct control *c);

/* Answers with an object, which is taken over and gets "ok": true; NULL says that memory is short. Whoever
 * asked may be gone. */
void control_reply(struct control_call *call, cJSON *body);
/* Answers that nothing was done, and why. `err` is negative; its name goes along as "code". */
void control_refuse(struct control_call *call, int err, const char *fmt, ...) PRINTF(3, 4);
/* The user that asks, by SO_PEERCRED; (uid_t)-1 when the kernel does not say. */
uid_t control_call_uid(const struct control_call *call);
/* Descriptor i that came along, which the caller then owns; -1 when there is none. What is not taken is
 * closed. */
int control_call_take_fd(struct control_call *call, size_t i);

/* ---- the other side, blocking ---- */

/* Asks, and waits up to timeout_s for the answer; the descriptors stay the caller's. -ENOENT or -ECONNREFUSED
 * when no supervisor is there, -ETIMEDOUT, -errno. The caller deletes the reply, whose "ok" may be false. */
WARN_UNUSED int control_ask(const char *path, const cJSON *request, const int *fds, size_t n_fds,
	int timeout_s, cJSON **ret_reply);

#endif
