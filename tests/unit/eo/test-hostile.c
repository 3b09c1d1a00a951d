/* SPDX-License-Identifier: Apache-2.0 */
/* Malformed inputs of every stage: a reason, no output, no crash. Inputs are exact copies on the heap, so
 * that the sanitizers see every step past an end. */
#include "synth.h"

static const struct eo_params params;
static char reason[EO_REASON_BYTES];

static void *copy_of(const void *data, size_t len)
{
	void *copy = malloc(len ? len : 1);

	assert_non_null(copy);
	memcpy(copy, data, len);
	return copy;
}

static int cloud(const void *scene, size_t len)
{
	void *copy = copy_of(scene, len);
	struct eo_buf mask = {0}, report = {0};
	int r;

	reason[0] = 0;
	r = eo_stage_cloud(copy, len, &params, &mask, &report, reason);
	eo_buf_finish(&mask);
	eo_buf_finish(&report);
	free(copy);
	assert_true((r < 0) == (reason[0] != 0));
	return r;
}

static int identify(const void *scene, size_t scene_len, const void *mask, size_t mask_len)
{
	void *a = copy_of(scene, scene_len), *b = copy_of(mask, mask_len);
	struct eo_buf candidates = {0}, crops = {0};
	int r;

	reason[0] = 0;
	r = eo_stage_identify(a, scene_len, b, mask_len, &params, &candidates, &crops, reason);
	eo_buf_finish(&candidates);
	eo_buf_finish(&crops);
	free(a);
	free(b);
	assert_true((r < 0) == (reason[0] != 0));
	return r;
}

static int count(const void *candidates, size_t candidates_len, const void *crops, size_t crops_len)
{
	void *a = copy_of(candidates, candidates_len), *b = copy_of(crops, crops_len);
	struct eo_buf report = {0};
	int r;

	reason[0] = 0;
	r = eo_stage_count(a, candidates_len, b, crops_len, &params, &report, reason);
	eo_buf_finish(&report);
	free(a);
	free(b);
	assert_true((r < 0) == (reason[0] != 0));
	return r;
}

static struct synth sea_with_ships(void)
{
	struct synth s = synth_new(96, 96, 3);

	synth_fill(&s, SEA3, 2);
	synth_box(&s, 30, 50, 36, 8, 10, DECK3, 3);
	synth_box(&s, 70, 50, 30, 6, 80, WHITE3, 3);
	return s;
}

static void test_scene_headers(void **unused)
{
	static const struct {
		const char *header, *says;
	} bad[] = {
		{"", "not a PAM"},
		{"garbage, garbage, garbage", "not a PAM"},
		{"P7\nWIDTH 64\n", "not a PAM"},
		{"P5\n64 64\n255\n", "3 or 6 bands"},
		{"P6\n0 64\n255\n", "not a PAM"},
		{"P6\n8 8\n255\n", "too small"},
		{"P6\n64 64\n65535\n", "maxval"},
		{"P6\n65535 65535\n255\n", "too large"},
		{"P6\n4097 4097\n255\n", "too large"},
		{"P6\n4294967297 64\n255\n", "not a PAM"},
		{"P6\n64 64\n255\n", "cut short"},
		{"P7\nWIDTH 64\nHEIGHT 64\nDEPTH 4\nMAXVAL 255\nTUPLTYPE RGB_ALPHA\nENDHDR\n",
			"3 or 6 bands"},
		{"P7\nWIDTH 64\nHEIGHT 64\nDEPTH 3\nMAXVAL 255\nTUPLTYPE LAB\nENDHDR\n", "TUPLTYPE"},
		{"P7\nWIDTH 64\nHEIGHT 64\nDEPTH 6\nMAXVAL 65535\nTUPLTYPE A,B,C,D,E,F\nENDHDR\n",
			"TUPLTYPE"},
		{"P7\nWIDTH 64\nHEIGHT 64\nDEPTH 6\nMAXVAL 255\nTUPLTYPE "
		 "BLUE,GREEN,RED,NIR,SWIR16,SWIR22\nENDHDR\n",
			"maxval"},
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		if (cloud(bad[i].header, strlen(bad[i].header)) == 0 || !strstr(reason, bad[i].says))
			fail_msg("%s: \"%s\", expected \"%s\"", bad[i].header, reason, bad[i].says);
		assert_int_equal(identify(bad[i].header, strlen(bad[i].header), "P5\n1 1\n255\nx", 12), -1);
	}
}

static void test_scene_cut_short(void **unused)
{
	struct synth s = sea_with_ships();

	assert_int_equal(cloud(s.file, s.len), 0);
	for (size_t len = 0; len < 120; len++)
		assert_int_equal(cloud(s.file, len), -1);
	assert_int_equal(cloud(s.file, s.len / 2), -1);
	assert_int_equal(cloud(s.file, s.len - 1), -1);
	synth_free(&s);
}

/* Samples may be anything at all. */
static void test_scene_of_noise(void **unused)
{
	for (uint32_t depth = 3; depth <= 6; depth += 3)
		for (int round = 0; round < 4; round++) {
			struct synth s =
				synth_new(130 - 37 * (uint32_t)round, 61 + 20 * (uint32_t)round, depth);
			struct synth_run r;

			s.state = (uint64_t)round;
			for (size_t i = 0; s.px + i < s.file + s.len; i++)
				s.px[i] = round == 3 ? 255 : (uint8_t)(synth_random(&s) >> 7);
			synth_run(&s, &r);
			synth_run_free(&r);
			synth_free(&s);
		}
}

static void test_mask(void **unused)
{
	struct synth s = sea_with_ships();
	struct synth_run r;

	synth_run(&s, &r);
	assert_int_equal(identify(s.file, s.len, r.mask.data, r.mask.len), 0);
	for (size_t len = 0; len < r.mask.len; len += len < 40 ? 1 : 997)
		assert_int_equal(identify(s.file, s.len, r.mask.data, len), -1);
	assert_int_equal(identify(s.file, s.len, r.mask.data, r.mask.len - 1), -1);
	assert_int_equal(identify(s.file, s.len, s.file, s.len), -1);
	assert_non_null(strstr(reason, "one byte a pixel"));
	r.mask.data[r.mask.len - 5] = 5;
	assert_int_equal(identify(s.file, s.len, r.mask.data, r.mask.len), -1);
	assert_non_null(strstr(reason, "91,95"));
	r.mask.data[r.mask.len - 5] = 1;
	memcpy(r.mask.data, "P5\n95 96", 8);
	assert_int_equal(identify(s.file, s.len, r.mask.data, r.mask.len), -1);
	assert_non_null(strstr(reason, "95 x 96"));
	synth_run_free(&r);
	synth_free(&s);
}

static void test_any_mask_is_survived(void **unused)
{
	struct synth s = sea_with_ships();
	struct synth_run r;

	synth_run(&s, &r);
	for (int round = 0; round < 20; round++) {
		uint8_t *classes = r.mask.data + r.mask.len - 96 * 96;

		for (int i = 0; i < 96 * 96; i++)
			classes[i] =
				(uint8_t)(synth_random(&s) % 5 < (uint32_t)round % 5 ? 1
										     : synth_random(&s) % 5);
		assert_int_equal(identify(s.file, s.len, r.mask.data, r.mask.len), 0);
	}
	synth_run_free(&r);
	synth_free(&s);
}

static void test_crops(void **unused)
{
	struct synth s = sea_with_ships();
	struct synth_run r;

	synth_run(&s, &r);
	assert_int_equal(synth_number(&r.ships, "count"), 2);
	assert_int_equal(count(r.candidates.data, r.candidates.len, r.crops.data, r.crops.len), 0);
	for (size_t len = 0; len < r.crops.len; len += len < 200 ? 1 : 101)
		assert_int_equal(count(r.candidates.data, r.candidates.len, r.crops.data, len), -1);
	eo_buf_add(&r.crops, "more", 4);
	assert_int_equal(count(r.candidates.data, r.candidates.len, r.crops.data, r.crops.len), -1);
	assert_non_null(strstr(reason, "after the last"));
	r.crops.len -= 4;
	assert_int_equal(count("{\"bands\": 3, \"candidates\": []}", 31, r.crops.data, r.crops.len), -1);
	assert_int_equal(count(r.crops.data, r.crops.len, r.crops.data, r.crops.len), -1);
	assert_int_equal(count(r.candidates.data, r.candidates.len, r.candidates.data, r.candidates.len), -1);
	/* Any flipped bit of the headers and of some pixels: refused or counted, nothing worse. */
	for (size_t bit = 0; bit < 8 * r.crops.len; bit += bit < 8 * 100 ? 1 : 509) {
		r.crops.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
		(void)!count(r.candidates.data, r.candidates.len, r.crops.data, r.crops.len);
		r.crops.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	for (size_t bit = 0; bit < 8 * r.candidates.len; bit += 3) {
		r.candidates.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
		(void)!count(r.candidates.data, r.candidates.len, r.crops.data, r.crops.len);
		r.candidates.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	synth_run_free(&r);
	synth_free(&s);
}

static void test_buffer_has_a_limit(void **unused)
{
	static const char block[1 << 20];
	struct eo_buf b = {0};

	for (int i = 0; i < 64; i++)
		eo_buf_add(&b, block, sizeof(block));
	assert_false(b.failed);
	eo_buf_add(&b, block, 1);
	assert_true(b.failed);
	assert_int_equal(b.len, EO_BUF_MAX);
	eo_buf_finish(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_scene_headers),
		cmocka_unit_test(test_scene_cut_short),
		cmocka_unit_test(test_scene_of_noise),
		cmocka_unit_test(test_mask),
		cmocka_unit_test(test_any_mask_is_survived),
		cmocka_unit_test(test_crops),
		cmocka_unit_test(test_buffer_has_a_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
