/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <uv.h>

#include "core/clock.h"
#include "core/file.h"
#include "core/json.h"
#include "core/program.h"
#include "demo.h"

#define LINE_BYTES_MAX (1u << 18)
#define TIME_LIMIT_MS 180000
#define END_LIMIT_MS 10000 /* for the processes to end when told to */
#define ARGS_MAX 32

struct flight;

struct child {
	struct flight *f;
	const char *name;
	uv_process_t process;
	uv_pipe_t out;
	void (*on_line)(struct flight *f, const cJSON *line);
	char *line; /* owned, LINE_BYTES_MAX */
	size_t len;
	bool started, ended;
	int64_t status;
	int signal;
};

enum { CAMERA, GROUND, SUPERVISOR, CHILDREN };

static const int end_signals[] = {SIGINT, SIGTERM, SIGHUP};
#define ENDS ARRAY_LEN(end_signals)

struct flight {
	struct demo *d;
	uv_loop_t loop;
	uv_timer_t limit;
	uv_signal_t ends[ENDS];
	struct child child[CHILDREN];
	int logs; /* standard error of all of them */
	char logs_path[PATH_MAX];
	unsigned expected;                    /* images */
	unsigned ended;                       /* runs */
	unsigned products, products_received; /* of those that ended; on the ground */
	unsigned received;                    /* runs with results on the ground */
	bool ending, good;
	int err;
};

/* ---- progress, on a terminal ---- */

static void progress(const struct flight *f, const char *what)
{
	if (f->d->json || isatty(STDERR_FILENO) != 1)
		return;
	fprintf(stderr, "\r\033[K%u of %u images processed, %u received on the ground  %s", f->ended,
		f->expected, f->received, what);
}

static void clear_progress(const struct flight *f)
{
	if (!f->d->json && isatty(STDERR_FILENO) == 1)
		fputs("\r\033[K", stderr);
}

/* ---- ending ---- */

static void on_end_limit(uv_timer_t *t)
{
	struct flight *f = t->data;

	for (int i = 0; i < CHILDREN; i++)
		if (f->child[i].started && !f->child[i].ended)
			uv_process_kill(&f->child[i].process, SIGKILL);
}

static void close_if_over(struct flight *f)
{
	for (int i = 0; i < CHILDREN; i++)
		if (f->child[i].started && !f->child[i].ended)
			return;
	uv_timer_stop(&f->limit);
	if (!uv_is_closing((uv_handle_t *)&f->limit))
		uv_close((uv_handle_t *)&f->limit, NULL);
	for (size_t i = 0; i < ENDS; i++)
		if (!uv_is_closing((uv_handle_t *)&f->ends[i]))
			uv_close((uv_handle_t *)&f->ends[i], NULL);
}

static void end(struct flight *f, int err)
{
	if (f->ending)
		return;
	f->ending = true;
	f->err = err;
	f->good = err == 0;
	for (int i = 0; i < CHILDREN; i++)
		if (f->child[i].started && !f->child[i].ended)
			uv_process_kill(&f->child[i].process, SIGTERM);
	uv_timer_start(&f->limit, on_end_limit, END_LIMIT_MS, 0);
	close_if_over(f);
}

static void fail(struct flight *f, const char *fmt, ...) PRINTF(2, 3);
static void fail(struct flight *f, const char *fmt, ...)
{
	va_list ap;

	if (f->ending)
		return;
	clear_progress(f);
	fputs("perigee-twin demo: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, "\nWhat the processes said is in %s\n", f->logs_path);
	end(f, ERR_PEER);
}

static void on_end_signal(uv_signal_t *s, int number)
{
	struct flight *f = s->data;

	if (f->ending)
		return;
	clear_progress(f);
	fputs("perigee-twin demo: interrupted\n", stderr);
	f->d->interrupted = number;
	end(f, -ECANCELED);
}

static void on_time_limit(uv_timer_t *t)
{
	struct flight *f = t->data;

	fail(f, "after %d s only %u of %u images are processed and %u received", TIME_LIMIT_MS / 1000,
		f->ended, f->expected, f->received);
}

static void maybe_end(struct flight *f)
{
	if (f->ended == f->expected && f->products_received == f->products)
		end(f, 0);
}

/* ---- children ---- */

static void on_child_exit(uv_process_t *p, int64_t status, int sig)
{
	struct child *c = p->data;

	c->ended = true;
	c->status = status;
	c->signal = sig;
	uv_close((uv_handle_t *)p, NULL);
	if (!c->f->ending)
		fail(c->f, "%s ended too early (%s %d)", c->name, sig ? "signal" : "status",
			sig ? sig : (int)status);
	else
		close_if_over(c->f);
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
	struct child *c = h->data;

	*buf = uv_buf_init(c->line + c->len, (unsigned)(LINE_BYTES_MAX - c->len));
}

static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
	struct child *c = s->data;
	char *eol;

	if (n < 0) {
		uv_close((uv_handle_t *)s, NULL);
		return;
	}
	c->len += (size_t)n;
	while ((eol = memchr(c->line, '\n', c->len))) {
		size_t used = (size_t)(eol + 1 - c->line);
		cJSON *j = cJSON_ParseWithLength(c->line, used);
		if (j && !c->f->ending)
			c->on_line(c->f, j);
		cJSON_Delete(j);
		memmove(c->line, c->line + used, c->len - used);
		c->len -= used;
	}
	if (c->len == LINE_BYTES_MAX)
		c->len = 0; /* no line of ours is so long */
}

static int start(struct flight *f, int which, const char *folder, const char **argv)
{
	struct child *c = &f->child[which];
	char exe[PATH_MAX];
	int r = program_find(folder, argv[0], exe);

	if (r < 0)
		return r;
	c->f = f;
	c->name = argv[0];
	c->line = malloc(LINE_BYTES_MAX);
	if (!c->line)
		return -ENOMEM;
	c->process.data = c->out.data = c;
	r = uv_pipe_init(&f->loop, &c->out, 0);
	if (r < 0)
		return r;
	uv_stdio_container_t stdio[3] = {{.flags = UV_IGNORE},
		{.flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE, .data.stream = (uv_stream_t *)&c->out},
		{.flags = UV_INHERIT_FD, .data.fd = f->logs}};
	const char *name = argv[0];
	argv[0] = exe;
	uv_process_options_t o = {.file = exe,
		.args = (char **)argv,
		.exit_cb = on_child_exit,
		.stdio = stdio,
		.stdio_count = 3,
		.cwd = f->d->work};
	r = uv_spawn(&f->loop, &c->process, &o);
	argv[0] = name;
	if (r < 0) {
		uv_close((uv_handle_t *)&c->process, NULL);
		uv_close((uv_handle_t *)&c->out, NULL);
		return r;
	}
	c->started = true;
	return uv_read_start((uv_stream_t *)&c->out, on_alloc, on_read);
}

/* ---- what they say ---- */

static void on_supervisor_line(struct flight *f, const cJSON *j)
{
	const char *event = json_str(j, "event"), *state = json_str(j, "state");
	char what[128] = "";

	if (event && !strcmp(event, "stage") && state && !strcmp(state, "running"))
		snprintf(what, sizeof(what), "(image %lld: %s)", (long long)json_int(j, "run", 0),
			json_str(j, "stage"));
	if (event && !strcmp(event, "run")) {
		const cJSON *stage;

		f->ended++;
		/* ship-count sends one product of each stage that is done */
		cJSON_ArrayForEach(stage, cJSON_GetObjectItemCaseSensitive(
						  cJSON_GetObjectItemCaseSensitive(j, "run"), "stages"))
			f->products += !strcmp(json_str(stage, "state"), "done");
	}
	progress(f, what);
	maybe_end(f);
}

static void start_supervisor(struct flight *f)
{
	char mission[PATH_MAX];
	int r = demo_mission_files(f->d);

	if (r == 0)
		r = path_format(mission, sizeof(mission), "%s/mission.yaml", f->d->work);
	f->child[SUPERVISOR].on_line = on_supervisor_line;
	if (r == 0)
		r = start(f, SUPERVISOR, "ground",
			(const char *[ARGS_MAX]){"perigeed", "--mission", mission, "--events"});
	if (r < 0)
		fail(f, "perigeed cannot be started: %s", err_text(r));
}

static void on_ground_line(struct flight *f, const cJSON *j)
{
	const char *event = json_str(j, "event");

	if (event && !strcmp(event, "listening")) {
		f->d->ground_port = (int)json_int(j, "port", 0);
		start_supervisor(f);
	} else if (event && !strcmp(event, "result") &&
		   !cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(j, "duplicate"))) {
		const char *product = json_str(j, "product");

		f->products_received++;
		f->received += product && !strcmp(product, "cloud.report.json");
		progress(f, "");
		maybe_end(f);
	}
}

static void start_ground(struct flight *f)
{
	char key[PATH_MAX];
	int r = path_format(key, sizeof(key), "%s/downlink.pub", f->d->work);

	f->child[GROUND].on_line = on_ground_line;
	if (r == 0)
		r = start(f, GROUND, "ground",
			(const char *[ARGS_MAX]){"perigee", "receive", "--listen", "127.0.0.1:0", "--out",
				f->d->out, "--key", key, "--json"});
	if (r < 0)
		fail(f, "perigee receive cannot be started: %s", err_text(r));
}

static void on_camera_line(struct flight *f, const cJSON *j)
{
	const char *event = json_str(j, "event");

	if (!event || strcmp(event, "listening"))
		return;
	f->d->iiod_port = (int)json_int(j, "port", 0);
	start_ground(f);
}

static int start_camera(struct flight *f)
{
	char seed[16], count[16], rgb[16], truth[PATH_MAX];
	const char *argv[ARGS_MAX] = {
		"perigee-twin", "serve", "--json", "--port", "0", "--interval", "0s", "--seed", seed};
	size_t n = 9;
	int r = path_format(truth, sizeof(truth), "%s/truth", f->d->work);

	snprintf(seed, sizeof(seed), "%u", f->d->seed);
	snprintf(count, sizeof(count), "%u", f->d->count - f->d->rgb);
	snprintf(rgb, sizeof(rgb), "%u", f->d->rgb);
	if (f->d->scenes) {
		argv[n++] = "--scenes";
		argv[n++] = f->d->scenes;
	} else {
		argv[n++] = "--count";
		argv[n++] = count;
		if (f->d->rgb) {
			argv[n++] = "--rgb";
			argv[n++] = rgb;
		}
		argv[n++] = "--truth";
		argv[n++] = truth;
	}
	argv[n] = NULL;
	f->child[CAMERA].on_line = on_camera_line;
	if (r == 0)
		r = dir_make(truth, 0755);
	return r == 0 ? start(f, CAMERA, "twin", argv) : r;
}

int demo_fly(struct demo *d)
{
	struct flight f = {.d = d, .expected = d->count};
	struct mono_time began = clock_mono();
	int r = path_format(f.logs_path, sizeof(f.logs_path), "%s/processes.log", d->out);

	if (r == 0)
		f.logs = open(f.logs_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (r < 0 || f.logs < 0)
		return r < 0 ? r : -errno;
	uv_loop_init(&f.loop);
	uv_timer_init(&f.loop, &f.limit);
	f.limit.data = &f;
	uv_timer_start(&f.limit, on_time_limit, TIME_LIMIT_MS, 0);
	sigset_t ends;
	sigemptyset(&ends);
	for (size_t i = 0; i < ENDS; i++) {
		uv_signal_init(&f.loop, &f.ends[i]);
		f.ends[i].data = &f;
		uv_signal_start(&f.ends[i], on_end_signal, end_signals[i]);
		sigaddset(&ends, end_signals[i]);
	}
	sigprocmask(SIG_UNBLOCK, &ends, NULL);
	r = start_camera(&f);
	if (r < 0)
		fail(&f, "the camera cannot be started: %s", err_text(r));
	progress(&f, "");
	uv_run(&f.loop, UV_RUN_DEFAULT);
	sigprocmask(SIG_BLOCK, &ends, NULL);
	clear_progress(&f);
	d->seconds = (double)(clock_mono().ns - began.ns) / 1e9;
	uv_loop_close(&f.loop);
	for (int i = 0; i < CHILDREN; i++)
		free(f.child[i].line);
	close(f.logs);
	return f.err;
}
