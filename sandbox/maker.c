/* SPDX-License-Identifier: Apache-2.0 */
#include "maker.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "launch-wire.h"

#define ANSWER_WAIT_S 10

enum maker_msg {
	MAKER_MSG_MAKE = 1,   /* u32 number */
	MAKER_MSG_CELL = 2,   /* u32 pid; descriptors: pidfd, socket */
	MAKER_MSG_FAILED = 3, /* text */
};

static int make_one(const struct cell_kind *kind, int sock, struct msg *m)
{
	unsigned number = rbuf_u32(&m->body);
	char reason[LAUNCH_REASON_BYTES] = "";
	struct cell cell;
	int err;

	if (m->type != MAKER_MSG_MAKE || m->body.err < 0)
		return ERR_FORMAT;
	err = cell_make(kind, number, &cell, reason, sizeof(reason));
	if (err < 0) {
		msg_begin(m, MAKER_MSG_FAILED);
		wbuf_str(&m->out, reason);
		return msg_send(sock, m);
	}
	msg_begin(m, MAKER_MSG_CELL);
	wbuf_u32(&m->out, (uint32_t)cell.init);
	msg_lend_fd(m, cell.pidfd);
	msg_lend_fd(m, cell.sock);
	err = msg_send(sock, m);
	/* Nobody took it: the end of its socket would end it as well. */
	if (err < 0)
		cell_kill(&cell);
	cell_forget(kind, &cell);
	return err;
}

static _Noreturn void make_cells(const struct cell_kind *kind, int sock, pid_t launcher)
{
	static struct msg m;

	(void)prctl(PR_SET_NAME, "perigee-maker", 0, 0, 0);
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 || getppid() != launcher)
		_exit(1);
	for (;;) {
		int err = msg_recv(sock, &m);

		if (err == 0)
			_exit(0);
		if (err < 0)
			_exit(1);
		if (make_one(kind, sock, &m) < 0)
			_exit(1);
	}
}

int maker_start(const struct cell_kind *kind, const int *close_fds, size_t n, struct maker *ret_maker)
{
	struct timeval wait = {.tv_sec = ANSWER_WAIT_S};
	pid_t launcher = getpid(), pid;
	int pair[2];
	int err = msg_pair(false, false, pair);

	if (err < 0)
		return err;
	if (setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)) < 0) {
		err = -errno;
		goto fail;
	}
	pid = fork();
	if (pid < 0) {
		err = -errno;
		goto fail;
	}
	if (pid == 0) {
		close(pair[0]);
		for (size_t i = 0; i < n; i++)
			close(close_fds[i]);
		make_cells(kind, pair[1], launcher);
	}
	close(pair[1]);
	*ret_maker = (struct maker){.pid = pid, .sock = pair[0]};
	return 0;
fail:
	close(pair[0]);
	close(pair[1]);
	return err;
}

void maker_stop(struct maker *maker)
{
	close(TAKE_FD(maker->sock));
	while (waitpid(maker->pid, NULL, 0) < 0 && errno == EINTR)
		;
}

int maker_ask(struct maker *maker, unsigned number)
{
	static struct msg m;

	msg_begin(&m, MAKER_MSG_MAKE);
	wbuf_u32(&m.out, number);
	return msg_send(maker->sock, &m);
}

int maker_answer(struct maker *maker, const struct cell_kind *kind, unsigned number, struct cell *ret_cell,
	char *ret_reason, size_t cap)
{
	static struct msg m;
	struct cell cell = {.number = number};
	int err = msg_recv(maker->sock, &m);

	if (err <= 0)
		return ERR_PEER;
	if (m.type == MAKER_MSG_FAILED) {
		(void)rbuf_str(&m.body, ret_reason, cap);
		msg_finish(&m);
		return ERR_SANDBOX;
	}
	cell.init = (pid_t)rbuf_u32(&m.body);
	cell.pidfd = msg_take_fd(&m, 0);
	cell.sock = msg_take_fd(&m, 1);
	err = m.body.err;
	msg_finish(&m);
	if (err < 0)
		return ERR_PEER;
	err = cgroup_open(kind->groups, number, &cell.group);
	if (err < 0) {
		snprintf(ret_reason, cap, "opening its control group: %s", err_text(err));
		cell_kill(&cell);
		close(cell.pidfd);
		close(cell.sock);
		return ERR_SANDBOX;
	}
	*ret_cell = cell;
	return 0;
}
