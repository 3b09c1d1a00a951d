/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The folder of `perigee receive` behind the verification: where the products of a batch go.
 *
 *   OUT/results/RUN/STAGE.NAME.TYPE   the products (without .TYPE when it is "file" or none)
 *   OUT/results/RUN/run.json          what is known of the run, and the list of its products
 *   OUT/stac/                         catalog.json and one item a run (STAC 1.0.0)
 *
 * Whatever instant the process dies at, filing the same batch again gives the same folder. RUN is the run's
 * number; when a spacecraft has begun to count anew, another run of a number that is taken becomes RUN-2, and
 * so on.
 */
#ifndef GROUND_RESULTS_H
#define GROUND_RESULTS_H

#include "batch.h"

struct results {
	char *out;     /* owned */
	unsigned runs; /* in the folder */
};

enum result_what { RESULT_NEW, RESULT_DUPLICATE, RESULT_WHAT_MAX };

/* Makes the folders and counts the runs. */
WARN_UNUSED int results_open(const char *out, struct results *ret_results);
void results_finish(struct results *r);
/* Files all products of a batch whose blobs batch_unpack has put into `blobs`. on_result is called for each,
 * in order; `dir` is the run's folder below results, `file` the product's name in it. */
WARN_UNUSED int results_file(struct results *r, const struct batch *b, const char *blobs,
	void (*on_result)(void *user, const struct product *p, const char *dir, const char *file,
		enum result_what what),
	void *user);

/* ---- STAC, used by the above ---- */

/* Writes the item of a run from its run.json. dir: the run's folder below results. */
WARN_UNUSED int stac_item(const char *out, const char *dir, const cJSON *run);
/* Writes the catalogue of all items there are. */
WARN_UNUSED int stac_catalog(const char *out);

#endif
