/* SPDX-License-Identifier: Apache-2.0 */
/* Both ends on one loop over loopback: products in, results out, with either side ended and started again. */
#include "data.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <sodium.h>
#include <sys/stat.h>

#include "batch.h"
#include "core/json.h"
#include "ground.h"
#include "link.h"

struct world {
	char dir[PATH_MAX], out[PATH_MAX], key_path[PATH_MAX], public_path[PATH_MAX];
	uv_loop_t loop;
	uv_prepare_t turn;
	uv_timer_t limit;
	bool expired;
	struct store *store;
	struct artifacts *artifacts;
	struct ground_key *key;
	struct downlink *downlink;
	struct receive *receive;
	uint16_t port; /* the ground's, the same in all its lives */
	uint16_t board_port;
	unsigned acknowledged;
	unsigned batch_bytes;
	uint64_t rate;
	FILE *report;
	char *report_text;
	size_t report_len;
};

static struct sockaddr_in loopback(uint16_t port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return a;
}

static cJSON *provenance(void *user, int64_t run)
{
	char text[1024];
	snprintf(text, sizeof(text),
		"{\"run\":%lld,\"workflow\":\"ship-count\",\"workflow_digest\":\"ab\",\"payload\":\"harbour-"
		"watch\","
		"\"priority\":160,\"state\":\"done\",\"created\":\"2026-11-25T10:00:0%lld.000Z\",\"event\":{"
		"\"device\":"
		"\"cam0\",\"time\":\"2026-11-25T09:59:00.000Z\",\"digest\":\"cd\",\"attrs\":{\"frame_name\":"
		"\"scene\","
		"\"frame_latitude\":\"37.5\",\"frame_longitude\":-122.25,\"frame_gsd_m\":3,\"frame_width\":"
		"\"1405\","
		"\"frame_height\":1607}},\"stages\":[{\"stage\":\"cloud\",\"state\":\"done\",\"image\":"
		"\"cloud-detect\"}]}",
		(long long)run, (long long)run % 10);
	return cJSON_Parse(text);
}

static void on_acknowledged(void *user, const char *batch, unsigned products)
{
	struct world *w = user;
	w->acknowledged += products;
}

/* What perigeed does once a turn. */
static void on_turn(uv_prepare_t *p)
{
	struct world *w = p->data;
	if (w->store)
		assert_int_equal(store_turn_end(w->store), 0);
}

static void on_limit(uv_timer_t *t)
{
	((struct world *)t->data)->expired = true;
}

static void start_board(struct world *w)
{
	char path[PATH_MAX], why[256];
	struct downlink_options o = {
		.spacecraft = "SAT",
		.mission = "demo",
		.to = loopback(w->port),
		.from = loopback(w->board_port),
		.batch_bytes_max = w->batch_bytes,
		.rate_bytes_per_s = w->rate,
		.ack_ns = 30 * NS_PER_MS,
		.key = w->key,
		.run_provenance = provenance,
		.on_acknowledged = on_acknowledged,
		.user = w,
	};
	assert_true(path_format(path, sizeof(path), "%s/db", w->dir) >= 0);
	assert_int_equal(store_open(path, &w->store, why, sizeof(why)), 0);
	assert_true(path_format(path, sizeof(path), "%s/artifacts", w->dir) >= 0);
	assert_int_equal(artifacts_open(path, &w->artifacts), 0);
	assert_true(path_format(path, sizeof(path), "%s/downlink", w->dir) >= 0);
	o.dir = path;
	assert_int_equal(downlink_create(&w->loop, w->store, w->artifacts, &o, &w->downlink), 0);
	w->board_port = downlink_port(w->downlink);
}

/* Runs what is closing, without waiting for anything else. */
static void settle(struct world *w)
{
	for (int i = 0; i < 20; i++)
		uv_run(&w->loop, UV_RUN_NOWAIT);
}

/* As a crash ends it: the open turn is lost. A worker under way is waited for, as the kernel would end it. */
static void stop_board(struct world *w)
{
	struct store *store = w->store;
	w->store = NULL; /* no commit any more */
	downlink_destroy(w->downlink);
	uv_run(&w->loop, UV_RUN_NOWAIT);
	while (uv_loop_alive(&w->loop) && w->loop.active_reqs.count)
		uv_run(&w->loop, UV_RUN_ONCE);
	settle(w);
	w->downlink = NULL;
	store_close(store);
	artifacts_close(w->artifacts);
}

static void start_ground(struct world *w)
{
	struct receive_options o = {.listen = loopback(w->port),
		.out = w->out,
		.key = w->public_path,
		.report = w->report,
		.json = true,
		.ack_ns = 30 * NS_PER_MS};
	assert_int_equal(receive_create(&w->loop, &o, &w->receive), 0);
	w->port = receive_port(w->receive);
}

static void stop_ground(struct world *w)
{
	receive_destroy(w->receive);
	w->receive = NULL;
	settle(w);
}

static void begin(struct world *w)
{
	char path[PATH_MAX];
	memset(w, 0, sizeof(*w));
	folder_make(w->dir);
	w->batch_bytes = 20000;
	assert_true(sodium_init() >= 0);
	assert_true(path_format(path, sizeof(path), "%s/mission", w->dir) >= 0);
	assert_int_equal(keys_generate(path), 0);
	assert_true(path_format(w->key_path, PATH_MAX, "%s/mission.key", w->dir) >= 0);
	assert_true(path_format(w->public_path, PATH_MAX, "%s/mission.pub", w->dir) >= 0);
	assert_true(path_format(w->out, PATH_MAX, "%s/out", w->dir) >= 0);
	assert_int_equal(ground_key_load(w->key_path, &w->key), 0);
	w->report = open_memstream(&w->report_text, &w->report_len);
	assert_int_equal(uv_loop_init(&w->loop), 0);
	uv_prepare_init(&w->loop, &w->turn);
	w->turn.data = w;
	uv_prepare_start(&w->turn, on_turn);
	uv_timer_init(&w->loop, &w->limit);
	w->limit.data = w;
	uv_timer_start(&w->limit, on_limit, 60000, 0);
	start_ground(w);
	start_board(w);
}

static void end(struct world *w)
{
	if (w->downlink)
		stop_board(w);
	if (w->receive)
		stop_ground(w);
	uv_close((uv_handle_t *)&w->turn, NULL);
	uv_close((uv_handle_t *)&w->limit, NULL);
	uv_run(&w->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&w->loop), 0);
	ground_key_destroy(w->key);
	fclose(w->report);
	free(w->report_text);
	folder_remove(w->dir);
}

static struct product put(struct world *w, int64_t run, const char *stage, const char *name, const char *type,
	const void *data, size_t len, int priority)
{
	char tmp[ARTIFACT_NAME_BYTES];
	struct product p = {.run = run, .workflow = "ship-count", .bytes = len, .priority = priority};
	CLEAN_FD int fd = -1;
	snprintf(p.stage, sizeof(p.stage), "%s", stage);
	snprintf(p.name, sizeof(p.name), "%s", name);
	snprintf(p.type, sizeof(p.type), "%s", type);
	digest_data(data, len, &p.digest);
	assert_int_equal(artifact_new(w->artifacts, 0600, tmp, &fd), 0);
	assert_int_equal(write_all(fd, data, len), 0);
	assert_int_equal(artifact_keep(w->artifacts, tmp, &p.digest), 0);
	assert_int_equal(downlink_product(w->downlink, &p), 0);
	return p;
}

static void put_blob(struct world *w, int64_t run, uint64_t seed, size_t len, int priority)
{
	CLEAN_FREE uint8_t *data = malloc(len + 8);
	char name[32];
	for (size_t i = 0; i < len; i += 8) {
		uint64_t v = rnd(&seed);
		memcpy(data + i, &v, 8);
	}
	snprintf(name, sizeof(name), "crops%d", priority);
	(void)put(w, run, "identify", name, "", data, len, priority);
}

static void until_idle(struct world *w)
{
	uv_run(&w->loop, UV_RUN_NOWAIT); /* the open turn ends, and may have been all */
	while (!w->expired && !(downlink_idle(w->downlink) && !store_changing(w->store)))
		uv_run(&w->loop, UV_RUN_ONCE);
	assert_false(w->expired);
}

static cJSON *load(struct world *w, const char *rel)
{
	char path[PATH_MAX];
	cJSON *j = NULL;
	assert_true(path_format(path, sizeof(path), "%s/%s", w->out, rel) >= 0);
	assert_int_equal(json_load(path, 1 << 20, &j), 0);
	return j;
}

static bool exists(struct world *w, const char *rel)
{
	char path[PATH_MAX];
	assert_true(path_format(path, sizeof(path), "%s/%s", w->out, rel) >= 0);
	return access(path, F_OK) == 0;
}

static void test_whole_way(void **state)
{
	struct world w;
	char line[3 * PATH_MAX];
	static const char report[] = "{\"ships\":10}", cloud[] = "{\"cloud_fraction\":0.1892}";
	begin(&w);
	(void)put(&w, 7, "count", "report", "json", report, strlen(report), 200);
	(void)put(&w, 7, "count", "report", "json", report, strlen(report), 200); /* the same again */
	(void)put(&w, 7, "cloud", "report", "json", cloud, strlen(cloud), 150);
	put_blob(&w, 7, 3, 50000, 80); /* larger than a batch: alone in the second */
	until_idle(&w);
	assert_int_equal(w.acknowledged, 3);

	struct receive_counts c;
	receive_counts(w.receive, &c);
	assert_int_equal(c.batches, 2);
	assert_int_equal(c.runs, 1);
	assert_int_equal(c.results, 3);
	assert_int_equal(c.refused + c.repeated + c.duplicates, 0);

	CLEAN_JSON cJSON *got = load(&w, "results/7/count.report.json");
	assert_int_equal(json_int(got, "ships", 0), 10);
	assert_true(exists(&w, "results/7/cloud.report.json"));
	assert_true(exists(&w, "results/7/identify.crops80"));
	CLEAN_JSON cJSON *run = load(&w, "results/7/run.json");
	assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(run, "products")), 3);
	assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(run, "batches")), 2);

	/* The item: a footprint around the place, and the cloud cover from the stage that says it. */
	CLEAN_JSON cJSON *item = load(&w, "stac/SAT-run-7.json");
	const cJSON *bbox = cJSON_GetObjectItem(item, "bbox"), *p = cJSON_GetObjectItem(item, "properties");
	assert_string_equal(json_str(item, "stac_version"), "1.0.0");
	assert_int_equal(cJSON_GetArraySize(bbox), 4);
	double west = cJSON_GetArrayItem(bbox, 0)->valuedouble,
	       north = cJSON_GetArrayItem(bbox, 3)->valuedouble;
	assert_true(west < -122.27 && west > -122.28);
	assert_true(north > 37.521 && north < 37.522);
	assert_string_equal(json_str(p, "datetime"), "2026-11-25T09:59:00.000Z");
	assert_true(json_num(p, "eo:cloud_cover", -1) == 18.92);
	assert_int_equal(json_int(p, "perigee:run", 0), 7);
	const cJSON *asset = cJSON_GetObjectItem(cJSON_GetObjectItem(item, "assets"), "count.report.json");
	assert_int_equal(json_int(asset, "file:size", 0), strlen(report));
	assert_string_equal(json_str(asset, "href"), "../results/7/count.report.json");
	CLEAN_JSON cJSON *catalog = load(&w, "stac/catalog.json");
	assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(catalog, "links")), 2);

	/* The ordinary tool accepts both batches as they came. */
	assert_true(exists(&w, "batches/SAT-000001.tar.minisig"));
	if (system("command -v minisign >/dev/null 2>&1") == 0) {
		for (int i = 1; i <= 2; i++) {
			snprintf(line, sizeof(line),
				"minisign -V -p '%s' -m '%s/batches/SAT-00000%d.tar' >/dev/null",
				w.public_path, w.out, i);
			assert_int_equal(system(line), 0);
		}
	}
	CLEAN_JSON cJSON *status = downlink_status(w.downlink);
	assert_int_equal(json_int(status, "acknowledged", 0), 3);
	assert_int_equal(json_int(status, "queued", -1), 0);
	assert_true(json_int(status, "bytes_sent", 0) > 50000);
	end(&w);
}

/* What is worth more goes first, whatever came first. */
static void test_by_value(void **state)
{
	struct world w;
	begin(&w);
	stop_ground(&w); /* so that all are queued before the second batch is made */
	put_blob(&w, 1, 1, 15000, 10);
	for (int i = 0; i < 5; i++)
		put_blob(&w, 2 + i, 10 + (uint64_t)i, 15000, 20 + i);
	start_ground(&w);
	until_idle(&w);
	const char *at = NULL, *text = w.report_text;
	fflush(w.report);
	text = w.report_text;
	/* One product a batch; the results' order is the batches' order. */
	int last = 256, n = 0;
	for (at = text; (at = strstr(at, "identify.crops")); at++, n++) {
		int priority = atoi(at + strlen("identify.crops"));
		assert_true(priority < last);
		last = priority;
	}
	assert_int_equal(n, 6);
	end(&w);
}

/* Either side ends at many instants and starts again; in the end each product is there once. */
static void test_restarts(void **state)
{
	for (uint64_t seed = 1; seed <= 12; seed++) {
		struct world w;
		uint64_t s = seed;
		begin(&w);
		w.rate = 3000000;
		stop_board(&w);
		start_board(&w);
		for (int i = 0; i < 4; i++)
			put_blob(&w, 1 + i, seed * 100 + (uint64_t)i, 15000 + rnd(&s) % 10000, 50 + i);
		assert_int_equal(store_turn_end(w.store), 0);
		for (int crash = 0; crash < 4; crash++) {
			for (uint64_t turns = rnd(&s) % 60; turns && !downlink_idle(w.downlink); turns--)
				uv_run(&w.loop, UV_RUN_ONCE);
			if (chance(&s, 60)) {
				stop_board(&w);
				start_board(&w);
			} else {
				stop_ground(&w);
				start_ground(&w);
			}
		}
		until_idle(&w);
		for (int i = 0; i < 4; i++) {
			char rel[64];
			snprintf(rel, sizeof(rel), "results/%d/identify.crops%d", 1 + i, 50 + i);
			assert_true(exists(&w, rel));
			snprintf(rel, sizeof(rel), "results/%d/identify.crops%d-2", 1 + i, 50 + i);
			assert_false(exists(&w, rel));
			snprintf(rel, sizeof(rel), "results/%d/run.json", 1 + i);
			CLEAN_JSON cJSON *run = load(&w, rel);
			assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(run, "products")), 1);
		}
		struct receive_counts c;
		receive_counts(w.receive, &c);
		assert_int_equal(c.runs, 4);
		assert_int_equal(c.refused, 0);
		assert_false(exists(&w, "batches/SAT-000005.tar"));
		end(&w);
	}
}

/* An artifact that is gone is reported and left out; the others go. */
static void test_missing_artifact(void **state)
{
	struct world w;
	char path[PATH_MAX];
	begin(&w);
	struct product p = put(&w, 1, "count", "report", "json", "{}", 2, 200);
	assert_int_equal(artifact_path(w.artifacts, &p.digest, path, sizeof(path)), 0);
	assert_int_equal(unlink(path), 0);
	put_blob(&w, 1, 4, 1000, 10);
	until_idle(&w);
	assert_int_equal(w.acknowledged, 1);
	CLEAN_JSON cJSON *status = downlink_status(w.downlink);
	assert_int_equal(json_int(status, "failed", 0), 1);
	assert_non_null(json_str(status, "last_error"));
	end(&w);
}

static void test_bad_products(void **state)
{
	struct world w;
	begin(&w);
	struct product good = {.run = 1, .workflow = "w", .stage = "s", .name = "n", .priority = 5}, p;
	p = good;
	p.run = 0;
	assert_int_equal(downlink_product(w.downlink, &p), ERR_FORMAT);
	p = good;
	strcpy(p.name, "../x");
	assert_int_equal(downlink_product(w.downlink, &p), ERR_FORMAT);
	p = good;
	p.stage[0] = 0;
	assert_int_equal(downlink_product(w.downlink, &p), ERR_FORMAT);
	p = good;
	p.priority = 256;
	assert_int_equal(downlink_product(w.downlink, &p), ERR_FORMAT);
	p = good;
	memset(p.type, 'a', sizeof(p.type));
	assert_int_equal(downlink_product(w.downlink, &p), ERR_FORMAT);
	assert_true(downlink_idle(w.downlink));
	p = good; /* noted, and in nobody's way */
	p.bytes = PRODUCT_BYTES_MAX + 1;
	assert_int_equal(downlink_product(w.downlink, &p), 0);
	until_idle(&w);
	CLEAN_JSON cJSON *status = downlink_status(w.downlink);
	assert_int_equal(json_int(status, "failed", 0), 1);
	end(&w);
}

/* The receiver alone, for what a good sender does not send: files put into its inbox before it starts. */
static void inbox_file(struct world *w, const char *name, const void *data, size_t len)
{
	char path[PATH_MAX];
	assert_true(path_format(path, sizeof(path), "%s/inbox/%s", w->out, name) >= 0);
	assert_int_equal(file_replace(path, data, len, 0644), 0);
}

static void test_refused(void **state)
{
	struct world w;
	char path[PATH_MAX];
	CLEAN_FREE char *tar = NULL, *sig = NULL, *reason = NULL;
	size_t tar_len, sig_len, len;
	struct receive_counts c;
	begin(&w);
	(void)put(&w, 7, "count", "report", "json", "{}", 2, 200);
	until_idle(&w);
	assert_true(path_format(path, sizeof(path), "%s/batches/SAT-000001.tar", w.out) >= 0);
	assert_int_equal(file_read(path, 1 << 20, &tar, &tar_len), 0);
	assert_true(path_format(path, sizeof(path), "%s/batches/SAT-000001.tar.minisig", w.out) >= 0);
	assert_int_equal(file_read(path, 1 << 20, &sig, &sig_len), 0);
	stop_ground(&w);

	/* Flipped, cut, renamed, with half a signature, and once as it was. */
	tar[700] ^= 1;
	inbox_file(&w, "SAT-000101.tar", tar, tar_len);
	inbox_file(&w, "SAT-000101.tar.minisig", sig, sig_len);
	tar[700] ^= 1;
	inbox_file(&w, "SAT-000102.tar", tar, tar_len / 2);
	inbox_file(&w, "SAT-000102.tar.minisig", sig, sig_len);
	inbox_file(&w, "SAT-000103.tar", tar, tar_len);
	inbox_file(&w, "SAT-000103.tar.minisig", sig, sig_len);
	inbox_file(&w, "SAT-000104.tar", tar, tar_len);
	inbox_file(&w, "SAT-000104.tar.minisig", sig, sig_len / 2);
	inbox_file(&w, "SAT-000001.tar", tar, tar_len);
	inbox_file(&w, "SAT-000001.tar.minisig", sig, sig_len);
	inbox_file(&w, "readme.txt", "x", 1);
	CLEAN_FREE char *long_sig = calloc(1, 100000);
	inbox_file(&w, "SAT-000106.tar", tar, tar_len);
	inbox_file(&w, "SAT-000106.tar.minisig", long_sig, 100000);
	inbox_file(&w, "SAT-000105.tar", tar, tar_len); /* its signature has not come */
	start_ground(&w);
	receive_counts(w.receive, &c);
	assert_int_equal(c.refused, 5);
	assert_int_equal(c.repeated, 1);
	assert_int_equal(c.batches, 0);
	assert_int_equal(c.runs, 1);
	for (int i = 101; i <= 104; i++) {
		char rel[64];
		snprintf(rel, sizeof(rel), "rejected/SAT-000%d.tar", i);
		assert_true(exists(&w, rel));
		snprintf(rel, sizeof(rel), "rejected/SAT-000%d.reason", i);
		assert_true(exists(&w, rel));
		snprintf(rel, sizeof(rel), "inbox/SAT-000%d.tar", i);
		assert_false(exists(&w, rel));
	}
	assert_true(path_format(path, sizeof(path), "%s/rejected/SAT-000101.reason", w.out) >= 0);
	assert_int_equal(file_read(path, 4096, &reason, &len), 0);
	assert_string_equal(reason, "SAT-000101: the signature does not verify\n");
	assert_true(exists(&w, "inbox/SAT-000105.tar"));
	assert_false(exists(&w, "inbox/readme.txt"));
	fflush(w.report);
	assert_non_null(strstr(w.report_text, "\"event\":\"refused\",\"batch\":\"SAT-000103\""));
	end(&w);
}

/* Halves whose other half never comes do not fill the disk, and do not hide a batch that is whole. */
static void test_lone_files(void **state)
{
	struct world w;
	struct receive_counts c;
	char rel[64];
	unsigned tars = 0, sigs = 0;
	CLEAN_FREE char *tar = NULL, *sig = NULL;
	size_t tar_len, sig_len;
	char path[PATH_MAX];
	begin(&w);
	(void)put(&w, 7, "count", "report", "json", "{}", 2, 200);
	until_idle(&w);
	stop_ground(&w);
	assert_true(path_format(path, sizeof(path), "%s/batches/SAT-000001.tar", w.out) >= 0);
	assert_int_equal(file_read(path, 1 << 20, &tar, &tar_len), 0);
	assert_int_equal(unlink(path), 0);
	inbox_file(&w, "SAT-000001.tar", tar, tar_len); /* the oldest */
	assert_true(path_format(path, sizeof(path), "%s/batches/SAT-000001.tar.minisig", w.out) >= 0);
	assert_int_equal(file_read(path, 1 << 20, &sig, &sig_len), 0);
	inbox_file(&w, "SAT-000001.tar.minisig", sig, sig_len);
	for (int i = 0; i < 400; i++) {
		snprintf(rel, sizeof(rel), "junk-%d.tar%s", i, i % 4 ? ".minisig" : "");
		inbox_file(&w, rel, "x", 1);
	}
	start_ground(&w);
	receive_counts(w.receive, &c);
	assert_int_equal(c.batches, 1);
	for (int i = 0; i < 400; i++) {
		snprintf(rel, sizeof(rel), "inbox/junk-%d.tar%s", i, i % 4 ? ".minisig" : "");
		*(i % 4 ? &sigs : &tars) += exists(&w, rel);
	}
	assert_int_equal(tars, 8);
	assert_int_equal(sigs, 256);
	assert_true(exists(&w, "inbox/junk-396.tar")); /* the newest stay */
	end(&w);
}

/* Killed between any two of its steps: the pair is in the inbox again, the results are there or not. */
static void test_filing_again(void **state)
{
	struct world w;
	char from[PATH_MAX], to[PATH_MAX];
	struct receive_counts c;
	begin(&w);
	(void)put(&w, 7, "count", "report", "json", "{}", 2, 200);
	until_idle(&w);
	for (int k = 0; k < 3; k++) {
		stop_ground(&w);
		for (int sig = 0; sig < 2; sig++) { /* back into the inbox */
			const char *suffix = sig ? ".minisig" : "";
			assert_true(path_format(from, PATH_MAX, "%s/batches/SAT-000001.tar%s", w.out,
					    suffix) >= 0);
			assert_true(
				path_format(to, PATH_MAX, "%s/inbox/SAT-000001.tar%s", w.out, suffix) >= 0);
			assert_int_equal(rename(from, to), 0);
		}
		if (k > 0) { /* the list was not written yet */
			assert_true(path_format(from, PATH_MAX, "%s/results/7/run.json", w.out) >= 0);
			assert_int_equal(unlink(from), 0);
		}
		if (k > 1) { /* nor the product */
			assert_true(
				path_format(from, PATH_MAX, "%s/results/7/count.report.json", w.out) >= 0);
			assert_int_equal(unlink(from), 0);
		}
		start_ground(&w);
		receive_counts(w.receive, &c);
		assert_int_equal(c.batches, 1);
		assert_int_equal(c.runs, 1);
		assert_int_equal(c.results + c.duplicates, 1);
		assert_int_equal(c.duplicates, k == 0);
		assert_true(exists(&w, "results/7/count.report.json"));
		assert_false(exists(&w, "results/7/count.report-2.json"));
		assert_true(exists(&w, "batches/SAT-000001.tar"));
		assert_false(exists(&w, "inbox/SAT-000001.tar.minisig"));
	}
	end(&w);
}

/* A spacecraft whose database was lost counts its runs and batches anew: nothing of the earlier ones is
 * overwritten. */
static void test_lost_database(void **state)
{
	struct world w;
	char path[PATH_MAX];
	struct receive_counts c;
	begin(&w);
	(void)put(&w, 7, "count", "report", "json", "{\"n\":1}", 7, 200);
	until_idle(&w);
	stop_board(&w);
	assert_true(path_format(path, sizeof(path), "%s/db", w.dir) >= 0);
	assert_int_equal(unlink(path), 0);
	start_board(&w);
	(void)put(&w, 17, "count", "report", "json", "{\"n\":2}", 7, 200); /* `created` as run 7's */
	until_idle(&w);
	receive_counts(w.receive, &c);
	assert_int_equal(c.batches, 2);
	assert_int_equal(c.runs, 2);
	assert_true(exists(&w, "results/7/count.report.json"));
	assert_true(exists(&w, "results/17/count.report.json"));
	end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole_way),
		cmocka_unit_test(test_by_value),
		cmocka_unit_test(test_restarts),
		cmocka_unit_test(test_missing_artifact),
		cmocka_unit_test(test_bad_products),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_lone_files),
		cmocka_unit_test(test_filing_again),
		cmocka_unit_test(test_lost_database),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
