/* SPDX-License-Identifier: Apache-2.0 */
#include "fault-iiod.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static const char dtd[] =
	"<?xml version=\"1.0\" encoding=\"utf-8\"?><!DOCTYPE context [<!ELEMENT context (device)*>"
	"<!ELEMENT device (channel|attribute)*><!ELEMENT channel (scan-element?,attribute*)>"
	"<!ELEMENT attribute EMPTY><!ELEMENT scan-element EMPTY>"
	"<!ATTLIST context name CDATA #REQUIRED description CDATA #IMPLIED>"
	"<!ATTLIST device id CDATA #REQUIRED name CDATA #IMPLIED>"
	"<!ATTLIST channel id CDATA #REQUIRED type (input|output) #REQUIRED>"
	"<!ATTLIST scan-element index CDATA #REQUIRED format CDATA #REQUIRED>"
	"<!ATTLIST attribute name CDATA #REQUIRED filename CDATA #IMPLIED>]>";

static struct {
	enum fault fault;
	int times, frames;
	int head; /* the frame at the head, from 1 */
	bool odd; /* FAULT_SIZE: the geometry has changed */
	pthread_mutex_t lock;
	pthread_cond_t changed;
} s = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static bool strikes(enum fault fault)
{
	bool yes;

	pthread_mutex_lock(&s.lock);
	yes = s.fault == fault && s.times > 0;
	if (yes)
		s.times--;
	pthread_mutex_unlock(&s.lock);
	return yes;
}

static void put(int fd, const void *data, size_t len)
{
	const char *p = data;

	while (len > 0) {
		ssize_t n = send(fd, p, len, MSG_NOSIGNAL);

		if (n <= 0)
			return;
		p += n;
		len -= (size_t)n;
	}
}

static void say(int fd, const char *fmt, ...)
{
	char line[8192];
	va_list args;

	va_start(args, fmt);
	int n = vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	put(fd, line, (size_t)n);
}

static void hang(void)
{
	for (;;)
		pause();
}

static int width(void)
{
	return s.odd ? FAULT_WIDTH / 2 : FAULT_WIDTH;
}

static void on_print(int fd)
{
	char xml[8192];
	size_t n = 0;

	if (strikes(FAULT_GARBAGE)) {
		say(fd, "\x01\xff garbage \x80\n\n\n!!\n");
		return;
	}
	n += (size_t)snprintf(xml + n, sizeof(xml) - n,
		"%s<context name=\"fault\"><device id=\"iio:device0\" name=\"cam0\">", dtd);
	bool bad = strikes(FAULT_BAD_XML);
	static const char *const bands[] = {"red", "green", "blue"};
	for (int i = 0; i < FAULT_BANDS; i++)
		n += (size_t)snprintf(xml + n, sizeof(xml) - n,
			"<channel id=\"%s\" type=\"input\"><scan-element index=\"%d\" "
			"format=\"le:u16/16%s&gt;&gt;0\"/></channel>",
			bands[i], i, bad ? "X0" : "");
	static const char *const attrs[] = {"frame_width", "frame_height", "frame_time", "frame_name",
		"frame_empty", "exposure_us", "frame_id", "frame_release"};
	for (size_t i = 0; i < sizeof(attrs) / sizeof(attrs[0]) - (s.fault == FAULT_NO_ID ? 2 : 0); i++)
		n += (size_t)snprintf(xml + n, sizeof(xml) - n, "<attribute name=\"%s\"/>", attrs[i]);
	n += (size_t)snprintf(xml + n, sizeof(xml) - n,
		"</device><device id=\"iio:device1\" name=\"temp0\"><channel id=\"temp\" "
		"type=\"input\"><attribute "
		"name=\"raw\"/><attribute name=\"scale\"/><attribute name=\"offset\"/></channel></device>"
		"<device id=\"iio:device2\" name=\"power0\"><channel id=\"power0\" type=\"input\"><attribute "
		"name=\"input\"/></channel></device></context>");
	if (strikes(FAULT_DRIP)) {
		say(fd, "%zu\n", n);
		for (;;) {
			put(fd, "<", 1);
			usleep(20000);
		}
	}
	say(fd, "%zu\n%s\n", n, xml);
}

static void on_readbuf(int fd, unsigned long len)
{
	pthread_mutex_lock(&s.lock);
	while (s.fault == FAULT_NO_FRAMES || s.head > s.frames)
		pthread_cond_wait(&s.changed, &s.lock);
	int n = s.head;
	pthread_mutex_unlock(&s.lock);

	if (strikes(FAULT_FRAME_GARBAGE)) {
		say(fd, "no number\n");
		return;
	}
	if (strikes(FAULT_SIZE))
		s.odd = true;
	size_t have = (size_t)(width() * FAULT_HEIGHT * FAULT_BANDS * 2);
	if (len != have) {
		say(fd, "%d\n", -EMSGSIZE);
		return;
	}
	unsigned char *data = calloc(1, have * 64);
	for (size_t k = 0; k < have / 2; k++) {
		unsigned int v = (unsigned int)(k * 7 + (size_t)n) & 0xffff;

		data[2 * k] = (unsigned char)v;
		data[2 * k + 1] = (unsigned char)(v >> 8);
	}
	if (strikes(FAULT_TOO_MUCH)) {
		memset(data + have, 0xa5, have * 63);
		say(fd, "%zu\n00000007\n", have * 64);
		put(fd, data, have * 64);
	} else if (strikes(FAULT_SHORT)) {
		say(fd, "%zu\n00000007\n", have / 2);
		put(fd, data, have / 2);
		say(fd, "0\n");
	} else if (strikes(FAULT_CUT)) {
		say(fd, "%zu\n00000007\n", have);
		put(fd, data, have / 2);
		shutdown(fd, SHUT_RDWR);
	} else if (strikes(FAULT_STALL)) {
		say(fd, "%zu\n00000007\n", have);
		put(fd, data, have / 2);
		hang();
	} else {
		/* In two pieces, as a server may. */
		say(fd, "%zu\n00000007\n", have / 2);
		put(fd, data, have / 2);
		say(fd, "%zu\n", have - have / 2);
		put(fd, data + have / 2, have - have / 2);
	}
	free(data);
	if (s.fault == FAULT_NO_ID) {
		pthread_mutex_lock(&s.lock);
		s.head++;
		pthread_mutex_unlock(&s.lock);
	}
}

static void value(int fd, const char *text)
{
	say(fd, "%zu\n%s%c\n", strlen(text) + 1, text, 0);
}

static void on_read(int fd, char *rest)
{
	char text[64];
	bool none = s.fault == FAULT_NO_FRAMES || s.head > s.frames;

	if (strstr(rest, "device2"))
		value(fd, "12500");
	else if (strstr(rest, "raw"))
		value(fd, "100");
	else if (strstr(rest, "offset"))
		value(fd, "-60");
	else if (strstr(rest, "scale"))
		value(fd, "500.0");
	else if (strstr(rest, "frame_width")) {
		snprintf(text, sizeof(text), "%d", width());
		value(fd, text);
	} else if (strstr(rest, "frame_height")) {
		snprintf(text, sizeof(text), "%d", FAULT_HEIGHT);
		value(fd, text);
	} else if (strstr(rest, "frame_id")) {
		snprintf(text, sizeof(text), "frame-%d", s.head);
		value(fd, none ? "" : text);
	} else if (strstr(rest, "frame_time"))
		value(fd, "2026-11-25T10:00:00.5Z");
	else if (strstr(rest, "frame_name"))
		value(fd, "bay\x01\xc3\xa9");
	else if (strstr(rest, "frame_empty"))
		value(fd, "");
	else if (strstr(rest, "exposure_us"))
		value(fd, "250");
	else
		say(fd, "%d\n", -ENOENT);
}

static void on_write(int fd, FILE *in, unsigned long len)
{
	char text[256] = "";
	int n;

	if (len >= sizeof(text) || fread(text, 1, len, in) != len)
		return;
	if (s.fault == FAULT_RELEASE_DENIED && strikes(FAULT_RELEASE_DENIED)) {
		say(fd, "%d\n", -EPERM);
		return;
	}
	pthread_mutex_lock(&s.lock);
	if (sscanf(text, "frame-%d", &n) == 1 && n == s.head) {
		s.head++;
		pthread_cond_broadcast(&s.changed);
	}
	pthread_mutex_unlock(&s.lock);
	say(fd, "%lu\n", len);
}

static void *serve(void *arg)
{
	int fd = (int)(intptr_t)arg, one = 1;
	FILE *in = fdopen(dup(fd), "r");
	char line[1024];
	unsigned long len;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (strikes(FAULT_SILENT))
		hang();
	while (!strikes(FAULT_REFUSE) && fgets(line, sizeof(line), in)) {
		if (strncmp(line, "ZPRINT", 6) == 0)
			say(fd, "%d\n", -EINVAL);
		else if (strncmp(line, "PRINT", 5) == 0)
			on_print(fd);
		else if (strncmp(line, "TIMEOUT", 7) == 0 || strncmp(line, "OPEN", 4) == 0 ||
			 strncmp(line, "CLOSE", 5) == 0)
			say(fd, "0\n");
		else if (sscanf(line, "READBUF %*s %lu", &len) == 1)
			on_readbuf(fd, len);
		else if (strncmp(line, "READ ", 5) == 0)
			on_read(fd, line + 5);
		else if (sscanf(line, "WRITE %*s %*s %lu", &len) == 1)
			on_write(fd, in, len);
		else if (strncmp(line, "EXIT", 4) == 0)
			break;
	}
	fclose(in);
	close(fd);
	return NULL;
}

struct fault_iiod fault_iiod_start(enum fault fault, int times, int frames)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(at);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (listener < 0 || bind(listener, (struct sockaddr *)&at, sizeof(at)) < 0 ||
		listen(listener, 64) < 0 || getsockname(listener, (struct sockaddr *)&at, &len) < 0) {
		perror("fault-iiod");
		exit(1);
	}
	struct fault_iiod f = {.port = ntohs(at.sin_port), .pid = fork()};
	if (f.pid != 0) {
		close(listener);
		return f;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	s.fault = fault;
	s.times = times;
	s.frames = frames;
	s.head = 1;
	for (;;) {
		int fd = accept(listener, NULL, NULL);
		pthread_t t;

		if (fd >= 0 && pthread_create(&t, NULL, serve, (void *)(intptr_t)fd) == 0)
			pthread_detach(t);
	}
}

void fault_iiod_stop(struct fault_iiod *f)
{
	if (f->pid > 0) {
		kill(f->pid, SIGKILL);
		waitpid(f->pid, NULL, 0);
		f->pid = 0;
	}
}
