/* SPDX-License-Identifier: Apache-2.0 */
/* The launch protocol's messages: there and back, cut, flipped, out of range. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "launch-wire.h"

static const struct launch_limits limits = {
	.memory_bytes = 64 << 20,
	.file_bytes = 4 << 20,
	.tmp_bytes = 1 << 20,
	.wall_ns = INT64_C(30000000000),
	.cpus_milli = 1500,
	.pids = 32,
};

static const char *const args[] = {"/cloud", "--threshold", "", "0.5", NULL};
static const char *const env[] = {"A=1", NULL};

static size_t write_order(uint8_t raw[4096])
{
	struct wbuf w = wbuf_of(raw, 4096);

	assert_int_equal(launch_order_write(&w, 77, &limits, args, env), 0);
	assert_int_equal(w.err, 0);
	return w.len;
}

/* What was read is within every limit, whatever the bytes were. */
static void check_order(const struct launch_order *o)
{
	size_t n = 0;

	assert_int_equal(launch_limits_check(&o->limits), 0);
	assert_non_null(o->argv[0]);
	assert_int_equal(o->argv[0][0], '/');
	for (n = 0; o->argv[n]; n++)
		assert_in_range((uintptr_t)o->argv[n], (uintptr_t)o->words,
			(uintptr_t)o->words + sizeof(o->words) - strlen(o->argv[n]) - 1);
	assert_in_range(n, 1, LAUNCH_WORDS_MAX);
	for (n = 0; o->env[n]; n++)
		assert_in_range((uintptr_t)o->env[n], (uintptr_t)o->words,
			(uintptr_t)o->words + sizeof(o->words) - strlen(o->env[n]) - 1);
	assert_in_range(n, 0, LAUNCH_WORDS_MAX);
}

static void test_order(void **state)
{
	static struct launch_order o;
	uint8_t raw[4096];
	size_t len = write_order(raw);
	struct rbuf r = rbuf_of(raw, len);

	assert_int_equal(launch_order_read(&r, &o), 0);
	assert_int_equal(rbuf_left(&r), 0);
	assert_int_equal(o.task, 77);
	assert_memory_equal(&o.limits, &limits, sizeof(limits));
	for (size_t i = 0; i < ARRAY_LEN(args) - 1; i++)
		assert_string_equal(o.argv[i], args[i]);
	assert_null(o.argv[ARRAY_LEN(args) - 1]);
	assert_string_equal(o.env[0], env[0]);
	assert_null(o.env[1]);
}

static void test_order_cut(void **state)
{
	static struct launch_order o;
	uint8_t raw[4096];
	size_t len = write_order(raw);

	for (size_t cut = 0; cut < len; cut++) {
		struct rbuf r = rbuf_of(raw, cut);

		assert_true(launch_order_read(&r, &o) < 0);
	}
}

static void test_order_flipped(void **state)
{
	static struct launch_order o;
	uint8_t raw[4096];
	size_t len = write_order(raw);

	for (size_t bit = 0; bit < 8 * len; bit++) {
		struct rbuf r = rbuf_of(raw, len);

		raw[bit / 8] ^= (uint8_t)(1 << bit % 8);
		if (launch_order_read(&r, &o) == 0)
			check_order(&o);
		raw[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}

static void test_order_too_much(void **state)
{
	static char long_word[LAUNCH_WORDS_BYTES_MAX];
	static const char *many[LAUNCH_WORDS_MAX + 2];
	static uint8_t raw[MSG_BYTES_MAX];
	const char *const long_args[] = {"/x", long_word, NULL};
	const char *const relative[] = {"x", NULL};
	const char *const none[] = {NULL};
	struct wbuf w = wbuf_of(raw, sizeof(raw));

	memset(long_word, 'a', sizeof(long_word) - 1);
	assert_int_equal(launch_order_write(&w, 1, &limits, long_args, none), ERR_LIMIT);
	for (size_t i = 0; i < LAUNCH_WORDS_MAX + 1; i++)
		many[i] = "/x";
	w = wbuf_of(raw, sizeof(raw));
	assert_int_equal(launch_order_write(&w, 1, &limits, many, none), ERR_LIMIT);
	many[LAUNCH_WORDS_MAX] = NULL;
	w = wbuf_of(raw, sizeof(raw));
	assert_int_equal(launch_order_write(&w, 1, &limits, many, many), 0);
	w = wbuf_of(raw, sizeof(raw));
	assert_int_equal(launch_order_write(&w, 1, &limits, relative, none), -EINVAL);
	assert_int_equal(launch_order_write(&w, 1, &limits, none, none), -EINVAL);
}

static void test_limits(void **state)
{
	struct launch_limits l = limits;

	assert_int_equal(launch_limits_check(&l), 0);
#define BAD(field, value)                                                                                    \
	l = limits;                                                                                          \
	l.field = (value);                                                                                   \
	assert_int_equal(launch_limits_check(&l), -EINVAL)
	BAD(memory_bytes, 0);
	BAD(memory_bytes, UINT64_MAX);
	BAD(file_bytes, UINT64_MAX);
	BAD(tmp_bytes, limits.memory_bytes + 1);
	BAD(wall_ns, 0);
	BAD(wall_ns, INT64_MIN);
	BAD(wall_ns, INT64_MAX);
	BAD(cpus_milli, 0);
	BAD(cpus_milli, UINT32_MAX);
	BAD(guest_bytes, UINT64_MAX);
	BAD(pids, 0);
	BAD(pids, UINT32_MAX);
#undef BAD
}

static void test_result(void **state)
{
	struct launch_result in = {.task = 9,
		.how = LAUNCH_LIMIT_OUTPUT,
		.code = -25,
		.wall_ns = 1,
		.cpu_ns = 2,
		.peak_memory_bytes = UINT64_MAX,
		.frozen_ns = 3,
		.io_known = true,
		.read_bytes = 4,
		.written_bytes = 5,
		.reason = "killed: it wrote a file of more than 1 MiB"};
	struct launch_result out = {0};
	uint8_t raw[1024];
	struct wbuf w = wbuf_of(raw, sizeof(raw));
	struct rbuf r;

	launch_result_write(&w, &in);
	assert_int_equal(w.err, 0);
	r = rbuf_of(raw, w.len);
	assert_int_equal(launch_result_read(&r, &out), 0);
	assert_int_equal(rbuf_left(&r), 0);
	assert_int_equal(out.task, in.task);
	assert_int_equal(out.how, in.how);
	assert_int_equal(out.code, in.code);
	assert_int_equal(out.peak_memory_bytes, in.peak_memory_bytes);
	assert_int_equal(out.frozen_ns, in.frozen_ns);
	assert_true(out.io_known);
	assert_int_equal(out.read_bytes, in.read_bytes);
	assert_int_equal(out.written_bytes, in.written_bytes);
	assert_string_equal(out.reason, in.reason);
	for (size_t cut = 0; cut < w.len; cut++) {
		r = rbuf_of(raw, cut);
		assert_true(launch_result_read(&r, &out) < 0);
	}
	for (size_t bit = 0; bit < 8 * w.len; bit++) {
		raw[bit / 8] ^= (uint8_t)(1 << bit % 8);
		r = rbuf_of(raw, w.len);
		if (launch_result_read(&r, &out) == 0) {
			assert_in_range(out.how, 0, LAUNCH_END_MAX - 1);
			assert_in_range(strlen(out.reason), 0, LAUNCH_REASON_BYTES - 1);
		}
		raw[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}

static void test_names(void **state)
{
	for (int how = 0; how < LAUNCH_END_MAX; how++)
		assert_string_not_equal(launch_end_name((enum launch_end)how), "unknown");
	assert_string_equal(launch_end_name(LAUNCH_END_MAX), "unknown");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_order_cut),
		cmocka_unit_test(test_order_flipped),
		cmocka_unit_test(test_order_too_much),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_result),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
