/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One batch at a time:
 *
 *   idle -> building (worker) -> noted in the database -> sending (CFDP) -> acknowledged, noted -> idle
 *
 * A crash while building leaves nothing but a file that is overwritten; after the note the batch is sent,
 * under the same name and with the same bytes, until the ground has both files, through any number of
 * restarts.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sodium.h>
#include <string.h>

#include "core/file.h"
#include "core/json.h"
#include "core/log.h"
#include "downlink_job.h"
#include "downlink_table.h"
#include "link.h"

#define BATCH_BYTES_DEFAULT (UINT64_C(4) << 20)
#define RUNS_MAX 128   /* in a batch */
#define RETRY_MS 15000 /* after a failure that may pass */
#define ENTITY_BOARD 1
#define ENTITY_GROUND 2

struct sending {
	int64_t seq;
	char name[BATCH_NAME_BYTES];
	struct batch_file file[BATCH_FILES];
	uint64_t first; /* transaction of the first file; 0: not begun */
	bool ended[BATCH_FILES];
	bool failed;
};

struct downlink {
	uv_loop_t *loop;
	struct store *store;
	struct artifacts *artifacts;
	char spacecraft[49], mission[128];
	char *dir;
	uint64_t batch_bytes_max;
	struct minisign_secret secret;
	cJSON *(*run_provenance)(void *user, int64_t run);
	void (*on_acknowledged)(void *user, const char *batch, unsigned products);
	void *user;

	struct link *link;
	uv_timer_t timer; /* retries, and the start */
	bool timer_open, closing, kick_pending;
	struct job *job; /* the worker's, while it is under way */
	bool sending_now;
	struct sending sending;
	size_t products_max; /* in the next batch; halved while manifests come out too large */
	unsigned told_products;
	char error[320];
};

static void kick(struct downlink *d);

static void free_if_done(struct downlink *d)
{
	if (!d->closing || d->timer_open || d->job)
		return;
	minisign_secret_wipe(&d->secret);
	free(d->dir);
	free(d);
}

static void trouble(struct downlink *d, const char *what, int err)
{
	snprintf(d->error, sizeof(d->error), "%s: %s", what, err_text(err));
	log_warning("downlink: %s", d->error);
}

static void on_retry(uv_timer_t *t)
{
	kick(t->data);
}

static void retry_later(struct downlink *d, uint64_t ms)
{
	if (!d->closing)
		(void)uv_timer_start(&d->timer, on_retry, ms, 0);
}

/* ---- sending ---- */

static void forget_files(struct downlink *d, const struct batch_file file[BATCH_FILES])
{
	for (size_t i = 0; i < BATCH_FILES; i++) {
		char path[PATH_MAX];
		if (job_path(d->dir, file[i].name, path, sizeof(path)) >= 0)
			(void)unlink(path);
	}
}

static void acknowledged_effect(void *arg)
{
	struct downlink *d = arg;
	if (d->closing)
		return;
	forget_files(d, d->sending.file);
	d->sending_now = false;
	if (d->on_acknowledged)
		d->on_acknowledged(d->user, d->sending.name, d->told_products);
	kick(d);
}

static void on_sent(void *user, uint64_t sequence, int status)
{
	struct downlink *d = user;
	struct sending *s = &d->sending;
	if (d->closing || !d->sending_now || !s->first || sequence < s->first ||
		sequence >= s->first + BATCH_FILES)
		return;
	s->ended[sequence - s->first] = true;
	if (status < 0) {
		s->failed = true;
		trouble(d, s->file[sequence - s->first].name, status);
	}
	for (size_t i = 0; i < BATCH_FILES; i++)
		if (!s->ended[i])
			return;
	if (s->failed) {
		d->sending_now = false; /* begins again from the table */
		retry_later(d, RETRY_MS);
		return;
	}
	int r = table_batch_acknowledged(d->store, s->seq, clock_utc(), &d->told_products);
	if (r >= 0)
		r = store_effect(d->store, acknowledged_effect, d, NULL);
	if (r < 0)
		trouble(d, "the acknowledgement could not be noted", r);
}

static void send_effect(void *arg)
{
	struct downlink *d = arg;
	struct sending *s = &d->sending;
	if (d->closing)
		return;
	for (size_t i = BATCH_FILES; i-- > 0;) { /* the signature first: it is small */
		char path[PATH_MAX];
		struct cfdp_file f = {
			.name = s->file[i].name,
			.bytes = s->file[i].bytes,
			.checksum = CFDP_CRC32C,
			.sum = s->file[i].sum,
			.digest = &s->file[i].digest,
			.destination = ENTITY_GROUND,
			.sequence = s->first + i,
		};
		int r = job_path(d->dir, f.name, path, sizeof(path));
		if (r >= 0) {
			f.fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
			r = f.fd < 0 ? -errno : link_send(d->link, &f);
			if (f.fd >= 0 && r < 0)
				close(f.fd);
		}
		if (r < 0) { /* as a transfer that failed */
			s->ended[i] = s->failed = true;
			trouble(d, f.name, r);
		}
	}
	if (s->ended[0] && s->ended[1]) {
		d->sending_now = false;
		retry_later(d, RETRY_MS);
	}
}

/* The batch is durable and noted, or will be at the end of this turn: send it after that. */
static int begin_sending(struct downlink *d, const struct job *j)
{
	struct sending s = {.seq = j->seq};
	memcpy(s.name, j->name, sizeof(s.name));
	memcpy(s.file, j->file, sizeof(s.file));
	int r = table_transactions(d->store, BATCH_FILES, &s.first);
	if (r >= 0)
		r = store_effect(d->store, send_effect, d, NULL);
	if (r < 0)
		return r;
	d->sending = s;
	d->sending_now = true;
	return 0;
}

/* ---- building ---- */

static void kick_effect(void *arg)
{
	struct downlink *d = arg;
	d->kick_pending = false;
	kick(d);
}

static int kick_after_commit(struct downlink *d)
{
	if (d->kick_pending)
		return 0;
	int r = store_effect(d->store, kick_effect, d, NULL);
	d->kick_pending = r >= 0;
	return r;
}

/* A batch could not be built. */
static int build_failed(struct downlink *d, const struct job *j)
{
	int r = 0;
	if (j->bad < j->n) {
		char what[160];
		snprintf(what, sizeof(what), "run %lld: %s.%s left out", (long long)j->products[j->bad].run,
			j->products[j->bad].stage, j->products[j->bad].name);
		trouble(d, what, j->status);
		r = table_product_failed(d->store, j->ids[j->bad], err_text(j->status));
	} else if (j->status == ERR_LIMIT && j->n > 1) {
		d->products_max = j->n / 2;
	} else if (j->status == ERR_LIMIT) {
		r = table_product_failed(d->store, j->ids[0], "what is known of its run is too long");
	} else {
		trouble(d, j->name, j->status);
		retry_later(d, RETRY_MS);
		return 0;
	}
	if (r >= 0)
		r = store_change(d->store);
	return r < 0 ? r : kick_after_commit(d);
}

static void on_job_done(uv_work_t *work, int status)
{
	struct job *j = work->data;
	struct downlink *d = j->owner;
	int r;
	d->job = NULL;
	if (d->closing) {
		job_destroy(j);
		free_if_done(d);
		return;
	}
	if (j->build) {
		if (j->status < 0) {
			r = build_failed(d, j);
		} else {
			r = table_batch_made(d->store, j->seq, j->name, j->file[0].bytes, &j->file[0].digest,
				clock_utc(), j->ids, j->n);
			if (r >= 0)
				r = begin_sending(d, j);
			d->products_max = BATCH_PRODUCTS_MAX;
		}
	} else if (j->status < 0) {
		trouble(d, j->name, j->status);
		forget_files(d, j->file);
		r = table_batch_lost(d->store, j->seq);
		if (r >= 0)
			r = kick_after_commit(d);
	} else {
		r = begin_sending(d, j);
	}
	if (r < 0) {
		trouble(d, "the database", r);
		retry_later(d, RETRY_MS);
	}
	job_destroy(j);
}

static void on_job(uv_work_t *work)
{
	job_run(work->data);
}

static struct job *job_create(struct downlink *d, bool build)
{
	struct job *j = calloc(1, sizeof(*j));
	if (!j)
		return NULL;
	j->owner = d;
	j->work.data = j;
	j->build = build;
	j->artifacts = d->artifacts;
	j->dir = strdup(d->dir);
	if (!j->dir) {
		job_destroy(j);
		return NULL;
	}
	return j;
}
DEFINE_CLEANUP(struct job *, job_destroy, cleanup_job)

static int job_start(struct downlink *d, struct job *j)
{
	int r = uv_queue_work(d->loop, &j->work, on_job, on_job_done);
	if (r >= 0)
		d->job = j;
	return r;
}

/* What is known of each run that has a product here, once. */
static cJSON *runs_json(struct downlink *d, const struct product *products, size_t n)
{
	cJSON *list = cJSON_CreateArray();
	for (size_t i = 0; list && i < n; i++) {
		bool seen = false;
		for (size_t k = 0; k < i && !seen; k++)
			seen = products[k].run == products[i].run;
		cJSON *run = seen || !d->run_provenance ? NULL : d->run_provenance(d->user, products[i].run);
		if (!cJSON_IsObject(run)) {
			cJSON_Delete(run);
			continue;
		}
		cJSON_DeleteItemFromObjectCaseSensitive(run, "run"); /* the ground relies on it */
		cJSON_AddNumberToObject(run, "run", (double)products[i].run);
		cJSON_AddItemToArray(list, run);
	}
	return list;
}

/* Fills a batch with the most valuable products. 0 also when there is none. */
static int start_build(struct downlink *d)
{
	CLEAN(cleanup_job) struct job *j = job_create(d, true);
	if (!j)
		return -ENOMEM;
	j->products = calloc(d->products_max, sizeof(*j->products));
	j->ids = calloc(d->products_max, sizeof(*j->ids));
	if (!j->products || !j->ids)
		return -ENOMEM;
	int n = table_pick(d->store, d->batch_bytes_max, d->products_max, RUNS_MAX, j->products, j->ids);
	if (n <= 0)
		return n;
	j->n = (size_t)n;
	int r = table_next_batch(d->store, &j->seq);
	if (r < 0)
		return r;
	snprintf(j->name, sizeof(j->name), "%s-%06lld", d->spacecraft, (long long)j->seq);
	j->secret = d->secret;
	j->manifest = batch_manifest(j->name, d->spacecraft, d->mission, clock_utc(),
		runs_json(d, j->products, j->n), j->products, j->n);
	if (!j->manifest)
		return -ENOMEM;
	r = job_start(d, j);
	if (r >= 0)
		(void)TAKE_PTR(j);
	return r;
}

static int start_look(struct downlink *d, int64_t seq, const char *name, const struct digest *digest)
{
	CLEAN(cleanup_job) struct job *j = job_create(d, false);
	if (!j)
		return -ENOMEM;
	j->seq = seq;
	memcpy(j->name, name, sizeof(j->name));
	j->expected = *digest;
	int r = job_start(d, j);
	if (r >= 0)
		(void)TAKE_PTR(j);
	return r;
}

/* Begins what there is to do, if nothing is under way. */
static void kick(struct downlink *d)
{
	char name[BATCH_NAME_BYTES] = "";
	struct digest digest;
	int64_t seq;
	if (d->closing || d->job || d->sending_now)
		return;
	int r = table_unfinished(d->store, &seq, name, &digest);
	if (r > 0)
		r = start_look(d, seq, name, &digest);
	else if (r == 0)
		r = start_build(d);
	if (r < 0) {
		trouble(d, "the next batch", r);
		retry_later(d, RETRY_MS);
	}
}

/* ---- the face ---- */

int downlink_product(struct downlink *d, const struct product *product)
{
	if (!product_ok(product))
		return ERR_FORMAT;
	int r = store_change(d->store);
	if (r >= 0)
		r = table_add(d->store, product);
	return r < 0 ? r : kick_after_commit(d);
}

bool downlink_idle(const struct downlink *d)
{
	struct table_totals t;
	if (d->job || d->sending_now || d->kick_pending || table_totals(d->store, &t) < 0)
		return false;
	return t.products[PRODUCT_QUEUED] == 0 && t.products[PRODUCT_BATCHED] == 0;
}

static bool add(cJSON *o, const char *key, int64_t v)
{
	return cJSON_AddNumberToObject(o, key, (double)v) != NULL;
}

cJSON *downlink_status(struct downlink *d)
{
	struct table_totals t;
	struct link_stats l;
	const struct cfdp_stats *c = cfdp_stats(link_entity(d->link));
	CLEAN_JSON cJSON *o = cJSON_CreateObject();
	if (!o || table_totals(d->store, &t) < 0)
		return NULL;
	link_stats(d->link, &l);
	bool ok = add(o, "queued", t.products[PRODUCT_QUEUED]) &&
		  add(o, "batched", t.products[PRODUCT_BATCHED]) &&
		  add(o, "acknowledged", t.products[PRODUCT_ACKNOWLEDGED]) &&
		  add(o, "failed", t.products[PRODUCT_FAILED]) &&
		  add(o, "bytes_queued", t.bytes[PRODUCT_QUEUED] + t.bytes[PRODUCT_BATCHED]) &&
		  add(o, "bytes_acknowledged", t.bytes[PRODUCT_ACKNOWLEDGED]);
	cJSON *batches = ok ? cJSON_AddObjectToObject(o, "batches") : NULL;
	ok = batches && add(batches, "sending", t.batches[BATCH_SENDING]) &&
	     add(batches, "acknowledged", t.batches[BATCH_ACKNOWLEDGED]) &&
	     add(batches, "lost", t.batches[BATCH_LOST]) && add(o, "bytes_sent", (int64_t)c->bytes_out);
	cJSON *link = ok ? cJSON_AddObjectToObject(o, "link") : NULL;
	ok = link && add(link, "packets_out", (int64_t)l.datagrams_out) &&
	     add(link, "packets_in", (int64_t)l.datagrams_in) && add(link, "missing", (int64_t)l.missing) &&
	     add(link, "bytes_again", (int64_t)c->data_again_bytes) &&
	     add(link, "send_errors", (int64_t)l.send_errors);
	if (ok && d->sending_now)
		ok = cJSON_AddStringToObject(o, "sending", d->sending.name);
	if (ok && d->error[0])
		ok = cJSON_AddStringToObject(o, "last_error", d->error);
	return ok ? TAKE_PTR(o) : NULL;
}

uint16_t downlink_port(const struct downlink *d)
{
	return link_port(d->link);
}

/* Removes files of batches that do not wait any more: a crash came between the note and the removal. */
static int sweep(struct downlink *d)
{
	DIR *dir = opendir(d->dir);
	if (!dir)
		return -errno;
	int r = 0;
	for (struct dirent *e; r >= 0 && (e = readdir(dir));) {
		char name[sizeof(e->d_name)];
		snprintf(name, sizeof(name), "%s", e->d_name);
		char *end = strstr(name, ".tar");
		if (!end || !cfdp_name_ok(e->d_name))
			continue;
		*end = 0;
		r = table_batch_waits(d->store, name);
		if (r == 0)
			(void)unlinkat(dirfd(dir), e->d_name, 0);
	}
	closedir(dir);
	return r;
}

static void on_timer_closed(uv_handle_t *h)
{
	struct downlink *d = h->data;
	d->timer_open = false;
	free_if_done(d);
}

void downlink_destroy(struct downlink *d)
{
	if (!d)
		return;
	d->closing = true;
	link_destroy(d->link);
	if (d->job)
		(void)uv_cancel((uv_req_t *)&d->job->work); /* on_job_done comes in any case */
	if (d->timer_open)
		uv_close((uv_handle_t *)&d->timer, on_timer_closed);
	else
		free_if_done(d);
}

int downlink_create(uv_loop_t *loop, struct store *store, struct artifacts *artifacts,
	const struct downlink_options *o, struct downlink **ret_downlink)
{
	if (!cfdp_name_ok(o->spacecraft) || strlen(o->spacecraft) > 48 || strlen(o->mission) > 127 || !o->key)
		return ERR_FORMAT;
	struct downlink *d = calloc(1, sizeof(*d));
	if (!d)
		return -ENOMEM;
	d->loop = loop;
	d->store = store;
	d->artifacts = artifacts;
	snprintf(d->spacecraft, sizeof(d->spacecraft), "%s", o->spacecraft);
	snprintf(d->mission, sizeof(d->mission), "%s", o->mission);
	d->batch_bytes_max = o->batch_bytes_max ? o->batch_bytes_max : BATCH_BYTES_DEFAULT;
	if (d->batch_bytes_max > PRODUCT_BYTES_MAX)
		d->batch_bytes_max = PRODUCT_BYTES_MAX;
	d->secret = *ground_key_secret(o->key);
	d->run_provenance = o->run_provenance;
	d->on_acknowledged = o->on_acknowledged;
	d->user = o->user;
	d->products_max = BATCH_PRODUCTS_MAX;
	d->dir = strdup(o->dir);
	int r = d->dir ? dir_make(d->dir, 0750) : -ENOMEM;
	if (r >= 0)
		r = table_open(store);
	if (r >= 0)
		r = sweep(d);
	if (r >= 0)
		r = uv_timer_init(loop, &d->timer);
	if (r >= 0) {
		d->timer.data = d;
		d->timer_open = true;
		struct link_options l = {
			.from = o->from, .to = o->to, .rate_bytes_per_s = o->rate_bytes_per_s};
		l.cfdp = (struct cfdp_options){.entity = ENTITY_BOARD,
			.crc_required = true,
			.ack_ns = o->ack_ns,
			.on_sent = on_sent,
			.user = d};
		r = link_create(loop, &l, &d->link);
	}
	if (r < 0) {
		downlink_destroy(d);
		return r;
	}
	retry_later(d, 0); /* what an earlier life left, from the loop */
	*ret_downlink = d;
	return 0;
}
