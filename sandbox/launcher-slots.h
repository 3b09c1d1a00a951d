/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the launcher: its state, and a slot, which is one cell from its making on and the stage that it
 * becomes.
 *
 *   FREE -> MAKING -> PREPARED -> RUNNING -> ENDED -> FREE
 *
 * launcher.c is the loop and the supervisor's requests, launcher-pool.c the cells made ahead, launcher-end.c
 * how a stage ended.
 */
#ifndef SANDBOX_LAUNCHER_SLOTS_H
#define SANDBOX_LAUNCHER_SLOTS_H

#include "cell.h"
#include "core/clock.h"
#include "launch-wire.h"
#include "launcher.h"
#include "maker.h"
#include "stage-syscalls.h"

#define POOL_CELLS 2
#define CELLS_MAX (LAUNCH_RUNNING_MAX + POOL_CELLS)

enum slot_state {
	SLOT_FREE,
	SLOT_MAKING,   /* the maker is at it */
	SLOT_PREPARED, /* in the pool */
	SLOT_RUNNING,
	SLOT_ENDED, /* its result is known; init may still be ending */
	SLOT_STATE_MAX,
};

struct slot {
	enum slot_state state;
	struct cell cell;
	bool cell_lives;      /* init has not been reaped */
	bool told;            /* the result was sent */
	enum launch_end kill; /* why we killed it, or LAUNCH_EXITED when we did not */
	struct launch_limits limits;
	struct mono_time started;
	bool frozen;
	struct mono_time frozen_at;
	int64_t frozen_ns;      /* before that */
	uint64_t cpu_ns_before; /* used in preparing */
	struct launch_result result;
};

enum event_kind { EVENT_SUPERVISOR, EVENT_MAKER, EVENT_SIGNAL, EVENT_CELL_SOCKET, EVENT_CELL_END };

struct launcher_server {
	int sock, epoll, signals;
	bool ending;           /* the supervisor is gone: no more requests */
	bool sock_full;        /* waiting until results can be sent */
	bool pool_failed;      /* preparing ahead failed: not tried again before the next start */
	bool can_freeze;       /* the first cell was frozen and thawed */
	bool counts_io;        /* the kernel does */
	struct mono_time busy; /* last start or end */
	struct cgroups groups;
	bool groups_open;
	struct cell_kind kind;
	struct maker maker;
	bool maker_lives;
	struct sock_filter filter[STAGE_FILTER_MAX];
	struct slot slot[CELLS_MAX];
	struct msg msg; /* the one being received */
	struct msg out; /* the one being sent */
	struct launch_order order;
};

/* ---- launcher.c ---- */

/* Adds, changes or removes (op of epoll_ctl) what the loop hears of. */
void launcher_watch(
	struct launcher_server *s, int fd, uint32_t events, enum event_kind kind, size_t number, int op);
void launcher_watch_supervisor(struct launcher_server *s);

/* ---- launcher-slots.c ---- */

/* The first one in a state; a free one is one whose cell is gone, too. NULL. */
struct slot *slot_find(struct launcher_server *s, enum slot_state state);
size_t slot_count(const struct launcher_server *s, enum slot_state state);
/* The slot of a task that runs, or whose result was not sent yet. NULL. */
struct slot *slot_of_task(struct launcher_server *s, uint64_t task);
/* Takes a prepared slot for an order. */
void slot_begin(struct launcher_server *s, struct slot *t, const struct launch_order *order);
/* Kills a stage that runs, frozen or not, for this reason; only the first reason counts. */
void slot_kill(struct launcher_server *s, struct slot *t, enum launch_end why);
/* Of a running one. Logs what fails, and then nothing has changed. */
void slot_freeze(struct launcher_server *s, struct slot *t, bool frozen);
/* How long it has stood still. */
int64_t slot_frozen_ns(const struct slot *t, struct mono_time now);
/* Of its time limit, for a running one; INT64_MAX while it is frozen. */
int64_t slot_left_ns(const struct slot *t, struct mono_time now);
/* Free again, when it has ended, was told, and its cell is gone. */
void slot_release(struct slot *t);

/* ---- launcher-end.c ---- */

/* Sends the result of one that has ended, if it can be sent now. */
void slot_tell(struct launcher_server *s, struct slot *t);
/* It never ran, and this is why. */
void slot_setup_failed(struct launcher_server *s, struct slot *t, const char *reason);
/* A request that cannot become a running cell is still answered once. */
WARN_UNUSED int launcher_refuse(struct launcher_server *s, uint64_t task, const char *reason);
/* The cell's socket is readable; its init has ended. */
void slot_on_socket(struct launcher_server *s, struct slot *t);
void slot_on_end(struct launcher_server *s, struct slot *t);

/* ---- launcher-pool.c ---- */

WARN_UNUSED int pool_start(struct launcher_server *s);
/* The first cell, waited for: where no sandbox can be made, that is said at the start and not at every stage.
 * Also tries whether it can be frozen. */
WARN_UNUSED int pool_make_first(struct launcher_server *s, char *ret_reason, size_t cap);
/* A prepared cell, made now if there is none. ERR_PEER: the maker is gone; others with the reason. */
WARN_UNUSED int pool_take(struct launcher_server *s, struct slot **ret_slot, char *ret_reason, size_t cap);
/* Has a cell made when one is wanted and it is quiet; nanoseconds until that is so, INT64_MAX for nothing to
 * wait for. */
int64_t pool_refill(struct launcher_server *s, struct mono_time now);
/* The maker has answered. ERR_PEER: it is gone. */
WARN_UNUSED int pool_on_maker(struct launcher_server *s);

#endif
