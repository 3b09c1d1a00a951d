/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What can be asked on the control socket: a table. A question is answered at once; what was changed is
 * answered after the commit that makes it so, and refused when that fails.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "asks.h"
#include "core/log.h"

static const struct {
	const char *ask;
	ask_fn fn;
	bool changes;
} asks[] = {
	{"status", ask_status},
	{"queue", ask_queue},
	{"explain", ask_explain},
	{"hold", ask_hold, true},
	{"release", ask_release, true},
	{"priority", ask_priority, true},
	{"cancel", ask_cancel, true},
	{"approve", ask_approve, true},
	{"rerun", ask_rerun, true},
	{"event", ask_event, true},
	{"trigger", ask_trigger, true},
};

void ask_who(const struct control_call *call, char ret_text[ASK_WHO_BYTES])
{
	snprintf(ret_text, ASK_WHO_BYTES, "user %u", (unsigned)control_call_uid(call));
}

struct pending {
	struct control_call *call;
	cJSON *body;
};

static void commit_done(void *arg)
{
	struct pending *p = arg;

	control_reply(p->call, p->body);
	free(p);
}

static void commit_failed(void *arg)
{
	struct pending *p = arg;

	cJSON_Delete(p->body);
	control_refuse(p->call, ERR_STORE, "it could not be written to the database; nothing was done");
	free(p);
}

void reply_committed(struct perigeed *d, struct control_call *call, cJSON *body)
{
	struct pending *p = malloc(sizeof(*p));

	if (p) {
		*p = (struct pending){call, body};
		if (store_effect(d->store, commit_done, p, commit_failed) == 0)
			return;
	}
	free(p);
	cJSON_Delete(body);
	/* The change stands in this turn; whoever asked must look. */
	control_refuse(call, -ENOMEM, "out of memory: look with `perigee queue` whether it was done");
}

void answer(void *user, struct control_call *call, const char *ask, const cJSON *request)
{
	struct perigeed *d = user;
	char reason[ASK_REASON_BYTES] = "";
	cJSON *body = NULL;

	for (size_t i = 0; i < ARRAY_LEN(asks); i++) {
		if (strcmp(asks[i].ask, ask))
			continue;
		/* A turn that the disk has no room for is open: what joins it would be answered when there is room. */
		if (asks[i].changes && store_held(d->store)) {
			control_refuse(call, -ENOSPC,
				"the disk is full: nothing was done, for it could not be written down");
			return;
		}
		int r = asks[i].fn(d, call, request, &body, reason, sizeof(reason));
		if (r < 0)
			control_refuse(call, r, "%s", *reason ? reason : err_text(r));
		else if (r == ASK_CHANGED)
			reply_committed(d, call, body);
		else if (r == ASK_ANSWERED)
			control_reply(call, body);
		return;
	}
	control_refuse(call, ERR_UNKNOWN, "this supervisor (perigee %s) cannot be asked \"%.64s\"",
		PERIGEE_VERSION, ask);
}
