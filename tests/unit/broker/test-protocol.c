/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "protocol.h"
#include "worker.h"

static struct device_frame example(void)
{
	struct device_frame f = {.bytes = 123456789, .time.ns = 1764064800500000000, .n_attrs = 2};

	for (size_t i = 0; i < DIGEST_BYTES; i++)
		f.digest.bytes[i] = (uint8_t)(200 + i);
	snprintf(f.id, sizeof(f.id), "frame-7");
	snprintf(f.attrs[0].name, sizeof(f.attrs[0].name), "frame_name");
	snprintf(f.attrs[0].value, sizeof(f.attrs[0].value), "bay 1");
	snprintf(f.attrs[1].name, sizeof(f.attrs[1].name), "frame_latitude");
	return f;
}

static void round_trip(void **state)
{
	struct device_frame f = example(), got;
	uint8_t data[512];
	struct wbuf w = wbuf_of(data, sizeof(data));
	uint64_t buffer;

	put_frame(&w, UINT64_MAX - 1, &f);
	assert_int_equal(w.err, 0);
	struct rbuf r = rbuf_of(data, w.len);
	assert_int_equal(get_frame(&r, &buffer, &got), 0);
	assert_int_equal(rbuf_left(&r), 0);
	assert_true(buffer == UINT64_MAX - 1);
	assert_memory_equal(&got.digest, &f.digest, sizeof(f.digest));
	assert_int_equal(got.bytes, f.bytes);
	assert_int_equal(got.time.ns, f.time.ns);
	assert_string_equal(got.id, f.id);
	assert_int_equal(got.n_attrs, 2);
	assert_string_equal(got.attrs[0].name, "frame_name");
	assert_string_equal(got.attrs[0].value, "bay 1");
	assert_string_equal(got.attrs[1].value, "");
}

static void the_largest_fits(void **state)
{
	struct device_frame f = {.bytes = DEVICE_FRAME_BYTES_MAX, .n_attrs = DEVICE_FRAME_ATTRS_MAX};
	struct msg *m = malloc(sizeof(*m));

	assert_non_null(m);
	memset(f.id, 'i', sizeof(f.id) - 1);
	for (size_t i = 0; i < f.n_attrs; i++) {
		memset(f.attrs[i].name, 'n', sizeof(f.attrs[i].name) - 1);
		memset(f.attrs[i].value, 'v', sizeof(f.attrs[i].value) - 1);
	}
	msg_begin(m, GRANT_FRAME);
	put_frame(&m->out, 1, &f);
	for (int i = 0; i < 64; i++)
		wbuf_u32(&m->out, 1);
	assert_int_equal(m->out.err, 0);
	free(m);
}

static void truncated(void **state)
{
	struct device_frame f = example(), got;
	uint8_t data[512];
	struct wbuf w = wbuf_of(data, sizeof(data));
	uint64_t buffer;

	put_frame(&w, 3, &f);
	for (size_t len = 0; len < w.len; len++) {
		struct rbuf r = rbuf_of(data, len);

		assert_true(get_frame(&r, &buffer, &got) < 0);
	}
}

/* Whatever is flipped: refused, or everything within its bounds and printable. */
static void flipped(void **state)
{
	struct device_frame f = example();
	uint8_t data[512];
	struct wbuf w = wbuf_of(data, sizeof(data));
	int refused = 0;

	put_frame(&w, 3, &f);
	for (size_t bit = 0; bit < w.len * 8; bit++) {
		struct device_frame got = {0};
		uint64_t buffer;

		data[bit / 8] ^= (uint8_t)(1u << bit % 8);
		struct rbuf r = rbuf_of(data, w.len);
		if (get_frame(&r, &buffer, &got) < 0) {
			refused++;
		} else {
			assert_true(got.bytes <= DEVICE_FRAME_BYTES_MAX);
			assert_true(got.n_attrs <= DEVICE_FRAME_ATTRS_MAX);
			for (const char *c = got.id; *c; c++)
				assert_true(*c >= 32 && *c < 127);
			for (size_t i = 0; i < got.n_attrs; i++)
				assert_true(strlen(got.attrs[i].value) < sizeof(got.attrs[i].value));
		}
		data[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	assert_true(refused > 0);
}

static void texts_and_statuses(void **state)
{
	uint8_t data[64];
	char text[8];
	struct wbuf w = wbuf_of(data, sizeof(data));

	wbuf_str(&w, "1234567");
	wbuf_str(&w, "");
	wbuf_str(&w, "a\nb");
	struct rbuf r = rbuf_of(data, w.len);
	assert_int_equal(get_name(&r, text, sizeof(text)), 0);
	assert_string_equal(text, "1234567");
	struct rbuf again = r;
	assert_int_equal(get_text(&again, text, sizeof(text)), 0);
	assert_true(get_text(&again, text, sizeof(text)) < 0);
	assert_string_equal(text, "");
	assert_true(get_name(&r, text, sizeof(text)) < 0);
	r = rbuf_of(data, w.len);
	assert_true(get_text(&r, text, 7) < 0);

	static const int statuses[] = {0, -1, ERR_DENIED, ERR_DEVICE};
	for (size_t i = 0; i < ARRAY_LEN(statuses); i++) {
		w = wbuf_of(data, sizeof(data));
		put_status(&w, statuses[i]);
		r = rbuf_of(data, w.len);
		assert_int_equal(get_status(&r), statuses[i]);
		assert_int_equal(r.err, 0);
	}
	w = wbuf_of(data, sizeof(data));
	wbuf_u32(&w, 1);
	r = rbuf_of(data, w.len);
	assert_true(get_status(&r) < 0);
	assert_true(r.err < 0);
}

static void backoff(void **state)
{
	int64_t last = 0, wait, before = 0;

	for (int i = 0; i < 20; i++) {
		last = backoff_next(last, &wait);
		assert_true(wait > last / 2 - 1000 && wait <= last);
		assert_true(last <= BACKOFF_MAX_NS);
		assert_true(i == 0 ? last == BACKOFF_MIN_NS : last == 2 * before || last == BACKOFF_MAX_NS);
		before = last;
	}
	assert_true(last == BACKOFF_MAX_NS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(round_trip),
		cmocka_unit_test(the_largest_fits),
		cmocka_unit_test(truncated),
		cmocka_unit_test(flipped),
		cmocka_unit_test(texts_and_statuses),
		cmocka_unit_test(backoff),
	};

	return cmocka_run_group_tests_name("broker-protocol", tests, NULL, NULL);
}
