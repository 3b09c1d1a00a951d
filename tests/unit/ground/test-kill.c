/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two ends as processes that are killed (SIGKILL) and started again, at instants from a seed. In the end
 * each product is on the ground once, and nothing was refused.
 */
#include "data.h"

#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#include "core/clock.h"
#include "core/json.h"
#include "ground.h"

#define RUNS 12
#define KILLS 40

static char dir[PATH_MAX], out[PATH_MAX];
static uint16_t ground_port, board_port;

static const char *in_dir(const char *name)
{
	static char path[4][PATH_MAX];
	static int next;
	char *p = path[next++ % 4];
	assert_true(path_format(p, PATH_MAX, "%s/%s", dir, name) >= 0);
	return p;
}

static struct sockaddr_in loopback(uint16_t port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return a;
}

/* A port that is free now; both ends must keep theirs through their lives. */
static uint16_t free_port(void)
{
	struct sockaddr_in a = loopback(0);
	socklen_t n = sizeof(a);
	CLEAN_FD int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &n), 0);
	return ntohs(a.sin_port);
}

/* ---- the board's process ---- */

struct board {
	uv_loop_t loop;
	struct store *store;
	struct artifacts *artifacts;
	struct downlink *downlink;
};

static void on_turn(uv_prepare_t *p)
{
	struct board *b = p->data;
	if (store_turn_end(b->store) < 0)
		_exit(3);
	if (downlink_idle(b->downlink))
		_exit(0);
}

static void board_open(struct board *b)
{
	char why[256];
	struct ground_key *key;
	if (uv_loop_init(&b->loop) < 0 || store_open(in_dir("db"), &b->store, why, sizeof(why)) < 0 ||
		artifacts_open(in_dir("artifacts"), &b->artifacts) < 0 ||
		ground_key_load(in_dir("m.key"), &key) < 0)
		_exit(4);
	struct downlink_options o = {
		.spacecraft = "SAT",
		.mission = "demo",
		.dir = in_dir("downlink"),
		.to = loopback(ground_port),
		.from = loopback(board_port),
		.batch_bytes_max = 30000,
		.rate_bytes_per_s = 2000000,
		.ack_ns = 20 * NS_PER_MS,
		.key = key,
	};
	if (downlink_create(&b->loop, b->store, b->artifacts, &o, &b->downlink) < 0)
		_exit(5);
	ground_key_destroy(key);
}

static _Noreturn void board_main(void)
{
	static struct board b;
	uv_prepare_t turn;
	board_open(&b);
	uv_prepare_init(&b.loop, &turn);
	turn.data = &b;
	uv_prepare_start(&turn, on_turn);
	uv_run(&b.loop, UV_RUN_DEFAULT);
	_exit(6);
}

static void put_products(void)
{
	static uint8_t data[20000];
	uint64_t seed = 11;
	struct board b;
	board_open(&b);
	for (int i = 0; i < RUNS; i++) {
		char tmp[ARTIFACT_NAME_BYTES];
		struct product p = {
			.run = 1 + i, .workflow = "w", .stage = "s", .name = "crop", .priority = 5};
		CLEAN_FD int fd = -1;
		p.bytes = 5000 + rnd(&seed) % 15000;
		for (size_t k = 0; k < sizeof(data); k++)
			data[k] = (uint8_t)rnd(&seed);
		digest_data(data, p.bytes, &p.digest);
		if (artifact_new(b.artifacts, 0600, tmp, &fd) < 0 || write_all(fd, data, p.bytes) < 0 ||
			artifact_keep(b.artifacts, tmp, &p.digest) < 0 ||
			downlink_product(b.downlink, &p) < 0)
			_exit(7);
	}
	if (store_turn_end(b.store) < 0)
		_exit(8);
	_exit(0);
}

/* ---- the ground's process ---- */

static unsigned once_runs; /* of the process that is started next */

static _Noreturn void ground_main(void)
{
	struct receive_options o = {.once_runs = once_runs,
		.listen = loopback(ground_port),
		.out = out,
		.key = in_dir("m.pub"),
		.ack_ns = 20 * NS_PER_MS};
	o.report = fopen(in_dir("report"), "ae");
	o.json = true;
	_exit(receive_run(&o) < 0 ? 9 : 0);
}

static pid_t start(void (*body)(void))
{
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		body();
	return pid;
}

static int end_of(pid_t pid)
{
	int status;
	while (waitpid(pid, &status, 0) < 0)
		assert_int_equal(errno, EINTR);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static void begin(void)
{
	folder_make(dir);
	assert_true(path_format(out, sizeof(out), "%s/out", dir) >= 0);
	assert_int_equal(keys_generate(in_dir("m")), 0);
	ground_port = free_port();
	board_port = free_port();
	assert_int_equal(end_of(start(put_products)), 0);
}

/* The receiver ends by itself when it has what it was asked for, and has told the sender. */
static void test_once(void **state)
{
	begin();
	once_runs = RUNS;
	pid_t ground = start(ground_main), board = start(board_main);
	assert_int_equal(end_of(ground), 0);
	assert_int_equal(end_of(board), 0);
	once_runs = 0;
	folder_remove(dir);
}

static void test_kill(void **state)
{
	uint64_t seed = 2026;
	unsigned board_kills = 0, ground_kills = 0, idle = 0;
	begin();
	pid_t ground = start(ground_main), board = start(board_main);
	for (int i = 0; i < KILLS; i++) {
		struct timespec t = {.tv_nsec = (long)(rnd(&seed) % 25) *
						1000000}; /* the instant, not a wait for anything */
		nanosleep(&t, NULL);
		pid_t *victim = chance(&seed, 50) ? &ground : &board;
		int done;
		if (waitpid(board, &done, WNOHANG) == board) { /* all was acknowledged already */
			assert_true(WIFEXITED(done) && WEXITSTATUS(done) == 0);
			board = start(board_main);
			idle++;
		}
		assert_int_equal(kill(*victim, SIGKILL), 0);
		int how = end_of(*victim);
		assert_true(how == 1000 + SIGKILL || (victim == &board && how == 0));
		*(victim == &ground ? &ground_kills : &board_kills) += 1;
		*victim = start(victim == &ground ? ground_main : board_main);
	}
	assert_int_equal(end_of(board), 0);
	assert_int_equal(kill(ground, SIGTERM), 0);
	assert_int_equal(end_of(ground), 0);
	assert_true(board_kills > 5 && ground_kills > 5);

	for (int i = 1; i <= RUNS; i++) {
		char path[PATH_MAX];
		CLEAN_JSON cJSON *run = NULL;
		struct digest want, got;
		uint64_t n;
		assert_true(path_format(path, sizeof(path), "%s/results/%d/run.json", out, i) >= 0);
		assert_int_equal(json_load(path, 1 << 20, &run), 0);
		const cJSON *products = cJSON_GetObjectItem(run, "products");
		assert_int_equal(cJSON_GetArraySize(products), 1);
		assert_int_equal(digest_parse(json_str(cJSON_GetArrayItem(products, 0), "digest"), &want), 0);
		assert_true(path_format(path, sizeof(path), "%s/results/%d/s.crop", out, i) >= 0);
		CLEAN_FILE FILE *f = fopen(path, "re");
		assert_non_null(f);
		assert_int_equal(digest_fd(fileno(f), &got, &n), 0);
		assert_memory_equal(&want, &got, sizeof(want));
		assert_true(path_format(path, sizeof(path), "%s/results/%d/s.crop-2", out, i) >= 0);
		assert_int_not_equal(access(path, F_OK), 0);
		assert_true(path_format(path, sizeof(path), "%s/results/%d-2", out, i) >= 0);
		assert_int_not_equal(access(path, F_OK), 0);
	}
	CLEAN_FREE char *report = NULL;
	size_t len;
	assert_int_equal(file_read(in_dir("report"), 1 << 22, &report, &len), 0);
	assert_null(strstr(report, "\"refused\",\"batch\""));
	print_message("%u kills of the board, %u of the ground, %u of them after all was done\n", board_kills,
		ground_kills, idle);
	folder_remove(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_once), cmocka_unit_test(test_kill)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
