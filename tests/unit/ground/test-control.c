/* SPDX-License-Identifier: Apache-2.0 */
/* The control socket, over a real one: both ends in one process, the loop run by hand. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "control.h"
#include "core/file.h"
#include "core/json.h"

static uv_loop_t loop;
static struct control *control;
static char dir[] = "/tmp/perigee-control-XXXXXX";
static char path[64];
static struct control_call *kept; /* of "later" */
static int asked;

static void answer(void *user, struct control_call *call, const char *ask, const cJSON *request)
{
	cJSON *j = cJSON_CreateObject();

	asked++;
	if (!strcmp(ask, "echo")) {
		cJSON_AddStringToObject(j, "text", json_str(request, "text"));
		control_reply(call, j);
		return;
	}
	if (!strcmp(ask, "much")) {
		size_t n = (size_t)json_int(request, "bytes", 0);
		char *text = calloc(1, n + 1);

		memset(text, 'x', n);
		cJSON_AddStringToObject(j, "text", text);
		free(text);
		control_reply(call, j);
		return;
	}
	if (!strcmp(ask, "file")) {
		char text[16] = "";
		CLEAN_FD int fd = control_call_take_fd(call, 0);

		assert_int_equal(control_call_take_fd(call, 0), -1);
		assert_int_equal(control_call_uid(call), geteuid());
		if (fd >= 0)
			assert_true(read(fd, text, sizeof(text) - 1) >= 0);
		cJSON_AddStringToObject(j, "text", text);
		control_reply(call, j);
		return;
	}
	cJSON_Delete(j);
	if (!strcmp(ask, "later"))
		kept = call;
	else if (!strcmp(ask, "nothing"))
		control_reply(call, NULL);
	else
		control_refuse(call, ERR_UNKNOWN, "there is no \"%s\"", ask);
}

static int set_up(void **state)
{
	assert_int_equal(uv_loop_init(&loop), 0);
	kept = NULL;
	asked = 0;
	return control_create(&loop, path, answer, NULL, &control);
}

static int tear_down(void **state)
{
	control_destroy(control);
	while (uv_run(&loop, UV_RUN_DEFAULT))
		;
	return uv_loop_close(&loop);
}

static int dial(void)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memcpy(at.sun_path, path, strlen(path));
	assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	return fd;
}

static void say(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* Everything that is to be done now. */
static void turn(void)
{
	for (int i = 0; i < 20; i++)
		uv_run(&loop, UV_RUN_NOWAIT);
}

static char *hear(int fd)
{
	static char line[CONTROL_REPLY_BYTES_MAX + 2];
	size_t len = 0;

	while (len == 0 || line[len - 1] != '\n') {
		turn();
		ssize_t n = recv(fd, line + len, sizeof(line) - 1 - len, MSG_DONTWAIT);
		if (n <= 0)
			return n < 0 && errno == EAGAIN && len == 0 ? strcpy(line, "nothing")
								    : strcpy(line, "closed");
		len += (size_t)n;
	}
	line[len] = '\0';
	return line;
}

static void test_requests(void **state)
{
	int fd = dial();

	say(fd, "{\"ask\":\"echo\",\"text\":\"a\"}\n");
	assert_string_equal(hear(fd), "{\"text\":\"a\",\"ok\":true}\n");
	say(fd, "{\"ask\":\"fly\"}\n");
	assert_string_equal(
		hear(fd), "{\"ok\":false,\"error\":\"there is no \\\"fly\\\"\",\"code\":\"ERR_UNKNOWN\"}\n");
	/* In pieces, and two in one. */
	say(fd, "{\"ask\":\"ec");
	assert_string_equal(hear(fd), "nothing");
	say(fd, "ho\",\"text\":\"b\"}\n{\"ask\":\"echo\",\"text\":\"c\"}\n");
	assert_string_equal(hear(fd), "{\"text\":\"b\",\"ok\":true}\n{\"text\":\"c\",\"ok\":true}\n");
	say(fd, "{\"ask\":\"nothing\"}\n");
	assert_non_null(strstr(hear(fd), "out of memory"));
	close(fd);
}

static void test_many_in_one(void **state)
{
	char line[CONTROL_LINE_BYTES_MAX] = "";
	int fd = dial(), n = 0, got = 0;

	while (strlen(line) + 16 < sizeof(line)) {
		strcat(line, "{\"ask\":\"x\"}\n");
		n++;
	}
	say(fd, line);
	while (got < n) {
		const char *text = hear(fd);

		assert_string_not_equal(text, "closed");
		for (; (text = strchr(text, '\n')); text++)
			got++;
	}
	assert_int_equal(got, n);
	close(fd);
}

static void test_garbage(void **state)
{
	static const char *const bad[] = {"\n", "x\n", "[]\n", "{}\n", "{\"ask\":1}\n", "{\"ask\":\"x\"\n",
		"{\"ask\":\"x\"} {}\n", "\xff\xfe\n"};
	static char line[CONTROL_LINE_BYTES_MAX];
	int fd = dial();

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		say(fd, bad[i]);
		assert_non_null(strstr(hear(fd), "ERR_FORMAT"));
	}
	assert_int_equal(asked, 0);
	/* A line without end. */
	memset(line, 'x', sizeof(line));
	assert_int_equal(send(fd, line, sizeof(line), MSG_NOSIGNAL), sizeof(line));
	assert_string_equal(hear(fd), "closed");
	close(fd);
}

/* The answer waits for what it says to be true, and the next request for the answer. */
static void test_later(void **state)
{
	int fd = dial(), other = dial();

	say(fd, "{\"ask\":\"later\"}\n{\"ask\":\"echo\",\"text\":\"second\"}\n");
	assert_string_equal(hear(fd), "nothing");
	assert_int_equal(asked, 1);
	say(other, "{\"ask\":\"echo\",\"text\":\"meanwhile\"}\n");
	assert_non_null(strstr(hear(other), "meanwhile"));
	control_reply(TAKE_PTR(kept), cJSON_CreateObject());
	assert_string_equal(hear(fd), "{\"ok\":true}\n{\"text\":\"second\",\"ok\":true}\n");
	/* Whoever asked has gone. */
	say(fd, "{\"ask\":\"later\"}\n");
	turn();
	assert_non_null(kept);
	close(fd);
	turn();
	control_reply(TAKE_PTR(kept), cJSON_CreateObject());
	/* And the server. */
	say(other, "{\"ask\":\"later\"}\n");
	turn();
	control_destroy(TAKE_PTR(control));
	turn();
	control_refuse(TAKE_PTR(kept), ERR_STATE, "too late");
	assert_string_equal(hear(other), "closed");
	close(other);
}

static void test_much(void **state)
{
	int fd = dial();
	const char *text;

	say(fd, "{\"ask\":\"much\",\"bytes\":3000000}\n");
	text = hear(fd);
	assert_int_equal(strlen(text), 3000000 + strlen("{\"text\":\"\",\"ok\":true}\n"));
	say(fd, "{\"ask\":\"much\",\"bytes\":5000000}\n");
	assert_non_null(strstr(hear(fd), "too large"));
	/* One that does not read costs one answer and no more. */
	say(fd, "{\"ask\":\"much\",\"bytes\":3000000}\n{\"ask\":\"echo\",\"text\":\"a\"}\n");
	asked = 0;
	turn();
	assert_int_equal(asked, 1);
	close(fd);
	turn();
}

static void test_files(void **state)
{
	int fds[CONTROL_FDS_MAX + 1], fd = dial();
	char room[CMSG_SPACE(sizeof(fds))] = {0};
	struct iovec iov = {.iov_base = (char[]){"{\"ask\":\"file\"}\n"}, .iov_len = 15};
	int pair[2];

	assert_int_equal(pipe2(pair, O_CLOEXEC), 0);
	assert_int_equal(write(pair[1], "content", 7), 7);
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		fds[i] = pair[0];
	for (size_t n = 1; n <= ARRAY_LEN(fds); n += CONTROL_FDS_MAX) {
		struct msghdr m = {.msg_iov = &iov,
			.msg_iovlen = 1,
			.msg_control = room,
			.msg_controllen = CMSG_SPACE(sizeof(int) * n)};
		struct cmsghdr *h = CMSG_FIRSTHDR(&m);

		h->cmsg_level = SOL_SOCKET;
		h->cmsg_type = SCM_RIGHTS;
		h->cmsg_len = CMSG_LEN(sizeof(int) * n);
		memcpy(CMSG_DATA(h), fds, sizeof(int) * n);
		assert_int_equal(sendmsg(fd, &m, MSG_NOSIGNAL), iov.iov_len);
		/* One too many is none. */
		if (n > CONTROL_FDS_MAX)
			assert_string_equal(hear(fd), "closed");
		else
			assert_non_null(strstr(hear(fd), "\"content\""));
	}
	close(fd);
	close(pair[0]);
	/* Nobody has kept one: the pipe has no reader any more. */
	turn();
	assert_int_equal(write(pair[1], "x", 1), -1);
	close(pair[1]);
}

/* Whoever says nothing makes room; whoever waits for an answer does not. */
static void test_silent(void **state)
{
	int fd[CONTROL_CLIENTS_MAX], more;

	fd[0] = dial();
	say(fd[0], "{\"ask\":\"later\"}\n");
	turn();
	for (size_t i = 1; i < ARRAY_LEN(fd); i++) {
		fd[i] = dial();
		turn();
	}
	say(fd[1], "{\"ask\":\"echo\",\"text\":\"a\"}\n");
	assert_non_null(strstr(hear(fd[1]), "\"a\""));
	more = dial();
	say(more, "{\"ask\":\"echo\",\"text\":\"b\"}\n");
	assert_non_null(strstr(hear(more), "\"b\""));
	assert_string_equal(hear(fd[2]), "closed");
	assert_string_equal(hear(fd[1]), "nothing");
	control_reply(TAKE_PTR(kept), cJSON_CreateObject());
	assert_string_equal(hear(fd[0]), "{\"ok\":true}\n");
	close(more);
	for (size_t i = 0; i < ARRAY_LEN(fd); i++)
		close(fd[i]);
}

struct asker {
	cJSON *request, *reply;
	int fd, r;
};

static void *ask(void *arg)
{
	struct asker *a = arg;

	a->r = control_ask(path, a->request, &a->fd, a->fd >= 0, 20, &a->reply);
	return NULL;
}

static void test_ask(void **state)
{
	CLEAN_JSON cJSON *request = cJSON_CreateObject();
	CLEAN_JSON cJSON *none = NULL;
	struct asker a = {.request = request, .fd = open("/dev/null", O_RDONLY | O_CLOEXEC)};
	pthread_t thread;

	cJSON_AddStringToObject(request, "ask", "file");
	assert_int_equal(pthread_create(&thread, NULL, ask, &a), 0);
	while (!asked)
		uv_run(&loop, UV_RUN_ONCE);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(a.r, 0);
	assert_true(cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(a.reply, "ok")));
	cJSON_Delete(a.reply);
	close(a.fd);
	assert_int_equal(control_ask("/nowhere", request, NULL, 0, 1, &none), -ENOENT);
	char long_path[200];
	memset(long_path, 'x', sizeof(long_path));
	long_path[sizeof(long_path) - 1] = '\0';
	assert_int_equal(control_ask(long_path, request, NULL, 0, 1, &none), -ENAMETOOLONG);
	assert_int_equal(
		control_create(&loop, long_path, answer, NULL, &(struct control *){NULL}), -ENAMETOOLONG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_requests, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_many_in_one, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_garbage, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_later, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_much, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_files, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_silent, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_ask, set_up, tear_down),
	};
	int failed;

	(void)signal(SIGPIPE, SIG_IGN);
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/control.sock", dir);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	return dir_remove(dir) < 0 ? 1 : failed;
}
