/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ground link, both ends: products go down from perigeed in signed batches, by CFDP in space packets over
 * UDP, and `perigee receive` checks them and files the results.
 */
#ifndef GROUND_H
#define GROUND_H

#include <cjson/cJSON.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "core/artifact.h"
#include "core/err.h"
#include "core/store.h"

/* ---- keys ---- */

/* Makes PREFIX.key (mode 0600, no password) and PREFIX.pub in the minisign format. -EEXIST: there is such a
 * key. */
WARN_UNUSED int keys_generate(const char *prefix);

struct ground_key; /* a secret key in memory */

/* Loads a minisign secret key without a password; ERR_KEY when it is not one or anybody but its owner may
 * read it. To be called before privileges are given up. */
WARN_UNUSED int ground_key_load(const char *path, struct ground_key **ret_key);
/* Wipes it. */
void ground_key_destroy(struct ground_key *key);

/* ---- the downlink, on board ---- */

#define PRODUCT_NAME_BYTES 64
#define PRODUCT_TYPE_BYTES 16
#define PRODUCT_BYTES_MAX (UINT64_C(192) << 20) /* the ground refuses files above 256 MiB */

/* An artifact that goes to the ground. workflow, stage, name: [A-Za-z0-9][A-Za-z0-9._-]*; type the same or
 * "". */
struct product {
	int64_t run; /* identity of the run, above 0 */
	char workflow[PRODUCT_NAME_BYTES];
	char stage[PRODUCT_NAME_BYTES];
	char name[PRODUCT_NAME_BYTES];
	char type[PRODUCT_TYPE_BYTES]; /* as the workflow declares it: "json", "" when it does not */
	struct digest digest;
	uint64_t bytes;
	int priority; /* 0..255, larger goes first */
	int64_t keep_ns; /* it is kept on board so long, also when the ground has it; 0: until then */
};

struct downlink_options {
	const char *spacecraft; /* [A-Za-z0-9][A-Za-z0-9._-]*, at most 48 bytes; copied */
	const char *mission;    /* copied */
	const char *dir;        /* where batches wait, made when it is missing; copied */
	struct sockaddr_in to, from;
	uint64_t batch_bytes_max;     /* of the blobs in a batch; one larger product goes alone. 0: 4 MiB */
	uint64_t rate_bytes_per_s;    /* 0: as fast as the link takes it */
	int64_t ack_ns;               /* CFDP: first wait for an answer, above the round trip. 0: 1 s */
	const struct ground_key *key; /* copied */
	/* What is known of a run, for the manifest: an object that the downlink deletes, or NULL. */
	cJSON *(*run_provenance)(void *user, int64_t run);
	/* A batch was acknowledged by the ground, and that is committed. May be NULL. */
	void (*on_acknowledged)(void *user, const char *batch, unsigned products);
	void *user;
};

struct downlink;

/* Opens the tables and the socket, and sends again what the ground has not acknowledged. The store and the
 * artifacts are borrowed until the loop has run dry after downlink_destroy. ERR_STORE, -errno of the folder
 * or the socket, ERR_FORMAT: a name is not valid. */
WARN_UNUSED int downlink_create(uv_loop_t *loop, struct store *store, struct artifacts *artifacts,
	const struct downlink_options *options, struct downlink **ret_downlink);
/* Stops; all of it is freed once its handles and its worker have ended, in the loop. No callback comes any
 * more. What was not acknowledged goes on at the next start. */
void downlink_destroy(struct downlink *d);
/* Puts a product into the queue, in the turn that is open (or opens one). One that is there already (the same
 * run, stage, name and digest) is left as it is: 0. ERR_FORMAT: a field is not
 * valid. ERR_STORE. */
WARN_UNUSED int downlink_product(struct downlink *d, const struct product *product);
/* Nothing queued, nothing under way? */
bool downlink_idle(const struct downlink *d);
/* {queued, batched, acknowledged, failed, bytes_queued, bytes_acknowledged (of products), batches: {sending,
 * acknowledged}, bytes_sent, link: {…}}. The caller deletes it; NULL when out of memory or of the database.
 */
cJSON *downlink_status(struct downlink *d);
/* The port that was bound. */
uint16_t downlink_port(const struct downlink *d);

/* Retention. The tables are there also without a downlink: what waits may go down when there is one again. */
WARN_UNUSED int products_prepare(struct store *store);
/* Whether a product of the run waits for the ground, or is promised to be kept: 1, 0, ERR_STORE. */
WARN_UNUSED int products_need(struct store *store, int64_t run);
/* Within the turn: the products of a run that none is needed of, and batches that are empty by that. */
WARN_UNUSED int products_forget(struct store *store, int64_t run);
/* For a worker with a store of its own. Whether such a product is this artifact: 1, 0, ERR_STORE. */
WARN_UNUSED int products_want(struct store *store, const struct digest *digest);

/* ---- the receiver, on the ground ---- */

struct receive_options {
	struct sockaddr_in listen;
	struct sockaddr_in to;    /* family 0: whoever sent last */
	const char *out;          /* folder, made when it is missing */
	const char *key;          /* minisign public key file */
	unsigned once_batches;    /* end when so many batches were accepted in this life; 0: never */
	unsigned once_runs;       /* end when so many runs have results in the folder; 0: never */
	uint64_t batch_bytes_max; /* larger files are refused; 0: 256 MiB */
	int64_t ack_ns;           /* as in downlink_options */
	bool json;                /* one JSON object a line instead of text */
	FILE *report;             /* lines about batches and results, borrowed; NULL: none */
};

struct receive;

/* Everything on a loop of the caller's. What an earlier, killed life left in the folder is finished first. */
WARN_UNUSED int receive_create(
	uv_loop_t *loop, const struct receive_options *options, struct receive **ret_receive);
/* Freed when its handles have closed, in the loop. */
void receive_destroy(struct receive *r);
/* The port that was bound. */
uint16_t receive_port(const struct receive *r);
/* Have once_batches or once_runs been reached, and does the sender know? */
bool receive_done(const struct receive *r);

struct receive_counts {
	unsigned batches, refused, repeated; /* accepted, kept aside, had already; in this life */
	unsigned runs;                       /* with results in the folder, of all lives */
	unsigned results, duplicates;        /* product files new, there already; in this life */
	uint64_t bytes;                      /* of accepted batches, in this life */
};
void receive_counts(const struct receive *r, struct receive_counts *ret_counts);

/* Runs a loop of its own until it is done, or SIGINT or SIGTERM: 0. Negative as receive_create. */
WARN_UNUSED int receive_run(const struct receive_options *options);
/* The command `perigee receive`, argv[0] being "receive"; its exit code. */
int receive_main(int argc, char **argv);

#endif
