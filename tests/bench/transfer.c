/* SPDX-License-Identifier: Apache-2.0 */
/* Reads /in/data and writes as much to /out/data; says how fast, by its own clock. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BLOCK (1 << 20)

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	const char *root = argc > 1 ? argv[1] : "";
	static char block[BLOCK];
	char path[300];
	size_t bytes = 0;
	ssize_t n;

	memset(block, 1, sizeof(block));
	snprintf(path, sizeof(path), "%s/in/data", root);
	int in = open(path, O_RDONLY);
	double start = now();
	while ((n = read(in, block, sizeof(block))) > 0)
		bytes += (size_t)n;
	double read_s = now() - start;
	snprintf(path, sizeof(path), "%s/out/data", root);
	int out = open(path, O_WRONLY);
	start = now();
	for (size_t done = 0; done < bytes; done += (size_t)n)
		if ((n = write(out, block, bytes - done < BLOCK ? bytes - done : BLOCK)) <= 0)
			return 1;
	if (close(out) < 0)
		return 1;
	fprintf(stderr, "transfer %.1f %.1f\n", (double)bytes / 1048576 / read_s,
		(double)bytes / 1048576 / (now() - start));
	return 0;
}
