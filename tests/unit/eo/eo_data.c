/* SPDX-License-Identifier: Apache-2.0 */
#include "eo_data.h"

#include <png.h>
#include <string.h>

#include "core/clock.h"
#include "core/json.h"
#include "core/pam.h"

void raster_finish(struct raster *r)
{
	free(r->data);
	*r = (struct raster){0};
}

static int new_pam(uint32_t width, uint32_t height, uint32_t depth, uint32_t maxval, const char *tupltype,
	struct raster *ret, uint8_t **ret_samples)
{
	struct pam pam = {.width = width, .height = height, .depth = depth, .maxval = maxval};
	char header[PAM_HEADER_BYTES_MAX];
	int n;

	snprintf(pam.tupltype, sizeof(pam.tupltype), "%s", tupltype);
	n = pam_format(&pam, header, sizeof(header));
	if (n < 0)
		return -1;
	ret->len = (size_t)n + pam_data_bytes(&pam);
	ret->data = malloc(ret->len);
	if (!ret->data)
		return -1;
	memcpy(ret->data, header, (size_t)n);
	ret->width = width;
	ret->height = height;
	*ret_samples = ret->data + n;
	return 0;
}

int eo_data_rgb(const char *path, struct raster *ret)
{
	png_image png = {.version = PNG_IMAGE_VERSION};
	uint8_t *samples;

	if (!png_image_begin_read_from_file(&png, path))
		return -1;
	png.format = PNG_FORMAT_RGB;
	if (new_pam(png.width, png.height, 3, 255, "RGB", ret, &samples) < 0) {
		png_image_free(&png);
		return -1;
	}
	if (png_image_finish_read(&png, NULL, samples, 0, NULL))
		return 0;
	raster_finish(ret);
	return -1;
}

/* Not by libpng's simplified interface, which would treat the classes of a mask as colours. */
int eo_data_gray(const char *path, struct raster *ret)
{
	png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
	png_infop info = png ? png_create_info_struct(png) : NULL;
	CLEAN_FILE FILE *f = fopen(path, "rb");

	ret->data = NULL;
	if (!png || !info || !f || setjmp(png_jmpbuf(png))) {
		png_destroy_read_struct(&png, &info, NULL);
		raster_finish(ret);
		return -1;
	}
	png_init_io(png, f);
	png_read_info(png, info);
	ret->width = png_get_image_width(png, info);
	ret->height = png_get_image_height(png, info);
	if (png_get_bit_depth(png, info) != 8 || png_get_channels(png, info) != 1 || ret->width > 1u << 15 ||
		ret->height > 1u << 15)
		png_error(png, "not 8-bit grey");
	ret->len = (size_t)ret->width * ret->height;
	ret->data = malloc(ret->len);
	if (!ret->data)
		png_error(png, "memory");
	for (uint32_t y = 0; y < ret->height; y++)
		png_read_row(png, ret->data + (size_t)y * ret->width, NULL);
	png_destroy_read_struct(&png, &info, NULL);
	return 0;
}

int eo_data_bsq6(const char *path, uint32_t side, struct raster *ret)
{
	size_t n = (size_t)side * side;
	CLEAN_FILE FILE *f = fopen(path, "rb");
	CLEAN_FREE uint8_t *bsq = malloc(n * 12);
	uint8_t *samples;

	if (!f || !bsq || fread(bsq, 1, n * 12, f) != n * 12)
		return -1;
	if (new_pam(side, side, 6, 65535, "BLUE,GREEN,RED,NIR,SWIR16,SWIR22", ret, &samples) < 0)
		return -1;
	for (size_t b = 0; b < 6; b++)
		for (size_t i = 0; i < n; i++) {
			samples[(i * 6 + b) * 2] = bsq[(b * n + i) * 2 + 1];
			samples[(i * 6 + b) * 2 + 1] = bsq[(b * n + i) * 2];
		}
	return 0;
}

int eo_data_boxes(const char *path, struct data_box ret[EO_DATA_BOXES_MAX])
{
	CLEAN_FILE FILE *f = fopen(path, "r");
	char line[200];
	int n = 0;

	if (!f)
		return -1;
	while (fgets(line, sizeof(line), f)) {
		struct data_box b;

		if (sscanf(line, "%*f,%*f,%lf,%lf,%lf,%lf", &b.x0, &b.y0, &b.x1, &b.y1) == 4 &&
			n < EO_DATA_BOXES_MAX)
			ret[n++] = b;
	}
	return n;
}

double box_iou(const struct data_box *a, const struct data_box *b)
{
	double w = (a->x1 < b->x1 ? a->x1 : b->x1) - (a->x0 > b->x0 ? a->x0 : b->x0);
	double h = (a->y1 < b->y1 ? a->y1 : b->y1) - (a->y0 > b->y0 ? a->y0 : b->y0);
	double both = w > 0 && h > 0 ? w * h : 0;

	return both / ((a->x1 - a->x0) * (a->y1 - a->y0) + (b->x1 - b->x0) * (b->y1 - b->y0) - both);
}

int eo_data_ships(const void *json, size_t len, struct data_box ret[EO_DATA_BOXES_MAX])
{
	CLEAN_JSON cJSON *report = NULL;
	const cJSON *ship;
	int n = 0;

	if (json_parse(json, len, 1 << 20, &report, NULL, NULL) < 0)
		return -1;
	cJSON_ArrayForEach(ship, cJSON_GetObjectItemCaseSensitive(report, "ships"))
	{
		const cJSON *box = cJSON_GetObjectItemCaseSensitive(ship, "box");

		if (n == EO_DATA_BOXES_MAX || cJSON_GetArraySize(box) != 4)
			return -1;
		ret[n++] = (struct data_box){cJSON_GetArrayItem(box, 0)->valuedouble,
			cJSON_GetArrayItem(box, 1)->valuedouble, cJSON_GetArrayItem(box, 2)->valuedouble,
			cJSON_GetArrayItem(box, 3)->valuedouble};
	}
	return json_int(report, "count", -1) == n ? n : -1;
}

struct data_score eo_data_match(
	const struct data_box *found, int n_found, const struct data_box *truth, int n_truth, double iou_min)
{
	bool found_used[EO_DATA_BOXES_MAX] = {false}, truth_used[EO_DATA_BOXES_MAX] = {false};
	struct data_score s = {0};

	for (;;) {
		double best = iou_min;
		int bf = -1, bt = -1;

		for (int f = 0; f < n_found; f++)
			for (int t = 0; t < n_truth; t++) {
				double iou = box_iou(&found[f], &truth[t]);

				if (!found_used[f] && !truth_used[t] && iou >= best) {
					best = iou;
					bf = f;
					bt = t;
				}
			}
		if (bf < 0)
			break;
		found_used[bf] = truth_used[bt] = true;
		s.hits++;
	}
	s.missed = n_truth - s.hits;
	s.extra = n_found - s.hits;
	s.f1 = n_found + n_truth ? 2.0 * s.hits / (n_found + n_truth) : 1;
	return s;
}

double eo_data_kappa(const uint8_t *a, const uint8_t *b, size_t n, uint8_t class)
{
	double same = 0, in_a = 0, in_b = 0, chance;

	for (size_t i = 0; i < n; i++) {
		same += (a[i] == class) == (b[i] == class);
		in_a += a[i] == class;
		in_b += b[i] == class;
	}
	same /= (double)n;
	in_a /= (double)n;
	in_b /= (double)n;
	chance = in_a * in_b + (1 - in_a) * (1 - in_b);
	return chance < 1 ? (same - chance) / (1 - chance) : 1;
}

int eo_data_run(const struct raster *scene, struct eo_run_of *ret)
{
	const struct eo_params params = {0};
	int64_t t[4];

	*ret = (struct eo_run_of){0};
	t[0] = clock_mono().ns;
	if (eo_stage_cloud(scene->data, scene->len, &params, &ret->mask, &ret->cloud, ret->reason) < 0)
		return -1;
	t[1] = clock_mono().ns;
	if (eo_stage_identify(scene->data, scene->len, ret->mask.data, ret->mask.len, &params,
		    &ret->candidates, &ret->crops, ret->reason) < 0)
		return -1;
	t[2] = clock_mono().ns;
	if (eo_stage_count(ret->candidates.data, ret->candidates.len, ret->crops.data, ret->crops.len,
		    &params, &ret->ships, ret->reason) < 0)
		return -1;
	t[3] = clock_mono().ns;
	for (int i = 0; i < 3; i++)
		ret->ms[i] = (double)(t[i + 1] - t[i]) / NS_PER_MS;
	return 0;
}

void eo_run_finish(struct eo_run_of *r)
{
	eo_buf_finish(&r->mask);
	eo_buf_finish(&r->cloud);
	eo_buf_finish(&r->candidates);
	eo_buf_finish(&r->crops);
	eo_buf_finish(&r->ships);
}
