/* SPDX-License-Identifier: Apache-2.0 */
/* Cells prepared ahead. */
#include "launcher-slots.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "core/log.h"

#define FIRST_WAIT_MS 10000
#define REFILL_AFTER_MS 5 /* of quiet: making a cell must not delay a start or an end */

int pool_start(struct launcher_server *s)
{
	int ours[] = {s->sock, s->epoll, s->signals};
	int err = maker_start(&s->kind, ours, ARRAY_LEN(ours), &s->maker);

	if (err < 0)
		return err;
	s->maker_lives = true;
	launcher_watch(s, s->maker.sock, EPOLLIN, EVENT_MAKER, 0, EPOLL_CTL_ADD);
	return 0;
}

/* Has the maker make a cell, unless it is at one already. */
static int ask_maker(struct launcher_server *s)
{
	struct slot *t = slot_find(s, SLOT_MAKING);
	int err;

	if (t)
		return 0;
	t = slot_find(s, SLOT_FREE);
	if (!t)
		return ERR_LIMIT;
	err = maker_ask(&s->maker, (unsigned)(t - s->slot));
	if (err < 0)
		return err;
	t->state = SLOT_MAKING;
	return 0;
}

/* Takes the cell that the maker is at, waiting for it. */
static int take_made(struct launcher_server *s, struct slot **ret_slot, char *ret_reason, size_t cap)
{
	struct slot *t = slot_find(s, SLOT_MAKING);
	unsigned number;
	int err;

	if (!t)
		return ERR_STATE;
	number = (unsigned)(t - s->slot);
	err = maker_answer(&s->maker, &s->kind, number, &t->cell, ret_reason, cap);
	if (err < 0) {
		t->state = SLOT_FREE;
		return err;
	}
	t->state = SLOT_PREPARED;
	t->cell_lives = true;
	launcher_watch(s, t->cell.sock, EPOLLIN, EVENT_CELL_SOCKET, number, EPOLL_CTL_ADD);
	launcher_watch(s, t->cell.pidfd, EPOLLIN, EVENT_CELL_END, number, EPOLL_CTL_ADD);
	if (ret_slot)
		*ret_slot = t;
	return 0;
}

int pool_take(struct launcher_server *s, struct slot **ret_slot, char *ret_reason, size_t cap)
{
	struct slot *t = slot_find(s, SLOT_PREPARED);
	int err = 0;

	s->pool_failed = false;
	if (!t)
		err = ask_maker(s);
	if (!t && err == 0)
		err = take_made(s, &t, ret_reason, cap);
	if (err < 0) {
		if (!ret_reason[0])
			snprintf(ret_reason, cap, "%s", err_text(err));
		return err;
	}
	*ret_slot = t;
	return 0;
}

int64_t pool_refill(struct launcher_server *s, struct mono_time now)
{
	int64_t left_ns;

	if (s->ending || s->pool_failed || slot_find(s, SLOT_MAKING) ||
		slot_count(s, SLOT_PREPARED) >= POOL_CELLS)
		return INT64_MAX;
	/* At once when there is none, otherwise when it is quiet: two cores are soon busy. */
	left_ns = slot_find(s, SLOT_PREPARED) ? s->busy.ns + REFILL_AFTER_MS * NS_PER_MS - now.ns : 0;
	if (left_ns > 0)
		return left_ns;
	s->pool_failed = ask_maker(s) < 0;
	return INT64_MAX;
}

int pool_on_maker(struct launcher_server *s)
{
	char reason[LAUNCH_REASON_BYTES] = "";
	int err = take_made(s, NULL, reason, sizeof(reason));

	if (err != ERR_SANDBOX)
		return err;
	log_error("cannot prepare a cell: %s", reason);
	s->pool_failed = true;
	return 0;
}

/* A group that is there but cannot be frozen (an old kernel) is known before it matters. */
static bool try_freezing(struct launcher_server *s, const struct cgroup *group)
{
	int err = cgroup_freeze(&s->groups, group, true);
	int back = cgroup_freeze(&s->groups, group, false);

	if (err < 0 || back < 0)
		log_info("no stage can be frozen on this machine: %s", err_text(err < 0 ? err : back));
	return err == 0 && back == 0;
}

/* The first cell, waited for: where no sandbox can be made, that is said at the start and not at every stage.
 */
int pool_make_first(struct launcher_server *s, char *ret_reason, size_t cap)
{
	char word[CELL_WORD_BYTES + 1] = "";
	struct pollfd p = {.events = POLLIN};
	struct slot *t = NULL;
	ssize_t n;
	int err = ask_maker(s);

	if (err == 0)
		err = take_made(s, &t, ret_reason, cap);
	if (err < 0) {
		if (!ret_reason[0])
			snprintf(ret_reason, cap, "the maker of cells: %s", err_text(err));
		return err;
	}
	p.fd = t->cell.sock;
	(void)poll(&p, 1, FIRST_WAIT_MS);
	n = recv(t->cell.sock, word, sizeof(word) - 1, MSG_DONTWAIT);
	if (n > 0 && word[0] == CELL_READY) {
		s->can_freeze = try_freezing(s, &t->cell.group);
		return 0;
	}
	snprintf(ret_reason, cap, "no sandbox can be made here: %s",
		n > 0 && word[0] == CELL_FAILED ? word + 1 : "the first one ended while it was prepared");
	s->ending = true;
	cell_kill(&t->cell);
	cell_finish(&s->kind, &t->cell);
	return ERR_SANDBOX;
}
