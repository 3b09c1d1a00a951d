/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a fuzzer without libFuzzer: every file given (of a folder: every file in it), then, with --mutations
 * N, N changed versions of each, which depend on nothing but its content. --dump K FILE writes version K
 * instead.
 */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define INPUT_BYTES_MAX (1u << 20)
#define GROWTH_BYTES_MAX 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
/* Of the sanitizers' runtime, where there is one. */
extern void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));

/* What runs now, for the one who must find it again. */
static char current[PATH_MAX + 64];

static uint64_t rnd(uint64_t *state)
{
	uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

static void say_where(void)
{
	ssize_t n = write(STDERR_FILENO, current, strlen(current));
	(void)n;
}

static void on_crash(int signo)
{
	say_where();
	signal(signo, SIG_DFL);
	raise(signo);
}

/* In an allocation of exactly its size, so that a checker sees a read too far. */
static void run_one(const uint8_t *data, size_t len)
{
	uint8_t *exact = malloc(len ? len : 1);

	if (!exact)
		abort();
	memcpy(exact, data, len);
	LLVMFuzzerTestOneInput(exact, len);
	free(exact);
}

/* One change in place. The buffer has GROWTH_BYTES_MAX more than the input was long. */
static size_t mutate_once(uint8_t *p, size_t len, size_t cap, uint64_t *seed)
{
	static const uint8_t telling[] = {
		0, 1, 0x7f, 0x80, 0xff, '\n', '"', '\\', ':', '[', '{', '&', ' ', '\t', '-', '9'};
	size_t at = len ? rnd(seed) % len : 0, n;

	switch (rnd(seed) % 8) {
	case 0: /* a bit */
		if (len)
			p[at] ^= (uint8_t)(1u << rnd(seed) % 8);
		return len;
	case 1: /* a byte */
		if (len)
			p[at] = (uint8_t)rnd(seed);
		return len;
	case 2: /* a byte that means something */
		if (len)
			p[at] = telling[rnd(seed) % sizeof(telling)];
		return len;
	case 3: /* cut off */
		return at;
	case 4: /* something out of the middle */
		n = len - at < 16 ? len - at : 16;
		n = n ? 1 + rnd(seed) % n : 0;
		memmove(p + at, p + at + n, len - at - n);
		return len - n;
	case 5: /* a few bytes more */
		n = 1 + rnd(seed) % 8;
		if (len + n > cap)
			return len;
		memmove(p + at + n, p + at, len - at);
		for (size_t i = 0; i < n; i++)
			p[at + i] = telling[rnd(seed) % sizeof(telling)];
		return len + n;
	case 6: /* a piece of it again, somewhere else */
		n = len - at < 64 ? len - at : 64;
		n = n ? 1 + rnd(seed) % n : 0;
		if (n == 0 || len + n > cap)
			return len;
		memcpy(p + len, p + at, n);
		at = rnd(seed) % len;
		for (size_t i = 0; i < n; i++) { /* rotate the end to where it goes */
			uint8_t last = p[len + i];
			memmove(p + at + i + 1, p + at + i, len - at);
			p[at + i] = last;
		}
		return len + n;
	default: /* one byte many times */
		n = 1 + rnd(seed) % 64;
		if (len == 0 || len + n > cap)
			return len;
		memmove(p + at + n, p + at, len - at);
		memset(p + at, p[at], n);
		return len + n;
	}
}

static size_t mutate(const uint8_t *data, size_t len, uint64_t k, uint8_t *out)
{
	uint64_t seed = k * UINT64_C(0x2545f4914f6cdd1d) + len;

	memcpy(out, data, len);
	size_t n = len;
	for (uint64_t changes = 1 + rnd(&seed) % 4; changes > 0; changes--)
		n = mutate_once(out, n, len + GROWTH_BYTES_MAX, &seed);
	return n;
}

static uint8_t *read_file(const char *path, size_t *ret_len)
{
	FILE *f = fopen(path, "rb");
	uint8_t *data = malloc(INPUT_BYTES_MAX);

	if (!f || !data) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		exit(2);
	}
	*ret_len = fread(data, 1, INPUT_BYTES_MAX, f);
	fclose(f);
	return data;
}

static unsigned long run_file(const char *path, unsigned long mutations)
{
	size_t len;
	uint8_t *data = read_file(path, &len);
	uint8_t *changed = malloc(len + GROWTH_BYTES_MAX + 64);

	if (!changed)
		abort();
	snprintf(current, sizeof(current), "fuzz: %s\n", path);
	run_one(data, len);
	for (unsigned long k = 0; k < mutations; k++) {
		snprintf(current, sizeof(current), "fuzz: %s, mutation %lu\n", path, k);
		size_t n = mutate(data, len, k, changed);
		run_one(changed, n);
	}
	free(changed);
	free(data);
	return 1 + mutations;
}

static int dump(const char *path, unsigned long k)
{
	size_t len;
	uint8_t *data = read_file(path, &len);
	uint8_t *changed = malloc(len + GROWTH_BYTES_MAX + 64);

	if (!changed)
		abort();
	size_t n = mutate(data, len, k, changed);
	bool good = fwrite(changed, 1, n, stdout) == n && fflush(stdout) == 0;
	free(changed);
	free(data);
	return good ? 0 : 2;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static unsigned long run_folder(const char *folder, DIR *dir, unsigned long mutations)
{
	char *names[4096], path[PATH_MAX];
	size_t n = 0;
	unsigned long runs = 0;

	for (struct dirent *e; n < 4096 && (e = readdir(dir));)
		if (e->d_name[0] != '.' && !(names[n++] = strdup(e->d_name)))
			abort();
	qsort(names, n, sizeof(names[0]), by_name);
	for (size_t i = 0; i < n; i++) {
		snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
		runs += run_file(path, mutations);
		free(names[i]);
	}
	return runs;
}

int main(int argc, char **argv)
{
	unsigned long mutations = 0, runs = 0;
	int i = 1;

	if (argc == 4 && strcmp(argv[1], "--dump") == 0)
		return dump(argv[3], strtoul(argv[2], NULL, 10));
	if (argc > 2 && strcmp(argv[1], "--mutations") == 0) {
		mutations = strtoul(argv[2], NULL, 10);
		i = 3;
	}
	if (i >= argc) {
		fprintf(stderr, "usage: %s [--mutations N] FILE-OR-FOLDER...\n       %s --dump K FILE\n",
			argv[0], argv[0]);
		return 2;
	}
	if (__sanitizer_set_death_callback) {
		__sanitizer_set_death_callback(say_where);
		signal(SIGABRT, on_crash); /* ensure's: the runtime leaves it alone */
	} else {
		static const int signals[] = {SIGSEGV, SIGABRT, SIGBUS, SIGFPE, SIGILL};
		for (size_t k = 0; k < sizeof(signals) / sizeof(signals[0]); k++)
			signal(signals[k], on_crash);
	}
	for (; i < argc; i++) {
		DIR *dir = opendir(argv[i]);
		if (dir) {
			runs += run_folder(argv[i], dir, mutations);
			closedir(dir);
		} else {
			runs += run_file(argv[i], mutations);
		}
	}
	/* A corpus that is not there must not look like a success. */
	if (runs == 0) {
		fprintf(stderr, "no inputs\n");
		return 2;
	}
	printf("%lu inputs\n", runs);
	return 0;
}
