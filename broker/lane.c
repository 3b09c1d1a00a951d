/* SPDX-License-Identifier: Apache-2.0 */
/* The broker's side of a worker process: starting it, watching over it, believing it only so far. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "core/log.h"
#include "serve.h"

#define RUNNING 1u

static const char hung_too_long[] = "got no answer from the device";

/* What a call into the driver may take: a wait for connecting, one for the answer, and one for good measure.
 */
static int64_t patience_ns(const struct lane *l)
{
	return 3 * l->session->spec->timeout_ns + 15 * NS_PER_S;
}

static _Noreturn void worker_main(struct lane *l, int sock, pid_t broker)
{
	const struct session *s = l->session;
	sigset_t none;

	/* Whatever happens to the broker, we do not stay behind. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != broker)
		_exit(EXIT_FAILURE);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	/* Nothing of the broker's is left here: standard streams, and our socket as 3. */
	if (!s->broker->verbose && dup2(s->broker->null, STDERR_FILENO) < 0)
		_exit(EXIT_FAILURE);
	if (dup2(sock, 3) < 0 || close_range(4, ~0u, 0) < 0)
		_exit(EXIT_FAILURE);
	if (confine_worker(&s->broker->policy->uris[s->index]) < 0)
		_exit(EXIT_FAILURE);
	_exit(worker_run(l->role, s->spec, 3));
}

static void put_off(struct lane *l)
{
	int64_t wait;

	l->backoff_ns = backoff_next(l->backoff_ns, &wait);
	l->restart.ns = clock_mono().ns + wait;
}

int lane_start(struct lane *l)
{
	struct broker *b = l->session->broker;
	int pair[2];

	if (l->state == LANE_RUNNING)
		return 0;
	if (l->state == LANE_DYING || clock_mono().ns < l->restart.ns)
		return -EAGAIN;
	int r = msg_pair(true, false, pair);
	if (r < 0) {
		put_off(l);
		return r;
	}
	pid_t broker = getpid(), pid = fork();
	if (pid == 0)
		worker_main(l, pair[1], broker);
	close(pair[1]);
	if (pid < 0) {
		r = -errno;
		close(pair[0]);
		put_off(l);
		return r;
	}
	l->pid = pid;
	l->sock = pair[0];
	l->state = LANE_RUNNING;
	l->in_driver = false;
	l->killed_for = NULL;
	if (l->role == WORKER_READS)
		return 0;
	for (size_t i = 0; i < l->session->n_lent && l->state == LANE_RUNNING; i++) {
		msg_begin(&b->out, WORKER_BUFFER);
		wbuf_u64(&b->out.out, l->session->lent[i].id);
		msg_lend_fd(&b->out, l->session->lent[i].fd);
		r = lane_send(l, &b->out);
	}
	return r;
}

void lane_kill(struct lane *l, const char *why)
{
	if (l->state != LANE_RUNNING)
		return;
	close(l->sock);
	l->sock = -1;
	kill(l->pid, SIGKILL);
	l->killed_for = why;
	l->state = LANE_DYING;
}

int lane_send(struct lane *l, struct msg *m)
{
	int r = msg_send(l->sock, m);

	if (r < 0) {
		log_warning("%s: its worker takes no messages: %s", l->session->spec->name, err_text(r));
		lane_kill(l, "took no messages");
	}
	return 0;
}

/* ---- messages of the worker ---- */

static int on_frame(void *user, struct msg *m)
{
	struct lane *l = user;
	struct session *s = l->session;
	struct broker *b = s->broker;
	struct device_frame frame;
	uint64_t id;
	size_t i;

	if (l->role != WORKER_CAPTURES || get_frame(&m->body, &id, &frame) < 0)
		return ERR_FORMAT;
	for (i = 0; i < s->n_lent && s->lent[i].id != id; i++)
		;
	if (i == s->n_lent)
		return ERR_UNKNOWN;
	close(s->lent[i].fd);
	s->n_lent--;
	memmove(&s->lent[i], &s->lent[i + 1], (s->n_lent - i) * sizeof(s->lent[0]));
	if (s->n_announced == BROKER_BUFFERS_MAX) {
		s->n_announced--;
		memmove(&s->announced[0], &s->announced[1], s->n_announced * sizeof(s->announced[0]));
	}
	struct announced *a = &s->announced[s->n_announced++];
	a->id = id;
	snprintf(a->frame_id, sizeof(a->frame_id), "%s", frame.id);
	l->backoff_ns = 0;
	s->told.frames++;

	msg_begin(&b->out, GRANT_FRAME);
	wbuf_str(&b->out.out, s->spec->name);
	put_frame(&b->out.out, id, &frame);
	uint16_t n_subs = 0;
	for (size_t j = 0; j < b->n_subs; j++)
		n_subs = (uint16_t)(n_subs + (b->subs[j].device == s->index));
	wbuf_u16(&b->out.out, n_subs);
	for (size_t j = 0; j < b->n_subs; j++) {
		if (b->subs[j].device == s->index)
			wbuf_u32(&b->out.out, b->subs[j].id);
	}
	return tell_supervisor(b) < 0 || tell_device(s) < 0 ? ERR_PEER : 0;
}

static int on_value(void *user, struct msg *m)
{
	struct lane *l = user;
	struct session *s = l->session;
	char text[DEVICE_VALUE_BYTES];
	uint32_t req = rbuf_u32(&m->body);
	int status = get_status(&m->body);

	if (get_text(&m->body, text, sizeof(text)) < 0)
		return ERR_FORMAT;
	/* They are answered in the order in which they were asked. */
	if (s->n_reads == 0 || s->reads[0] != req)
		return ERR_UNKNOWN;
	s->n_reads--;
	memmove(&s->reads[0], &s->reads[1], s->n_reads * sizeof(s->reads[0]));
	if (status == 0)
		l->backoff_ns = 0;
	return tell_value(s->broker, req, status, text) < 0 ? ERR_PEER : 0;
}

static int on_state(void *user, struct msg *m)
{
	struct lane *l = user;
	struct session *s = l->session;
	struct broker_device now = s->told;
	uint8_t up = rbuf_u8(&m->body);

	if (get_text(&m->body, now.reason, sizeof(now.reason)) < 0)
		return ERR_FORMAT;
	now.state = up ? BROKER_DEVICE_UP : BROKER_DEVICE_DOWN;
	now.dropped += rbuf_u32(&m->body);
	now.reopened += rbuf_u32(&m->body);
	if (m->body.err)
		return m->body.err;
	if (up)
		l->backoff_ns = 0;
	/* Of a camera that captures, its reading worker says nothing. */
	if (l->role == WORKER_READS && s->lanes[WORKER_CAPTURES].state == LANE_RUNNING)
		return 0;
	if (now.state == s->told.state && now.dropped == s->told.dropped &&
		now.reopened == s->told.reopened && strcmp(now.reason, s->told.reason) == 0)
		return 0;
	if (!up && s->told.state != BROKER_DEVICE_DOWN)
		log_warning("%s is down: %s", s->spec->name, now.reason);
	else if (up && s->told.state != BROKER_DEVICE_UP)
		log_info("%s is up", s->spec->name);
	s->told = now;
	return tell_device(s) < 0 ? ERR_PEER : 0;
}

static int on_phase(void *user, struct msg *m)
{
	struct lane *l = user;

	l->in_driver = rbuf_u8(&m->body) != 0;
	return m->body.err;
}

static const struct msg_handler table[] = {
	{WORKER_FRAME, RUNNING, on_frame, "frame"},
	{WORKER_VALUE, RUNNING, on_value, "value"},
	{WORKER_STATE, RUNNING, on_state, "state"},
	{WORKER_PHASE, RUNNING, on_phase, "phase"},
};

int on_lane(struct lane *l)
{
	struct msg *m = &l->session->broker->in;
	int r = msg_recv(l->sock, m);

	if (r == -EAGAIN)
		return 0;
	if (r > 0) {
		r = msg_dispatch(table, ARRAY_LEN(table), RUNNING, l, m);
		msg_finish(m);
		l->deadline.ns = clock_mono().ns + patience_ns(l);
		if (r == ERR_PEER)
			return r;
		if (r >= 0)
			return 0;
		log_error("%s: its worker says what it may not: message %u: %s", l->session->spec->name,
			m->type, err_text(r));
		lane_kill(l, "said what it may not");
		return 0;
	}
	/* Its end; the exit status follows, unless it has only closed the socket. */
	lane_kill(l, NULL);
	return 0;
}

/* ---- its end ---- */

int on_lane_ended(struct lane *l, int wait_status)
{
	struct session *s = l->session;
	bool was_in_driver = l->in_driver, hung = l->killed_for == hung_too_long;
	int r = 0;

	if (l->sock >= 0)
		close(l->sock);
	l->sock = -1;
	l->pid = 0;
	l->state = LANE_IDLE;
	l->in_driver = false;
	put_off(l);
	s->told.state = BROKER_DEVICE_DOWN;
	if (l->killed_for)
		snprintf(
			s->told.reason, sizeof(s->told.reason), "its worker %s and was ended", l->killed_for);
	else if (WIFSIGNALED(wait_status))
		snprintf(s->told.reason, sizeof(s->told.reason), "its worker died of signal %d",
			WTERMSIG(wait_status));
	else
		snprintf(s->told.reason, sizeof(s->told.reason), "its worker ended with status %d",
			WEXITSTATUS(wait_status));
	log_warning("%s is down: %s", s->spec->name, s->told.reason);
	if (l->role == WORKER_CAPTURES) {
		s->told.dropped += was_in_driver;
		s->told.reopened++;
	} else {
		for (size_t i = 0; i < s->n_reads && r >= 0; i++)
			r = tell_value(
				s->broker, s->reads[i], hung ? -ETIMEDOUT : ERR_DEVICE, s->told.reason);
		s->n_reads = 0;
	}
	return r < 0 ? r : tell_device(s);
}

static bool wanted(const struct lane *l)
{
	return l->role == WORKER_CAPTURES && l->state == LANE_IDLE && l->session->n_lent > 0 &&
	       session_subscribed(l->session);
}

int64_t lane_next_ns(const struct lane *l)
{
	if (l->state == LANE_RUNNING && l->in_driver)
		return l->deadline.ns;
	return wanted(l) ? l->restart.ns : INT64_MAX;
}

int lane_tick(struct lane *l)
{
	if (l->state == LANE_RUNNING && l->in_driver && clock_mono().ns >= l->deadline.ns) {
		lane_kill(l, hung_too_long);
	}
	if (wanted(l)) {
		int r = lane_start(l);

		if (r < 0 && r != -EAGAIN)
			log_error("%s: starting its worker: %s", l->session->spec->name, err_text(r));
	}
	return 0;
}
