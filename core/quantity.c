/* SPDX-License-Identifier: Apache-2.0 */
/* Quantities that a person writes: a decimal number and a unit, nothing between them. */
#include <string.h>

#include "core/yaml.h"

struct unit {
	const char *name;
	uint64_t factor;
};

#define FRACTION_DIGITS_MAX 9

/* An exact value: the fraction must come out whole in the smallest unit ("1.5KiB" does, "0.5B" does not). */
static int parse_exact(
	const char *text, const struct unit *units, size_t n_units, uint64_t max, uint64_t *ret_value)
{
	const char *p = text;
	uint64_t whole = 0, fraction = 0, scale = 1;

	if (*p < '0' || *p > '9')
		return ERR_FORMAT;
	for (; *p >= '0' && *p <= '9'; p++)
		if (__builtin_mul_overflow(whole, 10, &whole) ||
			__builtin_add_overflow(whole, (uint64_t)(*p - '0'), &whole))
			return ERR_FORMAT;
	if (*p == '.') {
		int n = 0;
		for (p++; *p >= '0' && *p <= '9'; p++, n++) {
			if (n == FRACTION_DIGITS_MAX)
				return ERR_FORMAT;
			fraction = fraction * 10 + (uint64_t)(*p - '0');
			scale *= 10;
		}
		if (n == 0)
			return ERR_FORMAT;
	}
	for (size_t i = 0; i < n_units; i++) {
		if (strcmp(p, units[i].name) != 0)
			continue;
		unsigned __int128 v = (unsigned __int128)fraction * units[i].factor;
		if (v % scale != 0)
			return ERR_FORMAT;
		v = v / scale + (unsigned __int128)whole * units[i].factor;
		if (v > max)
			return ERR_FORMAT;
		*ret_value = (uint64_t)v;
		return 0;
	}
	return ERR_FORMAT;
}

int parse_size(const char *text, uint64_t *ret_bytes)
{
	static const struct unit units[] = {
		{"B", 1},
		{"KiB", UINT64_C(1) << 10},
		{"MiB", UINT64_C(1) << 20},
		{"GiB", UINT64_C(1) << 30},
		{"TiB", UINT64_C(1) << 40},
		{"kB", 1000},
		{"MB", 1000000},
		{"GB", 1000000000},
		{"TB", UINT64_C(1000000000000)},
	};
	/* Sizes end up in off_t and in SQLite's integers. */
	return parse_exact(text, units, ARRAY_LEN(units), INT64_MAX, ret_bytes);
}

int parse_duration(const char *text, int64_t *ret_ns)
{
	static const struct unit units[] = {
		{"ns", 1},
		{"us", 1000},
		{"ms", 1000000},
		{"s", UINT64_C(1000000000)},
		{"m", UINT64_C(60000000000)},
		{"h", UINT64_C(3600000000000)},
		{"d", UINT64_C(86400000000000)},
	};
	uint64_t ns;
	int r = parse_exact(text, units, ARRAY_LEN(units), INT64_MAX, &ns);
	if (r < 0)
		return r;
	*ret_ns = (int64_t)ns;
	return 0;
}

int parse_energy(const char *text, double *ret_j)
{
	/* In nanojoules, exactly: nine places of a joule are more than anybody measures. */
	static const struct unit units[] = {
		{"mJ", UINT64_C(1000000)},
		{"J", UINT64_C(1000000000)},
		{"kJ", UINT64_C(1000000000000)},
		{"MJ", UINT64_C(1000000000000000)},
	};
	uint64_t nj;
	int r = parse_exact(text, units, ARRAY_LEN(units), INT64_MAX, &nj);
	if (r < 0)
		return r;
	*ret_j = (double)nj / 1e9;
	return 0;
}
