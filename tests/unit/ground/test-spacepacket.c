/* SPDX-License-Identifier: Apache-2.0 */
#include "data.h"

#include "core/json.h"
#include "spacepacket.h"

static void test_known(void **state)
{
	/* TC, APID 2, count 5, four bytes. */
	const uint8_t raw[] = {0x10, 0x02, 0xc0, 0x05, 0x00, 0x03, 1, 2, 3, 4};
	struct spacepacket p;
	uint8_t out[16];
	assert_int_equal(spacepacket_decode(raw, sizeof(raw), &p), 10);
	assert_int_equal(p.type, SPACEPACKET_TELECOMMAND);
	assert_false(p.secondary);
	assert_int_equal(p.apid, 2);
	assert_int_equal(p.flags, SPACEPACKET_WHOLE);
	assert_int_equal(p.count, 5);
	assert_int_equal(p.len, 4);
	assert_memory_equal(p.data, raw + 6, 4);
	assert_int_equal(spacepacket_encode(&p, out, sizeof(out)), 10);
	assert_memory_equal(out, raw, 10);
}

static void test_bad(void **state)
{
	const uint8_t raw[] = {0x10, 0x02, 0xc0, 0x05, 0x00, 0x03, 1, 2, 3, 4};
	struct spacepacket p, was;
	uint8_t out[16];
	memset(&p, 0xa5, sizeof(p));
	was = p;
	for (size_t len = 0; len < sizeof(raw); len++) {
		assert_int_equal(spacepacket_decode(raw, len, &p), ERR_FORMAT);
		assert_memory_equal(&p, &was, sizeof(p));
	}
	for (unsigned version = 1; version < 8; version++) {
		memcpy(out, raw, sizeof(raw));
		out[0] = (uint8_t)(out[0] | version << 5);
		assert_int_equal(spacepacket_decode(out, sizeof(raw), &p), ERR_FORMAT);
	}
	p = (struct spacepacket){.flags = SPACEPACKET_WHOLE, .data = raw, .len = 1};
	assert_int_equal(spacepacket_encode(&p, out, 7), 7);
	assert_int_equal(spacepacket_encode(&p, out, 6), ERR_LIMIT);
	p.len = 0;
	assert_int_equal(spacepacket_encode(&p, out, sizeof(out)), ERR_FORMAT);
	p.len = SPACEPACKET_DATA_BYTES_MAX + 1;
	assert_int_equal(spacepacket_encode(&p, out, SIZE_MAX), ERR_FORMAT);
	p.len = 1;
	p.apid = 2048;
	assert_int_equal(spacepacket_encode(&p, out, sizeof(out)), ERR_FORMAT);
	p.apid = 1;
	p.count = 16384;
	assert_int_equal(spacepacket_encode(&p, out, sizeof(out)), ERR_FORMAT);
}

/* Whatever the bits, decode and encode agree or decode refuses. */
static void test_flips(void **state)
{
	const uint8_t raw[] = {0x18, 0x01, 0xc0, 0x00, 0x00, 0x06, 0x2f, 0x11, 0x01, 0x00, 0x00, 0x16, 0x1d};
	for (size_t bit = 0; bit < 8 * sizeof(raw); bit++) {
		uint8_t in[sizeof(raw)], out[sizeof(raw)];
		struct spacepacket p;
		memcpy(in, raw, sizeof(raw));
		in[bit / 8] ^= (uint8_t)(1u << bit % 8);
		int n = spacepacket_decode(in, sizeof(in), &p);
		if (n < 0)
			continue;
		assert_int_equal(spacepacket_encode(&p, out, sizeof(out)), n);
		assert_memory_equal(in, out, (size_t)n);
	}
}

static void test_gaps(void **state)
{
	static const struct {
		uint16_t count;
		uint64_t gaps, missing, late;
	} step[] = {
		{16382, 0, 0, 0},
		{16383, 0, 0, 0},
		{0, 0, 0, 0},
		{3, 1, 2, 0}, /* 1 and 2 are missing */
		{2, 1, 2, 1}, /* there it is */
		{3, 1, 2, 2}, /* twice */
		{4, 1, 2, 2},
	};
	struct spacepacket_counts c = {0};
	for (size_t i = 0; i < ARRAY_LEN(step); i++) {
		struct spacepacket p = {.apid = 7, .count = step[i].count};
		spacepacket_account(&c, &p);
		assert_int_equal(c.gaps, step[i].gaps);
		assert_int_equal(c.missing, step[i].missing);
		assert_int_equal(c.late, step[i].late);
	}
	struct spacepacket other = {.apid = 8, .count = 100}; /* each APID counts for itself */
	spacepacket_account(&c, &other);
	assert_int_equal(c.gaps, 1);
	assert_int_equal(c.received, ARRAY_LEN(step) + 1);
}

static void test_vectors(void **state)
{
	const char *path = data_path("ccsds/vectors.json");
	CLEAN_JSON cJSON *v = NULL;
	const cJSON *at;
	if (!path)
		skip();
	assert_int_equal(json_load(path, 1 << 20, &v), 0);
	unsigned n = 0;
	for (int k = 0; k < 2; k++) {
		cJSON_ArrayForEach(at, cJSON_GetObjectItem(v, k ? "pus" : "space_packet"))
		{
			uint8_t raw[64], out[64];
			struct spacepacket p;
			size_t len = from_hex(json_str(at, "hex"), raw, sizeof(raw));
			if (len == SPACEPACKET_HEADER_BYTES) /* the header alone, of a packet of one byte */
				raw[len++] = 0;
			assert_int_equal(spacepacket_decode(raw, len, &p), (int)len);
			assert_int_equal(p.secondary, k == 1);
			assert_int_equal(spacepacket_encode(&p, out, sizeof(out)), (int)len);
			assert_memory_equal(raw, out, len);
			n++;
		}
	}
	assert_true(n >= 5);
}

static void test_flight(void **state)
{
	const char *path = data_path("ccsds/jpss1_gps_apid11.dat");
	CLEAN_FREE char *raw = NULL;
	size_t len;
	struct spacepacket p;
	struct spacepacket_counts c = {0}, broken = {0};
	if (!path)
		skip();
	assert_int_equal(file_read(path, 1 << 20, &raw, &len), 0);
	for (size_t at = 0; at < len;) {
		int n = spacepacket_decode(raw + at, len - at, &p);
		assert_int_equal(n, 71);
		assert_int_equal(p.apid, 11);
		assert_true(p.secondary);
		spacepacket_account(&c, &p);
		if (c.received % 1000 != 500) /* 7 of 7200 lost */
			spacepacket_account(&broken, &p);
		at += (size_t)n;
	}
	assert_int_equal(c.received, 7200);
	assert_int_equal(c.gaps, 0);
	assert_int_equal(c.late, 0);
	assert_int_equal(broken.gaps, 7);
	assert_int_equal(broken.missing, 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_flips),
		cmocka_unit_test(test_gaps),
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_flight),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
