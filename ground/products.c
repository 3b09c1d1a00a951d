/* SPDX-License-Identifier: Apache-2.0 */
/* How long products, and the runs that they are of, must stay on board; the tables are those of
 * downlink_table.c. */
#include "downlink_table.h"

#define FORGET_AT_ONCE 64

int products_prepare(struct store *store)
{
	return table_open(store);
}

static int yes(sqlite3_stmt *q)
{
	int r = q && sqlite3_step(q) == SQLITE_ROW ? sqlite3_column_int(q, 0) : ERR_STORE;

	if (q)
		sqlite3_reset(q);
	return r;
}

int products_need(struct store *store, int64_t run)
{
	return yes(store_query(store,
		"SELECT EXISTS(SELECT 1 FROM product WHERE run = ? AND (state < 2 OR keep_until > ?))", "ii",
		run, clock_utc().ns));
}

int products_want(struct store *store, const struct digest *digest)
{
	return yes(store_query(store,
		"SELECT EXISTS(SELECT 1 FROM product WHERE digest = ? AND (state < 2 OR keep_until > ?))",
		"bi", digest->bytes, DIGEST_BYTES, clock_utc().ns));
}

/* The newest batch stays: its number must not be given twice. */
static int forget_batch(struct store *store, int64_t seq)
{
	return store_exec(store,
		"DELETE FROM batch WHERE seq = ?1 AND state <> 1 AND seq < (SELECT max(seq) FROM batch)"
		" AND NOT EXISTS (SELECT 1 FROM product WHERE batch = ?1)",
		"i", seq);
}

/* Some of them: how many. */
static int forget_some(struct store *store, int64_t run, int64_t ret_batches[FORGET_AT_ONCE])
{
	sqlite3_stmt *q = store_query(store,
		"DELETE FROM product WHERE id IN (SELECT id FROM product WHERE run = ? LIMIT ?) RETURNING "
		"batch",
		"ii", run, (int64_t)FORGET_AT_ONCE);
	int n = 0, rc = SQLITE_ERROR;

	while (q && n < FORGET_AT_ONCE && (rc = sqlite3_step(q)) == SQLITE_ROW)
		ret_batches[n++] = sqlite3_column_int64(q, 0);
	if (n == FORGET_AT_ONCE && rc == SQLITE_ROW)
		rc = sqlite3_step(q);
	if (q)
		sqlite3_reset(q);
	return rc == SQLITE_DONE ? n : ERR_STORE;
}

int products_forget(struct store *store, int64_t run)
{
	int64_t batches[FORGET_AT_ONCE];
	int r = store_change(store), n = FORGET_AT_ONCE;

	while (r == 0 && n == FORGET_AT_ONCE) {
		n = forget_some(store, run, batches);
		r = n < 0 ? n : 0;
		for (int i = 0; r == 0 && i < n; i++)
			r = batches[i] ? forget_batch(store, batches[i]) : 0;
	}
	return r;
}
