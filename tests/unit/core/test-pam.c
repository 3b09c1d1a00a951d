/* SPDX-License-Identifier: Apache-2.0 */
#include "core/macro.h"
#include "core/pam.h"
#include "helpers.h"

static int parse_n(const char *text, size_t len, struct pam *p)
{
	char *exact = malloc(len + !len);
	assert_non_null(exact);
	memcpy(exact, text, len);
	int n = pam_parse(exact, len, p);
	free(exact);
	return n;
}

static void assert_pam(
	const char *text, int header, uint32_t w, uint32_t h, uint32_t d, uint32_t m, const char *type)
{
	struct pam p;

	assert_int_equal(parse_n(text, strlen(text), &p), header);
	assert_int_equal(p.width, w);
	assert_int_equal(p.height, h);
	assert_int_equal(p.depth, d);
	assert_int_equal(p.maxval, m);
	assert_string_equal(p.tupltype, type);
}

static void the_three_forms(void **state)
{
	assert_pam("P7\nWIDTH 3\nHEIGHT 2\nDEPTH 6\nMAXVAL 65535\nTUPLTYPE "
		   "BLUE,GREEN,RED,NIR,SWIR16,SWIR22\nENDHDR\nx",
		90, 3, 2, 6, 65535, "BLUE,GREEN,RED,NIR,SWIR16,SWIR22");
	assert_pam("P6\n640 480\n255\nxxx", 15, 640, 480, 3, 255, "RGB");
	assert_pam("P5\n640 480\n65535\nxxx", 17, 640, 480, 1, 65535, "GRAYSCALE");
}

static void freedom_of_the_writer(void **state)
{
	/* Comments, blank lines, order, spaces, no tuple type. */
	assert_pam("P7\n# hi\nHEIGHT 2\n\n  WIDTH\t 3 \nMAXVAL 255\n#x\nDEPTH 1\nENDHDR\n", 59, 3, 2, 1, 255,
		"");
	assert_pam("P7\nWIDTH 1\nHEIGHT 1\nDEPTH 3\nMAXVAL 1\nTUPLTYPE A B\nTUPLTYPE C\nENDHDR\n", 68, 1, 1,
		3, 1, "A B C");
	assert_pam("P6 # made by hand\n# more\n 2\t3\r\n# and\n255 \n", 41, 2, 3, 3, 255, "RGB");
	/* Exactly one white space after the last number: the next is a sample. */
	assert_pam("P5 2 3 255\n\n\n", 11, 2, 3, 1, 255, "GRAYSCALE");
}

static void refused(void **state)
{
	static const char *const texts[] = {
		"",
		"P",
		"P5",
		"P4\n1 1\n",
		"P2\n1 1 255\n",
		"X5\n1 1 255\n",
		"P51 1 255\n",
		"P5\n0 1 255\n",
		"P5\n1 0 255\n",
		"P5\n1 1 0\n",
		"P5\n1 1 65536\n",
		"P5\n65536 1 255\n",
		"P5\n4294967297 1 255\n",
		"P5\n-1 1 255\n",
		"P5\n1 1 255",
		"P5\n1 1 255x",
		"P5\n1 1\n",
		"P5\n# 1 1 255\n",
		"P7 WIDTH 1\nHEIGHT 1\nDEPTH 1\nMAXVAL 1\nENDHDR\n",
		"P7\nWIDTH 1\nHEIGHT 1\nDEPTH 1\nENDHDR\n",
		"P7\nWIDTH 1\nWIDTH 1\nHEIGHT 1\nDEPTH 1\nMAXVAL 1\nENDHDR\n",
		"P7\nWIDTH 1 2\nHEIGHT 1\nDEPTH 1\nMAXVAL 1\nENDHDR\n",
		"P7\nWIDTH\nHEIGHT 1\nDEPTH 1\nMAXVAL 1\nENDHDR\n",
		"P7\nWIDTH 1\nHEIGHT 1\nDEPTH 33\nMAXVAL 1\nENDHDR\n",
		"P7\nWIDTH 65536\nHEIGHT 1\nDEPTH 1\nMAXVAL 1\nENDHDR\n",
		"P7\nWIDTH 1\nHEIGHT 1\nDEPTH 1\nMAXVAL 1\nCOLOUR 1\nENDHDR\n",
		"P7\nWIDTH 1\nHEIGHT 1\nDEPTH 1\nMAXVAL 1\nTUPLTYPE\nENDHDR\n",
		"P7\nWIDTH 1\nHEIGHT 1\nDEPTH 1\nMAXVAL 1\nTUPLTYPE \xc3\xa9\nENDHDR\n",
		"P7\nWIDTH 1\nHEIGHT 1\nDEPTH 1\nMAXVAL 1\nENDHDR",
	};
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct pam p = {.width = 42};
		if (parse_n(texts[i], strlen(texts[i]), &p) != -1)
			fail_msg("taken: %s", texts[i]);
		assert_int_equal(p.width, 42);
	}
	struct pam p;
	const char zero[] = "P7\nWIDTH 1\0\nHEIGHT 1\nDEPTH 1\nMAXVAL 1\nENDHDR\n";
	assert_int_equal(parse_n(zero, sizeof(zero) - 1, &p), -1);
	char endless[4096];
	memset(endless, ' ', sizeof(endless));
	memcpy(endless, "P5", 2);
	memcpy(endless + 2000, "1 1 255\n", 8); /* beyond what a header may have */
	assert_int_equal(parse_n(endless, sizeof(endless), &p), -1);
	memset(endless, '\n', sizeof(endless));
	memcpy(endless, "P7", 2);
	assert_int_equal(parse_n(endless, sizeof(endless), &p), -1);
}

static void cut_anywhere(void **state)
{
	static const char text[] = "P7\nWIDTH 3\nHEIGHT 2\nDEPTH 3\nMAXVAL 255\nTUPLTYPE RGB\nENDHDR\n";
	static const char old[] = "P6 # c\n12 34 255\n";
	struct pam p;

	for (size_t n = 0; n < sizeof(text) - 1; n++)
		assert_int_equal(parse_n(text, n, &p), -1);
	assert_int_equal(parse_n(text, sizeof(text) - 1, &p), sizeof(text) - 1);
	for (size_t n = 0; n < sizeof(old) - 1; n++)
		assert_int_equal(parse_n(old, n, &p), -1);
	assert_int_equal(parse_n(old, sizeof(old) - 1, &p), sizeof(old) - 1);
}

static void long_tuple_types(void **state)
{
	char text[512], type[200];
	struct pam p;

	memset(type, 'T', sizeof(type));
	for (int n = 126; n <= 129; n++) {
		snprintf(text, sizeof(text),
			"P7\nWIDTH 1\nHEIGHT 1\nDEPTH 1\nMAXVAL 1\nTUPLTYPE %.*s\nENDHDR\n", n, type);
		assert_int_equal(parse_n(text, strlen(text), &p) > 0, n <= 127);
	}
	snprintf(text, sizeof(text),
		"P7\nWIDTH 1\nHEIGHT 1\nDEPTH 1\nMAXVAL 1\nTUPLTYPE %.64s\nTUPLTYPE %.63s\nENDHDR\n", type,
		type);
	assert_int_equal(parse_n(text, strlen(text), &p), -1); /* and the space between them */
}

static void round_trip(void **state)
{
	uint64_t seed = 6;

	for (int i = 0; i < 3000; i++) {
		struct pam p = {
			.width = (uint32_t)(1 + rnd(&seed) % PAM_SIDE_MAX),
			.height = (uint32_t)(1 + rnd(&seed) % PAM_SIDE_MAX),
			.depth = (uint32_t)(1 + rnd(&seed) % PAM_DEPTH_MAX),
			.maxval = (uint32_t)(1 + rnd(&seed) % 65535),
		};
		struct pam q;
		size_t type = rnd(&seed) % sizeof(p.tupltype);
		for (size_t k = 0; k < type; k++)
			p.tupltype[k] = (char)('!' + rnd(&seed) % 94);
		char text[PAM_HEADER_BYTES_MAX];
		int n = pam_format(&p, text, sizeof(text));
		assert_true(n > 0);
		assert_int_equal(strlen(text), n);
		assert_int_equal(parse_n(text, (size_t)n, &q), n);
		assert_true(p.width == q.width && p.height == q.height && p.depth == q.depth &&
			    p.maxval == q.maxval);
		assert_string_equal(p.tupltype, q.tupltype);
		assert_int_equal(pam_format(&p, text, (size_t)n), -1); /* no room for the zero */
		assert_int_equal(pam_format(&p, text, (size_t)n + 1), n);
	}
}

static void format_refuses(void **state)
{
	const struct pam good = {.width = 1, .height = 1, .depth = 1, .maxval = 255, .tupltype = "GRAYSCALE"};
	char text[PAM_HEADER_BYTES_MAX];
	struct pam p;

	assert_true(pam_format(&good, text, sizeof(text)) > 0);
#define BAD(change)                                                                                          \
	p = good;                                                                                            \
	change;                                                                                              \
	assert_int_equal(pam_format(&p, text, sizeof(text)), -1)
	BAD(p.width = 0);
	BAD(p.width = PAM_SIDE_MAX + 1);
	BAD(p.height = 0);
	BAD(p.height = PAM_SIDE_MAX + 1);
	BAD(p.depth = 0);
	BAD(p.depth = PAM_DEPTH_MAX + 1);
	BAD(p.maxval = 0);
	BAD(p.maxval = 65536);
	BAD(strcpy(p.tupltype, "A\nENDHDR"));
	BAD(strcpy(p.tupltype, " A"));
	BAD(strcpy(p.tupltype, "A "));
	BAD(memset(p.tupltype, 'x', sizeof(p.tupltype))); /* without its end */
#undef BAD
}

static void amounts(void **state)
{
	struct pam p = {.width = PAM_SIDE_MAX, .height = PAM_SIDE_MAX, .depth = PAM_DEPTH_MAX, .maxval = 256};

	assert_int_equal(pam_sample_bytes(&p), 2);
	assert_true(pam_data_bytes(&p) == UINT64_C(65535) * 65535 * 32 * 2);
	p.maxval = 255;
	assert_int_equal(pam_sample_bytes(&p), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_three_forms),
		cmocka_unit_test(freedom_of_the_writer),
		cmocka_unit_test(refused),
		cmocka_unit_test(cut_anywhere),
		cmocka_unit_test(long_tuple_types),
		cmocka_unit_test(round_trip),
		cmocka_unit_test(format_refuses),
		cmocka_unit_test(amounts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
