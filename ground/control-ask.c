/* SPDX-License-Identifier: Apache-2.0 */
/* The side of the control socket that asks. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "control.h"
#include "core/file.h"
#include "core/json.h"

static int read_line(int fd, char **ret_line, size_t *ret_len)
{
	CLEAN_FREE char *line = malloc(CONTROL_REPLY_BYTES_MAX);
	size_t len = 0;

	if (!line)
		return -ENOMEM;
	while (len < CONTROL_REPLY_BYTES_MAX) {
		ssize_t n = recv(fd, line + len, CONTROL_REPLY_BYTES_MAX - len, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? -ETIMEDOUT : -errno;
		if (n == 0)
			return ERR_PEER;
		char *end = memchr(line + len, '\n', (size_t)n);
		len += (size_t)n;
		if (!end)
			continue;
		*ret_len = (size_t)(end - line);
		*ret_line = TAKE_PTR(line);
		return 0;
	}
	return ERR_LIMIT;
}

static int send_line(int fd, const char *text, const int *fds, size_t n_fds)
{
	char control[CMSG_SPACE(sizeof(int) * CONTROL_FDS_MAX)] = {0};
	struct iovec iov[] = {{.iov_base = (char *)text, .iov_len = strlen(text)},
		{.iov_base = (char[]){'\n'}, .iov_len = 1}};
	struct msghdr m = {.msg_iov = iov, .msg_iovlen = 2};
	size_t bytes = iov[0].iov_len + 1;
	ssize_t n;

	if (n_fds > CONTROL_FDS_MAX || bytes > CONTROL_LINE_BYTES_MAX)
		return ERR_LIMIT;
	if (n_fds) {
		m.msg_control = control;
		m.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
		*CMSG_FIRSTHDR(&m) = (struct cmsghdr){.cmsg_level = SOL_SOCKET,
			.cmsg_type = SCM_RIGHTS,
			.cmsg_len = CMSG_LEN(sizeof(int) * n_fds)};
		memcpy(CMSG_DATA(CMSG_FIRSTHDR(&m)), fds, sizeof(int) * n_fds);
	}
	do
		n = sendmsg(fd, &m, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	/* It fits into any socket's buffer. */
	return (size_t)n == bytes ? 0 : -EIO;
}

int control_ask(const char *path, const cJSON *request, const int *fds, size_t n_fds, int timeout_s,
	cJSON **ret_reply)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	struct timeval timeout = {.tv_sec = timeout_s};
	CLEAN_FREE char *text = cJSON_PrintUnformatted(request);
	CLEAN_FREE char *line = NULL;
	size_t len = 0;

	if (!text)
		return -ENOMEM;
	if (strlen(path) >= sizeof(at.sun_path))
		return -ENAMETOOLONG;
	memcpy(at.sun_path, path, strlen(path));
	CLEAN_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) < 0 ||
		connect(fd, (struct sockaddr *)&at, sizeof(at)) < 0)
		return -errno;
	int r = send_line(fd, text, fds, n_fds);
	if (r == 0)
		r = read_line(fd, &line, &len);
	return r == 0 ? json_parse(line, len, CONTROL_REPLY_BYTES_MAX, ret_reply, NULL, NULL) : r;
}
