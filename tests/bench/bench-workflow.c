/* SPDX-License-Identifier: Apache-2.0 */
/* What it takes to run workflows (bench-workflow-runs.c), and to check a workflow of a thousand stages, each
 * with inputs, a condition and parameters. */
#include <stdarg.h>
#include <string.h>
#include <time.h>

#include "bench-workflow.h"
#include "core/artifact.h"
#include "pipelines.h"
#include "workflow.h"

#define STAGES 1000
#define ROUNDS 21
#define TEXT_BYTES (1u << 20)

static void add(char *text, size_t *len, const char *fmt, ...) PRINTF(3, 4);
static void add(char *text, size_t *len, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	int n = vsnprintf(text + *len, TEXT_BYTES - *len, fmt, ap);
	va_end(ap);
	ensure(n >= 0 && (size_t)n < TEXT_BYTES - *len);
	*len += (size_t)n;
}

static size_t write_workflow(char *text)
{
	size_t len = 0;

	add(text, &len, "perigee: v1\nworkflow: long\npayload: p\nstages:\n");
	for (unsigned i = 0; i < STAGES; i++) {
		add(text, &len, "  stage-%u:\n    image: i\n    inputs: {scene: trigger.frame", i);
		/* Names from far and near, as a wide graph has them. */
		if (i)
			add(text, &len, ", near: stage-%u.mask, far: stage-%u.mask", i - 1, i / 2);
		add(text, &len, "}\n    outputs: {mask: 4MiB, report: {max: 4KiB, type: json}}\n");
		if (i)
			add(text, &len, "    when: stage-%u.report.x < 0.7 and stage-%u.report.y == 'a'\n",
				i - 1, i / 3);
		add(text, &len,
			"    params: {threshold: 0.5, name: text}\n"
			"    resources: {cpus: 1, memory: 64MiB, time: 30s}\n");
	}
	add(text, &len, "downlink: [{product: stage-%d.mask}, {product: stage-%d.report}]\n", STAGES - 1,
		STAGES - 1);
	return len;
}

static double now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
	unsigned elements = argc > 1 ? (unsigned)atoi(argv[1]) : 10000;
	static const struct workflow_limits limits = {.cpus_milli = 4000, .memory_bytes = 1 << 30};
	CLEAN_FREE char *text = malloc(TEXT_BYTES);
	double ms[ROUNDS];

	if (!text)
		return 1;
	size_t len = write_workflow(text);
	for (int i = 0; i < ROUNDS; i++) {
		struct workflow *w;
		struct complaints c;
		double from = now_ms();

		if (complaints_init(&c, "long.yaml") < 0)
			return 1;
		int r = workflow_parse(text, len, &limits, &c, &w);
		ms[i] = now_ms() - from;
		if (r < 0)
			complaints_print(&c, stderr);
		complaints_finish(&c);
		if (r < 0 || workflow_stage_count(w) != STAGES)
			return 1;
		workflow_destroy(w);
	}
	qsort(ms, ROUNDS, sizeof(ms[0]), by_value);
	printf("figure workflow.parse_1000_ms %.1f ms\n", ms[ROUNDS / 2]);
	fflush(stdout);
	return bench_runs(elements > 0 && elements <= WF_ITEMS_MAX ? elements : WF_ITEMS_MAX) < 0;
}
