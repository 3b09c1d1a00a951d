/* SPDX-License-Identifier: Apache-2.0 */
#include "extents.h"

#include <errno.h>
#include <string.h>

void extents_finish(struct extents *e)
{
	free(e->at);
	*e = (struct extents){0};
}

/* The first range that ends at or after `pos`. */
static size_t find(const struct extents *e, uint64_t pos)
{
	size_t lo = 0, hi = e->n;
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		if (e->at[mid].end < pos)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

int extents_add(struct extents *e, uint64_t start, uint64_t end)
{
	if (start >= end)
		return 0;
	size_t i = find(e, start), j = i;
	while (j < e->n && e->at[j].start <= end) /* those that it touches become one */
		j++;
	if (j == i) {
		if (e->n == EXTENTS_MAX)
			return ERR_LIMIT;
		if (e->n == e->cap) {
			size_t cap = e->cap ? 2 * e->cap : 16;
			struct extent *at = reallocarray(e->at, cap, sizeof(*at));
			if (!at)
				return -ENOMEM;
			e->at = at;
			e->cap = cap;
		}
		memmove(e->at + i + 1, e->at + i, (e->n - i) * sizeof(*e->at));
		e->at[i] = (struct extent){start, end};
		e->n++;
		return 0;
	}
	if (e->at[i].start > start)
		e->at[i].start = start;
	e->at[i].end = e->at[j - 1].end > end ? e->at[j - 1].end : end;
	memmove(e->at + i + 1, e->at + j, (e->n - j) * sizeof(*e->at));
	e->n -= j - i - 1;
	return 0;
}

bool extents_gap(const struct extents *e, uint64_t from, uint64_t end, struct extent *ret_gap)
{
	size_t i = find(e, from);
	if (i < e->n && e->at[i].start <= from)
		from = e->at[i++].end;
	if (from >= end)
		return false;
	if (i < e->n && e->at[i].start < end)
		end = e->at[i].start;
	*ret_gap = (struct extent){from, end};
	return true;
}

bool extents_cover(const struct extents *e, uint64_t start, uint64_t end)
{
	struct extent gap;
	return !extents_gap(e, start, end, &gap);
}

bool extents_take(struct extents *e, uint64_t max, struct extent *ret_taken)
{
	if (!e->n)
		return false;
	struct extent taken = e->at[0];
	if (taken.end - taken.start > max) {
		taken.end = taken.start + max;
		e->at[0].start = taken.end;
	} else {
		memmove(e->at, e->at + 1, --e->n * sizeof(*e->at));
	}
	*ret_taken = taken;
	return true;
}
