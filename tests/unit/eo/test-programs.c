/* SPDX-License-Identifier: Apache-2.0 */
/* The three static programs, as a runtime starts them: files in, files out, exit code, reason, memory. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "synth.h"

static char *programs[3]; /* cloud, identify, count */
static char root[64];
static char log_text[4096];

static const char *at(const char *dir, const char *name)
{
	static char path[256];

	snprintf(path, sizeof(path), "%s/%s/%s", root, dir, name);
	return path;
}

static void put(const char *name, const void *data, size_t len)
{
	FILE *f = fopen(at("in", name), "wb");

	assert_non_null(f);
	assert_int_equal(fwrite(data, 1, len, f), len);
	assert_int_equal(fclose(f), 0);
}

static struct eo_buf get(const char *dir, const char *name)
{
	FILE *f = fopen(at(dir, name), "rb");
	struct eo_buf b = {0};
	char block[4096];
	size_t n;

	assert_non_null(f);
	while ((n = fread(block, 1, sizeof(block), f)) > 0)
		eo_buf_add(&b, block, n);
	fclose(f);
	return b;
}

static void put_text(const char *name, const char *text)
{
	put(name, text, strlen(text));
}

/* What a workflow does between two stages. */
static void pass(const char *output, const char *input)
{
	struct eo_buf b = get("out", output);

	put(input, b.data, b.len);
	eo_buf_finish(&b);
}

static int run(const char *program, size_t memory_bytes)
{
	struct rlimit limit = {memory_bytes, memory_bytes};
	int status, fds[2];
	size_t len = 0;
	ssize_t n;
	pid_t pid;

	assert_int_equal(pipe(fds), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		char env[80];
		char *envp[] = {env, NULL};

		snprintf(env, sizeof(env), "PERIGEE_ROOT=%s", root);
		dup2(fds[1], 2);
		close(fds[0]);
		if (memory_bytes)
			setrlimit(RLIMIT_AS, &limit);
		execle(program, program, NULL, envp);
		_exit(126);
	}
	close(fds[1]);
	while (len < sizeof(log_text) - 1 &&
		(n = read(fds[0], log_text + len, sizeof(log_text) - 1 - len)) > 0)
		len += (size_t)n;
	log_text[len] = 0;
	close(fds[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static void assert_same(const char *output, const struct eo_buf *expected)
{
	struct eo_buf b = get("out", output);

	assert_int_equal(b.len, expected->len);
	assert_memory_equal(b.data, expected->data, b.len);
	eo_buf_finish(&b);
}

static struct synth harbour(uint32_t side, uint32_t depth)
{
	struct synth s = synth_new(side, side, depth);

	synth_fill(&s, depth == 3 ? SEA3 : SEA6, depth == 3 ? 2 : 20);
	synth_box(
		&s, side * 0.75, side * 0.75, 40, 50, 10, depth == 3 ? WHITE3 : CLOUD6, depth == 3 ? 3 : 80);
	for (int i = 0; i < 4; i++)
		synth_box(&s, 50 + 40 * i, 60 + 5 * i, 30, 5, 50 * i, depth == 3 ? DECK3 : DECK6,
			depth == 3 ? 3 : 30);
	return s;
}

static void test_chain(void **unused)
{
	for (uint32_t depth = 3; depth <= 6; depth += 3) {
		struct synth s = harbour(256, depth);
		struct synth_run r;

		put("scene", s.file, s.len);
		put_text("params.json", "{\"gsd_rgb_m\": 3, \"gsd_multi_m\": 10}");
		assert_int_equal(run(programs[0], 0), 0);
		pass("mask", "mask");
		assert_int_equal(run(programs[1], 0), 0);
		pass("candidates", "candidates");
		pass("crops", "crops");
		assert_int_equal(run(programs[2], 0), 0);
		/* What runs on board is what is tested natively. */
		synth_run(&s, &r);
		r.cloud.len--;
		r.ships.len--;
		assert_int_equal(synth_number(&r.ships, "count"), 4);
		assert_same("mask", &r.mask);
		assert_same("candidates", &r.candidates);
		assert_same("crops", &r.crops);
		assert_same("report", &r.ships);
		synth_run_free(&r);
		synth_free(&s);
	}
}

static void test_memory(void **unused)
{
	struct synth s = harbour(512, 6);

	put("scene", s.file, s.len);
	assert_int_equal(run(programs[0], 24u << 20), 0);
	pass("mask", "mask");
	assert_int_equal(run(programs[1], 32u << 20), 0);
	/* Too little: it says so, and does not crash. */
	assert_int_equal(run(programs[0], 4u << 20), 1);
	assert_non_null(strstr(log_text, "memory"));
	synth_free(&s);
	s = harbour(1500, 3);
	put("scene", s.file, s.len);
	assert_int_equal(run(programs[0], 64u << 20), 0);
	pass("mask", "mask");
	assert_int_equal(run(programs[1], 64u << 20), 0);
	synth_free(&s);
}

static void test_failures_have_a_reason(void **unused)
{
	put_text("scene", "P6\n64 64\n255\nshort");
	assert_int_equal(run(programs[0], 0), 1);
	assert_non_null(strstr(log_text, "scene: cut short"));
	assert_int_equal(run(programs[1], 0), 1);
	assert_non_null(strstr(log_text, "scene: cut short"));
	put_text("candidates", "{");
	assert_int_equal(run(programs[2], 0), 1);
	assert_non_null(strstr(log_text, "candidates: "));
	put_text("params.json", "{\"gsd_rgb_m\": -3}");
	for (int i = 0; i < 3; i++) {
		assert_int_equal(run(programs[i], 0), 1);
		assert_non_null(strstr(log_text, "gsd_rgb_m"));
	}
	unlink(at("in", "params.json"));
	unlink(at("in", "scene"));
	assert_int_equal(run(programs[0], 0), 1);
	assert_non_null(strstr(log_text, "scene: No such file"));
}

static int make_root(void **unused)
{
	strcpy(root, "/tmp/test-eo-XXXXXX");
	if (!mkdtemp(root))
		return -1;
	return mkdir(at("in", ""), 0700) || mkdir(at("out", ""), 0700);
}

static int remove_root(void **unused)
{
	static const char *const names[] = {"scene", "mask", "candidates", "crops", "report", "params.json"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		unlink(at("in", names[i]));
		unlink(at("out", names[i]));
	}
	rmdir(at("in", ""));
	rmdir(at("out", ""));
	return rmdir(root);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_chain),
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_failures_have_a_reason),
	};

	if (argc != 4) {
		fprintf(stderr, "%s CLOUD IDENTIFY COUNT\n", argv[0]);
		return 99;
	}
	for (int i = 0; i < 3; i++)
		programs[i] = argv[1 + i];
	return cmocka_run_group_tests(tests, make_root, remove_root);
}
