/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The report of the demonstration. What was decided and found is read from what came down to the ground; what
 * the ground does not get (the frames, for the pictures) from the state on board; the truth from the twin.
 */
#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#include "core/artifact.h"
#include "core/file.h"
#include "core/json.h"
#include "demo.h"
#include "picture.h"
#include "pipelines.h"

#define FRAME_BYTES_MAX (256u << 20)
#define JSON_BYTES_MAX (4u << 20)
#define RUNS_MAX 4096
#define HIDDEN_BY_CLOUD 0.5 /* of a true ship: nobody can be asked to find it */

static void *read_artifact(const struct demo *d, const char *digest, size_t *ret_len)
{
	char path[PATH_MAX];
	char *data = NULL;

	if (!digest || strlen(digest) != 64 ||
		path_format(path, sizeof(path), "%s/state/artifacts/%.2s/%s", d->work, digest, digest + 2) <
			0 ||
		file_read(path, FRAME_BYTES_MAX, &data, ret_len) < 0)
		return NULL;
	return data;
}

static cJSON *read_json(const char *fmt, ...) PRINTF(1, 2);
static cJSON *read_json(const char *fmt, ...)
{
	CLEAN_FREE char *path = NULL;
	cJSON *j = NULL;
	va_list ap;

	va_start(ap, fmt);
	int n = vasprintf(&path, fmt, ap);
	va_end(ap);
	return n >= 0 && json_load(path, JSON_BYTES_MAX, &j) == 0 ? j : NULL;
}

static const cJSON *stage_of(const cJSON *run, const char *name)
{
	const cJSON *s;

	cJSON_ArrayForEach(s, cJSON_GetObjectItemCaseSensitive(
				      run, "stages")) if (!strcmp(json_str(s, "stage"), name)) return s;
	return NULL;
}

static const char *output_digest(const cJSON *stage, const char *output)
{
	return json_str(
		cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(stage, "outputs"), output),
		"digest");
}

/* ---- one image ---- */

static struct picture_box box_of(const cJSON *ship)
{
	const cJSON *box = cJSON_GetObjectItemCaseSensitive(ship, "box");
	int v[4] = {0};

	for (int i = 0; i < 4; i++) {
		const cJSON *n = cJSON_GetArrayItem(box, i);
		v[i] = cJSON_IsNumber(n) ? n->valueint : 0;
	}
	return (struct picture_box){.x0 = v[0], .y0 = v[1], .x1 = v[2], .y1 = v[3]};
}

static int draw(
	const struct demo *d, const cJSON *run, const cJSON *count, const char *title, const char *png)
{
	size_t len, mask_len, n = 0;
	struct pam form, mask_form;
	const cJSON *event = cJSON_GetObjectItemCaseSensitive(run, "event"), *ship;
	CLEAN_FREE uint8_t *frame = read_artifact(d, json_str(event, "digest"), &len);
	CLEAN_FREE uint8_t *mask = read_artifact(d, output_digest(stage_of(run, "cloud"), "mask"), &mask_len);
	CLEAN_FREE struct picture_box *boxes = calloc(PICTURE_BOXES_MAX, sizeof(*boxes));

	if (!frame || !boxes)
		return -ENOENT;
	int head = pam_parse(frame, len, &form),
	    mask_head = mask ? pam_parse(mask, mask_len, &mask_form) : -1;
	if (head < 0 || len - (size_t)head != pam_data_bytes(&form))
		return ERR_FORMAT;
	bool masked = mask_head >= 0 && mask_form.width == form.width && mask_form.height == form.height &&
		      mask_len - (size_t)mask_head == (size_t)form.width * form.height;
	cJSON_ArrayForEach(ship, cJSON_GetObjectItemCaseSensitive(count, "ships")) if (n < PICTURE_BOXES_MAX)
		boxes[n++] = box_of(ship);
	return picture_write(png, &form, frame + head, masked ? mask + mask_head : NULL, boxes, n, title);
}

static bool inside(const cJSON *truth_ship, double x, double y)
{
	struct picture_box b = box_of(truth_ship);

	return x >= b.x0 - 1 && x <= b.x1 + 1 && y >= b.y0 - 1 && y <= b.y1 + 1;
}

static void add_truth(cJSON *image, const cJSON *truth, const cJSON *count)
{
	const cJSON *t, *s;
	int visible = 0, hit = 0, hidden = 0;
	cJSON *j = cJSON_AddObjectToObject(image, "truth");

	cJSON_AddNumberToObject(j, "cloud_fraction", json_num(truth, "cloud_fraction", 0));
	cJSON_ArrayForEach(t, cJSON_GetObjectItemCaseSensitive(truth, "ships"))
	{
		bool seen = false;
		if (json_num(t, "cloud", 0) > HIDDEN_BY_CLOUD) {
			hidden++;
			continue;
		}
		visible++;
		cJSON_ArrayForEach(s, cJSON_GetObjectItemCaseSensitive(count, "ships")) seen |=
			inside(t, json_num(s, "x", -9), json_num(s, "y", -9));
		hit += seen;
	}
	cJSON_AddNumberToObject(j, "ships_visible", visible);
	cJSON_AddNumberToObject(j, "ships_hidden_by_cloud", hidden);
	cJSON_AddNumberToObject(j, "ships_hit", hit);
}

static void add_stages(cJSON *image, const cJSON *run)
{
	const cJSON *s;
	cJSON *list = cJSON_AddArrayToObject(image, "stages");

	cJSON_ArrayForEach(s, cJSON_GetObjectItemCaseSensitive(run, "stages"))
	{
		cJSON *j = cJSON_CreateObject();
		cJSON_AddItemToArray(list, j);
		cJSON_AddStringToObject(j, "stage", json_str(s, "stage"));
		cJSON_AddStringToObject(j, "state", json_str(s, "state"));
		if (json_str(s, "reason"))
			cJSON_AddStringToObject(j, "reason", json_str(s, "reason"));
		if (cJSON_HasObjectItem(s, "wall_ms")) {
			cJSON_AddNumberToObject(j, "ms", json_num(s, "wall_ms", 0));
			cJSON_AddNumberToObject(j, "cpu_ms", json_num(s, "cpu_ms", 0));
			cJSON_AddNumberToObject(j, "memory_peak_bytes", json_num(s, "memory_peak_bytes", 0));
		}
	}
}

static const char *decision(const cJSON *run, char *text, size_t cap)
{
	const cJSON *identify = stage_of(run, "identify");
	const char *state = json_str(run, "state"), *reason = json_str(run, "reason");

	if (!state || strcmp(state, "done"))
		snprintf(text, cap, "%s: %s", state ? state : "unknown", reason ? reason : "");
	else if (identify && !strcmp(json_str(identify, "state"), "skipped"))
		snprintf(text, cap, "left out: %s", json_str(identify, "reason"));
	else
		snprintf(text, cap, "searched");
	return text;
}

static double product_bytes(const cJSON *received)
{
	const cJSON *p;
	double bytes = 0;

	cJSON_ArrayForEach(p, cJSON_GetObjectItemCaseSensitive(received, "products")) bytes +=
		json_num(p, "bytes", 0);
	return bytes;
}

static cJSON *image_report(const struct demo *d, const cJSON *run)
{
	char text[400], title[500], png[PATH_MAX];
	const cJSON *event = cJSON_GetObjectItemCaseSensitive(run, "event");
	const cJSON *attrs = cJSON_GetObjectItemCaseSensitive(event, "attrs");
	const char *frame_id = json_str(event, "frame_id"), *name = json_str(attrs, "frame_name");
	long long number = json_int(run, "run", 0);
	CLEAN_JSON cJSON *received = read_json("%s/results/%lld/run.json", d->out, number);
	CLEAN_JSON cJSON *cloud = read_json("%s/results/%lld/cloud.report.json", d->out, number);
	CLEAN_JSON cJSON *count = read_json("%s/results/%lld/count.report.json", d->out, number);
	CLEAN_JSON cJSON *truth = read_json("%s/truth/%s.json", d->work, frame_id ? frame_id : "");
	cJSON *j = cJSON_CreateObject();

	cJSON_AddNumberToObject(j, "run", (double)number);
	cJSON_AddStringToObject(j, "image", name && *name ? name : frame_id);
	cJSON_AddStringToObject(j, "frame_id", frame_id);
	cJSON_AddStringToObject(j, "device", json_str(event, "device"));
	cJSON_AddStringToObject(j, "acquired", json_str(event, "time"));
	cJSON_AddStringToObject(j, "decision", decision(run, text, sizeof(text)));
	if (cloud)
		cJSON_AddNumberToObject(j, "cloud_fraction", json_num(cloud, "cloud_fraction", 0));
	if (count) {
		cJSON_AddNumberToObject(j, "ships", json_num(count, "count", 0));
		cJSON_AddItemToObject(j, "objects",
			cJSON_Duplicate(cJSON_GetObjectItemCaseSensitive(count, "ships"), true));
	}
	if (truth)
		add_truth(j, truth, count);
	add_stages(j, run);
	cJSON_AddNumberToObject(j, "bytes_in", json_num(event, "bytes", 0));
	cJSON_AddNumberToObject(j, "bytes_down", product_bytes(received));
	/* The ground files a product only out of a batch whose signature and digests it has verified. */
	cJSON_AddBoolToObject(j, "verified", received != NULL);

	snprintf(title, sizeof(title), "%s  cloud %.0f%%  %s", name && *name ? name : frame_id,
		100 * json_num(cloud, "cloud_fraction", 0), count ? "" : "not searched");
	if (count)
		snprintf(title + strlen(title), sizeof(title) - strlen(title), "ships %.0f",
			json_num(count, "count", 0));
	if (path_format(png, sizeof(png), "%s/pictures/%lld-%s.png", d->out, number, frame_id) == 0) {
		int r = draw(d, run, count, title, png);
		if (r == 0)
			cJSON_AddStringToObject(j, "picture", png);
		else
			fprintf(stderr, "perigee-twin demo: %s cannot be drawn: %s\n", png, err_text(r));
	}
	return j;
}

/* ---- all of them ---- */

static double folder_bytes(const char *out, const char *name, unsigned *ret_files)
{
	char path[PATH_MAX], file[PATH_MAX];
	double bytes = 0;
	struct dirent *e;
	struct stat st;
	DIR *dir = path_format(path, sizeof(path), "%s/%s", out, name) == 0 ? opendir(path) : NULL;

	*ret_files = 0;
	while (dir && (e = readdir(dir))) {
		if (e->d_name[0] == '.' || path_format(file, sizeof(file), "%s/%s", path, e->d_name) < 0 ||
			stat(file, &st) < 0 || !S_ISREG(st.st_mode))
			continue;
		bytes += (double)st.st_size;
		++*ret_files;
	}
	if (dir)
		closedir(dir);
	return bytes;
}

static void add_totals(const struct demo *d, cJSON *report)
{
	const cJSON *images = cJSON_GetObjectItemCaseSensitive(report, "images"), *i;
	double in = 0, ships = 0, visible = 0, hit = 0, verified = 0, searched = 0;
	unsigned batch_files, rejected;
	double down = folder_bytes(d->out, "batches", &batch_files);

	(void)folder_bytes(d->out, "rejected", &rejected);
	cJSON_ArrayForEach(i, images)
	{
		const cJSON *truth = cJSON_GetObjectItemCaseSensitive(i, "truth");
		in += json_num(i, "bytes_in", 0);
		ships += json_num(i, "ships", 0);
		verified += cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(i, "verified"));
		searched += cJSON_HasObjectItem(i, "ships");
		if (cJSON_HasObjectItem(i, "ships")) {
			visible += json_num(truth, "ships_visible", 0);
			hit += json_num(truth, "ships_hit", 0);
		}
	}
	cJSON *t = cJSON_AddObjectToObject(report, "totals");
	cJSON_AddNumberToObject(t, "images", cJSON_GetArraySize(images));
	cJSON_AddNumberToObject(t, "images_searched", searched);
	cJSON_AddNumberToObject(t, "images_verified", verified);
	cJSON_AddNumberToObject(t, "ships", ships);
	if (!d->scenes) {
		cJSON_AddNumberToObject(t, "ships_visible_in_searched", visible);
		cJSON_AddNumberToObject(t, "ships_hit", hit);
	}
	cJSON_AddNumberToObject(t, "bytes_in", in);
	cJSON_AddNumberToObject(t, "bytes_down", down);
	cJSON_AddNumberToObject(t, "bytes_in_over_down", down > 0 ? in / down : 0);
	cJSON_AddNumberToObject(t, "batch_files", batch_files);
	cJSON_AddNumberToObject(t, "batches_rejected", rejected);
	cJSON_AddNumberToObject(t, "seconds", d->seconds);
}

static int read_runs(const struct demo *d, cJSON *images)
{
	char path[PATH_MAX];
	struct store *store;
	int r = path_format(path, sizeof(path), "%s/state/perigee.db", d->work);

	if (r == 0)
		r = store_open_readonly(path, &store);
	if (r < 0)
		return r;
	CLEAN_JSON cJSON *list = runs_list(store, RUNS_MAX);
	for (int i = cJSON_GetArraySize(list) - 1; i >= 0; i--) {
		CLEAN_JSON cJSON *run =
			run_provenance(store, json_int(cJSON_GetArrayItem(list, i), "run", 0));
		if (run)
			cJSON_AddItemToArray(images, image_report(d, run));
	}
	store_close(store);
	return 0;
}

int demo_report(struct demo *d, cJSON **ret_report)
{
	char path[PATH_MAX];
	CLEAN_JSON cJSON *report = cJSON_CreateObject();
	int r = path_format(path, sizeof(path), "%s/pictures", d->out);

	if (!report)
		return -ENOMEM;
	if (r == 0)
		r = dir_make(path, 0755);
	if (r < 0)
		return r;
	cJSON_AddStringToObject(report, "demo", "ship-count");
	cJSON_AddStringToObject(report, "scenes", d->scenes ? d->scenes : "rendered");
	if (!d->scenes)
		cJSON_AddNumberToObject(report, "seed", d->seed);
	r = read_runs(d, cJSON_AddArrayToObject(report, "images"));
	if (r < 0)
		return r;
	add_totals(d, report);
	CLEAN_FREE char *text = cJSON_Print(report);
	r = text ? path_format(path, sizeof(path), "%s/report.json", d->out) : -ENOMEM;
	if (r == 0)
		r = file_replace(path, text, strlen(text), 0644);
	if (r == 0)
		*ret_report = TAKE_PTR(report);
	return r;
}
