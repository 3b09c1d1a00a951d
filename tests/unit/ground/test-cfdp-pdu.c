/* SPDX-License-Identifier: Apache-2.0 */
#include "data.h"

#include "cfdp_pdu.h"

static const struct cfdp_pdu base = {
	.toward_sender = true,
	.crc = true,
	.id_bytes = 2,
	.sequence_bytes = 4,
	.source = 300,
	.sequence = 70000,
	.destination = 2,
};

/* One of each kind. */
static size_t examples(struct cfdp_pdu out[8])
{
	static const uint8_t hello[] = "Hello World!";
	size_t n = 0;
	out[n] = base;
	out[n].kind = CFDP_FILE_DATA;
	out[n].data.offset = 4096;
	out[n].data.data = hello;
	out[n++].data.len = 12;
	out[n] = base;
	out[n].kind = CFDP_EOF;
	out[n].large = true;
	out[n].eof.checksum = 0x1c291ca3;
	out[n++].eof.bytes = UINT64_C(1) << 40;
	out[n] = base;
	out[n].kind = CFDP_FINISHED;
	out[n].finished.condition = CFDP_CHECKSUM_FAILURE;
	out[n].finished.incomplete = true;
	out[n++].finished.file_status = CFDP_REJECTED;
	out[n] = base;
	out[n].kind = CFDP_ACK;
	out[n].ack.of = CFDP_FINISHED;
	out[n].ack.condition = CFDP_CANCELLED;
	out[n++].ack.status = CFDP_TERMINATED;
	out[n] = base;
	out[n].kind = CFDP_METADATA;
	out[n].metadata.closure = true;
	out[n].metadata.checksum = CFDP_CRC32C;
	out[n].metadata.bytes = 12;
	strcpy(out[n].metadata.source_name, "a.tar");
	strcpy(out[n].metadata.name, "b.tar");
	out[n].metadata.has_digest = true;
	digest_data(hello, 12, &out[n++].metadata.digest);
	out[n] = base;
	out[n].kind = CFDP_NAK;
	out[n].nak.end = 9000;
	out[n].nak.n = 2;
	out[n].nak.segment[1] = (struct cfdp_segment){100, 200};
	n++;
	out[n] = base;
	out[n++].kind = CFDP_PROMPT;
	out[n] = base;
	out[n].kind = CFDP_KEEP_ALIVE;
	out[n++].keep_alive.progress = 77;
	return n;
}

static void same(const struct cfdp_pdu *a, const struct cfdp_pdu *b)
{
	uint8_t x[2048], y[2048];
	int n = cfdp_encode(a, x, sizeof(x));
	assert_true(n > 0);
	assert_int_equal(cfdp_encode(b, y, sizeof(y)), n);
	assert_memory_equal(x, y, (size_t)n);
}

static void test_round(void **state)
{
	struct cfdp_pdu p[8], q;
	size_t n = examples(p);
	for (size_t i = 0; i < n; i++) {
		for (int crc = 0; crc < 2; crc++) {
			uint8_t raw[2048];
			p[i].crc = crc;
			int len = cfdp_encode(&p[i], raw, sizeof(raw));
			assert_true(len > 0);
			assert_int_equal(cfdp_decode(raw, (size_t)len, &q), 0);
			same(&p[i], &q);
			assert_int_equal(q.kind, p[i].kind);
			assert_int_equal(q.source, 300);
			assert_int_equal(q.sequence, 70000);
			for (int cap = 0; cap < len; cap++)
				assert_int_equal(cfdp_encode(&p[i], raw, (size_t)cap), ERR_LIMIT);
		}
	}
	assert_int_equal(n, 8);
	assert_int_equal(q.keep_alive.progress, 77);
}

static void test_truncated_flipped(void **state)
{
	struct cfdp_pdu p[8], q;
	size_t n = examples(p);
	for (size_t i = 0; i < n; i++) {
		uint8_t raw[2048], cut[2048];
		int len = cfdp_encode(&p[i], raw, sizeof(raw));
		for (int l = 0; l < len; l++) {
			CLEAN_FREE uint8_t *exact =
				malloc((size_t)l + 1); /* so that reading past it is seen */
			memcpy(exact, raw, (size_t)l);
			assert_int_equal(cfdp_decode(exact, (size_t)l, &q), ERR_FORMAT);
		}
		raw[len] = 0;
		assert_int_equal(cfdp_decode(raw, (size_t)len + 1, &q), ERR_FORMAT);
		/* With a CRC, no bit may flip, but the one that says that there is a CRC. */
		for (int bit = 0; bit < 8 * len; bit++) {
			memcpy(cut, raw, (size_t)len);
			cut[bit / 8] ^= (uint8_t)(1u << bit % 8);
			if (bit != 1)
				assert_int_equal(cfdp_decode(cut, (size_t)len, &q), ERR_FORMAT);
		}
		/* Without one, what is taken can be written again and means the same. */
		p[i].crc = false;
		len = cfdp_encode(&p[i], raw, sizeof(raw));
		for (int bit = 0; bit < 8 * len; bit++) {
			uint8_t out[2048];
			struct cfdp_pdu again;
			memcpy(cut, raw, (size_t)len);
			cut[bit / 8] ^= (uint8_t)(1u << bit % 8);
			if (cfdp_decode(cut, (size_t)len, &q) < 0)
				continue;
			int m = cfdp_encode(&q, out, sizeof(out));
			assert_true(m > 0);
			assert_int_equal(cfdp_decode(out, (size_t)m, &again), 0);
			same(&q, &again);
		}
	}
}

static void test_limits(void **state)
{
	struct cfdp_pdu p = base, q;
	uint8_t raw[2048];
	p.kind = CFDP_EOF;
	p.eof.bytes = UINT64_C(1) << 32; /* needs `large` */
	assert_int_equal(cfdp_encode(&p, raw, sizeof(raw)), ERR_LIMIT);
	p.eof.bytes = 0;
	p.source = 65536;
	assert_int_equal(cfdp_encode(&p, raw, sizeof(raw)), ERR_LIMIT);
	/* A name with a zero in it: "a\0b". */
	p = base;
	p.kind = CFDP_METADATA;
	p.crc = false;
	strcpy(p.metadata.name, "a/b");
	int len = cfdp_encode(&p, raw, sizeof(raw));
	assert_int_equal(cfdp_decode(raw, (size_t)len, &q), 0);
	raw[len - 2] = 0;
	assert_int_equal(cfdp_decode(raw, (size_t)len, &q), ERR_FORMAT);
	/* A file as large as numbers go must not wrap around. */
	p = base;
	p.kind = CFDP_FILE_DATA;
	p.large = true;
	p.data.offset = UINT64_MAX;
	p.data.data = raw;
	p.data.len = 1;
	uint8_t out[64];
	len = cfdp_encode(&p, out, sizeof(out));
	assert_int_equal(cfdp_decode(out, (size_t)len, &q), ERR_FORMAT);
}

static void test_names(void **state)
{
	static const char *const good[] = {"a", "SAT-000001.tar", "SAT-000001.tar.minisig", "9_x"};
	static const char *const bad[] = {
		"", ".", "..", ".hidden", "-x", "a/b", "/tmp/x", "a b", "a\nb", "\xc3\xa9", "a\\b"};
	char name[129];
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		assert_true(cfdp_name_ok(good[i]));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(cfdp_name_ok(bad[i]));
	memset(name, 'a', 128);
	name[127] = name[128] = 0;
	assert_true(cfdp_name_ok(name));
	name[127] = 'a';
	assert_false(cfdp_name_ok(name));
}

static void test_sums(void **state)
{
	/* The check values of the catalogue of CRCs; the modular sum by hand. */
	struct cfdp_sum s;
	const char *nine = "123456789";
	assert_int_equal(crc16(nine, 9), 0x29b1);
	cfdp_sum_begin(&s, CFDP_CRC32C);
	cfdp_sum_add(&s, nine, 4);
	cfdp_sum_add(&s, nine + 4, 5);
	assert_int_equal(cfdp_sum_end(&s), 0xe3069283);
	cfdp_sum_begin(&s, CFDP_CRC32);
	cfdp_sum_add(&s, nine, 9);
	assert_int_equal(cfdp_sum_end(&s), 0xcbf43926);
	cfdp_sum_begin(&s, CFDP_MODULAR);
	cfdp_sum_add(&s, nine, 3);
	cfdp_sum_add(&s, nine + 3, 6);
	assert_int_equal(cfdp_sum_end(&s), 0x31323334u + 0x35363738u + 0x39000000u);
	cfdp_sum_begin(&s, CFDP_NULL);
	cfdp_sum_add(&s, nine, 9);
	assert_int_equal(cfdp_sum_end(&s), 0);
}

static void test_vectors(void **state)
{
	const char *path = data_path("ccsds/cfdp_pdus.hex");
	char line[512];
	if (!path)
		skip();
	CLEAN_FILE FILE *f = fopen(path, "r");
	assert_non_null(f);
	struct cfdp_pdu p[3];
	uint8_t raw[3][128];
	size_t n = 0;
	for (; n < 3 && fgets(line, sizeof(line), f); n++) {
		uint8_t out[128];
		size_t len = from_hex(line, raw[n], sizeof(raw[n]));
		assert_int_equal(cfdp_decode(raw[n], len, &p[n]), 0);
		assert_int_equal(cfdp_encode(&p[n], out, sizeof(out)), (int)len);
		assert_memory_equal(out, raw[n], len);
		assert_true(p[n].unacknowledged);
		assert_int_equal(p[n].source, 1);
		assert_int_equal(p[n].destination, 2);
	}
	assert_int_equal(n, 3);
	assert_int_equal(p[0].kind, CFDP_METADATA);
	assert_true(p[0].metadata.closure);
	assert_int_equal(p[0].metadata.checksum, CFDP_CRC32);
	assert_int_equal(p[0].metadata.bytes, 12);
	assert_string_equal(p[0].metadata.source_name, "/tmp/src-file.txt");
	assert_string_equal(p[0].metadata.name, "/tmp/dest-file.txt");
	assert_int_equal(p[1].data.offset, 0);
	assert_int_equal(p[1].data.len, 12);
	assert_memory_equal(p[1].data.data, "Hello World!", 12);
	struct cfdp_sum s;
	cfdp_sum_begin(&s, p[0].metadata.checksum);
	cfdp_sum_add(&s, p[1].data.data, p[1].data.len);
	assert_int_equal(cfdp_sum_end(&s), p[2].eof.checksum);
	assert_int_equal(p[2].eof.bytes, 12);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round),
		cmocka_unit_test(test_truncated_flipped),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_sums),
		cmocka_unit_test(test_vectors),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
