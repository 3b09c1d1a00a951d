/* SPDX-License-Identifier: Apache-2.0 */
/* Two links on one loop over loopback. */
#include "data.h"

#include <arpa/inet.h>
#include <fcntl.h>

#include "link.h"

struct side {
	struct link *link;
	unsigned ended, files;
	int status;
	uv_loop_t *loop;
};

static void on_sent(void *user, uint64_t sequence, int status)
{
	struct side *s = user;
	s->ended++;
	s->status = status;
}

static void on_file(void *user, const char *name, const char *path, uint64_t bytes)
{
	struct side *s = user;
	s->files++;
}

static void on_turn(void *user)
{
	struct side *s = user;
	if (s->ended && !cfdp_busy(link_entity(s->link)))
		uv_stop(s->loop);
}

static struct sockaddr_in loopback(uint16_t port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return a;
}

static void transfer(uint64_t rate, size_t bytes)
{
	char dir[PATH_MAX], path[PATH_MAX];
	uv_loop_t loop;
	struct side board = {.loop = &loop}, ground = {.loop = &loop};
	CLEAN_FREE char *data = malloc(bytes), *back = NULL;
	struct digest digest;
	size_t len;

	folder_make(dir);
	assert_int_equal(uv_loop_init(&loop), 0);
	struct link_options g = {
		.from = loopback(0), .telecommand = true, .on_turn = on_turn, .user = &ground};
	g.cfdp = (struct cfdp_options){
		.entity = 2, .inbox = dir, .file_bytes_max = 64 << 20, .on_file = on_file, .user = &ground};
	assert_int_equal(link_create(&loop, &g, &ground.link), 0);
	struct link_options b = {.from = loopback(0),
		.to = loopback(link_port(ground.link)),
		.rate_bytes_per_s = rate,
		.on_turn = on_turn,
		.user = &board};
	b.cfdp = (struct cfdp_options){.entity = 1, .on_sent = on_sent, .user = &board};
	assert_int_equal(link_create(&loop, &b, &board.link), 0);

	for (size_t i = 0; i < bytes; i++)
		data[i] = (char)(i * 7 + i / 251);
	assert_true(path_format(path, sizeof(path), "%s/source", dir) >= 0);
	assert_int_equal(file_replace(path, data, bytes, 0600), 0);
	struct cfdp_file f = {.name = "arrived", .checksum = CFDP_CRC32C, .destination = 2, .sequence = 1};
	f.fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(cfdp_sum_fd(f.fd, f.checksum, &f.sum, &digest, &f.bytes), 0);
	f.digest = &digest;
	int64_t began = clock_mono().ns;
	assert_int_equal(link_send(board.link, &f), 0);
	uv_run(&loop, UV_RUN_DEFAULT);
	int64_t took = clock_mono().ns - began;
	if (rate) /* never faster than the rate, but for its burst */
		assert_true(took >= (int64_t)(bytes * (uint64_t)NS_PER_S / rate) - 20 * NS_PER_MS);
	assert_int_equal(board.ended, 1);
	assert_int_equal(board.status, 0);
	assert_int_equal(ground.files, 1);
	assert_true(path_format(path, sizeof(path), "%s/arrived", dir) >= 0);
	assert_int_equal(file_read(path, bytes, &back, &len), 0);
	assert_int_equal(len, bytes);
	assert_memory_equal(back, data, bytes);
	struct link_stats s;
	link_stats(ground.link, &s);
	assert_int_equal(s.datagrams_bad, 0);
	print_message("%zu bytes in %.1f ms, %.1f MB/s, %u again\n", bytes, (double)took / 1e6,
		(double)bytes * 1e3 / (double)took,
		(unsigned)cfdp_stats(link_entity(board.link))->data_again_bytes);
	link_destroy(board.link);
	link_destroy(ground.link);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&loop), 0);
	folder_remove(dir);
}

static void test_fast(void **state)
{
	transfer(0, 3 << 20);
}

static void test_rate(void **state)
{
	transfer(1000000, 100000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_fast), cmocka_unit_test(test_rate)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
