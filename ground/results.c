/* SPDX-License-Identifier: Apache-2.0 */
#include "results.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "core/file.h"
#include "core/json.h"

#define RUN_JSON_BYTES_MAX (8u << 20)
#define SAME_NUMBER_MAX 1000 /* runs of one number, files of one name */
#define DIR_BYTES 32

int results_open(const char *out, struct results *ret_results)
{
	char path[PATH_MAX];
	struct results r = {.out = strdup(out)};
	int n = r.out ? 0 : -ENOMEM;
	for (int i = 0; n >= 0 && i < 2; i++) {
		n = path_format(path, sizeof(path), "%s/%s", out, i ? "stac" : "results");
		if (n >= 0)
			n = dir_make(path, 0755);
	}
	if (n >= 0)
		n = path_format(path, sizeof(path), "%s/results", out);
	DIR *dir = n >= 0 ? opendir(path) : NULL;
	if (n >= 0 && !dir)
		n = -errno;
	for (struct dirent *e; dir && (e = readdir(dir));) {
		char run[sizeof(e->d_name) + 16];
		snprintf(run, sizeof(run), "%s/run.json", e->d_name);
		r.runs += e->d_name[0] != '.' && faccessat(dirfd(dir), run, R_OK, 0) == 0;
	}
	if (dir)
		closedir(dir);
	if (n < 0) {
		results_finish(&r);
		return n;
	}
	*ret_results = r;
	return 0;
}

void results_finish(struct results *r)
{
	free(r->out);
	*r = (struct results){0};
}

static bool same_text(const char *a, const char *b)
{
	return a && b && strcmp(a, b) == 0;
}

/* What the batch knows of the run, or NULL. Borrowed. */
static const cJSON *provenance_of(const struct batch *b, int64_t run)
{
	const cJSON *at;
	cJSON_ArrayForEach(at, cJSON_GetObjectItemCaseSensitive(b->manifest, "runs"))
	{
		if (json_int(at, "run", 0) == run)
			return at;
	}
	return NULL;
}

/* Is run.json of this very run, and not of another that had its number? */
static bool is_run(const cJSON *doc, const struct batch *b, int64_t run, const cJSON *provenance)
{
	const char *created = json_str(cJSON_GetObjectItemCaseSensitive(doc, "provenance"), "created");
	const char *now = json_str(provenance, "created");
	return json_int(doc, "run", 0) == run && same_text(json_str(doc, "spacecraft"), b->spacecraft) &&
	       same_text(json_str(doc, "mission"), b->mission) &&
	       (!created || !now || strcmp(created, now) == 0);
}

static cJSON *new_run(const struct batch *b, int64_t run)
{
	cJSON *doc = cJSON_CreateObject();
	if (doc && cJSON_AddStringToObject(doc, "perigee", "v1") &&
		cJSON_AddNumberToObject(doc, "run", (double)run) &&
		cJSON_AddStringToObject(doc, "spacecraft", b->spacecraft) &&
		cJSON_AddStringToObject(doc, "mission", b->mission) &&
		cJSON_AddStringToObject(doc, "received", b->created) &&
		cJSON_AddArrayToObject(doc, "products") && cJSON_AddArrayToObject(doc, "batches"))
		return doc;
	cJSON_Delete(doc);
	return NULL;
}

/* The run's folder and document; both are new when it is the first time. */
static int find_run(struct results *r, const struct batch *b, int64_t run, const cJSON *provenance,
	char ret_dir[DIR_BYTES], cJSON **ret_doc, bool *ret_new)
{
	for (int i = 1; i <= SAME_NUMBER_MAX; i++) {
		char dir[DIR_BYTES], path[PATH_MAX];
		CLEAN_JSON cJSON *doc = NULL;
		snprintf(dir, sizeof(dir), i > 1 ? "%lld-%d" : "%lld", (long long)run, i);
		int n = path_format(path, sizeof(path), "%s/results/%s/run.json", r->out, dir);
		if (n < 0)
			return n;
		n = json_load(path, RUN_JSON_BYTES_MAX, &doc);
		if (n < 0 && n != -ENOENT)
			return n;
		if (n >= 0 && !is_run(doc, b, run, provenance))
			continue;
		*ret_new = n < 0;
		if (n < 0) {
			doc = new_run(b, run);
			if (!doc)
				return -ENOMEM;
			*strrchr(path, '/') = 0;
			n = dir_make(path, 0755);
			if (n < 0)
				return n;
		}
		memcpy(ret_dir, dir, sizeof(dir));
		*ret_doc = TAKE_PTR(doc);
		return 0;
	}
	return ERR_LIMIT;
}

static bool has_digest(const char *path, const struct digest *digest)
{
	struct digest found;
	uint64_t bytes;
	CLEAN_FD int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	return fd >= 0 && digest_fd(fd, &found, &bytes) >= 0 && memcmp(&found, digest, sizeof(found)) == 0;
}

/* The end of a product's file name: its type, unless that says no more than that it is a file. */
static const char *suffix_of(const struct product *p)
{
	return strcmp(p->type, "file") == 0 ? "" : p->type;
}

/* Puts the blob into the run's folder, under the product's name or, when that is taken by other bytes, the
 * next. */
static int place(struct results *r, const struct product *p, const char *dir, const char *blobs,
	char *ret_file, size_t cap)
{
	char from[PATH_MAX], to[PATH_MAX], digest[DIGEST_TEXT_BYTES];
	const char *suffix = suffix_of(p);
	digest_format(&p->digest, digest);
	int n = path_format(from, sizeof(from), "%s/%s", blobs, digest);
	for (int i = 1; n >= 0 && i <= SAME_NUMBER_MAX; i++) {
		char number[16] = "";
		if (i > 1)
			snprintf(number, sizeof(number), "-%d", i);
		n = path_format(ret_file, cap, "%s.%s%s%s%s", p->stage, p->name, number, suffix[0] ? "." : "",
			suffix);
		if (n >= 0)
			n = path_format(to, sizeof(to), "%s/results/%s/%s", r->out, dir, ret_file);
		if (n < 0)
			return n;
		/* A link is there whole or not at all, and its bytes are durable already. */
		if (link(from, to) == 0 || (errno == EEXIST && has_digest(to, &p->digest)))
			return 0;
		if (errno != EEXIST)
			return -errno;
	}
	return n < 0 ? n : ERR_LIMIT;
}

/* The entry of the product in run.json, or NULL. */
static const cJSON *find_product(const cJSON *doc, const struct product *p)
{
	char digest[DIGEST_TEXT_BYTES];
	const cJSON *at;
	digest_format(&p->digest, digest);
	cJSON_ArrayForEach(at, cJSON_GetObjectItemCaseSensitive(doc, "products"))
	{
		if (same_text(json_str(at, "stage"), p->stage) && same_text(json_str(at, "name"), p->name) &&
			same_text(json_str(at, "digest"), digest))
			return at;
	}
	return NULL;
}

static int note_product(cJSON *doc, const struct batch *b, const struct product *p, const char *file)
{
	char digest[DIGEST_TEXT_BYTES];
	CLEAN_JSON cJSON *o = cJSON_CreateObject();
	digest_format(&p->digest, digest);
	if (!o || !cJSON_AddStringToObject(o, "file", file) ||
		!cJSON_AddStringToObject(o, "stage", p->stage) ||
		!cJSON_AddStringToObject(o, "name", p->name) ||
		!cJSON_AddStringToObject(o, "type", p->type) ||
		!cJSON_AddStringToObject(o, "digest", digest) ||
		!cJSON_AddNumberToObject(o, "bytes", (double)p->bytes) ||
		!cJSON_AddNumberToObject(o, "priority", p->priority) ||
		!cJSON_AddStringToObject(o, "workflow", p->workflow) ||
		!cJSON_AddStringToObject(o, "batch", b->name))
		return -ENOMEM;
	cJSON_AddItemToArray(cJSON_GetObjectItemCaseSensitive(doc, "products"), TAKE_PTR(o));
	return 0;
}

/* The batch that came last knows most of the run. */
static int note_batch(cJSON *doc, const struct batch *b, const cJSON *provenance)
{
	cJSON *batches = cJSON_GetObjectItemCaseSensitive(doc, "batches");
	const cJSON *at;
	bool known = false;
	cJSON_ArrayForEach(at, batches)
	{
		known |= cJSON_IsString(at) && strcmp(at->valuestring, b->name) == 0;
	}
	if (!known) {
		cJSON *name = cJSON_CreateString(b->name);
		if (!name)
			return -ENOMEM;
		cJSON_AddItemToArray(batches, name);
	}
	if (provenance) {
		cJSON *copy = cJSON_Duplicate(provenance, true);
		if (!copy)
			return -ENOMEM;
		cJSON_DeleteItemFromObjectCaseSensitive(doc, "provenance");
		cJSON_AddItemToObject(doc, "provenance", copy);
	}
	return 0;
}

static int save(struct results *r, const char *dir, const cJSON *doc)
{
	char path[PATH_MAX];
	CLEAN_FREE char *text = cJSON_Print(doc);
	if (!text)
		return -ENOMEM;
	int n = path_format(path, sizeof(path), "%s/results/%s/run.json", r->out, dir);
	/* Makes the folder durable, and with it the products' names. */
	return n < 0 ? n : file_replace(path, text, strlen(text), 0644);
}

int results_file(struct results *r, const struct batch *b, const char *blobs,
	void (*on_result)(void *user, const struct product *p, const char *dir, const char *file,
		enum result_what what),
	void *user)
{
	CLEAN_FREE bool *filed = calloc(b->n_products + 1, sizeof(*filed));
	if (!filed)
		return -ENOMEM;
	for (size_t i = 0; i < b->n_products; i++) {
		int64_t run = b->products[i].run;
		const cJSON *provenance = provenance_of(b, run);
		CLEAN_JSON cJSON *doc = NULL;
		char dir[DIR_BYTES];
		bool is_new = false;
		if (filed[i])
			continue;
		int n = find_run(r, b, run, provenance, dir, &doc, &is_new);
		for (size_t k = i; n >= 0 && k < b->n_products; k++) { /* all of this run */
			const struct product *p = &b->products[k];
			char file[2 * PRODUCT_NAME_BYTES + PRODUCT_TYPE_BYTES + 16];
			if (p->run != run)
				continue;
			filed[k] = true;
			bool had = find_product(doc, p);
			n = place(r, p, dir, blobs, file, sizeof(file));
			if (n >= 0 && !had)
				n = note_product(doc, b, p, file);
			if (n >= 0)
				on_result(user, p, dir, file, had ? RESULT_DUPLICATE : RESULT_NEW);
		}
		if (n >= 0)
			n = note_batch(doc, b, provenance);
		if (n >= 0)
			n = save(r, dir, doc);
		if (n >= 0)
			n = stac_item(r->out, dir, doc);
		if (n < 0)
			return n;
		r->runs += is_new;
	}
	return stac_catalog(r->out);
}
