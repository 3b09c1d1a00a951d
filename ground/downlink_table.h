/* SPDX-License-Identifier: Apache-2.0 */
/* The downlink's tables: every change is made in the turn that is open, and is durable when that ends. */
#ifndef GROUND_DOWNLINK_TABLE_H
#define GROUND_DOWNLINK_TABLE_H

#include "batch.h"

/* Numbers in the database: never change them. */
enum product_state {
	PRODUCT_QUEUED,
	PRODUCT_BATCHED,
	PRODUCT_ACKNOWLEDGED,
	PRODUCT_FAILED,
	PRODUCT_STATE_MAX
};
enum batch_state { BATCH_SENDING = 1, BATCH_ACKNOWLEDGED = 2, BATCH_LOST = 3, BATCH_STATE_MAX };

WARN_UNUSED int table_open(struct store *s);
WARN_UNUSED int table_add(struct store *s, const struct product *p);
/* The most valuable queued products that fit: by priority, then age, at most bytes_max together (but always
 * one), max of them, runs_max different runs. The number found; their rows' ids in ret_ids. */
WARN_UNUSED int table_pick(struct store *s, uint64_t bytes_max, size_t max, size_t runs_max,
	struct product *ret_products, int64_t *ret_ids);
/* The number of the next batch. */
WARN_UNUSED int table_next_batch(struct store *s, int64_t *ret_seq);
/* Notes a batch that is durable and about to be sent, with its products. */
WARN_UNUSED int table_batch_made(struct store *s, int64_t seq, const char *name, uint64_t bytes,
	const struct digest *digest, struct utc_time created, const int64_t *ids, size_t n);
/* The first batch that is not acknowledged. 1 when there is one, else 0. */
WARN_UNUSED int table_unfinished(
	struct store *s, int64_t *ret_seq, char ret_name[BATCH_NAME_BYTES], struct digest *ret_digest);
/* Is the batch of this name noted and not acknowledged? 1, 0. */
WARN_UNUSED int table_batch_waits(struct store *s, const char *name);
/* ret_n: products that are acknowledged with it. */
WARN_UNUSED int table_batch_acknowledged(struct store *s, int64_t seq, struct utc_time now, unsigned *ret_n);
/* Its file is gone or damaged: its products queue again. */
WARN_UNUSED int table_batch_lost(struct store *s, int64_t seq);
WARN_UNUSED int table_product_failed(struct store *s, int64_t id, const char *reason);
/* n numbers for CFDP transactions that were never used before. */
WARN_UNUSED int table_transactions(struct store *s, unsigned n, uint64_t *ret_first);

struct table_totals {
	int64_t products[PRODUCT_STATE_MAX], bytes[PRODUCT_STATE_MAX];
	int64_t batches[BATCH_STATE_MAX];
};
WARN_UNUSED int table_totals(struct store *s, struct table_totals *ret_totals);

#endif
