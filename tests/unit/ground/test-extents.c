/* SPDX-License-Identifier: Apache-2.0 */
#include "data.h"

#include "extents.h"

#define SPACE 300

/* Against the simplest model: one flag a byte. */
static void test_model(void **state)
{
	for (uint64_t run = 1; run <= 200; run++) {
		uint64_t seed = run;
		struct extents e = {0};
		bool model[SPACE] = {0};
		for (int op = 0; op < 60; op++) {
			uint64_t start = rnd(&seed) % SPACE, end = start + rnd(&seed) % (SPACE - start + 1);
			if (chance(&seed, 70))
				end = start + rnd(&seed) % 12 < SPACE ? start + rnd(&seed) % 12 : SPACE;
			if (end > SPACE)
				end = SPACE;
			if (chance(&seed, 15)) {
				struct extent x;
				uint64_t most = 1 + rnd(&seed) % 20, first = 0;
				while (first < SPACE && !model[first])
					first++;
				bool any = extents_take(&e, most, &x);
				assert_int_equal(any, first < SPACE);
				if (!any)
					continue;
				assert_int_equal(x.start, first);
				assert_true(x.end > x.start && x.end - x.start <= most);
				for (uint64_t i = x.start; i < x.end; i++) {
					assert_true(model[i]);
					model[i] = false;
				}
				if (x.end < SPACE && x.end - x.start < most)
					assert_false(model[x.end]);
			} else {
				assert_int_equal(extents_add(&e, start, end), 0);
				for (uint64_t i = start; i < end; i++)
					model[i] = true;
			}
			for (size_t i = 0; i + 1 < e.n; i++)
				assert_true(e.at[i].end < e.at[i + 1].start);
			uint64_t from = rnd(&seed) % SPACE;
			struct extent gap = {0, 0};
			uint64_t want = from;
			while (want < SPACE && model[want])
				want++;
			uint64_t want_end = want;
			while (want_end < SPACE && !model[want_end])
				want_end++;
			assert_int_equal(extents_gap(&e, from, SPACE, &gap), want < SPACE);
			assert_int_equal(extents_cover(&e, from, SPACE), want == SPACE);
			if (want < SPACE) {
				assert_int_equal(gap.start, want);
				assert_int_equal(gap.end, want_end);
			}
		}
		extents_finish(&e);
	}
}

static void test_limit(void **state)
{
	struct extents e = {0};
	for (uint64_t i = 0; i < EXTENTS_MAX; i++)
		assert_int_equal(extents_add(&e, 2 * i, 2 * i + 1), 0);
	assert_int_equal(extents_add(&e, 3 * EXTENTS_MAX, 3 * EXTENTS_MAX + 1), ERR_LIMIT);
	assert_int_equal(e.n, EXTENTS_MAX);
	assert_int_equal(extents_add(&e, 1, 2), 0); /* closes a gap: always possible */
	assert_int_equal(e.n, EXTENTS_MAX - 1);
	assert_int_equal(extents_add(&e, UINT64_MAX - 1, UINT64_MAX), 0);
	assert_int_equal(extents_add(&e, 0, UINT64_MAX), 0);
	assert_int_equal(e.n, 1);
	extents_finish(&e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_model), cmocka_unit_test(test_limit)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
