/* SPDX-License-Identifier: Apache-2.0 */
#include "data.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <sys/stat.h>

#include "batch.h"
#include "core/json.h"

#define PRODUCTS 5

static char dir[PATH_MAX];
static struct artifacts *store;
static struct minisign_public public;
static struct minisign_secret secret;
static struct product products[PRODUCTS];

static void keep(const void *data, size_t len, struct product *p)
{
	char name[ARTIFACT_NAME_BYTES];
	CLEAN_FD int fd = -1;
	digest_data(data, len, &p->digest);
	p->bytes = len;
	assert_int_equal(artifact_new(store, 0600, name, &fd), 0);
	assert_int_equal(write_all(fd, data, len), 0);
	assert_int_equal(artifact_keep(store, name, &p->digest), 0);
}

static int open_blob(void *user, const struct digest *d, int *ret_fd)
{
	return artifact_open(user, d, ret_fd);
}

static cJSON *runs(void)
{
	cJSON *list = cJSON_CreateArray(), *run = cJSON_CreateObject();
	cJSON_AddNumberToObject(run, "run", 7);
	cJSON_AddItemToArray(list, run);
	return list;
}

static cJSON *manifest(void)
{
	struct utc_time t = {INT64_C(1700000000) * NS_PER_S};
	cJSON *m = batch_manifest("SAT-000001", "SAT", "demo", t, runs(), products, PRODUCTS);
	assert_non_null(m);
	return m;
}

static int fresh(const char *name)
{
	char path[PATH_MAX];
	assert_true(path_format(path, sizeof(path), "%s/%s", dir, name) >= 0);
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	return fd;
}

/* Opens the archive with a signature made for it: what is tested is behind the signature. */
static int open_signed(int fd, char *reason)
{
	char sig[MINISIGN_TEXT_BYTES];
	struct batch *b = NULL;
	assert_int_equal(minisign_sign(&secret, fd, "t", sig), 0);
	int r = batch_open(fd, sig, strlen(sig), &public, "SAT-000001", &b, reason);
	batch_close(b);
	return r;
}

static int setup(void **state)
{
	static uint8_t data[70000];
	char path[PATH_MAX];
	uint64_t seed = 5;
	folder_make(dir);
	assert_true(path_format(path, sizeof(path), "%s/artifacts", dir) >= 0);
	assert_int_equal(artifacts_open(path, &store), 0);
	assert_true(sodium_init() >= 0);
	minisign_keys(&public, &secret);
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)rnd(&seed);
	for (size_t i = 0; i < PRODUCTS; i++) {
		products[i] = (struct product){.run = 7,
			.workflow = "ship-count",
			.stage = "count",
			.type = "json",
			.priority = 200};
		snprintf(products[i].name, sizeof(products[i].name), "report%d", (int)i);
	}
	keep("{}", 2, &products[0]);
	keep(data, sizeof(data), &products[1]);
	keep("", 0, &products[2]);
	keep("{}", 2, &products[3]); /* the same bytes again */
	keep(data, 512, &products[4]);
	return 0;
}

static int teardown(void **state)
{
	artifacts_close(store);
	folder_remove(dir);
	return 0;
}

static int write_batch(const char *name)
{
	CLEAN_JSON cJSON *m = manifest();
	size_t bad;
	int fd = fresh(name);
	assert_int_equal(batch_write(fd, m, products, PRODUCTS, open_blob, store, &bad), 0);
	assert_int_equal(bad, PRODUCTS);
	return fd;
}

static void test_round(void **state)
{
	char sig[MINISIGN_TEXT_BYTES], reason[BATCH_REASON_BYTES], path[PATH_MAX];
	struct batch *b = NULL;
	struct digest one, two;
	uint64_t n, m;
	CLEAN_FD int fd = write_batch("a"), again = write_batch("b");
	assert_int_equal(digest_fd(fd, &one, &n), 0);
	assert_int_equal(digest_fd(again, &two, &m), 0);
	assert_memory_equal(&one, &two, sizeof(one)); /* the same products, the same bytes */
	assert_int_equal(n % 512, 0);

	assert_int_equal(minisign_sign(&secret, fd, "batch:SAT-000001", sig), 0);
	int r = batch_open(fd, sig, strlen(sig), &public, "SAT-000001", &b, reason);
	if (r)
		print_message("%s\n", reason);
	assert_int_equal(r, 0);
	assert_int_equal(b->n_products, PRODUCTS);
	assert_int_equal(b->n_blobs, PRODUCTS - 1);
	assert_string_equal(b->spacecraft, "SAT");
	assert_string_equal(b->created, "2023-11-14T22:13:20.000Z");
	assert_memory_equal(&b->products[1].digest, &products[1].digest, sizeof(products[1].digest));
	assert_string_equal(b->products[4].name, "report4");
	assert_int_equal(b->products[4].priority, 200);

	assert_true(path_format(path, sizeof(path), "%s/out", dir) >= 0);
	assert_int_equal(dir_make(path, 0755), 0);
	assert_int_equal(batch_unpack(b, fd, path), 0);
	for (size_t i = 0; i < PRODUCTS; i++) {
		char text[DIGEST_TEXT_BYTES];
		struct digest d;
		digest_format(&products[i].digest, text);
		assert_true(path_format(path, sizeof(path), "%s/out/%s", dir, text) >= 0);
		CLEAN_FD int blob = open(path, O_RDONLY | O_CLOEXEC);
		assert_int_equal(digest_fd(blob, &d, &n), 0);
		assert_memory_equal(&d, &products[i].digest, sizeof(d));
	}
	batch_close(b);
	assert_int_equal(batch_open(fd, sig, strlen(sig), &public, "SAT-000002", &b, reason), ERR_FORMAT);
	assert_non_null(strstr(reason, "SAT-000002"));
	struct minisign_public other;
	struct minisign_secret unused;
	minisign_keys(&other, &unused);
	assert_int_equal(batch_open(fd, sig, strlen(sig), &other, "SAT-000001", &b, reason), ERR_KEY);
	assert_int_equal(batch_open(fd, sig, strlen(sig) / 2, &public, "SAT-000001", &b, reason), ERR_FORMAT);
}

/* An ordinary tar reads it, when there is one. */
static void test_tar(void **state)
{
	char line[PATH_MAX + 200];
	if (system("command -v tar >/dev/null 2>&1") != 0)
		skip();
	close(write_batch("a"));
	snprintf(line, sizeof(line), "test \"$(tar -tf '%s/a' | wc -l)\" = %d", dir, PRODUCTS);
	assert_int_equal(system(line), 0);
}

/* Flipped or cut under its signature: always refused, before anything is parsed. */
static void test_tamper(void **state)
{
	char sig[MINISIGN_TEXT_BYTES], reason[BATCH_REASON_BYTES];
	struct batch *b = NULL;
	struct stat st;
	CLEAN_FD int fd = write_batch("a");
	assert_int_equal(minisign_sign(&secret, fd, "t", sig), 0);
	assert_int_equal(fstat(fd, &st), 0);
	for (off_t at = 0; at < st.st_size; at += 997) {
		uint8_t was, bad;
		assert_int_equal(pread(fd, &was, 1, at), 1);
		bad = was ^ (uint8_t)(1u << at % 8);
		assert_int_equal(pwrite(fd, &bad, 1, at), 1);
		assert_int_equal(
			batch_open(fd, sig, strlen(sig), &public, "SAT-000001", &b, reason), ERR_SIGNATURE);
		assert_true(strlen(reason) > 0);
		assert_int_equal(pwrite(fd, &was, 1, at), 1);
	}
	for (off_t len = st.st_size - 1; len >= 0; len = len > 1499 ? len - 1499 : len - 1) {
		assert_int_equal(ftruncate(fd, len), 0);
		assert_int_equal(
			batch_open(fd, sig, strlen(sig), &public, "SAT-000001", &b, reason), ERR_SIGNATURE);
		if (len < 10)
			break;
	}
}

/* The same with the right key, as a signer gone wrong would do it: only unused header bytes may differ. */
static void test_tamper_signed(void **state)
{
	char reason[BATCH_REASON_BYTES];
	struct stat st;
	CLEAN_FD int fd = write_batch("a");
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(open_signed(fd, reason), 0);
	unsigned refused = 0, tried = 0;
	for (off_t at = 0; at < st.st_size; at += 61) {
		uint8_t was, bad;
		assert_int_equal(pread(fd, &was, 1, at), 1);
		bad = was ^ (uint8_t)(1u << at % 7);
		assert_int_equal(pwrite(fd, &bad, 1, at), 1);
		tried++;
		refused += open_signed(fd, reason) < 0;
		assert_int_equal(pwrite(fd, &was, 1, at), 1);
	}
	assert_true(refused > tried * 9 / 10);
	for (off_t len = st.st_size - 512; len > 0; len -= 512 * 11) {
		assert_int_equal(ftruncate(fd, len), 0);
		assert_true(open_signed(fd, reason) < 0);
	}
}

/* Something extra behind, or missing. */
static void test_extra(void **state)
{
	char reason[BATCH_REASON_BYTES];
	uint8_t block[512] = {0};
	struct stat st;
	CLEAN_FD int fd = write_batch("a");
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(pwrite(fd, block, sizeof(block), st.st_size), 512);
	assert_int_equal(open_signed(fd, reason), ERR_FORMAT);

	/* A manifest that names more than there is, and one that names less. */
	for (int k = 0; k < 2; k++) {
		struct utc_time t = {0};
		CLEAN_JSON cJSON *m = batch_manifest(
			"SAT-000001", "SAT", "demo", t, runs(), products, k ? PRODUCTS : PRODUCTS - 1);
		CLEAN_FD int other = fresh("c");
		size_t bad;
		assert_int_equal(
			batch_write(other, m, products, k ? PRODUCTS - 1 : PRODUCTS, open_blob, store, &bad),
			0);
		assert_int_equal(open_signed(other, reason), ERR_FORMAT);
	}
}

/* Manifests of a signer gone wrong. Each change alone is refused. */
static void test_manifests(void **state)
{
	static const struct {
		const char *list, *key, *value; /* value: JSON, NULL removes the key */
	} change[] = {
		{NULL, "perigee", "\"v2\""},
		{NULL, "perigee", NULL},
		{NULL, "batch", "\"SAT-000002\""},
		{NULL, "spacecraft", "\"../SAT\""},
		{NULL, "created", "\"yesterday\""},
		{NULL, "mission", "5"},
		{NULL, "runs", "{}"},
		{NULL, "products", "null"},
		{"runs", "run", "0"},
		{"products", "run", "-1"},
		{"products", "run", "\"7\""},
		{"products", "name", "\"../../etc/passwd\""},
		{"products", "stage", "\"a/b\""},
		{"products", "type", "\"js on\""},
		{"products", "name", "\"\""},
		{"products", "digest", "\"00\""},
		{"products", "bytes", "-1"},
		{"products", "bytes", "3"},
		{"products", "bytes", "1e300"},
		{"products", "priority", "256"},
	};
	char reason[BATCH_REASON_BYTES];
	for (size_t i = 0; i < ARRAY_LEN(change); i++) {
		CLEAN_JSON cJSON *m = manifest();
		cJSON *o = m;
		size_t bad;
		if (change[i].list)
			o = cJSON_GetArrayItem(cJSON_GetObjectItem(m, change[i].list), 0);
		cJSON_DeleteItemFromObject(o, change[i].key);
		if (change[i].value)
			cJSON_AddItemToObject(o, change[i].key, cJSON_Parse(change[i].value));
		CLEAN_FD int fd = fresh("m");
		assert_int_equal(batch_write(fd, m, products, PRODUCTS, open_blob, store, &bad), 0);
		assert_int_equal(open_signed(fd, reason), ERR_FORMAT);
		assert_true(strncmp(reason, "manifest.json", 13) == 0);
	}
}

/* An artifact that is not what it should be is named, so that it can be left out. */
static void test_bad_artifact(void **state)
{
	char path[PATH_MAX];
	CLEAN_JSON cJSON *m = manifest();
	CLEAN_FD int fd = fresh("a"), fd2 = fresh("b");
	size_t bad = 99;
	assert_int_equal(artifact_path(store, &products[1].digest, path, sizeof(path)), 0);
	assert_int_equal(chmod(path, 0600), 0);
	CLEAN_FD int blob = open(path, O_WRONLY | O_CLOEXEC);
	assert_int_equal(pwrite(blob, "x", 1, 100), 1);
	assert_int_equal(batch_write(fd, m, products, PRODUCTS, open_blob, store, &bad), ERR_DIGEST);
	assert_int_equal(bad, 1);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(batch_write(fd2, m, products, PRODUCTS, open_blob, store, &bad), ERR_UNKNOWN);
	assert_int_equal(bad, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_round, setup, teardown),
		cmocka_unit_test_setup_teardown(test_tar, setup, teardown),
		cmocka_unit_test_setup_teardown(test_tamper, setup, teardown),
		cmocka_unit_test_setup_teardown(test_tamper_signed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_extra, setup, teardown),
		cmocka_unit_test_setup_teardown(test_manifests, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_artifact, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
