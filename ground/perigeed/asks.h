/* SPDX-License-Identifier: Apache-2.0 */
/* perigeed, inside: what can be asked on the control socket. */
#ifndef PERIGEED_ASKS_H
#define PERIGEED_ASKS_H

#include "perigeed.h"

#define ASK_REASON_BYTES 512
#define ASK_WHO_BYTES 32

enum ask_result {
	ASK_ANSWERED, /* *ret_body is the answer; NULL: memory is short */
	ASK_CHANGED,  /* the same, true when this turn is committed */
	ASK_LATER,    /* the call was kept, and will be answered */
};

/* One of enum ask_result; negative with the reason, and nothing was changed. `request` is borrowed. */
typedef int (*ask_fn)(struct perigeed *d, struct control_call *call, const cJSON *request, cJSON **ret_body,
	char *ret_reason, size_t cap);

/* "user 1000": who asks, for the record. */
void ask_who(const struct control_call *call, char ret_text[ASK_WHO_BYTES]);

/* Answers after this turn's commit. */
void reply_committed(struct perigeed *d, struct control_call *call, cJSON *body);

#define ASK(name)                                                                                            \
	int ask_##name(struct perigeed *d, struct control_call *call, const cJSON *request,                  \
		cJSON **ret_body, char *ret_reason, size_t cap)

ASK(status); /* status.c */

/* questions.c */
ASK(queue);
ASK(explain);

/* orders.c */
ASK(hold);
ASK(release);
ASK(priority);
ASK(cancel);
ASK(approve);
ASK(rerun);
ASK(event);

ASK(trigger); /* trigger.c */

#endif
