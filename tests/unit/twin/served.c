/* SPDX-License-Identifier: Apache-2.0 */
#include "served.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

struct served {
	pthread_t thread;
	uv_loop_t loop;
	uv_async_t stop;
	struct serve *serve;
};

static void on_stop(uv_async_t *a)
{
	struct served *s = a->data;

	serve_stop(s->serve);
	uv_close((uv_handle_t *)a, NULL);
}

static void *run(void *user)
{
	struct served *s = user;

	(void)uv_run(&s->loop, UV_RUN_DEFAULT);
	return NULL;
}

struct served *served_start(const struct serve_options *options)
{
	struct served *s = calloc(1, sizeof(*s));
	char reason[256] = "";

	(void)signal(SIGPIPE, SIG_IGN);
	assert_non_null(s);
	assert_int_equal(uv_loop_init(&s->loop), 0);
	int err = serve_create(&s->loop, options, NULL, NULL, &s->serve, reason);
	if (err)
		fail_msg("%s", reason);
	assert_int_equal(uv_async_init(&s->loop, &s->stop, on_stop), 0);
	s->stop.data = s;
	assert_int_equal(pthread_create(&s->thread, NULL, run, s), 0);
	return s;
}

uint16_t served_port(const struct served *s)
{
	return serve_port(s->serve);
}

void served_stop(struct served *s)
{
	assert_int_equal(uv_async_send(&s->stop), 0);
	assert_int_equal(pthread_join(s->thread, NULL), 0);
	serve_free(s->serve);
	assert_int_equal(uv_loop_close(&s->loop), 0); /* every handle was closed */
	free(s);
}
