/* SPDX-License-Identifier: Apache-2.0 */
/* A stage that tries one thing, in either runtime. What it finds goes to /out/result. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static FILE *result;

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void files(void)
{
	char *names[64];
	size_t n = 0;
	DIR *d = opendir("/in");

	for (struct dirent *e; d && (e = readdir(d)) && n < 64;)
		if (e->d_name[0] != '.')
			names[n++] = strdup(e->d_name);
	qsort(names, n, sizeof(*names), by_text);
	for (size_t i = 0; i < n; i++) {
		char path[300];
		struct stat st;
		unsigned long sum = 0;
		snprintf(path, sizeof(path), "/in/%s", names[i]);
		FILE *f = fopen(path, "r");
		for (int c; f && (c = getc(f)) != EOF;)
			sum = sum * 31 + (unsigned)c;
		stat(path, &st);
		int wfd = open(path, O_WRONLY);
		fprintf(result, "%s %lld %lx %s\n", names[i], (long long)st.st_size, sum,
			wfd < 0 ? "cannot write" : "writable");
	}
	fprintf(result, "other: %d\n", open("/out/other", O_WRONLY | O_CREAT, 0600) < 0);
	fprintf(result, "passwd: %d\n", open("/etc/passwd", O_RDONLY) < 0);
}

/* Every way to write and read back, at odd offsets and lengths. */
static void pieces(void)
{
	int fd = open("/out/data", O_RDWR);
	uint32_t seed = 7;
	static char a[200000], b[200000];

	for (int round = 0; round < 300; round++) {
		seed = seed * 1664525 + 1013904223;
		off_t at = seed % 300000;
		size_t len = (seed >> 9) % (round % 3 ? 5000 : 100000) + 1;
		memset(a, (int)(seed >> 24), len);
		for (size_t i = 0; i < len; i += 97)
			a[i] = (char)(seed + i);
		if (pwrite(fd, a, len, at) != (ssize_t)len) {
			fprintf(result, "write: %s\n", strerror(errno));
			return;
		}
		if (pread(fd, b, len, at) != (ssize_t)len || memcmp(a, b, len))
			fprintf(result, "round %d differs\n", round);
		if (round % 50 == 49)
			ftruncate(fd, at + (off_t)(len / 2));
	}
	struct stat st;
	fstat(fd, &st);
	const unsigned char *map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	unsigned long sum = 0;
	for (off_t i = 0; map != MAP_FAILED && i < st.st_size; i++)
		sum = sum * 31 + map[i];
	fprintf(result, "%lld bytes, %lx\n", (long long)st.st_size, sum);
}

static void memory(void)
{
	char *all[64] = {NULL};
	unsigned long sum = 0;
	uint32_t seed = 3;

	for (int i = 0; i < 2000; i++) {
		seed = seed * 1664525 + 1013904223;
		char **p = &all[seed >> 26];
		size_t len = (seed >> 8) % 60000 + 1;
		*p = realloc(*p, len);
		memset(*p, (int)(seed >> 5), len);
		sum = sum * 31 + (unsigned char)(*p)[len / 2];
	}
	fprintf(result, "%lx\n", sum);
}

static void scratch(void)
{
	FILE *f = fopen("/tmp/a", "w+");
	char text[32] = "";

	for (int i = 0; i < 10000; i++)
		fprintf(f, "line %d\n", i);
	rewind(f);
	fgets(text, sizeof(text), f);
	fprintf(result, "%s", text);
	fclose(f);
	fprintf(result, "unlink %d, again %d\n", unlink("/tmp/a"), unlink("/tmp/a"));
}

static void mathematics(void)
{
	double s = 0;

	for (int i = 1; i < 20000; i++)
		s += sin(i) / sqrt(i) * exp(-i / 1e4);
	fprintf(result, "%.17g\n", s);
}

static void clocks(void)
{
	struct timespec a, b, utc, nap = {.tv_nsec = 30000000};

	clock_gettime(CLOCK_MONOTONIC, &a);
	nanosleep(&nap, NULL);
	clock_gettime(CLOCK_MONOTONIC, &b);
	clock_gettime(CLOCK_REALTIME, &utc);
	double slept = (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9;
	fprintf(result, "%s %s\n", slept >= 0.03 ? "slept" : "woke early",
		utc.tv_sec > 1700000000 ? "now" : "never");
}

__attribute__((noinline)) static void fall(volatile int *to)
{
	*to = 1;
}

static int deep(int n)
{
	volatile char room[4096];

	room[0] = (char)n;
	return deep(n + 1) + room[0];
}

int main(int argc, char **argv)
{
	const char *act = argc > 1 ? argv[1] : "";

	result = fopen("/out/result", "w");
	if (!result)
		return 9;
	fprintf(result, "%s %s %s\n", argv[0], act, getenv("COLOUR") ? getenv("COLOUR") : "-");
	if (!strcmp(act, "files"))
		files();
	else if (!strcmp(act, "pieces"))
		pieces();
	else if (!strcmp(act, "memory"))
		memory();
	else if (!strcmp(act, "scratch"))
		scratch();
	else if (!strcmp(act, "mathematics"))
		mathematics();
	else if (!strcmp(act, "clocks"))
		clocks();
	else if (!strcmp(act, "exit"))
		return 42;
	else if (!strcmp(act, "again"))
		return 75;
	else if (!strcmp(act, "abort"))
		abort();
	else if (!strcmp(act, "fault"))
		fall((int *)16);
	else if (!strcmp(act, "stack"))
		return deep(0);
	else if (!strcmp(act, "illegal"))
		__asm__ volatile("ud2");
	else if (!strcmp(act, "privileged"))
		__asm__ volatile("cli");
	else if (!strcmp(act, "port"))
		__asm__ volatile("outb %%al, $0x80" : : "a"(0));
	else if (!strcmp(act, "kernel-read"))
		return *(volatile char *)0xffffffff80100000;
	else if (!strcmp(act, "physmap-read"))
		return *(volatile char *)0xffff800000100000;
	else if (!strcmp(act, "too-much"))
		for (char block[65536] = {1};;)
			fwrite(block, 1, sizeof(block), result);
	else if (!strcmp(act, "bomb"))
		for (;;)
			memset(malloc(1 << 20), 1, 1 << 20);
	else if (!strcmp(act, "endless"))
		for (;;)
			;
	else if (!strcmp(act, "flood"))
		for (;;)
			write(2, "flood flood flood flood flood\n", 30);
	else if (!strcmp(act, "code"))
		return mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			       0) != MAP_FAILED ||
		       mprotect((void *)((uintptr_t)main & ~4095ul), 4096,
			       PROT_READ | PROT_WRITE | PROT_EXEC) == 0;
	else if (!strcmp(act, "code-jump")) {
		void (*to)(void) = (void (*)(void))memset(malloc(64), 0xc3, 64);
		to();
	} else if (!strcmp(act, "rodata-write"))
		*(volatile char *)"a constant" = 1;
	else if (!strcmp(act, "missing"))
		fprintf(result, "%d\n", fork());
	fclose(result);
	return 0;
}
