/* SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>
#include <sys/wait.h>

#include "core/bytes.h"
#include "helpers.h"

static void big_endian_on_the_wire(void **state)
{
	uint8_t buf[64];
	struct wbuf w = wbuf_of(buf, sizeof(buf));

	wbuf_u8(&w, 0x01);
	wbuf_u16(&w, 0x0203);
	wbuf_u32(&w, 0x04050607);
	wbuf_u64(&w, UINT64_C(0x08090a0b0c0d0e0f));
	wbuf_uint(&w, 0x101112, 3);
	wbuf_bytes(&w, "\x13\x14", 2);
	wbuf_str(&w, "hi");
	assert_int_equal(w.err, 0);
	assert_int_equal(w.len, 24);
	for (uint8_t i = 0; i < 20; i++)
		assert_int_equal(buf[i], i + 1);
	assert_memory_equal(buf + 20, "\0\2hi", 4);

	struct rbuf r = rbuf_of(buf, w.len);
	char text[3];
	assert_int_equal(rbuf_u8(&r), 0x01);
	assert_int_equal(rbuf_u16(&r), 0x0203);
	assert_int_equal(rbuf_u32(&r), 0x04050607);
	assert_true(rbuf_u64(&r) == UINT64_C(0x08090a0b0c0d0e0f));
	assert_int_equal(rbuf_uint(&r, 3), 0x101112);
	assert_memory_equal(rbuf_bytes(&r, 2), "\x13\x14", 2);
	assert_int_equal(rbuf_str(&r, text, sizeof(text)), 0);
	assert_string_equal(text, "hi");
	assert_int_equal(rbuf_left(&r), 0);
	assert_int_equal(r.err, 0);
}

static void reading_past_the_end_sticks(void **state)
{
	struct rbuf r = rbuf_of("\x01\x02\x03", 3);
	char text[4] = "xxx";

	assert_int_equal(rbuf_u16(&r), 0x0102);
	assert_int_equal(rbuf_u16(&r), 0);
	assert_int_equal(r.err, ERR_FORMAT);
	/* From here on zeros, also where a byte is left. */
	assert_int_equal(rbuf_u8(&r), 0);
	assert_int_equal(rbuf_left(&r), 0);
	assert_null(rbuf_bytes(&r, 0));
	assert_int_equal(rbuf_str(&r, text, sizeof(text)), ERR_FORMAT);
	assert_string_equal(text, "");
}

static void lengths_that_would_overflow(void **state)
{
	struct rbuf r = rbuf_of("ab", 2);

	assert_int_equal(rbuf_u8(&r), 'a');
	assert_null(rbuf_bytes(&r, SIZE_MAX));
	assert_int_equal(r.err, ERR_FORMAT);

	uint8_t buf[4];
	struct wbuf w = wbuf_of(buf, sizeof(buf));
	wbuf_u8(&w, 1);
	wbuf_bytes(&w, buf, SIZE_MAX);
	assert_int_equal(w.err, ERR_LIMIT);
	assert_int_equal(w.len, 1);
}

static void nothing_from_nothing(void **state)
{
	struct rbuf r = rbuf_of(NULL, 0);

	assert_non_null(rbuf_bytes(&r, 0));
	assert_int_equal(r.err, 0);
	assert_int_equal(rbuf_u8(&r), 0);
	assert_int_equal(r.err, ERR_FORMAT);

	struct wbuf w = wbuf_of(NULL, 0);
	wbuf_bytes(&w, NULL, 0);
	assert_int_equal(w.err, 0);
	wbuf_u8(&w, 1);
	assert_int_equal(w.err, ERR_LIMIT);
}

static void writing_past_the_end_sticks(void **state)
{
	uint8_t buf[5] = {9, 9, 9, 9, 9};
	struct wbuf w = wbuf_of(buf, 4);

	wbuf_u16(&w, 1);
	wbuf_u32(&w, 2);
	assert_int_equal(w.err, ERR_LIMIT);
	wbuf_u8(&w, 3);
	assert_int_equal(w.len, 2);
	assert_int_equal(buf[2], 9);

	/* A string is written whole or not at all. */
	w = wbuf_of(buf, 4);
	wbuf_str(&w, "abc");
	assert_int_equal(w.err, ERR_LIMIT);
	assert_int_equal(w.len, 0);
	w = wbuf_of(buf, 4);
	wbuf_str(&w, "ab");
	assert_int_equal(w.err, 0);
	assert_int_equal(buf[4], 9);
}

static void strings(void **state)
{
	char text[4];
	struct rbuf r;

	r = rbuf_of("\0\3abc", 5); /* exactly cap - 1 */
	assert_int_equal(rbuf_str(&r, text, sizeof(text)), 0);
	assert_string_equal(text, "abc");
	r = rbuf_of("\0\4abcd", 6);
	assert_int_equal(rbuf_str(&r, text, sizeof(text)), ERR_LIMIT);
	assert_string_equal(text, "");
	assert_int_equal(r.err, ERR_LIMIT);
	r = rbuf_of("\0\3a\0c", 5);
	assert_int_equal(rbuf_str(&r, text, sizeof(text)), ERR_FORMAT);
	assert_string_equal(text, "");
	r = rbuf_of("\0\0", 2);
	assert_int_equal(rbuf_str(&r, text, sizeof(text)), 0);
	assert_string_equal(text, "");
	r = rbuf_of("\xff\xff", 2);
	assert_int_equal(rbuf_str(&r, text, sizeof(text)), ERR_FORMAT);

	static char longest[65537];
	static uint8_t out[70000];
	memset(longest, 'a', 65535);
	struct wbuf w = wbuf_of(out, sizeof(out));
	wbuf_str(&w, longest);
	assert_int_equal(w.err, 0);
	assert_int_equal(w.len, 65537);
	longest[65535] = 'a';
	w = wbuf_of(out, sizeof(out));
	wbuf_str(&w, longest);
	assert_int_equal(w.err, ERR_LIMIT);
}

/* Random records: written, then read back whole, and cut at every length. */
struct field {
	int kind; /* 0: integer of `n` bytes, 1: bytes, 2: string */
	size_t n;
	uint64_t value;
	char data[16];
};

static int read_fields(struct rbuf *r, const struct field *f, size_t n)
{
	for (size_t i = 0; i < n && !r->err; i++) {
		char text[16];
		const uint8_t *p;
		switch (f[i].kind) {
		case 0:
			if (rbuf_uint(r, f[i].n) != f[i].value && !r->err)
				return -1;
			break;
		case 1:
			p = rbuf_bytes(r, f[i].n);
			if (p && memcmp(p, f[i].data, f[i].n) != 0)
				return -1;
			break;
		default:
			if (rbuf_str(r, text, sizeof(text)) == 0 && strcmp(text, f[i].data) != 0)
				return -1;
		}
	}
	return r->err;
}

static void random_records(void **state)
{
	uint64_t seed = 3;

	for (int round = 0; round < 500; round++) {
		struct field f[12] = {0};
		size_t n = 1 + rnd(&seed) % ARRAY_LEN(f);
		uint8_t buf[256];
		struct wbuf w = wbuf_of(buf, sizeof(buf));
		for (size_t i = 0; i < n; i++) {
			f[i].kind = (int)(rnd(&seed) % 3);
			f[i].n = f[i].kind ? rnd(&seed) % 15 : 1 + rnd(&seed) % 8;
			for (size_t k = 0; f[i].kind && k < f[i].n; k++)
				f[i].data[k] = (char)(1 + rnd(&seed) % 255);
			f[i].value = rnd(&seed) >> (64 - 8 * (f[i].kind ? 1 : f[i].n));
			if (f[i].kind == 0)
				wbuf_uint(&w, f[i].value, f[i].n);
			else if (f[i].kind == 1)
				wbuf_bytes(&w, f[i].data, f[i].n);
			else
				wbuf_str(&w, f[i].data);
		}
		assert_int_equal(w.err, 0);
		for (size_t len = 0; len <= w.len; len++) {
			/* Of its own allocation, so that a checker sees one byte too many. */
			CLEAN_FREE uint8_t *cut = malloc(len + !len);
			assert_non_null(cut);
			memcpy(cut, buf, len);
			struct rbuf r = rbuf_of(cut, len);
			int got = read_fields(&r, f, n);
			if (len == w.len) {
				assert_int_equal(got, 0);
				assert_int_equal(rbuf_left(&r), 0);
			} else if (got == 0) {
				/* only where what is missing is empty fields */
				assert_int_equal(rbuf_left(&r), 0);
				fail_msg("a record cut at %zu of %zu was read whole", len, w.len);
			} else {
				assert_int_equal(got, ERR_FORMAT);
			}
		}
	}
}

static void bugs_end_the_process(void **state)
{
	for (int bug = 0; bug < 3; bug++) {
		int status;
		pid_t pid = fork();
		if (pid == 0) {
			uint8_t buf[16];
			struct rbuf r = rbuf_of("ab", 2);
			struct wbuf w = wbuf_of(buf, sizeof(buf));
			signal(SIGABRT, SIG_DFL);
			close(STDERR_FILENO);
			if (bug == 0)
				rbuf_uint(&r, 0);
			else if (bug == 1)
				rbuf_uint(&r, 9);
			else
				wbuf_uint(&w, 256, 1); /* does not fit: would be cut silently */
			_exit(0);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(big_endian_on_the_wire),
		cmocka_unit_test(reading_past_the_end_sticks),
		cmocka_unit_test(lengths_that_would_overflow),
		cmocka_unit_test(nothing_from_nothing),
		cmocka_unit_test(writing_past_the_end_sticks),
		cmocka_unit_test(strings),
		cmocka_unit_test(random_records),
		cmocka_unit_test(bugs_end_the_process),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
