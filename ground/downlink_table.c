/* SPDX-License-Identifier: Apache-2.0 */
#include "downlink_table.h"

#include <errno.h>
#include <string.h>

static const char *const schema[] = {
	"CREATE TABLE product("
	" id INTEGER PRIMARY KEY,"
	" run INTEGER NOT NULL,"
	" workflow TEXT NOT NULL,"
	" stage TEXT NOT NULL,"
	" name TEXT NOT NULL,"
	" type TEXT NOT NULL,"
	" digest BLOB NOT NULL,"
	" bytes INTEGER NOT NULL,"
	" priority INTEGER NOT NULL,"
	" created INTEGER NOT NULL,"         /* UTC, ns */
	" state INTEGER NOT NULL DEFAULT 0," /* enum product_state */
	" batch INTEGER REFERENCES batch(seq),"
	" reason TEXT,"
	" UNIQUE(run, stage, name, digest));"
	"CREATE INDEX product_queue ON product(priority DESC, id) WHERE state = 0;"
	"CREATE INDEX product_batch ON product(batch);"
	"CREATE TABLE batch("
	" seq INTEGER PRIMARY KEY AUTOINCREMENT," /* a number is never given twice */
	" name TEXT NOT NULL UNIQUE,"
	" state INTEGER NOT NULL," /* enum batch_state */
	" bytes INTEGER NOT NULL,"
	" digest BLOB NOT NULL,"
	" created INTEGER NOT NULL,"
	" acknowledged INTEGER);"
	"CREATE TABLE ground_counter(name TEXT PRIMARY KEY, value INTEGER NOT NULL);",

	"ALTER TABLE product ADD COLUMN keep_until INTEGER NOT NULL DEFAULT 0;" /* UTC, ns */
	"CREATE INDEX product_digest ON product(digest)",
};

int table_open(struct store *s)
{
	return store_schema(s, "ground", schema, ARRAY_LEN(schema));
}

int table_add(struct store *s, const struct product *p)
{
	bool too_large = p->bytes > PRODUCT_BYTES_MAX;
	return store_exec(s,
		"INSERT INTO product(run, workflow, stage, name, type, digest, bytes, priority, created, "
		"state,"
		" reason, keep_until) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
		"ittttbiiiiti", p->run, p->workflow, p->stage, p->name, p->type, p->digest.bytes, DIGEST_BYTES,
		(int64_t)p->bytes, (int64_t)p->priority, clock_utc().ns,
		(int64_t)(too_large ? PRODUCT_FAILED : PRODUCT_QUEUED),
		too_large ? "larger than the ground takes" : NULL, p->keep_ns ? clock_utc().ns + p->keep_ns : 0);
}

static void text_of(sqlite3_stmt *q, int column, char *ret, size_t cap)
{
	const char *text = (const char *)sqlite3_column_text(q, column);
	snprintf(ret, cap, "%s", text ? text : "");
}

static int digest_of(sqlite3_stmt *q, int column, struct digest *ret)
{
	const void *data = sqlite3_column_blob(q, column);
	if (!data || sqlite3_column_bytes(q, column) != DIGEST_BYTES)
		return ERR_STORE;
	memcpy(ret->bytes, data, DIGEST_BYTES);
	return 0;
}

/* Is this run among those of the first n products, or is there room for another? */
static bool run_fits(const struct product *products, size_t n, int64_t run, size_t runs_max)
{
	size_t runs = 0;
	for (size_t i = 0; i < n; i++) {
		if (products[i].run == run)
			return true;
		bool first = true;
		for (size_t k = 0; k < i && first; k++)
			first = products[k].run != products[i].run;
		runs += first;
	}
	return runs < runs_max;
}

int table_pick(struct store *s, uint64_t bytes_max, size_t max, size_t runs_max, struct product *ret_products,
	int64_t *ret_ids)
{
	sqlite3_stmt *q = store_query(s,
		"SELECT id, run, workflow, stage, name, type, digest, bytes, priority FROM product"
		" WHERE state = 0 ORDER BY priority DESC, id LIMIT ?",
		"i", (int64_t)(4 * max));
	size_t n = 0;
	uint64_t total = 0;
	int rc;
	if (!q)
		return ERR_STORE;
	while (n < max && (rc = sqlite3_step(q)) == SQLITE_ROW) {
		struct product *p = &ret_products[n];
		uint64_t bytes = (uint64_t)sqlite3_column_int64(q, 7);
		int64_t run = sqlite3_column_int64(q, 1);
		if (n && (bytes > bytes_max || total > bytes_max - bytes))
			continue; /* what fits behind it may go now */
		if (!run_fits(ret_products, n, run, runs_max))
			continue;
		*p = (struct product){.run = run, .bytes = bytes, .priority = sqlite3_column_int(q, 8)};
		text_of(q, 2, p->workflow, sizeof(p->workflow));
		text_of(q, 3, p->stage, sizeof(p->stage));
		text_of(q, 4, p->name, sizeof(p->name));
		text_of(q, 5, p->type, sizeof(p->type));
		if (digest_of(q, 6, &p->digest) < 0) {
			sqlite3_reset(q);
			return ERR_STORE;
		}
		ret_ids[n++] = sqlite3_column_int64(q, 0);
		total += bytes;
	}
	sqlite3_reset(q);
	return n == max || rc == SQLITE_DONE ? (int)n : ERR_STORE;
}

/* The one integer that a query gives. */
static int one(sqlite3_stmt *q, int64_t *ret)
{
	if (!q || sqlite3_step(q) != SQLITE_ROW) {
		sqlite3_reset(q);
		return ERR_STORE;
	}
	*ret = sqlite3_column_int64(q, 0);
	sqlite3_reset(q);
	return 0;
}

int table_next_batch(struct store *s, int64_t *ret_seq)
{
	return one(store_query(s, "SELECT coalesce(max(seq), 0) + 1 FROM batch", ""), ret_seq);
}

int table_batch_made(struct store *s, int64_t seq, const char *name, uint64_t bytes,
	const struct digest *digest, struct utc_time created, const int64_t *ids, size_t n)
{
	int r = store_change(s);
	if (r >= 0)
		r = store_exec(s,
			"INSERT INTO batch(seq, name, state, bytes, digest, created) VALUES(?, ?, ?, ?, ?, "
			"?)",
			"itiibi", seq, name, (int64_t)BATCH_SENDING, (int64_t)bytes, digest->bytes,
			DIGEST_BYTES, created.ns);
	for (size_t i = 0; r >= 0 && i < n; i++)
		r = store_exec(s, "UPDATE product SET state = 1, batch = ? WHERE id = ? AND state = 0", "ii",
			seq, ids[i]);
	return r;
}

int table_unfinished(
	struct store *s, int64_t *ret_seq, char ret_name[BATCH_NAME_BYTES], struct digest *ret_digest)
{
	sqlite3_stmt *q = store_query(
		s, "SELECT seq, name, digest FROM batch WHERE state = 1 ORDER BY seq LIMIT 1", "");
	if (!q)
		return ERR_STORE;
	int rc = sqlite3_step(q), r = rc == SQLITE_DONE ? 0 : ERR_STORE;
	if (rc == SQLITE_ROW) {
		*ret_seq = sqlite3_column_int64(q, 0);
		text_of(q, 1, ret_name, BATCH_NAME_BYTES);
		r = digest_of(q, 2, ret_digest);
		r = r < 0 ? r : 1;
	}
	sqlite3_reset(q);
	return r;
}

int table_batch_waits(struct store *s, const char *name)
{
	int64_t n;
	int r = one(store_query(s, "SELECT count(*) FROM batch WHERE name = ? AND state = 1", "t", name), &n);
	return r < 0 ? r : n > 0;
}

int table_batch_acknowledged(struct store *s, int64_t seq, struct utc_time now, unsigned *ret_n)
{
	int r = store_change(s);
	if (r >= 0)
		r = store_exec(
			s, "UPDATE batch SET state = 2, acknowledged = ? WHERE seq = ?", "ii", now.ns, seq);
	if (r >= 0)
		r = store_exec(s, "UPDATE product SET state = 2 WHERE batch = ? AND state = 1", "i", seq);
	if (r >= 0)
		*ret_n = (unsigned)sqlite3_changes(store_db(s));
	return r;
}

int table_batch_lost(struct store *s, int64_t seq)
{
	int r = store_change(s);
	if (r >= 0)
		r = store_exec(s, "UPDATE batch SET state = 3 WHERE seq = ?", "i", seq);
	if (r >= 0)
		r = store_exec(s, "UPDATE product SET state = 0, batch = NULL WHERE batch = ? AND state = 1",
			"i", seq);
	return r;
}

int table_product_failed(struct store *s, int64_t id, const char *reason)
{
	int r = store_change(s);
	return r < 0 ? r
		     : store_exec(s, "UPDATE product SET state = 3, reason = ? WHERE id = ? AND state = 0",
			       "ti", reason, id);
}

int table_transactions(struct store *s, unsigned n, uint64_t *ret_first)
{
	int64_t next;
	int r = store_change(s);
	/* It begins at the time of day, so that a spacecraft whose database was lost does not begin again
	 * at 1. */
	if (r >= 0)
		r = store_exec(s,
			"INSERT INTO ground_counter(name, value) VALUES('transaction', ?) ON CONFLICT DO "
			"NOTHING",
			"i", (clock_utc().ns / NS_PER_S) & INT32_MAX);
	if (r >= 0)
		r = one(store_query(s, "SELECT value FROM ground_counter WHERE name = 'transaction'", ""),
			&next);
	if (r >= 0 && (next < 1 || next > UINT32_MAX - n))
		next = 1;
	if (r >= 0)
		r = store_exec(s, "UPDATE ground_counter SET value = ? WHERE name = 'transaction'", "i",
			next + (int64_t)n);
	if (r >= 0)
		*ret_first = (uint64_t)next;
	return r;
}

int table_totals(struct store *s, struct table_totals *ret)
{
	struct table_totals t = {0};
	int rc;
	sqlite3_stmt *q =
		store_query(s, "SELECT state, count(*), sum(bytes) FROM product GROUP BY state", "");
	if (!q)
		return ERR_STORE;
	while ((rc = sqlite3_step(q)) == SQLITE_ROW) {
		int state = sqlite3_column_int(q, 0);
		if (state >= 0 && state < PRODUCT_STATE_MAX) {
			t.products[state] = sqlite3_column_int64(q, 1);
			t.bytes[state] = sqlite3_column_int64(q, 2);
		}
	}
	sqlite3_reset(q);
	if (rc != SQLITE_DONE)
		return ERR_STORE;
	q = store_query(s, "SELECT state, count(*) FROM batch GROUP BY state", "");
	if (!q)
		return ERR_STORE;
	while ((rc = sqlite3_step(q)) == SQLITE_ROW) {
		int state = sqlite3_column_int(q, 0);
		if (state >= 0 && state < BATCH_STATE_MAX)
			t.batches[state] = sqlite3_column_int64(q, 1);
	}
	sqlite3_reset(q);
	if (rc != SQLITE_DONE)
		return ERR_STORE;
	*ret = t;
	return 0;
}
